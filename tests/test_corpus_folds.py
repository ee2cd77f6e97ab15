"Splits and folds: what stays together, shares, stability, and refusals"
import warnings
import numpy as np
import pandas as pd
import pytest
from mvrep.core import seed_from
from mvrep.corpus.folds import group_folds, split_by_artist, split_random, stratified_group_folds, train_test_pairs
from mvrep.corpus.manifest import SPLITS, validate
from mvrep.corpus.names import artist_groups

SHARES = (.78, .11, .11)
BOTH = pytest.mark.parametrize('split', [split_random, split_by_artist])

def make_corpus(n, seed):
    "A corpus with artists of very different size, some unknown"
    rng = np.random.default_rng(seed_from('test corpus', seed))
    def artist(o): return None if o>.95 else f'artist {int(rng.pareto(1)*n/20)%max(n//3, 1)}'
    return pd.DataFrame(dict(
        video_id=[f'v{i:05}' for i in range(n)],
        artist=[artist(o) for o in rng.random(n)],
        path=[f'{i}.mp4' for i in range(n)]))

def share_of(split): return split.value_counts(normalize=True).reindex(SPLITS).fillna(0)

# Splits

@BOTH
@pytest.mark.parametrize('n', [1, 2, 3, 5, 12, 96, 1000])
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_splits(split, n, seed):
    df = make_corpus(n, seed)
    result = split(df, seed=seed)
    assert result.index.equals(df.index) and set(result)<=set(SPLITS) and result.name=='split'
    shuffled = df.sample(frac=1, random_state=seed)
    assert split(shuffled, seed=seed).reindex(df.index).equals(result)
    n_groups = df.artist.nunique()+df.artist.isna().sum() if split is split_by_artist else n
    if n_groups>=3: assert set(result)==set(SPLITS)
    if split is split_by_artist: assert validate(df.assign(split=result), check_files=False)==[]
    if split is split_random and n>=96: assert np.allclose(share_of(result), SHARES, atol=1/n+.005)
    if n==1000: assert np.allclose(share_of(result), SHARES, atol=.06)

@BOTH
def test_another_seed_gives_another_split(split):
    df = make_corpus(200, 0)
    assert (split(df, seed=1)!=split(df)).any()

def test_shares_on_average():
    shares = [share_of(split_by_artist(make_corpus(500, 9), seed=o)) for o in range(20)]
    assert np.allclose(np.mean(shares, 0), SHARES, atol=.02)

def test_one_band_is_never_the_test_set():
    artists = ['Big']*60+[f'a{i}' for i in range(40)]
    df = pd.DataFrame(dict(video_id=[f'v{i}' for i in range(100)], artist=artists))
    for seed in range(10): assert set(split_by_artist(df, seed=seed)[:60])=={'train'}

def test_growth_moves_at_most_two():
    df = make_corpus(200, 3)
    for i in range(20): assert (split_random(df.drop(i))!=split_random(df).drop(i)).sum()<=2

def test_small_corpora():
    few = pd.DataFrame(dict(video_id=list('abcdefgh'), artist=['A']*4+['B']*2+['C']*2))
    assert set(split_by_artist(few))==set(SPLITS)
    assert set(split_by_artist(few.assign(artist='A')))=={'train'}

def test_what_stays_together_through_others():
    content = ['1'*64, None, '1'*64, '2'*64, '2'*64, None]
    df = pd.DataFrame(dict(video_id=list('abcdef'), artist=['A', 'A', 'B', 'The B', 'C', 'D'], sha256=content))
    for seed in range(10): assert split_by_artist(df, seed=seed)[:5].nunique()==1

def test_duets_stay_with_both_artists():
    duets = ['Beyoncé', 'Beyonce', 'Jay-Z', 'JAY Z', 'Jay-Z ft. Beyoncé', 'Beyoncé & JAY-Z']
    others = [f'artist {i}' for i in range(20)]
    df = pd.DataFrame(dict(video_id=[f'v{i}' for i in range(26)], artist=duets+others))
    for seed in range(10): assert split_by_artist(df, seed=seed)[:6].nunique()==1

@pytest.mark.parametrize('shares', [(.8, .1), (.8, .2, 0), (.5, .5, .5), (1.2, -.1, -.1)])
def test_bad_shares(shares):
    with pytest.raises(ValueError, match='shares'): split_random(make_corpus(9, 0), shares)

