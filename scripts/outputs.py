"""Run notebooks and save their outputs: all, or those named. Cells flagged slow, gpu or data keep what they have.

python scripts/outputs.py [05_genre library/01_media/20_read …]
"""
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

root = Path(__file__).resolve().parents[1]
sys.path.append(str(root/'docs'))
from extensions.notebook_file import is_skipped, is_warning

WIDGET = 'application/vnd.jupyter.widget-view+json' # Names a model that only a running kernel has

def clean_outputs(notebook):
    "Remove warnings and the views of widgets, whose text stays."
    for cell in notebook.cells:
        if 'outputs' in cell: cell.outputs = [o for o in cell.outputs if not is_warning(o)]
        for output in cell.get('outputs', []): output.get('data', {}).pop(WIDGET, None)

def run(path):
    "Execute one notebook in this process and write it back. An error ends the process with its traceback."
    from execnb.nbio import read_nb, write_nb
    from execnb.shell import CaptureShell
    from nbdev.config import get_config
    flags = set(get_config(path=path.parent).tst_flags.split())
    os.chdir(path.parent)
    notebook, shell = read_nb(path), CaptureShell(path)
    try: shell.run_all(notebook, exc_stop=True, preproc=partial(is_skipped, flags=flags))
    except Exception: sys.exit(shell.prettytb(fname=path))
    clean_outputs(notebook)
    write_nb(notebook, path)

def run_all(names):
    "Run notebooks, each in a process of its own, and clean them."
    paths = [root/'nbs'/f'{name}.ipynb' for name in names] or sorted((root/'nbs').rglob('[!_.]*.ipynb'))
    for path in paths:
        print(path.relative_to(root/'nbs'), flush=True)
        command = [sys.executable, __file__, '--one', path]
        subprocess.run(command, env=dict(os.environ, IN_TEST='1'), check=True)
    subprocess.run([Path(sys.executable).parent/'nbdev_clean'], cwd=root, check=True)

if __name__=='__main__':
    if sys.argv[1:2]==['--one']: run(Path(sys.argv[2]))
    else: run_all(sys.argv[1:])
