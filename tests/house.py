"""The house rules as functions: each takes a source tree and returns the places that break the rule.

python tests/house.py [PART_OF_A_PATH]     prints every violation, or those in files whose path contains the argument
"""
import ast
import json
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

HEAVY = {'torch', 'torchvision', 'timm', 'lightning'}
FORBIDDEN = { # packages that a room does not import, not even through another module of ours
    'core': HEAVY|{'numpy', 'pandas'}, 'media': HEAVY|{'pandas'}, 'corpus': HEAVY, 'metrics': {'av', 'lancedb', 'lightning'}, 'index': {'lightning'},
    'cli': {'lightning'}}
FLAGS = ('slow', 'gpu', 'data')
MAX_WIDTH, MAX_EXAMPLE_WIDTH = 120, 96
MAX_FUNCTION_LINES, MAX_BRANCHES, MAX_CELL_LINES = 30, 12, 60
WORDS = re.compile(r"\b(nobody|somebody|whoever|anew|ears|eyes|opinions?|dealt|is none|are none|is said|are said|says so|so many of|to be had|"
                   r"pictures?|sounds?)\b", re.I)
ALLOWED_WORDS = {'demo_audio': {'sound', 'sounds'}} # synthesis is about sounds

@dataclass
class Cell:
    "A cell of a notebook"
    kind:str # 'code' or 'markdown'
    source:str # Text
    outputs:list # As stored

    @cached_property
    def directives(self): return {o.split()[0].rstrip(':') for o in re.findall(r'^#\|\s*(.+)$', self.source, re.M)}

    @property
    def exported(self): return bool({'export', 'exporti'} & self.directives)

    @cached_property
    def tree(self):
        try: return ast.parse(self.source)
        except SyntaxError: return ast.parse('') # a cell with a magic

@dataclass
class Page:
    "A notebook"
    path:Path # File
    name:str # Path below nbs/, without suffix
    cells:list # All its cells

    @cached_property
    def module(self):
        "Name of the module below mvrep, without `.__init__`; None for a notebook that exports nothing"
        found = re.search(r'^#\|\s*default_exp\s+(\S+)', '\n'.join(o.source for o in self.code), re.M)
        return found and found[1].removesuffix('.__init__')

    @property
    def code(self): return [o for o in self.cells if o.kind=='code']

    @property
    def exported(self): return [o for o in self.code if o.exported]

    @property
    def order(self): return self.name.split('/')

def read_page(path, root):
    "A notebook from its file"
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    cells = [Cell(o['cell_type'], ''.join(o['source']), o.get('outputs', [])) for o in cells]
    return Page(path, path.relative_to(root/'nbs').with_suffix('').as_posix(), cells)

def read_pages(root):
    "All notebooks below nbs/, in order"
    return [read_page(o, root) for o in sorted((root/'nbs').rglob('*.ipynb')) if o.name[0] not in '_.']

def scripts(root):
    "Python files that are written by hand"
    return sorted(o for folder in ('tests', 'bench', 'docs', 'scripts') for o in (root/folder).rglob('*.py'))

# Names and form

def wrong_names(pages, root):
    "Notebooks and modules whose names differ, and modules without a notebook"
    bad = [f'{o.name} exports {o.module}' for o in pages if o.module and o.name.startswith('library/') and o.module!=expected_module(o.name)]
    made = {o.module for o in pages if o.module}
    for file in sorted((root/'mvrep').rglob('*.py')):
        name = '.'.join(file.relative_to(root/'mvrep').with_suffix('').parts).removesuffix('.__init__')
        if name not in made and name not in ('__init__', '_modidx'): bad.append(f'mvrep/{name} comes from no notebook')
    return bad

def expected_module(page_name):
    "The module that the notebook library/05_metrics/20_ranking makes: metrics.ranking"
    room, page = page_name.split('/')[1:]
    room, (number, page) = room.split('_', 1)[1], page.split('_', 1)
    return room if number=='00' else f'{room}.{page}'

