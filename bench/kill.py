"""Kill `mvrep index` at random moments, run it again, and compare the index with one that was made undisturbed

    python bench/kill.py                                             # writes results/kill.json
    python bench/kill.py --kills 1 --videos 2 --out /tmp/kill.json

A round is one index folder: the command is killed up to four times, and then left to end. Every second kill comes at a
moment drawn from the length of an undisturbed run, most of which is imports. The others come up to a second after a
drawn number of new segments is on disk. Every column of every row, the metadata, the embeddings, the scales and the
table of errors must be equal bit for bit.
"""
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
import psutil
from common import parser, write_json

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'tests'))
from commands import start, workers_of
from indexes import assert_same, content_of, make_videos, n_committed

MAX_KILLS = 4 # In one round

@dataclass(frozen=True)
class Undisturbed:
    "What the interrupted runs are compared with"
    videos:Path # Folder of videos
    content:object # `Content` of their index
    seconds:float # Time that it took to make it

    @property
    def n_segments(self): return len(self.content.tables['segments'])

@dataclass(frozen=True)
class Kill:
    "One kill, and what was left"
    second:float # When it came, after the start of the command
    workers:int # Worker processes at that moment
    still_alive:int # Those that had not ended a minute later
    ended_after:float # Seconds until the workers ended
    segments_on_disk:int # Segments that were kept

    def log_entry(self, round_number):
        "The kill in results/kill.json"
        return dict(round=round_number, second=round(self.second, 1), workers=self.workers,
                    workers_left_after_a_minute=self.still_alive, segments_on_disk=self.segments_on_disk)

# Commands

def start_index(videos, folder): return start('index', videos, '--out', folder, '--workers', 2)

def finish(process):
    "Wait for a command; end this script if it failed"
    _, errors = process.communicate()
    if process.returncode: sys.exit(f'ended with {process.returncode}\n{errors}')

def run_undisturbed(folder, n_videos):
    videos = make_videos(folder/'videos', n_videos)
    started = time.monotonic()
    finish(start_index(videos, folder/'undisturbed'))
    seconds = time.monotonic()-started
    return Undisturbed(videos, content_of(folder/'undisturbed'), seconds)

# Kills

def is_running(process): return process.poll() is None

def wait_for_segments(process, folder, n_segments, delay):
    "Wait until a number of segments is on disk, and then for `delay` seconds"
    while is_running(process) and n_committed(folder)<n_segments: time.sleep(.02)
    if is_running(process): time.sleep(delay)

def wait_for_moment(process, moment):
    "Wait until a time of `time.monotonic`"
    while is_running(process) and time.monotonic()<moment: time.sleep(.02)

def kill_once(undisturbed, folder, rng, attempt):
    "Start the command and kill it at a random moment; None if it was complete before"
    n_segments = rng.randint(n_committed(folder)+1, undisturbed.n_segments)
    after, delay = rng.uniform(0, undisturbed.seconds), rng.random()
    started = time.monotonic()
    process = start_index(undisturbed.videos, folder)
    if attempt%2==0: wait_for_segments(process, folder, n_segments, delay)
    else: wait_for_moment(process, started+after)
    second = time.monotonic()-started
    workers = workers_of(process) if is_running(process) else []
    process.kill()
    _, errors = process.communicate()
    if process.returncode==0: return None
    if process.returncode!=-9: sys.exit(f'ended with {process.returncode}\n{errors}')
    killed = time.monotonic()
    _, alive = psutil.wait_procs(workers, timeout=60)
    ended_after = time.monotonic()-killed if workers else 0.
    return Kill(second, len(workers), len(alive), ended_after, n_committed(folder))

def run_round(undisturbed, folder, rng, max_kills):
    "Kill the command a few times, let it end, and compare; the kills"
    kills = []
    for attempt in range(max_kills):
        if n_committed(folder)==undisturbed.n_segments: break
        kill = kill_once(undisturbed, folder, rng, attempt)
        if not kill: break
        kills.append(kill)
        print(kill, flush=True)
    finish(start_index(undisturbed.videos, folder))
    assert_same(content_of(folder), undisturbed.content)
    return kills

def measure(folder, n_kills, n_videos, seed):
    "Rounds until the command was killed `n_kills` times: the content of results/kill.json"
    rng = random.Random(seed)
    rounds, n_left = [], n_kills
    undisturbed = run_undisturbed(folder, n_videos)
    while n_left:
        rounds.append(run_round(undisturbed, folder/f'round-{len(rounds)}', rng, min(n_left, MAX_KILLS)))
        n_left -= len(rounds[-1])
        print(f'round {len(rounds)}: equal to the undisturbed run', flush=True)
    kills = [kill for in_round in rounds for kill in in_round]
    return dict(
        command='python bench/kill.py', seed=seed, videos=n_videos, segments=undisturbed.n_segments,
        undisturbed_seconds=round(undisturbed.seconds, 1), kills=len(kills),
        rounds_that_ended_with_exactly_the_rows_of_an_undisturbed_run=len(rounds), # another one would have raised
        rounds=len(rounds), slowest_end_of_a_worker_seconds=round(max(o.ended_after for o in kills), 2),
        log=[o.log_entry(i+1) for i, in_round in enumerate(rounds) for o in in_round])

if __name__=='__main__':
    options = parser(__doc__, 'kill.json')
    options.add_argument('--kills', type=int, default=20)
    options.add_argument('--videos', type=int, default=8)
    options.add_argument('--seed', type=int, default=0)
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), args.kills, args.videos, args.seed)
    write_json(args.out, found)
