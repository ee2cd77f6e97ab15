"Each reported chance level against the mean over all possible outcomes, or a few items by hand"
from itertools import permutations
import numpy as np
import pytest
from mvrep.metrics.ranking import precision_at_k, precision_of_lists, retrieval_metrics
from mvrep.metrics.recommendation import recommendation_metrics, user_ndcg
from mvrep.metrics.similarity import mantel
from mvrep.metrics.tagging import tag_metrics
from mvrep.recommendation.metadata import predict_field, rank_agreement

# Ranks

@pytest.mark.filterwarnings('ignore:R@')
def test_chance_of_ranks_is_the_mean_over_all_orders():
    "Each of five audios meets each of five videos equally often"
    videos, ks = np.eye(5), (1, 2, 7)
    found = []
    for order in permutations(range(5)):
        metrics = retrieval_metrics(np.eye(5)+.01*np.eye(5)[list(order)], videos, ks, n_boot=0)
        found.append([metrics['chance_MRR'], *(metrics[f'chance_R@{k}'] for k in ks)])
    assert np.mean(found, 0)==pytest.approx([(1+1/2+1/3+1/4+1/5)/5, 1/5, 2/5, 1])
    ranks = np.arange(1, 6)
    assert (metrics['chance_median_rank'], metrics['chance_mean_rank'])==(np.median(ranks), ranks.mean())

def test_a_list_of_all_candidates_is_reported():
    with pytest.warns(UserWarning, match='R@5, R@6 among 5 candidates are always 1'):
        retrieval_metrics(np.eye(5), np.eye(5), (4, 5, 6), n_boot=0)

# Neighbours

SIM = np.array([[9, .9, .1, .2], [.9, 9, .3, .1], [.5, .4, 9, .8], [.2, .6, .8, 9]])

def test_artists_that_are_unknown_are_alone():
    "The last two are by one artist and cannot find each other; the first two are unknown, not of one artist"
    labels, groups = ['x', 'x', 'y', 'y'], np.array([-1, -1, 0, 0])
    found = precision_at_k(SIM, labels, 1, groups=groups)
    assert (found['precision'], found['pool'])==(.5, 2.5) and found['chance']==pytest.approx((1/3+1/3+0+0)/4)
    together = precision_at_k(SIM, labels, 1, groups=groups, same_group=True)
    assert (together['precision'], together['pool'])==(1, 3) and together['chance']==pytest.approx(1/3)

def test_items_without_enough_others_are_not_asked():
    "With k = 2, the three items of one artist have one other; only the last item is asked"
    found = precision_at_k(SIM, ['x', 'x', 'y', 'x'], 2, groups=np.array([0, 0, 0, 1]))
    assert (found['precision'], found['pool'])==(.5, 3) and found['chance']==pytest.approx(2/3)
    with pytest.raises(ValueError, match='no item has 3 others'):
        precision_at_k(SIM, ['x', 'x', 'y', 'x'], 3, groups=np.array([0, 0, 1, 1]))

def test_the_last_place_is_shared():
    "Two candidates tie for one place: one has the label"
    sim = np.array([[9, .5, .5, .1], [.5, 9, .1, .1], [.5, .1, 9, .1], [.1, .1, .1, 9]])
    assert precision_at_k(sim, ['x', 'x', 'y', 'y'], 1)['precision']==pytest.approx((1/2+1+0+1/3)/4)

def test_lists_by_hand():
    found = precision_of_lists(np.array([[1, 2, 3], [0, 3, 2], [3, 0, 1], [0, 1, 2]]), ['x', 'x', 'y', 'x'], 2)
    assert found['precision']==pytest.approx((1/2+1+0+1)/4)
    assert found['chance']==pytest.approx((2/3+2/3+0+2/3)/4) and found['pool']==3

# Recommended lists

@pytest.mark.parametrize('length, liked', [(3, 'ab'), (2, 'abc'), (5, 'a'), (1, 'abcd')])
@pytest.mark.filterwarnings('ignore:recall and hit rate')
def test_chance_of_a_list_is_the_mean_over_all_lists(length, liked):
    "All lists of some of five items; `ks` are shorter and longer than the list"
    lists, ks = list(permutations('abcde', length)), (1, 2, 4)
    found = recommendation_metrics(lists, [liked]*len(lists), 5, ks, n_boot=2)
    for name in ('MRR', *(f'{o}@{k}' for k in ks for o in ('precision', 'recall', 'hit_rate', 'ndcg'))):
        assert found[name]==pytest.approx(found[f'chance_{name}']), name

