"EfficientAT: bands against those of transformers, the network against plain convolutions, windows, wrong weights"
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mvrep.core import data_folder
from mvrep.encoders.efficientat import SR, EfficientAT, emphasised_log_mel
from mvrep.encoders.licences import weights_licence
from mvrep.encoders.mel_cnn import htk_filters
from mvrep.encoders.registry import load_encoder
from mvrep.encoders.weights import WeightsError

# kernel, gated, hard swish, stride of each block, table 1 of MobileNetV3
BLOCKS = ((3, 0, 0, 1), (3, 0, 0, 2), (3, 0, 0, 1), (5, 1, 0, 2), (5, 1, 0, 1), (5, 1, 0, 1), (3, 0, 1, 2),
          (3, 0, 1, 1), (3, 0, 1, 1), (3, 0, 1, 1), (3, 1, 1, 1), (3, 1, 1, 1),
          (5, 1, 1, 2), (5, 1, 1, 1), (5, 1, 1, 1))

def published_names(state):
    "Tensors by the names, and in the shapes, of the published files"
    renamed = {}
    for name, tensor in state.items():
        name = name.replace('.fc1.', '.conc_se_layers.0.fc1.').replace('.fc2.', '.conc_se_layers.0.fc2.')
        name = name.replace('classifier.3.', 'classifier.5.').replace('classifier.0.', 'classifier.2.')
        renamed[name] = tensor[:, :, 0, 0] if 'conc_se' in name and tensor.ndim==4 else tensor
    return renamed

def convolve(state, name, x, activation, stride=1, groups=1):
    "Convolution and normalisation, both written out"
    weight = state[f'{name}.0.weight']
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1]//2, groups=groups)
    mean, var, w, b = (state[f'{name}.1.{o}'][:, None, None] for o in ('running_mean', 'running_var', 'weight', 'bias'))
    return activation((x-mean)/(var+.001).sqrt()*w+b)

def reference(state, x):
    "Features and logits by the published names, without torchvision"
    x = convolve(state, 'features.0', x, F.hardswish, stride=2)
    for number, (kernel, gated, swish, stride) in enumerate(BLOCKS, 1):
        activation = F.hardswish if swish else F.relu
        before, part = x, 0
        prefix = f'features.{number}.block'
        if state[f'{prefix}.0.0.weight'].shape[1]!=1:
            x, part = convolve(state, f'{prefix}.0', x, activation), 1
        x = convolve(state, f'{prefix}.{part}', x, activation, stride, x.shape[1])
        if gated:
            part += 1
            gate = f'{prefix}.{part}.conc_se_layers.0'
            hidden = F.relu(F.linear(x.mean((2, 3)), state[f'{gate}.fc1.weight'], state[f'{gate}.fc1.bias']))
            gates = F.linear(hidden, state[f'{gate}.fc2.weight'], state[f'{gate}.fc2.bias']).sigmoid()
            x = x*gates[:, :, None, None]
        x = convolve(state, f'{prefix}.{part+1}', x, lambda o: o)
        if stride==1 and x.shape==before.shape: x = x+before
    feats = convolve(state, 'features.16', x, F.hardswish).mean((2, 3))
    hidden = F.hardswish(F.linear(feats, state['classifier.2.weight'], state['classifier.2.bias']))
    return feats, F.linear(hidden, state['classifier.5.weight'], state['classifier.5.bias'])

@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    "A file in the published format: random weights, and statistics that are not those of a new network"
    torch.manual_seed(0)
    net = EfficientAT(.1, n_classes=7).net
    for name, tensor in net.state_dict().items():
        if 'running' in name: tensor.uniform_(.5, 1.5)
    path = tmp_path_factory.mktemp('efficientat')/'mn01.pt'
    torch.save(published_names(net.state_dict()), path)
    return path

def waveform(seconds, seed=0): return np.random.default_rng(seed).normal(0, .1, int(seconds*SR)).astype(np.float32)

def test_bands_are_those_of_kaldi():
    audio_utils = pytest.importorskip('transformers.audio_utils', reason='transformers is not installed')
    kaldi = audio_utils.mel_filter_bank(513, 128, 0., 15000., SR, norm=None, mel_scale='kaldi',
                                        triangularize_in_mel_space=True)
    np.testing.assert_allclose(htk_filters(128, 0., 15000., SR, 1024), kaldi.T, atol=1e-6)

def test_the_network_is_the_published_one(weights):
    net = EfficientAT.from_pretrained('mn01', weights)
    y = torch.from_numpy(waveform(2))[None]
    with torch.inference_mode(): found = net(y)
    feats, logits = reference(torch.load(weights, weights_only=True), emphasised_log_mel(y)[:, None])
    torch.testing.assert_close(found['pooled'], feats, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found['classes'], logits.sigmoid(), rtol=1e-4, atol=1e-5)

def test_windows(weights):
    net = EfficientAT.from_pretrained('mn01', weights)
    counts = {seconds: len(net.encode(waveform(seconds), SR, hop=5.)['pooled']) for seconds in (.3, 5, 10, 15)}
    assert counts=={.3: 1, 5: 1, 10: 1, 15: 2}
    short = waveform(.3)
    np.testing.assert_array_equal(net.encode(short, SR)['pooled'], net.encode(np.resize(short, SR), SR)['pooled'])
    with pytest.raises(ValueError, match='less than a sample'): net.encode(short, SR, hop=0)

def test_by_name(weights):
    state = torch.load(weights, weights_only=True)
    for name, error in (('mn04', 'which weights for mn04'), (f'mn04@{weights}', 'do not fit MobileNetV3')):
        with pytest.raises(WeightsError, match=error): load_encoder(name)
    torch.manual_seed(1)
    path = weights.parent/'mn04.pt'
    torch.save(published_names(EfficientAT(.4).net.state_dict()), path)
    encoder, classes = load_encoder(f'mn04@{path}'), load_encoder(f'mn04:classes@{path}')
    assert (encoder.column, encoder.dim, classes.column, classes.dim)==('mn04', 384, 'mn04_classes', 527)
    assert encoder(waveform(1)).shape==(384,) and len(state)>100
    assert weights_licence(f'mn04@{path}').licence.startswith('not stated')

def test_the_published_weights():
    home = data_folder('efficientat')
    if home is None: pytest.skip('the published weights are not here')
    file = home/'mn04_as_mAP_432.pt'
    encoder = load_encoder(f'mn04@{file}')
    assert encoder.made_by=='mn04/pooled/384/2f8c071b1050f181/code 1'
    assert weights_licence(f'mn04@{file}').licence=='MIT'
