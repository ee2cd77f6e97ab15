"What is fitted depends on training videos only: other test videos, or other labels of them, change no parameter"
import copy
from dataclasses import replace
import numpy as np
import pandas as pd
import pytest
import torch
from mvrep.corpus.muvi import make_muvi
from mvrep.learning import muvi_retrieval
from mvrep.learning.config import RECIPES, make_model
from mvrep.learning.evaluation import _embed_before
from mvrep.learning.muvi_retrieval import all_views, fit_retrieval
from mvrep.learning.recipes import array_data, fit_in_memory, with_test
from mvrep.learning.training import prepare_model
from mvrep.probing import classifiers, cross_validation
from mvrep.probing.cross_validation import Labels, Protocol, predict_folds
from mvrep.probing.emotion import train_emotion
from mvrep.probing.probe import KINDS, Probe

# Training

N_VIDEOS = 60
TEST = np.arange(0, N_VIDEOS, 5)

@pytest.fixture(scope='module')
def make_data(tmp_path_factory):
    "A function that makes training data of 60 videos with 1 to 3 segments, in which some videos have other features"
    rng = np.random.default_rng(0)
    video = np.repeat(np.arange(N_VIDEOS), np.arange(N_VIDEOS)%3+1)
    hidden = rng.normal(size=(N_VIDEOS, 4))[video]
    feats = {modality: 3+hidden@rng.normal(size=(4, width))+rng.normal(size=(len(video), width))
             for modality, width in dict(audio=8, video=6).items()}
    starts = np.arange(len(video))-np.searchsorted(video, video)
    def make(other=(), by=9.):
        changed = {name: x+by*np.isin(video, other)[:, None]*(1+np.arange(x.shape[1])) for name, x in feats.items()}
        data = array_data(tmp_path_factory.mktemp('data'), changed, video, starts, list(map(str, range(N_VIDEOS))))
        return with_test(data, TEST)
    return make

def held_out(data): return np.flatnonzero(data.split!='train')

def assert_same_weights(model, other):
    for name, o in model.state_dict().items(): assert torch.equal(o, other.state_dict()[name]), name

def differ(model, other):
    return any(not torch.equal(o, other.state_dict()[name]) for name, o in model.state_dict().items())

def prepared(data):
    config = replace(RECIPES['aligned'], embed_dim=8, hidden_dim=8, autoencoder_epochs=1, dropout=0.)
    model = make_model(config, data.dims)
    prepare_model(model, config, data)
    return model

def test_scale_and_first_weights_come_from_training_videos(make_data):
    plain = make_data()
    assert_same_weights(prepared(plain), prepared(make_data(held_out(plain))))
    assert differ(prepared(plain), prepared(make_data(np.flatnonzero(plain.split=='train')[:1])))

def test_the_scale_is_that_of_the_training_segments(make_data):
    data = make_data()
    mean, factor = prepared(data).audio_mean_and_factor
    feats = data.load('audio', data.in_split('train')).numpy()
    np.testing.assert_allclose(mean, feats.mean(0), rtol=1e-5)
    np.testing.assert_allclose(1/factor, feats.std(0), rtol=1e-4)

def test_test_videos_do_not_change_what_is_learned(make_data):
    config = replace(RECIPES['aligned'], embed_dim=8, hidden_dim=8, batch_size=16, max_epochs=2)
    fitted, same = (fit_in_memory(make_data(o), config) for o in ((), TEST))
    assert_same_weights(fitted.model, same.model)
    assert fitted.best==same.best
    valid = np.flatnonzero(make_data().split=='valid')
    assert fit_in_memory(make_data(valid), config).best.loss!=fitted.best.loss # which chooses the epoch

def test_features_before_training_are_scaled_by_training_videos(make_data):
    plain, changed = make_data(), make_data(TEST[1:])
    before, after = (_embed_before(o, 'audio', o.in_split('test'), o.in_split('train')) for o in (plain, changed))
    np.testing.assert_array_equal(before[0], after[0]) # the first test video is as it was, the others are not
    assert not np.isclose(before[1:], after[1:]).all(1).any()

# Probes

def probe_data(multilabel):
    "Features, labels and folds of 60 videos by twelve artists"
    rng = np.random.default_rng(0)
    artist = np.arange(60)//5
    truth = np.eye(3, dtype=bool)[np.arange(60)%3]
    feats = rng.normal(size=(60, 6))+truth@rng.normal(size=(3, 6))
    if multilabel: truth = truth | (rng.random((60, 3))<.2)
    return feats, Labels(truth, ['a', 'b', 'c'], artist, multilabel), [np.flatnonzero(artist%3==o) for o in range(3)]

