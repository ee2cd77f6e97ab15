"musicnn against the outputs of the original program, and its behaviour on short, silent and wrong input"
from importlib.resources import files
import numpy as np
import pytest
import soundfile as sf
import torch
from safetensors.torch import save
from conftest import root
from mvrep.encoders.musicnn import Musicnn
from mvrep.encoders.musicnn_weights import convert_musicnn, tf_names
from mvrep.encoders.spectrogram import patches
from mvrep.encoders.tf_checkpoint import tf_checksum, tf_index
from mvrep.encoders.weights import WeightsError, read_weights

FIXTURES = root/'nbs/library/02_encoders/fixtures/musicnn'
ORIGINAL_NAMES = dict(pooled_norm='flat_bn', timbral='timbral_patch0', temporal='temporal_patch0',
                      cnn1='cnn1_patch0', cnn2='cnn2_patch0', cnn3='cnn3_patch0')
MODELS = 'mtt', 'msd'

@pytest.fixture(scope='module')
def nets(): return {model: Musicnn.from_pretrained(model) for model in MODELS}

@pytest.fixture(scope='module')
def y(): return sf.read(FIXTURES/'synth16k.flac', dtype='float32')[0]

def reference(case): return np.load(FIXTURES/f'{case}.npz')

def distances(ours, theirs):
    "Relative L2 distance of each layer that the original's output has"
    names = {layer: ORIGINAL_NAMES.get(layer, layer) for layer in ours}
    pairs = {layer: (ours[layer], theirs[name]) for layer, name in names.items() if name in theirs}
    return {layer: np.linalg.norm(a-b)/np.linalg.norm(b) for layer, (a, b) in pairs.items()}

def all_layers(net, S):
    "Every layer for a spectrogram: vectors of all patches, and layers over time of the first patch"
    with torch.inference_mode(): outputs = [net(x) for x in patches(S).split(1)]
    first = outputs[0]
    layers = {layer: first[layer][0].numpy() for layer in first if layer not in net.layers}
    for layer in net.layers: layers[layer] = np.concatenate([output[layer] for output in outputs])
    return layers

def tag_error(ours, theirs): return np.abs(ours['taggram']-theirs['taggram']).max()

@pytest.mark.parametrize('model', MODELS)
def test_every_layer_of_the_network_alone(nets, model):
    found = distances(all_layers(nets[model], reference('mtt_16k')['logmel']), reference(f'{model}_16k'))
    assert len(found)==11 and max(found.values())<5e-6, found

@pytest.mark.parametrize('case,hop', [('mtt_16k', None), ('msd_16k', None), ('mtt_16k_hop1s', 1)])
def test_from_the_waveform_to_the_tags(nets, y, case, hop):
    ours = nets[case[:3]].encode(y, 16000, hop=hop)
    found = distances(ours, reference(case))
    assert len(found)==6 and max(found.values())<1e-3, found
    assert tag_error(ours, reference(case))<1e-4

@pytest.mark.parametrize('model', MODELS)
def test_other_sample_rates_are_close(nets, model):
    "The original's resampling filter differs above 7.4 kHz"
    z, sr = sf.read(FIXTURES/'synth44k.flac', dtype='float32')
    theirs = reference(f'{model}_44k')
    ours = nets[model].encode(z, sr)
    assert .01<distances(ours, theirs)['pooled_norm']<.2 and tag_error(ours, theirs)<.2
    assert [tag for tag, _ in nets[model].tags(z, sr)]==first_tags(nets[model], theirs)

def first_tags(net, theirs): return [net.labels[i] for i in theirs['taggram'].mean(0).argsort()[::-1][:5]]

@pytest.mark.parametrize('model', MODELS)
def test_tags_and_their_order_are_those_of_the_original(nets, y, model):
    assert [tag for tag, _ in nets[model].tags(y, 16000)]==first_tags(nets[model], reference(f'{model}_16k'))

