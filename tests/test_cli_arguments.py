"Every option of a command reaches the function of the library that does the work"
from pathlib import Path
from types import SimpleNamespace
import pytest
from commands import mvrep
from mvrep.pretraining.finetune import FineTuneConfig
from mvrep.probing.cross_validation import Protocol

class Called(Exception):
    "The function was called: with what"
    def __init__(self, *args, **kwargs): self.given, self.named = args, kwargs

def call(*args, **kwargs): raise Called(*args, **kwargs)

class Index:
    "An index that does nothing"
    def __init__(self, folder=None): self.build, self.prepare_approximate = SimpleNamespace(model=None), call
    def __len__(self): return 3
    def check_not_empty(self): pass

@pytest.fixture
def asked(monkeypatch):
    "What a function of the library gets from a command: positional arguments, and those by name"
    monkeypatch.setattr('mvrep.index.index.Index', Index)
    def ask(function, *words):
        if function: monkeypatch.setattr(function, call)
        with pytest.raises(Called) as found: mvrep(*words)
        named = {name: o for name, o in found.value.named.items() if name not in ('progress', 'on_note')}
        return found.value.given, named
    return ask

LISTS = '-k', 3, '--where', 'year > 2000', '--max-per-artist', 2
RULES = dict(k=3, where='year > 2000', max_per_artist=2)

def test_similar(asked):
    words = 'similar', 'ix', '--video', 'v', '--by', 'audio', '--diversity', .5, *LISTS
    given, named = asked('mvrep.recommendation.neighbours.similar', *words)
    assert given[1:]==('v', 'audio', .5) and named==RULES|dict(diversity=.5)
    words = 'similar', 'ix', '--video', 'v', '--weights', 'audio=.4,video=.4,text=.2'
    given, _ = asked('mvrep.recommendation.neighbours.similar', *words)
    assert given[1:]==('v', 'joint', dict(audio=.4, video=.4, text=.2))

def test_recommend(asked):
    options = '--by', 'video', '--how', 'max', '--diversity', .5, '--half-life', 30, '--today', '2026-01-02'
    words = 'recommend', 'ix', '--like', 'a', '--like', 'b', '--less', 'c', *options, *LISTS
    given, named = asked('mvrep.recommendation.likes.recommend', *words)
    assert given[1:]==(['a', 'b'], ['c'], 'video', .5, 'max')
    assert named==RULES|dict(diversity=.5, half_life=30., today='2026-01-02')
    given, named = asked('mvrep.recommendation.likes.recommend', 'recommend', 'ix', '--like', 'a')
    assert given[1:]==(['a'], (), 'joint', .5, 'mean') and named['half_life'] is None

@pytest.mark.parametrize('options, noted', [
    (('--today', '2026-01-02'), True), (('--today', '2026-01-02', '--half-life', 3), False), ((), False),
    (('--how', 'max'), True), (('--how', 'max', '--like', 'b'), False), (('--how', 'max', '--less', 'b'), True),
    (('--how', 'max', '--less', 'b', '--less', 'c'), False)])
def test_options_of_recommend_without_effect(asked, options, noted, monkeypatch):
    notes = []
    monkeypatch.setattr('mvrep.cli.finding.print_note', notes.append)
    asked('mvrep.recommendation.likes.recommend', 'recommend', 'ix', '--like', 'a', *options)
    assert len(notes)==noted

def test_search(asked, monkeypatch):
    opened = SimpleNamespace(rank=call)
    monkeypatch.setattr('mvrep.recommendation.text_search.open_search', lambda index: opened)
    words = 'search', 'ix', 'sad', 'piano', '-k', 3, '--by', 'words', '--where', 'year > 2000'
    assert asked(None, *words)==(('sad piano', 'words', 'year > 2000'), {})

def test_match(asked):
    words = 'match', 'ix', 'clip.mp4', '--want', 'video', '--start', 2.5, '--length', 7, *LISTS
    given, named = asked('mvrep.recommendation.matching.match', *words)
    assert (given[1:], named)==(('clip.mp4', 'video', 2.5, 7.), RULES)

def test_index(asked):
    options = ['--manifest', 'm.csv', '--preset', 'thesis', '--plan', 'whole', '--label-from-folder', 'genre']
    options += ['--workers', 2, '--strict', '--prune', '--max-shot', 30, '--shots-by', 'content', '--text', 'minilm']
    options += ['--engine', 'ray', '--address', 'host:6379', '--no-tags']
    given, named = asked('mvrep.index.indexing.index_folder', 'index', 'videos', '--out', 'ix', *options)
    assert given==(Path('videos'), Path('ix'))
    assert named==dict(manifest=Path('m.csv'), encoders='thesis', plan='whole', label_from_folder='genre', workers=2,
                       strict=True, prune=True, max_shot=30., shots_by='content', tags=False, text='minilm',
                       engine='ray', address='host:6379')
    given, named = asked('mvrep.index.indexing.index_folder', 'index', 'videos', '-o', 'ix', '--encoders', 'a,b')
    assert named['encoders']==['a', 'b'] and (named['strict'], named['prune'], named['tags'])==(False, False, True)
    assert (named['text'], named['engine'], named['address'])==(None, 'local', None)

