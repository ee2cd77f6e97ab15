"""Appendix B with intervals and tests: `MVREP_SHARED=DIR python bench/similarity.py` writes results/similarity.csv

The synthetic demo corpus of 96 videos through musicnn and EfficientNet-Lite0 (made and encoded when first asked for: some minutes, unless `--store` names an index of it that is there, such as that of `mvrep demo`), and MuVi-Sync's features from DIR/muvi_sync.
What is written are means, tests and a histogram of pairs, nothing of a single video. Seeds are 0."""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
import argparse
from importlib.resources import files
from pathlib import Path
import numpy as np, pandas as pd
from scipy.stats import pearsonr
from mvrep.core import atomic_write, cached, sha256
from mvrep.corpus.manifest import read_manifest
from mvrep.corpus.demo import demo_corpus
from mvrep.features.extraction import extract
from mvrep.features.store import FeatureStore
from mvrep.corpus.names import artist_groups
from mvrep.corpus.muvi import load_muvi, read_artists, segment_features
from mvrep.metrics.similarity import cka, cka_interval, compare_genres, compare_songs, joint_histogram, mantel, song_means
from mvrep.features.vectors import fit_scale, standardise

def demo(folder=None):
    "Ids of segments, features of both sides, genre and artist by id"
    df = read_manifest(demo_corpus()/'manifest.csv').set_index('video_id', drop=False)
    code = [sha256(files('mvrep')/f'{o}.py') for o in ('demo', 'demo_sound', 'demo_picture', 'audio', 'video', 'extract', 'segments')]
    store = FeatureStore(folder or cached(lambda d: extract(df, FeatureStore(d), progress=False), 'similarity-demo', *code))
    if set(store.done().index)!=set(df.video_id): raise ValueError(f'{folder} does not hold the demo corpus')
    return store.keys().video_id.to_numpy(), dict(sound=store.matrix('musicnn_mtt'), picture=store.matrix('efficientnet_lite0')), df.genre, df.artist

def muvi(folder):
    "The same of MuVi-Sync"
    data,path = load_muvi(next(folder.glob('*.npz'))).cut(150), folder/'labels'/'meta_harmonix.csv'
    keys,a,v = segment_features(data)
    genre = pd.read_csv(path, dtype=str).set_index('id').harmonix_genre_artist
    return keys.video_id.to_numpy(), dict(sound=a, picture=v), genre, pd.Series(artist_groups(read_artists(path, data.video_ids)), data.video_ids)

def unit(x): return x/np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)

def agreement(x, y, n_perm=999):
    "Mantel's test, what a plain one says, and CKA with the same permutations of videos"
    a,b = (unit(o)@unit(o).T for o in (x, y))
    t = np.triu_indices(len(a), 1)
    seen,rng = cka(x, y), np.random.default_rng(0)
    by_chance = np.array([cka(x, y[rng.permutation(len(y))]) for _ in range(199)])
    low,high = cka_interval(x, y)
    return a, b, mantel(a, b, n_perm) | dict(pearson_p=pearsonr(a[t], b[t])[1], cka=seen, cka_low=low, cka_high=high, cka_plain=cka(x, y, False), cka_p=(1+(by_chance>=seen).sum())/200, videos=len(a))

def rows(name, ids, sides, genre, artist):
    "All comparisons on one corpus"
    rng,means = np.random.default_rng(0), {}
    for side,x in sides.items():
        for units in ('raw', 'standardised'):
            z = np.asarray(x, float) if units=='raw' else standardise(x, fit_scale(x))
            head = dict(corpus=name, side=side, units=units)
            yield head | dict(what='song') | compare_songs(z, ids)
            at,m = song_means(z, ids)
            means[side, units] = m
            label,who = genre.reindex(at).to_numpy(object), pd.Series(artist.reindex(at).to_numpy())
            yield head | dict(what='genre') | compare_genres(m, label)
            first = np.random.default_rng(0).permutation(np.flatnonzero(pd.notna(label)))
            first = first[~who[first].duplicated().to_numpy()]
            yield head | dict(what='genre, one an artist') | compare_genres(m[first], label[first])
    first = np.random.default_rng(0).permutation(len(at))
    first = np.sort(first[~who[first].duplicated().to_numpy()])
    for units in ('raw', 'standardised'):
        x,y = means['sound', units], means['picture', units]
        yield dict(corpus=name, side='both', units=units, what='agreement, one an artist') | agreement(x[first], y[first])[2]
        a,b,res = agreement(x, y)
        yield dict(corpus=name, side='both', units=units, what='agreement') | res
    if name=='MuVi-Sync':
        for o in joint_histogram(a, b).to_dict('records'): yield dict(corpus=name, side='both', units='standardised', what='pairs', within=o['sound'], between=o['picture'], videos=o['pairs'])

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--out', type=Path, default=Path(__file__).parents[1]/'results'/'similarity.csv')
    p.add_argument('--only', help='one corpus, by its name')
    p.add_argument('--store', help='an index of the demo corpus')
    o = p.parse_args()
    corpora = {'demo': lambda: demo(o.store), 'MuVi-Sync': lambda: muvi(Path(os.environ['MVREP_SHARED'])/'muvi_sync')}
    table = pd.DataFrame([r for k,f in corpora.items() if o.only in (None, k) for r in rows(k, *f())])
    with atomic_write(o.out) as tmp: table.to_csv(tmp, index=False, float_format='%.5g')

if __name__=='__main__': main()
