"The joint model: missing segments, independence of the batch, scale, files of this and earlier versions"
import json
import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from mvrep.features.vectors import Scale, fit_scale, pool_segments
from mvrep.index.index import read_model_name
from mvrep.learning.config import RECIPES, TrainConfig
from mvrep.learning.model import JointModel, Origin, load_model

HEADS = dict(embed_dim=8, hidden_dim=16, output='linear')
VIDEO_IDS = np.array(list('aaabbc'))
STARTS = np.array([0, 5, 10, 0, 5, 0.])
ORIGIN = Origin(run='first', config=dict(lr=.01), corpus='1234', columns=dict(audio='a', video='v'),
                split=dict(a='train', b='valid'), epoch=7, epochs=9, metrics=dict(valid_loss=1.5))
FORMAT_1 = Path(__file__).parent/'data'/'model_format_1.safetensors' # trained at commit e14faeb on 24 synthetic videos

@pytest.fixture
def feats():
    "Audio features of six segments; the last has none"
    feats = np.random.default_rng(0).normal(size=(6, 20)).astype(np.float32)
    feats[5] = np.nan
    return feats

def make(all_segments=False):
    torch.manual_seed(0)
    return JointModel(dict(audio=20, video=12), all_segments=all_segments, **HEADS).eval()

@pytest.mark.parametrize('all_segments', [False, True])
def test_segments_without_audio_stay_missing(feats, all_segments):
    emb = make(all_segments).embed_segments('audio', feats)
    assert emb.shape==(6, 8)
    np.testing.assert_allclose(np.linalg.norm(emb[:5], axis=1), 1, atol=1e-5)
    assert np.isnan(emb[5]).all()
    np.testing.assert_allclose(make(all_segments).embed_segments('audio', feats, block=4), emb, atol=1e-5)

def test_a_video_is_the_mean_of_its_segments(feats):
    model = make()
    videos = model.embed_videos('audio', feats, VIDEO_IDS, STARTS)
    np.testing.assert_allclose(videos, pool_segments(model.embed_segments('audio', feats), VIDEO_IDS))
    np.testing.assert_allclose(np.linalg.norm(videos, axis=1), [1, 1, 0], atol=1e-5)

def test_a_transformer_embeds_a_video_independently_of_the_others(feats):
    model = make(all_segments=True)
    videos = model.embed_videos('audio', feats, VIDEO_IDS, STARTS)
    alone = model.embed_videos('audio', feats[:3], VIDEO_IDS[:3], STARTS[:3])
    np.testing.assert_allclose(videos[0], alone[0], atol=1e-5)
    assert np.array_equal(videos[2], np.zeros(8))
    shorter = model.embed_videos('audio', feats[:2], VIDEO_IDS[:2], STARTS[:2])
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
    model = make(all_segments=True)
    model.set_scale('audio', fit_scale(feats))
    model.origin = ORIGIN
    model.save(tmp_path/'m.safetensors')
    loaded = load_model(tmp_path/'m.safetensors')
    assert loaded.origin==ORIGIN and loaded.settings==model.settings and not loaded.training
    for name, o in model.state_dict().items(): assert torch.equal(o, loaded.state_dict()[name]), name
    want = model.embed_videos('audio', feats, VIDEO_IDS, STARTS)
    assert np.array_equal(loaded.embed_videos('audio', feats, VIDEO_IDS, STARTS), want)

def test_names_in_the_file(tmp_path):
    "Names of the weights and of the settings: files of this version can be loaded later"
    make(all_segments=True).save(tmp_path/'m.safetensors')
    names = set(load_file(tmp_path/'m.safetensors'))
    assert {'audio_mean_and_factor', 'video_mean_and_factor', 'towers.audio.layers.0.weight',
            'towers.video.layers.4.bias', 'sequence.audio.enter.weight', 'sequence.audio.leave.1.bias',
            'sequence.video.encoder.layers.0.self_attn.in_proj_weight'}<=names

