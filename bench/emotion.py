"""What sound, picture and both know about emotion: `python bench/emotion.py INDEX` writes results/emotion.csv, emotion_paired.csv, emotion_recall.csv and emotion_confusion.csv

INDEX is an index folder of the synthetic demo corpus, made there if it is missing. Everything is artist-disjoint: five folds, each video tested once for each seed; intervals draw artists, with all their videos and seeds.
`--mel` trains the mel CNN from nothing instead (the long part) and writes results/emotion_mel.csv; what it says of each patch is kept in no file."""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
import argparse
from pathlib import Path
import numpy as np, pandas as pd, torch
from mvrep.core import atomic_write
from mvrep.corpus.manifest import read_manifest
from mvrep.corpus.demo import demo_corpus
from mvrep.metrics.intervals import bootstrap_interval, paired_difference
from mvrep.probing.emotion import emotion_folds, late_fusion, nearest_music, pick, train_emotion, usable_labels
from mvrep.features.extraction import extract
from mvrep.encoders.registry import PRESETS
from mvrep.learning.heads import TwoTowers
from mvrep.index.index import create_index
from mvrep.learning.losses import ClipLoss
from mvrep.media.read import read_audio
from mvrep.encoders.classifier import classify, fit_classifier
from mvrep.encoders.mel_cnn import MelCNN, mel_patches
from mvrep.metrics.ranking import ranks
from mvrep.features.vectors import fit_scale, pool_segments, standardise

torch.set_num_threads(1)
PAIRS = dict(n_pairs=8000, epochs=3, lr=1e-3) # published: 200,000 pairs, 20 epochs, 1e-4; both forms get these here
ALONE,BOTH = ['audio', 'video'], [f'both, {o}' for o in ('features side by side', 'late fusion', 'joint embedding of true pairs', 'joint embedding of emotion pairs')]
FORMS = [(f'pair space, repaired, on {o}', f'pair network, published form, on {o}') for o in ('features', 'descriptions')]
PAIRED = [('video', 'audio')] + [(a, b) for a in BOTH for b in ALONE] + FORMS + [('joint embedding of true pairs', o) for pair in FORMS for o in pair] # the first minus the second
RESULTS = Path(__file__).parents[1]/'results'

def demo_index(folder):
    corpus = read_manifest(demo_corpus()/'manifest.csv')
    index = create_index(folder, PRESETS['offline'], dict(audio='musicnn_mtt', video='efficientnet_lite0'))
    index.put_videos(corpus)
    extract(corpus, index.store, PRESETS['offline'], progress=False)
    index.make_build()
    return index, corpus.set_index('video_id').loc[index.build.video_ids]

def vectors(store, column, train):
    "Videos as unit vectors, standardised first over segments and then over videos of the training part"
    keys,x = store.keys(), store.matrix(column)
    v = pool_segments(standardise(x, fit_scale(x, np.flatnonzero(keys.video_id.isin(train)))), keys.video_id.to_numpy())
    scale = fit_scale(v, np.flatnonzero(np.isin(keys.video_id.unique(), train)))
    return ((v-scale.mean)/scale.std).astype(np.float32)

def true_pairs(a, v, seed, steps=150):
    "Heads that learn which film belongs to which song, without any emotion"
    torch.manual_seed(seed)
    a,v = map(torch.from_numpy, (a, v))
    towers,loss = TwoTowers(a.shape[1], v.shape[1], 128, hidden_dim=128, dropout=.5, batch_norm=False, output='linear'), ClipLoss(.1, learned=True)
    opt = torch.optim.AdamW([*towers.parameters(), *loss.parameters()], lr=2e-3, weight_decay=.1)
    for _ in range(steps):
        opt.zero_grad()
        loss(*towers(a, v)).backward()
        opt.step()
    return towers.eval()

def places(net, a, v):
    with torch.inference_mode(): return [o.numpy() for o in (net.encode_audio(torch.from_numpy(a)), net.encode_video(torch.from_numpy(v)))]

def describe(net, x):
    with torch.inference_mode(): return net.features(torch.from_numpy(x)).numpy()

def right(answer, truth):
    "Share of the answer that is right, for each video"
    classes = sorted(set(truth)|set(answer.columns))
    return answer.reindex(columns=classes, fill_value=0.).to_numpy()[np.arange(len(truth)), [classes.index(o) for o in truth]]

