"Real data and the command line; the pages test the parts"
import json, os, subprocess, sys
from pathlib import Path
import numpy as np, pandas as pd, pytest
from mvrep.corpus.folds import artist_folds
from mvrep.corpus.names import artist_groups
from mvrep.learning.muvi_retrieval import fit_retrieval
from mvrep.corpus.muvi import load_muvi, make_muvi, read_artists, save_muvi
from mvrep.metrics.ranking import retrieval_metrics

@pytest.fixture
def real():
    root = os.environ.get('MVREP_SHARED')
    if not root or not (folder := Path(root)/'muvi_sync').is_dir(): pytest.skip('MVREP_SHARED names no folder with muvi_sync/ in it')
    return load_muvi(next(folder.glob('*.npz'))), folder/'labels'/'meta_harmonix.csv'

def test_command_line(tmp_path):
    data = make_muvi(60)
    save_muvi(data.subset(data.video_ids[:40]), tmp_path/'train.npz'); save_muvi(data.subset(data.video_ids[40:]), tmp_path/'test.npz')
    pd.DataFrame(dict(id=data.video_ids, artist=[f'Artist {i//2}' for i in range(60)])).to_csv(tmp_path/'who.csv', index=False)
    run = lambda *a: subprocess.run([sys.executable, '-m', 'mvrep.learning.muvi_retrieval', *map(str, a)], cwd=tmp_path, capture_output=True, text=True)
    res = run('train.npz', 'test.npz', '--artists', 'who.csv', '--save', 'model')
    assert res.returncode==0, res.stderr
    out = json.loads(res.stdout)
    assert out['pool_size']==20 and out['chance_median_rank']==10.5
    assert out['audio_to_video_median_rank']<3 and out['video_to_audio_R@10']>.9
    assert sorted(o.name for o in (tmp_path/'model').iterdir())==['config.json', 'model.safetensors']
    twice = run('train.npz', 'train.npz')
    assert twice.returncode==2 and '40 videos are in both files' in twice.stderr and 'Traceback' not in twice.stderr
    missing = run('train.npz', 'none.npz')
    assert missing.returncode==2 and 'none.npz' in missing.stderr and 'Traceback' not in missing.stderr

def test_independent_sides_are_chance():
    "No way from one side to the other but what they share: broken in the data, it is gone in the ranks"
    found = []
    for seed in range(3):
        data = make_muvi(90, coupling=0., seed=seed)
        test = data.subset(data.video_ids[50:])
        model = fit_retrieval(data.subset(data.video_ids[:50]))
        found.append(retrieval_metrics(model.embed_audio(test), model.embed_video(test), n_boot=0)['video_to_audio_mean_rank'])
    assert abs(np.mean(found)-20.5)<4*11.5/np.sqrt(40*3) # four standard errors of uniform ranks 1–40

def test_unequal_and_short_videos():
    data = make_muvi(40)
    model = fit_retrieval(data)
    mixed = data.cut(90).subset(data.video_ids[:3])
    a,v = model.embed_audio(mixed), model.embed_video(mixed)
    assert a.shape==v.shape and np.isfinite(a).all() and np.allclose(np.linalg.norm(v, axis=1), 1, atol=1e-5)

def test_real_fold(real):
    data,artists = real
    groups = artist_groups(read_artists(artists, data.video_ids))
    for part in artist_folds(groups): assert not set(groups[part]) & set(np.delete(groups, part)) and 110<len(part)<130
    part = artist_folds(groups, seed=1)[0]
    test = data.subset([data.video_ids[i] for i in part])
    model = fit_retrieval(data.subset(np.delete(data.video_ids, part).tolist()), artists)
    got = retrieval_metrics(model.embed_audio(test), model.embed_video(test), n_boot=0)
    for side in ('video_to_audio', 'audio_to_video'): assert got[f'{side}_median_rank']<=18 and got[f'{side}_R@10']>=.35
