"""Speed of pre-training on raw audio: changes of crops by library, the network, bfloat16, the loader.

python bench/pretraining.py augment speed loader [--threads 2] [--out FILE]
All is measured in processor time of one thread, which other programs hardly disturb. The loader keeps up if a batch is
read in less time than the network needs for one; each process that reads is assumed to have a core of its own.
The other libraries of `augment` are measured if they are installed; a part that is not named keeps its numbers.
"""
import json
import platform
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
import numpy as np
import torch
from common import parser, write_json
from torch import nn
from mvrep.core import n_cores
from mvrep.encoders.sample_cnn import SAMPLE_CNNS, SampleCNN
from mvrep.features.seconds import VideoSeconds
from mvrep.learning.losses import NTXentLoss
from mvrep.pretraining.augment import CHANGES, NO_CHANGES, Augment, AugmentConfig
from mvrep.pretraining.contrastive import CLMR, VCMR_MUSIC, ContrastiveModule, make_projector
from mvrep.pretraining.recordings import CropPlan, Crops, RecordingBatches, Recordings, crop_loader
from mvrep.pretraining.video_conditioned import VCMR, AudioVideo, VideoConditionedModule

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

def hardware():
    "What the numbers were measured on"
    lines = Path('/proc/cpuinfo').read_text().splitlines() if Path('/proc/cpuinfo').exists() else []
    names = [o.partition(':')[2].strip() for o in lines if o.startswith('model name')]
    return dict(processor=names[0] if names else platform.machine(), cores=n_cores(), torch=torch.__version__,
                gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else 'none')

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

def step_of(module, batch, bf16=False):
    "A step of training of a module"
    optimizer = module.configure_optimizers()[0][0]
    def step():
        optimizer.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=bf16): loss = module.batch_loss(batch)
        loss.backward()
        optimizer.step()
    return step

def our_step(config, n, bf16=False):
    "A step on music alone"
    batch = dict(audio=torch.randn(n, 2, config.encoder.n_samples), group=torch.arange(n))
    return step_of(ContrastiveModule(config, None), batch, bf16)

def video_step(config, n, width=512):
    "A step on music and video"
    data = AudioVideo(None, [VideoSeconds(0., np.zeros((config.n_seconds, width), np.float32))], [])
    module = VideoConditionedModule(config, data, SampleCNN(config.encoder).state_dict()).train()
    video = torch.randn(n, config.n_seconds, width)
    return step_of(module, dict(audio=torch.randn(n, 1, config.encoder.n_samples), group=torch.arange(n), video=video))

def measure_speed(n, repeats):
    torch.set_num_threads(1)
    plain, ours = (seconds_of(o, repeats) for o in (plain_step(CLMR, n), our_step(CLMR, n)))
    bf16 = seconds_of(our_step(CLMR, n, bf16=True), repeats)
    vcmr, vcmr_video = (seconds_of(o, repeats) for o in (our_step(VCMR_MUSIC, n), video_step(VCMR, n)))
    n_parameters = sum(o.numel() for o in SampleCNN(SAMPLE_CNNS['clmr']).parameters())
    # CLMR's paper: 10,000 epochs of 16,000 clips; VCMR: 50 epochs of 8 segments of 20,150 videos, 9 of 10 of them
    vcmr_crops = .9*8*20_150*50
    days = dict(clmr=ours/n*16_000*10_000, vcmr_music=vcmr/n*vcmr_crops, vcmr_video=vcmr_video/n*vcmr_crops)
    return dict(
        **hardware(), threads=1, steps=repeats, recordings_per_batch=n,
        parameters=n_parameters, plain_step_seconds=plain, step_seconds=ours, step_over_plain=ours/plain,
        bf16_step_seconds=bf16, bf16_is_faster=ours/bf16, vcmr_music_step_seconds=vcmr,
        vcmr_video_step_seconds=vcmr_video,
        days_on_one_thread={name: o/86_400 for name, o in days.items()})

def step_seconds(batches, step):
    "Processor time of this process for a step, with what it does to receive its batch; the first does not count"
    start, n = None, -1
    for _ in batches:
        n += 1
        if n==1: start = time.process_time()
        step()
    return (time.process_time()-start)/n

def measure_loader(n, repeats, threads):
    torch.set_num_threads(1)
    workers = max(1, threads-1)
    with tempfile.TemporaryDirectory() as folder:
        recordings = invent(folder, 2+n*(repeats+1), 22050, 4.)
        crops, batches = Crops(recordings, CropPlan(59_049)), list(RecordingBatches(recordings, n))
        start = time.process_time()
        for batch in batches: crops[batch]
        read = (time.process_time()-start)/len(batches)
        step = our_step(CLMR, n)
        compute = step_seconds(batches, step)
        fed = step_seconds(crop_loader(crops, batches, workers), step)
    return dict(
        recordings_per_batch=n, threads_of_the_network=1, processes_that_read=workers,
        compute_only_step_seconds=compute, step_seconds_with_loader=fed, seconds_to_read_a_batch=read,
        crops_read_per_second_by_a_process=2*n/read, loader_keeps=compute/max(fed, read/workers))

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
