"Intervals resample artists: videos that repeat those of their artist add nothing, and do not make an interval narrower"
import sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
import pandas as pd
import pytest
from mvrep.metrics.ranking import precision_at_k, precision_of_lists, retrieval_metrics
from mvrep.metrics.similarity import cka_interval, compare_genres, compare_videos, mantel
from mvrep.metrics.tagging import tag_metrics
from mvrep.recommendation.metadata import predict_field, rank_agreement

N_ARTISTS, N_EACH = 20, 9
ARTISTS = np.repeat(np.arange(N_ARTISTS), N_EACH)
RNG = np.random.default_rng(0)
AUDIO, VIDEO = (RNG.normal(size=(N_ARTISTS, 6))+shared for shared in [1.5*RNG.normal(size=(N_ARTISTS, 6))]*2)
GENRE = RNG.integers(0, 2, N_ARTISTS)
AUDIO[:, 0] += GENRE

def cosines(x):
    unit = x/np.linalg.norm(x, axis=1, keepdims=True)
    return unit@unit.T

def repeated(x):
    "Nearly the same for each video of an artist"
    return x[ARTISTS]+.01*np.random.default_rng(1).normal(size=(len(ARTISTS), x.shape[1]))

X, Y = repeated(AUDIO), repeated(VIDEO)
SAME = (GENRE[:, None]==GENRE)[np.ix_(ARTISTS, ARTISTS)].astype(float)
TRUTH = np.c_[GENRE==0, AUDIO[:, 1]>0][ARTISTS]
IDS = np.repeat([f'v{i:03}' for i in range(len(ARTISTS))], 2)
SEGMENTS = np.repeat(X, 2, 0)+np.random.default_rng(2).normal(size=(2*len(X), 6))

def row_interval(row, name): return row[f'{name}_low'], row[f'{name}_high']

def nearest(sim, k): return np.argsort(-sim-np.diag(np.full(len(sim), -9.)), axis=1, kind='stable')[:, :k]

INTERVALS = { # {measure: from groups to its interval}
    'precision_at_k': lambda groups: [precision_at_k(cosines(X), GENRE[ARTISTS], 20, groups=groups, same_group=True)[o]
                                      for o in ('low', 'high')],
    'precision_of_lists': lambda groups: [
        precision_of_lists(nearest(cosines(X), 20), GENRE[ARTISTS], 20, groups=groups)[o] for o in ('low', 'high')],
    'retrieval_metrics': lambda groups: row_interval(retrieval_metrics(X, Y, n_boot=200, groups=groups),
                                                     'audio_to_video_mean_rank'),
    'tag_metrics': lambda groups: row_interval(tag_metrics(Y[:, :2], TRUTH, n_boot=40, groups=groups), 'macro_auc'),
    'predict_field': lambda groups: predict_field(dict(audio=cosines(Y)), SAME, groups, 10, 200, same_group=True)[
        ['low', 'high']].iloc[0],
    'rank_agreement': lambda groups: row_interval(
        rank_agreement(cosines(X), cosines(Y), 5, 60, groups=groups), 'spearman'),
    'compare_videos': lambda groups: row_interval(compare_videos(SEGMENTS, IDS, 200, 1, groups=groups), 'difference'),
    'compare_genres': lambda groups: row_interval(
        compare_genres(X, GENRE[ARTISTS], 200, 1, groups=groups), 'difference'),
    'mantel': lambda groups: row_interval(mantel(cosines(X), cosines(Y), 1, n_boot=200, groups=groups), 'r'),
    'cka_interval': lambda groups: cka_interval(X, Y, 200, groups=groups),
}

@pytest.mark.parametrize('measure', INTERVALS)
def test_an_interval_is_wider_if_artists_repeat(measure):
    narrow, wide = (np.ptp(INTERVALS[measure](groups)) for groups in (None, ARTISTS))
    assert wide>1.5*narrow>0

def test_artists_of_one_video_each_change_nothing():
    first = np.arange(0, len(ARTISTS), N_EACH)
    by_video, by_artist = (retrieval_metrics(X[first], Y[first], n_boot=50, groups=o) for o in (None, ARTISTS[first]))
    unknown = retrieval_metrics(X[first], Y[first], n_boot=50, groups=np.full(N_ARTISTS, -1))
    assert by_video==by_artist==unknown
    with pytest.raises(ValueError, match='groups of shape .* for 20 items'):
        retrieval_metrics(X[first], Y[first], groups=ARTISTS)

def test_the_bench_of_similarity_resamples_artists(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1]/'bench')
    import similarity
    some = slice(72) # eight artists
    try: narrow, wide = (similarity.agreement(X[some], Y[some], o[some], 1) for o in (np.arange(len(X)), ARTISTS))
    finally: sys.modules.pop('similarity')
    for name in ('r', 'cka'): assert np.ptp(row_interval(wide, name))>1.5*np.ptp(row_interval(narrow, name))

def test_lists_of_segments_are_compared_over_artists(monkeypatch):
    from mvrep.explore import qualitative
    segments, videos = ('segments', 'audio'), ('videos', 'audio')
    of_videos = [{int(o%2)} for o in ARTISTS] # all lists of an artist agree with those of segments, or none
    found = {segments: [{1}]*len(ARTISTS), videos: of_videos}
    monkeypatch.setattr(qualitative, '_found_videos', lambda *args: found)
    monkeypatch.setattr(qualitative, '_PAIRS', [(segments, videos)])
    ids = [f's{i}' for i in range(len(ARTISTS))]
    keys = pd.DataFrame(dict(segment_id=ids, video_id=ids))
    class Videos(SimpleNamespace):
        def __len__(self): return len(ids)
    def width(artists):
        videos = pd.DataFrame(dict(artist=artists), index=ids)
        table = qualitative.list_overlap(Videos(store=SimpleNamespace(keys=lambda: keys), videos=videos), ids)
        return (table.high-table.low).iloc[0]
    assert width([f'artist {o}' for o in ARTISTS])>2*width(ids)
