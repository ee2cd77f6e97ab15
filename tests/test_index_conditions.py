"Conditions on the metadata: what they may say, and that nothing of them is ignored"
import lancedb
import pyarrow as pa
import pytest
from mvrep.index.conditions import MAX_DEPTH, MAX_JOINS, ConditionError, parse_condition
from mvrep.index.metadata import VIDEOS, ids_where

ROWS = [dict(video_id='a', genre='rock', artist='X', tags=['live', 'loud'], duration=200., release_date='2001'),
        dict(video_id='b', genre='rock', artist="O'Neil", tags=[], duration=100., release_date='1999-05'),
        dict(video_id='c', genre=None, artist='X', tags=['quiet'], duration=300., release_date=None)]

@pytest.fixture(scope='module')
def table(tmp_path_factory):
    db = lancedb.connect(tmp_path_factory.mktemp('conditions'))
    schema = pa.schema([*VIDEOS, ('My energy', pa.float64()), ('Größe', pa.float64())])
    rows = [dict(row, **{'My energy': i/2, 'Größe': 1.}) for i, row in enumerate(ROWS)]
    return db.create_table('videos', pa.Table.from_pylist(rows, schema))

READ = {
    "genre = 'rock'": 'ab', "GENRE='rock' and Artist = 'X'": 'a', "genre = 'rock' OR artist = 'X'": 'abc',
    "artist = 'O''Neil'": 'b', "not genre = 'rock'": '', 'genre is null': 'c', 'genre IS NOT NULL': 'ab',
    "genre = 'rock' or artist = 'X' and duration > 250": 'abc',
    "(genre = 'rock' or artist = 'X') and duration > 250": 'c', "release_date >= '2000'": 'a',
    'duration between 100 and 2*100': 'ab', 'duration not between 1 and 250': 'c', "artist in ('X', 'Y')": 'ac',
    "artist not in ('X')": 'b', "artist like 'O%'": 'b', "artist not ilike 'o%'": 'ac',
    "array_has(tags, 'live')": 'a', "tags[1] = 'quiet'": 'c', "lower(artist) = 'x'": 'ac',
    'cast(duration as int) = 100': 'b', '"My energy" >= .5': 'bc', '`My energy` = 1e0': 'c', 'Größe = 1': 'abc',
    'duration > -1': 'abc', 'true': 'abc', "not (not genre = 'rock')": 'ab', "((duration) > ((150)))": 'ac',
    "genre == 'rock'": 'ab', "genre <> 'rock'": '', "artist = 'a -- b; c /* d'": '', "artist = 'X) or (1=1'": '',
    "genre\n=\t'rock'": 'ab', "genre\u00a0= 'rock'": 'ab'}

@pytest.mark.parametrize('where', READ)
def test_conditions_that_are_read(table, where): assert sorted(ids_where(table, where))==list(READ[where])

REFUSED = { # {condition: what the error shows}
    "genre = 'rock' artist = 'X'": '"artist = \'X\'" follows a complete condition',
    "1=1; drop table videos": "'; drop table videos'", "genre = 'rock';": 'not a statement',
    "genre = 'rock' -- and artist = 'X'": 'remove the comment', "genre = 'rock' /* x */": 'remove the comment',
    "genre = 'rock') or (1=1": 'was not opened', "genre = 'rock')": 'was not opened',
    "(genre = 'rock'": 'ends too early', "genre = 'rock' limit 1": "'limit 1' follows",
    "genre = 'rock' order by title": 'follows a complete', "genre = 'rock' union select 1": 'follows a complete',
    "genre = 'rock' as x": 'follows a complete', "duration > 2 3": "'3' follows", "duration > 2e3x": '2e3x',
    "genre = 'rock' 'pop'": "'pop'", "genre = 'rock' (artist = 'X')": 'follows a complete',
    "1 < duration < 3": 'join them by AND', "genre = 'rock' and": 'ends too early',
    "and genre = 'rock'": 'want a column', "genre = 'rock' and or artist = 'X'": 'at "or artist',
    'genre =': 'ends too early', '= 1': 'want a column', 'genre in ()': 'want a column',
    "genre in 'rock'": 'want (', "genre in ('a' 'b')": 'want )', 'genre is': 'want NULL',
    "genre not 'x'": 'want IN, LIKE or BETWEEN', 'genre between 1': 'want AND', "genre = 'rock": 'has no end',
    'genre = "rock': 'has no end', 'genre = rock': "no column 'rock'", 'genre = "rock"': 'single quotes',
    'genre = ‘rock’': 'straight quotes', 'gerne = 1': 'did you mean genre?', 'genre = null': 'IS NULL',
    'genre <> NULL': 'IS NULL', 'genre': 'not a condition', "'x'": 'not a condition',
    'duration + 1': 'not a condition', '': 'empty', '  ': 'empty', 'genre = ?': "'?'", 'genre = $1': "'$1'",
    'genre = :x': "':x'", "genre = $$x$$": "'$$x$$'", "genre = N'x'": "no column 'N'",
    "select 1": "no column 'select'", 'genre = (select genre from videos)': "no column 'select'",
    "genre = 5": 'holds texts', "duration = 'x'": 'holds numbers', "tags = 'x'": 'array_has',
    'nothing(genre) = 1': "'nothing'", "genre ~ 'x'": "~ 'x'", 'genre && artist': '&& artist',
    '('*(MAX_DEPTH+1)+'true'+')'*(MAX_DEPTH+1): 'inside each other',
    'not '*(MAX_DEPTH+1)+'true': 'inside each other', 'genre in ('*1000: 'inside each other',
    'lower('*1000: 'inside each other', ' -'*1000+'1 = 1': 'inside each other',
    ' or '.join(['true']*(MAX_JOINS+2)): 'use IN'}

@pytest.mark.parametrize('where', REFUSED, ids=lambda where: where[:30])
def test_conditions_that_are_refused(table, where):
    with pytest.raises(ValueError) as refused: ids_where(table, where)
    reason = str(refused.value)
    assert reason.startswith('cannot filter by ') and REFUSED[where] in reason and len(reason)<700
    assert '\n' not in reason.replace(where, '') and '.rs' not in reason and 'Lance' not in reason

def test_long_lists_of_values_are_read(table):
    ids = ', '.join(f"'v{i}'" for i in range(20_000))
    assert ids_where(table, f"video_id in ({ids}, 'b')")==['b']

def test_every_text_that_is_read_is_written_completely():
    "What the engine gets holds every token of the condition, and it is read as itself"
    for where in READ:
        written = parse_condition(where, [*VIDEOS.names, 'My energy', 'Größe'])
        assert parse_condition(written, [*VIDEOS.names, 'My energy', 'Größe']).count('`')==written.count('`')
        assert written.count("'")==where.count("'")
    with pytest.raises(ConditionError): parse_condition("a = 1\x00 or true", ['a'])
