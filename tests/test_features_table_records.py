"Tables as they were recorded: older, changed and missing files, and files that may be gone"
import shutil
from datetime import timedelta
import lancedb
import numpy as np
import pyarrow as pa
import pytest
from mvrep.features.table_records import RECORD, compare_table, newest_version, read_tables, record_tables

def rows(*ids): return pa.table(dict(id=pa.array(ids, pa.string()), x=np.arange(len(ids))))

@pytest.fixture
def store(tmp_path):
    "A table of three versions, one of which deleted a row"
    table = lancedb.connect(tmp_path).create_table('videos', rows('a', 'b'))
    table.add(rows('c', 'd'))
    table.delete("id = 'a'")
    return tmp_path

def problems(store, **options):
    record = read_tables(store)['videos']
    return [str(o).removeprefix(f'{store}/') for o in compare_table(store, 'videos', record, **options)]

def files(store, pattern): return sorted((store/'videos.lance').glob(pattern))

def flip(path, position=-1):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)

def test_versions(store, tmp_path):
    assert newest_version(store/'videos.lance')==3 and newest_version(tmp_path/'nothing.lance')==0
    assert read_tables(store)=={}
    record = record_tables(store)['videos']
    assert record.version==3 and read_tables(store)=={'videos': record}
    kinds = sorted(name.split('/')[1] for name in record.files)
    assert kinds==['_deletions', '_versions', 'data', 'data'] # the newest manifest only
    assert problems(store)==[]

def test_a_record_follows_the_table(store):
    first = record_tables(store)
    assert record_tables(store)==first
    lancedb.connect(store).open_table('videos').add(rows('e'))
    assert problems(store)==[] # newer than its record
    assert record_tables(store)['videos'].version==4 and len(files(store, 'data/*'))==3
    (store/'half.lance').mkdir() # a table that was never completed
    assert list(record_tables(store))==['videos']

def test_an_older_table(store):
    record_tables(store)
    newest = min(files(store, '_versions/*.manifest'), key=lambda o: int(o.stem)) # numbers run down
    newest.unlink()
    assert problems(store)==['videos.lance is at version 2, but version 3 was written: its newest manifest is missing']
    shutil.rmtree(store/'videos.lance'/'_versions')
    assert problems(store)==['videos.lance is missing or has no manifest']

def test_the_engine_notes_versions_that_were_not_recorded(store):
    record_tables(store)
    table = lancedb.connect(store).open_table('videos')
    table.add(rows('e'))
    assert problems(store)==[]
    min(files(store, '_versions/*.manifest'), key=lambda o: int(o.stem)).unlink()
    assert [o.split(' is at ')[1] for o in problems(store)]==[
        'version 3, but version 4 was written: its newest manifest is missing']

@pytest.mark.parametrize('pattern', ['data/*', '_deletions/*'])
def test_changed_contents(store, pattern):
    record_tables(store)
    path = files(store, pattern)[0]
    flip(path)
    name = path.relative_to(store)
    assert problems(store)==[f'{name} was changed between byte 0 and {path.stat().st_size:,}']
    assert problems(store, contents=False)==[] and problems(store, skip=[str(name)])==[]
    path.write_bytes(path.read_bytes()[:-2])
    assert len(problems(store, contents=False))==1 # another size is always seen

def test_a_changed_manifest_is_always_seen(store):
    record_tables(store)
    flip(min(files(store, '_versions/*.manifest'), key=lambda o: int(o.stem)), 20)
    assert [o.split(' was ')[0].split('/')[1] for o in problems(store, contents=False)]==['_versions']

def test_files_that_are_missing(store):
    record_tables(store)
    files(store, 'data/*')[0].unlink()
    assert [o.rpartition(' is ')[2] for o in problems(store)]==['missing']

@pytest.mark.filterwarnings('ignore:optimize')
def test_files_of_earlier_versions_may_be_gone(store):
    record_tables(store)
    empty = lancedb.connect(store).create_table('videos', schema=rows().schema, mode='overwrite')
    empty.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
    assert not files(store, 'data/*') and problems(store)==[]

def test_a_damaged_record(store):
    record_tables(store)
    (store/RECORD).write_text((store/RECORD).read_text().replace('"version": 3', '"version": 2'))
    with pytest.raises(ValueError, match='was changed since it was written'): read_tables(store)
    with pytest.raises(ValueError, match='was changed since it was written'): record_tables(store)
