"Models of transformers: equal to transformers, modalities, windows, incomplete weights, gated and missing models"
import json
import shutil
import sys
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from mvrep.encoders.inputs import split_clips
from mvrep.encoders.licences import weights_licence
from mvrep.encoders.registry import find_encoder, find_weights, load_encoder
from mvrep.encoders.weights import WeightsError

pytest.importorskip('transformers', reason='transformers is not installed')
import tiny_models
from tiny_models import hf
from mvrep.encoders.hub import hub_remedy
from mvrep.encoders.hugging_face import ClipModel, ImageModel, load_model, model_modalities

@pytest.fixture(scope='module')
def folder_of(tmp_path_factory):
    root, made = tmp_path_factory.mktemp('hugging_face'), {}
    def find(name):
        if name not in made: made[name] = tiny_models.save(getattr(tiny_models, name), root/name)
        return str(made[name])
    return find

def waveform(seconds, sr): return np.random.default_rng(0).normal(0, .1, int(seconds*sr)).astype(np.float32)

def frames(n=9): return np.random.default_rng(0).integers(0, 256, (n, 40, 64, 3), np.uint8)

def expected_audio(folder, y):
    "What transformers gives for one waveform"
    net, processor = hf.AutoModel.from_pretrained(folder).eval(), hf.AutoFeatureExtractor.from_pretrained(folder)
    inputs = processor(y, sampling_rate=processor.sampling_rate, return_tensors='pt')
    with torch.inference_mode():
        if hasattr(net, 'get_audio_features'): return net.get_audio_features(**inputs).pooler_output[0]
        output = net(**inputs)
    return output.pooler_output[0] if 'pooler_output' in output else output.last_hidden_state[0].mean(0)

@pytest.mark.parametrize('name,seconds,dim', [('clap', 10, 12), ('wav2vec2', 10, 32), ('ast', 1, 16)])
def test_audio_is_encoded_as_by_transformers(folder_of, name, seconds, dim):
    folder = folder_of(name)
    encoder = load_encoder(f'hf:{folder}')
    assert (encoder.column, encoder.modality, encoder.dim, encoder.net.seconds)==(f'hf_{name}', 'audio', dim, seconds)
    y = waveform(1, encoder.net.sr)
    np.testing.assert_allclose(encoder(y), expected_audio(folder, y), atol=1e-5)

def test_windows_overlap_by_a_half(folder_of):
    encoder = load_encoder(f'hf:{folder_of("ast")}')
    y = waveform(3, 16000)
    each = [expected_audio(folder_of('ast'), y[start:start+16000]) for start in range(0, 32001, 8000)]
    np.testing.assert_allclose(encoder(y), torch.stack(each).mean(0), atol=1e-5)

def expected_images(folder):
    "What transformers gives for each frame"
    net, processor = hf.AutoModel.from_pretrained(folder).eval(), hf.AutoImageProcessor.from_pretrained(folder)
    with torch.inference_mode():
        run = getattr(net, 'get_image_features', net)
        return torch.cat([run(**processor(images=[o], return_tensors='pt')).pooler_output for o in frames()])

@pytest.mark.parametrize('name', ['clip', 'siglip', 'siglip2', 'dinov2'])
def test_images_are_encoded_as_by_transformers(folder_of, name):
    encoder = load_encoder(f'hf:{folder_of(name)}')
    assert isinstance(encoder.net, ImageModel) and encoder.modality=='video'
    np.testing.assert_allclose(encoder(frames()), expected_images(folder_of(name)).mean(0), atol=1e-5)

@pytest.mark.parametrize('name', ['videomae', 'vjepa2'])
def test_clips_are_encoded_as_by_transformers(folder_of, name):
    folder = folder_of(name)
    net = hf.AutoModel.from_pretrained(folder).eval()
    def inputs(clip):
        if name=='vjepa2': return hf.AutoVideoProcessor.from_pretrained(folder)([clip], return_tensors='pt')
        return hf.AutoImageProcessor.from_pretrained(folder)(list(clip), return_tensors='pt')
    with torch.inference_mode():
        each = [net(**inputs(o)).last_hidden_state.mean((0, 1)) for o in split_clips(frames(), 4)]
    encoder = load_encoder(f'hf:{folder}')
    assert isinstance(encoder.net, ClipModel) and len(each)==3
    np.testing.assert_allclose(encoder(frames()), torch.stack(each).mean(0), atol=1e-5)

