"Rules about names, form and size: pages, cells, functions, lines, outputs"
import ast
import json
import re
import tokenize
from collections import Counter
from io import StringIO
from extensions.notebook_file import FUNCTIONS, parse

MAX_WIDTH, MAX_EXAMPLE_WIDTH = 120, 96
MAX_FUNCTION_LINES, MAX_BRANCHES = 30, 12
MAX_CELL_LINES, MAX_TABLE_LINES = 60, 10
MAX_OUTPUT_KB, MAX_OUTPUT_LINES = 300, 60

# Pages

def wrong_names(tree):
    "Notebooks and modules whose names differ, numbers that two pages share, and modules without a notebook."
    numbered = [o for o in tree.pages if is_numbered(o.name)]
    bad = [f'{o.name}: no number and name such as 20_ranking' for o in tree.pages if o not in numbered]
    library = [o for o in numbered if o.in_library]
    bad += [f'{o.name} exports {o.module}' for o in library if o.module!=expected_module(o.name)]
    numbers = Counter(re.sub(r'_[^/]*$', '', o.name) for o in numbered)
    bad += [f'{number}: {n} notebooks with this number' for number, n in numbers.items() if n>1]
    made = {o.module for o in tree.pages}
    return bad+[f'mvrep/{o} comes from no notebook' for o in tree.modules if o not in made]

def is_numbered(page_name):
    "Is it a study such as 05_genre, a page of the library such as library/05_metrics/20_ranking, or the first page?"
    return page_name=='index' or bool(re.fullmatch(r'(library/\d\d_\w+/)?\d\d_\w+', page_name))

def expected_module(page_name):
    "The module that the notebook library/05_metrics/20_ranking makes: metrics.ranking."
    room, page = (o.split('_', 1) for o in page_name.split('/')[1:])
    return room[1] if page[0]=='00' else f'{room[1]}.{page[1]}'

def wrong_form(tree):
    "Notebooks without a title, a summary line, or an export at the end; cells that are never tested."
    bad = []
    for page in tree.pages: bad += [f'{page.name}: {o}' for o in wrong_parts(page)]
    return bad

def wrong_parts(page):
    "What is wrong with the form of a notebook."
    head = re.match(r'# (\S.*)\n\n?> \S.*[^.\s]$', page.cells[0].source, re.M)
    exports = [o for o in page.code if 'nbdev_export()' in o.source]
    if not head: yield 'the first cell is not a title with a summary line'
    if page.module and head and head[1]==page.module.split('.')[-1]: yield 'the title is the name of the module'
    if page.module and exports!=page.code[-1:]: yield 'the last cell does not export'
    if any(re.search(r'\b(assert|test_\w+)\b', o.source) for o in exports): yield 'a check in a cell that nbdev skips'
    if any('eval' in o.directives for o in page.code): yield 'a cell that never runs'

# How code reads

def wide_lines(tree):
    "Lines of code that are too long; those of example cells are as wide as a column of the site."
    bad = []
    other = [(where, text, False) for where, text in tree.other_files.items()]
    for where, text, is_example in [*tree.all_code(), *other]:
        limit = MAX_EXAMPLE_WIDTH if is_example else MAX_WIDTH
        bad += [f'{where}: {len(o)} characters: {o.strip()[:60]}' for o in text.splitlines() if len(o)>limit]
    return bad

BRANCHES = (ast.If, ast.For, ast.While, ast.IfExp, ast.Try, ast.With, ast.match_case, ast.comprehension, ast.BoolOp)

def long_functions(tree):
    "Functions of too many lines or branches, and exported cells of too many lines."
    bad = []
    for page in tree.pages:
        lengths = [len(o.source.splitlines()) for o in page.exported]
        bad += [f'{page.name}: cell of {n} lines' for n in lengths if n>MAX_CELL_LINES]
    for where, text, _ in tree.all_code():
        for node in ast.walk(parse(text)):
            if not isinstance(node, FUNCTIONS): continue
            lines = node.end_lineno-node.body[0].lineno+1
            branches = sum(isinstance(o, BRANCHES) for o in ast.walk(node))
            if lines>MAX_FUNCTION_LINES: bad.append(f'{where}: {node.name} has {lines} lines')
            if branches>MAX_BRANCHES: bad.append(f'{where}: {node.name} has {branches} branches')
    return bad

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

def packed_code(tree):
    "Semicolons, assignments of more than two values, nested comprehensions, chained conditional expressions."
    bad = []
    for where, text, _ in tree.all_code():
        lines = [o for o in lines_with_semicolon(text) if 'nbdev_export()' not in o]
        bad += [f'{where}: two statements in a line: {o[:60]}' for o in lines]
        for node in ast.walk(parse(text)):
            what = packing(node)
            if what: bad.append(f'{where}: {what}: {ast.unparse(node)[:60]}')
    return bad

def lines_with_semicolon(text):
    "Lines of code that a semicolon divides or ends."
    try: tokens = list(tokenize.generate_tokens(StringIO(text).readline))
    except (tokenize.TokenError, IndentationError): return [] # a cell with a magic
    return [o.line.strip() for o in tokens if o.type==tokenize.OP and o.string==';']

def packing(node):
    "What makes a piece of code hard to read; '' if nothing does."
    def has_inside(kinds): return any(isinstance(o, kinds) for o in ast.walk(node) if o is not node)
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
        n = len(node.value.elts)
        return f'{n} values assigned at once' if n>2 else ''
    if isinstance(node, COMPREHENSIONS) and has_inside(COMPREHENSIONS): return 'nested comprehension'
    if isinstance(node, ast.IfExp) and ast.IfExp in map(type, (node.body, node.orelse, node.test)):
        return 'chained conditional expression'
    return ''

LITERALS = (ast.Dict, ast.List, ast.Tuple, ast.Set)

def long_tables(tree):
    "Tables of data in exported cells that should be files."
    bad = []
    for page in tree.pages:
        values = [o.value for o in page.exported_nodes if isinstance(o, (ast.Assign, ast.AnnAssign))]
        lengths = [o.end_lineno-o.lineno+1 for o in values if isinstance(o, LITERALS)]
        bad += [f'{page.name}: a table of {n} lines' for n in lengths if n>MAX_TABLE_LINES]
    return bad

# What is committed

UNSTABLE = dict( # {what differs from run to run, or from machine to machine: how it looks}
    widget=r'jupyter\.widget-view', path=r'/(home|Users|root|work|tmp)/\w', progress=r'\d+%\|',
    warning=r'[a-z]Warning:', failure=r'"output_type": "error"', address=r' at 0x[0-9a-f]{6}')

def heavy_outputs(tree):
    "Outputs that are large, differ from run to run, or show a failure."
    bad = []
    for page in tree.pages:
        text = '\n'.join(json.dumps(o.outputs) for o in page.code)
        lines = [len(o.printed.splitlines()) for o in page.code]
        if len(text)>MAX_OUTPUT_KB*1024: bad.append(f'{page.name}: {len(text)//1024} KB of outputs')
        bad += [f'{page.name}: an output of {n} lines' for n in lines if n>MAX_OUTPUT_LINES]
        bad += [f'{page.name}: {what} in an output' for what, pattern in UNSTABLE.items() if re.search(pattern, text)]
    return bad
