"""The thesis' experiments again, its rank beside the right one, and the way from its recipe to ours: `MVREP_SHARED=DIR python bench/experiments.py`

Writes results/table1.csv, results/ladder.csv and results/experiments_baselines.csv. DIR holds `muvi_sync/`. Each row is trained once a fold, with a seed of its own
each time; `--rounds` deals the folds again, for models without a transformer. All rows of one fold see the same training, validation and test videos. Demo videos
are made and encoded once, and kept in the data folder. `--part table1`, `ladder`, `baselines` makes one file only, `demo` makes only the demo videos."""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
import argparse, tempfile, time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
import numpy as np, pandas as pd, torch
from mvrep.core import atomic_write, cached
from mvrep.corpus.demo import demo_corpus
from mvrep.learning.recipes import array_data, fit_in_memory, LADDER, measure, score, THESIS_TABLE, with_test
from mvrep.features.extraction import encode_video
from mvrep.encoders.registry import load_encoder, PRESETS
from mvrep.learning.losses import VeldkampLoss
from mvrep.media.read import read_audio
from mvrep.corpus.folds import artist_folds
from mvrep.corpus.muvi import load_muvi, read_artists, segment_features
from mvrep.learning.config import RECIPES
from muvi_retrieval import pooled, ridge

torch.set_num_threads(1)
RESULTS = Path(__file__).parents[1]/'results'
N,SECONDS,COUPLINGS = 192, 6., (0., .5, 1.)
BASE = replace(RECIPES['thesis'], batch_size=64) # a thousand videos a batch want more videos than there are
MEASURES = [f'{s}_{m}' for s in ('video_to_audio', 'audio_to_video') for m in ('median_rank', 'R@10')]
KEEP = ['loss', 'published_video_to_audio_median_rank', 'published_audio_to_video_median_rank', *MEASURES]

def encode(folder, corpora, encoders):
    "Features of the one segment of each demo video: sound once, since the song does not depend on the coupling, pictures of each corpus"
    a,v = encoders
    files = lambda c: sorted((corpora[c]/'videos').glob('*.mp4'))
    songs = [read_audio(files(c)[0]) for c in corpora]
    assert all((o==songs[0]).all() for o in songs)
    one = lambda p, e: encode_video(p, p.stem, [e])[1][e.column][0]
    x = dict(audio=np.stack([one(p, a) for p in files(1.)]), **{f'video_{c}': np.stack([one(p, v) for p in files(c)]) for c in corpora})
    np.savez(folder/'features.npz', **x)

def demo_features():
    "Names of artists, and features by name: `audio`, `video_0.0` …"
    corpora,encoders = {c: demo_corpus(N, SECONDS, c) for c in COUPLINGS}, [load_encoder(o) for o in PRESETS['offline']]
    folder = cached(lambda d: encode(d, corpora, encoders), 'experiments', *(o.name for o in corpora.values()), *(e.made_by for e in encoders))
    with np.load(folder/'features.npz') as z: x = {k: z[k] for k in z.files}
    return pd.read_csv(corpora[1.]/'manifest.csv').artist.tolist(), x

def sets(folder, shared):
    "Name, coupling, folds and data of each set of videos; five segments of 30 s of each real video, one of 5 s of each demo video"
    artists,x = demo_features()
    for c in COUPLINGS:
        (folder/f'{c}').mkdir()
        yield 'demo', c, 4, array_data(folder/f'{c}', dict(audio=x['audio'], video=x[f'video_{c}']), np.arange(N), np.zeros(N), artists)
    data = load_muvi(next((shared/'muvi_sync').glob('*.npz'))).cut(150)
    keys,*sides = segment_features(data)
    assert (keys.groupby('video_id').size()==15).all() # so that no video tells by its length
    a,v = (o.reshape(-1, 3, o.shape[1]).mean(1) for o in sides)
    yield 'MuVi-Sync', None, 5, array_data(folder, dict(audio=a, video=v), keys.video_id[::3], keys.start[::3], read_artists(shared/'muvi_sync'/'labels'/'meta_harmonix.csv', data.video_ids))

def parts(data, k, rounds):
    "Seed and data with parts, for each fold of each round"
    for r in range(rounds):
        for i,te in enumerate(artist_folds(data.groups['artist'], k, r)): yield k*r+i, with_test(data, te, r)

def summary(rows, by):
    "Means and standard deviations over models"
    g = pd.DataFrame(rows).groupby(by, sort=False, dropna=False)
    fixed = g[[o for o in ('loss_chance', 'loss_floor', 'chance_median_rank', 'chance_R@10', 'pool_size', 'epochs') if o in rows[0]]].mean()
    spread = [g[o].agg(['mean', 'std']).set_axis([o, f'{o}_sd'], axis=1) for o in KEEP if o in rows[0]]
    return pd.concat([g.size().rename('models'), fixed, *spread], axis=1).round(3).reset_index()

