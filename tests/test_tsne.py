"Maps of an index: positions, what is on a map, stale maps, new videos, quality, colours"
from dataclasses import replace
import numpy as np
import pandas as pd
import pytest
from sklearn.manifold import trustworthiness
from mvrep.core import MODALITIES
from mvrep.explore.plots import GREY, PALETTE, RAMP, color_by, color_columns, plot_map
from mvrep.explore.positions import check_perplexity, fit_positions, place_new
from mvrep.explore.tsne import (StaleMap, draw_map, fit_tsne, load_tsne, make_map, map_quality, map_vectors,
                                write_map)
from mvrep.features.vectors import fit_scale, standardise, unit_norm
from mvrep.index.examples import tiny_index

@pytest.fixture(scope='module')
def home(tmp_path_factory): return tiny_index(tmp_path_factory.mktemp('tsne'))

@pytest.fixture
def index(home):
    "Twelve videos, as they were indexed"
    home.reload()
    return home

@pytest.fixture(scope='module')
def vectors(home): return map_vectors(home)[1]

def keep(index, rows):
    "Make an index search the videos of some rows only, as if the others were not in the build"
    build = index.build
    index.build = replace(
        build, video_ids=build.video_ids[rows], has={m: o[rows] for m, o in build.has.items()},
        embeddings={m: o[rows] for m, o in build.embeddings.items()}, sources=np.array(build.sources, object)[rows])
    index.videos = index.videos.iloc[rows]

def with_embeddings(index, **changed):
    "Make an index search other embeddings"
    index.build = replace(index.build, embeddings=dict(index.build.embeddings)|changed)

def clusters(n=300, d=32):
    "Unit-norm vectors in five groups, and the group of each"
    rng = np.random.default_rng(0)
    group = rng.integers(0, 5, n)
    return unit_norm(rng.normal(size=(5, d))[group]+.8*rng.normal(size=(n, d))).astype(np.float32), group

# Positions

def test_positions_are_the_same_for_the_same_seed(vectors):
    fit = fit_positions(vectors)
    assert fit.xy.shape==(12, 2) and fit.xy.dtype==np.float32 and round(fit.perplexity, 2)==3.67
    assert np.array_equal(fit.xy, fit_positions(vectors).xy)

def test_perplexity_is_limited_by_the_number_of_points(vectors):
    message = 'perplexity 800 needs at least 2401 points, and there are 12: choose from 1 to'
    with pytest.raises(ValueError, match=message):
        fit_positions(vectors, 800)
    with pytest.raises(ValueError, match='at least 13'): fit_positions(vectors, 4)
    with pytest.raises(ValueError, match='perplexity 0.5'): fit_positions(vectors, .5)
    with pytest.raises(ValueError, match='3 points: t-SNE needs at least 4'): fit_positions(vectors[:3])
    assert fit_positions(vectors, 11/3).perplexity==11/3
    assert (check_perplexity(None, 91), check_perplexity(800, 2401))==(30, 800)

def test_limits_of_the_perplexity():
    assert [check_perplexity(None, o) for o in (4, 90, 91, 92)]==[1, 89/3, 30, 30]
    assert (check_perplexity(1, 4), check_perplexity(2, 7))==(1., 2.)
    with pytest.raises(ValueError, match='perplexity 2 needs at least 7 points, and there are 6: choose from 1 to 1'):
        check_perplexity(2, 6)

def test_positions_that_are_given_make_a_map(vectors):
    keys = pd.DataFrame(dict(video_id=list('ab')), index=['p', 'q'])
    m, other = (make_map(keys, x, np.zeros((2, 2), np.float32), 'joint', 'video', perplexity=2., seed=1, kl=.5)
                for x in (vectors[:2], np.nextafter(vectors[:2], np.float32(1))))
    assert (m.by, m.level, m.perplexity, m.seed, m.kl)==('joint', 'video', 2., 1, .5) and not m.is_placed.any()
    assert len(set(m.checksums))==2 and not set(m.checksums) & set(other.checksums)

def test_vectors_that_are_not_finite(vectors):
    with pytest.raises(ValueError, match='12 of 12 vectors are not finite'): fit_positions(vectors*np.nan)
    with pytest.raises(ValueError, match='1 of 12'): fit_positions(np.where(np.arange(12)[:, None]==3, np.inf, vectors))

def test_equal_vectors_have_finite_positions():
    assert np.isfinite(fit_positions(np.ones((20, 8), np.float32)).xy).all()

