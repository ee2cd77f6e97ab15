"The explorer in a real browser: the page from a server and from disk, and the widget in JupyterLab; clips play with picture and sound"
import functools, http.server, json, os, socket, subprocess, sys, threading, time, urllib.request
from collections import namedtuple
from urllib.parse import quote
import pandas as pd
import pytest
from conftest import root
from browser import browser_test, chromium, flags

pytestmark = pytest.mark.xdist_group('explorer')
hostile = '</script><img src=x onerror="document.title=\'hacked\'"><b>bold</b>'

@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "An index with a hostile title and one long video, whose second of three segments is like v0003; and its page"
    from mvrep.corpus.demo import make_demo
    from mvrep.explore.explorer import write_page
    from mvrep.index.indexing import tiny_index
    from mvrep.media.segments import Segment
    tmp = tmp_path_factory.mktemp('explorer')
    index = tiny_index(tmp)
    index.put_videos(index.videos.iloc[:1].assign(title=hostile).reset_index())
    index.put_videos(pd.DataFrame([dict(video_id='v0012', path=make_demo(tmp/'long', 1, 24.).path[0], title='A long one', duration=24.)]))
    encoder,done = namedtuple('encoder', 'column made_by'), index.store.done().iloc[0]
    index.store.put('v0012', [Segment(i, 9.*i, 5.) for i in range(3)], 'long', {encoder(c, done[f'{c}_made_by']): index.store.read(c, ['v0002', 'v0003', 'v0004'])[1] for c in index.build.columns.values()})
    index.make_build(refit=False)
    return index, write_page(index, tmp/'site')

@pytest.fixture(scope='module')
def browser():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=chromium, args=flags)
        yield b
        b.close()

def watched(browser, ours):
    "A page that remembers errors, and requests to anywhere else"
    page = browser.new_page(viewport=dict(width=1200, height=900))
    page.wrong = []
    page.on('console', lambda m: m.type=='error' and page.wrong.append(m.text))
    page.on('pageerror', lambda e: page.wrong.append(str(e)))
    page.on('request', lambda r: r.url.startswith((*ours, 'data:', 'blob:')) or page.wrong.append(f'elsewhere: {r.url}'))
    return page

def until(page, js, arg=None, seconds=90):
    "Wait for a condition; `page.wait_for_function` would need eval, which the page forbids"
    end = time.monotonic()+seconds
    while not (got := page.evaluate(js, arg)):
        if time.monotonic()>end: pytest.fail(f'not in {seconds} s: {js}; status: {page.evaluate("document.querySelector(`.mvx-status`)?.textContent")}; wrong: {page.wrong}')
        time.sleep(.05)
    return got

mvx = "(r => {})(document.querySelector('.mvx'))"
js = lambda body: mvx.replace('{}', body)
long = lambda seconds: f'Math.abs(r.mvx.music.duration-{seconds})<.3'
together = js("(r.mvx.video.ended && void r.mvx.video.play(), !r.mvx.music.paused && Math.abs((r.mvx.video.currentTime-r.mvx.swapped.a)-(r.mvx.music.currentTime-r.mvx.swapped.b))<.25)")
sounds = 'm => m.currentTime>.2 && m.webkitAudioDecodedByteCount>0 && !m.error'

def click(page, point):
    page.evaluate("document.querySelector('.mvx').scrollIntoView({block: 'start', behavior: 'instant'})")
    page.mouse.click(*page.evaluate(f"o => {js('r.mvx.px(r.mvx.at(o))')}", point))

