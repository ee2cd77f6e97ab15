"""Build the site, or README.md, from the notebooks as they are committed. No cell is executed; signatures and parameters come from the library.

python docs/build.py [--out docs/site] [--readme]     --readme writes README.md instead
"""
import argparse, ast, html, importlib, inspect, json, re, shutil, sys, tempfile
from dataclasses import is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, get_args, get_origin
from fastcore.docments import docments

root = Path(__file__).resolve().parents[1]
flags = dict(slow='Takes long: not run with the tests', gpu='Needs a GPU: not run with the tests', data='Needs data that is not in the repository: not run with the tests')
directive = re.compile(r'^#\|\s*(.+?)\s*$\n?', re.M)

def load(fn):
    "A notebook: its cells with `source` as one string and `dirs` for its directives, its page, module, title and one-line description"
    cells = json.loads(fn.read_text(encoding='utf-8'))['cells']
    for c in cells:
        c['source'] = ''.join(c['source'])
        c['dirs'] = {d.split()[0].rstrip(':'): d for d in directive.findall(c['source'])} if c['cell_type']=='code' else {}
    head = cells[0]['source']
    title, desc = re.search(r'^# (.+)', head, re.M)[1], re.search(r'^> (.+)', head, re.M)
    mod = next((c['dirs']['default_exp'].split()[1] for c in cells if 'default_exp' in c['dirs']), None)
    return dict(fn=fn, cells=cells, page=fn.relative_to(root/'nbs').with_suffix('').as_posix(), mod=mod, title=title, desc=desc[1] if desc else '')

def notebooks(): return [load(o) for o in sorted((root/'nbs').rglob('[0-9]*.ipynb'))]

def room(nb): return nb['page'].split('/')[1] if '/' in nb['page'] else ''

def by_room(nbs): return [(o[3:].title() or 'Studies', [nb for nb in nbs if room(nb)==o]) for o in sorted({room(nb) for nb in nbs})]

# Names and links

class Plain(ast.NodeTransformer):
    "`Annotated[X, …]` reads as `X`"
    def visit_Subscript(self, o): return self.visit(o.slice.elts[0]) if getattr(o.value, 'id', '')=='Annotated' else self.generic_visit(o)

