"""The repository keeps the rules of tests/rules, and each rule finds a violation that is planted in a small tree.

`python tests/house.py PART` prints the violations in a part of the repository.
"""
import json
import pytest
from conftest import root
from house import CHECKS
from rules.source_tree import SourceTree

def name_of(check): return check.__name__

@pytest.fixture(scope='module')
def repository(): return SourceTree(root)

@pytest.mark.parametrize('check', CHECKS, ids=name_of)
def test_repository(check, repository):
    found = check(repository)
    if found: pytest.fail(f'{len(found)} violations, such as\n'+'\n'.join(found[:20]), pytrace=False)

# A small tree that keeps every rule

def markdown(source): return dict(cell_type='markdown', id='a', metadata={}, source=source)

def code(*lines, outputs=()):
    "A code cell"
    source = '\n'.join(lines)
    return dict(cell_type='code', id='a', metadata={}, source=source, outputs=list(outputs), execution_count=None)

def export(*lines):
    "A code cell that is exported"
    return code('#| export', *lines)

def printing(text):
    "A code cell with a printed output"
    return code('print(a)', outputs=[dict(output_type='stream', name='stdout', text=text)])

LAST = code('#| hide', 'import nbdev; nbdev.nbdev_export()')

def cells(*parts): return json.dumps(dict(cells=parts, metadata={}, nbformat=4, nbformat_minor=5))

def notebook(title, *parts, module=''):
    "The JSON of a notebook: a title, the cells, and for a module its first and last cell"
    start = [markdown(f'# {title}\n\n> What it does'), code(f'#| default_exp {module}')]
    return cells(*start, *parts, LAST) if module else cells(start[0], *parts)

READ = export(
    'import av',
    'from mvrep.core import seed_from',
    '',
    'def read_file(',
    '    path:str, # The file',
    '    n:int=1 # Frames',
    ') -> int: # Number of frames',
    '    "Read a file. Raises `ValueError` if it is empty."',
    '    if not path: raise ValueError("empty")',
    '    return seed_from(av, n)')

SEED = export(
    'def seed_from(',
    '    *parts # Names and numbers',
    ') -> int: # The seed',
    '    "A seed that depends on the parts only."',
    '    return hash(parts)')

INDEX = 'nbs/index.ipynb'
STUDY = 'nbs/01_study.ipynb'
CORE = 'nbs/library/00_core/00_core.ipynb'
MEDIA = 'nbs/library/01_media/00_media.ipynb'
PAGE = 'nbs/library/01_media/10_read.ipynb'
SCRIPT = 'bench/speed.py'
RESULT = 'results/bench_speed.json'

def core(*parts): return {CORE: notebook('Shared basics', SEED, *parts, module='core')}

def media(offered, *parts):
    "The page of the media package, which offers the names in `offered`"
    offer = export(
        'from mvrep.core import public_names',
        f'__getattr__, __dir__, __all__ = public_names(__name__, {offered})')
    return {MEDIA: notebook('Media', offer, *parts, module='media.__init__')}

def page(*parts, title='Reading files', module='media.read'):
    "A page of the media package, which exports `read_file`"
    return {PAGE: notebook(title, READ, *parts, module=module)}

def study(*parts): return {STUDY: notebook('A study', *parts)}

def exporting(*lines): return page(export(*lines))

def script(*lines): return {SCRIPT: '\n'.join([f"'Writes {RESULT}'", *lines])}

def readme(text): return {'README.md': text}

def shell(*lines): return readme('\n'.join(['```sh', *lines, '```']))

MODULES = ('__init__', '_modidx', 'core', 'media/__init__', 'media/read')
CLEAN = {f'mvrep/{o}.py': '' for o in MODULES}
CLEAN |= {INDEX: notebook('mvrep', markdown('Run `mvrep index --help`.'))}
CLEAN |= study(code('from mvrep.media import read_file'))
CLEAN |= core() | media({'read': ['read_file']}) | page(printing('4'))
CLEAN |= script() | {RESULT: '{}', 'Makefile': 'test:\n\tpytest\n'}
CLEAN |= readme(f'# mvrep\n\n[Reading]({PAGE}): `{RESULT}` by `python bench/speed.py`; `make test`')

def make_tree(folder, files):
    "The clean tree in a folder, with other or further files"
    for path, text in (CLEAN|files).items():
        (folder/path).parent.mkdir(parents=True, exist_ok=True)
        (folder/path).write_text(text, encoding='utf-8')
    return SourceTree(folder)

