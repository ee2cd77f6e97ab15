"""Kill `mvrep index` with SIGKILL at random moments, run it again, and compare all it holds with an undisturbed run: python bench/kill.py

Writes results/kill.json. A round is one index folder, killed up to four times and, when it is complete or then, left to end. Every second moment is
drawn from the whole length of an undisturbed run, most of which is imports; the others come up to a second after a number of new segments, drawn too,
is on disk. Every column of every row, the videos' metadata, their vectors, the scale and the error table must be equal to the last bit.
"""
import json, os, random, sys, tempfile, time
from pathlib import Path
import psutil
from mvrep.core import atomic_write

home = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(home/'tests'))
from test_pipeline import corpus, rows, same, start, state, workers

def main(kills=20, seed=0):
    rng,log = random.Random(seed),[]
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        videos = corpus(d/'videos', 8)
        command = lambda ix: start('index', videos, '--out', ix, '--workers', 2)
        t = time.monotonic()
        p = command(d/'calm')
        out,errs = p.communicate()
        if p.returncode: sys.exit(errs)
        length,want,n,rounds,slowest = time.monotonic()-t, state(d/'calm'), 0, 0, 0.
        while n<kills:
            ix,rounds = d/f'round-{rounds}', rounds+1
            for k in range(5):
                last = k==4 or n>=kills or rows(ix)==len(want[0])
                todo = None if last else rng.randint(rows(ix)+1, len(want[0]))
                p,t,moment,late = command(ix), time.monotonic(), rng.uniform(0, length), rng.random()
                if last: p.wait()
                elif k%2==0: # deep in the work
                    while p.poll() is None and rows(ix)<todo: time.sleep(.02)
                    if p.poll() is None: time.sleep(late)
                else:
                    while p.poll() is None and time.monotonic()-t<moment: time.sleep(.02)
                moment = time.monotonic()-t
                left = workers(p) if p.poll() is None else []
                p.kill()
                errs = p.communicate()[1]
                if p.returncode==0: break
                if p.returncode!=-9: sys.exit(f'ended with {p.returncode}\n{errs}')
                n,t = n+1, time.monotonic()
                alive = psutil.wait_procs(left, timeout=60)[1]
                slowest = max(slowest, time.monotonic()-t if left else 0.)
                log.append(dict(round=rounds, second=round(moment, 1), workers=len(left), workers_left_after_a_minute=len(alive), segments_on_disk=rows(ix)))
                print(log[-1], flush=True)
            same(state(ix), want)
            print(f'round {rounds}: the same as undisturbed', flush=True)
    with atomic_write(home/'results/kill.json') as o: o.write_text(json.dumps(dict(command='python bench/kill.py', seed=seed, videos=8, segments=len(want[0]),
        undisturbed_seconds=round(length, 1), kills=n, rounds_that_ended_with_exactly_the_rows_of_an_undisturbed_run=rounds, rounds=rounds,
        slowest_end_of_a_worker_seconds=round(slowest, 2), log=log), indent=1)+'\n')

if __name__=='__main__': main()
