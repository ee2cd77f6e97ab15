"Training: batches and epochs, resumed and killed runs, several processes, evaluation, an index that is trained"
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from ragged import metadata
from mvrep.corpus.demo import tiny_corpus
from mvrep.corpus.manifest import read_manifest
from mvrep.encoders.registry import Encoder
from mvrep.features.store import FeatureStore
from mvrep.index.index import Index
from mvrep.index.examples import tiny_index
from mvrep.index.indexing import add_videos
from mvrep.index.joint_space import evaluate, train
from mvrep.learning.batches import Batches, EpochSampler, validation_batches
from mvrep.learning.config import RECIPES, TrainConfig, make_loss, make_model
from mvrep.learning.data import _fingerprint, _is_copy, training_data
from mvrep.learning.distributed import gather_rows
from mvrep.learning.evaluation import _artist_counts, _label_precision, evaluate_model
from mvrep.learning.model import JointModel, load_model
from mvrep.learning.synthetic import SyntheticNetwork, synthetic_store
from mvrep.learning.training import TrainingModule, run_history, run_name, train_model
from mvrep.media.segments import Segment

COLUMNS = dict(audio='audio', video='video')
pytestmark = pytest.mark.filterwarnings('ignore:the first of') # trainings of a few epochs, too few to learn

def assert_same_weights(model, other):
    for name, o in model.state_dict().items(): assert torch.equal(o, other.state_dict()[name]), name

# A small corpus

def fill(store, n, k, lengths):
    "Add `n` videos of `k` segments, or of one to `k` with `lengths`, whose modalities share four causes"
    rng = np.random.default_rng(0)
    encoders = [Encoder('audio', 'audio', SyntheticNetwork(20)), Encoder('video', 'video', SyntheticNetwork(12))]
    for encoder in encoders: store.add_column(encoder)
    mixtures = [rng.normal(size=(4, encoder.dim)) for encoder in encoders]
    for i in range(n):
        m, causes = 1+i%k if lengths else k, rng.normal(size=4)
        feats = {e: causes@mixture+rng.normal(size=(m, e.dim)) for e, mixture in zip(encoders, mixtures)}
        store.put(f'v{i:02d}', [Segment(j, 5.*j, 5.) for j in range(m)], 'x', feats)

def make_data(folder, n=60, k=3, lengths=False):
    "Training data of a store in `folder`, which is filled if it is new: 40 videos to train on, 10 to validate with"
    store = FeatureStore(folder)
    if not len(store): fill(store, n, k, lengths)
    split = ['train']*40+['valid']*10+['test']*(n-50)
    videos = dict(artist=[f'a{i//3}' for i in range(n)], genre=None, sha256=None, split=split)
    return training_data(store, COLUMNS, pd.DataFrame(videos, index=[f'v{i:02d}' for i in range(n)]))

def small_config(recipe, **settings):
    small = dict(dropout=0., embed_dim=16, hidden_dim=32, batch_size=24)
    return replace(RECIPES[recipe], **small | settings)

@pytest.fixture(scope='module')
def corpus(tmp_path_factory):
    "The synthetic store, its videos, and its training data"
    store, videos = synthetic_store(tmp_path_factory.mktemp('corpus')/'store')
    return store, videos, training_data(store, COLUMNS, videos)

@pytest.fixture(scope='module')
def trained(corpus, tmp_path_factory):
    "A model of each recipe after a few epochs, and the folder of their runs"
    runs = tmp_path_factory.mktemp('trained')
    epochs = dict(thesis=4, aligned=4, track=2)
    models = {name: train_model(corpus[2], replace(RECIPES[name], max_epochs=n), runs) for name, n in epochs.items()}
    return models, runs

# Data

def test_a_copy_without_a_modality_is_the_one_left_out(corpus):
    "Whatever its split"
    found = _is_copy(pd.DataFrame(dict(video_id=list('abcd'), recording=list('xxyy'), artist=None, title=None,
                                       sha256=None, split=['train', 'valid', 'test', 'valid'])),
                     np.array([False, True, True, True]))
    assert found.tolist()==[True, False, True, False]

def test_splits_share_no_artist(corpus):
    _, videos, data = corpus
    artists = [set(videos.artist[data.video_ids[data.split==o]]) for o in ('train', 'valid', 'test')]
    assert sum(len(o) for o in artists)==len(set.union(*artists))==40

