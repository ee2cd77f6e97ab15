"""Extraction with one worker and with two, and the memory it takes as the number of videos grows: python bench/extract.py

Writes results/bench_extract.json. The videos are the demo corpus (synthetic, 24 s each), given `--repeat` times under other names, so that
memory is seen over many. Start-up (imports, weights) is timed apart, by a run over two videos, and taken off the rate. Memory is of the
command and its workers together (proportional set size would need root: this is resident size, so what they share counts for each),
sampled five times a second; the four numbers are the greatest in each quarter of the run.
"""
import argparse, json, os, tempfile, threading, time
from pathlib import Path
import pandas as pd
import psutil
from mvrep.core import atomic_write
from mvrep.corpus.manifest import read_manifest
from mvrep.corpus.demo import demo_corpus
from mvrep.features.extraction import extract
from mvrep.features.store import FeatureStore

def watch(stop, out):
    "Seconds since the start and gigabytes of this process and its children, until `stop`"
    me,t = psutil.Process(), time.monotonic()
    while not stop.wait(.2):
        size = 0
        for o in (me, *me.children(recursive=True)):
            try: size += o.memory_info().rss
            except psutil.Error: pass
        out.append((time.monotonic()-t, size/1e9))

def run(corpus, workers):
    "Wall seconds, processor seconds, and the memory seen"
    with tempfile.TemporaryDirectory() as d:
        stop,seen = threading.Event(), []
        w = threading.Thread(target=watch, args=(stop, seen))
        w.start()
        a,t = os.times(), time.monotonic()
        count = extract(corpus, FeatureStore(Path(d)), workers=workers, progress=False)
        wall,b = time.monotonic()-t, os.times()
        stop.set()
        w.join()
        assert count==dict(done=len(corpus), failed=0, skipped=0)
        quarter = lambda i: round(max(m for s,m in seen if i<=4*s/wall<i+1.01), 2)
        return wall, sum(b[:4])-sum(a[:4]), [quarter(i) for i in range(4)]

def main(repeat):
    one = read_manifest(demo_corpus()/'manifest.csv')
    corpus = pd.concat([one.assign(video_id=one.video_id+f'-{i}') for i in range(repeat)], ignore_index=True)
    rows,load = [], os.getloadavg()
    for workers in (1, 2):
        start = run(corpus.iloc[:2], workers)[0]
        wall,cpu,memory = run(corpus, workers)
        rows.append(dict(workers=workers, videos=len(corpus), start_seconds=round(start, 1), seconds=round(wall, 1), videos_a_second=round((len(corpus)-2)/(wall-start), 3),
                         cpu_seconds_a_video=round(cpu/len(corpus), 2), gigabytes_in_each_quarter=memory))
        print(rows[-1], flush=True)
    gain = rows[1]['videos_a_second']/rows[0]['videos_a_second']
    with atomic_write('results/bench_extract.json') as o:
        o.write_text(json.dumps(dict(command=f'python bench/extract.py --repeat {repeat}', cores=len(os.sched_getaffinity(0)), load_average=[round(o, 1) for o in load],
            rows=rows, two_workers_to_one=round(gain, 2)), indent=1)+'\n')

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--repeat', type=int, default=2)
    main(p.parse_args().repeat)
