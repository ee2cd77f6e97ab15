"Sources and terms of what mvrep contains, installs and makes features with"
import re
import shutil
from configparser import ConfigParser
from pathlib import Path
import pytest
from commands import ask, mvrep
from conftest import root
from mvrep.core import sha256
from mvrep.encoders.licences import weights_licence
from mvrep.encoders.mel_cnn import MelCNN
from mvrep.encoders.registry import ENCODERS
from mvrep.encoders.sample_cnn import run_file
from mvrep.index.examples import tiny_index
from mvrep.index.index import Index
from mvrep.index.licences import index_licences
from mvrep.learning.model import JointModel

def test_packaged_weights():
    notice = (root/'mvrep/weights/NOTICE').read_text()
    sums = dict(re.findall(r'^(musicnn_\w+)\.safetensors +sha256 (\w+)', notice, re.M))
    assert set(sums)=={'musicnn_mtt', 'musicnn_msd'}
    for name, expected in sums.items():
        found = weights_licence(name)
        assert (found.licence, found.sha256)==('ISC', expected) and 'Universitat Pompeu Fabra' in found.source

def test_every_encoder_has_a_source_and_terms():
    for name in ENCODERS:
        found = weights_licence(name)
        assert found.source and found.licence
        assert bool(found.file)==bool(found.sha256) and (not found.file or sha256(found.file)==found.sha256)
    lite0 = weights_licence('efficientnet_lite0')
    assert 'UNKNOWN' in lite0.licence and Path(lite0.file).stem.split('-')[-1]==lite0.sha256[:8]
    assert weights_licence('timm:efficientnet_lite0').sha256==lite0.sha256

def test_files_and_networks_of_others(tmp_path, monkeypatch):
    monkeypatch.setenv('MVREP_HOME', str(tmp_path/'home'))
    MelCNN(['Fear', 'Sad']).save(tmp_path/'mine.safetensors')
    mine = weights_licence(f'mel_cnn@{tmp_path}/mine.safetensors')
    assert mine.sha256==sha256(tmp_path/'mine.safetensors') and mine.licence.startswith('not stated')
    copy = shutil.copy(weights_licence('musicnn_msd').file, tmp_path/'copy.safetensors')
    assert weights_licence(f'musicnn_mtt@{copy}').licence=='ISC' # its header states it
    run_file('july').parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(tmp_path/'mine.safetensors', run_file('july'))
    run = weights_licence('sample_cnn@july')
    assert run.sha256==mine.sha256 and run.licence=='your own' and 'mvrep pretrain' in run.source
    gone = weights_licence(f'i3d@{tmp_path}/gone.pt')
    assert (gone.file, gone.sha256)==('', '')
    hub = weights_licence('timm:resnet18.a1_in1k')
    assert (hub.licence, hub.source)==('apache-2.0', 'timm, timm/resnet18.a1_in1k')
    with pytest.raises(ValueError, match='unknown encoder'): weights_licence('vggish')

@pytest.fixture(scope='module')
def index(tmp_path_factory):
    "An index with a model"
    index = tiny_index(tmp_path_factory.mktemp('licences'))
    JointModel(dict(audio=1506, video=1280), embed_dim=64, output='linear').eval().save(index.model_file)
    index.make_build()
    return Index(index.folder)

def test_weights_behind_an_index(index):
    rows = index_licences(index).set_index('encoder')
    assert list(rows.index)==['musicnn_mtt', 'efficientnet_lite0', 'musicnn_msd', f'model {index.model_name}']
    for encoder in index.build.specs:
        assert rows.sha256[encoder]==weights_licence(encoder).sha256
        assert rows.made_by[encoder].startswith(f'{encoder}/pooled/') and rows.state[encoder]=='as in the features'
    assert rows.sha256.iloc[-1]==sha256(index.model_file) and rows.licence.iloc[-1].startswith('yours')
    assert rows.made_by['musicnn_msd'].startswith('tags_msd/') and rows.state['musicnn_msd']=='as in the features'
    answer = ask('doctor', index.folder, '--licences')['weights']
    assert [o['sha256'] for o in answer]==list(rows.sha256)

def test_other_weights_than_those_of_the_features_are_noted(index, monkeypatch):
    class Other: made_by = 'musicnn_mtt/pooled/1506/0000000000000000/code 1'
    monkeypatch.setattr('mvrep.index.licences.load_encoder', lambda spec: Other)
    shown = mvrep('doctor', index.folder, '--licences')
    assert 'the weights of musicnn_mtt on this machine are not those that made the features' in shown.stderr

def test_an_index_without_licences_is_a_wrong_command(index):
    assert 'only read with --licences' in mvrep('doctor', index.folder, code=2).stderr
    assert 'holds no index' in mvrep('doctor', index.folder/'runs', '--licences', code=1).stderr

def test_notices_name_every_requirement():
    settings = ConfigParser(delimiters=['='])
    settings.read(root/'settings.ini', encoding='utf-8')
    keys = [o for o in settings['DEFAULT'] if o.endswith('requirements') and not o.startswith('dev')]
    required = {re.match(r'[\w.-]+', o)[0] for key in keys for o in settings['DEFAULT'][key].split()}
    notices = (root/'NOTICES.md').read_text()
    assert not {o for o in required if f'`{o}`' not in notices}
    for name in ('x264', 'x265', 'FFmpeg', 'libsndfile', 'ISC', 'UNKNOWN', 'LGPL'): assert name in notices
