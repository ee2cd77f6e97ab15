"""Run the examples of one notebook against the exported module: without its exported cells, with the module's names.

python tests/run_notebook.py nbs/library/00_core/00_core.ipynb
"""
import importlib
import os
import re
import sys
from functools import partial
from pathlib import Path
import forks
from execnb.nbio import read_nb
from execnb.shell import CaptureShell
from nbdev.clean import clean_nb
from nbdev.config import get_config

sys.path.append(str(Path(__file__).resolve().parents[1]/'docs'))
from extensions.notebook_file import EXPORTS, Cell, directives_of, is_skipped, is_warning, read_page

def exported_module(path, config):
    "The module that a notebook exports. Raises `ImportError` if another installation's would be imported."
    module = importlib.import_module(read_page(path, path.parent).import_name)
    if not Path(module.__file__).resolve().is_relative_to(config.config_path.resolve()):
        raise ImportError(f'{module.__file__} is not the module of {config.config_path}: set PYTHONPATH to that folder')
    return module

def plain(text):
    "Printed text with one blank for white space, without colours and names of trained models."
    text = ' '.join(re.sub(r'\x1b\[[\d;]*m', '', text).split())
    return re.sub(r'\b[0-9a-f]{12}\b', 'HASH', text) # of weights, whose last bits depend on the processor

def is_near(one, other):
    "Are two numbers as printed the same but for two units of the last place, which depends on the processor?"
    places = len(one.partition('.')[2])
    if len(other.partition('.')[2])!=places: return False
    return one==other if not places else abs(float(one)-float(other))<2.1*10**-places

NUMBER = re.compile(r'(\d+(?:\.\d+)?)')

def is_same_text(one, other):
    "Do two outputs hold the same words and the same numbers, but for rounding?"
    pairs = list(zip(NUMBER.split(one), NUMBER.split(other)))
    same_length = len(NUMBER.split(one))==len(NUMBER.split(other))
    return same_length and all(a==b or i%2 and is_near(a, b) for i, (a, b) in enumerate(pairs))

def texts(notebook, flags):
    "{number of a code cell: text of its outputs}, without warnings and the cells that have one of these flags."
    clean_nb(notebook)
    found = {}
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type!='code' or flags & directives_of(cell.source).keys(): continue
        outputs = [o for o in cell.get('outputs', []) if not is_warning(o)]
        found[i] = plain(Cell('code', '', outputs).printed)
    return found

def stale_outputs(committed, fresh):
    "What is wrong with the outputs of a notebook, one text a cell."
    wrong = [i for i in fresh if not is_same_text(committed[i], fresh[i])]
    return [f'cell {i}: committed\n{committed[i]}\nprinted now\n{fresh[i]}' for i in wrong]

def main(path):
    """Run a notebook. An error ends the process with its traceback; so does an output whose text is not the one that
    is committed, with both."""
    config = get_config(path=path.parent)
    flags = set(config.tst_flags.split())
    committed = texts(read_nb(path), flags)
    notebook, shell = read_nb(path), CaptureShell(path)
    module = exported_module(path, config)
    shell.user_ns.update({name: o for name, o in vars(module).items() if not name.startswith('__')})
    os.chdir(path.parent)
    try: shell.run_all(notebook, exc_stop=True, preproc=partial(is_skipped, flags=EXPORTS|flags))
    except Exception: sys.exit(shell.prettytb(fname=path))
    stale = stale_outputs(committed, texts(notebook, flags))
    if stale: sys.exit('\n\n'.join([f'{path}: refresh its outputs with scripts/outputs.py', *stale]))

def _main_or_exit(path):
    "Run a notebook; if it fails, end the process at once: an orderly end would wait for workers that it left."
    try: main(path)
    except SystemExit as e:
        print(e.code, file=sys.stderr, flush=True)
        os._exit(1)

def run_in_fork(path, log, environment, seconds):
    "Run a notebook in a process that has the slow imports already, at most for `seconds`. Returns the exit code."
    process = forks.start(_main_or_exit, (path,), environment, log)
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode

if __name__=='__main__': main(Path(sys.argv[1]).resolve())
