"""Speed of training at the size of the thesis, from a store that is never loaded: python bench/training.py --threads 2

Writes results/bench_training.json. The store is generated in blocks from a seed: 120,000 videos of six segments, 1,506
audio and 512 video features each, in float16; 100,000 videos are trained on, so an epoch is 600 batches of 1,000 in six
passes. Two times are measured in turns, because other programs may use the machine: steps on one batch that is already
in memory (compute), and steps whose rows are read from the memory maps (read). Then Lightning trains an epoch with a
validation, as `mvrep train` does. Memory is that of the process (anonymous pages); pages of mapped files are counted
separately, because the system can take them back at any time.
"""
import itertools
import json
import os
import re
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE') # waiting threads leave their core to other programs
import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from common import parser, write_json
from mvrep.core import seed_from
from mvrep.encoders.registry import Encoder
from mvrep.features.store import FeatureStore
from mvrep.learning.batches import Batches, EpochSampler
from mvrep.learning.config import RECIPES, make_model
from mvrep.learning.data import training_data
from mvrep.learning.synthetic import SyntheticNetwork
from mvrep.learning.training import Run, TrainingModule, make_trainer, quiet_lightning, run_history

WIDTHS = dict(audio=1506, video=512)
N_SEGMENTS = 6 # per video
N_CAUSES = 16 # shared by the two modalities of a video
TRAINED_SHARE = 5/6

# A store of the size

def make_encoders():
    return [Encoder(o, o, SyntheticNetwork(width, 'bench'), dtype='float16') for o, width in WIDTHS.items()]

def make_videos(n):
    "Metadata of `n` videos, four per artist, with their split"
    split = np.random.default_rng(0).choice(['valid', 'test'], n)
    split[:int(n*TRAINED_SHARE)] = 'train'
    artist = [f'a{i//4}' for i in range(n)]
    index = [f'v{i:06d}' for i in range(n)]
    return pd.DataFrame(dict(artist=artist, genre=None, sha256=None, split=split), index=index)

def key_table(video_ids):
    "Key columns of the segments of some videos"
    ids = np.repeat(video_ids, N_SEGMENTS)
    segment = np.tile(np.arange(N_SEGMENTS, dtype=np.int32), len(video_ids))
    segment_ids = [f'{v}_{s}' for v, s in zip(ids, segment)]
    n = len(ids)
    return pa.table(dict(segment_id=segment_ids, video_id=ids.tolist(), segment=segment, start=5.*segment,
                         length=np.full(n, 5.), split=['']*n, source=['bench']*n))

def with_features(table, encoder, feats, schema):
    "The table with the two columns of an encoder"
    kind = schema.field(encoder.column).type
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(feats.ravel()), kind.list_size)
    table = table.append_column(encoder.column, vectors)
    return table.append_column(f'{encoder.column}_made_by', pa.array([encoder.made_by]*len(table)))

def fill(store, n, block=5000):
    "Add `n` videos to an empty store, or leave a store that has them"
    videos, encoders = make_videos(n), make_encoders()
    if len(store)==n*N_SEGMENTS: return videos
    for encoder in encoders: store.add_column(encoder)
    rng = np.random.default_rng(seed_from('bench_training'))
    mixtures = [rng.standard_normal((N_CAUSES, o.dim), np.float32) for o in encoders]
    for start in range(0, n, block):
        video_ids = videos.index[start:start+block].tolist()
        causes = np.repeat(rng.standard_normal((len(video_ids), N_CAUSES), np.float32), N_SEGMENTS, axis=0)
        table = key_table(video_ids)
        for encoder, mixture in zip(encoders, mixtures):
            noise = 2*rng.standard_normal((len(table), encoder.dim), np.float32)
            feats = (causes@mixture+noise).astype(np.float16)
            table = with_features(table, encoder, feats, store.segments.schema)
        store.segments.add(table)
    return videos

# Measuring

def memory():
    "Gigabytes of this process: anonymous pages, file-backed pages, and the peak of both"
    status = dict(re.findall(r'(\w+):\s+(\d+) kB', Path('/proc/self/status').read_text()))
    return {name: int(status[name])/1e6 for name in ('RssAnon', 'RssFile', 'VmHWM')}

@dataclass
class Clock:
    "Sums over the turns of one kind of step"
    steps:int = 0
    seconds:float = 0. # wall clock
    reading:float = 0. # seconds spent on getting batches
    cpu:float = 0. # seconds of processor time
    fastest:float = float('inf') # seconds per step of the fastest turn

    def turn(self, module, optimizer, batches, n):
        "Train `n` steps"
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(n):
            before = time.perf_counter()
            batch = next(batches)
            self.reading += time.perf_counter()-before
            optimizer.zero_grad()
            module.loss_and_embeddings(batch)[0].backward()
            optimizer.step()
        seconds = time.perf_counter()-start
        self.fastest = min(self.fastest, seconds/n)
        self.seconds += seconds
        self.cpu += time.process_time()-cpu
        self.steps += n

