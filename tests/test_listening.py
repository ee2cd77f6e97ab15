"The blind listening test: sheet and key, answers, form, and scores"
import json
import numpy as np
import pytest
from mvrep.explore.listening import Answer, Key, Listening, Pair, make_sheet, read_answers, read_key, read_sheet
from mvrep.explore.listening import save_sheet
from mvrep.explore.listening_form import ListeningForm, clips_of
from mvrep.explore.listening_scores import score_answers
from mvrep.index.examples import tiny_index

def candidates(name, n): return {f's{i:02}': [f'{name}{i:02}'] for i in range(n)}

@pytest.fixture(scope='module')
def found():
    "Three systems; the first two find the same candidate for three seeds"
    found = {name: candidates(name[0], 11) for name in ('metadata', 'trained', 'untrained')}
    for i in range(3): found['trained'][f's{i:02}'] = found['metadata'][f's{i:02}']
    return found

@pytest.fixture(scope='module')
def sheet(found): return make_sheet(found)[0]

@pytest.fixture(scope='module')
def key(found): return make_sheet(found)[1]

# Sheet and key

def test_a_sheet_depends_on_the_seed_only(found, sheet, key):
    assert make_sheet(found)==(sheet, key)
    assert make_sheet(found, seed=1)[0]!=sheet

def test_every_seed_is_a_trial_or_counted_as_the_same(found, sheet, key):
    assert [(o.first, o.second, o.same) for o in key.pairs]==[
        ('metadata', 'trained', 3), ('metadata', 'untrained', 0), ('trained', 'untrained', 0)]
    assert len(sheet.trials)==3*11-3
    for o in sheet.trials:
        for side in 'AB': assert found[key.systems[o.name][side]][o.seed]==[getattr(o, side)]

def test_a_sheet_tells_nothing_about_the_systems(found, sheet, tmp_path, key):
    save_sheet(sheet, key, tmp_path)
    text = (tmp_path/'sheet.json').read_text()
    assert not any(o in text for o in found)
    assert [o.name for o in sheet.trials]==[f't{i:03}' for i in range(1, 31)]

def test_sides_are_balanced_for_every_pair(key):
    for pair in key.pairs:
        sides = [o['A'] for o in key.systems.values() if set(o.values())=={pair.first, pair.second}]
        assert abs(sides.count(pair.first)-sides.count(pair.second))<=1

def test_another_rank(found):
    def longer(name, lists): return {seed: [*ids, f'second {name}'] for seed, ids in lists.items()}
    more = {name: longer(name, lists) for name, lists in found.items()}
    assert {o.A for o in make_sheet(more, rank=1)[0].trials}=={f'second {o}' for o in found}
    with pytest.raises(ValueError, match='nothing to compare'): make_sheet(found, rank=1)

def test_systems_that_cannot_be_compared():
    with pytest.raises(ValueError, match='1 system: want at least 2'): make_sheet(dict(a={}))
    with pytest.raises(ValueError, match='nothing to compare'): make_sheet(dict(a={'v': ['x']}, b={'v': ['x']}))
    with pytest.raises(ValueError, match='nothing to compare'): make_sheet(dict(a={'v': ['x']}, b={'w': ['y']}))

def test_files_come_back_as_they_were(sheet, key, tmp_path):
    save_sheet(sheet, key, tmp_path)
    assert (read_sheet(tmp_path/'sheet.json'), read_key(tmp_path/'key.json'))==(sheet, key)
    for read, name in ((read_sheet, 'key'), (read_key, 'sheet')):
        with pytest.raises(ValueError, match='is not a file that `save_sheet` wrote'): read(tmp_path/f'{name}.json')
    (tmp_path/'torn.json').write_text('{"code"')
    with pytest.raises(ValueError, match='torn.json is not a file'): read_sheet(tmp_path/'torn.json')

# Answers

def test_a_listener_continues_after_a_stop(sheet, tmp_path):
    first = Listening(sheet, tmp_path/'ada.jsonl', 'Ada')
    for choice in ('A', 'tie', 'B'): first.answer(choice)
    first.undo()
    again = Listening(sheet, tmp_path/'ada.jsonl', 'Ada')
    assert (len(again.remaining), again.trial)==(len(sheet.trials)-2, sheet.trials[2])
    lines = (tmp_path/'ada.jsonl').read_text().splitlines()
    assert [json.loads(o)['choice'] for o in lines]==['A', 'tie']

