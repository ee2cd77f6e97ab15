"""Speed of the encoders on one core, each against its plain form in the same run.

python bench/encoders.py        writes results/bench_encoders.json

Times are CPU seconds, the least of several alternating rounds. Compare the ratios, which are from one run, not the
times, which depend on the machine. Speed does not depend on the values of the weights: R(2+1)D-18, whose trained
weights are not packaged, is timed with seeded random ones, and its cosine is between two precisions of that network.

To include the original TensorFlow musicnn in the same run, give it an environment of its own:

python bench/encoders.py --original PYTHON --package FOLDER

PYTHON is the interpreter of an environment with tensorflow-cpu 2.15.1, numpy 1.23.5, numba 0.58.1, scipy 1.11.4,
librosa 0.7.0, resampy 0.2.2, soundfile and joblib. FOLDER is the unpacked wheel of musicnn 0.1.0.
"""
import os
import subprocess
import tempfile
import time
import numpy as np
import soundfile as sf
import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval
from common import parser, write_json
from mvrep.core import import_torchvision, seed_from
from mvrep.encoders.image import ImageTower
from mvrep.encoders.musicnn import Musicnn
from mvrep.encoders.spectrogram import LogMel, log_mel, patches
from mvrep.encoders.video import R2Plus1D18

SECONDS = 24 # of audio that musicnn encodes

torchvision = import_torchvision()
torch.set_num_threads(1)
torch.manual_seed(seed_from('bench_encoders') % 2**32)
rng = np.random.default_rng(seed_from('bench_encoders'))

def cpu_seconds(n_rounds, **ways):
    "{way: least CPU seconds of a call}; the ways alternate, so that a busy machine slows all alike"
    best = dict.fromkeys(ways, np.inf)
    with torch.inference_mode():
        for call in ways.values(): call()
        for _ in range(n_rounds):
            for way, call in ways.items():
                start = time.process_time()
                call()
                best[way] = min(best[way], time.process_time()-start)
    return best

def cosine(a, b): return float(torch.nn.functional.cosine_similarity(a.flatten().float(), b.flatten().float(), dim=0))

def noise(): return (.1*rng.standard_normal(16000*SECONDS)).astype(np.float32)

# musicnn

def musicnn(n_rounds):
    "One patch at a time against batches, and PyTorch's spectrogram against librosa's"
    net, y = Musicnn.from_pretrained('mtt'), noise()
    x, spectrogram = patches(log_mel(y))[:8], LogMel()
    t = cpu_seconds(
        n_rounds,
        one_by_one=lambda: [net(patch[None]) for patch in x],
        batch_of_8=lambda: net(x),
        log_mel_librosa=lambda: log_mel(y),
        log_mel_torch=lambda: spectrogram(torch.tensor(y)[None]),
        encode=lambda: net.encode(y, 16000))
    return dict(
        ms_a_patch_one_by_one=1000*t['one_by_one']/8,
        ms_a_patch_in_batch_of_8=1000*t['batch_of_8']/8,
        one_by_one_is_faster=t['batch_of_8']/t['one_by_one'],
        log_mel_torch_is_faster=t['log_mel_librosa']/t['log_mel_torch'],
        seconds_of_audio_a_cpu_second=SECONDS/t['encode'])

ORIGINAL = """
import numba, os, sys, time, types
os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
m = types.ModuleType('numba.decorators') # librosa 0.7.0 looks for it
m.jit = numba.jit
sys.modules[m.__name__] = m
sys.path.insert(0, sys.argv[1])
from musicnn.extractor import extractor
def run():
    t = time.process_time()
    extractor(sys.argv[2], model='MTT_musicnn', extract_features=True)
    return time.process_time()-t
run()
print('seconds', min(run() for _ in range(3)))
"""
ONE_THREAD = {o: '1' for o in ('OMP_NUM_THREADS', 'TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS')}

def time_original(python, package, wav):
    "CPU seconds of the original's `extractor` for one file, warm, with one thread"
    command = [python, '-W', 'ignore', '-c', ORIGINAL, package, wav]
    run = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=True)
    return float(run.stdout.split('seconds')[-1])

def musicnn_original(n_rounds, python, package):
    "The whole way from a file to its features, the original's and ours in turn"
    net = Musicnn.from_pretrained('mtt')
    theirs, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        wav = f'{folder}/a.wav'
        sf.write(wav, noise(), 16000)
        for _ in range(3):
            theirs.append(time_original(python, package, wav))
            ours.append(cpu_seconds(n_rounds, ours=lambda: net.encode(*sf.read(wav, dtype='float32')))['ours'])
    return dict(
        original_seconds_of_audio_a_cpu_second=SECONDS/min(theirs),
        ours_seconds_of_audio_a_cpu_second=SECONDS/min(ours),
        faster_than_the_original=min(theirs)/min(ours))

