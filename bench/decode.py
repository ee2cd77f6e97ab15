"""CPU time to read the segments of a plan from a long 720p file: mvrep, moviepy, and a decoder that discards its frames

    python bench/decode.py            # writes results/bench_decode.json; MVREP_SHARED adds a real clip
    python bench/decode.py --seconds 20 --rounds 1 --out /tmp/decode.json
"""
import json
import os
import platform
import statistics
import tempfile
from fractions import Fraction
from pathlib import Path
os.environ.setdefault('OMP_NUM_THREADS', '1')
import av
import numpy as np
from common import parser, write_json
from mvrep.media.read import probe, read_audio, read_frames
from mvrep.media.segments import plan_segments

HEIGHT, WIDTH = 720, 1280
FPS = 25
SR = 44100
REAL_CLIP = 'moviepy_big_buck_bunny_0_30.webm'

def cpu_seconds():
    "CPU seconds of this process and of its finished children, user and system"
    return sum(os.times()[:4])

def timed(work, *args):
    "CPU seconds that a call takes"
    before = cpu_seconds()
    work(*args)
    return cpu_seconds()-before

# The generated file

def moving_texture(n_frames):
    "Frames of a texture that moves, with noise, as planes of yuv420p"
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (HEIGHT//8, 2*WIDTH//8), 'uint8')
    texture = np.kron(blocks, np.ones((8, 8), 'uint8'))
    noise = rng.integers(-6, 7, (8, HEIGHT, WIDTH)).astype('int16')
    for i in range(n_frames):
        left = 4*i%WIDTH
        luma = texture[:, left:left+WIDTH].astype('int16')//2+64
        luma[200:500, 300:900] = np.roll(luma[200:500, 300:900], 3*i, axis=0)
        luma = np.clip(luma+noise[i%8], 0, 255).astype('uint8')
        chroma = np.full((HEIGHT//2, WIDTH), 110+i%30, 'uint8')
        yield np.concatenate([luma, chroma])

def video_frame(planes, number):
    "A frame for the encoder"
    frame = av.VideoFrame.from_ndarray(planes, 'yuv420p')
    frame.pts = number
    frame.time_base = Fraction(1, FPS)
    return frame

def one_second_of_tone(first_frame):
    "A second of audio that begins with a frame, for the encoder"
    t = np.arange(SR)/SR+first_frame/FPS
    y = .3*np.sin(2*np.pi*(220+first_frame%400)*t)
    frame = av.AudioFrame.from_ndarray(np.stack([y, y]).astype('float32'), 'fltp', 'stereo')
    frame.sample_rate = SR
    frame.pts = first_frame//FPS*SR
    frame.time_base = Fraction(1, SR)
    return frame

def generate(path, seconds, kbps=2000, gop=250):
    "Write a 720p H.264 file with a tone, about 2 Mbit/s, with a key frame every 10 s"
    options = {'preset': 'veryfast', 'g': str(gop), 'bf': '2', 'x264-params': 'scenecut=0'}
    with av.open(str(path), 'w') as container:
        video = container.add_stream('libx264', rate=FPS, options=options)
        video.height, video.width = HEIGHT, WIDTH
        video.pix_fmt = 'yuv420p'
        video.bit_rate = kbps*1000
        audio = container.add_stream('aac', rate=SR, layout='stereo')
        for i, planes in enumerate(moving_texture(seconds*FPS)):
            container.mux(video.encode(video_frame(planes, i)))
            if i%FPS==0: container.mux(audio.encode(one_second_of_tone(i)))
        container.mux(video.encode())
        container.mux(audio.encode())

# The ways to read the segments

def decode_only(path, plan):
    "Decode what the segments need and discard it, with one open file and one thread: first video, then audio"
    with av.open(str(path)) as container:
        for stream in (container.streams.video[0], container.streams.audio[0]):
            stream.codec_context.thread_count = 1
            for segment in plan: decode_segment(container, stream, segment)

def decode_segment(container, stream, segment):
    "Decode a stream from the key frame before a segment to its end"
    container.seek(int(segment.start/stream.time_base), stream=stream)
    for frame in container.decode(stream):
        if frame.time>=segment.start+segment.length: return

def read_segments(path, plan, **options):
    "Read frames and audio of the segments with mvrep"
    for segment in plan:
        read_frames(path, segment.start, segment.length, **options)
        read_audio(path, segment.start, segment.length, 16000)

def moviepy_clips(path, plan, folder):
    "The way of the thesis: open, cut, resize, and write a clip and its audio"
    from moviepy import VideoFileClip
    for segment in plan:
        with VideoFileClip(str(path)) as video:
            end = min(segment.start+segment.length, video.duration) # it reads less exact durations
            clip = video.subclipped(segment.start, end)
            target = f'{folder}/{segment.index}'
            resized = clip.resized((768, 432))
            resized.write_videofile(f'{target}.mp4', fps=10, codec='libx264', audio=False, logger=None)
            clip.audio.write_audiofile(f'{target}.wav', fps=16000, ffmpeg_params=['-ac', '1'], logger=None)

# Measuring

def measure_ways(path, plan, rounds):
    "{way: median CPU seconds}; the ways alternate, so that a busy machine slows all of them"
    with tempfile.TemporaryDirectory() as folder:
        ways = dict(
            floor=lambda: decode_only(path, plan),
            ours_128=lambda: read_segments(path, plan, fps=10, size=128),
            ours_768x432=lambda: read_segments(path, plan, fps=10, size=(432, 768)),
            ours_every_frame_128=lambda: read_segments(path, plan, size=128),
            moviepy=lambda: moviepy_clips(path, plan, folder))
        ways['floor']() # the file is then in the cache of the system
        costs = {way: [] for way in ways}
        for _ in range(rounds):
            for way, read in ways.items(): costs[way].append(timed(read))
    return {way: round(statistics.median(o), 3) for way, o in costs.items()}

def measure(path, name, rounds):
    "The result for one file"
    info = probe(path)
    plan = plan_segments(name, info.duration, 'stratified')
    cost = measure_ways(path, plan, rounds)
    return dict(
        file=name, seconds=round(info.duration, 2), width=info.width, height=info.height, segments=len(plan),
        plan=[list(o) for o in plan], cpu_seconds=cost, rounds=rounds,
        to_floor={way: round(o/cost['floor'], 2) for way, o in cost.items()},
        moviepy_over_ours={way: round(cost['moviepy']/o, 2) for way, o in cost.items() if way.startswith('ours')})

def measure_generated(seconds, rounds):
    "The result for the generated file"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'long.mp4'
        cost = timed(generate, path, seconds)
        result = measure(path, f'generated: {seconds} s, 720p25, H.264, GOP 250', rounds)
        mbit_s = path.stat().st_size*8/seconds/1e6
        return result|dict(mbit_s=round(mbit_s, 2), cpu_seconds_to_make=round(cost, 1))

def main():
    options = parser(__doc__, 'bench_decode.json')
    options.add_argument('--seconds', type=int, default=240, help='duration of the generated file, seconds')
    options.add_argument('--rounds', type=int, default=3, help='measurements of each way; their median is written')
    args = options.parse_args()
    results = [measure_generated(args.seconds, args.rounds)]
    real = Path(os.environ.get('MVREP_SHARED') or '.', 'av_clips', REAL_CLIP)
    if real.exists(): results.append(measure(real, 'real: Big Buck Bunny, 30 s, 720p24, VP8', args.rounds))
    report = dict(
        command='python bench/decode.py', cores=os.cpu_count(), python=platform.python_version(), av=av.__version__,
        unit='CPU seconds a video, user and system, children included, median of rounds', results=results)
    write_json(args.out, report)
    for result in results:
        print(json.dumps({k: result[k] for k in ('file', 'cpu_seconds', 'to_floor', 'moviepy_over_ours')}, indent=1))

if __name__=='__main__': main()
