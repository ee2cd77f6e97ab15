"Files of an index that move, go, come back or were never there, with commands as a user gives them"
import os
import shutil
from functools import lru_cache
from pathlib import Path
import numpy as np
import pytest
from commands import ask, mvrep
from mvrep.core import MODALITIES, MediaError
from mvrep.corpus.tables import CorpusError
from mvrep.encoders.registry import load_encoder
from mvrep.index.files import is_gone, why_not_usable
from mvrep.index.index import Index
from mvrep.index.indexing import add_videos
from mvrep.index.removed import removed_videos
from mvrep.index.storage import build_numbers
from mvrep.media.synthetic import make_clip
from mvrep.media.workers import Failure

def in_this_process(work, jobs, n, timeout, prepare=None, args=()):
    "As `in_workers`, without processes"
    if prepare and jobs: prepare(*args)
    for i, job in enumerate(jobs):
        try: yield i, work(*job)
        except MediaError as e: yield i, Failure(e.reason)

load_once = lru_cache(load_encoder)

@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    for module in ('features.extraction', 'index.indexing'):
        monkeypatch.setattr(f'mvrep.{module}.load_encoder', load_once)
    for module in ('features.extraction', 'corpus.scan'):
        monkeypatch.setattr(f'mvrep.{module}.in_workers', in_this_process)

@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    "Six clips that all differ"
    folder = tmp_path_factory.mktemp('clips')
    for i, name in enumerate('abcdef'): make_clip(folder/f'{name}.mp4', seconds=4+i/2, tags=dict(title=name))
    return folder


@pytest.fixture
def place(clips, tmp_path, monkeypatch):
    "The current folder: `new` with six clips, and an index of the copies of three of them in `videos`"
    monkeypatch.chdir(tmp_path)
    shutil.copytree(clips, 'new')
    Path('videos').mkdir()
    for name in 'abc': shutil.copy2(f'new/{name}.mp4', 'videos')
    mvrep('index', 'videos', '--out', 'ix')
    return tmp_path

def index_again(*options, code=0): return ask('index', 'videos', '--out', 'ix', *options, code=code)

def ids(): return sorted(Index('ix').build.video_ids)

def builds(): return build_numbers(Path('ix/index'))

# The scale

