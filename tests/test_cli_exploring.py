"Commands to look at an index, the demo, and the check of the installation"
import pytest
from commands import ask, mvrep
from mvrep.explore.report import DEMO_NOTE
from mvrep.index.examples import tiny_index
from mvrep.index.index import create_index

@pytest.fixture(scope='module')
def folder(tmp_path_factory): return tiny_index(tmp_path_factory.mktemp('exploring')).folder

def test_explore_tells_how_to_open_a_map(folder):
    assert 'Explorer(Index(' in mvrep('explore', folder).stdout

def test_a_page_needs_one_of_two_options(folder, tmp_path, monkeypatch):
    pages = []
    monkeypatch.setattr('mvrep.explore.static_page.write_page', lambda index, out, by: pages.append(str(out)) or out)
    for options in (('--html',), ('--out', 'site'), ('--html', '--out', 'site')): mvrep('explore', folder, *options)
    assert pages==[f'{folder.stem}-map', 'site', 'site']

def test_an_index_without_videos_is_not_explored(tmp_path):
    index = create_index(tmp_path/'ix', ('a', 'v'), dict(audio='a', video='v'))
    for command in (('explore', index.folder), ('explore', index.folder, '--html'), ('app', index.folder)):
        assert 'has no videos: add some with `mvrep add`' in mvrep(*command, code=1).stderr

def test_explore_needs_a_known_column(folder, tmp_path):
    wrong = mvrep('explore', folder, '--html', '--out', tmp_path/'site', '--by', 'smell', code=2, width=300).stderr
    assert "Invalid value for '--by': 'smell': want one of audio, video, joint" in wrong
    assert 'efficientnet_lite0' in wrong and not (tmp_path/'site').exists()

def test_app_needs_an_index(tmp_path):
    refused = mvrep('app', tmp_path, '--port', 0, code=1).stderr
    assert 'holds no index' in refused and 'Traceback' not in refused

def test_doctor_finds_what_the_offline_preset_needs():
    answer = ask('doctor')
    assert answer['ready'] and answer['codecs']['h264'] and answer['weights']['musicnn_mtt']['found']
    assert {'python', 'cores', 'home', 'torch', 'numpy'}<=answer.keys()
    assert 'ready for --preset offline' in mvrep('doctor').stdout

def test_demo(tmp_path):
    answer = ask('demo', '--out', tmp_path/'demo', '--n', 12)
    assert (answer['done'], answer['failed'], answer['indexed'])==(12, 0, 12)
    assert [o['by'] for o in answer['scores']]==['audio', 'video', 'joint']
    assert all(0<o['chance']<1 and o['pool']==11 for o in answer['scores'])
    page = (tmp_path/'demo'/'report.html').read_text()
    assert page.count('data:video/mp4')==18 and DEMO_NOTE in page
    refused = mvrep('demo', '--out', tmp_path/'demo'/'index'/'inner', code=1).stderr
    assert 'is inside the index' in refused
