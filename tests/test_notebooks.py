"Every notebook twice, each time in a process of its own: as cells (nbdev_test), and its cells against the exported module"
import os, re, sys
from pathlib import Path
import pytest
from conftest import root, sh

nbs = sorted((root/'nbs').rglob('[!_.]*.ipynb'))
exporting = [o for o in nbs if re.search(r'"#\|\s*export\\n', o.read_text(encoding='utf-8'))]
env = dict(os.environ, OMP_NUM_THREADS='1', IN_TEST='1', PYTHONPATH=str(root))
bin = Path(sys.executable).parent
name = lambda o: str(o.relative_to(root/'nbs').with_suffix(''))

@pytest.mark.parametrize('nb', nbs, ids=name)
def test_cells(nb):
    out = sh(bin/'nbdev_test', '--path', nb, '--n_workers', 0, cwd=root, env=env, timeout=600)
    assert 'Success.' in out, out

@pytest.mark.parametrize('nb', exporting, ids=name)
def test_library(nb): sh(sys.executable, root/'tests/run_notebook.py', nb, cwd=root, env=env, timeout=600)
