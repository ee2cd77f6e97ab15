"""Table engines that bench/store.py compares: the same rows, written and read in each engine's own way

Every row carries the number and the version of its video in its vectors, so that what is read can be checked.
"""
import sqlite3
from datetime import timedelta
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from mvrep.core import atomic_write, seed_from

N_SEGMENTS = 6 # of each video
WIDTHS = dict(audio=1506, video=1280)
NEW_WIDTH = 512 # of the column that is added later
TEXT = ('segment_id', 'video_id', 'split', 'source', 'audio_made_by', 'video_made_by')
REAL = ('start', 'length')
SPLITS = ('train', 'valid', 'test')

# The rows

def content(i, version=0):
    "Keys and vectors of the segments of video `i`; the first two values of a vector are `i` and `version`"
    rng = np.random.default_rng(seed_from('bench_store', i, version))
    vectors = {k: rng.standard_normal((N_SEGMENTS, width), dtype=np.float32) for k, width in WIDTHS.items()}
    for x in vectors.values(): x[:, :2] = i, version
    numbers = range(N_SEGMENTS)
    keys = dict(
        segment_id=[f'v{i:06}_{j}' for j in numbers], video_id=[f'v{i:06}' for _ in numbers],
        split=[SPLITS[i%3] for _ in numbers], source=[f'{i}-{version}' for _ in numbers],
        audio_made_by=['musicnn_mtt-0123456789abcdef-1' for _ in numbers],
        video_made_by=['efficientnet_lite0-0123456789abcdef-1' for _ in numbers],
        start=[5.*j for j in numbers], length=[5. for _ in numbers])
    return keys, vectors

def vector_column(x): return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(x).ravel()), x.shape[1])

def new_column(segment_ids, x):
    "A table that adds the column `new` to segments"
    return pa.table(dict(segment_id=segment_ids, new=vector_column(x)))

def video_table(i, version=0):
    "The segments of a video as an Arrow table"
    keys, vectors = content(i, version)
    return pa.table(keys|{k: vector_column(x) for k, x in vectors.items()})

SCHEMA = video_table(0).schema

def dense(batches, column, n, width):
    "A column of Arrow batches as a matrix, copied once"
    out = np.empty((n, width), np.float32)
    start = 0
    for batch in batches:
        x = batch[column].flatten().to_numpy(zero_copy_only=True).reshape(-1, width)
        out[start:start+len(x)] = x
        start += len(x)
    assert start==n, (start, n)
    return out

# The engines. Each opens or creates its files in a folder and has these methods:
#   commit(i)             store the segments of video i, on disk when it returns
#   upsert(i, version)    store them again, in place of the old ones
#   add_column(fill)      add `new`, with the vectors fill(n) for the n segments in the engine's order
#   fill_one(i, x)        write `new` of one video
#   count(), ids()        number of segments, video id of each
#   matrix(column, width) a column of vectors, shape (n, width)
#   where(split)          number of segments of a split, found by a filter
#   tidy()                compaction, called after every `tidy_every` commits; never if 0

class Lance:
    "LanceDB: an Arrow table with versions; a commit is a new fragment and a new manifest"
    tidy_every = 256
    old = timedelta(0)

    def __init__(self, folder):
        import lancedb
        self.table = lancedb.connect(folder/'lance').create_table('segments', schema=SCHEMA, exist_ok=True)

    def commit(self, i): self.table.add(video_table(i))
    def tidy(self): self.table.optimize(cleanup_older_than=self.old)
    def count(self): return self.table.count_rows()
    def column(self, name): return self.table.search().select([name]).to_arrow()[name]
    def ids(self): return self.column('video_id').to_pylist()

    def matrix(self, column, width):
        return dense(self.table.to_lance().to_batches(columns=[column], batch_size=4096), column, self.count(), width)

    def where(self, split):
        return self.table.search().where(f"split = '{split}'").select(['segment_id', 'start']).to_arrow().num_rows

    def add_column(self, fill):
        ids = self.column('segment_id')
        self.table.to_lance().merge(new_column(ids, fill(len(ids))), 'segment_id') # writes files of the new column only
        self.table.checkout_latest()

    def fill_one(self, i, x):
        rows = new_column(content(i)[0]['segment_id'], x)
        self.table.merge_insert('segment_id').when_matched_update_all().execute(rows)

    def upsert(self, i, version):
        merge = self.table.merge_insert('segment_id').when_matched_update_all().when_not_matched_insert_all()
        merge.execute(video_table(i, version))

