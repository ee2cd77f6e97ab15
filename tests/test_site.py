"The site: built with warnings as errors, then opened in a headless Chromium"
import os
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib import import_module
from urllib.parse import unquote, urljoin, urlsplit
import pytest
from browser import accessibility_violations, browser_test, overflow, served, watched_page
from conftest import root, sh
from rules.source_tree import SourceTree

pytestmark = pytest.mark.xdist_group('site')
WIDTHS = (390, 1024, 1280, 1366) # A phone and three laptops, pixels

@pytest.fixture(scope='module')
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp('docs')/'site'
    sh(sys.executable, root/'docs/build.py', '--out', out, env=dict(os.environ, OMP_NUM_THREADS='1'))
    return out

@pytest.fixture(scope='module')
def base(site):
    with served(site) as address: yield address

@pytest.fixture
def page(browser, base):
    page = watched_page(browser, base)
    yield page
    page.close()

def html_files(site):
    "Paths of all pages."
    return [o.relative_to(site).as_posix() for o in sorted(site.rglob('*.html'))]

# What the files say

class Parsed(HTMLParser):
    "What matters here of a page"
    def __init__(self, path):
        super().__init__()
        self.ids, self.links = set(), set()
        self.images, self.captions = [], []
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if found.get('id'): self.ids.add(found['id'])
        self.links |= {found[o] for o in ('href', 'src') if found.get(o)}
        if tag=='img': self.images.append(found)

def target(page, link):
    "The file and the fragment that a link on a page leads to."
    parts = urlsplit(urljoin(f'http://site/{page}', link))
    return unquote(parts.path).lstrip('/') or 'index.html', unquote(parts.fragment)

@pytest.fixture(scope='module')
def pages(site): return {o: Parsed(site/o) for o in html_files(site)}

def test_links(site, pages):
    links = [(name, o) for name, page in pages.items() for o in page.links if not urlsplit(o).scheme]
    broken = []
    for name, link in links:
        file, fragment = target(name, link)
        is_missing = fragment and file in pages and fragment not in pages[file].ids
        if is_missing or not (site/file).is_file(): broken.append((name, link))
    assert len(links)>100
    assert broken==[]

def public_names(module):
    "Functions and classes that a module defines and exports."
    found = {name: getattr(module, name) for name in module.__all__ if name[0]!='_'}
    own = {name: o for name, o in found.items() if getattr(o, '__module__', '')==module.__name__}
    return [f'{module.__name__}.{name}' for name, o in own.items() if hasattr(o, '__name__')]

def test_entries(pages):
    "Every public function and class has an entry on the page of its module."
    missing = []
    for page in SourceTree(root).pages:
        if not page.module or page.name.split('/')[-1].startswith('00_') and page.module!='core': continue
        ids = pages[f'{page.name}.html'].ids
        missing += [o for o in public_names(import_module(f'mvrep.{page.module}')) if o not in ids]
    assert missing==[]

def test_images_have_texts(pages):
    "The text that stands for an image is a sentence, not the name of a file."
    for name, page in pages.items():
        texts = [o.get('alt', '') for o in page.images]
        assert [o for o in texts if len(o)<4 or o.endswith('.png')]==[], name

def test_tables_have_no_empty_headings(site):
    for name in html_files(site): assert '<th></th>' not in (site/name).read_text(encoding='utf-8'), name

# What a browser shows

@dataclass
class Visit:
    "What a browser found on a page"
    missing:list # Addresses of images that did not load
    wrong:list # Errors, failed requests, requests to another host
    too_narrow:list # Widths at which the page is wider than its window, pixels

MISSING_IMAGES = "[...document.images].filter(o => o.loading!='lazy' && !o.naturalWidth).map(o => o.src)"

def visit(page, address):
    "Open a page, and give it windows of several widths."
    page.wrong.clear()
    page.goto(address, wait_until='load')
    missing = page.evaluate(MISSING_IMAGES)
    too_narrow = []
    for width in WIDTHS:
        page.set_viewport_size(dict(width=width, height=800))
        if overflow(page)>0: too_narrow.append(width)
    return Visit(missing, list(page.wrong), too_narrow)

def visited(site):
    "The pages that a browser opens: of those that show source code, which are all alike, only the five longest."
    names = html_files(site)
    sources = sorted((o for o in names if o.startswith('_modules/')), key=lambda o: (site/o).stat().st_size)
    return [o for o in names if o not in sources[:-5]]

