"Towers of open_clip: equal to open_clip, by name, licences, and one error for everything that is missing"
import json
import sys
import numpy as np
import pytest
import torch
from PIL import Image
from mvrep.core import import_torchvision
from mvrep.encoders.licences import weights_licence
from mvrep.encoders.registry import find_encoder, find_weights, load_encoder
from mvrep.encoders.weights import WeightsError

import_torchvision()
open_clip = pytest.importorskip('open_clip', reason='open_clip is not installed')
from mvrep.encoders.open_clip import OpenClipTowers, open_clip_names, tiny_open_clip

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('open clip')/'tiny@1 clip'
    path.mkdir()
    tiny_open_clip(path)
    return path

def frames(n=3): return np.random.default_rng(0).integers(0, 256, (n, 40, 64, 3), np.uint8)

def test_features_are_those_of_open_clip(folder):
    "The image tower frame by frame, the text tower text by text"
    net, transform = open_clip.create_model_from_pretrained(f'local-dir:{folder}')
    tokenizer = open_clip.get_tokenizer(f'local-dir:{folder}')
    texts = ['a beach', 'a band on a stage', '']
    with torch.inference_mode():
        images = torch.cat([net.encode_image(transform(Image.fromarray(o))[None]) for o in frames()])
        words = net.encode_text(tokenizer(texts))
    towers = OpenClipTowers.from_pretrained(folder)
    towers.batch_size = 2
    np.testing.assert_allclose(towers.encode(frames()), images.mean(0), atol=1e-6)
    np.testing.assert_allclose(towers.encode_text(texts), words, atol=1e-6)

def test_by_name(folder):
    encoder = load_encoder(f'open_clip:{folder}')
    assert (encoder.column, encoder.modality, encoder.dim)==('open_clip_tiny_1_clip', 'video', 16)
    assert encoder.made_by.startswith('open_clip_tiny_1_clip/pooled/16/') and encoder.net.size==32
    assert find_weights(f'open_clip:{folder}').found
    hub = find_encoder('open_clip:ViT-B-32/laion2b_s34b_b79k')
    assert hub.column=='open_clip_ViT_B_32_laion2b_s34b_b79k'

def test_the_same_network_from_a_file(folder, tmp_path):
    "`NAME@FILE`, with a network that open_clip knows by its name"
    config = json.loads((folder/'open_clip_config.json').read_text())['model_cfg']
    (tmp_path/'Tiny-32.json').write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    encoder = load_encoder(f'open_clip:Tiny-32@{folder/"open_clip_model.safetensors"}')
    assert encoder.net.weights_hash==OpenClipTowers.from_pretrained(folder).weights_hash
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path/'other.pt')
    with pytest.raises(WeightsError, match='open_clip:Tiny-32 cannot be loaded'):
        load_encoder(f'open_clip:Tiny-32@{tmp_path/"other.pt"}')

def test_licences(folder):
    assert weights_licence(f'open_clip:{folder}').licence.startswith('not stated')
    (folder/'README.md').write_text('---\nlicense: cc-by-4.0\n---\n')
    found = weights_licence(f'open_clip:{folder}')
    assert (found.licence, len(found.sha256))==('cc-by-4.0', 64)
    assert weights_licence('open_clip:ViT-B-32/openai').licence=='MIT'

@pytest.mark.parametrize('name,error', [
    ('ViT-B-31/openai', 'no model ViT-B-31'), ('ViT-B-32', 'one of openai'), ('ViT-B-32/nothing', 'one of openai'),
    ('./nowhere', 'not a folder'), ('ViT-B-32@nowhere.pt', 'no weights at nowhere.pt')])
def test_names_that_cannot_be_loaded(name, error):
    with pytest.raises(ValueError, match=error): load_encoder(f'open_clip:{name}')

def test_a_folder_without_weights_gives_no_random_network(folder, tmp_path):
    with pytest.raises(WeightsError, match='has no open_clip_config.json'): open_clip_names(str(tmp_path))
    (tmp_path/'open_clip_config.json').write_text((folder/'open_clip_config.json').read_text())
    with pytest.raises(WeightsError, match='has no weights'): load_encoder(f'open_clip:{tmp_path}')

def test_weights_that_cannot_be_fetched(monkeypatch):
    import huggingface_hub.constants
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    with pytest.raises(WeightsError, match='ViT-B-32/laion2b_s34b_b79k is not on this machine'):
        load_encoder('open_clip:ViT-B-32/laion2b_s34b_b79k')
    with pytest.raises(WeightsError, match='not on this machine'): load_encoder('open_clip:hf-hub:laion/no-such-model')

def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, 'open_clip', None)
    with pytest.raises(WeightsError, match=r"open_clip is not installed: pip install 'mvrep\[clip\]'"):
        load_encoder('open_clip:ViT-B-32/openai')
