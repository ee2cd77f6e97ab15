"Names of artists and songs: which spellings are the same, and which videos share an artist"
import numpy as np
import pandas as pd
import pytest
from mvrep.corpus.names import artist_groups, artist_key, artist_names, is_known, linked_groups, name_key, plain_text

NINE = ['Beyoncé', 'Beyonce', 'Jay-Z', 'JAY Z', 'The Beatles', 'Beatles', 'Jay-Z ft. Beyoncé', 'Beyoncé & JAY-Z', None]

@pytest.mark.parametrize('one, other', [
    ('The Beatles', 'beatles'), ('Beyoncé', 'BEYONCE'), ("Don't", 'Dont'), ('Don’t', "don't"), ('A & B', 'a and b'),
    ('Sugar (Official Music Video)', 'Sugar'), ('X [HD]', 'x'),
    ('X ft. Y', 'X (feat. Z)'), ('X ft.Y', 'x'), ('X feat. "Y"', 'x'),
    ('Ｆｕｌｌ', 'full'), ('Levels - Radio Edit', 'Levels'), ('Jay-Z', 'JAY Z'), ('X ft. Y (Official Video)', 'x')])
def test_same_name(one, other):
    assert name_key(one)==name_key(other)

@pytest.mark.parametrize('one, other', [
    ('Song', 'Song (live)'), ('Song', 'Song (remix)'), ('The The', 'X'), ('!!!', '???'), ('Left', 'Le'),
    ('Часы', 'Чаши'), ('Soft', 'So'), ('Video Games', 'Games'),
    ('Little Feat', 'Little'), ('Little Feat [HD]', 'Little')])
def test_other_name(one, other):
    assert name_key(one)!=name_key(other)

def test_a_name_is_never_empty():
    assert all(name_key(o) for o in ('The', '!!!', '(feat. X)', 'ft. x'))

def test_plain_text():
    assert plain_text('  Björk İ ')=='bjork i' and plain_text('音楽')=='音楽'

def test_nine_names_as_main_artists():
    assert [artist_key(o) for o in NINE]==[
        'beyonce', 'beyonce', 'jay z', 'jay z', 'beatles', 'beatles', 'jay z', 'beyonce and jay z', None]

def test_nine_names_as_groups():
    assert artist_groups(NINE).tolist()==[0, 0, 0, 0, 1, 1, 0, 0, 2]
    duets = ('Jay-Z ft. Beyoncé', 'Beyoncé & JAY-Z')
    assert artist_groups([o for o in NINE if o not in duets]).tolist()==[0, 0, 1, 1, 2, 2, 3]

def test_groups_through_duets():
    artists = ['Rihanna', 'Eminem ft. Rihanna', 'EMINEM', 'Beyoncé', 'Beyonce feat. JAY-Z', '', None, 'Adele']
    assert artist_groups(artists).tolist()==[0, 0, 0, 1, 1, 2, 3, 4]

@pytest.mark.parametrize('credit', [
    'A & B', 'A, B', 'A ft. B', 'A feat B', 'A (feat. B)', 'A [ft. B]', 'A x B', 'A X B', 'A vs. B', 'A y B', 'A and B',
    'A with B',
    'A; B', 'A / B', 'A + B', 'A featuring B', 'A ft. B [HD]'])
def test_each_credit_names_both(credit):
    assert artist_names(credit)==['a', 'b']

@pytest.mark.parametrize('act', [
    'Lil Nas X', 'X', 'X Ambassadors', 'Little Feat', 'Static-X', 'And One', 'Malcolm x', '!!!', 'Y'])
def test_words_that_separate_nothing(act):
    assert len(artist_names(act))==1 and artist_groups([act, act]).tolist()==[0, 0]

@pytest.mark.parametrize('unknown', [None, float('nan'), pd.NA, pd.NaT, '', '  ', 7])
def test_unknown_artists_are_alone(unknown):
    assert (is_known(unknown), artist_key(unknown), artist_names(unknown))==(False, None, [])
    assert artist_groups([unknown, unknown, 'Adele', unknown]).tolist()==[0, 1, 2, 3]

def test_linked_groups_against_a_slow_search():
    rng = np.random.default_rng(0)
    for n in (0, 1, 7, 60):
        keys = [list(rng.integers(0, max(n, 1), rng.integers(0, 3))) for _ in range(n)]
        groups = linked_groups(keys)
        assert groups.shape==(n,) and sorted(set(groups))==list(range(len(set(groups))))
        for start in range(n): assert reachable(keys, start)==set(np.flatnonzero(groups==groups[start]))

def reachable(keys, start):
    "Rows tied to a row, by spreading until nothing is added"
    rows = {start}
    while True:
        known = {k for row in rows for k in keys[row]}
        more = {i for i, row_keys in enumerate(keys) if known & set(row_keys)} | rows
        if more==rows: return rows
        rows = more
