"Models of sentence-transformers: equal to sentence-transformers, modalities, texts, models of other libraries"
import numpy as np
import pytest
from PIL import Image
from mvrep.encoders.registry import load_encoder
from mvrep.encoders.weights import WeightsError

library = pytest.importorskip('sentence_transformers', reason='sentence-transformers is not installed')
import tiny_models
from tiny_models import hf

def test_audio_and_texts(tmp_path):
    folder = tiny_models.save_sentence_model(tiny_models.clap, hf.ClapProcessor, tmp_path/'clap')
    y = np.random.default_rng(0).normal(0, .1, 48000).astype(np.float32)
    net = library.SentenceTransformer(str(folder), device='cpu')
    encoder = load_encoder(f'st:{folder}')
    assert (encoder.column, encoder.modality, encoder.dim, encoder.net.sr)==('st_clap', 'audio', 12, 48000)
    np.testing.assert_allclose(encoder(y), net.encode([dict(array=y, sampling_rate=48000)])[0], atol=1e-5)
    np.testing.assert_allclose(encoder.net.encode_text(['sad piano']), net.encode(['sad piano']), atol=1e-5)
    with pytest.raises(ValueError, match='encodes audio, not video'): load_encoder(f'st:{folder}#video')

def test_images(tmp_path):
    folder = tiny_models.save_sentence_model(tiny_models.clip, hf.CLIPProcessor, tmp_path/'clip')
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 64, 3), np.uint8)
    each = library.SentenceTransformer(str(folder), device='cpu').encode([Image.fromarray(o) for o in frames])
    encoder = load_encoder(f'st:{folder}')
    assert (encoder.modality, encoder.net.has_text)==('video', True)
    np.testing.assert_allclose(encoder(frames), each.mean(0), atol=1e-5)

def test_a_folder_of_another_library(tmp_path):
    tiny_models.save(tiny_models.clap, tmp_path)
    with pytest.raises(WeightsError, match=f'try hf:{tmp_path}'): load_encoder(f'st:{tmp_path}')
