"""The experiments of the thesis again, its rank beside the right one, and one change after the other to our recipe

MVREP_SHARED=DIR python bench/experiments.py [--part table1|ladder|baselines|demo] [--only demo|MuVi-Sync] [--rounds N]
[--out DIR]

Writes table1.csv, ladder.csv and experiments_baselines.csv. DIR holds `muvi_sync/`. Each row is trained once for each
fold, with a seed of its own. `--rounds` distributes artists over folds again, for models without a transformer. All
rows of one fold have the same training, validation and test videos. The demo videos are generated and encoded once
and cached; `--part demo` does only that.
"""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from common import parser, write_table
from mvrep.core import MODALITIES, cached
from mvrep.corpus.demo import demo_corpus
from mvrep.corpus.folds import group_folds
from mvrep.corpus.muvi import load_muvi, read_artists, segment_features
from mvrep.encoders.registry import PRESETS, load_encoder
from mvrep.features.extraction import encode_video
from mvrep.learning.config import RECIPES
from mvrep.learning.data import TrainingData
from mvrep.learning.losses import VeldkampLoss
from mvrep.learning.recipes import LADDER, THESIS_TABLE, array_data, fit_in_memory, measure, score, with_test
from mvrep.media.read import read_audio
from closed_forms import closed_forms

torch.set_num_threads(1)
N_DEMO, SECONDS = 192, 6.
COUPLINGS = (0., .5, 1.)
BASE = replace(RECIPES['thesis'], batch_size=64) # there are fewer videos than the thousand of a batch of the thesis
RANKS = [f'{direction}_median_rank' for direction in ('video_to_audio', 'audio_to_video')]
SPREAD = ['loss', *(f'published_{o}' for o in RANKS), RANKS[0], 'video_to_audio_R@10', RANKS[1], 'audio_to_video_R@10']
FIXED = ['loss_chance', 'loss_floor', 'chance_median_rank', 'chance_R@10', 'pool_size', 'epochs']

@dataclass(frozen=True)
class VideoSet:
    "Videos to train and test on"
    name:str # 'demo' or 'MuVi-Sync'
    coupling:float|None # How much the frames of demo videos know of their songs, 0 to 1; None for real videos
    n_folds:int # Parts that share no artist
    data:TrainingData # All of them in the training split

    def folds(self, n_rounds):
        "Seed, and data with splits, for each fold of each round"
        for number in range(n_rounds):
            for i, test in enumerate(group_folds(self.data.groups['artist'], self.n_folds, number)):
                yield self.n_folds*number+i, with_test(self.data, test, number)

# Features

def encode_one(path, encoder): return encode_video(path, path.stem, [encoder])[1][encoder.column][0]

def encode_demo(folder, corpora, encoders):
    "Features of the one segment of each demo video: audio once, since songs do not depend on the coupling"
    audio_encoder, video_encoder = encoders
    paths = {coupling: sorted((corpus/'videos').glob('*.mp4')) for coupling, corpus in corpora.items()}
    songs = [read_audio(o[0]) for o in paths.values()]
    assert all((o==songs[0]).all() for o in songs)
    feats = dict(audio=np.stack([encode_one(o, audio_encoder) for o in paths[1.]]))
    for coupling, files in paths.items():
        feats[f'video_{coupling}'] = np.stack([encode_one(o, video_encoder) for o in files])
    np.savez(folder/'features.npz', **feats)

def demo_features():
    "Artists of the demo videos, and features by name: `audio`, `video_0.0` …"
    corpora = {coupling: demo_corpus(N_DEMO, SECONDS, coupling) for coupling in COUPLINGS}
    encoders = [load_encoder(o) for o in PRESETS['offline']]
    make = partial(encode_demo, corpora=corpora, encoders=encoders)
    names = [o.name for o in corpora.values()]
    folder = cached(make, 'experiments', *names, *(o.made_by for o in encoders))
    with np.load(folder/'features.npz') as z: feats = {name: z[name] for name in z.files}
    return pd.read_csv(corpora[1.]/'manifest.csv').artist.tolist(), feats

def demo_sets(folder):
    "The demo videos at each coupling, one segment each"
    artists, feats = demo_features()
    for coupling in COUPLINGS:
        (folder/f'{coupling}').mkdir()
        both = dict(audio=feats['audio'], video=feats[f'video_{coupling}'])
        data = array_data(folder/f'{coupling}', both, np.arange(N_DEMO), np.zeros(N_DEMO), artists)
        yield VideoSet('demo', coupling, 4, data)

def muvi_set(folder, shared):
    "The real videos, five segments of 30 s each, of three windows of 10 s"
    data = load_muvi(next((shared/'muvi_sync').glob('*.npz'))).cut(150)
    keys, *feats = segment_features(data)
    assert (keys.groupby('video_id').size()==15).all() # so that the length of a video says nothing
    means = [o.reshape(-1, 3, o.shape[1]).mean(1) for o in feats]
    artists = read_artists(shared/'muvi_sync'/'labels'/'meta_harmonix.csv', data.video_ids)
    data = array_data(folder, dict(zip(MODALITIES, means)), keys.video_id[::3], keys.start[::3], artists)
    return VideoSet('MuVi-Sync', None, 5, data)

# Tables

def summary(rows, by):
    "Means and standard deviations over models"
    groups = pd.DataFrame(rows).groupby(by, sort=False, dropna=False)
    parts = [groups.size().rename('models'), groups[[o for o in FIXED if o in rows[0]]].mean()]
    for name in SPREAD:
        if name in rows[0]: parts.append(groups[name].agg(['mean', 'std']).set_axis([name, f'{name}_sd'], axis=1))
    return pd.concat(parts, axis=1).round(3).reset_index()

