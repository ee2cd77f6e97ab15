"Builds of an index with a trained model, to which videos that lack a modality are added"
from dataclasses import dataclass, replace
import numpy as np
import pandas as pd
import pytest
from mvrep.core import MODALITIES
from mvrep.encoders.registry import Encoder
from mvrep.index.index import create_index
from mvrep.learning.config import RECIPES, make_model
from mvrep.learning.synthetic import SyntheticNetwork
from mvrep.media.segments import Segment
import shutil
import mvrep.index.indexing as indexing
from mvrep.index.examples import tiny_index
from mvrep.index.index import Index
from mvrep.index.removed import forget_removed
from mvrep.media.workers import ProgramError

ENCODERS = dict(audio=Encoder('loudness', 'audio', SyntheticNetwork(6)),
                video=Encoder('colour', 'video', SyntheticNetwork(4)))
COLUMNS = {modality: encoder.column for modality, encoder in ENCODERS.items()}
CONFIGS = dict(RECIPES, single=replace(RECIPES['thesis'], single_sided=True))

@dataclass(frozen=True)
class Added:
    "A video to add"
    modalities:tuple # That it has
    n_segments:int=3 # 1 with the plan 'middle', many with 'whole'
    is_constant:bool=False # All its features are zero, like those of silence

ADDED = dict(audio_only=Added(('audio',)), video_only=Added(('video',)), audio_segment=Added(('audio',), 1),
             video_segment=Added(('video',), 1), long_audio=Added(('audio',), 40), nothing=Added(()),
             silent=Added(MODALITIES, 3, True), complete=Added(MODALITIES))

def put(index, added):
    "Metadata and generated features of videos"
    rng = np.random.default_rng(0)
    index.put_videos(pd.DataFrame([dict(video_id=o, path=f'{o}.mp4') for o in added]))
    for video_id, video in added.items():
        n = video.n_segments
        scale = 0 if video.is_constant else 1
        def feats(encoder): return scale*rng.normal(size=(n, encoder.dim))
        found = {encoder: feats(encoder) if m in video.modalities else None for m, encoder in ENCODERS.items()}
        index.store.put(video_id, [Segment(i, 5.*i, 5.) for i in range(n)], 'first', found)

@pytest.fixture
def index(tmp_path):
    index = create_index(tmp_path/'ix', tuple(COLUMNS.values()), COLUMNS)
    for encoder in ENCODERS.values(): index.store.add_column(encoder)
    put(index, {o: Added(MODALITIES) for o in 'abcd'})
    index.make_build()
    return index

@pytest.mark.parametrize('recipe', [None, *CONFIGS])
def test_videos_that_lack_a_modality_are_added_and_are_queries(index, recipe):
    if recipe:
        make_model(CONFIGS[recipe], dict(audio=6, video=4)).eval().save(index.model_file)
        index.make_build()
    for video_id, video in ADDED.items():
        put(index, {video_id: video})
        assert index.make_build(refit=False)
        row = index.build.rows.get_loc(video_id)
        for modality in MODALITIES:
            assert index.build.has[modality][row]<=(modality in video.modalities)
            assert np.isfinite(index.build.embeddings[modality]).all()
            if not video.is_constant: assert index.build.has[modality][row]==(modality in video.modalities)
        for by in (*MODALITIES, 'joint'): index.search(index.build.query(video_id), by=by)
    index.make_build() # all of them at once
    assert len(index)==4+len(ADDED)

def test_videos_of_one_modality_first(tmp_path):
    "If no file has video, the build has no video embedding"
    index = create_index(tmp_path/'ix', tuple(COLUMNS.values()), COLUMNS)
    for encoder in ENCODERS.values(): index.store.add_column(encoder)
    put(index, {o: Added(('audio',)) for o in 'abc'})
    index.make_build()
    assert index.build.has['audio'].all() and not index.build.has['video'].any()
    assert index.search(index.build.query('a'), by='video').empty

def test_a_program_error_in_one_file_leaves_the_others_searchable(tmp_path, monkeypatch):
    real = indexing.extract
    def fails_in_the_end(*args, **kwargs):
        real(*args, **kwargs)
        raise ProgramError('a bug in one file')
    index = tiny_index(tmp_path)
    monkeypatch.setattr(indexing, 'extract', fails_in_the_end)
    clip = shutil.copy(index.videos.path.iloc[0], tmp_path/'new.mp4')
    with pytest.raises(ProgramError, match='a bug in one file'): indexing.add_videos(index, [clip], progress=False)
    assert 'new' in Index(index.folder).build.rows

def test_a_removed_id_that_comes_back_is_a_new_video(tmp_path):
    index = tiny_index(tmp_path)
    video_id = index.build.video_ids[0]
    path, before = index.videos.path[video_id], index.build.embeddings['video'][0].copy()
    index.remove([video_id])
    report = indexing.add_videos(index, [path], progress=False)
    assert report.kept_away==[(video_id, path)] and 'removed before' in report.errors.reason.iloc[0]
    forget_removed(index.store.db, [video_id])
    report = indexing.add_videos(index, [path], progress=False)
    back = Index(index.folder)
    assert len(back)==12 and not report.kept_away
    row = list(back.videos.path).index(path)
    np.testing.assert_allclose(back.build.embeddings['video'][row], before, atol=1e-5)
