"Videos with a long shot: found once, left out of an index with their reason, and by `add` too"
import json
import pandas as pd
import pytest
from commands import ask, mvrep
from media_files import make
from mvrep.core import MediaError
from mvrep.features.extraction import file_state
from mvrep.features.seconds import second_features
from mvrep.features.shots import StoredShots, find_long_shots
from mvrep.features.store import FeatureStore
from mvrep.index.index import Index
from mvrep.index.indexing import index_folder
from mvrep.media.synthetic_shots import Edit, make_edited

def shots(*starts, end): return pd.DataFrame(dict(start=starts, end=[*starts[1:], end]))

def corpus_of(*paths):
    return pd.DataFrame(dict(video_id=[o.stem for o in paths], path=[str(o) for o in paths]))

@pytest.fixture
def stored(tmp_path):
    "Three files whose shots are stored, so that no worker is needed"
    paths = [tmp_path/f'{o}.mp4' for o in ('quick', 'slow', 'song')]
    for o in paths: o.write_text(o.stem)
    store = FeatureStore(tmp_path/'ix')
    for path, found in zip(paths, (shots(0., 9., end=20.), shots(0., 5., 36., end=40.), None)):
        StoredShots(store).put(path.stem, found, file_state(path), 'hash, whole, seed 0')
    return store, corpus_of(*paths)

def test_videos_with_a_long_shot_are_named(stored):
    store, corpus = stored
    result = find_long_shots(corpus, store, 30, plan='whole')
    assert list(result.long.video_id)==['slow'] and result.found==0 and not len(result.failed)
    assert result.long.reason[0]=='one shot lasts 31.0 s, from 0:05 to 0:36: more than the 30 s of --max-shot'
    assert list(find_long_shots(corpus, store, 5, plan='whole').long.video_id)==['quick', 'slow']
    assert not len(find_long_shots(corpus, store, 31, plan='whole').long)

def test_shots_are_kept_with_the_state_of_the_file(stored):
    store, corpus = stored
    kept = StoredShots(store)
    kept.set_sources(dict(quick='moved', other='x'))
    assert kept.read().source['quick']=='moved' and len(kept.read())==3
    kept.remove(['quick', 'other'])
    assert list(kept.read().index)==['slow', 'song']
    result = find_long_shots(corpus.head(1), store, 30, plan='whole', workers=1, progress=False)
    assert list(result.failed.video_id)==['quick'] and not len(result.long) # it is read again, and cannot be opened

@pytest.mark.parametrize('max_shot,method', [(0, 'content'), (-3, 'content'), (float('nan'), 'content'), (30, 'cuts')])
def test_limits_that_cannot_be_used(tmp_path, max_shot, method):
    with pytest.raises(ValueError): find_long_shots(corpus_of(), FeatureStore(tmp_path), max_shot, method)

def test_reading_makes_no_table(tmp_path):
    kept = StoredShots(FeatureStore(tmp_path))
    kept.remove(['a'])
    kept.set_sources(dict(a='x'))
    assert not len(kept.read()) and not (tmp_path/'store'/'shots.lance').exists()

@pytest.fixture(scope='module')
def indexed(tmp_path_factory):
    "An index with a limit of shots, of a video, a still one, an audio-only file, and a text"
    folder = tmp_path_factory.mktemp('indexed')
    (folder/'videos').mkdir()
    make_edited(folder/'videos'/'cut.mp4', [Edit('cut', 1.5), Edit('cut', 3)], seconds=4.5)
    make_edited(folder/'videos'/'still.mp4', [], seconds=5)
    make(folder/'videos'/'song.mp4', codec='', seconds=5)
    (folder/'videos'/'text.mp4').write_text('words '*200)
    options = '--plan', 'whole', '--max-shot', 2, '--per-second', '--workers', 1
    return folder, ask('index', folder/'videos', '--out', folder/'ix', *options, code=3)

def test_an_index_is_without_videos_with_a_long_shot(indexed):
    folder, shown = indexed
    assert shown['dropped']==['still'] and (shown['done'], shown['failed'])==(2, 1)
    assert sorted(Index(folder/'ix').build.video_ids)==['cut', 'song']
    reason_of = {o['video_id']: o['reason'] for o in shown['errors']}
    assert reason_of['still'].startswith('one shot lasts 5.0 s, from 0:00 to 0:05: more than the 2 s')
    assert len(reason_of)==2

def test_every_second_of_what_was_indexed(indexed):
    folder, shown = indexed
    assert shown['seconds']==dict(done=1, skipped=0, without_video=['song'], errors=[])
    assert second_features(Index(folder/'ix'), 'cut').shape==(5, 1280) # the last is of half a second
    printed = mvrep('index', folder/'videos', '--out', folder/'ix', '--plan', 'whole', '--max-shot', 2, '--per-second',
                    code=3).text
    assert '1 video left out, with a shot over --max-shot: still' in printed
    assert 'every second of 0 videos encoded, 2 already there, 0 failed; 1 file without video: song' in printed

def test_the_limit_belongs_to_the_index(indexed):
    folder, _ = indexed
    assert Index(folder/'ix').config.max_shot==2
    with pytest.raises(ValueError, match='made with shots of at most 2 s by hash.*any duration'):
        index_folder(folder/'videos', folder/'ix', plan='whole', workers=1, progress=False)
    old = json.loads((folder/'ix'/'mvrep.json').read_text())
    assert old['max_shot']==2 and old['shots_by']=='hash'

def test_add_applies_the_limit_and_a_changed_file_is_judged_again(indexed):
    folder, _ = indexed
    make_edited(folder/'long.mp4', [], seconds=6)
    make_edited(folder/'videos'/'cut.mp4', [Edit('cut', 1)], seconds=6) # it was fine before
    shown = ask('add', folder/'ix', folder/'long.mp4', folder/'videos'/'cut.mp4')
    assert sorted(shown['dropped'])==['cut', 'long'] and shown['failed']==0
    index = Index(folder/'ix')
    assert list(index.build.video_ids)==['song'] and not StoredShots(index.store).read().loc['long'].starts.size>1

def test_strict_stops_at_the_first_file(tmp_path):
    (tmp_path/'a.mp4').write_text('words '*200)
    with pytest.raises(MediaError):
        index_folder(tmp_path, tmp_path/'ix', plan='whole', max_shot=2, workers=1, strict=True, progress=False)
