"""Damage to any file of an index: the answers stay the same, or an error says what is damaged.

Each file is changed in four ways, one at a time. A change that is not noticed and changes an answer fails the test, and
so does an error that is not meant for people.
"""
import json
import os
import shutil
from contextlib import contextmanager
import numpy as np
import pandas as pd
import pytest
from mvrep.encoders.registry import Encoder
from mvrep.index.checking import check_index
from mvrep.index.index import Index, create_index, restore_build
from mvrep.index.info import index_info
from mvrep.index.storage import build_folder, current_number
from mvrep.learning.model import JointModel
from mvrep.learning.synthetic import SyntheticNetwork
from mvrep.media.segments import Segment
from mvrep.probing.cross_validation import Protocol
from mvrep.probing.index import probe_index
from mvrep.recommendation.lists import ListRules
from mvrep.recommendation.matching import Stretch, match_stretch
from mvrep.recommendation.neighbours import similar
from mvrep.recommendation.text_search import search

COLUMNS = dict(audio='loudness', video='colour')

def put(index, ids, seed):
    "Metadata and features of videos, and a build"
    rng = np.random.default_rng(seed)
    encoders = [Encoder('loudness', 'audio', SyntheticNetwork(600)), Encoder('colour', 'video', SyntheticNetwork(400))]
    for encoder in encoders:
        if encoder.column not in index.store.columns: index.store.add_column(encoder)
    index.put_videos(pd.DataFrame([dict(video_id=o, path=f'/{o}.mp4', title=o.upper(), artist=o,
                                        genre='even' if ord(o)%2 else 'odd') for o in ids]))
    for video_id in ids:
        feats = {o: rng.standard_normal((3, o.dim)).astype(np.float32) for o in encoders}
        index.store.put(video_id, [Segment(i, 5.*i, 5.) for i in range(3)], 'first', feats)
    index.make_build()

@pytest.fixture(scope='module')
def original(tmp_path_factory):
    "An index with a trained model and two builds"
    folder = tmp_path_factory.mktemp('original')/'ix'
    index = create_index(folder, ('loudness', 'colour'), COLUMNS)
    put(index, 'abcdef', 0)
    JointModel(dict(audio=600, video=400), embed_dim=64, output='linear').eval().save(index.model_file)
    put(index, 'ghijkl', 1)
    index.remove(['l'])
    for column in COLUMNS.values(): index.store.matrix(column)
    return folder

def answers(folder):
    "What an index answers"
    index = Index(folder)
    found, reasons = similar(index, 'a', k=5)
    info = vars(index_info(index)) | dict(megabytes=None, space=None)
    matrices = {o: np.array(index.store.matrix(o)).tobytes() for o in COLUMNS.values()}
    return found.to_json(), reasons.to_json(), repr(info), index.videos.to_json(), matrices

def matched(folder):
    "What a stretch of audio finds"
    feats = np.random.default_rng(2).standard_normal((2, 600)).astype(np.float32)
    found = match_stretch(Index(folder), Stretch('audio', np.array([0., 5]), feats, 10.), ListRules(k=5))
    return found.to_json()

def probed(folder):
    "What features and embeddings tell about the genre"
    report = probe_index(Index(folder), 'genre', protocol=Protocol('knn', n_folds=2, n_seeds=1))
    return json.dumps(report, default=float)

def searched(folder): return search(Index(folder), 'B odd').to_json()

