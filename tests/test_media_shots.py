"Shots of videos: cuts at exact times, gradual changes, flashes, and files that cannot be used"
import random
import re
from fractions import Fraction
from pathlib import Path
import av
import numpy as np
import pytest
import torch
from media_files import make
from mvrep.core import MediaError
from mvrep.media.shots import METHODS, _timed_frames, _TransNet, find_shots, longest_shot
from mvrep.media.synthetic_shots import Edit, edited_frames, make_edited, random_edits

EDITS = [Edit('cut', 1.), Edit('cut', 2.4), Edit('cut', 4.)]

@pytest.fixture(scope='module')
def video(tmp_path_factory): return make_edited(tmp_path_factory.mktemp('shots')/'cuts.mp4', EDITS, seconds=5)

def starts(*args, **kwargs): return find_shots(*args, **kwargs).start.round(2).tolist()

@pytest.mark.parametrize('method', METHODS)
def test_hard_cuts_are_found_at_their_frame(video, method):
    shots = find_shots(video, method)
    assert shots.start.round(2).tolist()==[0, 1, 2.4, 4] and shots.end.round(2).tolist()==[1, 2.4, 4, 5]

def test_a_stretch_has_the_times_of_the_file(video):
    shots = find_shots(video, start=.2, length=2.8)
    assert shots.round(2).values.tolist()==[[.2, 1], [1, 2.4], [2.4, 3]]

def test_frames_of_a_stretch(video):
    found = [(round(a, 2), round(b, 2)) for a, b, _ in _timed_frames(video, 1., 1.2, (18, 32), 'rgb24')]
    assert found==[(1., 1.04), (1.04, 1.08), (1.08, 1.12), (1.12, 1.16), (1.16, 1.2)]
    *_, last = _timed_frames(video, .98, 1.05, (18, 32), 'rgb24')
    assert (round(last[0], 2), round(last[1], 2), last[2].shape)==(1.04, 1.05, (18, 32, 3))
    assert next(_timed_frames(video, .98, 1.05, (18, 32), 'rgb24'))[0]==.98 # shown since 0.96 s

def test_at_most_thirty_frames_a_second_are_looked_at(tmp_path):
    path = make(tmp_path/'a.mp4', seconds=.5, fps=50, audio='')
    starts = [round(a, 2) for a, _, _ in _timed_frames(path, 0., .5, (18, 32), 'rgb24')]
    assert starts==[.04*i for i in range(13)]

def test_the_network_finds_dissolves_and_ignores_flashes(tmp_path):
    edits = [Edit('dissolve', 1.5, .6), Edit('flash', 3.2, .12)]
    path = make_edited(tmp_path/'a.mp4', edits, seconds=4)
    found = starts(path, 'transnetv2')
    assert len(found)==2 and abs(found[1]-1.8)<.15

def test_a_transition_at_the_end_begins_no_shot(monkeypatch):
    "A shot begins behind the middle of a transition, which may be behind the last frame"
    class Network:
        def predict_frames(self, frames, quiet):
            assert frames.shape==(9, 27, 48, 3)
            return torch.tensor([0, .9, 0, .6, .6, .6, 0, .5, .9]), None
    monkeypatch.setattr('mvrep.media.shots._transnet', Network)
    detector = _TransNet('transnetv2')
    for i in range(9): detector.add(i/25, np.zeros((27, 48, 3), 'uint8'))
    assert detector.cuts()==[2/25, 5/25]

def test_loading_the_network_changes_no_setting():
    from mvrep.media.shots import _transnet
    _transnet.cache_clear()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.random(), torch.rand(1).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    _transnet()
    assert (random.random(), np.random.random(), torch.rand(1).item())==expected
    assert not torch.are_deterministic_algorithms_enabled()

def write_irregular(path, edits, seconds):
    "A video that shows only some of its frames, each at its own time"
    shown = [i for i in range(25*seconds) if i%7 in (0, 1, 3) or i%25==0]
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.height, stream.width = 72, 128
        stream.pix_fmt = 'yuv420p'
        for i, image in enumerate(edited_frames(edits, seconds)):
            if i not in shown: continue
            frame = av.VideoFrame.from_ndarray(image, 'rgb24')
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path

