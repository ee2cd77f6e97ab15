"The page over an index: a real server process, a real browser, hostile titles and files, and fifty clients at once"
import asyncio, os, random, re, shutil, signal, socket, subprocess, sys, tempfile
from pathlib import Path
import httpx
import psutil
import pytest
from browser import browser_test, chromium, flags

pytestmark = pytest.mark.xdist_group('app')
HOSTILE = ['<img src=x onerror="document.title=\'hacked\'">', '</script><script>document.title="hacked"</script>', '"><svg onload=alert(1)>', "';--{{7*7}}\u202e"]

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Twelve videos: hostile metadata, an id that looks like a path, a file that is gone"
    from mvrep.index.indexing import tiny_index
    ix = tiny_index(tmp_path_factory.mktemp('app'))
    v = ix.videos.reset_index()
    v.loc[1:4, 'title'] = HOSTILE
    v.loc[1:4, 'artist'] = HOSTILE[::-1]
    v.loc[5, 'path'] = '/nowhere/gone.mp4'
    ix.put_videos(v)
    ix.make_build() # so that going back to it brings these
    return ix.folder

@pytest.fixture(scope='module')
def base(folder):
    "A server process on a port of its own; nothing is said on its standard error, and it ends when told to"
    p = subprocess.Popen([sys.executable, '-c', 'from mvrep.cli.main import main; main()', 'app', str(folder), '--port', '0', '--no-browser'],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONUNBUFFERED='1'))
    line = p.stdout.readline()
    assert line.startswith('http://127.0.0.1:'), line+p.stderr.read()
    yield line.split()[0].rstrip('/')
    p.send_signal(signal.SIGINT)
    _,errs = p.communicate(timeout=60)
    assert 'Traceback' not in errs, errs[-3000:]

def videos(base): return httpx.get(f'{base}/api/videos', params=dict(q='')).json()['videos']

def test_media_by_id_in_parts(base, folder):
    from mvrep.index.index import Index
    ix = Index(folder)
    v = ix.build.video_ids[0]
    body = Path(ix.videos.path[v]).read_bytes()
    get = lambda r=None, **k: httpx.get(f'{base}/media', params=dict(id=v, **k), headers={'Range': r} if r else {})
    whole = get()
    assert whole.content==body and whole.headers['accept-ranges']=='bytes'
    for a,b in ((0, 0), (5, 70_000), (len(body)-3, len(body)-1)):
        r = get(f'bytes={a}-{b}')
        assert (r.status_code, r.content)==(206, body[a:b+1]) and r.headers['content-range']==f'bytes {a}-{b}/{len(body)}'
    assert get('bytes=-10').content==body[-10:]
    assert get(f'bytes={len(body)+5}-').status_code==416
    two = get('bytes=0-9,100-109')
    assert two.status_code==206 and body[:10] in two.content and body[100:110] in two.content
    assert httpx.head(f'{base}/media', params=dict(id=v)).headers['content-length']==str(len(body))
    gone = httpx.get(f'{base}/media', params=dict(id=ix.build.video_ids[5]))
    assert gone.status_code==410 and 'not any more' in gone.json()['error'] and '/nowhere' not in gone.text
    for o in ('../../../etc/passwd', '/etc/passwd', ix.videos.path[v], 'file:///etc/passwd', '\0', 'x'*5000):
        r = httpx.get(f'{base}/media', params=dict(id=o))
        assert r.status_code==404 and 'no such video' in r.json()['error']

def test_only_this_page_on_this_computer(base):
    port = base.rsplit(':', 1)[1]
    for host in ('evil.example', f'evil.example:{port}', '127.0.0.1.evil.example', '0.0.0.0', '', f'[::1]:{port}'):
        assert httpx.get(f'{base}/api/videos', headers=dict(Host=host)).status_code in (400, 403), host
    assert httpx.get(f'{base}/', headers=dict(Host=f'localhost:{port}')).status_code==200
    for origin in ('http://evil.example', 'null', f'https://127.0.0.1:{port}', 'http://127.0.0.1:1'):
        assert httpx.post(f'{base}/api/drop', content=b'x', headers=dict(Origin=origin)).status_code==403, origin
    r = httpx.get(f'{base}/')
    csp = r.headers['content-security-policy']
    assert "default-src 'none'" in csp and 'unsafe' not in csp and 'http' not in csp and r.headers['x-content-type-options']=='nosniff'
    assert 'access-control-allow-origin' not in r.headers
    for o in re.findall(r'(?:src|href)="([^"]+)"', r.text): assert o=='data:,' or httpx.get(base+o).status_code==200, o
    assert {o.laddr.ip for o in psutil.net_connections('tcp') if o.status=='LISTEN' and o.laddr.port==int(port)}=={'127.0.0.1'}

