"""What audio, video and both know about emotion: `python bench/emotion.py INDEX`

INDEX is an index folder of the 96 synthetic demo videos, created there if it is missing. Five folds share no artist,
each video is tested once for each seed; intervals draw artists again, with all their videos and seeds. Writes
emotion.csv, emotion_paired.csv, emotion_recall.csv and emotion_confusion.csv into the folder `--out`, results/ by
default.

`--mel` trains the mel CNN from random weights instead (the long part) and writes emotion_mel.csv. Its predictions for
each patch are not kept."""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
from dataclasses import replace
import numpy as np
import pandas as pd
import torch
from common import parser, write_table
from mvrep.corpus.demo import demo_corpus
from mvrep.corpus.folds import train_test_pairs
from mvrep.corpus.manifest import read_manifest
from mvrep.corpus.names import artist_groups
from mvrep.encoders.classifier import classify, fit_classifier
from mvrep.encoders.mel_cnn import MelCNN, mel_patches
from mvrep.encoders.registry import PRESETS
from mvrep.features.extraction import extract
from mvrep.features.vectors import fit_scale, pool_segments, standardise
from mvrep.index.index import create_index
from mvrep.learning.heads import TwoTowers
from mvrep.learning.losses import ClipLoss
from mvrep.media.read import read_audio
from mvrep.metrics.intervals import bootstrap_interval, paired_difference
from mvrep.metrics.ranking import ranks
from mvrep.probing.emotion import late_fusion, train_emotion
from mvrep.probing.emotion_matching import best_shares, nearest_music, right_share
from mvrep.probing.emotion_pairs import PairNet, PairSpace, PairTraining, distances, fit_pairs
from mvrep.probing.labels import label_table

torch.set_num_threads(1)
PAIRS = PairTraining(n_pairs=8000, epochs=3, lr=1e-3) # for both networks; published: 200,000 pairs, 20 epochs, 1e-4

# Pairs of ways that are compared, the first minus the second

ALONE = ['audio', 'video']
TRUE_PAIRS, EMOTION_PAIRS = 'joint embedding of true pairs', 'joint embedding of emotion pairs'
COMBINED = [f'both, {o}' for o in ('features side by side', 'late fusion', TRUE_PAIRS, EMOTION_PAIRS)]
NETWORKS = [(f'pair space, repaired, on {what}', f'pair network, published form, on {what}')
            for what in ('features', 'descriptions')]
COMPARED = [('video', 'audio'), *((both, one) for both in COMBINED for one in ALONE), *NETWORKS,
            *((TRUE_PAIRS, network) for networks in NETWORKS for network in networks)]

# Data

def demo_index(folder):
    "The demo videos, indexed with the offline encoders, and their metadata in the order of the index"
    corpus = read_manifest(demo_corpus()/'manifest.csv')
    index = create_index(folder, PRESETS['offline'], dict(audio='musicnn_mtt', video='efficientnet_lite0'))
    index.put_videos(corpus)
    extract(corpus, index.store, PRESETS['offline'], progress=False)
    index.make_build()
    return index, corpus.set_index('video_id').loc[index.build.video_ids]

def labelled(corpus):
    "The emotion of each video"
    emotions = corpus.emotion.to_numpy(object)
    table = label_table(emotions, artist_groups(corpus.artist))
    assert table.known.all() and not table.skipped # every demo video has a label, and every label several artists
    return emotions

def video_features(store, column, train):
    "Features of videos, standardised over the segments and then over the videos of the training part"
    segment_ids, segments = store.keys().video_id, store.matrix(column)
    scale = fit_scale(segments, np.flatnonzero(segment_ids.isin(train)))
    videos = pool_segments(standardise(segments, scale), segment_ids.to_numpy())
    scale = fit_scale(videos, np.flatnonzero(np.isin(segment_ids.unique(), train)))
    return ((videos-scale.mean)/scale.std).astype(np.float32)

# Networks

