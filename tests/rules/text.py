"Rules about text: words, links, and what README.md promises"
import ast
import builtins
import fnmatch
import importlib
import re
import shlex
from extensions.notebook_file import FUNCTIONS, parse

WORDS = re.compile(r"""\b(
    nobody|somebody|everybody|whoever|anew|ears|eyes|hears?|heard|hearing|opinions?|deals?|dealt|
    films?|pictures?|sounds?|(is|are)\ said|says\ so|so\ many(?!\ more)|to\ be\ had|of\ a\ thing|
    (?-i:(?<!there\ )(is|are|was|were)\ (none|no\ (?!longer|more|fewer|less|matter)\w+))
    )\b""", re.I|re.X)
QUOTING = {'tests/rules/text.py', 'tests/test_house.py'} # Files that quote what the rules forbid
ALLOWED_WORDS = {'demo_audio': {'sound', 'sounds'}, 'demo_video': {'film'}} # {part of a path: words}: synthesis is
# about sounds, and 'film' seeds the looks of the demo corpus
MAX_README_WORDS = 750

def foreign_words(tree):
    "Words that the house style replaces, in text, code, outputs and messages."
    cells = [(f'{page.name} cell {i}', o) for page in tree.pages for i, o in enumerate(page.cells)]
    texts = [(where, text) for where, cell in cells for text in (cell.source, cell.printed)]
    files = tree.scripts | tree.other_files | tree.read('README.md', 'settings.ini')
    texts += [(where, text) for where, text in files.items() if where not in QUOTING]
    bad = []
    for where, text in texts:
        allowed = [word for part, words in ALLOWED_WORDS.items() if part in where for word in words]
        for line in text.splitlines():
            words = [o[0] for o in WORDS.finditer(line) if o[0].lower() not in allowed]
            bad += [f'{where}: {o!r} in: {line.strip()[:80]}' for o in words]
    return bad

# Links, commands and files that a text names

def without_code(text):
    "Markdown without its code blocks and code spans."
    return re.sub(r'`[^`\n]*`', '', re.sub(r'^```.*?^```', '', text, flags=re.M|re.S))

def blocks(text, *languages):
    "The code blocks of a markdown text that are in one of `languages`."
    return [o[2] for o in re.finditer(r'^```(\w*)\n(.*?)^```', text, re.M|re.S) if o[1] in languages]

def broken_links(tree):
    "Links that lead to no file."
    bad = []
    for where, folder, text in tree.all_markdown():
        links = re.findall(r'\]\(([^)\s]+)\)', without_code(text))
        files = [o for o in links if '://' not in o and o[0]!='#']
        bad += [f'{where}: {o}' for o in files if not (folder/o.split('#')[0]).exists()]
    return bad

def next_study(page):
    "Text and target of the link with which a study ends, such as ('Maps', '09_maps'); empty texts without one."
    found = re.findall(r'^Next: \[(.+?)\]\((\w+)\.ipynb\)', '\n'.join(o.source for o in page.markdown), re.M)
    return found[-1] if found else ('', '')

def lost_studies(tree):
    "Studies that a reader who follows the links from the first one does not reach, and links without the title."
    studies = {o.name: o for o in tree.pages if not o.in_library and o.name!='index'}
    links = {name: next_study(page) for name, page in studies.items()}
    name, reached = next(iter(studies), ''), []
    while name in studies and name not in reached:
        reached.append(name)
        name = links[name][1]
    bad = [f'{o}: not reached by the links from {reached[0]}' for o in studies if o not in reached]
    for name, (text, target) in links.items():
        title = studies[target].title if target in studies else text
        if text!=title: bad.append(f'{name}: the next study is called {title!r}, not {text!r}')
    return bad

def command_lines(text):
    "Shell commands that a markdown text shows, as lists of words."
    lines = [o for block in blocks(text, 'sh', 'bash', 'console') for o in re.split(r'\n|&&|;', block)]
    lines += re.findall(r'`((?:mvrep|make|python) [^`\n]+)`', text)
    for line in lines:
        words = shlex.split(re.sub(r'["\']', '', line), comments=True)
        while words and re.fullmatch(r'[A-Z_]+=.*', words[0]): words.pop(0)
        if words: yield words

def cli_commands():
    "{name of a command of mvrep: its options}"
    from typer.main import get_command
    app = importlib.import_module('mvrep.cli.main').app
    return {name: options_of(command) for name, command in get_command(app).commands.items()}

