"Checksums of files of several blocks, records of values, and arrays of which only what is read is compared"
import json
import os
import zlib
import numpy as np
import pytest
from mvrep.features.checksums import (BLOCK, CheckedArrays, Checksum, checksum, find_change, from_json, read_record,
                                      record_files, to_json, write_record)

@pytest.fixture
def content(): return np.random.default_rng(0).integers(0, 256, 5*BLOCK+7, np.uint8).tobytes()

def change(path, position):
    "Change one byte of a file"
    with open(path, 'r+b') as file:
        file.seek(position)
        old = file.read(1)
        file.seek(position)
        file.write(bytes([old[0]^1]))

def test_checksum_by_hand(tmp_path, content):
    for size in (0, 5, BLOCK, BLOCK+1, len(content)):
        (tmp_path/'file').write_bytes(content[:size])
        blocks = [content[:size][i:i+BLOCK] for i in range(0, size, BLOCK)]
        assert checksum(tmp_path/'file')==Checksum(size, tuple(map(zlib.crc32, blocks)))

@pytest.mark.parametrize('position, words', [
    (0, 'between byte 0 and 1,048,576'), (BLOCK-1, 'between byte 0 and 1,048,576'),
    (BLOCK, 'between byte 1,048,576 and 2,097,152'), (5*BLOCK+6, 'between byte 5,242,880 and 5,242,887')])
def test_the_place_of_a_change(tmp_path, content, position, words):
    (tmp_path/'file').write_bytes(content)
    expected = checksum(tmp_path/'file')
    assert find_change(tmp_path/'file', expected)==''
    change(tmp_path/'file', position)
    assert find_change(tmp_path/'file', expected)==f'was changed {words}'
    changed, other = position//BLOCK, (position//BLOCK+1)%6
    assert find_change(tmp_path/'file', expected, [changed]) and not find_change(tmp_path/'file', expected, [other])
    assert not find_change(tmp_path/'file', expected, ()) # only the size

def test_sizes_and_missing_files(tmp_path):
    (tmp_path/'file').write_bytes(b'abc')
    expected = checksum(tmp_path/'file')
    for text, words in ((b'ab', 'has 2 bytes instead of 3'), (b'abcd', 'has 4 bytes instead of 3')):
        (tmp_path/'file').write_bytes(text)
        assert find_change(tmp_path/'file', expected)==find_change(tmp_path/'file', expected, ())==words
    assert find_change(tmp_path/'other', expected)=='is missing'
    n_open = len(os.listdir('/proc/self/fd'))
    for _ in range(5): find_change(tmp_path/'file', expected)
    assert len(os.listdir('/proc/self/fd'))==n_open

def test_records(tmp_path):
    path = tmp_path/'record.json'
    write_record(path, dict(b=1, a=[2]), indent=1)
    assert read_record(path)==dict(a=[2], b=1) and '\n' in path.read_text()
    path.write_text(json.dumps(dict(json.loads(path.read_text()), b=2)))
    with pytest.raises(ValueError, match='record.json was changed'): read_record(path)
    for text in ('[1]', '{"b": 1}'):
        path.write_text(text)
        with pytest.raises(ValueError, match='record.json was changed'): read_record(path)
    assert read_record(path, optional=('b', 'c'))==dict(b=1) # as an earlier version wrote it
    with pytest.raises(ValueError, match='record.json was changed'): read_record(path, optional=('c',))
    with pytest.raises(FileNotFoundError): read_record(tmp_path/'nothing')

def test_known_files_are_not_read_again(tmp_path):
    for name in 'ab': (tmp_path/name).write_text(name)
    known = record_files(tmp_path, ['a'], {})
    (tmp_path/'a').write_text('x') # damage that came later
    found = record_files(tmp_path, ['a', 'b'], known)
    assert found==dict(a=known['a'], b=checksum(tmp_path/'b')) and find_change(tmp_path/'a', found['a'])
    assert from_json(json.loads(json.dumps(to_json(found))))==found

# Arrays

ROW = 3000 # numbers of 4 bytes: a block ends inside of most rows

@pytest.fixture
def array(tmp_path):
    np.save(tmp_path/'x.npy', np.random.default_rng(0).normal(size=(400, ROW)).astype(np.float32))
    return tmp_path/'x.npy'

def checked(path, expected): return CheckedArrays(dict(x=path), dict(x=expected), 'restore it')

def test_an_array_is_compared_when_it_is_used(array):
    expected, original = checksum(array), np.load(array)
    assert len(expected.crc32)==5
    change(array, 3*BLOCK+5)
    arrays = checked(array, expected)
    assert list(arrays)==['x'] and len(arrays)==1
    with pytest.raises(ValueError, match='x.npy was changed between byte 3,145,728 and 4,194,304: restore it'):
        arrays['x']
    change(array, 3*BLOCK+5)
    np.testing.assert_array_equal(checked(array, expected)['x'], original)

@pytest.mark.parametrize('block', range(1, 5))
def test_only_the_blocks_of_the_rows_are_compared(array, block):
    "A row is damaged if any of its bytes is in the damaged block"
    expected, offset = checksum(array), np.load(array, mmap_mode='r').offset
    change(array, block*BLOCK+5)
    for row in range(0, 400, 13):
        first, last = (offset+4*ROW*row)//BLOCK, (offset+4*ROW*(row+1)-1)//BLOCK
        arrays = checked(array, expected)
        if first<=block<=last:
            with pytest.raises(ValueError, match='was changed'): arrays.rows('x', np.array([row]))
        else: arrays.rows('x', np.array([row]))
    checked(array, expected).rows('x', np.array([], int)) # nothing is read

def test_a_damaged_header_is_found_before_it_is_read(array):
    expected = checksum(array)
    change(array, 5)
    with pytest.raises(ValueError, match='x.npy was changed between byte 0 and 1,048,576: restore it'):
        checked(array, expected)

def test_rows_that_are_longer_than_a_block(tmp_path):
    np.save(tmp_path/'x.npy', np.zeros((3, BLOCK), np.float32)) # four blocks each
    expected = checksum(tmp_path/'x.npy')
    change(tmp_path/'x.npy', 6*BLOCK)
    arrays = checked(tmp_path/'x.npy', expected)
    for row in (0, 2): arrays.rows('x', [row])
    with pytest.raises(ValueError, match='was changed'): arrays.rows('x', [1])

def test_what_was_compared_is_not_compared_again(array):
    arrays = checked(array, checksum(array))
    arrays.rows('x', np.array([0, 399]))
    assert arrays.left['x']=={1, 2, 3} # the first one was compared when it was opened
    assert arrays['x'].shape==(400, ROW) and arrays.left['x']==set()

def test_arrays_of_earlier_versions_and_of_another_size(array):
    unknown = CheckedArrays(dict(x=array), {}, '')
    assert unknown['x'].shape==unknown.rows('x', [1]).shape==(400, ROW)
    expected = checksum(array)
    with open(array, 'ab') as file: file.write(b'x')
    with pytest.raises(ValueError, match='x.npy has .* bytes instead of .*: restore it'): checked(array, expected)
