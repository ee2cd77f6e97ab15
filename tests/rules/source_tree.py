"""The text of a repository: its notebooks, its scripts and its README, as the checks in house.py read them."""
import ast
import io
import json
import re
import tokenize
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

def parse(source):
    "Syntax tree of a piece of code; empty if it is not plain Python, such as a cell with a magic."
    try: return ast.parse(source)
    except SyntaxError: return ast.parse('')

def comments(source):
    "{line number: text of the comment on that line}"
    found = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type==tokenize.COMMENT: found[token.start[0]] = token.string.lstrip('# ')
    except (tokenize.TokenError, IndentationError): pass # not plain Python: the comments before that place count
    return found

def literal_start(node):
    "The text that a string or an f-string begins with; '' for anything else"
    if isinstance(node, ast.JoinedStr) and node.values: node = node.values[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ''

def called_name(node):
    "Name of the function or method that a call calls; '' if it is not a plain name"
    return getattr(node.func, 'attr', getattr(node.func, 'id', ''))

@dataclass
class Cell:
    "A cell of a notebook"
    kind:str # 'code' or 'markdown'
    source:str # Text
    outputs:list # As stored in the file

    @cached_property
    def directives(self): # Names of the directives, such as {'export'}
        return {o.split()[0].rstrip(':') for o in re.findall(r'^#\|\s*(.+)$', self.source, re.M)}

    @cached_property
    def tree(self): return parse(self.source) # Syntax tree of the code

    @property
    def exported(self): # Does it become a part of the library?
        return bool({'export', 'exporti', 'exports'} & self.directives)

    @property
    def hidden(self): # Is its code left out of the site?
        return bool({'hide', 'hide_input'} & self.directives)

    @property
    def printed(self): # Text that its outputs show
        texts = [o.get('text') or o.get('data', {}).get('text/plain', '') for o in self.outputs]
        return '\n'.join(''.join(o) for o in texts)

@dataclass
class Page:
    "A notebook"
    path:Path # The file
    name:str # Path below nbs/ without suffix, such as 'library/05_metrics/20_ranking'
    cells:list # All its cells

    @property
    def code(self): return [o for o in self.cells if o.kind=='code'] # Code cells

    @property
    def markdown(self): return [o for o in self.cells if o.kind=='markdown'] # Markdown cells

    @property
    def exported(self): return [o for o in self.code if o.exported] # Cells of the library

    @property
    def in_library(self): return self.name.startswith('library/') # Is it a page of the library, not a study?

    @property
    def room(self): return self.name.rpartition('/')[0] # Folder of its room below nbs/

    @property
    def is_room_page(self): # Does it present the package of its room?
        return self.in_library and self.path.name.startswith('00_')

    @property
    def order(self): return not self.in_library, self.name.split('/') # The library comes before the studies

    @cached_property
    def module(self):
        "Name of its module below mvrep, without `.__init__`; None if it exports nothing"
        found = re.search(r'^#\|\s*default_exp\s+(\S+)', '\n'.join(o.source for o in self.code), re.M)
        return found and found[1].removesuffix('.__init__')

    @property
    def title(self): # Its first heading
        return re.search(r'^# (.+)', '\n'.join(o.source for o in self.markdown), re.M)[1]

    @property
    def exported_body(self): # Top-level statements of the exported cells
        return [o for cell in self.exported for o in cell.tree.body]

    @property
    def exported_nodes(self): # All syntax nodes of the exported cells
        return [o for cell in self.exported for o in ast.walk(cell.tree)]

    @property
    def definitions(self): # Top-level functions and classes of the exported cells
        return [o for o in self.exported_body if isinstance(o, (*FUNCTIONS, ast.ClassDef))]

def read_page(path, root):
    "A notebook from its file."
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    cells = [Cell(o['cell_type'], ''.join(o['source']), o.get('outputs', [])) for o in cells]
    return Page(path, path.relative_to(root/'nbs').with_suffix('').as_posix(), cells)

@dataclass
class SourceTree:
    "Everything in a repository that is written by hand"
    root:Path # Folder of the repository

    @cached_property
    def pages(self): # All notebooks, in order of their paths
        return [read_page(o, self.root) for o in sorted((self.root/'nbs').rglob('*.ipynb')) if o.name[0] not in '_.']

    @cached_property
    def scripts(self): # {path in the repository: text} of the Python files that are not exported
        return self.read(*(f'{o}/**/*.py' for o in ('tests', 'bench', 'docs', 'scripts')), 'setup.py')

    @cached_property
    def other_files(self): # {path in the repository: text} of style sheets, templates, JavaScript and shell scripts
        static = [f'*/static/*.{suffix}' for suffix in ('css', 'js', 'html', 'j2')]
        return self.read(*static, 'scripts/*.sh', '.ci/run', 'Makefile')

    @cached_property
    def readme(self): # Text of README.md; empty if the file is missing
        return self.read('README.md').get('README.md', '')

    @cached_property
    def modules(self): # Names of the modules below mvrep, without `.__init__`
        files = [o.relative_to(self.root/'mvrep').with_suffix('') for o in sorted((self.root/'mvrep').rglob('*.py'))]
        names = ['.'.join(o.parts).removesuffix('.__init__') for o in files]
        return [o for o in names if o not in ('__init__', '_modidx')]

    def read(self, *patterns):
        "{path in the repository: text} of the files that match one of `patterns`"
        files = sorted({o for pattern in patterns for o in self.root.glob(pattern) if o.is_file()})
        return {o.relative_to(self.root).as_posix(): o.read_text(encoding='utf-8') for o in files}

    def all_code(self):
        "`(where, text, is an example)` of all Python code"
        for page in self.pages:
            for i, cell in enumerate(page.code):
                yield f'{page.name} cell {i}', cell.source, not (cell.exported or cell.hidden)
        for where, text in self.scripts.items(): yield where, text, False

    def all_markdown(self):
        "`(where, folder that links start from, text)` of README.md and of all markdown cells"
        yield 'README.md', self.root, self.readme
        for page in self.pages:
            for cell in page.markdown: yield page.name, page.path.parent, cell.source
