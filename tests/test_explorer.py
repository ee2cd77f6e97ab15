"""The explorer in a browser: the page from a server and from disk, and the widget in JupyterLab and Notebook.

Clips play with video and audio, audio is swapped and stays together with the video, and everything that the controls,
the lasso and the keys do is what a method of `Explorer` does, too."""
import functools
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import namedtuple
from dataclasses import replace
from urllib.parse import quote
import pandas as pd
import pytest
from conftest import root
from browser import accessibility_violations, browser_test, without_visible_focus

pytestmark = pytest.mark.xdist_group('explorer')
HOSTILE = '</script><img src=x onerror="document.title=\'hacked\'"><b>bold</b>'
Made = namedtuple('Made', 'index page')

@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "An index with a hostile title and one long video, whose second of three segments is like v0003; and its page"
    from mvrep.corpus.demo import make_demo
    from mvrep.explore.static_page import write_page
    from mvrep.index.examples import tiny_index
    from mvrep.media.segments import Segment
    tmp = tmp_path_factory.mktemp('explorer')
    index = tiny_index(tmp)
    hostile = {name: HOSTILE for name in ('title', 'artist', 'mood', 'emotion', 'origin')}
    index.put_videos(index.videos.iloc[:1].assign(**hostile).reset_index())
    long_video = dict(video_id='v0012', path=make_demo(tmp/'long', 1, 24.).path[0], title='A long one', duration=24.)
    index.put_videos(pd.DataFrame([long_video]))
    encoder, done = namedtuple('Encoder', 'column made_by'), index.store.done().iloc[0]
    feats = {encoder(column, done[f'{column}_made_by']): index.store.read(column, ['v0002', 'v0003', 'v0004'])[1]
             for column in index.build.columns.values()}
    index.store.put('v0012', [Segment(i, 9.*i, 5.) for i in range(3)], 'long', feats)
    index.make_build(refit=False)
    return Made(index, write_page(index, tmp/'site'))

def watched_page(browser, *own_addresses, **options):
    "A page that remembers errors, and requests to other addresses, in `wrong`"
    page = browser.new_page(**dict(viewport=dict(width=1200, height=900))|options)
    page.wrong = []
    page.on('console', lambda m: m.type=='error' and page.wrong.append(m.text))
    page.on('pageerror', lambda e: page.wrong.append(str(e)))
    def check(request):
        if request.url.startswith((*own_addresses, 'data:', 'blob:')): return
        page.wrong.append(f'elsewhere: {request.url}')
    page.on('request', check)
    return page

STATUS = "document.querySelector('.mvx-status')?.textContent"

def until(page, js, arg=None, seconds=90):
    "Wait for a condition; `page.wait_for_function` would need eval, which the page forbids"
    end = time.monotonic()+seconds
    while not (found := page.evaluate(js, arg)):
        if time.monotonic()>end:
            pytest.fail(f'not in {seconds} s: {js}; status: {page.evaluate(STATUS)}; wrong: {page.wrong}')
        time.sleep(.05)
    return found

def of_root(body):
    "JavaScript about `r`, the root element of the explorer"
    return f"(r => {body})(document.querySelector('.mvx'))"

PLAYS = 'm => m.currentTime>.2 && m.webkitAudioDecodedByteCount>0 && !m.error' # with audio
TOGETHER = of_root("""(r.mvx.video.ended && void r.mvx.video.play(), !r.mvx.audio.paused && Math.abs(
    (r.mvx.video.currentTime-r.mvx.swapped.videoOffset)-(r.mvx.audio.currentTime-r.mvx.swapped.audioOffset))<.25)""")

def audio_lasts(seconds): return f'Math.abs(r.mvx.audio.duration-{seconds})<.3'

def text_of(page, selector): return page.evaluate('o => document.querySelector(o).textContent', selector)

def click_point(page, point):
    page.evaluate("document.querySelector('.mvx').scrollIntoView({block: 'start', behavior: 'instant'})")
    page.mouse.click(*page.evaluate(f'o => {of_root("r.mvx.px(r.mvx.at(o))")}', point))

