"Tagging and recommendation metrics against their definitions, other libraries, and chance"
import numpy as np
import pytest
import torch

from mvrep.core import import_torchvision
from mvrep.metrics.recommendation import recommendation_metrics
from mvrep.metrics.tagging import tag_chance, tag_metrics

import_torchvision() # torchmetrics imports it
from torchmetrics.functional import classification, retrieval # noqa: E402

@pytest.fixture
def rng(): return np.random.default_rng(0)

# Tags

NAMES = ['dance', 'rock', 'indie', 'polka']

@pytest.fixture
def tags(rng):
    "Scores and truth of 200 items; no item is polka"
    truth = rng.random((200, 4))<[.5, .2, .1, 0]
    return 1/(1+np.exp(-(3*truth-1.5+1.5*rng.normal(size=(200, 4))))), truth

def test_tags_without_both_kinds_of_items_are_left_out(tags):
    scores, truth = tags
    metrics = tag_metrics(scores, truth, NAMES, n_boot=100)
    assert (metrics['n_tags'], metrics['left_out'], metrics['n_items'])==(3, {'polka': 0}, 200)
    assert list(metrics['tags'])==NAMES[:3]
    assert metrics['tags']['rock']['positives']==truth[:, 1].sum()
    everywhere = tag_metrics(scores, np.where(np.arange(4)==3, True, truth), n_boot=0)
    assert everywhere['left_out']=={3: 200}

def test_auc_counts_pairs(tags):
    scores, truth = tags
    positives, negatives = scores[truth[:, 1], 1], scores[~truth[:, 1], 1]
    wins = (positives[:, None]>negatives)+.5*(positives[:, None]==negatives)
    assert tag_metrics(scores, truth, NAMES, n_boot=0)['tags']['rock']['auc']==pytest.approx(wins.mean())

def test_tag_metrics_equal_torchmetrics(tags):
    scores, truth = tags
    metrics = tag_metrics(scores, truth, n_boot=0)
    theirs = dict(auc=classification.multilabel_auroc, average_precision=classification.multilabel_average_precision,
                  f1=classification.multilabel_f1_score)
    for name, function in theirs.items():
        value = function(torch.tensor(scores[:, :3]), torch.tensor(truth[:, :3]).long(), num_labels=3)
        assert metrics[f'macro_{name}']==pytest.approx(value.item(), abs=1e-6)

def test_intervals_hold_the_means(tags):
    metrics = tag_metrics(*tags, n_boot=100)
    for o in ('auc', 'average_precision', 'f1'):
        assert metrics[f'macro_{o}_low']<metrics[f'macro_{o}']<metrics[f'macro_{o}_high']
    assert 'macro_average_precision_low' not in tag_metrics(*tags, n_boot=0)

def test_intervals_of_a_tag_are_those_of_the_tag_alone(tags):
    scores, truth = tags
    groups = np.arange(200)//2
    found = tag_metrics(scores, truth, NAMES, n_boot=30, groups=groups)['tags']['rock']
    alone = tag_metrics(scores[:, 1:2], truth[:, 1:2], n_boot=30, groups=groups)
    for o in ('auc', 'average_precision', 'f1'):
        for end in ('', '_low', '_high'): assert found[o+end]==pytest.approx(alone[f'macro_{o}{end}'])
    assert 'auc_low' not in tag_metrics(scores, truth, NAMES, n_boot=0)['tags']['rock']

def test_perfect_and_reversed_scores(tags):
    truth = tags[1][:, :3]
    assert tag_metrics(truth.astype(float), truth, n_boot=0)['macro_auc']==1
    assert tag_metrics(-truth.astype(float), truth, n_boot=0)['macro_auc']==0
    assert tag_metrics(tags[0][:, :3], truth, decided=truth, n_boot=0)['macro_f1']==1

def test_tag_chance_by_hand():
    np.testing.assert_allclose(tag_chance([[1, 0], [1, 0], [0, 1], [0, 0]]), [[.5, 1/2, 2/3], [.5, 1/4, 2/5]])

def test_one_score_for_all_is_at_chance(tags):
    flat = tag_metrics(np.ones((200, 4)), tags[1], n_boot=0)
    for o in ('auc', 'average_precision', 'f1'): assert flat[f'macro_{o}']==pytest.approx(flat[f'chance_{o}'])

def test_tags_that_cannot_be_measured_are_refused(tags):
    scores, truth = tags
    with pytest.raises(ValueError, match='no tag among 4'): tag_metrics(scores, np.zeros((200, 4)))
    with pytest.raises(ValueError, match='2 names for 4 tags'): tag_metrics(scores, truth, NAMES[:2])
    with pytest.raises(ValueError, match='of one shape'): tag_metrics(scores, truth[:, :2])
    with pytest.raises(ValueError, match='scores has NaN in 200 of 200 rows'): tag_metrics(scores*np.nan, truth)