def train_true_pairs(audio, video, seed, steps=150):
    "Heads that learn which video belongs to which song, without emotions"
    torch.manual_seed(seed)
    audio, video = map(torch.from_numpy, (audio, video))
    widths = audio.shape[1], video.shape[1]
    towers = TwoTowers(*widths, 128, hidden_dim=128, dropout=.5, batch_norm=False, output='linear')
    loss = ClipLoss(.1, learned=True)
    opt = torch.optim.AdamW([*towers.parameters(), *loss.parameters()], lr=2e-3, weight_decay=.1)
    for _ in range(steps):
        opt.zero_grad()
        loss(*towers(audio, video)).backward()
        opt.step()
    return towers.eval()

@torch.inference_mode()
def embed(net, audio, video):
    "Embeddings of songs and of videos"
    return net.encode_audio(torch.from_numpy(audio)).numpy(), net.encode_video(torch.from_numpy(video)).numpy()

@torch.inference_mode()
def describe(net, x): return net.features(torch.from_numpy(x)).numpy()

# What each way says about each video

class Notes:
    "Answers of each way for each video and seed"
    def __init__(self, truth, artists):
        self.truth, self.artists = truth, np.asarray(artists)
        self.rows, self.answers = [], []

    def classified(self, way, seed, test, probs):
        "Note probabilities of emotions"
        frequency = pd.Series(np.delete(self.truth, test)).value_counts(normalize=True)
        chance = pd.Series(self.truth[test]).map(frequency).fillna(0).to_numpy()
        self._put('classify', way, seed, test, best_shares(probs), chance)

    def nearest(self, way, seed, test, distance):
        "Note distances from videos to songs"
        truth = self.truth[test]
        answer, chance = nearest_music(distance, truth)
        others, others_chance = nearest_music(distance, truth, own=False)
        self._put('nearest music', way, seed, test, answer, chance, pool=len(test), others=right_share(truth, others),
                  others_chance=others_chance, rank=ranks(-distance))

    def _put(self, task, way, seed, test, answer, chance, **more):
        truth = self.truth[test]
        rows = dict(task=task, way=way, seed=seed, video=test, artist=self.artists[test], truth=truth,
                    right=right_share(truth, answer), chance=chance)
        self.rows.append(pd.DataFrame(rows|more))
        self.answers.append(answer.fillna(0).groupby(truth).sum().reset_index(names='truth').assign(task=task, way=way))

    def table(self):
        "Means over videos and seeds with intervals over artists, one row a way"
        ways = pd.concat(self.rows).groupby(['task', 'way'], sort=False)
        return pd.DataFrame([way_row(task, way, rows) for (task, way), rows in ways])

    def recall(self):
        "Recall of each emotion, one row a way"
        return pd.concat(self.rows).groupby(['task', 'way', 'truth'], sort=False).right.mean().unstack()

    def paired(self):
        "Differences of two ways on the same videos, folds and seeds, with intervals over artists"
        rows = pd.concat(self.rows).set_index(['seed', 'video'])
        found = []
        for way, than in COMPARED:
            a, b = rows[rows.way==way], rows[rows.way==than]
            b = b.loc[a.index]
            for measure, column in (('accuracy', 'right'), ('others', 'others')):
                if a[column].isna().all() or b[column].isna().all(): continue # a classifier has no songs to choose from
                found.append(paired_row(a, b, column)|dict(way=way, than=than, measure=measure))
        return pd.DataFrame(found)[['task', 'way', 'than', 'measure', 'difference', 'low', 'high', 'seeds_above']]

    def confusions(self, way, n_seeds):
        "Found emotions by true emotion, averaged over seeds"
        answers = pd.concat(self.answers)
        return answers[answers.way==way].groupby('truth').sum(numeric_only=True)/n_seeds

