"What all commands have in common: output, errors, options, help"
import json
import math
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
import typer
from commands import mvrep, start
from mvrep import __version__
from mvrep.cli import ExitCode
from mvrep.cli.console import command_line, escape, one_line_errors, option_errors, print_json, print_line
from mvrep.cli.console import records, show_errors, show_table, warnings_as_notes
from mvrep.cli.options import app
from mvrep.core import MODALITIES, MediaError, UnknownId
from mvrep.corpus.manifest import COLUMNS
from mvrep.encoders.registry import PRESETS
from mvrep.encoders.weights import WeightsError
from mvrep.learning.config import RECIPES
from mvrep.media.segments import PLANS
from mvrep.probing.probe import KINDS
from typer.main import get_command

COMMANDS = get_command(app).commands

# Output

def test_control_characters_and_broken_names_are_replaced(capsys):
    assert escape('a\x1b[31m\x9b\x7f\n')=='a�[31m���'
    assert escape('caf\udce9.mp4')=='caf�.mp4' and escape(7)=='7'
    print_line('[bold]x[/bold] :smile: '+'y'*300)
    assert capsys.readouterr().out=='[bold]x[/bold] :smile: '+'y'*300+'\n' # not markup, not wrapped

def cells(line): return [o.strip() for o in line.split('│')[1:-1]]

def rows(text): return [cells(line) for line in text.splitlines() if line[0]=='│']

def test_cells_of_a_table(capsys, monkeypatch):
    monkeypatch.setenv('MVREP_TABLES', '1')
    row = (None, float('nan'), .12345, 7, 'a\x1b[31m', ['x', 'y'], np.array(['z']), '[bold]hi[/bold]')
    show_table([row], [str(i) for i in range(len(row))], 'title\x1b')
    printed = capsys.readouterr().out
    assert rows(printed)==[['0.123', '7', 'a�[31m', 'x, y', 'z', '[bold]hi[/bold]']] # two columns have no value
    assert printed.splitlines()[0]=='title�'
    show_table([], ['id', 'title'])
    assert 'id' in capsys.readouterr().out # an empty table keeps its headings

def test_long_ids_are_wrapped_and_never_cut(capsys, monkeypatch):
    monkeypatch.setenv('MVREP_TABLES', '1')
    show_table([('x'*500, 'y'*500)], ['id', 'file'])
    printed = capsys.readouterr().out
    assert printed.count('x')==500 and printed.count('y')==500

def test_at_most_twenty_errors_are_printed(capsys, monkeypatch):
    monkeypatch.setenv('MVREP_TABLES', '1')
    errors = pd.DataFrame(dict(path=[f'{i}.mp4' for i in range(25)], reason='empty'))
    show_errors(errors)
    printed = capsys.readouterr().out
    assert '25 files could not be used' in printed and '19.mp4' in printed and '20.mp4' not in printed
    assert '… and 5 more' in printed
    show_errors(errors[:0])
    assert capsys.readouterr().out==''

def test_json_is_one_object_that_a_terminal_does_not_obey(capsys):
    plain = records(pd.DataFrame(dict(a=[1., math.nan], b=['x', None])))
    assert plain==[dict(a=1., b='x'), dict(a=None, b=None)]
    value = dict(rows=plain, n=np.int64(3), nan=math.nan, title='NaN \x1b\x9b é', path=sys.executable)
    print_json(value)
    printed = capsys.readouterr().out
    assert json.loads(printed)==dict(value, nan=None) and printed.count('\n')==1
    assert 'é' in printed and not re.search(r'[\x1b\x9b]', printed)

# Errors