def test_times_at_a_variable_frame_rate(tmp_path):
    path = write_irregular(tmp_path/'a.mp4', [Edit('cut', 1), Edit('cut', 3)], seconds=4)
    assert starts(path, 'content')==starts(path, 'hash')==[0, 1, 3]

@pytest.mark.parametrize('seconds', [.04, .4])
def test_very_short_videos_are_one_shot(tmp_path, seconds):
    shots = find_shots(make(tmp_path/'a.mp4', seconds=seconds, audio=''))
    assert len(shots)==1 and longest_shot(shots)==(0, pytest.approx(seconds))

def test_the_last_image_stays_while_audio_goes_on(tmp_path):
    path = make(tmp_path/'a.mp4', seconds=1, audio_seconds=4)
    assert longest_shot(find_shots(path, 'content'))[1]==pytest.approx(4, abs=.1)
    assert len(find_shots(path, 'content', start=2., length=1))==1

def test_files_that_cannot_be_used(tmp_path, video):
    with pytest.raises(MediaError, match='only audio'): find_shots(make(tmp_path/'a.mka', codec=''))
    with pytest.raises(MediaError): find_shots(tmp_path/'gone.mp4')
    with pytest.raises(MediaError, match='no video at 9'): find_shots(video, start=9.)
    whole = make(tmp_path/'whole.mkv', seconds=6, options={'g': '10'})
    (tmp_path/'cut.mkv').write_bytes(whole.read_bytes()[:whole.stat().st_size//2])
    with pytest.raises(MediaError, match='breaks off'): find_shots(tmp_path/'cut.mkv')
    with pytest.raises(ValueError, match='want one of content'): find_shots(video, 'sift')
    with pytest.raises(ValueError, match='start'): find_shots(video, start=-1.)

def test_a_missing_package_is_named(video, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'scenedetect', None)
    with pytest.raises(ModuleNotFoundError, match=r'mvrep\[shots\]') as e: find_shots(video)
    assert e.value.name=='scenedetect-headless'

# Synthetic videos

def test_random_edits_keep_their_distance():
    edits = random_edits(60, seed=3)
    ends = [o.start+o.length for o in edits]
    assert {o.kind for o in edits}=={'cut', 'fade', 'dissolve', 'flash'} and edits==random_edits(60, seed=3)
    assert min(b.start-a for a, b in zip(ends, edits[1:]))>=1 and ends[-1]<60

def test_frames_of_each_edit():
    edits = [Edit('fade', 1, 1), Edit('flash', 3, .12), Edit('cut', 4)]
    frames = np.stack(list(edited_frames(edits, 5)))
    brightness = frames.mean((1, 2, 3))
    assert brightness[37:39].max()<10 and brightness[76]>200 and frames.shape==(125, 72, 128, 3)
    def change(i): return np.abs(frames[i].astype(int)-frames[i-1]).mean()
    assert change(100)>3*max(change(99), change(101))

@pytest.mark.parametrize('edit', [
    Edit('cut', 0), Edit('fade', 1), Edit('wipe', 1, 1), Edit('cut', 9), Edit('cut', 5), Edit('fade', 4, 1)])
def test_edits_that_cannot_be_made(tmp_path, edit):
    with pytest.raises(ValueError): make_edited(tmp_path/'a.mp4', [edit], seconds=5)

def test_no_file_imports_the_package_tests():
    "The wheel of TransNetV2 installs a package of that name, which a folder without `__init__.py` does not hide"
    root = Path(__file__).resolve().parents[1]
    files = [o for folder in ('tests', 'bench', 'scripts', 'docs') for o in (root/folder).rglob('*.py')]
    assert len(files)>50 and not (root/'tests'/'__init__.py').exists()
    assert not [o for o in files if re.search(r'^\s*(from|import) tests\b', o.read_text(), re.M)]
