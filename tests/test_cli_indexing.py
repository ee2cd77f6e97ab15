"Commands that make and change an index"
import os
import shutil
from pathlib import Path
from unittest.mock import patch
import numpy as np
import pytest
from commands import ask, mvrep
from mvrep.corpus.demo import tiny_corpus
from mvrep.features.vectors import unit_norm
from mvrep.index.index import Index, create_index
from mvrep.index.examples import tiny_index

@pytest.fixture(scope='module')
def clips(): return sorted((tiny_corpus()/'videos').glob('*.mp4'))

@pytest.fixture(scope='module')
def videos(clips, tmp_path_factory):
    "Four videos, one of them under two names, an empty file and a text file"
    folder = tmp_path_factory.mktemp('videos')
    for clip in clips[:4]: shutil.copy(clip, folder)
    shutil.copy(clips[0], folder/'copy.mp4')
    (folder/'empty.mp4').touch()
    (folder/'notes.mp4').write_text('[bold]to do[/bold]')
    return folder

@pytest.fixture(scope='module')
def answers(videos):
    "What `index` answers with the bad files, and then without them; the index lies among the videos"
    first = ask('index', videos, '--out', videos/'ix', '--workers', 1, code=3)
    strict = mvrep('index', videos, '--out', videos/'ix', '--strict', code=1)
    for name in ('empty.mp4', 'notes.mp4'): (videos/name).unlink()
    for name in ('song.mp3', 'other.MP3', '.hidden.txt'): (videos/name).touch()
    return first, strict, mvrep('index', videos, '--out', videos/'ix', '--workers', 1, '--json')

def test_bad_files_are_listed_and_the_others_indexed(answers):
    first, strict, _ = answers
    assert (first['done'], first['failed'], first['indexed'])==(5, 2, 5)
    assert first['duplicates']==[['copy', 'v0000']]
    reasons = {Path(o['path']).name: o['reason'] for o in first['errors']}
    assert reasons.keys()=={'empty.mp4', 'notes.mp4'} and 'empty (0 bytes)' in reasons['empty.mp4']
    assert 'empty.mp4: empty' in strict.stderr and strict.stderr.count('\n')==1

def test_bad_rows_of_a_manifest_are_listed_like_bad_files(clips, tmp_path):
    table = tmp_path/'m.csv'
    table.write_text(f'video_id,path,title\na,{clips[0]},one\nb,b.mp4,two,\nc,https://example.org/c.mp4,three\n')
    strict = mvrep('index', table, '--out', tmp_path/'ix', '--strict', code=1)
    assert 'm.csv line 3: has 4 fields, the header 3' in strict.stderr and strict.stderr.count('\n')==1
    answer = ask('index', table, '--out', tmp_path/'ix', '--workers', 1, code=3)
    assert (answer['done'], answer['failed'], answer['indexed'])==(1, 2, 1)
    assert [Path(o['path']).name for o in answer['errors']]==['m.csv line 3', 'm.csv line 4']
    assert 'URLs are not supported' in answer['errors'][1]['reason']

def test_a_second_run_encodes_nothing(answers):
    second = answers[2]
    answer = second.json
    assert (answer['done'], answer['skipped'], answer['failed'], answer['errors'])==(0, 5, 0, [])
    assert second.stderr=='note: skipped 2 files that are not videos (.mp3)\n' # nothing of the index, nothing hidden

def test_a_new_file_is_a_query_and_then_a_video(videos, clips, answers):
    index, new = videos/'ix', clips[5]
    found = ask('similar', index, '--video', new, '-k', 2)['results']
    assert len(found)==2 and {o['modality'] for o in found[0]['reasons']}=={'audio', 'video'}
    added = mvrep('add', index, new, '--workers', 1).stdout
    assert '6 in ' in added or '6 videos in' in added
    assert added.strip().endswith(f'similar {index} --video {new.stem}') # the video that was added, not the first one
    neighbours = ask('similar', index, '--video', new, '-k', 9)['results']
    assert new.stem not in [o['video_id'] for o in neighbours]
    assert sorted(o['copies'] for o in neighbours)==[0, 0, 0, 1] # the file with two names is shown once
    summary = ask('info', index)
    assert [summary[o] for o in ('videos', 'failed', 'with_audio', 'with_video', 'model')]==[6, 0, 6, 6, None]
    assert summary['hubness']==dict(by='joint', seed=0) # six videos have no ten neighbours

