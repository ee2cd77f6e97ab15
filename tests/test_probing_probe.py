"Classifiers against scikit-learn, probes on known answers, labels that are refused, and files"
import json
import warnings
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from mvrep.probing import classifiers
from mvrep.features.vectors import unit_norm
from mvrep.probing.classifiers import (Fit, Task, balanced_loss, class_probabilities, fit_knn, knn_logits,
                                       linear_logits, mlp_logits)
from mvrep.probing.probe import KINDS, Probe, _features, _fit_units, _to_units, best_threshold

# Data with a known answer: three classes in two of twelve features, ten artists, some values missing

TRAIN, TEST = slice(0, 72), slice(72, 120)

def make_data():
    rng = np.random.default_rng(0)
    label = np.arange(120)%3
    x = rng.normal(size=(120, 12))
    x[:, :2] += 4*np.array([[0, 1], [1, 0], [-1, -1]])[label]
    x[rng.random(x.shape)<.02] = np.nan
    return x, np.array(['calm', 'loud', 'sad'])[label], np.arange(120)//12, rng

@pytest.fixture(scope='module')
def data(): return make_data()[:3]

@pytest.fixture(scope='module')
def tags(data):
    x = data[0]
    truth = np.stack([x[:, 0]>0, x[:, 1]>3, np.nan_to_num(x[:, 0]+x[:, 1])>5.5], 1)
    truth[0, 2] = True
    return truth

# Classifiers

def test_features_that_are_missing_or_constant_say_nothing():
    x = _features([[1., 5., np.nan], [3., 5., np.nan], [np.nan, 5., np.inf]])
    assert _to_units(x, _fit_units(x)).tolist()==[[-1, 0, 0], [1, 0, 0], [0, 0, 0]]

@pytest.fixture(scope='module')
def regression():
    "Features and three classes, one more frequent than the others"
    rng = np.random.default_rng(0)
    z, label = rng.normal(size=(60, 4)), np.arange(60)%3
    label[z[:, 0]>.8] = 0
    return z, np.eye(3, dtype=bool)[label]

@pytest.mark.parametrize('n_classes', [2, 3])
def test_classes_are_those_of_scikit_learn(regression, n_classes):
    z, truth = regression
    if n_classes==2: truth = np.c_[truth[:, :1], truth[:, 1:].any(1)]
    else: truth = np.c_[truth, np.zeros(60, bool)] # a class that no item has
    weights = classifiers._weights(z, truth, 2., multilabel=False)
    theirs = LogisticRegression(C=2., class_weight='balanced').fit(z, truth.argmax(1))
    ours = softmax(z@weights[:-1]+weights[-1], 1)
    np.testing.assert_allclose(ours[:, :n_classes], theirs.predict_proba(z), atol=1e-6)

def test_tags_are_those_of_scikit_learn(regression):
    z, truth = regression
    weights = classifiers._weights(z, np.c_[truth, np.ones(60, bool)], 2., multilabel=True)
    theirs = LogisticRegression(C=2., class_weight='balanced').fit(z, truth[:, 0])
    np.testing.assert_allclose(weights[:-1, 0], theirs.coef_[0], atol=1e-9)
    assert (z@weights[:-1]+weights[-1]>0)[:, 3].all() and weights[-1, 3]>4 # every item has the fourth tag

def test_balanced_loss():
    truth = np.array([[1, 0], [0, 1], [0, 1]], bool)
    assert np.isclose(balanced_loss(np.zeros((3, 2)), truth, False), np.log(2))
    certain = np.array([[0., 0.], [np.nan]*2, [-9., 9.]])
    assert np.isclose(balanced_loss(certain, truth, False), np.log(2)/2, atol=1e-6)
    assert balanced_loss(np.zeros((3, 1)), np.ones((3, 1), bool), True)==0 # nothing to tell apart

def test_neighbours_vote():
    z = np.repeat([[1., 0.], [0., 1.]], 10, 0)
    truth = np.repeat(np.eye(2, dtype=bool), 10, 0)
    fit = fit_knn(Task(z, truth, False, [np.arange(0, 20, 2), np.arange(1, 20, 2)]))
    assert (knn_logits(fit.params, z).argmax(1)==truth.argmax(1)).all() and np.isfinite(fit.logits).all()

