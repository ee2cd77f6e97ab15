"""How long the app takes to start and to answer on 100,000 videos: `python bench/app.py`

The index has generated embeddings (seeded, in clusters of 50, of the widths of the default encoders, 1506 and
1280), six segments per video in the store, and generated titles. `mvrep app` serves it in a process of its own.
Times run from the start of the process to the first whole page, and to the first answer of the search box; the
process is started three times. Then requests follow one after the other, and from fifty clients at once. An answer
with similar videos includes its reasons: about seventy segments are read from the 600,000 of the store.

Writes results/bench_app.json."""
import asyncio
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
import httpx
import numpy as np
import pandas as pd
import psutil
from common import parser, write_json
from mvrep.core import seed_from
from mvrep.encoders.registry import load_encoder
from mvrep.index.index import create_index

COLUMNS = dict(audio='musicnn_mtt', video='efficientnet_lite0')
WIDTHS = dict(audio=1506, video=1280)
N_SEGMENTS = 6 # per video
N_STARTS = 3
VERSIONS = ('starlette', 'uvicorn', 'lancedb', 'numpy')
WORDS = ('river night glass fire paper moon steel garden winter echo golden city thunder velvet ocean mirror shadow '
         'summer engine orchard').split()

# An index of generated videos

def make_metadata(video_ids):
    "Titles, artists, genres and tags of some words"
    rng, rows = random.Random(seed_from('bench_app')), []
    for i, video_id in enumerate(video_ids):
        title = ' '.join(rng.choices(WORDS, k=3)).title()
        artist = f'The {rng.choice(WORDS).title()}s {i%5000}'
        rows.append(dict(
            video_id=video_id, path=f'/nowhere/{video_id}.mp4', title=title, artist=artist, duration=240.,
            genre=rng.choice(['rock', 'soul', 'hip hop']), tags=rng.sample(WORDS, 2)))
    return pd.DataFrame(rows)

