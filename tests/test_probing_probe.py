"Classifiers against scikit-learn, probes on known answers, labels that are refused, and files"
import json
import warnings
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from mvrep.probing import classifiers
from mvrep.probing.classifiers import Task, balanced_loss, fit_knn, knn_logits
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

# Thresholds

@pytest.mark.parametrize('probs, truth, threshold', [
    ([.1, .2, .3, .4], [0, 0, 1, 1], .25), ([.3, .3, .3], [0, 1, 0], .3),
    ([.3, .8], [0, 0], .5), ([.3, .8], [1, 1], .5)])
def test_best_threshold(probs, truth, threshold):
    assert best_threshold(np.array(probs), np.array(truth, bool))==threshold

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
