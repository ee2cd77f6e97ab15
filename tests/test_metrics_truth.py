"Unknown truth in every public metric, intervals that resample artists, measures that chance alone makes certain"
import inspect
import numpy as np
import pandas as pd
import pytest
import torch
import mvrep.metrics
from mvrep.metrics import alignment, bootstrap_counts, bootstrap_interval, chance_average_precision, chance_measures
from mvrep.metrics import cka, cka_interval, classifier_measures, compare_genres, compare_videos, jackknife_weights
from mvrep.metrics import joint_histogram, known_labels, known_truth, mantel, modality_gap, paired_difference
from mvrep.metrics import precision_at_k, precision_of_lists, rank_within_folds, ranks, recommendation_metrics
from mvrep.metrics import embedding_ranks, retrieval_metrics, segment_cosines, tag_chance, tag_metrics, uniformity
from mvrep.metrics import unit_rows, unknown_labels, user_ndcg, video_means

RNG = np.random.default_rng(0)
N = 24
FEATS = RNG.normal(size=(N, 5))
SIM = FEATS@FEATS.T
NEAREST = np.argsort(-SIM+1e9*np.eye(N), axis=1)[:, :5]
SCORES = RNG.random((N, 3))
TRUTH = np.arange(3*N).reshape(N, 3)%2
FOLDS = np.arange(N)%3
LABELS = np.array([f'genre {i%3}' for i in range(N)], object)
VIDEOS = np.array([f'v{i//3}' for i in range(N)], object)
NONE, NAN = [None, float('nan')]

# Rule

ALL_UNKNOWN = [None, float('nan'), -1, -1., '', ' ', pd.NA, pd.NaT, np.float32('nan'), np.int64(-1)]

@pytest.mark.parametrize('value', ALL_UNKNOWN)
def test_what_is_unknown(value):
    assert unknown_labels(['a', value, 0, 1.5, False, True]).tolist()==[False, True, False, False, False, False]
    with pytest.raises(ValueError, match='1 of 2 labels unknown'): known_labels(['a', value])

def test_what_is_known():
    assert known_labels(LABELS).tolist()==LABELS.tolist() and not unknown_labels(np.arange(4)).any()
    assert unknown_labels(np.array([0., -1, np.nan])).tolist()==[False, True, True]
    for truth in (TRUTH, TRUTH.astype(float), TRUTH.astype(bool), torch.tensor(TRUTH), TRUTH.astype(object)):
        assert known_truth(truth).dtype==bool and (known_truth(truth)==TRUTH).all()
    for truth, message in (([[2, 0]], 'has 2: want 0 and 1'), ([], 'at least one item'), ([['x']], "has 'x'")):
        with pytest.raises(ValueError, match=message): known_truth(truth)

# Every metric. A value says how truth is handed over; what takes none stands in TAKES_NO_TRUTH

LABEL_METRICS = dict(
    precision_at_k=lambda labels: precision_at_k(SIM, labels, 3, n_boot=20),
    precision_of_lists=lambda labels: precision_of_lists(NEAREST, labels, 3, n_boot=20),
    compare_videos=lambda labels: compare_videos(FEATS, labels, n_boot=20, n_perm=9),
    segment_cosines=lambda labels: segment_cosines(FEATS, labels),
    video_means=lambda labels: video_means(FEATS, labels),
    jackknife_weights=lambda labels: jackknife_weights(labels),
    bootstrap_interval=lambda labels: bootstrap_interval(FEATS, groups=labels, n_boot=20),
    bootstrap_counts=lambda labels: bootstrap_counts(N, 20, groups=labels),
    paired_difference=lambda labels: paired_difference(FEATS[:, 0], FEATS[:, 1], labels, n_boot=20),
    user_ndcg=lambda labels: user_ndcg([['a', 'b']]*N, [[o] for o in labels]),
    recommendation_metrics=lambda labels: recommendation_metrics([['a', 'b']]*N, [[o] for o in labels], 9, (1,), 9),
    folds=lambda labels: rank_within_folds(SCORES, TRUTH.astype(bool), labels))
TRUTH_METRICS = dict(
    tag_metrics=lambda truth: tag_metrics(SCORES, truth, n_boot=5),
    tag_metrics_decided=lambda truth: tag_metrics(SCORES, TRUTH, decided=truth, n_boot=0),
    tag_chance=tag_chance,
    rank_within_folds=lambda truth: rank_within_folds(SCORES, truth, FOLDS),
    classifier_measures=lambda truth: classifier_measures(SCORES, SCORES>.5, truth, FOLDS, True),
    classifier_measures_decided=lambda truth: classifier_measures(SCORES, truth, TRUTH, FOLDS, True),
    chance_measures=lambda truth: chance_measures(truth, True),
    chance_average_precision=lambda truth: chance_average_precision(SCORES, truth, FOLDS, 2))