def test_new_points_go_to_their_group():
    x, group = clusters()
    base = fit_positions(x[:250]).xy
    placed = place_new(x[:250], base, x[250:])
    nearest = ((placed[:, None]-base)**2).sum(2).argmin(1)
    assert (group[:250][nearest]==group[250:]).mean()>.9 # chance is .2
    assert np.array_equal(placed, place_new(x[:250], base, x[250:])) and placed.dtype==np.float32
    assert place_new(x[:250], base, x[:0]).shape==(0, 2)

# What is on a map

def test_products_of_vectors_are_scores(index):
    keys, x = map_vectors(index)
    assert x.shape==(12, 1506+1280) and x.dtype==np.float32 and list(keys.columns)==['video_id', 'start', 'length']
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(x@x[0], index.build.scores(index.build.query('v0000')).score, atol=1e-5)

def test_products_where_a_video_lacks_audio(index):
    has_audio = index.build.has['audio'].copy()
    has_audio[3] = False
    index.build = replace(index.build, has=index.build.has|dict(audio=has_audio))
    score = index.build.scores(index.build.query('v0003')).score
    x = map_vectors(index)[1]
    length = np.where(has_audio, np.sqrt(.5), 1) # of the video's part in a row with both modalities
    np.testing.assert_allclose(x@x[3], score*length, atol=1e-5)
    assert list(map_vectors(index, 'audio')[0].index)==[f'v{i:04}' for i in range(12) if i!=3]

def test_segments_and_columns(index):
    assert len(map_vectors(index, 'audio', 'segment')[1])==len(index.store)
    assert map_vectors(index, 'musicnn_mtt')[1].shape==(12, 1506)

def test_unknown_vectors_and_levels(index):
    with pytest.raises(ValueError, match="by='smell': want one of audio, video, joint, musicnn_mtt"):
        map_vectors(index, 'smell')
    with pytest.raises(ValueError, match="level='track': want one of video, segment"): map_vectors(index, level='track')

@pytest.mark.parametrize('level', ['video', 'segment'])
def test_a_video_that_is_not_in_the_build_is_not_on_the_map(index, level):
    "As after an interrupted run; it has no part in the scale either"
    keep(index, np.arange(10))
    feats = index.store.read('musicnn_mtt', list(index.build.video_ids))[1]
    keys, x = map_vectors(index, 'musicnn_mtt', level)
    assert list(keys.video_id)==list(index.build.video_ids)
    np.testing.assert_allclose(x, standardise(feats, fit_scale(feats)), atol=1e-6) # one segment per video

# Stored maps

def test_a_map_is_one_file(index):
    m = fit_tsne(index)
    again = load_tsne(index)
    assert [o.name for o in (index.folder/'tsne').glob('joint-*')]==['joint-video.safetensors']
    assert np.array_equal(again.xy, m.xy) and not again.is_placed.any()
    assert (again.perplexity, again.seed, again.kl)==(m.perplexity, m.seed, m.kl)
    with pytest.raises(FileNotFoundError, match='no map by audio of its videos'): load_tsne(index, 'audio')

def test_new_videos_are_placed_and_removed_ones_are_gone(index):
    keep(index, np.arange(10))
    of_ten = fit_tsne(index)
    index.reload()
    grown = load_tsne(index)
    assert list(grown.keys.index[grown.is_placed])==['v0010', 'v0011']
    assert np.array_equal(grown.xy[:10], of_ten.xy)
    assert repr(grown)=='Map(12 videos, 2 of them placed, by joint, perplexity 3, seed 0)'
    keep(index, np.arange(1, 12))
    assert np.array_equal(load_tsne(index).xy[:9], of_ten.xy[1:])

def test_a_map_with_mostly_new_points_is_stale(index):
    keep(index, np.arange(5))
    fit_tsne(index)
    index.reload()
    with pytest.raises(StaleMap, match=r'too old \(5 points hold and 7 came after it was drawn\)'): load_tsne(index)
    keep(index, np.arange(10))
    assert load_tsne(index).is_placed.sum()==5

def test_a_changed_video_is_placed_again(index):
    keep(index, np.arange(10))
    fit_tsne(index)
    index.reload()
    audio = np.array(index.build.embeddings['audio'])
    audio[3] = audio[4]
    with_embeddings(index, audio=audio)
    assert load_tsne(index).is_placed.nonzero()[0].tolist()==[3, 10, 11]

