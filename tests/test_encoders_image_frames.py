"Frames that are prepared together have the values of those that are prepared one by one"
import numpy as np
import pytest
import torch
from mvrep.encoders.image import ImageTower
from PIL import Image

@pytest.fixture(scope='module')
def tower(): return ImageTower.from_pretrained()

@pytest.mark.parametrize('shape', [(0, 0), (0, 1), (0, 171), (199, 0), (5, 7), (-30, 40)])
def test_the_same_values(tower, shape):
    height, width = tower.size+shape[0], tower.size+shape[1]
    frames = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)
    expected = torch.stack([tower.transform(Image.fromarray(o)) for o in frames])
    assert torch.equal(tower._prepare(frames), expected)
    assert tower._crop is not None # otherwise all frames go one by one
