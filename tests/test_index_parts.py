"Exact and approximate search, and builds on disk, apart from an index"
import os
import subprocess
import sys
import lancedb
import numpy as np
import pyarrow as pa
import pytest
from mvrep.features.vectors import unit_norm
from mvrep.index.approximate import find_candidates, make_cells, tune_cells
from mvrep.index.exact import best_rows, joint_scores
from mvrep.index.storage import (build_folder, build_numbers, current_number, is_unchanged, new_build, previous_number,
                                 restore_table, use_build)

# Exact search

@pytest.fixture(scope='module')
def matrix():
    return unit_norm(np.random.default_rng(0).standard_normal((20000, 64), dtype=np.float32))

@pytest.mark.parametrize('max_scores', [2**23, 200_000, 1])
def test_the_block_size_changes_nothing(matrix, max_scores):
    expected = np.argsort(-(matrix[:5]@matrix.T), axis=1, kind='stable')[:, :10]
    found = best_rows([(matrix, matrix[:5])], k=10, max_scores=max_scores)
    reference = best_rows([(matrix, matrix[:5])], k=10)
    for (rows, scores), row, (_, reference_scores) in zip(found, expected, reference):
        assert np.array_equal(rows, row) and np.array_equal(scores, reference_scores)

@pytest.mark.parametrize('rows', [np.arange(7, 20000, 20), np.arange(1, 20000, 2)], ids=['few', 'many'])
def test_restricted_rows(matrix, rows):
    expected = rows[np.argsort(-(matrix[:5]@matrix[rows].T), axis=1)[:, :10]]
    found = best_rows([(matrix, matrix[:5])], 10, rows=rows)
    assert np.array_equal([o for o, _ in found], expected)

def test_fewer_rows_than_wanted(matrix):
    assert [len(o) for o, _ in best_rows([(matrix, matrix[:2])], 10, rows=np.array([4, 9]))]==[2, 2]
    assert [len(o) for o, _ in best_rows([(matrix, matrix[:2])], 10, rows=np.array([], int))]==[0, 0]

def test_equal_scores_come_in_the_order_of_ties(matrix):
    same = np.repeat(matrix[:1], 3000, axis=0)
    ties = np.random.default_rng(1).permutation(3000)
    (rows, scores), = best_rows([(same, matrix[:1])], 4, ties=ties, max_scores=5000)
    assert ties[rows].tolist()==[0, 1, 2, 3] and np.allclose(scores, 1)

def test_a_factor_multiplies_each_row(matrix):
    factor = np.random.default_rng(2).uniform(.1, 1, len(matrix)).astype(np.float32)
    (rows, scores), = best_rows([(matrix, matrix[:1])], 5, factor)
    expected = (matrix@matrix[0])*factor
    assert np.array_equal(rows, np.argsort(-expected)[:5])
    assert np.allclose(scores, np.sort(expected)[::-1][:5], atol=1e-6)

def test_two_modalities_are_added(matrix):
    other = unit_norm(np.random.default_rng(3).standard_normal((20000, 8)))
    (rows, scores), = best_rows([(matrix, .5*matrix[:1]), (other, .5*other[:1])], 3)
    expected = .5*matrix@matrix[0]+.5*other@other[0]
    assert np.array_equal(rows, np.argsort(-expected)[:3])

def test_joint_scores_where_a_modality_is_missing():
    cosines = dict(audio=np.array([1., .5]), video=np.array([1., np.nan]))
    has = dict(audio=np.array([True, True]), video=np.array([True, False]))
    only_video = joint_scores(cosines, has, dict(audio=False, video=True))
    assert np.isnan(only_video).tolist()==[False, True]
    video_counts = joint_scores(cosines, has, dict(audio=True, video=True), weight=0)
    assert np.isnan(video_counts).tolist()==[False, True]
    with pytest.raises(ValueError, match='between 0 and 1'):
        joint_scores(cosines, has, dict(audio=True, video=True), weight=2)

def test_what_a_candidate_lacks_does_not_lower_its_score():
    "The same audio is the same audio, with or without video, for a query with and without"
    cosines = dict(audio=np.array([1., 1.]), video=np.array([.2, np.nan]))
    has = dict(audio=np.array([True, True]), video=np.array([True, False]))
    assert joint_scores(cosines, has, dict(audio=True, video=True), weight=.25).tolist()==[.25+.75*.2, 1]
    assert joint_scores(cosines, has, dict(audio=True, video=False), weight=.25).tolist()==[1, 1]

MEMORY = '''
import sys, threading, time
import numpy as np
from mvrep.index.exact import best_rows
x = np.lib.format.open_memmap(sys.argv[1], 'w+', np.float32, (100_000, 256))
rng = np.random.default_rng(0)
for i in range(0, len(x), 10000): x[i:i+10000] = rng.standard_normal((10000, 256), dtype=np.float32)
queries = np.array(x[:400])
x = np.load(sys.argv[1], mmap_mode='r')

def anonymous_mb():
    line = next(o for o in open('/proc/self/status') if o.startswith('RssAnon'))
    return int(line.split()[1])//1024

before, peak, done = anonymous_mb(), [0], threading.Event()
def watch():
    while not done.is_set():
        peak[0] = max(peak[0], anonymous_mb())
        time.sleep(.005)

watcher = threading.Thread(target=watch)
watcher.start()
found = best_rows([(x, queries)], 10, max_scores=2**22)
done.set()
watcher.join()
assert all(rows[0]==i for i, (rows, _) in enumerate(found))
print(peak[0]-before)
'''

