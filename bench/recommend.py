"""What recommending by content is worth: `python bench/recommend.py metadata|users|clips …`, all three by default

metadata  Do audio and video agree with the metadata, and which of them predicts what? On 96 synthetic videos and, where
          MVREP_SHARED names a folder that holds `muvi_sync/`, on 598 real ones: recommend_rq1.csv, with numbers about
          whole collections only.
users     Simulated users of the synthetic videos: content against popularity and chance, on what comes next and on
          videos without likes: recommend_users.csv.
clips     Ten seconds of one modality look for the other modality of their video, and for the moment, by a model that
          was trained on other artists: recommend_clips.csv.

Tables go into the folder `--out`, results/ by default. The synthetic videos are generated and encoded when they are
first needed, which takes some minutes, unless `--index` names an index to use instead."""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
import numpy as np
import pandas as pd
from common import parser, write_table
from mvrep.core import MODALITIES, cached, data_folder, seed_from
from mvrep.corpus.demo import demo_corpus
from mvrep.corpus.folds import group_folds
from mvrep.corpus.manifest import read_manifest
from mvrep.corpus.muvi import load_muvi, read_artists, segment_features
from mvrep.corpus.names import artist_groups
from mvrep.encoders.registry import PRESETS
from mvrep.features.extraction import extract
from mvrep.features.vectors import fit_scale, pool_segments, standardise
from mvrep.index.examples import study_index
from mvrep.index.index import Index, create_index
from mvrep.learning.config import RECIPES
from mvrep.learning.data import training_data
from mvrep.learning.training import train_model
from mvrep.metrics.intervals import bootstrap_interval
from mvrep.recommendation.evaluation import by_chance, by_content, by_popularity, evaluate_recommenders
from mvrep.recommendation.evaluation import item_modalities, item_vectors
from mvrep.recommendation.interactions import cold_items, hold_out, leave_last, read_interactions, simulate_log
from mvrep.recommendation.lists import ListRules
from mvrep.recommendation.matching import Stretch, match_stretch, read_stretch
from mvrep.recommendation.metadata import field_similarity, metadata_similarity, predict_field, rank_agreement

WAYS = (*MODALITIES, 'joint')
DEMO = 'demo (synthetic)'

def write(out, name, table):
    "Write a table and print it"
    write_table(out/f'recommend_{name}.csv', table, digits=4)
    print(table.round(3).to_string(), flush=True)

# The demo corpus, every five seconds of it, untrained

def make_demo_index(folder):
    videos = read_manifest(demo_corpus()/'manifest.csv')
    columns = dict(zip(MODALITIES, PRESETS['offline']))
    index = create_index(folder/'ix', PRESETS['offline'], columns, 'whole')
    index.put_videos(videos)
    extract(videos, index.store, index.build.specs, 'whole', progress=False)
    index.make_build()

def open_index(folder):
    "The index in a folder, or that of the demo corpus"
    return Index(folder or cached(make_demo_index, 'recommend-bench')/'ix')

# Metadata or content

K = 10 # neighbours
WRITTEN = ('genre', 'release_date', 'tags') # what is known of the videos of both collections, without the artist
SHOWN = 'genre, year, tags'

@dataclass(frozen=True)
class Collection:
    "Videos with similarities of their content"
    name:str # In the table
    similarities:dict # {'audio', 'video', 'joint': cosines, shape (n, n)}
    videos:pd.DataFrame # Metadata, n rows
    groups:np.ndarray # Group of each video's artist, from `artist_groups`, shape (n,)
    targets:tuple # Fields that are predicted, without the artist

def demo_collection(index):
    similarities = {}
    for by in WAYS:
        vectors = item_vectors(index, by)
        similarities[by] = vectors@vectors.T
    return Collection(DEMO, similarities, index.videos, artist_groups(index.videos.artist), (*WRITTEN, 'emotion'))

def genre_list(text): return [o.strip() for o in text.split(',')]

def muvi_metadata(labels, video_ids):
    "Genre and year of a chart, tags of Last.fm with at least ten videos"
    chart = pd.read_csv(labels/'spotify_tophits_join.csv', dtype=str).set_index('id').reindex(video_ids)
    genre = [genre_list(o) if isinstance(o, str) and o!='set()' else None for o in chart.genre]
    tags = pd.read_csv(labels/'lastfm_hetrec_artist_tags.csv', dtype=str)
    n_videos = tags.tagValue.map(tags.tagValue.value_counts())
    tags_of = tags[n_videos>=10].groupby('id').tagValue.agg(list).reindex(video_ids)
    return pd.DataFrame(dict(genre=genre, release_date=chart.year.to_numpy(), tags=tags_of.to_numpy()), video_ids)

