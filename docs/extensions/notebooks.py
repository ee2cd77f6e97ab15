"""Notebooks as pages of the site, as they are committed: no cell is executed.

Sphinx reads a notebook, this extension changes its cells, and myst-nb shows them. Exported functions and classes become
entries, with their source folded away; hidden cells are left out.
"""
import ast
import html
import json
import re
from .api import definitions, entry
from .contents import contents, notebook_folder, read_site_page

FLAGS = dict(slow='Takes minutes', gpu='Needs a GPU', data='Needs data that is not in the repository')

def markdown(source): return dict(cell_type='markdown', metadata={}, source=source)

def directive(name, argument='', body='', **options):
    "A directive of MyST as a markdown cell."
    lines = [f':{key}: {value}'.rstrip() for key, value in options.items()]
    return markdown('\n'.join([f'```{{{name}}} {argument}', *lines, '', body, '```']))

# Cells

def is_import(source):
    "Does a cell only import?"
    return all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in ast.parse(source).body)

def plain(text):
    "The last paragraph of a markdown text without its markup."
    return re.sub(r'\[([^\]]*)\]\([^)]*\)|[`*_#]', r'\1', text.strip().split('\n\n')[-1]).replace('\n', ' ').strip()

def is_image(output): return 'image/png' in output.get('data', {})

def accessible(output):
    "An output whose tables have neither a style of their own nor empty headings."
    page = output.get('data', {}).get('text/html')
    if page is None: return output
    text = re.sub(r'<style scoped>.*?</style>|border="1" ', '', ''.join(page), flags=re.S)
    return output | dict(data=output['data'] | {'text/html': text.replace('<th></th>', '<td></td>')})

def code_cells(cell, module, text_before):
    "What the site shows of a code cell: entries, flags, and the cell itself."
    directives = cell.directives
    source = re.sub(r'^#\|.*\n?', '', cell.source, flags=re.M).strip()
    exported = cell.exported
    if {'hide', 'default_exp'} & directives.keys() or not source or (exported and is_import(source)): return []
    shown = [markdown(entry(o)) for o in definitions(source, module)] if 'export' in directives else []
    shown += [markdown(f'<p class="flag">{text}</p>') for flag, text in FLAGS.items() if flag in directives]
    tags = ['remove-input'] if 'hide_input' in directives else []
    if shown and exported: tags = ['hide-input']
    outputs = [accessible(o) for o in cell.outputs] if 'hide_output' not in directives else []
    metadata = dict(tags=tags)
    if any(map(is_image, outputs)): metadata['mystnb'] = figure(directives.get('fig-cap', ''), text_before)
    return [*shown, dict(cell_type='code', metadata=metadata, source=source, outputs=outputs, execution_count=None)]

def figure(caption, text_before):
    "How myst-nb shows an image. The caption, or else the paragraph before the cell, is also its alternative text."
    options = dict(image=dict(alt=plain(caption or text_before)))
    return options | dict(figure=dict(caption=caption)) if caption else options

def page_cells(page):
    "The cells of a page."
    cells, text_before = [], page.title
    for i, cell in enumerate(page.cells):
        if cell.kind=='code': cells += code_cells(cell, page.import_name, text_before)
        else:
            text_before = cell.source
            cells += [markdown(cell.source)] if i else head(page)
    return cells

def head(page):
    "The first cell: title, module and summary, and what else it says."
    title, rest = page.cells[0].source.split('\n', 1)
    name = page.import_name
    module = [directive('py:module', name), markdown(f'{{.module}}\n`{name}`')] if name else []
    lead = re.sub(r'^> (.+)$', r'{.lead}\n\1', rest, flags=re.M)
    explorer = [markdown(live_explorer(page))] if name=='mvrep.explore.explorer' else []
    return [markdown(title), *module, markdown(lead), *explorer]

# The map

def code_font(text): return re.sub(r'`([^`]*)`', r'<code>\1</code>', html.escape(text))

def cards(heading, pages):
    "A group of pages on the first page."
    links = ''.join(map(card, pages))
    return f'<section class="cards"><h3>{heading}</h3>{links}</section>' if pages else ''

def card(page):
    "A link to a page, with its summary."
    title, summary = code_font(page.title), code_font(page.summary)
    return f'<a class="card" href="{page.name}.html"><b>{title}</b><span>{summary}</span></a>'

def live_explorer(page):
    "The explorer that build.py makes, inside a page."
    address = '../'*page.name.count('/')+'explorer/index.html'
    return f'''<figure class="explorer">
<iframe src="{address}" title="Explorer over twelve synthetic videos" loading="lazy"></iframe>
<figcaption>Click a point to play its clip. <a href="{address}">Open the explorer on a page of its own</a>.</figcaption>
</figure>'''

def toctree(caption, pages):
    "A group of pages in the side bar."
    return directive('toctree', body='\n'.join(o.name for o in pages), hidden='', caption=caption)

EXPLORER_IMAGE = re.compile(r'!\[[^\]]*\]\(\S*/explorer\.png\)')

def first_page_cells(page):
    "The cells of the first page with the groups of the side bar, the map, and the explorer in place of its image."
    groups = '\n'.join(cards(heading, pages) for heading, pages in contents().groups.items())
    side_bar = {'The tour': contents().tour, 'More studies': contents().other_studies, 'Library': contents().overviews}
    cells = page_cells(page)
    for cell in cells:
        source = cell['source'].replace('<!-- map -->', groups)
        cell['source'] = EXPLORER_IMAGE.sub(live_explorer(page), source)
    return cells+[toctree(heading, pages) for heading, pages in side_bar.items()]

# The extension

KERNEL = dict(
    kernelspec=dict(name='python3', display_name='Python 3', language='python'),
    language_info=dict(name='python'))

def convert(app, docname, source):
    "Replace the text of a notebook by that of the page it becomes."
    page = read_site_page(notebook_folder/f'{docname}.ipynb')
    cells = first_page_cells(page) if docname=='index' else page_cells(page)
    room = contents().rooms.get(page.room, [])
    if room and page.name==room[0].name and room[1:]:
        cells.append(directive('toctree', body='\n'.join('/'+o.name for o in room[1:]), hidden=''))
    for i, cell in enumerate(cells): cell['id'] = f'c{i}'
    source[0] = json.dumps(dict(cells=cells, metadata=KERNEL, nbformat=4, nbformat_minor=5))

def setup(app):
    app.connect('source-read', convert)
    return dict(parallel_read_safe=True)