def test_neighbours_are_those_of_the_same_direction():
    "Not those of the same length; and a class that no neighbour has keeps a little of its frequency"
    z = np.array([[1., 0], [9., .5], [0, 1], [.5, 9.], [1, 1.2]])
    params = dict(known=unit_norm(z), truth=np.eye(3, dtype=np.uint8)[[0, 0, 1, 1, 2]], k=np.array([2]))
    probs = class_probabilities(knn_logits(params, np.array([[.1, .001], [.01, 30.]])), False)
    np.testing.assert_allclose(probs, [[2.4/3, .4/3, .2/3], [.4/3, 2.4/3, .2/3]], rtol=1e-6)
    tags = class_probabilities(knn_logits(params, np.array([[.1, .001]]), multilabel=True), True)
    np.testing.assert_allclose(tags, probs[:1], rtol=1e-6)

def inner_losses(task, logits_of):
    "Loss on the inner folds for each setting of a classifier"
    return {setting: balanced_loss(o, task.truth, task.multilabel) for setting, o in logits_of.items()}

@pytest.fixture(scope='module')
def noisy_task():
    "Classes that overlap: the strongest fit is not the best"
    rng = np.random.default_rng(3)
    truth = np.eye(2, dtype=bool)[np.arange(40)%2]
    z = rng.normal(size=(40, 30))+.4*truth[:, :1]
    return Task(z, truth, False, [np.arange(i, 40, 4) for i in range(4)])

def test_the_strength_is_the_best_of_the_inner_folds(noisy_task):
    task, logits = noisy_task, {}
    z = task.z/np.sqrt(30)
    for strength in classifiers.STRENGTHS:
        logits[strength] = np.empty((40, 2))
        for fold in task.folds:
            train = np.setdiff1d(np.arange(40), fold)
            model = LogisticRegression(C=strength, class_weight='balanced', max_iter=1000)
            score = model.fit(z[train], task.truth[train, 1]).decision_function(z[fold])
            logits[strength][fold] = np.c_[-score, score]/2
    losses = inner_losses(task, logits)
    best = min(losses, key=losses.get)
    fit = classifiers.fit_linear(task)
    assert fit.params['strength']==best!=max(losses, key=losses.get)
    np.testing.assert_allclose(fit.logits, logits[best], atol=1e-2)

def test_the_number_of_neighbours_is_the_best_of_the_inner_folds(noisy_task):
    task, logits = noisy_task, {}
    z = unit_norm(task.z)
    for k in classifiers.NEIGHBOURS:
        logits[k] = np.empty((40, 2))
        for fold in task.folds:
            train = np.setdiff1d(np.arange(40), fold)
            nearest = train[np.argsort(-z[fold]@z[train].T, axis=1)[:, :k]]
            logits[k][fold] = np.log((task.truth[nearest].sum(1)+task.truth[train].mean(0))/(k+1))
    losses = inner_losses(task, logits)
    best = min(losses, key=losses.get)
    fit = fit_knn(task)
    assert fit.params['k']==best!=max(losses, key=losses.get)
    np.testing.assert_allclose(fit.logits, logits[best], atol=1e-9)

@pytest.mark.parametrize('multilabel', [False, True])
def test_the_best_epoch_of_a_network_is_kept(noisy_task, multilabel):
    task = Task(noisy_task.z, noisy_task.truth, multilabel, noisy_task.folds)
    fit, valid = classifiers.fit_mlp(task, patience=3), noisy_task.folds[0]
    np.testing.assert_allclose(mlp_logits(fit.params, task.z[valid]), fit.logits[valid], atol=1e-4)
    assert np.isnan(np.delete(fit.logits, valid, 0)).all()

def test_a_network_that_does_not_improve_is_trained_no_longer(monkeypatch, noisy_task):
    epochs = []
    monkeypatch.setattr(classifiers, '_run_epoch', lambda net, *args: epochs.append(net.eval()))
    classifiers.fit_mlp(noisy_task, patience=4)
    assert len(epochs)==5 # the first is the best
    classifiers.fit_mlp(noisy_task, epochs=3)
    assert len(epochs)==5+3

def test_rare_classes_have_larger_weights():
    "Three items with the class, one without; a tag is weighed at most tenfold"
    truth, zeros = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], bool), torch.zeros(4, 2)
    rows = torch.arange(4)
    logits = zeros.clone()
    logits[:, 0] = 1.
    loss = classifiers._weighted_loss(truth, rows, False)(logits, rows)
    right, wrong = np.log(1+np.exp(-1)), np.log(1+np.exp(1))
    assert loss.item()==pytest.approx((right+wrong)/2) # classes count alike
    tags = classifiers._weighted_loss(np.r_[[[True]], np.zeros((99, 1), bool)], torch.arange(100), True)
    assert tags(torch.zeros(100, 1), torch.arange(100)).item()==pytest.approx(np.log(2)*(10+99)/100)

