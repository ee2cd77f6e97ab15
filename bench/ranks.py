"""Are ranks over a large gallery found in bounded memory? `python bench/ranks.py` writes results/bench_ranks.json

`embedding_ranks` works in tiles; the obvious way makes the whole matrix of similarities and asks `ranks` for both directions. Both get the same made-up unit vectors
of 256 numbers, at a size where the matrix fits, and must agree; then all of `retrieval_metrics` at a size where it does not. Each is measured in a process of its own."""
import argparse, json, os, resource, subprocess, sys, time
from pathlib import Path
import numpy as np, torch
from mvrep.core import atomic_write
from mvrep.metrics.ranking import embedding_ranks, ranks, retrieval_metrics

def vectors(n, d=256, seed=0):
    "Made-up pairs of unit vectors at a cosine of about .2, each of shape (n, d)"
    g = torch.Generator().manual_seed(seed)
    unit = lambda x: torch.nn.functional.normalize(x, dim=1)
    a = unit(torch.randn(n, d, generator=g))
    return a, unit(.2*a+unit(torch.randn(n, d, generator=g)))

def medians(r): return dict(audio_to_video_median_rank=float(np.median(r[0])), video_to_audio_median_rank=float(np.median(r[1])), sum_of_ranks=float(r[0].sum()+r[1].sum()))
def matrix(a, v):
    s = a@v.T
    return medians((ranks(s), ranks(s.T)))
def tiles(a, v): return medians(embedding_ranks(a, v))
def metrics(a, v): return retrieval_metrics(a, v)

def one(way, n, threads):
    "What one process does"
    torch.set_num_threads(threads)
    a,v = vectors(n)
    tiles(a[:64], v[:64])
    memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20
    before,t,c = memory(), time.perf_counter(), time.process_time()
    res = way(a, v)
    spent = dict(seconds=time.perf_counter()-t, processor_seconds=time.process_time()-c, gigabytes_beyond_vectors=memory()-before, gigabytes_of_matrix=4*n*n/2**30)
    print(json.dumps(dict(way=way.__name__, n=n, **{k: round(o, 3) for k,o in (spent|res).items()})))

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--small', type=int, default=16_000)
    p.add_argument('--large', type=int, default=100_000)
    p.add_argument('--threads', type=int, default=2)
    p.add_argument('--one', help='matrix, tiles or metrics: measure this one, at --small')
    o = p.parse_args()
    if o.one: one(globals()[o.one], o.small, o.threads)
    else:
        def run(way, n): return json.loads(subprocess.run([sys.executable, __file__, '--one', way, '--small', str(n), '--threads', str(o.threads)], check=True, capture_output=True, text=True).stdout)
        load,rows = [round(x, 1) for x in os.getloadavg()], []
        for way,n in (('matrix', o.small), ('tiles', o.small), ('metrics', o.large)):
            rows.append(run(way, n))
            print(rows[-1], flush=True)
        assert abs(rows[0]['sum_of_ranks']-rows[1]['sum_of_ranks'])<1e-6*rows[0]['sum_of_ranks'] # rounding may tie a pair in one way and not in the other
        with atomic_write(Path(__file__).parents[1]/'results'/'bench_ranks.json') as f:
            f.write_text(json.dumps(dict(command=f'python bench/ranks.py --small {o.small} --large {o.large} --threads {o.threads}', seed=0, width=256, cores=os.cpu_count(), load_average=load, rows=rows), indent=1))
