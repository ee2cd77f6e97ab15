"""Kill `mvrep index` at random moments and compare the result with an undisturbed run: `python bench/kill.py`

Writes results/kill.json. In a round, an index is killed by SIGKILL up to four times and then left to end. Every second
moment is drawn from the whole length of an undisturbed run, most of which is imports; the others are up to a second
after a random number of new segments is on disk. At the end of a round every column of every row, the videos' metadata,
their vectors, the scale and the error table must equal those of the undisturbed run, to the last bit.
"""
import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
import psutil
from mvrep.core import atomic_write

root = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(root/'tests'))
from commands import start
from media_files import SHORT_GOP, make
from test_pipeline import Content, assert_same, content_of, n_committed, workers_of

@dataclass
class Trial:
    "An undisturbed run, and the kills so far"
    videos:Path # Folder of videos
    expected:Content # Of the undisturbed index
    seconds:float # How long that took
    rng:random.Random # Of the moments
    most_kills:int # When to stop
    log:list = field(default_factory=list) # One entry per kill
    slowest:float = 0. # Longest time a worker outlived a kill, seconds

    @property
    def segments(self): return len(self.expected.tables['segments'])

def make_videos(folder, n):
    "Different videos; the second takes longer than the others"
    folder.mkdir()
    for i in range(n):
        seconds = 40 if i==1 else 2+i
        make(folder/f'v{i}.mp4', seconds=seconds, options=SHORT_GOP, sr=32000+i%2*12100)
    return folder

def start_index(videos, index): return start('index', videos, '--out', index, '--workers', 2)

def undisturbed(folder, n_videos, seed, kills):
    "Index the videos once"
    videos = make_videos(folder/'videos', n_videos)
    begin = time.monotonic()
    process = start_index(videos, folder/'undisturbed')
    errors = process.communicate()[1]
    if process.returncode: sys.exit(errors)
    return Trial(videos, content_of(folder/'undisturbed'), time.monotonic()-begin, random.Random(seed), kills)

def wait_in_the_work(process, index, segments, delay):
    "Until a number of segments is on disk and a delay has passed, or the process has ended"
    while process.poll() is None and n_committed(index)<segments: time.sleep(.02)
    if process.poll() is None: time.sleep(delay)

def wait_anywhere(process, seconds):
    "Until some seconds have passed, or the process has ended"
    stop = time.monotonic()+seconds
    while process.poll() is None and time.monotonic()<stop: time.sleep(.02)

def kill(trial, process, index, number, begin):
    "Kill a run and log it; returns False if the run had already ended"
    seconds = time.monotonic()-begin
    left = workers_of(process) if process.poll() is None else []
    process.kill()
    errors = process.communicate()[1]
    if process.returncode==0: return False
    if process.returncode!=-9: sys.exit(f'ended with {process.returncode}\n{errors}')
    killed = time.monotonic()
    alive = psutil.wait_procs(left, timeout=60)[1]
    if left: trial.slowest = max(trial.slowest, time.monotonic()-killed)
    trial.log.append(dict(
        round=number, second=round(seconds, 1), workers=len(left), workers_left_after_a_minute=len(alive),
        segments_on_disk=n_committed(index)))
    print(trial.log[-1], flush=True)
    return True

def play_round(trial, index, number):
    "Kill a run up to four times, then let it end"
    for k in range(5):
        is_last = k==4 or len(trial.log)>=trial.most_kills or n_committed(index)==trial.segments
        segments = None if is_last else trial.rng.randint(n_committed(index)+1, trial.segments)
        moment, delay = trial.rng.uniform(0, trial.seconds), trial.rng.random()
        process, begin = start_index(trial.videos, index), time.monotonic()
        if is_last: process.wait()
        elif k%2==0: wait_in_the_work(process, index, segments, delay)
        else: wait_anywhere(process, moment)
        if not kill(trial, process, index, number, begin): break
    assert_same(content_of(index), trial.expected)
    print(f'round {number}: the same as undisturbed', flush=True)

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--videos', type=int, default=8)
    parser.add_argument('--out', type=Path, default=root/'results'/'kill.json')
    args = parser.parse_args()
    seed, n_rounds = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        trial = undisturbed(Path(folder), args.videos, seed, args.kills)
        while len(trial.log)<args.kills:
            n_rounds += 1
            play_round(trial, Path(folder)/f'round-{n_rounds}', n_rounds)
    doc = dict(
        command='python bench/kill.py', seed=seed, videos=args.videos, segments=trial.segments,
        undisturbed_seconds=round(trial.seconds, 1), kills=len(trial.log),
        rounds_that_ended_with_exactly_the_rows_of_an_undisturbed_run=n_rounds, rounds=n_rounds,
        slowest_end_of_a_worker_seconds=round(trial.slowest, 2), log=trial.log)
    with atomic_write(args.out) as tmp: tmp.write_text(json.dumps(doc, indent=1)+'\n')

if __name__=='__main__': main()
