"""The explorer's page over 100,000 synthetic points in headless Chromium, drawn without a graphics card.

python bench/explorer.py [--n 100000] [--out results/bench_explorer.json]

Two pages such as `write_page` makes, of six segments a video: `n` videos, whose segments are too many for a page, and `n` segments of n/6 videos,
opened at the segments. They hold what such a page holds: positions (40 groups on a plane), metadata, for every point six neighbours by sound, by picture
and by both with their moments (which ones is drawn at random), and for every video the name of its clips, their lengths and the starts of its segments.
Videos, titles, neighbours and names are made up (seed 0), and there are no clips. Times are of the page's own clock: until the first picture of the map
after the page began to load (least of 3, with the processor time of the page's thread until all of it is read, which other work on the machine does not
lengthen), for drawing all points again, in the whole and at four zooms, for a search, and from the first click until the neighbours are listed, which is
when the page reads what it holds of them (its picture is on the screen long before). A frame at 60 Hz is 16.7 ms.
"""
import argparse, json, os, shutil, tempfile
from pathlib import Path
from urllib.parse import quote
import numpy as np, pandas as pd
from playwright.sync_api import sync_playwright
from mvrep.explorer import _name, render_page
from mvrep.points import pack_points
from mvrep.tsne import Map

def made_up(n, k=6, parts=6, seed=0):
    "Metadata of `n` videos that do not exist, what a page knows of their clips, and the levels 'track' and 'segment'"
    rng = np.random.default_rng(seed)
    g = rng.integers(0, 40, n)
    ids = [f'm{i:06d}' for i in range(n)]
    videos = pd.DataFrame(dict(title=[f'Made up {i}' for i in range(n)], artist=[f'Nobody {o}' for o in rng.integers(0, n//5, n)], genre=[f'genre {o%10}' for o in g],
        mood=rng.choice(['glad', 'dark'], n), emotion=None, release_date=rng.integers(1980, 2024, n).astype(str), origin=rng.choice(['NL', 'NO', 'JP'], n), split='train',
        license='none', duration=rng.uniform(120, 300, n), tags=[['made', 'up']]*n), index=pd.Index(ids, name='video_id'))
    starts = np.sort(rng.uniform(0, 1, (n, parts)), 1)*(videos.duration.to_numpy()[:, None]-5)
    media = [[_name(v), 1, 10., [round(o, 3) for o in s], None] for v,s in zip(ids, starts.tolist())]
    middle = rng.normal(scale=40, size=(40, 2))
    def level(name, video, start):
        m,i = len(video), [ids[v] if name=='track' else f'{ids[v]}_{j%parts}' for j,v in enumerate(video)]
        xy = (middle[g[video]]+rng.normal(scale=4, size=(m, 2))).astype(np.float32)
        keys = pd.DataFrame(dict(video_id=np.array(ids, object)[video], start=start, length=5.), index=pd.Index(i, name='id'))
        seg = lambda: rng.integers(0, parts, (3, m, k) if name=='track' else 0).astype('<u2').tobytes()
        more = {'k': k, 'video': video.astype('<u4').tobytes(), 'from': b'' if name=='track' else start.astype('<f4').tobytes(), 'who': rng.integers(0, m, (3, m, k)).astype('<u4').tobytes(),
            'score': rng.integers(-100, 101, (3, m, k)).astype(np.int8).tobytes(), 'at': seg(), 'start': seg()}
        return pack_points(videos, Map('joint', name, keys, xy, np.zeros(m, bool), 30., seed, 0.)) | dict(more=more)
    return media, dict(track=lambda: level('track', np.arange(n), np.zeros(n)), segment=lambda: level('segment', np.repeat(np.arange(n), parts), starts.ravel()))

watch = """new MutationObserver((_, o) => { const r = document.querySelector('.mvx[data-draw-ms]'); if (r) { window.first = performance.now(); o.disconnect(); } })
    .observe(document, { subtree: true, childList: true, attributes: true });"""
redraw = """() => { const r = document.querySelector('.mvx'), out = [];
    for (const k of [1, 2, 2, 2, 2]) { if (k > 1) r.mvx.zoom(k); const t = []; for (let i = 0; i < 20; i++) { const a = performance.now(); r.mvx.draw(); t.push(performance.now() - a); } out.push(t.sort((a, b) => a - b)); }
    return out }"""
search = """() => { const i = document.querySelector('.mvx input'), t = []; for (const q of ['made', 'nobody 7', '']) { i.value = q; const a = performance.now(); i.dispatchEvent(new Event('input')); t.push(performance.now() - a); } return t }"""
ask = """() => new Promise(ok => { const r = document.querySelector('.mvx'), a = performance.now();
    new MutationObserver((_, o) => { if (r.dataset.near) { o.disconnect(); ok(performance.now() - a); } }).observe(r, { attributes: true });
    r.querySelector('.mvx-list button').click(); })"""

def measure(browser, file, level):
    "Times of one page"
    page = browser.new_page(viewport=dict(width=1280, height=860))
    page.add_init_script(watch)
    first, work, cdp = [], [], page.context.new_cdp_session(page)
    cdp.send('Performance.setTimeDomain', dict(timeDomain='threadTicks'))
    cdp.send('Performance.enable')
    metric = lambda: {o['name']: o['value'] for o in cdp.send('Performance.getMetrics')['metrics']}['TaskDuration']
    for _ in range(3):
        page.goto('about:blank')
        before = metric()
        page.goto(f'{file.as_uri()}#{quote(json.dumps(dict(level=level)))}')
        page.wait_for_selector('.mvx[data-draw-ms]')
        first.append(page.evaluate('window.first'))
        work.append(1000*(metric()-before))
    asked, draws = page.evaluate(ask), page.evaluate(redraw)
    res = dict(points=int(page.evaluate("document.querySelector('.mvx').dataset.drawn")), page_mb=round(file.stat().st_size/1e6, 1), first_picture_ms=round(min(first)), processor_ms=round(min(work)),
        redraw_median_ms=round(draws[0][10], 1), redraw_least_ms=round(draws[0][0], 1), redraw_zoomed_median_ms=[round(o[10], 1) for o in draws[1:]],
        search_ms=[round(o) for o in page.evaluate(search)], first_neighbours_ms=round(asked))
    page.close()
    return res

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--n', type=int, default=100000)
    p.add_argument('--out', type=Path, default=Path(__file__).parents[1]/'results'/'bench_explorer.json')
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which('chromium'), args=['--no-sandbox', '--disable-gpu'])
        res = dict(about=dict(browser=browser.version, drawing='2-D canvas by the processor, no graphics card', window='1280 x 860', data='synthetic, seed 0',
            page='as from write_page: 18 neighbours a point, clips and starts of six segments a video', load_of_the_machine=[round(o, 1) for o in os.getloadavg()], processors=os.cpu_count()))
        for name,n,levels in (('videos', a.n, ('track',)), ('segments', a.n//6, ('track', 'segment'))):
            file, (media, made) = Path(tmp)/f'{name}.html', made_up(n)
            file.write_text(render_page({o: made[o]() for o in levels}, media, 'joint'), encoding='utf-8')
            res[name] = measure(browser, file, levels[-1])
        browser.close()
    a.out.write_text(json.dumps(res, indent=1)+'\n')
    print(json.dumps(res, indent=1))

if __name__=='__main__': main()
