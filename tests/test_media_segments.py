"Plans and crops: rules for short videos, independence of the order of work, audio and frames cut together"
import numpy as np
import pytest
from mvrep.media.crops import spatial_crop, synchronous_crop
from mvrep.media.segments import PLANS, middle, plan_segments, stratified, whole

@pytest.mark.parametrize('duration, n_segments, length', [(240, 6, 5.), (17, 3, 5.), (.3, 1, .3)])
def test_as_many_segments_as_fit(duration, n_segments, length):
    plan = stratified('v001', duration)
    assert (len(plan), plan[0].length)==(n_segments, length)

WRONG = (dict(duration=0), dict(duration=float('inf')), dict(duration=float('nan')), dict(n=0), dict(length=0))

@pytest.mark.parametrize('wrong', WRONG)
def test_impossible_plans(wrong):
    with pytest.raises(ValueError, match='above 0'): stratified(**dict(video_id='v001', duration=240)|wrong)

def test_stratified_segments_lie_in_their_parts():
    plan = stratified('v001', 240)
    assert all(40*o.index<=o.start and o.start+o.length<=40*(o.index+1) for o in plan)

def test_a_plan_depends_on_video_and_seed_only():
    plan = stratified('v001', 240)
    other = stratified('v002', 180)
    assert stratified('v001', 240)==plan
    assert other!=plan and stratified('v001', 240, seed=1)!=plan

def test_the_seed_reaches_the_random_plan():
    assert plan_segments('v001', 240, seed=3)==stratified('v001', 240, seed=3)!=plan_segments('v001', 240)

def test_places_are_uniform():
    "The first segment can begin in 35 s; the standard error of the mean is .32 s"
    first = [stratified(f'v{i}', 240)[0].start for i in range(1000)]
    assert abs(np.mean(first)-17.5)<1

def test_middle():
    assert [o.start for o in middle(240)]==[60, 75, 90, 105, 120, 135, 150, 165]
    assert middle(40)==[(0, 5., 15.), (1, 20., 15.)]
    assert middle(4)==[(0, 0., 4)]

def test_whole():
    assert whole(13)==[(0, 0, 5), (1, 5, 5), (2, 10, 3)]
    assert len(whole(12))==2
    assert whole(.04)==[(0, 0, .04)]

@pytest.mark.parametrize('plan', PLANS)
@pytest.mark.parametrize('duration', [.04, 1/3, 4.99, 5, 7.3, 29.999, 30, 119, 240, 3600])
def test_segments_are_within_the_video_and_do_not_overlap(plan, duration):
    segments = plan_segments('v001', duration, plan)
    assert segments and segments[0].start>=0
    assert segments[-1].start+segments[-1].length<=duration+1e-9
    assert all(a.start+a.length<=b.start+1e-9 for a,b in zip(segments, segments[1:]))

def test_an_unknown_plan():
    with pytest.raises(ValueError, match='unknown plan'): plan_segments('v001', 240, 'random')

SR, FPS = 16000, 10

@pytest.fixture
def segment():
    "Five seconds whose samples and pixels hold their own time"
    frames = (np.arange(5*FPS)/FPS)[:, None, None, None]*np.ones((1, 2, 2, 3))
    return np.arange(5*SR)/SR, frames

def test_audio_and_frames_are_cut_together(segment):
    starts = set()
    for seed in range(200):
        y, frames = synchronous_crop(*segment, SR, FPS, seed=seed)
        assert (len(y), len(frames))==(3*SR, 3*FPS)
        assert abs(y[0]-frames[0, 0, 0, 0])<=1/SR
        starts.add(round(float(y[0]), 1))
    assert sorted(starts)==[i/10 for i in range(21)]

def test_a_short_segment_is_used_as_a_whole(segment):
    y, frames = segment
    y, frames = synchronous_crop(y[:2*SR], frames[:15], SR, FPS)
    assert (len(y), len(frames))==(24000, 15)

def test_an_empty_segment(segment):
    with pytest.raises(ValueError, match='nothing to crop'): synchronous_crop(segment[0][:0], segment[1], SR, FPS)

def test_the_square_is_the_same_in_all_frames():
    positions = np.indices((128, 171)).transpose(1, 2, 0)[None].repeat(3, axis=0)
    crop = spatial_crop(positions, seed=1)
    assert crop.shape==(3, 112, 112, 2)
    np.testing.assert_array_equal(crop[0], crop[2])
    assert crop[0, 0, 0].tolist()==[8, 57]
    assert spatial_crop(positions, seed=None)[0, 0, 0].tolist()==[8, 30]
    small = positions[:, :112, :112] # just large enough
    np.testing.assert_array_equal(spatial_crop(small, seed=1), small)
    with pytest.raises(ValueError, match='smaller than 112'): spatial_crop(positions[:, :100])
