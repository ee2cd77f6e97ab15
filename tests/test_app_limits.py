"The app under clients that stall, flood it, lie or disappear: raw sockets against a server process with small limits"
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace
import pytest
from slow_jobs import sleep_or_return
from mvrep.explore import uploads as uploads_module
from mvrep.explore.connections import FewLines, Limits, fitting_limits
from mvrep.explore.uploads import CLOSED, GIVEN_UP, Ticket, Uploads
from mvrep.index.examples import tiny_index
from mvrep.media.workers import Failure, worker_pool

pytestmark = pytest.mark.xdist_group('app_limits')
LIMITS = Limits(connections=40, request_seconds=1.2, read_seconds=1.5, part_seconds=1., upload_seconds=2.5,
                upload_bytes=300_000, files=2, searches=3)
MAX_FILES = 250 # File descriptors of the server process: fewer than the connections of the flood
BIG = 40_000_000 # Bytes of a media file, more than the system holds for a client that does not read

SERVER = '''
import contextlib, sys, time
from mvrep.explore.app import serve
from mvrep.explore.connections import Limits
from mvrep.explore.uploads import Uploads
from mvrep.media.workers import Failure

def encode(uploads, index, path, ticket): # a file that says how long it takes
    text = open(path, 'rb').read(20)
    end = time.monotonic()+(float(text[4:]) if text.startswith(b'slow') else 0)
    while time.monotonic()<end and not ticket.is_given_up: time.sleep(.02)
    return Failure('it is a file of the test')

if __name__=='__main__':
    Uploads.encode = encode
    with contextlib.suppress(KeyboardInterrupt):
        serve(sys.argv[1], 0, False, lambda address: print(address, flush=True), eval(sys.argv[2]))
'''

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Twelve videos, the file of the last one is large"
    folder = tmp_path_factory.mktemp('limits')
    index = tiny_index(folder)
    with open(folder/'big.mp4', 'wb') as file: file.truncate(BIG)
    videos = index.videos.reset_index()
    videos.loc[11, 'path'] = str(folder/'big.mp4')
    index.put_videos(videos)
    return index.folder

@pytest.fixture(scope='module')
def app(folder):
    "A server process with few file descriptors; at the end it has printed little, and no traceback"
    def few_files(): resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
    temporary = folder.parent/'tmp'
    temporary.mkdir()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, '-c', SERVER, str(folder), repr(LIMITS)], stdout=subprocess.PIPE, stderr=errors, text=True,
            env=dict(os.environ, OMP_NUM_THREADS='1', TMPDIR=str(temporary)), preexec_fn=few_files)
        address = process.stdout.readline()
        errors.seek(0)
        assert address.startswith('http://127.0.0.1:'), errors.read().decode()
        port = int(address.split(':')[2].strip().rstrip('/'))
        yield SimpleNamespace(port=port, process=process, temporary=temporary)
        process.send_signal(signal.SIGINT)
        process.wait(60)
        errors.seek(0)
        text = errors.read().decode()
    assert 'Traceback' not in text and len(text)<6000, text[-3000:]

def head(port, line, *headers):
    "The header of a request"
    return '\r\n'.join([f'{line} HTTP/1.1', f'Host: 127.0.0.1:{port}', *headers, '', '']).encode()

def connect(app): return socket.create_connection(('127.0.0.1', app.port), timeout=30)

def answer(connection):
    "Status and text of an answer; (0, '') if the connection was closed without one"
    try: text = connection.makefile('rb').read()
    except ConnectionError: text = b''
    top, _, body = text.partition(b'\r\n\r\n')
    return (int(top.split()[1]), body.decode('latin-1')) if top else (0, '')

def ask(app, line, *headers, body=b''):
    "Status and text of the answer to one request"
    with connect(app) as connection:
        connection.sendall(head(app.port, line, 'Connection: close', *headers)+body)
        return answer(connection)

def upload(app, body):
    "Status and error of the answer to an upload"
    status, text = ask(app, 'POST /api/upload', f'Content-Length: {len(body)}', body=body)
    return status, json.loads(text)['error']

def n_received(app):
    "How many uploads are in work"
    return len(list(app.temporary.iterdir()))

def is_served(app, seconds=2.):
    "Is a search answered in this time?"
    start = time.monotonic()
    status, text = ask(app, 'GET /api/videos?q=')
    return status==200 and json.loads(text)['n']==12 and time.monotonic()-start<seconds

def seconds_until_closed(connection):
    "How long a server waits before it closes a connection"
    start = time.monotonic()
    try:
        while connection.recv(65536): pass
    except ConnectionError: pass
    return time.monotonic()-start

def at_once(function, n):
    "The results of `n` calls at the same time"
    with ThreadPoolExecutor(n) as pool: return list(pool.map(lambda _: function(), range(n)))

# Requests that do not come

