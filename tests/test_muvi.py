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
from mvrep.learning.muvi_retrieval import (MuViRetrieval, all_views, apply_view, cca, evaluate_files, fit_retrieval,
                                            fit_view, fit_weights)
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
    measured = evaluate_files(files/'train.npz', files/'test.npz', files/'artists.csv')
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
