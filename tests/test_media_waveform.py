"Audio that is too loud, not finite, or silent, and files that state impossible sizes, rates and durations"
import av
import numpy as np
import pytest
from mvrep.core import MediaError
from mvrep.media import MAX_ASPECT, MAX_SECONDS, MAX_SR, MAX_STREAMS, SILENCE
from mvrep.media import cut_clip, is_silent, probe, read_audio, read_frames
from mvrep.media.decoding import DecodedFrame
from mvrep.media.waveform import Waveform, mono
from mvrep.media import check_duration, check_frame_size, check_sample_rate
from media_files import make

SR = 16000
T = np.arange(4*SR)/SR

def write_floats(path, y, codec='pcm_f32le'):
    "A file of float samples, shape (n_channels, n_samples)"
    y = np.atleast_2d(y)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=SR, layout='mono' if len(y)==1 else 'stereo')
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(y.T.reshape(1, -1)), 'flt', stream.layout.name)
        frame.sample_rate = SR
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path

TONE = np.sin(2*np.pi*440*T).astype('float32')

def decoded(y, start, sr=1000):
    "A decoded frame of float samples"
    frame = av.AudioFrame.from_ndarray(np.asarray(y, 'float32')[None], 'flt', 'mono')
    frame.sample_rate = sr
    return DecodedFrame(start, start+len(y)/sr, frame, 1.)

def waveform_of(*frames, start=0.):
    waveform = Waveform()
    for frame in frames: waveform.add(frame, start)
    return waveform

@pytest.mark.parametrize('gap, n_silent', [(.3, 300), (.03, 30), (.015, 0), (-.015, 0)])
def test_a_gap_is_silent_unless_it_is_within_the_precision_of_time_stamps(gap, n_silent):
    y = waveform_of(decoded([.5]*100, 0.), decoded([.25]*100, .1+gap)).samples(1000)
    assert y.tolist()==[.5]*100+[0]*n_silent+[.25]*100

def test_audio_before_the_stretch_is_left_out():
    waveform = waveform_of(decoded([.5]*100, .9), decoded([.25]*100, 1.), start=1.)
    assert waveform.samples(1000, .15).tolist()==[.25]*100+[0]*50
    assert (waveform.end, waveform.n_decoded, waveform.sr)==(1.1, 200, 1000)

def test_the_highest_of_several_sample_rates_is_that_of_the_stretch():
    waveform = waveform_of(decoded([.5]*400, 0.), decoded([.25]*800, .4, 2000))
    y = waveform.samples(2000)
    assert waveform.sr==2000 and len(y)==1600
    np.testing.assert_allclose(y[[200, 600, 1000, 1500]], [.5, .5, .25, .25], atol=.01)

def test_samples_are_the_mean_of_the_channels_in_units_of_full_scale():
    def mono_of(y, kind):
        return mono(av.AudioFrame.from_ndarray(np.array(y), kind, 'stereo'))[0].tolist()
    assert mono_of(np.array([[16384, 0, -32768, -32768]], 'int16'), 's16')==[.25, -1]
    assert mono_of(np.array([[128, 128, 0, 0, 255, 255]], 'uint8'), 'u8')==[0, -1, 127/128]
    assert mono_of(np.array([[.5, 3.], [0, -.5]], 'float32'), 'fltp')==[.25, .25] # clipped, then averaged

def test_loud_audio_is_clipped(tmp_path):
    path = write_floats(tmp_path/'a.mov', 4*TONE)
    np.testing.assert_array_equal(read_audio(path), np.clip(4*TONE, -1, 1))
    assert np.abs(read_audio(path, sr=11025)).max()<=1

def test_channels_are_clipped_one_by_one(tmp_path):
    "As a player does, which mixes what it plays"
    path = write_floats(tmp_path/'a.mov', np.stack([3*TONE, -TONE/2]))
    np.testing.assert_allclose(read_audio(path), (np.clip(3*TONE, -1, 1)-TONE/2)/2, atol=1e-6)

