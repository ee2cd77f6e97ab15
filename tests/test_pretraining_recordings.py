"Decoded recordings: what is left out and why, resuming, crops, batches without copies"
import os
from dataclasses import replace
import numpy as np
import pandas as pd
import pytest
from mvrep.core import MediaError
from mvrep.media.synthetic import make_clip
from mvrep.pretraining.augment import NO_CHANGES, AugmentConfig
from mvrep.media.clips import write_audio
from mvrep.pretraining.recordings import CropPlan, Crops, RecordingBatches, check_enough, decode_recordings
from mvrep.pretraining.recordings import validation_recordings
from mvrep.pretraining.stored_audio import decode_recording
from tones import SR, write_tones

@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp('clips')
    found = {f'a{i}': make_clip(folder/f'a{i}.mp4', 1.2+i/5, size=(32, 32)) for i in range(3)}
    found['mute'] = make_clip(folder/'mute.mp4', 1., modalities=('video',), size=(32, 32))
    found['short'] = make_clip(folder/'short.mp4', .3, size=(32, 32))
    found['silent'] = write_audio(folder/'silent.webm', np.zeros(48000, np.float32))
    found['broken'], found['gone'] = folder/'broken.mp4', folder/'gone.mp4'
    found['broken'].write_bytes(b'no video')
    return found

def table(clips, **columns):
    values = dict(path=[str(o) for o in clips.values()], artist=None, split='train')
    return pd.DataFrame(values|columns, index=list(clips))

def test_what_cannot_be_used_is_named(clips, tmp_path):
    found = decode_recordings(table(clips), tmp_path/'audio', SR, 4000, workers=0)
    assert found.video_ids.tolist()==['a0', 'a1', 'a2'] and (found.n_samples>=4000).all()
    reasons = dict(found.left_out)
    assert list(reasons)==['mute', 'short', 'silent', 'broken', 'gone']
    for name, text in dict(mute='no audio', short='less than the 0.50 s', silent='silent').items():
        assert text in reasons[name]
    assert not any('Error' in o for o in reasons.values())

def test_processes_find_the_same_and_decode_only_what_is_missing(clips, tmp_path):
    here = decode_recordings(table(clips), tmp_path/'audio', SR, 4000, workers=0)
    there = decode_recordings(table(clips), tmp_path/'other', SR, 4000, workers=1)
    assert here.left_out==there.left_out and here.fingerprint==there.fingerprint
    times = [os.stat(o).st_mtime_ns for o in here.files]
    os.remove(here.files[1])
    again = decode_recordings(table(clips), tmp_path/'audio', SR, 4000, workers=0)
    after = [os.stat(o).st_mtime_ns for o in again.files]
    assert again.files==here.files and (after[0], after[2])==(times[0], times[2]) and after[1]!=times[1]
    assert np.array_equal(np.load(there.files[1]), np.load(again.files[1]))

def test_another_rate_is_another_file(clips, tmp_path):
    some = {o: clips[o] for o in ('a0', 'a1')}
    slow, fast = (decode_recordings(table(some), tmp_path, sr, 1000, workers=0) for sr in (4000, 8000))
    assert not set(slow.files) & set(fast.files) and abs(fast.n_samples[0]/slow.n_samples[0]-2)<.01

def test_an_interrupted_write_leaves_nothing(clips, tmp_path, monkeypatch):
    def stop(*args): raise KeyboardInterrupt
    monkeypatch.setattr(np, 'save', stop)
    with pytest.raises(KeyboardInterrupt): decode_recording(clips['a0'], tmp_path/'x.npy', SR)
    assert not list(tmp_path.iterdir())

def test_silence_is_an_error(clips, tmp_path):
    with pytest.raises(MediaError, match='silent'): decode_recording(clips['silent'], tmp_path/'x.npy', SR)

def test_splits_are_by_artist_where_none_is_known(clips, tmp_path):
    some = {f'v{i}': clips[f'a{i%3}'] for i in range(6)}
    found = decode_recordings(table(some, split=None, artist=list('abcabc')), tmp_path, SR, 4000, workers=0)
    assert set(found.split)=={'train', 'valid', 'test'} and (found.split[:3]==found.split[3:]).all()

