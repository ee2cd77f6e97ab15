"Retrieval on MuVi-Sync: the command, what makes it fail, embeddings, and one fold of the real data"
import json
import os
import subprocess
import sys
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
from mvrep.corpus.folds import group_folds
from mvrep.corpus.muvi import load_muvi, make_muvi, read_artists, save_muvi
from mvrep.corpus.names import artist_groups
from mvrep.learning import muvi_retrieval
from mvrep.learning.muvi_retrieval import (MuViRetrieval, ViewMap, _covariance_root, all_views, apply_view, cca,
                                            evaluate_files, fit_retrieval, fit_view, fit_weights)
from mvrep.metrics.ranking import retrieval_metrics

def fit_and_measure(train, test):
    model = fit_retrieval(train)
    return retrieval_metrics(model.embed_audio(test), model.embed_video(test), n_boot=0)

@pytest.fixture(scope='module')
def data(): return make_muvi(40)

@pytest.fixture(scope='module')
def model(data): return fit_retrieval(data)

@pytest.fixture
def files(tmp_path):
    "Packed files to train on and to search, and a CSV of artists"
    data = make_muvi(60)
    save_muvi(data.subset(data.video_ids[:40]), tmp_path/'train.npz')
    save_muvi(data.subset(data.video_ids[40:]), tmp_path/'test.npz')
    artists = pd.DataFrame(dict(id=data.video_ids, artist=[f'Artist {i//2}' for i in range(60)]))
    artists.to_csv(tmp_path/'artists.csv', index=False)
    return tmp_path

# The parts

def test_cca_finds_what_is_shared():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(2000, 1))
    x, y = (hidden*rng.normal(size=(1, 8))+rng.normal(size=(2000, 8)) for _ in range(2))
    found = cca(x-x.mean(0), y-y.mean(0), 3, (.01, .01))
    assert np.corrcoef((x@found.x_map)[:, 0], hidden[:, 0])[0, 1]**2>.7
    assert found.correlations[1]<.2

def test_cca_by_hand():
    "Two features each, of which the first ones correlate by .6; without a ridge their correlation is a weight"
    x = np.array([[1., 1], [1, -1], [-1, 1], [-1, -1]])
    y = np.c_[.6*x[:, 0]+.8*x[:, 0]*x[:, 1], 0*x[:, 0]+.5*x[:, 1]]
    for power in (0., 1., .5):
        found = cca(x, y, 2, (0., 0.), power)
        np.testing.assert_allclose(found.correlations, [1, .6], atol=1e-6)
        np.testing.assert_allclose(abs(found.x_map), [[0, .6**power], [1, 0]], atol=1e-6)
        np.testing.assert_allclose(abs(found.y_map), [[0, .6**power], [2, 0]], atol=1e-6)

def test_a_ridge_is_in_units_of_the_mean_variance():
    "A variance of 9 and of 1 with a ridge of .5: 2.5 is added to both"
    x = np.array([[3., 1], [3, -1], [-3, 1], [-3, -1]])
    np.testing.assert_allclose(_covariance_root(x, .5), np.diag(np.sqrt([11.5, 3.5])), atol=1e-6)
    found = cca(x, x, 2, (.5, 0.))
    np.testing.assert_allclose(found.correlations, [np.sqrt(9/11.5), np.sqrt(1/3.5)], atol=1e-6)

def test_the_strength_is_a_factor_of_the_ridges(monkeypatch):
    "And only the style is learned from all cuts"
    seen = {}
    monkeypatch.setattr(muvi_retrieval, 'fit_view', lambda audio, video, **settings: (len(audio), settings))
    def make_cut(i):
        views = dict(style=np.zeros((3, 2)), fast=np.zeros((3, 5, 2)), structure=np.full((3, 2), float(i)))
        return dict(audio=views, video=views)
    cuts = [make_cut(i) for i in range(5)]
    def fit(view): return muvi_retrieval._fit_rows(cuts, view, np.array([0, 2]), 4.)
    assert fit('style')==(10, dict(k=32, ridge=[8., 64.], power=.75))
    assert fit('fast')==(2, dict(k=12, ridge=[4., 4.], power=.5))
    found = fit('structure')
    assert found['audio'].mean.tolist()==[0, 0] and found['audio'].map is None

def test_views_are_weighted_in_the_dot_product():
    maps = dict(one=ViewMap(np.zeros(2)), other=ViewMap(np.zeros(2)))
    model = MuViRetrieval(dict(audio=maps, video=maps), dict(one=3., other=1.), 150)
    audio = model.embed(dict(one=np.array([[2., 0]]), other=np.array([[0., 5]])), 'audio')
    video = model.embed(dict(one=np.array([[1., 0], [0, 1]]), other=np.array([[1., 0], [0, 1]])), 'video')
    np.testing.assert_allclose(audio@video.T, [[3/4, 1/4]], atol=1e-6)