def test_a_tag_that_no_item_has_is_unlikely():
    "By its frequency, with half an item added"
    weights = classifiers._tag_weights(np.eye(3), np.zeros((3, 1), bool), 1.)
    assert weights[:3].tolist()==[[0], [0], [0]] and weights[3, 0]==pytest.approx(np.log(.5/3.5))

def test_balanced_loss_of_tags():
    "One item of two has the tag, and gets .8; the other gets .4. A tag that all have does not count"
    logits, truth = np.log([[.8/.2, 1.], [.4/.6, 9.]]), np.array([[1, 1], [0, 1]], bool)
    assert balanced_loss(logits, truth, True)==pytest.approx(-(np.log(.8)+np.log(.6))/2)

# Thresholds

@pytest.mark.parametrize('probs, truth, threshold', [
    ([.1, .2, .3, .4], [0, 0, 1, 1], .25), ([.3, .3, .3], [0, 1, 0], .3),
    ([.3, .8], [0, 0], .5), ([.3, .8], [1, 1], .5)])
def test_best_threshold(probs, truth, threshold):
    assert best_threshold(np.array(probs), np.array(truth, bool))==threshold

def fake_fit(probs, tasks):
    "In place of a classifier: logits of inner folds that are given; NaN for items that were always trained on"
    with np.errstate(divide='ignore'): logits = np.log(probs/(1-probs))
    return lambda task: tasks.append(task) or Fit(dict(weight=np.zeros((1, 2)), bias=np.zeros(2)), logits)

def test_thresholds_are_chosen_on_inner_folds(monkeypatch):
    truth = np.array([[0, 1], [0, 1], [1, 1], [1, 0], [1, 0]], bool)
    probs = np.array([[.1, .6], [.2, .8], [.4, .9], [.7, .2], [np.nan]*2])
    monkeypatch.setitem(KINDS, 'linear', fake_fit(probs, []))
    probe = Probe().fit(np.arange(5.)[:, None], truth)
    np.testing.assert_allclose(probe.thresholds, [.3, .4])
    probe.thresholds = np.array([.5, .6])
    assert probe.predict(np.ones((1, 1))).tolist()==[[True, False]] # both have probability one half

@pytest.mark.parametrize('n, n_folds', [(1000, 5), (1001, 1)])
def test_many_items_have_one_inner_fold(monkeypatch, n, n_folds):
    tasks = []
    monkeypatch.setitem(KINDS, 'linear', fake_fit(np.full((n, 2), .5), tasks))
    Probe().fit(np.arange(float(n))[:, None], np.arange(n)%2)
    assert len(tasks[0].folds)==n_folds

def test_linear_logits_by_hand():
    params = dict(weight=np.array([[1., 0], [2, -1]]), bias=np.array([.5, -.5]))
    assert linear_logits(params, np.array([[1., 1], [0, 2]])).tolist()==[[3.5, -1.5], [4.5, -2.5]]

def test_features_that_hardly_change_say_nothing():
    x = np.array([[1000., 1.], [1000.0001, 1.1]])
    assert _fit_units(x)[1].tolist()==pytest.approx([0, 20])

def test_the_score_of_tags_is_their_mean_auc():
    "By a probe that orders the items by their feature; a tag that all items have does not count"
    probe = Probe().fit(np.arange(20.)[:, None], np.c_[np.arange(20)>9, np.arange(20)>4, np.arange(20)<3])
    truth = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]], bool)
    assert probe.score(np.array([[2.], [5], [8], [16]]), truth)==pytest.approx((3/4+1)/2)

# Probes

@pytest.mark.parametrize('kind', KINDS)
def test_a_known_answer_is_found(data, kind):
    x, y, artist = data
    assert Probe(kind).fit(x[TRAIN], y[TRAIN], artist[TRAIN]).score(x[TEST], y[TEST])>.7

def test_shuffled_labels_are_at_chance():
    x, y, artist, rng = make_data()
    y = rng.permutation(y)
    assert max(Probe(kind).fit(x[TRAIN], y[TRAIN], artist[TRAIN]).score(x[TEST], y[TEST]) for kind in KINDS)<.55

def test_tags(data, tags):
    x, _, artist = data
    probe = Probe().fit(x[TRAIN], tags[TRAIN], artist[TRAIN], ['soft', 'fast', 'rare'])
    assert probe.score(x[TEST], tags[TEST])>.8
    assert probe.thresholds[2]<probe.thresholds[1]<probe.thresholds[0]

