"Random changes of audio: the same seed, the same change; lengths, silence, other random numbers"
import random
from dataclasses import replace
import numpy as np
import pytest
from mvrep.pretraining.augment import CHANGES, NO_CHANGES, Augment, AugmentConfig, each_change
from tones import SR, tone

def only(name): return Augment(replace(NO_CHANGES, **{name: 1.}), SR)

@pytest.mark.parametrize('name', CHANGES)
@pytest.mark.parametrize('y', [tone(0, .5), tone(300, .09), tone(300, 1.)], ids=['silence', '90ms', '1s'])
def test_shape_type_and_values(name, y):
    for seed in range(3):
        changed = only(name)(y, seed)
        assert changed.shape==y.shape and changed.dtype==np.float32 and np.isfinite(changed).all()

@pytest.mark.parametrize('name', CHANGES)
def test_a_change_changes_and_keeps_its_input(name):
    y = tone(300, 1.)
    before = y.copy()
    assert not np.array_equal(only(name)(y, 0), y) and np.array_equal(y, before)

def test_a_seed_decides_and_nothing_else():
    augment, y = Augment(AugmentConfig(), SR), tone(300, 1.)
    first = augment(y, 5)
    random.seed(1)
    np.random.seed(1)
    state, numpy_state = random.getstate(), np.random.get_state()[1].copy()
    assert np.array_equal(augment(y, 5), first)
    assert random.getstate()==state and np.array_equal(np.random.get_state()[1], numpy_state)
    assert len({augment(y, seed).tobytes() for seed in range(8)})>5

def test_probabilities():
    augment, y = Augment(replace(NO_CHANGES, polarity=.8), SR), tone(300, .1)
    inverted = sum(np.array_equal(augment(y, seed), -y) for seed in range(400))
    assert .72<inverted/400<.88
    assert Augment(NO_CHANGES, SR)(y, 0) is y

def test_what_the_changes_do():
    y = tone(440, 1.)
    changed = each_change(y, SR, seed=2)
    assert np.array_equal(changed['polarity'], -y)
    ratio = np.abs(changed['gain']).max()/np.abs(y).max()
    assert 10**-1<=ratio<=10**-.05
    delays = [o for o in range(200, 500, 50) if np.allclose(changed['delay'][:SR*o//1000], y[:SR*o//1000]/2)]
    assert delays and not np.allclose(changed['delay'], y/2)
    peak = np.abs(np.fft.rfft(changed['pitch'])).argmax()
    assert 440*2**(-7.2/12)<peak<440*2**(7.2/12) and abs(peak-440)>3

@pytest.mark.parametrize('value', [-.1, 1.5, float('nan')])
def test_what_is_not_a_probability(value):
    with pytest.raises(ValueError, match='reverb=.*want probabilities'): Augment(AugmentConfig(reverb=value), SR)