# A tour of everything, the same on the page and in a notebook

def play_and_swap(page):
    "Click a point to play it, and play the audio of its first neighbour with its video"
    click_point(page, 'v0003')
    until(page, of_root(f"""r.dataset.playing==='v0003' && ({PLAYS})(r.mvx.video) && !r.mvx.video.muted
        && r.mvx.video.webkitVideoDecodedByteCount>0"""))
    until(page, of_root('r.dataset.near'))
    page.click('.mvx-near li:first-child button:nth-of-type(2)')
    until(page, of_root(f"""r.mvx.swapped && ({PLAYS})(r.mvx.audio) && r.mvx.video.muted
        && r.dataset.playing==='v0003'"""))
    until(page, TOGETHER)

def choose_segment_of_audio(page):
    "The audio comes from the second segment of the long video; then from its third, the clip of the last six seconds"
    assert page.evaluate(of_root(f"r.mvx.swapped.id==='v0012' && r.mvx.swapped.audio_start===9 && {audio_lasts(10)}"))
    options = page.evaluate(of_root("[...r.querySelectorAll('.mvx-swap option')].map(o => o.text)"))
    assert options==['from 0:00', 'from 0:09 (most similar)', 'from 0:18']
    page.select_option('.mvx-swap select', index=2)
    until(page, of_root(f"r.mvx.swapped?.audio_start===18 && {audio_lasts(6)} && r.mvx.audio.currentTime>.2"))
    until(page, TOGETHER)

def use_filters(page, n):
    "Legend, search and lasso"
    page.click('.mvx-tabs button:first-child')
    until(page, of_root("r.querySelector('.mvx-tabs button').ariaPressed==='true' && r.dataset.near"))
    page.click('.mvx-legend button:first-child') # hide the first genre
    until(page, of_root(f"+r.dataset.shown==={n}-+r.querySelector('.mvx-legend small').textContent"))
    page.click('.mvx-bar button:nth-of-type(2)') # show all
    until(page, of_root(f'+r.dataset.shown==={n}'))
    page.fill('.mvx input', 'v0003')
    status = f'1 of {n} points shown'
    until(page, of_root(f"+r.dataset.shown===1 && r.querySelector('.mvx-status').textContent==='{status}'"))
    page.fill('.mvx input', '')
    x, y = page.evaluate(of_root("r.mvx.px(r.mvx.at('v0003'))"))
    page.click('.mvx-bar button:nth-of-type(1)') # lasso
    page.mouse.move(x-14, y-14)
    page.mouse.down()
    for dx, dy in ((14, -14), (14, 14), (-14, 14), (-14, -10)): page.mouse.move(x+dx, y+dy, steps=3)
    page.mouse.up()
    until(page, of_root(f'+r.dataset.shown>=1 && +r.dataset.shown<{n}'))
    assert page.evaluate(of_root("r.querySelectorAll('.mvx-list button[aria-current=true]').length"))==1

def use_keys(page, n):
    "Escape, the lasso by key, arrows and Enter"
    page.focus('.mvx canvas[tabindex]')
    page.keyboard.press('Escape')
    until(page, of_root(f'+r.dataset.shown==={n}'))
    page.keyboard.press('l') # around the selected point, and wider
    until(page, of_root(f"""+r.dataset.shown>=1 && +r.dataset.shown<{n}
        && r.querySelectorAll('.mvx-list button[aria-current=true]').length===1"""))
    while page.evaluate(of_root('+r.dataset.shown'))<n: page.keyboard.press('l')
    page.keyboard.press('Escape')
    for key in ('ArrowLeft', 'ArrowUp', 'ArrowDown', 'ArrowRight', 'ArrowLeft'): page.keyboard.press(key)
    page.keyboard.press('Enter')
    until(page, of_root("r.dataset.playing && r.dataset.playing!=='v0003'"))