def test_a_scale_fitted_on_one_video_is_fitted_again(clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('videos').mkdir()
    shutil.copy2(clips/'a.mp4', 'videos')
    mvrep('index', 'videos', '--out', 'ix')
    first = Index('ix').build
    assert all(first.has[m].all() and first.fitted_on[m]==1 for m in MODALITIES)
    added = mvrep('add', 'ix', *[clips/f'{o}.mp4' for o in 'bcde'])
    assert 'note: the scale of the features was fitted on 1 video: it is fitted on 5 videos now' in added.stderr
    build = Index('ix').build
    assert all(build.has[m].all() and build.fitted_on[m]==5 for m in MODALITIES)
    assert not np.allclose(build.embeddings['video'][0], first.embeddings['video'][0])
    found = Index('ix').search(build.query('a'))
    assert len(found)==5 and found.score.notna().all() and found.video.nunique()>3
    assert not mvrep('add', 'ix', clips/'f.mp4').stderr # five are enough for the sixth
    after = Index('ix').build
    assert after.fitted_on['audio']==5 and np.array_equal(after.embeddings['video'][:5], build.embeddings['video'])

# Nothing changes

def test_runs_that_change_nothing_make_no_build(place):
    for _ in range(3): assert index_again()['done']==0
    assert builds()==[1]
    os.utime('videos/a.mp4') # a new modification time, the same content
    assert index_again()['done']==0
    mvrep('remove', 'ix', 'a')
    n = len(builds())
    for _ in range(2): index_again()
    assert len(builds())==n and ask('rollback', 'ix')['in_use']==builds()[-2]

# Files that move, go and come back

def test_a_file_that_moved_keeps_its_row(place):
    before = Index('ix').build
    os.makedirs('videos/sub/deep')
    shutil.move('videos/a.mp4', 'videos/sub/deep/a.mp4')
    os.rename('videos/b.mp4', 'videos/other name.mp4')
    os.utime('videos/other name.mp4') # as a copy to another disk
    shutil.copy2('videos/c.mp4', 'videos/copy of c.mp4') # a copy is not a move
    answer = index_again()
    assert answer['moved']==['a', 'b'] and answer['done']==1 and answer['without_file']==[]
    assert ids()==['a', 'b', 'c', 'copy-of-c'] and answer['duplicates']==[['c', 'copy-of-c']]
    index = Index('ix')
    assert index.videos.path['a']==str(place/'videos/sub/deep/a.mp4') and index.videos.title['b']=='b'
    assert set(before.video_ids)<=set(index.build.video_ids)
    os.rename('videos', 'videos2') # the whole folder
    answer = ask('index', 'videos2', '--out', 'ix')
    assert len(answer['moved'])==4 and answer['done']==0 and len(ids())==4

def test_a_new_file_is_not_a_moved_one(place):
    "The content counts, not the name"
    os.remove('videos/a.mp4')
    os.mkdir('videos/sub')
    shutil.copy2('new/d.mp4', 'videos/sub/a.mp4')
    answer = index_again()
    assert answer['moved']==[] and answer['without_file']==['a'] and ids()==['a', 'b', 'c', 'sub-a']
    data = bytearray(Path('videos/b.mp4').read_bytes())
    data[len(data)//2] ^= 1 # the same size, the same beginning and end
    Path('videos/b2.mp4').write_bytes(data)
    os.remove('videos/b.mp4')
    answer = mvrep('index', 'videos', '--out', 'ix', '--json', code=None)
    assert answer.json['moved']==[]

def test_deleted_files_are_reported_and_pruned_on_request(place):
    mvrep('add', 'ix', 'new/d.mp4')
    os.remove('videos/a.mp4')
    os.remove('new/d.mp4')
    shown = mvrep('index', 'videos', '--out', 'ix').stdout
    assert '2 videos with no file any more: a, d; to remove such videos: --prune' in shown
    assert ids()==['a', 'b', 'c', 'd'] and ask('info', 'ix')['without_file']==2
    answer = index_again('--prune')
    assert answer['pruned']==['a'] and answer['without_file']==['d'] # only below the folder that was indexed
    assert ids()==['b', 'c', 'd']
    shutil.copy2('new/a.mp4', 'videos')
    assert index_again()['done']==1 and ids()==['a', 'b', 'c', 'd'] # it was not removed for good

def test_a_removal_lasts_until_it_is_asked_for(place):
    shutil.copy2('videos/a.mp4', 'videos/twin.mp4')
    index_again()
    removed = mvrep('remove', 'ix', 'a', 'b')
    assert 'note: 1 copy stays in the index: twin' in removed.stderr
    os.rename('videos/b.mp4', 'videos/renamed.mp4')
    shutil.copy('new/b.mp4', 'videos/copied.mp4')
    answer = index_again()
    assert {(o['video_id'], Path(o['path']).name) for o in answer['kept_away']}=={
        ('a', 'a.mp4'), ('b', 'renamed.mp4'), ('b', 'copied.mp4')}
    assert ids()==['c', 'twin'] and ask('info', 'ix')['removed']==2
    assert 'removed before, which stay away: a, b' in mvrep('index', 'videos', '--out', 'ix').stdout
    added = ask('add', 'ix', 'videos/renamed.mp4', 'new/d.mp4', code=3)
    assert 'removed before' in added['errors'][0]['reason'] and ids()==['c', 'd', 'twin']
    Path('rows.csv').write_text('video_id,path\na,new/e.mp4\nx,new/a.mp4\n')
    assert [o['video_id'] for o in ask('add', 'ix', 'rows.csv', code=3)['errors']]
    assert ids()==['c', 'd', 'twin']
    assert {o['video_id'] for o in ask('remove', 'ix', '--list')['removed']}=={'a', 'b'}
    assert "did you mean" in mvrep('remove', 'ix', 'aa', '--undo', code=1).stderr
    mvrep('remove', 'ix', 'a', '--undo')
    index_again()
    assert ids()==['a', 'c', 'd', 'twin']

def test_a_rollback_of_a_removal_tells_what_came_back(place):
    mvrep('remove', 'ix', 'a')
    back = mvrep('rollback', 'ix')
    assert 'note: 1 removed video came back with this build: a' in back.stderr and ids()==['a', 'b', 'c']
    assert not len(removed_videos(Index('ix').store.db))
    mvrep('rollback', 'ix', '--to', 2)
    assert index_again()['kept_away'] and ids()==['b', 'c']

# Arguments of `add`

def test_one_bad_argument_costs_only_itself(place):
    os.mkdir('empty')
    os.symlink('nowhere.mp4', 'link.mp4')
    os.mkfifo('pipe.mp4')
    Path('notes.mp4').write_text('to do')
    Path('bad.csv').write_text('path\na.mp4\n')
    shutil.copy2('videos/a.mp4', 'twin.mp4')
    reasons = {
        'new/dd.mp4': 'no such file or folder; did you mean d.mp4', 'empty': 'no videos in it', 'link.mp4': 'a link to',
        'https://example.org/v.mp4': 'URLs are not supported', 'pipe.mp4': 'neither a file nor a folder',
        '': 'an empty name', 'ix': 'an index',
        'notes.mp4': 'text, not media', 'bad.csv': 'no column video_id', 'new/d.mp4/x.mp4': 'no such file',
        'x'*300: 'name too long', 'gone/far/x.mp4': 'no such file or folder: check the path'}
    answer = ask('add', 'ix', 'new/d.mp4', *reasons, 'new/e.mp4', 'new/d.mp4', './new/d.mp4', 'twin.mp4', code=3)
    assert (answer['done'], answer['failed'], answer['indexed'])==(3, len(reasons), 6)
    assert ids()==['a', 'b', 'c', 'd', 'e', 'twin'] and ['a', 'twin'] in answer['duplicates']
    errors = {o['path']: o['reason'] for o in answer['errors']}
    for path, reason in reasons.items():
        found = [o for p, o in errors.items() if p in (path, str(place/path))]
        assert len(found)==1 and reason.lower() in found[0].lower(), (path, errors)
    assert ask('info', 'ix')['failed']==1 # typing errors are not remembered

def test_strict_stops_before_anything_is_added(place):
    refused = mvrep('add', 'ix', 'new/d.mp4', 'new/nothing.mp4', '--strict', code=1).stderr
    assert 'new/nothing.mp4: no such file or folder' in refused and ids()==['a', 'b', 'c'] and builds()==[1]

def test_nothing_to_add(place):
    with pytest.raises(CorpusError, match='nothing to add: 2 problems'): add_videos('ix', ['x.mp4', 'http://y'])
    assert mvrep('add', 'ix', 'x.mp4', code=1).stderr.startswith('mvrep: x.mp4: no such file or folder')
    assert 'URLs are not supported' in mvrep('index', 'https://example.org/videos', '--out', 'other', code=1).stderr

def test_folders_that_cannot_be_read(tmp_path, monkeypatch):
    def refused(path): raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr('os.stat', refused)
    assert why_not_usable('x.mp4')=='cannot be read (Permission denied): check the name and the permissions'
    assert not is_gone('x.mp4') # such a file must not be pruned
