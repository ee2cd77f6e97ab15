"""Cross-modal retrieval on real music videos: `MVREP_SHARED=DIR python bench/muvi_retrieval.py`

DIR holds `muvi_sync/`. Tables go into the folder `--out`, results/ by default.

muvi_retrieval.csv           each row is a way of matching songs and videos, scored on folds that share no artist, every
                             video cut to its middle 150 s. Rows that begin with LEAK break these rules on purpose. All
                             rows of one fold see the same training and test videos.
muvi_retrieval_paired.csv    differences of the median ranks of two ways over the same queries, with intervals over
                             artists
muvi_retrieval_settings.csv  the settings of closed forms that inner folds chose, for each fold"""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
from dataclasses import dataclass, replace
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from closed_forms import closed_forms, unit
from common import parser, write_table
from paired_ranks import Queries, paired_rows, rank_rows
from mvrep.core import MODALITIES
from mvrep.corpus.folds import group_folds
from mvrep.corpus.muvi import MuViSync, load_muvi, read_artists
from mvrep.corpus.names import artist_groups
from mvrep.learning.heads import TwoTowers
from mvrep.learning.losses import ClipLoss, same_pairs
from mvrep.learning.muvi_retrieval import TrainingCuts, all_views, fit_retrieval
from mvrep.learning.muvi_views import audio_views
from mvrep.metrics.ranking import retrieval_metrics

torch.set_num_threads(1)
DELAYS = (1, 5) # seconds
DIRECTIONS = ('video_to_audio', 'audio_to_video')
MEASURES = [f'{direction}_{measure}' for direction in DIRECTIONS for measure in ('median_rank', 'R@1', 'R@10')]

def whitened(x, train, n=96):
    "The first `n` principal components of the training part, scaled alike"
    mean, std = x[train].mean(0), x[train].std(0)+1e-3
    _, s, vt = np.linalg.svd((x[train]-mean)/std, full_matrices=False)
    return torch.from_numpy((((x-mean)/std)@vt[:n].T/(s[20]/len(train)**.5)).astype(np.float32))

def train_heads(feats, train, groups, seed, steps=150):
    "Two heads with linear outputs and a learned temperature, on noisy features"
    torch.manual_seed(seed)
    towers = TwoTowers(96, 96, 128, hidden_dim=128, dropout=.5, batch_norm=False, output='linear')
    loss = ClipLoss(.1, learned=True)
    opt = torch.optim.AdamW([*towers.parameters(), *loss.parameters()], lr=2e-3, weight_decay=1.)
    for step in range(steps):
        batch = torch.from_numpy(train[np.random.default_rng([seed, step]).permutation(len(train))[:240]])
        noisy = [o[batch]+.4*torch.randn(len(batch), 96) for o in feats]
        loss(*towers(*noisy), ignore=same_pairs(groups[batch])).backward()
        opt.step()
        opt.zero_grad()
    return towers.eval()

def pooled_heads(audio, video, train, groups, seeds=range(4)):
    "The heads of the thesis with linear outputs, on pooled statistics, four seeds side by side; settings are by hand"
    feats, groups = [whitened(o, train) for o in (audio, video)], torch.from_numpy(groups)
    towers = [train_heads(feats, train, groups, seed) for seed in seeds]
    with torch.no_grad(): audio_embs, video_embs = zip(*(o(*feats) for o in towers))
    audio_emb, video_emb = torch.cat(audio_embs, 1).numpy(), torch.cat(video_embs, 1).numpy()
    return lambda rows: (unit(audio_emb[rows]), unit(video_emb[rows]))

# What is compared

@dataclass(frozen=True)
class Material:
    "The real music videos and their views"
    data:MuViSync # All videos
    artists:list # One a video
    groups:np.ndarray # Number of the artist of each video, shape (n,)
    cuts:TrainingCuts # From `all_views`
    cuts_with_length:TrainingCuts # The same and one more view, which holds the length of the uncut video
    delayed:dict # {seconds: audio views of songs that start so much later}