def test_many_silent_connections(app):
    "Six hundred connections, more than there are file descriptors"
    with ExitStack() as stack:
        silent = []
        for number in range(600):
            silent.append(stack.enter_context(connect(app)))
            if number%5==0: silent[-1].sendall(b'GET / HTTP/1.1\r\nHost: x')
        assert is_served(app, 4)
        assert seconds_until_closed(silent[-1])<LIMITS.request_seconds+3
        assert all(seconds_until_closed(o)<.5 for o in silent)
    assert is_served(app)

@pytest.mark.parametrize('first', ['', 'GET /app.js', 'OPTIONS /', 'POST /api/similar'])
def test_a_header_that_never_ends(app, first):
    "Byte by byte, on a new connection and after an answer"
    with connect(app) as connection:
        if first:
            connection.sendall(head(app.port, first))
            connection.recv(65536)
        start = time.monotonic()
        with pytest.raises(OSError):
            for letter in b'GET /'+b'x'*100:
                connection.sendall(bytes([letter]))
                time.sleep(.1)
        assert time.monotonic()-start<LIMITS.request_seconds+3

LOCAL = b'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n'
NOT_HTTP = dict(
    long_header=LOCAL+b'X: '+b'x'*1_000_000+b'\r\n\r\n', tls=b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    no_version=b'GET /\r\n\r\n', zeros=b'\0'*5000, negative_length=LOCAL+b'Content-Length: -1\r\n\r\n',
    long_length=LOCAL+b'Content-Length: '+b'9'*5000+b'\r\n\r\n',
    two_lengths=LOCAL+b'Content-Length: 1\r\nContent-Length: 2\r\n\r\n',
    no_chunk=LOCAL.replace(b'GET', b'POST')+b'Transfer-Encoding: chunked\r\n\r\nxyz\r\n')

@pytest.mark.parametrize('name', NOT_HTTP)
def test_requests_that_are_not_http(app, name):
    "Many of each, of which a few are logged"
    def send():
        with connect(app) as connection:
            connection.sendall(NOT_HTTP[name])
            return answer(connection)[0]
    assert set(at_once(send, 20))<={0, 400}
    assert is_served(app)

@pytest.mark.parametrize('method', ['HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'PATCH', 'BREW'])
def test_other_methods(app, method):
    for path in ('/', '/app.js', '/api/videos', '/api/upload', '/media?id=v0000', '/nowhere'):
        status, text = ask(app, f'{method} {path}')
        assert status in ((200, 404, 405) if method=='HEAD' else (404, 405)), (method, path, status)
        assert method!='HEAD' or not text

# Uploads

def test_stalled_uploads_do_not_keep_others_out(app):
    "Ten times as many as there are places, some before the first byte, some in the middle"
    with ExitStack() as stack:
        stalled = [stack.enter_context(connect(app)) for _ in range(20)]
        for number, connection in enumerate(stalled):
            header = head(app.port, 'POST /api/upload', 'Connection: close', 'Content-Length: 1000')
            connection.sendall(header+b'x'*(number%2))
        assert upload(app, b'a small file')==(422, 'this file cannot be used: it is a file of the test')
        for connection in stalled:
            status, text = answer(connection)
            assert status==408 and 'did not arrive in time' in text
    assert list(app.temporary.iterdir())==[]

def test_an_upload_that_trickles(app):
    "Each part comes in time, but not the whole file"
    with connect(app) as connection:
        connection.sendall(head(app.port, 'POST /api/upload', 'Transfer-Encoding: chunked', 'Connection: close'))
        start = time.monotonic()
        while time.monotonic()-start<10:
            try: connection.sendall(b'1\r\nx\r\n')
            except OSError: break
            time.sleep(.2)
        assert answer(connection)[0] in (0, 408) and time.monotonic()-start<8

def test_slow_files_and_a_full_queue(app):
    "Two files are in work; the third is refused, before and after it is sent"
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(upload, app, b'slow2') for _ in range(2)]
        until(lambda: n_received(app)==2, 30)
        assert upload(app, b'a third file')==(503, 'too many files at the same time: wait until one is done')
        assert is_served(app)
        assert {o.result()[0] for o in slow}=={422}
    assert upload(app, b'a fourth file')[0]==422

def test_a_closed_browser_tab_ends_its_upload(app):
    "Both places are taken by files that take a minute, until their clients disconnect: at once, and by a reset"
    with ExitStack() as stack:
        for linger in (0, 1):
            connection = stack.enter_context(connect(app))
            reset = struct.pack('ii', linger, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            connection.sendall(head(app.port, 'POST /api/upload', 'Content-Length: 6')+b'slow60')
        until(lambda: n_received(app)==2, 30)
        assert upload(app, b'a third file')[0]==503
    until(lambda: upload(app, b'a fourth file')[0]==422, 30)
    assert is_served(app) and list(app.temporary.iterdir())==[]

def test_uploads_without_length(app):
    body = b'6\r\nslow0.\r\n0\r\n\r\n'
    chunked = 'POST /api/upload', 'Transfer-Encoding: chunked'
    assert ask(app, *chunked, body=body)[0]==422
    large = b'186a0\r\n'+b'x'*100_000+b'\r\n'
    status, text = ask(app, *chunked, body=4*large+b'0\r\n\r\n')
    assert status in (0, 413) and (not status or 'larger than 0 MB' in text)
    assert ask(app, 'POST /api/upload')[0]==400

def test_uploads_that_claim_a_wrong_length(app):
    status, text = ask(app, 'POST /api/upload', 'Content-Length: 300001')
    assert status==413 and 'larger than' in text
    assert ask(app, 'POST /api/upload', 'Content-Length: 5', body=b'slow0, and more than announced')[0]==422
    with connect(app) as connection: # fewer bytes, and gone
        connection.sendall(head(app.port, 'POST /api/upload', 'Content-Length: 200000')+b'x'*1000)
    with connect(app) as connection: # the client ends what it sends
        connection.sendall(head(app.port, 'POST /api/upload', 'Content-Length: 200000')+b'x'*1000)
        connection.shutdown(socket.SHUT_WR)
        assert answer(connection)[0] in (0, 400, 408)
    assert is_served(app) and list(app.temporary.iterdir())==[]

# Answers that are not read, and many at once

def test_answers_that_are_not_read(app):
    "Players that stop reading cannot keep others out, and are closed after a while"
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(app)) for _ in range(60)]
        for connection in slow:
            connection.sendall(head(app.port, 'GET /media?id=v0011', 'Connection: close'))
            with suppress(ConnectionError): connection.recv(10) # on a slow machine, it makes room for the next one
        assert is_served(app, 4)
        time.sleep(LIMITS.read_seconds+2.5)
        with suppress(ConnectionError): assert len(slow[-1].makefile('rb').read(BIG))<BIG
    assert is_served(app)

