"How Sphinx shows the pages that build.py writes"
from configparser import ConfigParser
from pathlib import Path
import latex2mathml.converter
from docutils.nodes import SkipNode

here = Path(__file__).parent
settings = ConfigParser(delimiters=['='])
settings.read(here.parent/'settings.ini', encoding='utf-8')
cfg = settings['DEFAULT']

project = html_title = cfg['title']
author, copyright, release = cfg['author'], cfg['copyright'], cfg['version']
extensions = ['myst_nb', 'sphinx.ext.viewcode', 'sphinx_copybutton']
suppress_warnings = ['myst.header', 'mystnb.unknown_mime_type', 'ref.python']

nb_execution_mode = 'off'
nb_merge_streams = True
nb_code_prompt_show = nb_code_prompt_hide = 'Source'
nb_mime_priority_overrides = [('html', 'text/html', 0)]
myst_enable_extensions = ['colon_fence', 'attrs_block', 'dollarmath']
myst_heading_anchors = 4

add_module_names = False
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = 'hide'
viewcode_line_numbers = True

html_theme = 'furo'
html_static_path = ['static']
html_css_files = ['mvrep.css']
html_favicon = html_logo = 'static/mvrep.svg'
html_copy_source = html_show_sphinx = html_show_sourcelink = False
html_math_renderer = 'mathml'
pygments_style, pygments_dark_style = 'friendly', 'github-dark'
accent = {'color-brand-primary': '#b3256b', 'color-brand-content': '#a01f5f', 'color-brand-visited': '#a01f5f'}
html_theme_options = dict(light_css_variables=accent, dark_css_variables={k: '#ff8fc0' for k in accent})

# Formulas as MathML, which browsers draw themselves: no script, nothing fetched

def math(display):
    def visit(self, node):
        self.body.append(latex2mathml.converter.convert(node.astext(), display=display))
        raise SkipNode
    return visit, None

def setup(app): app.add_html_math_renderer('mathml', math('inline'), math('block'))