def wrong_form(pages, root):
    "Notebooks without a title, a summary line, or an export at the end"
    bad = []
    for o in pages:
        if not re.match(r'# \S.*\n\n?> \S.*[^.\s]$', o.cells[0].source, re.M): bad.append(f'{o.name}: first cell is no title with a summary line')
        if o.module and 'nbdev_export()' not in o.cells[-1].source: bad.append(f'{o.name}: last cell does not export')
        if any('nbdev_export()' in c.source and re.search(r'\b(assert|test_\w+)\b', c.source) for c in o.code):
            bad.append(f'{o.name}: a check in a cell that nbdev skips')
    return bad

# Imports

def own_imports(tree):
    "Modules of mvrep that a piece of code imports, by statement or by `import_module`"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): yield from (o.name for o in node.names if o.name.split('.')[0]=='mvrep')
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split('.')[0]=='mvrep':
            yield from [f'{node.module}.{o.name}' for o in node.names]
        if isinstance(node, ast.Call) and getattr(node.func, 'attr', getattr(node.func, 'id', ''))=='import_module':
            if node.args and isinstance(node.args[0], ast.Constant) and str(node.args[0].value).startswith('mvrep.'): yield node.args[0].value

def module_of(name, modules):
    "The longest module name that an imported name begins with, without 'mvrep.'; '' for the package itself"
    parts = name.split('.')[1:]
    while parts and '.'.join(parts) not in modules: parts.pop()
    return '.'.join(parts)

def forward_imports(pages, root):
    "Imports of later notebooks, in exported and in example cells; `import_module` of our own package"
    order = {o.module: o.order for o in pages if o.module}
    bad = []
    for page in pages:
        if not page.name.startswith('library/'): continue
        for cell in page.code:
            for name in own_imports(cell.tree):
                module = module_of(name, order)
                if module and module!=page.module and order[module]>page.order: bad.append(f'{page.name} imports {name}')
            if cell.exported and re.search(r"import_module\(\s*f?['\"]mvrep", cell.source): bad.append(f'{page.name}: import_module of mvrep')
    return bad

def import_graph(pages):
    "{module: everything its exported cells import}"
    graph = {}
    for page in pages:
        if not page.module: continue
        names = set()
        for cell in page.exported:
            for node in ast.walk(cell.tree):
                if isinstance(node, ast.Import): names |= {o.name for o in node.names}
                if isinstance(node, ast.ImportFrom) and node.module: names |= {f'{node.module}.{o.name}' for o in node.names}
        graph[page.module] = names
    return graph

def top_level_imports(pages):
    "{module: what importing it imports}, without imports inside functions"
    graph = {}
    for page in pages:
        if not page.module: continue
        nodes = [node for cell in page.exported for node in cell.tree.body]
        names = {o.name for node in nodes if isinstance(node, ast.Import) for o in node.names}
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and node.module: names |= {f'{node.module}.{o.name}' for o in node.names}
        graph[page.module] = names
    return graph

def reachable(module, graph):
    "Packages that importing a module imports, also through other modules of ours"
    seen, todo, packages = set(), [module], set()
    while todo:
        at = todo.pop()
        if at in seen: continue
        seen.add(at)
        for name in graph.get(at, ()):
            if name.split('.')[0]=='mvrep': todo.append(module_of(name, graph))
            else: packages.add(name.split('.')[0])
    return packages

def heavy_imports(pages, root):
    "Rooms that import a package which they must do without"
    graph = top_level_imports(pages)
    return [f'{module} imports {package}' for module in graph for package in sorted(FORBIDDEN.get(module.split('.')[0], set()) & reachable(module, graph))]

# Documentation beside the code

