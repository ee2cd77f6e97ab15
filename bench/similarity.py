"""Appendix B with intervals and tests: `MVREP_SHARED=DIR python bench/similarity.py` writes results/similarity.csv

Two corpora. The 96 synthetic videos of the demo corpus, through musicnn and EfficientNet-Lite0; they are generated and
encoded when they are first needed, which takes some minutes, unless `--store` names an index of them, such as that of
`mvrep demo`. And the features of 598 real videos in DIR/muvi_sync. The table holds means, tests and a histogram of
pairs, nothing about a single video. Intervals resample artists with all their videos. All seeds are 0.
"""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
import numpy as np
import pandas as pd
from scipy.stats import pearsonr
from common import parser, write_table
from mvrep.core import MODALITIES, cached, sha256
from mvrep.corpus.demo import demo_corpus
from mvrep.corpus.manifest import read_manifest
from mvrep.corpus.muvi import load_muvi, read_artists, segment_features
from mvrep.corpus.names import artist_groups
from mvrep.features.extraction import extract
from mvrep.features.store import FeatureStore
from mvrep.features.vectors import fit_scale, standardise, unit_norm
from mvrep.metrics.similarity import cka, cka_interval, compare_genres, compare_videos, joint_histogram, mantel
from mvrep.metrics.similarity import video_means

UNITS = ('raw', 'standardised')
CODE = ('corpus/demo*.py', 'media/*.py', 'encoders/*.py', 'features/extraction.py') # what the demo features depend on

@dataclass(frozen=True)
class Corpus:
    "Features of segments with what is known of their videos"
    name:str # In the table
    video_ids:np.ndarray # Video of each segment, shape (n_segments,)
    feats:dict # {modality: features, shape (n_segments, f)}
    genre:pd.Series # By video id, missing if unknown
    artist:pd.Series # By video id: a name or the number of a group

def demo(folder=None):
    "The demo corpus, from the store in `folder` or from a cache"
    videos = read_manifest(demo_corpus()/'manifest.csv').set_index('video_id', drop=False)
    code = [sha256(o) for pattern in CODE for o in sorted(Path(files('mvrep')).glob(pattern))]
    def fill(home): extract(videos, FeatureStore(home), progress=False)
    store = FeatureStore(folder or cached(fill, 'similarity-demo', *code))
    if set(store.done().index)!=set(videos.video_id): raise ValueError(f'{folder} does not hold the demo corpus')
    feats = dict(audio=store.matrix('musicnn_mtt'), video=store.matrix('efficientnet_lite0'))
    return Corpus('demo', store.keys().video_id.to_numpy(), feats, videos.genre, videos.artist)

def muvi(folder):
    "MuVi-Sync: the middle 150 s of each video"
    data, labels = load_muvi(next(folder.glob('*.npz'))).cut(150), folder/'labels'/'meta_harmonix.csv'
    keys, audio, video = segment_features(data)
    genre = pd.read_csv(labels, dtype=str).set_index('id').harmonix_genre_artist
    artist = pd.Series(artist_groups(read_artists(labels, data.video_ids)), data.video_ids)
    return Corpus('MuVi-Sync', keys.video_id.to_numpy(), dict(audio=audio, video=video), genre, artist)

def in_units(x, units):
    "Features as they are, or standardised"
    return np.asarray(x, float) if units=='raw' else standardise(x, fit_scale(x))

def one_per_artist(artist, rows):
    "One of the rows of each artist, in random order"
    shuffled = np.random.default_rng(0).permutation(rows)
    return shuffled[~artist[shuffled].duplicated().to_numpy()]

def within_and_between(corpus):
    "Rows on songs and genres for each modality, and the mean vector of each video"
    rows, means = [], {}
    for modality, x in corpus.feats.items():
        for units in UNITS:
            head = dict(corpus=corpus.name, modality=modality, units=units)
            z = in_units(x, units)
            video_ids, mean = video_means(z, corpus.video_ids)
            genre = corpus.genre.reindex(video_ids).to_numpy(object)
            artist = artists_of(corpus, video_ids)
            groups, single = artist_groups(artist), one_per_artist(artist, np.flatnonzero(pd.notna(genre)))
            rows += [head|dict(what='song')|compare_videos(z, corpus.video_ids, groups=groups),
                     head|dict(what='genre')|compare_genres(mean, genre, groups=groups),
                     head|dict(what='genre, one per artist')|compare_genres(mean[single], genre[single])]
            means[modality, units] = mean
    return rows, means, video_ids

def artists_of(corpus, video_ids):
    "Names of artists: the number of a group, too, is a name here"
    return corpus.artist.reindex(video_ids).astype(str).reset_index(drop=True)

def cosines(x):
    unit = unit_norm(x)
    return unit@unit.T

def agreement(x, y, groups, n_perm=999):
    "Mantel's test, what a plain one gives, and CKA: intervals resample artists, tests permute videos"
    a, b = cosines(x), cosines(y)
    pairs = np.triu_indices(len(a), 1)
    observed, rng = cka(x, y), np.random.default_rng(0)
    by_chance = np.array([cka(x, y[rng.permutation(len(y))]) for _ in range(199)])
    low, high = cka_interval(x, y, groups=groups)
    return mantel(a, b, n_perm, groups=groups)|dict(
        pearson_p=pearsonr(a[pairs], b[pairs])[1], cka=observed, cka_low=low, cka_high=high, cka_plain=cka(x, y, False),
        cka_p=(1+(by_chance>=observed).sum())/200, videos=len(a))

def audio_with_video(corpus, means, video_ids):
    "Rows on the agreement of audio and video, of all videos and of one per artist"
    artist = artists_of(corpus, video_ids)
    groups, single = artist_groups(artist), np.sort(one_per_artist(artist, np.arange(len(artist))))
    for units in UNITS:
        head = dict(corpus=corpus.name, modality='both', units=units)
        x, y = (means[o, units] for o in MODALITIES)
        yield head|dict(what='agreement, one per artist')|agreement(x[single], y[single], groups[single])
        yield head|dict(what='agreement')|agreement(x, y, groups)

def histogram(corpus, means):
    "Rows of the joint histogram of standardised cosines"
    for o in joint_histogram(*(cosines(means[o, 'standardised']) for o in MODALITIES)).itertuples():
        yield dict(corpus=corpus.name, modality='both', units='standardised', what='pairs',
                   within=o.audio, between=o.video, videos=o.pairs)

def measure(corpus):
    "All rows of a corpus"
    rows, means, video_ids = within_and_between(corpus)
    rows += audio_with_video(corpus, means, video_ids)
    if corpus.name=='MuVi-Sync': rows += histogram(corpus, means)
    return rows

def main():
    options = parser(__doc__, 'similarity.csv')
    options.add_argument('--only', choices=['demo', 'MuVi-Sync'], help='measure one corpus')
    options.add_argument('--store', help='an index of the demo corpus')
    args = options.parse_args()
    rows = []
    if args.only!='MuVi-Sync': rows += measure(demo(args.store))
    if args.only!='demo': rows += measure(muvi(Path(os.environ['MVREP_SHARED'])/'muvi_sync'))
    write_table(args.out, rows, float_format='%.5g')

if __name__=='__main__': main()
