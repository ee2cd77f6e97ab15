"Contrastive pre-training: the loss, resumed and killed runs, several processes, optimisers"
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mvrep.encoders.weights import hash_weights
from mvrep.learning.distributed import gather_rows
from mvrep.learning.training import run_history
from mvrep.pretraining.augment import NO_CHANGES, AugmentConfig
from mvrep.pretraining.contrastive import CLMR, VCMR_MUSIC, ContrastiveModule, make_optimizer, train_contrastive
from mvrep.pretraining.recordings import CropPlan, Crops
from tones import MUSIC, SIZES, write_tones

QUICK = replace(MUSIC, augment=replace(NO_CHANGES, polarity=.8, gain=.5))

@pytest.fixture(scope='module')
def recordings(tmp_path_factory): return write_tones(tmp_path_factory.mktemp('tones'))

def batch_of(recordings, positions, config=QUICK):
    return Crops(recordings, CropPlan(SIZES.n_samples, augment=config.augment))[np.asarray(positions), 0]

def test_published_settings():
    assert (CLMR.temperature, CLMR.projection_dim, CLMR.batch_size, CLMR.lr)==(.5, 64, 48, 3e-4)
    assert (VCMR_MUSIC.temperature, VCMR_MUSIC.projection_dim, VCMR_MUSIC.encoder.n_samples)==(.1, 128, 98_415)
    assert CLMR.augment==AugmentConfig(.8, .01, .3, .8, .3, .6, .6)

def test_the_loss_is_that_of_simclr(recordings):
    module = ContrastiveModule(QUICK, recordings)
    batch = batch_of(recordings, range(6))
    with torch.no_grad():
        emb = module.projector(module.encoder(batch['audio'].transpose(0, 1).flatten(0, 1)))
        cos = torch.nn.functional.cosine_similarity(emb[:, None], emb[None], dim=2)/QUICK.temperature
        expected = 0
        for i in range(12):
            others = [j for j in range(12) if j!=i]
            expected += (torch.logsumexp(cos[i, others], 0)-cos[i, (i+6)%12]).item()/12
        assert abs(module.batch_loss(batch).item()-expected)<1e-4

def test_copies_in_a_batch_are_not_negatives(recordings):
    module = ContrastiveModule(QUICK, recordings).eval()
    batch = batch_of(recordings, [0, 1, 2])
    twice = dict(audio=batch['audio'][[0, 1, 2, 0]], group=torch.tensor([0, 1, 2, 0]))
    apart = dict(twice, group=torch.tensor([0, 1, 2, 3]))
    with torch.no_grad(): assert module.batch_loss(twice)<module.batch_loss(apart)-.05

def test_training_learns_and_continues_bit_for_bit(recordings, tmp_path):
    config = replace(QUICK, max_epochs=6, passes_per_epoch=2)
    encoder, run = train_contrastive(recordings, config, tmp_path/'whole', accelerator='cpu')
    log = run_history(run.folder)
    assert len(log)==6 and log.train_loss.iloc[-1]<log.train_loss.iloc[0]-.2
    assert not any(o.requires_grad for o in encoder.parameters()) and not encoder.training
    train_contrastive(recordings, replace(config, max_epochs=2), tmp_path/'parts', accelerator='cpu')
    again, run_again = train_contrastive(recordings, config, tmp_path/'parts', accelerator='cpu')
    assert run_again.folder.name==run.folder.name and hash_weights(again)==hash_weights(encoder)
    np.testing.assert_array_equal(run_history(run_again.folder), log)
    before = run.last.stat().st_mtime_ns
    third, _ = train_contrastive(recordings, config, tmp_path/'whole', accelerator='cpu')
    assert run.last.stat().st_mtime_ns==before and hash_weights(third)==hash_weights(encoder)
    assert list(run.folder.glob('tensorboard/*/events*'))

def test_runs_have_names(recordings, tmp_path):
    def name(config, recordings=recordings):
        return train_contrastive(recordings, replace(config, max_epochs=1), tmp_path, accelerator='cpu')[1].folder.name
    names = [name(QUICK), name(replace(QUICK, seed=1)), name(QUICK, replace(recordings, groups=np.arange(16)[::-1]))]
    assert len(set(names))==3

@pytest.mark.parametrize('change,message', [
    (dict(lr=1e30), 'learning rate below lr=1e.30'), (dict(optimizer='sgd'), 'want adam')])
