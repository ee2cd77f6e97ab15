"The side bar, with the module below the title of a page, and markup that screen readers understand"
import re
from functools import cache
from html import escape
from posixpath import dirname, join, normpath
from .contents import contents

LINK = re.compile(r'(<a class="[^"]*\breference internal\b[^"]*" href="([^"#]*)[^"]*">.*?)(</a>)', re.S)
CAPTION = re.compile(r'(<p class="caption" role="heading")(?: aria-level="\d")?')

@cache
def modules():
    "{name of a page of the library: its module, without the package}."
    return {page.name: page.import_name.removeprefix('mvrep.') for page in contents().pages if page.room}

def add_modules(app, name, template, context, doctree):
    "Add the name of its module to each page of the library in furo's navigation tree."
    def with_module(found):
        link, target, end = found.groups()
        target = target.removesuffix('.html')
        module = modules().get(normpath(join(dirname(name), target)) if target else name)
        return f'{link}<code>{escape(module)}</code>{end}' if module else found[0]
    tree = LINK.sub(with_module, context.get('furo_navigation_tree', ''))
    context['furo_navigation_tree'] = CAPTION.sub(r'\1 aria-level="2"', tree)

SOURCES = '_modules/' # Where Sphinx writes the source of each module

def share_toctree(app, name, template, context, doctree):
    "Compute the table of contents once for the pages of source code in one folder, where it is the same."
    if not name.startswith(SOURCES) or 'toctree' not in context: return
    make, made = context['toctree'], app.env.temp_data.setdefault('toctrees of sources', {})
    def toctree(**options):
        key = dirname(name), tuple(sorted(options.items()))
        if key not in made: made[key] = make(**options)
        return made[key]
    context['toctree'] = toctree

LINES = re.compile(r'<dl>\s*(<dd><em class="sig-param.*?)</dl>', re.S)

def mark_lines(found):
    "The parameters of a signature, one a line, as spans: a list of definitions without terms is not valid."
    lines = found[1].replace('<dd>', '<span class="sig-line">').replace('</dd>', '</span>')
    return f'<span class="sig-lines">{lines}</span>'

def repair_signatures(app, name, template, context, doctree):
    "Replace the lists in the signatures of a page."
    if 'body' in context: context['body'] = LINES.sub(mark_lines, context['body'])

def setup(app):
    app.connect('html-page-context', repair_signatures)
    app.connect('html-page-context', share_toctree, priority=100) # before furo
    app.connect('html-page-context', add_modules, priority=900) # after furo
    return dict(parallel_read_safe=True)
