"Six views of synthetic music videos: shapes, short videos, and what no view may use"
from dataclasses import replace
import numpy as np
import pytest
from mvrep.corpus.muvi import make_muvi
from mvrep.learning.muvi_views import audio_curves, audio_views, clip_windows, video_views

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

def test_seconds_must_be_whole_windows(data):
    with pytest.raises(ValueError, match='multiple of 10'): video_views(data, 145)
