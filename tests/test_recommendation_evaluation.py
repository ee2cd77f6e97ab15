"Recommenders: vectors of an index, scores, and measures against results by hand and against chance"
import warnings
import numpy as np
import pandas as pd
import pytest
from mvrep.index.examples import tiny_index
from mvrep.index.index import create_index
from mvrep.metrics.recommendation import recommendation_metrics, user_ndcg
from mvrep.recommendation.evaluation import (by_chance, by_content, by_popularity, compare_recommenders,
                                             evaluate_recommenders, item_modalities, item_vectors)
from mvrep.recommendation.interactions import cold_items, hold_out, leave_last, read_interactions, simulate_log

# Vectors

def test_vectors_give_the_scores_of_a_search(tmp_path):
    index = tiny_index(tmp_path)
    build = index.build
    for by, weight in (('joint', .3), ('joint', 1), ('audio', .5), ('video', .5)):
        vectors = item_vectors(index, by, weight)
        scores = build.scores(build.query('v0004'), by, weight).score
        np.testing.assert_allclose(vectors@vectors[4], scores, atol=1e-5)
        assert vectors.dtype==np.float32
    with pytest.raises(ValueError, match="by='text'"): item_vectors(index, 'text')

def test_what_cannot_be_compared_has_no_score():
    vectors = np.array([[.6, .8, 0, 0], [.6, -.8, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [-.6, .8, 0, 0]])
    has = np.array([[1, 0], [1, 0], [0, 0], [0, 1], [1, 0]], bool)
    scores = by_content(vectors, list('abcde'), has=has)(['a']) # c is empty, d has another modality than a
    np.testing.assert_allclose(scores, [1, -.28, np.nan, np.nan, .28])
    np.testing.assert_allclose(by_content(vectors, list('abcde'))(['a']), [1, -.28, 0, 0, .28])

def test_an_index_tells_the_weights_of_what_its_videos_have(tmp_path):
    index = create_index(tmp_path/'ix', ('a', 'v'), dict(audio='a', video='v'))
    index.put_embeddings(['x', 'y', 'z'], dict(audio=np.array([[1., 0], [0, 1], [0, 0]]),
                                               video=np.array([[1., 0], [0, 0], [0, 1]])))
    assert item_modalities(index).tolist()==[[.5, .5], [.5, 0], [0, .5]]
    assert item_modalities(index, 'video').tolist()==[[1], [0], [1]]
    score = by_content(item_vectors(index), ['x', 'y', 'z'], has=item_modalities(index))
    np.testing.assert_allclose(score(['y']), [0, 1, np.nan], atol=1e-6)

def test_unknown_ids_are_refused():
    with pytest.raises(ValueError, match="1 of 2 ids are not among the 3 items, such as 'zzz'"):
        by_content(np.eye(3), ['a', 'b', 'c'])(['a', 'zzz'])

def test_chance_differs_by_user_and_seed():
    items = list('abcdef')
    scores = by_chance(items)(['a', 'b'])
    assert (scores==by_chance(items)(['b', 'a'])).all()
    assert (scores!=by_chance(items)(['a', 'c'])).all() and (scores!=by_chance(items, seed=1)(['a', 'b'])).all()

# By hand: one user liked `a` and comes back for `c`, another one is in training only

LOG = pd.DataFrame(dict(user=['u', 'u', 'w'], item=['a', 'c', 'b'], time=[1., 2., 0.]))
ITEMS = ['a', 'b', 'c']

def test_measures_by_hand():
    train, test = leave_last(LOG)
    recommenders = dict(right=lambda liked: np.array([9, 1, 2]), wrong=lambda liked: np.array([9, 2, 1]))
    table = evaluate_recommenders(recommenders, train, test, ITEMS, np.eye(3), ks=(1, 2))
    assert table[['hit_rate@1', 'MRR', 'chance_hit_rate@1']].to_numpy().tolist()==[[1, 1, .5], [0, .5, .5]]
    np.testing.assert_allclose(table.coverage, [2/3, 2/3])
    np.testing.assert_allclose(table.diversity, [1, 1])
    np.testing.assert_allclose(table.novelty, np.mean([-np.log2(2/3), -np.log2(1/3)])*np.ones(2))
    assert table.pool_size.tolist()==[2, 2]

def test_lists_of_one_item_have_no_diversity():
    train, test = leave_last(LOG)
    with warnings.catch_warnings(action='error'):
        table = evaluate_recommenders(dict(any=by_chance(ITEMS)), train, test, ITEMS, np.eye(3), ks=(1,))
    assert np.isnan(table.diversity['any']) and table.novelty['any']>0

def test_an_item_without_a_score_is_last():
    train, test = leave_last(LOG)
    recommender = dict(unsure=lambda liked: np.array([9, -5, np.nan]))
    assert evaluate_recommenders(recommender, train, test, ITEMS, np.eye(3)).MRR['unsure']==.5

def test_what_cannot_be_evaluated_is_refused():
    train, test = leave_last(LOG)
    with pytest.raises(ValueError, match='nothing to find'):
        evaluate_recommenders({}, train, test[:0], ['a'], np.eye(1))
    with pytest.raises(ValueError, match="1 user of the test not in training, such as 'w'"):
        evaluate_recommenders({}, test, train, ITEMS, np.eye(3))
    with pytest.raises(ValueError, match='read the log with items='):
        evaluate_recommenders({}, train, test, ['a', 'b'], np.eye(2))

# Against chance, on simulated users with a taste for genres, and vectors that know the genre

@pytest.fixture(scope='module')
def world():
    "Videos with vectors, and a log"
    rng, genre = np.random.default_rng(0), np.arange(240)%8
    videos = pd.DataFrame(dict(genre=genre), [f'v{i:03d}' for i in range(240)])
    vectors = np.random.default_rng(1).normal(size=(8, 32))[genre]+rng.normal(size=(240, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return videos, vectors, read_interactions(simulate_log(videos), videos.index)[0]

def evaluate(world, train, test, candidates=None):
    "The table of four recommenders"
    videos, vectors, _ = world
    items = videos.index
    recommenders = dict(mean=by_content(vectors, items), max=by_content(vectors, items, 'max'),
                        popularity=by_popularity(train, items), chance=by_chance(items))
    return evaluate_recommenders(recommenders, train, test, items, vectors, candidates, n_boot=300)

def holds_chance(table, name):
    "Is the chance level within the interval?"
    row = table.loc[name]
    return row['ndcg@10_low']<row['chance_ndcg@10']<row['ndcg@10_high']

def test_what_comes_next(world):
    table = evaluate(world, *hold_out(world[2]))
    is_better = table['ndcg@10_low']>table['chance_ndcg@10']
    assert is_better[['mean', 'max', 'popularity']].all() and holds_chance(table, 'chance')
    assert table.pool_size.iloc[0]<240 # without what a user liked before
    assert table.coverage['chance']>table.coverage['mean']>table.coverage['popularity']

def test_new_videos_are_found_by_content_only(world):
    train, test = cold_items(world[2])
    table = evaluate(world, train, test, sorted(set(test.item)))
    assert table['ndcg@10_low']['mean']>table['ndcg@10_high']['popularity'] and holds_chance(table, 'popularity')
    assert (table.pool_size==test.item.nunique()).all()

def test_evaluation_is_repeatable(world):
    train, test = leave_last(world[2])
    pd.testing.assert_frame_equal(evaluate(world, train, test), evaluate(world, train, test))

def test_differences_are_those_of_the_means_on_the_same_users():
    items = [f'v{i}' for i in range(8)]
    train = pd.DataFrame(dict(user=[f'u{i}' for i in range(6)], item=['v0']*6))
    test = pd.DataFrame(dict(user=[f'u{i}' for i in range(6)], item=['v1', 'v2', 'v3', 'v4', 'v5', 'v6']))
    scores = dict(up=lambda liked: np.arange(8.), down=lambda liked: -np.arange(8.), again=lambda liked: np.arange(8.))
    means = evaluate_recommenders(scores, train, test, items, np.eye(8), ks=(3,), n_boot=50)['ndcg@3']
    found = compare_recommenders(scores, 'up', train, test, items, k=3, n_boot=50)
    assert list(found.index)==['down', 'again'] and (found.n==6).all()
    assert found.difference['down']==pytest.approx(means['down']-means['up'])
    assert found.loc['again', ['difference', 'low', 'high']].tolist()==[0, 0, 0] # the same lists, so no interval
    with pytest.raises(ValueError, match="no recommender 'left' to compare with: want one of up, down, again"):
        compare_recommenders(scores, 'left', train, test, items)

def test_ndcg_of_each_user_has_the_mean_of_the_table():
    lists, liked = [['a', 'b'], ['c', 'a'], ['b', 'c']], [['b'], ['a', 'b'], ['a']]
    each = user_ndcg(lists, liked, 2)
    assert each.shape==(3,) and each[2]==0
    assert each.mean()==pytest.approx(recommendation_metrics(lists, liked, 3, (2,), n_boot=10)['ndcg@2'])
