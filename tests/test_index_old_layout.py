"""An index that an earlier version wrote, before packages had rooms, opens and grows.

`data/index_format_1.zip` was made by `mvrep index` of commit d3074c3: three videos of the demo corpus, a segment each.
"""
import zipfile
import pytest
from fastcore.test import test_eq as eq
from conftest import root
from mvrep import Index, similar
from mvrep.core import MODALITIES
from mvrep.corpus.demo import tiny_corpus
from mvrep.index.indexing import add_videos

ARCHIVE = root/'tests'/'data'/'index_format_1.zip'
SCORES = {'v0003': -.5109697580, 'v0002': -.6287127733} # That `similar` of that commit gave for v0001

@pytest.fixture
def folder(tmp_path):
    "A copy of the old index"
    with zipfile.ZipFile(ARCHIVE) as archive: archive.extractall(tmp_path/'index')
    return tmp_path/'index'

def test_same_answers(folder):
    index = Index(folder)
    eq(list(index.build.video_ids), ['v0001', 'v0002', 'v0003'])
    found = similar(index, 'v0001', k=2)[0].score
    eq(found.to_dict(), pytest.approx(SCORES, abs=1e-6))

def test_metadata(folder):
    videos = Index(folder).videos
    eq(videos.genre.to_dict(), dict(v0001='ambient', v0002='metal', v0003='folk'))
    eq(list(videos.duration), [24.]*3)

@pytest.fixture
def added(folder):
    "The old index after one more video"
    clip = tiny_corpus()/'videos'/'v0004.mp4'
    add_videos(folder, [clip], workers=1, progress=False)
    return Index(folder)

def test_next_build(folder, added):
    "Another video does not change the embeddings of the others, so the scale is the old one."
    eq((len(added), added.build.number), (4, 2))
    with zipfile.ZipFile(ARCHIVE) as archive: archive.extractall(folder/'before')
    before = Index(folder/'before').build
    for modality in MODALITIES:
        assert (added.build.embeddings[modality][:3]==before.embeddings[modality]).all()

def test_rollback(folder, added):
    added.rollback()
    eq(list(Index(folder).build.video_ids), ['v0001', 'v0002', 'v0003'])
