"Rules about imports: rooms and pages import only earlier ones, and light rooms stay light"
import ast
from dataclasses import dataclass
from functools import cached_property
from extensions.notebook_file import FUNCTIONS, parse
from .source_tree import SourceTree, called_name, literal_start

HEAVY = {'torch', 'torchvision', 'timm', 'lightning'}
INTERFACES = {'anywidget', 'ipywidgets', 'starlette', 'uvicorn'}
FORBIDDEN = { # Packages that importing a room does not import, not even through another module of ours
    'core': HEAVY|INTERFACES|{'numpy', 'pandas'}, 'media': HEAVY|INTERFACES|{'pandas'}, 'corpus': HEAVY|INTERFACES,
    'encoders': INTERFACES, 'features': INTERFACES, 'metrics': INTERFACES|{'av', 'lancedb', 'lightning'},
    'learning': INTERFACES, 'pretraining': INTERFACES, 'probing': INTERFACES, 'index': INTERFACES|{'lightning'},
    'recommendation': INTERFACES, 'cli': INTERFACES|{'lightning'}}
LOADERS = { # {loader of a data set: what modules that may import it have in their name}
    'corpus.muvi': 'muvi', 'corpus.public': 'public', 'corpus.msd': 'msd'}

def is_ours(name): return name.split('.')[0]=='mvrep'

def imported_names(nodes):
    "Full names of what import statements import, such as 'numpy' and 'mvrep.core.sha256'."
    for node in nodes:
        if isinstance(node, ast.Import): yield from (o.name for o in node.names)
        if isinstance(node, ast.ImportFrom) and node.module: yield from (f'{node.module}.{o.name}' for o in node.names)

def import_calls(nodes):
    "What calls of `import_module` import, as far as it is written in the call."
    calls = [o for o in nodes if isinstance(o, ast.Call) and called_name(o) in ('import_module', '__import__')]
    for call in calls:
        if call.args: yield literal_start(call.args[0])

def run_at_import(nodes):
    "Syntax nodes of a module that run when it is imported: all but what stands inside functions."
    for node in nodes:
        if isinstance(node, (*FUNCTIONS, ast.Lambda)): continue
        yield node
        yield from run_at_import(ast.iter_child_nodes(node))

def offered_names(nodes):
    "{module: names} that a package gives to `public_names`; empty if it offers none."
    for node in nodes:
        if isinstance(node, ast.Call) and called_name(node)=='public_names':
            return {module: set(names) for module, names in ast.literal_eval(node.args[1]).items()}
    return {}

@dataclass
class Imports:
    "Which module of mvrep imports which"
    tree:SourceTree # The repository

    @cached_property
    def pages(self): return {o.module: o for o in self.tree.pages if o.module} # {module: its notebook}

    @cached_property
    def offers(self): # {package: {name: the module that it comes from}}
        nodes = {name: page.exported_nodes for name, page in self.pages.items()}
        nodes[''] = ast.walk(parse(self.tree.read('mvrep/__init__.py').get('mvrep/__init__.py', '')))
        return {package: full_names(package, offered_names(o)) for package, o in nodes.items()}

    @cached_property
    def graph(self): # {module: what importing it imports}
        return {name: set(imported_names(run_at_import(page.exported_body))) for name, page in self.pages.items()}

    def module_of(self, name):
        "The module that `mvrep.x.y.name` comes from, also if a package offers the name; '' for the package itself."
        parts = name.split('.')[1:]
        rest = []
        while parts and '.'.join(parts) not in self.pages: rest.insert(0, parts.pop())
        module = '.'.join(parts)
        return self.offers.get(module, {}).get(rest[0], module) if rest else module

    def packages_of(self, module):
        "Packages of others that importing a module imports, also through modules of ours."
        done, packages = set(), set()
        todo = [module]
        while todo:
            current = todo.pop()
            if current in done: continue
            done.add(current)
            for name in self.graph.get(current, ()):
                if is_ours(name): todo.append(self.module_of(name))
                else: packages.add(name.split('.')[0])
        return packages

def full_names(package, offered):
    "{name: full name of its module} from the {module: names} that a package offers."
    return {name: f'{package}.{module}'.lstrip('.') for module, names in offered.items() for name in names}

def forward_imports(tree):
    "Imports of later notebooks, in exported and in example cells, and `import_module` of our own package."
    imports = Imports(tree)
    bad = []
    for page in tree.pages:
        for cell in page.code:
            nodes = list(ast.walk(cell.tree))
            calls = [o for o in import_calls(nodes) if is_ours(o)]
            if cell.exported: bad += [f'{page.name}: import_module of {o}' for o in calls]
            for name in filter(is_ours, [*imported_names(nodes), *calls]):
                other = imports.pages.get(imports.module_of(name), page)
                shows_its_room = page.is_room_page and not cell.exported and other.room==page.room
                if other.order>page.order and not shows_its_room: bad.append(f'{page.name} imports {name}')
    return bad

def heavy_imports(tree):
    "Rooms that import a package which they must do without."
    imports = Imports(tree)
    bad = []
    for module in imports.pages:
        found = FORBIDDEN.get(module.split('.')[0], set()) & imports.packages_of(module)
        bad += [f'{module} imports {package}' for package in sorted(found)]
    return bad

def loader_imports(tree):
    "Generic modules that import the loader of a data set."
    imports = Imports(tree)
    bad = []
    for module, page in imports.pages.items():
        for name in sorted(set(filter(is_ours, imported_names(page.exported_nodes)))):
            word = LOADERS.get(imports.module_of(name))
            if word and word not in module and page.in_library: bad.append(f'{page.name} imports {name}')
    return bad

def unused_imports(tree):
    "Names that exported cells or scripts import and never use."
    bad = []
    exported = {o.name: o.exported_nodes for o in tree.pages if o.module}
    written = {where: list(ast.walk(parse(text))) for where, text in tree.scripts.items()}
    for where, nodes in (exported | written).items():
        used = {o.id for o in nodes if isinstance(o, ast.Name)}
        used |= {o.value for o in nodes if isinstance(o, ast.Constant)} # such as the names in `__all__`
        aliases = [o for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)) for o in node.names]
        names = {o.asname or o.name for o in aliases if o.asname or '.' not in o.name} # `import a.b` may register
        bad += [f'{where}: {o} is imported and not used' for o in sorted(names-used-{'*'})]
    return bad
