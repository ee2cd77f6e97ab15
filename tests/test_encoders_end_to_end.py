"An index made with tiny networks of transformers and open_clip: index, similar by a file, train"
import numpy as np
import pytest
from mvrep.core import import_torchvision
from mvrep.media.synthetic import make_clip

import_torchvision() # before open_clip, which imports it
pytest.importorskip('open_clip', reason='open_clip is not installed')
pytest.importorskip('transformers', reason='transformers is not installed')
import tiny_models
from mvrep.encoders.open_clip import tiny_open_clip
from mvrep.index.indexing import index_folder
from mvrep.index.joint_space import train
from mvrep.recommendation.neighbours import similar

def test_index_similar_and_train(tmp_path):
    (tmp_path/'videos').mkdir()
    (tmp_path/'towers').mkdir()
    for i in range(8): make_clip(tmp_path/'videos'/f'{i}.mp4', seconds=1+.1*i, size=(48, 64))
    tiny_open_clip(tmp_path/'towers')
    clap = tiny_models.save(tiny_models.clap, tmp_path/'clap')
    encoders = f'hf:{clap}', f'open_clip:{tmp_path}/towers'
    splits = 'train train train train valid valid test test'.split()
    rows = [f'{i},videos/{i}.mp4,{split}' for i, split in enumerate(splits)]
    (tmp_path/'list.csv').write_text('\n'.join(['video_id,path,split', *rows]))
    report = index_folder(tmp_path/'list.csv', tmp_path/'ix', encoders=encoders, workers=1, tags=False, progress=False)
    assert (report.done, report.failed)==(8, 0)
    index = report.index
    assert index.build.columns==dict(audio='hf_clap', video='open_clip_towers')
    assert {m: e.shape for m, e in index.build.embeddings.items()}==dict(audio=(8, 12), video=(8, 16))
    found, reasons = similar(index, tmp_path/'videos'/'0.mp4', k=3)
    assert len(found)==3 and np.isfinite(found.score).all() and set(reasons.modality)=={'audio', 'video'}
    trained = train(tmp_path/'ix', epochs=1, progress=False)
    assert trained.build.model is not None and trained.build.model.origin.columns==index.build.columns
