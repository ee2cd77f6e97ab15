"Files for other recommenders: read back by their rules, and by Cornac and RecBole themselves (mvrep needs neither)"
import json
import os
import numpy as np
import pandas as pd
import pytest
from conftest import sh
from mvrep.recommendation.exchange import read_atomic, write_atomic, write_cornac, write_parquet, write_recbole
from mvrep.recommendation.interactions import read_interactions, simulate_log

@pytest.fixture(scope='module')
def data():
    "A simulated log, 20 made-up videos with odd titles, and their vectors"
    ids = [f'v {i}' for i in range(20)]
    videos = pd.DataFrame(dict(
        title=['A "quoted"\ttitle', *['Ünï']*19], artist=None, genre=['jazz', 'pop']*10,
        tags=[['hip hop', 'slow']]*20, release_date='2001-02'), ids)
    vectors = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    log, _ = read_interactions(simulate_log(videos, 15, 6), ids)
    return log, videos, vectors

# RecBole's files

def test_recbole_files_give_everything_back(tmp_path, data):
    log, videos, vectors = data
    files = write_recbole(tmp_path, 'made', log, videos, vectors)
    assert [o.relative_to(tmp_path).as_posix() for o in files]==['made/made.inter', 'made/made.item', 'made/made.user']
    inter, item, user = map(read_atomic, files)
    assert inter.to_numpy().tolist()==log.to_numpy().tolist()
    np.testing.assert_array_equal(np.stack(item.vector).astype(np.float32), vectors)
    assert item.item_id.tolist()==list(videos.index) and item.year.tolist()==[2001]*20
    assert (item.title[0], item.tags[0])==('A "quoted" title', ['hip_hop', 'slow'])
    assert item.artist.isna().all() and user.n_likes.tolist()==[6.]*15

def test_recbole_without_metadata(tmp_path, data):
    log, videos, vectors = data
    _, item, _ = map(read_atomic, write_recbole(tmp_path, 'bare', log, videos[[]], vectors))
    assert item.title.isna().all() and item.year.isna().all() and item.tags.tolist()==[[]]*20

def test_sequences_and_gaps_in_atomic_files(tmp_path):
    path = tmp_path/'x.item'
    table = pd.DataFrame(dict(name=['a', None], tags=['one two', np.array(['three four'])], size=[1.5, np.nan]))
    write_atomic(path, table, dict(name='token', tags='token_seq', size='float'))
    read = read_atomic(path)
    assert read.tags.tolist()==[['one', 'two'], ['three_four']]
    assert read.name.isna().tolist()==[False, True] and read['size'].isna().tolist()==[False, True]

@pytest.mark.parametrize('text', ['', 'a\tb\n1\t2\n', 'a:number\n'])
def test_a_first_line_without_types_is_refused(tmp_path, text):
    path = tmp_path/'x.item'
    path.write_text(text)
    with pytest.raises(ValueError, match='want name:type'): read_atomic(path)

def test_a_missing_atomic_file(tmp_path):
    with pytest.raises(FileNotFoundError): read_atomic(tmp_path/'x.item')

# Cornac's files and Parquet

def test_cornac_files_give_everything_back(tmp_path, data):
    log, videos, vectors = data
    tuples, features, ids = write_cornac(tmp_path, log, list(videos.index), vectors)
    lines = [o.split('\t') for o in tuples.read_text(encoding='utf-8').splitlines()]
    read = [(user, item, float(rating), int(time)) for user, item, rating, time in lines]
    assert read==[(user, item, 1., int(time)) for user, item, time in log.to_numpy()]
    np.testing.assert_array_equal(np.load(features), vectors)
    assert json.loads(ids.read_text(encoding='utf-8'))==list(videos.index)

def test_parquet_gives_everything_back(tmp_path, data):
    log, videos, vectors = data
    interactions, items = write_parquet(tmp_path/'new', log, videos, vectors)
    pd.testing.assert_frame_equal(read_interactions(interactions, videos.index)[0], log)
    read = pd.read_parquet(items).set_index('video_id')
    np.testing.assert_array_equal(np.stack(read.vector), vectors)
    assert read.title.tolist()==videos.title.tolist()

