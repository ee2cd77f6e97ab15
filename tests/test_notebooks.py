"""Every notebook runs twice, each time in a process of its own.

Once whole, in a Jupyter kernel: all cells from top to bottom, as JupyterLab's Run All does, flagged cells and the
export at the end included, with no data and no environment variable of mvrep set. This tests what `nbdev_test` does
(exported cells and examples share one namespace) and more: that flagged cells do nothing without their data, and that
a run leaves no trace in the repository. It costs about a second more per notebook than `nbdev_test`.

Once more without its exported cells, with the names of the exported module in their place: see run_notebook.py. These
processes are forked from one that has imported torch and its kind already, which saves seconds for each of them.
"""
import os
import re
import sys
from pathlib import Path
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from conftest import copy_tree, root, sh
from run_notebook import run_in_fork

SECONDS = 600 # For a cell, or for a notebook against its module
notebooks = [o.relative_to(root) for o in sorted((root/'nbs').rglob('[!_.]*.ipynb'))]
exporting = [o for o in notebooks if re.search(r'"#\|\s*export\\n', (root/o).read_text(encoding='utf-8'))]

def name_of(notebook): return notebook.relative_to('nbs').with_suffix('').as_posix()

def environment(folder):
    "The variables of this process, without those of mvrep except its folder of caches, for the code in a folder."
    kept = {k: v for k, v in os.environ.items() if not k.startswith('MVREP_') or k=='MVREP_HOME'}
    return kept | dict(OMP_NUM_THREADS='1', PYTHONPATH=str(folder))

@pytest.fixture(scope='module')
def repository(tmp_path_factory):
    "A copy of the repository with everything committed, so that `git status` shows what a notebook changes"
    folder = copy_tree(tmp_path_factory.mktemp('notebooks')/'mvrep')
    author = ['-c', 'user.name=test', '-c', 'user.email=test@localhost']
    for command in (['init', '-q'], ['add', '-A'], [*author, 'commit', '-qm', 'tree']): sh('git', *command, cwd=folder)
    return folder

@pytest.fixture
def clean_repository(repository):
    yield repository
    sh('git', 'checkout', '-q', '.', cwd=repository)
    sh('git', 'clean', '-fdxq', '-e', '__pycache__', cwd=repository)

def changes(repository):
    "What `git status` reports, with ignored files, but without compiled modules."
    lines = sh('git', 'status', '--porcelain', '--ignored', cwd=repository).splitlines()
    return [o for o in lines if '__pycache__' not in o]

@pytest.mark.parametrize('notebook', notebooks, ids=name_of)
def test_jupyter(notebook, clean_repository):
    path = clean_repository/notebook
    cells = nbformat.read(path, as_version=4)
    where = dict(metadata=dict(path=str(path.parent)))
    client = NotebookClient(cells, timeout=SECONDS, kernel_name='python3', resources=where)
    try: client.execute(env=environment(clean_repository))
    except CellExecutionError as e: pytest.fail(re.sub(r'\x1b\[[\d;]*m', '', str(e)), pytrace=False)
    assert changes(clean_repository)==[]

@pytest.mark.parametrize('notebook', exporting, ids=name_of)
def test_library(notebook, tmp_path):
    log = tmp_path/'log.txt'
    code = run_in_fork(root/notebook, log, environment(root), SECONDS)
    if code: pytest.fail(f'{notebook} ended with {code}\n{log.read_text()[-6000:]}', pytrace=False)

def test_nbdev_test():
    "The command that people use while they write"
    command = Path(sys.executable).parent/'nbdev_test'
    out = sh(command, '--path', root/'nbs/library/00_core', '--n_workers', 0, cwd=root, env=environment(root))
    assert 'Success.' in out, out
