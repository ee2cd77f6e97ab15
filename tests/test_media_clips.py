"Clips, clip files, contact sheets and spectrograms"
import numpy as np
import pytest
from mvrep.core import MediaError
from mvrep.media import contact_sheet, cut_clip, cut_clips, mel_image, write_audio, write_mp4, write_mp4_and_wav
from mvrep.media import frame_number, make_clip, probe, read_audio, read_frames, tone_second
from media_files import SHORT_GOP, make

@pytest.fixture(scope='module')
def source(tmp_path_factory):
    "A clip of four seconds with tags"
    return make_clip(tmp_path_factory.mktemp('media')/'a.mp4', tags={'title': 'Numbers'})

def test_a_clip_for_browsers(source, tmp_path):
    clip = tmp_path/'clip.mp4'
    clip.write_bytes(cut_clip(source, 1, 2))
    info = probe(clip)
    assert (info.video_codec, info.audio_codec, info.tags)==('h264', 'aac', {})
    assert abs(info.duration-2)<.1
    assert frame_number(read_frames(clip)[0])==25
    assert tone_second(read_audio(clip, length=.5))==1

@pytest.mark.parametrize('modality', ['audio', 'video'])
def test_a_clip_of_one_modality(modality, tmp_path):
    clip = tmp_path/'clip.mp4'
    clip.write_bytes(cut_clip(make_clip(tmp_path/'a.mp4', modalities=(modality,)), 1, 2))
    assert (probe(clip).has_audio, probe(clip).has_video)==(modality=='audio', modality=='video')

@pytest.mark.parametrize('fields, fps', [
    (dict(fps=50, seconds=1), 25), (dict(fps=10, seconds=1), 10), (dict(times=(0., 2.5, 5.), seconds=7), 1)])
def test_a_clip_has_the_rate_of_its_source_up_to_25(fields, fps, tmp_path):
    (tmp_path/'clip.mp4').write_bytes(cut_clip(make(tmp_path/'a.mp4', audio='', **fields)))
    assert probe(tmp_path/'clip.mp4').fps==fps

def test_the_same_input_gives_the_same_bytes(tmp_path):
    "Whatever was encoded in the process before"
    rng, frames = np.random.default_rng(0), np.full((12, 91, 161, 3), 60, np.uint8)
    written = set()
    for i in range(12):
        noise = .2*rng.normal(size=48000)
        write_audio(tmp_path/'a.webm', noise)
        write_audio(tmp_path/'a.mp4', noise, codec='aac')
        cut_clip(make_clip(tmp_path/'clip.mp4'), 1, 2)
        written.add(write_mp4(tmp_path/'v.mp4', frames, 12, preset='veryfast').read_bytes())
    assert len(written)==1

CODECS = [('webm', 'libopus'), ('mp3', 'libmp3lame'), ('mp4', 'aac'), ('flac', 'flac')]

@pytest.mark.parametrize('ending, codec', CODECS)
def test_audio_in_any_codec(ending, codec, tmp_path):
    y = .3*np.sin(np.arange(96000)*.05)
    info = probe(write_audio(tmp_path/f'y.{ending}', y, 48000, codec))
    assert info.has_audio and not info.has_video and abs(info.duration-2)<.1
    power = np.abs(np.fft.rfft(read_audio(info.path, sr=48000)[:48000]))
    assert abs(int(power.argmax())-382)<=1 # .05 rad a sample is 382 Hz

@pytest.mark.parametrize('name, codec', [('y.mp3', 'libopus'), ('y.what', 'aac'), ('y.mp4', 'no-codec')])
def test_audio_that_does_not_fit_its_container(name, codec, tmp_path):
    with pytest.raises(ValueError): write_audio(tmp_path/name, np.zeros(4800), codec=codec)
    assert not list(tmp_path.iterdir())

def test_writing_frames_and_audio(tmp_path):
    frames = np.full((12, 91, 161, 3), 60, np.uint8)
    y = np.sin(np.arange(8000)*.05).astype(np.float32)/2
    files = [write_mp4(tmp_path/f'{i}', frames, 12, y, 8000, preset='veryfast') for i in range(2)]
    info = probe(files[0])
    assert (info.height, info.width, info.fps, info.sr, info.channels)==(90, 160, 12, 8000, 1)
    assert abs(info.duration-1)<.2 and files[0].read_bytes()==files[1].read_bytes()
    assert abs(read_frames(files[0]).astype(int)-60).max()<4
    with pytest.raises(ValueError, match='neither frames nor audio'): write_mp4(tmp_path/'none.mp4', frames[:0])
    assert not (tmp_path/'none.mp4').exists()

def test_small_frames_stay_small(source, tmp_path):
    (tmp_path/'clip.mp4').write_bytes(cut_clip(source, length=1, size=240))
    assert probe(tmp_path/'clip.mp4').height==96

def test_a_missing_file():
    with pytest.raises(MediaError, match='no such file'): cut_clip('nowhere.mp4')

def test_many_clips(source, tmp_path):
    files = [tmp_path/'clips'/f'{i}.mp4' for i in range(3)]
    failed = cut_clips([(source, 0., 1., 90), ('gone.mp4', 0., 1., 90), (source, 3., 1., 90)], files)
    assert failed=={1: 'no such file: check the path'}
    assert sorted((tmp_path/'clips').iterdir())==[files[0], files[2]]
    info = probe(files[2])
    assert (info.height, info.video_codec, info.audio_codec, round(info.duration))==(90, 'h264', 'aac', 1)

def test_clip_files_have_the_form_of_the_thesis(tmp_path):
    path = make(tmp_path/'a.mov', options=SHORT_GOP, audio='pcm_s16le')
    mp4, wav = write_mp4_and_wav(path, tmp_path/'out'/'b.mp4', start=.5, length=2)
    video, audio = probe(mp4), probe(wav)
    assert (video.width, video.height, video.fps, video.video_codec, video.duration)==(768, 432, 10, 'h264', 2.)
    assert (video.has_audio, audio.sr, audio.channels, audio.duration)==(False, 16000, 1, 2.)
    frames = read_frames(path, .5, 2, fps=10)
    assert [frame_number(o) for o in read_frames(mp4)]==[frame_number(o) for o in frames]
    np.testing.assert_allclose(read_audio(wav), read_audio(path, .5, 2), atol=1e-4)

def test_a_clip_never_replaces_its_source(source):
    content = source.read_bytes()
    for dest in (source, str(source).removesuffix('.mp4')):
        with pytest.raises(ValueError, match='choose another name'): write_mp4_and_wav(source, dest)
    assert source.read_bytes()==content

def test_contact_sheet(source):
    assert contact_sheet(source, n=6, width=100).size==(6*102-2, 60)
    assert contact_sheet(source, n=10, width=50).size==(8*52-2, 2*32-2)
    frames = read_frames(source)
    middles = np.asarray(contact_sheet(frames, n=4, width=160))
    assert [frame_number(middles[:, i*162:i*162+160]) for i in range(4)]==[12, 37, 62, 87]

def test_mel_image(source):
    image = mel_image(read_audio(source))
    assert (image.size, image.mode)==((600, 240), 'P')
