"Decoding of files from outside: a stretch after a jump equals that stretch of a decode of the whole file"
import io
import json
import os
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
import av
import numpy as np
import pytest
from av.stream import Disposition
from mvrep.core import MediaError
from mvrep.media import contact_sheet, open_media, probe, read_audio, read_frames, write_mp4_and_wav
from mvrep.media import frame_number, make_clip, numbered_frame, tone_second
from mvrep.media.opening import _default_stream, _explain, frame_rate, remux_command
from mvrep.media.read import MediaInfo, cut_off_reason
from media_files import AUDIO_FORMS, FORMS, MPEG2, SHORT_GOP, bad_files, make, write_media

def numbers(frames): return [frame_number(o) for o in frames]

# Frames

def first_start(container):
    "Where the earlier of the first two streams begins on the file's clock, seconds"
    streams = (*container.streams.video[:1], *container.streams.audio[:1])
    return min((float(o.start_time*o.time_base) for o in streams if o.start_time is not None), default=0.)

def upright(frame, stream):
    "A frame as an array, rotated and with square pixels"
    width = round(frame.width*float(stream.sample_aspect_ratio or 1))
    image = frame.reformat(width=width, format='rgb24', threads=1).to_ndarray()
    return np.rot90(image, round(frame.rotation/90)%4)

def decode_all(path):
    "Times and frames of a plain decode of the whole file"
    with av.open(str(path)) as container:
        stream, origin = container.streams.video[0], first_start(container)
        frames = list(container.decode(stream))
        stamps = [o.pts if o.pts is not None else o.dts for o in frames]
        times = [float(stamp*o.time_base)-origin for stamp,o in zip(stamps, frames)]
        return np.array(times), np.stack([upright(o, stream) for o in frames])

@pytest.mark.parametrize('name', FORMS)
def test_frames_after_a_jump(name, tmp_path):
    path = write_media(tmp_path/f'a.{FORMS[name].suffix}', FORMS[name])
    times, frames = decode_all(path)
    info = probe(path)
    assert (info.height, info.width)==frames.shape[1:3]
    assert abs(info.duration-max(3., times[-1]))<.7
    for start in [0., *times[::5], *(times[::7]+.013)]:
        expected = frames[(times>=start-1e-6) & (times<start+.2-1e-6)]
        if start<0 or not len(expected): continue
        np.testing.assert_array_equal(read_frames(path, start, .2), expected, err_msg=f'{name} at {start}')

@pytest.mark.parametrize('name', ['constant', 'variable', 'transport', 'late_video'])
def test_resampled_frames_are_those_on_the_screen(name, tmp_path):
    path = write_media(tmp_path/f'a.{FORMS[name].suffix}', FORMS[name])
    times, frames = decode_all(path)
    for start in (0., .5, 1.21):
        first = np.searchsorted(times, start-1e-6)
        shown = [max(first, np.searchsorted(times, start+i/10+1e-6, 'right')-1) for i in range(10)]
        assert numbers(read_frames(path, start, 1., fps=10))==numbers(frames[shown])

def test_a_clip_with_known_numbers(tmp_path):
    clip = make_clip(tmp_path/'a.mp4')
    frames = read_frames(clip)
    assert numbers(frames)==list(range(100))
    for start, first in [(.02, 1), (1.5, 38), (1.98, 50), (3.96, 99)]:
        np.testing.assert_array_equal(read_frames(clip, start, .2), frames[first:first+5])
    assert numbers(read_frames(clip, 1.18, .04))==[30]

def test_rate_and_size(tmp_path):
    clip = make_clip(tmp_path/'a.mp4')
    frames = read_frames(clip, 1., 1., fps=10, size=48)
    assert (frames.shape, frames.dtype)==((10, 48, 80, 3), np.uint8)
    assert numbers(frames)==[25+int(i*2.5) for i in range(10)]
    assert numbers(read_frames(clip, 1., .2, fps=50))==[25, 25, 26, 26, 27, 27, 28, 28, 29, 29]
    assert len(read_frames(clip, 3.5, 5., fps=10))==5

def test_an_upright_phone(tmp_path):
    phone = make_clip(tmp_path/'a.mp4', seconds=1, rotation=-90)
    info, frames = probe(phone), read_frames(phone)
    assert (info.width, info.height, info.rotation, frames.shape[1:])==(96, 160, 270, (160, 96, 3))
    assert numbers(np.rot90(o) for o in frames)==list(range(25))

