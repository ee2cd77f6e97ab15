"Indexing under hard conditions: bad files, odd names, kills at random moments, two writers, a full disk"
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
import pytest
from commands import ask, have_ended, mvrep, start, wait_until, workers_of
from indexes import Content, assert_same, content_of, is_same_cell, make_videos, n_committed
from media_files import SHORT_GOP, VARIABLE, bad_files, make
from mvrep.core import MODALITIES
from mvrep.corpus.demo import tiny_corpus
from mvrep.index.index import Index

N_KILLS = int(os.environ.get('MVREP_KILLS', 3))

# Good and bad files of every kind

READABLE = ('plain', 'audio-only', 'mute', 'frame', 'short', 'vfr', 'turned', 'odd', 'two')
ODD_NAMES = ('Ünïcode – 音楽 🎬.mp4', 'x'*251+'.mp4', "-y 'o\"%.mp4")
REASONS = { # {file: part of the reason why it cannot be used}
    'empty.mp4': 'empty', 'cut in front.mp4': 'breaks off', 'cut at the end.mp4': 'moov', 'text.mp4': 'text',
    'pipe.mp4': 'pipe', 'gone.mp4': 'no such file'}

def make_readable(folder):
    "Files that can be used, although some are unusual"
    make(folder/'plain.mp4', options=SHORT_GOP)
    make(folder/'audio only.mp4', codec='')
    make(folder/'mute.mp4', audio='')
    make(folder/'frame.mp4', times=[0.], audio='')
    make(folder/'short.mp4', seconds=.3)
    make(folder/'vfr.mp4', **VARIABLE)
    make(folder/'turned.mp4', rotation=90, options=SHORT_GOP)
    make(folder/'odd.mp4', size=(61, 151), pix_fmt='yuv444p', options=SHORT_GOP)
    make(folder/'two.mp4', n_audio=2, options=SHORT_GOP)
    for name in ODD_NAMES: shutil.copy(folder/'plain.mp4', folder/name)

