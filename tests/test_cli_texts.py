"Lines that commands print for given results, defaults and limits of their options"
import inspect
import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
import numpy as np
import pandas as pd
import pytest
import typer
import mvrep as package
from commands import ask, mvrep
from mvrep.cli.demo import HEADINGS, DemoReport
from mvrep.cli.downloading import _note_faults, _print_downloads
from mvrep.cli.finding import describe_copies, show_videos
from mvrep.cli.indexing import _hub_text, _list_removed, _note_copies, _print_check, _silent_text, _undo_removal
from mvrep.cli.indexing import print_report
from mvrep.cli.learning import _show_classes, _show_differences, _show_doubtful, _show_results
from mvrep.cli.options import app, print_version
from mvrep.cli.pretraining import _show_benchmark, _show_left_out
from mvrep.corpus.download import DownloadReport

@pytest.fixture(autouse=True)
def in_a_terminal(monkeypatch, tmp_path):
    "Commands are called mvrep, and tables are lines with tabs."
    (tmp_path/'bin').mkdir()
    (tmp_path/'bin'/'mvrep').touch(mode=0o755)
    monkeypatch.setenv('PATH', str(tmp_path/'bin'))
    monkeypatch.delenv('MVREP_TABLES', raising=False)

@pytest.fixture
def printed(capsys):
    "Lines of the output and of the errors, since the last call"
    def lines():
        done = capsys.readouterr()
        return done.out.splitlines(), done.err.splitlines()
    return lines

NO_ERRORS = pd.DataFrame(dict(path=[], reason=[]))

# Reports of an indexing run

class Index:
    "What a report reads of an index"
    def __init__(self, n, **fields):
        self.build = SimpleNamespace(video_ids=np.array([f'v{i}' for i in range(n)], object), **fields)

    def __len__(self): return len(self.build.video_ids)

def report_of(n=3, **changes):
    empty = dict.fromkeys(('video_ids', 'moved', 'without_file', 'pruned', 'dropped', 'kept_away', 'duplicates'), [])
    counts = dict(done=0, skipped=n, failed=0)
    return SimpleNamespace(**dict(index=Index(n), errors=NO_ERRORS, **empty, **counts)|changes)

def test_a_run_that_changed_nothing(printed):
    print_report(report_of(), Path('ix'), False)
    assert printed()[0]==['0 videos encoded, 3 already indexed, 0 failed; 3 videos in ix',
                          'next: mvrep similar ix --video v0']
    print_report(report_of(0), Path('ix'), False)
    assert printed()[0]==['0 videos encoded, 0 already indexed, 0 failed; 0 videos in ix']
    print_report(report_of(video_ids=['v2', 'v1'], done=2, skipped=1), Path('ix'), False)
    assert printed()[0][-1]=='next: mvrep similar ix --video v2' # a new one

def test_files_that_moved_or_are_gone(printed):
    ids = [f'a{i}' for i in range(6)]
    away = [('r1', 'x.mp4'), ('r1', 'y.mp4'), ('r2', 'z.mp4')]
    report = report_of(moved=ids[:5], pruned=ids[:1], dropped=ids[:2], without_file=ids, kept_away=away)
    print_report(report, Path('ix'), False)
    assert printed()[0][:5]==[
        '5 videos kept, whose file moved: a0, a1, a2, a3, a4',
        '1 video removed, whose file is gone: a0',
        '2 videos left out, with a shot over --max-shot: a0, a1',
        '6 videos with no file any more: a0, a1, a2, a3, a4, …; to remove such videos: --prune',
        '2 videos removed before, which stay away: r1, r2; to let them come back: mvrep remove ix r1 r2 --undo']

@pytest.mark.parametrize('n', [1, 5, 6, 8])
def test_groups_of_copies(n, printed):
    def copies(i): return [f'{i}{letter}' for letter in 'abcdef']
    groups = list(map(copies, range(n)))
    print_report(report_of(duplicates=groups), Path('ix'), False)
    lines = printed()[0][:-2]
    assert lines[0]=='6 copies of one file: 0a, 0b, 0c, 0d, 0e' and len(lines)==min(n, 5)+(n>5)
    more = {6: '… and 1 more group: --json lists all', 8: '… and 3 more groups: --json lists all'}
    if n>5: assert lines[-1]==more[n]

