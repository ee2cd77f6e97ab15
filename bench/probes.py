"""How well audio, video and both predict genre, tags, emotion, mood and year: `python bench/probes.py demo|muvi|noise`

All folds share no artist; three seeds. Tables go into the folder `--out`, results/ by default.

demo   192 synthetic videos, indexed with musicnn and EfficientNet-Lite0, and a joint space that is trained again for
       each fold without its artists: probe_demo.csv, probe_demo_classes.csv, probe_demo_differences.csv; musicnn's own
       tags against labels of the same name: zero_shot_tags.csv
muvi   features of real music videos, MVREP_SHARED=DIR holds `muvi_sync/`: probe_muvi.csv, probe_muvi_classes.csv,
       probe_muvi_differences.csv, probe_muvi_year.csv
noise  a share of the videos of both gets a wrong genre; what that does, and whether it is found: label_noise.csv

`--index DIR` continues with the index that an earlier run of `demo` or `noise` left in DIR, or creates it there."""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
import tempfile
from dataclasses import dataclass
from pathlib import Path
import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.kernel_ridge import KernelRidge
from sklearn.preprocessing import StandardScaler
from common import parser, write_table
from mvrep.core import seed_from
from mvrep.corpus.demo import demo_corpus
from mvrep.corpus.folds import group_folds
from mvrep.corpus.manifest import read_manifest
from mvrep.corpus.muvi import load_muvi, read_artists
from mvrep.corpus.names import artist_groups
from mvrep.encoders.registry import PRESETS
from mvrep.features.extraction import extract
from mvrep.index.index import create_index
from mvrep.learning.muvi_views import audio_style, video_style
from mvrep.metrics.classification import chance_measures, classifier_measures, rank_within_folds
from mvrep.metrics.intervals import jackknife_interval, jackknife_weights
from mvrep.probing.cross_validation import Labels, Protocol, cross_validate, predict_folds
from mvrep.probing.index import probe_index, video_features
from mvrep.probing.label_errors import doubtful_labels
from mvrep.probing.labels import artist_and_copy_groups, copy_groups, label_table
from mvrep.probing.tags import tag_catalogue

BOTH = dict(both=('audio', 'video', 'concatenated'))

def write(out, name, rows):
    "Write a table and print it"
    table = pd.DataFrame(rows)
    write_table(out/f'{name}.csv', table, digits=4)
    print(table.round(3).to_string(), flush=True)

def report_rows(report, target):
    "Rows of means, and rows of classes"
    about = dict(target=target, videos=report['n'], groups=report['groups'], classes=len(report['classes']),
                 folds=report['folds'], seeds=report['seeds'])
    return [about|o for o in report['results']], [about|o for o in report['per_class']]

def difference_rows(report, target):
    "Rows of paired differences between inputs"
    about = dict(target=target, kind=report['kind'], groups=report['groups'])
    return [about|o for o in report['differences']]

# Synthetic videos

def demo_index(folder):
    "The 192 demo videos, indexed with the offline encoders"
    corpus = read_manifest(demo_corpus(192)/'manifest.csv')
    index = create_index(folder, PRESETS['offline'], dict(audio='musicnn_mtt', video='efficientnet_lite0'))
    index.put_videos(corpus)
    extract(corpus, index.store, index.build.specs, progress=False)
    index.make_build()
    return index

def zero_shot(index):
    "ROC-AUC of musicnn's own tags for the genres and tags of the same name, without learning"
    probs, videos = tag_catalogue(index, labels=True), index.videos
    groups = artist_groups(list(videos.artist))
    labels = dict(genre=[{o} for o in videos.genre], tags=[set(o) for o in videos.tags])
    rows = []
    for target, of_video in labels.items():
        names = sorted(set(probs.columns) & set().union(*of_video))
        truth = np.zeros((len(of_video), len(names)), bool)
        for column, name in enumerate(names): truth[:, column] = [name in o for o in of_video]
        ranking = rank_within_folds(probs[names].to_numpy(), truth, np.zeros(len(groups)), jackknife_weights(groups))
        auc = np.r_[ranking.auc.T, ranking.auc.mean(1)[None]]
        about = dict(target=target, videos=len(videos), groups=groups.max()+1)
        numbers = [*truth.sum(0), '']
        for name, n, value, low, high in zip([*names, 'mean'], numbers, auc[:, 0], *jackknife_interval(auc)):
            rows.append(about|dict(label=name, n=n, auc=value, auc_low=low, auc_high=high, chance_auc=.5))
    return rows