def test_memory_does_not_grow_with_the_index(tmp_path):
    "A search of 400 queries in 100 MB of embeddings; all scores at once would take 160 MB"
    command = [sys.executable, '-c', MEMORY, str(tmp_path/'x.npy')]
    result = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, OMP_NUM_THREADS='1'))
    assert result.returncode==0, result.stderr
    assert int(result.stdout)<90, result.stdout

# Approximate search

@pytest.fixture(scope='module')
def clusters():
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((60, 32), dtype=np.float32)
    return unit_norm(centres[rng.integers(60, size=6000)]+.8*rng.standard_normal((6000, 32), dtype=np.float32))

@pytest.mark.parametrize('width', [32, 30, 7])
def test_any_width(tmp_path, clusters, width):
    x = unit_norm(clusters[:, :width])
    n_cells = make_cells(tmp_path, 'cells', lambda: iter([x[:2500], x[2500:]]), *x.shape)
    table = lancedb.connect(tmp_path).open_table('cells')
    hits = [row in find_candidates(table, x[row], 100, n_cells) for row in range(0, 6000, 300)]
    assert np.mean(hits)>.8

def test_tuned_settings_find_more_than_a_single_cell(tmp_path, clusters):
    x, rng = clusters, np.random.default_rng(1)
    n_cells = make_cells(tmp_path, 'cells', lambda: iter([x]), *x.shape)
    table = lancedb.connect(tmp_path).open_table('cells')
    chosen = rng.choice(len(x), 200, replace=False)
    neighbours = [rows[rows!=i][:10] for i, (rows, _) in zip(chosen, best_rows([(x, x[chosen])], 11))]
    tuned = tune_cells(table, n_cells, x[chosen], neighbours)
    single = np.mean([np.isin(o, find_candidates(table, q, 10, 1)).mean() for o, q in zip(neighbours, x[chosen])])
    assert single<.9<tuned.recall # .95 was reached on the half that chose
    assert tuned.low<tuned.recall<=tuned.high and tuned.high-tuned.low>.003 # a width even if all were found
    assert (tuned.n_queries, tuned.k, tuned.target, tuned.n_cells)==(100, 10, .95, n_cells)
    with pytest.raises(ValueError, match='search exactly'):
        tune_cells(table, n_cells, x[chosen], neighbours, lengths=(12,))

# Builds on disk

def writer(text): return lambda folder: (folder/'content').write_text(text)

def contents(home): return {o: (build_folder(home, o)/'content').read_text() for o in build_numbers(home)}

def test_the_last_three_builds_of_a_line_are_kept(tmp_path):
    assert current_number(tmp_path)==0
    for text in 'abcd': new_build(tmp_path, writer(text), {})
    assert contents(tmp_path)=={2: 'b', 3: 'c', 4: 'd'} and current_number(tmp_path)==4
    use_build(tmp_path, 2)
    assert build_numbers(tmp_path)==[2, 3, 4] # until another is made, forward is possible
    new_build(tmp_path, writer('e'), {})
    assert contents(tmp_path)=={2: 'b', 5: 'e'} and previous_number(tmp_path, 5)==2

def test_a_build_that_fails_leaves_nothing(tmp_path):
    new_build(tmp_path, writer('a'), {})
    def fail(folder): raise OSError('No space left on device')
    with pytest.raises(OSError, match='No space'): new_build(tmp_path, fail, {})
    assert sorted(o.name for o in tmp_path.iterdir())==['0001', 'current']

def test_two_writers_do_not_disturb_each_other(tmp_path):
    new_build(tmp_path, writer('a'), {})
    def interrupted(folder):
        new_build(tmp_path, writer('b'), {}) # another writer makes a build meanwhile
        writer('c')(folder)
    assert new_build(tmp_path, interrupted, {})==3 and contents(tmp_path)=={1: 'a', 2: 'b', 3: 'c'}

def inodes(folder): return {o.stat().st_ino for o in folder.rglob('*.lance') if o.is_file()}

def test_a_kept_table_is_linked_and_restored(tmp_path):
    home, store = tmp_path/'index', tmp_path/'store'
    db = lancedb.connect(store)
    x = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(8, dtype=np.float32)), 4)
    x = pa.concat_arrays([x, pa.nulls(1, x.type)])
    table = db.create_table('segments', pa.table(dict(id=['a', 'b', 'c'], x=x)))
    before = table.to_arrow()
    number = new_build(home, writer('a'), {'segments.lance': store/'segments.lance'})
    kept = build_folder(home, number)/'segments.lance'
    assert inodes(kept) & inodes(store/'segments.lance') # the table's own files, not copies
    assert is_unchanged(store, kept) and not restore_table(db, kept)
    table.delete("id = 'a'")
    table.drop_columns(['x'])
    assert not is_unchanged(store, kept) and restore_table(db, kept)
    assert is_unchanged(store, kept) and not restore_table(db, kept)
    assert db.open_table('segments').to_arrow()==before
