"""Processes that start in milliseconds, forked from one that has imported the libraries that mvrep builds on.

That process never imports mvrep: whatever a page imports of mvrep is read from the folder that the page belongs to.
Only the imports of other libraries are shared. A page that uses a library without importing it still fails, because
forked modules are loaded, but in no namespace.
"""
import multiprocessing
import os
import signal
import subprocess
import sys
from functools import cache
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

WARM = ('ipykernel.kernelapp', 'ipykernel.ipkernel', 'jupyter_client.manager', 'jupyter_client.provisioning',
        'execnb.shell', 'nbdev.process', 'fastcore.test', 'pandas', 'torch', 'scipy.stats', 'scipy.signal',
        'sklearn.linear_model', 'sklearn.neighbors', 'matplotlib.figure', 'librosa', 'av', 'typer',
        'lance_namespace') # What the first process imports: nothing that starts a thread in Python

@cache
def _import_path(folder):
    "Where a new process with `PYTHONPATH=folder` looks for modules."
    command = [sys.executable, '-c', 'import sys; print(*sys.path[1:], sep="\\n")']
    done = subprocess.run(command, env=dict(os.environ, PYTHONPATH=folder), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()

def _begin(target, args, environment, path, log):
    "In the new process: become what a process of this environment is, then run the target."
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    multiprocessing.process._parent_process = None # It is not a worker
    if log:
        with open(log, 'wb') as file:
            for stream in (1, 2): os.dup2(file.fileno(), stream)
    target(*args)

def start(target, args, environment, log=None):
    "Start `target(*args)` in a process with these environment variables, and its output in a file if `log` is given."
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(list(WARM))
    path = _import_path(environment['PYTHONPATH'])
    process = context.Process(target=_begin, args=(target, args, environment, path, log))
    process.start()
    return process

# Jupyter kernels

INLINE = 'module://matplotlib_inline.backend_inline' # What a kernel sets before matplotlib is imported

def _run_kernel(folder, arguments):
    "In the new process: what `python -m ipykernel_launcher` does."
    import matplotlib
    from ipykernel.kernelapp import IPKernelApp
    os.chdir(folder)
    sys.path.insert(0, '')
    os.environ['MPLBACKEND'] = matplotlib.rcParams['backend'] = INLINE
    IPKernelApp.launch_instance(argv=arguments)

class _Popen:
    "The interface of `subprocess.Popen` for a forked process"
    stdin = stdout = stderr = None

    def __init__(self, process): self.process, self.pid = process, process.pid

    def poll(self): return self.process.exitcode

    def wait(self):
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number): os.kill(self.pid, number)

    def kill(self): self.send_signal(signal.SIGKILL)

    def terminate(self): self.send_signal(signal.SIGTERM)

class ForkedProvisioner(LocalProvisioner):
    "Starts kernels as forks"
    async def launch_kernel(self, cmd, cwd, env, **kwargs):
        arguments = cmd[cmd.index('-f'):]
        self.process = _Popen(start(_run_kernel, (cwd, arguments), env))
        self.pid = self.pgid = self.process.pid # It leads a session of its own
        self.cwd = cwd
        return self.connection_info

class ForkedKernelManager(AsyncKernelManager):
    "Manages a Jupyter kernel that is a fork"
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.provisioner = ForkedProvisioner(kernel_spec=self.kernel_spec, parent=self)
