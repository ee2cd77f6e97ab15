"""Run the examples of one notebook against the exported module: without its exported cells, with the module's names.

python tests/run_notebook.py nbs/library/00_core/00_core.ipynb
"""
import importlib
import os
import sys
from pathlib import Path
import forks
from execnb.shell import CaptureShell
from nbdev.config import get_config
from nbdev.process import NBProcessor

def directives(cell): return getattr(cell, 'directives_', None) or {}

def exported_module(notebook, config):
    "The module that a notebook exports. Raises `ImportError` if another installation's would be imported."
    name = next(directives(o)['default_exp'][0] for o in notebook.cells if 'default_exp' in directives(o))
    module = importlib.import_module(f'{config.lib_name}.{name}')
    if not Path(module.__file__).resolve().is_relative_to(config.config_path.resolve()):
        raise ImportError(f'{module.__file__} is not the module of {config.config_path}: set PYTHONPATH to that folder')
    return module

def main(path):
    "Run a notebook; an error ends the process with its traceback."
    config = get_config(path=path.parent)
    notebook = NBProcessor(path, rm_directives=False, process=True).nb
    left_out = {'export', 'exporti', 'exports', *config.tst_flags.split()}
    def is_left_out(cell):
        return cell.cell_type!='code' or 'nbdev_export(' in cell.source or bool(left_out & directives(cell).keys())

    shell = CaptureShell(path)
    module = exported_module(notebook, config)
    shell.user_ns.update({name: o for name, o in vars(module).items() if not name.startswith('__')})
    os.chdir(path.parent)
    try: shell.run_all(notebook, exc_stop=True, preproc=is_left_out)
    except Exception: sys.exit(shell.prettytb(fname=path))

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
