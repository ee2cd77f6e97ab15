"""Which table engine should store the features? `python bench/store.py` writes results/bench_store.json

Every engine of bench/store_engines.py gets the same videos of six segments: committed one by one, read back, given a
new column, changed, and killed. DuckDB and HDF5 take part if duckdb and h5py are installed, and the phases `read` and
`change` of LanceDB need pylance; mvrep needs none of the three.

Each phase of each engine runs in its own process, so that its memory is its own; the engines take turns. Everything
that is read is checked: a lost, half or mixed row stops the phase or is counted.
"""
import importlib.util
import json
import os
import platform
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path
import numpy as np
from common import parser, write_json
from mvrep.core import seed_from
from store_engines import ENGINES, N_SEGMENTS, NEW_WIDTH, PACKAGE, WIDTHS, content

warnings.filterwarnings('ignore', message='optimize') # that no other process may read old versions: none does here

# Measuring

def memory(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024 # MiB, the most so far

def seconds(call):
    "Seconds that a call takes"
    start = time.perf_counter()
    call()
    return time.perf_counter()-start

def median_ms(call, n=5): return 1000*float(np.median([seconds(call) for _ in range(n)]))

def mib(folder): return sum(o.stat().st_size for o in Path(folder).rglob('*') if o.is_file())/2**20

def check(store, videos, version=lambda i: 0):
    "Raise `AssertionError` unless every row of `videos` exists once and holds what was written"
    ids = np.array([int(o[1:]) for o in store.ids()])
    expected = np.repeat(videos, N_SEGMENTS)
    assert sorted(ids)==sorted(expected), f'{len(ids)} rows of {len(videos)} videos'
    for column, width in WIDTHS.items():
        x = store.matrix(column, width)
        for i in videos:
            written = content(i, version(i))[1][column]
            same = np.array_equal(np.sort(x[ids==i], 0), np.sort(written, 0))
            assert same, f'{column} of video {i} is not what was written'

# The phases, each in a process of its own

def fill(engine, folder, n):
    "Commit `n` videos one by one"
    store, base = engine(folder), memory()
    milliseconds, processor = [], 0.
    for i in range(n):
        content(i) # a commit makes it again: its time is measured below and taken off
        start, cpu = time.perf_counter(), time.process_time()
        store.commit(i)
        if store.tidy_every and (i+1)%store.tidy_every==0: store.tidy()
        milliseconds.append(1000*(time.perf_counter()-start))
        processor += time.process_time()-cpu
    content_ms = median_ms(lambda: content(7), 50)
    before = mib(folder)
    last_tidy = seconds(store.tidy)
    t = np.array(milliseconds)-content_ms
    tenth = max(1, n//10)
    return dict(
        commit_ms_median=np.median(t), commit_ms_p95=np.percentile(t, 95), commit_ms_max=t.max(),
        commit_ms_mean=t.mean(),
        cpu_ms_a_commit=1000*processor/n-content_ms, growth=np.median(t[-tenth:])/np.median(t[:tenth]),
        last_tidy_s=last_tidy, mib_before_tidy=before, mib=mib(folder), memory_mib=memory(), memory_before_mib=base)

def read(engine, folder, n):
    "Open the store, read a column, filter by split"
    engine(folder/'other') # imports and the first connection
    start = time.perf_counter()
    store = engine(folder)
    assert store.count()==n*N_SEGMENTS
    result = dict(open_ms=1000*(time.perf_counter()-start))
    start = time.perf_counter()
    x = store.matrix('audio', WIDTHS['audio'])
    result |= dict(column_first_s=time.perf_counter()-start,
                   column_s=median_ms(lambda: store.matrix('audio', WIDTHS['audio']), 3)/1000,
                   where_ms=median_ms(lambda: store.where('test'), 9), memory_mib=memory(), matrix_mib=x.nbytes/2**20)
    assert x.shape==(n*N_SEGMENTS, WIDTHS['audio']) and store.where('test')==N_SEGMENTS*len(range(2, n, 3))
    check(store, range(n))
    return result

def change(engine, folder, n):
    "Add a column, fill it for single videos, replace single videos"
    store, rng = engine(folder), np.random.default_rng(seed_from('bench_store change'))
    few, before = min(100, n//2), mib(folder)
    def new(k): return rng.standard_normal((k, NEW_WIDTH), dtype=np.float32)
    result = dict(add_column_s=seconds(lambda: store.add_column(new)), add_column_mib=mib(folder)-before)
    before, times = mib(folder), []
    for i in rng.permutation(n)[:few].tolist():
        x = new(N_SEGMENTS)
        times.append(seconds(lambda: store.fill_one(i, x)))
    result |= dict(fill_one_ms=1000*np.median(times), fill_one_mib=mib(folder)-before, memory_mib=memory())
    before, replaced = mib(folder), rng.permutation(n)[:few].tolist()
    times = [seconds(lambda: store.upsert(i, 1)) for i in replaced]
    content_ms = median_ms(lambda: content(7), 50)
    result |= dict(upsert_ms=1000*np.median(times)-content_ms, upsert_mib=mib(folder)-before)
    result |= dict(tidy_s=seconds(store.tidy), mib_after=mib(folder))
    check(store, range(n), lambda i: int(i in replaced))
    return result

def crash(engine, folder, n):
    "The process to be killed: print what its predecessor left, then commit on, print each commit, and tidy often"
    found = verify(engine, folder, n)
    print(json.dumps(found), flush=True)
    store, first = engine(folder), max(found['videos'], default=-1)+1
    for i in range(first, first+10**6):
        store.commit(i)
        print(i, flush=True)
        if store.tidy_every and (i+1)%16==0: store.tidy()

def verify(engine, folder, n):
    "What a new process finds: which videos, and how many of them are not whole"
    store = engine(folder)
    ids = [int(o[1:]) for o in store.ids()]
    rows = {i: ids.count(i) for i in sorted(set(ids))}
    half = [i for i, k in rows.items() if k!=N_SEGMENTS]
    if rows and not half: check(store, list(rows))
    return dict(videos=list(rows), half=len(half))

PHASES = dict(fill=fill, read=read, change=change, crash=crash, verify=verify)

# The process that starts them

def command(name, phase, folder, n):
    "The command line of a phase"
    return [sys.executable, __file__, '--phase', phase, '--engine', name, '--folder', str(folder), '--videos', str(n)]

def last_line(text): return text.strip().split('\n')[-1]

def run_phase(name, phase, folder, n):
    "What a phase measured, or its error"
    done = subprocess.run(command(name, phase, folder, n), capture_output=True, text=True)
    return dict(error=last_line(done.stderr)) if done.returncode else json.loads(last_line(done.stdout))

def kill_once(name, folder, delay):
    "Kill a writer `delay` seconds after its first commit: what it found, and the videos that it printed as committed"
    pipe = subprocess.PIPE
    writer = subprocess.Popen(command(name, 'crash', folder, 0), stdout=pipe, stderr=pipe, text=True)
    found, first = writer.stdout.readline(), writer.stdout.readline()
    time.sleep(delay)
    writer.send_signal(signal.SIGKILL)
    rest, errors = writer.communicate()
    if not first: return dict(error=last_line(errors) or f'exit code {writer.returncode}'), set()
    whole_lines = (first+rest).split('\n')[:-1]
    return json.loads(found), {int(o) for o in whole_lines}

def kills(name, folder, rounds=10):
    "Kill a writer at random moments; what it printed must exist, be whole, and the store must be usable"
    rng, committed = random.Random(seed_from('bench_store kill')), set()
    result = dict(kills=0, committed=0, lost=0, half=0, unusable=0)
    for k in range(rounds+1):
        if k==rounds: found, printed = run_phase(name, 'verify', folder, 0), set()
        else: found, printed = kill_once(name, folder, rng.uniform(0, .8))
        if 'error' in found:
            result |= dict(unusable=1, error=found['error'][:200])
            break
        result['lost'] += len(committed-set(found['videos']))
        result['half'] += found['half']
        result['kills'] += k<rounds
        committed = set(found['videos'])|printed # also what was committed and not printed any more
    return result|dict(committed=len(committed))

def measure(names, n):
    "{engine: {phase: measurements}}; engines take turns, and one that failed is left out of later phases"
    result = {o: {} for o in names}
    with tempfile.TemporaryDirectory() as tmp:
        for phase in ('fill', 'read', 'change', 'crash'):
            for name in names:
                has_failed = any('error' in o for o in result[name].values())
                if has_failed or (phase=='crash' and name.startswith('lance_') and name!='lance_256'): continue
                if phase=='crash': found = kills(name, Path(tmp)/f'{name}-crash')
                else: found = run_phase(name, phase, Path(tmp)/name, n)
                result[name][phase] = {k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}
                print(f'{phase:7}{name:12}', json.dumps(result[name][phase]), file=sys.stderr)
    return result

def is_installed(package): return importlib.util.find_spec(package) is not None

def versions():
    "Versions of everything that was compared"
    packages = {o: o for o in ('lancedb', 'pyarrow', 'numpy', 'duckdb', 'h5py')}|dict(pylance='lance')
    found = {name: version(name) for name, module in packages.items() if is_installed(module)}
    return found|dict(sqlite=sqlite3.sqlite_version, python=platform.python_version())

SHOWN = dict(
    fill=('commit_ms_median', 'commit_ms_p95', 'commit_ms_max', 'cpu_ms_a_commit', 'growth', 'mib', 'memory_mib'),
    read=('open_ms', 'column_s', 'where_ms', 'memory_mib'),
    change=('add_column_s', 'add_column_mib', 'fill_one_ms', 'fill_one_mib', 'upsert_ms', 'upsert_mib', 'mib_after'),
    crash=('committed', 'lost', 'half', 'unusable'))

def print_table(doc):
    "Print the results"
    from rich.console import Console
    from rich.table import Table
    title = f'{doc["videos"]} videos, {doc["rows"]} rows, {doc["raw_mib"]:.0f} MiB of vectors, {doc["cores"]} cores'
    table = Table(title=title)
    table.add_column('')
    for name in doc['engines']: table.add_column(name, justify='right')
    for phase, measures in SHOWN.items():
        for o in measures:
            values = [engine.get(phase, {}).get(o) for engine in doc['engines'].values()]
            table.add_row(f'{phase} {o}', *('–' if x is None else f'{x:.4g}' for x in values))
    Console(width=120).print(table)

def main():
    options = parser(__doc__, 'bench_store.json')
    options.add_argument('--videos', type=int, default=2000)
    options.add_argument('--engines', default=','.join(ENGINES))
    options.add_argument('--phase', choices=list(PHASES), help='run one phase of one engine and print what it measured')
    options.add_argument('--engine', choices=list(ENGINES))
    options.add_argument('--folder', type=Path)
    args = options.parse_args()
    if args.phase:
        print(json.dumps(PHASES[args.phase](ENGINES[args.engine], args.folder, args.videos), default=float))
        return
    names = [o for o in args.engines.split(',') if is_installed(PACKAGE.get(o, 'lancedb'))]
    n = args.videos
    doc = dict(
        command='python bench/store.py', videos=n, rows=n*N_SEGMENTS, raw_mib=n*N_SEGMENTS*sum(WIDTHS.values())*4/2**20,
        cores=len(os.sched_getaffinity(0)), machine=platform.machine())
    engines = measure(names, n)
    doc |= dict(load_at_end=os.getloadavg()[0], versions=versions(), engines=engines)
    write_json(args.out, doc)
    print_table(doc)

if __name__=='__main__': main()