def make_truncated(path, **container_options):
    "The first half of a video"
    make(path, seconds=8, options=SHORT_GOP, container_options=container_options)
    path.write_bytes(path.read_bytes()[:path.stat().st_size//2])

@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    "A folder with all of these, and a link to itself"
    folder = tmp_path_factory.mktemp('videos')
    bad_files(folder)
    (folder/'good.mp4').unlink()
    make_readable(folder)
    make_truncated(folder/'cut in front.mp4', movflags='faststart')
    make_truncated(folder/'cut at the end.mp4')
    (folder/'up').symlink_to(folder)
    return folder

@dataclass(frozen=True)
class Indexed:
    "The index of these files"
    folder:Path # Of the index
    answer:dict # What the command printed

@pytest.fixture(scope='module')
def indexed(videos, tmp_path_factory):
    folder = tmp_path_factory.mktemp('index')/'ix'
    return Indexed(folder, ask('index', videos, '--out', folder, '--workers', 1, code=3))

def test_every_readable_file_is_indexed_and_every_other_has_a_reason(videos, indexed):
    answer, build = indexed.answer, Index(indexed.folder).build
    reasons = {Path(o['path']).name: o['reason'] for o in answer['errors']}
    n_files = sum(not o.is_dir() for o in videos.glob('*.mp4'))
    assert set(READABLE)<=set(build.video_ids)
    assert len(build)==answer['indexed']==answer['done']==len(READABLE)+len(ODD_NAMES)
    assert len(reasons)==answer['failed']==n_files-len(build) and all(len(o)>20 for o in reasons.values())
    for name, part in REASONS.items(): assert part in reasons[name], (name, reasons[name])
    has = {m: dict(zip(build.video_ids, build.has[m])) for m in MODALITIES}
    assert not has['audio']['mute'] and has['video']['mute']
    assert has['audio']['audio-only'] and not has['video']['audio-only']
    assert has['audio']['two'] and has['video']['two']

def test_odd_ids_are_found(indexed):
    odd = [o for o in Index(indexed.folder).build.video_ids if o[0] in '-Üx' and o!='x']
    assert len(odd)==len(ODD_NAMES)
    for video_id in odd:
        answer = ask('similar', indexed.folder, '--video', video_id, '-k', 2)
        assert answer['video']==video_id and len(answer['results'])==2 and answer['results'][0]['score']>.999

def test_conditions_on_ids_and_missing_titles(videos, indexed):
    where = "video_id NOT IN ('plain', 'two') AND title IS NULL"
    found = ask('similar', indexed.folder, '--video', videos/'two.mp4', '-k', 3, '--where', where)['results']
    assert len(found)==3 and not {'plain', 'two'} & {o['video_id'] for o in found}

def test_a_missing_modality_and_a_wrong_condition_are_refused(videos, indexed):
    refused = mvrep('similar', indexed.folder, '--video', videos/'mute.mp4', '--by', 'audio', '--json', code=1)
    assert 'no audio' in refused.stderr and 'no audio' in refused.json['error']
    assert 'cannot filter' in mvrep('similar', indexed.folder, '--video', 'plain', '--where', "title = 'o'",
                                    '--where', 'nonsense', code=1).stderr

def test_a_file_of_the_same_name_in_another_folder_is_another_video(videos, indexed, tmp_path):
    shutil.copytree(indexed.folder, tmp_path/'ix')
    before = content_of(tmp_path/'ix')
    same_name, late = make(tmp_path/'plain.mp4', seconds=2, options=SHORT_GOP), tmp_path/'late.mp4'
    late.touch()
    assert ask('add', tmp_path/'ix', same_name, late, '--workers', 1, code=3)['done']==1
    make(late, seconds=1, options=SHORT_GOP)
    answer = ask('add', tmp_path/'ix', same_name, late, '--workers', 1)
    assert (answer['done'], answer['skipped'], answer['errors'])==(1, 1, []) # the old error of `late` is gone
    index = Index(tmp_path/'ix')
    paths = set(index.videos.path[index.videos.path.str.endswith('/plain.mp4')])
    assert paths=={str(videos/'plain.mp4'), str(same_name)}
    assert len(index)==len(before.arrays['video_ids'])+2
    after = index.store.segments.to_pandas().set_index('segment_id').musicnn_mtt
    for row in before.tables['segments'].itertuples():
        assert is_same_cell(row.musicnn_mtt, after[row.segment_id]), row.segment_id

# Interruptions

@dataclass(frozen=True)
class Undisturbed:
    "Videos, and their index made in one go"
    videos:Path # Five videos; the second takes longer than the others
    content:Content # Of the index

@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp('undisturbed')
    videos = make_videos(folder/'videos', 5)
    mvrep('index', videos, '--out', folder/'ix', '--workers', 1)
    return Undisturbed(videos, content_of(folder/'ix'))

def interrupt(videos, folder):
    "Start indexing, see that another writer is refused meanwhile, and press Ctrl-C"
    process = start('index', videos, '--out', folder, '--workers', 2)
    assert wait_until(lambda: (folder/'mvrep.json').exists() and workers_of(process), process)
    os.kill(process.pid, signal.SIGSTOP) # it must not be done before the next command begins
    assert 'being written by another process' in mvrep('remove', folder, 'v0', code=1).stderr
    workers = workers_of(process)
    os.killpg(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode==130 and have_ended(workers), errors
    assert 'Traceback' not in errors and errors.count('interrupted')==1, errors

def kill(videos, folder, moment, n_segments, delay):
    "Start indexing, and kill it a moment after `n_segments` are committed"
    process = start('index', videos, '--out', folder, '--workers', 1)
    def is_ready(): return n_committed(folder)>=n_segments and (moment==0 or workers_of(process))
    if wait_until(is_ready, process): time.sleep(delay)
    workers = workers_of(process) if process.poll() is None else []
    process.kill()
    process.communicate()
    assert have_ended(workers), 'workers outlive the command'

def test_interrupted_and_killed_at_random_moments(undisturbed, tmp_path):
    rng, folder = random.Random(0), tmp_path/'ix'
    interrupt(undisturbed.videos, folder)
    n_all = len(undisturbed.content.tables['segments'])
    for moment in range(N_KILLS):
        kill(undisturbed.videos, folder, moment, rng.randrange(n_committed(folder), n_all+1), rng.random())
    answer = ask('index', undisturbed.videos, '--out', folder, '--workers', 1)
    assert answer['done']+answer['skipped']==answer['indexed']==5
    assert_same(content_of(folder), undisturbed.content)

def test_a_killed_worker_costs_only_its_video(undisturbed, tmp_path):
    process = start('index', undisturbed.videos, '--out', tmp_path/'ix', '--workers', 1)
    assert wait_until(lambda: n_committed(tmp_path/'ix')>0, process)
    for worker in workers_of(process): worker.kill()
    _, errors = process.communicate(timeout=600)
    assert process.returncode==3 and 'Traceback' not in errors, errors
    index = Index(tmp_path/'ix')
    failed = index.store.errors()
    assert set(index.build.video_ids)==set(undisturbed.content.arrays['video_ids'])-{'v1'}
    assert list(failed.video_id)==['v1'] and 'its worker was killed' in failed.reason[0]
    mvrep('index', undisturbed.videos, '--out', tmp_path/'ix', '--workers', 1)
    assert_same(content_of(tmp_path/'ix'), undisturbed.content)

def test_a_full_disk(undisturbed, tmp_path):
    def mount(*args): return subprocess.run(['mount', *args, tmp_path], capture_output=True).returncode==0
    if not mount('-t', 'tmpfs', '-o', 'size=250k', 'tmpfs'): pytest.skip('this user may not mount a small disk')
    try:
        full = mvrep('index', undisturbed.videos, '--out', tmp_path/'ix', '--workers', 1, code=1)
        assert 'the disk is full' in full.stderr
        assert ask('info', tmp_path/'ix')['videos']==0
        assert mount('-o', 'remount,size=9m')
        mvrep('index', undisturbed.videos, '--out', tmp_path/'ix', '--workers', 1)
        assert_same(content_of(tmp_path/'ix'), undisturbed.content)
    finally: subprocess.run(['umount', '-l', tmp_path])

# From folders that are labels to a probe

def test_names_of_folders_become_labels(tmp_path):
    emotions = ['Fear', 'Sad', 'Très 悲']
    for i, clip in enumerate(sorted((tiny_corpus()/'videos').glob('*.mp4'))):
        folder = tmp_path/'clips'/(emotions[i%3] if i<11 else 'Tension')
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, folder)
    (tmp_path/'clips'/'Sad'/'broken.mp4').write_bytes(bytes(5000))
    answer = ask('index', tmp_path/'clips', '--out', tmp_path/'ix', '--label-from-folder', 'emotion', code=3)
    assert (answer['indexed'], answer['failed'])==(12, 1)
    report = ask('probe', tmp_path/'ix', '--target', 'emotion', '--seeds', 1, '--folds', 3)
    assert report['n_per_class']=={'Fear': 4, 'Sad': 4, 'Très 悲': 3}
    assert [o['label'] for o in report['skipped']]==['Tension']
    assert [o['by'] for o in report['results']]==['audio', 'video', 'concatenated', 'both']
    for result in report['results']:
        assert result['n']==11
        for name in ('accuracy', 'macro_f1', 'auc'):
            assert 0<=result[name]<=1 and 0<result[f'chance_{name}']<1
