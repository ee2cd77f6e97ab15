"""The explorer over 100,000 synthetic points: what it takes to get them from an index, and the page in headless Chromium, drawn without a graphics card.

python bench/explorer.py [--n 100000] [--out results/bench_explorer.json]

Two pages such as `write_page` makes, of six segments a video: `n` videos, whose segments are too many for a page, and `n` segments of n/6 videos,
opened at the segments. They hold what such a page holds: positions (40 groups on a plane), metadata, for every point six neighbours by sound, by picture
and by both with their moments (which ones is drawn at random), and for every video the name of its clips, their lengths and the starts of its segments.
Videos, titles, neighbours and names are made up (seed 0), and there are no clips. Times are of the page's own clock: until the first picture of the map
after the page began to load (least of 3, with the processor time of the page's thread until all of it is read, which other work on the machine does not
lengthen), for drawing all points again, in the whole and at four zooms, for a search, and from the first click until the neighbours are listed, which is
when the page reads what it holds of them (its picture is on the screen long before). A frame at 60 Hz is 16.7 ms.

Before that, an index of `n` made-up videos is written, with six segments each and vectors of 128 numbers a side, and a made-up map beside it (a real one
would be drawn by `fit_tsne`: see bench/tsne.py). Timed are `Points` (which reads and checks the map), `pack_points`, `near` for 30 videos one after the other
(the first apart), and `page_level`, which compares each video with all others by sound, by picture and by both, and finds the moments.
"""
import argparse, json, os, shutil, tempfile, time
from pathlib import Path
from urllib.parse import quote
import numpy as np, pandas as pd
from playwright.sync_api import sync_playwright
from safetensors.numpy import save_file
from mvrep.core import atomic_write
from mvrep.explore.explorer import _name, render_page
from mvrep.encoders.registry import Encoder
from mvrep.index.index import create_index
from mvrep.explore.points import Points, pack_points, page_level
from mvrep.learning.data import SyntheticNetwork
from mvrep.explore.tsne import Map, _checks, _file, map_vectors

def cast(n, parts, rng):
    "Metadata of `n` videos that do not exist, the group of each, and where their segments begin"
    g = rng.integers(0, 40, n)
    ids = [f'm{i:06d}' for i in range(n)]
    videos = pd.DataFrame(dict(title=[f'Made up {i}' for i in range(n)], artist=[f'Nobody {o}' for o in rng.integers(0, n//5, n)], genre=[f'genre {o%10}' for o in g],
        mood=rng.choice(['glad', 'dark'], n), emotion=None, release_date=rng.integers(1980, 2024, n).astype(str), origin=rng.choice(['NL', 'NO', 'JP'], n), split='train',
        license='none', duration=rng.uniform(120, 300, n), tags=[['made', 'up']]*n), index=pd.Index(ids, name='video_id'))
    return videos, g, np.sort(rng.uniform(0, 1, (n, parts)), 1)*(videos.duration.to_numpy()[:, None]-5)

def made_up(n, k=6, parts=6, seed=0):
    "What a page knows of the clips of `n` made-up videos, and the levels 'track' and 'segment'"
    rng = np.random.default_rng(seed)
    videos,g,starts = cast(n, parts, rng)
    ids = list(videos.index)
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

def make_index(folder, n, parts=6, d=128, seed=0):
    "An index of `n` made-up videos in 40 groups, and a map of them"
    rng,encoders = np.random.default_rng(seed), (Encoder('sound', 'audio', SyntheticNetwork(d)), Encoder('picture', 'video', SyntheticNetwork(d)))
    videos,g,starts = cast(n, parts, rng)
    ids,ix = videos.index.to_numpy(object), create_index(folder, ('sound', 'picture'), dict(audio='sound', video='picture'))
    for e in encoders: ix.store.add_column(e)
    ix.put_videos(videos.reset_index().assign(path=[f'/nowhere/{v}.mp4' for v in ids]))
    tracks = {}
    for e in encoders:
        x = rng.standard_normal((40, d), dtype=np.float32)[g]+.9*rng.standard_normal((n, d), dtype=np.float32)
        tracks[e.modality] = x/np.linalg.norm(x, axis=1, keepdims=True)
    for i in range(0, n, 10_000):
        some = ids[i:i+10_000]
        m = len(some)*parts
        keys = pd.DataFrame(dict(segment_id=[f'{v}_{j}' for v in some for j in range(parts)], video_id=np.repeat(some, parts), segment=np.tile(np.arange(parts), len(some)),
            start=starts[i:i+10_000].ravel(), length=5., split='', source='x'))
        noise = {e: .05*rng.standard_normal((m, d), dtype=np.float32) for e in encoders}
        ix.store.append(keys, {e: np.repeat(tracks[e.modality][i:i+10_000], parts, 0)+noise[e] for e in encoders})
    ix._save(ids, dict.fromkeys(ids, 'x'), tracks, {o: np.stack([np.zeros(d), np.ones(d)]) for o in tracks}, '')
    keys,x = map_vectors(ix)
    xy = (rng.normal(scale=40, size=(40, 2))[g]+rng.normal(scale=4, size=(n, 2))).astype(np.float32)
    about = dict(format='1', perplexity='30.0', seed='0', kl='0.0')
    with atomic_write(_file(ix, 'joint', 'track')) as tmp: save_file(dict(ids=np.frombuffer(json.dumps(list(keys.index)).encode(), np.uint8), xy=xy, checks=_checks(x)), tmp, about)
    return ix

def from_index(folder, n):
    "Times of what the explorer makes of an index"
    ix,t = make_index(folder, n), {}
    def timed(name, f):
        a = time.perf_counter()
        res = f()
        t[name] = round(time.perf_counter()-a, 3)
        return res
    points = timed('points_s', lambda: Points(ix))
    timed('pack_points_s', lambda: pack_points(ix.videos, points.map))
    some,near = np.random.default_rng(0).choice(ix.build.video_ids, 31, replace=False), []
    timed('first_near_s', lambda: points.near(some[0]))
    for v in some[1:]:
        timed('near', lambda: points.near(v))
        near.append(1000*t.pop('near'))
    timed('page_level_s', lambda: page_level(points))
    return dict(videos=n, segments=len(ix.store), numbers_a_side=ix.build.embeddings['audio'].shape[1], near_median_ms=round(float(np.median(near)), 1), **t)

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
        made = from_index(Path(tmp)/'index', a.n)
        browser = play.chromium.launch(executable_path=shutil.which('chromium'), args=['--no-sandbox', '--disable-gpu'])
        res = dict(about=dict(browser=browser.version, drawing='2-D canvas by the processor, no graphics card', window='1280 x 860', data='synthetic, seed 0',
            page='as from write_page: 18 neighbours a point, clips and starts of six segments a video', load_of_the_machine=[round(o, 1) for o in os.getloadavg()], processors=os.cpu_count()))
        res['index'] = made
        for name,n,levels in (('videos', a.n, ('track',)), ('segments', a.n//6, ('track', 'segment'))):
            file, (media, level) = Path(tmp)/f'{name}.html', made_up(n)
            file.write_text(render_page({o: level[o]() for o in levels}, media, 'joint'), encoding='utf-8')
            res[name] = measure(browser, file, levels[-1])
        browser.close()
    a.out.write_text(json.dumps(res, indent=1)+'\n')
    print(json.dumps(res, indent=1))

if __name__=='__main__': main()