def test_the_loss_of_weights_by_hand():
    "Both directions of a similarity that is not symmetric, and the slope by the logarithm of a weight"
    sim, weight = np.array([[1., 0], [.5, .5]]), 2.
    def loss(weight):
        rows, columns = (np.exp(weight*o)/np.exp(weight*o).sum(1, keepdims=True) for o in (sim, sim.T))
        return -np.log(np.r_[np.diag(rows), np.diag(columns)]).sum()
    found, gradient = muvi_retrieval._weight_loss(np.log([weight]), [o[None] for o in (sim, sim.T)])
    assert found==pytest.approx(loss(weight))
    assert gradient[0]==pytest.approx((loss(weight*1.0001)-loss(weight/1.0001))/(2*np.log(1.0001)), rel=1e-4)
    weights, mean_loss = fit_weights([dict(a=sim, b=-sim)])
    assert mean_loss==pytest.approx(loss(weights['a']-weights['b'])/4) and mean_loss<loss(1.)/4

def test_a_view_is_standardised_by_its_training_part():
    rng = np.random.default_rng(0)
    audio, video = rng.normal(5, 3, (50, 7, 4)), rng.normal(-2, .1, (50, 7, 6))
    maps = fit_view(audio, video, k=2)
    np.testing.assert_allclose(maps['audio'].mean, audio.reshape(-1, 4).mean(0))
    emb = apply_view(video, maps['video'])
    assert emb.shape==(50, 7*2) and emb.dtype==np.float32
    np.testing.assert_allclose(np.linalg.norm(emb, axis=1), 1, atol=1e-5)

def test_weights_prefer_a_view_that_knows():
    rng = np.random.default_rng(0)
    sims = dict(informative=np.eye(50)+.3*rng.normal(size=(50, 50)), noise=rng.normal(size=(50, 50)))
    weights, loss = fit_weights([sims])
    assert weights['informative']>20*weights['noise'] and loss<np.log(50)/2

# The model

def test_coupled_modalities_are_found():
    data = make_muvi(72)
    measured = fit_and_measure(data.subset(data.video_ids[:48]), data.subset(data.video_ids[48:]))
    assert measured['video_to_audio_median_rank']<3

def test_independent_modalities_are_at_chance():
    "No leak between the modalities: without coupling in the data, ranks are uniform"
    found = []
    for seed in range(3):
        data = make_muvi(90, coupling=0., seed=seed)
        measured = fit_and_measure(data.subset(data.video_ids[:50]), data.subset(data.video_ids[50:]))
        found.append(measured['video_to_audio_mean_rank'])
    assert abs(np.mean(found)-20.5)<4*11.5/np.sqrt(40*3) # four standard errors of uniform ranks 1–40