def test_a_model_of_an_earlier_version():
    "Its embeddings are those of the version that trained it, and its origin has the current names"
    model = load_model(FORMAT_1)
    feats = np.linspace(-1, 1, 24, dtype=np.float32)+np.arange(2, dtype=np.float32)[:, None]
    want = [[-.16243024, -.32837588, .8769069, -.31115922], [-.13116251, -.3143781, .8913548, -.2990809]]
    np.testing.assert_allclose(model.embed_segments('audio', feats), want, atol=1e-5)
    origin = model.origin
    assert (origin.run, origin.epoch, origin.epochs)==('604bd0eb1674', 0, 2)
    assert origin.columns==dict(audio='audio', video='video') and len(origin.split)==24
    assert set(origin.metrics)=={'train_loss', 'valid_R@10', 'valid_loss', 'valid_median_rank'}
    assert TrainConfig(**origin.config|dict(ignore_same=('artist',)))==replace(
        RECIPES['aligned'], max_epochs=2, embed_dim=4, hidden_dim=8)
    assert read_model_name(FORMAT_1)=='604bd0eb1674'

def test_a_transformer_of_an_earlier_version(tmp_path, feats):
    model = make(all_segments=True)
    model.set_scale('audio', fit_scale(feats))
    weights = {name.replace('_mean_and_factor', '_scale'): o.contiguous() for name, o in model.state_dict().items()}
    settings = dict(dims=dict(audio=20, video=12), track=True, **HEADS)
    for about in ({}, dict(run='0123456789ab', config=dict(loss='printed'))):
        header = json.dumps(dict(settings=settings, about=about))
        save_file(weights, tmp_path/'old.safetensors', dict(mvrep=header))
        loaded = load_model(tmp_path/'old.safetensors')
        want = model.embed_videos('audio', feats, VIDEO_IDS, STARTS)
        assert np.array_equal(loaded.embed_videos('audio', feats, VIDEO_IDS, STARTS), want)
        if not about: assert loaded.origin is None
    assert (loaded.origin.run, loaded.origin.config)==('0123456789ab', dict(loss='veldkamp_printed'))

@pytest.mark.parametrize('single_sided', [False, True])
@pytest.mark.parametrize('all_segments', [False, True])
@pytest.mark.parametrize('modality', ['audio', 'video'])
def test_a_modality_that_no_video_has(all_segments, single_sided, modality):
    model = JointModel(dict(audio=6, video=4), all_segments, embed_dim=8, hidden_dim=8, single_sided=single_sided)
    n, d = model.settings['dims'][modality], model.towers.embed_dim
    missing = np.full((6, n), np.nan, np.float32)
    assert np.isnan(model.embed_segments(modality, missing)).all()
    assert np.array_equal(model.embed_videos(modality, missing, VIDEO_IDS, STARTS), np.zeros((3, d)))
    assert model.embed_segments(modality, missing[:0]).shape==(0, d)
    assert model.embed_videos(modality, missing[:0], VIDEO_IDS[:0], STARTS[:0]).shape==(0, d)

@pytest.mark.parametrize('all_segments', [False, True])
def test_embedding_does_not_depend_on_the_mode(feats, all_segments):
    "A model in training mode embeds without dropout and keeps its statistics"
    model = make(all_segments)
    want = model.embed_segments('audio', feats), model.embed_videos('audio', feats, VIDEO_IDS, STARTS)
    before = {name: o.clone() for name, o in model.state_dict().items()}
    np.testing.assert_array_equal(model.train().embed_segments('audio', feats), want[0])
    np.testing.assert_array_equal(model.train().embed_videos('audio', feats, VIDEO_IDS, STARTS), want[1])
    for name, o in model.state_dict().items(): assert torch.equal(o, before[name]), name

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

# Files that ask for too much, or hold something else

SMALL = dict(dims=dict(audio=6, video=4), embed_dim=8)
GOOD_ORIGIN = dict(run='r', config={}, corpus='', columns={}, split={}, epoch=0, epochs=1, metrics={})

def with_header(path, settings=None, origin=None, header=None, weights=None):
    "A file with the weights of a small model and any header"
    model = JointModel(**SMALL)
    header = dict(settings=SMALL if settings is None else settings, origin=origin) if header is None else header
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(model.state_dict() if weights is None else weights, path, dict(mvrep=text))
    return path

