"Caches that several processes need at once, names that a package offers, numbers and moments as text"
import errno
import os
import pickle
import subprocess
import sys
import time
from configparser import ConfigParser
from pathlib import Path
import pytest
from conftest import root
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

def test_a_file_appears_complete_or_not_at_all(tmp_path):
    path = tmp_path/'new'/'folders'/'notes.txt'
    with core.atomic_write(str(path)) as tmp:
        assert tmp.parent==path.parent and tmp.name.startswith('.tmp-') and tmp.suffix=='.txt'
        tmp.write_text('complete')
        assert not path.exists()
    assert path.read_text()=='complete' and path.stat().st_mode & 0o777==0o644
    with pytest.raises(KeyboardInterrupt), core.atomic_write(path) as tmp:
        tmp.write_text('half')
        raise KeyboardInterrupt
    assert path.read_text()=='complete' and os.listdir(path.parent)==['notes.txt']

# Folders of this user

def test_the_data_home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.delenv('MVREP_HOME', raising=False)
    assert core.data_home()==tmp_path/'.cache'/'mvrep' and core.data_home().is_dir()
    monkeypatch.setenv('MVREP_HOME', str(tmp_path/'a'/'b'))
    assert core.data_home()==tmp_path/'a'/'b' and core.data_home().is_dir()

def test_a_data_set_that_is_missing(tmp_path, monkeypatch, capsys):
    (tmp_path/'muvi'/'labels').mkdir(parents=True)
    monkeypatch.setenv('MVREP_SHARED', str(tmp_path))
    assert core.data_folder('muvi', 'labels')==tmp_path/'muvi'/'labels' and capsys.readouterr().out==''
    assert core.data_folder('muvi', 'clips') is None
    assert capsys.readouterr().out=='skipped: set MVREP_SHARED to a folder that holds muvi/clips\n'
    monkeypatch.delenv('MVREP_SHARED')
    monkeypatch.chdir(tmp_path) # a folder of the same name here is not the data set
    assert core.data_folder('muvi') is None

def test_cores_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {0, 3, 5}, raising=False)
    monkeypatch.setattr(os, 'cpu_count', lambda: 8)
    assert core.n_cores()==3
    monkeypatch.delattr(os, 'sched_getaffinity')
    assert core.n_cores()==8
    monkeypatch.setattr(os, 'cpu_count', lambda: None)
    assert core.n_cores()==1

def test_caches_of_folders_that_may_only_be_read(tmp_path, monkeypatch):
    monkeypatch.setenv('MVREP_HOME', str(tmp_path/'home'))
    monkeypatch.chdir(tmp_path)
    found = core.home_cache('index')
    assert found==core.home_cache(tmp_path/'index')!=core.home_cache(tmp_path/'other') and not found.exists()
    assert found.parent==tmp_path/'home'/'cache' and found.name.startswith('of-') and len(found.name)==19

def test_a_cache_is_written_where_it_can_be(tmp_path):
    tried = []
    def write(number):
        def fail_in_a(path):
            tried.append(path.parent.name)
            if path.parent.name=='a': raise OSError(number, os.strerror(number))
            path.write_text('cache')
        return fail_in_a
    paths = tmp_path/'a'/'x.npy', tmp_path/'b'/'x.npy', tmp_path/'c'/'x.npy'
    assert core.write_cache(write(errno.EROFS), *paths)==paths[1] and paths[1].read_text()=='cache'
    assert tried==['a', 'b'] and not paths[0].exists() and not paths[2].exists()
    with pytest.raises(OSError, match='No space'): core.write_cache(write(errno.ENOSPC), *paths)
    with pytest.raises(OSError, match='Read-only'): core.write_cache(write(errno.EROFS), paths[0])

def test_a_cache_is_made_once_per_key(tmp_path, monkeypatch):
    monkeypatch.setenv('MVREP_HOME', str(tmp_path))
    made = []
    def make(folder):
        made.append(folder.parent)
        assert folder.is_dir() and not os.listdir(folder) and folder.parent.name.startswith('.tmp-')
    first, again, other = (core.cached(make, 'songs', i) for i in (1, 1, 2))
    assert first==again!=other and len(made)==2 and {o.parent for o in made}=={tmp_path/'cache'}
    assert first.parent==tmp_path/'cache' and first.name==f'songs-{core.seed_from("songs", 1):016x}'
    assert not list((tmp_path/'cache').glob('.tmp-*'))

