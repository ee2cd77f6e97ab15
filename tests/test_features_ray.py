"""A Ray cluster of two nodes on this machine, each with a raylet and an object store of its own: it makes the index
that this machine makes, also if workers, a node or the command are lost"""
import json
import os
import shutil
import time
import psutil
import pytest
from commands import start, wait_until
from indexes import assert_same, content_of, n_committed
from mvrep.corpus.demo import tiny_corpus
from mvrep.features.ray import RAY_SETTINGS, in_ray
from mvrep.index.indexing import index_folder
from mvrep.media.workers import Failure, ProgramError

os.environ.update(RAY_SETTINGS)
pytest.importorskip('ray')
OWN_WARNINGS = 'DeprecationWarning', 'UserWarning' # Ray sets its own deprecated options
pytestmark = [pytest.mark.filterwarnings(f'ignore::{o}:ray.data.context') for o in OWN_WARNINGS]
STORE = 80*2**20 # Of each node, bytes: the smallest that Ray takes is 75 MB

@pytest.fixture(scope='module')
def cluster():
    "A head that runs no job, and a node with one core; the tests add and lose others."
    import ray
    from ray.cluster_utils import Cluster
    found = Cluster(initialize_head=True, head_node_args=dict(num_cpus=0, object_store_memory=STORE,
                                                              include_dashboard=False))
    found.add_node(num_cpus=1, object_store_memory=STORE)
    ray.init(address=found.address, log_to_driver=False, logging_level='ERROR')
    yield found
    ray.shutdown()
    found.shutdown()

@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    "Twelve videos, a text file that is named like one, and an empty file."
    folder = tmp_path_factory.mktemp('ray')/'videos'
    folder.mkdir()
    for clip in sorted((tiny_corpus()/'videos').glob('*.mp4')): shutil.copy(clip, folder)
    (folder/'notes.mp4').write_text('not a video')
    (folder/'empty.mp4').touch()
    return folder

@pytest.fixture(scope='module')
def local(videos):
    "The index that this machine makes."
    return index_folder(videos, videos.parent/'local', workers=1, progress=False)

def freeze_actors(n=1):
    "Stop the processes of `n` actors or more in the middle of their jobs: nothing is finished until they are killed."
    def is_actor(process): return 'JobActor' in ' '.join(process.info['cmdline'] or [])
    def actors(): return [o for o in psutil.process_iter(['cmdline']) if is_actor(o)]
    end = time.monotonic()+200
    while len(found := actors())<n: assert time.monotonic()<end, 'the actors do not start'
    for process in found: process.suspend()
    return found

def test_what_is_lost_is_made_again(cluster, videos, local):
    out = videos.parent/'on_ray'
    second = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    command = 'index', videos, '--out', out, '--engine', 'ray', '--address', cluster.address, '--json'
    running = start(*command)
    for process in freeze_actors(2): process.kill() # each begins again, on its node
    assert wait_until(lambda: n_committed(out)>=6, running)
    frozen = freeze_actors()
    cluster.remove_node(second, allow_graceful=False)
    n_lost = n_committed(out)
    for process in frozen:
        if process.is_running(): process.resume()
    assert wait_until(lambda: n_committed(out)>n_lost, running)
    frozen = freeze_actors()
    assert running.poll() is None
    running.kill()
    running.communicate()
    again = start(*command)
    answer, log = again.communicate(timeout=300)
    assert again.returncode==3, log
    report = json.loads(answer)
    assert report['skipped']>=1 and report['done']>=1 and report['failed']==2
    assert report['skipped']+report['done']==12
    assert_same(content_of(out), content_of(local.index.folder))

def test_reasons_are_those_of_this_machine(cluster):
    results = dict(in_ray(int, [('4',), ('five',), ('6',)]))
    assert (results[0], results[2])==(4, 6) and 'unexpected error' in results[1].reason
    assert isinstance(dict(in_ray(os.abort, [()], timeout=30))[0], Failure)
    with pytest.raises(ProgramError, match='not of the file'): list(in_ray(len, [(4,), ('ab',)]))

def test_no_cluster(tmp_path):
    with pytest.raises(ValueError, match="needs the engine 'ray'"):
        index_folder(tmp_path, tmp_path/'ix', address='localhost:6379')
    with pytest.raises(ValueError, match='want one of local, ray'):
        index_folder(tmp_path, tmp_path/'ix', engine='spark')
