"""Wall time of `make demo` and `make test` in a clean clone of the last commit, with a new environment

    python bench/wall.py            writes results/wall.json, and results/demo.json with what the demo measured
    python bench/wall.py demo       runs only `make demo`; the entry of `make test` in results/wall.json stays
"""
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from common import parser, write_json

root = Path(__file__).resolve().parents[1]

def run(command, clone, home):
    "Seconds and output of a command in the clone, with `home` for downloads; exits with the output if it fails"
    start = time.monotonic()
    env = os.environ|dict(MVREP_HOME=str(home))
    done = subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f'{" ".join(command)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}')
    return round(time.monotonic()-start, 1), done.stdout

def commit_of(clone):
    command = ['git', 'rev-parse', '--short', 'HEAD']
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, check=True).stdout.strip()

def demo_scores(clone, home, commit):
    "What the demo measured; everything is there after `make demo`, so the command only measures again"
    found = json.loads(run(['.venv/bin/mvrep', 'demo', '--json'], clone, home)[1])
    return dict(command='python bench/wall.py', corpus='synthetic, mvrep demo', videos=found['indexed'], commit=commit,
                scores=found['scores'])

def measure(target, clone, home, about):
    "Entry of a target of the Makefile"
    load = round(os.getloadavg()[0], 2)
    seconds, output = run(['make', target], clone, home)
    entry = dict(seconds=seconds)|about|dict(cores=len(os.sched_getaffinity(0)), load_before=load)
    if target=='test': entry['tests'] = re.findall(r'=+ (.*(?:passed|failed).*?) =+', output)[-1]
    return entry

def main():
    options = parser(__doc__)
    options.add_argument('targets', nargs='*', metavar='demo|test', help='what is timed; both by default')
    args = options.parse_args()
    targets = args.targets or ['demo', 'test']
    if unknown := set(targets)-{'demo', 'test'}: options.error(f'demo or test, not {", ".join(sorted(unknown))}')
    path = args.out/'wall.json'
    doc = json.loads(path.read_text()) if path.exists() else dict(command='python bench/wall.py')
    with tempfile.TemporaryDirectory() as folder:
        clone, home = Path(folder)/'mvrep', Path(folder)/'home'
        subprocess.run(['git', 'clone', '-q', root, clone], check=True)
        about = dict(setup_seconds=run(['make', '.venv/.stamp'], clone, home)[0], commit=commit_of(clone))
        for target in targets:
            doc[target] = measure(target, clone, home, about)
            if target=='demo': write_json(args.out/'demo.json', demo_scores(clone, home, about['commit']))
            write_json(path, doc)
    print(json.dumps(doc, indent=1))

if __name__=='__main__': main()