def tour(page, n=13):
    "Play, swap, filter and use keys; of 13 videos the last is the long one"
    until(page, of_root(f'r && +r.dataset.drawn==={n}'))
    play_and_swap(page)
    if n==13: choose_segment_of_audio(page)
    page.click('.mvx-swap button:last-child') # its own audio
    until(page, of_root('!r.mvx.swapped && r.mvx.audio.paused && !r.mvx.video.muted'))
    use_filters(page, n)
    use_keys(page, n)

# The page

@pytest.fixture
def server(made):
    "Address of the page on a server"
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    handler = functools.partial(Quiet, directory=str(made.page.parent))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}/'
        server.shutdown()

def open_view(page, address, **view):
    "Open the page at a view, as a shared link does"
    page.goto('about:blank')
    page.goto(f'{address}index.html#{quote(json.dumps(view))}')

@browser_test
def test_tour_of_the_page(browser, server):
    page = watched_page(browser, server)
    page.goto(f'{server}index.html')
    tour(page)
    page.click('.mvx-list button >> nth=0') # the hostile title is a title
    until(page, of_root("r.querySelector('h2').textContent.includes('<b>bold</b>')"))
    assert page.title()=='mvrep explorer' and page.wrong==[]
    page.close()

@browser_test
def test_links_to_views(made, browser, server):
    page = watched_page(browser, server)
    open_view(page, server, level='segment', selected='v0005_0', text='v0005', color='mood', lasso='nonsense')
    until(page, of_root("""r && r.dataset.near && +r.dataset.shown===1
        && r.querySelectorAll('select')[1].value==='segment'"""))
    def follow(**view): page.evaluate('o => { location.hash = o }', quote(json.dumps(view)))
    follow(selected='v0003', swap=dict(id='v0012', video_start=0, audio_start=9))
    until(page, of_root("r.mvx.swapped?.id==='v0012' && +r.dataset.shown===13"))
    title = made.index.videos.title['v0003']
    assert text_of(page, '.mvx h2')==title and page.get_attribute('.mvx video', 'aria-label')==f'Player: {title}'
    follow(selected='v0004', swap=dict(id='gone', video_start=0, audio_start=0)) # plays with its own audio
    until(page, of_root("r.dataset.playing==='v0004' && !r.mvx.swapped && !r.mvx.video.muted"))
    page.goto('about:blank')
    page.goto(f'{server}index.html#%7Bbroken')
    until(page, of_root('r && +r.dataset.shown===13'))
    assert page.wrong==[]
    page.close()

HAS_NO_FRAME = of_root("r.querySelector('h2').textContent==='Choose a point' && !r.mvx.video.getAttribute('src')")

def is_playing(video_id): return of_root(f"r.dataset.playing==='{video_id}' && !!r.mvx.video.getAttribute('src')")

@browser_test
def test_back_steps_through_selections(browser, server):
    page = watched_page(browser, server)
    page.goto(f'{server}index.html')
    until(page, of_root('r && +r.dataset.drawn===13'))
    assert page.evaluate(HAS_NO_FRAME)
    click_point(page, 'v0003')
    until(page, is_playing('v0003'))
    page.fill('.mvx input', 'v000')
    page.select_option('.mvx-bar select >> nth=0', 'mood')
    until(page, of_root('+r.dataset.shown===10'))
    click_point(page, 'v0007')
    until(page, is_playing('v0007'))
    page.fill('.mvx input', '')
    until(page, of_root('+r.dataset.shown===13'))
    page.go_back()
    until(page, is_playing('v0003'))
    until(page, of_root("+r.dataset.shown===10 && r.querySelector('select').value==='mood'"))
    page.select_option('.mvx-bar select >> nth=1', 'segment') # another map
    until(page, of_root('+r.dataset.drawn===15'))
    page.go_back()
    until(page, is_playing('v0003'))
    page.reload()
    until(page, is_playing('v0003'))
    until(page, of_root('+r.dataset.shown===10'))
    page.go_back()
    until(page, HAS_NO_FRAME)
    page.keyboard.press('Escape')
    open_view(page, server, selected='gone')
    until(page, of_root('r && +r.dataset.drawn===13'))
    assert page.evaluate(HAS_NO_FRAME) and page.wrong==[] and 'hacked' not in page.title()
    page.close()

