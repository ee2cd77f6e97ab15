"The app: a real server process, a real browser, hostile titles and files, and fifty clients at the same time"
import asyncio
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
import httpx
import psutil
import pytest
from browser import accessibility_violations, browser_test, open_browser, without_visible_focus
from mvrep.explore.app import make_app
from mvrep.explore.connections import Limits
from mvrep.explore.catalogue import catalogue_version, find_videos, open_catalogue
from mvrep.recommendation.text_search import search
from mvrep.index.index import Index
from mvrep.index.examples import tiny_index
from mvrep.recommendation.neighbours import similar
from starlette.testclient import TestClient

pytestmark = pytest.mark.xdist_group('app')
HOSTILE = [
    '<img src=x onerror="document.title=\'hacked\'">', '</script><script>document.title="hacked"</script>',
    '"><svg onload=alert(1)>', "';--{{7*7}}\u202e"]
PATIENCE = 300 # Seconds a request may take: a test machine may be busy with other tests

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Twelve videos: hostile metadata, an id that looks like a path, a file that is gone"
    index = tiny_index(tmp_path_factory.mktemp('app'))
    videos = index.videos.reset_index()
    videos.loc[1:4, 'title'] = HOSTILE
    videos.loc[1:4, 'artist'] = HOSTILE[::-1]
    videos.loc[5, 'path'] = '/nowhere/gone.mp4'
    index.put_videos(videos)
    index.make_build() # a rollback returns to it
    return index.folder

@pytest.fixture(scope='module')
def index(folder): return Index(folder)

@pytest.fixture(scope='module')
def base(folder):
    "Address of a server process, which prints no traceback and ends on Ctrl-C"
    command = [sys.executable, '-c', 'from mvrep.cli.main import main; main()']
    server = subprocess.Popen(
        [*command, 'app', str(folder), '--port', '0', '--no-browser'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONUNBUFFERED='1'))
    line = server.stdout.readline()
    assert line.startswith('http://127.0.0.1:'), line+server.stderr.read()
    yield line.split()[0].rstrip('/')
    server.send_signal(signal.SIGINT)
    _, errors = server.communicate(timeout=120)
    assert 'Traceback' not in errors, errors[-3000:]

@pytest.fixture(scope='module')
def client(base):
    "A patient client of the server"
    with httpx.Client(base_url=base, timeout=PATIENCE) as client: yield client

def all_videos(client): return client.get('/api/videos', params=dict(q='')).json()['videos']

# Text search

def test_a_search_ignores_case_order_and_accents(index):
    catalogue, video_id = open_catalogue(index.folder), index.build.video_ids[0]
    title = index.videos.title[video_id]
    assert list(find_videos(catalogue, title.upper()).why)[0]==video_id
    reordered = find_videos(catalogue, ' '.join(reversed(title.split())))
    assert set(reordered.why)==set(find_videos(catalogue, title).why)
    assert find_videos(catalogue, '').n==12 and find_videos(catalogue, 'no such words').n==0

def test_the_app_finds_what_the_command_finds(client, index):
    answer = client.get('/api/videos', params=dict(q='piano, not metal')).json()
    found = search(index, 'piano, not metal', k=20)
    assert [(o['id'], o['why']) for o in answer['videos']]==list(found.why.items())
    assert 'tag `piano`' in answer['videos'][0]['why']

def test_a_query_of_unwanted_words_only_has_a_reason(client):
    answer = client.get('/api/videos', params=dict(q='xylophone, not')).json()
    assert answer['n']==0 and answer['videos']==[]

def test_new_metadata_changes_the_version(tmp_path):
    index = tiny_index(tmp_path)
    before = catalogue_version(index.folder)
    assert before==catalogue_version(index.folder)
    index.put_videos(index.videos.iloc[[4]].assign(title='Glósóli', tags=None).reset_index())
    catalogue = open_catalogue(index.folder)
    assert catalogue.version!=before and catalogue.version==catalogue_version(index.folder)
    assert list(find_videos(catalogue, 'GLOSOLI').why)==[index.build.video_ids[4]]

# Answers

