"Numbers of builds, one writer at a time, and what stays of a build that failed"
import fcntl
import os
import shutil
import threading
import zlib
import pytest
from mvrep.index.storage import (N_KEPT, build_folder, build_numbers, current_number, new_build, one_writer,
                                 previous_number, use_build)

def write(folder): (folder/'content').write_text('x')

def test_a_number_is_never_given_twice(tmp_path):
    "Also if the builds were removed by hand"
    for number in (1, 2): assert new_build(tmp_path, write, {})==number
    for number in (1, 2): shutil.rmtree(build_folder(tmp_path, number))
    assert (build_numbers(tmp_path), current_number(tmp_path))==([], 2)
    assert new_build(tmp_path, write, {})==3 and previous_number(tmp_path, 3)==0

def test_a_number_is_above_those_that_are_not_in_use(tmp_path):
    for _ in range(3): new_build(tmp_path, write, {})
    use_build(tmp_path, 1)
    assert new_build(tmp_path, write, {})==4 and previous_number(tmp_path, 4)==1
    assert build_numbers(tmp_path)==[1, 4]

def test_the_number_in_use_has_a_checksum(tmp_path):
    use_build(tmp_path, 12)
    assert (tmp_path/'current').read_text()==f'0012 {zlib.crc32(b"0012"):08x}' and current_number(tmp_path)==12
    use_build(tmp_path, 12345)
    assert current_number(tmp_path)==12345
    (tmp_path/'current').write_text('0012') # as earlier versions wrote it
    assert current_number(tmp_path)==12
    for text in (f'0013 {zlib.crc32(b"0012"):08x}', '12', '', '0012 '):
        (tmp_path/'current').write_text(text)
        with pytest.raises(ValueError, match='is damaged'): current_number(tmp_path)

@pytest.mark.parametrize('n_kept, expected', [(1, [5]), (2, [4, 5]), (N_KEPT, [3, 4, 5]), (9, [1, 2, 3, 4, 5])])
def test_how_many_builds_stay(tmp_path, n_kept, expected):
    for _ in range(5): new_build(tmp_path, write, {}, n_kept=max(n_kept, 1))
    assert build_numbers(tmp_path)==expected

def test_a_writer_waits_for_another_one(tmp_path):
    new_build(tmp_path, write, {})
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX) # another process publishes a build
    filled, done = threading.Event(), threading.Event()
    def fill(folder):
        write(folder)
        filled.set()
    def make():
        new_build(tmp_path, fill, {})
        done.set()
    thread = threading.Thread(target=make)
    thread.start()
    assert filled.wait(20) and not done.wait(.4) and build_numbers(tmp_path)==[1]
    os.close(handle)
    thread.join(20)
    assert done.is_set() and build_numbers(tmp_path)==[1, 2]

def test_one_writer_of_an_index(tmp_path):
    with one_writer(tmp_path/'index'):
        with pytest.raises(ValueError, match='is being written by another process'):
            with one_writer(tmp_path/'index'): pass
    with one_writer(tmp_path/'index'): pass # free again
    (tmp_path/'file').write_text('')
    with pytest.raises(ValueError, match='is a file, not a folder'):
        with one_writer(tmp_path/'file'): pass

def test_the_build_before(tmp_path):
    for _ in range(2): new_build(tmp_path, write, {})
    assert (previous_number(tmp_path, 2), previous_number(tmp_path, 1))==(1, 0)
    (tmp_path/'0002'/'before').unlink() # as in earlier versions
    assert previous_number(tmp_path, 2)==1
    (tmp_path/'0002'/'before').write_text('one')
    with pytest.raises(ValueError, match='name the build to return to'): previous_number(tmp_path, 2)