def public_functions(page):
    "`(qualified name, function, class or None, source lines)` of each public function and method that a notebook exports"
    for cell in page.exported:
        lines = cell.source.splitlines()
        for node in cell.tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name[0]!='_': yield node.name, node, None, lines
            if not isinstance(node, ast.ClassDef) or node.name[0]=='_': continue
            for method in node.body:
                if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)) and (method.name[0]!='_' or method.name in ('__init__', '__call__')):
                    yield f'{node.name}.{method.name}', method, node, lines

def decorators(node): return {ast.unparse(o).split('(')[0] for o in node.decorator_list}

def is_command(node): return any(o.endswith(('.command', '.callback')) for o in decorators(node))

def returns_value(node):
    "Does a function return something, not counting functions inside it?"
    inner = {id(x) for o in ast.walk(node) if isinstance(o, (ast.FunctionDef, ast.Lambda)) and o is not node for x in ast.walk(o)}
    nodes = [o for o in ast.walk(node) if id(o) not in inner]
    return any((isinstance(o, ast.Return) and o.value is not None) or isinstance(o, (ast.Yield, ast.YieldFrom)) for o in nodes)

def undocumented_parameters(name, node, lines):
    "Parameters without a comment behind them"
    a = node.args
    parameters = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, [a.vararg, a.kwarg])]
    patched = 'patch' in decorators(node)
    for i,p in enumerate(parameters):
        if p.arg in ('self', 'cls') or (patched and not i): continue
        if '#' not in lines[p.end_lineno-1][p.end_col_offset:]: yield f'{name}({p.arg})'

def has_return_comment(node, lines):
    "Is there a comment behind the colon that ends the signature?"
    signature = '\n'.join(lines[node.lineno-1:node.body[0].lineno])
    return bool(re.search(r'\)(\s*->\s*[^#\n]+)?:\s*#', signature))

def undocumented(pages, root):
    "Public callables without a docstring, a comment for a parameter, or one for what they return"
    bad = []
    for page in pages:
        for cell in page.exported:
            bad += [f'{page.name}: class {o.name} has no docstring' for o in cell.tree.body
                    if isinstance(o, ast.ClassDef) and o.name[0]!='_' and not ast.get_docstring(o)]
        for name, node, owner, lines in public_functions(page):
            special = node.name in ('__init__', '__call__')
            if not ast.get_docstring(node) and not special and not (owner and 'property' in decorators(node) and '#' in lines[node.lineno-1]):
                bad.append(f'{page.name}: {name} has no docstring')
            if is_command(node): continue
            bad += [f'{page.name}: no comment for {o}' for o in undocumented_parameters(name, node, lines)]
            if node.name!='__init__' and returns_value(node) and not has_return_comment(node, lines):
                bad.append(f'{page.name}: no comment for what {name} returns')
    return bad

def raised_names(node):
    "Names of the exceptions that a function raises"
    for o in ast.walk(node):
        if isinstance(o, ast.Raise) and isinstance(o.exc, ast.Call): yield getattr(o.exc.func, 'attr', getattr(o.exc.func, 'id', ''))

def unmentioned_raises(pages, root):
    "Exceptions of public functions, also those raised by private functions of the same notebook, that their docstrings do not name"
    bad = []
    for page in pages:
        functions = {o.name: o for c in page.exported for o in ast.walk(c.tree) if isinstance(o, ast.FunctionDef)}
        for name, node, owner, lines in public_functions(page):
            if is_command(node): continue
            text = (ast.get_docstring(node) or '')+(ast.get_docstring(owner) or '' if owner else '')
            missing = {o for o in all_raised(node, functions) if o and o not in text and o not in ('NotImplementedError', 'StopIteration', 'AssertionError')}
            bad += [f'{page.name}: {name} raises {o}' for o in sorted(missing)]
    return bad

def all_raised(node, functions, seen=()):
    "Exceptions raised by a function and by the private functions of the same notebook that it calls by name"
    found = set(raised_names(node))
    for o in ast.walk(node):
        called = getattr(o.func, 'id', '') if isinstance(o, ast.Call) else ''
        if called.startswith('_') and called in functions and called not in seen: found |= all_raised(functions[called], functions, (*seen, called))
    return found

