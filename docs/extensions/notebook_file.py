"""The notebooks as they lie in nbs/, for everything that reads their text: the site, the house rules, and the scripts
that run them."""
import ast
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

def parse(source):
    "Syntax tree of a piece of code; empty if it is not plain Python, such as a cell with a magic."
    try: return ast.parse(source)
    except SyntaxError: return ast.parse('')

EXPORTS = {'export', 'exporti', 'exports'} # Directives of cells that become a part of the library

def directives_of(source):
    "{name of a directive: the rest of its line} of a cell, such as {'export': '', 'fig-cap': 'Two clusters'}."
    lines = re.findall(r'^#\|\s*(\S+)[^\S\n]*(.*)$', source, re.M)
    return {name.rstrip(':'): text for name, text in lines}

def is_skipped(cell, flags):
    "Is a cell of a notebook not run: text, an export of the library, or one that has one of these directives?"
    is_export = 'nbdev_export(' in cell.source
    return cell.cell_type!='code' or is_export or bool(set(flags) & directives_of(cell.source).keys())

def is_warning(output):
    "Is an output of a cell a warning of Python? It names a file of this machine."
    return output.get('name')=='stderr' and 'Warning: ' in ''.join(output['text'])

@dataclass
class Cell:
    "A cell of a notebook"
    kind:str # 'code' or 'markdown'
    source:str # Text
    outputs:list # As stored in the file

    @cached_property
    def directives(self): return directives_of(self.source) # {name: text}

    @cached_property
    def tree(self): return parse(self.source) # Syntax tree of the code

    @property
    def exported(self): # Does it become a part of the library?
        return bool(EXPORTS & self.directives.keys())

    @property
    def hidden(self): # Is its code left out of the site?
        return bool({'hide', 'hide_input'} & self.directives.keys())

    @property
    def printed(self): # Text that its outputs show
        texts = [o.get('text') or o.get('data', {}).get('text/plain', '') for o in self.outputs]
        return '\n'.join(''.join(o) for o in texts)

@dataclass
class Page:
    "A notebook"
    path:Path # The file
    name:str # Path below nbs/ without suffix, such as 'library/05_metrics/20_ranking'
    cells:list # All its cells

    @property
    def code(self): return [o for o in self.cells if o.kind=='code'] # Code cells

    @property
    def markdown(self): return [o for o in self.cells if o.kind=='markdown'] # Markdown cells

    @property
    def exported(self): return [o for o in self.code if o.exported] # Cells of the library

    @property
    def in_library(self): return self.name.startswith('library/') # Is it a page of the library, not a study?

    @property
    def room(self): return self.name.rpartition('/')[0] # Folder of its room below nbs/

    @property
    def is_room_page(self): # Does it present the package of its room?
        return self.in_library and self.path.name.startswith('00_')

    @property
    def order(self): return not self.in_library, self.name.split('/') # The library comes before the studies

    @cached_property
    def module(self):
        "Name of its module below mvrep, without `.__init__`; None if it exports nothing"
        found = re.search(r'^#\|\s*default_exp\s+(\S+)', '\n'.join(o.source for o in self.code), re.M)
        return found and found[1].removesuffix('.__init__')

    @property
    def import_name(self): # Such as 'mvrep.metrics.ranking'; empty for a notebook that exports nothing
        return f'mvrep.{self.module}' if self.module else ''

    @property
    def title(self): # Its first heading
        return re.search(r'^# (.+)', '\n'.join(o.source for o in self.markdown), re.M)[1]

    @property
    def summary(self): # The line below its title; empty if there is not one
        found = re.search(r'^> (.+)', self.cells[0].source, re.M)
        return found[1] if found else ''

    @property
    def exported_body(self): # Top-level statements of the exported cells
        return [o for cell in self.exported for o in cell.tree.body]

    @property
    def exported_nodes(self): # All syntax nodes of the exported cells
        return [o for cell in self.exported for o in ast.walk(cell.tree)]

    @property
    def definitions(self): # Top-level functions and classes of the exported cells
        return [o for o in self.exported_body if isinstance(o, (*FUNCTIONS, ast.ClassDef))]

def read_page(path, folder, kind=Page):
    "A notebook from its file below `folder`."
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    cells = [Cell(o['cell_type'], ''.join(o['source']), o.get('outputs', [])) for o in cells]
    return kind(path, path.relative_to(folder).with_suffix('').as_posix(), cells)
