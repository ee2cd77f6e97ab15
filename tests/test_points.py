"Points of a map: clips, neighbours and moments against their definition, and what a page holds of them"
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
from mvrep.core import MODALITIES
from mvrep.encoders.registry import Encoder
from mvrep.explore.packing import pack_points
from mvrep.explore.points import Points, Span
from mvrep.explore.static_page import cut_page_clips, page_level
from mvrep.explore.tsne import fit_tsne
from mvrep.index.index import create_index
from mvrep.index.examples import tiny_index
from mvrep.learning.synthetic import SyntheticNetwork
from mvrep.media.read import probe
from mvrep.media.segments import Segment

MODES = (*MODALITIES, 'joint')
MAPS = [(by, level) for by in ('joint', 'audio_net') for level in ('video', 'segment')]+[('audio', 'video')]

@pytest.fixture(scope='module')
def tiny(tmp_path_factory): return tiny_index(tmp_path_factory.mktemp('points'))

def put_segments(index, encoders, number, video_id, n_segments, rng):
    "Random features; three of four videos lack audio, and one of sixteen lacks video"
    feats = [rng.normal(size=(n_segments, o.dim)) for o in encoders]
    is_missing = number%4, number%16==0
    segments = [Segment(j, 5.*j, 5.) for j in range(n_segments)]
    kept = {o: None if missing else x for o, x, missing in zip(encoders, feats, is_missing)}
    index.store.put(video_id, segments, 'made up', kept)

@pytest.fixture(scope='module')
def made(tmp_path_factory, n=48):
    """An index of made-up videos of one to five segments. One more video is in the store but not in the build, as after
    an interrupted run."""
    rng = np.random.default_rng(0)
    widths = dict(audio=24, video=16)
    encoders = [Encoder(f'{m}_net', m, SyntheticNetwork(width)) for m, width in widths.items()]
    index = create_index(tmp_path_factory.mktemp('made'), ('audio_net', 'video_net'),
                         dict(audio='audio_net', video='video_net'), 'whole')
    for o in encoders: index.store.add_column(o)
    ids, n_segments = [f'm{i:02}' for i in rng.permutation(n)], 1+np.arange(n)//4%5
    paths = [f'{o}.mp4' for o in ids]
    index.put_videos(pd.DataFrame(dict(video_id=ids, path=paths, duration=5.*n_segments)))
    for i, video_id in enumerate(ids): put_segments(index, encoders, i, video_id, n_segments[i], rng)
    index.make_build()
    put_segments(index, encoders, 0, 'late', 3, rng)
    return index

@pytest.fixture(scope='module')
def maps(made): return {o: Points(made, *o) for o in MAPS}

# The definition, written with loops: the cosine of two points is that of their vectors side by side, over the
# modalities that both have

def mean_vector(unit_vectors):
    total = np.nansum(unit_vectors, axis=0)
    return total/np.linalg.norm(total) if np.isfinite(unit_vectors).any() else total*np.nan

class Definition:
    "Neighbours and moments of made-up videos, slowly"
    def __init__(self, index):
        in_build = index.store.keys().video_id!='late'
        self.keys = index.store.keys()[in_build].reset_index(drop=True)
        self.unit = {modality: index.build.embed_segments(modality, index.store.matrix(column)[in_build])
                     for modality, column in index.build.columns.items()}
        self.rows = self.keys.groupby('video_id').indices

    def vector(self, point, level, modality):
        if level=='video': return mean_vector(self.unit[modality][self.rows[point]])
        return self.unit[modality][self.keys.segment_id.tolist().index(point)]

    def cosine(self, point, other, level, by):
        modalities = MODALITIES if by=='joint' else [by]
        def pair(modality): return [np.nan_to_num(self.vector(o, level, modality)) for o in (point, other)]
        pairs = [(x, y) for x, y in map(pair, modalities) if x.any() and y.any()]
        if not pairs: return np.nan
        x, y = (np.concatenate(o) for o in zip(*pairs))
        return x@y/np.linalg.norm(x)/np.linalg.norm(y)

    def neighbours(self, points, point, by, k):
        "Cosines by id, best first"
        owner = points.keys.video_id
        cosines = {o: self.cosine(point, o, points.level, by) for o in points.keys.index if owner[o]!=owner[point]}
        return pd.Series(cosines, dtype=float).dropna().sort_values(ascending=False)[:k]

    def moment(self, video_id, other, modality):
        "Where two videos are most similar"
        cosines = {(i, j): self.unit[modality][i]@self.unit[modality][j]
                   for i in self.rows[video_id] for j in self.rows[other]}
        cosines = {pair: o for pair, o in cosines.items() if np.isfinite(o)}
        first = self.rows[video_id][0], self.rows[other][0]
        return tuple(self.keys.start[list(max(cosines, key=cosines.get) if cosines else first)])

    def moments(self, points, point, others, by):
        if points.level=='segment': return [(points.keys.start[point], points.keys.start[o]) for o in others]
        return [self.moment(point, o, 'video' if by=='video' else 'audio') for o in others]

@pytest.fixture(scope='module')
def definition(made): return Definition(made)

@pytest.mark.parametrize('by', MODES)
@pytest.mark.parametrize('which', MAPS, ids=str)
def test_near_is_the_definition(maps, definition, which, by):
    points = maps[which]
    for point in points.keys.index[::5]:
        near, expected = points.near(point, by), definition.neighbours(points, point, by, 8)
        assert list(near.index)==list(expected.index)
        np.testing.assert_allclose(near.score, expected, atol=1e-5)
        assert list(zip(near.seed_start, near.start))==definition.moments(points, point, near.index, by)

