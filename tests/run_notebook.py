"""Run the tests of one notebook against the exported module: its exported cells are left out, the module's names are there instead.

python tests/run_notebook.py nbs/library/00_core/00_core.ipynb"""
import importlib, os, sys
from pathlib import Path
from execnb.shell import CaptureShell
from nbdev.config import get_config
from nbdev.process import NBProcessor

def main(fn):
    cfg = get_config(path=fn.parent)
    nb = NBProcessor(fn, rm_directives=False, process=True).nb
    directives = lambda c: getattr(c, 'directives_', None) or {}
    module = next(directives(c)['default_exp'][0] for c in nb.cells if 'default_exp' in directives(c))
    left_out = {'export', 'exporti', 'exports', *cfg.tst_flags.split()}
    skip = lambda c: c.cell_type!='code' or 'nbdev_export(' in c.source or bool(left_out & directives(c).keys())
    module = importlib.import_module(f'{cfg.lib_name}.{module}')
    assert Path(module.__file__).resolve().is_relative_to(cfg.config_path.resolve()), f'{module.__file__} is not the module of this tree'
    os.chdir(fn.parent)
    shell = CaptureShell(fn)
    shell.user_ns.update({k: v for k,v in vars(module).items() if not k.startswith('__')})
    try: shell.run_all(nb, exc_stop=True, preproc=skip)
    except Exception: sys.exit(shell.prettytb(fname=fn))

if __name__=='__main__': main(Path(sys.argv[1]).resolve())
