"Six views of synthetic music videos: shapes, short videos, and what no view may use"
from dataclasses import replace
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from mvrep.corpus.muvi import ROOTS, make_muvi
from mvrep.learning.muvi_views import (N_QUALITIES, QUALITIES, _chord_lengths, _root_steps, _song_windows, _statistics,
                                       audio_curves, audio_style, audio_views, clip_windows, video_curves, video_style,
                                       video_views)

@pytest.fixture(scope='module')
def data(): return make_muvi(40)

def test_short_videos_are_repeated(data):
    short = audio_curves(data.cut(70))
    assert np.array_equal(short[3, :70, :5], short[3, 70:140, :5])

def test_shapes_do_not_depend_on_length(data):
    short = data.subset(data.video_ids[:3]).cut(60)
    for views in (audio_views, video_views):
        whole, part = views(data), views(short)
        assert {k: o.shape[1:] for k,o in part.items()}=={k: o.shape[1:] for k,o in whole.items()}
    assert clip_windows(short).shape==(3, 15, 768)

def test_both_modalities_have_the_same_views(data):
    names = ['style', 'curves', 'middle', 'fast', 'scenes', 'structure']
    assert list(audio_views(data))==names and list(video_views(data))==names

def test_a_cut_has_the_views_of_the_whole(data):
    assert np.array_equal(clip_windows(data.cut()), clip_windows(data))
    for views in (audio_views, video_views):
        whole, cut = views(data), views(data.cut(150))
        for k in whole: np.testing.assert_allclose(cut[k], whole[k], atol=1e-4)

def test_no_view_uses_the_other_modality(data):
    def zero(name): return [0*o for o in getattr(data, name)]
    def zeros(*names): return {name: zero(name) for name in names}
    silent = replace(data, key=make_muvi(40, seed=1).key, **zeros('loudness', 'note_density', 'chord'))
    black = replace(data, **zeros('motion', 'since_cut', 'moods', 'clip'))
    for views, changed in ((video_views, silent), (audio_views, black)):
        before, after = views(data), views(changed)
        for k in before: assert np.array_equal(before[k], after[k]), k

# Values by hand, of one video of 50 s

def make_one(**series):
    "A video of 50 s in which nothing changes but what is given"
    data = make_muvi(1)
    plain = dict(loudness=np.full(50, .5), note_density=np.full(50, 4.), chord=np.zeros(50, int),
                 motion=np.full(50, 2.), since_cut=np.arange(50.), moods=np.full((50, 6), .25), clip=np.ones((5, 768)))
    return replace(data, **{name: [o] for name, o in (plain|series).items()})

def steps(before, after): return np.r_[[before]*20, [after]*30]

def test_curves_of_the_audio():
    curves = audio_curves(make_one(loudness=steps(.09, .99), note_density=steps(9., 4.), chord=steps(0, 3)), 50)[0]
    level, loudness, place, density, density_place, rise, fall, changes, more, fewer = curves[:, :10].T
    np.testing.assert_allclose(level[[19, 20]], np.log([.1, 1]), rtol=1e-5)
    np.testing.assert_allclose(loudness[[19, 20]], [.09, .99], rtol=1e-5)
    np.testing.assert_allclose(place[[0, 49]], [10.5/50, 35.5/50], rtol=1e-5) # the mean place of 20, and of 30
    np.testing.assert_allclose(density[[19, 20]], [3, 2], rtol=1e-5)
    np.testing.assert_allclose(density_place[[0, 49]], [40.5/50, 15.5/50], rtol=1e-5)
    once = np.arange(50)==20
    for curve, height in ((rise, np.log(10)), (fall, 0), (changes, 1), (more, 0), (fewer, 1)):
        np.testing.assert_allclose(curve, height*once, atol=1e-5)
    roots, qualities = curves[:, 10:23], curves[:, 23:]
    assert [roots[0].argmax(), roots[20].argmax()]==[12, ROOTS.index('A')] and (curves[:, 10:].sum(1)==2).all()
    assert QUALITIES[qualities[20].argmax()]=='min' and qualities.shape[1]==N_QUALITIES

