"""Which engine keeps the features? One commit a video, six segments each: python bench/store.py

Every engine gets the same videos in the same run: committed one by one, read back, given a new column, changed, and killed. It writes
results/bench_store.json. DuckDB and HDF5 take part where duckdb and h5py are installed; they are not needed by mvrep.

Each phase of each engine runs in its own process, so that its memory is its own; the engines take turns. Every row carries its video's
number and version in its values, so that what is read can be checked, and is: a lost, half or mixed row stops the run or is counted.
"""
import argparse, importlib.util, json, os, platform, random, resource, shutil, signal, sqlite3, subprocess, sys, tempfile, time, warnings
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from mvrep.core import atomic_write, seed_from

warnings.filterwarnings('ignore', message='optimize') # that no other process may read old versions: none does here
N,DIMS,NEW = 6,dict(audio=1506, video=1280),512
TEXT = ('segment_id', 'video_id', 'split', 'source', 'audio_made_by', 'video_made_by')
REAL = ('start', 'length')

def content(i, version=0):
    "Six rows of video `i`: a dict of texts and numbers, and a dict of vectors whose first two values are `i` and `version`"
    rng = np.random.default_rng(seed_from('bench_store', i, version))
    x = {k: rng.standard_normal((N, d), dtype=np.float32) for k,d in DIMS.items()}
    for o in x.values(): o[:,0],o[:,1] = i,version
    keys = dict(segment_id=[f'v{i:06}_{j}' for j in range(N)], video_id=[f'v{i:06}']*N, split=[('train', 'valid', 'test')[i%3]]*N, source=[f'{i}-{version}']*N,
        audio_made_by=['musicnn_mtt-0123456789abcdef-1']*N, video_made_by=['efficientnet_lite0-0123456789abcdef-1']*N, start=[5.*j for j in range(N)], length=[5.]*N)
    return keys, x

def fsl(x): return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(x).ravel()), x.shape[1])
def arrow(i, version=0):
    keys,x = content(i, version)
    return pa.table(dict(keys, **{k: fsl(v) for k,v in x.items()}))
SCHEMA = arrow(0).schema
def dense(batches, column, n, dim):
    "One column of Arrow batches, copied once, into a matrix"
    out,at = np.empty((n, dim), np.float32), 0
    for b in batches:
        v = b[column].flatten().to_numpy(zero_copy_only=True).reshape(-1, dim)
        out[at:at+len(v)] = v
        at += len(v)
    assert at==n, (at, n)
    return out

class Lance:
    "LanceDB: an Arrow table of versions; a commit is a new fragment and a new manifest"
    every = 256
    def __init__(self, folder):
        import lancedb
        self.t = lancedb.connect(folder/'lance').create_table('segments', schema=SCHEMA, exist_ok=True)
    def commit(self, i): self.t.add(arrow(i))
    def tidy(self): self.t.optimize(cleanup_older_than=timedelta(0))
    def count(self): return self.t.count_rows()
    def ids(self): return self.t.search().select(['video_id']).to_arrow()['video_id'].to_pylist()
    def matrix(self, column, dim): return dense(self.t.to_lance().to_batches(columns=[column], batch_size=4096), column, self.count(), dim)
    def where(self, split): return self.t.search().where(f"split = '{split}'").select(['segment_id', 'start']).to_arrow().num_rows
    def add_column(self, fill):
        ids = self.t.search().select(['segment_id']).to_arrow()['segment_id']
        self.t.to_lance().merge(pa.table(dict(segment_id=ids, new=fsl(fill(len(ids))))), 'segment_id') # writes files of the new column only
        self.t.checkout_latest()
    def fill_one(self, i, x): self.t.merge_insert('segment_id').when_matched_update_all().execute(pa.table(dict(segment_id=content(i)[0]['segment_id'], new=fsl(x))))
    def upsert(self, i, version): self.t.merge_insert('segment_id').when_matched_update_all().when_not_matched_insert_all().execute(arrow(i, version))