def unoffered(pages, root):
    "Public functions and classes that their package does not offer, offered names that do not exist, and names that are also modules"
    bad = []
    packages = {o.module: o for o in pages if o.module and '.' not in o.module and o.module!='core'}
    for package, page in packages.items():
        offered = offered_names(page)
        modules = {o.module.split('.')[1]: o for o in pages if o.module and o.module.startswith(package+'.')}
        if package=='cli': continue # commands, not functions
        for module, made in modules.items():
            public = {o.name for c in made.exported for o in c.tree.body if isinstance(o, (ast.FunctionDef, ast.ClassDef)) and o.name[0]!='_' and not is_patch(o)}
            constants = {t.id for c in made.exported for o in c.tree.body if isinstance(o, ast.Assign) for t in o.targets if isinstance(t, ast.Name)}
            bad += [f'{package} does not offer {module}.{o}' for o in sorted(public-offered.get(module, set())-{'main'})]
            bad += [f'{package} offers {module}.{o}, which does not exist' for o in sorted(offered.get(module, set())-public-constants)]
        bad += [f'{package} offers {o}, which is also a module' for names in offered.values() for o in sorted(names & set(modules))]
    return bad

def is_patch(node): return isinstance(node, ast.FunctionDef) and 'patch' in decorators(node)

def offered_names(page):
    "{module: names} that a package's notebook gives to `public_names`"
    for cell in page.exported:
        for node in ast.walk(cell.tree):
            if isinstance(node, ast.Call) and getattr(node.func, 'id', '')=='public_names':
                return {k: set(v) for k,v in ast.literal_eval(node.args[1]).items()}
    return {}

# How code reads

def sources(pages, root):
    "`(where, text, is example)` of all code that is written by hand"
    for page in pages:
        for i,cell in enumerate(page.code): yield f'{page.name} cell {i}', cell.source, not cell.exported
    for file in scripts(root): yield str(file.relative_to(root)), file.read_text(encoding='utf-8'), False

def wide_lines(pages, root):
    "Lines of code that are too long"
    bad = []
    for where, text, example in sources(pages, root):
        limit = MAX_EXAMPLE_WIDTH if example else MAX_WIDTH
        bad += [f'{where}: {len(o)} characters: {o.strip()[:60]}' for o in text.splitlines() if len(o)>limit]
    return bad

BRANCHES = (ast.If, ast.For, ast.While, ast.IfExp, ast.Try, ast.With, ast.comprehension, ast.BoolOp)

def long_functions(pages, root):
    "Functions of too many lines or branches, and exported cells of too many lines"
    bad = [f'{page.name}: cell of {len(c.source.splitlines())} lines' for page in pages for c in page.exported if len(c.source.splitlines())>MAX_CELL_LINES]
    for where, text, _ in sources(pages, root):
        for node in ast.walk(parse(text)):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)): continue
            lines = node.end_lineno-node.body[0].lineno+1
            branches = sum(isinstance(o, BRANCHES) for o in ast.walk(node))
            if lines>MAX_FUNCTION_LINES: bad.append(f'{where}: {node.name} has {lines} lines')
            if branches>MAX_BRANCHES: bad.append(f'{where}: {node.name} has {branches} branches')
    return bad

def parse(text):
    try: return ast.parse(text)
    except SyntaxError: return ast.parse('')

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

def packed_code(pages, root):
    "Several statements in a line, assignments of more than two values, nested comprehensions, chained conditional expressions"
    bad = []
    for where, text, _ in sources(pages, root):
        tree = parse(text)
        bodies = [getattr(o, field) for o in ast.walk(tree) for field in ('body', 'orelse', 'finalbody') if isinstance(getattr(o, field, None), list)]
        for body in bodies:
            bad += [f'{where}: two statements in the line {ast.unparse(b)[:50]}' for a,b in zip(body, body[1:]) if a.end_lineno==b.lineno]
        for node in ast.walk(tree):
            what = packed(node)
            if what: bad.append(f'{where}: {what}: {ast.unparse(node)[:60]}')
    return [o for o in bad if 'import nbdev' not in o and 'nbdev.nbdev_export()' not in o]

