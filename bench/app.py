"""How long until the page is there, and how fast does it answer, on 100,000 videos? python bench/app.py

An index of made-up vectors (seeded, 50 to a cluster, of the default encoders' widths, 1506 and 1280), six segments a video in the store, and made-up
titles, served by `mvrep app` in a process of its own. Time is from the start of the process to the first whole page and the first answer of the search box; the process is
started three times. Then single questions one after the other, and fifty clients at once. Writes results/bench_app.json.

An answer includes its reasons, the moments most alike: a read of some seventy segments out of the store's 600,000.
"""
import argparse, asyncio, json, os, platform, random, signal, subprocess, sys, tempfile, time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
import httpx
import numpy as np
import pandas as pd
import psutil
from mvrep.core import atomic_write, seed_from
from mvrep.encoders.registry import load_encoder
from mvrep.index.index import create_index

WORDS = 'river night glass fire paper moon steel garden winter echo golden city thunder velvet ocean mirror shadow summer engine orchard'.split()

def make(folder, n):
    "An index of `n` made-up videos"
    ix,rng = create_index(folder, ('musicnn_mtt', 'efficientnet_lite0'), dict(audio='musicnn_mtt', video='efficientnet_lite0')), random.Random(seed_from('bench_app'))
    ids = np.array([f'v{i:06}' for i in range(n)], object)
    title = lambda: ' '.join(rng.choices(WORDS, k=3)).title()
    ix.put_videos(pd.DataFrame([dict(video_id=v, path=f'/nowhere/{v}.mp4', title=title(), artist=f'The {rng.choice(WORDS).title()}s {i%5000}', genre=rng.choice(['rock', 'soul', 'hip hop']), tags=rng.sample(WORDS, 2), duration=240.) for i,v in enumerate(ids)]))
    tracks = {}
    for side,d in (('audio', 1506), ('video', 1280)):
        r = np.random.default_rng(seed_from('bench_app', side))
        centres,x = r.standard_normal((n//50, d), dtype=np.float32), np.empty((n, d), np.float32)
        for i in range(0, n, 10_000):
            x[i:i+10_000] = centres[np.arange(i, min(i+10_000, n))%len(centres)]+.9*r.standard_normal((min(10_000, n-i), d), dtype=np.float32)
            x[i:i+10_000] /= np.linalg.norm(x[i:i+10_000], axis=1, keepdims=True)
        tracks[side] = x
    fill(ix.store, ids, tracks)
    ix._save(ids, dict.fromkeys(ids, 'x'), tracks, {o: np.stack([np.zeros(x.shape[1]), np.ones(x.shape[1])]) for o,x in tracks.items()}, '')
    return ids

def fill(store, ids, tracks, block=2000):
    "Six segments around each video's vector, written in bulk"
    nets = {e.modality: e for e in map(load_encoder, ('musicnn_mtt', 'efficientnet_lite0'))}
    for e in nets.values(): store.add_column(e)
    noise = {o: .02*np.random.default_rng(seed_from('bench_app', 'segments', o)).standard_normal((6*block, x.shape[1]), dtype=np.float32) for o,x in tracks.items()}
    for i in range(0, len(ids), block):
        owner = np.repeat(ids[i:i+block], 6)
        number = np.tile(np.arange(6), len(owner)//6)
        keys = pd.DataFrame(dict(segment_id=[f'{v}_{j}' for v,j in zip(owner, number)], video_id=owner, segment=number, start=40.*number,
                                 length=5., split='', source='x'))
        store.append(keys, {e: np.repeat(tracks[o][i:i+block], 6, axis=0)+noise[o][:len(keys)] for o,e in nets.items()})

@contextmanager
def server(folder):
    "The server's process, its address, and the seconds to the first page and to the first answer; ended in the end"
    a = time.perf_counter()
    p = subprocess.Popen([sys.executable, '-c', 'from mvrep.cli.main import main; main()', 'app', str(folder), '--port', '0', '--no-browser'], stdout=subprocess.PIPE, text=True, env=dict(os.environ, PYTHONUNBUFFERED='1'))
    try:
        base = p.stdout.readline().split()[0].rstrip('/')
        httpx.get(base, timeout=60).raise_for_status()
        page = time.perf_counter()-a
        httpx.get(f'{base}/api/videos', params=dict(q='river'), timeout=60).raise_for_status()
        yield p, base, dict(page_s=page, first_answer_s=time.perf_counter()-a)
    finally:
        p.send_signal(signal.SIGINT)
        p.wait(60)

def quantiles(t): return dict(p50=1000*float(np.median(t)), p95=1000*float(np.percentile(t, 95)))

async def crowd(base, ids, clients, each):
    "Questions of many clients at once"
    t,wrong = [], 0
    async with httpx.AsyncClient(base_url=base, timeout=300, limits=httpx.Limits(max_connections=clients)) as c:
        async def one(i):
            nonlocal wrong
            luck = random.Random(i)
            for _ in range(each):
                a = time.perf_counter()
                r = await c.get('/api/similar', params=dict(id=luck.choice(ids), weight=luck.random())) if luck.random()<.5 else await c.get('/api/videos', params=dict(q=luck.choice(WORDS)))
                t.append(time.perf_counter()-a)
                wrong += r.status_code!=200
        a = time.perf_counter()
        await asyncio.gather(*(one(i) for i in range(clients)))
    return dict(clients=clients, requests=len(t), errors=wrong, requests_a_second=len(t)/(time.perf_counter()-a), ms=quantiles(t))

def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--videos', type=int, default=100_000)
    p.add_argument('--out', default=str(Path(__file__).parents[1]/'results'/'bench_app.json'))
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        ids = make(Path(tmp)/'ix', a.videos)
        starts,luck,t = [], random.Random(0), dict(similar=[], videos=[])
        for _ in range(2):
            with server(Path(tmp)/'ix') as (_,_,took): starts.append(took)
        with server(Path(tmp)/'ix') as (p,base,took):
            starts.append(took)
            for v in luck.sample(list(ids), 30):
                for path,params in (('similar', dict(id=v)), ('videos', dict(q=luck.choice(WORDS)))):
                    b = time.perf_counter()
                    r = httpx.get(f'{base}/api/{path}', params=params, timeout=60)
                    t[path].append(time.perf_counter()-b)
                    assert r.status_code==200, r.text
            many = asyncio.run(crowd(base, list(ids), 50, 6))
            mib = psutil.Process(p.pid).memory_info()
    doc = dict(command='python bench/app.py', videos=a.videos, cores=len(os.sched_getaffinity(0)), machine=platform.machine(), load_at_end=os.getloadavg()[0], starts=starts,
        one_at_a_time_ms={k: quantiles(v) for k,v in t.items()}, at_once=many, memory_mib=dict(resident=mib.rss/2**20, of_it_mapped_files=mib.shared/2**20), versions={o: version(o) for o in ('starlette', 'uvicorn', 'lancedb', 'numpy')})
    doc = json.loads(json.dumps(doc), parse_float=lambda v: round(float(v), 3))
    with atomic_write(a.out) as tmp: tmp.write_text(json.dumps(doc, indent=1)+'\n')
    print(json.dumps(doc))

if __name__=='__main__': main()
