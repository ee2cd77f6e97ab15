"Measures of classifiers and their chance levels, computed by hand"
import numpy as np
import pytest
from mvrep.metrics.classification import (CLASS_MEASURES, MEASURES, chance_average_precision, chance_measures,
                                          classifier_measures, rank_within_folds)

ONE_FOLD = np.zeros(4, int)

def columns(*values): return np.array(values, float).T

# Ranking within folds

def test_a_tie_is_half_a_win():
    found = rank_within_folds(columns([.9, .5, .5, .1]), columns([1, 0, 1, 0]).astype(bool), ONE_FOLD)
    assert found.auc.tolist()==[[(1+1+.5+1)/4]]
    assert found.average_precision.tolist()==[[(1+2/3)/2]] # the tied miss counts before the hit

def test_folds_are_not_compared():
    "In each fold the positive is first, but the scores of the second fold are lower"
    scores, truth = columns([.9, .8, .2, .1]), columns([1, 0, 1, 0]).astype(bool)
    assert rank_within_folds(scores, truth, np.array([0, 0, 1, 1])).auc==1
    assert rank_within_folds(scores, truth, ONE_FOLD).auc==.75

def test_folds_of_one_kind_do_not_count():
    scores, truth = columns([.1, .9, .3, .2]), columns([1, 0, 1, 1]).astype(bool)
    found = rank_within_folds(scores, truth, np.array([0, 0, 1, 1]))
    assert (found.auc, found.average_precision)==(0, .5)
    nothing = rank_within_folds(scores, truth, np.array([0, 1, 2, 3]))
    assert np.isnan(nothing.auc).all() and np.isnan(nothing.average_precision).all()

def test_weights_are_repetitions():
    scores, truth = columns([.9, .5, .4, .1]), columns([1, 0, 1, 0]).astype(bool)
    weighted = rank_within_folds(scores, truth, ONE_FOLD, np.array([[2, 1, 1, 3], [1, 1, 1, 1]]))
    rows = [0, 0, 1, 2, 3, 3, 3]
    repeated = rank_within_folds(scores[rows], truth[rows], np.zeros(7, int))
    assert weighted.auc[0]==repeated.auc[0]==(2*4+3)/12 and weighted.auc[1]==.75
    assert weighted.average_precision[0]==repeated.average_precision[0]==pytest.approx((2+3/4)/3)

@pytest.mark.parametrize('scores, truth, folds', [
    (np.ones((2, 1)), np.array([[1], [0]]), np.zeros(3, int)),
    (np.ones((2, 2)), np.array([[1], [0]]), np.zeros(2, int)),
    (np.ones(2), np.array([1, 0]), np.zeros(2, int))])
def test_shapes_that_do_not_fit(scores, truth, folds):
    with pytest.raises(ValueError, match='want scores and truth of one shape'): rank_within_folds(scores, truth, folds)

# Measures

def test_one_class_each_by_hand():
    "Four items of the classes 0, 0, 1, 2; the second is taken for 1, and the last for 0"
    truth, decided = np.eye(3, dtype=bool)[[0, 0, 1, 2]], np.eye(3, dtype=bool)[[0, 1, 1, 0]]
    found = classifier_measures(decided.astype(float), decided, truth, ONE_FOLD, multilabel=False)
    per_class = dict(zip(CLASS_MEASURES, found.per_class[:, 0]))
    assert per_class['precision'].tolist()==[1/2, 1/2, 0] and per_class['recall'].tolist()==[1/2, 1, 0]
    assert per_class['f1'].tolist()==pytest.approx([1/2, 2/3, 0])
    assert per_class['auc'].tolist()==pytest.approx([1/2, 5/6, 1/2]) # the last class is never given: a tie
    means = dict(zip(MEASURES, found.means[:, 0]))
    assert (means['accuracy'], means['balanced_accuracy'])==(.5, .5)
    assert means['macro_f1']==pytest.approx((1/2+2/3)/3) and means['auc']==pytest.approx(11/18)

def test_several_classes_each_by_hand():
    truth = columns([1, 1, 0, 0], [1, 0, 0, 0]).astype(bool)
    decided = columns([1, 0, 0, 0], [1, 1, 0, 0]).astype(bool)
    found = classifier_measures(decided.astype(float), decided, truth, ONE_FOLD, multilabel=True)
    means = dict(zip(MEASURES, found.means[:, 0]))
    assert means['accuracy']==6/8
    assert means['balanced_accuracy']==pytest.approx(((1/2+1)/2+(1+2/3)/2)/2)
    assert means['macro_f1']==pytest.approx(2/3)

def test_a_class_without_items_is_in_no_mean():
    truth, decided = np.eye(3, dtype=bool)[[0, 0, 1, 1]], np.eye(3, dtype=bool)[[0, 0, 1, 0]]
    found = classifier_measures(decided.astype(float), decided, truth, ONE_FOLD, multilabel=False)
    assert np.isnan(found.per_class[1:, 0, 2]).all() and found.per_class[0, 0, 2]==0
    assert found.means[1, 0]==(1+1/2)/2

def test_weighted_measures_are_those_of_repeated_items():
    rng = np.random.default_rng(0)
    truth, probs = np.eye(3, dtype=bool)[rng.integers(3, size=12)], rng.random((12, 3))
    decided = np.eye(3, dtype=bool)[probs.argmax(1)]
    counts, folds = rng.integers(1, 4, 12), np.arange(12)%2
    rows = np.repeat(np.arange(12), counts)
    weighted = classifier_measures(probs, decided, truth, folds, False, counts[None])
    repeated = classifier_measures(probs[rows], decided[rows], truth[rows], folds[rows], False)
    np.testing.assert_allclose(weighted.means, repeated.means)
    np.testing.assert_allclose(weighted.per_class, repeated.per_class)

# Chance

def test_chance_of_one_class_each_by_hand():
    "Half of the items have the first class: a guess by frequency is right with probability 1/4+1/16+1/16"
    found = chance_measures(np.eye(3, dtype=bool)[[0, 0, 1, 2]], multilabel=False)
    assert found==pytest.approx(dict(chance_accuracy=3/8, chance_balanced_accuracy=1/3, chance_macro_f1=1/3,
                                     chance_auc=.5, majority_accuracy=1/2))

def test_chance_of_several_classes_each_by_hand():
    "The classes have one and three of four items"
    found = chance_measures(columns([1, 0, 0, 0], [1, 1, 1, 0]).astype(bool), multilabel=True)
    assert found==pytest.approx(dict(chance_accuracy=10/16, chance_balanced_accuracy=.5,
                                     chance_macro_f1=(2/5+6/7)/2, chance_auc=.5, majority_accuracy=3/4))

def test_chance_average_precision_by_hand():
    "One positive of three items is first, second or third with equal probability; ties count before it"
    truth = columns([1, 0, 0]).astype(bool)
    found = chance_average_precision(columns([3, 2, 1]), truth, np.zeros(3, int), n_shuffles=3000)
    assert found==pytest.approx([(1+1/2+1/3)/3], abs=.02)
    tied = chance_average_precision(np.zeros((3, 1)), truth, np.zeros(3, int), n_shuffles=1)
    assert tied==pytest.approx([1/3])

def test_chance_shuffles_within_folds():
    "Each fold keeps its scores: with two items that are equal in each fold, the order is never known"
    scores, truth = columns([5, 5, 1, 1]), columns([1, 0, 1, 0]).astype(bool)
    assert chance_average_precision(scores, truth, np.array([0, 0, 1, 1]), n_shuffles=5).tolist()==[.5]