def test_numbers_and_names_that_are_none(base):
    v = videos(base)[0]['id']
    for name,o in (('weight', 'nan'), ('weight', '2'), ('weight', ''), ('diversity', '-1'), ('diversity', 'inf')):
        r = httpx.get(f'{base}/api/similar', params={'id': v, name: o})
        assert (r.status_code, name in r.json()['error'])==(400, True)
    assert httpx.get(f'{base}/api/similar', params=dict(drop='nothing')).status_code==404
    assert httpx.get(f'{base}/api/nothing').json()['error'] and httpx.post(f'{base}/api/similar').status_code==405
    a,b = (httpx.get(f'{base}/api/similar', params=dict(id=v, diversity=d)).json()['results'] for d in (0, .9))
    assert len(a)==11 and [o['id'] for o in a]!=[o['id'] for o in b]

def test_files_from_outside(base, folder, tmp_path):
    "Good, bad and endless ones; an answer each, nothing left behind, and the server as before"
    from mvrep.index.index import Index
    ix = Index(folder)
    video = Path(ix.videos.path.iloc[0])
    left = lambda: {o.name for o in Path(tempfile.gettempdir()).glob('mvrep-drop-*')}
    before = left()
    bad = dict(empty=b'', text=b'#!/bin/sh\nrm -rf /\n'*20, cut=video.read_bytes()[:20000], noise=random.Random(0).randbytes(50000), playlist=b'#EXTM3U\n/etc/passwd\nhttp://evil.example/\n', html=b'<html><script>alert(1)</script>'*9)
    with httpx.Client(base_url=base, timeout=200) as c:
        for name,o in bad.items():
            r = c.post('/api/drop', content=o)
            assert r.status_code in (400, 422) and 15<len(r.json()['error'])<400 and 'Traceback' not in r.text, (name, r.text)
        r = c.post('/api/drop', files=dict(file=('x.mp4', video.read_bytes()))) # as `curl -F` does
        assert r.status_code==415 and '--data-binary' in r.json()['error'], r.text
        host,port = base[7:].split(':')
        with socket.create_connection((host, int(port)), timeout=30) as raw: # says that ten gigabytes are coming, and is told no before it sends them
            raw.sendall(f'POST /api/drop HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 10000000000\r\n\r\n'.encode())
            assert raw.recv(100).startswith(b'HTTP/1.1 413')
        said = c.post('/api/drop', content=video.read_bytes()).json()
        assert said['has_sound'] and said['has_picture']
        near = c.get('/api/similar', params=dict(drop=said['drop'])).json()['results']
        assert near[0]['id']==ix.build.video_ids[0] and near[0]['score']>.7 and len(near)==12 and near[0]['why'] # its own file, other segments of it
    assert left()==before

def test_too_large_while_it_comes(folder):
    "A body that does not say how long it is"
    from starlette.testclient import TestClient
    from mvrep.explore.app import make_app
    with TestClient(make_app(folder, max_upload=100_000), base_url='http://127.0.0.1') as c:
        r = c.post('/api/drop', content=(b'x'*10_000 for _ in range(20)))
        assert r.status_code==413 and 'larger than' in r.json()['error']

def test_fifty_clients_at_once(base):
    ids = [o['id'] for o in videos(base)]
    gone = httpx.get(f'{base}/media', params=dict(id=ids[5])).status_code
    assert gone==410
    async def client(c, i):
        luck,done = random.Random(i), 0
        for _ in range(2):
            v = luck.choice(ids[:5]+ids[6:])
            a = await c.get('/api/videos', params=dict(q=luck.choice(['', 'e', 'the', 'hip hop'])))
            b = await c.get('/api/similar', params=dict(id=v, weight=luck.random(), diversity=luck.choice([0, .5])))
            m = await c.get('/media', params=dict(id=v), headers=dict(Range=f'bytes={luck.randrange(9999)}-'))
            assert (a.status_code, b.status_code, m.status_code)==(200, 200, 206), (a.text[:200], b.text[:200], m.status_code)
            assert len(b.json()['results'])==11 and v not in {o['id'] for o in b.json()['results']}
            done += 3
        return done
    async def all_():
        async with httpx.AsyncClient(base_url=base, timeout=300, limits=httpx.Limits(max_connections=50)) as c: return await asyncio.gather(*(client(c, i) for i in range(50)))
    assert sum(asyncio.run(all_()))==300

def test_a_new_build_is_noticed(base, folder):
    from mvrep.index.index import Index
    ix = Index(folder)
    ix.remove([ix.build.video_ids[-1]])
    assert httpx.get(f'{base}/api/videos', params=dict(q='')).json()['n']==11
    ix.rollback()
    assert httpx.get(f'{base}/api/videos', params=dict(q='')).json()['n']==12

