"""An index that this process may only read: everything that reads works, and caches go to the data home.

Permissions do not stop root, so a test that runs as root drops its rights for as long as it reads."""
import errno
import os
import shutil
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
from commands import ask, mvrep
from mvrep.core import home_cache, write_cache
from mvrep.encoders.registry import Encoder
from mvrep.explore.explorer import Explorer
from mvrep.explore.tsne import draw_map, fit_tsne, load_tsne
from mvrep.features.store import FeatureStore
from mvrep.index.examples import tiny_index
from mvrep.index.index import Index
from mvrep.index.joint_space import train

READER = 65534 # user without rights

def _remove_rights(folder):
    for path in [folder, *folder.rglob('*')]: path.chmod(0o555 if path.is_dir() else 0o444)

@contextmanager
def reading(folder, home):
    "May read `folder`, may write `home`"
    _remove_rights(folder)
    shown = Path(os.environ['MVREP_HOME']) # where the media files are
    mode = stat.S_IMODE(shown.stat().st_mode)
    shown.chmod(mode|0o055)
    is_root, before = os.geteuid()==0, os.environ['MVREP_HOME']
    if is_root:
        os.chown(home, READER, READER)
        os.setegid(READER)
        os.seteuid(READER)
    os.environ['MVREP_HOME'] = str(home)
    try: yield
    finally:
        os.environ['MVREP_HOME'] = before
        if is_root:
            os.seteuid(0)
            os.setegid(0)
        shown.chmod(mode)
        for path in [folder, *folder.rglob('*')]:
            if path.is_dir(): path.chmod(0o755)

@pytest.fixture
def place():
    "A folder that each user may enter, with a home for caches in it"
    with tempfile.TemporaryDirectory() as tmp:
        os.chmod(tmp, 0o755)
        (Path(tmp)/'home').mkdir()
        yield Path(tmp)

def state(folder): return {o: (o.stat().st_mtime_ns, o.stat().st_size) for o in sorted(folder.rglob('*'))}

def cached_files(home): return sorted(o.name for o in home.rglob('*') if o.is_file())

# The whole index

@pytest.mark.filterwarnings('error', 'ignore:.*among 3 candidates', 'ignore:the first of 1 epoch')
def test_commands_that_read_work(place, monkeypatch):
    # the reader may not run root's Python, so no worker cuts clips
    monkeypatch.setattr('mvrep.explore.static_page.cut_clips', lambda jobs, dest: {})
    index, home = tiny_index(place/'ix'), place/'home'
    parts = ['train']*7+['valid']*2+['test']*3
    index.put_videos(index.videos.reset_index().assign(split=parts))
    train(index, epochs=1, accelerator='cpu', progress=False)
    shutil.rmtree(index.folder/'cache')
    before = state(index.folder)
    with reading(index.folder, home):
        with pytest.raises(PermissionError): (index.folder/'file').touch()
        assert len(ask('similar', index.folder, '--video', 'v0000', '-k', 3)['results'])==3
        assert ask('info', index.folder)['videos']==12
        assert ask('evaluate', index.folder)['retrieval']['pool_size']==3
        assert ask('probe', index.folder, '--target', 'mood', '--folds', 2, '--seeds', 1)['n']==8
        page = mvrep('explore', index.folder, '--html', '--out', home/'site').stdout
        assert (home/'site'/'index.html').is_file() and 'page: ' in page
        assert Explorer(Index(index.folder)).info['n']==12
    assert state(index.folder)==before
    assert 'joint-video.safetensors' in cached_files(home)

# Its caches

def test_a_map_is_kept_in_the_data_home_and_found_there(place):
    index, home = tiny_index(place/'ix'), place/'home'
    with reading(index.folder, home):
        index = Index(index.folder)
        drawn = fit_tsne(index, 'audio')
        assert np.array_equal(load_tsne(index, 'audio').xy, drawn.xy)
        assert home_cache(index.folder).is_relative_to(home)
        assert cached_files(home_cache(index.folder))==['audio-video.safetensors']

def test_a_stale_map_beside_the_index_is_replaced_by_one_in_the_data_home(place):
    index, home = tiny_index(place/'ix'), place/'home'
    fit_tsne(index)
    audio, video = (np.array(index.build.embeddings[m]) for m in ('audio', 'video'))
    index.put_embeddings(index.build.video_ids, dict(audio=audio[::-1], video=video[::-1]))
    with reading(index.folder, home):
        with pytest.warns(UserWarning, match='of other vectors'): first = Explorer(Index(index.folder))
        assert np.array_equal(load_tsne(Index(index.folder)).xy, first.points.map.xy)

def test_an_explorer_works_where_nothing_can_be_kept(place):
    index = tiny_index(place/'ix')
    with reading(index.folder, place/'home'):
        os.environ['MVREP_HOME'] = '/proc/nothing'
        with pytest.warns(UserWarning, match='the map is drawn again next time'):
            Explorer(Index(index.folder))

def test_drawing_changes_nothing(place):
    index = tiny_index(place/'ix')
    draw_map(index)
    Explorer(index, draw_map(index, 'video'))
    assert not (index.folder/'tsne').exists()

class OneNumber:
    "What an encoder must tell about its network"
    dim = 1
    layers = dict(pooled=1)
    weights_hash = 'one'

def fill_store(folder, value):
    encoder = Encoder('a', 'audio', OneNumber())
    store = FeatureStore(folder)
    store.add_column(encoder)
    keys = pd.DataFrame(dict(segment_id=['x_0'], video_id=['x'], segment=0, start=0., length=5., split='', source='s'))
    store.append(keys, {encoder: np.array([[value]])})

def test_a_store_that_replaces_another_has_its_own_matrix(place):
    "Same path, same version of the table, other features"
    folder, home = place/'ix', place/'home'
    for value in (1., 2.):
        fill_store(folder, value)
        with reading(folder, home): assert FeatureStore(folder).matrix('a').tolist()==[[value]]
        shutil.rmtree(folder)

def test_only_missing_rights_lead_to_the_data_home(tmp_path):
    places = tmp_path/'data'/'a.txt', tmp_path/'home'/'a.txt'
    def fill_disk(path): raise OSError(errno.ENOSPC, 'No space left on device')
    with pytest.raises(OSError, match='No space left'): write_cache(fill_disk, *places)
    def write(path): path.write_text('42')
    assert write_cache(write, *places)==places[0] and not places[1].exists()
    def refuse(path):
        if path.parent==places[0].parent: raise OSError(errno.EROFS, 'Read-only file system')
        write(path)
    assert write_cache(refuse, *places)==places[1] and places[1].read_text()=='42'
