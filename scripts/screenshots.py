"""Make the two screenshots of README.md: the explorer, and the neighbours of a video, both over the study index.

python scripts/screenshots.py [--out docs/static]
"""
import argparse
import io
import sys
import tempfile
from pathlib import Path
from PIL import Image

root = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(root/'tests'))

from browser import open_browser, served, watched_page # noqa: E402
from mvrep.explore.report import neighbour_precision, pick_seeds, write_report # noqa: E402
from mvrep.explore.static_page import write_page # noqa: E402
from mvrep.index.examples import study_index # noqa: E402

MAX_BYTES = 150_000 # Of a file
MAP_HEIGHT = 655 # Of the explorer: the map and its legend, without the list below, pixels
SECOND = 3 # Of each clip, the frame that is shown

def save(png, path, height=None):
    "Save the upper part of a screenshot with 256 colours. Raises `ValueError` if the file would be large."
    image = Image.open(io.BytesIO(png)).convert('RGB')
    image = image.crop((0, 0, image.width, height or image.height))
    image = image.quantize(256, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
    size = path.stat().st_size
    if size>MAX_BYTES: raise ValueError(f'{path.name} has {size:,} bytes, at most {MAX_BYTES:,} are allowed')
    print(f'{path}  {image.width} × {image.height}  {size:,} bytes')

SHOW_FRAME = """second => {
  for (const o of document.querySelectorAll('video[src]')) { o.pause(); o.currentTime = second }
}"""

def show_frame(page):
    "Pause all videos of a page at the same second, and give them time to draw that frame."
    page.evaluate(SHOW_FRAME, SECOND)
    page.wait_for_timeout(3000)

def explorer_image(browser, index, address):
    "A screenshot of the explorer after a click on a point."
    page = watched_page(browser, address, viewport=dict(width=1000, height=700), color_scheme='light')
    page.set_default_timeout(60_000)
    page.goto(f'{address}/explorer/index.html')
    explorer = page.locator('.mvx')
    page.locator(f'.mvx[data-drawn="{len(index)}"]').wait_for()
    video_id, = pick_seeds(index, n=1)
    position = explorer.evaluate('(o, id) => o.mvx.px(o.mvx.at(id))', video_id)
    page.mouse.click(*position)
    page.locator(f'.mvx[data-playing="{video_id}"][data-near]').wait_for()
    show_frame(page)
    page.mouse.move(0, 0)
    return explorer.screenshot()

def neighbours_image(browser, address):
    "A screenshot of the first seed of the report and its neighbours."
    page = watched_page(browser, address, viewport=dict(width=1000, height=700), color_scheme='light')
    page.set_default_timeout(60_000)
    page.goto(f'{address}/report.html')
    show_frame(page)
    return page.locator('section', has=page.locator('.seed')).first.screenshot()

def main():
    "Write both images."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=root/'docs/static', help='a folder')
    out = parser.parse_args().out
    index = study_index()
    with tempfile.TemporaryDirectory() as folder:
        write_page(index, Path(folder)/'explorer')
        write_report(index, Path(folder)/'report.html', neighbour_precision(index), pick_seeds(index, n=1), k=4)
        with open_browser() as browser, served(folder) as address:
            save(explorer_image(browser, index, address), out/'explorer.png', MAP_HEIGHT)
            save(neighbours_image(browser, address), out/'neighbours.png')

if __name__=='__main__': main()
