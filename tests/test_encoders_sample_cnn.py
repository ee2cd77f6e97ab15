"SampleCNN: sizes as published, frozen blocks, files, runs by name"
import numpy as np
import pytest
import torch
from mvrep.encoders.registry import find_weights, load_encoder
from mvrep.encoders.sample_cnn import SAMPLE_CNNS, SampleCNN, SampleCNNConfig, registered_runs, run_file
from mvrep.encoders.weights import WeightsError

SMALL = SampleCNNConfig(sr=8000, channels=(8, 8, 8, 16, 16, 16, 16), dim=24)

@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('MVREP_HOME', str(tmp_path/'home'))
    return tmp_path

def waves(n, config=SMALL): return torch.randn(n, config.n_samples, generator=torch.Generator().manual_seed(0))

@pytest.mark.parametrize('name,samples,sr', [
    ('clmr', 59_049, 22050), ('vcmr', 98_415, 16000), ('vcmr_2', 81_920, 16000), ('vcmr_3', 98_304, 16000)])
def test_windows_have_the_published_length(name, samples, sr):
    config = SAMPLE_CNNS[name]
    assert (config.n_samples, config.sr)==(samples, sr)
    net = SampleCNN(config).eval()
    with torch.inference_mode(): assert net(waves(1, config)).shape==(1, 512)

def count(layers):
    "Parameters of convolutions `(kernel, inputs, outputs)` with bias and batch normalisation"
    return sum(kernel*n_in*n_out+3*n_out for kernel, n_in, n_out in layers)

@pytest.mark.parametrize('name,first,channels,last', [ # from the files of the published programs
    ('clmr', 3, [128, 128, 128, 256, 256, 256, 256, 256, 256, 512], 3),
    ('vcmr', 5, [128, 128, 128, 256, 256, 256, 256, 256, 512, 512], 1),
    ('vcmr_2', 5, [128]*5+[256]*8+[512]*2, 1),
    ('vcmr_3', 3, [64]*4+[128]*4+[256]*6+[512]*2, 1)])
def test_parameters_are_those_of_the_published_layers(name, first, channels, last):
    layers = [(first, 1, channels[0]), *[(3, a, b) for a, b in zip(channels, channels[1:])], (last, channels[-1], 512)]
    assert sum(o.numel() for o in SampleCNN(SAMPLE_CNNS[name]).parameters())==count(layers)

def test_clmr_has_the_size_of_the_paper(): # 2.4 million
    assert round(sum(o.numel() for o in SampleCNN().parameters())/1e6, 1)==2.4

def test_a_seed_gives_the_weights_and_leaves_the_state_of_torch():
    state = torch.get_rng_state()
    a, b = SampleCNN(SMALL, seed=1).state_dict(), SampleCNN(SMALL, seed=1).state_dict()
    assert all(torch.equal(a[o], b[o]) for o in a) and torch.equal(state, torch.get_rng_state())
    assert not torch.equal(a['blocks.0.0.weight'], SampleCNN(SMALL).state_dict()['blocks.0.0.weight'])

def test_windows_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r'want \(n, 2187\)'): SampleCNN(SMALL)(torch.zeros(1, 2186))
    with pytest.raises(ValueError, match='want'): SampleCNN(SMALL)(torch.zeros(1, 1, 2187))

def test_frozen_blocks_keep_weights_and_statistics():
    net = SampleCNN(SMALL).freeze_blocks(4).train()
    before = {name: o.clone() for name, o in net.state_dict().items()}
    optimizer = torch.optim.Adam([o for o in net.parameters() if o.requires_grad], .01)
    for _ in range(3):
        optimizer.zero_grad()
        net(waves(4)).square().mean().backward()
        optimizer.step()
        net.eval()
        net.train() # as Lightning does before and after each validation
    changed = {name.split('.')[1] for name, o in net.state_dict().items() if not torch.equal(o, before[name])}
    assert changed=={'4', '5', '6', '7'}
    assert net.blocks[3].training is False and net.blocks[4].training is True

def test_frozen_blocks_can_be_released():
    net = SampleCNN(SMALL).train().freeze_blocks(2).freeze_blocks(0)
    assert all(o.requires_grad for o in net.parameters()) and net.blocks[0].training
    with pytest.raises(ValueError, match='has 8 blocks'): net.freeze_blocks(9)

def test_windows_of_a_waveform():
    net = SampleCNN(SMALL).eval()
    y = waves(3).flatten().numpy()
    adjacent, overlapping = net.encode(y, 8000)['pooled'], net.encode(y, 8000, hop=net.hop)['pooled']
    assert adjacent.shape==(3, 24) and overlapping.shape==(5, 24) and adjacent.dtype==np.float32
    with torch.inference_mode(): np.testing.assert_allclose(adjacent, net(waves(3)), atol=1e-5)
    np.testing.assert_allclose(overlapping[0], adjacent[0], atol=1e-5)

def test_audio_shorter_than_a_window_is_repeated():
    net = SampleCNN(SMALL)
    y = waves(1)[0, :900].numpy()
    np.testing.assert_array_equal(net.encode(y, 8000)['pooled'], net.encode(np.resize(y, 2187), 8000)['pooled'])

@pytest.mark.parametrize('y', [np.zeros(0), np.full(5000, np.nan), np.zeros((2, 5000))])
def test_what_is_not_a_waveform_is_refused(y):
    with pytest.raises(ValueError): SampleCNN(SMALL).encode(y, 8000)

def test_a_run_is_an_encoder(home):
    assert registered_runs()==[]
    SampleCNN(SMALL, seed=3).save(run_file('abc123'), recipe='clmr')
    by_name, by_path = load_encoder('sample_cnn@abc123'), load_encoder(f'sample_cnn@{run_file("abc123")}')
    assert by_name.made_by==by_path.made_by and registered_runs()==['abc123']
    assert (by_name.column, by_name.modality, by_name.dim, by_name.net.sr)==('sample_cnn', 'audio', 24, 8000)
    assert by_name(waves(1)[0].numpy()).shape==(24,)
    assert not any(o.requires_grad for o in by_name.net.parameters())

def test_two_runs_have_different_provenance(home):
    for seed in (0, 1): SampleCNN(SMALL, seed=seed).save(run_file(f'run{seed}'))
    assert load_encoder('sample_cnn@run0').made_by!=load_encoder('sample_cnn@run1').made_by

@pytest.mark.parametrize('spec,message', [
    ('sample_cnn', 'mvrep pretrain'), ('sample_cnn@abc', 'no run abc on this machine; there are abd: '),
    ('sample_cnn@abdd', 'did you mean abd'), ('sample_cnn@no/file.safetensors', 'no weights at no/file.safetensors')])
def test_what_cannot_be_found(home, spec, message):
    SampleCNN(SMALL).save(run_file('abd'))
    if 'abc' in spec: message = 'no run abc on this machine'
    with pytest.raises(WeightsError, match=message): load_encoder(spec)
    assert not find_weights('sample_cnn').found

def test_another_file_is_refused(home):
    path = home/'other.safetensors'
    path.write_bytes(b'no weights')
    with pytest.raises(WeightsError, match='was not saved by mvrep as SampleCNN'): SampleCNN.from_pretrained(path)