@dataclass(frozen=True)
class Split:
    "Training and test videos of one fold"
    kind:str # 'artist': no artist in both parts; 'random'
    n_folds:int
    seed:int
    fold:int
    train:np.ndarray # Positions
    test:np.ndarray # Positions

def with_length(cut, n_seconds):
    "The views of a cut, and the length of the uncut video as one more view of both modalities"
    distance = np.log(n_seconds)[:, None]-np.linspace(np.log(150), np.log(500), 48)
    length = np.exp(-distance**2/2/.03**2).astype(np.float32)
    return {modality: views|dict(length=length) for modality,views in cut.items()}

def delay(data, seconds):
    "The same videos with songs that start later"
    def rolled(name): return [np.roll(o, seconds) for o in getattr(data, name)]
    return replace(data, loudness=rolled('loudness'), note_density=rolled('note_density'), chord=rolled('chord'))

def load_material(shared):
    "Read the real videos and compute their views"
    home = shared/'muvi_sync'
    data = load_muvi(next(home.glob('*.npz')))
    assert data.n_seconds.min()>=150 # so that every cut is as long as any other
    artists = read_artists(home/'labels'/'meta_harmonix.csv', data.video_ids)
    cuts = all_views(data)
    delayed = {seconds: audio_views(delay(data.cut(150), seconds)) for seconds in DELAYS}
    cuts_with_length = replace(cuts, views=[with_length(o, data.n_seconds) for o in cuts.views])
    return Material(data, artists, artist_groups(artists), cuts, cuts_with_length, delayed)

def splits(groups, kind, n_folds, seed):
    "One split for each fold"
    for fold, test in enumerate(group_folds(groups, n_folds, seed)):
        yield Split(kind, n_folds, seed, fold, np.setdiff1d(np.arange(len(groups)), test), test)

def take(views, rows): return {view: x[rows] for view,x in views.items()}

def train_views(material, rows, artists, cuts):
    "The model of the library, trained on the videos at positions `rows`"
    ids = [material.data.video_ids[i] for i in rows]
    table = pd.DataFrame(dict(id=ids, artist=[artists[i] for i in rows]))
    return fit_retrieval(material.data.subset(ids), table, cuts=cuts.subset(ids))

def embeddings(model, cut, rows): return [model.embed(take(cut[modality], rows), modality) for modality in MODALITIES]

def on_pooled(name):
    "Name of a row on pooled statistics, such as 'CCA on pooled statistics, library defaults'"
    way, *more = name.split(', ')
    return ', '.join([f'{way} on pooled statistics', *more])

# Rows of the table: name, embeddings of songs, embeddings of videos; for a closed form also its settings

def all_six_views(material, split):
    "The model of the library"
    model = train_views(material, split.train, material.artists, material.cuts)
    yield 'all six views', *embeddings(model, material.cuts.views[0], split.test)

def other_ways(material, split):
    "The model, the same statistics pooled, each view alone, delayed songs, and the leak of the length"
    cut = material.cuts.views[0]
    model = train_views(material, split.train, material.artists, material.cuts)
    audio_emb, video_emb = embeddings(model, cut, split.test)
    yield 'all six views', audio_emb, video_emb
    style = cut['audio']['style'], cut['video']['style'], split.train
    for name, settings, embed in closed_forms(*style, material.groups):
        yield on_pooled(name), *embed(split.test), settings
    yield on_pooled('heads'), *pooled_heads(*style, material.groups)(split.test)
    audio, video = (model.views(take(cut[modality], split.test), modality) for modality in MODALITIES)
    for view in audio: yield f'view: {view}', audio[view], video[view]
    for seconds, views in material.delayed.items():
        yield f'all six views, songs {seconds} s late', model.embed(take(views, split.test), 'audio'), video_emb
    leaky = train_views(material, split.train, material.artists, material.cuts_with_length)
    yield 'LEAK: length of the uncut video', *embeddings(leaky, material.cuts_with_length.views[0], split.test)

