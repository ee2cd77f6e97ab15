"Workers that encode uploaded files: when they start, wait and end; files that are kept"
import time
import pytest
from mvrep.explore import uploads
from mvrep.explore.uploads import Ticket, Uploads, _Worker, _Workers

class Pool:
    "A pool of processes that does nothing"
    active = True
    def __init__(self, *args): self.args, self.calls = args, []
    def stop(self): self.calls.append('stop')
    def join(self): self.calls.append('join')

@pytest.fixture
def pools(monkeypatch):
    "Pools in the order in which they were made"
    made = []
    def make(*args):
        made.append(Pool(*args))
        return made[-1]
    monkeypatch.setattr(uploads, 'worker_pool', make)
    return made

def test_a_worker_loads_encoders_once(pools):
    worker = _Worker()
    for _ in range(2): worker.prepare(dict(audio='a'))
    assert len(pools)==1 and pools[0].args[0]==1 and pools[0].args[2]==(dict(audio='a'),)
    worker.prepare(dict(audio='b'))
    assert len(pools)==2 and pools[0].calls==['stop', 'join'] and worker.pool is pools[1]
    pools[1].active = False # it crashed
    worker.prepare(dict(audio='b'))
    assert len(pools)==3 and pools[1].calls==['stop', 'join'] and pools[2].calls==[]
    for _ in range(2): worker.close()
    assert pools[2].calls==['stop', 'join'] and worker.pool is None

def test_another_worker_starts_if_all_are_slow():
    workers = _Workers(2, 10.)
    first, wait = workers._next()
    assert wait is None and workers._next()==(first, None) and workers.all==[first] # it is free
    first.since = time.monotonic()
    none, wait = workers._next()
    assert none is None and 9<wait<=10 and workers.all==[first]
    first.since -= 10.5
    second, wait = workers._next()
    assert wait is None and workers.all==[first, second]
    second.since = first.since
    assert workers._next()==(None, None) # there are no more: wait for one of them
    second.since = None
    assert workers._next()==(second, None)

def test_only_one_worker_stays(pools):
    workers = _Workers(2, 0.)
    with workers.one({}, Ticket()) as first:
        with workers.one({}, Ticket()) as second:
            assert len(workers.all)==2 and first is not second and first.since<=second.since
        assert workers.all==[first] and pools[1].calls==['stop', 'join'] and second.since is None
    assert workers.all==[first] and first.since is None and pools[0].calls==[] and not workers.waiting
    workers.close()
    with workers.one({}, Ticket()) as none: assert none is None
    assert pools[0].calls==['stop', 'join']

def test_the_oldest_files_are_dropped():
    kept = Uploads(most=2)
    for name in 'abc': kept.keep(name, [name], {}, (1,))
    assert list(kept.kept.items())==[('b', (['b'], {}, (1,))), ('c', (['c'], {}, (1,)))]
