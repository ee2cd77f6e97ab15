"Synthetic clips: what is written can be read back, and the same call writes the same bytes"
import hashlib
import av
import pytest
from mvrep.media.synthetic import TONE_SR, frame_number, make_clip, numbered_frame, rising_tone, tone_second

@pytest.mark.parametrize('size', [(24, 40), (96, 160), (360, 640)])
def test_every_number_can_be_read(size):
    assert all(frame_number(numbered_frame(i, size=size))==i for i in range(1024))

def test_every_second_can_be_read_from_a_tenth():
    left, right = rising_tone(40)
    assert all(tone_second(left[i*TONE_SR:i*TONE_SR+TONE_SR//10], TONE_SR)==i for i in range(40))

@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'mov', 'ts', 'avi'])
def test_frames_survive_the_container(suffix, tmp_path):
    path = make_clip(tmp_path/f'a.{suffix}', seconds=2, fps=10)
    with av.open(str(path)) as container: frames = [o.to_ndarray(format='rgb24') for o in container.decode(video=0)]
    assert [frame_number(o) for o in frames]==list(range(20))

@pytest.mark.parametrize('modality', ['audio', 'video'])
def test_one_modality(modality, tmp_path):
    with av.open(str(make_clip(tmp_path/'a.mp4', modalities=(modality,)))) as container:
        assert [o.type for o in container.streams]==[modality]

def test_size_rate_and_tags(tmp_path):
    path = make_clip(tmp_path/'a.mp4', seconds=1, fps=10, size=(48, 64), tags={'title': 'A'})
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.height, video.width, video.frames, container.metadata['title'])==(48, 64, 10, 'A')

def test_same_bytes(tmp_path):
    assert len({hashlib.sha256(make_clip(tmp_path/'a.mp4', seconds=2).read_bytes()).digest() for _ in range(10)})==1

def test_too_many_frames(tmp_path):
    with pytest.raises(ValueError, match='0 to 1023'): make_clip(tmp_path/'a.mp4', seconds=41, size=(16, 20))
