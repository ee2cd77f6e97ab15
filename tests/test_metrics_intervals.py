"Confidence intervals"
import numpy as np
import pytest

from mvrep.metrics.intervals import bootstrap_counts, bootstrap_interval, jackknife_interval, jackknife_weights
from mvrep.metrics.intervals import paired_difference, percentile_interval

@pytest.fixture
def rng(): return np.random.default_rng(0)

def test_bootstrap_of_a_mean_is_the_textbook_interval(rng):
    x = rng.normal(size=400)
    ends = bootstrap_interval(x, n_boot=2000)
    np.testing.assert_allclose(ends, x.mean()+1.96*x.std()/20*np.array([-1, 1]), atol=.02)

def test_bootstrap_draws_the_same_resamples_for_a_seed(rng):
    x = rng.normal(size=(30, 3))
    assert np.array_equal(bootstrap_interval(x), bootstrap_interval(x))
    assert not np.array_equal(bootstrap_interval(x), bootstrap_interval(x, seed=1))

def test_bootstrap_equals_its_definition(rng):
    x = rng.random((20, 2))
    rng = np.random.default_rng(7)
    draws = [np.median(x[rng.integers(0, 20, 20)], 0) for _ in range(50)]
    low, high = bootstrap_interval(x, lambda v: np.median(v, 0), n_boot=50, level=.9, seed=7)
    np.testing.assert_array_equal([low, high], np.quantile(draws, [.05, .95], axis=0))

def test_bootstrap_over_groups_draws_whole_groups(rng):
    x, groups = rng.random(9), np.array(list('aabbbcccc'))
    members = [x[:2], x[2:5], x[5:]]
    rng = np.random.default_rng(0)
    def draw(): return np.concatenate([members[g] for g in rng.integers(0, 3, 3)])
    ends = np.quantile([draw().mean() for _ in range(100)], [.025, .975])
    np.testing.assert_allclose(bootstrap_interval(x, groups=groups, n_boot=100), ends, rtol=1e-12)

def test_scattered_and_numbered_groups_are_the_same_groups(rng):
    x, names = rng.random(40), rng.choice(list('abcdef'), 40)
    numbers = np.unique(names, return_inverse=True)[1]
    assert bootstrap_interval(x, groups=names)==bootstrap_interval(x, groups=numbers)

def test_groups_of_one_item_are_items(rng):
    x = rng.random(30)
    assert bootstrap_interval(x, groups=np.arange(30))==bootstrap_interval(x)

def test_items_of_a_group_are_not_independent():
    artists = np.repeat(np.arange(20), 10)
    correct = np.repeat(np.random.default_rng(0).integers(0, 2, 20), 10)
    assert np.diff(bootstrap_interval(correct, groups=artists))>2.5*np.diff(bootstrap_interval(correct))

def test_one_group_does_not_vary():
    assert bootstrap_interval([1, 0], groups=['a', 'a'])==(.5, .5)

def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match='1 group for 2 values'): bootstrap_interval([1, 0], groups=['a'])
    with pytest.raises(ValueError, match='1 of 2 groups are missing'): bootstrap_interval([1, 0], groups=['a', None])
    with pytest.raises(ValueError, match='no values'): bootstrap_interval([])

def test_counts_are_the_resamples_of_the_bootstrap(rng):
    x = rng.random(50)
    counts = bootstrap_counts(50, 200, seed=3)
    assert (counts.sum(1)==50).all() and counts.dtype==float
    np.testing.assert_allclose(percentile_interval(counts@x/50), bootstrap_interval(x, n_boot=200, seed=3), rtol=1e-12)

def test_resamples_without_a_value_do_not_count():
    draws = np.array([[1, np.nan], [2, 5], [3, np.nan]])
    np.testing.assert_allclose(percentile_interval(draws), [[1.05, 5], [2.95, 5]])

def test_paired_difference_is_the_interval_of_the_differences(rng):
    a, b = rng.random((2, 60))
    groups = rng.integers(0, 9, 60)
    result = paired_difference(a, b, groups, n_boot=100, seed=4)
    assert (result.low, result.high)==bootstrap_interval(a-b, groups=groups, n_boot=100, seed=4)
    assert result.mean==(a-b).mean() and result.n==60
    assert paired_difference(b, a, groups).mean==-result.mean

def test_paired_difference_is_narrower_than_separate_intervals(rng):
    difficulty = rng.normal(size=100)
    first, second = difficulty+.1*rng.normal(size=100), difficulty+.1*rng.normal(size=100)
    result = paired_difference(first, second)
    assert result.high-result.low<.3*np.diff(bootstrap_interval(first))

def test_paired_difference_needs_the_same_items():
    with pytest.raises(ValueError, match=r'\(2,\) and \(3,\)'): paired_difference([1, 2], [1, 2, 3])

def test_jackknife_leaves_out_one_group_at_a_time():
    weights = jackknife_weights(list('aabcc'))
    assert weights.shape==(4, 5) and (weights[0]==1).all()
    left_out = {tuple(np.flatnonzero(o==0)) for o in weights[1:]}
    assert left_out=={(0, 1), (2,), (3, 4)}

def test_jackknife_leaves_out_blocks_of_many_groups(rng):
    groups = rng.integers(0, 450, 2000)
    weights = jackknife_weights(groups)
    assert weights.shape==(201, 2000)
    assert ((weights[1:]==0).sum(0)==1).all() # each item is left out once
    for o in np.unique(groups): assert (weights[:, groups==o]==weights[:, groups==o][:, :1]).all()

def test_jackknife_of_a_mean_is_students_interval(rng):
    x = .5+.1*rng.normal(size=25)
    weights = jackknife_weights(np.arange(25))
    low, high = jackknife_interval((weights@x/weights.sum(1))[None])
    half = 2.0639*x.std(ddof=1)/5 # t with 24 degrees of freedom
    np.testing.assert_allclose([low[0], high[0]], [x.mean()-half, x.mean()+half], rtol=1e-4)

def test_jackknife_without_a_second_group_or_a_value():
    np.testing.assert_array_equal(jackknife_interval(np.array([[.4, .4]])), [[0], [1]])
    np.testing.assert_array_equal(jackknife_interval(np.array([[.4, .4]]), lowest=-1), [[-1], [1]])
    below = jackknife_interval(np.array([[-.2, -.25, -.15, -.2]]), lowest=-1)
    np.testing.assert_allclose(below, -jackknife_interval(np.array([[.2, .25, .15, .2]]), lowest=-1)[::-1])
    assert -1<below[0]<-.25 and -.15<below[1]<1 # neither end is clipped
    assert np.isnan(jackknife_interval(np.full((1, 4), np.nan))).all()
    low, high = jackknife_interval(np.array([[.9, .1, .9, .5]]))
    assert (low[0], high[0])==(0, 1) # clipped

def test_jackknife_of_two_groups_by_hand():
    "Standard error √((2-1)·.001²), 12.706 is the 97.5 % quantile of t with one degree of freedom"
    found = jackknife_interval(np.array([[.5, .499, .501]]))
    np.testing.assert_allclose(found, [[.5-.012706], [.5+.012706]], rtol=1e-4)