def test_the_seed_decides(data):
    x, y, _ = data
    same = [Probe('mlp', seed).fit(x[TRAIN], y[TRAIN]).predict_proba(x[TEST]) for seed in (0, 0, 1)]
    assert np.array_equal(same[0], same[1]) and not np.array_equal(same[0], same[2])

# What is refused

def test_missing_labels(data, tags):
    x, y, _ = data
    gaps = np.where(np.arange(120)[:, None]<4, np.nan, tags)
    with pytest.raises(ValueError, match='2 of 120 labels are missing'): Probe().fit(x, [None, np.nan, *y[2:]])
    with pytest.raises(ValueError, match='12 of 360 labels'): Probe().fit(x, gaps)
    with pytest.raises(ValueError, match='12 of 360 labels'): Probe().fit(x, tags).score(x, gaps)
    with pytest.raises(ValueError, match='2 of 120 labels'): Probe().fit(x, y).score(x, [None, np.nan, *y[2:]])

def test_labels_that_do_not_fit(data, tags):
    x, y, _ = data
    with pytest.raises(ValueError, match='nothing to tell apart: 120 items'): Probe().fit(x, ['calm']*120)
    with pytest.raises(ValueError, match='119 labels'): Probe().fit(x, y[1:])
    with pytest.raises(ValueError, match='2 names for 3 tags'): Probe().fit(x, tags, names=['soft', 'fast'])
    with pytest.raises(ValueError, match='yes and no'): Probe().fit(x, tags+2)
    with pytest.raises(ValueError, match=r'got \(120, 2\)'): Probe().fit(x, tags).score(x, tags[:, :2])
    with pytest.raises(ValueError, match='no tag has both'): Probe().fit(x, tags).score(x, np.ones_like(tags))
    with pytest.raises(ValueError, match='shape'): Probe().fit(x, tags[..., None])

def test_features_that_do_not_fit(data):
    x, y, _ = data
    with pytest.raises(ValueError, match='want features of shape'): Probe().fit(x[0], y)
    probe = Probe().fit(x, y)
    with pytest.raises(ValueError, match='3 features, but the probe learned from 12'): probe.predict(x[:, :3])
    with pytest.raises(ValueError, match='call fit first'): Probe().predict(x)

def test_an_unknown_kind():
    with pytest.raises(ValueError, match='want one of linear, mlp, knn'): Probe('forest')

# What is noted

def test_notes(data, tags):
    x, y, artist = data
    probe = Probe('knn').fit(np.c_[x, np.ones(120)], ['odd', *y[1:]])
    assert probe.notes==['one item only: odd', '1 of 13 features never change']
    assert 'one group' in Probe('knn').fit(x, y, np.zeros(120)).notes[0]

def test_a_tag_without_items_is_noted_and_unlikely(data, tags):
    x = data[0]
    probe = Probe('mlp').fit(x, np.c_[tags, np.zeros(120)], names=['soft', 'fast', 'rare', 'none'])
    assert probe.predict_proba(x)[:, 3].max()<.5
    assert probe.notes==['none: 0 of 120 items have it, nothing to learn']

def test_a_class_that_was_not_in_training_counts_as_missed(data):
    x, y, _ = data
    probe = Probe().fit(x[TRAIN], y[TRAIN])
    with pytest.warns(UserWarning, match='never seen in training: glad'): assert probe.score(x[TEST], ['glad']*48)==0
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        probe.score(x[TEST], y[TEST])

def test_a_probe_shows_what_it_has_learned(data, tags):
    x, y, _ = data
    assert repr(Probe('knn'))=="Probe('knn'), not trained"
    assert repr(Probe().fit(x, y))=="Probe('linear'): 3 classes (calm, loud, sad) from 12 features"
    probe = Probe('knn').fit(x[:, :1], np.arange(120)%6)
    assert repr(probe)=="Probe('knn'): 6 classes (0, 1, 2, 3, 4, …) from 1 feature"

# Files

@pytest.mark.parametrize('kind', KINDS)
def test_a_saved_probe_predicts_alike(data, tags, kind, tmp_path):
    x, y, _ = data
    for labels in (y, tags):
        probe = Probe(kind).fit(x, labels)
        probe.save(tmp_path/'probe.safetensors')
        loaded = Probe.load(tmp_path/'probe.safetensors')
        assert np.array_equal(loaded.predict_proba(x), probe.predict_proba(x))
        assert np.array_equal(loaded.predict(x), probe.predict(x))
        assert (loaded.kind, loaded.classes, loaded.notes)==(kind, probe.classes, probe.notes)