def test_neighbours_are_those_of_the_library(client, index):
    video_id = index.build.video_ids[0]
    answer = client.get('/api/similar', params=dict(id=video_id)).json()['results']
    assert [o['id'] for o in answer]==list(similar(index, video_id, k=12)[0].index)
    assert sorted(o['modality'] for o in answer[0]['reasons'])==['audio', 'video']
    for weight, by in ((0, 'video'), (1, 'audio')):
        answer = client.get('/api/similar', params=dict(id=video_id, weight=weight)).json()['results']
        assert [o['id'] for o in answer]==list(similar(index, video_id, by, k=12)[0].index)

def test_media_by_id_in_parts(client, index):
    video_id = index.build.video_ids[0]
    body = Path(index.videos.path[video_id]).read_bytes()
    def get(part=None): return client.get('/media', params=dict(id=video_id), headers={'Range': part} if part else {})
    whole = get()
    assert whole.content==body and whole.headers['accept-ranges']=='bytes'
    for first, last in ((0, 0), (5, 70_000), (len(body)-3, len(body)-1)):
        answer = get(f'bytes={first}-{last}')
        assert (answer.status_code, answer.content)==(206, body[first:last+1])
        assert answer.headers['content-range']==f'bytes {first}-{last}/{len(body)}'
    assert get('bytes=-10').content==body[-10:]
    assert get('bytes=0-9').headers['content-type']=='video/mp4'
    assert get(f'bytes={len(body)}-').status_code==get(f'bytes={len(body)+5}-').status_code==416
    two = get('bytes=0-9,100-109')
    assert two.status_code==206 and body[:10] in two.content and body[100:110] in two.content
    assert client.head('/media', params=dict(id=video_id)).headers['content-length']==str(len(body))

def test_media_that_are_not_there(client, index):
    gone = client.get('/media', params=dict(id=index.build.video_ids[5]))
    assert gone.status_code==410 and 'no longer' in gone.json()['error'] and '/nowhere' not in gone.text
    own_path = index.videos.path[index.build.video_ids[0]]
    for o in ('../../../etc/passwd', '/etc/passwd', own_path, 'file:///etc/passwd', '\0', 'x'*5000, '', '%2e%2e'):
        answer = client.get('/media', params=dict(id=o))
        assert answer.status_code==404 and 'no such video' in answer.json()['error']
    for o in ('/media/../app.py', '/static/app.html', '/..%2f..%2fsettings.ini'): assert client.get(o).status_code==404

def test_only_this_page_on_this_computer(client, base):
    port = base.rsplit(':', 1)[1]
    for host in ('evil.example', f'evil.example:{port}', '127.0.0.1.evil.example', '0.0.0.0', '', f'[::1]:{port}'):
        assert client.get('/api/videos', headers=dict(Host=host)).status_code in (400, 403), host
    assert client.get('/', headers=dict(Host=f'localhost:{port}')).status_code==200
    for origin in ('http://evil.example', 'null', f'https://127.0.0.1:{port}', 'http://127.0.0.1:1'):
        assert client.post('/api/upload', content=b'x', headers=dict(Origin=origin)).status_code==403, origin
    cross = {'Sec-Fetch-Site': 'cross-site'}
    assert client.get('/media', params=dict(id='v0000'), headers=cross).status_code==403
    listening = [o for o in psutil.net_connections('tcp') if o.status=='LISTEN' and o.laddr.port==int(port)]
    assert {o.laddr.ip for o in listening}=={'127.0.0.1'}

def test_the_page_loads_nothing_from_elsewhere(client):
    answer = client.get('/')
    policy = answer.headers['content-security-policy']
    assert "default-src 'none'" in policy and 'unsafe' not in policy and 'http' not in policy
    assert answer.headers['x-content-type-options']=='nosniff'
    assert 'access-control-allow-origin' not in answer.headers
    for o in re.findall(r'(?:src|href)="([^"]+)"', answer.text): assert o=='data:,' or client.get(o).status_code==200, o

def test_numbers_and_names_that_are_refused(client):
    video_id = all_videos(client)[0]['id']
    for name, o in (('weight', 'nan'), ('weight', '2'), ('weight', ''), ('diversity', '-1'), ('diversity', 'inf')):
        answer = client.get('/api/similar', params={'id': video_id, name: o})
        assert (answer.status_code, name in answer.json()['error'])==(400, True)
    assert client.get('/api/similar', params=dict(upload='nothing')).status_code==404
    assert client.get('/api/similar', params=dict(id='missing')).status_code==404
    assert client.get('/api/nothing').json()['error'] and client.post('/api/similar').status_code==405