class Lance64(Lance): every = 64
class LanceNever(Lance): every = 0
class LanceHour(Lance):
    "As `Lance`, old versions kept for an hour, and a new column filled through nulls and a merge by key"
    def tidy(self): self.t.optimize(cleanup_older_than=timedelta(hours=1))
    def add_column(self, fill):
        self.t.add_columns(pa.schema([('new', pa.list_(pa.float32(), NEW))]))
        ids = self.t.search().select(['segment_id']).to_arrow()['segment_id']
        self.t.merge_insert('segment_id').when_matched_update_all().execute(pa.table(dict(segment_id=ids, new=fsl(fill(len(ids))))))

class Parquet:
    "A folder of Parquet files, one a commit; compaction writes one file of many, and readers prefer it by its name until the many are gone"
    every = 256
    def __init__(self, folder):
        self.d,self.new = folder/'parquet',folder/'parquet-new'
        for o in (self.d, self.new): o.mkdir(parents=True, exist_ok=True)
        self.n = max([int(o.stem.split('-')[1]) for o in self.d.glob('[0-9]*.parquet')], default=-1)+1
    def files(self, d=None):
        spans = sorted(((int(a), int(b), o) for o in (d or self.d).glob('[0-9]*.parquet') for a,b in [o.stem.split('-')]), key=lambda s: (s[0], -s[1]))
        out,end = [], -1
        for a,b,o in spans:
            if b>end: out,end = out+[o],b
        return out
    def _write(self, d, name, table):
        with atomic_write(d/f'{name}.parquet') as tmp: pq.write_table(table, tmp, compression='none', use_dictionary=list(TEXT))
    def data(self, d=None): return pads.dataset([str(o) for o in self.files(d)])
    def commit(self, i, version=0):
        self._write(self.d, f'{self.n:08}-{self.n:08}', arrow(i, version))
        self.n += 1
    def tidy(self):
        small = [o for o in self.files() if len(set(o.stem.split('-')))==1]
        if len(small)<2: return
        self._write(self.d, f'{small[0].stem.split("-")[0]}-{small[-1].stem.split("-")[0]}', pa.concat_tables([pq.read_table(o) for o in small]))
        for o in small: o.unlink()
    def _latest(self):
        "Which rows hold: the last of each segment"
        ids = self.data().to_table(columns=['segment_id'])['segment_id'].to_pylist()
        return np.sort(list({o: i for i,o in enumerate(ids)}.values()))
    def count(self): return len(self._latest())
    def ids(self): return self.data().to_table(columns=['video_id'])['video_id'].take(self._latest()).to_pylist() if self.files() else []
    def matrix(self, column, dim):
        d = self.data()
        return dense(d.to_batches(columns=[column], batch_size=4096), column, d.count_rows(), dim)[self._latest()]
    def where(self, split): return self.data().to_table(columns=['segment_id', 'start', 'split']).take(self._latest()).filter(pads.field('split')==split).num_rows
    def add_column(self, fill):
        ids = self.data().to_table(columns=['segment_id'])['segment_id'].combine_chunks()
        self._write(self.new, '00000000-00000000', pa.table(dict(segment_id=ids, new=fsl(fill(len(ids))))))
    def fill_one(self, i, x):
        n = max(int(o.stem.split('-')[1]) for o in self.new.glob('[0-9]*.parquet'))+1
        self._write(self.new, f'{n:08}-{n:08}', pa.table(dict(segment_id=content(i)[0]['segment_id'], new=fsl(x))))
    def upsert(self, i, version): self.commit(i, version)

