"Worker processes: what a crash, a hang, Ctrl-C or the end of the parent costs"
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import replace
from multiprocessing.context import SpawnProcess
from types import SimpleNamespace
import av
import psutil
import pytest
from pebble import ProcessExpired
from mvrep.media.opening import open_media
from mvrep.media.read import probe
from mvrep.media.synthetic import make_clip
from mvrep.media.workers import Failure, ProgramError, _hold_interrupt, in_workers, outcome, time_limit, worker_pool

def new_workers(before):
    "Worker processes below this one that are not in `before`"
    children = psutil.Process().children(recursive=True)
    return [o for o in children if o not in before and 'resource_tracker' not in ' '.join(o.cmdline())]

@pytest.fixture
def one_worker():
    "A pool of one worker"
    pool = worker_pool(1)
    yield pool
    pool.stop()
    pool.join()

def test_a_bad_job_costs_only_itself(one_worker):
    bad_jobs = [(probe, ['/nowhere.mp4']), (time.sleep, [60]), (os.abort, []), (int, ['x'])]
    jobs = [(len, ['four']), *bad_jobs, (len, ['again'])]
    results = [outcome(one_worker.schedule(work, args, timeout=2), 2) for work,args in jobs]
    assert [results[0], results[-1]]==[4, 5]
    assert [o.reason for o in results[1:-1]]==['no such file: check the path',
        'took longer than 2 s and was stopped: is the file damaged?',
        'crashed the decoder (exit code -6): re-encode the file',
        "unexpected error: invalid literal for int() with base 10: 'x' (ValueError); "
        'if the file plays, please report it']

def test_a_job_may_return_text(one_worker):
    assert outcome(one_worker.schedule(str, ['text']), 2)=='text'

def test_workers_ignore_interrupts(one_worker):
    worker = one_worker.schedule(os.getpid).result()
    os.kill(worker, signal.SIGINT)
    time.sleep(.1)
    assert one_worker.schedule(os.getpid).result()==worker

@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_the_end_of_the_block(number):
    events, handler = [], signal.signal(number, signal.default_int_handler)
    try:
        with _hold_interrupt():
            os.kill(os.getpid(), number)
            time.sleep(.1)
            events.append('started')
    except KeyboardInterrupt: events.append('interrupted')
    finally: signal.signal(number, handler)
    assert events==['started', 'interrupted']

def test_a_worker_that_has_just_been_started_ends_after_a_signal(monkeypatch):
    "SIGTERM arrives before the pool knows its first worker"
    before, start = psutil.Process().children(recursive=True), SpawnProcess.start
    def start_and_end(process):
        start(process)
        os.kill(os.getpid(), signal.SIGTERM)
    monkeypatch.setattr(SpawnProcess, 'start', start_and_end)
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt): worker_pool(1)
    finally: signal.signal(signal.SIGTERM, handler)
    assert psutil.wait_procs(new_workers(before), timeout=.1)[1]==[]

def test_results_carry_the_position_of_their_job(tmp_path):
    files = [str(make_clip(tmp_path/f'{i}.mp4', seconds=1+i/5, fps=5)) for i in range(5)]
    results = dict(in_workers(probe, [(o,) for o in [*files, '/nowhere.mp4']], 2, 30))
    assert [results[i].path for i in range(5)]==files
    assert [round(results[i].video_end, 1) for i in range(5)]==[1, 1.2, 1.4, 1.6, 1.8]
    assert results[5]==Failure('no such file: check the path')

def test_no_jobs_start_no_workers(): assert list(in_workers(len, [], 2, 30))==[]

def test_leaving_early_ends_the_workers():
    before = psutil.Process().children(recursive=True)
    work = in_workers(time.sleep, [(.01,), (50,)], 2, 60)
    assert next(work)==(0, None)
    workers = new_workers(before)
    assert workers
    work.close()
    assert psutil.wait_procs(workers, timeout=30)[1]==[]

@pytest.mark.parametrize('threads', [None, '3'])
def test_workers_use_one_thread_and_the_environment_is_restored(threads, monkeypatch):
    if threads: monkeypatch.setenv('OMP_NUM_THREADS', threads)
    else: monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    assert list(in_workers(os.getenv, [('OMP_NUM_THREADS',)], 1, 30))==[(0, '1')]
    assert os.environ.get('OMP_NUM_THREADS')==threads

# Faults of the program

@pytest.mark.parametrize('work, args', [(len, [4]), (getattr, [4, 'x']), (__import__, ['not_there']), (eval, ['nope'])])
def test_a_fault_of_the_program_is_not_one_of_the_file(one_worker, work, args):
    with pytest.raises(ProgramError, match='not of the file: run `mvrep doctor`') as caught:
        outcome(one_worker.schedule(work, args), 30)
    assert isinstance(caught.value.__cause__, (TypeError, AttributeError, ImportError, NameError))
    assert 'Traceback' in str(caught.value.__cause__.__cause__) # of the worker

def test_a_fault_of_the_program_ends_a_batch_after_its_other_jobs():
    results = []
    with pytest.raises(ProgramError) as caught:
        for o in in_workers(len, [('a',), (4,), ('b',), ('c',)], 1, 30): results.append(o)
    assert sorted(results)==[(0, 1), (2, 1), (3, 1)]
    assert caught.value.__notes__==['while working on 4']

def test_the_same_unknown_error_in_every_job_is_a_fault_of_the_program():
    with pytest.raises(ProgramError, match='ValueError\\) in each of 3 files'):
        assert not list(in_workers(int, [('x',), ('y',), ('z',)], 1, 30))