def test_diversity_changes_the_list(client):
    video_id = all_videos(client)[0]['id']
    def found(diversity):
        answer = client.get('/api/similar', params=dict(id=video_id, diversity=diversity))
        return [o['id'] for o in answer.json()['results']]
    assert len(found(0))==11 and found(0)!=found(.9)

# Uploads

def bad_files(video):
    return dict(
        empty=b'', text=b'#!/bin/sh\nrm -rf /\n'*20, cut=video[:20000], noise=random.Random(0).randbytes(50000),
        playlist=b'#EXTM3U\n/etc/passwd\nhttp://evil.example/\n', html=b'<html><script>alert(1)</script>'*9)

@contextmanager
def nothing_left_behind():
    "Check that temporary files of uploads are deleted"
    def left(): return {o.name for o in Path(tempfile.gettempdir()).glob('mvrep-upload-*')}
    before = left()
    yield
    assert left()==before

def test_uploads_that_cannot_be_used(client, index):
    video = Path(index.videos.path.iloc[0]).read_bytes()
    with nothing_left_behind():
        for name, o in bad_files(video).items():
            answer = client.post('/api/upload', content=o)
            assert answer.status_code in (400, 422) and 15<len(answer.json()['error'])<400, (name, answer.text)
            assert 'Traceback' not in answer.text
        answer = client.post('/api/upload', files=dict(file=('x.mp4', video))) # as `curl -F` does
        assert answer.status_code==415 and '--data-binary' in answer.json()['error'], answer.text

def test_an_upload_finds_its_own_video(client, index):
    with nothing_left_behind():
        answer = client.post('/api/upload', content=Path(index.videos.path.iloc[0]).read_bytes()).json()
        assert answer['has_audio'] and answer['has_video']
        nearest = client.get('/api/similar', params=dict(upload=answer['upload'])).json()['results']
        assert nearest[0]['id']==index.build.video_ids[0] and nearest[0]['score']>.7 # other segments of the same file
        assert len(nearest)==12 and nearest[0]['reasons']

def test_too_large_by_its_own_account(base):
    "A request that announces ten gigabytes is refused before it sends them"
    host, port = base[7:].split(':')
    head = f'POST /api/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 10000000000\r\n\r\n'
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as raw:
        raw.sendall(head.encode())
        assert raw.recv(100).startswith(b'HTTP/1.1 413')

def test_too_large_while_it_arrives(folder):
    "A body of unknown length"
    with TestClient(make_app(folder, Limits(upload_bytes=100_000)), base_url='http://127.0.0.1') as client:
        answer = client.post('/api/upload', content=(b'x'*10_000 for _ in range(20)))
        assert answer.status_code==413 and 'larger than' in answer.json()['error']

# Many clients, and an index that changes

async def one_client(client, number, ids):
    "Two searches, two lists of neighbours and two parts of videos; the number of answers"
    rng = random.Random(number)
    for _ in range(2):
        video_id, words = rng.choice(ids), rng.choice(['', 'e', 'the', 'hip hop'])
        found = await client.get('/api/videos', params=dict(q=words))
        params = dict(id=video_id, weight=rng.random(), diversity=rng.choice([0, .5]))
        nearest = await client.get('/api/similar', params=params)
        part = dict(Range=f'bytes={rng.randrange(9999)}-')
        media = await client.get('/media', params=dict(id=video_id), headers=part)
        assert (found.status_code, nearest.status_code, media.status_code)==(200, 200, 206), (found.text, nearest.text)
        results = [o['id'] for o in nearest.json()['results']]
        assert len(results)==11 and video_id not in results
    return 6

def test_fifty_clients_at_once(base, client, index):
    ids = [o['id'] for o in all_videos(client) if o['id']!=index.build.video_ids[5]] # its file is gone
    async def fifty():
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(base_url=base, timeout=PATIENCE, limits=limits) as many:
            return await asyncio.gather(*(one_client(many, i, ids) for i in range(50)))
    assert sum(asyncio.run(fifty()))==300

def test_a_new_build_is_noticed(client, folder):
    changed = Index(folder)
    changed.remove([changed.build.video_ids[-1]])
    assert client.get('/api/videos', params=dict(q='')).json()['n']==11
    changed.rollback()
    assert client.get('/api/videos', params=dict(q='')).json()['n']==12