def fingerprint_of(**changed):
    "Fingerprint of two videos, of which something is changed"
    made_by = changed.pop('made_by', 'a 1')
    done = pd.DataFrame(dict(source=changed.pop('source', 's'), audio_made_by=made_by, video_made_by='v 1'),
                        index=['a', 'b'])
    known = dict(columns=COLUMNS, video_ids=['a', 'b'], split=np.array(['train', 'valid']),
                 groups=dict(artist=np.array([0, 1]), genre=np.array([-1, -1])))
    return _fingerprint(SimpleNamespace(done=lambda: done), **known|changed)

def test_the_fingerprint_depends_on_all_that_is_trained_on():
    changes = [{}, dict(made_by='a 2'), dict(source='t'), dict(video_ids=['b', 'a']), dict(video_ids=['a']),
               dict(split=np.array(['train', 'test'])), dict(columns=dict(audio='video', video='audio')),
               dict(groups=dict(artist=np.array([0, 0]), genre=np.array([-1, -1]))),
               dict(groups=dict(artist=np.array([0, 1]), genre=np.array([-1, 0])))]
    assert fingerprint_of()==fingerprint_of() and len({fingerprint_of(**o) for o in changes})==len(changes)

def test_irregular_videos(ragged):
    "Segments with both modalities, their starts and videos; a duet makes one artist of two; splits that are missing"
    given = dict(late=None, c10='valid', c11='valid')
    videos = metadata().set_index('video_id')
    videos['split'] = [given.get(o, 'train') for o in videos.index]
    data = training_data(ragged.store, ragged.build.columns, videos)
    keys = ragged.store.keys().reset_index(drop=True)
    complete = keys[~keys.video_id.isin(['no_audio', 'no_video'])]
    assert data.rows.tolist()==complete.index.tolist()
    assert data.starts.tolist()==complete.start.tolist()
    assert data.video_ids[data.video_index].tolist()==complete.video_id.tolist()
    splits, numbers = dict(zip(data.video_ids, data.split)), dict(zip(data.video_ids, data.groups['artist']))
    assert (splits['late'], splits['c00'], splits['c10'])==('', 'train', 'valid')
    assert data.n_copies==1 and {splits['c04'], splits['c05']}=={'train', ''}
    assert numbers['a_unlabelled']==-1
    artist = videos.artist
    duet = [o for o in data.video_ids if artist[o] in ('Artist 3', 'Artist 4', 'Artist 3 ft. Artist 4')]
    assert len(duet)>=4 and len({numbers[o] for o in duet})==1
    assert all(numbers[o]!=numbers['c03'] for o in data.video_ids if o not in duet)
    first = data.first_segments('train')
    assert data.video_ids[data.video_index[first]].tolist()==[o for o in data.video_ids if splits[o]=='train'
                                                              and o not in ('no_audio', 'no_video')]
    starts = keys.groupby('video_id').start.min()
    assert data.starts[first].tolist()==starts[data.video_ids[data.video_index[first]]].tolist()

def test_the_fingerprint_depends_on_the_split(corpus):
    store, videos, data = corpus
    assert training_data(store, COLUMNS, videos).fingerprint==data.fingerprint
    assert training_data(store, COLUMNS, videos, seed=1).fingerprint!=data.fingerprint

def test_unknown_artists_and_genres_have_no_number(corpus):
    store, videos, _ = corpus
    artist = [None, '', 'Beyoncé', 'Beyonce ft. Jay-Z', 'JAY-Z']+['x']*235
    some = videos.assign(artist=artist, genre=[None]*239+['pop'], split=['train']*200+['valid']*40)
    groups = training_data(store, COLUMNS, some).groups
    assert groups['artist'][:6].tolist()==[-1, -1, 0, 0, 0, 1]
    assert groups['genre'].tolist()==[-1]*239+[0]

def test_too_few_videos_are_refused(corpus):
    store, videos, _ = corpus
    message = '239 videos with audio and video to train on, 1 to validate with: at least 4 and 2 are needed'
    with pytest.raises(ValueError, match=message):
        training_data(store, COLUMNS, videos.assign(split=['train']*239+['valid']))

def test_one_video_of_a_recording_is_in_a_split(corpus):
    "The copy in train stays, then the one in valid; an unknown recording has no copies"
    store, videos, whole = corpus
    assert whole.n_copies==0
    split = ['train']*200+['valid']*20+['test']*20
    recording = [None]*240
    for row in (5, 9, 210, 235): recording[row] = 'a'
    for row in (211, 236): recording[row] = 'b'
    data = training_data(store, COLUMNS, videos.assign(split=split, recording=recording))
    left_out = [9, 210, 235, 236]
    assert data.n_copies==4 and np.flatnonzero(data.split=='').tolist()==left_out
    used = np.concatenate([data.video_index[data.in_split(o)] for o in ('train', 'valid', 'test')])
    assert not np.isin(left_out, used).any()