def test_a_map_of_other_vectors_is_stale(index):
    "However little they moved"
    fit_tsne(index)
    with_embeddings(index, audio=np.nextafter(index.build.embeddings['audio'], np.float32(1)))
    with pytest.raises(StaleMap, match=r'of other vectors \(0 of its 12 points hold\): draw it again'): load_tsne(index)

def test_a_map_of_segments(index):
    m = fit_tsne(index, 'efficientnet_lite0', 'segment')
    assert list(m.keys.columns)==['video_id', 'start', 'length'] and len(m)==len(index.store)

# Quality

def test_quality_is_beside_chance(index):
    quality = map_quality(index, fit_tsne(index))
    assert quality.value['trustworthiness']>quality.chance['trustworthiness'] and set(quality.pool)=={11}

def test_quality_by_hand(index):
    "Purity: the share of the two nearest on the map and among the vectors that have the genre; chance: of all others"
    m, genre = fit_tsne(index), index.videos.genre.to_numpy()
    same = genre[:, None]==genre
    def purity(x):
        distance = ((x[:, None]-x)**2).sum(-1)
        nearest = np.argsort(distance+1e9*np.eye(12), axis=1)[:, :2]
        return np.take_along_axis(same, nearest, 1).mean()
    quality = map_quality(index, m, k=2)
    vectors = map_vectors(index)[1]
    assert quality.value['purity on the map']==pytest.approx(purity(m.xy.astype(float)))
    assert quality.value['purity of the embeddings']==pytest.approx(purity(vectors.astype(float)))
    assert quality.chance['purity on the map']==pytest.approx(((same.sum(1)-1)/11).mean())
    assert quality.value['trustworthiness']==pytest.approx(trustworthiness(vectors, m.xy, n_neighbors=2))
    assert quality.k.tolist()==[2, 2, 2] and map_quality(index, m, k=9).k['trustworthiness']==5
    random = [map_quality(index, m, seed=o).chance['trustworthiness'] for o in range(20)]
    assert abs(np.mean(random)-.5)<.1 # of positions that are drawn

def test_quality_without_labels(index):
    index.videos['nothing'] = None
    assert np.isnan(map_quality(index, fit_tsne(index), 'nothing').value['purity on the map'])
    with pytest.raises(ValueError, match="no column 'price': want one of path"):
        map_quality(index, fit_tsne(index), 'price')

# Colours

@pytest.mark.parametrize('column', ['genre', 'year', 'mood', 'tag:guitar', 'emotion', 'tags', 'duration', 'path'])
def test_every_row_has_a_colour(index, column):
    coloring = color_by(index.videos, column)
    assert len(coloring.names)==len(coloring.colors) and np.bincount(coloring.codes).sum()==12

def test_the_eleventh_value_is_one_of_the_others():
    odd = pd.DataFrame(dict(artist=[f'a{i}' for i in range(12)]+[None, ' '],
                            release_date=['1999-01-01', 'soon', None]+['2004']*11))
    artists = color_by(odd, 'artist')
    assert artists.names[-2:]==['2 others', 'unknown'] and np.bincount(artists.codes)[-2:].tolist()==[2, 2]
    assert artists.colors==[*PALETTE, GREY, GREY]
    assert color_by(odd, 'year').names==['1999', '2004', 'unknown']
    assert color_by(odd.iloc[:0], 'artist').names==[]
    assert color_by(pd.DataFrame(dict(artist=[f'a{i}' for i in range(11)])), 'artist').names[-1]=='1 other'

def test_colours_of_own_columns():
    own = pd.DataFrame(dict(energy=[.1, .5, .9, np.nan], label=['x', 'x', 'y', None], is_live=[True, False, True, True],
                            playlists=[['run', 'gym'], ['run'], [], None]))
    energy = color_by(own, 'energy')
    assert energy.names==['0.1', '0.5', '0.9', 'unknown'] and energy.colors==[RAMP[0], RAMP[2], RAMP[5], GREY]
    assert color_by(own, 'label').names==['x', 'y', 'unknown']
    assert color_by(own, 'is_live').names==['True', 'False']
    playlists = color_by(own, 'playlists')
    assert playlists.names==['run', 'unknown'] and playlists.codes.tolist()==[0, 0, 1, 1]
    assert color_by(own.assign(year=[1, 2, 3, 4]), 'year').names==['1', '2', '3', '4']

def test_ranges_of_numbers_have_as_many_videos_each():
    energy = color_by(pd.DataFrame(dict(energy=np.arange(12)/10)), 'energy')
    assert np.bincount(energy.codes).tolist()==[2]*6 and energy.names[0]=='0–0.1' and energy.names[-1]=='1–1.1'