# In a browser

def until(page, condition, arg=None, seconds=120):
    "Wait for a condition; the page's policy forbids the `eval` of `wait_for_function`"
    code = f'() => !!({condition})'
    if condition.startswith('n => '): code = f'x => {{ const n = x; return !!({condition[5:]}) }}'
    for _ in range(10*seconds):
        if page.evaluate(code, arg): return
        page.wait_for_timeout(100)
    raise AssertionError(f'never true: {condition}')

PLAYS = "(v => !v.paused && v.currentTime>.1 && v.webkitAudioDecodedByteCount>0)(document.getElementById('player'))"

def open_first_video(page, index):
    "Find the first video by the keyboard, and wait until it plays"
    title = index.videos.title.iloc[0]
    page.wait_for_selector('#examples button')
    page.click('h1') # out of the search box, which has the focus at first
    page.keyboard.press('/')
    page.keyboard.type(title[:9])
    page.wait_for_selector('#found button')
    page.keyboard.press('ArrowDown')
    page.keyboard.press('Enter')
    until(page, "document.querySelectorAll('#list li').length==11")
    assert page.inner_text('#title')==title
    until(page, PLAYS)

EXPECTED = re.compile('status of (404|410|422)') # refused by the app, and shown by the page

@pytest.fixture(scope='module')
def browser():
    with open_browser('--autoplay-policy=no-user-gesture-required') as browser: yield browser

@pytest.fixture
def page(base, browser):
    "The app in a browser; `page.wrong` are messages of the console, `page.elsewhere` requests to other addresses"
    page = browser.new_page(viewport=dict(width=1360, height=900), bypass_csp=False)
    page.wrong, page.elsewhere = [], []
    page.set_default_timeout(120_000)
    def is_wrong(o): return o.type in ('error', 'warning') and not EXPECTED.search(o.text)
    page.on('console', lambda o: is_wrong(o) and page.wrong.append(o.text))
    page.on('pageerror', lambda o: page.wrong.append(str(o)))
    page.on('request', lambda o: o.url.startswith((base, 'data:', 'blob:')) or page.elsewhere.append(o.url))
    page.goto(base)
    yield page
    assert 'hacked' not in page.title() and page.wrong==[] and page.elsewhere==[], (page.wrong, page.elsewhere)
    page.close()

def screenshot(page, name):
    if folder := os.environ.get('MVREP_SHOTS'):
        page.wait_for_timeout(1500)
        page.screenshot(path=f'{folder}/{name}.png')

@browser_test
def test_neighbours_and_their_moments(page, index):
    open_first_video(page, index)
    names = page.eval_on_selector_all('#list .name', 'all => all.map(o => o.textContent)')
    assert set(HOSTILE)<=set(names) and page.locator('#list img, #list svg, #list script').count()==0
    assert 'no longer' in page.inner_text('.gone:not([hidden])')
    screenshot(page, 'app')
    page.click('#list li:has(.reasons button) .reasons button') # the two moments, one after the other
    other_plays = "[...document.querySelectorAll('#list video')].some(v => !v.paused && v.currentTime>0)"
    until(page, f"{other_plays} && document.getElementById('player').paused")

@browser_test
def test_the_video_of_one_with_the_audio_of_another(page, index):
    open_first_video(page, index)
    card = page.locator('#list li:not(:has(.gone:not([hidden])))').first
    other = card.locator('.name').inner_text()
    card.locator('.take-audio').click()
    audio_plays = "(a => !a.paused && a.currentTime>0)(document.getElementById('soundtrack'))"
    until(page, f"{audio_plays} && document.getElementById('player').muted")
    assert other in page.inner_text('#pair')
    page.wait_for_timeout(700)
    drift = page.evaluate("Math.abs(document.getElementById('soundtrack').currentTime-wanted())")
    assert drift<.5, drift
    page.click('#turn')
    until(page, "n => document.getElementById('pair').textContent.startsWith(`Video: ${n}`)", arg=other)
    screenshot(page, 'swap')
    page.click('#back')
    until(page, "document.getElementById('soundtrack').paused && !document.getElementById('player').muted")
    page.fill('#weight', '1')
    until(page, "!document.getElementById('list').classList.contains('old')")
    card.locator('.name').click() # a neighbour becomes the selected video
    until(page, "n => document.getElementById('title').textContent==n", arg=other)
    until(page, PLAYS)

