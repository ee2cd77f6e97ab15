"""A corpus that is irregular in every way at once, as an index. Its features are generated: no file is decoded

The videos, by id (the order of the store; the build has `late` last):

| video | how it differs |
|---|---|
| `a_unlabelled` | first, without genre, tags, artist, date and duration |
| `b_entered` | in the metadata only: it has no features, so no build has it |
| `c00` … | 16 by eight artists, with 1 to 5 segments of uneven lengths |
| `c03` | by `Artist 3 ft. Artist 4` |
| `c05` | holds the recording of `c04` |
| `late` | was added when the scale existed: it is last in the build, not in the store |
| `no_audio`, `no_video` | lack a modality |
| `z_unbuilt` | has features, but no build was made since |
"""
import numpy as np
import pandas as pd
from mvrep.core import MODALITIES
from mvrep.encoders.registry import Encoder
from mvrep.features.vectors import fit_scale
from mvrep.index.index import Index, create_index
from mvrep.learning.synthetic import SyntheticNetwork
from mvrep.media.segments import Segment

ENCODERS = dict(audio=Encoder('sound6', 'audio', SyntheticNetwork(6)),
                video=Encoder('frames4', 'video', SyntheticNetwork(4)))
COLUMNS = {modality: encoder.column for modality, encoder in ENCODERS.items()}
REGULAR = [f'c{i:02d}' for i in range(16)]
BUILT = ['a_unlabelled', *REGULAR, 'no_audio', 'no_video', 'late'] # In the order of the build
STORED = sorted([*BUILT, 'z_unbuilt']) # In the order of the store
ENTERED = sorted([*STORED, 'b_entered']) # In the metadata

def n_segments(video_id):
    "1 to 5"
    return 1+ENTERED.index(video_id)*3%5

def segments_of(video_id):
    "Segments of uneven lengths with gaps between them, in seconds"
    n = n_segments(video_id)
    return [Segment(i, 7.*i+.5*n, 3.+.5*i) for i in range(n)]

def metadata():
    "The manifest of the corpus"
    rows = [dict(video_id=o, path=f'ragged/{o}.mp4', recording=o) for o in ENTERED]
    for number, row in enumerate(rows[1:], 1):
        is_loud = number%2==0
        row |= dict(artist=f'Artist {number//2}', title=f'Title {number}', genre='loud' if is_loud else 'soft',
                    tags=['drums', 'loud'] if is_loud else ['piano'], duration=7.*n_segments(row['video_id'])+number%3,
                    release_date=f'20{number:02d}-01-31')
    table = pd.DataFrame(rows).set_index('video_id', drop=False)
    table.loc['c03', 'artist'] = 'Artist 3 ft. Artist 4'
    table.loc['c05', 'recording'] = 'c04'
    return table.reset_index(drop=True)

def features_of(video_id):
    "{encoder: features of its segments}: two causes that audio and video share, the first of which is the genre"
    number, n = ENTERED.index(video_id), n_segments(video_id)
    rng, shared = np.random.default_rng(number), np.random.default_rng(99)
    causes = np.array([1. if number%2==0 else -1., rng.normal()])
    found = {}
    for modality, encoder in ENCODERS.items():
        mixture = shared.normal(size=(2, encoder.dim))
        found[encoder] = causes@mixture+.8*rng.normal(size=(n, encoder.dim))+5
        if video_id==f'no_{modality}': found[encoder] = None
    return found

def put_features(index, video_ids, source='first'):
    "Store the features of some videos"
    for video_id in video_ids: index.store.put(video_id, segments_of(video_id), source, features_of(video_id))

def save_model(index, recipe):
    "Put an untrained model where the next build finds it"
    from mvrep.learning.config import RECIPES, make_model # imports torch
    model = make_model(RECIPES[recipe], {modality: encoder.dim for modality, encoder in ENCODERS.items()})
    for modality, encoder in ENCODERS.items():
        feats = [features_of(o)[encoder] for o in BUILT]
        model.set_scale(modality, fit_scale(np.concatenate([o for o in feats if o is not None])))
    model.eval().save(index.model_file)

def make_ragged(folder, recipe=None):
    "The index of the corpus in a new folder, with the untrained model of a recipe if there is one"
    index = create_index(folder, tuple(COLUMNS.values()), COLUMNS)
    for encoder in ENCODERS.values(): index.store.add_column(encoder)
    if recipe: save_model(index, recipe)
    videos = metadata()
    index.put_videos(videos[videos.video_id.isin(STORED)])
    put_features(index, BUILT[:-1])
    index.make_build()
    put_features(index, ['late'])
    index.make_build(refit=False)
    index.put_videos(videos)
    put_features(index, ['z_unbuilt'])
    index.store.merge_recent()
    index.store.record()
    return Index(folder)

def made_features(index, modality):
    "{video of the build that has the modality: features of its segments, shape (n, f), as they were made}"
    found = {}
    for video_id in index.build.video_ids:
        feats = features_of(video_id)[ENCODERS[modality]]
        if feats is not None: found[video_id] = feats
    return found

def many_videos(n):
    "Keys and features of `n` videos with 1 to 3 segments, for `FeatureStore.append`; their ids follow `STORED`"
    rng = np.random.default_rng(7)
    counts = np.arange(n)%3+1
    ids = np.repeat([f'zz{i:05d}' for i in range(n)], counts)
    segment = np.concatenate([np.arange(o) for o in counts])
    keys = pd.DataFrame(dict(segment_id=[f'{o}_{i}' for o, i in zip(ids, segment)], video_id=ids, segment=segment,
                             start=5.*segment, length=4., split='', source='many'))
    return keys, {encoder: rng.normal(size=(len(keys), encoder.dim)) for encoder in ENCODERS.values()}

# Searches one pair at a time

def unit(x): return x/np.linalg.norm(x)

def unit_segments(index):
    "{modality: {video of the build: its standardised segments of unit norm}}"
    found = {m: {} for m in MODALITIES}
    for m in MODALITIES:
        scale = index.build.scale[m]
        for video_id, feats in made_features(index, m).items():
            found[m][video_id] = np.array([unit((row-scale.mean)/scale.std) for row in feats])
    return found

def cosine(segments, one, other, by='joint', weight=.5):
    "Cosine of two videos; None if they cannot be compared"
    weights = dict(audio=weight, video=1-weight) if by=='joint' else {by: 1}
    shared = [m for m in weights if one in segments[m] and other in segments[m]]
    if not shared: return None
    def embedding(m, video): return unit(segments[m][video].sum(0))
    total = sum(weights[m]*(embedding(m, one)@embedding(m, other)) for m in shared)
    return total/sum(weights[m] for m in shared)
