"""The explorer over 100,000 synthetic points: finding what a page holds, and the page in headless Chromium.

python bench/explorer.py [--n 100000] [--out results/bench_explorer.json]

Pages. Two are made such as `write_page` makes, with six segments per video: `n` videos, whose segments are too many
for a page, and `n` segments of n/6 videos, opened at the segments. They hold what such a page holds: positions (40
groups on a plane), metadata, for every point six neighbours by audio, by video and by both with their moments (which
ones is random), and for every video the names of its clips, their length and the starts of its segments. Everything is
made up (seed 0), and there are no clips. Chromium draws without a graphics card. Times are of the page's own clock:

    first_picture_ms      from the beginning of the load to the first drawing of the map, least of 3
    processor_ms          processor time of the page's thread until everything is read, which other work on the machine
                          does not lengthen, least of 3
    redraw_*              for drawing all points again: the whole map, and four zooms
    search_ms             for three searches
    first_neighbours_ms   from the first click until the neighbours are listed, which is when the page reads them

A frame at 60 Hz is 16.7 ms.

Index. Before that, an index of `n` made-up videos is written, with six segments each and vectors of 128 numbers per
modality, and a made-up map beside it (a real one would be drawn by `fit_tsne`: see bench/tsne.py). Timed are `Points`,
which reads and checks the map, `pack_points`, `near` for 30 videos one after the other (the first one apart), and
`page_level`, which compares each video with all others by audio, by video and by both, and finds the moments.
"""
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
import numpy as np
import pandas as pd
from playwright.sync_api import sync_playwright
from common import parser, write_json
from mvrep.core import MODALITIES
from mvrep.encoders.registry import Encoder
from mvrep.explore.packing import pack_points
from mvrep.explore.points import Points
from mvrep.explore.static_page import VideoClips, clip_name, page_level, render_page
from mvrep.explore.tsne import make_map, map_vectors, write_map
from mvrep.index.index import create_index
from mvrep.learning.synthetic import SyntheticNetwork

N_GROUPS = 40 # on the map
N_PARTS = 6 # segments per video
K = 6 # neighbours per point

# Synthetic videos

@dataclass(frozen=True)
class Cast:
    "Videos that do not exist"
    videos:pd.DataFrame # Metadata by video_id
    group:np.ndarray # Group of each video, shape (n,)
    starts:np.ndarray # Start of each segment, seconds, shape (n, N_PARTS)

    def group_positions(self, group, rng):
        "Positions on a map where groups lie together, shape (n, 2)"
        centres = rng.normal(scale=40, size=(N_GROUPS, 2))
        return (centres[group]+rng.normal(scale=4, size=(len(group), 2))).astype(np.float32)