def test_curves_of_the_video():
    moods = np.repeat([[.25]*6, [.04]+[.25]*5], [20, 30], 0)
    since_cut = np.r_[np.arange(20.), np.arange(30.)]
    curves = video_curves(make_one(motion=steps(.7, 9.7), since_cut=since_cut, moods=moods), 50)[0]
    motion, _, is_cut, time, _, rise, fall, mood_change, soon, later = curves[:, :10].T
    np.testing.assert_allclose(motion[[19, 20]], np.log([1, 10]), atol=1e-5)
    assert np.flatnonzero(is_cut).tolist()==[0, 20]
    np.testing.assert_allclose(time[[19, 20, 22]], np.log([20, 1, 3]), rtol=1e-5, atol=1e-6)
    once = np.arange(50)==20
    for curve, height in ((rise, np.log(10)), (fall, 0), (mood_change, .21)):
        np.testing.assert_allclose(curve, height*once, atol=1e-5)
    np.testing.assert_allclose(soon[[20, 22]], [1, np.exp(-1)], rtol=1e-5)
    np.testing.assert_allclose(later[[20, 25]], [1, np.exp(-1)], rtol=1e-5)
    np.testing.assert_allclose(curves[[0, 49], 10], [.5, .2], rtol=1e-5)

def test_chords_and_their_steps():
    "C, G, C, then none, and A minor: up by a fifth, down by a fifth; silence is not a step, nor is what follows it"
    chord = np.repeat([1, 2, 1, 0, 3], 10)
    assert _chord_lengths(chord).tolist()==[10]*5
    assert _root_steps(np.array([0, 0, 7, 0, 12, 9, 9, 11])).tolist()==[7, 5, 2]
    style = audio_style(make_one(chord=chord), 50)[0]
    statistics = 2*24
    shares = style[statistics:statistics+13*14].reshape(13, 14)
    np.testing.assert_allclose(shares[0, 0]**2, .4, rtol=1e-5) # C major
    np.testing.assert_allclose([(shares[9]**2).sum(), (shares[12]**2).sum()], [.2, .2], rtol=1e-5)
    n_chords, entropy, _ = style[-3:]
    assert n_chords==pytest.approx(5/50, abs=1e-6)
    assert entropy==pytest.approx(-.4*np.log(.4)-3*.2*np.log(.2), abs=1e-4)
    lengths, root_steps = style[-23:-15]**2, style[-15:-3]**2
    np.testing.assert_allclose(lengths, [0]*7+[1], atol=1e-6) # all of at least 8 s
    np.testing.assert_allclose(root_steps[[5, 7]], [.5, .5], rtol=1e-5)

def test_audio_style_begins_with_loudness_and_density():
    "On a log scale, and as a square root: the mean of log .1 and log 1, and of 3 and 2, 20 and 30 s long"
    style = audio_style(make_one(loudness=steps(.09, .99), note_density=steps(9., 4.)), 50)[0]
    np.testing.assert_allclose(style[:2], [.4*np.log(.1), np.log(10)*np.sqrt(.24)], rtol=1e-4)
    np.testing.assert_allclose(style[24:26], [2.4, np.sqrt(.24)], rtol=1e-4)
    np.testing.assert_allclose(style[[26, 32]], [2, 3], rtol=1e-4) # quantiles .02 and .98

def test_major_and_minor_keys():
    for key, is_major in (('C major', 1), ('A minor', 0)):
        assert audio_style(replace(make_one(), key=[key]), 50)[0, -1]==is_major