@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('suffix', ['mov', 'wav', 'mkv'])
def test_stray_samples_become_silence(suffix, value, tmp_path):
    y = TONE/2
    y[SR:SR+300] = value
    expected = np.where(np.isfinite(y), y, 0)
    path = write_floats(tmp_path/f'a.{suffix}', y)
    np.testing.assert_array_equal(read_audio(path), expected)
    np.testing.assert_array_equal(read_audio(path, 1, .01), np.zeros(160))
    assert np.isfinite(read_audio(path, sr=8000)).all()
    assert len(cut_clip(path, 0, 2))

def test_huge_values_are_clipped(tmp_path):
    y = TONE*np.float32(1e38)
    y[::1000] = 3e38
    assert np.abs(read_audio(write_floats(tmp_path/'a.mov', np.stack([y, y])))).max()==1

def test_audio_that_is_mostly_not_finite_is_refused(tmp_path):
    y = TONE.copy()
    y[SR:] = np.nan
    path = write_floats(tmp_path/'a.wav', y)
    assert not is_silent(read_audio(path, 0, .9))
    for start in (0., 2.):
        with pytest.raises(MediaError, match='75% of the audio samples are not finite'): read_audio(path, start, 2)

def test_silence():
    noise = np.random.default_rng(0).normal(size=SR)
    assert is_silent(np.zeros(SR)) and is_silent(np.full(SR, .2)) and is_silent(np.zeros(0)) and is_silent(noise*1e-4)
    assert not is_silent(noise*1e-3) and not is_silent(TONE*.01) and not is_silent(np.r_[np.zeros(SR), .5])
    assert is_silent(TONE*SILENCE*.9) and not is_silent(TONE*SILENCE*1.1)

# Limits

@pytest.mark.parametrize('size', [(16, 16*MAX_ASPECT+16), (16*MAX_ASPECT+16, 16)])
def test_stripes_are_refused(size, tmp_path):
    path = make(tmp_path/'a.mkv', seconds=.2, size=size, codec='mpeg4', audio='')
    for read in (probe, read_frames, lambda o: read_frames(o, size=128)):
        with pytest.raises(MediaError, match='at most 20 times the shorter'): read(path)

def test_pixels_that_are_not_square_count(tmp_path):
    path = make(tmp_path/'a.mkv', seconds=.2, size=(64, 160), pixel_aspect=30, audio='')
    with pytest.raises(MediaError, match='4800×64 pixels'): probe(path)
    with pytest.raises(MediaError, match='4800×64 pixels'): read_frames(path, size=64)

def test_limits_of_sizes():
    for size in [(1080, 1920), (4320, 7680), (100, 2000), (1, 20)]: check_frame_size('a', *size)
    for size in [(8193, 8193), (100, 2001), (1, 21), (0, 100)]:
        with pytest.raises(MediaError): check_frame_size('a', *size)

def test_limits_of_duration_and_rate():
    check_duration('a', MAX_SECONDS)
    check_sample_rate('a', MAX_SR)
    with pytest.raises(MediaError, match='25 hours: mvrep reads at most 24'): check_duration('a', 90_000)
    for sr in (0, MAX_SR+1):
        with pytest.raises(MediaError, match='Hz'): check_sample_rate('a', sr)

def test_many_streams_are_refused(tmp_path):
    def write(path, n):
        with av.open(str(path), 'w') as container:
            streams = [container.add_stream('pcm_s16le', rate=8000, layout='mono') for _ in range(n)]
            for stream in streams:
                frame = av.AudioFrame(format='s16', layout='mono', samples=800)
                frame.sample_rate = 8000
                container.mux(stream.encode(frame))
        return path
    assert probe(write(tmp_path/'a.mkv', 12)).n_audio==12
    with pytest.raises(MediaError, match='streams'): probe(write(tmp_path/'b.mkv', MAX_STREAMS+5))

def test_long_durations_are_refused(tmp_path):
    path = make(tmp_path/'a.mkv', times=(0., 200_000.), seconds=1, audio='')
    with pytest.raises(MediaError, match='reads at most 24'): probe(path)
    assert len(read_frames(path))==1

def test_impossible_sample_rates_are_refused(tmp_path):
    path = write_floats(tmp_path/'a.wav', TONE)
    data = bytearray(path.read_bytes())
    data[24:28] = (2**31-1).to_bytes(4, 'little')
    path.write_bytes(data)
    for read in (probe, read_audio):
        with pytest.raises(MediaError, match='2147483647 Hz'): read(path)
