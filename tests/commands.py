"Running commands of mvrep in tests: in this process, or in processes that can be stopped and killed"
import os
import signal
import subprocess
import sys
import mvrep.cli.main # registers the commands
from mvrep.cli.options import run_command

MAIN = 'from mvrep.cli.main import main; main()'

def mvrep(*args, code=0, **kwargs):
    "Run a command in this process, which has loaded PyTorch already; it must end with `code`"
    done = run_command(*args, **kwargs)
    assert done.exit_code==code, f'{args} ended with {done.exit_code}\n{done.text[-3000:]}'
    return done

def ask(*args, code=0):
    "What a command answers as JSON"
    return mvrep(*args, '--json', code=code).json

def start(*args):
    "Start a command in a process group of its own, that Ctrl-C interrupts even if this process ignores it"
    def restore_ctrl_c(): signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, '-c', MAIN, *map(str, args)]
    env = dict(os.environ, COLUMNS='200', OMP_NUM_THREADS='1')
    return subprocess.Popen(command, text=True, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            start_new_session=True, preexec_fn=restore_ctrl_c)