def demo(folder, out):
    "Probe and tag the demo videos"
    index = demo_index(folder)
    write(out, 'zero_shot_tags', zero_shot(index))
    runs = [('linear', 'all', target) for target in ('genre', 'tags', 'emotion', 'mood')]
    runs += [(kind, 'both', target) for kind in ('knn', 'mlp') for target in ('genre', 'tags')]
    means, classes = [], []
    differences = []
    for kind, by, target in runs:
        report = probe_index(index, target, by, Protocol(kind), refit=by=='all')
        mean_rows, class_rows = report_rows(report, target)
        means += mean_rows
        if kind=='linear':
            classes += class_rows
            differences += difference_rows(report, target)
        print(target, kind, flush=True)
    write(out, 'probe_demo', means) # both of one run
    write(out, 'probe_demo_classes', classes)
    write(out, 'probe_demo_differences', differences)

# Real music videos

LIKING = {'love', '<3', 'sexy', 'catchy', 'amazing', 'beautiful', 'love at first listen', 'favorites', 'favourite',
          'addictive', 'awesome', 'hot', 'cute', 'fun', 'cool', 'legend', 'diva', 'great', 'epic', 'perfect', 'best',
          'good', 'favorite', 'fav', 'my', 'guilty pleasure', 'seen live', 'loved', 'queen', 'talented'}
PLACE_OR_TIME = {'american', 'british', 'canadian', '00s', '10s', '90s', '80s', 'female', 'male', 'usa', 'uk', 'party'}
SAME = {'hip hop': 'hip-hop', 'hiphop': 'hip-hop', 'r&b': 'rnb', 'r and b': 'rnb', 'male vocalist': 'male vocalists',
        'female vocalist': 'female vocalists', 'female vocals': 'female vocalists'}

@dataclass(frozen=True)
class MuViInputs:
    "What is probed of the real videos"
    inputs:dict # {input: features, shape (n, f)}
    clip:np.ndarray # Mean CLIP features, shape (n, 768)
    video_ids:list # Shape (n,)
    artists:list # Shape (n,)
    genres:list # Of the track, or else of its artist; NaN if unknown, shape (n,)
    labels:Path # Folder of further labels

def muvi_inputs():
    "Features, artists and genres of the real videos"
    home = Path(os.environ['MVREP_SHARED'])/'muvi_sync'
    data = load_muvi(next(home.glob('*.npz')))
    clip = np.stack([np.r_[o.mean(0), o.std(0)] for o in data.clip])
    inputs = dict(audio=audio_style(data).astype(float), video=np.c_[video_style(data), clip].astype(float))
    inputs['concatenated'] = np.concatenate(list(inputs.values()), 1)
    meta = pd.read_csv(home/'labels'/'meta_harmonix.csv', dtype=str).set_index('id').reindex(data.video_ids)
    genres = meta.harmonix_genre_track.fillna(meta.harmonix_genre_artist).tolist()
    artists = read_artists(home/'labels'/'meta_harmonix.csv', data.video_ids)
    return MuViInputs(inputs, clip[:, :768], data.video_ids, artists, genres, home/'labels')

def tag_lists(path, video_ids, artist_of):
    "The twelve tags of most artists, of those that describe music: a list a video, None if its artist has none of them"
    table = pd.read_csv(path, dtype=str)
    table = table.assign(tag=table.tagValue.str.lower().replace(SAME), artist=table.id.map(artist_of)).dropna()
    described = table[~table.tag.isin(LIKING|PLACE_OR_TIME)]
    n_artists = described.groupby('tag').artist.nunique().sort_values(ascending=False, kind='stable')
    frequent = set(n_artists.index[:12])
    tags = table.groupby('id').tag.agg(lambda o: sorted(set(o)&frequent))
    return [tags.get(o) or None for o in video_ids]

