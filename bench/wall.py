"""Wall time of the two commands in a clean clone of the last commit, with a new environment, and what the demo measured.

    python bench/wall.py            writes results/wall.json and results/demo.json
    python bench/wall.py demo       only make demo; the test's entry in results/wall.json stays (or test, the other way round)
"""
import json, os, re, subprocess, sys, tempfile, time
from pathlib import Path

root = Path(__file__).resolve().parents[1]

def timed(cmd, cwd, home):
    t = time.time()
    r = subprocess.run(cmd, cwd=cwd, env={**os.environ, 'MVREP_HOME': str(home)}, capture_output=True, text=True)
    if r.returncode: raise SystemExit(f'{" ".join(cmd)} failed:\n{r.stdout[-4000:]}\n{r.stderr[-4000:]}')
    return round(time.time()-t, 1), r.stdout

def save(name, o): (root/'results'/f'{name}.json').write_text(json.dumps(o, indent=1)+'\n')

which,file = sys.argv[1:] or ['demo', 'test'], root/'results'/'wall.json'
out = json.loads(file.read_text()) if file.exists() else dict(command='python bench/wall.py')
with tempfile.TemporaryDirectory() as d:
    clone, home = Path(d)/'mvrep', Path(d)/'home'
    subprocess.run(['git', 'clone', '-q', root, clone], check=True)
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=clone, capture_output=True, text=True).stdout.strip()
    setup = timed(['make', '.venv/.stamp'], clone, home)[0]
    for o in which:
        load = round(os.getloadavg()[0], 2)
        seconds,said = timed(['make', o], clone, home)
        out[o] = dict(seconds=seconds, setup_seconds=setup, commit=commit, cores=len(os.sched_getaffinity(0)), load_before=load)
        if o=='test': out[o]['tests'] = re.findall(r'=+ (.*(?:passed|failed).*?) =+', said)[-1]
        if o=='demo':
            found = json.loads(timed(['.venv/bin/mvrep', 'demo', '--json'], clone, home)[1]) # all is there: it only measures again
            save('demo', dict(command='python bench/wall.py', corpus='synthetic, mvrep demo', videos=found['indexed'], commit=commit, scores=found['scores']))
        save('wall', out)
print(json.dumps(out, indent=1))