def way_row(task, way, rows):
    "Means of one way"
    low, high = bootstrap_interval(rows.right, groups=rows.artist)
    spread = rows.groupby('seed').right.mean().std(ddof=0)
    row = dict(task=task, way=way, accuracy=rows.right.mean(), low=low, high=high, sd_over_seeds=spread,
               chance=rows.chance.mean(), n=rows.video.nunique(), artists=rows.artist.nunique(),
               seeds=rows.seed.nunique())
    return row if task=='classify' else row|nearest_row(rows)

def nearest_row(rows):
    "Measures without the own song, and the rank of the own song"
    low, high = bootstrap_interval(rows.others, groups=rows.artist)
    row = dict(pool=rows.pool.mean(), others=rows.others.mean(), others_low=low, others_high=high,
               others_chance=rows.others_chance.mean(), median_rank=rows['rank'].median(),
               chance_median_rank=(rows.pool.mean()+1)/2)
    found = {f'R@{k}': (rows['rank']<=k).mean() for k in (1, 5)}
    return row|found|{f'chance_R@{k}': (k/rows.pool).mean() for k in (1, 5)}

def paired_row(a, b, column):
    "Difference of two ways in one measure"
    difference = paired_difference(a[column], b[column], groups=a.artist)
    by_seed = (a[column]-b[column]).groupby('seed').mean()
    return dict(task=a.task.iloc[0], difference=difference.mean, low=difference.low, high=difference.high,
                seeds_above=int((by_seed>0).sum()))

# The study

def judge_classifiers(notes, seed, test, nets, feats):
    "Each modality alone, both concatenated, and late fusion"
    for name, net in nets.items():
        way = 'both, features side by side' if name=='both' else name
        notes.classified(way, seed, test, late_fusion([net], [feats[name][test]]))
    fused = late_fusion([nets['audio'], nets['video']], [feats['audio'][test], feats['video'][test]])
    notes.classified('both, late fusion', seed, test, fused)

def judge_embeddings(notes, seed, train, test, spaces, feats):
    "Classifiers on joint embeddings"
    for name, net in spaces.items():
        emb = np.hstack(embed(net, feats['audio'], feats['video']))
        classifier = train_emotion(emb[train], notes.truth[train], seed=seed)
        notes.classified(f'both, joint embedding of {name}', seed, test, late_fusion([classifier], [emb[test]]))

def judge_networks(notes, seed, train, test, space, inputs):
    "The published pair network and the repaired one, on descriptions and on features"
    how = replace(PAIRS, seed=seed)
    for kind, name in ((PairNet, 'pair network, published form'), (PairSpace, 'pair space, repaired')):
        for what, (audio, video) in inputs.items():
            if kind is PairSpace and what=='features': net = space
            else: net = fit_pairs(audio[train], video[train], notes.truth[train], kind, how)
            notes.nearest(f'{name}, on {what}', seed, test, distances(net, audio[test], video[test]))

def judge_fold(notes, seed, train, test, feats):
    "All ways on one fold"
    feats = feats|dict(both=np.hstack([feats['audio'], feats['video']]))
    nets = {name: train_emotion(x[train], notes.truth[train], seed=seed) for name,x in feats.items()}
    judge_classifiers(notes, seed, test, nets, feats)
    described = describe(nets['audio'], feats['audio']), describe(nets['video'], feats['video'])
    audio, video = feats['audio'], feats['video']
    heads = train_true_pairs(audio[train], video[train], seed)
    space = fit_pairs(audio[train], video[train], notes.truth[train], PairSpace, replace(PAIRS, seed=seed))
    judge_embeddings(notes, seed, train, test, {'true pairs': heads, 'emotion pairs': space}, feats)
    probs = {name: late_fusion([nets[name]], [feats[name][test]]).to_numpy() for name in ALONE}
    notes.nearest('classifiers agree', seed, test, 1-probs['video']@probs['audio'].T)
    judge_networks(notes, seed, train, test, space, dict(descriptions=described, features=(audio, video)))
    audio_emb, video_emb = embed(heads, audio[test], video[test])
    notes.nearest(TRUE_PAIRS, seed, test, 1-video_emb@audio_emb.T)
    print(f'seed {seed}: {len(test)} videos judged', flush=True)