@pytest.mark.parametrize('check', CHECKS, ids=name_of)
def test_clean_tree(check, tmp_path): assert check(make_tree(tmp_path, {}))==[]

# One violation at a time: {check: [(what it says, the files that differ)]}

NET = ['class Net:', '    "A net."']
PLANTED = dict(
    wrong_names=[
        ('exports media.write', page(module='media.write')),
        ('01_media/10: 2 notebooks', {'nbs/library/01_media/10_write.ipynb': notebook('Writing')}),
        ('library/01_media/write: no number', {'nbs/library/01_media/write.ipynb': notebook('Writing')}),
        ('mvrep/media.orphan comes from no notebook', {'mvrep/media/orphan.py': ''})],
    wrong_form=[
        ('not a title with a summary', {STUDY: cells(markdown('# A study\n\nNo summary'))}),
        ('not a title with a summary', {STUDY: cells(markdown('# A study\n\n> With a period.'))}),
        ('the title is the name of the module', page(title='read')),
        ('the last cell does not export', {PAGE: notebook('Reading files', code('#| default_exp media.read'), READ)}),
        ('a check in a cell that nbdev skips', page(code('import nbdev; nbdev.nbdev_export()', 'assert True'))),
        ('a cell that never runs', page(code('#| eval: false', '1/0')))],
    forward_imports=[
        ('00_core imports mvrep.media.read.read_file', core(code('from mvrep.media.read import read_file'))),
        ('00_core imports mvrep.media.read_file', core(code('from mvrep.media import read_file'))),
        ('00_core imports mvrep.media.read', core(code('importlib.import_module("mvrep.media.read")'))),
        ('00_core imports mvrep.media.read', core(export('def f(): import mvrep.media.read'))),
        ('10_read imports mvrep.study.f', page(code('from mvrep.study import f'))|study(code('#| default_exp study'))),
        ('10_read: import_module of mvrep.core', exporting('import_module("mvrep.core")')),
        ('10_read: import_module of mvrep.', exporting('import_module(f"mvrep.{name}")'))],
    heavy_imports=[
        ('media.read imports torch', exporting('import torch')),
        ('media.read imports torch', exporting('try: from torch import nn', 'except ImportError: nn = None')),
        ('media imports torch', exporting('import torch')|
            media({'read': ['read_file']}, export('from mvrep.media import read_file')))],
    loader_imports=[
        ('10_read imports mvrep.corpus.muvi.load_muvi', exporting('def f(): from mvrep.corpus.muvi import load_muvi')|
            {'nbs/library/03_corpus/70_muvi.ipynb': notebook('MuVi-Sync', module='corpus.muvi')})],
    unused_imports=[
        ('10_read: os is imported and not used', exporting('import os')),
        ('bench/speed.py: Path is imported and not used', script('from pathlib import Path'))],
    undocumented=[
        ('f has no docstring', exporting('def f(): pass')),
        ('no comment for f(x)', exporting('def f(', '    x, y, # About y', '    z # About z', '): "Does."')),
        ('no comment for f(x)', exporting('def f(', '    x="#fff"', '): "Does."')),
        ('no comment for what f returns', exporting('def f(', '    x # About x', '):', '    "Does."', '    return x')),
        ('class Net has no docstring', exporting('class Net: pass')),
        ('Net.run has no docstring', exporting(*NET, '    def run(self): pass')),
        ('no comment for Net.__init__(d)', exporting(*NET, '    def __init__(self, d): self.d = d')),
        ('no comment for what Net.forward returns', exporting(
            *NET, '    def forward(self, x): # About x', '        return x')),
        ('Net.size has neither', exporting(*NET, '    @property', '    def size(self): return 3')),
        ('no comment for Net.load(path)', exporting('@patch', 'def load(self:Net, path): "Load."')),
        ('no comment for Net.size', exporting('@dataclass(frozen=True)', *NET, '    size:int'))],
    unmentioned_raises=[
        ('f raises KeyError', exporting('def f():', '    "Raises `ValueError` if x."', '    raise KeyError("a")')),
        ('f raises KeyError', exporting('def _g(): raise KeyError', 'def f():', '    "Does."', '    _g()')),
        ('Net.f raises OSError', exporting(
            *NET, '    def _g(self): raise OSError("a")', '    def f(self):', '        "Does."', '        self._g()'))],
    unoffered=[
        ('media does not offer read.probe', exporting('def probe(): pass')),
        ('media offers read.gone, which does not exist', media({'read': ['read_file', 'gone']})),
        ('media offers names of write, which is not a module', media({'read': ['read_file'], 'write': []})),
        ('media offers read, which is also a module', exporting('def read(): pass')|
            media({'read': ['read_file', 'read']}))],
    wide_lines=[
        ('bench/speed.py: 121 characters', script('#'*121)),
        ('10_read cell 2: 97 characters', page(code('#'*97))),
        ('10_read cell 2: 121 characters', exporting('#'*121)),
        ('mvrep/static/app.js: 121 characters', {'mvrep/static/app.js': '/'*121})],
    long_functions=[
        ('f has 31 lines', script('def f():', *['    x += 1']*31)),
        ('f has 13 branches', script('def f(x):', *['    if x: g(x)']*13)),
        ('cell of 61 lines', exporting(*['x = 1']*60))],
    packed_code=[
        ('two statements in a line', script('x = 1; y = 2')),
        ('two statements in a line', page(code('plot();'))),
        ('3 values assigned at once', script('a, b, c = 1, 2, 3')),
        ('nested comprehension', page(code('[[a for a in b] for b in c]'))),
        ('nested comprehension', script('sum(max(a for a in b) for b in c)')),
        ('chained conditional expression', script('a if b else c if d else e'))],
    long_tables=[('a table of 11 lines', exporting('TABLE = [', *['    1,']*9, ']'))],
    heavy_outputs=[
        ('path in an output', page(printing('/home/somebody/file'))),
        ('path in an output', page(printing('/tmp/tmp3fd/file'))),
        ('progress in an output', page(printing(' 40%|####'))),
        ('warning in an output', page(printing('UserWarning: no'))),
        ('address in an output', page(printing('<object at 0x7f3a2b1c>'))),
        ('failure in an output', page(code('1/0', outputs=[dict(output_type='error')]))),
        ('an output of 61 lines', page(printing('a\n'*61))),
        ('301 KB of outputs', page(printing('a'*301*1024)))],
    foreign_words=[
        ("10_read cell 3: 'nobody' in", page(markdown('A build that nobody made.'))),
        ("'pictures' in", script('raise ValueError("no pictures")')),
        ("'sound' in: by sound", page(printing('by sound 0.5'))),
        ("'is no video' in", script('# a file that is no video')),
        ("README.md: 'hears' in", readme('What a network hears'))],
    broken_links=[
        ('10_read: 20_gone.ipynb', page(markdown('[gone](20_gone.ipynb)'))),
        ('README.md: nbs/gone.ipynb', readme('[gone](nbs/gone.ipynb#a)'))],
    lost_studies=[
        ('02_b: not reached by the links from 01_', {'nbs/02_b.ipynb': notebook('B')}),
        ("the next study is called 'B', not 'A'",
            study(markdown('Next: [A](02_b.ipynb)')) | {'nbs/02_b.ipynb': notebook('B')})],
    unknown_commands=[
        ('no command fly in `mvrep fly a`', shell('mvrep fly a # up')),
        ('no option --wings in `mvrep index a --wings`', shell('cd a && mvrep index a --wings')),
        ('no option --wings', page(markdown('See `mvrep index --wings`.'))),
        ('no target fly', readme('Call `make fly`.')),
        ('no file bench/gone.py', readme('By `python bench/gone.py`.'))],
    unmade_results=[
        ('results/orphan.csv: no script', {'results/orphan.csv': ''}),
        ('README.md: no file results/gone.json', readme('`results/gone.json`')),
        ('10_read: no file results/gone.csv', page(code('read("../../results/gone.csv")')))],
    broken_snippets=[
        ('README.md: ImportError', readme('```python\nfrom pathlib import Gone\n```')),
        ('README.md: NameError: Path', readme('```python\nimport os\nPath(os.curdir)\n```')),
        ('10_read: SyntaxError', page(markdown('```python\na b\n```')))],
    long_readme=[('README.md has 751 words', readme('word '*751))])

CASES = [(check, *case) for check in CHECKS for case in PLANTED[check.__name__]]

@pytest.mark.parametrize('check,says,files', CASES, ids=[f'{check.__name__}: {says}' for check, says, _ in CASES])
def test_planted_violation(check, says, files, tmp_path):
    found = check(make_tree(tmp_path, files))
    assert [o for o in found if says in o], found
