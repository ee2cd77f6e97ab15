"Running commands of mvrep in tests: in this process, or in processes that can be stopped and killed"
import os
import subprocess
import sys
import time
import psutil
from mvrep.cli.main import app
from mvrep.cli.options import run_command

MAIN = '''
import signal
signal.signal(signal.SIGINT, signal.default_int_handler) # ignored in the background, which a child inherits
from mvrep.cli.main import main
main()
'''

def mvrep(*args, code=0, **kwargs):
    "Run a command in this process, which has loaded PyTorch already; it must end with `code`, any if None"
    done = run_command(*args, application=app, **kwargs)
    assert code in (None, done.exit_code), f'{args} ended with {done.exit_code}\n{done.text[-3000:]}'
    return done

def ask(*args, code=0):
    "What a command answers as JSON"
    return mvrep(*args, '--json', code=code).json

def start(*args, main=MAIN):
    "Start a command in a process group of its own, that Ctrl-C interrupts even if this process ignores it"
    command = [sys.executable, '-c', main, *map(str, args)]
    env = dict(os.environ, COLUMNS='200', OMP_NUM_THREADS='1')
    return subprocess.Popen(command, text=True, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            start_new_session=True)

def workers_of(process):
    "Worker processes of a command"
    def is_worker(child):
        try: return 'spawn_main' in ' '.join(child.cmdline())
        except psutil.Error: return False # it ended just now
    return [o for o in psutil.Process(process.pid).children(recursive=True) if is_worker(o)]

def wait_until(condition, process, seconds=400):
    "Wait for a condition; False if the process ended before"
    deadline = time.monotonic()+seconds
    while not condition():
        if process.poll() is not None: return False
        assert time.monotonic()<deadline, 'the condition was never met'
        time.sleep(.05)
    return True

def have_ended(processes, seconds=60):
    "Do processes end by themselves?"
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive: process.kill()
    return not alive