def study(folder, out, n_seeds):
    "All ways on all folds; the tables are written after each seed"
    index, corpus = demo_index(folder)
    notes = Notes(labelled(corpus), corpus.artist)
    for seed in range(n_seeds):
        for train, test in train_test_pairs(notes.truth, corpus.artist.to_numpy(), seed=seed):
            ids = index.build.video_ids[train]
            feats = {o: video_features(index.store, index.build.columns[o], ids) for o in ALONE}
            judge_fold(notes, seed, train, test, feats)
        write_table(out/'emotion.csv', notes.table(), digits=4)
        write_table(out/'emotion_paired.csv', notes.paired(), digits=4)
        write_table(out/'emotion_recall.csv', notes.recall().rename_axis(['task', 'way']), digits=4, index=True)
        confusions = notes.confusions('pair space, repaired, on features', seed+1)
        write_table(out/'emotion_confusion.csv', confusions, digits=4, index=True)
        print(notes.table().round(3).to_string(), flush=True)

# The mel CNN

def train_mel(patches, target, classes, epochs):
    "A mel CNN from random weights, trained in bfloat16"
    net = MelCNN(classes, (patches.mean(), patches.std())).to(memory_format=torch.channels_last)
    with torch.autocast('cpu', torch.bfloat16, cache_enabled=False): # cached bfloat16 weights would not see the steps
        losses = fit_classifier(net, patches, target, epochs, lr=3e-4, batch_size=8)
    return net, losses

def mel_row(net, patches, truth):
    "Whether patches, and the song as a whole, are classified right"
    with torch.autocast('cpu', torch.bfloat16): probs = classify(net, patches).float()
    number = net.classes.index(truth)
    return dict(patch=(probs.argmax(1)==number).float().mean().item(), song=float(probs.mean(0).argmax()==number))

def mel(out, epochs=4, n_patches=3, n_folds=5):
    "Learn from a few patches of each song, test on all of them"
    corpus = read_manifest(demo_corpus()/'manifest.csv')
    truth, rows = labelled(corpus), []
    classes = sorted(set(truth))
    songs = [mel_patches(read_audio(o, sr=16000), 16000) for o in corpus.path]
    for fold, (train, test) in enumerate(train_test_pairs(truth, corpus.artist.to_numpy(), seed=0)[:n_folds]):
        chosen = [songs[i][np.linspace(0, len(songs[i])-1, n_patches).round().astype(int)] for i in train]
        target = torch.tensor([classes.index(truth[i]) for i in train]).repeat_interleave(n_patches)
        net, losses = train_mel(torch.cat(chosen), target, classes, epochs)
        for i in test:
            about = dict(video=i, artist=corpus.artist.iloc[i], chance=(truth[train]==truth[i]).mean())
            rows.append(about|mel_row(net, songs[i], truth[i]))
        print(fold, [round(o, 3) for o in losses], flush=True)
        save_mel(pd.DataFrame(rows), out, epochs=epochs, patches_a_song=n_patches, folds=fold+1)

def save_mel(rows, out, **how):
    "Means with intervals over artists"
    found = []
    for unit in ('patch', 'song'):
        low, high = bootstrap_interval(rows[unit], groups=rows.artist)
        found.append(dict(way=f'mel CNN from nothing, by {unit}', accuracy=rows[unit].mean(), low=low, high=high,
                          chance=rows.chance.mean(), n=len(rows), seeds=1)|how)
    write_table(out/'emotion_mel.csv', found, digits=4)

def main():
    p = parser(__doc__)
    p.add_argument('index', nargs='?', help='folder of the index')
    p.add_argument('--mel', action='store_true', help='train the mel CNN instead')
    p.add_argument('--seeds', type=int, default=3, help='how many times videos are split and networks trained')
    options = p.parse_args()
    if options.mel: mel(options.out)
    elif options.index: study(options.index, options.out, options.seeds)
    else: p.error('give the folder of the index, or --mel')

if __name__=='__main__': main()
