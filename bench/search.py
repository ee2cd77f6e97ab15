"""How fast is search, and against what? python bench/search.py

Made-up unit vectors in clusters of 100 (seeded), 100,000 x 512 and 1,000,000 x 256, float32 on disk. In one run and on the same questions:
the floor (numpy reads the mapped matrix once: a sum), numpy's product, sort and nothing else, mvrep's exact search for one question and
for 256 at a time, LanceDB's scan of all vectors, and mvrep's approximate search, tuned to recall@10 >= .95 by mvrep itself: `tuned` says what
it reaches on questions that had no part in the choice, and `recall_of_others` measures it again here, against numpy, on the questions of this
script that were not among those of the tuning. In both, that a question finds itself does not count. Writes results/bench_search.json.

float16 is measured once, to say why vectors are kept in float32: numpy has no product for it, so each block is converted first.
"""
import argparse, json, os, platform, resource, tempfile, time
from importlib.metadata import version
from pathlib import Path
import lancedb
import numpy as np
from mvrep.core import atomic_write, seed_from
from mvrep.index.build import Query
from mvrep.index.index import create_index

def vectors(path, n, d, block=50_000):
    "Unit vectors around n/100 centres"
    rng = np.random.default_rng(seed_from('bench_search', n, d))
    centres = rng.standard_normal((n//100, d), dtype=np.float32)
    x = np.lib.format.open_memmap(path, 'w+', np.float32, (n, d))
    for i in range(0, n, block):
        b = centres[rng.integers(len(centres), size=min(block, n-i))]+.9*rng.standard_normal((min(block, n-i), d), dtype=np.float32)
        x[i:i+block] = b/np.linalg.norm(b, axis=1, keepdims=True)
    x.flush()
    return np.load(path, mmap_mode='r')

def ms(f, args):
    "Milliseconds of each call: median and the 95th of a hundred, the first one not counted"
    f(args[0])
    t = []
    for o in args:
        a = time.perf_counter()
        f(o)
        t.append(1000*(time.perf_counter()-a))
    return dict(p50=float(np.median(t)), p95=float(np.percentile(t, 95)))

def by_numpy(x, q, k=10):
    s = x@q
    o = np.argpartition(-s, k)[:k]
    return o[np.argsort(-s[o])]

def half(h, q, k=10, block=65536):
    s = np.concatenate([h[i:i+block].astype(np.float32)@q for i in range(0, len(h), block)])
    return np.argpartition(-s, k)[:k]

def measure(folder, n, d, asked):
    out = dict(n=n, d=d, megabytes=n*d*4/1e6)
    ix = create_index(folder/'ix', ('musicnn_mtt', 'efficientnet_lite0'), dict(audio='musicnn_mtt', video='efficientnet_lite0'))
    x = vectors(folder/'x.npy', n, d)
    ids = np.array([f'v{i:07}' for i in range(n)], object)
    ix._save(ids, dict.fromkeys(ids, 'x'), dict(audio=x, video=np.zeros((n, 1), np.float32)), {}, '') # no picture: one side is measured
    (folder/'x.npy').unlink()
    x,rng = ix.build.embeddings['audio'], np.random.default_rng(1)
    at = rng.choice(n, 256, replace=False)
    qs = [Query(np.array(x[i]), None) for i in at]
    few = qs[:asked]
    out['floor'] = ms(lambda q: x.sum(), few)
    out['numpy'] = ms(lambda q: by_numpy(x, q.audio), few)
    out['exact'] = ms(lambda q: ix.search(q, 10, 'audio'), few)
    a = time.perf_counter()
    many = ix.build.search_many(qs, 10, 'audio')
    out['exact_256_at_once'] = dict(queries_a_second=len(qs)/(time.perf_counter()-a))
    want = [set(ids[by_numpy(x, q.audio)]) for q in qs]
    out['exact']['recall'] = float(np.mean([len(w & set(r.index))/10 for w,r in zip(want, many)]))
    h = np.lib.format.open_memmap(folder/'h.npy', 'w+', np.float16, x.shape)
    for i in range(0, n, 50_000): h[i:i+50_000] = x[i:i+50_000]
    out['numpy_float16'] = ms(lambda q: half(h, q.audio), few[:5])
    del h
    (folder/'h.npy').unlink()
    a = time.perf_counter()
    found = ix.prepare_approximate('audio')
    out['approximate'] = dict(made_in_s=time.perf_counter()-a, tuned=found, megabytes=sum(o.stat().st_size for o in (ix.folder/'index'/f'{ix.build.number:04d}'/'cells').rglob('*') if o.is_file())/1e6,
        **ms(lambda q: ix.search(q, 10, 'audio', approximate=True), few))
    tuned = np.random.default_rng(found['seed']).choice(n, 200, replace=False) # as `Index.approximate` draws them
    new = [(i, q) for i,q in zip(at, qs) if i not in tuned]
    others = lambda i, o: [r for r in o if r!=ids[i]][:10]
    hits = [np.isin(others(i, ids[by_numpy(x, q.audio, 11)]), others(i, ix.search(q, 11, 'audio', approximate=True).index)).mean() for i,q in new]
    out['approximate'].update(recall_of_others=float(np.mean(hits)), asked=len(new))
    table = ix.build.cells['audio'][0]
    scan = lambda q: table.search(q.audio, vector_column_name='x').distance_type('dot').bypass_vector_index().limit(10).select(['row', '_distance']).to_arrow()
    out['lancedb_scan'] = ms(scan, few[:10])
    out['exact_to_floor'] = out['exact']['p50']/out['floor']['p50']
    out['scan_to_exact'] = out['lancedb_scan']['p50']/out['exact']['p50']
    out['exact_to_approximate'] = out['exact']['p50']/out['approximate']['p50']
    return out

def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--sizes', default='100000x512,1000000x256')
    p.add_argument('--questions', type=int, default=40, help='one at a time')
    p.add_argument('--out', default=str(Path(__file__).parents[1]/'results'/'bench_search.json'))
    a,sizes = p.parse_args(), []
    for o in a.sizes.split(','):
        with tempfile.TemporaryDirectory() as tmp: sizes.append(measure(Path(tmp), *map(int, o.split('x')), a.questions))
        doc = dict(command='python bench/search.py', cores=len(os.sched_getaffinity(0)), threads=os.environ.get('OMP_NUM_THREADS', ''), machine=platform.machine(), load_at_end=os.getloadavg()[0],
            peak_memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024, versions={o: version(o) for o in ('numpy', 'lancedb', 'pyarrow')} | dict(python=platform.python_version()), sizes=sizes)
        with atomic_write(a.out) as tmp: tmp.write_text(json.dumps(json.loads(json.dumps(doc, default=float), parse_float=lambda v: round(float(v), 3)), indent=1)+'\n')
        print(json.dumps(sizes[-1], default=float), flush=True)

if __name__=='__main__': main()
