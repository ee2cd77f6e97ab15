"A headless Chromium for tests: pages that remember what went wrong, a server for a folder, and checks of accessibility"
import os
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
import pytest

names = [os.environ.get('CHROMIUM', ''), 'chromium', 'chromium-browser', 'google-chrome']
chromium = next(filter(None, map(shutil.which, names)), None)
flags = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync']
browser_test = pytest.mark.skipif(not chromium, reason='no Chromium: see scripts/apt.sh')

@contextmanager
def open_browser(*more):
    "A browser, started with `more` flags, closed at the end."
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*flags, *more])
        yield browser
        browser.close()

def watched_page(browser, *ours, **options):
    "A page whose list `wrong` collects errors, failed requests, and requests to addresses that `ours` do not begin."
    page = browser.new_page(**options)
    page.wrong = []
    page.on('console', lambda o: o.type in ('error', 'warning') and page.wrong.append(o.text))
    page.on('pageerror', lambda o: page.wrong.append(str(o)))
    page.on('response', lambda o: o.status>=400 and page.wrong.append(f'{o.status} {o.url}'))
    allowed = (*ours, 'data:', 'blob:')
    page.on('request', lambda o: o.url.startswith(allowed) or page.wrong.append(f'elsewhere: {o.url}'))
    return page

@contextmanager
def served(folder):
    "The address of a server for the files of a folder, on this machine only."
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args): pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()

FOCUS = """() => { const {outlineStyle, outlineWidth} = getComputedStyle(document.activeElement);
    return [document.activeElement.outerHTML.slice(0, 80), outlineStyle!=='none' && parseFloat(outlineWidth)>0] }"""

def without_visible_focus(page, n):
    "Elements that the first `n` presses of Tab reach, and that do not show it."
    reached = []
    for _ in range(n):
        page.keyboard.press('Tab')
        reached.append(page.evaluate(FOCUS))
    assert len({html for html, _ in reached})>1, reached
    own = '<body', '<video' # the browser draws the focus of its own controls
    return [html for html, is_visible in reached if not is_visible and not html.startswith(own)]

LEVELS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] # Levels A and AA of WCAG 2.2

def accessibility_violations(page):
    "What breaks WCAG at levels A and AA on a page, as axe-core finds it, one line an element."
    from axe_playwright_python.sync_playwright import Axe
    results = Axe().run(page, options=dict(runOnly=LEVELS, resultTypes=['violations'])).response
    rules = results['violations']
    return [f'{rule["id"]}: {rule["help"]}: {element["html"][:200]}' for rule in rules for element in rule['nodes']]

def overflow(page):
    "By how many pixels a page is wider than its window."
    return page.evaluate('document.documentElement.scrollWidth-innerWidth')
