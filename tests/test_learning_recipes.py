"Recipes of the thesis: the published rank formula, the ladder, training in memory against `train_model`, scores"
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
import numpy as np
import pandas as pd
import pytest
import torch
from mvrep.corpus.folds import group_folds
from mvrep.learning.config import RECIPES
from mvrep.learning.recipes import (LADDER, THESIS_TABLE, _mean_loss, array_data, fit_in_memory, measure,
                                    published_ranks, score, with_test)
from mvrep.learning.losses import VeldkampLoss
from mvrep.learning.training import train_model
from mvrep.metrics.ranking import ranks

SMALL = dict(batch_size=24, hidden_dim=64)

@pytest.fixture(scope='module')
def data(tmp_path_factory):
    "Synthetic: 120 videos with three segments, whose audio and video share six hidden numbers"
    rng = np.random.default_rng(0)
    hidden = np.repeat(rng.normal(size=(120, 6)), 3, 0)
    feats = {}
    for modality, width in dict(audio=24, video=16).items():
        signal = (hidden+.7*rng.normal(size=hidden.shape))@rng.normal(size=(6, width))
        feats[modality] = signal+rng.normal(size=(360, width))
    artists = [f'artist {i//3}' for i in range(120)]
    starts = np.tile(np.arange(3)*5., 120)
    data = array_data(tmp_path_factory.mktemp('data'), feats, np.repeat(np.arange(120), 3), starts, artists)
    return with_test(data, group_folds(data.groups['artist'], 4, 0)[0])

# Published ranks

@pytest.fixture(scope='module')
def sims():
    rng = np.random.default_rng(0)
    perfect, random = (rng.uniform(-1, .9, (1000, 1000)) for _ in range(2))
    np.fill_diagonal(perfect, 1.)
    return dict(perfect=perfect, random=random)

def test_published_ranks_are_near_half_for_any_similarity(sims):
    assert np.median(ranks(sims['perfect']))==1 and np.median(ranks(sims['random']))>400
    for sim in sims.values():
        for published in published_ranks(sim): assert 400<np.median(published)<600

def test_published_ranks_do_not_move_with_the_true_rank(sims):
    right, published = [], []
    for noise in np.linspace(0, 1, 5):
        sim = (1-noise)*np.eye(1000)+noise*sims['random']
        right.append(np.median(ranks(sim)))
        published.append(np.median(published_ranks(sim)[0]))
    assert min(right)==1 and max(right)>400
    assert max(abs(o-500) for o in published)<60

# Table 1 and the ladder

def test_quoted_losses_are_below_chance():
    for row in THESIS_TABLE:
        loss = VeldkampLoss(row.change.get('temperature', 1.))
        assert loss.floor(1000, nonnegative=not row.change.get('single_sided'))<row.loss<loss.chance(1000)

def test_each_rung_is_one_change():
    rungs = {o.name: o for o in LADDER}
    base = replace(RECIPES['thesis'], batch_size=64)
    assert len(rungs)==len(LADDER)==13 and LADDER[0].settings=={}
    for rung in LADDER[1:]:
        below = rungs[rung.after]
        changed = {k for k, v in rung.settings.items() if v!=below.settings.get(k, getattr(base, k))}
        allowed = dict(temperature={'loss', 'temperature', 'learned_temperature'}) | {
            'slower optimiser': {'lr', 'weight_decay', 'lr_decay'}}
        larger = rung.name.startswith('larger batches')
        expected = {'batch_size', 'passes_per_epoch'} if larger else allowed.get(rung.name)
        if expected: assert changed==expected
        else: assert len(changed)+(rung.segments!=below.segments)==1

# Data

def test_no_artist_is_in_two_splits(data):
    parts = [set(data.groups['artist'][data.split==o]) for o in ('train', 'valid', 'test')]
    assert sum(map(len, parts))==len(set.union(*parts))==40

def test_arrays_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match='an artist for each of 2 videos'):
        array_data(tmp_path, {}, ['a', 'b'], np.zeros(2), ['x'])
    with pytest.raises(ValueError, match='sort the rows by video'):
        array_data(tmp_path, {}, ['a', 'b', 'a'], np.zeros(3), ['x', 'y'])

# Training and scores

@pytest.mark.parametrize('recipe', ['thesis', 'aligned'])
def test_training_in_memory_is_training(data, recipe, tmp_path):
    config = replace(RECIPES[recipe], max_epochs=3, **SMALL)
    fitted, model = fit_in_memory(data, config), train_model(data, config, tmp_path)
    assert (fitted.best.epoch, fitted.best.n_epochs)==(model.origin.epoch, model.origin.epochs)
    assert abs(fitted.best.loss-model.origin.metrics['valid_loss'])<1e-5
    x = data.load('audio', data.in_split('test')).numpy()
    np.testing.assert_allclose(fitted.model.embed_segments('audio', x), model.embed_segments('audio', x), atol=1e-4)