def options_of(command):
    "Names of the options of a command of typer, such as {'--by', '-k'}."
    return {o for parameter in command.params for o in (*parameter.opts, *parameter.secondary_opts)}

def unknown_commands(tree):
    "Commands of mvrep and make, their options, and scripts that README.md or a notebook shows and that do not exist."
    commands = cli_commands()
    targets = re.findall(r'^([\w-]+):', tree.other_files.get('Makefile', ''), re.M)
    bad = []
    for where, _, text in tree.all_markdown():
        for program, *words in command_lines(text):
            shown = ' '.join([program, *words])
            plain = [o for o in words if re.fullmatch(r'[\w-]+', o)]
            files = [o for o in words[:1] if o.endswith('.py')]
            if program=='mvrep': bad += [f'{where}: {o} in `{shown}`' for o in unknown_words(words, commands)]
            if program=='make': bad += [f'{where}: no target {o}' for o in plain if o not in targets]
            if program=='python': bad += [f'{where}: no file {o}' for o in files if not (tree.root/o).exists()]
    return bad

def unknown_words(words, commands):
    "The command, or the options, of a command line of mvrep that do not exist."
    name = words[0] if words else ''
    if name.startswith('-') or not re.fullmatch(r'[\w-]*', name): return [] # mvrep --help, mvrep COMMAND …
    if name not in commands: return [f'no command {name}']
    options = [o.split('=')[0] for o in words[1:] if re.match(r'--?[a-zA-Z]', o)]
    return [f'no option {o}' for o in options if o not in commands[name]|{'--help'}]

RESULT = r'[\w*{}-]+\.(?:csv|json)\b' # Name of a file of results, or a pattern of names

def unmade_results(tree):
    "Files of results/ that no script names, and files of results/ that are named somewhere and do not exist."
    files = {o.name for o in (tree.root/'results').glob('*')}
    written = set()
    for text in tree.read('bench/*.py').values():
        for name in re.findall(RESULT, text):
            if name[0] not in '{*': written |= matching(name, files)
    bad = [f'results/{o}: no script in bench/ names it' for o in sorted(files-written)]
    texts = [('README.md', tree.readme), *((page.name, cell.source) for page in tree.pages for cell in page.cells)]
    for where, text in [*texts, *tree.scripts.items()]:
        names = re.findall(f'results/({RESULT})', text) if where not in QUOTING else []
        bad += [f'{where}: no file results/{o}' for o in names if not matching(o, files)]
    return bad

def matching(name, files):
    "Those of `files` that a name such as 'demo.json', 'probe_*.csv' or f'{target}.csv' may stand for."
    return set(fnmatch.filter(files, re.sub(r'\{.*?\}', '*', name)))

def broken_snippets(tree):
    "Python blocks of README.md and of notebooks that do not parse, or whose imports fail."
    bad = []
    for where, _, text in tree.all_markdown():
        for block in blocks(text, 'python'):
            imports = [o for o in parse(block).body if isinstance(o, (ast.Import, ast.ImportFrom))]
            try:
                compile(block, where, 'exec')
                for o in imports: exec(ast.unparse(o), {})
            except Exception as e: bad.append(f'{where}: {type(e).__name__}: {e}')
            else: bad += [f'{where}: NameError: {o}' for o in unbound_names(parse(block))]
    return bad

def unbound_names(block):
    "Names that a snippet with imports reads and does not bind; a snippet without imports goes on from the cells above."
    nodes = list(ast.walk(block))
    if not any(isinstance(o, (ast.Import, ast.ImportFrom)) for o in nodes): return []
    names = [o for o in nodes if isinstance(o, ast.Name)]
    bound = {o.id for o in names if isinstance(o.ctx, ast.Store)} | set(dir(builtins))
    bound |= {o.asname or o.name.split('.')[0] for o in nodes if isinstance(o, ast.alias)}
    bound |= {o.name for o in nodes if isinstance(o, (*FUNCTIONS, ast.ClassDef))}
    bound |= {o.arg for o in nodes if isinstance(o, ast.arg)}
    return sorted({o.id for o in names if isinstance(o.ctx, ast.Load)}-bound)

def long_readme(tree):
    "A README.md that is too long, not counting comments and rows of tables."
    n = len(re.sub(r'<!--.*?-->|^\|.*$', '', tree.readme, flags=re.M).split())
    return [f'README.md has {n} words, more than {MAX_README_WORDS}'] if n>MAX_README_WORDS else []
