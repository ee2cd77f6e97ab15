"What exchange writes, read by Cornac and, where it is there, by RecBole themselves (mvrep needs neither)"
import json, os
import numpy as np
import pandas as pd
import pytest
from conftest import sh
from mvrep.recommendation.exchange import write_cornac, write_recbole
from mvrep.recommendation.interactions import read_interactions, simulate_log

def made():
    "Twenty made-up videos with vectors from a seed, and a simulated log"
    ids,x = [f'v {i}' for i in range(20)], np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    videos = pd.DataFrame(dict(title=['A "quoted" title', *['Ünï']*19], artist=None, genre=['jazz', 'pop']*10, tags=[['hip hop', 'slow']]*20, release_date='2001-02'), index=ids)
    return read_interactions(simulate_log(videos, 15, 6), ids)[0], videos, x

READ = """
import sys, numpy as np
from recbole.config import Config
from recbole.data import create_dataset
folder,sys.argv = sys.argv[1], sys.argv[:1]
load = dict(inter=['user_id', 'item_id', 'timestamp'], item=['item_id', 'title', 'genre', 'tags', 'vector'], user=['user_id', 'n_likes'])
d = create_dataset(Config(model='BPR', dataset='made', config_dict=dict(data_path=folder, USER_ID_FIELD='user_id', ITEM_ID_FIELD='item_id', TIME_FIELD='timestamp',
    load_col=load, normalize_all=False, use_gpu=False)))
ref = np.load(folder+'/ref.npz')
pairs = zip(d.id2token('user_id', d.inter_feat['user_id']), d.id2token('item_id', d.inter_feat['item_id']))
assert d.inter_num==len(ref['pairs']) and set(pairs)==set(map(tuple, ref['pairs']))
at = {o: i for i,o in enumerate(d.id2token('item_id', d.item_feat['item_id']))}
np.testing.assert_allclose(np.asarray(d.item_feat['vector'])[[at[o] for o in ref['ids']]].tolist(), ref['x'], rtol=1e-6)
"""

def test_recbole(tmp_path):
    "RecBole 1.2.1 wants numpy below 2 and cannot live where mvrep does: RECBOLE_PYTHON is the interpreter of an environment that has it"
    python = os.environ.get('RECBOLE_PYTHON')
    if not python: pytest.skip('RECBOLE_PYTHON is not set')
    log,videos,x = made()
    write_recbole(tmp_path, 'made', log, videos, x)
    np.savez(tmp_path/'ref.npz', x=x, ids=np.array(videos.index, str), pairs=log[['user', 'item']].to_numpy(str))
    sh(python, '-c', READ, tmp_path, cwd=tmp_path)

def test_cornac(tmp_path):
    import cornac
    log,videos,x = made()
    uirt,npy,ids = write_cornac(tmp_path, log, list(videos.index), x)
    rows = cornac.data.Reader().read(str(uirt), fmt='UIRT')
    assert rows==[(u, i, 1., int(t)) for u,i,t in log.to_numpy()]
    data = cornac.data.Dataset.from_uirt(rows)
    features = cornac.data.FeatureModality(np.load(npy), ids=json.loads(ids.read_text())).build(id_map=data.iid_map)
    for o,i in data.iid_map.items(): np.testing.assert_array_equal(features.features[i], x[videos.index.get_loc(o)])
