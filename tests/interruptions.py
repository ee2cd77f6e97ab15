"""Commands that are stopped at random moments, and what must be left: for tests, and for bench/kills.py.

A round copies a state, starts a command on it and stops it up to a few times, each time at a random moment. Then the
command runs to its end. All rows, embeddings and scales must be those of an undisturbed run, bit for bit, the index
must pass `mvrep check`, and nothing that was committed before a stop may be gone after it.
"""
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from forks import start as fork
from indexes import assert_same, content_of, make_videos, n_committed
from mvrep.index.checking import check_index
from mvrep.index.index import Index

SIGNALS = (signal.SIGKILL,)*3+(signal.SIGTERM, signal.SIGINT) # One of them is drawn
ENDED = {signal.SIGKILL: (-9,), signal.SIGTERM: (143, -15), signal.SIGINT: (130, -2)} # -15, -2: not handled yet

# Commands in forked processes

def run_words(words):
    "In the new process: run a command of mvrep."
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.modules['__main__'] = ModuleType('__main__') # worker processes do not import the script or test that forked
    from mvrep.cli.main import main
    sys.argv = ['mvrep', *words]
    main()

class Command:
    "A command that runs"
    def __init__(self, words, log):
        self.log, self.started = log, time.monotonic()
        here = str(Path(__file__).parent)
        environment = dict(os.environ, OMP_NUM_THREADS='1', COLUMNS='200')
        environment['PYTHONPATH'] = os.pathsep.join([str(Path(here).parent), here])
        self.process = fork(run_words, ([str(o) for o in words],), environment, log)

    @property
    def seconds(self): return time.monotonic()-self.started

    def is_running(self): return self.process.exitcode is None

    def wait_until(self, condition):
        "False if the command ended before"
        while self.is_running() and not condition(): time.sleep(.01)
        return self.is_running()

    def wait(self):
        "Exit code; the workers of a killed command have ended, too"
        self.process.join(600)
        deadline = time.monotonic()+60
        while _session(self.process.pid) and time.monotonic()<deadline: time.sleep(.05)
        assert not _session(self.process.pid), 'workers outlive the command'
        return self.process.exitcode

    def text(self):
        "What it printed; nothing if it was stopped before it began"
        return self.log.read_text(errors='replace') if self.log.exists() else ''

def _session(leader):
    "Processes of the session that a process led"
    found = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        try: fields = path.read_text().rpartition(')')[2].split()
        except OSError: continue # it ended just now
        if int(fields[3])==leader and fields[0]!='Z': found.append(int(path.parent.name))
    return found

def _state(folder): return {o: o.stat().st_mtime_ns for o in folder.glob('**/*') if o.exists()}

def _has_changed(folder, before):
    try: return _state(folder)!=before
    except FileNotFoundError: return True # removed at this moment

# What is stopped

def _is_done(plan, code, command):
    "Did the command succeed, now or before?"
    return code==0 or bool(plan.done_again) and code==1 and plan.done_again in command.text()

@dataclass(frozen=True)
class Interrupted:
    "A command, the state it begins with, and what an undisturbed run leaves"
    name:str # 'index', 'add', 'train' or 'remove'
    words:tuple # Command line; `IX` stands for the index
    start:Path|None # The index before; None if the command makes it
    expected:object # `Content` after an undisturbed run
    seconds:float # That it took
    first_change:float # Second of the first change on disk
    done_again:str='' # Error of the command if it was done already

    def begin(self, folder):
        "Start the command on an index"
        words = [folder if o=='IX' else o for o in self.words]
        return Command(words, folder.with_suffix('.log'))

    def finish(self, folder):
        "Run the command to its end, and compare"
        command = self.begin(folder)
        code = command.wait()
        assert _is_done(self, code, command), f'{self.name} ended with {code}\n{command.text()[-3000:]}'
        assert 'Traceback' not in command.text(), command.text()[-3000:]
        assert_same(content_of(folder), self.expected)
        assert not len(check_index(folder).damage)