def test_neighbours_are_on_the_map(made, maps):
    has = made.build.has
    few = maps['audio', 'video']
    with_both = made.build.video_ids[has['audio'] & has['video']][0]
    assert (len(few), len(few.near(with_both, 'video')))==(12, 8)
    without_audio = made.build.video_ids[~has['audio']][0]
    assert len(maps['joint', 'segment'].near(f'{without_audio}_0', 'audio'))==0

def test_a_short_video_is_one_clip(made, maps):
    "The moment is the start of the middle segment if none is asked for"
    points = maps['audio', 'video']
    of_length = {round(duration/5): video_id for video_id, duration in made.videos.duration.items()}
    assert points.span(of_length[4])==Span(0., 20., 10.)
    assert points.span(of_length[4], 99.)==Span(0., 20., 20.)
    assert points.span(of_length[5])==Span(10., 10., 0.)
    assert points.span(of_length[5], 15)==Span(15., 10., 0.)

def test_near_is_what_a_search_finds(tiny):
    points = Points(tiny)
    near = points.near('v0003', 'audio', 3)
    found = tiny.search(tiny.build.query('v0003'), 3, 'audio', exclude=('v0003',))
    assert list(near.index)==list(found.index)
    moments = {other: (row.seed_start, row.start) for other, row in near.iterrows()}
    assert points.moments('v0003', list(near.index))==moments
    assert points.span('v0003', 2.5)==Span(0., 8., 2.5)

def test_unknown_points_and_modes(tiny):
    points = Points(tiny)
    with pytest.raises(KeyError, match="no point 'v9999' on this map of videos"): points.moment('v9999')
    with pytest.raises(KeyError, match="no point 'v9999'"): points.near('v9999')
    with pytest.raises(ValueError, match="by='taste'"): points.near('v0003', 'taste')

# What a page holds

DTYPES = dict(video_rows='<u4', point_starts='<f4', neighbours='<u4', scores='i1', own_segments='<u2', segments='<u2')

@pytest.mark.parametrize('which', MAPS, ids=str)
def test_a_page_holds_what_near_finds(made, maps, which):
    points, k = maps[which], 6
    n = len(points)
    more = page_level(points, k)['more']
    held = {name: np.frombuffer(more[name], dtype) for name, dtype in DTYPES.items()}
    assert list(made.build.video_ids[held['video_rows']])==list(points.keys.video_id)
    if points.level=='segment': np.testing.assert_allclose(held['point_starts'], points.keys.start)
    tables = {name: held[name].reshape(3, n, k) for name in ('neighbours', 'scores')}
    for number, by in enumerate(MODES):
        for i in range(0, n, 5):
            near = points.near(points.keys.index[i], by, k)
            rows = tables['neighbours'][number, i]
            is_neighbour = rows<n
            assert list(points.keys.index[rows[is_neighbour]])==list(near.index)
            np.testing.assert_allclose(tables['scores'][number, i, is_neighbour], 100*near.score, atol=.501)
            if points.level=='video': check_moments(points, held, (3, n, k), (number, i), near)

def check_moments(points, held, shape, place, near):
    own, other = (held[name].reshape(shape)[place] for name in ('own_segments', 'segments'))
    own_starts = points.starts[points.keys.index[place[1]]]
    pairs = [(own_starts[i], points.starts[o][j]) for i, j, o in zip(own, other, near.index)]
    assert pairs==list(zip(near.seed_start, near.start))

def test_texts_are_lines(tiny):
    m = fit_tsne(tiny)
    odd = tiny.videos.assign(title='a\nb\tc\x00\u2028d')
    text = pack_points(odd, m)['text']
    assert text.count(b'\n')==11 and text.split(b'\t')[2]==b'a b c d'
    packed = pack_points(tiny.videos, m)
    n_columns = len(packed['info']['columns'])
    assert (len(packed['xy']), len(packed['codes']))==(12*8, 12*n_columns)

def test_own_columns_are_in_the_legend(tiny):
    own = tiny.videos.assign(energy=np.arange(12)/12, playlist=['run', 'rest']*6)
    legends = {o['name']: o['names'] for o in pack_points(own, fit_tsne(tiny))['info']['columns']}
    assert legends['playlist']==['rest', 'run'] and len(legends['energy'])==6

def test_clips_of_a_page(tmp_path):
    """A video whose file is gone has no clip.

    A video longer than 20 s has a clip for each segment; here two are put into a longer one."""
    index = tiny_index(tmp_path)
    index.videos.loc['v0001', 'path'] = 'gone.mp4'
    index.videos.loc['v0002', 'duration'] = 24.
    points = Points(index)
    points.starts['v0002'] = [0., 3.]
    clips, failed = cut_page_clips(points, Path(tmp_path)/'clips', 90)
    assert len(failed)==1 and failed[0].startswith('v0001: ')
    assert [o.has_audio for o in clips]==[True, False]+[True]*10
    assert [o.to_row()[4] for o in clips[:4]]==[[0.], [None], None, [0.]]
    assert (clips[2].length, clips[2].starts)==(10., [0., 3.])
    files = sorted((tmp_path/'clips').glob(f'{clips[2].file}-*'))
    assert [round(probe(o).duration) for o in files]==[8, 5]