class Notes:
    "What each way said about each video, for each seed"
    def __init__(self, truth, artists): self.truth,self.artists,self.rows,self.answers = truth, np.asarray(artists), [], []
    def classified(self, way, seed, te, p):
        y = self.truth[te]
        prior = pd.Series(np.delete(self.truth, te)).value_counts(normalize=True)
        self.put('classify', way, seed, te, pick(p), pd.Series(y).map(prior).fillna(0).to_numpy())
    def nearest(self, way, seed, te, d):
        y = self.truth[te]
        o,others_chance = nearest_music(d, y, own=False)
        self.put('nearest music', way, seed, te, *nearest_music(d, y), pool=len(te), others=right(o, y), others_chance=others_chance, rank=ranks(-d))
    def put(self, task, way, seed, te, answer, chance, **more):
        y = self.truth[te]
        self.rows.append(pd.DataFrame(dict(task=task, way=way, seed=seed, video=te, artist=self.artists[te], truth=y, right=right(answer, y), chance=chance, **more)))
        self.answers.append(answer.fillna(0).groupby(y).sum().reset_index(names='truth').assign(task=task, way=way))

    def table(self):
        "One line a way: means over videos and seeds, and intervals over artists; and recall by emotion"
        out,notes = [], pd.concat(self.rows)
        for (task,way),o in notes.groupby(['task', 'way'], sort=False):
            low,high = bootstrap_interval(o.right, groups=o.artist)
            row = dict(task=task, way=way, accuracy=o.right.mean(), low=low, high=high, sd_over_seeds=o.groupby('seed').right.mean().std(ddof=0), chance=o.chance.mean(), n=o.video.nunique(), artists=o.artist.nunique(), seeds=o.seed.nunique())
            if task!='classify':
                low,high = bootstrap_interval(o.others, groups=o.artist)
                row |= dict(pool=o.pool.mean(), others=o.others.mean(), others_low=low, others_high=high, others_chance=o.others_chance.mean(), median_rank=o['rank'].median(), chance_median_rank=(o.pool.mean()+1)/2)
                row |= {f'R@{k}': (o['rank']<=k).mean() for k in (1, 5)} | {f'chance_R@{k}': (k/o.pool).mean() for k in (1, 5)}
            out.append(row)
        return pd.DataFrame(out), notes.groupby(['task', 'way', 'truth'], sort=False).right.mean().unstack()

    def paired(self):
        "Differences between two ways on the same videos, folds and seeds, with intervals over artists"
        out,notes = [], pd.concat(self.rows).set_index(['seed', 'video'])
        for way,than in PAIRED:
            a,b = (notes[notes.way==o] for o in (way, than))
            b = b.loc[a.index]
            for measure,o in (('accuracy', 'right'), ('others', 'others')):
                d = a[o]-b[o]
                if d.isna().all(): continue # a classifier has no songs to choose from
                paired = paired_difference(a[o], b[o], groups=a.artist)
                seeds_above = int((d.groupby('seed').mean()>0).sum())
                out.append(dict(task=a.task.iloc[0], way=way, than=than, measure=measure, difference=paired.mean, low=paired.low, high=paired.high,
                                seeds_above=seeds_above))
        return pd.DataFrame(out)

def save(df, name, **kwargs):
    with atomic_write(RESULTS/name) as tmp: df.round(4).to_csv(tmp, **kwargs)

def labelled(corpus):
    truth = corpus.emotion.to_numpy(object)
    ok,notes = usable_labels(truth, corpus.artist)
    print(*notes, sep='\n')
    assert ok.all() # the demo corpus has a label for every video and several artists for every label
    return truth

