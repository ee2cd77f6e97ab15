"Tables as people and programs write them: which rows are used, and what is reported of the others"
import json
import numpy as np
import pandas as pd
import pytest
from mvrep.corpus.annotations import read_lines
from mvrep.corpus.manifest import read_manifest, save_manifest, scan_manifest, validate
from mvrep.corpus.tables import MAX_TEXT, CorpusError, parse_json, read_rows, read_table, read_text
from mvrep.explore.listening import read_answers, read_sheet
from mvrep.recommendation.exchange import read_atomic
from mvrep.recommendation.interactions import InteractionError, read_interactions

HEADER = 'video_id,path,title\n'

@pytest.fixture
def write(tmp_path):
    "Write a file and return its path"
    def write(content, name='m.csv'):
        content = content if isinstance(content, bytes) else content.encode('utf-8', 'surrogateescape')
        (tmp_path/name).write_bytes(content)
        return tmp_path/name
    return write

# Bad rows among good ones

BAD_ROWS = [
    ('b,b.mp4,x,', 'has 4 fields, the header 3: remove the separator at its end'),
    ('b,b.mp4,one,two', 'has 4 fields, the header 3'),
    ('b,b.mp4', 'has 2 fields, the header 3'),
    ('b,b\0.mp4,x', 'zero byte'),
    ('b,b.mp4,"never closed', 'a quote that is not closed'),
    ('b,b.mp4,"a" b', 'text behind a closing quote'),
    ('b,b.mp4,Bj\udcf6rk', 'not UTF-8'),
    ('b,b.mp4,'+'x'*(MAX_TEXT+1), 'characters, at most'),
    ('b,b.mp4,'+'x'*140_000, 'a quote|characters')]

@pytest.mark.parametrize('row, reason', BAD_ROWS)
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_a_bad_row_costs_itself_only(write, row, reason, end):
    text = HEADER+f'a,a.mp4,one\n{row}\nc,c.mp4,three\n'
    path = write(text.replace('\n', end))
    corpus, errors = scan_manifest(path)
    assert corpus.video_id.tolist()==['a', 'c'] and corpus.title.tolist()==['one', 'three']
    assert errors.path.tolist()==[f'{path} line 3'] and errors.reason.str.contains(reason).all()
    with pytest.raises(CorpusError, match='line 3 ') as e: read_manifest(path)
    assert len(str(e.value))<400

def test_a_label_that_is_written_as_a_list(write):
    "One label is that label, several are an error, and brackets alone do not make a list"
    header, rows = 'video_id,path,genre,mood\n', ['["sad"]', "['sad', 'slow']", '[]', '[live]']
    lines = [f'{i},{i}.mp4,"[\'rock\']","{o.replace(chr(34), chr(34)*2)}"' for i, o in enumerate(rows)]
    corpus, errors = scan_manifest(write(header+'\n'.join(lines)))
    assert corpus.genre.tolist()==['rock']*3 and corpus.mood.tolist()==['sad', None, '[live]']
    assert errors.reason.tolist()==['mood: "[\'sad\', \'slow\']": want one text']

def test_the_cases_of_the_bug_reports(write):
    with pytest.raises(CorpusError, match='line 2 has 5 fields, the header 4') as e:
        scan_manifest(write('video_id,path,artist,title\na,a.mp4,Foo,Hello,\nb,b.mp4,Bar,World,\n'))
    assert len(e.value.problems)==2
    with pytest.raises(CorpusError, match="column 'genre' twice"):
        scan_manifest(write('video_id,path,genre,genre\na,a.mp4,rock,pop\n'))
    corpus, errors = scan_manifest(write(
        'video_id,path,title\na,a.mp4,"never closed\nb,b.mp4,second" part\nc,c.mp4,third\n'))
    assert corpus.video_id.tolist()==['b', 'c'] and corpus.title.tolist()==['second" part', 'third']
    assert errors.path.str.endswith('line 2').all() and len(errors)==1
    with pytest.raises(CorpusError, match='line 1 is a list: want one object'):
        scan_manifest(write('[{"video_id": "a", "path": "a.mp4"}]\n', 'm.jsonl'))
    corpus, errors = scan_manifest(write('video_id,path\na,a\0.mp4\nb,b.mp4\n'))
    assert corpus.video_id.tolist()==['b'] and 'zero byte' in errors.reason[0]