def test_a_split_by_artist_keeps_copies_together(corpus):
    store, videos, _ = corpus
    videos = videos.assign(artist=[f'artist {i}' for i in range(240)], recording=['a', 'a']*20+[None]*200)
    for seed in range(5): assert training_data(store, COLUMNS, videos, seed).n_copies==39

# Batches

def test_batches_hold_the_rows_of_the_store(corpus):
    store, _, data = corpus
    train = data.in_split('train')
    batch = Batches(data, RECIPES['aligned'])[train[[8, 0, 4]]]
    for modality in COLUMNS:
        assert np.array_equal(batch[modality], store.matrix(modality)[data.rows[train[[0, 4, 8]]]])
    videos = data.video_index[train[[0, 4, 8]]]
    assert np.array_equal(batch['ids'], np.stack([videos, data.groups['artist'][videos]], 1))

def test_batches_of_videos_are_padded(tmp_path):
    data = make_data(tmp_path/'s', lengths=True)
    batch = Batches(data, RECIPES['track'])[data.first_segments('train')[:3]]
    assert batch['mask'].int().tolist()==[[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert batch['starts'][2].tolist()==[0, 5, 10]
    assert batch['audio'].shape==(3, 3, 20) and batch['video'].shape==(3, 3, 12)

def epoch(data, config, number):
    sampler = EpochSampler(data, config)
    sampler.set_epoch(number)
    return np.stack(list(sampler))

def test_epochs_repeat_or_are_new(corpus):
    data = corpus[2]
    thesis, aligned = (replace(RECIPES[name], batch_size=60) for name in ('thesis', 'aligned'))
    assert np.array_equal(epoch(data, thesis, 0), epoch(data, thesis, 5))
    assert (epoch(data, aligned, 0)!=epoch(data, aligned, 5)).any()
    assert epoch(data, aligned, 0).shape==(12, 60)
    assert all(len(set(data.video_index[batch]))==60 for batch in epoch(data, aligned, 0))

def test_the_passes_of_an_epoch_differ_from_each_other_and_from_those_of_the_next(corpus):
    config = replace(RECIPES['aligned'], batch_size=60)
    passes = np.concatenate([epoch(corpus[2], config, i).reshape(4, 3, 60) for i in range(3)])
    assert len({tuple(o[0]) for o in passes})==12

def test_pairs_of_one_artist_are_not_negatives(corpus):
    data = corpus[2]
    batch = Batches(data, RECIPES['aligned'])[data.first_segments('train')[:24]] # four artists
    def loss_of(**settings):
        module = make_step(data, replace(RECIPES['aligned'], **settings))
        return module.loss_and_embeddings(batch), module.loss
    (masked, audio_emb, video_emb), loss = loss_of()
    artist = batch['ids'][:, 1]
    assert masked.item()==pytest.approx(loss(audio_emb, video_emb, artist[:, None]==artist).item())
    (plain, *_), _ = loss_of(ignore_same=())
    assert plain.item()==pytest.approx(loss(audio_emb, video_emb).item()) and plain-masked>.05

def test_the_optimiser_follows_the_configuration(corpus):
    config = replace(RECIPES['aligned'], lr=.25, weight_decay=.5, lr_decay=.5)
    (optimizer,), (schedule,) = make_step(corpus[2], config).configure_optimizers()
    (group,) = optimizer.param_groups
    assert (group['lr'], group['weight_decay'])==(.25, .5)
    optimizer.step()
    schedule.step()
    assert group['lr']==.125

def test_the_loss_follows_the_configuration():
    clip, nt_xent = (make_loss(TrainConfig(loss='clip', temperature=.2, intra_modal=o)) for o in (False, True))
    assert (clip.chance(5), nt_xent.chance(5))==(np.log(5), np.log(9))
    assert clip.temperature==pytest.approx(.2) and not clip.logit_scale.requires_grad
    assert make_loss(TrainConfig(loss='clip', learned_temperature=True)).logit_scale.requires_grad
    plain, printed = make_loss(TrainConfig(temperature=.3)), make_loss(TrainConfig(loss='veldkamp_printed'))
    assert (plain.temperature, plain.chance(5), printed.chance(5))==(.3, 2*np.log(5), 2*np.log(4))

def test_the_seed_decides_the_first_weights(corpus):
    config = replace(RECIPES['thesis'], embed_dim=4, hidden_dim=4)
    one, same, other = (make_model(replace(config, seed=o), corpus[2].dims) for o in (0, 0, 1))
    assert_same_weights(one, same)
    assert not torch.equal(one.towers.audio.layers[0].weight, other.towers.audio.layers[0].weight)
    torch.manual_seed(0) # not the seed that users give, so that heads and other draws are unrelated
    assert not torch.equal(one.towers.audio.layers[0].weight, torch.nn.Linear(24, 4).weight)

def test_validation_has_the_first_segment_of_each_video(corpus):
    data = corpus[2]
    batches = validation_batches(data, replace(RECIPES['thesis'], batch_size=20))
    positions = np.concatenate(batches)
    assert [len(o) for o in batches]==[15, 15]
    assert (data.starts[positions]==0).all() and len(set(data.video_index[positions]))==30

def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="loss='triplet': want one of veldkamp, veldkamp_printed, clip"):
        make_loss(TrainConfig(loss='triplet'))

# Runs

def test_the_loss_lies_between_chance_and_floor(corpus, trained):
    models, runs = trained
    log = run_history(runs/models['thesis'].origin.run)
    loss, n = make_loss(RECIPES['thesis']), len(corpus[2].first_segments('train'))
    assert loss.floor(n, nonnegative=True)<log.train_loss.iloc[-1]<log.train_loss.iloc[0]<=loss.chance(n)+.2

def test_training_leaves_the_features_alone(tmp_path):
    data = make_data(tmp_path/'s')
    before = {modality: np.load(path) for modality, path in data.paths.items()}
    train_model(data, small_config('aligned', max_epochs=1), tmp_path/'runs', accelerator='cpu')
    for modality, path in data.paths.items(): assert np.array_equal(np.load(path), before[modality])

def test_the_best_epoch_is_restored(tmp_path):
    data = make_data(tmp_path/'s')
    config = small_config('thesis', lr=.1, patience=2, max_epochs=30, embed_dim=8)
    model = train_model(data, config, tmp_path, accelerator='cpu')
    log = run_history(tmp_path/model.origin.run)
    best = log.valid_loss.idxmin()
    assert (model.origin.epoch, model.origin.epochs)==(best, len(log)) and 0<best and len(log)==best+3
    assert model.origin.metrics==log.loc[best].to_dict()
    (positions,) = validation_batches(data, config)
    task = TrainingModule(model, config, data).eval()
    with torch.no_grad(): loss = task.loss_and_embeddings(Batches(data, config)[positions])[0]
    assert loss.item()==pytest.approx(log.valid_loss.min(), rel=1e-5)
    assert log.valid_loss.iloc[-1]>1.001*log.valid_loss.min()

def test_validation_ranks_both_directions(corpus, trained):
    models, runs = trained
    origin, data = models['aligned'].origin, corpus[2]
    positions = data.first_segments('valid')
    audio, video = (models['aligned'].embed_segments(o, data.load(o, positions).numpy()) for o in COLUMNS)
    cos = audio@video.T
    ranks = np.r_[(cos>cos.diagonal()[:, None]).sum(1), (cos.T>cos.diagonal()[:, None]).sum(1)]+1
    assert origin.metrics['valid_median_rank']==np.median(ranks)
    assert origin.metrics['valid_R@10']==pytest.approx((ranks<=10).mean())

def test_rank_10_is_among_the_first_10(corpus):
    "Twelve videos whose audio is nearer to nine others"
    values = np.r_[3., 12:3:-1, 2, 1]
    cos = torch.from_numpy(np.stack([np.roll(values, i) for i in range(12)])).float()
    module, logged = make_step(corpus[2], small_config('thesis')), {}
    module.on_validation_epoch_start()
    module.valid_embeddings += [[torch.eye(12)[:5], cos[:5]], [torch.eye(12)[5:], cos[5:]]]
    module.log = lambda name, value, **settings: logged.update({name: value})
    module.on_validation_epoch_end()
    assert logged=={'valid_median_rank': 10, 'valid_R@10': 1}
    module.on_validation_epoch_start()
    assert module.valid_embeddings==[]

def test_the_last_entry_of_an_epoch_counts(tmp_path):
    "An epoch that a resumed run repeats is logged twice"
    for start, rows in enumerate([[(0, .5, 1), (0, '', 2), (1, .4, 3)], [(1, .3, 3), (2, .2, 4)]]):
        folder = tmp_path/'csv'/str(start)
        folder.mkdir(parents=True)
        pd.DataFrame(rows, columns=['epoch', 'valid_loss', 'step']).to_csv(folder/'metrics.csv', index=False)
    assert run_history(tmp_path).valid_loss.to_dict()=={0: .5, 1: .3, 2: .2}

def test_a_stopped_run_continues_bit_for_bit(corpus, trained, tmp_path):
    models, runs = trained
    config = replace(RECIPES['thesis'], max_epochs=4)
    train_model(corpus[2], replace(config, max_epochs=2), tmp_path)
    continued = train_model(corpus[2], config, tmp_path)
    run = continued.origin.run
    assert_same_weights(models['thesis'], continued)
    pd.testing.assert_frame_equal(run_history(tmp_path/run), run_history(runs/run))

def test_a_finished_run_is_not_trained_again(corpus, trained):
    models, runs = trained
    last = runs/models['thesis'].origin.run/'last.ckpt'
    before = last.stat().st_mtime_ns
    again = train_model(corpus[2], replace(RECIPES['thesis'], max_epochs=4), runs)
    assert_same_weights(models['thesis'], again)
    assert last.stat().st_mtime_ns==before

def megabytes(path): return path.stat().st_size/1e6

def test_checkpoints_keep_what_later_epochs_need(tmp_path):
    data = make_data(tmp_path/'s')
    config = small_config('thesis', embed_dim=256, hidden_dim=1024, max_epochs=2, patience=100)
    run = tmp_path/run_name(config, data)
    model = train_model(data, config, tmp_path, accelerator='cpu')
    weights = sum(o.numel() for o in model.state_dict().values())*4/1e6
    assert megabytes(run/'best.ckpt')<1.1*weights and megabytes(run/'last.ckpt')>2.5*weights # it can go on
    train_model(data, replace(config, max_epochs=3), tmp_path, accelerator='cpu')
    assert len(run_history(run))==3

def test_a_run_that_stopped_keeps_its_best_weights_only(tmp_path):
    data = make_data(tmp_path/'s')
    config = small_config('thesis', embed_dim=256, hidden_dim=1024, max_epochs=50, patience=1, lr=.3)
    run = tmp_path/run_name(config, data)
    model = train_model(data, config, tmp_path, accelerator='cpu')
    n_epochs, last = len(run_history(run)), run/'last.ckpt'
    assert n_epochs<50 and megabytes(last)<.02
    before = last.stat().st_mtime_ns, (run/'best.ckpt').stat().st_mtime_ns
    again = train_model(data, replace(config, max_epochs=100), tmp_path, accelerator='cpu')
    assert_same_weights(model, again)
    assert (len(run_history(run)), again.origin.epoch)==(n_epochs, model.origin.epoch)
    assert (last.stat().st_mtime_ns, (run/'best.ckpt').stat().st_mtime_ns)==before

def test_a_run_is_named_by_configuration_and_data(corpus):
    store, videos, data = corpus
    name = run_name(RECIPES['thesis'], data)
    assert run_name(replace(RECIPES['thesis'], seed=1), data)!=name
    assert run_name(RECIPES['thesis'], training_data(store, COLUMNS, videos, seed=1))!=name
    assert run_name(replace(RECIPES['thesis'], max_epochs=7), data)==name

def test_half_precision_changes_the_loss_little(corpus, trained, tmp_path):
    models, runs = trained
    half = train_model(corpus[2], replace(RECIPES['aligned'], max_epochs=1), tmp_path, precision='bf16-mixed')
    full = run_history(runs/models['aligned'].origin.run).train_loss[0]
    assert run_history(tmp_path/half.origin.run).train_loss[0]==pytest.approx(full, rel=.02)

def test_a_diverging_run_ends_with_an_error(corpus, tmp_path):
    with pytest.raises(ValueError, match=r'not a number after \d epochs?: use a learning rate below lr=1e\+30'):
        train_model(corpus[2], replace(RECIPES['thesis'], lr=1e30, max_epochs=3), tmp_path)

@pytest.mark.parametrize('losses, best', [([1., 2.], 0), ([2., 1.], 1), ([1.], 0)])
def test_a_best_first_epoch_is_warned_about(monkeypatch, recwarn, losses, best):
    from mvrep.learning import training
    model = JointModel(dict(audio=3, video=2), embed_dim=4)
    checkpoint = dict(epoch=best, state_dict={f'model.{name}': o for name, o in model.state_dict().items()})
    data = SimpleNamespace(fingerprint='', columns={}, video_ids=[], split=np.array([]))
    run = SimpleNamespace(folder=Path('run'), best='', config=TrainConfig(), data=data)
    monkeypatch.setattr(training, 'run_history', lambda folder: pd.DataFrame(dict(valid_loss=losses)))
    monkeypatch.setattr(training.torch, 'load', lambda *args, **kwargs: checkpoint)
    assert training._load_best(run, model).origin.epoch==best
    found = [str(o.message) for o in recwarn]
    assert len(found)==(losses==[1., 2.]) and all('the first of 2 epochs is the best' in o for o in found)

def test_a_run_without_a_log_has_no_history(tmp_path):
    with pytest.raises(ValueError, match='has no log of an epoch'): run_history(tmp_path)

def test_a_trained_model_is_saved_with_its_origin(corpus, trained, tmp_path):
    model = trained[0]['aligned']
    model.save(tmp_path/'model.safetensors')
    loaded = load_model(tmp_path/'model.safetensors')
    assert_same_weights(model, loaded)
    assert loaded.origin.corpus==corpus[2].fingerprint and loaded.origin.columns==COLUMNS
    assert loaded.origin.config['loss']=='clip' and loaded.origin.config['learned_temperature']

# Evaluation

def test_trained_models_retrieve_held_out_videos(corpus, trained):
    _, videos, data = corpus
    untrained = make_model(RECIPES['aligned'], data.dims).eval()
    untrained.origin = trained[0]['aligned'].origin
    def median_rank(model): return evaluate_model(model, data, n_boot=10)[0]['audio_to_video_median_rank']
    assert median_rank(trained[0]['aligned'])<median_rank(untrained)

def test_a_model_without_an_origin_is_not_evaluated(corpus):
    data = corpus[2]
    with pytest.raises(ValueError, match='was not trained by train_model'):
        evaluate_model(make_model(RECIPES['aligned'], data.dims), data)

def test_label_precision_by_hand():
    """Seven videos, two a label `a` more than `b`. Audio puts the same label first, video the other label.

    Of the five neighbours that audio finds, an `a` has three of four, a `b` two of three; jointly, video decides."""
    same, other = np.repeat(np.eye(2), [4, 3], 0), np.zeros((7, 7))
    for rows in (slice(0, 4), slice(4, 7)):
        n = rows.stop-rows.start
        other[rows, rows] = np.eye(n)-1/n
    labels = np.array([*'aaaabbb', None], object)
    def with_unknown(emb): return np.r_[emb, np.ones((1, emb.shape[1]))]
    embeddings = dict(audio=with_unknown(.1*same), video=with_unknown(other))
    artists = np.array([0, 0, 1, 1, 2, 2, 3, 3]) # as if unknown: pairs of an artist count
    table = _label_precision(dict(before=embeddings), labels, artists, 10, 0).set_index('by')
    by_audio, by_video = (4*3/5+3*2/5)/7, (4*2/5+3*1/5)/7
    np.testing.assert_allclose(table.precision, [by_audio, by_video, by_video])
    np.testing.assert_allclose(table.chance, (4*3/6+3*2/6)/7)
    assert _label_precision(dict(before=embeddings), np.array([*'aaabb', *[None]*3], object), artists, 10, 0).empty

def test_videos_by_artists_of_the_training_videos_are_counted():
    "Video 3 is by the artist of video 0; 2 and 4 are by unknown artists, who are not the same"
    data = SimpleNamespace(groups=dict(artist=np.array([0, 1, -1, 0, -1, 2])))
    found = _artist_counts(data, np.array([3, 4, 5]), np.array([0, 1, 2]))
    assert found==dict(n_by_artists_trained_on=1, n_trained_on=3, n_unknown_artists=2)

def test_given_splits_and_labels_are_those_of_the_videos(corpus, trained):
    _, videos, data = corpus
    model = trained[0]['thesis']
    chosen = data.video_ids[-20:]
    split_of = {o: 'mine' for o in chosen} | {o: 'train' for o in data.video_ids[:-20]}
    labels = np.where(np.isin(data.video_ids, chosen), videos.genre[data.video_ids], None)
    metrics, table = evaluate_model(model, data, labels, 'mine', split_of, n_boot=10)
    assert metrics['pool_size']==20 and metrics['n_trained_on']==len(data.video_ids)-20 and len(table)==6
    elsewhere = np.where(np.isin(data.video_ids, chosen), None, videos.genre[data.video_ids])
    assert evaluate_model(model, data, elsewhere, 'mine', split_of, n_boot=10)[1].empty

def test_label_precision_is_measured_before_and_after(corpus, trained):
    _, videos, data = corpus
    metrics, table = evaluate_model(trained[0]['aligned'], data, videos.genre.to_numpy(), n_boot=10)
    assert metrics['n_by_artists_trained_on']==0 and metrics['pool_size']==24
    assert metrics['n_unknown_artists']==0 and metrics['n_trained_on']==(data.split=='train').sum()
    assert table.by.tolist()==['audio', 'audio', 'video', 'video', 'joint', 'joint']
    assert table.when.tolist()==['before', 'after']*3
    assert evaluate_model(trained[0]['aligned'], data, n_boot=10)[1].empty
    with pytest.raises(ValueError, match='0 videos in the none split: at least 2'):
        evaluate_model(trained[0]['aligned'], data, split='none')

# Several processes

def make_step(data, config):
    "A module whose only randomness is the seed of its weights: its transformer has no dropout"
    module = TrainingModule(make_model(config, data.dims), config, data).train()
    for o in module.modules():
        if isinstance(o, torch.nn.Dropout): o.p = 0.
        if isinstance(o, torch.nn.MultiheadAttention): o.dropout = 0.
    return module

def half_a_step(rank, n_processes, rendezvous, data, config, positions, folder):
    "Loss, gradients and statistics of one process, with gradients averaged as `DistributedDataParallel` does"
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{rendezvous}', rank=rank, world_size=n_processes)
    module = make_step(data, config)
    loss = module.loss_and_embeddings(Batches(data, config)[positions[rank::n_processes]], gather_rows)[0]
    loss.backward()
    gradients = {}
    for name, parameter in module.named_parameters():
        gradients[name] = parameter.grad
        if parameter.grad is None: continue
        dist.all_reduce(parameter.grad)
        parameter.grad /= n_processes
    found = dict(loss=loss.detach(), gradients=gradients, buffers=dict(module.named_buffers()))
    torch.save(found, folder/f'{rank}.pt')
    dist.destroy_process_group()

@pytest.mark.parametrize('recipe', ['thesis', 'track'])
def test_two_processes_have_the_loss_and_the_gradients_of_one(tmp_path, recipe):
    data, config = make_data(tmp_path/'s', lengths=True), small_config(recipe)
    positions = data.first_segments('train')[:24]
    mp.spawn(half_a_step, (2, tmp_path/'rendezvous', data, config, positions, tmp_path), nprocs=2)
    module = make_step(data, config)
    loss = module.loss_and_embeddings(Batches(data, config)[positions])[0]
    loss.backward()
    half = make_step(data, config).loss_and_embeddings(Batches(data, config)[positions[::2]])[0]
    assert abs(half-loss)>.1 # half the batch has another loss: the test can fail
    for rank in range(2):
        found = torch.load(tmp_path/f'{rank}.pt', weights_only=True)
        torch.testing.assert_close(found['loss'], loss.detach(), rtol=1e-5, atol=1e-6)
        assert_same_gradients(module, found['gradients'])
        for name, o in module.named_buffers():
            torch.testing.assert_close(found['buffers'][name], o, rtol=1e-5, atol=1e-6)

def assert_same_gradients(module, gradients):
    n_moving = 0
    for name, parameter in module.named_parameters():
        if parameter.grad is None: assert gradients[name] is None
        else:
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-6)
            n_moving += parameter.grad.abs().max().item()>0
    assert n_moving>5