def tour(page, n=13):
    "Click, hear, swap, back, filter, search, lasso, keys: alike on the page and in the notebook; of 13 videos the last is the long one"
    until(page, js(f'r && +r.dataset.drawn==={n}'))
    click(page, 'v0003')
    until(page, js(f"r.dataset.playing==='v0003' && ({sounds})(r.mvx.video) && r.mvx.video.webkitVideoDecodedByteCount>0 && !r.mvx.video.muted"))
    swap = '.mvx-near li:first-child button:nth-of-type(2)'
    if n==13:
        until(page, js("r.dataset.near?.startsWith('v0012 ')"))
        page.click(swap) # its music under this picture, from its second segment on
        until(page, js(f"r.mvx.swapped?.id==='v0012' && r.mvx.swapped.start===9 && {long(10)} && ({sounds})(r.mvx.music) && r.mvx.video.muted && r.dataset.playing==='v0003'"))
        until(page, together)
        assert page.evaluate(js("[...r.querySelectorAll('.mvx-swap option')].map(o => o.text).join()"))=='from 0:00,from 0:09 (most alike),from 0:18'
        page.select_option('.mvx-swap select', index=2) # another segment of the music: the clip of the last six seconds
        until(page, js(f"r.mvx.swapped?.start===18 && {long(6)} && r.mvx.music.currentTime>.2"))
        until(page, together)
    else:
        page.click(swap)
        until(page, js(f"r.mvx.swapped && ({sounds})(r.mvx.music) && r.mvx.video.muted && r.dataset.playing==='v0003'"))
        until(page, together)
    page.click('.mvx-swap button:last-child') # back
    until(page, js('!r.mvx.swapped && r.mvx.music.paused && !r.mvx.video.muted'))
    page.click('.mvx-tabs button:first-child')
    until(page, js("r.querySelector('.mvx-tabs button').ariaPressed==='true' && r.dataset.near"))
    page.click('.mvx-legend button:first-child') # hide the first genre
    until(page, js(f"+r.dataset.shown==={n}-+r.querySelector('.mvx-legend small').textContent"))
    page.click('.mvx-bar button:nth-of-type(2)') # show all
    until(page, js(f"+r.dataset.shown==={n}"))
    page.fill('.mvx input', 'v0003')
    until(page, js(f"+r.dataset.shown===1 && r.querySelector('.mvx-status').textContent==='1 of {n} shown'"))
    page.fill('.mvx input', '')
    x,y = page.evaluate(js("r.mvx.px(r.mvx.at('v0003'))"))
    page.click('.mvx-bar button:nth-of-type(1)') # lasso
    page.mouse.move(x-14, y-14)
    page.mouse.down()
    for dx,dy in ((14, -14), (14, 14), (-14, 14), (-14, -10)): page.mouse.move(x+dx, y+dy, steps=3)
    page.mouse.up()
    until(page, js(f"+r.dataset.shown>=1 && +r.dataset.shown<{n}"))
    assert 'v0003' in page.evaluate(js("[...r.querySelectorAll('.mvx-list button[aria-current=true]')].length ? 'v0003' : ''"))
    page.focus('.mvx canvas[tabindex]')
    page.keyboard.press('Escape')
    until(page, js(f"+r.dataset.shown==={n}"))
    page.keyboard.press('l') # the lasso by key: around the chosen point, and wider
    until(page, js(f"+r.dataset.shown>=1 && +r.dataset.shown<{n} && r.querySelectorAll('.mvx-list button[aria-current=true]').length===1"))
    while page.evaluate(js("+r.dataset.shown"))<n: page.keyboard.press('l')
    page.keyboard.press('Escape')
    for o in ('ArrowLeft', 'ArrowUp', 'ArrowDown', 'ArrowRight', 'ArrowLeft'): page.keyboard.press(o)
    page.keyboard.press('Enter')
    until(page, js("r.dataset.playing && r.dataset.playing!=='v0003'"))