def test_copies_of_a_recording_stay_in_its_earliest_split(clips, tmp_path):
    some = {f'v{i}': clips[f'a{i%3}'] for i in range(6)}|dict(mute=clips['mute'], other=clips['a0'])
    split = ['test', 'train', 'train', 'valid', 'train', 'valid', 'train', 'valid']
    recording = ['x', 'x', 'y', 'x', 'y', None, 'z', 'z']
    found = decode_recordings(table(some, split=split, recording=recording), tmp_path, SR, 4000, workers=0)
    assert found.video_ids.tolist()==['v1', 'v2', 'v4', 'v5', 'other']
    assert found.left_out[0]==('v0', 'the same recording as v1, which is in the split train')
    assert [o[0] for o in found.left_out]==['v0', 'v3', 'mute'], 'a file that cannot be used keeps no copy out'
    assert (found.n_recordings('train'), found.n_recordings('valid'), found.n_recordings('test'))==(2, 2, 0)
    for group in set(found.groups): assert len(set(found.split[found.groups==group]))==1

def test_videos_without_a_split_are_named_if_others_have_one(clips, tmp_path):
    some = {o: clips[o] for o in ('a0', 'a1', 'a2')}
    found = decode_recordings(table(some, split=['train', None, 'valid']), tmp_path, SR, 4000, workers=0)
    assert found.video_ids.tolist()==['a0', 'a2']
    assert found.left_out==[('a1', 'it has no split, others have one: set it in the manifest')]

# Crops

def test_crops_do_not_depend_on_order_or_reader(tmp_path):
    recordings = write_tones(tmp_path)
    plan = CropPlan(2187, augment=AugmentConfig())
    first = Crops(recordings, plan)[np.array([3, 5]), 7]['audio']
    other = Crops(recordings, plan)
    other[np.array([1]), 7]
    assert np.array_equal(other[np.array([5, 3]), 7]['audio'].flip(0), first)
    assert not np.array_equal(other[np.array([3, 5]), 8]['audio'], first)
    assert not np.array_equal(Crops(recordings, replace(plan, seed=1))[np.array([3, 5]), 7]['audio'], first)

def test_crops_lie_within_the_middle(tmp_path):
    recordings = write_tones(tmp_path, seconds=4.)
    crops = Crops(recordings, CropPlan(2187, seconds=1., augment=NO_CHANGES))
    starts = np.array([crops.start(0, tick, 0) for tick in range(300)])
    assert starts.min()>=1.5*SR and starts.max()+2187<=2.5*SR and np.ptp(starts)>.8*(SR-2187)
    whole = Crops(recordings, CropPlan(2187, augment=NO_CHANGES))
    starts = np.array([whole.start(0, tick, 0) for tick in range(300)])
    assert starts.min()<.2*SR and starts.max()+2187>3.8*SR and starts.max()+2187<=4*SR

def test_a_crop_as_long_as_its_recording(tmp_path):
    recordings = write_tones(tmp_path, seconds=2187/SR)
    crops = Crops(recordings, CropPlan(2187, seconds=.1, augment=NO_CHANGES))
    assert crops.start(0, 0, 0)==0 and crops[np.array([0]), 0]['audio'].shape==(1, 2, 2187)

# Batches

def test_a_batch_never_holds_a_recording_twice(tmp_path):
    recordings = write_tones(tmp_path)
    recordings = replace(recordings, groups=np.arange(16)//2) # each recording has a copy
    batches = RecordingBatches(recordings, 4, passes=3)
    assert len(batches)==3*(6//4)
    for epoch in range(5):
        batches.set_epoch(epoch)
        for positions, tick in batches:
            assert len(set(recordings.groups[positions]))==len(positions)==4
            assert epoch*3<=tick<epoch*3+3 and set(recordings.split[positions])=={'train'}
    for positions, tick in validation_recordings(recordings, 8):
        assert len(set(recordings.groups[positions]))==len(positions)==2 and tick==-1

def test_processes_share_a_batch(tmp_path):
    recordings = write_tones(tmp_path)
    def batches(rank, n): return list(RecordingBatches(recordings, 8, rank=rank, world_size=n))
    for one, a, b in zip(batches(0, 1), batches(0, 2), batches(1, 2)):
        assert set(one[0])==set(a[0])|set(b[0]) and not set(a[0]) & set(b[0])

def test_too_few_recordings(tmp_path):
    check_enough(write_tones(tmp_path, 6, 2))
    with pytest.raises(ValueError, match='3 recordings to train on, 2 to validate'):
        check_enough(write_tones(tmp_path, 5, 2))
    few = replace(write_tones(tmp_path, 6, 1), left_out=[('x', 'it has no audio')])
    with pytest.raises(ValueError, match='1 left out, the first because of: it has no audio'): check_enough(few)