def seconds_of(**changes): return SimpleNamespace(**dict(done=2, skipped=1, without_video=[], errors=NO_ERRORS)|changes)

def test_every_second_of_videos(printed):
    print_report(report_of(), Path('ix'), False, seconds_of())
    assert printed()[0][0]=='every second of 2 videos encoded, 1 already there, 0 failed'
    print_report(report_of(), Path('ix'), False, seconds_of(without_video=list('abcde')))
    assert printed()[0][0].endswith('0 failed; 5 files without video: a, b, c, d, e')
    print_report(report_of(), Path('ix'), False, seconds_of(without_video=list('abcdef')))
    assert printed()[0][0].endswith('0 failed; 6 files without video: a, b, c, d, e, …')

FAULT = pd.DataFrame(dict(path=['a.mp4'], reason=['empty']))

@pytest.mark.parametrize('report, seconds', [
    (report_of(failed=1, errors=FAULT), None), (report_of(), seconds_of(errors=FAULT))])
@pytest.mark.parametrize('json_', [False, True])
def test_files_that_failed_are_listed_and_end_with_code_3(report, seconds, json_, printed):
    with pytest.raises(typer.Exit) as done: print_report(report, Path('ix'), json_, seconds)
    assert done.value.exit_code==3
    out, notes = printed()
    if json_: assert '"errors": [{"path": "a.mp4", "reason": "empty"}]' in out[0] and len(out)==1
    else: assert out[:2]==['file\treason', 'a.mp4\tempty'] and notes==['1 file could not be used']

def test_a_report_as_json(printed):
    report = report_of(moved=['a'], pruned=['b'], dropped=['c'], without_file=['d'], kept_away=[('r', 'x.mp4')], done=1,
                       skipped=2, duplicates=[['a', 'a2']])
    print_report(report, Path('ix'), True, seconds_of(without_video=['e']))
    line, = printed()[0]
    assert json.loads(line)==dict(
        done=1, skipped=2, failed=0, indexed=3, index='ix', errors=[], duplicates=[['a', 'a2']], moved=['a'],
        without_file=['d'], pruned=['b'], dropped=['c'], kept_away=[dict(video_id='r', path='x.mp4')],
        seconds=dict(done=2, skipped=1, without_video=['e'], errors=[]))

def test_how_unevenly_videos_are_recommended():
    assert _hub_text(dict(by='joint', seed=0))==''
    hubness = dict(pool=40, never=.25, k=10, chance_never=.031, largest=.5)
    assert _hub_text(hubness)==('of 40 videos, 25% are in no list of 10 neighbours (by chance 3%); one is in 50% of '
                                'the lists')

def test_videos_with_silent_audio():
    ids = [f'v{i}' for i in range(11)]
    assert _silent_text([])=='' and _silent_text(['v0'])=='1 video, used without audio: v0'
    assert _silent_text(ids[:10]).endswith(': '+', '.join(ids[:10]))
    assert _silent_text(ids)=='11 videos, used without audio: '+', '.join(ids[:10])+', …'

def test_copies_of_a_removed_video_are_noted(printed):
    index = SimpleNamespace(videos=pd.DataFrame(dict(sha256=['aa', 'bb', None]), index=['x', 'y', 'z']))
    _note_copies(index, ['bb', None])
    assert printed()[1]==['note: 1 copy stays in the index: y']
    _note_copies(index, [None, 'cc'])
    assert printed()[1]==[]

REMOVED = pd.DataFrame(dict(video_id=['x', 'x', 'y'], path=['a.mp4', 'a.mp4', 'b.mp4'], removed='2026-01-02'))

@pytest.fixture
def removals(monkeypatch):
    "An index from which videos were removed"
    monkeypatch.setattr('mvrep.index.removed.forget_removed', lambda db, ids: REMOVED)
    monkeypatch.setattr('mvrep.index.removed.removed_videos', lambda db: REMOVED[:db])
    monkeypatch.setattr('mvrep.index.storage.one_writer', lambda folder: nullcontext())
    return lambda n=3: SimpleNamespace(store=SimpleNamespace(db=n))

