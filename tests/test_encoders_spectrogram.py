"Log-mel spectrograms against the original's and librosa's, patches, and checks of waveforms and frames"
from unittest.mock import patch
import librosa
import numpy as np
import pytest
import soundfile as sf
import torch
from matplotlib.figure import Figure
from conftest import root
from mvrep.encoders.inputs import check_frames, check_waveform, prepare_waveform, resample
from mvrep.encoders.spectrogram import LogMel, draw_log_mel, log_mel, mel_filters, patches, show_log_mel

FIXTURES = root/'nbs/library/02_encoders/fixtures/musicnn'

@pytest.fixture(scope='module')
def y(): return sf.read(FIXTURES/'synth16k.flac', dtype='float32')[0]

def test_log_mel_equals_the_original(y):
    np.testing.assert_array_equal(log_mel(y), np.load(FIXTURES/'mtt_16k.npz')['logmel'])

@pytest.mark.parametrize('sr,n_fft,n_mels', [(16000, 512, 96), (22050, 1024, 128), (44100, 2048, 64)])
def test_filters_equal_those_of_librosa(sr, n_fft, n_mels):
    theirs = librosa.filters.mel(sr=sr, n_fft=n_fft, n_mels=n_mels)
    np.testing.assert_array_equal(mel_filters(sr, n_fft, n_mels), theirs)

def test_torch_agrees_with_librosa(y):
    batch = torch.tensor(y)[None]
    np.testing.assert_allclose(LogMel(half=False)(batch)[0], log_mel(y, half=False), atol=2e-5)
    difference = np.abs(LogMel()(batch)[0].numpy()-log_mel(y))
    assert difference.max()<5e-4 and (difference>2e-5).mean()<1e-3

def test_a_waveform_in_a_batch_is_treated_as_it_is_alone(y):
    both = LogMel()(torch.tensor(np.stack([y[:48000], y[-48000:]])))
    assert both.shape==(2, 188, 96)
    torch.testing.assert_close(both[1], LogMel()(torch.tensor(y[-48000:])[None])[0], atol=5e-4, rtol=0)

def test_too_few_samples():
    with pytest.raises(ValueError, match='too few'): log_mel(np.zeros(256, np.float32))

def test_the_time_axis_is_in_seconds(y):
    ax = Figure().subplots()
    draw_log_mel(ax, log_mel(y)[:187])
    assert ax.get_xlim()[1]==pytest.approx(187*256/16000)

def test_the_frequency_axis_is_in_khz(y):
    S = log_mel(y)
    ax, = show_figure(S).axes
    assert [o.get_text() for o in ax.get_yticklabels()]==['0.5', '1', '2', '4', '8']
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_ylim())==('time (s)', 'frequency (kHz)', (0, 96))
    centre = librosa.mel_frequencies(98, fmax=8000)[1:-1]
    for khz, tick in zip((.5, 1, 2, 4), ax.get_yticks()): # band i is drawn from i to i+1
        band = int(tick)
        assert centre[max(0, band-1)]<=1000*khz<=centre[band+1]
    assert np.array_equal(ax.images[0].get_array(), S.T) and ax.images[0].origin=='lower'

def show_figure(S):
    "The figure behind the image of a spectrogram"
    with patch('mvrep.encoders.spectrogram.figure_image', lambda fig: fig): return show_log_mel(S)

def test_power_is_rounded_as_in_the_training_of_musicnn(y):
    exact, rounded = log_mel(y, half=False), log_mel(y)
    assert 0<np.abs(exact-rounded).max()<2e-3
    def torch_mel(half): return LogMel(half=half)(torch.from_numpy(y)[None])[0]
    assert 0<(torch_mel(True)-torch_mel(False)).abs().max()<2e-3
    power = 10**torch_mel(True)/10000-1e-4
    assert torch.allclose(power, power.half().float(), atol=2e-7)

def test_patches_are_windows_of_the_spectrogram(y):
    S = torch.tensor(log_mel(y))
    assert patches(S).shape==(4, 187, 96) and patches(S, hop_frames=61).shape==(10, 187, 96)
    assert torch.equal(patches(S)[1], S[187:374])
    assert torch.equal(patches(S, hop_frames=61)[1], S[61:248])

def test_patches_of_too_few_frames_or_without_a_step(y):
    S = log_mel(y)
    assert patches(S[:187]).shape==(1, 187, 96) and patches(S[:188], hop_frames=1).shape==(2, 187, 96)
    with pytest.raises(ValueError, match='do not fill'): patches(S[:186])
    with pytest.raises(ValueError, match='at least 1'): patches(S, hop_frames=0)

def tone(hz, sr): return np.sin(2*np.pi*hz*np.arange(sr)/sr).astype(np.float32)

def test_resampling_keeps_low_tones_and_removes_high_ones():
    middle = slice(1600, -1600)
    low = resample(tone(440, 44100), 44100)
    assert len(low)==16000
    np.testing.assert_allclose(low[middle], tone(440, 16000)[middle], atol=1e-3)
    assert np.abs(resample(tone(10000, 44100), 44100)[middle]).max()<1e-4

@pytest.mark.parametrize('orig_sr,sr', [(0, 16000), (44100, 0), (-1, 16000)])
def test_sample_rates_must_be_positive(orig_sr, sr):
    with pytest.raises(ValueError, match='positive'): resample(tone(440, 16000), orig_sr, sr)

@pytest.mark.parametrize('change,message', [
    (lambda y: y[:0], 'no samples'),
    (lambda y: np.stack([y, y]), 'average the channels'),
    (lambda y: (y*32767).astype(np.int16), 'divide by'),
    (lambda y: y*32767, 'peak is'),
    (lambda y: y*np.nan, 'not finite')])
def test_arrays_that_are_no_mono_waveform(y, change, message):
    with pytest.raises(ValueError, match=message): prepare_waveform(change(y), 16000)

def test_a_peak_of_10_is_the_highest():
    assert prepare_waveform(np.array([10., -10.]), 16000).tolist()==[10, -10]
    with pytest.raises(ValueError, match='peak is 11'): prepare_waveform(np.array([1., -11.]), 16000)

def test_short_audio_is_repeated():
    repeated = prepare_waveform(np.array([.1, .2, .3]), 16000, min_samples=5)
    np.testing.assert_allclose(repeated, [.1, .2, .3, .1, .2], rtol=1e-6)
    assert check_waveform([.5]).shape==(1,)

@pytest.mark.parametrize('shape,dtype', [((2, 8, 8, 3), float), ((8, 8, 3), np.uint8), ((2, 3, 8, 8), np.uint8)])
def test_arrays_that_are_no_frames(shape, dtype):
    with pytest.raises(ValueError, match='uint8 of shape'): check_frames(np.zeros(shape, dtype))

def test_frames_without_a_frame_or_a_pixel():
    for shape in ((0, 8, 8, 3), (2, 0, 8, 3)):
        with pytest.raises(ValueError, match='no frames'): check_frames(np.zeros(shape, np.uint8))
