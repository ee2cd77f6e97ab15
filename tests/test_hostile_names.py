"Zero bytes in names, and JSON made to break a parser, wherever a user can give them: one sentence"
import json
import shutil
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from mvrep.core import MediaError, UnknownId, atomic_write, json_value, read_json
from mvrep.corpus.download import LOG, read_downloads
from mvrep.corpus.manifest import scan_manifest
from mvrep.encoders.musicnn import Musicnn
from mvrep.encoders.weights import WeightsError, read_net
from mvrep.explore.app import make_app
from mvrep.index.checking import check_index
from mvrep.index.index import Index, create_index
from mvrep.index.indexing import index_folder
from mvrep.learning.model import load_model
from mvrep.learning.muvi_retrieval import MuViRetrieval
from mvrep.media.clips import write_mp4
from mvrep.media.read import probe
from mvrep.probing.probe import Probe
from mvrep.recommendation.likes import recommend
from mvrep.recommendation.matching import preview
from mvrep.recommendation.neighbours import similar
from ragged import COLUMNS

NAME = 'a\0b'
KNOWN = (ValueError, OSError, MediaError, UnknownId)

def write_text(path, text):
    with atomic_write(path) as tmp: tmp.write_text(text)

def record(**fields): return pd.DataFrame([dict(video_id='x', path='x.mp4')|fields])

NAMED = dict( # {what is called with a name: index and folder to a call}
    index=lambda index, folder: Index(NAME), create_index=lambda index, folder: create_index(folder/NAME, (), COLUMNS),
    index_folder=lambda index, folder: index_folder(NAME, folder/'ix'),
    index_file=lambda index, folder: index_folder(folder/NAME, folder/'ix'),
    check=lambda index, folder: check_index(NAME), app=lambda index, folder: make_app(NAME),
    probe=lambda index, folder: probe(NAME), similar=lambda index, folder: similar(index, NAME),
    recommend=lambda index, folder: recommend(index, [NAME]), remove=lambda index, folder: index.remove([NAME]),
    query=lambda index, folder: index.build.query(NAME),
    put_id=lambda index, folder: index.put_videos(record(video_id=NAME)),
    put_path=lambda index, folder: index.put_videos(record(path=NAME)),
    manifest=lambda index, folder: scan_manifest(NAME), model=lambda index, folder: load_model(NAME),
    probe_file=lambda index, folder: Probe.load(NAME), net=lambda index, folder: read_net(NAME, 'SampleCnn'),
    weights=lambda index, folder: Musicnn.from_pretrained(folder/NAME),
    preview=lambda index, folder: preview('a.mp4', 'b.mp4', folder/NAME),
    write_mp4=lambda index, folder: write_mp4(folder/NAME, iter([np.zeros((16, 16, 3), np.uint8)])),
    write=lambda index, folder: write_text(folder/NAME, ''), read_json=lambda index, folder: read_json(folder/NAME))

@pytest.mark.parametrize('name', NAMED)
def test_a_zero_byte_in_a_name(ragged, tmp_path, name):
    with pytest.raises(KNOWN) as found: NAMED[name](ragged, tmp_path)
    text = str(found.value)
    assert 'embedded' not in text and ('\0' in text or '\\x00' in text) and not list(tmp_path.iterdir())

HOSTILE = dict(
    deep='['*100_000, deep_object='{"a":'*100_000, digits='1'*5000, number='1e999', list='[]', null='null', text='"x"',
    empty='', object='{}', bytes='\x80', cut='{"a": ')

@pytest.mark.parametrize('name', HOSTILE)
def test_json_that_is_not_what_was_written(tmp_path, name):
    "In a header of safetensors, in the settings of a retrieval, and in the log of downloads"
    text, file = HOSTILE[name], tmp_path/'x.safetensors'
    header = dict.fromkeys(('mvrep', 'mvrep_probe', 'mvrep_net', 'about'), text)
    save_file(dict(x=np.zeros(3, np.float32)), file, header)
    (tmp_path/'config.json').write_text(text)
    (tmp_path/LOG).write_text(f'{text}\n{json.dumps(dict(video_id="a", status="done", reason=""))}\n')
    for call in (lambda: load_model(file), lambda: Probe.load(file), lambda: read_net(file, 'SampleCnn'),
                 lambda: Musicnn.from_pretrained(file), lambda: MuViRetrieval.load(tmp_path)):
        with pytest.raises((ValueError, WeightsError)) as found: call()
        assert str(tmp_path) in str(found.value) and 'Exceeds' not in str(found.value)
    assert list(read_downloads(tmp_path).index)==['a']

@pytest.mark.parametrize('text, reason', [
    ('['*100_000, 'brackets are nested too deep'), ('1'*5000, 'a number has too many digits'),
    (b'"\xff"', 'byte 1 is not text'), ('{', 'line 1, column 2')])
def test_reasons(text, reason):
    with pytest.raises(ValueError, match=reason): json_value(text)

@pytest.mark.parametrize('name', ['deep', 'digits', 'list', 'null', 'object'])
def test_json_files_of_an_index(ragged, tmp_path, name):
    "Each of those that are read when it is opened or checked"
    folder = tmp_path/'ix'
    shutil.copytree(ragged.folder, folder)
    paths = [o for o in sorted(folder.rglob('*.json')) if '_versions' not in o.parts]
    assert len(paths)>3
    for path in paths:
        content = path.read_bytes()
        path.unlink() # another name of the file keeps its content
        path.write_text(HOSTILE[name])
        try: Index(folder)
        except KNOWN as e: assert 'Exceeds' not in str(e) and str(folder) in str(e)
        try: assert len(check_index(folder).damage)
        except KNOWN as e: assert 'Exceeds' not in str(e) and str(folder) in str(e)
        path.write_bytes(content)
    assert len(Index(folder))==len(ragged) and not len(check_index(folder).damage)
