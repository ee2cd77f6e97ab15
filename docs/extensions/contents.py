"The notebooks as pages: what they contain, and in which order a reader meets them"
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from .api import definitions
from .notebook_file import Page, read_page

# Studies to read first, in this order
TOUR = ('data_exploration', 'tsne', 'training', 'genre', 'tags', 'emotion', 'qualitative_retrieval')
notebook_folder = Path(__file__).resolve().parents[2]/'nbs'

class SitePage(Page):
    "A notebook as a page of the site"
    @property
    def is_overview(self): return self.is_room_page # The first page of its room

    @cached_property
    def entries(self): # Its public functions and classes
        exported = [o for o in self.code if 'export' in o.directives]
        return [found for cell in exported for found in definitions(cell.source, self.import_name)]

    @property
    def topic(self): # Name without folders and number, such as 'ranking'
        return self.name.split('/')[-1].partition('_')[2]

    @property
    def in_tour(self): # Is it one of the studies to read first?
        return not self.room and self.topic in TOUR

def read_site_page(path): return read_page(path, notebook_folder, SitePage)

@dataclass(frozen=True)
class Contents:
    "All pages but the first, in order"
    pages:list # Studies, then the library

    @cached_property
    def tour(self): return sorted((o for o in self.pages if o.in_tour), key=lambda o: TOUR.index(o.topic))

    @cached_property
    def other_studies(self): return [o for o in self.pages if not o.room and not o.in_tour]

    @cached_property
    def rooms(self): # {folder below nbs/: its pages, overview first}
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
    return pages[0].title if pages[0].is_overview else name.split('/')[-1][3:].replace('_', ' ').capitalize()

@cache
def contents():
    "All notebooks but the first page, in order."
    paths = sorted(notebook_folder.rglob('[0-9]*.ipynb'))
    return Contents([read_site_page(o) for o in paths if '.ipynb_checkpoints' not in o.parts])