class Lance64(Lance): tidy_every = 64

class LanceNever(Lance): tidy_every = 0

class LanceHour(Lance):
    "As `Lance`, but old versions are kept for an hour, and a new column is filled by a merge"
    old = timedelta(hours=1)

    def add_column(self, fill):
        self.table.add_columns(pa.schema([('new', pa.list_(pa.float32(), NEW_WIDTH))]))
        ids = self.column('segment_id')
        self.table.merge_insert('segment_id').when_matched_update_all().execute(new_column(ids, fill(len(ids))))

class CommitReplaces:
    "An engine whose commit replaces the rows of a video that it has"
    def upsert(self, i, version): self.commit(i, version)

class Parquet(CommitReplaces):
    "A folder of Parquet files, named by first and last commit; a compacted file hides those it replaces"
    tidy_every = 256

    def __init__(self, folder):
        self.home, self.home_of_new = folder/'parquet', folder/'parquet-new'
        for o in (self.home, self.home_of_new): o.mkdir(parents=True, exist_ok=True)
        self.n = self._next(self.home)

    @staticmethod
    def _span(path): return tuple(int(o) for o in path.stem.split('-'))

    def _next(self, home): return max((self._span(o)[1] for o in home.glob('[0-9]*.parquet')), default=-1)+1

    def files(self):
        "The files that hold, without those that a compacted file replaces"
        found, last = [], -1
        for path in sorted(self.home.glob('[0-9]*.parquet'), key=lambda o: (self._span(o)[0], -self._span(o)[1])):
            end = self._span(path)[1]
            if end>last: found.append(path)
            last = max(last, end)
        return found

    @staticmethod
    def _write(home, first, last, table):
        with atomic_write(home/f'{first:08}-{last:08}.parquet') as tmp:
            pq.write_table(table, tmp, compression='none', use_dictionary=list(TEXT))

    def data(self): return pads.dataset([str(o) for o in self.files()])
    def column(self, name): return self.data().to_table(columns=[name])[name]

    def commit(self, i, version=0):
        self._write(self.home, self.n, self.n, video_table(i, version))
        self.n += 1

    def tidy(self):
        small = [o for o in self.files() if len(set(self._span(o)))==1]
        if len(small)<2: return
        first, last = self._span(small[0])[0], self._span(small[-1])[1]
        self._write(self.home, first, last, pa.concat_tables([pq.read_table(o) for o in small]))
        for o in small: o.unlink()

    def _latest(self):
        "Rows that hold: the last one of each segment"
        row_of = {segment_id: row for row, segment_id in enumerate(self.column('segment_id').to_pylist())}
        return np.sort(list(row_of.values()))

    def count(self): return len(self._latest())
    def ids(self): return self.column('video_id').take(self._latest()).to_pylist() if self.files() else []

    def matrix(self, column, width):
        data = self.data()
        batches = data.to_batches(columns=[column], batch_size=4096)
        return dense(batches, column, data.count_rows(), width)[self._latest()]

    def where(self, split):
        rows = self.data().to_table(columns=['segment_id', 'start', 'split']).take(self._latest())
        return rows.filter(pads.field('split')==split).num_rows

    def add_column(self, fill):
        ids = self.column('segment_id').combine_chunks()
        self._write(self.home_of_new, 0, 0, new_column(ids, fill(len(ids))))

    def fill_one(self, i, x):
        n = self._next(self.home_of_new)
        self._write(self.home_of_new, n, n, new_column(content(i)[0]['segment_id'], x))