# Refusals

def write_all(folder, log, videos, vectors):
    "Each writer, as a function without arguments"
    return (lambda: write_recbole(folder, 'x', log, videos, vectors),
            lambda: write_cornac(folder, log, list(videos.index), vectors))

def test_videos_without_vectors_are_refused(tmp_path, data):
    log, videos, vectors = data
    few = vectors[:3]
    for write in (*write_all(tmp_path, log, videos, few), lambda: write_parquet(tmp_path, log, videos, few)):
        with pytest.raises(ValueError, match='20 items and 3 vectors'): write()
    for write in write_all(tmp_path, log, videos[:3], vectors[:3]):
        with pytest.raises(ValueError, match='no vector for'): write()
    assert not any(tmp_path.iterdir())

@pytest.mark.parametrize('user', ['', ' a', 'a\tb', 'a\nb'])
def test_ids_that_no_format_holds_are_refused(tmp_path, data, user):
    log, videos, vectors = data
    for write in write_all(tmp_path, log.assign(user=user), videos, vectors):
        with pytest.raises(ValueError, match='cannot hold 1 id, such as'): write()

def test_recbole_takes_some_ids_for_gaps(tmp_path, data):
    log, videos, vectors = data
    for user in ('NA', 'nan', 'null'):
        write_recbole_, write_cornac_ = write_all(tmp_path, log.assign(user=user), videos, vectors)
        with pytest.raises(ValueError, match=f"RecBole cannot hold 1 id, such as '{user}'"): write_recbole_()
        write_cornac_()

# The libraries themselves

READ_WITH_RECBOLE = """
import sys
import numpy as np
from recbole.config import Config
from recbole.data import create_dataset
folder = sys.argv.pop()
columns = dict(inter=['user_id', 'item_id', 'timestamp'], item=['item_id', 'title', 'genre', 'tags', 'vector'],
               user=['user_id', 'n_likes'])
options = dict(data_path=folder, USER_ID_FIELD='user_id', ITEM_ID_FIELD='item_id', TIME_FIELD='timestamp',
               load_col=columns, normalize_all=False, use_gpu=False)
data = create_dataset(Config(model='BPR', dataset='made', config_dict=options))
expected = np.load(folder+'/expected.npz')
users, items = (data.id2token(o, data.inter_feat[o]) for o in ('user_id', 'item_id'))
assert data.inter_num==len(expected['pairs'])
assert set(zip(users, items))==set(map(tuple, expected['pairs']))
rows = {o: i for i, o in enumerate(data.id2token('item_id', data.item_feat['item_id']))}
vectors = np.asarray(data.item_feat['vector'])[[rows[o] for o in expected['ids']]].tolist()
np.testing.assert_allclose(vectors, expected['vectors'], rtol=1e-6)
"""

def test_recbole(tmp_path, data):
    "RecBole 1.2.1 needs numpy below 2, so it has an environment of its own, whose interpreter is RECBOLE_PYTHON"
    python = os.environ.get('RECBOLE_PYTHON')
    if not python: pytest.skip('RECBOLE_PYTHON is not set')
    log, videos, vectors = data
    write_recbole(tmp_path, 'made', log, videos, vectors)
    pairs = log[['user', 'item']].to_numpy(str)
    np.savez(tmp_path/'expected.npz', vectors=vectors, ids=np.array(videos.index, str), pairs=pairs)
    sh(python, '-c', READ_WITH_RECBOLE, tmp_path, cwd=tmp_path)

def test_cornac(tmp_path, data):
    import cornac
    log, videos, vectors = data
    tuples, features, ids = write_cornac(tmp_path, log, list(videos.index), vectors)
    rows = cornac.data.Reader().read(str(tuples), fmt='UIRT')
    assert rows==[(user, item, 1., int(time)) for user, item, time in log.to_numpy()]
    dataset = cornac.data.Dataset.from_uirt(rows)
    modality = cornac.data.FeatureModality(np.load(features), ids=json.loads(ids.read_text()))
    modality.build(id_map=dataset.iid_map)
    for item, row in dataset.iid_map.items():
        np.testing.assert_array_equal(modality.features[row], vectors[videos.index.get_loc(item)])