def write(table, path):
    "Write a table and print it"
    write_table(path, table)
    print(table.to_string(), flush=True)

def quoted(row):
    "A row of the thesis, with chance and floor of its loss"
    loss = VeldkampLoss(row.change.get('temperature', 1.))
    floor = loss.floor(1000, nonnegative=not row.change.get('single_sided'))
    published = {f'published_{o}': row.median_rank for o in RANKS}
    return dict(data='thesis, quoted', row=row.name, loss=row.loss, loss_chance=loss.chance(1000), loss_floor=floor,
                chance_median_rank=500.5, pool_size=1000, **published)

def table1(sets, options):
    "All six rows of the thesis on all sets of videos, below the numbers that the thesis gives"
    rows = []
    for videos in sets:
        for row in THESIS_TABLE:
            for seed, data in videos.folds(options.rounds):
                fitted = fit_in_memory(data, replace(BASE, **row.change, seed=seed))
                about = dict(data=videos.name, coupling=videos.coupling, row=row.name, epochs=fitted.best.n_epochs)
                rows.append(about|score(fitted, data))
            print(videos.name, videos.coupling, row.name, flush=True)
    made = summary(rows, ['data', 'coupling', 'row'])
    thesis = pd.DataFrame([quoted(o) for o in THESIS_TABLE]).round(3)
    write(pd.concat([thesis, made])[made.columns], options.out/'table1.csv')

@dataclass(frozen=True)
class Climb:
    "All rungs of the ladder on one fold"
    name:str # Of the set of videos
    coupling:float|None # Of the set of videos
    seed:int # Of the models
    data:TrainingData # With splits
    repeated:bool # Whether this is a later round, in which no transformer is trained

def can_stand(rung, job):
    "Whether a rung is tried: all segments need more than one, transformers are trained once"
    one_segment = len(job.data.rows)==len(job.data.video_ids)
    if one_segment and rung.segments=='all': return False
    return not (job.repeated and rung.settings.get('all_segments'))

def climb_one(job):
    "All rungs on one fold"
    torch.set_num_threads(1)
    fitted, medians = {}, {}
    rows = []
    for rung in LADDER:
        if not can_stand(rung, job): continue
        config = replace(BASE, **rung.settings, seed=job.seed)
        if config not in fitted: fitted[config] = fit_in_memory(job.data, config)
        scores = score(fitted[config], job.data, rung.segments)
        medians[rung.name] = np.mean([scores[o] for o in RANKS])
        about = dict(data=job.name, coupling=job.coupling, rung=rung.name, after=rung.after,
                     epochs=fitted[config].best.n_epochs)
        rows.append(about|scores|dict(change=medians[rung.name]-medians.get(rung.after, np.nan)))
        print(job.name, job.seed, rung.name, medians[rung.name], flush=True)
    return rows

def ladder(sets, options):
    "The ladder on the real videos, and on the demo videos as far as one segment per video allows"
    jobs = []
    for videos in sets:
        if videos.coupling not in (1., None): continue
        for seed, data in videos.folds(options.rounds):
            jobs.append(Climb(videos.name, videos.coupling, seed, data, seed>=videos.n_folds))
    with ProcessPoolExecutor(options.workers, get_context('spawn')) as pool:
        rows = [row for fold_rows in pool.map(climb_one, jobs[::-1]) for row in fold_rows]
    order = {rung.name: i for i, rung in enumerate(LADDER)}
    rows.sort(key=lambda row: (row['data'], order[row['rung']]))
    by = ['data', 'coupling', 'rung', 'after']
    change = pd.DataFrame(rows).groupby(by, sort=False, dropna=False).change
    gains = dict(change=change.mean().round(3).to_numpy(), change_se=change.sem().round(3).to_numpy())
    write(summary(rows, by).assign(**gains), options.out/'ladder.csv')

def segment_means(data, modality):
    "Mean features of the segments of each video, shape (n_videos, f)"
    return pd.DataFrame(np.load(data.paths[modality]).astype(float)).groupby(data.video_index).mean().to_numpy()

def baselines(sets, options):
    "Closed forms on the means of the same segments of the same videos, settings chosen in inner folds"
    rows = []
    for videos in sets:
        means = [segment_means(videos.data, o) for o in MODALITIES]
        for _, data in videos.folds(options.rounds):
            train, test = (np.flatnonzero(data.split==o) for o in ('train', 'test'))
            for name, _, embed in closed_forms(*means, train, data.groups['artist']):
                about = dict(data=videos.name, coupling=videos.coupling, row=name)
                rows.append(about|measure(*embed(test)))
    write(summary(rows, ['data', 'coupling', 'row']), options.out/'experiments_baselines.csv')

PARTS = dict(baselines=baselines, ladder=ladder, table1=table1)

def main():
    p = parser(__doc__)
    p.add_argument('--part', default='all', choices=('all', 'demo', *PARTS), help='make one table only')
    p.add_argument('--only', choices=('demo', 'MuVi-Sync'), help='measure one set of videos')
    p.add_argument('--rounds', type=int, default=1, help='how many times artists are distributed over folds')
    p.add_argument('--workers', type=int, default=1, help='processes for the ladder')
    options = p.parse_args()
    if options.part=='demo': return demo_features()
    start = time.time()
    with tempfile.TemporaryDirectory() as folder:
        sets = [] if options.only=='MuVi-Sync' else [*demo_sets(Path(folder))]
        if options.only!='demo': sets.append(muvi_set(Path(folder), Path(os.environ['MVREP_SHARED'])))
        for name, make in PARTS.items():
            if options.part not in (name, 'all'): continue
            make(sets, options)
            print(f'{name}: {time.time()-start:.0f} s so far', flush=True)

if __name__=='__main__': main()
