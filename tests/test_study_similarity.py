"Similarity of songs and modalities: what the study nbs/02_similarity.ipynb relies on"
import numpy as np
import pandas as pd
import pytest
from conftest import root
from mvrep.corpus.demo import tiny_corpus
from mvrep.corpus.manifest import read_manifest
from mvrep.encoders.registry import load_encoder
from mvrep.features.extraction import encode_video
from mvrep.features.vectors import fit_scale, standardise, unit_norm
from mvrep.metrics.similarity import compare_videos, joint_histogram, video_means

COLUMNS = dict(audio='musicnn_mtt', video='efficientnet_lite0')

@pytest.fixture(scope='module')
def encoded():
    "Features of eight synthetic videos by the real encoders, as many segments as fit"
    videos = read_manifest(tiny_corpus()/'manifest.csv')[:8]
    encoders = [load_encoder(o) for o in COLUMNS.values()]
    return {v: encode_video(path, v, encoders, plan='whole')[1] for v, path in zip(videos.video_id, videos.path)}

@pytest.fixture(scope='module')
def features(encoded):
    "{modality: standardised features of all segments}"
    def of(column): return np.concatenate([o[column] for o in encoded.values()])
    def standardised(feats): return standardise(feats, fit_scale(feats))
    return {modality: standardised(of(column)) for modality, column in COLUMNS.items()}

@pytest.fixture(scope='module')
def video_ids(encoded): return np.repeat(list(encoded), [len(o[COLUMNS['audio']]) for o in encoded.values()])

@pytest.mark.parametrize('modality', list(COLUMNS))
def test_segments_of_a_song_are_more_alike(features, video_ids, modality):
    found = compare_videos(features[modality], video_ids)
    assert found['p']<=.05 and found['difference_low']>0

def test_histogram_holds_every_pair_of_songs(features, video_ids):
    units = [unit_norm(video_means(features[o], video_ids)[1]) for o in COLUMNS]
    by_audio, by_video = (o@o.T for o in units)
    assert joint_histogram(by_audio, by_video, 8).pairs.sum()==28

def test_results_hold_every_pair_of_the_real_videos():
    table = pd.read_csv(root/'results'/'similarity.csv')
    assert table[table.what=='pairs'].videos.sum()==598*597//2
