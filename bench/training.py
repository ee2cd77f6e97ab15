"""How fast heads are trained at the size of the thesis, from the store and without loading it: python bench/training.py

Writes results/bench_training.json. The store is made for the purpose, in chunks: 100,000 videos of six segments, 1506 and 512 numbers
each, float16, from a seed. An epoch is 600 batches of 1000, six passes in which each video comes with another segment. Two times are
taken in the same run, in turns because other programs may use the machine: steps on one batch that is in memory already (compute), and
steps whose rows are read from the memory maps (the trainer's own `Epochs` and `Batches`). After them Lightning trains an epoch with a
validation, as `mvrep train` would. Memory is what belongs to the process (anonymous pages); pages of the mapped files are counted apart,
since the system takes them back whenever it wants.
"""
import argparse, json, os, re, tempfile, time
from dataclasses import replace
from pathlib import Path
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE') # threads that wait leave their core to other programs
import numpy as np
import pandas as pd
import torch
from mvrep.core import atomic_write, seed_from
from mvrep.encoders.registry import Encoder
from mvrep.features.store import FeatureStore
from mvrep.learning.training import Batches, EpochSampler, TrainingModule, quiet_lightning, make_trainer, run_history, make_model, RECIPES
from mvrep.learning.data import training_data

class Net:
    def __init__(self, dim): self.dim, self.layers, self.weights_hash = dim, dict(pooled=dim), 'bench'

def memory():
    "Gigabytes of this process: anonymous, file-backed, and the most both were together"
    s = dict(re.findall(r'(\w+):\s+(\d+) kB', Path('/proc/self/status').read_text()))
    return {o: int(s[o])/1e6 for o in ('RssAnon', 'RssFile', 'VmHWM')}

