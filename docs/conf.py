"How Sphinx makes the site from the notebooks in nbs/: run by build.py"
import sys
from configparser import ConfigParser
from pathlib import Path
import latex2mathml.converter
from docutils.nodes import SkipNode

here = Path(__file__).parent
sys.path[:0] = [str(here.parent), str(here)]
settings = ConfigParser(delimiters=['='])
settings.read(here.parent/'settings.ini', encoding='utf-8')
config = settings['DEFAULT']

project = html_title = config['title']
author = config['author']
copyright = config['copyright']
release = config['version']
extensions = [
    'myst_nb', 'sphinx.ext.viewcode', 'sphinx_copybutton',
    'extensions.notebooks', 'extensions.links', 'extensions.navigation']
exclude_patterns = ['**/.ipynb_checkpoints', '**/_*', '**/*.md']
suppress_warnings = ['myst.header', 'mystnb.unknown_mime_type', 'ref.python']

# Notebooks
nb_execution_mode = 'off'
nb_merge_streams = True
nb_code_prompt_show = nb_code_prompt_hide = 'Source'
nb_mime_priority_overrides = [('html', 'text/html', 0)]
myst_enable_extensions = ['attrs_block', 'colon_fence', 'dollarmath']
myst_heading_anchors = 4
myst_heading_slug_func = 'extensions.links.heading_slug' # Links to sections work in Jupyter and on the site

# Functions and classes
add_module_names = False
python_maximum_signature_line_length = 80
toc_object_entries = False
viewcode_line_numbers = True

# Appearance
html_theme = 'furo'
html_static_path = ['static']
html_css_files = ['mvrep.css']
html_js_files = ['scrolling.js']
html_favicon = html_logo = 'static/mvrep.svg'
html_domain_indices = html_copy_source = html_show_sphinx = html_show_sourcelink = False
html_math_renderer = 'mathml'
pygments_style = 'a11y-high-contrast-light'
pygments_dark_style = 'a11y-high-contrast-dark'
light = {'color-brand-primary': '#b3256b', 'color-brand-content': '#a01f5f', 'color-brand-visited': '#a01f5f'}
dark = dict.fromkeys(light, '#ff8fc0')
html_theme_options = dict(
    light_css_variables=light, dark_css_variables=dark, top_of_page_buttons=['view'],
    source_repository=config['git_url'], source_branch=config['branch'], source_directory=f'{config["nbs_path"]}/')

def write_mathml(display):
    "Write a formula as MathML, which browsers draw themselves: no script, nothing fetched."
    def visit(translator, node):
        translator.body.append(latex2mathml.converter.convert(node.astext(), display=display))
        raise SkipNode
    return visit, None

def setup(app): app.add_html_math_renderer('mathml', write_mathml('inline'), write_mathml('block'))
