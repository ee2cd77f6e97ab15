"Low-level features: known values, each against a slow or independent computation"
import numpy as np
import pytest
from scipy.stats import entropy
from mvrep.encoders.low_level import LOW_LEVEL, LowLevel, colour_entropy, frame_motion, gradients, grey_values

def plain(value, t=2): return np.full((t, 60, 80, 3), value, np.uint8)

def features(frames): return dict(zip(LOW_LEVEL, LowLevel().encode(frames).tolist(), strict=True))

@pytest.fixture(scope='module')
def noise(): return np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), np.uint8)

def test_plain_frames_have_nothing_but_brightness():
    for value in (0, 128, 255):
        want = dict(brightness=value/255, contrast=0, edges=0, colours=0, thirds=1, motion=0)
        assert features(plain(value))==pytest.approx(want, abs=1e-5)
    assert features(plain((255, 0, 0)))['brightness']==pytest.approx(.299, abs=1e-4)

def test_contrast_and_motion_are_largest_for_black_and_white():
    halves = plain(0)
    halves[:, :, 40:] = 255
    assert features(halves)['contrast']==pytest.approx(.5, abs=1e-4)
    flash = np.concatenate([plain(0, 1), plain(255, 1)])
    assert features(flash)['motion']==pytest.approx(1, abs=1e-4) and frame_motion(grey_values(flash[:1]))==0
    assert gradients(grey_values(halves)).max()==pytest.approx(1, abs=1e-4)

def test_colours_are_the_entropy_of_the_histogram(noise):
    found = colour_entropy(noise)
    for frame, value in zip(noise, found):
        counts = np.unique((frame//32).reshape(-1, 3), axis=0, return_counts=True)[1]
        assert value==pytest.approx(entropy(counts, base=2)/9)
    assert .9<found.mean()<1

def test_what_is_at_a_crossing_of_the_thirds_counts(noise):
    def dot(y, x):
        frames = plain(0)
        frames[:, y-3:y+3, x-3:x+3] = 255
        return features(frames)['thirds']
    assert min(dot(y, x) for y in (20, 40) for x in (27, 53))>2 and dot(8, 8)==dot(30, 6)==0
    assert features(noise)['thirds']==pytest.approx(1, abs=.05)

def test_what_is_no_segment_is_refused():
    for wrong in (np.zeros((3, 4)), plain(0).astype(float), plain(0)[:0]):
        with pytest.raises(ValueError, match='frames'): LowLevel().encode(wrong)
