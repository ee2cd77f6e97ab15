"""Thesis plan (six 5-s segments) from a long 720p file: decode-only floor, mvrep, moviepy, in one run; CPU seconds with children

    python bench/decode.py            # writes results/bench_decode.json; MVREP_SHARED adds a real clip
"""
import json, os, platform, statistics, sys, tempfile
from fractions import Fraction
from pathlib import Path
os.environ.setdefault('OMP_NUM_THREADS', '1')
import av, numpy as np
from mvrep.media.read import probe, read_audio, read_frames
from mvrep.media.segments import plan_segments

def cpu():
    "CPU seconds of this process and of its finished children, user and system"
    return sum(os.times()[:4])

def timed(f, *a):
    c = cpu()
    f(*a)
    return cpu()-c

def generate(path, seconds=240, fps=25, kbps=2000, gop=250):
    "A 720p H.264 file with moving texture and a tone, about 2 Mbit/s, a key frame every 10 s"
    rng,(h,w) = np.random.default_rng(0),(720,1280)
    tile = np.kron(rng.integers(0, 255, (h//8,2*w//8), 'uint8'), np.ones((8,8), 'uint8'))
    noise = rng.integers(-6, 7, (8,h,w)).astype('int16')
    with av.open(str(path), 'w') as c:
        v = c.add_stream('libx264', rate=fps, options=dict(preset='veryfast', g=str(gop), bf='2', **{'x264-params': 'scenecut=0'}))
        v.width,v.height,v.pix_fmt,v.bit_rate = w,h,'yuv420p',kbps*1000
        a = c.add_stream('aac', rate=44100, layout='stereo')
        for i in range(seconds*fps):
            y = tile[:, 4*i%w:4*i%w+w].astype('int16')//2+64
            y[200:500, 300:900] = np.roll(y[200:500, 300:900], 3*i, 0)
            f = av.VideoFrame.from_ndarray(np.concatenate([np.clip(y+noise[i%8], 0, 255).astype('uint8'), np.full((h//2,w), 110+i%30, 'uint8')]), format='yuv420p')
            f.pts,f.time_base = i,Fraction(1, fps)
            for p in v.encode(f): c.mux(p)
            if i%fps==0:
                t = np.arange(44100)/44100+i/fps
                s = av.AudioFrame.from_ndarray(np.stack([.3*np.sin(2*np.pi*(220+i%400)*t)]*2).astype('float32'), format='fltp', layout='stereo')
                s.sample_rate,s.pts,s.time_base = 44100,i//fps*44100,Fraction(1, 44100)
                for p in a.encode(s): c.mux(p)
        for s in v,a:
            for p in s.encode(): c.mux(p)

def floor(path, plan):
    "Decode what the segments need and throw it away: one open file, one thread, pictures then sound"
    with av.open(str(path)) as c:
        for kind in 'video','audio':
            s = getattr(c.streams, kind)[0]
            s.codec_context.thread_count = 1
            for g in plan:
                c.seek(int(g.start/s.time_base), stream=s)
                for f in c.decode(s):
                    if f.time>=g.start+g.length: break

def ours(path, plan, **kw):
    for g in plan:
        read_frames(path, g.start, g.length, **kw)
        read_audio(path, g.start, g.length, 16000)

def moviepy(path, plan, dest):
    "The way of the thesis: open, cut, resize, write a clip and its sound"
    from moviepy import VideoFileClip
    for g in plan:
        with VideoFileClip(str(path)) as v:
            s = v.subclipped(g.start, min(g.start+g.length, v.duration)) # it reads less exact durations
            s.resized((768,432)).write_videofile(f'{dest}/{g.index}.mp4', fps=10, codec='libx264', audio=False, logger=None)
            s.audio.write_audiofile(f'{dest}/{g.index}.wav', fps=16000, ffmpeg_params=['-ac','1'], logger=None)

def measure(path, name, rounds):
    i = probe(path)
    plan = plan_segments(name, i.duration, 'stratified')
    ways = dict(floor=lambda: floor(path, plan), ours_128=lambda: ours(path, plan, fps=10, size=128),
                ours_768x432=lambda: ours(path, plan, fps=10, size=(432,768)), ours_every_frame_128=lambda: ours(path, plan, size=128))
    with tempfile.TemporaryDirectory() as d:
        ways['moviepy'] = lambda: moviepy(path, plan, d)
        ways['floor']()
        cpus = {k: [] for k in ways}
        for _ in range(rounds): # the ways alternate, so that a busy machine is busy for all
            for k,f in ways.items(): cpus[k].append(timed(f))
    med = {k: round(statistics.median(v), 3) for k,v in cpus.items()}
    return dict(file=name, seconds=round(i.duration, 2), width=i.width, height=i.height, segments=len(plan), plan=[list(g) for g in plan], cpu_seconds=med, rounds=rounds,
        to_floor={k: round(v/med['floor'], 2) for k,v in med.items()}, moviepy_over_ours={k: round(med['moviepy']/v, 2) for k,v in med.items() if k.startswith('ours')})

if __name__=='__main__':
    root = Path(__file__).resolve().parents[1]
    rounds = 3
    with tempfile.TemporaryDirectory() as d:
        p = Path(d)/'long.mp4'
        made = timed(generate, p)
        res = [measure(p, 'generated: 240 s, 720p25, H.264, GOP 250', rounds) | dict(mbit_s=round(p.stat().st_size*8/240/1e6, 2), cpu_seconds_to_make=round(made, 1))]
    if shared := os.environ.get('MVREP_SHARED'):
        res.append(measure(Path(shared)/'av_clips'/'moviepy_big_buck_bunny_0_30.webm', 'real: Big Buck Bunny, 30 s, 720p24, VP8', rounds))
    out = dict(command='python bench/decode.py', unit='CPU seconds a video, user and system, children included, median of rounds', cores=os.cpu_count(), python=platform.python_version(), av=av.__version__, results=res)
    (root/'results').mkdir(exist_ok=True)
    (root/'results'/'bench_decode.json').write_text(json.dumps(out, indent=1)+'\n')
    for r in res: print(json.dumps({k: r[k] for k in ('file','cpu_seconds','to_floor','moviepy_over_ours')}, indent=1))