def public(src): return [Plain().visit(o) for o in ast.parse(src).body if isinstance(o, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and o.name[0]!='_']

def decorators(o):
    "Names of the decorators of a function or class"
    d = [getattr(d, 'func', d) for d in o.decorator_list]
    return {getattr(d, 'id', getattr(d, 'attr', '')) for d in d}

def owner(o):
    "The class that `@patch` gives a method to"
    return ast.unparse(o.args.args[0].annotation) if isinstance(o, ast.FunctionDef) and 'patch' in decorators(o) else ''

def methods(o): return [m for m in getattr(o, 'body', []) if isinstance(m, ast.FunctionDef) and m.name[0]!='_' and ast.get_docstring(m)]

def exported(nb): return [c for c in nb['cells'] if nb['mod'] and 'export' in c['dirs'] and len(c['dirs']['export'].split())==1]

def names(nbs):
    "What a backticked name stands for: the full name of each exported function and class, by every way people write it"
    res = {}
    for nb in nbs:
        for o in (o for c in exported(nb) for o in public(c['source'])):
            k = f'{owner(o)}.{o.name}'.lstrip('.')
            for k in [k, *(f'{k}.{m.name}' for m in (methods(o) if isinstance(o, ast.ClassDef) else []))]:
                for pre in ('', f"{nb['mod']}.", f"mvrep.{nb['mod']}."): res.setdefault(pre+k, f"mvrep.{nb['mod']}.{k}")
    return res

def link(md, syms, nbs, but=()):
    "Make backticked names and modules into links; code blocks stay as they are"
    mods = {f"mvrep.{o['mod']}": o['page'] for o in nbs if o['mod']}
    def name(m):
        k = re.sub(r'\(.*\)$', '', m[1])
        if k in but: return m[0]
        if k in mods: return f'[`{m[1]}`](/{mods[k]}.ipynb)'
        return f'{{py:obj}}`{m[1]} <{syms[k]}>`' if k in syms else m[0]
    def text(s): return re.sub(r'(?<![`\[{}])`([^`\n]+)`(?![`\]])', name, s)
    return ''.join(o if i%2 else text(o) for i,o in enumerate(re.split(r'(^```.*?^```)', md, flags=re.M|re.S)))

# Functions and classes

def kind(t):
    "A type as it is written, without the modules it comes from"
    if get_origin(t) is Annotated: t = get_args(t)[0]
    return t if isinstance(t, str) else t.__name__ if inspect.isclass(t) and not get_args(t) else re.sub(r'\b(\w+\.)+', '', str(t))

def table(obj, ln):
    "Parameters and what is returned, from the comments beside them"
    none, cell = inspect._empty, lambda s: str(s).replace('|', r'\|').replace('\n', ' ')
    code = lambda s: f'`{cell(s)}`' if s else ''
    rows = []
    for k,p in docments(obj, full=True).items():
        if k=='self' or (k=='return' and not p.docment and p.anno in (none, None)): continue
        typ = '' if p.anno is none else kind(p.anno)
        default = '' if k=='return' or p.default is none else p.default.__name__ if callable(p.default) else repr(p.default)
        doc = p.docment or next((o.help for o in getattr(p.anno, '__metadata__', ()) if getattr(o, 'help', '')), '')
        rows.append(('*returns*' if k=='return' else code(k), code(typ), code(default), ln(cell(doc))))
    if not rows: return ''
    rows = [('', 'type', 'default', ''), ('---',)*4, *rows]
    if not any(o[2] for o in rows[2:]): rows = [(a, b, d) for a,b,_,d in rows]
    return '\n'.join('| '+' | '.join(o)+' |' for o in rows)

def args(node):
    "The parameters in parentheses, as written, without `self`"
    a = node.args
    rest = [o for o in a.args if o.arg not in ('self', 'cls')]
    return f"({ast.unparse(ast.arguments(**{k: getattr(a, k) for k in a._fields} | dict(args=rest)))})"

def entry(node, obj, mod, ln, cls='', depth=8):
    "One function or class as a directive of Sphinx' Python domain: signature, docstring, parameters, methods"
    is_cls, deco, cls = isinstance(node, ast.ClassDef), decorators(node), cls or owner(node)
    init = next((o for o in node.body if is_cls and getattr(o, 'name', '')=='__init__'), None)
    is_prop = isinstance(obj, (property, cached_property))
    what = 'class' if is_cls else 'property' if is_prop else 'method' if cls else 'function'
    obj = getattr(obj, 'fget', None) or getattr(obj, '__func__', None) or getattr(obj, 'func', obj)
    sig = '' if is_prop or (is_cls and not init) else args(init or node)
    if not is_cls and not is_prop and node.returns: sig += f' -> {ast.unparse(node.returns)}'
    opts = [f':module: mvrep.{mod}', *(f':{o}:' for o in ('classmethod', 'staticmethod') if o in deco)]
    but = {o.arg for o in ast.walk(init or node) if isinstance(o, ast.arg)} | {node.name}
    body = [ln(ast.get_docstring(node) or '', but)]
    if not is_prop and (init or not is_cls or is_dataclass(obj)): body.append(table(obj, lambda s: ln(s, but)))
    if is_cls: body += [entry(m, inspect.getattr_static(obj, m.name), mod, ln, node.name, depth-1) for m in methods(node)]
    name, fence = f'{cls}.{node.name}'.lstrip('.'), ':'*depth
    return '\n'.join([f'{fence}{{py:{what}}} {name}{sig}', *opts, '', '\n\n'.join(o for o in body if o), fence])

def find(mod, node):
    "The function, class or patched method that a piece of source defines"
    cls = owner(node)
    return inspect.getattr_static(getattr(mod, cls), node.name) if cls else getattr(mod, node.name)

# Pages

def page(nb, syms, nbs):
    "The cells of one page for myst-nb: exported cells become entries with their source folded away, hidden ones go"
    ln = lambda s, but=(): link(s, syms, nbs, but)
    md = lambda s: dict(cell_type='markdown', metadata={}, source=s)
    mod, res = nb['mod'] and importlib.import_module(f"mvrep.{nb['mod']}"), []
    for i,c in enumerate(nb['cells']):
        d, src = c['dirs'], directive.sub('', c['source']).strip()
        if c['cell_type']!='code':
            if i==0: src = re.sub(r'^> (.+)$', r'{.lead}\n\1', src, flags=re.M)
            res.append(md(ln(src)))
            continue
        if {'hide', 'default_exp'} & d.keys() or not src: continue
        tags = ['remove-input'] if 'hide_input' in d or d.get('echo')=='echo: false' else []
        if {'export', 'exporti', 'exports'} & d.keys():
            body = ast.parse(src).body
            if all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in body): continue
            if c in exported(nb): res += [md(entry(o, find(mod, o), nb['mod'], ln)) for o in public(src)]
            if any(isinstance(o, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for o in body): tags = ['hide-input']
        res += [md(f'<p class="flag">{v}</p>') for k,v in flags.items() if k in d]
        outs = [] if 'hide_output' in d or d.get('output')=='output: false' else c['outputs']
        res.append(dict(cell_type='code', metadata=dict(tags=tags), source=src, outputs=outs, execution_count=None))
    for i,o in enumerate(res): o['id'] = f'c{i}'
    return res

def cards(nbs):
    esc = lambda s: re.sub(r'`([^`]*)`', r'<code>\1</code>', html.escape(s))
    card = lambda o: f'<a class="card" href="{o["page"]}.html"><b>{esc(o["title"])}</b><span>{esc(o["desc"])}</span></a>'
    return '\n'.join(f'<section class="cards"><p>{name}</p>{"".join(map(card, os))}</section>' for name,os in by_room(nbs))

def readme(nbs):
    "README.md from the first notebook: its markdown, code and printed outputs, with links that work in the repository"
    row = lambda name, os: f'| {name} | '+' · '.join(f"[{o['title']}](nbs/{o['page']}.ipynb)" for o in os)+' |'
    table = '\n'.join(['| | notebooks |', '| --- | --- |', *(row(*o) for o in by_room(nbs))])
    res = ['<!-- made from nbs/index.ipynb by make docs: edit that -->']
    for c in load(root/'nbs/index.ipynb')['cells']:
        src = directive.sub('', c['source']).strip()
        if c['cell_type']=='markdown': res.append(re.sub(r'\]\(([\w/]+\.ipynb)', r'](nbs/\1', src).replace('<!-- map -->', table))
        elif 'hide' not in c['dirs'] and src:
            if 'hide_input' not in c['dirs']: res.append(f'```python\n{src}\n```')
            outs = [''.join(o.get('text') or o.get('data', {}).get('text/plain', '')) for o in c['outputs']]
            if any(outs): res.append('```\n'+''.join(outs).rstrip()+'\n```')
    return '\n\n'.join(res)+'\n'

def site(nbs, out):
    "The pages in the folder `out`, all or nothing; any warning is an error"
    from sphinx.cmd.build import main as sphinx
    syms, meta = names(nbs), dict(kernelspec=dict(name='python3', display_name='Python 3', language='python'), language_info=dict(name='python', pygments_lexer='ipython3'))
    with tempfile.TemporaryDirectory() as tmp:
        src, built = Path(tmp)/'src', Path(tmp)/'site'
        src.mkdir()
        index = load(root/'nbs/index.ipynb')
        for nb in [index, *nbs]:
            cells = page(nb, syms, nbs)
            if nb is index:
                for o in cells: o['source'] = o['source'].replace('<!-- map -->', cards(nbs)+'\n\n<p><a href="explorer/index.html">The explorer, over twelve synthetic videos</a>: click a point and its clip plays.</p>')
                toc = '\n\n'.join('```{toctree}\n:hidden:\n:caption: '+name+'\n\n'+'\n'.join(o['page'] for o in os)+'\n```' for name,os in by_room(nbs))
                cells.append(dict(cell_type='markdown', id='toc', metadata={}, source=toc))
            (src/nb['page']).parent.mkdir(parents=True, exist_ok=True)
            (src/f"{nb['page']}.ipynb").write_text(json.dumps(dict(cells=cells, metadata=meta, nbformat=4, nbformat_minor=5)), encoding='utf-8')
        if sphinx(['-q', '-W', '--keep-going', '-c', str(root/'docs'), '-d', f'{tmp}/trees', str(src), str(built)]): sys.exit('docs: the warnings above are errors')
        explorer(built/'explorer')
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(built, out)

def explorer(out):
    "The explorer over twelve synthetic videos, as a page without a kernel"
    from mvrep.explore.explorer import write_page
    from mvrep.index.indexing import tiny_index
    with tempfile.TemporaryDirectory() as tmp: write_page(tiny_index(tmp), out)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--out', type=Path, default=root/'docs/site')
    p.add_argument('--readme', action='store_true')
    a, nbs = p.parse_args(), notebooks()
    sys.path.insert(0, str(root))
    if a.readme: return (root/'README.md').write_text(readme(nbs), encoding='utf-8')
    site(nbs, a.out)
    print(f'{len(nbs)+1} pages. Open {a.out.resolve()/"index.html"}')

if __name__=='__main__': main()