# Errors and hashes

def test_errors_name_their_file_and_survive_a_process():
    error = pickle.loads(pickle.dumps(core.MediaError(Path('a.mp4'), 'it is empty')))
    assert (error.path, error.reason, str(error))==('a.mp4', 'it is empty', 'a.mp4: it is empty')
    assert str(core.UnknownId('no video', 7))=='no video 7' and isinstance(core.UnknownId(), KeyError)

def test_a_hash_with_a_known_value(tmp_path):
    (tmp_path/'a').write_bytes(b'abc')
    assert core.sha256(tmp_path/'a')=='ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'

# Names

def test_names_that_a_package_offers():
    getattr_, dir_, names = core.public_names('mvrep.media', {'clips': ['cut_clip'], 'segments': ['Plan', 'a']})
    assert names==dir_()==['Plan', 'a', 'cut_clip']
    with pytest.raises(AttributeError, match="module 'mvrep.media' has no attribute 'b'"): getattr_('b')
    found = getattr_('cut_clip')
    assert found.__module__=='mvrep.media.clips' and 'Parameters:' in found.__doc__
    assert vars(sys.modules['mvrep.media'])['cut_clip'] is found

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

# Extras

def test_extras_are_those_that_can_be_installed():
    settings = ConfigParser(delimiters=['='])
    settings.read(root/'settings.ini', encoding='utf-8')
    names = [o.removesuffix('_requirements') for o in settings['DEFAULT'] if o.endswith('_requirements')]
    assert sorted(core.EXTRAS)==sorted(names)

def test_extras_of_packages():
    assert [core.required_extra(o) for o in ('openTSNE', 'uvicorn', 'numpy')]==['explore', 'app', '']

PACKAGES = dict(train=['lightning'], pretrain=['audiomentations', 'lightning'], text=['sentence-transformers'])

@pytest.mark.parametrize('package, needed_by, extra', [
    ('lightning.pytorch', '', 'train'), ('lightning', 'learning', 'train'), ('lightning', 'pretraining', 'pretrain'),
    ('audiomentations.core', 'train', 'pretrain'), ('sentence_transformers', '', 'text')])
def test_a_missing_package_names_its_extra_and_the_purpose(monkeypatch, package, needed_by, extra):
    monkeypatch.setattr(core, 'extra_packages', lambda: PACKAGES)
    wanted = rf'needs {package.split(".")[0]}: pip install "mvrep\[{extra}\]" \({extra}: {core.EXTRAS[extra]}\)$'
    with pytest.raises(ModuleNotFoundError, match=wanted), core.explain_missing(needed_by):
        raise ModuleNotFoundError('no', name=package)

@pytest.mark.parametrize('error', [
    ModuleNotFoundError('own words', name='numpy'), ModuleNotFoundError("pip install 'mvrep[x]'", name='lightning'),
    ModuleNotFoundError('without a name'), ImportError('cannot load'), ValueError('other')])
def test_other_errors_stay_as_they_are(error):
    with pytest.raises(type(error)) as caught, core.explain_missing(): raise error
    assert caught.value is error

SCRIPT = """
import sys
sys.modules['audiomentations'] = None
try: from mvrep.pretraining import Augment
except ModuleNotFoundError as e: print(e)
"""

def test_a_public_name_whose_extra_is_missing():
    printed = subprocess.run([sys.executable, '-c', SCRIPT], capture_output=True, text=True, check=True).stdout
    assert printed.startswith('this needs audiomentations: pip install "mvrep[pretrain]" (pretrain: ')

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

class FailsOnce:
    "An import of torchvision that fails, the first time"
    n_tries = 0
    def find_spec(self, name, path=None, target=None):
        if name!='torchvision': return
        self.n_tries += 1
        if self.n_tries==1: raise RuntimeError('its library is broken')

def test_other_faults_of_torchvision_are_not_hidden(monkeypatch):
    monkeypatch.delitem(sys.modules, 'torchvision', raising=False)
    finder = FailsOnce()
    monkeypatch.setattr(sys, 'meta_path', [finder, *sys.meta_path])
    with pytest.raises(RuntimeError, match='its library is broken'): core.import_torchvision()
    assert finder.n_tries==1
