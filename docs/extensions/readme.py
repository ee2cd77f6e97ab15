"README.md from the first notebook: its markdown, code and printed outputs, with links that work in the repository"
import re
from .contents import contents, notebook_folder, read_page

def group_row(heading, pages):
    "A group of pages as a row of the map."
    links = ' · '.join(f'[{o.title}](nbs/{o.name}.ipynb)' for o in pages)
    return f'| {heading} | {links} |'

def map_table():
    "The map of all pages."
    rows = [group_row(heading, pages) for heading, pages in contents().groups.items() if pages]
    return '\n'.join(['| | notebooks |', '| --- | --- |', *rows])

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
    if cell.cell_type=='markdown':
        return [links_from_root(source).replace('<!-- map -->', map_table())]
    if 'hide' in cell.directives_ or not source: return []
    code = [] if 'hide_input' in cell.directives_ else [f'```python\n{source}\n```']
    return code+printed(cell)

def readme_text():
    "The text of README.md."
    page = read_page(notebook_folder/'index.ipynb')
    parts = [part for cell in page.cells for part in blocks(cell)]
    return '\n\n'.join(['<!-- made from nbs/index.ipynb by make docs: edit that -->', *parts])+'\n'