def test_wrong_settings(recordings, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train_contrastive(recordings, replace(QUICK, **change), tmp_path, accelerator='cpu')

def test_another_sample_rate(recordings, tmp_path):
    with pytest.raises(ValueError, match='a network for 22050 Hz'): train_contrastive(recordings, CLMR, tmp_path)

def test_optimisers():
    layer = torch.nn.Linear(4, 3)
    def made(**change): return make_optimizer(layer.named_parameters(), replace(QUICK, **change))
    (adam,), none = made()
    assert type(adam) is torch.optim.Adam and adam.defaults['lr']==QUICK.lr and none==[]
    (adamw,), _ = made(optimizer='adamw', weight_decay=.2)
    assert adamw.defaults['weight_decay']==.2
    (lars,), (schedule,) = made(optimizer='lars', weight_decay=1e-6, batch_size=512)
    assert math.isclose(lars.param_groups[0]['lr'], .6) and [o['weight_decay'] for o in lars.param_groups]==[1e-6, 0]
    assert [len(o['params']) for o in lars.param_groups]==[1, 1] and schedule.T_max==QUICK.max_epochs

# Several processes

def flat(tensors): return torch.cat([tensors[name].flatten() for name in sorted(tensors)])

def half_a_step(rank, n, rendezvous, recordings, positions, folder):
    "Loss and gradients of one process, with gradients averaged as `DistributedDataParallel` does"
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{rendezvous}', rank=rank, world_size=n)
    module = ContrastiveModule(QUICK, recordings)
    loss = module.batch_loss(batch_of(recordings, positions[rank::n]), gather_rows)
    loss.backward()
    for o in module.parameters():
        if o.grad is not None: dist.all_reduce(o.grad)
    found = {name: o.grad/n for name, o in module.named_parameters() if o.grad is not None}
    torch.save(dict(loss=loss.detach(), gradients=found, buffers=dict(module.named_buffers())), folder/f'{rank}.pt')
    dist.destroy_process_group()

def test_two_processes_have_the_loss_and_the_gradients_of_one(recordings, tmp_path):
    positions = list(range(8))
    mp.spawn(half_a_step, (2, tmp_path/'rendezvous', recordings, positions, tmp_path), nprocs=2)
    module = ContrastiveModule(QUICK, recordings)
    loss = module.batch_loss(batch_of(recordings, positions))
    loss.backward()
    alone = ContrastiveModule(QUICK, recordings).batch_loss(batch_of(recordings, positions[::2]))
    assert abs(alone-loss)>.1 # half the batch has another loss: the test can fail
    for rank in range(2):
        found = torch.load(tmp_path/f'{rank}.pt', weights_only=True)
        torch.testing.assert_close(found['loss'], loss.detach(), rtol=1e-4, atol=1e-5)
        gradients = {name: o.grad for name, o in module.named_parameters() if o.grad is not None}
        assert gradients.keys()==found['gradients'].keys()
        one, two = flat(gradients), flat(found['gradients'])
        assert (one-two).norm()<1e-3*one.norm() # biases before a normalisation have none but rounding errors
        for name, o in module.named_buffers():
            torch.testing.assert_close(found['buffers'][name], o, rtol=1e-4, atol=1e-5)

# A kill

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from slow_epochs import slow_down
from test_pretraining_contrastive import QUICK, long_run
import mvrep.pretraining.runs as runs
if {slow}: slow_down(runs)
long_run(Path({folder!r}))
"""

def long_run(folder):
    recordings = write_tones(folder/'tones')
    return train_contrastive(recordings, replace(QUICK, max_epochs=8), folder/'runs', accelerator='cpu')

def start(folder, slow):
    script = SCRIPT.format(tests=os.path.dirname(__file__), folder=str(folder), slow=slow)
    command = [sys.executable, '-W', 'ignore', '-c', script]
    return subprocess.Popen(command, env=dict(os.environ, OMP_NUM_THREADS='1'), stdout=subprocess.DEVNULL)

def test_a_killed_training_ends_where_it_would_have(tmp_path):
    write_tones(tmp_path/'tones')
    process = start(tmp_path, slow=True)
    for _ in range(2000):
        if list(tmp_path.glob('runs/*/last.ckpt')) or process.poll() is not None: break
        time.sleep(.05)
    time.sleep(.7)
    process.send_signal(signal.SIGKILL)
    process.wait()
    last, = tmp_path.glob('runs/*/last.ckpt')
    assert 0<=torch.load(last, weights_only=True)['epoch']<7
    resumed, run = long_run(tmp_path)
    whole, _ = train_contrastive(write_tones(tmp_path/'tones'), run.config, tmp_path/'whole', accelerator='cpu')
    assert hash_weights(resumed)==hash_weights(whole) and len(list((run.folder/'csv').iterdir()))==2
