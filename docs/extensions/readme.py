"README.md from the first notebook: its markdown, code and printed outputs, with links that work in the repository"
import re
from .contents import contents, notebook_folder, read_site_page

def link(page): return f'[{page.title}](nbs/{page.name}.ipynb)'

def map_table():
    "The map of the notebooks: all studies, and the first page of each package."
    rows = [f'| {heading} | {" · ".join(map(link, pages))} |' for heading, pages in contents().studies.items()]
    rooms = [f'| {link(o)} | {o.summary} |' for o in contents().overviews]
    return '\n'.join(['| | notebooks |', '| --- | --- |', *rows, '| **The library** | |', *rooms])

def printed(cell):
    "What a cell prints, as a block of markdown."
    text = ''.join(o.get('text') or o.get('data', {}).get('text/plain', '') for o in map(joined, cell.outputs))
    return [f'```\n{text.rstrip()}\n```'] if text else []

def joined(output):
    "An output whose texts are strings, not lists of lines."
    if 'text' in output: return dict(text=''.join(output['text']))
    return dict(data={kind: ''.join(text) for kind, text in output.get('data', {}).items()})

def links_from_root(source):
    "A markdown text with the links of a notebook in nbs/ as they are in the folder above."
    source = re.sub(r'\]\(([\w/]+\.ipynb)', r'](nbs/\1', source)
    return source.replace('](../', '](')

def blocks(cell):
    "The parts of README.md that a cell becomes."
    source = re.sub(r'^#\|.*\n?', '', cell.source, flags=re.M).strip()
    if cell.kind=='markdown':
        return [links_from_root(source).replace('<!-- map -->', map_table())]
    if 'hide' in cell.directives or not source: return []
    code = [] if 'hide_input' in cell.directives else [f'```python\n{source}\n```']
    return code+printed(cell)

def readme_text():
    "The text of README.md."
    page = read_site_page(notebook_folder/'index.ipynb')
    parts = [part for cell in page.cells for part in blocks(cell)]
    return '\n\n'.join(['<!-- made from nbs/index.ipynb by make docs: edit that -->', *parts])+'\n'