def test_a_quote_that_closes_in_a_later_row(write):
    corpus, errors = scan_manifest(write(HEADER+'a,a.mp4,"open\nb,b.mp4,second"\nc,c.mp4,third\n'))
    assert corpus.video_id.tolist()==['b', 'c'] and errors.path.str.endswith('line 2').all()

def test_lines_inside_a_field_are_kept(write):
    table, errors = read_rows(write('id,text\na,"one\ntwo, three"\n\nb,"say ""x"""\n,\nc,\n'))
    assert table.text.tolist()==['one\ntwo, three', 'say "x"', None] and not len(errors)
    assert table.index.tolist()==[2, 5, 7] and table.index.name=='line'

def test_an_open_quote_in_a_long_table_is_found_quickly(write):
    rows = ''.join(f'v{i},v{i}.mp4,title {i}\n' for i in range(20_000))
    corpus, errors = scan_manifest(write(HEADER+'x,x.mp4,"open\n'+rows))
    assert len(corpus)==20_000 and errors.path.str.endswith('line 2').all()

# Values

def test_urls_are_not_supported(write):
    urls = ['https://example.org/b.mp4', 's3://bucket/b.mp4', ' HTTP://x/b.mp4', 'file:///b.mp4', 'rtmp://x/y']
    rows = ''.join(f'u{i},{o},\n' for i, o in enumerate(urls))
    corpus, errors = scan_manifest(write(HEADER+rows+'a,C:/b.mp4,\nb,http/b.mp4,\n'))
    assert corpus.video_id.tolist()==['a', 'b']
    assert len(errors)==len(urls) and errors.reason.str.contains('URLs are not supported').all()

def test_values_that_do_not_fit(write):
    rows = ['a,a.mp4,2004,train', ',x.mp4,,', 'b,,,', 'c/d,c.mp4,,', 'e,e.mp4,5/12/2003,', 'f,f.mp4,,Train',
            'a,z.mp4,,', 'g,a.mp4,,', '007,g.mp4,20040102,']
    corpus, errors = scan_manifest(write('video_id,path,release_date,split\n'+'\n'.join(rows)))
    assert corpus.video_id.tolist()==['a', '007'] and corpus.release_date.tolist()==['2004', '2004-01-02']
    expected = ['video_id is missing', 'path is missing', 'video_id:', 'release_date:', 'split:', 'in line 2 already',
                'in line 2 already']
    assert all(part in reason for part, reason in zip(expected, errors.reason)) and len(errors)==len(expected)
    assert validate(corpus, check_files=False)==[]

def test_a_bad_row_does_not_take_the_id(write):
    corpus, _ = scan_manifest(write('video_id,path,split\na,a.mp4,soon\na,a.mp4,test\n'))
    assert corpus.split.tolist()==['test']

def saved(table, write):
    "A file of CSV as pandas writes it"
    path = write('')
    table.to_csv(path, index=False)
    return path

TAGS = ["['slow', 'sad']", '["slow", "sad"]', 'slow|sad', 'slow, sad', 'slow;sad', ' slow ; sad ', "('slow', 'sad')",
        "['slow' 'sad']", "{'slow', 'sad'}", '[slow, sad]', '"slow", "sad"', 'slow\nsad',
        '["slow","sad",]', 'slow;;sad;']

@pytest.mark.parametrize('written', TAGS)
def test_lists_of_tags(write, written):
    table = pd.DataFrame(dict(video_id=['a'], path=['a.mp4'], tags=[written]))
    assert sorted(read_manifest(saved(table, write)).tags[0])==['sad', 'slow']

@pytest.mark.parametrize('written, tags', [
    ('rock', ['rock']), ("rock 'n' roll", ["rock 'n' roll"]), ('R&B (soul)', ['R&B (soul)']), ('[]', []), ('', []),
    ('rock, pop;jazz', ['rock, pop', 'jazz']), ('["rock, pop"]', ['rock, pop']), ("['it''s']", ['it', 's'])])
