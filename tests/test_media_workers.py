"Worker processes: what a crash, a hang, Ctrl-C or the end of the parent costs"
import os
import signal
import subprocess
import sys
import time
import psutil
import pytest
from mvrep.media.read import probe
from mvrep.media.synthetic import make_clip
from mvrep.media.workers import Failure, _hold_interrupt, in_workers, outcome, worker_pool

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
    bad_jobs = [(probe, ['/nowhere.mp4']), (time.sleep, [60]), (os.abort, []), (len, [4])]
    jobs = [(len, ['four']), *bad_jobs, (len, ['again'])]
    results = [outcome(one_worker.schedule(work, args, timeout=2), 2) for work,args in jobs]
    assert [results[0], results[-1]]==[4, 5]
    assert [o.reason for o in results[1:-1]]==['no such file: check the path',
        'took longer than 2 s and was stopped: is the file damaged?',
        'crashed the decoder (exit code -6): re-encode the file', "TypeError: object of type 'int' has no len()"]

def test_a_job_may_return_text(one_worker):
    assert outcome(one_worker.schedule(str, ['text']), 2)=='text'

def test_workers_ignore_interrupts(one_worker):
    worker = one_worker.schedule(os.getpid).result()
    os.kill(worker, signal.SIGINT)
    time.sleep(.1)
    assert one_worker.schedule(os.getpid).result()==worker

def test_an_interrupt_waits_for_the_end_of_the_block():
    events, handler = [], signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with _hold_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(.1)
            events.append('started')
    except KeyboardInterrupt: events.append('interrupted')
    finally: signal.signal(signal.SIGINT, handler)
    assert events==['started', 'interrupted']

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

def test_a_script_without_main_guard_gets_one_error(tmp_path):
    script = tmp_path/'script.py'
    script.write_text('from mvrep.media.workers import in_workers; print(list(in_workers(len, [("ab",)]*9, 2, 30)))')
    run = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert (run.returncode, run.stdout)==(1, '')
    assert run.stderr.splitlines()[-1].startswith('ValueError: worker processes do not start (All workers expired)')
    assert 'if __name__ == "__main__":' in run.stderr.splitlines()[-1]

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