class SQLite(CommitReplaces):
    "SQLite with a write-ahead log: one table of keys, one table of blobs per encoder"
    tidy_every = 0

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(folder/'store.sqlite', isolation_level=None)
        self.db.execute('PRAGMA journal_mode=WAL')
        self.db.execute('PRAGMA synchronous=NORMAL')
        columns = ['segment_id TEXT PRIMARY KEY', *(f'{o} TEXT' for o in TEXT[1:]), *(f'{o} REAL' for o in REAL)]
        self.db.execute(f'CREATE TABLE IF NOT EXISTS segments ({", ".join(columns)}) WITHOUT ROWID')
        for o in WIDTHS: self.db.execute(f'CREATE TABLE IF NOT EXISTS {o} (segment_id TEXT PRIMARY KEY, x BLOB)')

    def _put(self, table, ids, x):
        rows = [(segment_id, vector.tobytes()) for segment_id, vector in zip(ids, x)]
        self.db.executemany(f'INSERT OR REPLACE INTO {table} VALUES (?, ?)', rows)

    def commit(self, i, version=0):
        keys, vectors = content(i, version)
        rows = list(zip(*(keys[o] for o in TEXT+REAL)))
        self.db.execute('BEGIN')
        self.db.executemany(f'INSERT OR REPLACE INTO segments VALUES ({",".join("?"*len(TEXT+REAL))})', rows)
        for table, x in vectors.items(): self._put(table, keys['segment_id'], x)
        self.db.execute('COMMIT')

    def tidy(self): self.db.execute('PRAGMA wal_checkpoint(TRUNCATE)')
    def count(self): return self.db.execute('SELECT count(*) FROM segments').fetchone()[0]
    def column(self, name): return [o for o, in self.db.execute(f'SELECT {name} FROM segments ORDER BY segment_id')]
    def ids(self): return self.column('video_id')

    def matrix(self, column, width):
        out = np.empty((self.count(), width), np.float32)
        rows = self.db.execute(f'SELECT x FROM {column} ORDER BY segment_id')
        for i, (blob,) in enumerate(rows): out[i] = np.frombuffer(blob, np.float32)
        return out

    def where(self, split):
        return len(self.db.execute('SELECT segment_id, start FROM segments WHERE split=?', (split,)).fetchall())

    def add_column(self, fill):
        ids = self.column('segment_id')
        self.db.execute('CREATE TABLE new (segment_id TEXT PRIMARY KEY, x BLOB)')
        self._put_new(ids, fill(len(ids)))

    def _put_new(self, ids, x):
        self.db.execute('BEGIN')
        self._put('new', ids, x)
        self.db.execute('COMMIT')

    def fill_one(self, i, x): self._put_new(content(i)[0]['segment_id'], x)
