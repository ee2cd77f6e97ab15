"""Speed of pre-training on raw audio: changes of crops by library, the network, bfloat16, the loader.

python bench/pretraining.py augment speed loader [--threads 2] [--out FILE]
Changes and network are measured in processor time of one thread, which other programs do not disturb; the loader in
time on the wall, for which the machine must be idle.
The other libraries of `augment` are measured if they are installed; a part that is not named keeps its numbers.
"""
import json
import statistics
import tempfile
import time
from dataclasses import replace
import numpy as np
import torch
from common import parser, write_json
from torch import nn
from mvrep.encoders.sample_cnn import SAMPLE_CNNS, SampleCNN
from mvrep.learning.losses import NTXentLoss
from mvrep.pretraining.augment import CHANGES, NO_CHANGES, Augment, AugmentConfig
from mvrep.pretraining.contrastive import CLMR, VCMR_MUSIC, ContrastiveModule, make_projector
from mvrep.pretraining.recordings import CropPlan, Crops, RecordingBatches, Recordings, crop_loader

def seconds_of(function, repeats):
    "Median processor time of a call, after one that does not count"
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time()-start)
    return statistics.median(times)

def noise(n): return np.random.default_rng(0).normal(0, .1, n).astype(np.float32)

# Changes

def pedalboard_changes(sr):
    "The same changes by pedalboard; none if it is not installed"
    try: import pedalboard as p
    except ImportError: return {}
    effects = dict(polarity=p.Invert(), gain=p.Gain(-10), filters=p.HighpassFilter(500), delay=p.Delay(.3, 0, .5),
                   pitch=p.PitchShift(3), reverb=p.Reverb())
    return {name: lambda y, o=o: o(y, sr) for name, o in effects.items()}

def torch_changes(sr):
    "The same changes by torch-audiomentations, and why not"
    try: import torch_audiomentations as t
    except ImportError: return {}, 'not installed'
    except OSError as e: return {}, str(e).split(':')[0] # its torchaudio is linked with CUDA
    made = dict(polarity=t.PolarityInversion, gain=t.Gain, filters=t.HighPassFilter)
    effects = {name: o(p=1., output_type='tensor') for name, o in made.items()}
    effects['pitch'] = t.PitchShift(sample_rate=sr, p=1., output_type='tensor')
    return {name: lambda y, o=o: o(torch.from_numpy(y)[None, None], sr) for name, o in effects.items()}, ''