def muvi_collection(folder):
    "Untrained features of real videos; what is known of them where charts and Last.fm know them"
    data = load_muvi(next(folder.glob('*.npz'))).cut(150)
    keys, *feats = segment_features(data)
    video_ids = keys.video_id.to_numpy(object)
    similarities = {}
    for modality, x in zip(MODALITIES, feats):
        vectors = pool_segments(standardise(x, fit_scale(x)), video_ids)
        similarities[modality] = vectors@vectors.T
    similarities['joint'] = (similarities['audio']+similarities['video'])/2
    groups = artist_groups(read_artists(folder/'labels'/'meta_harmonix.csv', data.video_ids))
    videos = muvi_metadata(folder/'labels', data.video_ids).assign(artist=groups.astype(str))
    return Collection('MuVi-Sync (real)', similarities, videos, groups, WRITTEN)

def compared_pairs(collection):
    "`(by, its similarities, against, its similarities, is the same artist left in)`"
    content, videos = collection.similarities, collection.videos
    without, with_artist = metadata_similarity(videos, WRITTEN), metadata_similarity(videos, ('artist', *WRITTEN))
    for by in WAYS: yield by, content[by], SHOWN, without, False
    for by in WAYS: yield by, content[by], f'artist, {SHOWN}', with_artist, True
    yield 'audio', content['audio'], 'video', content['video'], False
    for field in WRITTEN: yield 'joint', content['joint'], field, field_similarity(videos, field), False

def agreement_rows(collection):
    is_other_artist = collection.groups[:, None]!=collection.groups
    for by, one, against, other, same_artist in compared_pairs(collection):
        known = np.flatnonzero(~np.isnan(np.diag(other)))
        square = np.ix_(known, known)
        one, other = (np.where(is_other_artist | same_artist, o, np.nan)[square] for o in (one, other))
        about = dict(corpus=collection.name, question='agreement', by=by, against=against, same_artist=same_artist,
                     n=len(known), k=K)
        yield about|rank_agreement(one, other, K, n_boot=100, groups=collection.groups[known])

def standard_scores(similarity):
    "Similarities with mean 0 and variance 1 over the known pairs, 0 for the others"
    is_pair = ~np.eye(len(similarity), dtype=bool) & ~np.isnan(similarity)
    return np.nan_to_num((similarity-similarity[is_pair].mean())/similarity[is_pair].std())

def prediction_table(collection, field):
    "Neighbours by content and by the other fields; the artist's own videos count only where the artist is predicted"
    others = metadata_similarity(collection.videos, [o for o in WRITTEN if o!=field])
    joint = standard_scores(collection.similarities['joint'])
    ways = collection.similarities | {
        'metadata without it': others, 'joint and metadata': joint+standard_scores(others)}
    truth, is_artist = field_similarity(collection.videos, field), field=='artist'
    found = predict_field(ways, truth, collection.groups, K, than='metadata without it', same_group=is_artist)
    return found.assign(corpus=collection.name, question=field, same_artist=is_artist, k=K)

def run_metadata(args):
    collections = [demo_collection(Index(args.index) if args.index else study_index())]
    if folder := data_folder('muvi_sync'): collections.append(muvi_collection(folder))
    tables = []
    for collection in collections:
        tables.append(pd.DataFrame(agreement_rows(collection)))
        tables += [prediction_table(collection, o) for o in ('artist', *collection.targets)]
    write(args.out, 'rq1', pd.concat(tables, ignore_index=True))

# Simulated users

def run_users(args):
    index = open_index(args.index)
    items, vectors = list(index.build.video_ids), item_vectors(index)
    log, _ = read_interactions(simulate_log(index.videos, 300, 10), items)
    content, tables = {}, []
    for by in WAYS:
        vectors_by, has = item_vectors(index, by), item_modalities(index, by)
        for how in ('mean', 'max'): content[f'{by}, {how}'] = by_content(vectors_by, items, how, has)
    for split, (train, test) in dict(last=leave_last(log), later=hold_out(log), cold=cold_items(log, .3)).items():
        recommenders = content|dict(popularity=by_popularity(train, items), chance=by_chance(items))
        candidates = sorted(set(test.item)) if split=='cold' else None
        table = evaluate_recommenders(recommenders, train, test, items, vectors, candidates, n_boot=500)
        table.insert(0, 'by', table.index)
        tables.append(table.assign(split=split))
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, 'split', table.pop('split'))
    table.insert(0, 'users', 'simulated')
    table.insert(0, 'corpus', DEMO)
    write(args.out, 'users', table)

# Clips

LENGTH = 10. # of a clip, seconds
VIDEO_LENGTH = 24. # of the demo corpus, seconds
N_FOLDS = 4

def clip_start(video_id): return float(np.random.default_rng(seed_from('recommend clips', video_id)).integers(0, 15))

def encode_clips(index):
    "Features of a clip of each video in each modality, cached: {'VIDEO_ID.MODALITY': shape (n_windows, f)}"
    def fill(folder):
        feats = {}
        for video_id in index.build.video_ids:
            for modality in MODALITIES:
                clip = read_stretch(index, index.videos.path[video_id], modality, clip_start(video_id), LENGTH)
                feats[f'{video_id}.{modality}'] = clip.feats
        np.savez(folder/'clips.npz', **feats)
    with np.load(cached(fill, 'recommend-bench-clips', str(index.folder))/'clips.npz') as f: return dict(f)