def test_a_reader_with_pauses_gets_everything(app):
    with connect(app) as connection:
        connection.sendall(head(app.port, 'GET /media?id=v0011', 'Connection: close'))
        n = 0
        for _ in range(4):
            time.sleep(.6)
            for _ in range(100): n += len(connection.recv(100_000))
        while part := connection.recv(1_000_000): n += len(part)
    assert n>BIG

def test_many_ranges(app):
    ranges = ','.join(f'{i}-{i}' for i in range(0, 4000, 2))
    status, text = ask(app, 'GET /media?id=v0000', f'Range: bytes={ranges}')
    assert status==416 and 'at most 8 parts' in text
    def first(): return ask(app, 'GET /media?id=v0000', 'Range: bytes=0-9')[0]
    assert set(at_once(first, 25))=={206}

def test_more_searches_than_can_wait(app):
    def search(): return ask(app, 'GET /api/similar?id=v0000')
    answers = at_once(search, 25)
    assert {status for status, _ in answers}=={200, 429}
    refused = next(text for status, text in answers if status==429)
    assert json.loads(refused)=={'error': 'too many requests at the same time: try again in a moment'}
    assert is_served(app)

# Parts of the server

def test_limits_that_file_descriptors_allow(monkeypatch):
    asked = []
    monkeypatch.setattr('resource.setrlimit', lambda _, limits: asked.append(limits))
    monkeypatch.setattr('mvrep.explore.connections._n_open_files', lambda: 36)
    for pair, connections, raised in (
            ((1024, 4096), 200, []), ((256, 4096), 200, [(600, 4096)]), ((256, 256), 28, [(256, 256)]),
            ((64, 64), 4, [(64, 64)]), ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 200, [])):
        asked.clear()
        monkeypatch.setattr('resource.getrlimit', lambda _, pair=pair: pair)
        assert (fitting_limits(Limits()).connections, asked)==(connections, raised)

def log_record(text, error=None, created=0.):
    import logging
    record = logging.LogRecord('uvicorn.error', logging.ERROR, '', 0, text, (), error and (type(error), error, None))
    record.created = created
    return record

def test_log_lines_are_few_and_counted():
    few = FewLines(most=3)
    shown = [few.filter(log_record('Invalid HTTP request received.', created=i/100)) for i in range(1000)]
    assert sum(shown)==3 and few.filter(log_record('another kind'))
    later = log_record('Invalid HTTP request received.', created=61.)
    assert few.filter(later)
    assert later.getMessage()=='Invalid HTTP request received. (997 more lines like this one were not shown)'