def make_embeddings(modality, n, block=10_000):
    "Unit-norm vectors around n/50 centres, shape (n, d)"
    width = WIDTHS[modality]
    rng = np.random.default_rng(seed_from('bench_app', modality))
    centres = rng.standard_normal((max(1, n//50), width), dtype=np.float32)
    vectors = np.empty((n, width), np.float32)
    for start in range(0, n, block):
        rows = np.arange(start, min(start+block, n))
        noisy = centres[rows%len(centres)]+.9*rng.standard_normal((len(rows), width), dtype=np.float32)
        vectors[rows] = noisy/np.linalg.norm(noisy, axis=1, keepdims=True)
    return vectors

def segment_keys(video_ids):
    "Keys of the segments of some videos"
    owner = np.repeat(video_ids, N_SEGMENTS)
    number = np.tile(np.arange(N_SEGMENTS), len(video_ids))
    segment_ids = [f'{v}_{i}' for v, i in zip(owner, number)]
    return pd.DataFrame(dict(segment_id=segment_ids, video_id=owner, segment=number, start=40.*number, length=5.,
                             split='', source='x'))

def fill_store(store, video_ids, embeddings, block=2000):
    "Six segments around the embedding of each video, written in blocks"
    encoders = {modality: load_encoder(column) for modality, column in COLUMNS.items()}
    noise = {}
    for modality, encoder in encoders.items():
        store.add_column(encoder)
        rng = np.random.default_rng(seed_from('bench_app', 'segments', modality))
        noise[modality] = .02*rng.standard_normal((N_SEGMENTS*block, WIDTHS[modality]), dtype=np.float32)
    for start in range(0, len(video_ids), block):
        keys, feats = segment_keys(video_ids[start:start+block]), {}
        for modality, encoder in encoders.items():
            rows = np.repeat(embeddings[modality][start:start+block], N_SEGMENTS, axis=0)
            feats[encoder] = rows+noise[modality][:len(rows)]
        store.append(keys, feats)

def make_index(folder, n):
    "An index of `n` generated videos; returns their ids"
    index = create_index(folder, tuple(COLUMNS.values()), COLUMNS)
    video_ids = np.array([f'v{i:06}' for i in range(n)], object)
    index.put_videos(make_metadata(video_ids))
    embeddings = {modality: make_embeddings(modality, n) for modality in WIDTHS}
    fill_store(index.store, video_ids, embeddings)
    index.put_embeddings(video_ids, embeddings)
    return list(video_ids)

# The app

@contextmanager
def serve(folder):
    "Start the app: its process, its address, and seconds to the first page and answer; stopped at the end"
    start = time.perf_counter()
    program = 'from mvrep.cli.main import main; main()'
    command = [sys.executable, '-c', program, 'app', str(folder), '--port', '0', '--no-browser']
    environment = dict(os.environ, PYTHONUNBUFFERED='1')
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        address = process.stdout.readline().split()[0].rstrip('/')
        httpx.get(address, timeout=60).raise_for_status()
        page_s = time.perf_counter()-start
        httpx.get(f'{address}/api/videos', params=dict(q='river'), timeout=60).raise_for_status()
        yield process, address, dict(page_s=page_s, first_answer_s=time.perf_counter()-start)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)

def percentiles(seconds):
    return dict(p50=1000*float(np.median(seconds)), p95=1000*float(np.percentile(seconds, 95)))

def ask_singly(address, video_ids, n=30):
    "Milliseconds of requests that follow each other"
    rng, seconds = random.Random(0), dict(similar=[], videos=[])
    for video_id in rng.sample(video_ids, min(n, len(video_ids))):
        for path, params in dict(similar=dict(id=video_id), videos=dict(q=rng.choice(WORDS))).items():
            start = time.perf_counter()
            httpx.get(f'{address}/api/{path}', params=params, timeout=60).raise_for_status()
            seconds[path].append(time.perf_counter()-start)
    return {path: percentiles(o) for path, o in seconds.items()}

def random_request(rng, video_ids):
    "Path and parameters: similar videos or a search, with the same frequency"
    if rng.random()<.5: return '/api/similar', dict(id=rng.choice(video_ids), weight=rng.random())
    return '/api/videos', dict(q=rng.choice(WORDS))

async def ask_at_once(address, video_ids, n_clients, n_requests):
    "Requests of many clients at once, each of which waits for its answers"
    seconds, errors = [], 0
    limits = httpx.Limits(max_connections=n_clients)
    async with httpx.AsyncClient(base_url=address, timeout=300, limits=limits) as http:
        async def ask(seed):
            nonlocal errors
            rng = random.Random(seed)
            for _ in range(n_requests):
                path, params = random_request(rng, video_ids)
                start = time.perf_counter()
                answer = await http.get(path, params=params)
                seconds.append(time.perf_counter()-start)
                errors += answer.status_code!=200
        start = time.perf_counter()
        await asyncio.gather(*map(ask, range(n_clients)))
        per_second = len(seconds)/(time.perf_counter()-start)
    return dict(clients=n_clients, requests=len(seconds), errors=errors, requests_a_second=per_second,
                ms=percentiles(seconds))

def measure(folder, video_ids):
    "Starts, answers and memory"
    starts = []
    for _ in range(N_STARTS-1):
        with serve(folder) as (_, _, took): starts.append(took)
    with serve(folder) as (process, address, took):
        starts.append(took)
        singly = ask_singly(address, video_ids)
        at_once = asyncio.run(ask_at_once(address, video_ids, 50, 6))
        memory = psutil.Process(process.pid).memory_info()
    memory_mib = dict(resident=memory.rss/2**20, of_it_mapped_files=memory.shared/2**20)
    return dict(starts=starts, one_at_a_time_ms=singly, at_once=at_once, memory_mib=memory_mib)

def main():
    p = parser(__doc__, 'bench_app.json')
    p.add_argument('--videos', type=int, default=100_000, help='videos of the index')
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        measured = measure(Path(tmp)/'ix', make_index(Path(tmp)/'ix', args.videos))
    document = dict(
        command='python bench/app.py', videos=args.videos, cores=len(os.sched_getaffinity(0)),
        machine=platform.machine(), load_at_end=os.getloadavg()[0], **measured,
        versions={o: version(o) for o in VERSIONS})
    print(json.dumps(write_json(args.out, document, digits=3)))

if __name__=='__main__': main()
