"What commands print into a pipe, how errors look to a program, and the completion of a shell"
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
import pandas as pd
import pytest
from commands import mvrep
from mvrep.cli import console
from mvrep.cli.console import LONGEST, command_name, is_interactive, print_json, show_errors, show_frame, show_table
from mvrep.cli.console import shows_progress
from mvrep.cli.options import run_command
from mvrep.core import closest
from mvrep.index.examples import tiny_index
import typer
from mvrep.cli.console import one_line_errors
from mvrep.features.extraction import show_progress

@pytest.fixture(scope='module')
def folder(tmp_path_factory): return tiny_index(tmp_path_factory.mktemp('output')).folder

# Tables

SONGS = pd.DataFrame(dict(video_id=['x'*200, 'b'], title=['t'*300, 'a\tb\nc'], tags=[['p', 'q'], []], mood=None))
HEADINGS = dict(video_id='id', title='title', tags='tags', mood='mood')

def test_a_pipe_gets_one_line_per_row(capsys, monkeypatch):
    monkeypatch.delenv('MVREP_TABLES', raising=False)
    show_frame(SONGS, HEADINGS, 'two songs')
    printed = capsys.readouterr()
    rows = [line.split('\t') for line in printed.out.splitlines()]
    assert rows==[['id', 'title', 'tags', 'mood'], ['x'*200, 't'*300, 'p, q', ''], ['b', 'a�b�c', '', '']]
    assert printed.err=='two songs\n' # not among the rows
    show_table([], ['id', 'title'])
    assert capsys.readouterr().out=='id\ttitle\n'

def test_a_terminal_gets_complete_ids_and_short_titles(capsys, monkeypatch):
    monkeypatch.setenv('MVREP_TABLES', '1')
    show_frame(SONGS, HEADINGS)
    printed = capsys.readouterr().out
    assert '┃' in printed and printed.count('x')==200 and 't'*300 not in printed
    assert printed.replace('title', '').replace('tags', '').count('t')==LONGEST-1 and '…' in printed

def test_rows_of_commands(folder):
    lines = mvrep('similar', folder, '--video', 'v0001', '-k', 3, is_piped=True).stdout.splitlines()
    columns = lines[0].split('\t')
    assert columns[:2]==['id', 'title'] and len(lines)==4
    assert all(line.count('\t')==len(columns)-1 and line.startswith('v') for line in lines[1:])
    assert not any(sign in ''.join(lines) for sign in '┃│━')
    assert any(line.startswith('videos\t12') for line in mvrep('info', folder, is_piped=True).stdout.splitlines())

# Errors as JSON

@pytest.mark.parametrize('words, code, reason', [
    (('similar', 'IX', '--video', 'v001'), 1, 'did you mean v00'),
    (('similar', 'IX', '--video', 'v0001', '--where', "genre = 'x' y"), 1, 'follows a complete condition'),
    (('recommend', 'IX', '--like', 'v00001'), 1, 'did you mean v0001'),
    (('remove', 'IX', 'v0001x'), 1, 'did you mean v0001'),
    (('info', 'nowhere'), 1, 'holds no index'),
    (('similar', 'IX', '--video', 'v0001', '-k', '0'), 2, "'-k'"),
    (('similar', 'IX'), 2, '--video'), (('similar', 'IX', '--vidoe', 'x'), 2, 'No such option'),
    (('train', 'IX', '--recipe', 'x'), 2, '--recipe'), (('simlar', 'IX'), 2, 'No such command')])
def test_errors_are_one_json_object(folder, words, code, reason):
    words = [str(folder) if o=='IX' else o for o in words]
    done = mvrep(*words, '--json', code=code, width=400)
    answer = json.loads(done.stdout)
    assert answer.keys()=={'error', 'exit_code'} and answer['exit_code']==code
    assert reason in answer['error'] and '\n' not in answer['error'] and done.stderr
    assert mvrep(*words, code=code).stdout=='' # only with --json

@pytest.mark.parametrize('words, reason', [
    (('--by', 'audio'), 'No such option: --by'), (('simlar',), "No such command 'simlar'. Did you mean 'similar'?"),
    (('match', 'nothing', 'a.mp4', '--want', 'color'),
     "Invalid value for '--want': 'color' is not one of 'audio', 'video'.")])
def test_a_wrong_command_line_has_a_box_only_in_a_terminal(words, reason):
    piped = run_command(*words, '--json', is_piped=True, width=40)
    assert json.loads(piped.stdout)==dict(error=reason, exit_code=2) and piped.exit_code==2
    assert piped.stderr.splitlines()[-1]==f'Error: {reason}' and '─' not in piped.stderr
    assert '─ Error ─' in run_command(*words).stderr

def test_names_that_are_close():
    assert closest('V0001', ['v0001', 'w'])==['v0001'] and closest('zzz', ['v0001'])==[] and closest('', [])==[]

# The shell

