"""What recommending by content is worth: python bench/recommend.py [rq1|users|clips]... writes results/recommend_*.csv

- rq1: do sound and picture say the same as the metadata, and which of them predicts what? 96 videos of the synthetic demo corpus, and, where the
  environment variable MVREP_SHARED names a folder that holds `muvi_sync/`, 598 real music videos. Only numbers about whole collections are written.
- users: simulated people on the demo corpus; content against popularity and chance, for what comes next and for videos nobody has played.
- clips: a clip cut from the picture of a video looks for its own song, and for where in the song it belongs, through a model trained on other videos.
"""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
import shutil, sys, tempfile
from pathlib import Path
import numpy as np, pandas as pd
from mvrep.core import atomic_write, cached, seed_from
from mvrep.corpus.manifest import read_manifest
from mvrep.recommendation.matching import match, windows
from mvrep.corpus.demo import demo_corpus
from mvrep.features.extraction import extract
from mvrep.encoders.registry import PRESETS
from mvrep.index.index import Index, create_index
from mvrep.recommendation.interactions import by_chance, by_content, by_popularity, cold_items, evaluate_recommenders, hold_out, item_vectors, leave_last, read_interactions, simulate_log
from mvrep.recommendation.metadata import FIELDS, agreement, metadata_similarity, predict_field
from mvrep.metrics.intervals import bootstrap_interval
from mvrep.corpus.folds import artist_folds
from mvrep.corpus.names import artist_groups
from mvrep.learning.config import RECIPES
from mvrep.learning.training import train_model
from mvrep.learning.data import training_data
from mvrep.features.vectors import fit_scale, pool_segments, standardise

OUT = Path(__file__).parents[1]/'results'
NAMES = dict(sound='audio', picture='video', both='joint')

def write(rows, name):
    df = pd.concat(rows, ignore_index=True) if isinstance(rows, list) else rows
    with atomic_write(OUT/f'recommend_{name}.csv') as f: df.round(4).to_csv(f, index=False)
    print(df.round(3).to_string())

def _make(folder):
    corpus = read_manifest(demo_corpus()/'manifest.csv')
    index = create_index(folder/'ix', PRESETS['offline'], dict(audio='musicnn_mtt', video='efficientnet_lite0'), 'whole')
    index.put_videos(corpus)
    extract(corpus, index.store, index.build.specs, 'whole', progress=False)
    index.make_build()

def demo_index():
    "The demo corpus, every five seconds of it, untrained"
    return Index(cached(_make, 'recommend-bench')/'ix')

def z(s):
    m = ~np.eye(len(s), dtype=bool)&~np.isnan(s)
    return np.nan_to_num((s-s[m].mean())/s[m].std())

def rq1(corpus, by, videos, artists, targets):
    "Agreement and predictions of one collection; but where the artist is asked for, or is part of what is compared with, the same artist's videos are left out"
    apart,named = np.array(artists, object)[:,None]!=np.array(artists, object), videos.assign(artist=artists)
    said,rows = metadata_similarity(videos, ('genre', 'release_date', 'tags')), []
    whole = metadata_similarity(named, ('artist', 'genre', 'release_date', 'tags'))
    pairs = [(k, v, 'genre, year, tags', said, apart) for k,v in by.items()]+[(k, v, 'artist, genre, year, tags', whole, True) for k,v in by.items()]
    pairs += [('sound', by['sound'], 'picture', by['picture'], apart)]+[('both', by['both'], o, FIELDS[o](videos[o]), apart) for o in ('genre', 'release_date', 'tags')]
    for a,s,b,t,ok in pairs:
        known = np.flatnonzero(~np.isnan(np.diag(t)))
        cut = lambda x: np.where(ok, x, np.nan)[np.ix_(known, known)]
        rows.append(pd.DataFrame([dict(corpus=corpus, question='agreement', by=a, against=b, same_artist=ok is True, n=len(known), k=10)|agreement(cut(s), cut(t), 10, 100)]))
    for o in ('artist', *targets):
        rest = [f for f in ('genre', 'release_date', 'tags') if f!=o]
        words = metadata_similarity(videos, rest)
        ways = by|{'metadata without it': words, 'both and metadata': z(by['both'])+z(words)}
        truth = FIELDS[o](named[o])
        rows.append(predict_field(ways, truth, None if o=='artist' else artists).assign(corpus=corpus, question=o, same_artist=o=='artist', k=10))
        print(rows[-1].round(3).to_string(), flush=True)
    return rows