@browser_test
def test_keys_after_a_click_on_a_button(browser, server):
    "They go to the map, and do not press the button again"
    page = watched_page(browser, server)
    page.goto(f'{server}index.html')
    until(page, of_root('r && +r.dataset.drawn===13'))
    for button in ('.mvx-zoom button:first-child', '.mvx-legend button:first-child', '.mvx-bar button:nth-of-type(2)'):
        page.click(button)
        assert page.evaluate("document.activeElement.matches('.mvx canvas[tabindex]')"), button
    page.keyboard.press('ArrowRight')
    page.keyboard.press('Enter')
    until(page, of_root('r.dataset.playing && r.dataset.near'))
    playing = page.evaluate(of_root('r.dataset.playing'))
    page.click('.mvx-tabs button:first-child')
    page.keyboard.press('Escape')
    until(page, HAS_NO_FRAME)
    page.fill('.mvx input', 'l+-0 ') # typed, not pressed
    assert page.evaluate(of_root("+r.dataset.shown")) in range(14) and page.input_value('.mvx input')=='l+-0 '
    page.fill('.mvx input', '')
    page.focus('.mvx-bar button:nth-of-type(1)') # reached by keys, the button keeps them
    page.keyboard.press('Space')
    assert page.evaluate("document.activeElement.ariaPressed")=='true' and playing
    page.keyboard.press('Escape')
    page.focus('.mvx input')
    assert without_visible_focus(page, 12)==[] and page.wrong==[]
    page.close()

@pytest.mark.parametrize('column', ['genre', 'artist', 'year', 'duration', 'tag:minor key'])
def test_colours_are_the_same_for_videos_and_segments(made, column):
    "The long video, which is one of thirteen, and three of fifteen segments; a map without some videos"
    from mvrep.explore.plots import color_points
    from mvrep.explore.points import Points
    videos, maps = made.index.videos, [Points(made.index, 'joint', level).map for level in ('video', 'segment')]
    colors = []
    for m in maps:
        coloring = color_points(videos, m, column)
        names = [(coloring.names[o], coloring.colors[o]) for o in coloring.codes]
        colors.append({video: name for video, name in zip(m.keys.video_id, names)})
    assert colors[0]==colors[1] and len(colors[0])==13
    few = replace(maps[0], keys=maps[0].keys.iloc[5:], xy=maps[0].xy[5:])
    coloring = color_points(videos, few, column)
    assert [coloring.names[o] for o in coloring.codes]==[colors[0][o][0] for o in few.keys.video_id]

def test_legends_are_the_same_for_videos_and_segments(made):
    from mvrep.explore.packing import pack_points
    from mvrep.explore.points import Points
    packed = [pack_points(made.index.videos, Points(made.index, 'joint', o).map) for o in ('video', 'segment')]
    assert packed[0]['info']['columns']==packed[1]['info']['columns']
    assert [len(o['codes'])%o['info']['n'] for o in packed]==[0, 0]

@browser_test
@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [390, 1200])
def test_the_page_is_accessible(browser, server, scheme, width):
    "While audio is swapped, a value is hidden and a search is on"
    page = watched_page(browser, server, color_scheme=scheme, viewport=dict(width=width, height=900))
    open_view(page, server, selected='v0003', swap=dict(id='v0012', video_start=0, audio_start=9), text='a')
    until(page, of_root("r.mvx.swapped?.id==='v0012' && r.dataset.near && +r.dataset.shown>0"))
    page.click('.mvx-legend button:first-child')
    until(page, of_root("r.querySelector('.mvx-legend button').ariaPressed==='false'"))
    assert accessibility_violations(page)==[]
    page.close()