@browser_test
def test_files_from_the_computer(page, index, tmp_path):
    open_first_video(page, index)
    shutil.copy(index.videos.path.iloc[0], tmp_path/'brought <b>.mp4')
    page.set_input_files('#file', tmp_path/'brought <b>.mp4')
    until(page, TITLE_IS, arg='brought <b>.mp4') # and the list is of this file
    until(page, PLAYS)
    assert page.inner_text('#list li:first-child .name')==index.videos.title.iloc[0]
    page.evaluate('''() => { // drop a file on the page
        const d = new DataTransfer()
        d.items.add(new File(['no video'], 'bad.mp4'))
        document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: d, bubbles: true, cancelable: true}))
    }''')
    until(page, "document.getElementById('status').textContent.includes('cannot be used')")
    page.go_back() # to the video before the file
    until(page, TITLE_IS, arg=index.videos.title.iloc[0])
    page.go_forward()
    until(page, TITLE_IS, arg='brought <b>.mp4')
    until(page, "document.getElementById('player').readyState>0")
    page.reload() # the browser has let go of the file
    until(page, "document.getElementById('status').textContent.includes('drop it again')")
    assert page.is_visible('#welcome') and not page.is_visible('#main')

NEIGHBOURS = "[...document.querySelectorAll('#list .name')].map(o => o.textContent)"
TITLE_IS = "n => document.getElementById('title').textContent===n && !list.classList.contains('old')"
SLIDERS = "['weight', 'diversity'].map(o => document.getElementById(o).value)"

def set_slider(page, name, value):
    "Move a slider, and wait for the list that belongs to it"
    with page.expect_response(lambda o: f'{name}={value}' in o.url) as answer: page.fill(f'#{name}', value)
    assert answer.value.ok
    until(page, "!list.classList.contains('old')")

def shown(page): return page.inner_text('#title'), page.evaluate(SLIDERS), page.evaluate(NEIGHBOURS)

@browser_test
def test_back_and_forward_step_through_selections(page, index, base):
    "With the sliders and the list of each; a reload stays, and the first entry is the page without a selection"
    open_first_video(page, index)
    set_slider(page, 'weight', '1')
    first = shown(page)
    page.click('#list .name >> nth=0')
    until(page, TITLE_IS, arg=first[2][0])
    set_slider(page, 'weight', '0.2')
    set_slider(page, 'diversity', '0.9')
    second = shown(page)
    assert first!=second
    page.click('#list .name >> nth=1')
    until(page, TITLE_IS, arg=second[2][1])
    for step, expected in (('go_back', second), ('go_back', first), ('go_forward', second), ('reload', second)):
        getattr(page, step)()
        until(page, TITLE_IS, arg=expected[0])
        until(page, "n => document.querySelectorAll('#list .name').length===n", arg=len(expected[2]))
        assert shown(page)==expected, step
        assert expected[0] in page.title()
    page.go_back()
    until(page, TITLE_IS, arg=first[0])
    page.go_back()
    until(page, "!document.getElementById('welcome').hidden")
    assert page.title()=='mvrep' and not page.is_visible('#main')
    assert page.evaluate("player.paused && !player.getAttribute('src')")
    page.go_back() # and out
    assert page.url=='about:blank'

@browser_test
def test_links_to_videos(page, index, base):
    ids, titles = index.build.video_ids, list(index.videos.title)
    page.goto(f'{base}/#id={ids[6]}&weight=0.75&diversity=x')
    until(page, TITLE_IS, arg=titles[6])
    assert page.evaluate(SLIDERS)==['0.75', '0']
    page.evaluate(f"location.hash = 'id={ids[7]}'")
    until(page, TITLE_IS, arg=titles[7])
    for wrong in ('id=nothing', 'id=%3Cscript%3E', f'id={ids[6]}%00', 'id=../../etc/passwd'):
        page.evaluate(f"location.hash = '{wrong}'")
        until(page, "document.getElementById('main').hidden")
        until(page, "document.getElementById('status').textContent.includes('no such video')")
        assert page.is_visible('#welcome')
        page.evaluate(f"location.hash = 'id={ids[7]}'")
        until(page, TITLE_IS, arg=titles[7])
        until(page, "!document.getElementById('main').hidden")

IS_PAUSED = "document.getElementById('player').paused"

