"Rules about what is written beside the code: docstrings, parameters, results, exceptions, public names"
import ast
import tokenize
from dataclasses import dataclass
from io import StringIO
from .imports import offered_names, run_at_import
from extensions.notebook_file import FUNCTIONS
from .source_tree import called_name, comments

def decorators(node): return {ast.unparse(o).split('(')[0] for o in node.decorator_list}

def is_command(node): return any(o.endswith(('.command', '.callback')) for o in decorators(node))

def is_patch(node): return isinstance(node, FUNCTIONS) and 'patch' in decorators(node)

def is_property(node): return bool({'property', 'cached_property'} & decorators(node))

def is_record(node):
    "Is it a class whose fields are declared one by one?"
    bases = {ast.unparse(o) for o in node.bases}
    return bool({'dataclass', 'dataclasses.dataclass'} & decorators(node) or {'NamedTuple', 'TypedDict'} & bases)

def qualified_name(node):
    "Name of a function, with its class if it is patched into one."
    return f'{ast.unparse(node.args.args[0].annotation)}.{node.name}' if is_patch(node) else node.name

@dataclass
class Documented:
    "A public function, method or property, with what is written about it"
    name:str # With the class in front of it
    node:ast.AST # Its definition
    owner:ast.ClassDef|None # The class it is written in
    source:str # The cell that it stands in

    @property
    def docstring(self): return ast.get_docstring(self.node) or '' # Empty if it has none

    @property
    def parameters(self): # All its parameters but `self`
        arguments = self.node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        is_method = self.owner and 'staticmethod' not in decorators(self.node)
        if is_method or is_patch(self.node): positional = positional[1:]
        return [*positional, *arguments.kwonlyargs, *filter(None, [arguments.vararg, arguments.kwarg])]

    @property
    def undocumented_parameters(self): # Names of the parameters without a comment of their own
        last = {o.end_lineno: o for o in self.parameters} # a comment belongs to the last parameter of its line
        written = comments(self.source)
        return [o.arg for o in self.parameters if last[o.end_lineno] is not o or o.end_lineno not in written]

    @property
    def result_comment(self): # Comment behind the signature, unless it belongs to a parameter on that line
        line = signature_end(self.source, self.node)
        return '' if any(o.end_lineno==line for o in self.parameters) else comments(self.source).get(line, '')

    @property
    def returns_value(self): # Does it return or yield something, not counting functions inside it?
        results = [o for o in run_at_import(self.node.body) if isinstance(o, (ast.Return, ast.Yield, ast.YieldFrom))]
        return any(not isinstance(o, ast.Return) or o.value for o in results)

def signature_end(source, node):
    "Line of the colon that ends the signature of a function."
    depth = 0
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type!=tokenize.OP or token.start<(node.lineno, node.col_offset): continue
        if token.string==':' and not depth: return token.start[0]
        depth += (token.string in '([{')-(token.string in ')]}')

def public_functions(page):
    "Everything that the exported cells of a notebook define and that others call."
    for cell in page.exported:
        for node in cell.tree.body:
            if getattr(node, 'name', '_').startswith('_'): continue
            if isinstance(node, FUNCTIONS): yield Documented(qualified_name(node), node, None, cell.source)
            for method in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(method, FUNCTIONS) and (method.name[0]!='_' or method.name in ('__init__', '__call__')):
                    yield Documented(f'{node.name}.{method.name}', method, node, cell.source)

def undocumented(tree):
    "Public callables and records without a docstring, or without a comment for a parameter, a field or the result."
    bad = []
    for page in tree.pages:
        bad += [f'{page.name}: {o}' for o in undocumented_classes(page)]
        for function in public_functions(page): bad += [f'{page.name}: {o}' for o in missing_text(function)]
    return bad