def kernel_regression(x, y, train, test, alpha):
    "Predictions for the rows `test`"
    mean = y[train].mean()
    return KernelRidge(kernel='rbf', gamma=.3, alpha=alpha).fit(x[train], y[train]-mean).predict(x[test])+mean

def predict_year(x, y, groups, train, test, seed):
    "Predictions for the rows `test`, with the penalty that has the smallest error on inner folds"
    x = StandardScaler().fit(x[train]).transform(x)/x.shape[1]**.5
    mean = y[train].mean() # of all training rows, also on inner folds
    inner = group_folds(np.unique(groups[train], return_inverse=True)[1], 5, seed)
    def error(alpha):
        total = 0.
        for fold in inner:
            rest = np.delete(train, fold)
            model = KernelRidge(kernel='rbf', gamma=.3, alpha=alpha).fit(x[rest], y[rest]-mean)
            total += ((model.predict(x[train[fold]])+mean-y[train[fold]])**2).sum()
        return total
    return kernel_regression(x, y, train, test, min((.01, .03, .1, .3, 1.), key=error))

def measure_year(x, y, groups, seeds=3):
    "Spearman over all videos, mean Spearman within folds, mean error in years, for each seed, shape (seeds, 3)"
    rows = []
    for seed in range(seeds):
        predicted, within = np.zeros(len(y)), []
        for test in group_folds(groups, 5, seed):
            train = np.setdiff1d(np.arange(len(y)), test)
            predicted[test] = predict_year(x, y, groups, train, test, seed)
            within.append(spearmanr(predicted[test], y[test])[0])
        rows.append((spearmanr(predicted, y)[0], np.mean(within), np.abs(predicted-y).mean()))
    return np.array(rows)

def year_rows(real, groups):
    "How well audio, video and both predict the year of release"
    table = pd.read_csv(real.labels/'spotify_tophits_join.csv', dtype=str).set_index('id')
    year = table.year.reindex(real.video_ids).astype(float).to_numpy()
    known = np.flatnonzero(~np.isnan(year))
    year, groups = year[known], groups[known]
    audio = real.inputs['audio']
    inputs = dict(audio=audio, video=real.clip, concatenated=np.c_[audio, real.clip])
    error_of_median = np.abs(year-np.median(year)).mean()
    for name, x in inputs.items():
        spearman, within, error = measure_year(x[known], year, groups).T
        yield dict(by=name, videos=len(known), groups=len(set(groups)), folds=5, seeds=3, spearman=spearman.mean(),
                   spearman_sd=spearman.std(), within_folds=within.mean(), error_years=error.mean(), chance_spearman=0.,
                   chance_error_years=error_of_median)

def muvi(out):
    "Probe the real videos"
    real = muvi_inputs()
    groups = artist_groups(real.artists)
    write(out, 'probe_muvi_year', year_rows(real, groups))
    tags = tag_lists(real.labels/'lastfm_hetrec_artist_tags.csv', real.video_ids, dict(zip(real.video_ids, groups)))
    means, classes = [], []
    differences = []
    for target, values in dict(genre=real.genres, tags=tags).items():
        for kind in ('linear', 'mlp', 'knn'):
            report = cross_validate(real.inputs, values, real.artists, BOTH, Protocol(kind))
            mean_rows, class_rows = report_rows(report, target)
            means += mean_rows
            if kind=='linear':
                classes += class_rows
                differences += difference_rows(report, target)
            print(target, kind, flush=True)
    write(out, 'probe_muvi', means)
    write(out, 'probe_muvi_classes', classes)
    write(out, 'probe_muvi_differences', differences)

# Wrong labels

@dataclass(frozen=True)
class NoisyLabels:
    "Labels of which some were made wrong"
    true:np.ndarray # Shape (n, k), bool
    given:np.ndarray # Shape (n, k), bool
    wrong:np.ndarray # Positions of the videos with a wrong label

