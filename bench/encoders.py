"""How fast the encoders run on one core, each against its plain form in the same run: python bench/encoders.py

Writes results/bench_encoders.json. Times are processor seconds, the least of several alternating rounds; compare the ratios, which are
from one run, not the times, which are the machine's. Speed does not depend on the values of weights: the video network, whose
trained weights are not packaged, is timed with seeded random ones, and its cosine is between two precisions of that same network.

To include the original TensorFlow musicnn in the same run, give it an environment of its own: --original PYTHON --package FOLDER, where
PYTHON has tensorflow-cpu 2.15.1, numpy 1.23.5, numba 0.58.1, scipy 1.11.4, librosa 0.7.0, resampy 0.2.2, soundfile and joblib, and FOLDER
is the unpacked wheel of musicnn 0.1.0.
"""
import argparse, json, os, subprocess, tempfile, time
from pathlib import Path
import numpy as np
import soundfile as sf
import torch
from mvrep.core import atomic_write, import_torchvision, seed_from
from mvrep.encoders.musicnn import Musicnn
from mvrep.encoders.spectrogram import LogMel, log_mel, patches

torchvision = import_torchvision()
from torch.nn.utils.fusion import fuse_conv_bn_eval
from mvrep.encoders.image import ImageTower
from mvrep.encoders.video import R2Plus1D18

torch.set_num_threads(1)
torch.manual_seed(seed_from('bench_encoders') % 2**32)
rng = np.random.default_rng(seed_from('bench_encoders'))

def cpu_seconds(rounds, **ways):
    "Least processor seconds of each way, rounds interleaved so that a busy machine hurts all alike"
    best = {}
    with torch.inference_mode():
        for f in ways.values(): f()
        for _ in range(rounds):
            for k,f in ways.items():
                t = time.process_time()
                f()
                best[k] = min(best.get(k, np.inf), time.process_time()-t)
    return best

def cosine(a, b): return float(torch.nn.functional.cosine_similarity(a.flatten().float(), b.flatten().float(), dim=0))

def musicnn():
    net = Musicnn.from_pretrained('mtt')
    y = (.1*rng.standard_normal(16000*24)).astype(np.float32)
    x,mel = patches(log_mel(y))[:8],LogMel()
    t = cpu_seconds(5, one_by_one=lambda: [net(o[None]) for o in x], batch_of_8=lambda: net(x),
        log_mel_librosa=lambda: log_mel(y), log_mel_torch=lambda: mel(torch.tensor(y)[None]), encode=lambda: net.encode(y, 16000))
    return dict(ms_a_patch_one_by_one=1000*t['one_by_one']/8, ms_a_patch_in_batch_of_8=1000*t['batch_of_8']/8, one_by_one_is_faster=t['batch_of_8']/t['one_by_one'],
        log_mel_torch_is_faster=t['log_mel_librosa']/t['log_mel_torch'], seconds_of_sound_a_cpu_second=24/t['encode'])

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

def original(python, package):
    "The whole job on one 24-s file, file to features: the original's `extractor` and ours, in turn, warm, one thread each"
    env = os.environ | {o:'1' for o in ('OMP_NUM_THREADS', 'TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS')}
    net,theirs,ours = Musicnn.from_pretrained('mtt'),np.inf,np.inf
    with tempfile.TemporaryDirectory() as d:
        sf.write(f'{d}/a.wav', .1*rng.standard_normal(16000*24), 16000)
        def mine():
            y,sr = sf.read(f'{d}/a.wav', dtype='float32')
            net.encode(y, sr)
        for _ in range(3):
            out = subprocess.run([python, '-W', 'ignore', '-c', ORIGINAL, package, f'{d}/a.wav'], env=env, capture_output=True, text=True, check=True).stdout
            theirs = min(theirs, float(out.split('seconds')[-1]))
            ours = min(ours, cpu_seconds(3, mine=mine)['mine'])
    return dict(original_seconds_of_sound_a_cpu_second=24/theirs, ours_seconds_of_sound_a_cpu_second=24/ours, faster_than_the_original=theirs/ours)

