"Weight files: what is read, what is refused, and how a network is filled"
from pathlib import Path
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from mvrep.encoders.mel_cnn import MelCNN
from mvrep.encoders.weights import WeightsError, hash_weights, load_exactly, read_net, read_weights, save_net

def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))

class Trap:
    "Creates a file if it is unpickled"
    def __init__(self, path): self.path = path
    def __reduce__(self): return Path.touch, (self.path,)

def test_both_formats_hold_the_same_tensors(tmp_path):
    state = network().state_dict()
    save_file(state, tmp_path/'net.safetensors')
    torch.save({'epoch': 3, 'state_dict': {f'module.{k}': v for k, v in state.items()}}, tmp_path/'nested.pth')
    torch.save({'model': state}, tmp_path/'model.pt')
    for name in ('net.safetensors', 'nested.pth', 'model.pt'):
        read = read_weights(tmp_path/name)
        assert set(read)==set(state)
        assert all(torch.equal(read[k], state[k]) for k in state)

def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    torch.save({'w': Trap(tmp_path/'it_ran')}, tmp_path/'trap.pth')
    with pytest.raises(WeightsError, match='not a file of weights'): read_weights(tmp_path/'trap.pth')
    assert not (tmp_path/'it_ran').exists()

def test_files_without_tensors_are_refused(tmp_path):
    (tmp_path/'text.pth').write_text('not weights')
    torch.save([1, 2], tmp_path/'list.pth')
    torch.save({}, tmp_path/'empty.pth')
    messages = dict(nothing='no weights at', text='not a file of weights',
                    list='without tensors', empty='without tensors')
    for name, message in messages.items():
        with pytest.raises(WeightsError, match=message): read_weights(tmp_path/f'{name}.pth')

def test_a_network_is_filled_and_frozen():
    net, other = network(0), network(1)
    assert not torch.equal(other[0].weight, net[0].weight)
    load_exactly(other, net.state_dict())
    assert torch.equal(other[0].weight, net[0].weight)
    assert not other.training and not any(o.requires_grad for o in other.parameters())

@pytest.mark.parametrize('change,message', [
    ({'0.bias': None}, '0.bias is missing'),
    ({'0.weight': torch.zeros(3, 3)}, r'\(3, 3\), not \(2, 3\)'),
    ({'fc.weight': torch.zeros(3)}, 'fc.weight is unknown')])
def test_tensors_that_do_not_fit_are_named(change, message):
    state = {k: v for k, v in (network().state_dict() | change).items() if v is not None}
    with pytest.raises(WeightsError, match=message): load_exactly(network(1), state)

def test_a_network_that_is_refused_is_left_as_it_was():
    net = network(1)
    before = hash_weights(net)
    with pytest.raises(WeightsError): load_exactly(net, network(0).state_dict() | {'fc.weight': torch.zeros(3)})
    assert hash_weights(net)==before

def test_dropped_prefixes_and_counters_may_differ():
    state = network().state_dict() | {'fc.weight': torch.zeros(3)}
    del state['1.num_batches_tracked']
    load_exactly(network(1), state, drop=('fc.',))

def test_only_tensors_that_matter_change_the_hash():
    net, same = network(), network()
    assert hash_weights(net)==hash_weights(same)
    same[1].num_batches_tracked += 1
    assert hash_weights(net)==hash_weights(same)
    same[1].running_mean[0] += 1e-6
    assert hash_weights(net)!=hash_weights(same)

def test_saved_networks_of_another_kind_are_refused(tmp_path):
    save_net(network(), tmp_path/'other.safetensors')
    (tmp_path/'text.safetensors').write_text('no weights')
    save_file(network().state_dict(), tmp_path/'plain.safetensors')
    messages = dict(other='holds Sequential, not MelCNN', text='was not saved by mvrep as MelCNN',
                    plain='was not saved by mvrep as MelCNN', nothing='no weights at')
    for name, message in messages.items():
        with pytest.raises(WeightsError, match=message): MelCNN.from_pretrained(tmp_path/f'{name}.safetensors')

def test_settings_and_tensors_come_back(tmp_path):
    net = network()
    save_net(net, tmp_path/'net.safetensors', classes=['Angst', 'Überraschung'], width=3)
    settings, state = read_net(tmp_path/'net.safetensors', 'Sequential', 'Other')
    assert settings==dict(classes=['Angst', 'Überraschung'], width=3, kind='Sequential')
    assert hash_weights(load_exactly(network(1), state))==hash_weights(net)