# EfficientNet-Lite0

def folded(net):
    "EfficientNet with each batch normalisation multiplied into the convolution before it"
    for module in list(net.modules()):
        for name, child in dict(module.named_children()).items():
            if isinstance(child, torch.nn.Conv2d):
                conv, place = child, (module, name)
            elif isinstance(child, torch.nn.BatchNorm2d):
                setattr(*place, fuse_conv_bn_eval(conv, child))
                setattr(module, name, torch.nn.Sequential(child.drop, child.act))
    return net

def efficientnet_lite0(n_rounds):
    "Memory formats, folded normalisation, and one frame at a time, for four frames"
    plain = ImageTower.from_pretrained().net.to(memory_format=torch.contiguous_format)
    last = ImageTower.from_pretrained().net.to(memory_format=torch.channels_last)
    fold = folded(ImageTower.from_pretrained().net).to(memory_format=torch.channels_last)
    x = torch.tensor(rng.standard_normal((4, 3, 224, 224)), dtype=torch.float32)
    x_last = x.to(memory_format=torch.channels_last)
    t = cpu_seconds(
        n_rounds,
        plain=lambda: plain(x),
        channels_last=lambda: last(x_last),
        folded=lambda: fold(x_last),
        one_by_one=lambda: [last(frame[None]) for frame in x_last])
    with torch.inference_mode():
        expected = plain(x)
        cosines = cosine(expected, last(x_last)), cosine(expected, fold(x_last))
    return dict(
        ms_a_frame_plain=1000*t['plain']/4,
        channels_last_is_faster=t['plain']/t['channels_last'],
        folded_is_faster=t['plain']/t['folded'],
        channels_last_one_by_one_is_faster=t['plain']/t['one_by_one'],
        cosine_channels_last=cosines[0],
        cosine_folded=cosines[1])

# R(2+1)D-18

def r2plus1d_18(n_rounds):
    "Memory formats and bfloat16, for a clip of 30 frames"
    state = torchvision.models.video.r2plus1d_18().state_dict()
    plain = R2Plus1D18.from_state(state).net.to(memory_format=torch.contiguous_format)
    last = R2Plus1D18.from_state(state).net
    bf16 = R2Plus1D18.from_state(state, torch.bfloat16).net
    x = torch.tensor(rng.standard_normal((1, 3, 30, 112, 112)), dtype=torch.float32)
    x_last = x.to(memory_format=torch.channels_last_3d)
    x_bf16 = x.to(torch.bfloat16, memory_format=torch.channels_last_3d)
    t = cpu_seconds(n_rounds, plain=lambda: plain(x), channels_last=lambda: last(x_last), bf16=lambda: bf16(x_bf16))
    with torch.inference_mode():
        expected = plain(x)
        cosines = cosine(expected, last(x_last)), cosine(expected, bf16(x_bf16))
    return dict(
        seconds_a_clip_of_30_frames_plain=t['plain'],
        channels_last_is_faster=t['plain']/t['channels_last'],
        bf16_is_faster=t['plain']/t['bf16'],
        cosine_channels_last=cosines[0],
        cosine_bf16=cosines[1])

def rounded(name, value): return round(value, 6) if 'cosine' in name else float(f'{value:.3g}')

def main():
    "Run all measurements and write them"
    options = parser(__doc__, 'bench_encoders.json')
    options.add_argument('--original', help='interpreter of an environment with TensorFlow')
    options.add_argument('--package', help='folder of the unpacked wheel of musicnn 0.1.0')
    options.add_argument('--rounds', type=int, default=5, help='rounds of each measurement; fewer for R(2+1)D-18')
    args = options.parse_args()
    jobs = dict(
        musicnn=lambda: musicnn(args.rounds),
        efficientnet_lite0=lambda: efficientnet_lite0(args.rounds),
        r2plus1d_18=lambda: r2plus1d_18(max(1, args.rounds//2)))
    if args.original:
        jobs['musicnn_original'] = lambda: musicnn_original(args.rounds//2+1, args.original, args.package)
    command = 'python bench/encoders.py'+(' --original PYTHON --package FOLDER' if args.original else '')
    results = dict(command=command, torch=torch.__version__, threads=1)
    for name, job in jobs.items():
        results[name] = {key: rounded(key, value) for key, value in job().items()}
        print(name, results[name], flush=True)
    write_json(args.out, results)

if __name__=='__main__': main()
