"""Write requirements.lock: every package of constraints.txt with the hashes of its files

    python scripts/lock.py           # needs uv and a registry

`make` installs from it with --require-hashes on Linux with Python 3.11. torch and torchvision are left out, and the
libraries of CUDA that some of their builds need: builds for CPU come from other indexes than PyPI (PyTorch's, or a
folder that PIP_FIND_LINKS names), each with hashes of its own. scripts/setup.sh installs them at the versions in
constraints.txt.
Run this after a change of settings.ini or constraints.txt, and scripts/bounds.py after a change of the ranges in
settings.ini; tests compare the files.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_HASHES = ('torch', 'torchvision')

def name_of(line): return re.split(r'[=<>~! \[;]', line, maxsplit=1)[0].lower().replace('_', '-')

def pinned():
    "Names of the packages in constraints.txt"
    lines = (ROOT/'constraints.txt').read_text().splitlines()
    return {name_of(o) for o in lines if o and not o.startswith('#')}

def compile_all():
    "What uv resolves, with hashes, from PyPI"
    command = [sys.executable, '-m', 'uv', 'pip', 'compile', '-q', 'setup.py', '--all-extras', '-c', 'constraints.txt',
               '--generate-hashes', '--python-version', '3.11.7', '--python-platform', 'linux', '--no-header',
               '--no-annotate', '--no-emit-index-url']
    environment = {k: v for k, v in os.environ.items() if k not in ('UV_FIND_LINKS', 'PIP_FIND_LINKS')}
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout

def locked(text):
    "Blocks of the lines of each package that is pinned and has hashes"
    blocks = re.split(r'\n(?=\w)', text.strip())
    known = pinned()
    return [o for o in blocks if name_of(o) in known and name_of(o) not in WITHOUT_HASHES]

if __name__=='__main__':
    blocks = locked(compile_all())
    header = '# Made by scripts/lock.py from settings.ini and constraints.txt\n'
    (ROOT/'requirements.lock').write_text(header+'\n'.join(blocks)+'\n')
    print(f'{len(blocks)} packages in requirements.lock')
