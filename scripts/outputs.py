"""Run notebooks and save their outputs: all of them, or those named. Cells flagged slow, gpu or data keep the outputs they have.

python scripts/outputs.py [05_genre library/01_media/20_read …]"""
import os, subprocess, sys
from pathlib import Path

root = Path(__file__).resolve().parents[1]

WIDGET = 'application/vnd.jupyter.widget-view+json' # names a model that only a running kernel has

def drop_widgets(nb):
    "Remove the views of widgets from the outputs; their text stays"
    outputs = [o for c in nb.cells for o in c.get('outputs', [])]
    for o in outputs: o.get('data', {}).pop(WIDGET, None)

def run(fn):
    "Execute one notebook in this process and write it back"
    from execnb.nbio import read_nb, write_nb
    from execnb.shell import CaptureShell
    from nbdev.config import get_config
    from nbdev.process import extract_directives
    flags = set(get_config(path=fn.parent).tst_flags.split())
    os.chdir(fn.parent)
    nb, shell = read_nb(fn), CaptureShell(fn)
    skip = lambda c: c.cell_type!='code' or 'nbdev_export(' in c.source or bool(flags & (extract_directives(c, remove=False) or {}).keys())
    try: shell.run_all(nb, exc_stop=True, preproc=skip)
    except Exception: sys.exit(shell.prettytb(fname=fn))
    drop_widgets(nb)
    write_nb(nb, fn)

if __name__=='__main__':
    if sys.argv[1:2]==['--one']: run(Path(sys.argv[2]))
    else:
        for fn in [root/'nbs'/f'{o}.ipynb' for o in sys.argv[1:]] or sorted((root/'nbs').rglob('[!_.]*.ipynb')):
            print(fn.relative_to(root/'nbs'), flush=True)
            subprocess.run([sys.executable, __file__, '--one', fn], env=dict(os.environ, IN_TEST='1'), check=True)
        subprocess.run([Path(sys.executable).parent/'nbdev_clean'], cwd=root, check=True)