def make_wrong(true, share, seed):
    "Give a share of the videos one of the other classes, each as likely"
    n, k = true.shape
    rng = np.random.default_rng(seed_from('label noise', share, seed))
    wrong, label = rng.permutation(n)[:round(share*n)], true.argmax(1)
    label[wrong] = (label[wrong]+rng.integers(1, k, len(wrong)))%k
    return NoisyLabels(true, np.eye(k, dtype=bool)[label], wrong)

def mean_measures(predictions, truth):
    "Accuracy, balanced accuracy and macro F1 of the combined probes, averaged over seeds"
    parts = zip(predictions.probs['both'], predictions.decided['both'], predictions.folds)
    found = [classifier_measures(probs, decided, truth, folds, False).means[:3, 0] for probs,decided,folds in parts]
    return np.mean(found, 0)

def detection_row(noisy, predictions, names):
    "How many wrong labels are among the doubtful ones"
    doubtful = doubtful_labels(predictions.probs['both'].mean(0), noisy.given, names)
    is_wrong = np.isin([o['position'] for o in doubtful], noisy.wrong)
    found = [o for o,hit in zip(doubtful, is_wrong) if hit]
    named = [names.index(o['looks_like'])==noisy.true[o['position']].argmax() for o in found]
    n, n_wrong = len(noisy.true), len(noisy.wrong)
    row = dict(doubtful=len(doubtful), found=len(found), precision=None, recall=None, precision_first_10=None,
               chance_precision=n_wrong/n, chance_recall=len(doubtful)/n, true_class_named=None)
    if doubtful: row |= dict(precision=is_wrong.mean(), precision_first_10=is_wrong[:10].mean())
    if n_wrong: row['recall'] = len(found)/n_wrong
    if named: row['true_class_named'] = np.mean(named)
    return row

def noise_rows(corpus, inputs, values, artists):
    "A row for each share of wrong labels and each choice of videos"
    groups = artist_and_copy_groups(artists, copy_groups(inputs['concatenated']))
    table = label_table(values, groups)
    rows = np.flatnonzero(table.known)
    true, groups = table.truth[rows], groups[rows]
    inputs = {name: x[rows] for name,x in inputs.items()}
    chance = chance_measures(true, False)
    for share, seed in [(0, 0), *((share, seed) for share in (.1, .2, .4) for seed in range(3))]:
        noisy = make_wrong(true, share, seed)
        predictions = predict_folds(inputs, Labels(noisy.given, table.names, groups), BOTH)
        accuracy, _, macro_f1 = mean_measures(predictions, noisy.true)
        yield dict(corpus=corpus, videos=len(rows), groups=len(set(groups)), classes=len(table.names), folds=5, seeds=3,
                   share=share, seed=seed, wrong=len(noisy.wrong), accuracy_true=accuracy, macro_f1_true=macro_f1,
                   accuracy_given=mean_measures(predictions, noisy.given)[0], chance_accuracy=chance['chance_accuracy'],
                   majority_accuracy=chance['majority_accuracy'], chance_macro_f1=1/len(table.names),
                   **detection_row(noisy, predictions, table.names))

def noise(folder, out):
    "Wrong genres of synthetic and real videos"
    index = demo_index(folder)
    inputs = video_features(index.store, index.build.columns, index.build.video_ids)
    inputs['concatenated'] = np.concatenate(list(inputs.values()), 1)
    rows = list(noise_rows('synthetic', inputs, list(index.videos.genre), list(index.videos.artist)))
    real = muvi_inputs()
    write(out, 'label_noise', rows+list(noise_rows('muvi_sync', real.inputs, real.genres, real.artists)))

def main():
    p = parser(__doc__)
    p.add_argument('part', choices=('demo', 'muvi', 'noise'))
    p.add_argument('--index', type=Path, help='folder of the index of demo videos; a temporary one if not given')
    options = p.parse_args()
    if options.part=='muvi': return muvi(options.out)
    with tempfile.TemporaryDirectory() as tmp:
        run = dict(demo=demo, noise=noise)[options.part]
        run(options.index or Path(tmp)/'index', options.out)

if __name__=='__main__': main()
