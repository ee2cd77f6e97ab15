"Caches and generated corpora of a test run live in one temporary folder, shared by its workers and removed at the end"
import os, shutil, subprocess, tempfile
from pathlib import Path
import pytest

root = Path(__file__).resolve().parents[1]

def pytest_configure(config):
    if hasattr(config, 'workerinput'): return
    config.mvrep_home = os.environ['MVREP_HOME'] = tempfile.mkdtemp(prefix='mvrep-test-')

def pytest_unconfigure(config):
    if hasattr(config, 'mvrep_home'): shutil.rmtree(config.mvrep_home, ignore_errors=True)

@pytest.fixture
def tree(tmp_path):
    "A copy of the working tree, as git would take it: tracked files and new ones that are not ignored"
    files = subprocess.run(['git', 'ls-files', '-coz', '--exclude-standard'], cwd=root, capture_output=True, text=True, check=True).stdout
    for o in files.split('\0'):
        if o and (root/o).is_file():
            (tmp_path/'tree'/o).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root/o, tmp_path/'tree'/o)
    return tmp_path/'tree'

def sh(*args, **kwargs):
    "Run a command; a failure shows all it printed"
    res = subprocess.run([str(o) for o in args], capture_output=True, text=True, **kwargs)
    if res.returncode: pytest.fail(f"{' '.join(map(str, args))} ended with {res.returncode}\n{res.stdout[-6000:]}\n{res.stderr[-6000:]}", pytrace=False)
    return res.stdout
