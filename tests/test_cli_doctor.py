"What `mvrep doctor` says of an installation that does not work"
import sys
from unittest.mock import patch
import pytest
import mvrep.cli.main # makes the commands
from mvrep.cli.doctor import CPU_WHEELS, _problem, check_installation, how_to_install, try_out
from mvrep.cli.options import run_command
from mvrep.core import EXTRAS

def test_an_installation_that_works():
    found = check_installation()
    assert found.ready and found.problems==[] and set(found.trial.values())=={''}

def test_where_to_get_torchvision():
    for package in ('torch', 'torchvision'):
        command = how_to_install(package)
        assert command.startswith(f'pip install "{package}>') and command.endswith(CPU_WHEELS)
    assert how_to_install('av') in ('pip install "av<19,>=18"', 'pip install "av>=18,<19"')
    assert how_to_install('unheard-of')=='pip install "unheard-of"'

@pytest.mark.parametrize('error', [TypeError("unexpected keyword argument 'x'"), AttributeError('open')])
def test_a_version_with_another_interface(error):
    with patch('av.open', side_effect=error):
        problem = try_out()['decode video']
        shown = run_command('doctor')
    assert problem.startswith('fails with av ') and type(error).__name__ in problem and 'pip install "av' in problem
    assert shown.exit_code==1 and 'Traceback' not in shown.text and 'ready for' not in shown.text
    assert 'decode video: fails with av' in shown.text

def test_a_missing_torchvision():
    version = patch('mvrep.cli.doctor.version', side_effect=version_without('torchvision'))
    with patch.dict(sys.modules, torchvision=None), version:
        found = check_installation()
    assert not found.ready and found.versions['torchvision']==''
    assert f'--index-url {CPU_WHEELS}' in found.problems[0] and found.problems[0].startswith('torchvision is missing')
    assert 'torchvision is missing' in found.trial['load torchvision']

def version_without(package):
    "A `version` that does not find a package"
    from importlib.metadata import PackageNotFoundError, version
    def find(name):
        if name==package: raise PackageNotFoundError(name)
        return version(name)
    return find

def test_a_decoder_that_returns_something_else():
    with patch('mvrep.media.frame_number', return_value=3): problem = try_out()['decode video']
    assert 'frame 3 was decoded where 25 is right' in problem

def test_an_extra_that_is_missing():
    version = patch('mvrep.cli.doctor.version', side_effect=version_without('starlette'))
    with version, patch('mvrep.cli.doctor.try_out', return_value={}):
        shown, answer = run_command('doctor'), run_command('doctor', '--json').json
    assert shown.exit_code==0 and answer['ready'], 'an extra is not needed'
    row = next(o for o in shown.text.splitlines() if o.startswith('│ app '))
    assert [o.strip() for o in row.split('│')[2:5]]==['no', EXTRAS['app'], 'pip install "mvrep[app]"']
    extras = answer['extras']
    assert extras['app']==dict(purpose=EXTRAS['app'], missing=['starlette'], install='pip install "mvrep[app]"')
    assert extras['train']==dict(purpose=EXTRAS['train'], missing=[], install='')

def test_a_long_reason_is_shortened():
    start, reason = 'fails with av ', _problem(RuntimeError('x'*201+'\n y'), 'av')
    assert reason.startswith(start) and 'RuntimeError: '+'x'*200+'): pip install "av' in reason
    assert 'RuntimeError: a b): pip' in _problem(RuntimeError('a\n b'), 'av')