@browser_test
def test_page_from_disk(made, browser):
    page = watched_page(browser, made.page.parent.as_uri())
    page.goto(made.page.as_uri())
    until(page, of_root('r && +r.dataset.drawn===13'))
    click_point(page, 'v0007')
    until(page, of_root(f"r.dataset.playing==='v0007' && ({PLAYS})(r.mvx.video)"))
    assert page.wrong==[]
    page.close()

IN_VIEW = of_root("""{ const { top, bottom, left, right, height } = r.mvx.video.getBoundingClientRect();
    return height>100 && top>=0 && bottom<=innerHeight && left>=0 && right<=innerWidth }""")

@browser_test
def test_a_phone_shows_the_video_that_a_click_plays(made, browser):
    "Without scrolling by hand, and also where the list was scrolled to"
    page = watched_page(browser, made.page.parent.as_uri(), viewport=dict(width=390, height=800), has_touch=True)
    page.goto(made.page.as_uri())
    until(page, of_root('r && +r.dataset.drawn===13'))
    assert page.evaluate('document.documentElement.scrollWidth')<=390
    place = page.evaluate(of_root("r.mvx.px(r.mvx.at('v0003'))"))
    page.touchscreen.tap(*place)
    until(page, of_root("r.dataset.playing==='v0003'"))
    assert page.evaluate(IN_VIEW)
    moved = page.evaluate(of_root("r.mvx.px(r.mvx.at('v0003'))"))
    assert abs(moved[1]-place[1])<2 # the map stays under the finger
    page.locator('.mvx-near li:last-child button').first.tap()
    until(page, of_root("r.dataset.playing && r.dataset.playing!=='v0003'"))
    assert page.evaluate(IN_VIEW) and page.wrong==[]
    page.close()

@browser_test
def test_more_points_than_a_list_holds(tmp_path, browser, monkeypatch):
    "The page that is timed, with few points: the list goes on as long as there are any"
    monkeypatch.syspath_prepend(root/'bench')
    from explorer import synthetic_page
    from mvrep.explore.static_page import render_page
    made_up = synthetic_page(250)
    levels = {level: made_up.level(level) for level in ('video', 'segment')}
    (tmp_path/'index.html').write_text(render_page(levels, made_up.clips, 'joint'), encoding='utf-8')
    page = watched_page(browser, tmp_path.as_uri())
    page.goto((tmp_path/'index.html').as_uri())
    until(page, of_root('r && +r.dataset.drawn===250'))
    for n, first in ((200, '100'), (250, '200')):
        page.click('.mvx-list li:last-child button')
        until(page, of_root(f"r.querySelectorAll('.mvx-list [data-row]').length==={n}"))
        assert page.evaluate('document.activeElement.dataset.row')==first
    assert page.evaluate(of_root("r.querySelectorAll('.mvx-list button').length"))==250
    page.click('.mvx-list li:first-child button')
    until(page, of_root("r.dataset.near.split(' ').length===6"))
    failed = f"{STATUS}==='Made up 0: this browser cannot play the clip'"
    until(page, failed) # it does not exist
    page.click('.mvx-list li:first-child button')
    until(page, failed) # nor the second time
    page.close()

# The widget

Lab = namedtuple('Lab', 'address token home')
NOTEBOOK = '''from mvrep.index.index import Index
from mvrep.explore.explorer import Explorer
ex = Explorer(Index({!r}))
ex'''

def write_notebook(path, code):
    cell = dict(cell_type='code', id='a', metadata={}, source=code, outputs=[], execution_count=None)
    metadata = dict(kernelspec=dict(name='python3', display_name='Python 3'))
    path.write_text(json.dumps(dict(cells=[cell], metadata=metadata, nbformat=4, nbformat_minor=5)))

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

