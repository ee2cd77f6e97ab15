"""Wall time of the two commands in a clean clone of the last commit, with a new environment, and what the demo measured.

    python bench/wall.py        writes results/wall.json and results/demo.json
"""
import json, os, re, subprocess, tempfile, time
from pathlib import Path

root = Path(__file__).resolve().parents[1]

def timed(cmd, cwd, home):
    t = time.time()
    r = subprocess.run(cmd, cwd=cwd, env={**os.environ, 'MVREP_HOME': str(home)}, capture_output=True, text=True)
    if r.returncode: raise SystemExit(f'{" ".join(cmd)} failed:\n{r.stdout[-4000:]}\n{r.stderr[-4000:]}')
    return round(time.time()-t, 1), r.stdout

with tempfile.TemporaryDirectory() as d:
    clone, home = Path(d)/'mvrep', Path(d)/'home'
    subprocess.run(['git', 'clone', '-q', root, clone], check=True)
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=clone, capture_output=True, text=True).stdout.strip()
    out = dict(command='python bench/wall.py', commit=commit, cores=len(os.sched_getaffinity(0)), load_before=round(os.getloadavg()[0], 2))
    out['setup_s'] = timed(['make', '.venv/.stamp'], clone, home)[0]
    out['make_demo_s'] = timed(['make', 'demo'], clone, home)[0]
    found = json.loads(timed(['.venv/bin/mvrep', 'demo', '--json'], clone, home)[1]) # all is there: it only measures again
    out['make_test_s'], said = timed(['make', 'test'], clone, home)
    out['tests'] = re.findall(r'=+ (.*(?:passed|failed).*?) =+', said)[-1]
demo = dict(command='python bench/wall.py', corpus='synthetic, mvrep demo', videos=found['indexed'], commit=commit, scores=found['scores'])
for name,o in dict(wall=out, demo=demo).items(): (root/'results'/f'{name}.json').write_text(json.dumps(o, indent=1)+'\n')
print(json.dumps(out, indent=1))
