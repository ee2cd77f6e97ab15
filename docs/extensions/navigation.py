"The side bar: the name of the module below the title of a page"
from posixpath import dirname, join, normpath
from bs4 import BeautifulSoup
from .contents import contents

def add_modules(app, name, template, context, doctree):
    "Add the name of its module to each page of the library in furo's navigation tree."
    modules = {page.name: page.module for page in contents().pages if page.room}
    tree = BeautifulSoup(context.get('furo_navigation_tree', ''), 'html.parser')
    for link in tree.select('a.reference.internal'):
        target = link['href'].split('#')[0].removesuffix('.html')
        module = modules.get(normpath(join(dirname(name), target)) if target else name)
        if not module: continue
        code = tree.new_tag('code')
        code.string = module.removeprefix('mvrep.')
        link.append(code)
    context['furo_navigation_tree'] = str(tree)

def setup(app):
    app.connect('html-page-context', add_modules, priority=900) # after furo
    return dict(parallel_read_safe=True)
