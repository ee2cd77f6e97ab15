"""What finds the song of a real music video, and what only seems to: `MVREP_SHARED=DIR python bench/muvi_retrieval.py` writes results/muvi_retrieval.csv

DIR holds `muvi_sync/`. Each row is a way of matching songs and pictures, scored on folds that share no artist, every video cut to its middle 150 s.
Two rows break these rules on purpose, and say so. All rows of one fold see the same training and test videos."""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
import argparse
from dataclasses import replace
from pathlib import Path
import numpy as np, pandas as pd, torch
from mvrep.core import atomic_write
from mvrep.learning.heads import TwoTowers
from mvrep.learning.losses import ClipLoss, same_pairs
from mvrep.metrics.ranking import retrieval_metrics
from mvrep.learning.muvi_retrieval import all_views, apply_view, fit_retrieval, fit_view
from mvrep.corpus.folds import artist_folds
from mvrep.corpus.names import artist_groups
from mvrep.corpus.muvi import load_muvi, read_artists
from mvrep.learning.muvi_views import sound_views

torch.set_num_threads(1)
CSV = Path(__file__).parents[1]/'results'/'muvi_retrieval.csv'
LATE = (1, 5)

def unit(x): return x/np.linalg.norm(x, axis=1, keepdims=True)

def pooled(x, y, tr, **kwargs):
    "Regularised CCA of pooled statistics"
    a,v = fit_view(x[tr], y[tr], **dict(k=16, ridge=(1., 10.), power=.5) | kwargs)
    return lambda i: (apply_view(x[i], a), apply_view(y[i], v))

def ridge(x, y, tr, strength=300.):
    "The song's statistics as predicted from the pictures, compared by cosine"
    (mx,sx),(my,sy) = ((z[tr].mean(0), z[tr].std(0)+1e-6) for z in (x, y))
    p,q = (x[tr]-mx)/sx, (y[tr]-my)/sy
    w = q.T@np.linalg.solve(q@q.T+strength*q.shape[1]/10*np.eye(len(q)), p)
    return lambda i: (unit((x[i]-mx)/sx), unit((y[i]-my)/sy@w))

def heads(x, y, tr, groups, seeds=range(4), steps=150):
    "The thesis' heads with linear outputs and a learned temperature, on pooled statistics, four seeds side by side"
    sides = []
    for z in (x, y):
        m,s = z[tr].mean(0), z[tr].std(0)+1e-3
        _,e,vt = np.linalg.svd((z[tr]-m)/s, full_matrices=False)
        sides.append(torch.from_numpy((((z-m)/s)@vt[:96].T/(e[20]/len(tr)**.5)).astype(np.float32)))
    ids,outs = torch.from_numpy(groups), []
    for seed in seeds:
        torch.manual_seed(seed)
        towers,loss = TwoTowers(96, 96, 128, hidden_dim=128, dropout=.5, batch_norm=False, output='linear'), ClipLoss(.1, learned=True)
        opt = torch.optim.AdamW([*towers.parameters(), *loss.parameters()], lr=2e-3, weight_decay=1.)
        for _ in range(steps):
            i = torch.from_numpy(tr[np.random.default_rng([seed, _]).permutation(len(tr))[:240]])
            loss(*towers(*(o[i]+.4*torch.randn(len(i), 96) for o in sides)), ignore=same_pairs(ids[i])).backward()
            opt.step(); opt.zero_grad()
        towers.eval()
        with torch.no_grad(): outs.append([o.numpy() for o in towers(*sides)])
    return lambda i: tuple(unit(np.concatenate([o[s][i] for o in outs], 1)) for s in (0, 1))

def with_length(cuts, seconds):
    "The same views and one more, which knows how long the uncut video is"
    bumps = np.exp(-(np.log(seconds)[:,None]-np.linspace(np.log(150), np.log(500), 48))**2/2/.03**2).astype(np.float32)
    return [tuple(f | dict(length=bumps) for f in c) for c in cuts]

def late(data, s):
    "The same videos with songs that start `s` seconds late"
    return replace(data, **{k:[np.roll(o, s) for o in getattr(data, k)] for k in ('loudness', 'note_density', 'chord')})