@pytest.fixture(scope='module')
def visits(browser, base, site):
    page = watched_page(browser, base)
    yield {name: visit(page, f'{base}/{name}') for name in visited(site)}
    page.close()

@browser_test
def test_pages_load(visits):
    "No page has an error, a missing image, or a request to another host."
    assert {name: (o.missing, o.wrong) for name, o in visits.items() if o.missing or o.wrong}=={}

@browser_test
def test_nothing_overflows(visits):
    assert {name: o.too_narrow for name, o in visits.items() if o.too_narrow}=={}

@browser_test
def test_a_page_that_overflows_is_found(page, base):
    page.goto(f'{base}/index.html', wait_until='load')
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<div style=\"width: 1300px\">wide</div>')")
    page.set_viewport_size(dict(width=1280, height=800))
    assert overflow(page)>0
    page.set_viewport_size(dict(width=1366, height=800))
    assert overflow(page)<=0

ACCESSIBLE = ['index', '01_data_exploration', 'library/05_metrics/20_ranking']

@browser_test
@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('name', ACCESSIBLE)
def test_accessibility(browser, base, name, scheme):
    page = watched_page(browser, base, color_scheme=scheme)
    page.goto(f'{base}/{name}.html', wait_until='load')
    assert accessibility_violations(page)==[]
    page.close()

@browser_test
def test_boxes_that_scroll_can_be_reached_by_keyboard(page, base):
    page.set_viewport_size(dict(width=390, height=800))
    page.goto(f'{base}/index.html', wait_until='load')
    page.wait_for_selector('pre[tabindex="0"]')
    assert accessibility_violations(page)==[]

@browser_test
def test_tour(page, base):
    "Next leads from one study of the tour to the next, and Previous back."
    page.goto(f'{base}/index.html')
    studies = page.locator('.cards').first.locator('a')
    names = studies.evaluate_all('all => all.map(o => o.getAttribute("href"))')
    page.goto(f'{base}/{names[0]}')
    for name in names[1:]:
        page.click('.related-pages .next-page')
        page.wait_for_url(f'**/{name}')
    for name in names[-2::-1]:
        page.click('.related-pages .prev-page')
        page.wait_for_url(f'**/{name}')

@browser_test
def test_side_bar(page, base):
    "Groups, and below the title of a library page its module in code font."
    page.goto(f'{base}/library/05_metrics/20_ranking.html')
    captions = page.locator('.sidebar-tree .caption').all_text_contents()
    assert [o.strip() for o in captions][::2]==['The tour', 'Library']
    current = page.locator('.sidebar-tree li.current-page > a')
    assert current.locator('code').text_content()=='metrics.ranking'

@browser_test
def test_search_finds_a_function(page, base):
    page.goto(f'{base}/index.html')
    page.fill('input[name=q]', 'seed_from')
    page.press('input[name=q]', 'Enter')
    page.locator('#search-results li a', has_text='seed_from').first.click()
    page.wait_for_url('**/library/00_core/00_core.html*')
    assert page.locator('[id="mvrep.core.seed_from"]').is_visible()
    assert page.wrong==[]

@browser_test
def test_link_to_source(page, base):
    page.goto(f'{base}/library/00_core/00_core.html')
    page.locator('dt[id="mvrep.core.seed_from"] .viewcode-link').click()
    page.wait_for_url('**/_modules/mvrep/core.html*')
    assert 'hashlib.blake2b' in page.inner_text('article')
    assert page.wrong==[]

def background(page): return page.evaluate('getComputedStyle(document.body).backgroundColor')

@browser_test
def test_dark_mode(page, base):
    page.emulate_media(color_scheme='light')
    page.goto(f'{base}/library/00_core/00_core.html')
    light = background(page)
    colours = set()
    for _ in range(3):
        page.locator('.theme-toggle:visible').first.click()
        colours.add(background(page))
    assert len(colours-{light})==1
    assert page.wrong==[]

@browser_test
def test_explorer(page, base):
    "It plays on its own page, and is shown on the first page."
    from test_explorer import tour
    page.goto(f'{base}/explorer/index.html')
    tour(page, 12)
    assert page.wrong==[]
    page.goto(f'{base}/index.html')
    frame = page.frame_locator('figure.explorer iframe')
    page.locator('figure.explorer').scroll_into_view_if_needed()
    frame.locator('.mvx[data-drawn="12"]').wait_for()