def test_tracebacks_are_rare():
    few = FewLines()
    first, second = (log_record('Exception in ASGI application\n', ZeroDivisionError('by zero')) for _ in range(2))
    assert few.filter(first) and few.filter(second) and first.exc_info and not second.exc_info
    assert second.getMessage()=='Exception in ASGI application: by zero'
    no_files = log_record('socket.accept() out of system resource\nsocket: <x>', OSError(24, 'Too many open files'))
    assert few.filter(no_files) and not no_files.exc_info
    assert no_files.getMessage()=='socket.accept() out of system resource: [Errno 24] Too many open files'

# The queue for files

class FakePool:
    "A worker whose files are done when the test wants it"
    active = True
    def __init__(self): self.futures, self.is_stopped = [], False
    def schedule(self, function, job, timeout):
        self.futures.append((job[0], Future()))
        return self.futures[-1][1]
    def stop(self):
        self.is_stopped = True
        for _, future in self.futures:
            if not future.done(): future.set_exception(RuntimeError('stopped'))
    def join(self): pass

@pytest.fixture
def pools(monkeypatch):
    made = []
    monkeypatch.setattr(uploads_module, 'worker_pool', lambda *args: made.append(FakePool()) or made[-1])
    return made

def of_test():
    "An index of which only the settings are read"
    config = SimpleNamespace(specs=['a'], plan='whole', seed=0)
    return SimpleNamespace(config=config, build=SimpleNamespace(columns={}))

@contextmanager
def encoding(uploads, *names):
    "Encode files in threads; their results by name"
    results = {}
    def encode(name): results[name] = uploads.encode(of_test(), name)
    threads = [threading.Thread(target=encode, args=(o,)) for o in names]
    for o in threads:
        o.start()
        time.sleep(.05) # in this order
    yield results
    for o in threads: o.join(10)

def until(condition, seconds=5):
    end = time.monotonic()+seconds
    while not condition():
        assert time.monotonic()<end, 'never true'
        time.sleep(.01)

def test_fast_files_share_a_worker(pools):
    with encoding(Uploads(), 'a', 'b') as results:
        until(lambda: len(pools)==1 and pools[0].futures)
        pools[0].futures[0][1].set_result('done a')
        until(lambda: len(pools[0].futures)==2)
        pools[0].futures[1][1].set_result('done b')
    assert results==dict(a='done a', b='done b') and len(pools)==1 and not pools[0].is_stopped

def test_slow_files_do_not_hold_up_others(pools):
    "A second and a third worker, which end when no file waits"
    uploads = Uploads(n_workers=3, patience=.2)
    with encoding(uploads, 'slow', 'slow too', 'fast') as results:
        until(lambda: len(pools)==3 and pools[2].futures)
        assert pools[2].futures[0][0]=='fast'
        pools[2].futures[0][1].set_result('done')
        until(lambda: 'fast' in results)
        assert set(results)=={'fast'} and pools[2].is_stopped
        for pool in pools[:2]: pool.futures[0][1].set_result('late')
    assert results=={'slow': 'late', 'slow too': 'late', 'fast': 'done'}
    assert sum(not o.is_stopped for o in pools)==1

def test_files_that_wait_when_the_app_ends(pools):
    uploads = Uploads(n_workers=1)
    with encoding(uploads, 'a', 'b') as results:
        until(lambda: pools and pools[0].futures)
        uploads.close()
    assert results['b']==Failure(CLOSED) and isinstance(results['a'], Failure)

def test_a_file_that_waits_is_given_up(pools):
    "The one before it and the one after it are encoded"
    uploads, ticket = Uploads(n_workers=1), Ticket()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(uploads.encode, of_test(), 'first')
        until(lambda: pools and pools[0].futures)
        second = pool.submit(uploads.encode, of_test(), 'second', ticket)
        until(lambda: uploads._workers.waiting)
        uploads.give_up(ticket)
        assert second.result(5)==Failure(GIVEN_UP)
        third = pool.submit(uploads.encode, of_test(), 'third')
        pools[0].futures[0][1].set_result('done')
        until(lambda: len(pools[0].futures)==2)
        pools[0].futures[1][1].set_result('done, too')
    assert (first.result(), third.result())==('done', 'done, too')

def test_the_process_of_a_file_that_is_given_up_ends(tmp_path, monkeypatch):
    "The next file gets another one"
    monkeypatch.setattr(uploads_module, 'worker_pool', lambda *args: worker_pool(1))
    monkeypatch.setattr(uploads_module, 'encode_in_worker', sleep_or_return)
    uploads, ticket = Uploads(n_workers=1), Ticket()
    slow = tmp_path/'slow'
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(uploads.encode, of_test(), slow, ticket)
        until(lambda: slow.exists() and slow.read_text(), 60)
        uploads.give_up(ticket)
        assert found.result(10)==Failure(GIVEN_UP)
    until(lambda: not os.path.exists(f'/proc/{slow.read_text()}'))
    assert uploads.encode(of_test(), 'fast')=='fast'
    uploads.close()
