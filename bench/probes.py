"""What sound, picture and both know of genre, tags, emotion, mood and year: `python bench/probes.py demo|muvi` writes results/probe_*.csv, `demo` results/zero_shot_tags.csv, too; `noise` writes results/label_noise.csv

`demo` probes 192 synthetic videos (`demo_corpus(192)`, indexed with musicnn and EfficientNet-Lite0, a joint space trained on the training part; `--index DIR` goes on with one
that is there), and compares musicnn's own tags with the genres and tags of the same name. `muvi` probes the features of real music videos: MVREP_SHARED=DIR holds `muvi_sync/`. `noise` gives a share of the videos of both a wrong genre and looks what that does, and
whether these labels are found. All folds share no artist; three seeds."""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
import argparse, tempfile
from pathlib import Path
import numpy as np, pandas as pd
from scipy.stats import spearmanr
from sklearn.kernel_ridge import KernelRidge
from sklearn.preprocessing import StandardScaler
from mvrep.core import atomic_write, seed_from
from mvrep.corpus.manifest import read_manifest
from mvrep.corpus.demo import demo_corpus
from mvrep.features.extraction import extract
from mvrep.encoders.registry import PRESETS
from mvrep.index.index import create_index
from mvrep.probing.labels import doubtful_labels, label_table, together
from mvrep.corpus.folds import artist_folds
from mvrep.corpus.names import artist_groups
from mvrep.corpus.muvi import load_muvi, read_artists
from mvrep.learning.muvi_views import picture_style, sound_style
from mvrep.probing.cross_validation import chance, cross_validate, fold_measures, index_inputs, measures, predict_folds, probe_index
from mvrep.metrics.intervals import jackknife_interval, jackknife_weights
from mvrep.probing.tags import tag_catalogue

OUT = Path(__file__).parents[1]/'results'
OPINION = set('love, <3, sexy, catchy, amazing, beautiful, love at first listen, favorites, favourite, addictive, awesome, hot, cute, fun, cool, legend, diva, great, epic, perfect, best, good, favorite, fav, my, guilty pleasure, seen live, loved, queen, talented, american, british, canadian, 00s, 10s, 90s, 80s, female, male, usa, uk, party'.split(', '))
SAME = {'hip hop': 'hip-hop', 'hiphop': 'hip-hop', 'female vocalist': 'female vocalists', 'female vocals': 'female vocalists', 'r&b': 'rnb', 'male vocalist': 'male vocalists', 'r and b': 'rnb'}

def write(name, rows):
    with atomic_write(OUT/f'{name}.csv') as f: pd.DataFrame(rows).round(4).to_csv(f, index=False)
    print(pd.DataFrame(rows).round(3).to_string(), flush=True)

def rows(res, **about):
    "Rows of means, and rows of classes"
    about |= dict(videos=res['n'], groups=res['groups'], classes=len(res['classes']), folds=res['folds'], seeds=res['seeds'])
    return [dict(about, **r) for r in res['results']], [dict(about, **r) for r in res['per_class']]

def zero_shot(ix):
    "AUC of musicnn's own tags for the genres and tags that have the same name: nothing is learned; without one artist at a time"
    said,v = tag_catalogue(ix, labels=True), ix.videos
    g = artist_groups(list(v.artist))
    weight = jackknife_weights(g)
    out = []
    for target,have in dict(genre=[{o} for o in v.genre], tags=[set(o) for o in v.tags]).items():
        names = sorted(set(said.columns) & set().union(*have))
        truth = np.array([[o in r for o in names] for r in have])
        auc = fold_measures(said[names].to_numpy(), truth, np.zeros(len(g)), weight)[0].T
        auc = np.r_[auc, auc.mean(0)[None]]
        for o,n,a,low,high in zip([*names, 'mean'], [*truth.sum(0), ''], auc[:,0], *jackknife_interval(auc)):
            out.append(dict(target=target, videos=len(v), groups=g.max()+1, label=o, n=n, auc=a, auc_low=low, auc_high=high, chance_auc=.5))
    write('zero_shot_tags', out)