class SQLite:
    "SQLite with a write-ahead log: one table of keys, one table of blobs an encoder"
    every = 0
    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.c = sqlite3.connect(folder/'store.sqlite', isolation_level=None)
        self.c.execute('PRAGMA journal_mode=WAL')
        self.c.execute('PRAGMA synchronous=NORMAL')
        self.c.execute(f'CREATE TABLE IF NOT EXISTS segments (segment_id TEXT PRIMARY KEY, {", ".join(f"{o} TEXT" for o in TEXT[1:])}, {", ".join(f"{o} REAL" for o in REAL)}) WITHOUT ROWID')
        for o in DIMS: self.c.execute(f'CREATE TABLE IF NOT EXISTS {o} (segment_id TEXT PRIMARY KEY, x BLOB)')
    def _put(self, table, ids, x): self.c.executemany(f'INSERT OR REPLACE INTO {table} VALUES (?, ?)', [(o, v.tobytes()) for o,v in zip(ids, x)])
    def commit(self, i, version=0):
        keys,x = content(i, version)
        self.c.execute('BEGIN')
        self.c.executemany(f'INSERT OR REPLACE INTO segments VALUES ({",".join("?"*8)})', list(zip(*(keys[o] for o in TEXT+REAL))))
        for k,v in x.items(): self._put(k, keys['segment_id'], v)
        self.c.execute('COMMIT')
    def tidy(self): self.c.execute('PRAGMA wal_checkpoint(TRUNCATE)')
    def count(self): return self.c.execute('SELECT count(*) FROM segments').fetchone()[0]
    def ids(self): return [o for o, in self.c.execute('SELECT video_id FROM segments ORDER BY segment_id')]
    def matrix(self, column, dim):
        out = np.empty((self.count(), dim), np.float32)
        for i,(b,) in enumerate(self.c.execute(f'SELECT x FROM {column} ORDER BY segment_id')): out[i] = np.frombuffer(b, np.float32)
        return out
    def where(self, split): return len(self.c.execute('SELECT segment_id, start FROM segments WHERE split=?', (split,)).fetchall())
    def add_column(self, fill):
        ids = [o for o, in self.c.execute('SELECT segment_id FROM segments ORDER BY segment_id')]
        self.c.execute('CREATE TABLE new (segment_id TEXT PRIMARY KEY, x BLOB)')
        self.c.execute('BEGIN')
        self._put('new', ids, fill(len(ids)))
        self.c.execute('COMMIT')
    def fill_one(self, i, x):
        self.c.execute('BEGIN')
        self._put('new', content(i)[0]['segment_id'], x)
        self.c.execute('COMMIT')
    def upsert(self, i, version): self.commit(i, version)

class DuckDB:
    "DuckDB: one table with an array column an encoder, through Arrow"
    every = 256
    def __init__(self, folder):
        import duckdb
        folder.mkdir(parents=True, exist_ok=True)
        self.c = duckdb.connect(str(folder/'store.duckdb'))
        cols = [f'{o} VARCHAR' for o in TEXT]+[f'{o} DOUBLE' for o in REAL]+[f'{k} FLOAT[{d}]' for k,d in DIMS.items()]
        self.c.execute(f'CREATE TABLE IF NOT EXISTS segments ({", ".join(cols)})')
    def commit(self, i):
        t = arrow(i)
        self.c.execute('INSERT INTO segments BY NAME SELECT * FROM t')
    def tidy(self): self.c.execute('CHECKPOINT')
    def count(self): return self.c.execute('SELECT count(*) FROM segments').fetchone()[0]
    def ids(self): return [o for o, in self.c.execute('SELECT video_id FROM segments').fetchall()]
    def matrix(self, column, dim):
        n = self.count()
        return dense(self.c.execute(f'SELECT {column} FROM segments').to_arrow_reader(4096), column, n, dim)
    def where(self, split): return self.c.execute('SELECT segment_id, start FROM segments WHERE split=?', [split]).to_arrow_table().num_rows
    def _fill(self, ids, x):
        t = pa.table(dict(segment_id=ids, new=fsl(x)))
        self.c.execute('UPDATE segments SET new=t.new FROM t WHERE segments.segment_id=t.segment_id')
    def add_column(self, fill):
        self.c.execute(f'ALTER TABLE segments ADD COLUMN new FLOAT[{NEW}]')
        ids = [o for o, in self.c.execute('SELECT segment_id FROM segments').fetchall()]
        self._fill(ids, fill(len(ids)))
    def fill_one(self, i, x): self._fill(content(i)[0]['segment_id'], x)
    def upsert(self, i, version):
        t = arrow(i, version)
        self.c.execute('BEGIN')
        self.c.execute('DELETE FROM segments WHERE segment_id IN (SELECT segment_id FROM t)')
        self.c.execute('INSERT INTO segments BY NAME SELECT * FROM t')
        self.c.execute('COMMIT')

