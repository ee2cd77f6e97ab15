"The notebooks as pages: what they contain, and in which order a reader meets them"
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from nbdev.process import NBProcessor
from .api import definitions

# Studies to read first, in this order
TOUR = ('data_exploration', 'tsne', 'training', 'genre', 'tags', 'emotion', 'qualitative_retrieval')
notebook_folder = Path(__file__).resolve().parents[2]/'nbs'

@dataclass(frozen=True)
class Page:
    "A notebook"
    name:str # Path below nbs/ without suffix, such as 'library/05_metrics/20_ranking'
    title:str # First heading
    summary:str # The line below it
    module:str # Such as 'mvrep.metrics.ranking'; empty for a notebook that exports nothing
    cells:list # Cells of the notebook, each with its directives in `directives_`

    @property
    def room(self): # Folder of a page of the library; empty for a study
        return self.name.split('/')[1] if '/' in self.name else ''

    @property
    def is_overview(self): # Is it the first page of its room?
        return bool(self.room) and self.name.split('/')[-1].startswith('00_')

    @cached_property
    def definitions(self): # Its public functions and classes
        exported = [o for o in self.cells if 'export' in o.directives_]
        return [found for cell in exported for found in definitions(cell.source, self.module)]

    @property
    def topic(self): # Name without folders and number, such as 'ranking'
        return self.name.split('/')[-1].partition('_')[2]

    @property
    def in_tour(self): # Is it one of the studies to read first?
        return not self.room and self.topic in TOUR

def read_page(path):
    "A notebook from its file."
    cells = NBProcessor(path).nb.cells
    first = cells[0].source
    title = re.search(r'^# (.+)', first, re.M)[1]
    summary = re.search(r'^> (.+)', first, re.M)
    exports = [o.directives_['default_exp'][0] for o in cells if 'default_exp' in o.directives_]
    module = f'mvrep.{exports[0]}'.removesuffix('.__init__') if exports else ''
    name = path.relative_to(notebook_folder).with_suffix('').as_posix()
    return Page(name, title, summary[1] if summary else '', module, cells)

@dataclass(frozen=True)
class Contents:
    "All pages but the first, in order"
    pages:list # Studies, then the library

    @cached_property
    def tour(self): return sorted((o for o in self.pages if o.in_tour), key=lambda o: TOUR.index(o.topic))

    @cached_property
    def other_studies(self): return [o for o in self.pages if not o.room and not o.in_tour]

    @cached_property
    def rooms(self): # {folder: its pages, overview first}
        found = {}
        for page in self.pages:
            if page.room: found.setdefault(page.room, []).append(page)
        return found

    @property
    def overviews(self): # The first page of each room
        return [pages[0] for pages in self.rooms.values()]

    @property
    def studies(self): # {heading: studies}
        return {'The tour': self.tour, 'More studies': self.other_studies}

    @property
    def groups(self): # {heading: pages} of the map on the first page
        rooms = {room_title(name, pages): pages for name, pages in self.rooms.items()}
        return self.studies | rooms

def room_title(name, pages):
    "Title of a room: that of its overview."
    return pages[0].title if pages[0].is_overview else name[3:].replace('_', ' ').capitalize()

@cache
def contents():
    "All notebooks but the first page, in order."
    paths = sorted(notebook_folder.rglob('[0-9]*.ipynb'))
    return Contents([read_page(o) for o in paths if '.ipynb_checkpoints' not in o.parts])