def lab_environment(home):
    "Variables that keep JupyterLab in a folder, and off the network"
    settings = home/'settings'/'@jupyterlab'/'apputils-extension'
    settings.mkdir(parents=True)
    quiet = dict(fetchNews='false', checkForUpdates=False)
    (settings/'notification.jupyterlab-settings').write_text(json.dumps(quiet))
    folders = {f'JUPYTER_{o}_DIR': home/o for o in ('CONFIG', 'DATA', 'RUNTIME')}
    folders |= dict(JUPYTERLAB_SETTINGS_DIR=home/'settings', JUPYTERLAB_WORKSPACES_DIR=home/'workspaces')
    folders |= dict(IPYTHONDIR=home/'ipython')
    return dict(os.environ, OMP_NUM_THREADS='1', **{name: str(folder) for name, folder in folders.items()})

def wait_for_server(address, process, log, seconds=120):
    end = time.monotonic()+seconds
    while True:
        try: return urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            if process.poll() is not None or time.monotonic()>end: pytest.fail(log.read_text()[-3000:])
            time.sleep(.2)

@pytest.fixture(scope='module')
def lab(made, tmp_path_factory):
    "JupyterLab on loopback with homes of its own, and a notebook that shows the explorer"
    home = tmp_path_factory.mktemp('lab')
    token, port = os.urandom(8).hex(), free_port()
    (home/'work').mkdir()
    write_notebook(home/'work'/'x.ipynb', NOTEBOOK.format(str(made.index.folder)))
    options = ['--no-browser', '--ip=127.0.0.1', f'--port={port}', '--ServerApp.port_retries=0', '--allow-root',
               '--expose-app-in-browser', '--JupyterNotebookApp.expose_app_in_browser=True',
               f'--IdentityProvider.token={token}', f'--ServerApp.root_dir={home}/work']
    address, log = f'http://127.0.0.1:{port}/', home/'log'
    with open(log, 'w') as f:
        process = subprocess.Popen([sys.executable, '-m', 'jupyterlab', *options], env=lab_environment(home), stdout=f,
                                   stderr=subprocess.STDOUT)
    wait_for_server(f'{address}api?token={token}', process, log)
    yield Lab(address, token, home)
    process.terminate()
    try: process.wait(20)
    except subprocess.TimeoutExpired: process.kill()

RUN_CELLS = """async () => { const app = window.jupyterapp, w = app.shell.currentWidget, s = w.sessionContext;
    await w.context.ready; await s.ready; await s.session.kernel.info;
    await app.commands.execute('notebook:run-all-cells') }"""
ASK_KERNEL = """async code => { const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
    const future = kernel.requestExecute({code, store_history: false}); let out = '';
    future.onIOPub = m => { out += m.content.text || m.content.evalue || '' }; await future.done; return out.trim() }"""
IS_READY = """window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status==='idle'
    && !!document.querySelector('.jp-Notebook .jp-Cell')"""

@browser_test
@pytest.mark.parametrize('where', ['lab/tree', 'notebooks'])
def test_widget(lab, browser, where):
    "In JupyterLab 4 and in Notebook 7"
    page = watched_page(browser, lab.address)
    page.goto(f'{lab.address}{where}/x.ipynb?token={lab.token}')
    until(page, IS_READY, seconds=60)
    page.evaluate(RUN_CELLS)
    until(page, of_root('r && +r.dataset.drawn===13'), seconds=60)
    tour(page)
    def kernel(code): return page.evaluate(ASK_KERNEL, code)
    end = time.monotonic()+30
    while kernel('print(ex.selected)')!=page.evaluate(of_root('r.dataset.playing')): # the kernel knows of a click
        assert time.monotonic()<end
    check_methods(page, kernel)
    assert [o for o in page.wrong if 'explorer' in o or 'elsewhere' in o or 'anywidget' in o]==[]
    assert 'hacked' not in page.title() and page.locator('.mvx img, .mvx script').count()==0
    page.close()

