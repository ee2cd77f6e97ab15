"Networks in ONNX files: equal to PyTorch for waveforms, images and clips, facts, licences, wrong files"
import numpy as np
import pytest
import torch
from torch import nn
from mvrep.encoders.inputs import split_clips
from mvrep.encoders.licences import weights_licence
from mvrep.encoders.registry import load_encoder
from mvrep.encoders.weights import WeightsError

pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
pytest.importorskip('onnxscript', reason='onnxscript is not installed')
from mvrep.encoders.onnx_file import describe_onnx

class Means(nn.Module):
    "Means over all axes but the first two, and a bias"
    def forward(self, x): return x.flatten(2).mean(2)+.5 if x.ndim>2 else torch.stack([x.mean(1), x.std(1)], 1)

def export(path, x, **facts):
    "Write `Means` for input like `x`, with any number of inputs"
    torch.onnx.export(Means(), (x,), str(path), input_names=['x'], dynamic_axes=dict(x={0: 'n'}), dynamo=False)
    if facts: describe_onnx(path, **facts)
    return f'onnx:{path}'

pytestmark = pytest.mark.filterwarnings('ignore')

def test_audio(tmp_path):
    encoder = load_encoder(export(tmp_path/'my net.onnx', torch.zeros(2, 16000), sr=8000, licence='mine'))
    assert (encoder.column, encoder.modality, encoder.dim, encoder.net.seconds)==('onnx_my_net', 'audio', 2, 2.)
    y = np.random.default_rng(0).normal(0, .1, 24000).astype(np.float32)
    windows = torch.from_numpy(np.stack([y[:16000], y[8000:]]))
    np.testing.assert_allclose(encoder(y), Means()(windows).mean(0), atol=1e-5)
    assert weights_licence(f'onnx:{tmp_path}/my net.onnx').licence=='mine'

def test_images_and_clips(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    colours = dict(mean=(.5, .4, .3), std=(.2, .2, .1), fps=2)
    x = torch.from_numpy((frames/255-np.array(colours['mean']))/np.array(colours['std'])).float()
    images = load_encoder(export(tmp_path/'images.onnx', torch.zeros(2, 3, 16, 16), **colours))
    np.testing.assert_allclose(images(frames), Means()(x.permute(0, 3, 1, 2)).mean(0), atol=1e-5)
    clips = load_encoder(export(tmp_path/'clips.onnx', torch.zeros(2, 3, 4, 16, 16), **colours))
    parts = torch.stack([torch.as_tensor(o) for o in split_clips(x.numpy(), 4)]).permute(0, 4, 1, 2, 3)
    np.testing.assert_allclose(clips(frames), Means()(parts).mean(0), atol=1e-5)
    assert (images.net.fps, clips.net.n_frames, images.net.size)==(2, 4, 16)

def test_files_that_are_no_encoders(tmp_path):
    (tmp_path/'broken.onnx').write_bytes(b'no network')
    with pytest.raises(WeightsError, match='not an ONNX file'): load_encoder(f'onnx:{tmp_path}/broken.onnx')
    with pytest.raises(WeightsError, match='takes input of shape'):
        load_encoder(export(tmp_path/'sequence.onnx', torch.zeros(2, 5, 7)))
    with pytest.raises(WeightsError, match='does not say its sample rate'):
        load_encoder(export(tmp_path/'audio.onnx', torch.zeros(2, 16000)))
    with pytest.raises(WeightsError, match='no file nowhere.onnx'): load_encoder('onnx:nowhere.onnx')
