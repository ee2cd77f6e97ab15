"""The text of a repository: its notebooks, its scripts and its README, as the checks in house.py read them."""
import ast
import io
import tokenize
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from extensions.notebook_file import read_page

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
class SourceTree:
    "Everything in a repository that is written by hand"
    root:Path # Folder of the repository

    @cached_property
    def pages(self): # All notebooks, in order of their paths
        folder = self.root/'nbs'
        return [read_page(o, folder) for o in sorted(folder.rglob('*.ipynb')) if o.name[0] not in '_.']

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
        return [o for o in names if o not in ('__init__', '__main__', '_modidx')]

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