def packed(node):
    "What makes a node hard to read, or ''"
    def inside(kinds): return any(isinstance(o, kinds) for o in ast.walk(node) if o is not node)
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple) and isinstance(node.targets[0], ast.Tuple) and len(node.value.elts)>2:
        return f'{len(node.value.elts)} values assigned at once'
    if isinstance(node, COMPREHENSIONS) and inside(COMPREHENSIONS): return 'nested comprehension'
    if isinstance(node, ast.IfExp) and any(isinstance(o, ast.IfExp) for o in (node.body, node.orelse, node.test)): return 'chained conditional expression'
    return ''

# Language

def prose(pages, root):
    "`(where, text)` of all text that people read: markdown, docstrings, comments, messages"
    for page in pages:
        for i,cell in enumerate(page.cells): yield f'{page.name} cell {i}', cell.source
    for file in [root/'README.md', *scripts(root), *sorted((root/'mvrep'/'static').glob('*'))]:
        if file.name!='house.py' and file.is_file(): yield str(file.relative_to(root)), file.read_text(encoding='utf-8')

def foreign_words(pages, root):
    "Words that the house style replaces"
    bad = []
    for where, text in prose(pages, root):
        allowed = next((v for k,v in ALLOWED_WORDS.items() if k in where), set())
        for line in text.splitlines():
            bad += [f'{where}: {m[0]!r} in: {line.strip()[:80]}' for m in WORDS.finditer(line) if m[0].lower() not in allowed]
    return bad

# What is committed

KEPT = dict(widget=r'jupyter\.widget-view', path=r'/(home|Users|root|work)/\w', progress=r'\d+%\|', warning=r'\w+Warning:', failure=r'"output_type": "error"')

def heavy_outputs(pages, root, most_kb=300):
    "Outputs that are large, differ from run to run, or show a failure; cells that never run"
    bad = []
    for page in pages:
        text = '\n'.join(json.dumps(o.outputs) for o in page.code)
        if len(text)>most_kb*1024: bad.append(f'{page.name}: {len(text)//1024} KB of outputs')
        bad += [f'{page.name}: {what} in an output' for what, pattern in KEPT.items() if re.search(pattern, text)]
        if any(re.search(r'^#\|\s*eval:\s*false', o.source, re.M) for o in page.code): bad.append(f'{page.name}: eval: false')
    return bad

def broken_links(pages, root):
    "Links of README.md and of notebooks that lead to no file"
    bad = []
    texts = [('README.md', root, (root/'README.md').read_text(encoding='utf-8'))]
    texts += [(o.name, o.path.parent, c.source) for o in pages for c in o.cells if c.kind=='markdown']
    for where, folder, text in texts:
        links = re.findall(r'\]\(([^)\s]+)\)', re.sub(r'`[^`]*`', '', text))
        bad += [f'{where}: {o}' for o in links if '://' not in o and o[0]!='#' and not (folder/o.split('#')[0]).exists()]
    return bad

CHECKS = (wrong_names, wrong_form, forward_imports, heavy_imports, undocumented, unmentioned_raises, unoffered, wide_lines, long_functions, packed_code,
          foreign_words, heavy_outputs, broken_links)

if __name__=='__main__':
    root = Path(__file__).resolve().parents[1]
    pages, part = read_pages(root), (sys.argv[1:] or [''])[0]
    for check in CHECKS:
        found = [o for o in check(pages, root) if part in o]
        print(f'\n{check.__name__}: {len(found)}')
        for o in found[:400 if part else 8]: print('  ', o)
