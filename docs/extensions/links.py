"Names of functions, classes and modules in code font become links to their entries"
import re
from functools import cache
from docutils import nodes
from sphinx.addnodes import desc, desc_name, desc_sig_name, desc_signature, pending_xref
from sphinx.transforms import SphinxTransform
from .contents import contents

@cache
def full_names():
    "{how people write a name: the full name of the module, function, class or method}"
    found = {}
    for page in contents().pages:
        if page.import_name: found[page.import_name] = page.import_name
        package = page.import_name.rpartition('.')[0]
        for definition in page.entries:
            for name in (definition.name, *(o.name for o in definition.members)):
                full_name = f'{page.import_name}.{name}'
                for written in (full_name, full_name.removeprefix('mvrep.'), f'{package}.{name}', name):
                    found.setdefault(written, full_name)
    return found

def ancestor(node, kind):
    "The nearest node of a kind that a node is in, or None."
    while node is not None and not isinstance(node, kind): node = node.parent
    return node

def own_names(node):
    "Names that do not become links in an entry: its own, and its parameters."
    entry = ancestor(node, desc)
    return {o.astext() for kind in (desc_name, desc_sig_name) for o in entry[0].findall(kind)} if entry else set()

class LinkNames(SphinxTransform):
    default_priority = 600

    def apply(self):
        for node in list(self.document.findall(nodes.literal)):
            written = re.sub(r'\(.*\)$', '', node.astext())
            name = full_names().get(written)
            if not name or written in own_names(node): continue
            if ancestor(node, (nodes.reference, desc_signature, pending_xref)): continue
            node.replace_self(pending_xref(
                '', node.deepcopy(), refdomain='py', reftype='obj', reftarget=name, refdoc=self.env.docname))

def heading_slug(title):
    "The anchor of a heading, as Jupyter writes it."
    return title.strip().replace(' ', '-')

def setup(app):
    app.add_transform(LinkNames)
    return dict(parallel_read_safe=True)