def same_artists(material, split):
    "The leak of artists in both parts"
    own_artist = [str(i) for i in range(len(material.data))]
    model = train_views(material, split.train, own_artist, material.cuts)
    yield 'LEAK: artists on both sides', *embeddings(model, material.cuts.views[0], split.test)
    cut = material.cuts.views[0]
    audio, video = (model.views(take(cut[modality], split.test), modality) for modality in MODALITIES)
    yield 'LEAK: artists on both sides, view: style', audio['style'], video['style']

# Tables

PAIRED = ( # rows of the table that are compared over the same queries
    *(('all six views', o) for o in ('CCA on pooled statistics', 'heads on pooled statistics', 'view: curves')),
    ('heads on pooled statistics', 'CCA on pooled statistics'),
    ('ridge on pooled statistics', 'CCA on pooled statistics'),
    ('CCA on pooled statistics', 'CCA on pooled statistics, library defaults'),
    ('ridge on pooled statistics', 'ridge on pooled statistics, library defaults'),
    ('view: style', 'view: curves'),
    ('all six views, songs 1 s late', 'all six views'),
    ('all six views, songs 5 s late', 'all six views, songs 1 s late'),
    ('all six views, songs 5 s late', 'view: style'),
    ('LEAK: artists on both sides', 'all six views'),
    ('LEAK: artists on both sides, view: style', 'view: style'))

@dataclass(frozen=True)
class Tables:
    "What has been measured"
    measures:list # A row for each way of each fold
    ranks:list # Tables of `rank_rows`
    settings:list # A row for each closed form of each fold

def measure(material, split, ways, tables):
    "Add each way of one fold"
    about = dict(split=split.kind, folds=split.n_folds, seed=split.seed, fold=split.fold)
    queries = Queries(split.seed, split.test, material.groups[split.test])
    for name, audio_emb, video_emb, *settings in ways(material, split):
        tables.measures.append(dict(row=name)|about|retrieval_metrics(audio_emb, video_emb, n_boot=0))
        if split.n_folds==5: tables.ranks.append(rank_rows(name, audio_emb, video_emb, queries))
        for o in settings: tables.settings.append(dict(row=name)|about|o)
    print(*about.values(), flush=True)

def summary(rows, seeds):
    "Means over folds and seeds, with standard deviations"
    groups = pd.DataFrame(rows).groupby(['row', 'split', 'folds'], sort=False)
    size = groups.size().rename('n')
    chance = groups[['pool_size', 'chance_median_rank', 'chance_R@10']].mean().round(3)
    spread = [groups[o].agg(['mean', 'std']).set_axis([o, f'{o}_sd'], axis=1).round(3) for o in MEASURES]
    return pd.concat([size, chance, *spread], axis=1).reset_index().assign(seeds=seeds)

def main(shared, out, seeds):
    material, tables = load_material(shared), Tables([], [], [])
    everyone = np.arange(len(material.data))
    for seed in range(seeds):
        for split in splits(material.groups, 'artist', 5, seed): measure(material, split, other_ways, tables)
        for split in splits(material.groups, 'artist', 4, seed): measure(material, split, all_six_views, tables)
        for split in splits(everyone, 'random', 5, seed): measure(material, split, same_artists, tables)
    table = summary(tables.measures, seeds)
    write_table(out/'muvi_retrieval.csv', table)
    write_table(out/'muvi_retrieval_paired.csv', paired_rows(tables.ranks, PAIRED), digits=2)
    write_table(out/'muvi_retrieval_settings.csv', [o for o in tables.settings if 'defaults' not in o['row']])
    print(table[['row', 'folds', *MEASURES]].to_string())

if __name__=='__main__':
    p = parser(__doc__)
    p.add_argument('--seeds', type=int, default=3, help='ways of distributing artists over folds')
    options = p.parse_args()
    main(Path(os.environ['MVREP_SHARED']), options.out, options.seeds)
