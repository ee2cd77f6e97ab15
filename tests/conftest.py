"""Fixtures of all tests. Caches and generated corpora of a run live in one temporary folder, shared by its workers."""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
import pytest

root = Path(__file__).resolve().parents[1]

def pytest_configure(config):
    if hasattr(config, 'workerinput'): return # a worker of pytest-xdist uses the folder of the main process
    config.mvrep_home = tempfile.mkdtemp(prefix='mvrep-test-')
    os.environ['MVREP_HOME'] = config.mvrep_home

def pytest_unconfigure(config):
    if hasattr(config, 'mvrep_home'): shutil.rmtree(config.mvrep_home, ignore_errors=True)

def sh(*args, **kwargs):
    "What a command prints. If it fails, the test fails with everything that it printed."
    command = [str(o) for o in args]
    done = subprocess.run(command, capture_output=True, text=True, **kwargs)
    if done.returncode:
        text = f'{" ".join(command)} ended with {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}'
        pytest.fail(text, pytrace=False)
    return done.stdout

def copy_tree(folder):
    "Copy the working tree as git would commit it: tracked files, and new files that are not ignored."
    names = sh('git', 'ls-files', '-coz', '--exclude-standard', cwd=root).split('\0')
    for name in names:
        if not (root/name).is_file(): continue
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root/name, folder/name)
    return folder

@pytest.fixture
def tree(tmp_path): return copy_tree(tmp_path/'tree')

@pytest.fixture(scope='session')
def ragged(tmp_path_factory):
    "The irregular index of ragged.py, shared by all tests: not to be changed."
    from ragged import make_ragged
    return make_ragged(tmp_path_factory.mktemp('ragged')/'index')

@pytest.fixture(scope='session')
def ragged_model(tmp_path_factory):
    "The irregular index with an untrained model of one space, shared by all tests: not to be changed."
    from ragged import make_ragged
    return make_ragged(tmp_path_factory.mktemp('ragged')/'model', 'aligned')

@pytest.fixture
def own_ragged(ragged, tmp_path):
    "A copy of the irregular index, which a test may change."
    from mvrep.index.index import Index
    return Index(shutil.copytree(ragged.folder, tmp_path/'ragged'))

@pytest.fixture(scope='module')
def browser():
    from browser import open_browser
    with open_browser() as found: yield found