def demo_index(folder):
    corpus = read_manifest(demo_corpus(192)/'manifest.csv')
    ix = create_index(folder, PRESETS['offline'], dict(audio='musicnn_mtt', video='efficientnet_lite0'))
    ix.put_videos(corpus)
    extract(corpus, ix.store, ix.build.specs, progress=False)
    ix.make_build()
    return ix

def demo(folder):
    ix = demo_index(folder)
    if ix.build.model is None:
        from mvrep.learning.config import RECIPES
        from mvrep.learning.training import train_model
        from mvrep.learning.data import training_data
        train_model(training_data(ix.store, ix.build.columns, ix.videos), RECIPES['aligned'], ix.folder/'runs', accelerator='cpu').save(ix.folder/'model'/'model.safetensors')
        ix.make_build()
    zero_shot(ix)
    means,classes = [], []
    for kind,by,targets in (('linear', 'all', ('genre', 'tags', 'emotion', 'mood')), ('knn', 'both', ('genre', 'tags')), ('mlp', 'both', ('genre', 'tags'))):
        for target in targets:
            m,c = rows(probe_index(ix, target, by, kind), target=target)
            means += m; classes += c if kind=='linear' else []
            print(target, kind, flush=True)
    write('probe_demo', means); write('probe_demo_classes', classes) # all of one run, or nothing

def tag_lists(path, ids, artist):
    "The twelve tags of most artists, of those that say how music sounds; a list a video, None where nobody tagged its artist"
    t = pd.read_csv(path, dtype=str)
    t = t.assign(tag=t.tagValue.str.lower().replace(SAME), artist=t.id.map(artist)).dropna()
    names = t.artist.unique()
    top = t[~t.tag.isin(OPINION)].groupby('tag').artist.nunique().sort_values(ascending=False, kind='stable').index[:12]
    have = t.groupby('id').tag.agg(lambda o: sorted(set(o)&set(top)))
    return [have.get(o) for o in ids]

def year(x, y, groups, seeds=3):
    "Spearman of years predicted by kernel regression on folds that share no artist, and within folds"
    both = []
    for s in range(seeds):
        p,each = np.zeros(len(y)), []
        for te in artist_folds(groups, 5, s):
            tr = np.setdiff1d(np.arange(len(y)), te)
            scale = StandardScaler().fit(x[tr])
            z,mean = scale.transform(x)/x.shape[1]**.5, y[tr].mean()
            inner,err = artist_folds(np.unique(groups[tr], return_inverse=True)[1], 5, s), []
            for a in (strengths := (.01, .03, .1, .3, 1.)):
                err.append(sum(((KernelRidge(kernel='rbf', gamma=.3, alpha=a).fit(z[np.delete(tr, i)], y[np.delete(tr, i)]-mean).predict(z[tr[i]])+mean-y[tr[i]])**2).sum() for i in inner))
            p[te] = KernelRidge(kernel='rbf', gamma=.3, alpha=strengths[int(np.argmin(err))]).fit(z[tr], y[tr]-mean).predict(z[te])+mean
            each.append(spearmanr(p[te], y[te])[0])
        both.append((spearmanr(p, y)[0], np.mean(each), np.abs(p-y).mean()))
    return np.array(both)

def muvi_inputs():
    "Features, artists and genres of real music videos, the folder of their labels, their ids, and means of CLIP alone"
    home = Path(os.environ['MVREP_SHARED'])/'muvi_sync'
    data = load_muvi(next(home.glob('*.npz')))
    clip = np.stack([np.r_[o.mean(0), o.std(0)] for o in data.clip])
    x = dict(audio=sound_style(data).astype(float), video=np.c_[picture_style(data), clip].astype(float))
    x['concatenated'] = np.concatenate(list(x.values()), 1)
    meta = pd.read_csv(home/'labels'/'meta_harmonix.csv', dtype=str).set_index('id').reindex(data.video_ids)
    genre = meta.harmonix_genre_track.fillna(meta.harmonix_genre_artist).tolist()
    return x, read_artists(home/'labels'/'meta_harmonix.csv', data.video_ids), genre, home/'labels', data.video_ids, clip[:,:768]