def fill(store, n, k=6, chunk=5000):
    "Features of `n` videos of `k` segments, in which sound and picture share 16 hidden numbers"
    ears,eyes = Encoder('sound', 'audio', Net(1506), dtype='float16'), Encoder('picture', 'video', Net(512), dtype='float16')
    parts = np.random.default_rng(0).choice(['valid', 'test'], n)
    parts[:int(n*5/6)] = 'train' # of 120,000 videos 100,000 are trained on
    videos = pd.DataFrame(dict(artist=[f'a{j//4}' for j in range(n)], genre=None, sha256=None, split=parts), index=[f'v{j:06d}' for j in range(n)])
    if len(store)==n*k: return videos
    for o in (ears, eyes): store.add_column(o)
    rng = np.random.default_rng(seed_from('bench_training'))
    mix = {o: rng.standard_normal((16, o.dim), np.float32) for o in (ears, eyes)}
    for i in range(0, n, chunk):
        ids = [f'v{j:06d}' for j in range(i, min(i+chunk, n)) for _ in range(k)]
        seg = np.tile(np.arange(k, dtype=np.int32), len(ids)//k)
        z = np.repeat(rng.standard_normal((len(ids)//k, 16), np.float32), k, axis=0)
        keys = pd.DataFrame(dict(segment_id=[f'{v}_{s}' for v,s in zip(ids, seg)], video_id=ids, segment=seg, start=5.*seg, length=5., split='', source='bench'))
        store.append(keys, {o: z@m+2*rng.standard_normal((len(ids), o.dim), np.float32) for o,m in mix.items()})
    return videos

def steps(train, opt, batches, n):
    "Seconds of `n` steps, of these what went into getting batches, and seconds of processor time"
    t,cpu,got = time.perf_counter(), time.process_time(), 0.
    for _ in range(n):
        s = time.perf_counter()
        b = next(batches)
        got += time.perf_counter()-s
        opt.zero_grad()
        train.compare(b)[0].backward()
        opt.step()
    return time.perf_counter()-t, got, time.process_time()-cpu

def endless(data, config):
    sampler,read = EpochSampler(data, config), Batches(data, config)
    for e in range(10**6):
        sampler.set_epoch(e)
        for at in sampler: yield read[at]

def repeat(b):
    while True: yield b

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--videos', type=int, default=120_000, help='five of six are trained on')
    p.add_argument('--recipe', default='thesis', choices=list(RECIPES))
    p.add_argument('--threads', type=int, default=2)
    p.add_argument('--rounds', type=int, default=6, help='turns of compute and of reading')
    p.add_argument('--steps', type=int, default=100, help='in a turn')
    p.add_argument('--store', help='Make the store here and leave it, or use the one that is here; a temporary folder by default')
    p.add_argument('--dest', default='results/bench_training.json')
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    with tempfile.TemporaryDirectory() as tmp:
        t = time.perf_counter()
        store = FeatureStore(a.store or Path(tmp)/'s')
        videos = fill(store, a.videos)
        made = time.perf_counter()-t
        t = time.perf_counter()
        config = replace(RECIPES[a.recipe], passes=6, max_epochs=1)
        data = training_data(store, dict(audio='sound', video='picture'), videos)
        opened,after_open = time.perf_counter()-t, memory()
        module = TrainingModule(make_model(config, data.dims), config, data).train()
        opt = module.configure_optimizers()[0][0]
        one,stream = repeat(Batches(data, config)[next(iter(EpochSampler(data, config)))]), endless(data, replace(config, fresh=True))
        n = len(EpochSampler(data, config))
        each = a.steps
        steps(module, opt, one, 5), steps(module, opt, stream, 5)
        compute,read = [], []
        for i in range(a.rounds):
            for out,batches in ((compute, one), (read, stream))[::1-2*(i%2)]: out.append(steps(module, opt, batches, each))
        mem = memory()
        compute,read = np.array(compute), np.array(read)
        t,cpu = time.perf_counter(), time.process_time()
        run = Path(tmp)/'run'
        with quiet_lightning(): make_trainer(run, config, False, 1, accelerator='cpu').fit(TrainingModule(make_model(config, data.dims), config, data))
        epoch,cpu = time.perf_counter()-t, time.process_time()-cpu
        total = each*a.rounds
        res = dict(command=f'python bench/training.py --videos {a.videos} --recipe {a.recipe} --threads {a.threads} --rounds {a.rounds} --steps {a.steps}', recipe=a.recipe, seed=config.seed, cores=len(os.sched_getaffinity(0)), threads=a.threads,
            load_average=[round(o, 1) for o in os.getloadavg()], videos=a.videos, segments=len(store), segments_trained_on=int(len(data.part('train'))), widths=data.dims, dtype='float16',
            batch=config.batch_size, steps_an_epoch=n, steps_timed=total,
            compute_steps_a_second=total/compute[:, 0].sum(), read_steps_a_second=total/read[:, 0].sum(),
            compute_epoch_seconds=n*compute[:, 0].sum()/total, read_epoch_seconds=n*read[:, 0].sum()/total, best_round_epoch_seconds=n*read[:, 0].min()/each,
            best_round_compute_epoch_seconds=n*compute[:, 0].min()/each, compute_epoch_cpu_seconds=n*compute[:, 2].sum()/total, read_epoch_cpu_seconds=n*read[:, 2].sum()/total, read_rate_of_compute=compute[:, 0].sum()/read[:, 0].sum(), ms_of_reading_a_step=1000*read[:, 1].sum()/total,
            lightning_epoch_with_validation_seconds=epoch, lightning_epoch_cpu_seconds=cpu, valid_median_rank=float(run_history(run).valid_median_rank[0]), valid_pool=int(len(np.unique(data.video_index[data.part('valid')]))),
            store_made_seconds=made, store_opened_seconds=opened, store_gigabytes=sum(o.stat().st_size for o in store.folder.rglob('*') if o.is_file())/1e9,
            anonymous_gigabytes_after_opening=after_open['RssAnon'], anonymous_gigabytes=max(mem['RssAnon'], memory()['RssAnon']), file_backed_gigabytes=mem['RssFile'], peak_of_both_gigabytes=memory()['VmHWM'])
    with atomic_write(a.dest) as f: f.write_text(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k,v in res.items()}, indent=1)+'\n')
    print(Path(a.dest).read_text())