LEFT_OUT = {'compare_genres'}
TAKES_NO_TRUTH = {
    'percentile_interval', 'jackknife_interval', 'checked_tensor', 'unit_rows', 'ranks', 'embedding_ranks',
    'retrieval_metrics', 'modality_gap', 'alignment', 'uniformity', 'mantel', 'cka', 'cka_interval', 'plot_means',
    'joint_histogram', 'plot_joint', 'unknown_labels', 'known_labels', 'known_truth'}
UNKNOWN = [None, float('nan'), -1]

def test_no_metric_is_forgotten():
    public = {o for o in mvrep.metrics.__all__ if inspect.isfunction(getattr(mvrep.metrics, o))}
    tested = {*LABEL_METRICS, *TRUTH_METRICS, *LEFT_OUT, *TAKES_NO_TRUTH}
    assert public<=tested

@pytest.mark.parametrize('value', UNKNOWN, ids=str)
@pytest.mark.parametrize('name', LABEL_METRICS)
def test_unknown_labels_are_refused(name, value):
    labels = VIDEOS.copy() if name in ('compare_videos', 'segment_cosines', 'video_means') else LABELS.copy()
    LABEL_METRICS[name](labels)
    labels[[2, 7]] = value
    with pytest.raises(ValueError, match='unknown|missing|2 of'): LABEL_METRICS[name](labels)
    if value is not None:
        numbers = np.arange(N)%3*1.
        numbers[[2, 7]] = value
        with pytest.raises(ValueError): LABEL_METRICS[name](numbers)

@pytest.mark.parametrize('value', UNKNOWN, ids=str)
@pytest.mark.parametrize('name', TRUTH_METRICS)
def test_unknown_truth_is_refused(name, value):
    TRUTH_METRICS[name](TRUTH)
    unknown = TRUTH.astype(object if value is None else float)
    unknown[[1, 4], 0] = value
    with pytest.raises(ValueError, match='unknown .* in 2 of 72 places'): TRUTH_METRICS[name](unknown)
    with pytest.raises(ValueError, match='want 0 and 1'): TRUTH_METRICS[name](TRUTH*2)

@pytest.mark.parametrize('value', UNKNOWN, ids=str)
def test_unknown_genres_are_left_out_and_counted(value):
    labels = LABELS.copy()
    labels[[2, 7]] = value
    known = ~unknown_labels(labels)
    expected = compare_genres(FEATS[known], LABELS[known], n_boot=20, n_perm=9)
    assert compare_genres(FEATS, labels, n_boot=20, n_perm=9)==expected and expected['videos']==N-2

# Values that are not finite, and very large ones

NO_TRUTH = dict(
    modality_gap=modality_gap, alignment=alignment, uniformity=lambda x, y: uniformity(x), cka=cka,
    embedding_ranks=embedding_ranks, retrieval_metrics=lambda x, y: retrieval_metrics(x, y, n_boot=0),
    cka_interval=lambda x, y: cka_interval(x, y, 20), mantel=lambda x, y: mantel(x@x.T, y@y.T, 9, n_boot=20),
    joint_histogram=lambda x, y: joint_histogram(x@x.T, y@y.T), segment_cosines=lambda x, y: segment_cosines(x, VIDEOS))

@pytest.mark.parametrize('name', NO_TRUTH)
def test_values_that_are_not_finite(name):
    NO_TRUTH[name](FEATS, FEATS[::-1].copy())
    for value in (float('nan'), float('inf')):
        bad = FEATS.copy()
        bad[3, 2] = value
        with pytest.raises(ValueError), np.errstate(invalid='ignore'): NO_TRUTH[name](bad, FEATS)
    with pytest.raises(ValueError): NO_TRUTH[name](FEATS[:0], FEATS[:0])

UNITLESS = ['modality_gap', 'alignment', 'uniformity', 'embedding_ranks', 'retrieval_metrics', 'cka']

@pytest.mark.parametrize('name', UNITLESS)
def test_the_unit_does_not_matter(name):
    x, y = FEATS.astype(np.float32), FEATS[::-1].astype(np.float32)
    y = y.copy()
    expected = NO_TRUTH[name](x, y)
    found = NO_TRUTH[name](x*np.float32(1e30), y*np.float32(1e30))
    if isinstance(expected, dict): expected, found = list(expected.values()), list(found.values())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)

def test_unit_rows():
    x = torch.tensor([[3e30, 4e30], [0, 0], [3, 4], [float('nan'), 1]])
    torch.testing.assert_close(unit_rows(x)[:3], torch.tensor([[.6, .8], [0, 0], [.6, .8]]))
    assert unit_rows(x)[3].isnan().all() and unit_rows(torch.zeros(0, 3)).shape==(0, 3)