def refusal_of(path):
    "Why a file is refused; nothing is allocated before"
    tracemalloc.start()
    message = 'is not a model of this version of mvrep, train it again: .'
    with pytest.raises(ValueError, match=message) as e: load_model(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak<1e8 and not re.search('Error|Traceback|NoneType', str(e.value)) and len(str(e.value))<500
    return str(e.value)

def test_a_good_header_is_read(tmp_path):
    assert load_model(with_header(tmp_path/'m.safetensors', origin=GOOD_ORIGIN)).origin.run=='r'

BIG = dict(audio=10**7, video=4)

@pytest.mark.parametrize('settings', [
    dict(SMALL, dims=BIG), dict(SMALL, dims=dict(audio=65_000, video=65_000), hidden_dim=65_000),
    dict(SMALL, n_layers=10**9), dict(SMALL, n_layers=32), dict(SMALL, embed_dim=10**12), dict(SMALL, hidden_dim=2**63),
    dict(SMALL, dims=dict(audio=-6, video=4)), dict(SMALL, dims=dict(audio=0, video=4)), dict(SMALL, embed_dim=0),
    dict(SMALL, dims=dict(audio=6)), dict(SMALL, dims=dict(audio=6, video=4, text=3)), dict(SMALL, dims=[6, 4]),
    dict(SMALL, dims=dict(audio='6', video=4)), dict(SMALL, dims=dict(audio=6.5, video=4)),
    dict(SMALL, dims=dict(audio=True, video=4)), dict(SMALL, dims=None), dict(SMALL, embed_dim=None),
    dict(SMALL, dropout=-1), dict(SMALL, dropout='x'), dict(SMALL, dropout=float('nan')),
    dict(SMALL, output=['sigmoid']),
    dict(SMALL, output='relu'), dict(SMALL, all_segments='yes'), dict(SMALL, all_segments=True), dict(SMALL, depth=3),
    dict(SMALL, embed_dim=9), {}, dict(embed_dim=8), dict(SMALL, batch_norm=False), dict(SMALL, single_sided=True)])
def test_settings_that_do_not_fit_the_weights(tmp_path, settings):
    refusal_of(with_header(tmp_path/'m.safetensors', settings))

@pytest.mark.parametrize('header', [
    '[]', 'null', '7', '{}', '', '{"settings": []}', '['*100_000,
    '{"settings": '+'['*50_000, '{"settings": {"dims": 1e999}}'])
def test_headers_of_other_forms(tmp_path, header): refusal_of(with_header(tmp_path/'m.safetensors', header=header))

@pytest.mark.parametrize('origin', [
    7, [], {}, dict(GOOD_ORIGIN, epoch='1'), dict(GOOD_ORIGIN, split=[]),
    {k: v for k, v in GOOD_ORIGIN.items() if k!='run'}])
def test_origins_of_other_forms(tmp_path, origin):
    assert 'origin' in refusal_of(with_header(tmp_path/'m.safetensors', origin=origin))

@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_that_are_not_finite(tmp_path, value):
    weights = JointModel(**SMALL).state_dict()
    weights['towers.video.layers.0.weight'][0, 0] = value
    assert 'NaN or infinite' in refusal_of(with_header(tmp_path/'m.safetensors', weights=weights))

def test_weights_of_another_kind(tmp_path):
    path = tmp_path/'m.safetensors'
    weights = JointModel(**SMALL).state_dict()
    halves = {name: o.half() if o.is_floating_point() else o for name, o in weights.items()}
    assert 'float16' in refusal_of(with_header(path, weights=halves))
    assert 'no weights' in refusal_of(with_header(path, weights=dict(list(weights.items())[1:])))
    assert 'settings have no weights' in refusal_of(with_header(path, weights=dict(weights, more=torch.zeros(1))))
    save_file(weights, path, dict(mvrep_probe='{}'))
    assert 'holds mvrep_probe, not mvrep' in refusal_of(path)

def test_a_model_is_refused_before_it_is_made():
    for settings in (dict(dims=BIG), dict(SMALL, n_layers=0)):
        with pytest.raises(ValueError): JointModel(**settings)