def make_cast(n, rng):
    "Metadata, groups and segments of `n` videos"
    group, ids = rng.integers(0, N_GROUPS, n), [f'm{i:06d}' for i in range(n)]
    videos = pd.DataFrame(dict(
        title=[f'Made up {i}' for i in range(n)], artist=[f'Artist {o}' for o in rng.integers(0, n//5, n)],
        genre=[f'genre {o%10}' for o in group], mood=rng.choice(['glad', 'dark'], n), emotion=None,
        release_date=rng.integers(1980, 2024, n).astype(str), origin=rng.choice(['NL', 'NO', 'JP'], n), split='train',
        license='none', duration=rng.uniform(120, 300, n), tags=[['made', 'up']]*n),
        index=pd.Index(ids, name='video_id'))
    latest = videos.duration.to_numpy()[:, None]-5
    return Cast(videos, group, np.sort(rng.uniform(0, 1, (n, N_PARTS)), axis=1)*latest)

@dataclass(frozen=True)
class SyntheticPage:
    "What a page holds of videos that do not exist"
    cast:Cast # The videos
    clips:list # `VideoClips` of each
    rng:np.random.Generator # Decides positions and neighbours

    def level(self, name):
        "As from `page_level`, for the level 'video' or 'segment'"
        n = len(self.clips)
        is_segment = name=='segment'
        row = np.repeat(np.arange(n), N_PARTS) if is_segment else np.arange(n)
        video_ids = self.cast.videos.index.to_numpy(object)[row]
        starts = self.cast.starts.ravel() if is_segment else np.zeros(n)
        ids = [f'{o}_{i%N_PARTS}' for i, o in enumerate(video_ids)] if is_segment else list(video_ids)
        keys = pd.DataFrame(dict(video_id=video_ids, start=starts, length=5.), index=pd.Index(ids, name='id'))
        xy = self.cast.group_positions(self.cast.group[row], self.rng)
        no_vectors = np.zeros((len(row), 1), np.float32)
        m = make_map(keys, no_vectors, xy, 'joint', name, perplexity=30., seed=0, kl=0.)
        return pack_points(self.cast.videos, m)|dict(more=self.more(row, starts, is_segment))

    def more(self, row, starts, is_segment):
        "Neighbours that are random"
        shape = 3, len(row), K
        def segments(): return self.rng.integers(0, N_PARTS, 0 if is_segment else shape).astype('<u2')
        arrays = dict(
            video_rows=row.astype('<u4'), point_starts=(starts if is_segment else np.zeros(0)).astype('<f4'),
            neighbours=self.rng.integers(0, len(row), shape).astype('<u4'),
            scores=self.rng.integers(-100, 101, shape).astype(np.int8),
            own_segments=segments(), segments=segments())
        return dict(k=K)|{name: array.tobytes() for name, array in arrays.items()}

def synthetic_page(n, seed=0):
    "A page of `n` videos that do not exist"
    rng = np.random.default_rng(seed)
    cast = make_cast(n, rng)
    starts = np.round(cast.starts, 3).tolist()
    clips = [VideoClips(clip_name(video_id), True, 10., o, o) for video_id, o in zip(cast.videos.index, starts)]
    return SyntheticPage(cast, clips, rng)

# The index

ENCODERS = dict(audio='audio_net', video='video_net')

def group_vectors(group, d, rng):
    "Unit-norm vectors of which those of one group are similar, shape (n, d)"
    centres = rng.standard_normal((N_GROUPS, d), dtype=np.float32)
    x = centres[group]+.9*rng.standard_normal((len(group), d), dtype=np.float32)
    return x/np.linalg.norm(x, axis=1, keepdims=True)

def segment_keys(ids, starts):
    "Keys of the segments of some videos, for the feature store"
    return pd.DataFrame(dict(
        segment_id=[f'{video_id}_{i}' for video_id in ids for i in range(N_PARTS)], video_id=np.repeat(ids, N_PARTS),
        segment=np.tile(np.arange(N_PARTS), len(ids)), start=starts.ravel(), length=5., split='', source='x'))

def make_index(folder, n, d=128, seed=0, block=10_000):
    "An index of `n` made-up videos"
    rng = np.random.default_rng(seed)
    cast = make_cast(n, rng)
    ids = cast.videos.index.to_numpy(object)
    encoders = [Encoder(name, modality, SyntheticNetwork(d)) for modality, name in ENCODERS.items()]
    index = create_index(folder, tuple(ENCODERS.values()), ENCODERS)
    for o in encoders: index.store.add_column(o)
    index.put_videos(cast.videos.reset_index().assign(path=[f'/nowhere/{o}.mp4' for o in ids]))
    embeddings = {m: group_vectors(cast.group, d, rng) for m in MODALITIES}
    for start in range(0, n, block):
        keys = segment_keys(ids[start:start+block], cast.starts[start:start+block])
        def noisy(emb): return emb+.05*rng.standard_normal(emb.shape, dtype=np.float32)
        feats = {o: noisy(np.repeat(embeddings[o.modality][start:start+block], N_PARTS, axis=0)) for o in encoders}
        index.store.append(keys, feats)
    index.put_embeddings(ids, embeddings)
    put_map(index, cast, rng)
    return index

def put_map(index, cast, rng):
    "Keep a map of random positions with the index"
    keys, vectors = map_vectors(index)
    xy = cast.group_positions(cast.group, rng)
    write_map(index, make_map(keys, vectors, xy, 'joint', 'video', perplexity=30., seed=0, kl=0.))

class Stopwatch:
    "Seconds that named calls take"
    def __init__(self): self.seconds = {}

    def time(self, name, function, *args):
        start = time.perf_counter()
        result = function(*args)
        self.seconds[name] = time.perf_counter()-start
        return result

def time_index(folder, n, n_near=30):
    "Times of what the explorer makes of an index"
    index, watch = make_index(folder, n), Stopwatch()
    points = watch.time('points_s', Points, index)
    watch.time('pack_points_s', pack_points, index.videos, points.map)
    first, *others = np.random.default_rng(0).choice(index.build.video_ids, n_near+1, replace=False)
    watch.time('first_near_s', points.near, first)
    near_ms = []
    for video_id in others:
        watch.time('near', points.near, video_id)
        near_ms.append(1000*watch.seconds.pop('near'))
    watch.time('page_level_s', page_level, points)
    seconds = {name: round(o, 3) for name, o in watch.seconds.items()}
    width = index.build.embeddings['audio'].shape[1]
    return dict(videos=n, segments=len(index.store), numbers_a_side=width,
                near_median_ms=round(float(np.median(near_ms)), 1), **seconds)

# The page

WATCH = """new MutationObserver((_, observer) => {
    if (!document.querySelector('.mvx[data-draw-ms]')) return;
    window.first = performance.now(); observer.disconnect();
}).observe(document, { subtree: true, childList: true, attributes: true });"""
REDRAW = """() => { const { mvx } = document.querySelector('.mvx'), out = [];
    for (const k of [1, 2, 2, 2, 2]) {
        if (k > 1) mvx.zoom(k);
        const times = [];
        for (let i = 0; i < 20; i++) { const a = performance.now(); mvx.draw(); times.push(performance.now() - a); }
        out.push(times.sort((a, b) => a - b));
    }
    return out }"""
SEARCH = """() => { const input = document.querySelector('.mvx input');
    return ['made', 'artist 7', ''].map(text => {
        input.value = text;
        const start = performance.now();
        input.dispatchEvent(new Event('input'));
        return performance.now() - start;
    }) }"""
ASK = """() => new Promise(resolve => { const root = document.querySelector('.mvx'), start = performance.now();
    new MutationObserver((_, observer) => {
        if (root.dataset.near) { observer.disconnect(); resolve(performance.now() - start); }
    }).observe(root, { attributes: true });
    root.querySelector('.mvx-list button').click(); })"""

def processor_seconds(session):
    "Processor time of a page's thread so far"
    metrics = session.send('Performance.getMetrics')['metrics']
    return next(o['value'] for o in metrics if o['name']=='TaskDuration')

def open_page(page, session, address):
    "Milliseconds to the first drawing, and of the processor"
    page.goto('about:blank')
    before = processor_seconds(session)
    page.goto(address)
    page.wait_for_selector('.mvx[data-draw-ms]')
    return page.evaluate('window.first'), 1000*(processor_seconds(session)-before)

def measure(browser, file, level):
    "Times of one page"
    page = browser.new_page(viewport=dict(width=1280, height=860))
    page.add_init_script(WATCH)
    session = page.context.new_cdp_session(page)
    session.send('Performance.setTimeDomain', dict(timeDomain='threadTicks'))
    session.send('Performance.enable')
    address = f'{file.as_uri()}#{quote(json.dumps(dict(level=level)))}'
    first_ms, processor_ms = zip(*(open_page(page, session, address) for _ in range(3)))
    n_points = int(page.evaluate("document.querySelector('.mvx').dataset.drawn"))
    neighbours_ms, redraw_ms, search_ms = (page.evaluate(o) for o in (ASK, REDRAW, SEARCH))
    page.close()
    whole, *zoomed = redraw_ms
    return dict(
        points=n_points, page_mb=round(file.stat().st_size/1e6, 1), first_picture_ms=round(min(first_ms)),
        processor_ms=round(min(processor_ms)), redraw_median_ms=round(whole[10], 1), redraw_least_ms=round(whole[0], 1),
        redraw_zoomed_median_ms=[round(o[10], 1) for o in zoomed], search_ms=[round(o) for o in search_ms],
        first_neighbours_ms=round(neighbours_ms))

def write_synthetic_page(file, n, levels):
    page = synthetic_page(n)
    made = {o: page.level(o) for o in levels}
    file.write_text(render_page(made, page.clips, 'joint'), encoding='utf-8')

def about(browser):
    "What the numbers were measured on"
    return dict(
        browser=browser.version, drawing='2-D canvas by the processor, no graphics card', window='1280 x 860',
        data='synthetic, seed 0',
        page='as from write_page: 18 neighbours a point, clips and starts of six segments a video',
        load_of_the_machine=[round(o, 1) for o in os.getloadavg()], processors=os.cpu_count())

def measure_all(n, folder):
    "All numbers, as they are written"
    made = time_index(folder/'index', n)
    pages = dict(videos=(n, ['video']), segments=(n//N_PARTS, ['video', 'segment']))
    with sync_playwright() as play:
        options = dict(executable_path=shutil.which('chromium'), args=['--no-sandbox', '--disable-gpu'])
        browser = play.chromium.launch(**options)
        results = dict(about=about(browser), index=made)
        for name, (n_videos, levels) in pages.items():
            file = folder/f'{name}.html'
            write_synthetic_page(file, n_videos, levels)
            results[name] = measure(browser, file, levels[-1])
        browser.close()
    return results

def main():
    options = parser(__doc__, 'bench_explorer.json')
    options.add_argument('--n', type=int, default=100_000)
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as tmp: results = measure_all(args.n, Path(tmp))
    write_json(args.out, results)
    print(json.dumps(results, indent=1))

if __name__=='__main__': main()
