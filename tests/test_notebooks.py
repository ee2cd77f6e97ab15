"""Notebooks run in two ways, each time in a process of their own.

Whole, in a Jupyter kernel: all cells from top to bottom, as JupyterLab's Run All does, flagged cells and the
export at the end included, with no data and no environment variable of mvrep set. This tests what `nbdev_test` does
(exported cells and examples share one namespace) and more: that flagged cells do nothing without their data, and that
a run leaves no trace in the repository. The export at the end is that of the page; one page exports all of them.
These are the studies, the first page of each room, and pages with flagged cells; with MVREP_ALL_PAGES=1 in the
environment, all pages.

Without its exported cells, with the names of the exported module in their place, every page that exports: see
run_notebook.py.

These processes are forked from one that has imported other libraries already (see forks.py), which saves seconds for
each of them. They import mvrep themselves, from the folder of their page. One page is also run in a kernel that starts
as JupyterLab starts it.
"""
import os
import re
import sys
from pathlib import Path
import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from conftest import copy_tree, root, sh
from forks import ForkedKernelManager
from run_notebook import plain, run_in_fork, stale_outputs, texts

SECONDS = 600 # For a cell, or for a notebook against its module
FLAGS = {'slow', 'gpu', 'data'} # Cells that this machine may not run: their outputs are not compared
notebooks = [o.relative_to(root) for o in sorted((root/'nbs').rglob('[!_.]*.ipynb'))]
def has_directive(notebook, *names):
    "Has a notebook a cell with one of these directives?"
    return bool(re.search(rf'"#\|\s*({"|".join(names)})\\n', (root/notebook).read_text(encoding='utf-8')))

def is_run_whole(notebook):
    "Is a notebook one of those that run in a kernel?"
    is_own = notebook.name.startswith('00_') or not has_directive(notebook, 'export') or has_directive(notebook, *FLAGS)
    return is_own or bool(os.environ.get('MVREP_ALL_PAGES'))

exporting = [o for o in notebooks if has_directive(o, 'export')]
whole = list(filter(is_run_whole, notebooks))

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

def run_all_cells(notebook, repository, folder, kernel=ForkedKernelManager):
    "Run a notebook of a repository, whose paths are relative to `folder`, in a kernel; its outputs are replaced."
    where = dict(metadata=dict(path=str(folder)))
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name='python3', resources=where,
                            kernel_manager_class=kernel)
    try: client.execute(env=environment(repository))
    except CellExecutionError as e: pytest.fail(re.sub(r'\x1b\[[\d;]*m', '', str(e)), pytrace=False)

def export_only(notebook, name):
    "Let the last cell of a page export that page, not all pages."
    for cell in notebook.cells: cell.source = cell.source.replace('nbdev_export()', f'nbdev_export({name!r})')

@pytest.mark.parametrize('notebook', whole, ids=name_of)
def test_jupyter(notebook, clean_repository):
    path = clean_repository/notebook
    page = nbformat.read(path, as_version=4)
    committed = texts(page, FLAGS)
    export_only(page, path.name)
    run_all_cells(page, clean_repository, path.parent)
    assert changes(clean_repository)==[]
    if notebook not in exporting: assert stale_outputs(committed, texts(page, FLAGS))==[] # others: see test_library

def test_kernel_of_its_own(clean_repository):
    "A page in a kernel that is not forked, and that exports all pages"
    path = clean_repository/'nbs/library/00_core/00_core.ipynb'
    run_all_cells(nbformat.read(path, as_version=4), clean_repository, path.parent, AsyncKernelManager)
    assert changes(clean_repository)==[]

WHAT_A_KERNEL_HAS = """
import sys
before = [o for o in sys.modules if o.split('.')[0]=='mvrep']
import mvrep.core
print(before, mvrep.core.__file__, 'torch' in globals())
"""

def test_forked_kernels_import_mvrep_themselves(clean_repository):
    cell = nbformat.v4.new_code_cell(WHAT_A_KERNEL_HAS)
    run_all_cells(nbformat.v4.new_notebook(cells=[cell]), clean_repository, clean_repository/'nbs')
    assert cell.outputs[0].text==f'[] {clean_repository}/mvrep/core.py False\n'

@pytest.mark.parametrize('notebook', exporting, ids=name_of)
def test_library(notebook, tmp_path):
    log = tmp_path/'log.txt'
    code = run_in_fork(root/notebook, log, environment(root), SECONDS)
    if code: pytest.fail(f'{notebook} ended with {code}\n{log.read_text()[-6000:]}', pytrace=False)

def test_stale_outputs_are_found():
    same = {1: "loss 0.78 in runs HASH", 2: '3 videos'}
    assert stale_outputs(same, {1: 'loss 0.79 in runs HASH', 2: '3 videos'})==[]
    for changed in ('4 videos', '3 files', '3.0 videos', '3 videos, 1 more'):
        assert len(stale_outputs(same, same | {2: changed}))==1
    assert len(stale_outputs(same, same | {1: 'loss 0.81 in runs HASH'}))==1
    assert plain('runs/f0429f62e123\n\n  \x1b[1mbold')=='runs/HASH bold'

def test_nbdev_test():
    "The command that people use while they write"
    command = Path(sys.executable).parent/'nbdev_test'
    out = sh(command, '--path', root/'nbs/library/00_core', '--n_workers', 0, cwd=root, env=environment(root))
    assert 'Success.' in out, out
