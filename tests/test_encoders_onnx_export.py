"Encoders in ONNX: the same features, any number of windows, and a check that can fail"
import sys
from dataclasses import replace
from unittest.mock import patch
import numpy as np
import pytest
import torch
from mvrep.encoders import onnx_export
from mvrep.encoders.onnx_export import export_onnx, run_onnx
from mvrep.encoders.sample_cnn import SampleCNN, SampleCNNConfig

pytest.importorskip('onnxruntime')
SIZES = SampleCNNConfig(sr=8000, channels=(8, 8, 8, 16, 16), dim=16)

@pytest.mark.parametrize('sizes', [SIZES, replace(SIZES, stride=5, pool=2, last_kernel=1)])
def test_the_same_features(tmp_path, sizes):
    net = SampleCNN(sizes, seed=1)
    net.train()(torch.randn(8, sizes.n_samples)) # statistics that are not those of a new network
    export_onnx(net, tmp_path/'net.onnx')
    for n in (1, 2, 7):
        x = np.random.default_rng(n).normal(0, .1, (n, sizes.n_samples)).astype(np.float32)
        with torch.inference_mode(): expected = net.eval()(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(run_onnx(tmp_path/'net.onnx', x), expected, atol=1e-4*np.abs(expected).max())

def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, 'run_onnx', lambda path, windows: np.ones((3, 16), np.float32))
    with pytest.raises(ValueError, match='the exported network differs'):
        export_onnx(SampleCNN(SIZES), tmp_path/'net.onnx')
    assert not list(tmp_path.iterdir())

def test_without_the_packages(tmp_path):
    for package in ('onnx', 'onnxruntime'):
        with patch.dict(sys.modules, {package: None}), pytest.raises(ModuleNotFoundError, match=r'"mvrep\[onnx\]"'):
            export_onnx(SampleCNN(SIZES), tmp_path/'net.onnx')
    assert not list(tmp_path.iterdir())

def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.onnx: no such file'):
        run_onnx(tmp_path/'none.onnx', np.zeros((1, 9)))