def test_completion_is_offered():
    env = dict(os.environ, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION='1')
    command = [sys.executable, '-c', 'from mvrep.cli.main import main; main()', '--show-completion', 'bash']
    script = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100).stdout
    assert '_MVREP_COMPLETE=complete_bash' in script and 'mvrep' in script
    assert '--install-completion' in mvrep('--help').stdout

def test_progress_is_lines_where_there_is_no_terminal(capfd, monkeypatch):
    monkeypatch.setattr('mvrep.features.extraction.LINE_SECONDS', 0.)
    with show_progress(3) as bar:
        for _ in range(3): bar.update()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines)>=2 and all('/3 [' in o and '\r' not in o for o in lines)
    with show_progress(3, is_shown=False) as bar: bar.update()
    assert not capfd.readouterr().err

@pytest.mark.parametrize('error', [
    ImportError('libtorch_cpu.so: failed to map segment from shared object'), MemoryError(),
    OSError(12, 'Cannot allocate memory'), RuntimeError("can't start new thread")])
def test_a_lack_of_memory_is_one_line(error, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'unraisablehook', sys.unraisablehook) # it is replaced for the end of the process
    with pytest.raises(typer.Exit), one_line_errors(): raise error
    assert 'not enough memory' in capsys.readouterr().err

LIMITED = ['index videos --out ix', 'similar ix --video a', 'train ix', 'info ix --json']

@pytest.mark.parametrize('words', LIMITED)
def test_a_limit_of_memory_that_is_too_small_is_one_line(tmp_path, words):
    "Numerical libraries would hang or end the process, so it is refused before they are imported"
    size = 400_000_000
    run = subprocess.run([sys.executable, '-m', 'mvrep', *words.split()], cwd=tmp_path, capture_output=True, text=True,
                         timeout=60, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)))
    assert run.returncode==1 and run.stderr.startswith('mvrep: not enough memory (a limit of 0.4 GB, and mvrep needs 2')
    assert run.stderr.count('\n')==1 and not list(tmp_path.iterdir())
    assert run.stdout=='' or json.loads(run.stdout)['exit_code']==1

def test_any_error_at_a_limit_of_memory_is_a_lack_of_it(capsys, monkeypatch):
    "`SystemError`, as imports raise it when they run out of memory"
    monkeypatch.setattr(sys, 'unraisablehook', sys.unraisablehook)
    monkeypatch.setattr(console, '_check_memory', lambda: None)
    def fails():
        with one_line_errors(): raise SystemError('error return without exception set')
    with pytest.raises(SystemError): fails()
    monkeypatch.setattr(console, '_memory_limit', lambda: 2**20)
    with pytest.raises(typer.Exit): fails()
    assert capsys.readouterr().err.startswith('mvrep: not enough memory (a limit is reached)')
    with pytest.raises(typer.Exit), one_line_errors(): raise ValueError('k=0: want at least 1')
    assert capsys.readouterr().err=='mvrep: k=0: want at least 1\n'

def test_a_library_that_cannot_be_loaded_is_one_line(capsys):
    with pytest.raises(typer.Exit), one_line_errors(): raise ImportError('cannot import name x')
    assert 'a library cannot be loaded (cannot import name x): `mvrep doctor`' in capsys.readouterr().err

@pytest.mark.parametrize('length, shown', [(60, 't'*60), (61, 't'*59+'…'), (200, 't'*59+'…')])
def test_only_titles_of_a_table_are_shortened(length, shown, capsys, monkeypatch):
    monkeypatch.setenv('MVREP_TABLES', '1')
    monkeypatch.setenv('COLUMNS', '500')
    show_table([('t'*length, 'i'*length)], ['title', 'id'])
    row = capsys.readouterr().out.splitlines()[3]
    assert [o.strip() for o in row.split('│')[1:-1]]==[shown, 'i'*length]

def test_numbers_that_json_does_not_have(capsys):
    print_json(dict(a=float('inf'), b=-float('inf'), c=float('nan'), d='Infinity'))
    assert json.loads(capsys.readouterr().out)==dict(a=None, b=None, c=None, d='Infinity')

def test_how_mvrep_is_called(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert command_name()==os.path.relpath(Path(sys.executable).with_name('mvrep'))
    (tmp_path/'mvrep').touch(mode=0o755)
    assert command_name()=='mvrep'

def test_files_below_the_current_folder_have_short_names(tmp_path, monkeypatch, capsys):
    (tmp_path/'here').mkdir()
    monkeypatch.chdir(tmp_path/'here')
    paths = [tmp_path/'here'/'in'/'a.mp4', tmp_path/'b.mp4']
    show_errors(pd.DataFrame(dict(path=list(map(str, paths)), reason='empty')))
    assert capsys.readouterr().out.splitlines()[1:]==[f'{Path("in")/"a.mp4"}\tempty', f'{tmp_path/"b.mp4"}\tempty']

def test_progress_needs_standard_error(monkeypatch):
    class Captured: pass
    monkeypatch.setattr(sys, 'stderr', Captured())
    assert not shows_progress()
    with open(os.devnull, 'w') as file:
        monkeypatch.setattr(sys, 'stderr', file)
        assert shows_progress() and not is_interactive()