def test_every_second(asked, monkeypatch):
    index = Index()
    monkeypatch.setattr('mvrep.index.indexing.index_folder', lambda *args, **kwargs: SimpleNamespace(index=index))
    words = 'index', 'videos', '--out', 'ix', '--per-second', '--workers', 2, '--strict'
    given, named = asked('mvrep.index.seconds.make_seconds', *words)
    assert (given, named)==((index,), dict(workers=2, strict=True))

def test_add(asked):
    given, named = asked('mvrep.index.indexing.add_videos', 'add', 'ix', 'a.mp4', 'b', '--workers', 2, '--strict')
    assert (given, named)==((Path('ix'), ['a.mp4', 'b']), dict(workers=2, strict=True))

def test_tune(asked):
    assert asked(None, 'tune', 'ix', '--by', 'audio', '--recall', .9)==(('audio', .9), {})

def test_train(asked):
    options = '--epochs', 4, '--seed', 5, '--accelerator', 'cpu', '--devices', 2, '--precision', 'bf16-mixed'
    given, named = asked('mvrep.index.joint_space.train', 'train', 'ix', '--recipe', 'track', *options)
    assert given==(Path('ix'), 'track')
    assert named==dict(epochs=4, seed=5, accelerator='cpu', devices=2, precision='bf16-mixed')

def test_probe(asked):
    options = '--target', 'genre', '--by', 'audio', '--kind', 'knn', '--folds', 3, '--seeds', 2
    given, _ = asked('mvrep.probing.index.probe_index', 'probe', 'ix', *options)
    assert given[1:]==('genre', 'audio', Protocol('knn', n_folds=3, n_seeds=2), False)
    assert asked('mvrep.probing.index.probe_index', 'probe', 'ix', *options, '--refit')[0][-1] is True

def test_pretrain(asked):
    options = '--epochs', 4, '--seed', 5, '--accelerator', 'cpu', '--devices', 2, '--precision', '32-true'
    words = 'pretrain', 'ix', '--recipe', 'vcmr', *options, '--workers', 3, '--json'
    given, _ = asked('mvrep.index.pretraining.pretrain', *words)
    assert given==(Path('ix'), 'vcmr', 4, 5, 'cpu', 2, '32-true', 3, False)

@pytest.mark.parametrize('head, expected', [
    ('linear', ('linear', False)), ('mlp', ('mlp', False)), ('full', ('mlp', True))])
def test_benchmark(asked, head, expected):
    options = '--dataset', 'magnatagatune', '--encoder', 'musicnn_msd', '--head', head, '--overlap', .25
    more = '--aggregation', 'vote', '--epochs', 4, '--seed', 5, '--workers', 0
    given, named = asked('mvrep.pretraining.public_tags.benchmark_tags', 'benchmark', 'tags', 'mtt', *options, *more)
    config = FineTuneConfig(*expected, max_epochs=4, overlap=.25, aggregation='vote', seed=5)
    assert (given, named)==((Path('mtt'), 'magnatagatune', 'musicnn_msd', config), dict(workers=0))

def test_download(asked, tmp_path):
    (tmp_path/'ids.txt').write_text('dQw4w9WgXcQ\n')
    words = 'download', tmp_path/'ids.txt', tmp_path/'videos', '--limit', 4, '--pause', 0, '--retry-gone'
    given, named = asked('mvrep.corpus.download.download_videos', *words)
    assert (given, named)==((['dQw4w9WgXcQ'], tmp_path/'videos', 4, 0.), dict(retry_gone=True))

def test_explore_and_app(asked):
    given, named = asked('mvrep.explore.static_page.write_page', 'explore', 'ix', '--out', 'site', '--by', 'video')
    assert (given[1], named)==(Path('site'), dict(by='video'))
    given, _ = asked('mvrep.explore.app.serve', 'app', 'ix', '--port', 7, '--no-browser')
    assert given[:3]==(Path('ix'), 7, False)

def test_demo(asked):
    given, _ = asked('mvrep.cli.demo.run_demo', 'demo', '--out', 'here', '-n', 20, '--workers', 2)
    assert given[:3]==(Path('here'), 20, 2)