def run_rq1():
    index = demo_index()
    cosine = lambda x: x@x.T
    rows = rq1('demo (synthetic)', {k: cosine(item_vectors(index, o)) for k,o in NAMES.items()}, index.videos, list(index.videos.artist), ('genre', 'release_date', 'tags', 'emotion'))
    if shared := os.environ.get('MVREP_SHARED'): rows += muvi(Path(shared)/'muvi_sync')
    write(rows, 'rq1')

def muvi(folder):
    "Real music videos: untrained features of all 598; year, genre and tags where charts and Last.fm know them"
    from mvrep.corpus.names import artist_groups
    from mvrep.corpus.muvi import load_muvi, read_artists, segment_features
    data = load_muvi(next(folder.glob('*.npz'))).cut(150)
    keys,audio,video = segment_features(data)
    ids = keys.video_id.to_numpy(object)
    x = {o: pool_segments(standardise(f, fit_scale(f)), ids) for o,f in dict(sound=audio, picture=video).items()}
    by = {k: v@v.T for k,v in x.items()}
    by['both'] = (by['sound']+by['picture'])/2
    group = [str(o) for o in artist_groups(read_artists(folder/'labels'/'meta_harmonix.csv', data.video_ids))]
    chart = pd.read_csv(folder/'labels'/'spotify_tophits_join.csv', dtype=str).set_index('id').reindex(data.video_ids)
    fm = pd.read_csv(folder/'labels'/'lastfm_hetrec_artist_tags.csv', dtype=str)
    common = fm.tagValue.value_counts()
    tags = fm[fm.tagValue.isin(common.index[common>=10])].groupby('id').tagValue.agg(list).reindex(data.video_ids)
    genre = [[o.strip() for o in g.split(',')] if isinstance(g, str) and g!='set()' else None for g in chart.genre]
    videos = pd.DataFrame(dict(genre=genre, release_date=chart.year.to_numpy(), tags=tags.to_numpy()), index=data.video_ids)
    return rq1('MuVi-Sync (real)', by, videos, group, ('genre', 'release_date', 'tags'))

def run_users():
    index,rows = demo_index(), []
    items,vectors = list(index.build.video_ids), item_vectors(index)
    log,_ = read_interactions(simulate_log(index.videos, 300, 10), items)
    for split,(train,test) in dict(last=leave_last(log), later=hold_out(log), cold=cold_items(log, .3)).items():
        ways = {f'{k}, {how}': by_content(item_vectors(index, o), items, how) for k,o in NAMES.items() for how in ('mean', 'max')}
        ways |= dict(popularity=by_popularity(train, items), chance=by_chance(items))
        t = evaluate_recommenders(ways, train, test, items, vectors, sorted(set(test.item)) if split=='cold' else None, n_boot=500)
        rows.append(t.rename_axis('by').reset_index().assign(split=split, users='simulated', corpus='demo (synthetic)'))
        print(split, t[['ndcg@10', 'ndcg@10_low', 'ndcg@10_high', 'chance_ndcg@10', 'coverage', 'novelty', 'diversity', 'pool_size']].round(3).to_string(), flush=True)
    df = pd.concat(rows, ignore_index=True)
    write(df[['corpus', 'users', 'split', 'by', *(o for o in df if o not in ('corpus', 'users', 'split', 'by'))]], 'users')

