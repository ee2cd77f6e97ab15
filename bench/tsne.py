"""t-SNE by openTSNE and by scikit-learn on the same vectors in the same run, at 3k, 20k and 100k points, on one core.

OMP_NUM_THREADS=1 python bench/tsne.py [--out results/bench_tsne.json]

Times are processor seconds of one thread: with more, openTSNE's result depends on their number. The vectors are synthetic (40 groups in
256 dimensions, seed 0) and reduced to 50 by PCA, as `fit_positions` does. At 3k all 750 iterations run, otherwise the first 250, the fewest
that scikit-learn accepts. Perplexity 800 is tried at 3k and 20k.
"""
import argparse, json, platform, time, warnings
from pathlib import Path
import numpy as np, openTSNE, sklearn
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

def vectors(n, d=256, groups=40, seed=0):
    "Synthetic unit vectors: groups of different size and spread"
    rng = np.random.default_rng(seed)
    centre, spread = rng.normal(size=(groups, d)), rng.uniform(.6, 1.6, groups)
    g = rng.choice(groups, n, p=rng.dirichlet(np.full(groups, 2.)))
    x = centre[g]+spread[g, None]*rng.normal(size=(n, d))
    return (x/np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

def trust(x, y, k=10, most=2000):
    "Trustworthiness on a seeded sample"
    i = np.sort(np.random.default_rng(0).permutation(len(x))[:most])
    return round(float(trustworthiness(x[i], y[i], n_neighbors=k)), 4)

def reduced(x): return PCA(50, svd_solver='covariance_eigh').fit_transform(x)

def by_opentsne(x, perplexity, iterations):
    "Positions, seconds until the iterations begin, seconds an iteration"
    first = min(iterations, 250)
    t = time.process_time()
    e = openTSNE.TSNE(perplexity=perplexity, n_jobs=1, random_state=0).prepare_initial(reduced(x))
    before, t = time.process_time()-t, time.process_time()
    e = e.optimize(first, exaggeration=12)
    if iterations>first: e = e.optimize(iterations-first)
    return np.asarray(e), before, (time.process_time()-t)/iterations

def by_sklearn(x, perplexity, iterations):
    t = time.process_time()
    y = TSNE(perplexity=perplexity, max_iter=iterations, init='pca', n_jobs=1, random_state=0).fit_transform(reduced(x))
    return y, time.process_time()-t

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--out', type=Path, default=Path(__file__).parents[1]/'results'/'bench_tsne.json')
    a, rows = p.parse_args(), []
    warnings.filterwarnings('ignore')
    def row(n, library, perplexity, iterations, seconds, **more):
        rows.append(dict(n=n, library=library, perplexity=perplexity, iterations=iterations, seconds=round(seconds, 1), **more))
        print(rows[-1], flush=True)
    for n,iterations in ((100000, 250), (20000, 250), (3000, 750)):
        x = vectors(n)
        y, before, each = by_opentsne(x, 30, iterations)
        row(n, 'openTSNE', 30, iterations, before+each*iterations, trustworthiness=trust(x, y))
        y, seconds = by_sklearn(x, 30, iterations)
        row(n, 'scikit-learn', 30, iterations, seconds, trustworthiness=trust(x, y))
    for n in (3000, 20000):
        x = vectors(n)
        y, before, each = by_opentsne(x, 800, 250)
        row(n, 'openTSNE', 800, 250, before+each*250, trustworthiness=trust(x, y))
    about = dict(vectors='synthetic, 40 groups, 256 dimensions, seed 0', seconds='processor seconds, one thread', openTSNE=openTSNE.__version__,
        sklearn=sklearn.__version__, python=platform.python_version(), trustworthiness='10 neighbours, pool: a sample of 2000 (seed 0); after 250 iterations the map is still contracted')
    a.out.write_text(json.dumps(dict(about=about, rows=rows), indent=1)+'\n')

if __name__=='__main__': main()
