"""Extraction with one worker and with two: `python bench/extract.py` writes results/bench_extract.json

The videos are the demo corpus (synthetic, 24 s each), `--repeat` times under other names, so that memory is measured
over many videos. A run over two videos times the start (imports, weights), which is subtracted. Memory is the resident
size of the command and its workers, so pages that they share count for each. It is sampled five times a second, and the
four numbers are the maxima of the quarters of the run.
"""
import os
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
import pandas as pd
import psutil
from common import parser, write_json
from mvrep.corpus.demo import demo_corpus
from mvrep.corpus.manifest import read_manifest
from mvrep.features.extraction import extract
from mvrep.features.store import FeatureStore

@dataclass(frozen=True)
class Run:
    "What a run over a corpus took"
    seconds:float # Wall time
    processor_seconds:float # Of the command and its workers
    gigabytes:list # Most memory in each quarter

def resident_gigabytes(process):
    "Memory of a process and its children"
    size = 0
    for o in (process, *process.children(recursive=True)):
        try: size += o.memory_info().rss
        except psutil.Error: pass # it has ended
    return size/1e9

@contextmanager
def watched_memory():
    "Yields a list that grows by `(seconds, gigabytes)` while the block runs"
    samples, stop = [], threading.Event()
    process, start = psutil.Process(), time.monotonic()
    def watch():
        while not stop.wait(.2): samples.append((time.monotonic()-start, resident_gigabytes(process)))
    thread = threading.Thread(target=watch)
    thread.start()
    try: yield samples
    finally:
        stop.set()
        thread.join()

def cpu_seconds(): return sum(os.times()[:4])

def run(corpus, workers):
    "Extract a corpus into a temporary store"
    with tempfile.TemporaryDirectory() as folder:
        start, cpu = time.monotonic(), cpu_seconds()
        with watched_memory() as samples:
            count = extract(corpus, FeatureStore(Path(folder)), workers=workers, progress=False)
        seconds = time.monotonic()-start
    assert count==dict(done=len(corpus), failed=0, skipped=0)
    def quarter(i): return round(max(gb for t, gb in samples if i<=4*t/seconds<i+1.01), 2)
    return Run(seconds, cpu_seconds()-cpu, [quarter(i) for i in range(4)])

def measure(corpus, workers):
    "A row of the result"
    start = run(corpus.iloc[:2], workers).seconds
    whole, n = run(corpus, workers), len(corpus)
    return dict(
        workers=workers, videos=n, start_seconds=round(start, 1), seconds=round(whole.seconds, 1),
        videos_a_second=round((n-2)/(whole.seconds-start), 3), cpu_seconds_a_video=round(whole.processor_seconds/n, 2),
        gigabytes_in_each_quarter=whole.gigabytes)

def main():
    options = parser(__doc__, 'bench_extract.json')
    options.add_argument('--repeat', type=int, default=2, help='times that the corpus is extracted')
    options.add_argument('--videos', type=int, default=96, help='videos of the corpus')
    args = options.parse_args()
    videos = read_manifest(demo_corpus(args.videos)/'manifest.csv')
    copies = [videos.assign(video_id=videos.video_id+f'-{i}') for i in range(args.repeat)]
    corpus = pd.concat(copies, ignore_index=True)
    load, rows = [round(o, 1) for o in os.getloadavg()], []
    for workers in (1, 2):
        rows.append(measure(corpus, workers))
        print(rows[-1], flush=True)
    gain = rows[1]['videos_a_second']/rows[0]['videos_a_second']
    doc = dict(command=f'python bench/extract.py --repeat {args.repeat}', cores=len(os.sched_getaffinity(0)),
               load_average=load, rows=rows, two_workers_to_one=round(gain, 2))
    write_json(args.out, doc)

if __name__=='__main__': main()
