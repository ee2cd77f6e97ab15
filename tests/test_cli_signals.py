"Commands that are stopped: by Ctrl-C, or by SIGTERM as a service manager or a batch system sends it"
import os
import signal
import subprocess
import sys
import numpy as np
import pandas as pd
import pytest
from commands import MAIN, have_ended, mvrep, start, wait_until, workers_of
from indexes import make_videos
from mvrep.cli.console import INTERRUPTED
from mvrep.encoders.registry import Encoder
from mvrep.index.index import Index, create_index
from mvrep.learning.synthetic import SyntheticNetwork
from mvrep.media.segments import Segment

STOPS = {signal.SIGTERM: 143, signal.SIGINT: 130}

@pytest.fixture(scope='module')
def index(tmp_path_factory):
    "Twelve videos with random features"
    folder = tmp_path_factory.mktemp('signals')/'ix'
    index = create_index(folder, ('a', 'v'), dict(audio='a', video='v'))
    encoders = Encoder('a', 'audio', SyntheticNetwork(6)), Encoder('v', 'video', SyntheticNetwork(6))
    for o in encoders: index.store.add_column(o)
    rng, ids = np.random.default_rng(0), [f'v{i:02}' for i in range(12)]
    for video_id in ids:
        feats = {o: rng.standard_normal((2, 6)) for o in encoders}
        index.store.put(video_id, [Segment(0, 0., 5.), Segment(1, 5., 5.)], 'random', feats)
    parts = ['train']*6+['valid']*3+['test']*3
    index.put_videos(pd.DataFrame(dict(video_id=ids, path=ids, split=parts)))
    index.make_build()
    return folder

SLOW = f'import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n' \
       'import mvrep.learning.training, slow_epochs; slow_epochs.slow_down(mvrep.learning.training)\n'

def start_slowly(*args):
    "Start a training whose epochs last half a second each"
    command = [sys.executable, '-W', 'ignore', '-c', SLOW+MAIN, *map(str, args)]
    env = dict(os.environ, OMP_NUM_THREADS='1')
    return subprocess.Popen(command, text=True, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            start_new_session=True)

def stop(process, number):
    "Stop a command, and check how it ends"
    process.send_signal(number)
    output, errors = process.communicate(timeout=200)
    assert process.returncode==STOPS[number], errors
    assert errors.count(INTERRUPTED)==1 and 'Traceback' not in errors, errors
    return output

@pytest.mark.parametrize('number', STOPS)
def test_training_that_is_stopped(index, number):
    process = start_slowly('train', index, '--accelerator', 'cpu', '--epochs', 500, '--seed', int(number), '--json')
    def n_runs(): return len(list(index.glob('runs/*/csv/*/metrics.csv')))
    n_before = n_runs()
    assert wait_until(lambda: n_runs()>n_before, process), process.communicate()
    output = stop(process, number)
    assert '"exit_code": '+str(STOPS[number]) in output
    assert not Index(index).model_file.exists() and Index(index).build.number==1
    assert 'Traceback' not in mvrep('info', index).text # it is not locked, and not damaged

def test_indexing_that_is_stopped(tmp_path):
    process = start('index', make_videos(tmp_path/'videos', 2), '--out', tmp_path/'ix', '--workers', 1)
    assert wait_until(lambda: (tmp_path/'ix'/'mvrep.json').exists() and workers_of(process), process)
    workers = workers_of(process)
    stop(process, signal.SIGTERM)
    assert have_ended(workers)