def test_removals_that_are_undone(removals, printed):
    _undo_removal(removals(), Path('ix'), ['x', 'y', 'x'], False)
    assert printed()[0]==['2 videos may be indexed again; next: mvrep add ix a.mp4 b.mp4']
    _undo_removal(removals(), Path('ix'), ['x', 'y'], True)
    assert printed()[0]==['{"allowed": ["x", "y"], "paths": ["a.mp4", "b.mp4"]}']

def test_videos_that_were_removed(removals, printed):
    _list_removed(removals(1), Path('ix'), False)
    assert printed()[0]==['id\tfile\tremoved (UTC)', 'x\ta.mp4\t2026-01-02']
    _list_removed(removals(0), Path('ix'), False)
    assert printed()[0]==['no video was removed from ix']
    _list_removed(removals(1), Path('ix'), True)
    assert printed()[0]==['{"removed": [{"video_id": "x", "path": "a.mp4", "removed": "2026-01-02"}]}']

def check_of(damage, unrecorded=()):
    damage = pd.DataFrame(damage, columns=['part', 'problem', 'remedy'])
    return SimpleNamespace(files=3, megabytes=1.25, unrecorded=list(unrecorded), damage=damage)

def test_damage_is_listed_by_its_remedy(printed):
    _print_check(check_of([], ['videos']))
    lines = printed()[0]
    assert lines[0].startswith('nothing was recorded of videos, which') and len(lines)==2
    assert lines[1]=='3 files compared (1.2 MB), 0 damaged'
    _print_check(check_of([('a', 'size', 'copy it'), ('b', 'hash', 'build'), ('c', 'size', 'copy it')]))
    assert printed()[0]==['3 files compared (1.2 MB), 3 damaged', 'damaged\twhat differs', 'a\tsize', 'c\tsize',
                          'to repair it: copy it', 'damaged\twhat differs', 'b\thash', 'to repair it: build']

# Downloads

def test_lines_of_a_list_that_were_not_used(printed):
    def listed(n, m): return SimpleNamespace(wrong=pd.DataFrame(dict(line=range(n))),
                                             duplicates=pd.DataFrame(dict(line=range(m))))
    _note_faults(listed(0, 0))
    assert printed()[1]==[]
    _note_faults(listed(10, 11))
    assert printed()[1]==['note: 10 lines without an id: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9',
                          'note: 11 ids listed before, in line 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …']

def private(name, n): return pd.DataFrame(dict(id=[f'{name}{i}' for i in range(n)], why='private'))

def downloads(gone=0, failed=0, **changes):
    tables = dict(gone=private('gone', gone), failed=private('failed', failed))
    return SimpleNamespace(**dict(done=0, skipped=0, left=0, stopped='')|tables|changes)

def test_what_became_of_the_ids(printed):
    _print_downloads(downloads(), Path('v'))
    assert printed()[0]==['0 videos fetched, 0 already there, 0 gone, 0 failed, 0 left']
    for counts in (dict(done=2, skipped=0), dict(done=0, skipped=2)):
        _print_downloads(downloads(**counts, left=4, stopped='the disk is full'), Path('v'))
        first, second, third = printed()[0]
        assert first=='stopped: the disk is full' and third=='next: mvrep index v --out v.mvrep'
        assert second=='{done} videos fetched, {skipped} already there, 0 gone, 0 failed, 4 left'.format(**counts)
    _print_downloads(downloads(10, 12), Path('v'))
    lines = printed()[0]
    assert lines[0]=='gone\twhy' and lines[10:13]==['gone9\tprivate', 'failed\twhy', 'failed0\tprivate']
    assert lines[-2:]==['… and 2 more: --json lists all',
                        '0 videos fetched, 0 already there, 10 gone, 12 failed, 0 left']