class HDF5:
    "One HDF5 file with a growing array a column; a commit is written, flushed, and then counted"
    every = 0
    def __init__(self, folder):
        import h5py
        folder.mkdir(parents=True, exist_ok=True)
        self.f = h5py.File(folder/'store.h5', 'a')
        if 'rows' not in self.f.attrs:
            for o in TEXT: self.f.create_dataset(o, (0,), h5py.string_dtype(), maxshape=(None,), chunks=(1024,))
            for o in REAL: self.f.create_dataset(o, (0,), 'f8', maxshape=(None,), chunks=(1024,))
            for k,d in DIMS.items(): self.f.create_dataset(k, (0, d), 'f4', maxshape=(None, d), chunks=(96, d))
            self.f.attrs['rows'] = 0
            self.f.flush()
    def _rows(self): return int(self.f.attrs['rows'])
    def _write(self, at, i, version):
        keys,x = content(i, version)
        for k,v in {**keys, **x}.items():
            self.f[k].resize(max(at+N, len(self.f[k])), 0)
            self.f[k][at:at+N] = v
    def commit(self, i):
        at = self._rows()
        self._write(at, i, 0)
        self.f.flush()
        self.f.attrs['rows'] = at+N
        self.f.flush()
    def tidy(self): self.f.flush()
    def count(self): return self._rows()
    def ids(self): return [o.decode() for o in self.f['video_id'][:self._rows()]]
    def matrix(self, column, dim): return self.f[column][:self._rows()]
    def where(self, split):
        at = np.flatnonzero(self.f['split'][:self._rows()]==split.encode())
        return len(list(zip(self.f['segment_id'][:][at], self.f['start'][:][at])))
    def add_column(self, fill):
        self.f.create_dataset('new', data=fill(self._rows()), maxshape=(None, NEW), chunks=(96, NEW))
        self.f.flush()
    def _at(self, i): return int(np.flatnonzero(self.f['segment_id'][:self._rows()]==f'v{i:06}_0'.encode())[0])
    def fill_one(self, i, x):
        at = self._at(i)
        self.f['new'][at:at+N] = x
        self.f.flush()
    def upsert(self, i, version):
        self._write(self._at(i), i, version)
        self.f.flush()

ENGINES = dict(lance_256=Lance, lance_64=Lance64, lance_never=LanceNever, lance_hour=LanceHour, parquet=Parquet, sqlite=SQLite, duckdb=DuckDB, hdf5=HDF5)

# ---- the phases, each in a process of its own