def check_methods(page, kernel):
    "What a method does, the map shows"
    assert int(kernel('print(len(ex.search("v0003")))'))==1
    until(page, of_root('+r.dataset.shown===1'))
    assert kernel("ex.search(''); ex.select('v0007'); print(ex.swap('v0002')['id'])")=='v0002'
    until(page, of_root("r.mvx.swapped?.id==='v0002' && r.dataset.playing==='v0007'"))
    assert int(kernel("ex.view('segment'); print(ex.info['n'])"))==15
    until(page, of_root("r.querySelectorAll('select')[1].value==='segment' && +r.dataset.drawn===15"))
    click_point(page, 'v0007_0')
    until(page, of_root(f"r.dataset.playing==='v0007_0' && ({PLAYS})(r.mvx.video)"))

# The protocol, which any front-end follows, VS Code's notebooks too

class FrontEnd:
    "What a front-end does with a widget: run code, read its model, ask and tell"
    def __init__(self, client):
        self.client = client
        self.seen = [] # messages of the last `run`
        self.model = None # id of the widget's model

    def run(self, code):
        "What a piece of code prints"
        self.seen.clear()
        reply = self.client.execute_interactive(code, timeout=120, output_hook=self.seen.append)
        assert reply['content']['status']=='ok', reply['content']
        return ''.join(o['content']['text'] for o in self.seen if o['header']['msg_type']=='stream').strip()

    def message(self, kind): return next(o for o in self.seen if o['header']['msg_type']==kind)

    def tell(self, **data):
        message = self.client.session.msg('comm_msg', dict(comm_id=self.model, data=data))
        self.client.shell_channel.send(message)

    def ask(self, **content):
        "Content and buffers of the answer to a question"
        self.tell(method='custom', content=dict(content, key=7))
        while True:
            message = self.client.get_iopub_msg(timeout=120)
            data = message['content'].get('data', {})
            if message['header']['msg_type']=='comm_msg' and data['method']=='custom':
                return data['content'], message['buffers']

@pytest.fixture
def front_end(lab):
    "A client of the notebook's kernel if it runs, otherwise of a new one"
    from jupyter_client.blocking import BlockingKernelClient
    session = json.dumps(dict(path='x.ipynb', name='', type='notebook', kernel=dict(name='python3'))).encode()
    request = urllib.request.Request(f'{lab.address}api/sessions', session, {'Authorization': f'token {lab.token}'})
    with urllib.request.urlopen(request, timeout=60) as reply: kernel = json.load(reply)['kernel']['id']
    client = BlockingKernelClient(connection_file=str(lab.home/'RUNTIME'/f'kernel-{kernel}.json'))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield FrontEnd(client)
    finally: client.stop_channels()

def test_protocol(made, front_end):
    front_end.run(NOTEBOOK.format(str(made.index.folder)))
    shown = [o['content']['data'] for o in front_end.seen if 'data' in o['content']]
    view = next(o for o in shown if 'application/vnd.jupyter.widget-view+json' in o)
    front_end.model = view['application/vnd.jupyter.widget-view+json']['model_id']
    assert view['text/plain']=='Explorer(13 videos, by joint, coloured by genre)'
    opened = [o for o in front_end.seen if o['header']['msg_type']=='comm_open']
    opened = next(o for o in opened if o['content']['comm_id']==front_end.model)
    state, paths = opened['content']['data']['state'], opened['content']['data']['buffer_paths']
    assert (state['_view_module'], state['_model_module'], state['info']['n'])==('anywidget', 'anywidget', 13)
    assert sorted(path[0] for path in paths)==['codes', 'text', 'xy']
    assert len(opened['buffers'][paths.index(['xy'])])==13*8
    near, _ = front_end.ask(kind='near', id='v0003', by='audio')
    ids = [o['id'] for o in near['rows']]
    assert near['key']==7 and len(ids)>=5 and 'v0003' not in ids
    content, clip = front_end.ask(kind='clip', id='v0003')
    assert bytes(clip[0])[4:8]==b'ftyp' and content['offset']>=0
    assert front_end.ask(kind='clip', id='../../etc/passwd')[0]['error']
    front_end.tell(method='update', state=dict(state=dict(state['state'], selected='v0005')), buffer_paths=[])
    assert front_end.run('print(ex.selected)')=='v0005'