def test_a_download_that_failed_for_some_has_its_own_exit_code(tmp_path, monkeypatch):
    (tmp_path/'ids.txt').write_text('dQw4w9WgXcQ\n')
    words = 'download', tmp_path/'ids.txt', tmp_path/'videos'
    following = f'next: mvrep index {words[-1]} --out {words[-1]}.mvrep'
    for n_failed, code in ((0, 0), (1, 3)):
        table = pd.DataFrame(dict(video_id=['x'], reason=['private']))
        report = DownloadReport(1, 0, table, table.head(n_failed), 0)
        monkeypatch.setattr('mvrep.corpus.download.download_videos', lambda *args, **more: report)
        assert mvrep(*words, code=code).stdout.splitlines()[-1]==following
        assert ask(*words, code=code)['failed']==[dict(video_id='x', reason='private')][:n_failed]

@pytest.mark.parametrize('n_failed, code', [(0, 0), (2, 3)])
def test_what_the_demo_prints(n_failed, code, monkeypatch):
    scores = pd.DataFrame([dict.fromkeys(HEADINGS, .5)])
    indexed = SimpleNamespace(index=Index(3), done=1, failed=n_failed, skipped=4)
    made = DemoReport(indexed, scores, Path('demo/report.html'))
    monkeypatch.setattr('mvrep.cli.demo.run_demo', lambda *args: made)
    monkeypatch.setattr('mvrep.cli.demo._print_neighbours', lambda index: print('neighbours'))
    assert mvrep('demo', is_piped=True, code=code).stdout.splitlines()[-4:]==[
        'neighbours', 'report:       demo/report.html', 'your videos:  mvrep index FOLDER --out INDEX',
        '              mvrep similar INDEX --video FILE']
    expected = dict(report='demo/report.html', index='demo/index', done=1, failed=n_failed, skipped=4, indexed=3)
    assert ask('demo', code=code)==dict(scores=scores.to_dict('records'))|expected

# Lists of videos

def test_copies_as_text():
    assert [describe_copies(n, is_same) for n in (0, 1, 2) for is_same in (False, True)]==[
        '', 'same recording', '+1 copy', 'same recording, +1 copy', '+2 copies', 'same recording, +2 copies']

def test_lists_of_videos(printed):
    found = pd.DataFrame(dict(title='t', artist='a', genre='g', score=.5, copies=[0, 2], same_recording=[False, True]),
                         index=pd.Index(['x', 'y'], name='video_id'))
    show_videos(found, dict(score='score'))
    assert printed()[0]==['id\ttitle\tartist\tgenre\tscore\tcopies', 'x\tt\ta\tg\t0.500\t',
                          'y\tt\ta\tg\t0.500\tsame recording, +2 copies']
    show_videos(found.iloc[:1], dict(score='score'))
    assert printed()[0][0].endswith('\tscore')
    show_videos(found[:0], {}, None, "genre = 'x'", 'y')
    show_videos(found[:0], {}, None)
    assert printed()[0]==["no video matches genre = 'x' and y", 'no other video in the index']

# Results of probes

def result(by, **changes):
    values = {f'{name}{end}': value for name in ('accuracy', 'macro_f1', 'auc')
              for end, value in (('', .5), ('_low', .25), ('_high', .75))}
    return dict(values, by=by, n=9, chance_accuracy=.3, chance_macro_f1=.2, chance_auc=.5, majority_accuracy=.4)|changes

def report(**changes):
    return dict(dict(results=[result('audio'), result('video', auc=None)], multilabel=False, classes=['x', 'y'], n=9,
                     target='genre', folds=5, grouped_by='artist', seeds=1, differences=[], doubtful=[]), **changes)

def test_a_table_of_results(printed):
    _show_results(report(), report()['results'])
    rows, title = printed()
    assert title==['genre: 2 classes, 9 videos, 5 folds that share no artist, 1 seed, 95 % intervals']
    cell = '0.500 (0.250–0.750)'
    assert rows[:5]==['by\tvideos\taccuracy\tmacro F1\tAUC', f'audio\t9\t{cell}\t{cell}\t{cell}',
                      f'video\t9\t{cell}\t{cell}\t', 'chance\t\t0.300\t0.200\t0.500', 'most frequent\t\t0.400\t\t']
    assert rows[5:]==['audio: features of the audio; video: features of the video']
    _show_results(report(multilabel=True, classes=['x'], seeds=3), report()['results'][:1])
    rows, title = printed()
    assert title[0].startswith('genre: 1 tag, 9 videos,') and '3 seeds' in title[0]
    assert not any(o.startswith('most frequent') for o in rows)

