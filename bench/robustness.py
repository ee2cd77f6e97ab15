"""What was tried to break mvrep, and what survived: a table from the other results

    python bench/robustness.py                     # writes results/robustness.csv

Each row names the file that its numbers come from, and the command that makes that file. Tests that are not counted in
a file are counted where they stand.
"""
import json
import re
from pathlib import Path
from common import RESULTS, parser, write_table

TESTS = Path(__file__).resolve().parents[1]/'tests'

def read(name):
    "A file of results; None if it was not made yet"
    path = RESULTS/name
    return json.loads(path.read_text()) if path.is_file() else None

def row(what, tried, survived, source, command):
    return dict(what=what, tried=tried, survived=survived, source=source, command=command)

def kill_rows():
    "Commands that were stopped at random moments and ran again"
    found = read('kills.json') or {}
    rows = []
    for name, counts in found.items():
        if not isinstance(counts, dict) or 'stops' not in counts: continue
        equal = counts['rounds_equal_to_the_undisturbed_run']
        rows.append(row(
            f'`mvrep {name}` stopped at random moments, then run again: equal to an undisturbed run, bit for bit',
            f'{counts["stops"]} stops, {counts["rounds"]} rounds', f'{equal} rounds',
            'kills.json', 'python bench/kills.py'))
    return rows

def media_rows():
    "Damaged media"
    found = read('media_mutants.json')
    if not found: return []
    outcomes = found['outcomes']
    survived = f'{outcomes["read"]} read, {outcomes["refused"]} refused with a reason'
    wrong = sum(outcomes[o] for o in ('crash', 'hang', 'unexpected'))
    survived += f', {wrong} crashed, hung or failed otherwise'
    return [row('damaged media files, decoded', found['mutants'], survived,
                'media_mutants.json', 'python bench/mutants.py')]

def bound_rows():
    "Versions of the requirements"
    found = read('bounds.json') or {}
    return [row(f'commands with the {name} versions that settings.ini allows',
                len(leg['steps']), f'{leg["passed"]} passed', 'bounds.json', 'python scripts/bounds.py')
            for name, leg in found.items()]

TESTED = { # {what was tried: files of tests in which each test is a trial}
    'damage to any file of an index (MVREP_DAMAGE=1: every file in four ways)': ('test_index_damage.py',),
    'signals, full disks, two writers, bad files, odd names': ('test_pipeline.py', 'test_cli_signals.py'),
    'requests to the app': ('test_app.py', 'test_app_limits.py', 'test_app_probes.py'),
    'time stamps that jump, sizes that change, tags, waveforms': (
        'test_media_timeline.py', 'test_media_tags.py', 'test_media_waveform.py'),
    'malformed manifests': ('test_corpus_tables.py',),
    'zero bytes in names, JSON made to break a parser': ('test_hostile_names.py',),
    'a read-only index': ('test_read_only.py',)}

def test_rows():
    "Tests, by what they try; a failing test stops `make test`"
    rows = []
    for what, names in TESTED.items():
        files = [TESTS/o for o in names if (TESTS/o).is_file()]
        n_tests = sum(len(re.findall(r'^def test_', o.read_text(), re.M)) for o in files)
        source = ', '.join(f'tests/{o.name}' for o in files)
        rows.append(row(what, f'{n_tests} tests', 'all pass, or `make test` fails', source, 'make test'))
    return rows

if __name__=='__main__':
    args = parser(__doc__, 'robustness.csv').parse_args()
    write_table(args.out, [*kill_rows(), *media_rows(), *bound_rows(), *test_rows()])