def test_a_trainer_with_two_processes_learns_what_one_learns(tmp_path):
    data = make_data(tmp_path/'s')
    config = small_config('aligned', max_epochs=2, weight_decay=0.)
    one = train_model(data, config, tmp_path/'one', accelerator='cpu')
    two = train_model(data, config, tmp_path/'two', accelerator='cpu', devices=2)
    log_one, log_two = run_history(tmp_path/'one'/one.origin.run), run_history(tmp_path/'two'/two.origin.run)
    np.testing.assert_allclose(log_one.train_loss, log_two.train_loss, rtol=1e-3)
    np.testing.assert_allclose(log_one.valid_loss, log_two.valid_loss, rtol=5e-3)

# A kill

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from slow_epochs import slow_down
from test_training import make_data, small_config
import mvrep.learning.training as t
if {slow}: slow_down(t)
folder = Path({folder!r})
config = small_config('thesis', max_epochs=12, patience=100, dropout=.3)
t.train_model(make_data(folder/'s'), config, folder/'runs', accelerator='cpu')
"""

def start(folder, slow):
    script = SCRIPT.format(tests=os.path.dirname(__file__), folder=str(folder), slow=slow)
    command = [sys.executable, '-W', 'ignore', '-c', script]
    return subprocess.Popen(command, env=dict(os.environ, OMP_NUM_THREADS='1'), stdout=subprocess.DEVNULL)

def wait_for(path, process):
    "Wait until a file exists, at most 100 s"
    for _ in range(2000):
        if path.exists() or process.poll() is not None: return
        time.sleep(.05)

def test_a_killed_training_continues_and_ends_where_it_would_have(tmp_path):
    data, config = make_data(tmp_path/'s'), small_config('thesis', max_epochs=12, patience=100, dropout=.3)
    run = tmp_path/'runs'/run_name(config, data)
    process = start(tmp_path, slow=True)
    wait_for(run/'last.ckpt', process)
    time.sleep(1.2) # a few epochs, and then within one
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    n_epochs = torch.load(run/'last.ckpt', weights_only=True)['epoch']+1
    assert 0<n_epochs<12
    assert start(tmp_path, slow=False).wait()==0
    whole = train_model(data, config, tmp_path/'whole', accelerator='cpu')
    resumed = train_model(data, config, tmp_path/'runs', accelerator='cpu')
    assert len(list((run/'csv').iterdir()))==2 # killed, resumed; the last call found it finished
    assert_same_weights(whole, resumed)
    pd.testing.assert_frame_equal(run_history(run), run_history(tmp_path/'whole'/run.name))

class Evil:
    "Makes a folder when it is unpickled"
    def __init__(self, folder): self.folder = str(folder)
    def __reduce__(self): return (os.mkdir, (self.folder,))

def test_nothing_is_unpickled(tmp_path):
    data, config = make_data(tmp_path/'s'), small_config('thesis', max_epochs=1)
    run = tmp_path/'runs'/run_name(config, data)
    run.mkdir(parents=True)
    torch.save(dict(epoch=0, callbacks={}, evil=Evil(tmp_path/'owned')), run/'last.ckpt')
    with pytest.raises(Exception): train_model(data, config, tmp_path/'runs', accelerator='cpu')
    assert not (tmp_path/'owned').exists()

# A trained index

def train_index(folder, recipe):
    return train(folder, recipe, epochs=3, accelerator='cpu', progress=False)

def embeddings(folder):
    "Embeddings of an index as it is on disk"
    return {modality: np.array(o) for modality, o in Index(folder).build.embeddings.items()}

def assert_equal_embeddings(folder, want):
    for modality, o in embeddings(folder).items(): np.testing.assert_array_equal(o, want[modality])

@pytest.fixture
def index(tmp_path):
    "A tiny index whose manifest names splits"
    index = tiny_index(tmp_path)
    split = ['train']*7+['valid']*2+['test']*3
    index.put_videos(read_manifest(tiny_corpus()/'manifest.csv').assign(split=split))
    return index

@pytest.mark.parametrize('recipe', ['aligned', 'track'])
def test_an_index_is_trained_evaluated_and_added_to(index, tmp_path, recipe):
    folder = index.folder
    with pytest.raises(ValueError, match='no trained model'): evaluate(index)
    features = {column: np.array(index.store.matrix(column)) for column in index.build.columns.values()}
    origin = train_index(folder, recipe).build.model.origin
    assert origin.epochs==3 and load_model(index.model_file).origin.run==origin.run
    assert origin.columns==index.build.columns
    trained = embeddings(folder)
    assert [o.shape for o in trained.values()]==[(12, 256)]*2
    for column, o in features.items(): np.testing.assert_array_equal(o, Index(folder).store.matrix(column))

    last = folder/'runs'/origin.run/'last.ckpt'
    before = last.stat().st_mtime_ns
    train_index(folder, recipe)
    assert last.stat().st_mtime_ns==before # nothing is trained again
    assert_equal_embeddings(folder, trained)

    metrics = evaluate(Index(folder))[0]
    assert metrics['pool_size']==3 and metrics['chance_median_rank']==2
    assert_a_video_can_be_added(index, trained, tmp_path)
    assert evaluate(Index(folder))[0]==metrics # the new video is in no split

def assert_a_video_can_be_added(index, trained, tmp_path):
    "The copy of a video gets the embedding of the video, the others keep theirs, and the model stays"
    model = index.model_file.read_bytes()
    copy = shutil.copy(index.videos.path.iloc[0], tmp_path/'new.mp4')
    add_videos(index.folder, [copy], workers=1, progress=False)
    assert index.model_file.read_bytes()==model
    for modality, o in embeddings(index.folder).items():
        np.testing.assert_array_equal(o[:12], trained[modality])
        np.testing.assert_allclose(o[12], o[0], atol=.2)

def test_an_index_without_its_model_is_as_before_training(index):
    plain = embeddings(index.folder)
    train_index(index.folder, 'aligned')
    shutil.rmtree(index.model_file.parent)
    Index(index.folder).make_build()
    assert_equal_embeddings(index.folder, plain)