def test_targets_and_neighbours_that_do_not_exist():
    for target in ([-1, 0, 1], [0, 1, 3]):
        with pytest.raises(ValueError, match='1 of 3 targets'): ranks(np.eye(3), target)
    for wrong in (-1, N):
        with pytest.raises(ValueError, match='outside the 24 items'):
            precision_of_lists(np.where(np.arange(5)==2, wrong, NEAREST), LABELS, 3)

def test_users_who_like_nothing():
    with pytest.raises(ValueError, match='1 of 2 users like nothing'): user_ndcg([['a'], ['b']], [['a'], []])
    with pytest.raises(ValueError, match='1 list for 2 users'): user_ndcg([['a']], [['a'], ['b']])
    with pytest.raises(ValueError, match='at least 1'): recommendation_metrics([['a']], [['a']], 9, (0,))
    with pytest.raises(ValueError, match='at least 1'): retrieval_metrics(FEATS, FEATS, (0, 1))
    with pytest.raises(ValueError, match='1 of 2 items without'): paired_difference([1, NAN], [0, 0])

# Intervals over artists

def widths(found):
    "Widths of the intervals in a result"
    ends = [o for o in found if o.endswith('high') and 'chance' not in o]
    return np.array([found[o]-found[o.replace('high', 'low')] for o in ends])

def test_intervals_resample_artists():
    "Items of one artist are copies of each other, so that the interval over items is too narrow"
    x = np.repeat(RNG.normal(size=(12, 4)), 6, axis=0)+.01*RNG.normal(size=(72, 4))
    artist, label = np.arange(72)//6, np.arange(72)//6%2
    truth = np.stack([label, 1-label], 1).astype(bool)
    scores = np.c_[x[:, 0], x[:, 1]]
    for measure in (lambda **o: precision_at_k(x@x.T, label, 9, 200, **o),
                    lambda **o: precision_at_k(x@x.T, label, 9, 200, same_group=True, **o),
                    lambda **o: precision_of_lists(np.argsort(-x@x.T+1e9*np.eye(72), 1)[:, :9], label, 9, **o),
                    lambda **o: tag_metrics(scores, truth, n_boot=50, **o), 
                    lambda **o: compare_genres(x, label, n_boot=200, n_perm=9, **o),
                    lambda **o: mantel(x@x.T, (x**3)@(x**3).T, 9, **o)):
        by_item, by_artist = measure(), measure(groups=artist)
        assert widths(by_artist).mean()>1.4*widths(by_item).mean()
    y = x+RNG.normal(size=(12, 4)).repeat(6, axis=0)
    assert np.ptp(cka_interval(x, y, groups=artist))>1.4*np.ptp(cka_interval(x, y))

def test_an_unknown_artist_is_a_group_of_its_own():
    artist = np.r_[np.zeros(4, int), np.full(N-4, -1)]
    assert precision_at_k(SIM, LABELS, 3, groups=np.full(N, -1))==precision_at_k(SIM, LABELS, 3)
    found = precision_at_k(SIM, LABELS, 3, groups=artist, same_group=True)
    assert found['precision']==precision_at_k(SIM, LABELS, 3)['precision'] and found['pool']==N-1
    for groups in (artist[1:], artist[:, None]):
        with pytest.raises(ValueError, match='groups of shape'): precision_at_k(SIM, LABELS, 3, groups=groups)
    with pytest.raises(ValueError, match='20 of 24 groups are missing'): tag_metrics(SCORES, TRUTH, groups=artist)

def test_counts_of_groups():
    counts = bootstrap_counts(6, 50, groups=list('aabbbc'))
    assert (counts[:, 0]==counts[:, 1]).all() and (counts[:, 2]==counts[:, 4]).all()
    assert (counts[:, [0, 2, 5]].sum(1)==3).all()

# Measures without a meaning

def test_lists_as_long_as_the_pool_are_warned_about():
    with pytest.warns(UserWarning, match=r'R@10 among 6 candidates is always 1 \(chance 1.0\)'):
        assert retrieval_metrics(FEATS[:6], FEATS[:6][::-1].copy(), n_boot=0)['chance_R@10']==1
    with pytest.warns(UserWarning, match='R@5, R@10 among 4 candidates are always 1'):
        retrieval_metrics(FEATS[:4], FEATS[:4])
    with pytest.warns(UserWarning, match='at 5 of a pool of 4 are 1 by chance'):
        recommendation_metrics([['a']], [['a']], 4, (1, 5))

@pytest.mark.filterwarnings('error')
def test_long_pools_are_not_warned_about():
    retrieval_metrics(FEATS, FEATS, n_boot=9)
    recommendation_metrics([['a']], [['a']], 11)
