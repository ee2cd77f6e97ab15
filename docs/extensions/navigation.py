"The side bar, with the module below the title of a page, and markup that screen readers understand"
import re
from posixpath import dirname, join, normpath
from bs4 import BeautifulSoup
from .contents import contents

def add_modules(app, name, template, context, doctree):
    "Add the name of its module to each page of the library in furo's navigation tree."
    modules = {page.name: page.import_name for page in contents().pages if page.room}
    tree = BeautifulSoup(context.get('furo_navigation_tree', ''), 'html.parser')
    for link in tree.select('a.reference.internal'):
        target = link['href'].split('#')[0].removesuffix('.html')
        module = modules.get(normpath(join(dirname(name), target)) if target else name)
        if not module: continue
        code = tree.new_tag('code')
        code.string = module.removeprefix('mvrep.')
        link.append(code)
    for caption in tree.select('.caption[role=heading]'): caption['aria-level'] = 2
    context['furo_navigation_tree'] = str(tree)

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
    app.connect('html-page-context', add_modules, priority=900) # after furo
    return dict(parallel_read_safe=True)