def muvi():
    x,names,genre,home,ids,clip = muvi_inputs()
    groups = artist_groups(names)
    seen = dict(audio=x['audio'], video=clip, concatenated=np.c_[x['audio'], clip])
    extra = pd.read_csv(home/'spotify_tophits_join.csv', dtype=str).set_index('id')
    y = extra.year.reindex(ids).astype(float).to_numpy()
    at = np.flatnonzero(~np.isnan(y))
    out = []
    for o,f in seen.items():
        r = year(f[at], y[at], groups[at])
        out.append(dict(by=o, videos=len(at), groups=len(set(groups[at])), folds=5, seeds=3, spearman=r[:,0].mean(), spearman_sd=r[:,0].std(), within_folds=r[:,1].mean(), error_years=r[:,2].mean(), chance_spearman=0., chance_error_years=np.abs(y[at]-np.median(y[at])).mean()))
    write('probe_muvi_year', out)
    tags = tag_lists(home/'lastfm_hetrec_artist_tags.csv', ids, dict(zip(ids, groups)))
    means,classes = [], []
    for target,values in dict(genre=genre, tags=[o or None if o is not None else None for o in tags]).items():
        for kind in ('linear', 'mlp', 'knn'):
            m,c = rows(cross_validate(x, values, names, fused=dict(both=('audio', 'video', 'concatenated')), kind=kind), target=target)
            means += m; classes += c if kind=='linear' else []
            print(target, kind, flush=True)
    write('probe_muvi', means); write('probe_muvi_classes', classes)

def flipped(corpus, x, values, artists):
    "A row for each share of labels made wrong and each choice of videos: what is learned from these labels, by both sides, and which of them are found"
    groups = together(artists, x['concatenated'])[0]
    t = label_table(values, groups)
    at = np.flatnonzero(t['known'])
    true,groups,x,(n,k) = t['truth'][at], groups[at], {o: v[at] for o,v in x.items()}, (len(at), len(t['names']))
    for share,seed in ((0, 0), *((o, s) for o in (.1, .2, .4) for s in range(3))):
        rng = np.random.default_rng(seed_from('label noise', share, seed))
        wrong,y = rng.permutation(n)[:round(share*n)], true.argmax(1)
        y[wrong] = (y[wrong]+rng.integers(1, k, len(wrong)))%k # any other class
        given = np.eye(k, dtype=bool)[y]
        said,fold,_ = predict_folds(x, given, t['names'], groups=groups, fused=dict(both=('audio', 'video', 'concatenated')))
        p,d = said['both']
        by = {o: np.mean([measures(a, b, c, f, False)[0][:3,0] for a,b,f in zip(p, d, fold)], 0) for o,c in dict(true=true, given=given).items()}
        found = doubtful_labels(p.mean(0), given, t['names'])
        hit = np.isin([o['position'] for o in found], wrong)
        right = [t['names'].index(o['looks_like'])==true[o['position']].argmax() for o,h in zip(found, hit) if h]
        yield dict(corpus=corpus, videos=n, groups=len(set(groups)), classes=k, folds=5, seeds=3, share=share, seed=seed, wrong=len(wrong), accuracy_true=by['true'][0], macro_f1_true=by['true'][2], accuracy_given=by['given'][0],
            chance_accuracy=chance(true, False)['chance_accuracy'], majority_accuracy=chance(true, False)['majority_accuracy'], chance_macro_f1=1/k, doubtful=len(found), found=int(hit.sum()),
            precision=hit.mean() if len(hit) else None, recall=hit.sum()/len(wrong) if len(wrong) else None, precision_first_10=hit[:10].mean() if len(hit) else None, chance_precision=len(wrong)/n, chance_recall=len(found)/n, true_class_named=np.mean(right) if right else None)

def noise(folder):
    ix,out = demo_index(folder), []
    x = index_inputs(ix)
    x['concatenated'] = np.concatenate(list(x.values()), 1)
    real = muvi_inputs()
    for args in (('synthetic', x, list(ix.videos.genre), list(ix.videos.artist)), ('muvi_sync', real[0], real[2], real[1])): out += flipped(*args)
    write('label_noise', out)

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('part', choices=('demo', 'muvi', 'noise')); p.add_argument('--index', type=Path)
    o = p.parse_args()
    run = dict(demo=demo, noise=noise).get(o.part)
    if o.part=='muvi': muvi()
    elif o.index: run(o.index)
    else:
        with tempfile.TemporaryDirectory() as d: run(Path(d)/'ix')