def main(shared, seeds):
    data = load_muvi(next((shared/'muvi_sync').glob('*.npz')))
    artists = shared/'muvi_sync'/'labels'/'meta_harmonix.csv'
    names = read_artists(artists, data.video_ids)
    groups,rows = artist_groups(names), []
    assert data.n_seconds.min()>=150 # so that every cut is as long as any other
    cuts = all_views(data)
    long,delayed = with_length(cuts, data.n_seconds), {s:late(data.cut(150), s) for s in LATE}
    delayed = {s:sound_views(o) for s,o in delayed.items()}
    pick = lambda c, i: [tuple({k:o[i] for k,o in f.items()} for f in x) for x in c]
    def add(row, split, k, seed, fold, a, v):
        rows.append(dict(row=row, split=split, folds=k, seed=seed, fold=fold) | retrieval_metrics(a, v, n_boot=0))
    def recipe(c, tr, by): return fit_retrieval(data.subset([data.video_ids[i] for i in tr]), pd.DataFrame(dict(id=[data.video_ids[i] for i in tr], artist=[by[i] for i in tr])), cuts=pick(c, tr))
    everyone = [str(i) for i in range(len(data))]
    for seed in range(seeds):
        for k in (5, 4):
            for f,te in enumerate(artist_folds(groups, k, seed)):
                tr,note = np.setdiff1d(np.arange(len(data)), te), ('artist', k, seed, f)
                model = recipe(cuts, tr, names)
                feats = [{n:o[te] for n,o in z.items()} for z in cuts[0]]
                a,v = model.embed(feats[0], 'audio'), model.embed(feats[1], 'video')
                add('all six views', *note, a, v)
                if k==4: continue
                x,y = cuts[0][0]['style'], cuts[0][1]['style']
                add('CCA on pooled statistics', *note, *pooled(x, y, tr)(te))
                add('ridge on pooled statistics', *note, *ridge(x, y, tr)(te))
                add('heads on pooled statistics', *note, *heads(x, y, tr, groups)(te))
                sound,sight = model.views(feats[0], 'audio'), model.views(feats[1], 'video')
                for n in sound: add(f'view: {n}', *note, sound[n], sight[n])
                for s in LATE: add(f'all six views, songs {s} s late', *note, model.embed({n:o[te] for n,o in delayed[s].items()}, 'audio'), v)
                m = recipe(long, tr, names)
                add('LEAK: length of the uncut video', *note, *(m.embed({n:o[te] for n,o in z.items()}, s) for z,s in zip(long[0], ('audio', 'video'))))
                print(seed, f, flush=True)
        for f,te in enumerate(artist_folds(np.arange(len(data)), 5, seed)):
            tr,note = np.setdiff1d(np.arange(len(data)), te), ('random', 5, seed, f)
            m = recipe(cuts, tr, everyone)
            sound,sight = (m.views({n:o[te] for n,o in z.items()}, s) for z,s in zip(cuts[0], ('audio', 'video')))
            add('LEAK: artists on both sides', *note, *(m.embed({n:o[te] for n,o in z.items()}, s) for z,s in zip(cuts[0], ('audio', 'video'))))
            add('LEAK: artists on both sides, view: style', *note, sound['style'], sight['style'])
    df = pd.DataFrame(rows)
    cols = [f'{side}_{m}' for side in ('video_to_audio', 'audio_to_video') for m in ('median_rank', 'R@1', 'R@10')]
    g = df.groupby(['row', 'split', 'folds'], sort=False)
    out = pd.concat([g.size().rename('n'), g[['pool_size', 'chance_median_rank', 'chance_R@10']].mean().round(3), *(g[c].agg(['mean', 'std']).set_axis([c, f'{c}_sd'], axis=1).round(3) for c in cols)], axis=1).reset_index()
    with atomic_write(CSV) as f: out.assign(seeds=seeds).to_csv(f, index=False)
    print(out[['row', 'folds', *cols]].to_string())

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--seeds', type=int, default=2)
    main(Path(os.environ['MVREP_SHARED']), p.parse_args().seeds)