# Recommended lists

def test_measures_of_two_users_by_hand():
    lists, likes = [list('abc'), list('cde'), list('abc')], [{'b', 'z'}, {'a'}, set()]
    metrics = recommendation_metrics(lists, likes, pool=26, ks=(2,))
    assert [metrics[o] for o in ('precision@2', 'recall@2', 'hit_rate@2', 'MRR')]==[.25, .25, .5, .25]
    assert metrics['ndcg@2']==pytest.approx(.5*(1/np.log2(3))/(1+1/np.log2(3)))
    assert (metrics['n_users'], metrics['n_left_out'], metrics['pool_size'])==(2, 1, 26)

def test_short_lists_are_divided_by_k():
    metrics = recommendation_metrics([['a']], [{'a'}], pool=3, ks=(2,), n_boot=10)
    assert (metrics['precision@2'], metrics['recall@2'], metrics['ndcg@2'])==(.5, 1, 1)
    nothing = recommendation_metrics([[]], [{'a'}], pool=3, ks=(2,), n_boot=10)
    assert (nothing['precision@2'], nothing['MRR'])==(0, 0)

def test_recommendation_metrics_equal_torchmetrics(rng):
    scores, likes = torch.tensor(rng.random((50, 40))), torch.tensor(rng.random((50, 40))<.1)
    likes[:, 0] |= ~likes.any(1)
    lists = scores.argsort(dim=1, descending=True).tolist()
    metrics = recommendation_metrics(lists, [o.nonzero()[:, 0].tolist() for o in likes], pool=40, ks=(3, 10))
    def theirs(function, **kwargs): return np.mean([function(s, o.long(), **kwargs) for s,o in zip(scores, likes)])
    for k in (3, 10):
        assert metrics[f'precision@{k}']==pytest.approx(theirs(retrieval.retrieval_precision, top_k=k), abs=1e-6)
        assert metrics[f'recall@{k}']==pytest.approx(theirs(retrieval.retrieval_recall, top_k=k), abs=1e-6)
        assert metrics[f'hit_rate@{k}']==pytest.approx(theirs(retrieval.retrieval_hit_rate, top_k=k), abs=1e-6)
        assert metrics[f'ndcg@{k}']==pytest.approx(theirs(retrieval.retrieval_normalized_dcg, top_k=k), abs=1e-6)
    assert metrics['MRR']==pytest.approx(theirs(retrieval.retrieval_reciprocal_rank), abs=1e-6)

def test_chance_of_a_list_by_hand():
    "One of four items is liked and two are shown"
    metrics = recommendation_metrics([['a', 'b']], [{'a'}], pool=4, ks=(1, 2), n_boot=10)
    assert metrics['chance_MRR']==pytest.approx(1/4*1+1/4*1/2)
    assert [metrics[f'chance_hit_rate@{k}'] for k in (1, 2)]==pytest.approx([1/4, 1/2])
    assert [metrics[f'chance_precision@{k}'] for k in (1, 2)]==pytest.approx([1/4, 1/4])
    assert [metrics[f'chance_recall@{k}'] for k in (1, 2)]==pytest.approx([1/4, 1/2])
    assert metrics['chance_ndcg@2']==pytest.approx(1/4*1+1/4/np.log2(3))

def test_random_orders_reach_chance(rng):
    orders = [rng.permutation(12)[:8].tolist() for _ in range(4000)]
    metrics = recommendation_metrics(orders, [{0, 1, 2}]*4000, pool=12, ks=(1, 5), n_boot=200)
    for o in ('MRR', 'precision@5', 'recall@5', 'hit_rate@5', 'ndcg@5'):
        assert metrics[o]==pytest.approx(metrics[f'chance_{o}'], abs=.02)

def test_each_user_may_have_a_pool():
    metrics = recommendation_metrics([['a'], ['b']], [{'a'}, {'c'}], pool=[2, 4], ks=(1,), n_boot=10)
    assert (metrics['chance_hit_rate@1'], metrics['pool_size'])==((1/2+1/4)/2, 3)

def test_lists_that_cannot_be_measured_are_refused():
    with pytest.raises(ValueError, match='an item twice'): recommendation_metrics([list('aa')], [{'a'}], 5)
    with pytest.raises(ValueError, match='1 list for 2 users'): recommendation_metrics([['a']], [{'a'}, {'b'}], 5)
    with pytest.raises(ValueError, match='2 items from a pool of 1'): recommendation_metrics([['a', 'b']], [{'a'}], 1)
    with pytest.raises(ValueError, match='none of 1 user likes anything'): recommendation_metrics([['a']], [set()], 5)
