"Similarity within and between groups, Mantel's test, CKA"
import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from mvrep.metrics.intervals import bootstrap_counts
from mvrep.metrics.similarity import _pair_mean, cka, cka_interval, compare_genres, compare_videos, joint_histogram
from mvrep.metrics.similarity import mantel, plot_joint, plot_means, segment_cosines, video_means

@pytest.fixture
def rng(): return np.random.default_rng(0)

def cosines(x):
    unit = x/np.linalg.norm(x, axis=1, keepdims=True)
    return unit@unit.T

# Songs

def test_segment_cosines_equal_their_definition(rng):
    videos = np.repeat(['a', 'b', 'c'], [3, 2, 1])
    x = rng.normal(size=(6, 4))+2*np.repeat(np.eye(3, 4), [3, 2, 1], 0)
    found, pairs = segment_cosines(x, videos), cosines(x)
    assert found[0, 1]==pytest.approx(pairs[:3, 3:5].mean())
    assert found[0, 0]==pytest.approx(pairs[:3, :3][np.triu_indices(3, 1)].mean())
    assert np.isnan(found[2, 2])

def test_features_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match='1 that are not: leave out rows'): segment_cosines([[1., np.nan]], ['a'])
    with pytest.raises(ValueError, match='2 ids for 1 segment'): segment_cosines([[1., 2.]], ['a', 'b'])

IDS = np.repeat([f'v{i:02}' for i in range(40)], 6)

@pytest.fixture
def own(rng): return np.repeat(rng.normal(size=(40, 16)), 6, 0)

def test_videos_with_a_direction_of_their_own_are_found(rng, own):
    result = compare_videos(.7*own+rng.normal(size=own.shape), IDS)
    assert result['p']==1/200 and result['difference_low']>0 and result['videos']==40
    assert result['difference']==pytest.approx(result['within']-result['between'])

def test_videos_without_one_are_not():
    noise = [np.random.default_rng(seed).normal(size=(240, 16)) for seed in range(20)]
    results = [compare_videos(o, IDS, n_boot=200, n_perm=99) for o in noise]
    assert sum(o['p']<=.05 for o in results)<=3
    assert sum(o['difference_low']<0<o['difference_high'] for o in results)>=17

def test_videos_of_one_segment_cannot_be_compared():
    with pytest.raises(ValueError, match='0 videos have two segments'): compare_videos(np.eye(3), ['a', 'b', 'c'])

def test_drawn_videos_vary_as_new_videos_do(rng):
    def sample(seed): return np.abs(np.random.default_rng(seed).normal(size=(40, 8)))*np.linspace(.2, 2, 8)
    upper = np.triu_indices(40, 1)
    true = np.std([cosines(sample(seed))[upper].mean() for seed in range(300)])
    sim = cosines(sample(0))
    by_pairs = np.std([rng.choice(sim[upper], len(upper[0])).mean() for _ in range(300)])
    by_videos = np.std(_pair_mean(sim, ~np.eye(40, dtype=bool), bootstrap_counts(40, 300)))
    assert by_pairs<.5*true and .6*true<by_videos<1.5*true

# Genres

@pytest.fixture
def videos(rng, own):
    "One vector per video, and the genre of three quarters of them"
    ids, mean = video_means(own+rng.normal(size=own.shape), IDS)
    assert list(ids)==sorted(set(IDS))
    return mean, np.array(['pop', 'rock', 'jazz', None]*10, object)

def test_video_means_are_means():
    ids, mean = video_means([[1, 2], [3, 4], [5, 6]], ['b', 'b', 'a'])
    assert list(ids)==['a', 'b'] and mean.tolist()==[[5, 6], [2, 3]]

def test_a_genre_that_moves_its_videos_is_found(videos):
    mean, genre = videos
    moved = mean.copy()
    for i, name in enumerate(('pop', 'rock', 'jazz')): moved[genre==name, i] += 2
    for x, found in ((mean, False), (moved, True)):
        result = compare_genres(x, genre)
        assert (result['p']<.05)==found and (result['videos'], result['labels'])==(30, 3)

def test_genres_that_cannot_be_compared_are_refused(videos):
    with pytest.raises(ValueError, match='1 labels among 3 videos'): compare_genres(np.eye(3), ['pop']*3)
    with pytest.raises(ValueError, match='3 labels among 3 videos'): compare_genres(np.eye(3), list('abc'))
    with pytest.raises(ValueError, match='0 labels among 0 videos'): compare_genres(np.eye(2), [None, None])
    with pytest.raises(ValueError, match='2 labels for 40 videos'): compare_genres(videos[0], ['pop', 'rock'])

# Mantel

@pytest.fixture
def similarities(rng): return cosines(np.abs(rng.normal(size=(40, 8))))

def test_a_matrix_agrees_with_itself(similarities):
    result = mantel(similarities, similarities, 99)
    assert [result['r'], result['r_low'], result['r_high']]==pytest.approx([1]*3)
    assert result['p']==.01 and result['pairs']==780

def test_r_is_pearsons(similarities, rng):
    other, upper = cosines(rng.normal(size=(40, 8))), np.triu_indices(40, 1)
    assert mantel(similarities, other, 9)['r']==pytest.approx(pearsonr(similarities[upper], other[upper])[0])

def test_four_videos_have_few_permutations(similarities):
    assert mantel(similarities[:4, :4], similarities[:4, :4])['p']>.02