def test_a_committed_split_stays():
    "Committed results depend on these"
    df = make_corpus(12, 0)
    assert ''.join(o[1] for o in split_by_artist(df))=='arrerrrrrrrr'
    assert ''.join(o[1] for o in split_random(df))=='rerarrrrrrra'

# Folds

def check_folds(folds, groups):
    "Every item is in one fold, and no group in two"
    assert sorted(np.concatenate(folds))==list(range(len(groups)))
    for fold in folds: assert not set(groups[fold]) & set(np.delete(groups, fold))

@pytest.mark.parametrize('seed', range(5))
def test_group_folds(seed):
    groups = artist_groups(make_corpus(300, seed).artist)
    folds = group_folds(groups, 5, seed)
    check_folds(folds, groups)
    assert len(folds)==5 and max(map(len, folds))-min(map(len, folds))<=max(np.bincount(groups))
    again = group_folds(groups, 5, seed)
    assert all(np.array_equal(a, b) for a, b in zip(folds, again))

def test_committed_folds_stay():
    "Committed results depend on these"
    assert [o.tolist() for o in group_folds(np.arange(12)//2, 3, seed=1)]==[[6, 7, 8, 9], [4, 5, 10, 11], [0, 1, 2, 3]]
    folds = stratified_group_folds(np.eye(2, dtype=bool)[np.arange(12)%2], np.arange(12)//2, 3, seed=1)
    assert [o.tolist() for o in folds]==[[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 10, 11]]

def test_too_few_groups():
    with pytest.raises(ValueError, match='2 groups cannot fill 3 folds'):
        group_folds(np.array([0, 0, 1]), 3)
    with pytest.raises(ValueError, match='2 groups cannot fill 5 folds'):
        train_test_pairs(['a', 'a', 'b', 'b'], [0, 0, 1, 1])

def test_stratified_group_folds_with_one_class_each():
    truth = np.eye(2, dtype=bool)[np.arange(40)%2]
    groups = np.arange(40)//4
    folds = stratified_group_folds(truth, groups)
    check_folds(folds, groups)
    assert [truth[o].sum(0).tolist() for o in folds]==[[4, 4]]*5

def test_stratified_group_folds_with_tags():
    truth = np.random.default_rng(0).random((40, 3))<.5
    groups = np.arange(40)//4
    folds, by_size = stratified_group_folds(truth, groups, 4, seed=2), group_folds(groups, 4, seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(folds, by_size))

def test_stratified_group_folds_of_few_groups():
    truth = np.eye(2, dtype=bool)[np.arange(40)%2]
    assert len(stratified_group_folds(truth, np.arange(40)//20))==2
    with pytest.raises(ValueError, match='40 items in 1 group'): stratified_group_folds(truth, np.zeros(40))

def test_stratified_group_folds_of_small_classes_are_silent():
    "Classes with fewer items than folds: scikit-learn's warnings and refusals stay inside"
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for n_classes in (4, 12):
            truth = np.eye(n_classes, dtype=bool)[np.arange(12)%n_classes]
            check_folds(stratified_group_folds(truth), np.arange(12))
            check_folds(stratified_group_folds(truth, np.arange(12)//2), np.arange(12)//2)

@pytest.mark.parametrize('groups', [None, np.arange(40)//4, np.array([f'artist {i//4}' for i in range(40)])])
def test_train_test_pairs(groups):
    labels = np.array(['happy', 'sad'])[np.arange(40)%2]
    pairs = train_test_pairs(labels, groups)
    known = np.arange(40) if not isinstance(groups, np.ndarray) else groups
    check_folds([test for _, test in pairs], known)
    for train, test in pairs:
        assert sorted([*train, *test])==list(range(40)) and (labels[test]=='sad').mean()==.5

def test_copies_stay_together_without_a_hash(tmp_path):
    "Equal files whose hashes are not known, and videos of one recording"
    for name, content in (('a', b'one'), ('b', b'two'), ('c', b'one'), ('d', b'six'), ('e', b'ten'), ('f', b'zoo')):
        (tmp_path/name).write_bytes(content)
    df = pd.DataFrame(dict(video_id=list('abcdef'), path=[str(tmp_path/o) for o in 'abcdef'], artist=list('ABCDEF'),
                           recording=[None, None, None, 'd', None, 'd']))
    for seed in range(20):
        for split in (split_random(df, (.4, .3, .3), seed), split_by_artist(df, (.4, .3, .3), seed)):
            assert split[0]==split[2] and split[3]==split[5]