def embed(model, data, positions):
    "Audio and video embeddings of segments"
    return [torch.from_numpy(model.embed_segments(o, data.load(o, positions).numpy())) for o in data.paths]

def test_the_best_epoch_is_kept(data):
    config = replace(RECIPES['thesis'], lr=.1, patience=2, max_epochs=30, **SMALL)
    fitted = fit_in_memory(data, config)
    assert 0<fitted.best.epoch and fitted.best.n_epochs==fitted.best.epoch+3
    valid, losses = data.first_segments('valid'), []
    assert len(valid)<=24 # one batch
    audio, video = embed(fitted.model, data, valid)
    assert fitted.loss(audio, video).item()==pytest.approx(fitted.best.loss, rel=1e-5)
    assert not fitted.model.training

def test_validation_loss_is_a_mean_over_videos():
    def loss_and_embeddings(batch): return torch.tensor(batch['loss']), None, None
    task = SimpleNamespace(eval=lambda: None, loss_and_embeddings=loss_and_embeddings)
    batches = [dict(loss=1., ids=[0, 1, 2]), dict(loss=5., ids=[3])]
    assert _mean_loss(task, batches)==2

def test_validation_videos_are_a_ninth_of_the_others(data):
    counts = {o: (data.split==o).sum() for o in ('train', 'valid', 'test')}
    assert counts['test']==30 and 9<=counts['valid']<=12

def test_chance_and_floor_are_those_of_the_gallery(data):
    fitted = fit_in_memory(data, replace(RECIPES['thesis'], max_epochs=1, **SMALL))
    found = score(fitted, data)
    assert found['pool_size']==30 and found['loss_chance']==pytest.approx(2*np.log(30))
    assert found['loss_floor']==pytest.approx(2*np.log(1+29*np.exp(-1))) # behind a sigmoid, no cosine is negative
    assert found['chance_median_rank']==15.5
    linear = replace(fitted, config=replace(fitted.config, output='linear'))
    assert score(linear, data)['loss_floor']==pytest.approx(2*np.log(1+29*np.exp(-1-1/29)))

def test_first_or_all_segments_represent_a_video(data):
    fitted = fit_in_memory(data, replace(RECIPES['thesis'], max_epochs=1, **SMALL))
    positions = data.first_segments('test')
    audio, video = embed(fitted.model, data, positions)
    assert score(fitted, data)['loss']==pytest.approx(fitted.loss(audio, video).item(), rel=1e-5)
    assert abs(score(fitted, data, 'all')['loss']-score(fitted, data)['loss'])>1e-5

def test_a_loss_that_is_not_a_number(data):
    with pytest.raises(ValueError, match='a lower lr'):
        fit_in_memory(data, replace(RECIPES['aligned'], lr=1e30, max_epochs=3, **SMALL))

def test_scores_follow_what_was_learned(data):
    config = replace(RECIPES['thesis'], **SMALL)
    trained = score(fit_in_memory(data, config), data)
    untrained = score(fit_in_memory(data, replace(config, lr=0., max_epochs=1)), data)
    assert trained['loss_floor']<trained['loss']<trained['loss_chance']
    assert trained['video_to_audio_median_rank']<untrained['video_to_audio_median_rank']/2
    published = [trained[f'published_{o}_median_rank'] for o in ('video_to_audio', 'audio_to_video')]
    assert published[0]==published[1]

def test_the_published_rank_by_hand():
    "Place of the own number when row `i` is sorted: of videos over songs"
    sim = np.array([[5, 6, 3], [7, 4, 9], [8, 1, 2.]])
    for ranks_of in published_ranks(sim): assert ranks_of.tolist()==[2, 0, 0]
    assert measure(np.eye(3), sim)['published_video_to_audio_median_rank']==0
    assert measure(sim, np.eye(3))['published_video_to_audio_median_rank']==1 # of the transpose: 0, 1, 1

def test_published_measures_stand_beside_right_ones():
    emb = np.eye(8, dtype=np.float32)
    found = measure(emb, emb)
    assert found['video_to_audio_median_rank']==1 and found['published_video_to_audio_median_rank']>1

# Committed results of bench/experiments.py

def read(name): return pd.read_csv(Path(__file__).parents[1]/'results'/f'{name}.csv')

def test_table_1_is_complete():
    rows = read('table1')
    for _, o in rows.groupby(['data', 'coupling'], dropna=False): assert o.row.tolist()==[o.name for o in THESIS_TABLE]
    assert (rows.published_video_to_audio_median_rank==rows.published_audio_to_video_median_rank).all()
    made = rows[rows.models.notna()]
    assert (made.models>=3).all() and len(made)==24

def test_the_ladder_is_complete():
    rows = read('ladder')
    assert rows[rows.data=='MuVi-Sync'].rung.tolist()==[o.name for o in LADDER]
    assert (rows.models>=3).all()
    closed = read('experiments_baselines')
    assert closed.row.tolist()==['CCA', 'CCA, library defaults', 'ridge', 'ridge, library defaults']
