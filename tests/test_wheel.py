"The built wheel, in a virtual environment without the repository and without the tools"
import shutil, sys, zipfile
from pathlib import Path
import pytest
from conftest import root, sh

def install(python, wheel):
    "By uv where it is there, since pip takes minutes for the same"
    if shutil.which('uv', path=str(Path(sys.executable).parent)):
        try: return sh(sys.executable, '-m', 'uv', 'pip', 'install', '-q', '-p', python, '-c', root/'constraints.txt', wheel)
        except pytest.fail.Exception: pass
    sh(python, '-m', 'pip', 'install', '-q', '-c', root/'constraints.txt', wheel)

@pytest.mark.xdist_group('wheel')
def test_wheel(tree, tmp_path):
    sh(sys.executable, '-m', 'build', '--wheel', '--no-isolation', '--outdir', tmp_path/'dist', tree)
    wheel, = (tmp_path/'dist').glob('*.whl')
    data = {str(o.relative_to(tree)) for d in ('static', 'weights') for o in (tree/'mvrep'/d).rglob('*') if o.is_file()}
    assert data and data <= set(zipfile.ZipFile(wheel).namelist())
    modules = ['.'.join(o.relative_to(tree).with_suffix('').parts) for o in (tree/'mvrep').rglob('[!_]*.py')]
    shutil.rmtree(tree)

    sh(sys.executable, '-m', 'venv', tmp_path/'venv')
    python, run = tmp_path/'venv/bin/python', dict(cwd=tmp_path)
    install(python, f'mvrep[train,explore,app] @ {wheel.as_uri()}')
    light = sh(python, '-c', 'import sys, mvrep; print(mvrep.__file__, *{"numpy", "pandas", "torch"} & set(sys.modules))', **run).split()
    assert len(light)==1 and Path(light[0]).is_relative_to(tmp_path/'venv'), light
    sh(python, '-c', f'import importlib\nfor o in {modules}: importlib.import_module(o)', **run)
    weights = sh(python, '-c', 'from mvrep.encoders.musicnn import Musicnn\nprint(*[Musicnn.from_pretrained(o).weights_hash for o in ("mtt", "msd")])', **run)
    assert len(set(weights.split()))==2
    assert 'similar' in sh(tmp_path/'venv/bin/mvrep', '--help', **run)