def write(df, name):
    with atomic_write(RESULTS/name) as f: df.to_csv(f, index=False)
    print(df.to_string(), flush=True)

def table1(all_sets, rounds):
    "All six rows of the thesis on all sets of videos, under the numbers it gives"
    rows = []
    for name,coupling,k,data in all_sets:
        for row,*_,change in THESIS_TABLE:
            for seed,d in parts(data, k, rounds):
                task = fit_in_memory(d, replace(BASE, **change, seed=seed))
                rows.append(dict(data=name, coupling=coupling, row=row, epochs=task.best[2]) | score(task, d))
            print(name, coupling, row, flush=True)
    said = [dict(data='thesis, quoted', row=row, loss=l, published_video_to_audio_median_rank=r, published_audio_to_video_median_rank=r, chance_median_rank=500.5, pool_size=1000,
        loss_chance=VeldkampLoss(c.get('temperature', 1.)).chance(1000), loss_floor=VeldkampLoss(c.get('temperature', 1.)).floor(1000, nonnegative=not c.get('single_sided'))) for row,l,r,c in THESIS_TABLE]
    out = summary(rows, ['data', 'coupling', 'row'])
    write(pd.concat([pd.DataFrame(said).round(3), out])[out.columns], 'table1.csv')

def climb_one(job):
    "All rungs on one fold"
    name,coupling,seed,d,again = job
    torch.set_num_threads(1)
    rows,made,ranks,single = [], {}, {}, len(d.rows)==len(d.ids)
    for rung,after,change,segments in LADDER:
        config = replace(BASE, **change, seed=seed)
        if single and segments=='all' or again and config.track: continue
        if config not in made: made[config] = fit_in_memory(d, config)
        r = dict(data=name, coupling=coupling, rung=rung, after=after, epochs=made[config].best[2]) | score(made[config], d, segments)
        ranks[rung] = np.mean([r['video_to_audio_median_rank'], r['audio_to_video_median_rank']])
        rows.append(r | dict(change=ranks[rung]-ranks.get(after, np.nan)))
        print(name, seed, rung, ranks[rung], flush=True)
    return rows

def climb(all_sets, rounds, workers):
    "The ladder on the real videos, and on the demo videos as far as one segment a video allows"
    jobs = [(name, coupling, seed, d, seed>=k) for name,coupling,k,data in all_sets if coupling in (1., None) for seed,d in parts(data, k, rounds)]
    with ProcessPoolExecutor(workers, get_context('spawn')) as pool: rows = [r for o in pool.map(climb_one, jobs[::-1]) for r in o]
    order = {o[0]: i for i,o in enumerate(LADDER)}
    rows.sort(key=lambda r: (r['data'], order[r['rung']]))
    by = ['data', 'coupling', 'rung', 'after']
    g = pd.DataFrame(rows).groupby(by, sort=False, dropna=False).change
    write(summary(rows, by).assign(change=g.mean().round(3).to_numpy(), change_se=g.sem().round(3).to_numpy()), 'ladder.csv')

def baselines(all_sets, rounds):
    "Closed forms on the means of the same segments of the same videos"
    rows = []
    for name,coupling,k,data in all_sets:
        n = np.bincount(data.video_index)[:,None]
        x,y = (np.stack([np.bincount(data.video_index, o) for o in np.load(p).T], 1)/n for p in data.paths.values())
        for seed,d in parts(data, k, rounds):
            tr,te = (np.flatnonzero(d.split==o) for o in ('train', 'test'))
            for row,f in dict(CCA=pooled, ridge=ridge).items():
                rows.append(dict(data=name, coupling=coupling, row=row) | measure(*f(x, y, tr)(te)))
    write(summary(rows, ['data', 'coupling', 'row']), 'experiments_baselines.csv')

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--rounds', type=int, default=1)
    p.add_argument('--workers', type=int, default=1, help='processes for the ladder')
    p.add_argument('--part', default='all', choices=['all', 'demo', 'table1', 'ladder', 'baselines'])
    o = p.parse_args()
    if o.part=='demo': demo_features()
    else:
        t,c = time.time(), time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            found = list(sets(Path(folder), Path(os.environ['MVREP_SHARED'])))
            for name,f in dict(baselines=baselines, ladder=lambda *a: climb(*a, o.workers), table1=table1).items():
                if o.part in (name, 'all'): f(found, o.rounds)
                print(f'{name}: {time.time()-t:.0f} s, {time.process_time()-c:.0f} s of processor so far', flush=True)