def until(page, says, arg=None, seconds=60):
    "Wait for an expression to be true; `wait_for_function` needs an eval, which the page's policy forbids"
    code = f'x => {{ const n = x; return !!({says[5:]}) }}' if says.startswith('n => ') else f'() => !!({says})'
    for _ in range(10*seconds):
        if page.evaluate(code, arg): return
        page.wait_for_timeout(100)
    raise AssertionError(f'never true: {says}')

@browser_test
def test_in_a_browser(base, folder, tmp_path):
    from playwright.sync_api import sync_playwright
    from mvrep.index.index import Index
    ix = Index(folder)
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=[*flags, '--autoplay-policy=no-user-gesture-required'])
        page, wrong, asked = browser.new_page(viewport=dict(width=1360, height=900)), [], []
        page.set_default_timeout(60000)
        page.on('console', lambda m: wrong.append(m.text) if m.type in ('error', 'warning') and '410' not in m.text else None)
        page.on('pageerror', lambda e: wrong.append(str(e)))
        page.on('request', lambda r: None if r.url.startswith((base, 'data:', 'blob:')) else asked.append(r.url))
        page.goto(base)
        page.wait_for_selector('#some button')
        page.click('h1') # out of the search box, which has the focus at first
        page.keyboard.press('/')
        page.keyboard.type(ix.videos.title.iloc[0][:9])
        page.wait_for_selector('#found button')
        page.keyboard.press('ArrowDown')
        page.keyboard.press('Enter')
        until(page, "document.querySelectorAll('#list li').length==11")
        assert page.inner_text('#title')==ix.videos.title.iloc[0]
        plays = "(v => !v.paused && v.currentTime>.1 && v.webkitAudioDecodedByteCount>0)(document.getElementById('picture'))"
        until(page, plays)
        names = page.eval_on_selector_all('#list .name', 'all => all.map(o => o.textContent)')
        assert set(HOSTILE)<=set(names) and page.locator('#list img, #list svg, #list script').count()==0
        assert 'not any more' in page.inner_text('.gone:not([hidden])')
        if shot := os.environ.get('MVREP_SHOTS'): page.wait_for_timeout(1500); page.screenshot(path=f'{shot}/app.png')

        page.click('#list li:has(.why button) .why button') # the two moments, one after the other
        until(page, "[...document.querySelectorAll('#list video')].some(v => !v.paused && v.currentTime>0) && document.getElementById('picture').paused")

        card = page.locator('#list li:not(:has(.gone:not([hidden])))').first
        other = card.locator('.name').inner_text()
        card.locator('.take-sound').click()
        until(page, "(a => !a.paused && a.currentTime>0)(document.getElementById('sound')) && document.getElementById('picture').muted")
        assert other in page.inner_text('#pair')
        page.wait_for_timeout(700)
        drift = page.evaluate("Math.abs(document.getElementById('sound').currentTime-wanted())")
        assert drift<.5, drift
        page.click('#turn')
        until(page, "n => document.getElementById('pair').textContent.startsWith(`Picture: ${n}`)", arg=other)
        if shot: page.wait_for_timeout(800); page.screenshot(path=f'{shot}/swap.png')
        page.click('#back')
        until(page, "document.getElementById('sound').paused && !document.getElementById('picture').muted")

        page.fill('#weight', '1')
        until(page, "!document.getElementById('list').classList.contains('old')")
        card.locator('.name').click() # a neighbour becomes what is looked at
        until(page, "n => document.getElementById('title').textContent==n", arg=other)
        until(page, plays)

        shutil.copy(ix.videos.path.iloc[0], tmp_path/'brought <b>.mp4')
        page.set_input_files('#file', tmp_path/'brought <b>.mp4')
        until(page, "document.getElementById('title').textContent=='brought <b>.mp4'")
        until(page, plays)
        assert page.inner_text('#list li:first-child .name')==ix.videos.title.iloc[0]
        page.evaluate('''() => { // let go over the page
            const d = new DataTransfer()
            d.items.add(new File(['no video'], 'bad.mp4'))
            document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: d, bubbles: true, cancelable: true}))
        }''')
        until(page, "document.getElementById('status').textContent.includes('cannot be used')")
        wrong = [o for o in wrong if '422' not in o]
        page.set_viewport_size(dict(width=390, height=800))
        assert page.evaluate('document.documentElement.scrollWidth')<=390
        if shot: page.screenshot(path=f'{shot}/phone.png', full_page=False)
        assert 'hacked' not in page.title() and wrong==[] and asked==[], (wrong, asked)
        browser.close()
