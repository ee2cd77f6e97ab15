"Features of every second: their values, how they are stored, and files that cannot be used"
import os
import numpy as np
import pandas as pd
import pytest
from media_files import make
from tiny_models import clip as tiny_clip, save, videomae
from mvrep.core import MediaError
from mvrep.features.extraction import file_state
from mvrep.features.seconds import StoredSeconds, VideoSeconds, encode_seconds, extract_seconds, image_encoder
from mvrep.features.seconds import missing_seconds, second_features, second_span, seconds_made_by
from mvrep.features.store import FeatureStore
from mvrep.index.checking import check_index
from mvrep.index.examples import tiny_index
from mvrep.media.read import read_frames
from mvrep.media.synthetic import make_clip

@pytest.fixture(scope='module')
def encoder(): return image_encoder()

def test_a_second_is_the_mean_of_its_frames(encoder, tmp_path):
    clip = make_clip(tmp_path/'clip.mp4', seconds=3)
    seconds = encode_seconds(clip, encoder)
    frames = read_frames(clip, fps=5, size=encoder.net.size)
    by_frame = np.stack([encoder(frames[i:i+1]) for i in range(15)]).reshape(3, 5, -1)
    np.testing.assert_allclose(seconds.feats, by_frame.mean(1), atol=2e-4)

@pytest.mark.parametrize('duration,plan,start,length', [
    (240, 'middle', 60, 120), (100, 'middle', 5, 90), (7.5, 'middle', 0, 7.5), (100.5, 'whole', 0, 100.5)])
def test_spans(duration, plan, start, length):
    span = second_span(duration, plan)
    assert (span.start, span.length)==(start, length)

def test_other_plans_are_refused():
    with pytest.raises(ValueError, match='stratified.*want middle or whole'): second_span(240, 'stratified')

@pytest.mark.parametrize('form,n', [
    (dict(seconds=.04), 1), # one frame
    (dict(seconds=.3), 1),
    (dict(seconds=2.3), 2),
    (dict(seconds=2.7), 3),
    (dict(times=(0, .1, .15, 1.3, 2.9, 2.95), seconds=3), 3), # variable frame rate
    (dict(seconds=2, audio_seconds=4), 2)]) # audio goes on
def test_lengths(encoder, tmp_path, form, n):
    path = make(tmp_path/'clip.mp4', **form)
    feats = encode_seconds(path, encoder, 'whole').feats
    assert feats.shape==(n, encoder.dim) and np.isfinite(feats).all()

