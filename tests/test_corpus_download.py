"Lists of YouTube ids, and downloads: resumed, atomic, polite; by yt-dlp from a local server, and by a stand-in"
import http.server
import json
import threading
from functools import partial
import pytest
from mvrep.corpus.download import LOG, download_videos, failure_kind, read_downloads
from mvrep.corpus.tables import CorpusError
from mvrep.corpus.youtube import files_of_ids, read_id_list, youtube_id
from mvrep.media.read import probe
from mvrep.media.synthetic import make_clip

A = 'aaaaaaaaaaa'
B = '-bbbbbbbbbb'
C = 'ccccccccc_c'

@pytest.mark.parametrize('text,expected', [
    (A, A), (f' {B}\t', B), (f'https://www.youtube.com/watch?v={C}&t=3', C), (f'https://youtu.be/{A}', A),
    (f'm.youtube.com/shorts/{A}', A), ('aaaaaaaaaa', ''), ('aaaaaaaaaaé', ''), (f'https://vimeo.com/{A}', ''),
    ('https://www.youtube.com/watch?v=short', ''), ('http://[bad', ''), ('https://youtube.com', '')])
def test_ids_and_addresses(text, expected): assert youtube_id(text)==expected

def test_lines_of_a_list(tmp_path):
    path = tmp_path/'list.txt'
    path.write_bytes(f'\ufeff{A}\r\n\r\n{B}\r\nno id\r\n{A}\r\n{A}\n'.encode())
    found = read_id_list(path)
    assert found.video_ids==[A, B] and found.n_blank==1
    assert found.duplicates.values.tolist()==[[5, A, 1], [6, A, 1]] and found.wrong.values.tolist()==[[4, 'no id']]

@pytest.mark.parametrize('content', [b'', b'\n\n', b'title\n', b'\x00'*50])
def test_files_that_are_no_list(tmp_path, content):
    (tmp_path/'list.txt').write_bytes(content)
    with pytest.raises(CorpusError): read_id_list(tmp_path/'list.txt')
    with pytest.raises(CorpusError, match='no such file'): read_id_list(tmp_path/'none.txt')

def test_files_of_a_list(tmp_path):
    for name in (f'{B}.webm', f'{A}.txt', f'{C}.MP4'): (tmp_path/name).touch()
    corpus, missing = files_of_ids([A, B, C], tmp_path)
    assert list(corpus.video_id)==[B, C] and missing==[A]
    with pytest.raises(FileNotFoundError): files_of_ids([A], tmp_path/'none')

class StandIn:
    "Answers like `yt_dlp.YoutubeDL` as `answers` tells: an exception, or the content of the file"
    def __init__(self, answers, asked, options):
        self.answers, self.asked = answers, asked
        self.path = options['outtmpl'].replace('%(ext)s', 'mp4')

    def __enter__(self): return self

    def __exit__(self, *error): pass

    def extract_info(self, address, download):
        video_id = address.split('=')[1]
        self.asked.append(video_id)
        answer = self.answers[video_id]
        if isinstance(answer, BaseException): raise answer
        with open(self.path, 'wb') as file: file.write(answer)
        return dict(requested_downloads=[dict(filepath=self.path)])

@pytest.fixture(scope='module')
def clip(tmp_path_factory): return make_clip(tmp_path_factory.mktemp('clip')/'a.mp4', seconds=.2).read_bytes()

def fetch(folder, answers, **kwargs):
    "Download with a stand-in; returns the report and the ids that it was asked for"
    asked = []
    kwargs = dict(make_downloader=partial(StandIn, answers, asked), pause=0, progress=False)|kwargs
    return download_videos(list(answers), folder, **kwargs), asked

def names(folder): return sorted(o.name for o in folder.iterdir())