SECONDS = 10.

def _clips(folder):
    "Features of ten seconds of picture, and of sound, of each demo video, from a seeded whole second on"
    index,rows = demo_index(), {}
    for n,v in enumerate(index.build.video_ids):
        at = float(np.random.default_rng(seed_from('recommend clips', v)).integers(0, 15))
        for side in ('video', 'audio'): rows[f'{v}.{side}'] = windows(index, index.videos.path[v], side, at, SECONDS)[1]
        rows[f'{v}.at'] = np.array(at)
        if n%12==0: print('clip', n, flush=True)
    np.savez(folder/'clips.npz', **rows)

def run_clips():
    index = demo_index()
    with np.load(cached(_clips, 'recommend-bench-clips')/'clips.npz') as f: clips = dict(f)
    folds = artist_folds(artist_groups(list(index.videos.artist)), 4)
    lags,rows = np.arange(0, 24-SECONDS+1e-9, .5), []
    for recipe in ('aligned', 'track'):
        found = {o: [] for o in ('video', 'audio')}
        for f,test in enumerate(folds):
            split = np.full(len(index), 'train', object)
            split[folds[(f+1)%4]],split[test] = 'valid', 'test'
            with tempfile.TemporaryDirectory() as tmp:
                shutil.copytree(index.folder, Path(tmp)/'ix')
                ix = Index(Path(tmp)/'ix')
                model = train_model(training_data(ix.store, ix.build.columns, ix.videos.assign(split=split)), RECIPES[recipe], Path(tmp)/'runs', accelerator='cpu')
                (ix.folder/'model').mkdir()
                model.save(ix.folder/'model'/'model.safetensors')
                ix.make_build()
                for v in ix.build.video_ids[test]:
                    for side in found:
                        x,at = clips[f'{v}.{side}'], float(clips[f'{v}.at'])
                        r = match(ix, side, np.arange(len(x), dtype=float), x, SECONDS, k=len(ix))
                        by_fit = r.sort_values('fit', ascending=False)
                        held = r[r.index.isin(ix.build.video_ids[test])]
                        found[side].append((list(r.index).index(v)+1, list(by_fit.index).index(v)+1, list(held.index).index(v)+1, len(held),
                                            abs(r.start[v]-at)<=2, (abs(lags-at)<=2).mean(), abs(r.start[v]-at), np.abs(lags-at).mean()))
            print(recipe, f, flush=True)
        for side,o in found.items():
            x = np.array(o, float)
            low,high = bootstrap_interval(x, lambda z: np.r_[np.median(z[:, 0]), np.median(z[:, 2]), z[:, 4].mean(), z[:, 6].mean()])
            rows.append(dict(corpus='demo (synthetic)', recipe=recipe, given=dict(video='10 s of picture', audio='10 s of sound')[side], n=len(x), pool=len(index),
                median_rank=np.median(x[:, 0]), median_rank_low=low[0], median_rank_high=high[0], chance_median_rank=(len(index)+1)/2, median_rank_by_fit=np.median(x[:, 1]),
                pool_not_trained_on=x[:, 3].mean(), median_rank_not_trained_on=np.median(x[:, 2]), median_rank_not_trained_on_low=low[1], median_rank_not_trained_on_high=high[1], chance_median_rank_not_trained_on=(x[:, 3].mean()+1)/2,
                within_2s=x[:, 4].mean(), within_2s_low=low[2], within_2s_high=high[2], chance_within_2s=x[:, 5].mean(),
                seconds_off=x[:, 6].mean(), seconds_off_low=low[3], seconds_off_high=high[3], chance_seconds_off=x[:, 7].mean()))
    write(pd.DataFrame(rows), 'clips')

if __name__=='__main__':
    for o in sys.argv[1:] or ('rq1', 'users', 'clips'): globals()[f'run_{o}']()
