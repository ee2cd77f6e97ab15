"""How fast search is, beside other ways: `python bench/search.py`

Unit-norm vectors in clusters of 100 are generated from a seed, 100,000 x 512 and 1,000,000 x 256, float32 on disk. One
run measures on the same queries:

floor              numpy reads the mapped matrix once: a sum
numpy              the product with the matrix, and the best ten
exact              the exact search of mvrep, one query at a time and 256 at once
numpy_float16      the product with a matrix in float16, for which numpy converts block by block
approximate        the approximate search, tuned by mvrep to recall@10 >= .95. `tuned` is what mvrep reports, on queries
                   that had no part in the choice; `recall_of_others` is measured here, against numpy, on queries that
                   mvrep did not use at all. That a query finds itself does not count
lancedb_scan       LanceDB reads all vectors

Writes results/bench_search.json."""
import json
import os
import platform
import resource
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
import numpy as np
from common import parser, write_json
from mvrep.core import seed_from
from mvrep.index.build import Query
from mvrep.index.index import create_index
from mvrep.index.storage import build_folder

BLOCK = 50_000 # rows
N_TUNED = 200 # queries that `prepare_approximate` draws

# Generated vectors

def write_vectors(path, n, d):
    "Unit-norm vectors around n/100 centres, mapped from a file, shape (n, d)"
    rng = np.random.default_rng(seed_from('bench_search', n, d))
    centres = rng.standard_normal((n//100, d), dtype=np.float32)
    vectors = np.lib.format.open_memmap(path, 'w+', np.float32, (n, d))
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n-start)
        block = centres[rng.integers(len(centres), size=size)]
        block = block+.9*rng.standard_normal((size, d), dtype=np.float32)
        vectors[start:start+size] = block/np.linalg.norm(block, axis=1, keepdims=True)
    vectors.flush()
    return np.load(path, mmap_mode='r')

def make_index(folder, n, d):
    "An index of generated embeddings of audio, without video"
    encoders = ('musicnn_mtt', 'efficientnet_lite0')
    index = create_index(folder/'ix', encoders, dict(zip(('audio', 'video'), encoders)))
    path = folder/'vectors.npy'
    ids = [f'v{i:07}' for i in range(n)]
    index.put_embeddings(ids, dict(audio=write_vectors(path, n, d), video=np.zeros((n, 1), np.float32)))
    path.unlink()
    return index

# Searches with numpy

def search_numpy(vectors, query, k=10):
    "Rows of the `k` best, best first"
    scores = vectors@query
    best = np.argpartition(-scores, k)[:k]
    return best[np.argsort(-scores[best])]

def search_float16(vectors, query, k=10, block=65536):
    starts = range(0, len(vectors), block)
    scores = np.concatenate([vectors[i:i+block].astype(np.float32)@query for i in starts])
    return np.argpartition(-scores, k)[:k]

def measure_float16(path, vectors, queries):
    "Milliseconds of the product with a copy in float16"
    copy = np.lib.format.open_memmap(path, 'w+', np.float16, vectors.shape)
    for i in range(0, len(vectors), BLOCK): copy[i:i+BLOCK] = vectors[i:i+BLOCK]
    took = milliseconds(lambda query: search_float16(copy, query.audio), queries)
    path.unlink()
    return took

# Measurements

def milliseconds(function, arguments):
    "Milliseconds of a call: median and 95th percentile; a first call does not count"
    function(arguments[0])
    took = []
    for argument in arguments:
        start = time.perf_counter()
        function(argument)
        took.append(1000*(time.perf_counter()-start))
    return dict(p50=float(np.median(took)), p95=float(np.percentile(took, 95)))

@dataclass
class Searches:
    "An index, and queries that are rows of it"
    index:object # The index
    rows:np.ndarray # Row of each query, shape (256,)
    queries:list # `Query` with the audio of these rows
    n_single:int # Queries that are asked one at a time

    @property
    def vectors(self): return self.index.build.embeddings['audio']

    @property
    def single(self): return self.queries[:self.n_single]

    def approximate(self, query, k=10): return self.index.search(query, k, 'audio', approximate=True)

def make_searches(index, n_single):
    vectors = index.build.embeddings['audio']
    rows = np.random.default_rng(1).choice(len(vectors), 256, replace=False)
    return Searches(index, rows, [Query(np.array(vectors[i]), None) for i in rows], n_single)

def measure_exact(searches):
    "Exact search, one query at a time and 256 at once, with its recall against numpy"
    build, queries = searches.index.build, searches.queries
    exact = milliseconds(lambda query: searches.index.search(query, 10, 'audio'), searches.single)
    start = time.perf_counter()
    found = build.search_many(queries, 10, 'audio')
    per_second = len(queries)/(time.perf_counter()-start)
    hits = []
    for query, table in zip(queries, found):
        expected = build.video_ids[search_numpy(searches.vectors, query.audio)]
        hits.append(len(set(expected) & set(table.index))/10)
    return dict(exact=exact|dict(recall=float(np.mean(hits))), exact_256_at_once=dict(queries_a_second=per_second))

def recall_of_others(searches, seed):
    "Recall of the approximate search on queries that it was not tuned on, and their number"
    ids = searches.index.build.video_ids
    tuned = np.random.default_rng(seed).choice(len(ids), N_TUNED, replace=False) # as the index draws them
    hits = []
    for row, query in zip(searches.rows, searches.queries):
        if row in tuned: continue
        expected = [o for o in ids[search_numpy(searches.vectors, query.audio, 11)] if o!=ids[row]]
        found = [o for o in searches.approximate(query, 11).index if o!=ids[row]]
        hits.append(np.isin(expected[:10], found[:10]).mean())
    return float(np.mean(hits)), len(hits)

def measure_approximate(searches):
    "Approximate search: making it, its size, its time and its recall"
    index = searches.index
    start = time.perf_counter()
    settings = index.prepare_approximate('audio')
    made_in = time.perf_counter()-start
    folder = build_folder(index.builds_folder, index.build.number)/'cells'
    size = sum(o.stat().st_size for o in folder.rglob('*') if o.is_file())/1e6
    took = milliseconds(searches.approximate, searches.single)
    seed = index.build.cells['audio'].seed
    recall, n_queries = recall_of_others(searches, seed)
    tuned = asdict(settings)
    tuned['questions'], tuned['of'] = tuned.pop('n_queries'), tuned.pop('n_cells') # names in the results file
    return dict(made_in_s=made_in, tuned=tuned|dict(seed=seed), megabytes=size, **took, recall_of_others=recall,
                asked=n_queries)

def measure_scan(searches):
    "LanceDB's scan of all vectors"
    table = searches.index.build.cells['audio'].table
    def scan(query):
        request = table.search(query.audio, vector_column_name='x').distance_type('dot').bypass_vector_index()
        return request.limit(10).select(['row', '_distance']).to_arrow()
    return milliseconds(scan, searches.single[:10])

def measure(folder, n, d, n_single):
    "All ways to search in n vectors"
    searches = make_searches(make_index(folder, n, d), n_single)
    vectors = searches.vectors
    result = dict(n=n, d=d, megabytes=n*d*4/1e6)
    result['floor'] = milliseconds(lambda query: vectors.sum(), searches.single)
    result['numpy'] = milliseconds(lambda query: search_numpy(vectors, query.audio), searches.single)
    result |= measure_exact(searches)
    result['numpy_float16'] = measure_float16(folder/'float16.npy', vectors, searches.single[:5])
    result['approximate'] = measure_approximate(searches)
    result['lancedb_scan'] = measure_scan(searches)
    median = {name: o['p50'] for name, o in result.items() if isinstance(o, dict) and 'p50' in o}
    return result|dict(
        exact_to_floor=median['exact']/median['floor'], scan_to_exact=median['lancedb_scan']/median['exact'],
        exact_to_approximate=median['exact']/median['approximate'])

def about_machine():
    versions = {o: version(o) for o in ('numpy', 'lancedb', 'pyarrow')} | dict(python=platform.python_version())
    return dict(
        cores=len(os.sched_getaffinity(0)), threads=os.environ.get('OMP_NUM_THREADS', ''), machine=platform.machine(),
        load_at_end=os.getloadavg()[0], peak_memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024,
        versions=versions)

def main():
    p = parser(__doc__, 'bench_search.json')
    p.add_argument('--sizes', default='100000x512,1000000x256', help='vectors x width, with commas between')
    p.add_argument('--questions', type=int, default=40, help='queries that are asked one at a time')
    args = p.parse_args()
    sizes = []
    for size in args.sizes.split(','):
        n, d = map(int, size.split('x'))
        with tempfile.TemporaryDirectory() as tmp: sizes.append(measure(Path(tmp), n, d, args.questions))
        write_json(args.out, dict(command='python bench/search.py', **about_machine(), sizes=sizes), digits=3)
        print(json.dumps(sizes[-1], default=float), flush=True)

if __name__=='__main__': main()