@pytest.mark.parametrize('column', ['price', 'year', 'tag:fast'])
def test_unknown_columns_are_refused_with_a_list(column):
    with pytest.raises(ValueError, match=f"no column '{column}': want one of label, year, tag:NAME"):
        color_by(pd.DataFrame(dict(label=['x'])), column)

def test_offered_columns(index):
    offered = color_columns(index.videos)
    assert offered[:9]==['genre', 'mood', 'emotion', 'artist', 'origin', 'split', 'license', 'year', 'duration']
    assert offered[9:12]==['title', 'release_date', 'tags'] and sum(o.startswith('tag:') for o in offered)==8
    own = color_columns(index.videos.assign(energy=.5, unknown=None))
    assert own[9]=='energy' and 'unknown' not in own and not {'path', 'sha256'} & set(own)
    assert color_columns(pd.DataFrame(dict(artist=[None]), dtype=object))==['artist']

def luminance(color):
    channel = np.array([int(color[i:i+2], 16)/255 for i in (1, 3, 5)])
    return np.where(channel<.04045, channel/12.92, ((channel+.055)/1.055)**2.4)@[.2126, .7152, .0722]

@pytest.mark.parametrize('paper', ['#ffffff', '#17161d'])
def test_colours_contrast_with_light_and_dark_pages(paper):
    for color in [*PALETTE, *RAMP, GREY]:
        low, high = sorted([luminance(color), luminance(paper)])
        assert (high+.05)/(low+.05)>=3, color

def test_plots_are_images_and_the_same_each_time(index):
    m = fit_tsne(index)
    image = plot_map(index, m, ('genre', 'year'))
    assert image.size==(600, 220) and image.tobytes()==plot_map(index, m, ['genre', 'year']).tobytes()
    assert plot_map(index, m, 'tag:guitar').size==(300, 220)
    index.videos['title'] = '$\\frac{' # not a formula
    plot_map(index, m, 'title')
    with pytest.raises(ValueError, match="no column 'price'"): plot_map(index, m, 'price')

def test_modalities_are_what_a_map_is_named_by(index):
    for modality in MODALITIES: assert fit_tsne(index, modality).by==modality

def test_vectors_of_any_size_are_arranged():
    x = np.random.default_rng(0).normal(size=(12, 4))
    x[6:, 0] += 30
    def gap(xy): return np.linalg.norm(xy[:6].mean(0)-xy[6:].mean(0))/np.linalg.norm(xy.std(0))
    for odd in (x*1e30, x*1e300, x*1e-30, x+1e9, (x*1e30).astype(np.float32)):
        fit = fit_positions(odd)
        assert np.isfinite(fit.xy).all() and np.isfinite(fit.kl) and gap(fit.xy)>1
        assert np.isfinite(place_new(odd, fit.xy, odd[:3])).all()
    for same in (np.zeros((12, 4)), np.full((12, 4), 1e30)): assert np.isfinite(fit_positions(same).xy).all()

def test_points_that_cannot_be_placed():
    x, xy = np.eye(12, 4), np.zeros((12, 2))
    bad = np.full((1, 4), np.nan)
    for args, message in (((x, xy, bad), '1 of 1 vectors are not finite'), ((np.r_[bad, x[1:]], xy, x), '1 of 12'),
                          ((x, xy, x[:, :2]), 'want'), ((x[:3], xy[:3], x), 'at least 4'),
                          ((x, xy[:5], x), 'positions')):
        with pytest.raises(ValueError, match=message): place_new(*args)
    for perplexity in (np.nan, np.inf):
        with pytest.raises(ValueError, match='perplexity'): check_perplexity(perplexity, 100)
    with pytest.raises(ValueError, match='vectors of shape'): fit_positions(np.zeros((12, 0)))

def test_a_damaged_map_is_drawn_again(tmp_path):
    index = tiny_index(tmp_path)
    path = write_map(index, draw_map(index, perplexity=3))
    whole, before = path.read_bytes(), load_tsne(index)
    for damage in (whole[:100], whole[:-1]+bytes([whole[-1]^1]), b'', b'{'*10**6):
        path.write_bytes(damage)
        with pytest.raises(StaleMap, match='is damaged: draw it again'): load_tsne(index)
    path.write_bytes(whole)
    assert np.array_equal(load_tsne(index).xy, before.xy)
