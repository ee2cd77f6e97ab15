"Caches that several processes need at once, names that a package offers, numbers and moments as text"
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

# Text

@pytest.mark.parametrize('seconds, text', [(0, '0:00'), (59.99, '0:59'), (60, '1:00'), (3725.5, '62:05')])
def test_moments(seconds, text): assert core.clock(seconds)==text

@pytest.mark.parametrize('args, text', [
    ((0, 'video'), '0 videos'), ((1, 'video'), '1 video'), ((2, 'video'), '2 videos'),
    ((1234567, 'row'), '1,234,567 rows'), ((1, 'copy', 'copies'), '1 copy'), ((2, 'copy', 'copies'), '2 copies')])
def test_counts(args, text): assert core.count_of(*args)==text

def test_names_that_are_close():
    names = ['genre', 'Genres', 'mood', 'gene']
    assert core.closest('GENRE', names)==['genre', 'Genres', 'gene']
    assert core.closest('GENRE', names, 1)==['genre'] and core.closest('x', names)==[]
    assert core.or_close('genr', names)=='; did you mean genre or Genres or gene?' and core.or_close('x', names)==''
    assert core.closest('a1', ['A1', 'a1'])==['A1'] # the first of names that differ in case

def test_the_other_modality():
    assert [core.other_modality(o) for o in core.MODALITIES]==['video', 'audio']

def test_seeds_fill_63_bits_and_depend_on_every_part():
    seeds = [core.seed_from('a', i) for i in range(200)]
    assert len(set(seeds))==200 and 0<=min(seeds) and 2**62<max(seeds)<2**63
    assert core.seed_from('a', 1)==core.seed_from('a', 1)!=core.seed_from('a', '1')

class Documented:
    "A class"
    def scale(self,
        x, # A number, in Hz
        factor=2 # How much
    ) -> float: # The product
        "Multiply."

def plain(x): "Nothing is documented."

def test_comments_become_help():
    lines = core.parameter_text(Documented.scale).splitlines()
    assert lines==['Parameters:', '    x: A number, in Hz', '    factor: How much', 'Returns: The product']
    for _ in range(2): core.add_parameters(Documented) # once is enough
    assert Documented.scale.__doc__.count('Parameters:')==1 and Documented.scale.__doc__.startswith('Multiply.\n\nPara')
    assert core.parameter_text(plain)==''
    core.add_parameters(plain)
    assert plain.__doc__=='Nothing is documented.'

def test_a_folder_is_flushed_from_the_bottom(tmp_path, monkeypatch):
    (tmp_path/'inner').mkdir()
    for name in ('a', 'inner/b'): (tmp_path/name).write_text('x')
    flushed = []
    monkeypatch.setattr(core, 'flush', lambda path: flushed.append(os.path.relpath(path, tmp_path)))
    core.flush_tree(tmp_path)
    assert sorted(flushed)==['.', 'a', 'inner', 'inner/b']
    assert flushed.index('inner/b')<flushed.index('inner')<flushed.index('.')==3

def test_images_have_few_colours():
    from matplotlib.figure import Figure
    fig = Figure(figsize=(2, 1), dpi=50)
    fig.subplots().plot([0, 1])
    image = core.figure_image(fig, 8)
    assert image.size==(100, 50) and image.mode=='P' and 2<=len(image.convert('RGB').getcolors())<=8