def test_statistics_of_a_curve():
    "A line: mean, spread, quantiles, change, fifths; a wave of period 4: what it is like 1, 2 and 4 s later"
    line = _statistics(np.arange(50.)[None])[0]
    np.testing.assert_allclose(line[:2], [24.5, np.arange(50).std()])
    np.testing.assert_allclose(line[2:9], np.percentile(np.arange(50), [2, 10, 25, 50, 75, 90, 98]))
    np.testing.assert_allclose(line[9:14], [1, 2, 4, 8, 16])
    np.testing.assert_allclose(line[19:], [-20, -10, 0, 10, 20])
    wave = _statistics(np.tile([0., 1, 0, -1], 25)[None])[0]
    np.testing.assert_allclose(wave[14:17], [0, -1, 1], atol=.03)

def test_style_of_the_video():
    since_cut = np.r_[np.arange(20.), np.arange(30.)]
    style = video_style(make_one(since_cut=since_cut, clip=np.arange(5.)[:, None]*np.ones(768)), 50)[0]
    np.testing.assert_allclose(style[[0, 768]], [2, np.sqrt(2)], rtol=1e-5) # mean and spread of 0, 1, 2, 3, 4
    np.testing.assert_allclose(style[2*768]/2, np.log(2.3), rtol=1e-5)
    np.testing.assert_allclose(style[-19:-14], [.1, 0, .1, 0, 0], rtol=1e-5) # cuts in each fifth
    np.testing.assert_allclose(style[-14:-12], [np.log1p(since_cut).mean(), np.log(30)], rtol=1e-5)
    np.testing.assert_allclose(style[-12:], [.25]*6+[0]*6, atol=1e-6)

def test_views_over_time_are_centred_and_smoothed():
    one = make_one(loudness=np.where(np.arange(50)==25, 1., .5))
    views = audio_views(one, 50)
    curves = audio_curves(one, 50)[..., :10]
    level = curves[0, :, 0]-curves[0, :, 0].mean()
    np.testing.assert_allclose(views['curves'][0, :, 0], level, atol=1e-5)
    middle = gaussian_filter1d(level, 4, mode='nearest')-gaussian_filter1d(level, 12, mode='nearest')
    np.testing.assert_allclose(views['middle'][0, :, 0], middle-middle.mean(), atol=1e-5)
    fast = views['fast'][0].reshape(50, 5, 10)[..., 0] # from two seconds earlier to two later
    assert fast.argmax(0).tolist()==[23, 24, 25, 26, 27]
    for name in ('curves', 'middle', 'fast', 'scenes'): assert abs(views[name].mean(1)).max()<1e-5
    assert views['scenes'].shape==(1, 5, 37) and views['structure'].shape==(1, 10)

def test_structure_is_which_windows_are_alike():
    "Windows 0 and 1 are alike, and 3 and 4; the view is centred and of unit length"
    clip = np.eye(3)[[0, 0, 1, 2, 2]]@np.random.default_rng(0).normal(size=(3, 768))
    structure = video_views(make_one(clip=clip), 50)['structure'][0]
    pairs = list(zip(*np.triu_indices(5, 1)))
    best = [tuple(map(int, pairs[i])) for i in np.argsort(-structure)[:2]]
    assert sorted(best)==[(0, 1), (3, 4)]
    assert np.linalg.norm(structure)==pytest.approx(1, abs=1e-5) and abs(structure.mean())<1e-6

def test_song_windows_by_hand():
    curves = np.zeros((1, 20, 37))
    curves[0, :10, 0] = [.3]*5+[-.3]*5
    curves[0, 10:, 0], curves[0, :, 3] = .6, .5
    curves[0, :3, 7] = 1
    curves[0, :, 10], curves[0, :, 23] = .25, 1
    level, spread, density, changes, *roots = _song_windows(curves)[0].T
    np.testing.assert_allclose([level, spread], [[0, 2], [2, 0]], atol=1e-6)
    np.testing.assert_allclose([density, changes], [[1, 1], [2, 0]])
    np.testing.assert_allclose([roots[0], roots[13]], [[.5, .5], [.7, .7]])

def test_seconds_must_be_whole_windows(data):
    with pytest.raises(ValueError, match='multiple of 10'): video_views(data, 145)