def undisturbed(name, words, start, folder, done_again=''):
    "Run a command once without a stop"
    if start: shutil.copytree(start, folder)
    before = _state(folder)
    plan = Interrupted(name, tuple(words), start, None, 0., 0.)
    command = plan.begin(folder)
    command.wait_until(lambda: _has_changed(folder, before))
    first_change = command.seconds
    code, seconds = command.wait(), command.seconds
    assert code==0, command.text()[-3000:]
    return Interrupted(name, tuple(words), start, content_of(folder), seconds, first_change, done_again)

def make_plans(folder, names, n_videos=5, epochs=20):
    "The commands to stop, by name"
    videos = make_videos(folder/'videos', n_videos+3)
    late = [shutil.move(videos/f'v{n_videos+i}.mp4', folder) for i in range(3)]
    full = undisturbed('index', ['index', videos, '--out', 'IX', '--workers', 2], None, folder/'full')
    plans = dict(index=full)
    done = {}
    if 'add' in names:
        done['add'] = undisturbed('add', ['add', 'IX', *late, '--workers', 2], folder/'full', folder/'add')
    if 'remove' in names:
        done['remove'] = undisturbed('remove', ['remove', 'IX', 'v1', 'v3'], folder/'full', folder/'remove', 'no video')
    if 'train' in names:
        from mvrep.index.examples import tiny_index
        tiny = tiny_index(folder).folder
        words = ['train', 'IX', '--recipe', 'track', '--epochs', epochs]
        done['train'] = undisturbed('train', words, tiny, folder/'train')
    return {o: (plans|done)[o] for o in names}

# Stops

@dataclass(frozen=True)
class Stop:
    "One stop, and what was left"
    command:str # Name
    signal:str # Such as 'SIGKILL'
    second:float # After the start of the command
    before:int # Segments that were seen on disk before it
    after:int # Segments on disk after it
    videos:int # Videos that can be searched after it; 0 if the index was not made yet

def _videos(folder):
    "Videos of an index that was stopped, which opens"
    return len(Index(folder)) if (folder/'mvrep.json').is_file() else 0

def _wait_for_moment(plan, command, folder, rng):
    "Wait for a moment of the whole run, or of the part that changes files; False if the command ended before"
    is_late, share = rng.random()<.5, rng.random()
    before = _state(folder)
    if is_late: command.wait_until(lambda: _has_changed(folder, before))
    length = plan.seconds-plan.first_change if is_late else plan.seconds
    moment = command.seconds+share*length
    return command.wait_until(lambda: command.seconds>=moment)

def stop_once(plan, folder, rng):
    "Start a command and stop it at a random moment: a `Stop`, or None if it was done before"
    number, before = rng.choice(SIGNALS), n_committed(folder)
    command = plan.begin(folder)
    if not _wait_for_moment(plan, command, folder, rng): return None
    if plan.name!='remove': before = max(before, n_committed(folder))
    if not command.is_running(): return None
    os.kill(command.process.pid, number)
    second, code = command.seconds, command.wait()
    if code in (0, 1) and _is_done(plan, code, command): return None
    assert code in ENDED[number], f'{plan.name} ended with {code} after {number.name}\n{command.text()[-3000:]}'
    assert 'Traceback' not in command.text() or code<0, command.text()[-3000:]
    after = n_committed(folder)
    assert plan.name=='remove' or after>=before, f'{before} segments before, {after} after'
    return Stop(plan.name, number.name, round(second, 2), before, after, _videos(folder))

def run_round(plan, folder, rng, n_stops):
    "Stop a command a few times, let it end, and compare: the stops"
    if plan.start: shutil.copytree(plan.start, folder)
    stops = []
    while len(stops)<min(n_stops, 3) and (stop := stop_once(plan, folder, rng)): stops.append(stop)
    plan.finish(folder)
    return stops
