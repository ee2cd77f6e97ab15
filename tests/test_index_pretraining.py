"Pre-training on an index: a registered encoder, an index that uses it, what is left out, the commands"
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from textwrap import indent
import numpy as np
import pytest
from commands import MAIN, ask, mvrep, start, wait_until
from mvrep.encoders.registry import load_encoder
from mvrep.encoders.sample_cnn import SampleCNNConfig, registered_runs, run_file
from mvrep.features.seconds import VideoSeconds
from mvrep.index import pretraining
from mvrep.index.examples import tiny_index
from mvrep.index.index import Index
from mvrep.index.pretraining import pretrain
from mvrep.media.clips import write_audio
from mvrep.pretraining.contrastive import CLMR, VCMR_MUSIC
from mvrep.pretraining.video_conditioned import VCMR
from tones import tone

SIZES = SampleCNNConfig(sr=8000, channels=(8,)*8, dim=16)
CPU = dict(accelerator='cpu', precision='32-true', workers=0, progress=False)
ON_CPU = '--workers', 0, '--accelerator', 'cpu', '--precision', '32-true'

def small_recipes():
    "The published recipes with a small network"
    changes = dict(encoder=SIZES, seconds=None, passes_per_epoch=1)
    return dict(clmr=(replace(CLMR, **changes), None), vcmr=(replace(VCMR_MUSIC, **changes), replace(VCMR, **changes)))

@pytest.fixture
def index(tmp_path, monkeypatch):
    "Twelve videos, and recipes of a small network"
    monkeypatch.setattr(pretraining, 'pretraining_recipes', small_recipes)
    index = tiny_index(tmp_path)
    index.put_videos(index.videos.reset_index().assign(split=['train']*7+['valid']*3+['test']*2))
    monkeypatch.setenv('MVREP_HOME', str(tmp_path/'home'))
    return index

def test_both_recipes(index, monkeypatch):
    music = pretrain(index, 'clmr', epochs=1, **CPU)
    assert music.videos==dict(train=7, valid=3, test=2) and not music.left_out and music.run==music.music_run
    assert music.chance==pytest.approx(np.log(5)) and music.epochs==1 and music.recordings==music.videos
    again = pretrain(index, 'clmr', epochs=1, **CPU)
    assert again==music
    feats = np.random.default_rng(0).normal(size=(12, 8, 6))
    seconds = {o: VideoSeconds(0., x) for o, x in zip(index.videos.index, feats)}
    monkeypatch.setattr(pretraining, 'seconds_of_videos', lambda *args: seconds) # encoding them takes long
    video = pretrain(index, 'vcmr', epochs=1, **CPU)
    assert len({music.run, video.run, video.music_run})==3
    assert set(registered_runs())=={music.run, video.run, video.music_run}
    assert not list(video.folder.glob('*.pkl')) and (video.folder/'best.ckpt').is_file()
    nets = [load_encoder(o.encoder) for o in (music, video)]
    assert nets[0].made_by!=nets[1].made_by and nets[0].dim==16

# From videos to an encoder, an index that uses it, and a probe, with a kill on the way

SLOWLY = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from slow_epochs import slow_down
from test_index_pretraining import pretraining, small_recipes
import mvrep.pretraining.runs as runs
slow_down(runs)
pretraining.pretraining_recipes = small_recipes
if __name__=='__main__':
"""

def kill_in_second_phase(folder, command):
    "Start a command, and kill it after an epoch of the second phase"
    main = SLOWLY+indent(MAIN, '    ')
    process = start(*command, main=main)
    def is_in_second_phase(): return len(list(folder.glob('runs/*/last.ckpt')))==2
    assert wait_until(is_in_second_phase, process), process.communicate()[1]
    process.send_signal(signal.SIGKILL)
    process.communicate()

def write_songs(folder):
    "Twelve short songs by six artists; half of them are low"
    lines = ['video_id,path,artist,genre']
    for i in range(12):
        genre = ('low', 'high')[i%2]
        y = tone({'low': 200, 'high': 1500}[genre]+10*i, 2., 48000)
        write_audio(folder/f'{i:02d}.webm', y)
        lines.append(f's{i:02d},{i:02d}.webm,artist {i//2},{genre}')
    (folder/'manifest.csv').write_text('\n'.join(lines))
    return folder/'manifest.csv'

def test_a_killed_command_an_index_that_uses_the_encoder_and_a_probe(index, tmp_path):
    index.remove(list(index.videos.index[:2])+list(index.videos.index[-3:]))
    command = 'pretrain', index.folder, '--recipe', 'vcmr', '--epochs', 3, *ON_CPU
    kill_in_second_phase(index.folder, command)
    assert len(registered_runs())==1 # the encoder of music alone is registered, the other one is not
    undisturbed = Path(shutil.copytree(index.folder, tmp_path/'copy'))
    resumed = ask(*command)
    assert resumed['videos']==dict(train=5, valid=2, test=0) and resumed['left_out']==[] and resumed['epochs']==3
    weights = run_file(resumed['run']).read_bytes()
    run_file(resumed['run']).unlink()
    shutil.rmtree(undisturbed/'runs')
    whole = ask('pretrain', undisturbed, *command[2:])
    assert whole['run']==resumed['run'] and run_file(whole['run']).read_bytes()==weights
    new = tmp_path/'new.mvrep'
    (tmp_path/'songs').mkdir()
    manifest = write_songs(tmp_path/'songs')
    mvrep('index', manifest, '--out', new, '--encoders', f'{whole["encoder"]},efficientnet_lite0', '--workers', 1)
    assert Index(new).build.columns['audio']=='sample_cnn'
    similar = ask('similar', new, '--video', 's00', '--by', 'audio', '-k', 3)
    assert [o['genre'] for o in similar['results']]==['low']*3
    probe = ask('probe', new, '--target', 'genre', '--by', 'audio', '--folds', 2, '--seeds', 1)
    assert probe['results'][0]['n']==12 and probe['results'][0]['accuracy']>probe['results'][0]['chance_accuracy']

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
    options = '--epochs', 1, *ON_CPU
    answer = ask('pretrain', index.folder, *options)
    assert answer['encoder']==f'sample_cnn@{answer["run"]}' and answer['videos']['train']==7
    printed = mvrep('pretrain', index.folder, *options).stdout
    assert 'trained on 7 videos, validated on 3; 2 kept for tests' in printed and answer['encoder'] in printed
    assert Index(index.folder).build.number==index.build.number # the index does not change

def test_copies_are_counted(index):
    index.reload()
    videos = index.videos.reset_index()
    recording = [o if i>2 else videos.video_id[0] for i, o in enumerate(videos.video_id)]
    index.put_videos(videos.assign(recording=recording))
    printed = mvrep('pretrain', index.folder, '--epochs', 1, *ON_CPU).stdout
    assert 'trained on 7 videos (5 recordings), validated on 3; 2 kept for tests' in printed

def test_the_published_recipes():
    recipes = pretraining.pretraining_recipes()
    assert recipes['clmr'][1] is None and recipes['clmr'][0].encoder.n_samples==59_049
    music, video = recipes['vcmr']
    assert music.encoder==video.encoder and video.n_frozen==4 and (music.max_epochs, video.max_epochs)==(50, 50)