def difference(by, than, **changes):
    return dict(by=by, than=than, measure='auc', difference=.1, low=-.05, high=.25, n=7)|changes

def test_differences_of_one_input(printed):
    rows = [difference('video', 'audio'), difference('both', 'audio'), difference('both', 'video', measure='accuracy'),
            difference('both', 'joint', difference=None)]
    _show_differences(report(differences=rows), 'both')
    out, title = printed()
    assert title==['both compared on the same videos, 95 % intervals']
    assert out==['than\tvideos\tdifference of AUC', 'audio\t7\t+0.100 (-0.050 to +0.250)']
    _show_differences(report(differences=rows), 'joint')
    assert printed()==([], [])

def test_labels_to_check(printed):
    def doubts(n): return [dict(video_id=f'v{i}', label='a', looks_like='b', p_label=.1, p_looks_like=.9)
                           for i in range(n)]
    _show_doubtful(report(), 'both')
    assert printed()[0]==['no doubtful labels, by both']
    for n, ending in ((10, ''), (11, '; the first 10')):
        _show_doubtful(report(doubtful=doubts(n)), 'both')
        out, title = printed()
        assert title==[f'labels to check: {n} of 9 are doubtful, by both{ending}']
        assert len(out)==1+10+2 and out[10]=='v9\ta\tb\t0.100\t0.900'

def test_classes_of_one_input(printed):
    row = dict(label='x', n=4, precision=.5, recall=.25, f1=.333, auc=.75)
    _show_classes(report(per_class=[dict(row, by='audio'), dict(row, by='both', n=5)]), 'both')
    out, title = printed()
    assert title==['per class, by both']
    assert out==['label\tvideos\tprecision\trecall\tF1\tAUC', 'x\t5\t0.500\t0.250\t0.333\t0.750']

@pytest.mark.parametrize('by, shown', [('both', ['both']), ('all', ['audio', 'video', 'both']), ('audio', ['audio'])])
def test_parts_of_an_input_that_was_asked_for_are_not_shown(by, shown, monkeypatch):
    names = ['audio'] if by=='audio' else ['audio', 'video', 'both']
    classes = [dict(by=o, label='x', n=4, precision=.5, recall=.25, f1=.333, auc=.75) for o in names]
    found = report(results=[result(o) for o in names], per_class=classes, notes=['few videos'], doubtful_by=names[-1],
                   skipped=[dict(label='odd', n=1, reason='fewer than 3 videos')])
    monkeypatch.setattr('mvrep.probing.index.probe_index', lambda *args: found)
    monkeypatch.setattr('mvrep.index.index.Index', lambda folder: Index(2, model=None))
    done = mvrep('probe', 'ix', '--target', 'genre', '--by', by, is_piped=True)
    rows = [o.split('\t')[0] for o in done.stdout.splitlines()]
    assert rows[1:rows.index('chance')]==shown
    notes = [o for o in done.stderr.splitlines() if o.startswith('note')]
    assert notes==['note: left out odd (1 video): fewer than 3 videos', 'note: few videos']

# Pre-training

def test_what_was_left_out(printed):
    _show_left_out([], 'song')
    assert printed()==([], [])
    for n in (20, 22):
        _show_left_out([(f's{i}', 'silent') for i in range(n)], 'song')
        out, title = printed()
        assert title==[f'{n} songs left out'] and out[:2]==['song\treason', 's0\tsilent'] and out[20]=='s19\tsilent'
        assert out[21:]==(['… and 2 more: see --json'] if n>20 else [])