def test_files_without_video_and_files_that_are_cut_off(encoder, tmp_path):
    assert encode_seconds(make(tmp_path/'song.mka', codec=''), encoder) is None
    whole = make(tmp_path/'whole.mkv', seconds=6, options={'g': '10'})
    cut = tmp_path/'cut.mkv'
    cut.write_bytes(whole.read_bytes()[:whole.stat().st_size//2])
    with pytest.raises(MediaError, match='breaks off'): encode_seconds(cut, encoder)
    with pytest.raises(MediaError): encode_seconds(tmp_path/'gone.mp4', encoder)

def some(value, n=3): return VideoSeconds(.5, np.full((n, 2), value, np.float32))

def put(stored, *video_ids, value=1., source='first'):
    for o in video_ids: stored.put(o, 'net', some(value), source, 'made')

def test_the_last_of_several_versions_is_read(tmp_path):
    store = FeatureStore(tmp_path)
    stored = StoredSeconds(store)
    put(stored, 'a', 'b')
    put(stored, 'a', value=2., source='second')
    assert stored.done('net').source.to_dict()==dict(a='second', b='first')
    stored.merge()
    put(stored, 'a', value=3., source='third')
    assert stored.read('net', ['a'])['a'].feats.tolist()==[[3., 3.]]*3
    assert second_features(store, 'b', 'net').shape==(3, 2) and stored.columns()==['net']
    assert StoredSeconds(FeatureStore(tmp_path)).read('net', ['a'])['a'].feats[0, 0]==3. # another process

def test_work_of_a_killed_process_is_merged(tmp_path):
    put(StoredSeconds(FeatureStore(tmp_path)), 'a', 'b')
    store = FeatureStore(tmp_path)
    put(StoredSeconds(store), 'c')
    assert store.db.open_table('seconds').count_rows()==2
    assert sorted(StoredSeconds(store).read('net', ['a', 'b', 'c', 'd']))==['a', 'b', 'c']

def test_many_videos_are_merged_into_few_files(tmp_path, monkeypatch):
    monkeypatch.setattr('mvrep.features.seconds.MERGE_VIDEOS', 4)
    store = FeatureStore(tmp_path)
    stored = StoredSeconds(store)
    put(stored, *'abcdefghi')
    assert store.db.open_table('seconds').stats()['fragment_stats']['num_fragments']==2
    assert len(stored.done('net'))==9

def test_encoders_are_kept_apart(tmp_path):
    stored = StoredSeconds(FeatureStore(tmp_path))
    put(stored, 'a')
    stored.put('a', 'other', some(5., n=1), 'first', 'made')
    assert stored.read('net', ['a'])['a'].feats.shape==(3, 2) and stored.read('other', ['a'])['a'].feats.shape==(1, 2)
    stored.set_sources(dict(a='moved', unknown='x'))
    assert list(stored.done('net').source)==list(stored.done('other').source)==['moved']
    stored.remove(['a'])
    assert not stored.columns()

def test_reading_makes_no_table(tmp_path):
    store = FeatureStore(tmp_path)
    stored = StoredSeconds(store)
    stored.remove(['a'])
    stored.set_sources(dict(a='x'))
    with pytest.raises(ValueError, match='encoders with seconds: none'): second_features(store, 'a')
    assert not len(stored.done('net')) and not (tmp_path/'store'/'seconds.lance').exists()

def test_damage_is_noticed(tmp_path):
    stored = StoredSeconds(FeatureStore(tmp_path))
    put(stored, 'a')
    stored.merge()
    data = next((tmp_path/'store'/'seconds.lance'/'data').iterdir())
    content = bytearray(data.read_bytes())
    content[10] ^= 1
    data.write_bytes(content)
    with pytest.raises(OSError, match='seconds.*was changed'): second_features(FeatureStore(tmp_path), 'a', 'net')

def test_what_is_missing(tmp_path, encoder):
    clip = make_clip(tmp_path/'clip.mp4', seconds=1)
    corpus = pd.DataFrame(dict(video_id=['a', 'b'], path=[str(clip), str(clip)]))
    store, made_by = FeatureStore(tmp_path/'ix'), seconds_made_by(encoder)
    StoredSeconds(store).put('a', encoder.column, some(1.), file_state(clip), made_by)
    def missing(made_by): return [o[0] for o in missing_seconds(corpus, store, encoder.column, made_by)]
    assert missing(made_by)==['b'] and missing(seconds_made_by(encoder, fps=2))==['a', 'b']
    os.utime(clip, (1, 1))
    assert missing(made_by)==['a', 'b']

def test_a_file_that_was_repaired_loses_its_error_and_no_other(tmp_path):
    paths = {o: str(tmp_path/f'{o}.mp4') for o in ('gone', 'other', 'repaired')}
    corpus = pd.DataFrame(dict(video_id=list(paths), path=list(paths.values())))
    store = FeatureStore(tmp_path/'ix')
    store.put_errors([('other', paths['other'], 'an error of another command'),
                      ('repaired', paths['repaired'], 'features of every second: text, not media')])
    for o in ('other', 'repaired'): make_clip(paths[o], seconds=1)
    report = extract_seconds(corpus, store, workers=1, progress=False)
    assert (report.done, list(report.errors.video_id))==(2, ['gone'])
    assert report.errors.reason[0].startswith('features of every second: no such file')
    assert list(store.errors().video_id)==['gone', 'other']

def test_seconds_of_an_index_follow_their_files(tmp_path, encoder):
    index = tiny_index(tmp_path)
    paths = index.videos.path
    stored, made_by = StoredSeconds(index.store), seconds_made_by(encoder)
    for o in paths.index[:2]: stored.put(o, encoder.column, some(1.), file_state(paths[o]), made_by)
    stored.merge()
    n_files = check_index(index.folder).files
    index.remove([paths.index[0]])
    assert list(stored.done(encoder.column).index)==[paths.index[1]] and n_files>0
    with pytest.raises(ValueError, match='no seconds of'): second_features(index, paths.index[0])

def test_all_videos_in_one_file(tmp_path):
    store = FeatureStore(tmp_path)
    stored = StoredSeconds(store)
    put(stored, 'b', value=2.)
    put(stored, 'a')
    stored.put('song', 'net', None, 'first', 'made')
    stored.put('a', 'other', some(7.), 'first', 'made')
    found = stored.matrix('net')
    assert np.load(found.path, mmap_mode='r').tolist()==[[1., 1.]]*3+[[2., 2.]]*3
    assert found.videos['first'].to_dict()==dict(a=0, b=3, song=6) and found.videos.n_seconds['song']==0
    assert set(found.videos.start[['a', 'b']])=={.5}
    written = found.path.stat().st_mtime_ns
    assert stored.matrix('net').path.stat().st_mtime_ns==written
    put(stored, 'a', value=3., source='second')
    newer = stored.matrix('net')
    assert np.load(newer.path)[0, 0]==3. and not found.path.exists() # the older version is removed
    newer.path.write_bytes(newer.path.read_bytes()[:-1]+b'x')
    assert np.load(StoredSeconds(FeatureStore(tmp_path)).matrix('net').path)[-1, -1]==2. # written again
    with pytest.raises(ValueError, match='no seconds by elsewhere'): stored.matrix('elsewhere')

def test_towers_of_every_family_encode_seconds(tmp_path):
    from mvrep.encoders.open_clip import tiny_open_clip
    clip = make_clip(tmp_path/'clip.mp4', seconds=2)
    (tmp_path/'open_clip').mkdir()
    tiny_open_clip(tmp_path/'open_clip')
    for spec in (f'hf:{save(tiny_clip, tmp_path/"clip")}', f'open_clip:{tmp_path/"open_clip"}'):
        tower = image_encoder(spec)
        feats = encode_seconds(clip, tower).feats
        assert feats.shape==(2, tower.dim) and feats.std()>0
    with pytest.raises(ValueError, match='encodes motion'):
        image_encoder(f'hf:{save(videomae, tmp_path/"motion")}')