def read_batches(data, config):
    "Batches of one epoch after the other"
    sampler, batches = EpochSampler(data, config), Batches(data, config)
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        for positions in sampler: yield batches[positions]

def measure_steps(data, config, rounds, steps):
    "Clocks of steps on one batch in memory, and of steps with reading"
    module = TrainingModule(make_model(config, data.dims), config, data).train()
    optimizer = module.configure_optimizers()[0][0]
    one = Batches(data, config)[next(iter(EpochSampler(data, config)))]
    sources = dict(compute=itertools.repeat(one), read=read_batches(data, replace(config, reshuffle=True)))
    for batches in sources.values(): Clock().turn(module, optimizer, batches, 5) # warm-up
    clocks = {name: Clock() for name in sources}
    for i in range(rounds):
        for name in list(sources)[::-1 if i%2 else 1]: clocks[name].turn(module, optimizer, sources[name], steps)
    return clocks['compute'], clocks['read']

def measure_lightning(data, config):
    "Seconds and processor seconds of an epoch with validation, and its log"
    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), data, config, accelerator='cpu')
        module = TrainingModule(make_model(config, data.dims), config, data)
        with quiet_lightning(): make_trainer(run).fit(module)
        return time.perf_counter()-start, time.process_time()-cpu, run_history(folder)

def measure(store, args):
    "Everything that is measured, by the names of the results file"
    start = time.perf_counter()
    videos = fill(store, args.videos)
    made = time.perf_counter()-start
    start = time.perf_counter()
    config = replace(RECIPES[args.recipe], passes_per_epoch=6, max_epochs=1)
    data = training_data(store, dict(audio='audio', video='video'), videos)
    opened, memory_opened = time.perf_counter()-start, memory()
    compute, read = measure_steps(data, config, args.rounds, args.steps)
    memory_steps = memory()
    epoch_seconds, epoch_cpu, log = measure_lightning(data, config)
    n = len(EpochSampler(data, config))
    return dict(
        recipe=args.recipe, seed=config.seed, cores=len(os.sched_getaffinity(0)), threads=args.threads,
        load_average=[round(o, 1) for o in os.getloadavg()], videos=args.videos, segments=len(store),
        segments_trained_on=len(data.in_split('train')), widths=data.dims, dtype='float16',
        batch=config.batch_size, steps_an_epoch=n, steps_timed=read.steps,
        compute_steps_a_second=compute.steps/compute.seconds, read_steps_a_second=read.steps/read.seconds,
        compute_epoch_seconds=n*compute.seconds/compute.steps, read_epoch_seconds=n*read.seconds/read.steps,
        best_round_epoch_seconds=n*read.fastest, best_round_compute_epoch_seconds=n*compute.fastest,
        compute_epoch_cpu_seconds=n*compute.cpu/compute.steps, read_epoch_cpu_seconds=n*read.cpu/read.steps,
        read_rate_of_compute=compute.seconds/read.seconds, ms_of_reading_a_step=1000*read.reading/read.steps,
        lightning_epoch_with_validation_seconds=epoch_seconds, lightning_epoch_cpu_seconds=epoch_cpu,
        valid_median_rank=float(log.valid_median_rank[0]), valid_pool=len(data.first_segments('valid')),
        store_made_seconds=made, store_opened_seconds=opened,
        store_gigabytes=sum(o.stat().st_size for o in store.folder.rglob('*') if o.is_file())/1e9,
        anonymous_gigabytes_after_opening=memory_opened['RssAnon'],
        anonymous_gigabytes=max(memory_steps['RssAnon'], memory()['RssAnon']),
        file_backed_gigabytes=memory_steps['RssFile'], peak_of_both_gigabytes=memory()['VmHWM'])

def main():
    p = parser(__doc__, 'bench_training.json')
    p.add_argument('--videos', type=int, default=120_000, help='videos in the store; five of six are trained on')
    p.add_argument('--recipe', default='thesis', choices=list(RECIPES), help='what is trained')
    p.add_argument('--threads', type=int, default=2, help='threads of torch')
    p.add_argument('--rounds', type=int, default=6, help='turns of each kind of step')
    p.add_argument('--steps', type=int, default=100, help='steps in a turn')
    p.add_argument('--store', help='folder of the store, kept and used again; a temporary folder by default')
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    settings = ('videos', 'recipe', 'threads', 'rounds', 'steps')
    command = 'python bench/training.py '+' '.join(f'--{o} {getattr(args, o)}' for o in settings)
    with tempfile.TemporaryDirectory() as tmp:
        measured = dict(command=command) | measure(FeatureStore(args.store or Path(tmp)/'store'), args)
    print(json.dumps(write_json(args.out, measured, digits=3), indent=1))

if __name__=='__main__': main()
