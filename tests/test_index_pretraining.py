"Pre-training on an index: a registered encoder, an index that uses it, what is left out, the commands"
from dataclasses import replace
import numpy as np
import pytest
from commands import ask, mvrep
from mvrep.encoders.registry import load_encoder
from mvrep.encoders.sample_cnn import SampleCNNConfig, registered_runs
from mvrep.features.seconds import VideoSeconds
from mvrep.index import pretraining
from mvrep.index.examples import tiny_index
from mvrep.index.index import Index
from mvrep.index.indexing import index_folder
from mvrep.index.pretraining import pretrain
from mvrep.media.clips import write_audio

SIZES = SampleCNNConfig(sr=8000, channels=(8,)*8, dim=16)
CPU = dict(accelerator='cpu', precision='32-true', workers=0, progress=False)

@pytest.fixture
def index(tmp_path, monkeypatch):
    "Twelve videos, and recipes of a small network"
    published = pretraining.pretraining_recipes()
    changes = dict(encoder=SIZES, seconds=None, passes_per_epoch=1)
    small = dict(clmr=(replace(published['clmr'][0], **changes), None))
    small['vcmr'] = tuple(replace(o, **changes) for o in published['vcmr'])
    monkeypatch.setattr(pretraining, 'pretraining_recipes', lambda: small)
    index = tiny_index(tmp_path)
    index.put_videos(index.videos.reset_index().assign(split=['train']*7+['valid']*3+['test']*2))
    monkeypatch.setenv('MVREP_HOME', str(tmp_path/'home'))
    return index

def test_both_recipes_and_an_index_that_uses_the_result(index, tmp_path, monkeypatch):
    music = pretrain(index, 'clmr', epochs=1, **CPU)
    assert music.videos==dict(train=7, valid=3, test=2) and not music.left_out and music.run==music.music_run
    assert music.chance==pytest.approx(np.log(5)) and music.epochs==1
    again = pretrain(index, 'clmr', epochs=1, **CPU)
    assert again==music
    feats = np.random.default_rng(0).normal(size=(12, 8, 6))
    seconds = {o: VideoSeconds(0., x) for o, x in zip(index.videos.index, feats)}
    monkeypatch.setattr(pretraining, '_per_second', lambda *args: seconds) # encoding them takes long
    video = pretrain(index, 'vcmr', epochs=1, **CPU)
    assert len({music.run, video.run, video.music_run})==3
    assert set(registered_runs())=={music.run, video.run, video.music_run}
    assert not list(video.folder.glob('*.pkl')) and (video.folder/'best.ckpt').is_file()
    nets = [load_encoder(o.encoder) for o in (music, video)]
    assert nets[0].made_by!=nets[1].made_by and nets[0].dim==16
    source = tmp_path/'videos'
    source.mkdir()
    for video_id, row in list(pretraining.known_files(index).iterrows())[:2]:
        (source/f'{video_id}.mp4').write_bytes(open(row.path, 'rb').read())
    encoders = video.encoder, 'efficientnet_lite0'
    made = index_folder(source, tmp_path/'new', encoders=encoders, workers=1, progress=False)
    assert made.done==2 and made.index.build.columns['audio']=='sample_cnn'

def test_what_cannot_be_used_is_named(index, tmp_path):
    path = pretraining.known_files(index).path.reindex(index.videos.index)
    videos = index.videos.assign(path=path).reset_index()
    noise = np.random.default_rng(0).normal(0, .1, 4800).astype(np.float32)
    videos.loc[0, 'path'] = str(write_audio(tmp_path/'silent.webm', np.zeros(48000, np.float32)))
    videos.loc[1, 'path'] = str(write_audio(tmp_path/'short.webm', noise))
    index.put_videos(videos)
    found = pretrain(index, epochs=1, **CPU)
    reasons = dict(found.left_out)
    assert 'silent' in reasons[videos.video_id[0]] and 'less than the' in reasons[videos.video_id[1]]
    assert sum(found.videos.values())==10

def test_too_few_videos(index):
    index.put_videos(index.videos.reset_index().assign(split=['train']*3+['test']*9))
    with pytest.raises(ValueError, match='3 recordings to train on, 0 to validate with'):
        pretrain(index, epochs=1, **CPU)

def test_a_folder_without_index(tmp_path):
    with pytest.raises(FileNotFoundError): pretrain(tmp_path/'none', **CPU)

def test_the_command(index):
    options = '--epochs', 1, '--workers', 0, '--accelerator', 'cpu', '--precision', '32-true'
    answer = ask('pretrain', index.folder, *options)
    assert answer['encoder']==f'sample_cnn@{answer["run"]}' and answer['videos']['train']==7
    printed = mvrep('pretrain', index.folder, *options).stdout
    assert 'trained on 7 videos, validated on 3; 2 kept for tests' in printed and answer['encoder'] in printed
    assert Index(index.folder).build.number==index.build.number # the index does not change

def test_the_published_recipes():
    recipes = pretraining.pretraining_recipes()
    assert recipes['clmr'][1] is None and recipes['clmr'][0].encoder.n_samples==59_049
    music, video = recipes['vcmr']
    assert music.encoder==video.encoder and video.n_frozen==4 and (music.max_epochs, video.max_epochs)==(50, 50)