def trained_copy(index, folder, recipe, split, epochs):
    "A copy of an index in the space of a model that was trained on the training part"
    shutil.copytree(index.folder, folder/'ix')
    index = Index(folder/'ix')
    data = training_data(index.store, index.build.columns, index.videos.assign(split=split))
    config = RECIPES[recipe] if epochs is None else replace(RECIPES[recipe], max_epochs=epochs)
    model = train_model(data, config, folder/'runs', accelerator='cpu')
    model.save(index.model_file)
    index.make_build()
    return index

def find_clip(index, video_id, modality, feats, test_ids):
    "Ranks of a clip's own video, and how far the moment that was found is from the true one"
    starts = np.arange(len(feats), dtype=float)
    found = match_stretch(index, Stretch(modality, starts, feats, LENGTH), ListRules(k=len(index)))
    held_out = found[found.index.isin(test_ids)]
    start = clip_start(video_id)
    off = np.abs(np.arange(0, VIDEO_LENGTH-LENGTH+1e-9, .5)-start)
    return dict(
        rank=found.index.get_loc(video_id)+1,
        rank_by_fit=found.sort_values('fit', ascending=False).index.get_loc(video_id)+1,
        rank_held_out=held_out.index.get_loc(video_id)+1, pool_held_out=len(held_out),
        within=abs(found.start[video_id]-start)<=2, chance_within=(off<=2).mean(),
        off=abs(found.start[video_id]-start), chance_off=off.mean())

def find_clips(index, recipe, epochs):
    "One row per clip; models are trained on folds that share no artist with the clip's video"
    clips, rows = encode_clips(index), []
    groups = artist_groups(index.videos.artist)
    folds, group_of = group_folds(groups, N_FOLDS), dict(zip(index.build.video_ids, groups))
    for fold, test in enumerate(folds):
        split = np.full(len(index), 'train', object)
        split[folds[(fold+1)%N_FOLDS]] = 'valid'
        split[test] = 'test'
        test_ids = index.build.video_ids[test]
        with tempfile.TemporaryDirectory() as tmp:
            trained = trained_copy(index, Path(tmp), recipe, split, epochs)
            for video_id in test_ids:
                for modality in MODALITIES:
                    feats = clips[f'{video_id}.{modality}']
                    about = dict(modality=modality, group=group_of[video_id])
                    rows.append(about|find_clip(trained, video_id, modality, feats, test_ids))
        print(recipe, fold, flush=True)
    return pd.DataFrame(rows)

def summarise_clips(clips, n_videos):
    "Medians and means over clips, with intervals over artists and chance"
    columns = ['rank', 'rank_held_out', 'within', 'off']
    def measures(x): return np.r_[np.median(x[:, :2], axis=0), x[:, 2:].mean(axis=0)]
    x = clips[columns].to_numpy(float)
    ranges = zip(measures(x), *bootstrap_interval(x, measures, clips.group))
    names = ('median_rank', 'median_rank_not_trained_on', 'within_2s', 'seconds_off')
    values = {}
    for name, (value, low, high) in zip(names, ranges):
        values |= {name: value, f'{name}_low': low, f'{name}_high': high}
    pool = clips.pool_held_out.mean()
    values |= dict(
        chance_median_rank=(n_videos+1)/2, median_rank_by_fit=clips.rank_by_fit.median(), pool_not_trained_on=pool,
        chance_median_rank_not_trained_on=(pool+1)/2, chance_within_2s=clips.chance_within.mean(),
        chance_seconds_off=clips.chance_off.mean())
    return values

CLIP_COLUMNS = ('median_rank', 'chance_median_rank', 'median_rank_by_fit', 'pool_not_trained_on',
                'median_rank_not_trained_on', 'chance_median_rank_not_trained_on', 'within_2s', 'chance_within_2s',
                'seconds_off', 'chance_seconds_off')

def with_intervals(names, table):
    "Names, each followed by those of its interval"
    for name in names: yield from (o for o in (name, f'{name}_low', f'{name}_high') if o in table)

def run_clips(args):
    index, rows = open_index(args.index), []
    for recipe in ('aligned', 'track'):
        clips = find_clips(index, recipe, args.epochs)
        for modality in reversed(MODALITIES):
            given = clips[clips.modality==modality]
            about = dict(corpus=DEMO, recipe=recipe, given=f'10 s of {modality}', n=len(given), pool=len(index))
            rows.append(about|summarise_clips(given, len(index)))
    table = pd.DataFrame(rows)
    write(args.out, 'clips', table[[*about, *with_intervals(CLIP_COLUMNS, table)]])

PARTS = dict(metadata=run_metadata, users=run_users, clips=run_clips)

def main():
    p = parser(__doc__)
    p.add_argument('parts', nargs='*', help='what is measured: metadata, users, clips')
    p.add_argument('--index', type=Path, help='folder of an index instead of the demo corpus')
    p.add_argument('--epochs', type=int, help='at most this many epochs of training')
    args = p.parse_args()
    if unknown := set(args.parts)-set(PARTS): p.error(f'no part {min(unknown)!r}: want some of {", ".join(PARTS)}')
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.parts or PARTS: PARTS[name](args)

if __name__=='__main__': main()