def undocumented_classes(page):
    "Public classes of a notebook without a docstring, and fields of records without a comment."
    for cell in page.exported:
        written = comments(cell.source)
        for node in cell.tree.body:
            if not isinstance(node, ast.ClassDef) or node.name[0]=='_': continue
            if not ast.get_docstring(node): yield f'class {node.name} has no docstring'
            fields = [o for o in node.body if is_record(node) and isinstance(o, ast.AnnAssign)]
            for field in fields:
                if field.end_lineno not in written: yield f'no comment for {node.name}.{field.target.id}'

def missing_text(function):
    "What is not written about a function."
    node = function.node
    if is_property(node):
        has_text = function.docstring or function.result_comment
        if not has_text: yield f'{function.name} has neither docstring nor comment'
        return
    if not function.docstring and node.name not in ('__init__', '__call__'): yield f'{function.name} has no docstring'
    if is_command(node): return # the help of its options says what they mean
    for name in function.undocumented_parameters: yield f'no comment for {function.name}({name})'
    if node.name!='__init__' and function.returns_value and not function.result_comment:
        yield f'no comment for what {function.name} returns'

PROGRAMMING_ERRORS = {'NotImplementedError', 'StopIteration', 'AssertionError'} # No caller handles these

def raised_names(node):
    "Names of the exceptions that a function raises."
    for statement in ast.walk(node):
        raised = statement.exc if isinstance(statement, ast.Raise) else None
        if isinstance(raised, ast.Call): yield called_name(raised)
        if isinstance(raised, ast.Name) and raised.id[0].isupper(): yield raised.id

def all_raised(node, functions, seen=()):
    "Exceptions raised by a function and by the private functions of the same notebook that it calls."
    found = set(raised_names(node))
    for call in ast.walk(node):
        name = called_name(call) if isinstance(call, ast.Call) else ''
        if name.startswith('_') and name in functions and name not in seen:
            found |= all_raised(functions[name], functions, (*seen, name))
    return found

def unmentioned_raises(tree):
    "Exceptions that come out of public functions and that their docstrings do not name."
    bad = []
    for page in tree.pages:
        functions = {o.name: o for o in page.exported_nodes if isinstance(o, FUNCTIONS)}
        for function in public_functions(page):
            if is_command(function.node): continue # a command catches what the library raises
            text = function.docstring+(ast.get_docstring(function.owner) or '' if function.owner else '')
            missing = {o for o in all_raised(function.node, functions)-PROGRAMMING_ERRORS if o not in text}
            bad += [f'{page.name}: {function.name} raises {o}' for o in sorted(missing)]
    return bad

def unoffered(tree):
    "Public names that a package does not offer, offered names that do not exist, and names that are also modules."
    bad = []
    for room in tree.pages:
        if not room.in_library or '.' in room.module or room.module in ('core', 'cli'): continue # one module; commands
        offered = offered_names(room.exported_nodes)
        made = {o.module.split('.')[1]: o for o in tree.pages if o.module and o.module.startswith(f'{room.module}.')}
        bad += [f'{room.module} offers names of {o}, which is not a module' for o in sorted(offered.keys()-made.keys())]
        for module, page in made.items():
            names = offered.get(module, set())
            public = {o.name for o in page.definitions if o.name[0]!='_' and not is_patch(o)}
            existing = public|constants_of(page)
            bad += [f'{room.module} does not offer {module}.{o}' for o in sorted(public-names)]
            bad += [f'{room.module} offers {module}.{o}, which does not exist' for o in sorted(names-existing)]
            bad += [f'{room.module} offers {o}, which is also a module' for o in sorted(names & made.keys())]
    return bad

def constants_of(page):
    "Names that the exported cells of a notebook assign at the top."
    statements = [o for cell in page.exported for o in cell.tree.body if isinstance(o, (ast.Assign, ast.AnnAssign))]
    names = [o for statement in statements for o in ast.walk(statement) if isinstance(o, ast.Name)]
    return {o.id for o in names if isinstance(o.ctx, ast.Store)}
