"The demo's report, opened from disk in a headless Chromium: it plays, needs nothing but itself, and says nothing in the console"
import pytest
from browser import browser_test, chromium, flags

@pytest.fixture(scope='module')
def report(tmp_path_factory):
    from mvrep.index.indexing import tiny_index
    from mvrep.explore.report import neighbour_precision, write_report
    tmp = tmp_path_factory.mktemp('report')
    index = tiny_index(tmp)
    index.videos.loc[index.build.video_ids[0], 'title'] = '<img src=x onerror="document.title=\'hacked\'">'
    return write_report(index, tmp/'report.html', neighbour_precision(index), [index.build.video_ids[0]], k=2)

@browser_test
def test_report_plays(report):
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=flags)
        page, said, asked = browser.new_page(), [], []
        page.on('console', lambda m: said.append(m.text) if m.type in ('error', 'warning') else None)
        page.on('pageerror', lambda e: said.append(str(e)))
        page.on('request', lambda r: None if r.url.startswith(('data:', report.as_uri())) else asked.append(r.url))
        page.goto(report.as_uri())
        page.wait_for_function("[...document.querySelectorAll('video')].every(v => v.readyState>0)")
        videos = page.evaluate("[...document.querySelectorAll('video')].map(v => [v.duration, v.videoWidth])")
        assert len(videos)==3 and all(d>7 and w>100 for d,w in videos), videos
        page.click('button[data-a]') # the seed's moment first, then the neighbour's
        page.wait_for_function("(v => !v.paused && v.webkitAudioDecodedByteCount>0)(document.getElementById('v0'))")
        other = page.get_attribute('button[data-a]', 'data-b')
        page.wait_for_function("o => (v => !v.paused && v.currentTime>0)(document.getElementById(o))", arg=other, timeout=60000)
        assert page.evaluate("document.getElementById('v0').paused"), 'both play at once'
        assert page.title().startswith('mvrep') and said==[] and asked==[], (page.title(), said, asked)
        browser.close()

def test_demo_command(tmp_path):
    import json, os, sys
    from conftest import sh
    said = sh(sys.executable, '-c', 'from mvrep.cli.main import main; main()', 'demo', '--out', tmp_path/'demo', '--n', 12, '--json', env=dict(os.environ, OMP_NUM_THREADS='1'))
    found = json.loads(said)
    assert (found['done'], found['failed'], found['indexed'])==(12, 0, 12)
    assert [o['by'] for o in found['scores']]==['sound', 'picture', 'both'] and all(0<o['chance']<1 and o['pool']==11 for o in found['scores'])
    assert (tmp_path/'demo'/'report.html').read_text().count('data:video/mp4')==18