def test_what_cannot_be_done_is_one_line(videos, answers, tmp_path):
    index, table = videos/'ix', videos/'torn.csv'
    table.write_text('path\na.mp4\n')
    no_network = dict(https_proxy='http://127.0.0.1:9', no_proxy='', TORCH_HOME=str(tmp_path))
    refused = {
        ('info', tmp_path): 'holds no index',
        ('index', videos/'nowhere.csv', '--out', index): 'no such file or folder',
        ('index', table, '--out', index): 'no column video_id',
        ('index', videos, '--out', index/'inner'): 'is inside the index',
        ('index', videos, '--out', videos/'other', '--preset', 'thesis'): 'as an encoder: r2plus1d_18@/path/to/',
        ('add', tmp_path, videos): 'holds no index',
        ('add', index, videos/'nowhere.mp4'): 'nowhere.mp4: no such file or folder'}
    for arguments, reason in refused.items():
        with patch.dict(os.environ, no_network): *before, line = mvrep(*arguments, code=1).stderr.splitlines()
        assert line.startswith('mvrep: ') and reason in line, line
        assert not before or before[0].startswith('Downloading'), before
    assert not (index/'inner').exists() and not (videos/'other').exists() and not (tmp_path/'store').exists()

def test_encoders_that_do_not_fit_are_a_wrong_option(videos, tmp_path):
    for encoders in ('smell,efficientnet_lite0', 'musicnn_mtt'):
        done = mvrep('index', videos, '--out', tmp_path/'ix', '--encoders', encoders, code=2)
        assert "'--encoders'" in done.stderr
    assert not (tmp_path/'ix').exists()

def test_removed_videos_come_back(tmp_path):
    folder = tiny_index(tmp_path).folder
    assert ask('remove', folder, 'v0003', 'v0004')==dict(removed=2, indexed=10)
    assert len(Index(folder))==10
    assert ask('rollback', folder)['in_use']==1 and len(Index(folder))==12

def test_new_metadata_is_undone_before_a_build(tmp_path):
    folder = tiny_index(tmp_path).folder
    mvrep('remove', folder, 'v0003')
    mvrep('rollback', folder)
    index = Index(folder)
    index.put_videos(index.videos.head(1).reset_index().assign(title='renamed')) # as `add` of a file that is known
    index.reload()
    assert ask('rollback', folder)['in_use']==1
    assert 'renamed' not in set(Index(folder).videos.title) and index.videos.title.iloc[0]=='renamed'
    builds = ask('rollback', folder, '--list')['builds']
    assert [(o['build'], o['videos'], o['in_use']) for o in builds]==[(1, 12, True), (2, 11, False)]

def test_listing_builds_changes_nothing(tmp_path):
    folder = tiny_index(tmp_path).folder
    mvrep('remove', folder, 'v0003')
    assert ask('rollback', folder, '--list')['in_use']==2 and len(Index(folder))==11

def test_what_an_index_does_not_have(tmp_path):
    folder = tiny_index(tmp_path).folder
    assert "no video 'nothing'" in mvrep('remove', folder, 'nothing', code=1).stderr
    assert 'no earlier build' in mvrep('rollback', folder, code=1).stderr
    assert 'no build 9' in mvrep('rollback', folder, '--to', 9, code=1).stderr

def clustered(d):
    "2,000 unit-norm embeddings around 20 centres"
    rng = np.random.default_rng(0)
    return unit_norm(rng.standard_normal((20, d))[np.arange(2000)%20]+.9*rng.standard_normal((2000, d)))

def test_a_large_index_is_prepared_for_approximate_search(tmp_path):
    index = create_index(tmp_path/'ix', ('a', 'v'), dict(audio='a', video='v'))
    index.put_embeddings([f'v{i:04}' for i in range(2000)], dict(audio=clustered(24), video=clustered(16)))
    answer = ask('tune', index.folder, '--recall', .9)
    assert answer['recall']>.8 and answer['low']<answer['recall']<=answer['high']
    assert [answer[o] for o in ('by', 'target', 'k', 'n_queries', 'weight')]==['joint', .9, 10, 100, .5]
    assert answer['cells']<=answer['n_cells'] and list(Index(index.folder).build.cells)==['joint']
    assert 'cells read' in mvrep('tune', index.folder, '--recall', .9, '--by', 'audio').stdout
    assert ask('info', index.folder)['approximate']==['audio', 'joint']

def test_a_small_index_is_searched_exactly(tmp_path):
    refused = mvrep('tune', tiny_index(tmp_path).folder, code=1).stderr
    assert refused.startswith('mvrep: ') and refused.count('\n')==1
