"Training in several processes, training that is killed, and a trained index: what a notebook cannot show"
import json, os, signal, subprocess, sys, time
from dataclasses import replace
import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mvrep.encoders.registry import Encoder
from mvrep.features.store import FeatureStore
from mvrep.media.segments import Segment
from mvrep.learning.training import Batches, TrainingModule, train_model, run_history, make_model, RECIPES, run_name
from mvrep.learning.data import training_data

COLUMNS = dict(audio='sound', video='picture')

class Net:
    def __init__(self, dim): self.dim, self.layers, self.weights_hash = dim, dict(pooled=dim), 'test'

def make_data(folder, n=60, k=3, lengths=False):
    "Features of `n` videos; with `lengths`, of one to `k` segments"
    rng,store = np.random.default_rng(0), FeatureStore(folder)
    encoders = Encoder('sound', 'audio', Net(20)), Encoder('picture', 'video', Net(12))
    if not len(store):
        for o in encoders: store.add_column(o)
        mix = [rng.normal(size=(4, e.dim)) for e in encoders]
        for i in range(n):
            m,z = 1+i%k if lengths else k, rng.normal(size=4)
            store.put(f'v{i:02d}', [Segment(j, 5.*j, 5.) for j in range(m)], 'x', {e: z@o+rng.normal(size=(m, e.dim)) for e,o in zip(encoders, mix)})
    videos = pd.DataFrame(dict(artist=[f'a{i//3}' for i in range(n)], genre=None, sha256=None, split=['train']*40+['valid']*10+['test']*(n-50)), index=[f'v{i:02d}' for i in range(n)])
    return training_data(store, COLUMNS, videos)

# several processes: one batch

def config_of(recipe): return replace(RECIPES[recipe], dropout=0., embed_dim=16, hidden_dim=32, batch_size=24)

def make_step(data, config):
    "A trainer's module whose only chance is in the seed; its transformer has no dropout"
    module = TrainingModule(make_model(config, data.dims), config, data).train()
    for o in module.modules():
        if isinstance(o, torch.nn.Dropout): o.p = 0.
        if isinstance(o, torch.nn.MultiheadAttention): o.dropout = 0.
    return module

def worker(rank, world, meet, data, config, at, dest):
    from mvrep.learning.distributed import gather_rows
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{meet}', rank=rank, world_size=world)
    module = make_step(data, config)
    loss = module.compare(Batches(data, config)[at[rank::world]], gather_rows)[0]
    loss.backward()
    for o in module.parameters():
        if o.grad is not None: dist.all_reduce(o.grad); o.grad /= world # what DistributedDataParallel does
    torch.save(dict(loss=loss.detach(), grads={k: o.grad for k,o in module.named_parameters()}, buffers=dict(module.named_buffers())), f'{dest}-{rank}.pt')
    dist.destroy_process_group()

@pytest.mark.parametrize('recipe', ['thesis', 'track'])
def test_two_processes_have_the_loss_and_the_gradients_of_one(tmp_path, recipe):
    data,config = make_data(tmp_path/'s', lengths=True), config_of(recipe)
    at = data.part('train')
    at = at[np.unique(data.video_index[at], return_index=True)[1]][:24]
    mp.spawn(worker, (2, tmp_path/'meet', data, config, at, tmp_path/'out'), nprocs=2)
    module = make_step(data, config)
    loss = module.compare(Batches(data, config)[at])[0]
    loss.backward()
    alone = make_step(data, config).compare(Batches(data, config)[at[::2]])[0]
    assert abs(alone-loss)>.1 # half the batch has another loss: the test can fail
    for rank in range(2):
        got = torch.load(tmp_path/f'out-{rank}.pt', weights_only=True)
        torch.testing.assert_close(got['loss'], loss.detach(), rtol=1e-5, atol=1e-6)
        n = 0
        for k,o in module.named_parameters():
            if o.grad is None: assert got['grads'][k] is None; continue
            torch.testing.assert_close(got['grads'][k], o.grad, rtol=1e-4, atol=1e-6)
            n += o.grad.abs().max().item()>0
        assert n>5
        for k,o in module.named_buffers(): torch.testing.assert_close(got['buffers'][k], o, rtol=1e-5, atol=1e-6)

def test_a_trainer_with_two_processes_learns_what_one_learns(tmp_path):
    data,config = make_data(tmp_path/'s'), replace(config_of('aligned'), max_epochs=2, weight_decay=0.)
    one = train_model(data, config, tmp_path/'one', accelerator='cpu')
    two = train_model(data, config, tmp_path/'two', accelerator='cpu', devices=2)
    a,b = run_history(tmp_path/'one'/one.about['run']), run_history(tmp_path/'two'/two.about['run'])
    np.testing.assert_allclose(a.train_loss, b.train_loss, rtol=1e-3)
    np.testing.assert_allclose(a.valid_loss, b.valid_loss, rtol=5e-3)

# a kill

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {here!r})
from test_training import make_data, config_of
import lightning as L
import mvrep.learning.training as t
if {slow}:
    class Slow(L.Callback): # the epochs of so small a corpus are over before one can kill them
        def on_train_epoch_start(self, trainer, module): __import__('time').sleep(.5)
    old = t.make_trainer
    def slow(*a, **k):
        tr = old(*a, **k)
        tr.callbacks.insert(0, Slow())
        return tr
    t.make_trainer = slow
