"Versions: the lock that `make` installs from is that of constraints.txt; the bounds in settings.ini were tried"
import json
import re
from configparser import ConfigParser
import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from conftest import root

def pins(text): return dict(re.findall(r'^([\w.-]+)==([^\s;]+)', text, re.M))

def test_the_lock_is_that_of_the_constraints():
    wanted, locked = pins((root/'constraints.txt').read_text()), pins((root/'requirements.lock').read_text())
    without = {'torch', 'torchvision'} # see scripts/lock.py
    assert without<=set(wanted) and locked=={k: v for k, v in wanted.items() if k not in without}, \
        'run python scripts/lock.py'

def test_each_package_has_hashes():
    blocks = re.split(r'\n(?=\w)', (root/'requirements.lock').read_text().split('\n', 1)[1].strip())
    assert len(blocks)>200
    for block in blocks: assert re.search(r'\\\n +--hash=sha256:[0-9a-f]{64}', block), block

# Bounds

TRIED = json.loads((root/'results'/'bounds.json').read_text())
# The lock alone; scripts/bounds.py names the extras that it tries
NOT_TRIED = 'dev_requirements', 'clip_requirements', 'ray_requirements', 'baselines_requirements'

def requirements():
    "Direct requirements of mvrep and its extras"
    settings = ConfigParser(delimiters=['='])
    settings.read(root/'settings.ini', encoding='utf-8')
    keys = [o for o in settings['DEFAULT'] if o.endswith('requirements') and o not in NOT_TRIED]
    return [Requirement(o) for key in keys for o in settings['DEFAULT'][key].split()]

@pytest.mark.parametrize('name', ['lowest', 'newest'])
def test_every_step_passed_at_both_ends(name):
    tried = TRIED[name]
    assert set(tried['steps'].values())=={'passed'} and (tried['passed'], tried['failed'])==(len(tried['steps']), 0)
    assert tried['versions'].keys()=={o.name for o in requirements()}

@pytest.mark.parametrize('requirement', requirements(), ids=str)
def test_the_bounds_are_those_that_were_tried(requirement):
    lowest, newest = (Version(TRIED[o]['versions'][requirement.name]) for o in ('lowest', 'newest'))
    bound, = (Version(o.version) for o in requirement.specifier if o.operator in ('>=', '=='))
    assert lowest.release[:len(bound.release)]==bound.release, 'run python scripts/bounds.py'
    assert lowest<=newest and {lowest, newest}<=set(requirement.specifier.filter([lowest, newest]))