@browser_test
def test_keys_after_a_click_on_a_button(page, index):
    open_first_video(page, index)
    page.click('#list li:not(:has(.gone:not([hidden]))) .take-audio >> nth=0')
    until(page, "!document.getElementById('swapped').hidden && !document.getElementById('player').paused")
    swapped = page.inner_text('#pair')
    page.keyboard.press('Space')
    until(page, IS_PAUSED)
    page.keyboard.press('Space')
    until(page, f'!{IS_PAUSED}')
    page.click('#turn')
    until(page, "n => document.getElementById('pair').textContent!==n", arg=swapped)
    turned = page.inner_text('#pair')
    page.keyboard.press('Space')
    until(page, IS_PAUSED)
    assert page.inner_text('#pair')==turned # not turned again
    page.keyboard.press('Control+s')
    assert page.is_visible('#swapped')
    page.keyboard.press('/') # what is typed is not a command
    page.keyboard.type('s s/')
    assert page.input_value('#q')=='s s/' and page.is_visible('#swapped') and page.evaluate(IS_PAUSED)
    page.click('#weight')
    page.keyboard.press('s')
    until(page, "document.getElementById('swapped').hidden")
    page.focus('#list .take-audio') # by keyboard, the key belongs to the button
    page.keyboard.press('Space')
    until(page, "!document.getElementById('swapped').hidden")

@browser_test
def test_focus_can_be_seen(page, index):
    assert without_visible_focus(page, 8)==[]
    open_first_video(page, index)
    assert page.evaluate('document.activeElement.id')=='title' # the list that had the focus is gone
    assert without_visible_focus(page, 12)==[]

CARD = """o => { const li = card({reasons: [], ...o});
    return ['.copies', '.scores'].map(s => li.querySelector(s).textContent) }"""

@browser_test
def test_songs_and_copies_in_the_list(page, index):
    open_first_video(page, index)
    usual = dict(id='x', title='x', score=.9, audio=.9, video=.8, copies=0)
    def texts(**o): return page.evaluate(CARD, usual|o)
    both = dict(has_audio=True, has_video=True)
    assert texts(**both)==['', '♪ 0.90  ▦ 0.80']
    assert texts(has_audio=True, has_video=False, video=None)==['', '♪ 0.90  no video']
    assert texts(has_audio=False, has_video=True, audio=None)==['', '▦ 0.80  no audio']
    assert texts(**both, copies=1)[0]=='+1 copy'
    assert texts(**both, copies=2, same_recording=True)[0]=='same recording, +2 copies'
    page.evaluate("show({...seed, has_video: false}, false)")
    assert page.is_disabled('#weight') and page.is_enabled('#diversity')

@browser_test
@pytest.mark.parametrize('status,reason', [(503, 'mvrep is busy'), (429, 'mvrep is busy'), (413, 'too large'),
                                           (408, 'did not arrive in time'), (500, 'the answer was 500')])
def test_answers_of_the_server_alone(page, status, reason):
    "They have no sentence of their own"
    page.route('**/api/upload', lambda route: route.fulfill(status=status, body='Service Unavailable'))
    page.evaluate("upload(new File(['x'], 'x.mp4'))")
    until(page, "n => document.getElementById('status').textContent.includes(n)", arg=reason)
    page.wrong.clear()

@browser_test
def test_a_phone_shows_all_of_it(page, index):
    page.set_viewport_size(dict(width=390, height=800))
    open_first_video(page, index)
    assert page.evaluate('document.documentElement.scrollWidth')<=390
    screenshot(page, 'phone')
    last = page.locator('#list .name').last
    title = last.inner_text()
    last.click()
    until(page, TITLE_IS, arg=title)
    until(page, f"{IN_VIEW}(document.getElementById('player'))")

IN_VIEW = "(v => { const {top, bottom} = v.getBoundingClientRect(); return top>=0 && bottom<=innerHeight })"

@browser_test
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_the_app_is_accessible(page, index, scheme):
    page.emulate_media(color_scheme=scheme, reduced_motion='reduce')
    assert accessibility_violations(page)==[]
    open_first_video(page, index)
    until(page, "!document.getElementById('list').classList.contains('old')")
    assert accessibility_violations(page)==[]
    page.fill('#q', 'e')
    page.wait_for_selector('#found button')
    assert accessibility_violations(page)==[]
