"""t-SNE by openTSNE and by scikit-learn on the same vectors in the same run, at 3k, 20k and 100k points, on one core.

OMP_NUM_THREADS=1 python bench/tsne.py [--scale 1] [--out results/bench_tsne.json]

Times are processor seconds of one thread: with more threads, the result of openTSNE depends on their number. The
vectors are synthetic (40 groups in 256 dimensions, seed 0) and reduced to 50 by PCA, as `fit_positions` does. At 3k
all 750 iterations run, otherwise the first 250, the fewest that scikit-learn accepts. Perplexity 800 is tried at 3k
and 20k. `--scale .05` runs everything with a twentieth of the points, to see that it works.
"""
import platform
import time
import warnings
from dataclasses import dataclass
import numpy as np
import openTSNE
import sklearn
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from common import parser, write_json
from mvrep.features.vectors import unit_norm

@dataclass(frozen=True)
class Run:
    "One row of the table"
    n:int # Points
    iterations:int # Steps of the optimiser
    perplexity:float # Neighbours that count

RUNS = Run(100_000, 250, 30), Run(20_000, 250, 30), Run(3_000, 750, 30) # with both libraries
WIDE_RUNS = Run(3_000, 250, 800), Run(20_000, 250, 800) # with openTSNE

def vectors(n, d=256, n_groups=40, seed=0):
    "Synthetic unit vectors: groups of different size and spread"
    rng = np.random.default_rng(seed)
    centres, spreads = rng.normal(size=(n_groups, d)), rng.uniform(.6, 1.6, n_groups)
    group = rng.choice(n_groups, n, p=rng.dirichlet(np.full(n_groups, 2.)))
    return unit_norm(centres[group]+spreads[group, None]*rng.normal(size=(n, d))).astype(np.float32)

def trust(x, xy, k=10, most=2000):
    "Trustworthiness on a seeded sample"
    rows = np.sort(np.random.default_rng(0).permutation(len(x))[:most])
    return round(float(trustworthiness(x[rows], xy[rows], n_neighbors=k)), 4)

def reduced(x): return PCA(50, svd_solver='covariance_eigh').fit_transform(x)

def by_opentsne(x, run):
    "Positions by openTSNE"
    n_early = min(run.iterations, 250)
    positions = openTSNE.TSNE(perplexity=run.perplexity, n_jobs=1, random_state=0).prepare_initial(reduced(x))
    positions = positions.optimize(n_early, exaggeration=12)
    if run.iterations>n_early: positions = positions.optimize(run.iterations-n_early)
    return np.asarray(positions)

def by_sklearn(x, run):
    "Positions by scikit-learn"
    tsne = TSNE(perplexity=run.perplexity, max_iter=run.iterations, init='pca', n_jobs=1, random_state=0)
    return tsne.fit_transform(reduced(x))

LIBRARIES = {'openTSNE': by_opentsne, 'scikit-learn': by_sklearn}

def measure(run, library):
    "A row of the table"
    x = vectors(run.n)
    start = time.process_time()
    xy = LIBRARIES[library](x, run)
    seconds = round(time.process_time()-start, 1)
    row = dict(n=run.n, library=library, perplexity=run.perplexity, iterations=run.iterations, seconds=seconds,
               trustworthiness=trust(x, xy))
    print(row, flush=True)
    return row

def about():
    "What the numbers were measured on"
    return dict(
        vectors='synthetic, 40 groups, 256 dimensions, seed 0', seconds='processor seconds, one thread',
        openTSNE=openTSNE.__version__, sklearn=sklearn.__version__, python=platform.python_version(),
        trustworthiness='10 neighbours, pool: a sample of 2000 (seed 0); '
            'after 250 iterations the map is still contracted')

def main():
    options = parser(__doc__, 'bench_tsne.json')
    options.add_argument('--scale', type=float, default=1, help='part of the points to use')
    args = options.parse_args()
    warnings.filterwarnings('ignore') # scikit-learn warns of its own future
    def scaled(run): return Run(int(run.n*args.scale), run.iterations, min(run.perplexity, int(run.n*args.scale)//4))
    rows = [measure(scaled(run), library) for run in RUNS for library in LIBRARIES]
    rows += [measure(scaled(run), 'openTSNE') for run in WIDE_RUNS]
    write_json(args.out, dict(about=about(), rows=rows))

if __name__=='__main__': main()