def test_other_files_are_refused(tmp_path):
    (tmp_path/'bad').write_bytes(b'no')
    with pytest.raises(ValueError, match='is not a probe'): Probe.load(tmp_path/'bad')
    with pytest.raises(OSError): Probe.load(tmp_path/'missing')

# Features and files that are out of the ordinary

@pytest.mark.parametrize('kind', list(KINDS))
def test_odd_features(kind):
    rng = np.random.default_rng(0)
    y, x = np.arange(60)%2, rng.normal(size=(60, 5))
    x[:, 0] += 4*y
    for bad in (np.full((60, 5), np.nan), np.full((60, 5), np.inf)):
        with pytest.raises(ValueError, match='no feature of 60 items is finite'): Probe(kind).fit(bad, y)
    with pytest.raises(ValueError, match='above 1e'): Probe(kind).fit(x*1e200, y)
    for shape in ((0, 5), (60, 0), (60,)):
        with pytest.raises(ValueError, match='want features of shape'): Probe(kind).fit(np.zeros(shape), y)
    with pytest.raises(ValueError, match='59 groups for 60 labels'): Probe(kind).fit(x, y, groups=y[1:])
    some = np.where(np.arange(60)[:, None]<6, -np.inf, x)
    for odd, least in ((x*1e30, .9), (some, .8), (np.ones((60, 5)), 0)):
        probe = Probe(kind).fit(odd, y)
        probs = probe.predict_proba(np.r_[odd, [[np.nan]*5, [np.inf]*5, [1e30]*5]])
        assert np.isfinite(probs).all() and np.allclose(probs.sum(1), 1) and probe.score(odd, y)>=least
    assert '6 of 60 items without features: they count as average' in Probe(kind).fit(some, y).notes

@pytest.mark.parametrize('kind', list(KINDS))
def test_few_items(kind):
    for n in (2, 3, 4):
        x, y = np.eye(n), np.arange(n)%2
        assert np.isfinite(Probe(kind).fit(x, y).predict_proba(x)).all()
    with pytest.raises(ValueError, match='nothing to tell apart'): Probe(kind).fit(np.ones((1, 3)), ['a'])
    with pytest.raises(ValueError, match='nothing to tell apart'): Probe(kind).fit(np.eye(4), np.ones((4, 2)))

@pytest.mark.parametrize('z, truth, folds', [
    (np.full((4, 2), np.nan), np.eye(4), [[0]]), (np.zeros((0, 2)), np.zeros((0, 2)), [[0]]),
    (np.eye(4), np.eye(4), []),
    (np.eye(4), np.eye(4), [np.arange(4)]), (np.eye(4), np.eye(4), [[]]), (np.eye(4), np.eye(3), [[0]])])
def test_tasks_that_no_classifier_can_learn(z, truth, folds):
    with pytest.raises(ValueError): Task(z, truth.astype(bool), False, folds)

def changed_file(probe, path, head=None, **arrays):
    "A saved probe whose header or arrays are changed"
    probe.save(path)
    with safe_open(path, 'np') as f:
        stored = {name: f.get_tensor(name) for name in f.keys()}|arrays
        text = f.metadata()['mvrep_probe']
    head = text if head is None else head
    head = head if isinstance(head, str) else json.dumps(json.loads(text)|head)
    save_file({name: o for name, o in stored.items() if o is not None}, path, dict(mvrep_probe=head))
    return path

@pytest.mark.parametrize('kind', list(KINDS))
def test_damaged_probes_are_refused(kind, tmp_path):
    probe, path = Probe(kind).fit(np.eye(6), np.arange(6)%2), tmp_path/'p.safetensors'
    assert Probe.load(changed_file(probe, path)).classes==[0, 1]
    heads = ['[]', 'null', '{}', '', '['*100_000, dict(kind=['x']), dict(kind='svm'), dict(classes=7),
             dict(classes=[1]),
             dict(tags='yes'), dict(tags=True)]
    arrays = [dict(units=np.full((2, 6), np.nan)), dict(units=np.ones((3, 6))), dict(units=np.ones((2, 5))),
              dict(units=np.ones(2)), dict(units=None), dict(thresholds=np.ones(3)),
              {f'params.{next(iter(probe.params))}': None}]
    for change in [dict(head=o) for o in heads]+arrays:
        with pytest.raises(ValueError, match='is not a probe of this version of mvrep: .') as e:
            Probe.load(changed_file(probe, path, **change))
        assert 'Error' not in str(e.value)