def study(folder, seeds):
    from mvrep.probing.emotion_pairs import PairNet, PairSpace, distances, fit_pairs
    index,corpus = demo_index(folder)
    truth = labelled(corpus)
    notes = Notes(truth, corpus.artist)
    for seed in range(seeds):
        for tr,te in emotion_folds(truth, corpus.artist, seed=seed):
            a,v = (vectors(index.store, index.build.columns[o], index.build.video_ids[tr]) for o in ('audio', 'video'))
            both,y = np.hstack([a, v]), truth[tr]
            net = {k: train_emotion(x[tr], y, seed=seed) for k,x in dict(audio=a, video=v, both=both).items()}
            for k,x in dict(audio=a, video=v, both=both).items(): notes.classified(dict(both='both, features side by side').get(k, k), seed, te, late_fusion([net[k]], [x[te]]))
            notes.classified('both, late fusion', seed, te, late_fusion([net['audio'], net['video']], [a[te], v[te]]))
            inside = describe(net['audio'], a), describe(net['video'], v)
            heads = true_pairs(a[tr], v[tr], seed)
            space = fit_pairs(a[tr], v[tr], y, PairSpace, **PAIRS, seed=seed)
            for name,o in (('true pairs', heads), ('emotion pairs', space)):
                e = np.hstack(places(o, a, v))
                notes.classified(f'both, joint embedding of {name}', seed, te, late_fusion([train_emotion(e[tr], y, seed=seed)], [e[te]]))
            said = [late_fusion([net[k]], [x[te]]).to_numpy() for k,x in dict(audio=a, video=v).items()]
            notes.nearest('classifiers agree', seed, te, 1-said[1]@said[0].T)
            for kind,what in ((PairNet, 'pair network, published form'), (PairSpace, 'pair space, repaired')):
                o = fit_pairs(inside[0][tr], inside[1][tr], y, kind, **PAIRS, seed=seed)
                notes.nearest(f'{what}, on descriptions', seed, te, distances(o, inside[0][te], inside[1][te]))
                o = space if kind is PairSpace else fit_pairs(a[tr], v[tr], y, kind, **PAIRS, seed=seed)
                notes.nearest(f'{what}, on features', seed, te, distances(o, a[te], v[te]))
            ea,ev = places(heads, a[te], v[te])
            notes.nearest('joint embedding of true pairs', seed, te, 1-ev@ea.T)
            print(f'seed {seed}: {len(te)} videos judged', flush=True)
        table,recall = notes.table()
        save(table, 'emotion.csv', index=False)
        save(notes.paired(), 'emotion_paired.csv', index=False)
        save(recall.rename_axis(['task', 'way']), 'emotion_recall.csv')
        answers = pd.concat(notes.answers)
        shown = answers[answers.way=='pair space, repaired, on features'].groupby('truth').sum(numeric_only=True)/(seed+1)
        save(shown, 'emotion_confusion.csv')
        print(table.round(3).to_string(), flush=True)

def mel(epochs=4, n_patches=3, folds=5):
    "The mel CNN, from random weights: a few patches a song to learn from, all to be tested with, in some of the folds"
    corpus = read_manifest(demo_corpus()/'manifest.csv')
    truth,rows = labelled(corpus), []
    classes = sorted(set(truth))
    heard = [mel_patches(read_audio(o, sr=16000), 16000) for o in corpus.path]
    print(len(heard), 'songs', flush=True)
    for fold,(tr,te) in enumerate(emotion_folds(truth, corpus.artist, seed=0)[:folds]):
        some = [heard[i][np.linspace(0, len(heard[i])-1, n_patches).round().astype(int)] for i in tr]
        x,y = torch.cat(some), torch.tensor([classes.index(truth[i]) for i in tr]).repeat_interleave(n_patches)
        net = MelCNN(classes, (x.mean(), x.std())).to(memory_format=torch.channels_last)
        with torch.autocast('cpu', torch.bfloat16, cache_enabled=False): losses = fit_classifier(net, x, y, epochs, lr=3e-4, batch_size=8) # a cache of weights in bfloat16 would never see a step
        for i in te:
            with torch.autocast('cpu', torch.bfloat16): p = classify(net, heard[i]).float()
            rows.append(dict(video=i, artist=corpus.artist.iloc[i], patch=(p.argmax(1)==classes.index(truth[i])).float().mean().item(), song=float(classes[p.mean(0).argmax()]==truth[i]), chance=(truth[tr]==truth[i]).mean()))
        print(fold, [round(o, 3) for o in losses], pd.DataFrame(rows)[['patch', 'song', 'chance']].mean().round(3).to_dict(), flush=True)
        save_mel(pd.DataFrame(rows), epochs=epochs, patches_a_song=n_patches, folds=fold+1)

def save_mel(rows, **how):
    out = []
    for o in ('patch', 'song'):
        low,high = bootstrap_interval(rows[o], groups=rows.artist)
        out.append(dict(way=f'mel CNN from nothing, by {o}', accuracy=rows[o].mean(), low=low, high=high, chance=rows.chance.mean(), n=len(rows), seeds=1)|how)
    save(pd.DataFrame(out), 'emotion_mel.csv', index=False)

if __name__=='__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('index', nargs='?', help='folder of the index')
    parser.add_argument('--mel', action='store_true', help='the mel CNN')
    parser.add_argument('--seeds', type=int, default=3)
    args = parser.parse_args()
    if args.mel: mel()
    elif args.index: study(args.index, args.seeds)
    else: parser.error('say where the index is, or --mel')