def test_answers_can_be_read_without_a_program(sheet, tmp_path):
    Listening(sheet, tmp_path/'zoë.jsonl', 'Zoë').answer('B')
    line, = (tmp_path/'zoë.jsonl').read_text(encoding='utf-8').splitlines()
    trial = sheet.trials[0].name
    assert line==f'{{"sheet": "{sheet.code}", "listener": "Zoë", "trial": "{trial}", "choice": "B"}}'

def test_a_test_ends(sheet, key, tmp_path):
    save_sheet(sheet, key, tmp_path)
    listening = Listening(tmp_path/'sheet.json', tmp_path/'new.jsonl')
    assert listening.trial==sheet.trials[0]
    listening.undo() # nothing to take back
    while listening.trial: listening.answer('tie')
    with pytest.raises(ValueError, match='all trials are answered'): listening.answer('A')

def test_answers_are_not_mixed(found, sheet, tmp_path):
    path = tmp_path/'ada.jsonl'
    ada = Listening(sheet, path, 'Ada')
    ada.answer('A')
    with pytest.raises(ValueError, match='want one of A, B, tie'): ada.answer('neither')
    with pytest.raises(ValueError, match="of 'Ada', not of 'Bo': choose another file"): Listening(sheet, path, 'Bo')
    with pytest.raises(ValueError, match='answers another sheet'): Listening(make_sheet(found, seed=1)[0], path, 'Ada')

@pytest.mark.parametrize('line', ['{"sheet": "x", "tri', '[]', '{"sheet": "x"}',
                                  '{"sheet": "x", "listener": "a", "trial": "t001", "choice": "both"}'])
def test_damaged_lines_are_named(sheet, tmp_path, line):
    path = tmp_path/'torn.jsonl'
    first = dict(sheet='x', listener='a', trial='t001', choice='A', note='more is fine')
    path.write_text(f'{json.dumps(first)}\n{line}')
    message = 'torn.jsonl, line 2: want sheet, listener, trial and choice'
    with pytest.raises(ValueError, match=message): read_answers(path)

def test_a_missing_file_has_no_answers(tmp_path): assert read_answers(tmp_path/'missing.jsonl')==[]

# The form

@pytest.fixture(scope='module')
def index(tmp_path_factory): return tiny_index(tmp_path_factory.mktemp('listening'))

@pytest.fixture
def form(index, tmp_path):
    "A form for seven trials of two systems with conspicuous names"
    ids = list(index.build.video_ids)
    def after(step): return {o: [ids[(i+step)%12]] for i, o in enumerate(ids[:7])}
    lists = [after(1), after(2)]
    sheet = make_sheet(dict(zip(('SystemOne', 'SystemTwo'), lists)))[0]
    return ListeningForm(Listening(sheet, tmp_path/'bo.jsonl', 'Bo'), clips_of(index, length=1., size=64))

def test_clicks_are_kept_and_taken_back(form, tmp_path):
    first = form.players['A'].value
    assert form.buttons['undo'].disabled and '1 of 7' in form.message.value
    for choice in ('B', 'tie'): form.buttons[choice].click()
    assert [o.choice for o in read_answers(tmp_path/'bo.jsonl')]==['B', 'tie'] and '3 of 7' in form.message.value
    form.buttons['undo'].click()
    assert form.listening.trial==form.listening.sheet.trials[1] and not form.buttons['undo'].disabled
    assert form.players['A'].value!=first

def test_the_form_names_no_system_and_no_video(form, index):
    content = form.message.value+''.join(o.value for o in form.players.values())
    assert content.count('data:video/mp4')==3
    assert not any(o in content for o in ('SystemOne', 'SystemTwo', *index.build.video_ids))

def test_the_form_ends(form):
    for _ in range(7): form.press('A')
    assert {o: button.disabled for o, button in form.buttons.items()}==dict(A=True, B=True, tie=True, undo=False)
    assert 'All 7 trials are answered' in form.message.value and not form.players['seed'].value
    form.press('undo')
    assert '7 of 7' in form.message.value

def test_clips_are_cut_once(index):
    clip = clips_of(index, length=1., size=64)
    assert clip('v0000') is clip('v0000') and clip('v0000')!=clip('v0001')
    with pytest.raises(KeyError): clip('missing')

# Scores

def answers(key, choose, listener='one'): return [Answer(key.code, listener, o, choose(o)) for o in key.systems]