def serve(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return s

@browser_test
def test_page_from_a_server(made, browser):
    s = serve(made[1].parent)
    base = f'http://127.0.0.1:{s.server_port}/'
    page = watched(browser, [base])
    page.goto(base+'index.html')
    tour(page)
    page.click('.mvx-list button >> nth=0') # the hostile title is a title
    until(page, js("r.querySelector('h3').textContent.includes('<b>bold</b>')"))
    view = json.dumps(dict(level='segment', selected='v0005_0', text='v0005', color='mood', lasso='nonsense'))
    page.goto('about:blank')
    page.goto(f'{base}index.html#{quote(view)}')
    until(page, js("r && r.dataset.near && +r.dataset.shown===1 && r.querySelectorAll('select')[1].value==='segment'"))
    link = lambda **view: page.evaluate('o => { location.hash = o }', quote(json.dumps(view)))
    link(selected='v0003', swap=dict(id='v0012', at=0, start=9)) # says whose picture it is
    until(page, js("r.mvx.swapped?.id==='v0012' && +r.dataset.shown===13"))
    title = made[0].videos.title['v0003']
    assert page.evaluate(js("[r.querySelector('h3').textContent, r.mvx.video.ariaLabel]"))==[title, f'Player: {title}']
    link(selected='v0004', swap=dict(id='gone', at=0, start=0)) # plays with its own music
    until(page, js("r.dataset.playing==='v0004' && !r.mvx.swapped && !r.mvx.video.muted"))
    page.goto('about:blank')
    page.goto(f'{base}index.html#%7Bbroken')
    until(page, js("r && +r.dataset.shown===13"))
    assert page.title()=='mvrep explorer' and page.wrong==[]
    page.close()
    s.shutdown()

@browser_test
def test_page_from_disk(made, browser):
    page = watched(browser, [made[1].parent.as_uri()])
    page.goto(made[1].as_uri())
    until(page, js('r && +r.dataset.drawn===13'))
    click(page, 'v0007')
    until(page, js(f"r.dataset.playing==='v0007' && ({sounds})(r.mvx.video)"))
    assert page.wrong==[]
    page.set_viewport_size(dict(width=390, height=800))
    assert page.evaluate('document.documentElement.scrollWidth')<=390
    page.close()

@browser_test
def test_more_points_than_a_list_holds(tmp_path, browser, monkeypatch):
    "The page that is timed, with few points: the list goes on as long as there are any"
    monkeypatch.syspath_prepend(root/'bench')
    from explorer import made_up
    from mvrep.explore.explorer import render_page
    media,levels = made_up(250)
    (tmp_path/'index.html').write_text(render_page({k: o() for k,o in levels.items()}, media, 'joint'), encoding='utf-8')
    page = watched(browser, [tmp_path.as_uri()])
    page.goto((tmp_path/'index.html').as_uri())
    until(page, js('r && +r.dataset.drawn===250'))
    for n,first in ((200, '100'), (250, '200')):
        page.click('.mvx-list li:last-child button')
        until(page, js(f"r.querySelectorAll('.mvx-list [data-i]').length==={n}"))
        assert page.evaluate("document.activeElement.dataset.i")==first
    assert page.evaluate(js("r.querySelectorAll('.mvx-list button').length"))==250
    page.click('.mvx-list li:first-child button')
    until(page, js("r.dataset.near.split(' ').length===6"))
    failed = "r.querySelector('.mvx-status').textContent==='Made up 0: this browser cannot play the clip'"
    until(page, js(failed)) # it is not there
    page.click('.mvx-list li:first-child button')
    until(page, js(failed)) # nor the second time
    page.close()

@pytest.fixture(scope='module')
def lab(made, tmp_path_factory):
    "JupyterLab on loopback with homes of its own, and a notebook that shows the explorer"
    home, token = tmp_path_factory.mktemp('lab'), os.urandom(8).hex()
    code = f'from mvrep.index.index import Index\nfrom mvrep.explore.explorer import Explorer\nex = Explorer(Index({str(made[0].folder)!r}))\nex'
    cell = dict(cell_type='code', id='a', metadata={}, source=code, outputs=[], execution_count=None)
    (home/'work').mkdir()
    (home/'work'/'x.ipynb').write_text(json.dumps(dict(cells=[cell], metadata=dict(kernelspec=dict(name='python3', display_name='Python 3')), nbformat=4, nbformat_minor=5)))
    settings = home/'settings'/'@jupyterlab'/'apputils-extension'
    settings.mkdir(parents=True)
    (settings/'notification.jupyterlab-settings').write_text('{"fetchNews": "false", "checkForUpdates": false}')
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    env = dict(os.environ, OMP_NUM_THREADS='1', JUPYTERLAB_SETTINGS_DIR=str(home/'settings'), JUPYTERLAB_WORKSPACES_DIR=str(home/'workspaces'), IPYTHONDIR=str(home/'ipython'),
        **{f'JUPYTER_{o}_DIR': str(home/o) for o in ('CONFIG', 'DATA', 'RUNTIME')})
    with open(home/'log', 'w') as log:
        server = subprocess.Popen([sys.executable, '-m', 'jupyterlab', '--no-browser', '--ip=127.0.0.1', f'--port={port}', '--ServerApp.port_retries=0', '--allow-root', '--expose-app-in-browser', '--JupyterNotebookApp.expose_app_in_browser=True',
            f'--IdentityProvider.token={token}', f'--ServerApp.root_dir={home}/work'], env=env, stdout=log, stderr=subprocess.STDOUT)
    base, end = f'http://127.0.0.1:{port}/', time.monotonic()+120
    while True:
        try: urllib.request.urlopen(f'{base}api?token={token}', timeout=5).close(); break
        except OSError:
            if server.poll() is not None or time.monotonic()>end: pytest.fail((home/'log').read_text()[-3000:])
            time.sleep(.2)
    yield base, token, home
    server.terminate()
    try: server.wait(20)
    except subprocess.TimeoutExpired: server.kill()

run_cells = """async () => { const app = window.jupyterapp, w = app.shell.currentWidget, s = w.sessionContext;
    await w.context.ready; await s.ready; await s.session.kernel.info;
    await app.commands.execute('notebook:run-all-cells') }"""
ask_kernel = """async code => { const f = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({code, store_history: false}); let out = '';
    f.onIOPub = m => { out += m.content.text || m.content.evalue || '' }; await f.done; return out.trim() }"""

@browser_test
@pytest.mark.parametrize('where', ['lab/tree', 'notebooks'])
def test_widget(lab, browser, where):
    "In JupyterLab 4 and in Notebook 7"
    base,token,_ = lab
    page = watched(browser, [base])
    page.goto(f'{base}{where}/x.ipynb?token={token}')
    until(page, "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status==='idle' && !!document.querySelector('.jp-Notebook .jp-Cell')", seconds=60)
    page.evaluate(run_cells)
    until(page, js('r && +r.dataset.drawn===13'), seconds=60)
    tour(page)
    kernel = lambda code: page.evaluate(ask_kernel, code)
    end = time.monotonic()+30
    while kernel('print(ex.selected)')!=page.evaluate(js('r.dataset.playing')): assert time.monotonic()<end # what is clicked, the kernel hears of
    assert int(kernel('print(len(ex.search("v0003")))'))==1 # the kernel's turn: what a method does, the map shows
    until(page, js('+r.dataset.shown===1'))
    assert kernel("ex.search(''); ex.select('v0007'); print(ex.swap('v0002')['id'])")=='v0002'
    until(page, js("r.mvx.swapped?.id==='v0002' && r.dataset.playing==='v0007'"))
    assert int(kernel("ex.view('segment'); print(ex.info['n'])"))==15
    until(page, js("r.querySelectorAll('select')[1].value==='segment' && +r.dataset.drawn===15"))
    click(page, 'v0007_0')
    until(page, js(f"r.dataset.playing==='v0007_0' && ({sounds})(r.mvx.video)"))
    assert [o for o in page.wrong if 'explorer' in o or 'elsewhere' in o or 'anywidget' in o]==[]
    page.close()

def test_the_protocol_alone(made, lab):
    "What any front-end does, VS Code's notebooks too: it reads the view and the model from messages, asks, and tells"
    from jupyter_client.blocking import BlockingKernelClient
    base,token,home = lab # the notebook's kernel if it runs, otherwise a new one
    session = json.dumps(dict(path='x.ipynb', name='', type='notebook', kernel=dict(name='python3'))).encode()
    with urllib.request.urlopen(urllib.request.Request(f'{base}api/sessions', session, {'Authorization': f'token {token}'}), timeout=60) as o: kernel = json.load(o)['kernel']['id']
    client = BlockingKernelClient(connection_file=str(home/'RUNTIME'/f'kernel-{kernel}.json'))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        heard = []
        def run(code):
            r = client.execute_interactive(code, timeout=120, output_hook=heard.append)
            assert r['content']['status']=='ok', r['content']
            return ''.join(o['content']['text'] for o in heard if o['header']['msg_type']=='stream')
        run(f'from mvrep.index.index import Index\nfrom mvrep.explore.explorer import Explorer\nex = Explorer(Index({str(made[0].folder)!r}))\nex')
        view = next(o['content']['data'] for o in heard if 'data' in o['content'] and 'application/vnd.jupyter.widget-view+json' in o['content']['data'])
        model = view['application/vnd.jupyter.widget-view+json']['model_id']
        opened = next(o for o in heard if o['header']['msg_type']=='comm_open' and o['content']['comm_id']==model)
        state = opened['content']['data']['state']
        assert (state['_view_module'], state['_model_module'], state['info']['n'])==('anywidget', 'anywidget', 13) and 'text/plain' in view
        assert sorted(p[0] for p in opened['content']['data']['buffer_paths'])==['codes', 'text', 'xy'] and len(opened['buffers'][opened['content']['data']['buffer_paths'].index(['xy'])])==13*8
        def tell(**data): client.shell_channel.send(client.session.msg('comm_msg', dict(comm_id=model, data=data)))
        def ask(**content):
            tell(method='custom', content=dict(content, key=7))
            while True:
                m = client.get_iopub_msg(timeout=120)
                if m['header']['msg_type']=='comm_msg' and m['content']['data']['method']=='custom': return m['content']['data']['content'], m['buffers']
        near = ask(kind='near', id='v0003', by='audio')[0]
        assert near['key']==7 and len(near['rows'])>=5 and 'v0003' not in [o['id'] for o in near['rows']]
        said,clip = ask(kind='clip', id='v0003')
        assert bytes(clip[0])[4:8]==b'ftyp' and said['offset']>=0
        assert ask(kind='clip', id='../../etc/passwd')[0]['error']
        tell(method='update', state=dict(state=dict(state['state'], selected='v0005')), buffer_paths=[])
        heard.clear()
        assert run('print(ex.selected)').strip()=='v0005'
    finally: client.stop_channels()
