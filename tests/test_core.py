"Caches that several processes need at once, and names that a package offers"
import os
import subprocess
import sys
import time
import pytest
from mvrep import core

MAKE = '''
import time
from mvrep.core import cached
def make(folder):
    print('making', flush=True)
    time.sleep(1)
    (folder/'answer').write_text('42')
print(cached(make, 'answer', 1))
'''

def start(home):
    env = dict(os.environ, MVREP_HOME=str(home))
    return subprocess.Popen([sys.executable, '-c', MAKE], env=env, stdout=subprocess.PIPE, text=True)

def test_two_processes_make_a_cache_once(tmp_path):
    processes = [start(tmp_path) for _ in range(2)]
    outputs = [o.communicate(timeout=60)[0].splitlines() for o in processes]
    assert sorted(len(o) for o in outputs)==[1, 2] and outputs[0][-1]==outputs[1][-1]

def test_a_killed_process_leaves_no_cache_and_no_lock(tmp_path):
    process = start(tmp_path)
    assert process.stdout.readline()=='making\n'
    process.kill()
    process.wait()
    started = time.monotonic()
    output = start(tmp_path).communicate(timeout=60)[0].splitlines()
    assert output[0]=='making' and time.monotonic()-started<30

def test_a_cache_whose_making_fails_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv('MVREP_HOME', str(tmp_path))
    def fail(folder): raise OSError('No space left on device')
    with pytest.raises(OSError, match='No space'): core.cached(fail, 'x')
    made = core.cached(lambda folder: (folder/'a').write_text('a'), 'x')
    assert [o.name for o in made.iterdir()]==['a']

def test_a_file_is_flushed_before_it_gets_its_name_and_the_folder_afterwards(tmp_path, monkeypatch):
    calls, target = [], tmp_path/'notes.txt'
    def note(name, function):
        def noted(*args):
            calls.append((name, os.readlink(f'/proc/self/fd/{args[0]}') if name=='fsync' else str(args[1])))
            return function(*args)
        monkeypatch.setattr(os, name, noted)
    for name in ('fsync', 'replace'): note(name, getattr(os, name))
    with core.atomic_write(target) as tmp: tmp.write_text('complete')
    assert calls==[('fsync', str(tmp)), ('replace', str(target)), ('fsync', str(tmp_path))]

@pytest.mark.parametrize('content, reason', [
    (b'{"a": 1', 'line 1, column 8'), (b'', 'line 1, column 1'), (bytes(8), 'line 1, column 1'),
    (b'"\xff"', 'byte 1 is not text'), (b'['*100_000, 'brackets are nested too deep')],
    ids=['truncated', 'empty', 'zeros', 'bytes', 'nested'])
def test_a_file_that_is_not_json(tmp_path, content, reason):
    (tmp_path/'a.json').write_bytes(content)
    with pytest.raises(ValueError, match=rf'a.json is not JSON \({reason}'): core.read_json(tmp_path/'a.json')

def test_names_of_the_package_are_imported_when_used():
    code = '''
import sys, mvrep
assert not {'numpy', 'pandas', 'torch', 'lancedb'} & set(sys.modules)
offered = {'Index', 'index_folder', 'similar', 'recommend', 'match', 'search', 'load_encoder', 'train', 'Probe'}
assert offered<=set(dir(mvrep))
from mvrep import similar
assert 'max_per_artist: At most' in similar.__doc__ and 'index: ' in similar.__doc__
try: mvrep.nothing
except AttributeError as e: print(e)
'''
    assert 'nothing' in subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
