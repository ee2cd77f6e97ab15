"The site: built with warnings as errors, then opened in a headless Chromium"
import functools, http.server, os, re, shutil, sys, threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
import pytest
from conftest import root, sh

chromium = next(filter(None, map(shutil.which, [os.environ.get('CHROMIUM', ''), 'chromium', 'chromium-browser', 'google-chrome'])), None)
flags = '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'.split()
browser_test = pytest.mark.skipif(not chromium, reason='no Chromium: see scripts/apt.sh')
pytestmark = pytest.mark.xdist_group('site')

@pytest.fixture(scope='module')
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp('docs')/'site'
    sh(sys.executable, root/'docs/build.py', '--out', out, env=dict(os.environ, OMP_NUM_THREADS='1'))
    return out

class Page(HTMLParser):
    "The ids and the links of a page"
    def __init__(self, path):
        super().__init__()
        self.ids, self.links = set(), set()
        self.feed(path.read_text(encoding='utf-8'))
    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if a.get('id'): self.ids.add(a['id'])
        self.links |= {a[k] for k in ('href', 'src') if a.get(k)}

def test_every_link_resolves(site):
    pages = {o.relative_to(site).as_posix(): Page(o) for o in site.rglob('*.html')}
    bad, n = [], 0
    for name,page in pages.items():
        for link in page.links:
            if urlsplit(link).scheme: continue
            to = unquote(urlsplit(urljoin(f'http://x/{name}', link)).path).lstrip('/') or 'index.html'
            at, n = unquote(urlsplit(link).fragment), n+1
            if not (site/to).is_file() or (at and to in pages and at not in pages[to].ids): bad.append((name, link))
    assert n>100 and bad==[]

def test_every_page_documents_its_module(site):
    from importlib import import_module
    for o in sorted((root/'mvrep').rglob('[!_]*.py')):
        made_from = re.search(r'nbs/(\S+)\.ipynb', o.read_text())[1]
        page = site/f'{made_from}.html'
        ids = Page(page).ids
        mod = import_module('.'.join(o.relative_to(root).with_suffix('').parts))
        missing = [k for k in mod.__all__ if k[0]!='_' and getattr(getattr(mod, k), '__module__', '')==mod.__name__ and hasattr(getattr(mod, k), '__name__') and f'{mod.__name__}.{k}' not in ids]
        assert missing==[], f'{mod.__name__}: {missing}'

@pytest.fixture(scope='module')
def base(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{s.server_port}'
    s.shutdown()

@pytest.fixture
def page(base):
    "A page that remembers what went wrong on it: errors on the console, failed requests, requests to anywhere else"
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=chromium, args=flags)
        page = b.new_page()
        page.wrong = []
        page.on('console', lambda m: m.type in ('error', 'warning') and page.wrong.append(m.text))
        page.on('pageerror', lambda e: page.wrong.append(str(e)))
        page.on('response', lambda r: r.status>=400 and page.wrong.append(f'{r.status} {r.url}'))

        page.on('request', lambda r: r.url.startswith((base, 'data:', 'blob:')) or page.wrong.append(f'elsewhere: {r.url}'))
        yield page
        b.close()

@browser_test
def test_pages_load_without_errors_and_from_here_alone(page, base, site):
    for o in sorted(site.rglob('*.html')):
        page.goto(f'{base}/{o.relative_to(site)}', wait_until='load')
        assert page.evaluate("[...document.images].filter(o => o.loading!='lazy' && !o.naturalWidth).map(o => o.src)")==[], o.relative_to(site)
        assert page.wrong==[], o.relative_to(site)

@browser_test
def test_nothing_is_wider_than_a_phone(page, base, site):
    page.set_viewport_size(dict(width=390, height=800))
    for o in sorted(site.rglob('*.html')):
        page.goto(f'{base}/{o.relative_to(site)}', wait_until='load')
        assert page.evaluate('document.documentElement.scrollWidth')<=390, o.relative_to(site)

@browser_test
def test_search_finds_a_function(page, base):
    page.goto(f'{base}/index.html')
    page.fill('input[name=q]', 'seed_from')
    page.press('input[name=q]', 'Enter')
    link = page.locator('#search-results li a', has_text='seed_from').first
    link.click()
    page.wait_for_url('**/library/00_core/00_core.html*')
    assert page.locator('[id="mvrep.core.seed_from"]').is_visible() and page.wrong==[]

@browser_test
def test_source_link_leads_to_the_source(page, base):
    page.goto(f'{base}/library/00_core/00_core.html')
    page.locator('dt[id="mvrep.core.seed_from"] .viewcode-link').click()
    page.wait_for_url('**/_modules/mvrep/core.html*')
    assert 'hashlib.blake2b' in page.inner_text('article') and page.wrong==[]

@browser_test
def test_dark_mode(page, base):
    page.emulate_media(color_scheme='light')
    page.goto(f'{base}/library/00_core/00_core.html')
    paper = lambda: page.evaluate('getComputedStyle(document.body).backgroundColor')
    light, seen = paper(), set()
    for _ in range(3):
        page.locator('.theme-toggle:visible').first.click()
        seen.add(paper())
    dark, = seen-{light}
    page.emulate_media(color_scheme='dark')
    page.goto(f'{base}/index.html')
    while paper()!=dark: page.locator('.theme-toggle:visible').first.click()
    assert page.wrong==[]

@browser_test
def test_the_explorer_plays(page, base):
    from test_explorer import tour # which begins with this file
    page.goto(f'{base}/explorer/index.html')
    tour(page, 12)
    assert page.wrong==[]