def test_what_is_there_or_gone_is_not_asked_for_again(tmp_path, clip):
    removed = ValueError(f'ERROR: [youtube] {B}: Video unavailable. It was removed')
    answers = {A: clip, B: removed, C: ConnectionError('reset')}
    report, asked = fetch(tmp_path, answers)
    assert asked==[A, B, C] and (report.done, report.skipped, report.left)==(1, 0, 0)
    assert report.gone.values.tolist()==[[B, 'Video unavailable. It was removed']]
    assert report.failed.values.tolist()==[[C, 'reset']] and names(tmp_path)==['.parts', f'{A}.mp4', LOG]
    answers = {A: clip, B: clip, C: clip}
    report, asked = fetch(tmp_path, answers)
    assert asked==[C] and (report.done, report.skipped, len(report.gone), len(report.failed))==(1, 1, 1, 0)
    report, asked = fetch(tmp_path, answers, retry_gone=True)
    assert asked==[B] and not len(report.gone) and set(read_downloads(tmp_path).status)=={'done'}

def test_a_limit_leaves_the_rest(tmp_path, clip):
    report, asked = fetch(tmp_path, {A: clip, B: clip, C: clip}, limit=2)
    assert asked==[A, B] and report.left==1

def test_what_cannot_be_opened_does_not_count(tmp_path, clip):
    report, _ = fetch(tmp_path, {A: b'<html>an error page</html>'})
    assert report.failed.reason[0].startswith('what was fetched cannot be used') and names(tmp_path)==['.parts', LOG]
    assert fetch(tmp_path, {A: clip})[0].done==1

def test_a_run_stops_when_the_site_refuses(tmp_path, clip):
    bot = ValueError("Sign in to confirm you're not a bot")
    ids = [f'{i:011d}' for i in range(6)]
    report, asked = fetch(tmp_path, dict.fromkeys(ids, bot))
    assert len(asked)==3 and report.left==3 and 'refused 3 videos in a row' in report.stopped and not len(report.gone)
    report, asked = fetch(tmp_path, {o: (clip if i==2 else bot) for i, o in enumerate(ids)})
    assert len(asked)==6 and report.stopped

@pytest.mark.parametrize('message,kind', [
    ('HTTP Error 410: Gone', 'gone'), ('Video unavailable. This content isn’t available, try again later', 'refused'),
    ('HTTP Error 429: Too Many Requests', 'refused'), ('HTTP Error 503', 'failed'), ('', 'failed')])
def test_kinds_of_failures(message, kind): assert failure_kind(message)==kind

def test_a_full_disk_and_a_fault_of_the_program_stop_the_run(tmp_path):
    with pytest.raises(OSError, match='No space left'): fetch(tmp_path, {A: OSError(28, 'No space left on device')})
    with pytest.raises(OSError, match='No space left'): fetch(tmp_path, {A: ValueError('write: No space left')})
    with pytest.raises(TypeError): fetch(tmp_path, {A: TypeError('a fault')})
    with pytest.raises(KeyboardInterrupt): fetch(tmp_path, {A: KeyboardInterrupt()})
    assert not read_downloads(tmp_path).size

def test_a_line_that_was_cut_off_is_passed_over(tmp_path, clip):
    fetch(tmp_path, {A: ValueError('Private video')})
    with open(tmp_path/LOG, 'a') as file: file.write('{"video_id": "x')
    fetch(tmp_path, {B: clip})
    assert read_downloads(tmp_path).status.to_dict()=={A: 'gone', B: 'done'}

class Quiet(http.server.SimpleHTTPRequestHandler):
    "Serves a folder without a log"
    def log_message(self, *args): pass

def test_yt_dlp_from_a_local_server(tmp_path, clip):
    (tmp_path/'served').mkdir()
    (tmp_path/'served'/f'{A}.mp4').write_bytes(clip)
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=tmp_path/'served'))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f'http://127.0.0.1:{server.server_port}/{{}}.mp4'
        report = download_videos([A, B], tmp_path/'videos', pause=0, rate=None, url=url, progress=False)
    finally:
        server.shutdown()
        server.server_close()
    assert report.done==1 and report.gone.video_id.tolist()==[B] and '404' in report.gone.reason[0]
    assert probe(tmp_path/'videos'/f'{A}.mp4').has_video
    entries = [json.loads(o) for o in (tmp_path/'videos'/LOG).read_text().splitlines()]
    assert [o['status'] for o in entries]==['done', 'gone']

def test_yt_dlp_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'yt_dlp', None)
    with pytest.raises(ModuleNotFoundError, match=r'mvrep\[download\]'): download_videos([A], tmp_path, progress=False)