def test_embeddings_are_unit_vectors_of_single_videos(data, model):
    emb = model.embed_audio(data)
    np.testing.assert_allclose(np.linalg.norm(emb, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(model.embed_audio(data.subset(data.video_ids[7:9])), emb[7:9], atol=1e-4)

def test_a_cut_is_embedded_like_the_whole(data, model):
    np.testing.assert_allclose(model.embed_audio(data.cut(150)), model.embed_audio(data), atol=1e-4)

def test_short_videos_are_embedded(data, model):
    short = data.cut(90).subset(data.video_ids[:3])
    audio, video = model.embed_audio(short), model.embed_video(short)
    assert audio.shape==video.shape==(3, model.embed_video(data).shape[1])
    assert np.isfinite(audio).all()
    np.testing.assert_allclose(np.linalg.norm(video, axis=1), 1, atol=1e-5)
    assert model.embed_video(data.cut(40)).shape==model.embed_video(data).shape

def test_a_saved_model_embeds_alike(data, model, tmp_path):
    model.save(tmp_path/'model')
    loaded = MuViRetrieval.load(tmp_path/'model')
    np.testing.assert_allclose(loaded.embed_video(data), model.embed_video(data), atol=1e-6)
    assert (loaded.weights, loaded.ridges, loaded.seconds)==(model.weights, model.ridges, 150)

def test_a_folder_of_another_model_is_refused(tmp_path):
    (tmp_path/'config.json').write_text(json.dumps(dict(kind='JointModel')))
    with pytest.raises(ValueError, match='not of a MuViRetrieval'): MuViRetrieval.load(tmp_path)
    with pytest.raises(OSError): MuViRetrieval.load(tmp_path/'nothing')

def test_the_length_compared_is_that_of_the_cuts(data, tmp_path):
    cuts = all_views(data, 100)
    model, same = fit_retrieval(data, cuts=cuts), fit_retrieval(data, seconds=100)
    model.save(tmp_path/'model')
    emb = model.embed_audio(data)
    assert (model.seconds, MuViRetrieval.load(tmp_path/'model').seconds)==(100, 100)
    np.testing.assert_array_equal(emb, same.embed_audio(data))
    np.testing.assert_array_equal(emb, model.embed(cuts.views[0]['audio'], 'audio'))
    with pytest.raises(ValueError, match='seconds=150, but the cuts are 100 s long'):
        fit_retrieval(data, seconds=150, cuts=cuts)

def test_cuts_of_other_videos_are_refused(data):
    ids = list(data.video_ids)
    cuts, some = all_views(data, 50), data.subset(ids[:25])
    with pytest.raises(ValueError, match='those of 40 videos, not of the 25 videos'): fit_retrieval(some, cuts=cuts)
    with pytest.raises(ValueError, match='in their order'): fit_retrieval(data.subset(ids[::-1]), cuts=cuts)
    with pytest.raises(ValueError, match="no cuts of 'other'"): cuts.subset([ids[0], 'other'])
    found, expected = fit_retrieval(some, cuts=cuts.subset(ids[:25])), fit_retrieval(some, seconds=50)
    np.testing.assert_array_equal(found.embed_video(data), expected.embed_video(data))

def test_too_few_videos_are_refused():
    with pytest.raises(ValueError, match='at least 20 videos'): fit_retrieval(make_muvi(4))

# The command

def run(folder, *args):
    command = [sys.executable, '-m', 'mvrep.learning.muvi_retrieval', *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)

def test_command_prints_measures_and_saves_the_model(files):
    done = run(files, 'train.npz', 'test.npz', '--artists', 'artists.csv', '--save', 'model')
    assert done.returncode==0, done.stderr
    measured = json.loads(done.stdout)
    assert list(measured)[:4]==['n_train', 'seed', 'n_test_by_artists_trained_on', 'n_test_shorter_than_150_s']
    assert measured['pool_size']==20 and measured['chance_median_rank']==10.5
    assert measured['audio_to_video_median_rank']<3 and measured['video_to_audio_R@10']>.9
    assert sorted(o.name for o in (files/'model').iterdir())==['config.json', 'model.safetensors']

def test_command_refuses_a_file_twice(files):
    done = run(files, 'train.npz', 'train.npz')
    assert done.returncode==2 and '40 videos are in both files' in done.stderr and 'Traceback' not in done.stderr

def test_command_names_a_missing_file(files):
    done = run(files, 'train.npz', 'none.npz')
    assert done.returncode==2 and 'none.npz' in done.stderr and 'Traceback' not in done.stderr

def test_test_videos_by_known_artists_are_counted(files):
    artists = pd.read_csv(files/'artists.csv', dtype=str)
    artists.loc[45, 'artist'] = 'Artist 3'
    artists.to_csv(files/'artists.csv', index=False)
    save_muvi(load_muvi(files/'test.npz').cut(150), files/'test.npz')
    measured = evaluate_files(files/'train.npz', files/'test.npz', files/'artists.csv')
    assert measured['n_test_shorter_than_150_s']==0
    assert (measured['n_train'], measured['n_test_by_artists_trained_on'])==(40, 1)

# Real data

@pytest.fixture
def real():
    "MuVi-Sync and its artists"
    home = Path(os.environ.get('MVREP_SHARED', 'missing'))/'muvi_sync'
    if not home.is_dir(): pytest.skip('MVREP_SHARED names no folder with muvi_sync/ in it')
    return load_muvi(next(home.glob('*.npz'))), home/'labels'/'meta_harmonix.csv'

def test_folds_of_the_real_data_share_no_artist(real):
    data, artists = real
    groups = artist_groups(read_artists(artists, data.video_ids))
    for fold in group_folds(groups):
        assert not set(groups[fold]) & set(np.delete(groups, fold))
        assert 110<len(fold)<130

def test_one_fold_of_the_real_data(real):
    data, artists = real
    test = group_folds(artist_groups(read_artists(artists, data.video_ids)), seed=1)[0]
    model = fit_retrieval(data.subset(np.delete(data.video_ids, test).tolist()), artists)
    held_out = data.subset([data.video_ids[i] for i in test])
    measured = retrieval_metrics(model.embed_audio(held_out), model.embed_video(held_out), n_boot=0)
    for direction in ('video_to_audio', 'audio_to_video'):
        assert measured[f'{direction}_median_rank']<=18 and measured[f'{direction}_R@10']>=.35
