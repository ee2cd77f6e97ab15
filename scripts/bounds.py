"""Try the lowest and the newest versions that settings.ini allows: writes results/bounds.json

    python scripts/bounds.py                      # both, some minutes; needs uv, a registry and 15 GB of disk
    python scripts/bounds.py --only lowest --keep /tmp/environments
    python scripts/bounds.py --step text          # this step alone, at the versions of the earlier run

Run it by hand or on a schedule, and after a change of the requirements: `make test` runs at the versions of
requirements.lock only. Each environment is made with `uv pip install --resolution`, for the direct requirements and all
extras but `dev`. Then a small corpus goes through the commands. A bound in settings.ini is one that passes here.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
RESOLUTIONS = dict(lowest='lowest-direct', newest='highest')
EXTRAS = 'train', 'pretrain', 'text', 'onnx', 'shots', 'download', 'explore', 'app'
CORPUS = "from mvrep.corpus.demo import demo_corpus; print(demo_corpus(20, 8.))" # the least that every command can use
IMPORTS = "import onnx, onnxruntime, onnxscript, audiomentations, anywidget, openTSNE, lightning, torchmetrics"
TEXT = '''
from mvrep.encoders.text import SentenceEncoder
encoder = SentenceEncoder.from_pretrained()
piano, keys, engine = encoder.encode(['a sad piano', 'slow keys of a grand piano', 'the engine of a truck'])
assert len(piano)==384 and piano@keys>piano@engine+.2, (piano@keys, piano@engine)
''' # the model is in a package, nothing is fetched
STEPS = { # {name: command line}; `IX`: the index, `CORPUS`: the folder of the corpus
    'doctor': 'doctor',
    'index': 'index CORPUS/videos --out IX --manifest CORPUS/manifest.csv --workers 1',
    'add': 'add IX LATE --workers 1',
    'info': 'info IX',
    'check': 'check IX',
    'similar': 'similar IX --video LATE -k 3',
    'recommend': 'recommend IX --like FIRST -k 3',
    'search': 'search IX sad piano -k 3',
    'train': 'train IX --recipe track --epochs 2',
    'evaluate': 'evaluate IX',
    'match': 'match IX LATE -k 2',
    'probe': 'probe IX --target emotion --seeds 1 --folds 2',
    'explore': 'explore IX --html --out MAP',
    'remove': 'remove IX FIRST',
    'rollback': 'rollback IX'}

# Environments

def requirements():
    "Names of the direct requirements"
    settings = ConfigParser(delimiters=['='])
    settings.read(ROOT/'settings.ini', encoding='utf-8')
    keys = ['requirements', *[f'{o}_requirements' for o in EXTRAS]]
    return sorted({re.match(r'[\w.-]+', o)[0] for key in keys for o in settings['DEFAULT'][key].split()})

def make_environment(folder, resolution, earlier):
    "Install mvrep with the versions of a resolution, or those of an earlier run: the Python of the environment"
    uv = [sys.executable, '-m', 'uv']
    python = folder/'bin'/'python'
    environment = dict(os.environ)
    if os.environ.get('PIP_FIND_LINKS'): environment['UV_FIND_LINKS'] = os.environ['PIP_FIND_LINKS']
    if not python.exists(): subprocess.run([*uv, 'venv', '-q', '-p', sys.executable, folder], check=True)
    package = f'{ROOT}[{",".join(EXTRAS)}]'
    pinned = folder/'constraints.txt'
    pinned.write_text(''.join(f'{name}=={version}\n' for name, version in earlier.items()))
    subprocess.run([*uv, 'pip', 'install', '-q', '-p', python, '--resolution', resolution, '-c', pinned, '-e', package],
                   check=True, env=environment)
    return python

def versions(python):
    "{direct requirement: version} of an environment"
    code = 'import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))'
    names = requirements()
    done = subprocess.run([python, '-c', code, *names], capture_output=True, text=True, check=True)
    return dict(zip(names, done.stdout.split()))

# The trial

def run(command, home):
    "'passed', or the last line of what a command printed"
    environment = dict(os.environ, MVREP_HOME=str(home), OMP_NUM_THREADS='1')
    environment.pop('PYTHONPATH', None)
    done = subprocess.run([str(o) for o in command], capture_output=True, text=True, env=environment, cwd=home)
    if not done.returncode: return 'passed', done.stdout
    lines = (done.stderr or done.stdout).strip().splitlines() or ['no output']
    return f'exit code {done.returncode}: {lines[-1]}', done.stdout

def try_app(python, index, home):
    "Start the app and fetch its first page"
    command = [python.with_name('mvrep'), 'app', index, '--no-browser', '--port', '8791']
    environment = dict(os.environ, MVREP_HOME=str(home), PYTHONUNBUFFERED='1')
    process = subprocess.Popen([str(o) for o in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env=environment)
    try:
        for line in process.stdout:
            address = re.search(r'http://\S+', line)
            if address: break
        else: return 'it printed no address'
        with urlopen(address[0], timeout=60) as page: return 'passed' if b'<html' in page.read() else 'no page'
    except OSError as e: return f'no answer: {e}'
    finally:
        process.terminate()
        process.wait()

def try_alone(python, home):
    "{step: 'passed', or what went wrong} of the steps that need no index"
    return {step: run([python, '-c', code], home)[0] for step, code in dict(imports=IMPORTS, text=TEXT).items()}

def try_out(python, home):
    "{step: 'passed', or what went wrong}"
    found = try_alone(python, home)
    corpus = Path(run([python, '-c', CORPUS], home)[1].strip())
    clips = sorted((corpus/'videos').glob('*.mp4'))
    late = home/'late.mp4'
    late.write_bytes(clips[0].read_bytes())
    words = dict(CORPUS=str(corpus), IX=str(home/'ix'), LATE=str(late), MAP=str(home/'map'), FIRST=clips[1].stem)
    for step, line in STEPS.items():
        for name, value in words.items(): line = re.sub(rf'\b{name}\b', value, line)
        found[step] = run([python.with_name('mvrep'), *line.split()], home)[0]
        print(f'  {step}: {found[step]}', flush=True)
    found['app'] = try_app(python, home/'ix', home)
    return found

def measure(name, folder, earlier, step):
    "Environment and trial of one resolution: its part of results/bounds.json, and what was there if only for a step"
    print(f'{name}: making the environment', flush=True)
    python = make_environment(folder/name, RESOLUTIONS[name], earlier['versions'] if step else {})
    with tempfile.TemporaryDirectory() as home:
        if step: steps = earlier['steps']|{step: try_alone(python, Path(home))[step]}
        else: steps = try_out(python, Path(home))
    failed = [o for o, state in steps.items() if state!='passed']
    return dict(resolution=RESOLUTIONS[name], python=sys.version.split()[0], passed=len(steps)-len(failed),
                failed=len(failed), steps=steps, versions=versions(python))

def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument('--only', choices=list(RESOLUTIONS))
    options.add_argument('--keep', type=Path, help='folder for the environments, which stay')
    options.add_argument('--out', type=Path, default=ROOT/'results'/'bounds.json')
    options.add_argument('--step', choices=['imports', 'text'], help='this step alone, at the versions of --out')
    args = options.parse_args()
    found = json.loads(args.out.read_text()) if args.out.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in [args.only] if args.only else RESOLUTIONS:
            found[name] = measure(name, args.keep or Path(scratch), found.get(name), args.step)
            args.out.write_text(json.dumps(found, indent=1)+'\n')
    return any(o['failed'] for o in found.values())

if __name__=='__main__': sys.exit(main())
