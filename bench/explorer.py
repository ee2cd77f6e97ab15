"""The explorer's page over 100,000 synthetic points in headless Chromium, drawn without a graphics card.

python bench/explorer.py [--n 100000] [--out results/bench_explorer.json]

Positions are 40 groups on a plane and titles are made up (seed 0). Times are of the page's own clock: until the first picture of the map
after the page began to load (least of 3, with the processor time of the page's thread, which other work on the machine does not lengthen), and for drawing all points again, in the whole and at four zooms. A frame at 60 Hz is 16.7 ms.
"""
import argparse, json, shutil, tempfile
from pathlib import Path
import numpy as np, pandas as pd
from playwright.sync_api import sync_playwright
from mvrep.explorer import render_page
from mvrep.points import pack_points
from mvrep.tsne import Map

def made_up(n, seed=0):
    "Metadata and positions of videos that do not exist"
    rng = np.random.default_rng(seed)
    g = rng.integers(0, 40, n)
    xy = (rng.normal(scale=40, size=(40, 2))[g]+rng.normal(scale=4, size=(n, 2))).astype(np.float32)
    ids = [f'm{i:06d}' for i in range(n)]
    videos = pd.DataFrame(dict(title=[f'Made up {i}' for i in range(n)], artist=[f'Nobody {o}' for o in rng.integers(0, n//5, n)], genre=[f'genre {o%10}' for o in g],
        mood=rng.choice(['glad', 'dark'], n), emotion=None, release_date=rng.integers(1980, 2024, n).astype(str), origin=rng.choice(['NL', 'NO', 'JP'], n), split='train',
        license='none', duration=rng.uniform(120, 300, n), tags=[['made', 'up']]*n), index=pd.Index(ids, name='video_id'))
    keys = pd.DataFrame(dict(video_id=ids, start=0., length=1.), index=pd.Index(ids, name='id'))
    return videos, Map('joint', 'track', keys, xy, np.zeros(n, bool), 30., seed, 0.)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--n', type=int, default=100000)
    p.add_argument('--out', type=Path, default=Path(__file__).parents[1]/'results'/'bench_explorer.json')
    a = p.parse_args()
    pack = pack_points(*made_up(a.n))
    level = pack | dict(info=pack['info'] | dict(videos=list(range(a.n)), starts=[None]*a.n, k=0), near=b'')
    html = render_page(dict(track=level), [dict(clips=[], starts=[0.], sound=False)]*a.n, 'joint')
    with tempfile.TemporaryDirectory() as tmp, sync_playwright() as play:
        page_file = Path(tmp)/'index.html'
        page_file.write_text(html, encoding='utf-8')
        browser = play.chromium.launch(executable_path=shutil.which('chromium'), args=['--no-sandbox', '--disable-gpu'])
        page = browser.new_page(viewport=dict(width=1280, height=860))
        page.add_init_script("""new MutationObserver((_, o) => { const r = document.querySelector('.mvx[data-draw-ms]'); if (r) { window.first = performance.now(); o.disconnect(); } })
            .observe(document, { subtree: true, childList: true, attributes: true });""")
        first, work, cdp = [], [], page.context.new_cdp_session(page)
        cdp.send('Performance.setTimeDomain', dict(timeDomain='threadTicks'))
        cdp.send('Performance.enable')
        metric = lambda: {o['name']: o['value'] for o in cdp.send('Performance.getMetrics')['metrics']}['TaskDuration']
        for _ in range(3):
            page.goto('about:blank')
            before = metric()
            page.goto(page_file.as_uri())
            page.wait_for_selector('.mvx[data-draw-ms]')
            first.append(page.evaluate('window.first'))
            work.append(1000*(metric()-before))
        draws = page.evaluate("""() => { const r = document.querySelector('.mvx'), out = [];
            for (const k of [1, 2, 2, 2, 2]) { if (k > 1) r.mvx.zoom(k); const t = []; for (let i = 0; i < 20; i++) { const a = performance.now(); r.mvx.draw(); t.push(performance.now() - a); } out.push(t.sort((a, b) => a - b)); }
            return out }""")
        search = page.evaluate("""() => { const i = document.querySelector('.mvx input'), t = []; for (const q of ['made', 'nobody 7', '']) { i.value = q; const a = performance.now(); i.dispatchEvent(new Event('input')); t.push(performance.now() - a); } return t }""")
        about = dict(points=a.n, page_mb=round(len(html)/1e6, 1), browser=browser.version, drawing='2-D canvas by the processor, no graphics card', window='1280 x 860', data='synthetic, seed 0')
        res = dict(about=about, first_picture_ms=round(min(first)), first_picture_processor_ms=round(min(work)), redraw_median_ms=round(draws[0][10], 1), redraw_least_ms=round(draws[0][0], 1),
            redraw_zoomed_median_ms=[round(o[10], 1) for o in draws[1:]], search_ms=[round(o) for o in search])
        browser.close()
    a.out.write_text(json.dumps(res, indent=1)+'\n')
    print(json.dumps(res, indent=1))

if __name__=='__main__': main()