def test_a_benchmark(printed):
    row = dict(group='all', tags=3, songs=8, roc_auc=.75, roc_auc_low=.5, roc_auc_high=1., chance_roc_auc=.5,
               pr_auc=.25, pr_auc_low=.125, pr_auc_high=.5, chance_pr_auc=.1)
    evaluation = SimpleNamespace(groups=pd.DataFrame([row]), left_out=dict(rock=1))
    found = SimpleNamespace(dataset='mtt', encoder='musicnn_mtt/abc', songs=dict(test=8), seed=2, evaluation=evaluation,
                            left_out=[('s', 'silent')], unlearnable=['pop', 'jazz'], short=1)
    _show_benchmark(found)
    out, notes = printed()
    assert out[1]=='all\t3\t8\t0.750 (0.500–1.000)\t0.500\t0.250 (0.125–0.500)\t0.100'
    assert notes==['mtt, musicnn_mtt, 8 test songs, seed 2, 95 % intervals', '1 song left out',
                   'note: no value for rock: 1 test song with it', 'note: no training song with or without: pop, jazz',
                   'note: 1 song shorter than a window: the audio was repeated']
    _show_benchmark(SimpleNamespace(**vars(found)|dict(unlearnable=[], short=0, left_out=[])))
    assert len(printed()[1])==2

def test_a_benchmark_as_json(monkeypatch):
    tables = dict(groups=pd.DataFrame([dict(group='all', roc_auc=.5)]), tags=pd.DataFrame([dict(tag='rock')]))
    found = SimpleNamespace(dataset='mtt', seed=2, evaluation=SimpleNamespace(**tables, left_out=dict(pop=1)))
    monkeypatch.setattr('mvrep.pretraining.public_tags.benchmark_tags', lambda *args, **kwargs: found)
    answer = ask('benchmark', 'tags', 'mtt', '--dataset', 'mtt', '--encoder', 'e')
    assert answer==dict(dataset='mtt', seed=2, groups=[dict(group='all', roc_auc=.5)], tags=[dict(tag='rock')],
                        no_value=dict(pop=1))

# Options

def parameters():
    "`(command, name, default, option)` of each parameter of each command"
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        for parameter in inspect.signature(command.callback).parameters.values():
            yield name, parameter.name, parameter.default, parameter.annotation.__metadata__[0]

DEFAULTS = dict( # Those that are not None, False or 0
    index=dict(preset='offline', plan='stratified', shots_by='hash', engine='local'), tune=dict(by='joint', recall=.95),
    download=dict(pause=5.), similar=dict(k=10, by='joint'), recommend=dict(k=10, by='joint', how='mean'),
    search=dict(k=10, by='both'), tag=dict(threshold=.1, most=5),
    match=dict(want='audio', k=10), explore=dict(by='joint'), app=dict(port=8765, browser=True),
    train=dict(recipe='aligned', accelerator='auto', devices=1, precision='32-true'),
    probe=dict(by='all', kind='linear', folds=5, seeds=3), demo=dict(out=Path('demo'), n=96),
    pretrain=dict(recipe='clmr', accelerator='auto', devices=1),
    benchmark=dict(head='mlp', overlap=.5, aggregation='mean', epochs=100))
LIMITS = dict( # {parameter: its least and its greatest value}
    to=(1, None), recall=(.5, .999), limit=(1, None), pause=(0, None), k=(1, None), diversity=(0, 1),
    max_per_artist=(1, None), half_life=(.01, None), start=(0, None), length=(.1, None), epochs=(1, None),
    seed=(0, None), devices=(1, None), folds=(2, None), seeds=(1, None), threshold=(0, 1), most=(1, None),
    overlap=(0, .9), port=(0, 65535),
    n=(12, None), workers=(1, None))
WITHOUT_WORKERS = 'pretrain', 'benchmark' # 0: this process reads

def test_defaults_of_the_options():
    found = {}
    for command, name, default, _ in parameters():
        if default not in (inspect.Parameter.empty, None, False): found.setdefault(command, {})[name] = default
    assert found==DEFAULTS

def test_limits_of_the_options():
    for command, name, _, option in parameters():
        expected = LIMITS.get(name, (None, None))
        if name=='workers' and command in WITHOUT_WORKERS: expected = (0, None)
        assert (option.min, option.max)==expected, (command, name)

def test_every_option_is_explained():
    for command, name, default, option in parameters():
        assert option.help and len(option.help)>=len('Random seed'), (command, name)
        if default is False: assert option.metavar==' ' or name=='refit', (command, name) # flags take no value

def test_the_version_is_printed_if_it_is_wanted(printed):
    print_version(False)
    assert printed()[0]==[]
    with pytest.raises(typer.Exit): print_version()
    assert printed()[0]==[package.__version__]
