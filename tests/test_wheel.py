"The built wheel, in a virtual environment without the repository and without the tools"
import shutil
import sys
import zipfile
from pathlib import Path
import pytest
from conftest import root, sh

LIGHT = """
import sys, mvrep
print(mvrep.__file__, *{'numpy', 'pandas', 'torch'} & set(sys.modules))
"""
WEIGHTS = """
from mvrep.encoders.musicnn import Musicnn
print(*[Musicnn.from_pretrained(o).weights_hash for o in ('mtt', 'msd')])
"""

def install(python, wheel):
    "Install a wheel; by uv if it is installed, because pip takes minutes"
    options = ['-q', '-c', root/'constraints.txt', wheel]
    if shutil.which('uv', path=str(Path(sys.executable).parent)):
        try: return sh(sys.executable, '-m', 'uv', 'pip', 'install', '-p', python, *options)
        except pytest.fail.Exception: pass
    sh(python, '-m', 'pip', 'install', *options)

def files_of_data(tree):
    "Files beside the modules that the wheel must hold"
    files = [o for name in ('static', 'weights') for o in (tree/'mvrep'/name).rglob('*') if o.is_file()]
    return {str(o.relative_to(tree)) for o in files}

def build_wheel(tree, folder):
    sh(sys.executable, '-m', 'build', '--wheel', '--no-isolation', '--outdir', folder, tree)
    wheel, = folder.glob('*.whl')
    return wheel

@pytest.mark.xdist_group('wheel')
def test_wheel(tree, tmp_path):
    wheel, data = build_wheel(tree, tmp_path/'dist'), files_of_data(tree)
    assert data and data<=set(zipfile.ZipFile(wheel).namelist())
    modules = ['.'.join(o.relative_to(tree).with_suffix('').parts) for o in (tree/'mvrep').rglob('[!_]*.py')]
    shutil.rmtree(tree)

    sh(sys.executable, '-m', 'venv', tmp_path/'venv')
    python = tmp_path/'venv/bin/python'
    install(python, f'mvrep[train,pretrain,explore,app] @ {wheel.as_uri()}')
    def run(code): return sh(python, '-c', code, cwd=tmp_path)
    light = run(LIGHT).split()
    assert len(light)==1 and Path(light[0]).is_relative_to(tmp_path/'venv'), light
    run(f'import importlib\nfor o in {modules}: importlib.import_module(o)')
    assert len(set(run(WEIGHTS).split()))==2
    assert 'similar' in sh(tmp_path/'venv/bin/mvrep', '--help', cwd=tmp_path)