t.train_model(make_data(Path({folder!r})/'s'), replace(config_of('thesis'), dropout=.3, max_epochs=12, patience=100), Path({folder!r})/'runs', accelerator='cpu')
"""

def start(folder, slow):
    env = dict(os.environ, OMP_NUM_THREADS='1')
    return subprocess.Popen([sys.executable, '-W', 'ignore', '-c', SCRIPT.format(here=os.path.dirname(__file__), folder=str(folder), slow=slow)], env=env, stdout=subprocess.DEVNULL)

def test_a_killed_training_goes_on_and_ends_where_it_would_have(tmp_path):
    data,config = make_data(tmp_path/'s'), replace(config_of('thesis'), dropout=.3, max_epochs=12, patience=100)
    run = tmp_path/'runs'/run_name(config, data)
    p = start(tmp_path, True)
    for _ in range(2000):
        if (run/'last.ckpt').exists() or p.poll() is not None: break
        time.sleep(.05)
    time.sleep(1.2) # a few epochs, and then in the middle of one
    assert p.poll() is None
    p.send_signal(signal.SIGKILL)
    p.wait()
    done = torch.load(run/'last.ckpt', weights_only=True)['epoch']+1
    assert 0<done<12
    assert start(tmp_path, False).wait()==0
    whole = train_model(data, config, tmp_path/'whole', accelerator='cpu')
    after = train_model(data, config, tmp_path/'runs', accelerator='cpu')
    assert len(list((run/'csv').iterdir()))==2 # killed, resumed; the last call found it done
    for k,o in whole.state_dict().items(): assert torch.equal(o, after.state_dict()[k]), k
    pd.testing.assert_frame_equal(run_history(run), run_history(tmp_path/'whole'/run.name))

def test_nothing_is_unpickled(tmp_path):
    data,config = make_data(tmp_path/'s'), replace(config_of('thesis'), max_epochs=1)
    run = tmp_path/'runs'/run_name(config, data)
    run.mkdir(parents=True)
    class Evil:
        def __reduce__(self): return (os.mkdir, (str(tmp_path/'owned'),))
    torch.save(dict(epoch=0, callbacks={}, evil=Evil()), run/'last.ckpt')
    with pytest.raises(Exception): train_model(data, config, tmp_path/'runs', accelerator='cpu')
    assert not (tmp_path/'owned').exists()

# the command

@pytest.mark.parametrize('recipe', ['aligned', 'track'])
def test_an_index_is_trained_evaluated_and_added_to(tmp_path, recipe):
    import shutil
    from typer.testing import CliRunner
    from mvrep.cli.indexing import app
    from mvrep.corpus.manifest import read_manifest
    from mvrep.corpus.demo import tiny_corpus
    from mvrep.index.index import Index
    from mvrep.index.indexing import tiny_index
    from mvrep.learning.model import load_model
    def mvrep(*args, code=0):
        r = CliRunner().invoke(app, [str(o) for o in args])
        assert r.exit_code==code, (r.output, r.exception)
        return r.output if code else json.loads(r.stdout[r.stdout.index('{'):])
    ix = tiny_index(tmp_path)
    folder = ix.folder
    plain = {o: np.array(v) for o,v in ix.tracks.items()}
    assert 'no trained model' in mvrep('evaluate', folder, code=1)
    ix.put_videos(read_manifest(tiny_corpus()/'manifest.csv').assign(split=['train']*7+['valid']*2+['test']*3))
    features = {o: np.array(ix.store.matrix(o)) for o in ix.columns.values()}
    got = mvrep('train', folder, '--recipe', recipe, '--epochs', 3, '--accelerator', 'cpu', '--json')
    assert got['epochs']==3
    again = Index(folder)
    assert [again.tracks[o].shape for o in plain]==[(12, 256)]*2
    for o,x in features.items(): np.testing.assert_array_equal(x, again.store.matrix(o)) # encoders and features are as they were
    stamp = (folder/'runs'/got['run']/'last.ckpt').stat().st_mtime_ns
    assert mvrep('train', folder, '--recipe', recipe, '--epochs', 3, '--accelerator', 'cpu', '--json')==got
    assert (folder/'runs'/got['run']/'last.ckpt').stat().st_mtime_ns==stamp # nothing was trained again
    for o in plain: np.testing.assert_array_equal(again.tracks[o], Index(folder).tracks[o])
    r = mvrep('evaluate', folder, '--json')['retrieval']
    assert r['pool_size']==3 and r['chance_median_rank']==2
    model = (folder/'model'/'model.safetensors').read_bytes()
    new = shutil.copy(ix.videos.path.iloc[0], tmp_path/'new.mp4')
    assert mvrep('add', folder, new, '--workers', 1, '--json')['indexed']==13
    after = Index(folder)
    assert (folder/'model'/'model.safetensors').read_bytes()==model # not trained again
    for o in plain: # the same file has the same place, the others stay
        np.testing.assert_array_equal(after.tracks[o][:12], again.tracks[o])
        np.testing.assert_allclose(after.tracks[o][12], after.tracks[o][0], atol=.2)
    assert mvrep('evaluate', folder, '--json')['retrieval']==r # the new video is in no part
    assert load_model(folder/'model'/'model.safetensors').about['run']==got['run']
    shutil.rmtree(folder/'model')
    after.build()
    for o in plain: np.testing.assert_allclose(after.tracks[o][:12], plain[o], atol=.2)