class DuckDB:
    "DuckDB: one table with an array column per encoder, written and read through Arrow"
    tidy_every = 256

    def __init__(self, folder):
        import duckdb
        folder.mkdir(parents=True, exist_ok=True)
        self.db = duckdb.connect(str(folder/'store.duckdb'))
        columns = [f'{o} VARCHAR' for o in TEXT]+[f'{o} DOUBLE' for o in REAL]
        columns += [f'{k} FLOAT[{width}]' for k, width in WIDTHS.items()]
        self.db.execute(f'CREATE TABLE IF NOT EXISTS segments ({", ".join(columns)})')

    def _insert(self, arrived): # DuckDB finds the Arrow table by the name of the variable
        self.db.execute('INSERT INTO segments BY NAME SELECT * FROM arrived')

    def commit(self, i): self._insert(video_table(i))
    def tidy(self): self.db.execute('CHECKPOINT')
    def count(self): return self.db.execute('SELECT count(*) FROM segments').fetchone()[0]
    def column(self, name): return [o for o, in self.db.execute(f'SELECT {name} FROM segments').fetchall()]
    def ids(self): return self.column('video_id')

    def matrix(self, column, width):
        n = self.count()
        return dense(self.db.execute(f'SELECT {column} FROM segments').to_arrow_reader(4096), column, n, width)

    def where(self, split):
        found = self.db.execute('SELECT segment_id, start FROM segments WHERE split=?', [split])
        return found.to_arrow_table().num_rows

    def _update(self, arrived):
        matches = 'segments.segment_id=arrived.segment_id'
        self.db.execute(f'UPDATE segments SET new=arrived.new FROM arrived WHERE {matches}')

    def add_column(self, fill):
        self.db.execute(f'ALTER TABLE segments ADD COLUMN new FLOAT[{NEW_WIDTH}]')
        ids = self.column('segment_id')
        self._update(new_column(ids, fill(len(ids))))

    def fill_one(self, i, x): self._update(new_column(content(i)[0]['segment_id'], x))

    def upsert(self, i, version):
        arrived = video_table(i, version)
        self.db.execute('BEGIN')
        self.db.execute('DELETE FROM segments WHERE segment_id IN (SELECT segment_id FROM arrived)')
        self._insert(arrived)
        self.db.execute('COMMIT')

class HDF5:
    "One HDF5 file with a growing array per column; a commit is written, flushed, and then counted"
    tidy_every = 0

    def __init__(self, folder):
        import h5py
        folder.mkdir(parents=True, exist_ok=True)
        self.file = h5py.File(folder/'store.h5', 'a')
        if 'rows' in self.file.attrs: return
        text = h5py.string_dtype()
        for o in TEXT: self.file.create_dataset(o, (0,), text, maxshape=(None,), chunks=(1024,))
        for o in REAL: self.file.create_dataset(o, (0,), 'f8', maxshape=(None,), chunks=(1024,))
        for k, width in WIDTHS.items():
            self.file.create_dataset(k, (0, width), 'f4', maxshape=(None, width), chunks=(96, width))
        self.file.attrs['rows'] = 0
        self.file.flush()

    def _write(self, start, i, version):
        keys, vectors = content(i, version)
        for name, values in (keys|vectors).items():
            column = self.file[name]
            column.resize(max(start+N_SEGMENTS, len(column)), 0)
            column[start:start+N_SEGMENTS] = values

    def commit(self, i):
        start = self.count()
        self._write(start, i, 0)
        self.file.flush()
        self.file.attrs['rows'] = start+N_SEGMENTS
        self.file.flush()

    def tidy(self): self.file.flush()
    def count(self): return int(self.file.attrs['rows'])
    def ids(self): return [o.decode() for o in self.file['video_id'][:self.count()]]
    def matrix(self, column, width): return self.file[column][:self.count()]

    def where(self, split):
        rows = np.flatnonzero(self.file['split'][:self.count()]==split.encode())
        return len(list(zip(self.file['segment_id'][:][rows], self.file['start'][:][rows])))

    def add_column(self, fill):
        x = fill(self.count())
        self.file.create_dataset('new', data=x, maxshape=(None, NEW_WIDTH), chunks=(96, NEW_WIDTH))
        self.file.flush()

    def _row(self, i):
        return int(np.flatnonzero(self.file['segment_id'][:self.count()]==f'v{i:06}_0'.encode())[0])

    def fill_one(self, i, x):
        row = self._row(i)
        self.file['new'][row:row+N_SEGMENTS] = x
        self.file.flush()

    def upsert(self, i, version):
        self._write(self._row(i), i, version)
        self.file.flush()

ENGINES = dict(lance_256=Lance, lance_64=Lance64, lance_never=LanceNever, lance_hour=LanceHour, parquet=Parquet,
               sqlite=SQLite, duckdb=DuckDB, hdf5=HDF5)
PACKAGE = dict(sqlite='sqlite3', duckdb='duckdb', hdf5='h5py', parquet='pyarrow') # lancedb for the others