def test_an_unknown_error_in_some_jobs_is_theirs():
    results = dict(in_workers(int, [('x',), ('4',), ('y',)], 1, 30))
    assert results[1]==4 and all('unexpected error' in results[i].reason for i in (0, 2))

def test_different_errors_are_those_of_the_files():
    results = dict(in_workers(eval, [('int("x")',), ('[][0]',)], 1, 30))
    assert [type(results[i].error) for i in range(2)]==[ValueError, IndexError]

def test_known_reasons_in_every_job_are_those_of_the_files():
    results = dict(in_workers(probe, [('/nowhere.mp4',)]*3, 1, 30))
    assert {o.reason for o in results.values()}=={'no such file: check the path'}

def test_a_hopeless_batch_ends_early():
    jobs = [('x',)]*1000
    started = time.monotonic()
    with pytest.raises(ProgramError, match=r'in each of \d\d files'): list(in_workers(int, jobs, 1, 30))
    assert time.monotonic()-started<30

# Limits

def take(n_bytes): return len(bytearray(n_bytes))

def hang(seconds):
    with time_limit(seconds): eval('sum(range(10**12))') # no signal handler of Python would run

def test_memory_is_limited(one_worker):
    reason = outcome(one_worker.schedule(take, [2**36]), 30).reason
    assert reason=='needs more than 4 GB of memory: re-encode it at a smaller size'
    assert outcome(one_worker.schedule(take, [2**20]), 30)==2**20

def test_a_small_limit_of_memory_is_not_the_fault_of_a_file(monkeypatch):
    "An error ends the run; a worker that ended may have had too little"
    limits = (2**31, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, 'getrlimit', lambda kind: limits)
    short, ended = Future(), Future()
    short.set_exception(MemoryError())
    with pytest.raises(MemoryError, match=r'each process may take 2.0 GB \(ulimit -v\)'): outcome(short)
    ended.set_exception(ProcessExpired('ended', -6))
    ended.exception().exitcode = -6
    assert outcome(ended).reason.startswith('ended its worker (exit code -6), perhaps for lack of memory: each process')

@pytest.mark.parametrize('number', [errno.ENOMEM, errno.EIO])
def test_memory_that_runs_out_while_packets_are_read(tmp_path, number, monkeypatch):
    "Other errors are the end of the file"
    def demux(*streams): raise av.error.err_check(-number)
    path = make_clip(tmp_path/'a.mp4', seconds=1, fps=5)
    with open_media(path) as media:
        packets = replace(media, container=SimpleNamespace(demux=demux)).packets()
        if number==errno.EIO: assert list(packets)==[]
        else:
            with pytest.raises(MemoryError): list(packets)

def test_a_job_may_limit_its_time(one_worker):
    assert outcome(one_worker.schedule(hang, [.2])).reason.startswith('took too long for its duration')
    with time_limit(1e-3): time.sleep(.05) # not in a worker: no limit

def test_no_reason_begins_with_the_name_of_an_exception(one_worker):
    for text in ('1/0', '{}["x"]', 'int("x")', 'open("/nowhere")', '(_ for _ in ()).throw(RuntimeError())'):
        reason = outcome(one_worker.schedule(eval, [text]), 30).reason
        assert not reason.split(':')[0].endswith(('Error', 'Exception')), reason

# Scripts

SCRIPT = 'from mvrep.media.workers import in_workers; print(list(in_workers(len, [("ab",)]*9, 2, 30)))'

CACHED = f'from mvrep.core import cached\ndef make(folder): {SCRIPT}\ncached(make, "script")'

@pytest.mark.parametrize('text', [SCRIPT, CACHED])
def test_a_script_without_main_guard_gets_one_error(tmp_path, text):
    "Also if its workers would wait for a lock that it holds"
    script = tmp_path/'script.py'
    script.write_text(text)
    home = dict(os.environ, MVREP_HOME=str(tmp_path))
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, env=home, timeout=120)
    assert (run.returncode, run.stdout, run.stderr.count('Traceback'))==(1, '', 1)
    assert run.stderr.splitlines()[-1].startswith('ValueError: worker processes do not start (All workers expired)')
    assert 'if __name__ == "__main__":' in run.stderr.splitlines()[-1]

def test_a_script_from_standard_input_gets_one_error():
    run = subprocess.run([sys.executable, '-'], input=SCRIPT, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr.count('Traceback'))==(1, '', 1)
    assert run.stderr.splitlines()[-1].endswith('save the script as a file and run that')

ORPHANS = """
import os, time
from mvrep.media.workers import worker_pool
if __name__=='__main__':
    pool = worker_pool(2)
    print(*{pool.schedule(os.getpid).result() for _ in range(20)}, flush=True)
    time.sleep(600)
"""

def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    script = tmp_path/'script.py'
    script.write_text(ORPHANS)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    workers = [psutil.Process(int(o)) for o in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    assert workers and psutil.wait_procs(workers, timeout=30)[1]==[]

def _fail_to_prepare(): raise ImportError('libx.so: cannot open shared object file')

def test_a_worker_that_cannot_start_says_why_without_a_traceback(capfd):
    with pytest.raises(ValueError, match='worker processes do not start'):
        list(in_workers(abs, [(1,), (2,)], 1, prepare=_fail_to_prepare))
    errors = capfd.readouterr().err
    assert 'a worker process cannot start: libx.so: cannot open shared object file (ImportError)' in errors
    assert 'Traceback' not in errors