@pytest.mark.parametrize('angle', [0, 90, 180, -90])
def test_mirrored(angle, tmp_path):
    "A display matrix may also mirror; the reference is the same image, first turned and then mirrored"
    path, image = tmp_path/'a.mp4', numbered_frame(5, size=(64, 160))
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options={'crf': '1'})
        stream.height, stream.width = 64, 160
        stream.pix_fmt = 'yuv444p'
        stream.set_display_rotation(angle, hflip=True)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())
    expected = np.rot90(image, angle//90%4)[:, ::-1]
    assert np.abs(read_frames(path)[0].astype(int)-expected).mean()<8

def test_still_images(tmp_path):
    still = make(tmp_path/'a.mp4', times=(0., 5., 10.), seconds=12, options=SHORT_GOP)
    assert numbers(read_frames(still, 6., 2., fps=2))==[1]*4
    assert len(read_frames(still, 6., 2.))==1

@pytest.mark.parametrize('suffix, fields, n_frames', [
    ('mp4', dict(times=(0.,), audio=''), 1), ('mkv', dict(times=(0.,), audio=''), 1), ('mp4', dict(seconds=.3), 7)])
def test_very_short_files(suffix, fields, n_frames, tmp_path):
    path = make(tmp_path/f'a.{suffix}', **fields)
    duration = probe(path).duration
    assert 0<duration<.4
    assert len(read_frames(path, 0, duration))==len(read_frames(path))==n_frames
    assert len(read_frames(path, 0, duration, fps=10))>=1
    assert contact_sheet(path, n=3).size==(3*122-2, 48)

# Audio

def mono(frame):
    "Mean of the channels of an audio frame, in [-1, 1]"
    x = frame.to_ndarray()
    if not frame.format.is_planar: x = x.reshape(-1, frame.layout.nb_channels).T
    return x.mean(0)/{'i2': 2**15, 'i4': 2**31}.get(x.dtype.str[1:], 1)

def decode_all_audio(path):
    "Samples of a plain decode from time zero on, and their rate"
    with av.open(str(path)) as container:
        origin = first_start(container)
        frames = list(container.decode(audio=0))
    start, sr = float(frames[0].pts*frames[0].time_base)-origin, frames[0].sample_rate
    return np.concatenate([np.zeros(max(0, round(start*sr))), *(mono(o) for o in frames)]), sr

@pytest.mark.parametrize('name', AUDIO_FORMS)
def test_audio_after_a_jump(name, tmp_path):
    path = write_media(tmp_path/f'a.{AUDIO_FORMS[name].suffix}', AUDIO_FORMS[name])
    samples, sr = decode_all_audio(path)
    for start in (0., .1, .737, 1.2, 2.4):
        y, first = read_audio(path, start, .5, sr=None), round(start*sr)
        assert len(y)==round(.5*sr)
        np.testing.assert_allclose(y, samples[first:first+len(y)], atol=2e-3, err_msg=f'{name} at {start}')
    assert abs(len(read_audio(path, 1., 1.))-16000)<=1

def test_the_pitch_tells_the_second(tmp_path):
    clip = make_clip(tmp_path/'a.mp4')
    y = read_audio(clip, start=1.5, length=1)
    assert (len(y), y.dtype)==(16000, np.float32)
    assert [tone_second(y[i:i+1600]) for i in range(0, 16000, 1600)]==[1]*5+[2]*5

def test_channels_are_averaged(tmp_path):
    "The left channel has an amplitude of .5, the right one of .25"
    y = read_audio(make_clip(tmp_path/'a.mp4'), sr=None)[:44100]
    assert np.sqrt((y**2).mean())==pytest.approx(.375/np.sqrt(2), rel=.02)

def test_the_first_of_two_audio_streams_is_used(tmp_path):
    path = make(tmp_path/'a.mkv', n_audio=2, options=SHORT_GOP)
    peak = np.abs(np.fft.rfft(read_audio(path, .1, .3))).argmax()/.3
    assert probe(path).n_audio==2 and abs(peak-440)<5

def test_the_stream_that_players_choose():
    "The first one that is marked, or else the first; neither cover art nor an empty one"
    def stream(disposition=0, duration=9, frames=1):
        return SimpleNamespace(codec_context=True, disposition=disposition, duration=duration, frames=frames)
    plain, marked = stream(), stream(Disposition.default)
    cover = stream(Disposition.attached_pic)
    empty, unknown = stream(duration=0, frames=0), stream(duration=None, frames=0)
    for streams, expected in (([plain, marked, stream(Disposition.default)], marked), ([plain, unknown], plain),
                              ([cover, empty, unknown, plain], unknown), ([cover, empty], None)):
        assert _default_stream(streams) is expected

def test_a_single_frame_without_a_duration_lasts_as_long_as_one(tmp_path):
    path = make(tmp_path/'a.mkv', seconds=.04, audio='', container_options={'live': '1'})
    assert probe(path).duration==pytest.approx(.04)

@pytest.mark.parametrize('average, guessed, rate', [
    (Fraction(30000, 1001), 25, 29.97), (None, 24, 24), (None, None, 25)])
def test_frame_rates(average, guessed, rate):
    assert frame_rate(SimpleNamespace(average_rate=average, guessed_rate=guessed))==pytest.approx(rate, abs=.001)

def test_where_a_stream_breaks_off():
    info = MediaInfo('a.mp4', 8., 0., audio_end=8., video_end=None)
    assert cut_off_reason(info, 'audio', 5.276)=='audio breaks off at 5.28 s of 8.00 s: copy or download it again'
    assert cut_off_reason(info, 'video', 5.)=='video breaks off at 5.00 s: copy or download it again'

@pytest.mark.parametrize('name, ending', [('a b.WEBM', 'mkv'), ('c.ts', 'mp4'), ('d.ogg', 'mkv')])
def test_the_command_that_remuxes(name, ending):
    quoted = f"'{name}'" if ' ' in name else name
    assert remux_command('folder/'+name)==f'ffmpeg -i {quoted} -c copy out.{ending}'

def test_length_of_a_stream_without_a_header(tmp_path):
    "Quiet and loud parts have very different bit rates, so a duration guessed from the first would be wrong"
    path, t = tmp_path/'a.mp3', np.arange(20*44100)/44100
    noise = .3*np.random.default_rng(0).standard_normal(len(t))
    y = np.where(t<5, .1*np.sin(2*np.pi*300*t), noise).astype('float32')
    with av.open(str(path), 'w', options={'write_xing': '0'}) as container:
        stream = container.add_stream('libmp3lame', rate=44100, layout='stereo', options={'compression_level': '9'})
        stream.codec_context.qscale = True
        frame = av.AudioFrame.from_ndarray(np.stack([y, y]), 'fltp', 'stereo')
        frame.sample_rate = 44100
        frame.pts = 0
        for packet in stream.encode(frame)+stream.encode(): container.mux(packet)
    assert abs(probe(path).duration-20)<.1
    assert abs(len(read_audio(path))/16000-20)<.1

# Both

def onset(y, sr, after, block=256):
    "When the audio becomes loud after a moment, seconds from its start"
    blocks = y[:len(y)//block*block].reshape(-1, block)
    is_loud = np.abs(blocks).max(axis=1)>.15
    for i in range(20, len(is_loud)):
        if i*block/sr>after and is_loud[i] and not is_loud[i-8:i-1].any(): return i*block/sr
    raise AssertionError('the audio never becomes loud')

IN_STEP = ('constant', 'late_audio', 'late_video', 'offset', 'offset_mkv', 'transport', 'flash', 'webm')

@pytest.mark.parametrize('start', [0., .4])
@pytest.mark.parametrize('name', IN_STEP)
def test_audio_and_video_are_in_step(name, start, tmp_path):
    "The tone becomes loud at 1 s of its own time; frame 20 is shown at .8 s of its own time"
    form = FORMS[name]
    path = write_media(tmp_path/f'a.{form.suffix}', form)
    delay = form.delay-(1.3 if name=='late_video' else 0.)
    shown = numbers(read_frames(path, start, 2.6, fps=25))
    frame_time = shown.index(20, 1)/25
    audio_time = onset(read_audio(path, start, 2.6, sr=None), form.sr, after=frame_time+delay-.5)
    assert abs(audio_time-frame_time-(.2+delay))<=(1024+256)/form.sr+1e-3

def test_errors_of_the_caller_pass_through_an_open_file(tmp_path):
    clip = make(tmp_path/'a.mp4')
    for error in (OSError(28, 'No space left on device'), ValueError('a bug'), KeyError('x')):
        with pytest.raises(type(error)) as caught, open_media(clip): raise error
        assert caught.value is error
    with pytest.raises(MediaError, match='cannot be read as media'), open_media(clip): raise av.error.EOFError(1, 'end')

def test_only_a_missing_index_is_called_one(tmp_path):
    head = make(tmp_path/'a.mp4').read_bytes()[:512]
    invalid, refused = av.error.InvalidDataError(1, 'invalid'), av.error.PermissionError(1, 'refused')
    assert 'moov' in _explain(invalid, head) and 'refused' in _explain(refused, head)

def test_streams_by_name(tmp_path):
    info = probe(make(tmp_path/'v.mp4', audio=''))
    assert (info.has('video'), info.has('audio'))==(True, False)
    assert (info.end('video'), info.end('audio'))==(info.video_end, None)

def test_one_stream_only(tmp_path):
    video, audio = make(tmp_path/'v.mp4', audio=''), make(tmp_path/'a.m4a', codec='', format='ipod')
    assert (probe(video).has_video, probe(video).has_audio)==(True, False)
    assert (probe(audio).has_video, probe(audio).has_audio)==(False, True)
    with pytest.raises(MediaError, match='no audio in it: use its video'): read_audio(video)
    with pytest.raises(MediaError, match='no video in it: use its audio'): read_frames(audio)
    assert [o.suffix for o in write_mp4_and_wav(video, tmp_path/'w1')]==['.mp4']
    assert [o.suffix for o in write_mp4_and_wav(audio, tmp_path/'w2.mp4')]==['.wav']

def test_streams_of_different_length(tmp_path):
    "After the end of the video its last frame stays, after the end of the audio there is silence, after both an error"
    long_audio = make(tmp_path/'a.mp4', audio_seconds=6, options=SHORT_GOP)
    short_audio = make(tmp_path/'b.mp4', audio_seconds=1, options=SHORT_GOP)
    assert numbers(read_frames(long_audio, 4., 1., fps=10))==[74]*10
    y = read_audio(short_audio, 2., .5)
    assert len(y)==8000 and not y.any()
    assert len(read_audio(short_audio, .5, 2.))==32000
    with pytest.raises(MediaError, match='it lasts'): read_frames(long_audio, 7.)
    with pytest.raises(MediaError, match='it lasts'): read_audio(short_audio, 7.)

def test_after_the_end(tmp_path):
    clip = make_clip(tmp_path/'a.mp4')
    with pytest.raises(MediaError, match='no video at 10.00 s: it lasts 4.0'): read_frames(clip, start=10)

@pytest.mark.parametrize('arguments', [dict(start=-1), dict(start=float('nan')), dict(length=0)])
@pytest.mark.parametrize('read', [read_frames, read_audio])
def test_wrong_arguments(read, arguments, tmp_path):
    clip = make_clip(tmp_path/'a.mp4', seconds=1)
    with pytest.raises(ValueError, match='want start ≥ 0 and length > 0'): read(clip, **arguments)

# What a file contains

def test_probe(tmp_path):
    tags = {'title': 'Numbers', 'artist': 'Testers', 'date': '2019'}
    info = probe(make_clip(tmp_path/'a.mp4', tags=tags|{'comment': 'other tags are left out'}))
    assert (info.width, info.height, info.fps, info.rotation)==(160, 96, 25, 0)
    assert (info.sr, info.channels, info.n_audio)==(44100, 2, 1)
    assert (info.video_codec, info.audio_codec)==('h264', 'aac')
    assert info.tags==tags
    assert abs(info.duration-4)<.05

def test_cover_art_is_not_a_video(tmp_path):
    from mutagen.id3 import APIC, ID3, TIT2
    from PIL import Image
    path, png = make(tmp_path/'a.mp3', codec='', audio='libmp3lame'), io.BytesIO()
    Image.new('RGB', (64, 64), 'red').save(png, 'PNG')
    tags = ID3()
    tags.add(APIC(mime='image/png', type=3, data=png.getvalue()))
    tags.add(TIT2(text='Tön'))
    tags.save(path)
    info = probe(path)
    assert (info.has_video, info.has_audio, info.tags)==(False, True, {'title': 'Tön'})

def test_a_matroska_file_of_a_whole_minute(tmp_path):
    "Matroska writes the duration as 00:01:00; a reader of its last field would see no duration"
    assert probe(make(tmp_path/'a.mkv', seconds=60, fps=1, audio='')).video_end==60

@pytest.mark.parametrize('name', ['Ünïcode – 音楽 🎬.mp4', 'x'*250+'.mp4', 'a %03d: [b] #?.mp4', '-y.mp4'])
def test_file_names(name, tmp_path):
    assert len(read_frames(make(tmp_path/'a.mp4').rename(tmp_path/name), 1., .2))==5

def test_a_name_that_is_too_long():
    with pytest.raises(MediaError): probe('x'*300)

# Files that cannot be used

def test_every_refusal_has_a_reason(tmp_path):
    for path in bad_files(tmp_path):
        for read in (probe, read_frames, read_audio):
            with pytest.raises(MediaError) as e: read(path)
            assert e.value.path==str(path)
            assert ':' in e.value.reason and len(e.value.reason)>20, path

@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid()==0, reason='root may read everything')
def test_unreadable(tmp_path):
    path = make(tmp_path/'a.mp4')
    path.chmod(0)
    with pytest.raises(MediaError, match='permissions'): probe(path)

@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'ts'])
def test_a_cut_off_file_is_used_up_to_the_cut(suffix, tmp_path):
    options = {'movflags': 'faststart'} if suffix=='mp4' else {}
    path = make(tmp_path/f'a.{suffix}', seconds=8, options=SHORT_GOP, container_options=options)
    path.write_bytes(path.read_bytes()[:path.stat().st_size//2])
    assert len(read_frames(path, 1., 1.))==25
    assert len(read_audio(path, 1., 1.))==16000
    reason = 'it lasts' if suffix=='ts' else 'breaks off'
    for read in (read_frames, read_audio):
        with pytest.raises(MediaError, match=reason): read(path, 6.5, 1.)
    assert 70<len(read_frames(path))<140
    assert 2.5<len(read_audio(path))/16000<5.6

READERS = (
    probe, read_frames, read_audio,
    lambda path: read_frames(path, 1.5, .5, fps=10), lambda path: read_audio(path, 1.5, .5))

@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'ts', 'avi'])
def test_damage_gives_a_result_or_a_media_error(suffix, tmp_path):
    fields = MPEG2 if suffix=='avi' else dict(options=SHORT_GOP)
    source = make(tmp_path/f'a.{suffix}', **fields).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path/f'b.{suffix}'
    for i in range(12):
        content = np.frombuffer(source, 'uint8').copy()
        content[rng.integers(0, len(content), 5*4**(i%5))] = 0
        length = None if i%2 else rng.integers(100, len(content))
        path.write_bytes(content.tobytes()[:length])
        for read in READERS:
            try: read(path)
            except MediaError as e: assert e.reason