@pytest.fixture(scope='module')
def long_key():
    "Sixty trials of each pair of three systems"
    return make_sheet({name: candidates(name, 60) for name in ('good', 'twin', 'poor')}, seed=3)[1]

def prefer_good(key, listener):
    "Choose `good` and `twin` in most trials against `poor`, and ties now and then"
    rng = np.random.default_rng(listener)
    def choose(trial):
        sides, better = key.systems[trial], rng.random()<.8
        if rng.random()<.1: return 'tie'
        prefers_A = sides['B']=='poor' or (sides['A'], sides['B'])==('good', 'twin') and rng.random()<.5
        return 'A' if prefers_A==better else 'B'
    return answers(key, choose, f'simulated {listener}')

def test_the_score_finds_what_was_simulated(long_key):
    scores = score_answers(long_key, [prefer_good(long_key, o) for o in range(3)]).set_index(['first', 'second'])
    assert scores.low['good', 'poor']>.5 and scores.p['good', 'poor']<.001
    assert (scores.trials==60).all() and (scores.listeners==3).all() # trials count once, not once per listener

def test_a_preference_for_neither(long_key):
    def first_half(trial): return 'A' if int(trial[1:])%2 else 'B'
    row = score_answers(long_key, [answers(long_key, first_half)]).set_index(['first', 'second']).loc['good', 'twin']
    assert row.low<.5<row.high

def test_the_majority_of_listeners_decides():
    key = Key('x', {'t001': dict(A='one', B='two'), 't002': dict(A='two', B='one')}, (Pair('one', 'two', 4),))
    choices = dict(ada=('A', 'A'), bo=('A', 'tie'), cy=('B', 'tie'))
    def answers(name, chosen): return [Answer('x', name, f't00{i+1}', o) for i, o in enumerate(chosen)]
    given = [answers(name, chosen) for name, chosen in choices.items()]
    row = score_answers(key, given).iloc[0]
    assert (row.wins, row.losses, row.ties, row.same, row.listeners)==(1, 1, 0, 4, 3)

def test_ties_only_are_no_preference(long_key):
    scores = score_answers(long_key, [answers(long_key, lambda o: 'tie')])
    assert scores[['preference', 'low', 'high', 'p', 'A_share']].isna().all(axis=None) and (scores.ties==60).all()

def test_a_listener_who_always_chooses_A(long_key):
    scores = score_answers(long_key, [answers(long_key, lambda o: 'A')])
    assert set(scores.A_share)=={1} and set(scores.wins)=={30}

def test_no_answers(long_key): assert list(score_answers(long_key, []).trials)==[0, 0, 0]

def test_files_and_lists_give_the_same_scores(sheet, key, tmp_path):
    save_sheet(sheet, key, tmp_path)
    ada = Listening(sheet, tmp_path/'ada.jsonl', 'Ada')
    while ada.trial: ada.answer('A')
    by_file = score_answers(tmp_path/'key.json', [tmp_path/'ada.jsonl'])
    assert by_file.equals(score_answers(key, [ada.answers]))

def test_answers_that_do_not_belong_together(key, long_key):
    ties = answers(long_key, lambda o: 'tie')
    with pytest.raises(ValueError, match='answered t... twice'): score_answers(long_key, [ties, ties])
    with pytest.raises(ValueError, match=f'the key is of sheet {key.code}'): score_answers(key, [ties])

def test_interval_and_sign_test_against_the_formulas(long_key):
    "Wilson's interval and the exact sign test for 8 of 10, computed by hand"
    trials = [o for o, sides in long_key.systems.items() if set(sides.values())=={'good', 'poor'}][:10]
    def choose(i, trial): return 'A' if (long_key.systems[trial]['A']=='good')==(i<8) else 'B'
    given = [Answer(long_key.code, 'one', o, choose(i, o)) for i, o in enumerate(trials)]
    row = score_answers(long_key, [given]).set_index(['first', 'second']).loc['good', 'poor']
    z = 1.959964 # 97.5 % quantile of the normal distribution
    n, p = 10, .8 # Trials, share of wins
    middle = (p+z**2/(2*n))/(1+z**2/n)
    half = z*np.sqrt(p*(1-p)/n+z**2/(4*n**2))/(1+z**2/n)
    assert (row.wins, row.losses)==(8, 2)
    assert (row.low, row.high)==pytest.approx((middle-half, middle+half), abs=1e-5)
    assert row.p==pytest.approx(2*(45+10+1)/1024)