@pytest.mark.parametrize('name,padding', [('clap', True), ('clip', True), ('siglip', 'max_length')])
def test_texts_are_encoded_as_by_transformers(folder_of, name, padding):
    folder, texts = folder_of(name), ['sad piano', 'a beach']
    net, tokenize = hf.AutoModel.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    tokens = tokenize(texts, padding=padding, max_length=34, truncation=True, return_tensors='pt')
    tokens.pop('token_type_ids', None)
    with torch.inference_mode(): expected = net.get_text_features(**tokens).pooler_output
    np.testing.assert_allclose(load_encoder(f'hf:{folder}').net.encode_text(texts), expected, atol=1e-5)

def test_a_model_without_a_text_tower(folder_of):
    net = load_encoder(f'hf:{folder_of("dinov2")}').net
    with pytest.raises(WeightsError, match='no text tower'): net.encode_text(['a'])

def test_a_model_with_two_modalities_needs_the_choice(folder_of, tmp_path):
    for name, content in (('config', {}), ('preprocessor_config', dict(sampling_rate=16000)),
                          ('video_preprocessor_config', dict(size=dict(height=8, width=8)))):
        (tmp_path/f'{name}.json').write_text(json.dumps(content))
    assert model_modalities(str(tmp_path))==('audio', 'video')
    with pytest.raises(ValueError, match='write hf:.*#audio'): find_encoder(f'hf:{tmp_path}')
    found = find_encoder(f'hf:{tmp_path}#video')
    assert (found.modality, found.column)==('video', f'hf_{tmp_path.name}_video')
    with pytest.raises(ValueError, match='encodes audio, not video'): find_encoder(f'hf:{folder_of("clap")}#video')

def test_incomplete_weights_give_no_random_network(folder_of, tmp_path):
    tiny_models.save(tiny_models.clap, tmp_path)
    state = load_file(tmp_path/'model.safetensors')
    lost = next(o for o in state if 'audio_projection' in o)
    save_file({k: v for k, v in state.items() if k!=lost}, tmp_path/'model.safetensors', dict(format='pt'))
    with pytest.raises(WeightsError, match='lack audio_projection'): load_model(str(tmp_path), 'audio')
    (tmp_path/'model.safetensors').write_bytes(b'not a tensor')
    with pytest.raises(WeightsError, match='cannot be loaded'): load_model(str(tmp_path), 'audio')
    with pytest.raises(WeightsError, match='not a folder'): load_encoder('hf:./nowhere')

def test_provenance_and_licence(folder_of):
    spec = f'hf:{folder_of("dinov2")}'
    assert load_encoder(spec).made_by.startswith('hf_dinov2/pooled/16/') and find_weights(spec).found
    licence = weights_licence(spec)
    assert licence.licence.startswith('not stated') and len(licence.sha256)==64 and licence.source=='the folder dinov2'

def test_models_that_cannot_be_fetched(monkeypatch):
    import huggingface_hub.constants
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    with pytest.raises(WeightsError, match='is not on this machine and the hub cannot be reached'):
        load_encoder('hf:laion/no-such-model')

@pytest.mark.parametrize('text,remedy', [
    ('You are trying to access a gated repo.', 'accept its terms at https://huggingface.co/a/b'),
    ('a/b is not a valid model identifier', 'check the name'), ('set trust_remote_code=True', 'brings code of its own'),
    ("We couldn't connect to the hub", 'connect to the network'), ('oh', 'cannot be loaded (oh)')])
def test_every_failure_says_what_to_do(text, remedy): assert remedy in hub_remedy('hf:a/b', OSError(text))

def test_without_the_package(folder_of, monkeypatch):
    folder = folder_of('clap')
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(WeightsError, match=r"transformers is not installed: pip install 'mvrep\[text\]'"):
        load_encoder(f'hf:{folder}')

def test_code_of_a_model_is_never_run(folder_of, tmp_path, monkeypatch):
    folder = shutil.copytree(folder_of('clip'), tmp_path/'own')
    config = json.loads((folder/'config.json').read_text())
    names = dict(AutoConfig='own.Config', AutoModel='own.Model')
    (folder/'config.json').write_text(json.dumps(config|dict(model_type='own', auto_map=names)))
    (folder/'own.py').write_text('raise SystemExit("this ran")')
    monkeypatch.setattr('builtins.input', lambda *args: pytest.fail('asked whether to run it'))
    with pytest.raises(WeightsError, match='code of its own'): load_encoder(f'hf:{folder}')

def test_what_the_hub_is_known_to_lack_is_not_asked_for_again(monkeypatch):
    import huggingface_hub
    from huggingface_hub.file_download import _CACHED_NO_EXIST
    from mvrep.encoders.hub import model_file
    monkeypatch.setattr(huggingface_hub, 'try_to_load_from_cache', lambda *args, **kwargs: _CACHED_NO_EXIST)
    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', lambda *args, **kwargs: pytest.fail('asked the hub'))
    assert model_file('a/b', 'processor_config.json') is None
