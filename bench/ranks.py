"""Are ranks over a large gallery found in bounded memory? `python bench/ranks.py` writes results/bench_ranks.json

`embedding_ranks` works in tiles; the obvious way computes the whole similarity matrix and asks `ranks` for both
directions. Both get the same synthetic unit vectors of 256 numbers, at a size at which the matrix fits, and must agree.
Then all of `retrieval_metrics` is measured at a size at which it does not. Each runs in a process of its own.
"""
import json
import os
import resource
import subprocess
import sys
import time
import numpy as np
import torch
import torch.nn.functional as F
from common import parser, write_json
from mvrep.metrics.ranking import embedding_ranks, ranks, retrieval_metrics

SEED, WIDTH = 0, 256

def vectors(n):
    "Pairs of synthetic unit vectors with a cosine of about .2, each of shape (n, 256)"
    generator = torch.Generator().manual_seed(SEED)
    def draw(): return F.normalize(torch.randn(n, WIDTH, generator=generator), dim=1)
    audio = draw()
    return audio, F.normalize(.2*audio+draw(), dim=1)

def summary(audio_to_video, video_to_audio):
    return dict(audio_to_video_median_rank=float(np.median(audio_to_video)),
                video_to_audio_median_rank=float(np.median(video_to_audio)),
                sum_of_ranks=float(audio_to_video.sum()+video_to_audio.sum()))

def matrix(audio, video):
    "Ranks from the whole matrix"
    sim = audio@video.T
    return summary(ranks(sim), ranks(sim.T))

def tiles(audio, video): return summary(*embedding_ranks(audio, video))

WAYS = dict(matrix=matrix, tiles=tiles, metrics=retrieval_metrics)

def gigabytes(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20 # the most so far

def measure(way, n, threads):
    "What one process does: the result with its time and memory"
    torch.set_num_threads(threads)
    audio, video = vectors(n)
    tiles(audio[:64], video[:64]) # imports and first calls
    before = gigabytes()
    start, cpu = time.perf_counter(), time.process_time()
    result = WAYS[way](audio, video)
    spent = dict(seconds=time.perf_counter()-start, processor_seconds=time.process_time()-cpu,
                 gigabytes_beyond_vectors=gigabytes()-before, gigabytes_of_matrix=4*n*n/2**30)
    return dict(way=way, n=n)|{k: round(v, 3) for k, v in (spent|result).items()}

def in_process(way, n, threads):
    "Measure in a process of its own"
    command = [sys.executable, __file__, '--one', way, '--small', str(n), '--threads', str(threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

def main():
    options = parser(__doc__, 'bench_ranks.json')
    options.add_argument('--small', type=int, default=16_000, help='pairs at which the matrix fits')
    options.add_argument('--large', type=int, default=100_000, help='pairs at which it does not')
    options.add_argument('--threads', type=int, default=2)
    options.add_argument('--one', choices=list(WAYS), help='measure this way at --small and print it')
    args = options.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.small, args.threads)))
        return
    load, rows = [round(o, 1) for o in os.getloadavg()], []
    for way, n in (('matrix', args.small), ('tiles', args.small), ('metrics', args.large)):
        rows.append(in_process(way, n, args.threads))
        print(rows[-1], flush=True)
    by_matrix, by_tiles = (o['sum_of_ranks'] for o in rows[:2])
    assert abs(by_matrix-by_tiles)<1e-6*by_matrix # rounding may tie a pair in one way and not in the other
    command = f'python bench/ranks.py --small {args.small} --large {args.large} --threads {args.threads}'
    doc = dict(command=command, seed=SEED, width=WIDTH, cores=os.cpu_count(), load_average=load, rows=rows)
    write_json(args.out, doc)

if __name__=='__main__': main()