def test_matrices_that_cannot_be_correlated_are_refused(similarities):
    with pytest.raises(ValueError, match='nothing to correlate'): mantel(np.ones((5, 5)), similarities[:5, :5])
    with pytest.raises(ValueError, match='same 4 videos'): mantel(similarities, similarities[:5, :5])
    with pytest.raises(ValueError, match='not finite'): mantel(similarities*np.nan, similarities)

def test_mantel_holds_its_level_where_pearson_does_not():
    def found(seed):
        rng = np.random.default_rng(seed)
        a, b = (cosines(np.abs(rng.normal(size=(60, 16)))) for _ in range(2))
        upper = np.triu_indices(60, 1)
        return pearsonr(a[upper], b[upper])[1]<.05, mantel(a, b, 99, seed, 10)['p']<=.05
    pearson, of_mantel = np.mean([found(seed) for seed in range(200)], 0)
    assert pearson>.2 and of_mantel<.1

# CKA

def wide(seed, f): return np.random.default_rng(seed).normal(size=(60, f))

def test_independent_features_have_a_debiased_cka_of_zero():
    for f in (16, 128, 1024): assert abs(cka(wide(1, f), wide(2, f)))<.1
    assert cka(wide(1, 1024), wide(2, 1024), debiased=False)>.9

@pytest.mark.parametrize('debiased', [True, False])
def test_a_rotation_and_a_factor_change_nothing(debiased):
    rotation = np.linalg.qr(wide(3, 60)[:16, :16])[0]
    assert cka(wide(1, 16), 3*wide(1, 16)@rotation, debiased)==pytest.approx(1)

def test_features_that_cannot_be_aligned_are_refused():
    with pytest.raises(ValueError, match='does not vary'): cka(np.ones((5, 2)), wide(1, 2)[:5])
    with pytest.raises(ValueError, match='got 60 and 5'): cka(wide(1, 2), wide(1, 2)[:5])

MIX = np.random.default_rng(0).normal(size=(2, 4, 16))

def alike(seed, n):
    "Two sets of features that share four causes"
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(n, 4))
    return [.5*causes@o+rng.normal(size=(n, 16)) for o in MIX]

def textbook_cka(x, y):
    "The estimate of Székely and Rizzo, when each video counts once"
    k, l = ((o-o.mean(0))@(o-o.mean(0)).T for o in (x, y))
    for o in (k, l): np.fill_diagonal(o, 0)
    n = len(x)
    def hsic(k, l): return (k*l).sum()+k.sum()*l.sum()/((n-1)*(n-2))-2*(k.sum(0)@l.sum(0))/(n-2)
    return hsic(k, l)/np.sqrt(hsic(k, k)*hsic(l, l))

def test_debiased_cka_is_the_textbooks():
    assert cka(*alike(0, 60))==pytest.approx(textbook_cka(*alike(0, 60)))

def test_intervals_of_cka_hold_the_value_of_more_videos():
    true = np.mean([cka(*alike(seed, 400)) for seed in range(20)])
    samples = [alike(seed, 60) for seed in range(20, 60)]
    low, high = np.array([cka_interval(*o, n_boot=200) for o in samples]).T
    assert ((low<true)&(true<high)).mean()>=.9
    spread = 2*1.96*np.std([cka(*o) for o in samples])
    assert .8<(high-low).mean()/spread<1.5

# Figures

def test_a_joint_histogram_counts_every_pair_once(rng):
    a, b = cosines(rng.normal(size=(8, 3))), cosines(rng.normal(size=(8, 3)))
    histogram = joint_histogram(a, b, 8)
    assert histogram.pairs.sum()==28 and list(histogram)==['audio', 'video', 'pairs']
    assert plot_joint(histogram, 'title').size==(450, 300)

def test_means_are_drawn(videos):
    assert plot_means(pd.DataFrame({'genre': compare_genres(*videos, n_boot=9, n_perm=9)}).T).size==(600, 280)

def test_an_artist_that_is_drawn_twice_has_its_own_pairs_twice():
    "Three artists of two videos; the first is drawn twice, the second once, the third not at all"
    groups, sim = np.array([0, 0, 1, 1, 2, 2]), np.arange(36.).reshape(6, 6)
    sim = sim+sim.T
    counts, pairs = np.array([[2., 2, 1, 1, 0, 0]]), ~np.eye(6, dtype=bool)
    own = 2*sim[0, 1]+sim[2, 3]
    other = 2*(sim[0, 2]+sim[0, 3]+sim[1, 2]+sim[1, 3])
    mean = _pair_mean(sim, pairs, counts, groups[:, None]==groups)
    np.testing.assert_allclose(mean, (own+other)/(3+8))

def test_intervals_contain_their_estimate_where_artists_resemble_themselves():
    rng = np.random.default_rng(0)
    artist = np.repeat(np.arange(12), 6)
    feats = np.repeat(rng.normal(size=(12, 8)), 6, axis=0)+.3*rng.normal(size=(72, 8))
    segments = np.repeat(feats, 2, axis=0)+.3*rng.normal(size=(144, 8))
    ids = np.repeat([f'{i:02}' for i in range(72)], 2)
    row = compare_videos(segments, ids, 300, 1, groups=artist)
    assert row['between_low']<row['between']<row['between_high']
