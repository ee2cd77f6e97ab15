"Fingerprints are made when a video is encoded, once per state of its file, and removed with it"
import numpy as np
import pandas as pd
import pytest
from mvrep.corpus.demo import tiny_corpus
from mvrep.features.extraction import FINGERPRINT, extract, missing_jobs
from mvrep.features.fingerprints import Fingerprints
from mvrep.features.store import FeatureStore
from mvrep.media.fingerprint import read_fingerprint
from mvrep.media.synthetic import make_clip

@pytest.fixture(scope='module')
def encoded(tmp_path_factory):
    "A store of three videos, one of them without audio"
    folder = tmp_path_factory.mktemp('encoded')
    videos = sorted((tiny_corpus()/'videos').iterdir())[:2]
    silent = make_clip(folder/'silent.mp4', modalities=('video',))
    corpus = pd.DataFrame(dict(video_id=['a', 'b', 'silent'], path=[*map(str, videos), str(silent)]))
    store = FeatureStore(folder/'ix')
    count = extract(corpus, store, ('musicnn_mtt',), workers=1, progress=False)
    return corpus, store, count

def test_each_video_has_the_fingerprint_of_its_file(encoded):
    corpus, store, count = encoded
    found = Fingerprints(store).read(['b', 'silent', 'a', 'unknown'])
    assert count==dict(done=3, failed=0, skipped=0)
    np.testing.assert_array_equal(found[0], read_fingerprint(corpus.path[1]))
    np.testing.assert_array_equal(found[2], read_fingerprint(corpus.path[0]))
    assert len(found[0])>60 and len(found[1])==len(found[3])==0

def test_nothing_is_left_to_do(encoded):
    corpus, store, _ = encoded
    assert missing_jobs(corpus, store, [], Fingerprints(store).sources())==[]

def test_a_store_of_an_earlier_version_gets_fingerprints_only(encoded):
    corpus, store, _ = encoded
    prints, before = Fingerprints(store), store.keys()
    prints.remove(['a'])
    jobs = missing_jobs(corpus, store, [], prints.sources())
    assert [(o.video_id, o.columns) for o in jobs]==[('a', [FINGERPRINT])]
    count = extract(corpus, store, ('musicnn_mtt',), workers=1, progress=False)
    assert count==dict(done=0, failed=0, skipped=3)
    np.testing.assert_array_equal(prints.read(['a'])[0], read_fingerprint(corpus.path[0]))
    pd.testing.assert_frame_equal(store.keys(), before)

def test_reading_makes_no_table(tmp_path):
    prints = Fingerprints(FeatureStore(tmp_path))
    assert prints.sources()=={} and len(prints.read(['a'])[0])==0
    prints.remove(['a'])
    assert not (tmp_path/'store'/'fingerprints.lance').exists()