@pytest.mark.parametrize('multilabel', [False, True])
@pytest.mark.parametrize('kind', list(KINDS))
def test_test_videos_do_not_change_a_probe(monkeypatch, kind, multilabel):
    feats, labels, folds = probe_data(multilabel)
    monkeypatch.setattr(cross_validation, 'stratified_group_folds', lambda *args: folds[:1])
    monkeypatch.setattr(classifiers, 'STRENGTHS', (1., 64.))
    def predict(feats, truth):
        return predict_folds(dict(x=feats), replace(labels, truth=truth), protocol=Protocol(kind, n_seeds=1))
    kept, others = folds[0][0], folds[0][1:]
    other_feats, other_truth = feats.copy(), labels.truth.copy()
    other_feats[others] += 50*np.arange(1, 7)
    other_truth[others] = other_truth[others][:, ::-1]
    found, same = predict(feats, labels.truth), predict(other_feats, other_truth)
    np.testing.assert_array_equal(found.probs['x'][0, kept], same.probs['x'][0, kept])
    np.testing.assert_array_equal(found.decided['x'][0, kept], same.decided['x'][0, kept])
    other_feats[folds[1]] += 50*np.arange(1, 7) # training videos do
    assert not np.array_equal(found.probs['x'][0, kept], predict(other_feats, other_truth).probs['x'][0, kept])

@pytest.mark.parametrize('multilabel', [False, True])
@pytest.mark.parametrize('kind', list(KINDS))
def test_inner_folds_keep_artists_together(monkeypatch, kind, multilabel):
    feats, labels, _ = probe_data(multilabel)
    tasks, fit = [], KINDS[kind]
    monkeypatch.setitem(KINDS, kind, lambda task: tasks.append(task) or fit(task))
    y = labels.truth if multilabel else labels.truth.argmax(1)
    Probe(kind).fit(feats, y, labels.groups)
    (task,) = tasks
    assert sorted(np.concatenate(task.folds))==list(range(60))
    for fold in task.folds:
        inside, outside = set(labels.groups[fold]), set(labels.groups[task.training_part(fold)])
        assert inside and outside and not inside & outside

def test_an_emotion_classifier_is_scaled_by_labelled_videos():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(3, 2, size=(12, 4)), ['Sad', 'Fear']*4+[None]*4
    net, same = (train_emotion(o, labels, epochs=1) for o in (x, np.r_[x[:8], 1e3+x[8:]]))
    np.testing.assert_allclose(net.scale[0], x[:8].mean(0), rtol=1e-5)
    assert_same_weights(net, same)

# Retrieval on MuVi-Sync

@pytest.fixture(scope='module')
def cuts(): return all_views(make_muvi(24), 50)

@pytest.mark.parametrize('view', ['style', 'curves', 'structure'])
def test_inner_folds_are_compared_by_maps_of_the_others(cuts, view):
    fold = np.arange(8)
    changed = copy.deepcopy(cuts.views)
    for views in changed:
        for modality in views: views[modality][view][1:8] += 5*np.ones(views[modality][view].shape[-1])
    found, same = (muvi_retrieval._held_out_similarity(o, view, fold, 1.) for o in (cuts.views, changed))
    assert found[0, 0]==same[0, 0] and not np.isclose(found[1, 1], same[1, 1], atol=1e-6)
    assert found.shape==(8, 8)

class Stop(Exception):
    "Ends a training whose folds are known"

def test_inner_folds_of_retrieval_keep_artists_together(monkeypatch, cuts):
    "Duets included"
    found = []
    def stop(views, view, folds):
        found.extend(folds)
        raise Stop
    monkeypatch.setattr(muvi_retrieval, '_choose_ridge', stop)
    artists = [f'Artist {i//3}' for i in range(24)]
    artists[3] = 'Artist 1 feat. Artist 7'
    table = pd.DataFrame(dict(id=cuts.video_ids, artist=artists))
    with pytest.raises(Stop): fit_retrieval(make_muvi(24), table, k=3, cuts=cuts)
    artist = np.where(np.arange(24)//3==7, 1, np.arange(24)//3)
    assert len(found)==3 and sorted(np.concatenate(found))==list(range(24))
    assert sum(len(set(artist[fold])) for fold in found)==len(set(artist))

def test_the_ridge_with_the_smallest_loss_is_chosen(monkeypatch):
    "Similarities that tell pairs apart for one strength, and mislead for the others"
    sims = {.25: np.eye(6)[::-1], 1.: 1-np.eye(6), 4.: 3*np.eye(6)}
    monkeypatch.setattr(muvi_retrieval, '_held_out_similarity', lambda cuts, view, fold, strength: sims[strength])
    best, found = muvi_retrieval._choose_ridge([], 'style', [0, 1])
    assert best==4 and all(o is sims[4.] for o in found) and len(found)==2