def measure_changes(repeats):
    sr, y = 22050, noise(59_049)
    ours = {name: Augment(replace(NO_CHANGES, **{name: 1.}), sr) for name in CHANGES}
    ms = {name: 1000*seconds_of(lambda: o(y, 0), repeats) for name, o in ours.items()}
    chain, seeds = Augment(AugmentConfig(), sr), iter(range(10**9))
    mean = seconds_of(lambda: [chain(y, next(seeds)) for _ in range(20)], max(1, repeats//10))/20
    other, why_not = torch_changes(sr)
    return dict(
        ms_per_crop=ms, ms_per_crop_all_with_their_probabilities=1000*mean,
        pedalboard_ms={name: 1000*seconds_of(lambda: o(y), repeats) for name, o in pedalboard_changes(sr).items()},
        torch_audiomentations_ms={name: 1000*seconds_of(lambda: o(y), repeats) for name, o in other.items()},
        torch_audiomentations_error=why_not)

# Network and loader

def invent(folder, n, sr, seconds):
    "Recordings of noise"
    files = [f'{folder}/{i}.npy' for i in range(n)]
    for i, file in enumerate(files):
        y = np.random.default_rng(i).normal(0, 3000, round(sr*seconds))
        np.save(file, np.clip(y, -32767, 32767).astype(np.int16))
    split = np.array(['train']*(n-2)+['valid']*2)
    ids = np.array([f'v{i}' for i in range(n)], object)
    return Recordings(sr, ids, files, np.full(n, round(sr*seconds)), np.arange(n), split, [])

def plain_step(config, n):
    "A step of training written out: the same layers without our classes"
    layers, n_in = [], 1
    sizes = [(config.encoder.stride, config.encoder.stride, 1)]+[(3, 1, config.encoder.pool)]*9
    for n_out, (kernel, stride, pool) in zip(config.encoder.channels, sizes):
        padding = 0 if stride>1 else 1
        layers += [nn.Conv1d(n_in, n_out, kernel, stride, padding), nn.BatchNorm1d(n_out), nn.ReLU()]
        if pool>1: layers.append(nn.MaxPool1d(pool))
        n_in = n_out
    layers += [nn.Conv1d(n_in, 512, 3, 1, 1), nn.BatchNorm1d(512), nn.ReLU(), nn.Flatten()]
    net = nn.Sequential(*layers, make_projector(512, config.projection_dim))
    optimizer = torch.optim.Adam(net.parameters(), config.lr)
    x = torch.randn(2*n, 1, config.encoder.n_samples)
    loss = NTXentLoss(config.temperature)
    def step():
        optimizer.zero_grad()
        emb = net(x)
        loss(emb[:n], emb[n:]).backward()
        optimizer.step()
    return step

def our_step(config, n, bf16=False):
    "A step of training of our module"
    module = ContrastiveModule(config, None)
    optimizer = module.configure_optimizers()[0][0]
    batch = dict(audio=torch.randn(n, 2, config.encoder.n_samples), group=torch.arange(n))
    def step():
        optimizer.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=bf16): loss = module.batch_loss(batch)
        loss.backward()
        optimizer.step()
    return step

def epoch_seconds(batches, step, warm_up=1):
    "Time of a pass over batches without the first, each followed by a step"
    start = None
    for i, _ in enumerate(batches):
        if i==warm_up: start = time.perf_counter()
        step()
    return time.perf_counter()-start

def measure_speed(n, repeats):
    torch.set_num_threads(1)
    plain, ours = (seconds_of(o, repeats) for o in (plain_step(CLMR, n), our_step(CLMR, n)))
    bf16 = seconds_of(our_step(CLMR, n, bf16=True), repeats)
    vcmr = seconds_of(our_step(VCMR_MUSIC, n), repeats)
    n_parameters = sum(o.numel() for o in SampleCNN(SAMPLE_CNNS['clmr']).parameters())
    return dict(
        recordings_per_batch=n, parameters=n_parameters, plain_step_seconds=plain, step_seconds=ours,
        step_over_plain=ours/plain,
        bf16_step_seconds=bf16, vcmr_step_seconds=vcmr,
        # CLMR's paper: 10,000 epochs of 16,000 clips; VCMR: 50 epochs of 8 segments of 20,150 videos, 9 of 10 of them
        days_for_clmr=ours/n*16_000*10_000/86_400, days_for_vcmr_music=vcmr/n*.9*8*20_150*50/86_400)

def measure_loader(n, repeats, threads):
    torch.set_num_threads(1)
    workers = max(1, threads-1)
    with tempfile.TemporaryDirectory() as folder:
        recordings = invent(folder, 2+n*(repeats+2), 22050, 4.)
        crops, batches = Crops(recordings, CropPlan(59_049)), list(RecordingBatches(recordings, n))
        step = our_step(CLMR, n)
        compute = epoch_seconds(batches, step)
        read = epoch_seconds(crop_loader(crops, batches, workers), step)
    return dict(
        recordings_per_batch=n, threads_of_the_network=1, processes_that_read=workers, compute_only_seconds=compute,
        with_loader_seconds=read, loader_keeps=compute/read)

def main():
    options = parser(__doc__, 'pretraining.json')
    options.add_argument('parts', nargs='+', choices=('augment', 'speed', 'loader'), help='what to measure')
    options.add_argument('--threads', type=int, default=2, help='cores: one computes, the others read')
    options.add_argument('--batch', type=int, default=8, help='recordings in a batch')
    options.add_argument('--repeats', type=int, default=20, help='calls of each kind')
    args = options.parse_args()
    found = json.loads(args.out.read_text()) if args.out.is_file() else {}
    if 'augment' in args.parts: found['augment'] = measure_changes(args.repeats)
    if 'speed' in args.parts: found['speed'] = measure_speed(args.batch, args.repeats)
    if 'loader' in args.parts: found['loader'] = measure_loader(args.batch, args.repeats, args.threads)
    print(json.dumps(write_json(args.out, found, digits=4), indent=1))

if __name__=='__main__': main()