def flip(content): content[len(content)//2] ^= 1
def truncate(content): del content[len(content)//2:]

def zeros(content):
    start = len(content)//3
    content[start:start+8192] = bytes(len(content[start:start+8192]))

CHANGES = dict(flip=flip, truncate=truncate, zeros=zeros, delete=None)

@contextmanager
def damaged(path, change, aside):
    "Change a file, and put the old one back in the end"
    content = bytearray(path.read_bytes())
    path.rename(aside) # other names of the file keep its content
    try:
        if CHANGES[change]:
            CHANGES[change](content)
            path.write_bytes(content)
        yield
    finally: aside.replace(path)

def outcome(folder, expected, answers=answers):
    "What a damaged index answers"
    try: return 'unaffected' if answers(folder)==expected else 'silent'
    except (OSError, ValueError) as e: return 'clear' if 'mvrep' in str(e) or 'restore' in str(e) else f'unclear: {e}'
    except BaseException as e: return f'traceback: {type(e).__name__}: {e}'

def trials(folder, first=0, step=1):
    """Files and changes. With `MVREP_DAMAGE` all of them; otherwise each file of the state in use in one way, or each
    `step`-th beginning with `first`, and transactions, which are not read, not at all."""
    files = sorted(o for o in folder.rglob('*') if o.is_file())
    if os.environ.get('MVREP_DAMAGE'): return [(path, change) for path in files for change in CHANGES]
    in_use = build_folder(folder/'index', current_number(folder/'index'))
    def is_tried(path):
        if '_transactions' in path.parts: return False
        return path.is_relative_to(in_use) or not path.is_relative_to(folder/'index')
    names = list(CHANGES)
    tried = list(enumerate(filter(is_tried, files)))
    return [(path, names[(i+first)%len(names)]) for i, path in tried[first::step]]

ASKED = dict(similar=(answers, 0, 1), match=(matched, 0, 3), probe=(probed, 1, 3), search=(searched, 2, 3))

@pytest.mark.parametrize('name', ASKED)
def test_damage_never_changes_answers(original, tmp_path, name):
    "What `similar` and `info` answer; others open the index by themselves, and are asked about a third of the files"
    ask, first, step = ASKED[name]
    expected, found = ask(original), []
    for path, change in trials(original, first, step):
        with damaged(path, change, tmp_path/'aside'): found.append((path, change, outcome(original, expected, ask)))
    table = pd.DataFrame(found, columns=['file', 'change', 'outcome'])
    print(table.outcome.value_counts()) # shown with pytest -s
    wrong = table[~table.outcome.isin(['unaffected', 'clear'])]
    assert not len(wrong), wrong.to_string()

ARRAYS = ('audio.npy', 'video.npy', 'model.safetensors', 'has.npy', 'ids.json')

@pytest.mark.parametrize('name', ARRAYS)
def test_zeros_in_a_build_are_an_error_when_it_is_used_and_in_a_check(original, tmp_path, name):
    path = build_folder(original/'index', current_number(original/'index'))/name
    with damaged(path, 'zeros', tmp_path/'aside'):
        with pytest.raises(ValueError, match=f'{name} .*was changed'): answers(original)
        assert f'index/{path.parent.name}/{name}' in set(check_index(original).damage.part)
    assert not len(check_index(original).damage)

def test_a_missing_current_is_damage_and_the_newest_build_is_offered(original, tmp_path):
    current = original/'index'/'current'
    number = current_number(original/'index')
    with damaged(current, 'delete', tmp_path/'aside'):
        for open_it in (Index, lambda folder: Index(folder).remove(['a'])):
            with pytest.raises(ValueError, match=f'current is missing, but .*--to {number}` uses the newest'):
                open_it(original)
    with damaged(current, 'flip', tmp_path/'aside'):
        with pytest.raises(ValueError, match='current is damaged'): Index(original)

LOST = ('index/current', 'store/videos.lance/_versions', 'store/record.json', 'store/segments.lance')

@pytest.mark.parametrize('lost', LOST)
def test_a_build_restores_what_a_partial_copy_lacks(original, tmp_path, lost):
    folder, expected = tmp_path/'ix', answers(original)
    shutil.copytree(original, folder)
    path = folder/lost
    if path.name=='_versions': min(path.glob('*.manifest')).unlink()
    elif path.is_dir(): shutil.rmtree(path)
    else: path.unlink()
    with pytest.raises((OSError, ValueError)): Index(folder)
    restore_build(folder, current_number(original/'index'))
    assert answers(folder)==expected and not len(check_index(folder).damage)

def test_everything_is_on_the_disk_before_a_build_is_used(original, tmp_path, monkeypatch):
    "Each file has been flushed since it was written when `current` names the build"
    folder = tmp_path/'ix'
    shutil.copytree(original, folder)
    before = {o.stat().st_ino for o in folder.rglob('*')}
    flushed, checked = set(), []
    fsync, move = os.fsync, os.replace
    def noted(handle):
        flushed.add(os.fstat(handle).st_ino)
        fsync(handle)
    def moved(source, target):
        if str(target).endswith('index/current'):
            needed = [o for o in folder.glob('index/0*/**/*') if o.is_file()]
            needed += [*folder.glob('store/*/data/*'), *folder.glob('store/*/_versions/*.manifest')]
            checked.extend(o for o in needed if o.stat().st_ino not in before)
            assert {o.stat().st_ino for o in checked}<=flushed
            assert {folder.joinpath('index').stat().st_ino, os.stat(source).st_ino}<=flushed
        move(source, target)
    monkeypatch.setattr(os, 'fsync', noted)
    monkeypatch.setattr(os, 'replace', moved)
    Index(folder).remove(['a'])
    assert len(checked)>8

@pytest.mark.parametrize('change', ['flip', 'zeros', 'truncate'])
def test_damage_to_the_model_of_the_next_build_is_found(original, tmp_path, change):
    with damaged(original/'model'/'model.safetensors', change, tmp_path/'aside'):
        rows = check_index(original).damage.set_index('part')
        assert list(rows.index)==['model/model.safetensors']
        assert 'restores the model kept with build 3' in rows.remedy.iloc[0]
        with pytest.raises(ValueError, match='model.safetensors is not a model of this version'):
            Index(original).make_build()
    assert not len(check_index(original).damage)