@pytest.mark.parametrize('topn', [1, 3, 50])
def test_probabilities_are_those_of_the_mean_over_patches(nets, y, topn):
    found, mean = nets['mtt'].tags(y, 16000, topn), nets['mtt'].encode(y, 16000)['taggram'].mean(0)
    assert len(found)==topn and [p for _, p in found]==sorted(mean.tolist(), reverse=True)[:topn]
    assert all(p==mean[nets['mtt'].labels.index(tag)] for tag, p in found)

def test_pooled_interleaves_maximum_and_mean(nets, y):
    out = nets['mtt'].encode(y, 16000)
    np.testing.assert_array_equal(out['pooled'][:, 0::2], out['max_pool'])
    np.testing.assert_array_equal(out['pooled'][:, 1::2], out['mean_pool'])
    assert {layer: o.shape[1] for layer, o in out.items()}==Musicnn.layers

def test_number_of_weights():
    assert sum(o.numel() for o in Musicnn().state_dict().values() if o.is_floating_point())==792079

@pytest.mark.parametrize('model', MODELS)
def test_packaged_tensors_have_the_checksums_of_the_original(model):
    index = {k: v for k, v in tf_index(FIXTURES/f'{model}.index').items() if 'Adam' not in k and 'power' not in k}
    state = read_weights(files('mvrep')/'weights'/f'musicnn_{model}.safetensors')
    assert set(state)==set(tf_names()) and set(tf_names().values())==set(index)
    for name, tensor in state.items():
        array = tensor.numpy()
        array = array.transpose(2, 3, 1, 0) if array.ndim==4 else array.T
        assert tf_checksum(np.ascontiguousarray(array).tobytes())==index[tf_names()[name]].checksum, name

def test_conversion_takes_each_tensor_from_its_variable():
    index = tf_index(FIXTURES/'mtt.index')
    numbered = {name: np.full(entry.shape, i, np.float32) for i, (name, entry) in enumerate(index.items())}
    names = list(index)
    for ours, tensor in convert_musicnn(numbered).items(): assert names[int(tensor.flatten()[0])]==tf_names()[ours]

@pytest.mark.parametrize('n_samples', [1, 5000, 47615])
def test_short_audio_gives_one_patch(nets, y, n_samples):
    feats = nets['mtt'].encode(y[:n_samples], 16000)
    assert len(feats['pooled'])==1 and all(np.isfinite(o).all() for o in feats.values())

def test_silence_gives_finite_features(nets):
    feats = nets['mtt'].encode(np.zeros(48000, np.float32), 16000)
    assert len(feats['pooled'])==1 and all(np.isfinite(o).all() for o in feats.values())

def test_encoding_leaves_the_network_as_it_was(nets, y):
    net = nets['mtt']
    before = {k: v.clone() for k, v in net.state_dict().items()}
    out = net.encode(y, 16000)['pooled']
    np.testing.assert_array_equal(net.train().encode(y, 16000)['pooled'], out)
    for k, v in net.state_dict().items(): assert torch.equal(v, before[k])
    assert not any(o.requires_grad for o in net.parameters())

def test_wrong_input(nets, y):
    wrong = {'no samples': y[:0], 'average the channels': np.stack([y, y]), 'divide by': (y*32767).astype(np.int16),
             'peak is': y*32767, 'not finite': y*np.nan}
    for message, bad in wrong.items():
        with pytest.raises(ValueError, match=message): nets['mtt'].encode(bad, 16000)
    with pytest.raises(ValueError, match='less than a frame'): nets['mtt'].encode(y, 16000, hop=.02)

def test_weights_without_tags_or_file(nets, tmp_path):
    with pytest.raises(WeightsError, match='no weights at'): Musicnn.from_pretrained('mtg')
    file = tmp_path/'anonymous.safetensors'
    file.write_bytes(save(nets['mtt'].state_dict()))
    with pytest.raises(WeightsError, match='lacks the 50 tags'): Musicnn.from_pretrained(file)
