"Functions and classes as entries of a page: signature, docstring, and a table of the comments beside the parameters"
import ast
import inspect
import re
from dataclasses import dataclass, is_dataclass
from functools import cached_property
from importlib import import_module
from typing import Annotated, get_args, get_origin
from fastcore.docments import docments

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
EMPTY = inspect.Parameter.empty

def decorators(node): return {ast.unparse(getattr(o, 'func', o)).split('.')[-1] for o in node.decorator_list}

def patched_class(node):
    "Name of the class that `@patch` gives a function to; empty for other definitions."
    is_patch = isinstance(node, FUNCTIONS) and 'patch' in decorators(node)
    return ast.unparse(node.args.args[0].annotation) if is_patch else ''

class WithoutHelp(ast.NodeTransformer):
    "Show the type of a command's option as it is, without the option"
    def visit_Subscript(self, node):
        is_option = getattr(node.value, 'id', '')=='Annotated'
        return self.visit(node.slice.elts[0]) if is_option else self.generic_visit(node)

def signature_text(function):
    "Parameters of a function as they are written, without `self`, and the type of its result."
    function = WithoutHelp().visit(function)
    arguments = function.args
    arguments.args = [o for o in arguments.args if o.arg not in ('self', 'cls')]
    returns = f' -> {ast.unparse(function.returns)}' if function.returns else ''
    return f'({ast.unparse(arguments)}){returns}'

@dataclass(frozen=True)
class Definition:
    "A public function, class, method or property of a module"
    node:ast.AST # Where it is defined
    module:str # Such as 'mvrep.metrics.ranking'
    owner:str='' # The class of a method

    @property
    def name(self): return f'{self.owner}.{self.node.name}'.lstrip('.')

    @cached_property
    def object(self): # The function, class or property itself
        module = import_module(self.module)
        if not self.owner: return getattr(module, self.node.name)
        return inspect.getattr_static(getattr(module, self.owner), self.node.name)

    @property
    def function(self): # The function behind a property, a class method or a static method
        wrapped = (getattr(self.object, name, None) for name in ('fget', 'func', '__func__'))
        return next(filter(None, wrapped), self.object)

    @property
    def kind(self): # Name of the directive
        if isinstance(self.node, ast.ClassDef): return 'class'
        if isinstance(self.object, (property, cached_property)): return 'property'
        return 'method' if self.owner else 'function'

    @property
    def signature(self): # Empty for a property, and for a class that inherits its parameters
        if self.kind=='property': return ''
        if self.kind!='class': return signature_text(self.node)
        init = next((o for o in self.node.body if getattr(o, 'name', '')=='__init__'), None)
        return signature_text(init) if init else ''

    @property
    def takes_parameters(self): # Are its parameters its own, not those of a class it inherits from?
        return self.kind!='property' and bool(self.signature or is_dataclass(self.object))

    @property
    def members(self): # Public methods and properties of a class
        if self.kind!='class': return []
        methods = [o for o in self.node.body if isinstance(o, FUNCTIONS) and o.name[0]!='_']
        return [Definition(o, self.module, self.node.name) for o in methods]

def definitions(source, module):
    "The public functions and classes that a piece of code defines."
    nodes = [o for o in ast.parse(source).body if isinstance(o, (*FUNCTIONS, ast.ClassDef)) and o.name[0]!='_']
    return [Definition(o, module, patched_class(o)) for o in nodes]

# Text

def type_text(annotation):
    "A type as people write it, without the modules that it comes from."
    if annotation in (EMPTY, None): return ''
    if get_origin(annotation) is Annotated: annotation = get_args(annotation)[0]
    if inspect.isclass(annotation) and not get_args(annotation): return annotation.__name__
    return re.sub(r'\b(\w+\.)+', '', str(annotation))

def default_text(default):
    "A default as people write it; empty if there is not one."
    if default is EMPTY or repr(default)=='<factory>': return '' # a field of a dataclass that is made when it is needed
    if callable(default): return getattr(default, '__name__', type(default).__name__)
    return repr(default)

def meaning(parameter):
    "The comment beside a parameter, or the help of a command's option."
    helps = [getattr(o, 'help', None) for o in getattr(parameter.anno, '__metadata__', ())]
    return parameter.docment or next(filter(None, helps), '')

def parameter_rows(function):
    "`(name, type, default, meaning)` for each parameter of a function, and for what it returns."
    parameters = docments(function, full=True)
    result = parameters.pop('return', None)
    this = parameters.pop('self', None)
    rows = [(name, type_text(o.anno), default_text(o.default), meaning(o)) for name, o in parameters.items()]
    comments = [o.docment for o in (result, this) if o and o.docment] # one behind `(self):` is about the result
    return rows+[('returns', type_text(result.anno) if result else '', '', comments[0])] if comments else rows

def code(text): return f'`{text}`' if text else ''

def table(rows):
    "Rows of parameters as a table of markdown, without a column of defaults if there are none."
    if not rows: return ''
    columns = [0, 1, 2, 3] if any(o[2] for o in rows) else [0, 1, 3]
    lines = [('name', 'type', 'default', 'meaning'), ('---',)*4]
    lines += [(code(name), code(kind), code(default), ' '.join(text.split())) for name, kind, default, text in rows]
    def shown(line): return [line[i] for i in columns]
    return '\n'.join(table_row(shown(line)) for line in lines)

def table_row(texts):
    cells = [o.replace('|', r'\|') for o in texts]
    return f'| {" | ".join(cells)} |'

def docstring(definition):
    "Its docstring, without what `mvrep.core.add_parameters` appends, or the comment that a property has instead."
    text = re.split(r'^(?:Parameters:$|Returns: )', inspect.getdoc(definition.function) or '', flags=re.M)[0]
    rows = parameter_rows(definition.function) if definition.kind=='property' and not text else []
    return text or ''.join(row[3] for row in rows)

def entry(definition, depth=8):
    "A definition as a directive of Sphinx' Python domain; those of its members stand inside."
    fence = ':'*depth
    flags = [f':{o}:' for o in ('classmethod', 'staticmethod') if o in decorators(definition.node)]
    parts = [docstring(definition), table(parameter_rows(definition.function)) if definition.takes_parameters else '']
    parts += [entry(o, depth-1) for o in definition.members]
    head = f'{fence}{{py:{definition.kind}}} {definition.name}{definition.signature}'
    return '\n'.join([head, f':module: {definition.module}', *flags, '', '\n\n'.join(filter(None, parts)), fence])