def rss(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024
def ms(f, n=5):
    "Median milliseconds of `n` calls"
    t = []
    for _ in range(n):
        a = time.perf_counter()
        f()
        t.append(time.perf_counter()-a)
    return 1000*float(np.median(t))
def size(folder): return sum(o.stat().st_size for o in Path(folder).rglob('*') if o.is_file())/2**20
def due(s, n): return s.every and n%s.every==0

def check(s, videos, version=lambda i: 0):
    "Every row of `videos` is there once and holds what was written"
    ids = np.array([int(o[1:]) for o in s.ids()])
    assert sorted(ids)==sorted(np.repeat(videos, N)), f'{len(ids)} rows of {len(videos)} videos'
    for k,d in DIMS.items():
        x = s.matrix(k, d)
        seen = {}
        for r,i in zip(x, ids): seen.setdefault(int(i), []).append(r)
        for i,rows in seen.items():
            want = content(i, version(i))[1][k]
            assert np.array_equal(np.sort(np.array(rows), 0), np.sort(want, 0)), f'{k} of video {i} is not what was written'

def fill(engine, folder, n):
    s,t,work,base = engine(folder), [], 0., rss()
    for i in range(n):
        content(i) # not the engine's work, but each commit makes it again: measured, and taken off
        a,c = time.perf_counter(),time.process_time()
        s.commit(i)
        if due(s, i+1): s.tidy()
        t.append(time.perf_counter()-a)
        work += time.process_time()-c
    made = ms(lambda: content(7), 50)
    before = size(folder)
    a = time.perf_counter()
    s.tidy()
    t = 1000*np.array(t)-made
    tenth = max(1, n//10)
    return dict(commit_ms_median=np.median(t), commit_ms_p95=np.percentile(t, 95), commit_ms_max=t.max(), commit_ms_mean=t.mean(), cpu_ms_a_commit=1000*work/n-made, growth=np.median(t[-tenth:])/np.median(t[:tenth]),
        last_tidy_s=time.perf_counter()-a, mib_before_tidy=before, mib=size(folder), memory_mib=rss(), memory_before_mib=base)

def read(engine, folder, n):
    engine(folder/'other') # its imports and first connection
    a = time.perf_counter()
    s = engine(folder)
    assert s.count()==n*N
    out = dict(open_ms=1000*(time.perf_counter()-a))
    first = time.perf_counter()
    x = s.matrix('audio', 1506)
    out |= dict(column_first_s=time.perf_counter()-first, column_s=ms(lambda: s.matrix('audio', 1506), 3)/1000, where_ms=ms(lambda: s.where('test'), 9), memory_mib=rss(), matrix_mib=x.nbytes/2**20)
    assert x.shape==(n*N, 1506) and s.where('test')==N*len(range(2, n, 3))
    check(s, range(n))
    return out

def change(engine, folder, n):
    s = engine(folder)
    before,rng,few = size(folder),np.random.default_rng(seed_from('bench_store change')),min(100, n//2)
    a = time.perf_counter()
    s.add_column(lambda k: rng.standard_normal((k, NEW), dtype=np.float32))
    out = dict(add_column_s=time.perf_counter()-a, add_column_mib=size(folder)-before)
    before,t = size(folder), []
    for i in rng.permutation(n)[:few].tolist():
        x = rng.standard_normal((N, NEW), dtype=np.float32)
        a = time.perf_counter()
        s.fill_one(i, x)
        t.append(time.perf_counter()-a)
    out |= dict(fill_one_ms=1000*np.median(t), fill_one_mib=size(folder)-before, memory_mib=rss())
    before,t,new = size(folder), [], rng.permutation(n)[:few].tolist()
    for i in new:
        a = time.perf_counter()
        s.upsert(i, 1)
        t.append(time.perf_counter()-a)
    out |= dict(upsert_ms=1000*np.median(t)-ms(lambda: content(7), 50), upsert_mib=size(folder)-before)
    a = time.perf_counter()
    s.tidy()
    out |= dict(tidy_s=time.perf_counter()-a, mib_after=size(folder))
    check(s, range(n), lambda i: int(i in set(new)))
    return out

def crash(engine, folder, n):
    "The process to be killed: looks what its killed predecessor left, then commits on, says so after each, tidies often"
    seen = verify(engine, folder, n)
    print(json.dumps(seen), flush=True)
    s,first = engine(folder),max(seen['videos'], default=-1)+1
    for i in range(first, first+10**6):
        s.commit(i)
        print(i, flush=True)
        if s.every and (i+1)%16==0: s.tidy()

def verify(engine, folder, n):
    "What a new process finds: which videos, all whole?"
    s = engine(folder)
    ids = [int(o[1:]) for o in s.ids()]
    rows = {i: ids.count(i) for i in sorted(set(ids))}
    half = [i for i,k in rows.items() if k!=N]
    if rows and not half: check(s, list(rows))
    return dict(videos=list(rows), half=len(half))

PHASES = dict(fill=fill, read=read, change=change, crash=crash, verify=verify)

def call(name, phase, folder, n):
    r = subprocess.run([sys.executable, __file__, '--phase', phase, '--engine', name, '--folder', str(folder), '--videos', str(n)], capture_output=True, text=True)
    if r.returncode: return dict(error=r.stderr.strip().split('\n')[-1])
    return json.loads(r.stdout.strip().split('\n')[-1])

def kills(name, folder, rounds=10):
    "Kill a writer `rounds` times at a random moment; what was said to be committed must be there, whole, and the store usable"
    luck,said,out = random.Random(seed_from('bench_store kill')), set(), dict(kills=0, committed=0, lost=0, half=0, unusable=0)
    for k in range(rounds+1):
        if k==rounds: seen = call(name, 'verify', folder, 0)
        else:
            p = subprocess.Popen([sys.executable, __file__, '--phase', 'crash', '--engine', name, '--folder', str(folder), '--videos', '0'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            seen = p.stdout.readline()
            first = p.stdout.readline() # from now on
            time.sleep(luck.uniform(0, .8))
            p.send_signal(signal.SIGKILL)
            done,err = p.communicate()
            seen = json.loads(seen) if first else dict(error=err.strip().split('\n')[-1] or f'exit code {p.returncode}')
        if 'error' in seen:
            out |= dict(unusable=1, error=seen['error'][:200])
            break
        out['lost'] += len(said-set(seen['videos']))
        out['half'] += seen['half']
        said = set(seen['videos']) # with what was committed but killed before it could say so
        if k<rounds:
            out['kills'] += 1
            said |= {int(o) for o in (first+done).split('\n')[:-1]}
    return out | dict(committed=len(said))

def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--videos', type=int, default=2000)
    p.add_argument('--engines', default=','.join(ENGINES))
    p.add_argument('--out', default=str(Path(__file__).parents[1]/'results'/'bench_store.json'))
    p.add_argument('--phase'); p.add_argument('--engine'); p.add_argument('--folder', type=Path)
    a = p.parse_args()
    if a.phase: return print(json.dumps(PHASES[a.phase](ENGINES[a.engine], a.folder, a.videos), default=float))
    names = [o for o in a.engines.split(',') if importlib.util.find_spec(dict(hdf5='h5py').get(o, o if o=='duckdb' else 'lancedb'))]
    out = {o: {} for o in names}
    with tempfile.TemporaryDirectory() as tmp:
        for phase in ('fill', 'read', 'change', 'crash'):
            for o in names:
                if any('error' in v for v in out[o].values()) or (phase=='crash' and o.startswith('lance_') and o!='lance_256'): continue # one Lance is enough to kill
                out[o][phase] = call(o, phase, Path(tmp)/o, a.videos) if phase!='crash' else kills(o, Path(tmp)/f'{o}-crash')
                print(f'{phase:7}{o:12}', json.dumps(out[o][phase], default=lambda v: round(v, 2)), file=sys.stderr)
    doc = dict(command='python bench/store.py', videos=a.videos, rows=a.videos*N, raw_mib=a.videos*N*sum(DIMS.values())*4/2**20, cores=len(os.sched_getaffinity(0)), machine=platform.machine(), load_at_end=os.getloadavg()[0],
        versions={o: version(o) for o in ('lancedb', 'pylance', 'pyarrow', 'numpy', 'duckdb', 'h5py') if importlib.util.find_spec(o.replace('pylance', 'lance'))} | dict(sqlite=sqlite3.sqlite_version, python=platform.python_version()),
        engines={k: {ph: {m: round(x, 3) if isinstance(x, float) else x for m,x in v.items()} for ph,v in d.items()} for k,d in out.items()})
    with atomic_write(a.out) as tmp: tmp.write_text(json.dumps(doc, indent=1)+'\n')
    table(doc)

def table(doc):
    "Print the results for people"
    from rich.console import Console
    from rich.table import Table
    t = Table(title=f'{doc["videos"]} videos, {doc["rows"]} rows, {doc["raw_mib"]:.0f} MiB of vectors, {doc["cores"]} cores')
    t.add_column('')
    for o in doc['engines']: t.add_column(o, justify='right')
    for phase,m in (('fill','commit_ms_median'), ('fill','commit_ms_p95'), ('fill','commit_ms_max'), ('fill','cpu_ms_a_commit'), ('fill','growth'), ('fill','mib'), ('fill','memory_mib'), ('read','open_ms'), ('read','column_s'), ('read','where_ms'), ('read','memory_mib'),
            ('change','add_column_s'), ('change','add_column_mib'), ('change','fill_one_ms'), ('change','fill_one_mib'), ('change','upsert_ms'), ('change','upsert_mib'), ('change','mib_after'), ('crash','committed'), ('crash','lost'), ('crash','half'), ('crash','unusable')):
        t.add_row(f'{phase} {m}', *(f'{o[phase][m]:.4g}' if m in o.get(phase, {}) else '–' for o in doc['engines'].values()))
    Console(width=120).print(t)

if __name__=='__main__': main()