def test_a_list_by_hand():
    "The second and the fourth of four are liked, and a third item that is not listed"
    found = recommendation_metrics(['abcd'], ['bdz'], 10, (1, 2, 4), n_boot=2)
    assert [found[f'precision@{k}'] for k in (1, 2, 4)]==[0, .5, .5]
    assert [found[f'recall@{k}'] for k in (1, 2, 4)]==pytest.approx([0, 1/3, 2/3])
    assert ([found[f'hit_rate@{k}'] for k in (1, 2, 4)], found['MRR'])==([0, 1, 1], .5)
    gains = 1/np.log2([2, 3, 4, 5])
    ndcg = [0, gains[1]/gains[:2].sum(), (gains[1]+gains[3])/gains[:3].sum()]
    assert [found[f'ndcg@{k}'] for k in (1, 2, 4)]==pytest.approx(ndcg)
    assert user_ndcg(['abcd', 'zyx'], ['bdz', 'z'], 2)==pytest.approx([ndcg[1], 1])

def test_users_who_like_nothing_are_counted_and_left_out():
    found = recommendation_metrics(['ab', 'cd', 'ef'], ['a', '', 'z'], [4, 5, 9], (1,), n_boot=2)
    assert (found['n_users'], found['n_left_out'], found['pool_size'])==(2, 1, 6)
    assert (found['precision@1'], found['chance_precision@1'])==(.5, pytest.approx((1/4+1/9)/2))

# Tags

def test_chance_of_each_tag_by_hand():
    "Tags of one and three of four items, and one that all have"
    truth = np.array([[1, 1, 1], [0, 1, 1], [0, 1, 1], [0, 0, 1]])
    scores = np.array([[.9, .9, .5], [.8, .2, .5], [.1, .6, .5], [.2, .4, .5]])
    found = tag_metrics(scores, truth, ['rare', 'usual', 'all'], n_boot=0)
    rare, usual = found['tags']['rare'], found['tags']['usual']
    assert (rare['positives'], rare['chance_average_precision'], rare['chance_f1'])==(1, 1/4, pytest.approx(2/5))
    assert (usual['positives'], usual['chance_average_precision'], usual['chance_f1'])==(3, 3/4, pytest.approx(6/7))
    assert (rare['auc'], rare['average_precision'], rare['f1'])==(1, 1, pytest.approx(2/3))
    assert (usual['auc'], usual['f1'])==(pytest.approx(2/3), pytest.approx(4/5))
    assert usual['average_precision']==pytest.approx((1+1+3/4)/3)
    assert found['chance_f1']==pytest.approx((2/5+6/7)/2) and found['chance_average_precision']==.5
    assert (found['macro_auc'], found['chance_auc'])==(pytest.approx(5/6), .5)
    assert (found['n_tags'], found['n_items'], found['left_out'])==(2, 4, dict(all=4))

def test_a_score_of_a_half_is_no_decision_for_a_tag():
    found = tag_metrics(np.array([[.5], [.51], [.2]]), np.array([[0], [1], [0]]), n_boot=0)
    assert found['tags'][0]['f1']==1 and found['tags'][0]['auc']==1

# Agreement of similarities

def line(*places): return -np.abs(np.subtract.outer(places, places)).astype(float)

def test_chance_of_an_overlap_by_hand():
    "Five videos; the first and the last cannot be compared, so they have three candidates"
    one = line(0, 1, 3, 6, 10)
    one[0, 4] = one[4, 0] = np.nan
    found = rank_agreement(one, line(0, 1, 3, 6, 10), k=2, n_boot=2)
    assert found['chance_overlap']==pytest.approx((2/3+2/4*3+2/3)/5)
    assert (found['pairs'], found['pool'])==(9, pytest.approx(18/5))
    assert found['overlap']==pytest.approx((4+3/4)/5) # the third video has two that are second nearest

def test_chance_of_a_prediction_by_hand():
    "Videos 0, 1, 2 have one answer; 1 and 2 are by one artist and do not find each other"
    truth = np.zeros((5, 5))
    truth[:3, :3] = 1
    truth[3, 4] = truth[4, 3] = .5
    found = predict_field(dict(x=line(0, 1, 3, 6, 10)), truth, np.array([0, 1, 1, 2, 3]), k=1, n_boot=2).iloc[0]
    assert found.chance==pytest.approx((2/4+1/3+1/3+.5/4+.5/4)/5)
    assert found.found==pytest.approx((1+1+1/2+0+.5)/5) # the third has two nearest
    assert (found.pool, found.n)==(pytest.approx((4+3+3+4+4)/5), 5)

def test_chance_of_a_correlation_holds_all_but_a_twentieth():
    "Unrelated similarities lie between the limits; the same ones are never reached by another order"
    rng = np.random.default_rng(0)
    one, other = (o@o.T for o in rng.normal(size=(2, 12, 4)))
    same, unrelated = mantel(one, one, n_perm=199), mantel(one, other, n_perm=199)
    assert same['r']==pytest.approx(1) and same['p']==1/200 and same['pairs']==66
    assert same['chance_low']<0<same['chance_high']<.9
    assert unrelated['p']>.05 and unrelated['chance_low']<unrelated['r']<unrelated['chance_high']
    upper = np.triu_indices(12, 1)
    assert unrelated['r']==pytest.approx(np.corrcoef(one[upper], other[upper])[0, 1])