def test_single_tags_and_edges(write, written, tags):
    table = pd.DataFrame(dict(video_id=['a'], path=['a.mp4'], tags=[written]))
    assert read_manifest(saved(table, write)).tags[0]==tags

NO_TAGS = ["['slow', 'sad'", '["slow", 1]', "array(['slow', 'sad'], dtype=object)", '[["a"]]']

@pytest.mark.parametrize('written', NO_TAGS)
def test_lists_that_cannot_be_read_are_reported(write, written):
    table = pd.DataFrame(dict(video_id=['a', 'b'], path=['a.mp4', 'b.mp4'], tags=[written, 'x']))
    corpus, errors = scan_manifest(saved(table, write))
    assert corpus.video_id.tolist()==['b'] and errors.reason.str.startswith('tags: ').all()

@pytest.mark.parametrize('tags', [['rock, pop'], ['a|b', 'c'], ['[x]'], ["'q'"], ['a', 'b, c'], ['x\ny'], []])
@pytest.mark.parametrize('kind', ['csv', 'jsonl', 'parquet'])
def test_tags_with_separators_survive_saving(tmp_path, tags, kind):
    corpus = pd.DataFrame(dict(video_id=['a'], path=[str(tmp_path/'a.mp4')], tags=[tags]))
    save_manifest(corpus, tmp_path/f'm.{kind}')
    assert read_manifest(tmp_path/f'm.{kind}').tags[0]==tags

# Headers and encodings

def test_names_of_columns_are_found_in_any_case(write):
    corpus = read_manifest(write('\ufeff Video ID ,PATH,Release-Date,My Column,\na,a.mp4,2004,x,\n'))
    assert list(corpus)==['video_id', 'path', 'release_date', 'My Column', 'Unnamed: 4']
    index = read_manifest(write(',video_id,path\n0,a,a.mp4\n'))
    assert index.video_id.tolist()==['a']

@pytest.mark.parametrize('content, message', [
    ('video_id,path,Path\na,a,b\n', "column 'path' twice"),
    ('video_id,path\n', 'empty'),
    ('\n\n', 'empty'),
    (HEADER.encode('utf-16'), 'UTF-16'),
    (HEADER.encode('utf-16-le'), 'UTF-16'),
    (bytes(8192), 'zero bytes'),
    (b'PK\x03\x04...', 'spreadsheet'),
    (b'\x1f\x8b...', 'compressed'),
    (b'PAR1...', 'Parquet'),
    ('"video_id,path\na,a.mp4\n', 'line 1 opens a quote'),
    ('video_id,pa\0th\na,a.mp4\n', 'line 1 has a zero byte'),
    ('video_id\tpath\na\ta.mp4\n', 'separate columns by commas')])
def test_files_that_are_refused(write, content, message):
    with pytest.raises(CorpusError, match=message) as e: read_manifest(write(content))
    assert len(e.value.problems)==1 and len(str(e.value))<400

# JSON lines

@pytest.mark.parametrize('line, reason', [
    ('[{"video_id": "b"}]', 'is a list'), ('7', 'is a single value'),
    ('{"video_id": "b",', 'is not JSON'),
    ('{"video_id": "b", "video_id": "c", "path": "b"}', "has 'video_id' twice"),
    ('{"video_id": "b", "Video_ID": "c", "path": "b"}', "column 'video_id' twice"),
    ('{"video_id": "b", "path": "b", "duration": Infinity}', 'Infinity'),
    ('{"video_id": "b", "path": "b", "duration": 1e999}', 'too large'),
    ('{"video_id": "b", "path": "b", "duration": '+'9'*5000+'}', 'too many digits'),
    ('{"video_id": "b", "path": "b", "duration": '+'9'*400+'}', 'duration: '),
    ('{"video_id": "b", "path": "b", "x": '+'['*100_000+']'*100_000+'}', 'nested too deeply'),
    ('{"video_id": "b", "path": "b\\u0000"}', 'zero byte'),
    ('{"video_id": "b", "path": "b", "t": "\\ud800"}', 'UTF-8'),
    ('{"video_id": "b", "path": "b", "artist": {"name": "x"}}', 'artist: '),
    ('{"video_id": 7, "path": "b"}', 'video_id: 7')])