def test_warnings_are_notes(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter('default')
        with warnings_as_notes(): warnings.warn('few videos', stacklevel=1)
    assert capsys.readouterr().err=='note: few videos\n'

@pytest.mark.parametrize('error, text', [
    (ValueError('k=0: want at least 1'), 'mvrep: k=0: want at least 1'),
    (ValueError('two\nlines'), 'mvrep: two lines'),
    (UnknownId('no video'), 'mvrep: no video'),
    (FileNotFoundError('x: no such file'), 'mvrep: x: no such file'),
    (MediaError('a.mp4', 'empty'), 'mvrep: a.mp4: empty'),
    (WeightsError('no weights'), 'mvrep: no weights'),
    (RuntimeError('lance: No space left on device'), 'mvrep: the disk is full'),
    (ModuleNotFoundError('x', name='lightning.pytorch'), 'mvrep: this needs lightning: pip install "mvrep[train]"'),
    (ModuleNotFoundError('x', name='anywidget'), 'mvrep: this needs anywidget: pip install "mvrep[explore]"'),
    (ModuleNotFoundError('x', name='starlette'), 'mvrep: this needs starlette: pip install "mvrep[app]"')])
def test_known_errors_are_one_line(error, text, capsys):
    with pytest.raises(typer.Exit) as done, one_line_errors(): raise error
    printed = capsys.readouterr()
    assert done.value.exit_code==ExitCode.FAILED and printed.out==''
    assert printed.err.startswith(text) and printed.err.count('\n')==1

def test_ctrl_c_is_one_line(capsys):
    with pytest.raises(typer.Exit) as done, one_line_errors(): raise KeyboardInterrupt
    assert done.value.exit_code==130 and capsys.readouterr().err.startswith('interrupted: ')

@pytest.mark.parametrize('error', [ZeroDivisionError(), TypeError('bug'), KeyError('split'), BrokenPipeError(),
                                   ModuleNotFoundError('x', name='mvrep.cli.nothing')])
def test_other_errors_keep_their_traceback(error, capsys):
    with pytest.raises(type(error)), one_line_errors(): raise error
    assert capsys.readouterr().err==''

def test_wrong_values_that_only_the_library_can_judge():
    with pytest.raises(typer.BadParameter, match='no such name'), one_line_errors(), option_errors('--by'):
        raise ValueError('no such name')
    with pytest.raises(typer.BadParameter, match="^'smell'"), option_errors('--by', argument='by'):
        raise ValueError("by='smell'")
    with pytest.raises(ValueError, match='k=0'), option_errors('--by', argument='by'): raise ValueError('k=0')

def test_suggested_commands_can_be_pasted():
    words = shlex.split(command_line('explore', Path('my videos'), '--by', "it's"))
    assert words[1:]==['explore', 'my videos', '--by', "it's"] and Path(words[0]).name=='mvrep'

# Options

REQUIRED = { # {command: its required arguments}
    'index': ('videos', '--out', 'ix'), 'similar': ('ix', '--video', 'v'), 'recommend': ('ix', '--like', 'v'),
    'match': ('ix', 'clip.mp4'), 'probe': ('ix', '--target', 'genre'), 'demo': ()}

WRONG_VALUES = [
    ('recommend', '--today', 'yesterday'), ('recommend', '--how', 'foo'),
    ('recommend', '--half-life', 0), ('recommend', '--diversity', 2), ('recommend', '-k', 0), ('recommend', '-k', 'x'),
    ('similar', '--max-per-artist', 0), ('tune', '--recall', 1),
    ('match', '--want', 'lyrics'), ('match', '--start', -1), ('match', '--preview', __file__),
    ('index', '--workers', 0), ('index', '--preset', 'smell'), ('train', '--epochs', 0), ('train', '--recipe', 'smell'),
    ('train', '--accelerator', 'smell'), ('train', '--precision', '8-bit'), ('probe', '--by', 'colour'),
    ('probe', '--kind', 'colour'), ('probe', '--folds', 1), ('app', '--port', 70000), ('rollback', '--to', 0),
    ('demo', '-n', 3)]

@pytest.mark.parametrize('command, option, value', WRONG_VALUES)
def test_a_wrong_value_names_its_option(command, option, value):
    done = mvrep(command, *REQUIRED.get(command, ('ix',)), option, value, code=2)
    assert f"'{option}'" in done.stderr and done.stdout==''

CHOICES = [
    ('index', '--preset', PRESETS), ('index', '--plan', PLANS), ('train', '--recipe', RECIPES),
    ('probe', '--kind', KINDS),
    ('index', '--label-from-folder', set(COLUMNS)-{'video_id', 'path', 'duration', 'sha256'}),
    ('match', '--want', MODALITIES)]

@pytest.mark.parametrize('command, option, choices', CHOICES)
def test_the_choices_are_those_of_the_library(command, option, choices):
    done = mvrep(command, *REQUIRED.get(command, ('ix',)), option, 'smell', code=2, width=500)
    assert set(re.findall(r"'(\w+)'", done.stderr.partition('one of')[2]))==set(choices)

@pytest.mark.parametrize('arguments', [('similar', 'ix'), ('search',), ('index', 'videos'), ('nothing',)])
def test_missing_arguments_and_unknown_commands_are_wrong_commands(arguments): mvrep(*arguments, code=2)

# Help

def words_of(*arguments): return set(re.findall(r'\w+', mvrep(*arguments).stdout))

def test_the_help_lists_exit_codes_and_columns():
    assert {str(int(o)) for o in ExitCode}=={'0', '1', '2', '3', '130', '143'}<=words_of('--help')
    assert set(COLUMNS)<=words_of('index', '--help')
    assert set(COMMANDS)<=words_of('--help')

@pytest.mark.parametrize('name', COMMANDS)
def test_the_help_of_every_command_has_an_example(name):
    assert f'Example: mvrep {name}' in mvrep(name, '--help').stdout

@pytest.mark.parametrize('name', COMMANDS)
def test_no_option_is_cut_in_a_narrow_terminal(name):
    printed = mvrep(name, '--help', width=80).stdout
    options = [line for line in printed.splitlines() if re.match(r'│[ *]+-', line)]
    assert options and not any('…' in line[:24] for line in options), printed

def test_flags_have_no_value_and_plans_have_lengths():
    printed = mvrep('index', '--help', width=200).stdout
    flags = [line for line in printed.splitlines() if '--strict' in line or '--json' in line]
    assert len(flags)==2 and not any('<bool>' in line for line in flags)
    for plan in ('stratified', 'middle', 'whole'): assert f'{plan}: ' in printed
    assert '6 segments of 5 s' in printed and '8 of 15 s' in printed
    assert 'The last three are kept' in ' '.join(mvrep('rollback', '--help', width=200).stdout.split())

def test_the_help_of_add_tells_what_becomes_of_songs_and_folders():
    text = ' '.join(mvrep('add', '--help', width=200).stdout.split())
    assert 'added as a song, without video; in folders, only videos' in text and '--label-from-folder' in text

def test_the_version():
    assert mvrep('--version').stdout==mvrep('version').stdout==f'{__version__}\n'

# The program

def test_the_program_is_called_mvrep():
    process = start('similar')
    _, errors = process.communicate(timeout=120)
    assert process.returncode==2 and 'Usage: mvrep similar' in errors

def test_the_package_can_be_run():
    done = subprocess.run([sys.executable, '-m', 'mvrep', 'version'], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout)==(0, f'{__version__}\n')

def test_nothing_heavy_is_imported_before_a_command_runs():
    code = '''
import sys, mvrep.cli.main
print(*{'torch', 'pandas', 'lancedb', 'lightning', 'starlette'} & set(sys.modules))
'''
    assert subprocess.check_output([sys.executable, '-c', code], text=True).strip()==''
