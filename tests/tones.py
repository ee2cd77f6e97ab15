"Invented recordings for tests of pre-training: each is a tone of its own, and its images tell the pitch"
from dataclasses import replace
import numpy as np
from mvrep.encoders.sample_cnn import SampleCNNConfig
from mvrep.pretraining.contrastive import CLMR
from mvrep.pretraining.recordings import Recordings
from mvrep.pretraining.video_conditioned import VCMR

SR = 8000
SIZES = SampleCNNConfig(sr=SR, channels=(8, 8, 8, 16, 16, 16, 16), dim=16) # windows of 2,187 samples
MUSIC = replace(CLMR, encoder=SIZES, projection_dim=8, temperature=.2, batch_size=8, max_epochs=3, lr=3e-3)
VIDEO = replace(
    VCMR, encoder=SIZES, projection_dim=8, hidden_dim=8, batch_size=8, max_epochs=3, lr=3e-3, n_frozen=3,
    passes_per_epoch=1)

def tone(hz, seconds, sr=SR):
    t = np.arange(round(seconds*sr))/sr
    return (.3*np.sin(2*np.pi*hz*t)*(.7+.3*np.sin(2*np.pi*hz/100*t))).astype(np.float32)

def write_tones(folder, n=16, n_valid=4, seconds=2.):
    "Recordings of `n` tones, the last ones for validation"
    folder.mkdir(parents=True, exist_ok=True)
    files = [str(folder/f'{i:02d}.npy') for i in range(n)]
    for i, file in enumerate(files): np.save(file, np.round(tone(150*1.2**i, seconds)*32767).astype(np.int16))
    split = np.array(['train']*(n-n_valid)+['valid']*n_valid)
    ids = np.array([f'v{i:02d}' for i in range(n)], object)
    return Recordings(SR, ids, files, np.full(n, round(seconds*SR)), np.arange(n), split, [])

def images_of(recordings, seconds=2, width=6):
    "Image features of each second that tell the pitch"
    rng = np.random.default_rng(0)
    pitch = [np.cos(i/3*np.arange(1, width+1)) for i in range(len(recordings.files))]
    return {o: p+.1*rng.normal(size=(seconds, width)) for o, p in zip(recordings.video_ids, pitch)}
