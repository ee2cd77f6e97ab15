"The mel CNN and its training: log-mel patches, weights of VGGish, seeds, saved networks"
import math
import numpy as np
import pytest
import torch
from torch import nn
from mvrep.encoders.classifier import classify, fit_classifier
from mvrep.encoders.mel_cnn import SR, MelCNN, from_vggish, htk_filters, mel_patches
from mvrep.encoders.weights import WeightsError, hash_weights

EMOTIONS = ['Exciting', 'Fear', 'Neutral', 'Relaxation', 'Sad', 'Tension']
VGGISH_CHANNELS = {0: (64, 1), 3: (128, 64), 6: (256, 128), 8: (256, 256), 11: (512, 256), 13: (512, 512)}

def rising_tone():
    t = np.arange(10*SR)/SR
    return (.5*np.sin(2*np.pi*(200*t+340*t**2))).astype(np.float32)

@pytest.fixture(scope='module')
def x(): return mel_patches(rising_tone(), SR)

def test_patches_of_ten_seconds_and_of_silence(x):
    assert x.shape==(10, 96, 64)
    silence = mel_patches(np.zeros(SR, np.float32), SR)
    torch.testing.assert_close(silence, torch.full_like(silence, math.log(.01)), atol=1e-4, rtol=0)

def test_filters_by_hand():
    "Each band rises from the centre of the one before it to its own, on the mel scale of HTK"
    filters = htk_filters(3, 100., 4000.)
    mel = 1127*np.log(1+np.linspace(0, 8000, 257)/700)
    edges = np.linspace(1127*np.log(1+100/700), 1127*np.log(1+4000/700), 5)
    assert filters.shape==(3, 257) and not filters[:, 0].any()
    for i, row in enumerate(filters):
        np.testing.assert_allclose(row[1:], np.interp(mel, edges[i:i+3], [0, 1, 0])[1:], atol=1e-6)

def test_a_tone_is_in_the_nearest_band():
    mel = lambda hz: 1127*np.log1p(hz/700)
    centres = np.linspace(mel(125), mel(7500), 66)[1:-1]
    for hz in (300, 1000, 4000):
        tone = np.sin(2*np.pi*hz*np.arange(SR)/SR).astype(np.float32)
        assert int(mel_patches(tone, SR)[0].mean(0).argmax())==np.abs(centres-mel(hz)).argmin()

def test_stereo_is_refused():
    with pytest.raises(ValueError, match='mono'): mel_patches(np.zeros((100, 2), np.float32), SR)

def test_sizes_are_those_of_the_paper():
    net = MelCNN(EMOTIONS)
    assert sum(o.numel() for o in net.convs.parameters())==4_499_712
    assert {k: tuple(v.shape) for k, v in net.head.state_dict().items()}==dict(weight=(6, 512), bias=(6,))

@torch.inference_mode()
def test_scale_is_subtracted_and_divided(x):
    plain, scaled = MelCNN(EMOTIONS).eval(), MelCNN(EMOTIONS, (-3., 2.)).eval()
    torch.testing.assert_close(scaled.features(x[:2]), plain.features((x[:2]+3)/2), atol=1e-5, rtol=0)

@torch.inference_mode()
def test_logits_come_from_the_features(x):
    net = MelCNN(EMOTIONS).eval()
    nn.init.normal_(net.head.weight)
    torch.testing.assert_close(net(x[:2]), net.head(net.features(x[:2])), atol=1e-5, rtol=0)

def test_seeds_of_initial_weights():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    net = MelCNN(EMOTIONS)
    assert torch.equal(torch.rand(1), expected), 'the global random state must not change'
    assert torch.equal(MelCNN(EMOTIONS).convs[0].weight, net.convs[0].weight)
    assert not torch.equal(MelCNN(EMOTIONS, seed=1).convs[0].weight, net.convs[0].weight)

def test_classes_must_differ():
    for classes in (['Sad', 'Sad'], ['Sad'], []):
        with pytest.raises(ValueError, match='two different classes'): MelCNN(classes)