def folded(net): # EfficientNet with each batch normalisation multiplied into the convolution before it
    last = None
    for m in list(net.modules()):
        kids = dict(m.named_children())
        for k,o in kids.items():
            if isinstance(o, torch.nn.Conv2d): last = (m, k, o)
            elif isinstance(o, torch.nn.BatchNorm2d):
                setattr(last[0], last[1], fuse_conv_bn_eval(last[2], o))
                setattr(m, k, torch.nn.Sequential(o.drop, o.act))
    return net

def efficientnet_lite0():
    plain,last,fold = (ImageTower.from_pretrained().net.to(memory_format=torch.contiguous_format) for _ in range(3))
    last = last.to(memory_format=torch.channels_last)
    fold = folded(fold).to(memory_format=torch.channels_last)
    x = torch.tensor(rng.standard_normal((4, 3, 224, 224)), dtype=torch.float32)
    z = x.to(memory_format=torch.channels_last)
    t = cpu_seconds(5, plain=lambda: plain(x), channels_last=lambda: last(z), folded=lambda: fold(z), one_by_one=lambda: [last(o[None]) for o in z])
    with torch.inference_mode(): a,b,c = plain(x),last(z),fold(z)
    return dict(ms_a_frame_plain=1000*t['plain']/4, channels_last_is_faster=t['plain']/t['channels_last'], folded_is_faster=t['plain']/t['folded'],
        channels_last_one_by_one_is_faster=t['plain']/t['one_by_one'], cosine_channels_last=cosine(a, b), cosine_folded=cosine(a, c))

def r2plus1d_18():
    nets = {}
    state = torchvision.models.video.r2plus1d_18().state_dict()
    for k,dtype in dict(fp32=torch.float32, bf16=torch.bfloat16).items(): nets[k] = R2Plus1D18.from_state(state, dtype)
    plain = R2Plus1D18.from_state(state)
    plain.net.to(memory_format=torch.contiguous_format)
    x = torch.tensor(rng.standard_normal((1, 3, 30, 112, 112)), dtype=torch.float32)
    ins = {k:x.to(n.net.stem[0].weight.dtype, memory_format=torch.channels_last_3d) for k,n in nets.items()}
    t = cpu_seconds(2, plain=lambda: plain.net(x), fp32=lambda: nets['fp32'].net(ins['fp32']), bf16=lambda: nets['bf16'].net(ins['bf16']))
    with torch.inference_mode(): a,b,c = plain.net(x),nets['fp32'].net(ins['fp32']),nets['bf16'].net(ins['bf16'])
    return dict(seconds_a_clip_of_30_frames_plain=t['plain'], channels_last_is_faster=t['plain']/t['fp32'], bf16_is_faster=t['plain']/t['bf16'],
        cosine_channels_last=cosine(a, b), cosine_bf16=cosine(a, c))

if __name__=='__main__':
    a = argparse.ArgumentParser()
    a.add_argument('--original', help='python of an environment with TensorFlow')
    a.add_argument('--package', help='folder of the unpacked musicnn wheel')
    a = a.parse_args()
    r = dict(command='python bench/encoders.py' + (' --original PYTHON --package FOLDER' if a.original else ''), torch=torch.__version__, threads=1)
    jobs = [musicnn, efficientnet_lite0, r2plus1d_18]
    if a.original: jobs.append(lambda: original(a.original, a.package))
    for name,f in zip(('musicnn', 'efficientnet_lite0', 'r2plus1d_18', 'musicnn_original'), jobs):
        r[name] = {k:float(f'{v:.3g}') if 'cosine' not in k else round(v, 6) for k,v in f().items()}
        print(name, r[name], flush=True)
    with atomic_write(Path(__file__).parent.parent/'results'/'bench_encoders.json') as tmp: tmp.write_text(json.dumps(r, indent=1)+'\n')
