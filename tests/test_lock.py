"The lock that `make` installs from is that of constraints.txt, and each package in it has hashes"
import re
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
