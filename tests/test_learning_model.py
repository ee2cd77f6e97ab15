"The joint model: missing segments, independence of the batch, scale, files of this and earlier versions"
import json
import subprocess
import sys
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from mvrep.features.vectors import Scale, fit_scale, pool_segments
from mvrep.learning.model import JointModel, load_model

HEADS = dict(embed_dim=8, hidden_dim=16, output='linear')
VIDEO_IDS = np.array(list('aaabbc'))
START = np.array([0, 5, 10, 0, 5, 0.])

@pytest.fixture
def feats():
    "Audio features of six segments; the last has none"
    feats = np.random.default_rng(0).normal(size=(6, 20)).astype(np.float32)
    feats[5] = np.nan
    return feats

def make(track=False):
    torch.manual_seed(0)
    return JointModel(dict(audio=20, video=12), track=track, **HEADS).eval()

@pytest.mark.parametrize('track', [False, True])
def test_segments_without_audio_stay_missing(feats, track):
    emb = make(track).embed_segments('audio', feats)
    assert emb.shape==(6, 8)
    np.testing.assert_allclose(np.linalg.norm(emb[:5], axis=1), 1, atol=1e-5)
    assert np.isnan(emb[5]).all()
    np.testing.assert_allclose(make(track).embed_segments('audio', feats, block=4), emb, atol=1e-5)

def test_a_video_is_the_mean_of_its_segments(feats):
    model = make()
    videos = model.embed_videos('audio', feats, VIDEO_IDS, START)
    np.testing.assert_allclose(videos, pool_segments(model.embed_segments('audio', feats), VIDEO_IDS))
    np.testing.assert_allclose(np.linalg.norm(videos, axis=1), [1, 1, 0], atol=1e-5)

def test_a_transformer_embeds_a_video_independently_of_the_others(feats):
    model = make(track=True)
    videos = model.embed_videos('audio', feats, VIDEO_IDS, START)
    alone = model.embed_videos('audio', feats[:3], VIDEO_IDS[:3], START[:3])
    np.testing.assert_allclose(videos[0], alone[0], atol=1e-5)
    assert np.array_equal(videos[2], np.zeros(8))
    shorter = model.embed_videos('audio', feats[:2], VIDEO_IDS[:2], START[:2])
    assert np.abs(videos[0]-shorter[0]).max()>1e-3

def test_the_scale_is_part_of_the_model(feats):
    model, scale = make(), fit_scale(feats)
    before = model.embed_segments('audio', feats)
    model.set_scale('audio', scale)
    scaled = model.embed_segments('audio', feats)
    model.set_scale('audio', Scale.identity(20))
    want = model.embed_segments('audio', (feats-scale.mean)/scale.std)
    np.testing.assert_allclose(scaled[:5], want[:5], atol=1e-5)
    np.testing.assert_allclose(model.embed_segments('audio', feats)[:5], before[:5], atol=1e-6)

def test_a_saved_model_is_the_same(tmp_path, feats):
    model = make(track=True)
    model.set_scale('audio', fit_scale(feats))
    model.about = dict(corpus='1234', epoch=7)
    model.save(tmp_path/'m.safetensors')
    loaded = load_model(tmp_path/'m.safetensors')
    assert loaded.about==model.about and loaded.settings==model.settings and not loaded.training
    for name, o in model.state_dict().items(): assert torch.equal(o, loaded.state_dict()[name]), name
    want = model.embed_videos('audio', feats, VIDEO_IDS, START)
    assert np.array_equal(loaded.embed_videos('audio', feats, VIDEO_IDS, START), want)

def test_the_file_format_is_that_of_the_first_version(tmp_path):
    "Names of the weights and of the settings: files of earlier versions can be loaded"
    make(track=True).save(tmp_path/'m.safetensors')
    names = set(load_file(tmp_path/'m.safetensors'))
    assert {'audio_scale', 'video_scale', 'towers.audio.layers.0.weight', 'towers.video.layers.4.bias',
            'sequence.audio.enter.weight', 'sequence.audio.leave.1.bias',
            'sequence.video.encoder.layers.0.self_attn.in_proj_weight'}<=names
    settings = dict(dims=dict(audio=20, video=12), track=False, embed_dim=8, single_sided=False, hidden_dim=16,
                    n_layers=2, dropout=.3, output='sigmoid')
    weights = JointModel(**settings).state_dict()
    header = json.dumps(dict(settings=settings, about=dict(run='0123456789ab')))
    save_file({k: o.contiguous() for k, o in weights.items()}, tmp_path/'old.safetensors', dict(mvrep=header))
    assert load_model(tmp_path/'old.safetensors').about['run']=='0123456789ab'

HEADERS = dict(newer=dict(settings=dict(depth=3), about={}), weights=dict(settings=make().settings, about={}))

def damaged(path, kind):
    "Write something that is not a model"
    make().save(path)
    if kind=='short': path.write_bytes(path.read_bytes()[:-100])
    elif kind=='pickle': torch.save(make(), path)
    else:
        header = '{' if kind=='header' else json.dumps(HEADERS.get(kind))
        save_file(dict(x=torch.zeros(3)), path, None if kind=='other' else dict(mvrep=header))

@pytest.mark.parametrize('kind', ['short', 'pickle', 'other', 'newer', 'weights', 'header'])
def test_anything_else_is_refused(tmp_path, kind):
    damaged(tmp_path/'m.safetensors', kind)
    with pytest.raises(ValueError, match='is not a model of this version of mvrep, train it again'):
        load_model(tmp_path/'m.safetensors')

def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='m.safetensors'): load_model(tmp_path/'m.safetensors')

def test_the_model_does_without_a_trainer():
    code = "import sys, mvrep.learning.model; assert not {'lightning', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, '-c', code], check=True)
