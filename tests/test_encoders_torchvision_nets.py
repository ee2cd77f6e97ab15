"Video networks of torchvision: equal to torchvision, by name, unknown names, weights that cannot be fetched"
import numpy as np
import pytest
import torch
from mvrep.encoders.inputs import split_clips
from mvrep.encoders.licences import weights_licence
from mvrep.encoders.registry import find_weights, load_encoder
from mvrep.encoders.torchvision_nets import get_model, get_model_weights, video_networks
from mvrep.encoders.weights import WeightsError

def test_features_are_those_before_the_classifier(tmp_path):
    torch.manual_seed(0)
    whole = get_model('mc3_18').eval()
    torch.save(whole.state_dict(), tmp_path/'mc3.pth')
    encoder = load_encoder(f'torchvision:mc3_18@{tmp_path}/mc3.pth')
    assert (encoder.column, encoder.modality, encoder.dim)==('torchvision_mc3_18', 'video', 512)
    encoder.net.n_frames = 2
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 64, 3), np.uint8)
    transform = get_model_weights('mc3_18').DEFAULT.transforms()
    clips = torch.stack([transform(torch.tensor(o).permute(0, 3, 1, 2)) for o in split_clips(frames, 2)])
    with torch.inference_mode(): expected = whole(clips).mean(0)
    np.testing.assert_allclose(whole.fc(torch.tensor(encoder(frames))).detach(), expected, atol=1e-4)
    with pytest.raises(WeightsError, match='do not fit'): load_encoder(f'torchvision:r3d_18@{tmp_path}/mc3.pth')

def test_names():
    assert {'r3d_18', 's3d', 'mvit_v2_s', 'swin3d_b'}<=set(video_networks())
    with pytest.raises(ValueError, match='no video network resnet18'): load_encoder('torchvision:resnet18')
    with pytest.raises(ValueError, match='no video network resnet18'): find_weights('torchvision:resnet18')
    assert weights_licence('torchvision:s3d').licence.startswith('BSD-3')

def test_weights_that_cannot_be_fetched(monkeypatch):
    def fail(*args, **kwargs): raise OSError('no network')
    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', fail)
    monkeypatch.setattr('torchvision.models._api.load_state_dict_from_url', fail)
    with pytest.raises(WeightsError, match='write torchvision:s3d@FILE'): load_encoder('torchvision:s3d')