def test_bad_lines_of_json(write, line, reason):
    good = '{"video_id": "a", "path": "a.mp4", "title": "x\u2028y", "duration": NaN}'
    corpus, errors = scan_manifest(write(f'{good}\n\n{line}\r\n', 'm.jsonl'))
    assert corpus.video_id.tolist()==['a'] and corpus.title[0]=='x\u2028y' and np.isnan(corpus.duration[0])
    assert errors.path.str.endswith('line 3').all() and errors.reason.str.contains(reason).all() and len(errors)==1
    assert errors.reason.str.len().max()<400

def test_json_of_a_whole_list(write):
    with pytest.raises(CorpusError, match='begins a list'): read_manifest(write(json.dumps([{}], indent=1), 'm.jsonl'))

def test_parse_json():
    assert parse_json('{"a": [NaN, 1.5, "x"]}')=={'a': [None, 1.5, 'x']}
    with pytest.raises(ValueError, match='is not JSON'): parse_json('')

# Parquet

def test_parquet(tmp_path):
    table = pd.DataFrame(dict(video_id=['a', 'b'], path=['a.mp4', 'b\0.mp4']))
    table.set_index('video_id').to_parquet(tmp_path/'m.parquet')
    corpus, errors = scan_manifest(tmp_path/'m.parquet')
    assert corpus.video_id.tolist()==['a'] and errors.path.str.endswith('row 2').all()

# The other readers

def test_logs_of_listeners(write):
    for text, message in (('User,item,TIME,time\n', 'twice'), ('user,item,time\na,v1,5,\n', 'line 2 has 4 fields'),
                          ('user,item,time\na,"v1,5\n', 'line 2 opens a quote'),
                          ('user,item,time\na,v\0,5\n', 'zero byte')):
        with pytest.raises(InteractionError, match=message): read_interactions(write(text, 'log.csv'))
    log, _ = read_interactions(write('User, Item ,TIME\r\n007,v1,5\r\n', 'log.csv'))
    assert log.user.tolist()==['007']

def test_lines_of_ids(write):
    assert read_lines(write('\ufeffa\r\nb\rc\n'))==['a', 'b', 'c']
    for content, message in ((b'a\nb\0\n', 'line 2 has a zero byte'), (b'a\n\xff\n', 'line 2 has bytes')):
        with pytest.raises(CorpusError, match=message): read_lines(write(content))
    with pytest.raises(CorpusError, match='no such file'): read_text('missing.txt')

def test_answers_of_listeners(write):
    answer = dict(sheet='s', listener='a\u2028b', trial='t', choice='A')
    path = write(json.dumps(answer, ensure_ascii=False)+'\n', 'a.jsonl')
    assert read_answers(path)[0].listener=='a\u2028b'
    for line in ('['*100_000, json.dumps(answer|dict(listener=['x'])), '{"sheet": 1, "sheet": 2}', 'x\0'):
        with pytest.raises(ValueError, match='line 1: want sheet'): read_answers(write(line+'\n', 'a.jsonl'))
    with pytest.raises(ValueError, match='nested too deeply'): read_sheet(write('['*100_000, 'sheet.json'))

def test_files_for_recbole(write):
    path = write('user_id:token\tx:float\na\t1.5\tz\n', 'a.inter')
    with pytest.raises(ValueError, match='line 2 has 3 fields, the header 2'): read_atomic(path)
    path = write('user_id:token\tx:float\na\tsoon\n', 'a.inter')
    with pytest.raises(ValueError, match="x: 'soon'"): read_atomic(path)

def test_a_table_of_which_all_rows_are_needed(write):
    assert read_table(write('a,b\n1,\n')).values.tolist()==[['1', None]]
    with pytest.raises(CorpusError) as e: read_table(write('a,b\n1,2\n'+'1\n'*30))
    assert len(e.value.problems)==21 and e.value.problems[-1]=='and 10 more'