# The cost, and real files

def test_decoding_costs_little_more_than_the_decoder():
    results = Path(__file__).resolve().parents[1]/'results'/'bench_decode.json'
    bench = json.loads(results.read_text())['results'][0]
    assert bench['to_floor']['ours_128']<=1.3
    assert bench['moviepy_over_ours']['ours_128']>=5

REAL_FILES = Path(os.environ.get('MVREP_SHARED') or '.', 'av_clips')

def decode_small(container, origin):
    "`(time, small image)` of all frames"
    for frame in container.decode(video=0):
        yield frame.time-origin, frame.reformat(width=128, height=72, format='rgb24', threads=1).to_ndarray()

@pytest.mark.skipif(not REAL_FILES.is_dir(), reason='set MVREP_SHARED to the folder that holds av_clips')
def test_real_files():
    for path in sorted(REAL_FILES.iterdir()):
        info = probe(path)
        if info.has_audio: assert abs(len(read_audio(path, 1.5, 2.))-32000)<=1
        if not info.has_video: continue
        with av.open(str(path)) as container:
            decoded = list(decode_small(container, info.start_time))
        for start in (0., info.duration*.37, info.duration*.8):
            expected = [image for time,image in decoded if start-1e-6<=time<start+.5-1e-6]
            np.testing.assert_array_equal(read_frames(path, start, .5, size=(72, 128)), expected)