@pytest.fixture
def vggish():
    "A state dict with the public names, random numbers, and the parts that are dropped"
    torch.manual_seed(0)
    state = {'embeddings.0.weight': torch.zeros(1), 'pproc.pca_means': torch.zeros(128, 1)}
    for i, (n_out, n_in) in VGGISH_CHANNELS.items():
        state[f'features.{i}.weight'] = torch.randn(n_out, n_in, 3, 3)/50
        state[f'features.{i}.bias'] = torch.randn(n_out)/50
    return state

def test_vggish_fills_the_convolutions(vggish, tmp_path):
    torch.save(vggish, tmp_path/'vggish.pth')
    net = from_vggish(tmp_path/'vggish.pth', EMOTIONS)
    assert torch.equal(net.convs[11].weight, vggish['features.11.weight'])
    assert net.training and all(o.requires_grad for o in net.parameters())

@pytest.mark.parametrize('change,message', [
    ({'features.0.bias': torch.zeros(1)}, r'features.0.bias is \(1,\), not \(64,\)'),
    ({'features.15.weight': torch.zeros(1)}, 'features.15.weight is unknown'),
    ({'features.13.weight': None}, 'features.13.weight is missing')])
def test_vggish_must_fit(vggish, tmp_path, change, message):
    torch.save({k: v for k, v in (vggish | change).items() if v is not None}, tmp_path/'vggish.pth')
    with pytest.raises(WeightsError, match=message): from_vggish(tmp_path/'vggish.pth', EMOTIONS)

def test_vggish_must_exist(tmp_path):
    with pytest.raises(WeightsError, match='no weights at'): from_vggish(tmp_path/'none.pth', EMOTIONS)

def small(): return nn.Sequential(nn.Flatten(), nn.Dropout(.5), nn.Linear(96*64, 2))

def trained(x, seed):
    torch.manual_seed(0)
    net = small()
    fit_classifier(net, x, torch.arange(len(x))%2, epochs=2, seed=seed)
    return net[2].weight

def test_training_depends_on_its_seed_only(x):
    assert torch.equal(trained(x, 0), trained(x, 0))
    assert not torch.equal(trained(x, 0), trained(x, 1))

def test_training_leaves_evaluation_mode_and_the_random_state(x):
    torch.manual_seed(1)
    expected = torch.rand(1)
    net = small()
    torch.manual_seed(1)
    losses = fit_classifier(net, x, torch.arange(len(x))%2, epochs=3)
    assert torch.equal(torch.rand(1), expected)
    assert len(losses)==3 and not net.training

def test_training_refuses_missing_classes_and_nan(x):
    y = torch.arange(len(x))%2
    with pytest.raises(ValueError, match='a class for each input'): fit_classifier(small(), x, y[:3])
    with pytest.raises(ValueError, match='a class for each input'): fit_classifier(small(), x[:0], y[:0])
    with pytest.raises(ValueError, match='the loss is nan'): fit_classifier(small(), x*torch.nan, y)

@pytest.fixture
def saved(x, tmp_path):
    "A network after a little training, and the same network from its file"
    net = MelCNN(['tone', 'noise'])
    fit_classifier(net, x[:4], torch.arange(4)%2, epochs=1, batch_size=4)
    net.save(tmp_path/'net.safetensors')
    return net, MelCNN.from_pretrained(tmp_path/'net.safetensors')

def test_a_saved_network_is_the_same_and_frozen(saved, x):
    net, again = saved
    assert (again.classes, again.weights_hash)==(net.classes, hash_weights(net))
    assert torch.equal(classify(again, x[:4]), classify(net, x[:4]))
    assert not any(o.requires_grad for o in again.parameters())

def test_features_are_the_input_of_the_classifier(saved, x):
    net, again = saved
    feats = again.encode(rising_tone(), SR)['pooled']
    assert feats.shape==(10, 512) and feats.dtype==np.float32
    with torch.inference_mode(): np.testing.assert_allclose(feats, net.features(x), atol=1e-5)

def test_overlapping_patches(saved):
    net, _ = saved
    assert len(net.encode(rising_tone(), SR, hop=.48)['pooled'])==19
    with pytest.raises(ValueError, match='less than a frame'): net.encode(rising_tone(), SR, hop=.001)

def test_there_are_no_default_weights():
    with pytest.raises(WeightsError, match='which weights for mel_cnn'): MelCNN.from_pretrained('')
    with pytest.raises(WeightsError, match='no weights at'): MelCNN.from_pretrained('nowhere.safetensors')
