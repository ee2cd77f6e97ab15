"Corpora from folders and files as people have them: scanning, reading, saving, checking"
import json
import os
import sys
from datetime import date
from pathlib import Path
import av
import numpy as np
import pandas as pd
import pytest
from mvrep.core import data_folder, sha256
from mvrep.corpus.duplicates import find_duplicates
from mvrep.corpus.folds import split_by_artist, split_random
from mvrep.corpus.manifest import COLUMNS, CorpusError, first_few, is_date, is_missing, known_values, parse_date
from mvrep.corpus.manifest import read_manifest, save_manifest, validate
from mvrep.corpus.scan import make_video_ids, scan_files, scan_folder, walk_folder

def add_streams(container, modalities):
    "Streams of a small clip: {'video': …, 'audio': …}"
    streams = {}
    if 'video' in modalities:
        stream = streams['video'] = container.add_stream('mpeg4', rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = 'yuv420p'
    if 'audio' in modalities: streams['audio'] = container.add_stream('aac', rate=16000, layout='mono')
    return streams

def frames_of(modality, seconds):
    "Frames of one stream: grey images that become lighter, or silence"
    if modality=='video':
        images = [np.full((48, 64, 3), 9*i, 'uint8') for i in range(max(1, round(seconds*25)))]
        return [av.VideoFrame.from_ndarray(o) for o in images]
    frame = av.AudioFrame.from_ndarray(np.zeros((1, max(1024, int(seconds*16000))), 'float32'), 'fltp', 'mono')
    frame.sample_rate = 16000
    return [frame]

def write_video(path, seconds=.4, modalities=('video', 'audio'), tags=None):
    "A small file at `path`; no two have the same content"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    options = dict(movflags='use_metadata_tags') if str(path).endswith('.mov') else {}
    with av.open(str(path), 'w', options=options) as container:
        container.metadata.update(dict(tags or {}, comment=Path(path).name))
        streams = add_streams(container, modalities)
        for modality, stream in streams.items():
            for frame in frames_of(modality, seconds): container.mux(stream.encode(frame))
        for stream in streams.values(): container.mux(stream.encode())
    return Path(path)

@pytest.fixture(scope='module')
def home(tmp_path_factory):
    "A folder with good and bad files of every kind"
    d = tmp_path_factory.mktemp('videos')
    write_video(d/'b.mp4', tags=dict(title='Jóga', artist='Björk', genre='pop', date='19970915'))
    write_video(d/'a'/'one.MKV', tags=dict(TITLE='One', ARTIST='U2'))
    write_video(d/'a'/('long '*45+'.mp4'))
    write_video(d/'a'/'b'/'音楽 🎵.mkv')
    write_video(d/'silent.mp4', modalities=('video',))
    write_video(d/'only audio.mp4', modalities=('audio',))
    write_video(d/'frame.mp4', seconds=.04, modalities=('video',))
    write_video(d/'.hidden.mp4')
    write_video(d/'.git'/'x.mp4')
    write_video(d/'index'/'clip.mp4')
    (d/'index'/'mvrep.json').write_text('{}')
    (d/'cut.mp4').write_bytes((d/'b.mp4').read_bytes()[:300])
    (d/'empty.mp4').touch()
    (d/'text.mp4').write_text('not a video')
    write_video(d/'folder.mp4'/'in.mp4')
    (d/'notes.txt').write_text('not a video either')
    (d/'copy of b.mp4').write_bytes((d/'b.mp4').read_bytes())
    (d/'broken.mp4').symlink_to(d/'gone.mp4')
    (d/'self.mp4').symlink_to(d/'self.mp4')
    for link, target in ((d/'a'/'up', d), (d/'a'/'upper', d.parent), (d/'a'/'here', d/'a')): link.symlink_to(target)
    os.mkfifo(d/'pipe.mp4')
    return d

GOOD = {'b', 'a-one', 'a-b-音楽', 'silent', 'only-audio', 'frame', 'folder-mp4-in', 'copy-of-b'}
BAD = {'cut.mp4', 'empty.mp4', 'text.mp4', 'broken.mp4', 'self.mp4', 'pipe.mp4'}

# Scanning

def test_folder(home):
    corpus, errors = scan_folder(home)
    assert list(corpus.columns)==list(COLUMNS)
    long = [o for o in corpus.video_id if o.startswith('a-long')]
    assert set(corpus.video_id)==GOOD|set(long) and len(long)==1 and len(long[0])==80
    assert {Path(o).name for o in errors.path}==BAD and errors.reason.str.len().gt(5).all()
    assert list(corpus.path)==sorted(corpus.path, key=Path)
    b = corpus.set_index('video_id').loc['b']
    assert (b.title, b.artist, b.genre, b.release_date)==('Jóga', 'Björk', 'pop', '1997-09-15') and b.duration>.3
    assert corpus.set_index('video_id').title['a-one']=='One'
    assert validate(corpus)==[] and corpus.sha256.isna().all()

def test_walk_folder(home):
    content = walk_folder(home)
    assert len(content.videos)==len(GOOD)+1+len(BAD) and content.videos==sorted(content.videos)
    assert [o.name for o in content.other_files]==['notes.txt'] and content.unreadable==[]

def test_folder_is_the_same_twice_and_moved(home, tmp_path):
    first, second = scan_folder(home), scan_folder(home)
    for a, b in zip(first, second): pd.testing.assert_frame_equal(a, b)
    (tmp_path/'link').symlink_to(home)
    moved = scan_folder(tmp_path/'link')[0]
    assert list(moved.video_id)==list(first[0].video_id) and all(o.startswith(str(tmp_path)) for o in moved.path)

def test_relative_folder(home, monkeypatch):
    monkeypatch.chdir(home.parent)
    assert list(scan_folder(home.name)[0].path)==list(scan_folder(home)[0].path)
    assert list(scan_files([Path(home.name)/'b.mp4'], home.name)[0].video_id)==['b']

def test_linked_folders_are_read_once(tmp_path):
    write_video(tmp_path/'disk'/'x.mp4')
    (tmp_path/'v').mkdir()
    for o in ('one', 'two'): (tmp_path/'v'/o).symlink_to(tmp_path/'disk')
    assert list(scan_folder(tmp_path/'v')[0].video_id)==['one-x']

def test_unreadable(tmp_path):
    write_video(tmp_path/'a.mp4')
    write_video(tmp_path/'b.mp4').chmod(0)
    write_video(tmp_path/'c'/'c.mp4')
    (tmp_path/'c').chmod(0)
    if os.access(tmp_path/'b.mp4', os.R_OK): pytest.skip('this user may read everything')
    corpus, errors = scan_folder(tmp_path)
    (tmp_path/'c').chmod(0o755)
    assert list(corpus.video_id)==['a'] and {Path(o).name for o in errors.path}=={'b.mp4', 'c'}
    assert errors.reason.str.contains('permission', case=False).all()

@pytest.mark.skipif(sys.platform!='linux', reason='other systems do not have such names')
def test_name_that_is_not_utf8(tmp_path):
    write_video(tmp_path/'a.mp4')
    os.rename(tmp_path/'a.mp4', os.fsencode(tmp_path)+b'/\xff\xfe.mp4')
    corpus, errors = scan_folder(tmp_path)
    assert not len(corpus) and 'UTF-8' in errors.reason[0]
    errors.to_parquet(tmp_path/'errors.parquet')

def test_only_bad_files(tmp_path):
    (tmp_path/'a.mp4').write_text('no')
    corpus, errors = scan_folder(tmp_path)
    assert len(corpus)==0 and len(errors)==1 and validate(corpus)==[]
    assert len(split_random(corpus))==len(split_by_artist(corpus))==len(find_duplicates(corpus))==0

def test_files_by_hand(home, tmp_path):
    other = write_video(tmp_path/'b.mp4')
    corpus, errors = scan_files([home/'b.mp4', other, home/'b.mp4', home/'text.mp4', tmp_path/'none.mp4'])
    assert len(corpus)==len(errors)==2
    assert corpus.video_id.is_unique and corpus.video_id.str.startswith('b-').all()
    assert scan_files([home/'b.mp4'])[0].video_id[0]=='b'

def test_label_from_folder(home):
    corpus = scan_folder(home, 'genre')[0].set_index('video_id')
    genres = [corpus.genre[o] for o in ('a-one', 'a-b-音楽', 'b')]
    assert genres==['a', 'b', None]
    assert scan_folder(home, 'tags')[0].set_index('video_id').tags['folder-mp4-in']==['folder.mp4']
    for o in ('path', 'nonsense'):
        with pytest.raises(ValueError, match='label_from_folder'): scan_folder(home, o)

def test_folder_without_videos(tmp_path):
    file = write_video(tmp_path.parent/'y.mp4')
    for o, message in ((tmp_path, 'looked for .mp4 .m4v'), (tmp_path/'x', 'no such folder'), (file, 'not a folder')):
        with pytest.raises(CorpusError, match=message): scan_folder(o)

def test_video_ids():
    hard = ['-abc_DEF--x', 'a/b', 'a b', 'A b', '..', '...', '🎵', '🎶', 'x'*300, 'x'*299, 'e\u0301', '\u00e9 ', 'con']
    hard += ['a\nb', 'a;b', "a'b"]
    paths = [f'/v/{o}.mp4' for o in hard]
    ids = make_video_ids(paths, '/v')
    assert len({o.casefold() for o in ids})==len(hard) and max(map(len, ids))<=80 and ids[0]=='-abc_DEF--x'
    assert validate(pd.DataFrame(dict(video_id=ids, path=paths)), check_files=False)==[]
    assert make_video_ids(paths[::-1], '/v')==ids[::-1]

def test_video_ids_without_a_root():
    assert make_video_ids(['/v/🎵.mp4'])==['video']
    assert len(set(make_video_ids(['/v/a.mp4', '/w/a.mp4'])))==2
    assert len(make_video_ids(['/v/'+'ü'*300+'.mp4'])[0])==80

# Duplicates

def test_duplicates(home):
    corpus = scan_folder(home)[0]
    copies = find_duplicates(corpus)
    assert list(copies.video_id)==['b', 'copy-of-b'] and set(copies.sha256)=={sha256(home/'b.mp4')}
    assert len(find_duplicates(corpus[corpus.video_id!='copy-of-b']))==0

def test_duplicates_with_known_hashes(home):
    corpus = scan_folder(home)[0]
    hashed = scan_folder(home, hash=True)[0]
    copies = find_duplicates(corpus)
    pd.testing.assert_frame_equal(find_duplicates(hashed), copies)
    assert split_random(hashed)[hashed.video_id.isin(copies.video_id)].nunique()==1
    split = pd.Series(['train' if o=='b' else 'test' for o in hashed.video_id])
    with pytest.raises(CorpusError, match='identical files'): validate(hashed.assign(split=split))
    assert len(find_duplicates(hashed.assign(path='gone.mp4')))==2

def test_blank_hashes_are_not_equal(tmp_path):
    df = pd.DataFrame(dict(video_id=['a', 'b'], path=['gone.mp4', 'lost.mp4'], sha256=['', ' ']))
    assert len(find_duplicates(df))==0

# Values

@pytest.mark.parametrize('value', [None, float('nan'), np.float32('nan'), pd.NA, pd.NaT, '', ' \t'])
def test_missing(value):
    assert is_missing(value)

@pytest.mark.parametrize('value', [0, False, 'None', 'nan', [], 'NA', float('inf')])
def test_not_missing(value):
    assert not is_missing(value)

def test_known_values():
    df = pd.DataFrame(dict(artist=['Air', None, ' ']), index=[3, 1, 2])
    values = known_values(df, 'artist', str.upper)
    assert values.tolist()==['AIR', None, None] and values.index.equals(df.index)
    assert known_values(df, 'title').tolist()==[None]*3

def test_dates():
    dates = ['2004', 2004., '20040506', '2004-05', '2004-05-06T12:00:00Z', date(2004, 5, 6), '2004/05', 2004]
    parsed = ['2004', '2004', '2004-05-06', '2004-05', '2004-05-06', '2004-05-06', '2004-05', '2004']
    assert [parse_date(o) for o in dates]==parsed
    for o in ('May 2004', '2004-13', '20040231', 2004.5, float('inf'), True): assert parse_date(o) is o

def test_date_form():
    assert all(is_date(o) for o in ('2004', '2004-05', '2004-02-29'))
    assert not any(is_date(o) for o in ('2004-13', '2003-02-29', '20040506', '0000', None, 2004))

def test_first_few():
    assert first_few(['a'])=="'a'" and first_few([1, 2, 3, 4])=='1, 2, 3 and 1 more'

# Reading and saving

ROWS = [
    dict(video_id='001', path='a.mp4', artist='NA', title='None', genre='a,"b"', tags=['x y', 'é'],
         mood=None, emotion='Sad', release_date='2004', origin='NA',
         duration=3.5, split='train', license='CC0-1.0', sha256='0'*64),
    dict(video_id='-x', path='s/ü b.mp4', artist='two\nlines', title='nan', genre='"', tags=[],
         mood='null', emotion=None, release_date=None, origin=None,
         duration=None, split=None, license=None, sha256=None)]

def without_nan(row): return {k: None if isinstance(v, float) and v!=v else v for k, v in row.items()}

@pytest.mark.parametrize('kind', ['csv', 'parquet', 'jsonl'])
def test_round_trip(kind, tmp_path):
    rows = [dict(o, path=str(tmp_path/o['path']), mine=i) for o, i in zip(ROWS, ('kept', 'too'))]
    save_manifest(pd.DataFrame(rows), tmp_path/f'm.{kind}')
    back = read_manifest(tmp_path/f'm.{kind}')
    assert [without_nan(o) for o in back.to_dict('records')]==rows
    assert validate(back, check_files=False)==[]
    moved = tmp_path.parent/f'moved-{kind}'
    tmp_path.rename(moved)
    assert read_manifest(moved/f'm.{kind}').path[0]==str(moved/'a.mp4')
    assert [o.name for o in moved.iterdir()]==[f'm.{kind}']

@pytest.mark.parametrize('kind', ['csv', 'parquet', 'jsonl'])
def test_missing_tags_can_be_saved(kind, tmp_path):
    corpus = pd.DataFrame(dict(video_id=['a', 'b'], path=[str(tmp_path/'a.mp4'), str(tmp_path/'b.mp4')],
                               tags=[['calm', 'piano'], None]))
    assert validate(corpus, check_files=False)==[]
    save_manifest(corpus, tmp_path/f'm.{kind}')
    assert read_manifest(tmp_path/f'm.{kind}').tags.tolist()==[['calm', 'piano'], []]

@pytest.mark.parametrize('kind', ['csv', 'parquet', 'jsonl'])
def test_a_missing_path_can_be_saved(kind, tmp_path):
    "So that a corpus with problems can be written, and looked at"
    save_manifest(pd.DataFrame(dict(video_id=['a', 'b'], path=[str(tmp_path/'a.mp4'), None])), tmp_path/f'm.{kind}')
    assert read_manifest(tmp_path/f'm.{kind}').path.tolist()==[str(tmp_path/'a.mp4'), None]

@pytest.mark.parametrize('kind', ['csv', 'parquet', 'jsonl'])
def test_round_trip_of_a_scan(kind, home, tmp_path):
    corpus = scan_folder(home, label_from_folder='mood')[0]
    save_manifest(corpus, tmp_path/f'm.{kind}')
    back = read_manifest(tmp_path/f'm.{kind}').reindex(columns=COLUMNS)
    expected = corpus.astype(object).where(corpus.notna(), None).astype(dict(duration=float))
    pd.testing.assert_frame_equal(back, expected)

def test_saving_is_complete_or_absent(tmp_path):
    save_manifest(pd.DataFrame(ROWS), tmp_path/'m.csv')
    before = (tmp_path/'m.csv').read_bytes()
    with pytest.raises(TypeError): save_manifest(pd.DataFrame(ROWS).assign(tags=[[1], [2]]), tmp_path/'m.csv')
    assert (tmp_path/'m.csv').read_bytes()==before and len(list(tmp_path.iterdir()))==1
    with pytest.raises(ValueError, match='want one of'): save_manifest(pd.DataFrame(ROWS), tmp_path/'m.xlsx')

def test_files_in_another_folder(home, tmp_path):
    (tmp_path/'m.csv').write_text(f'video_id,path\nx,b.mp4\ny,{home}/silent.mp4\nz,nowhere.mp4\n')
    corpus = read_manifest(tmp_path/'m.csv', root=home)
    assert list(corpus.path)==[str(home/'b.mp4'), str(home/'silent.mp4'), str(home/'nowhere.mp4')]
    with pytest.raises(CorpusError, match='nowhere'): validate(corpus)

@pytest.mark.parametrize('name, content, message', [
    ('a.csv', b'', 'empty'),
    ('a.csv', b'video_id,path\n', 'empty'),
    ('a.csv', b'id,path\n1,a', 'no column video_id'),
    ('a.csv', b'video_id;path\n1;a', 'commas'),
    ('a.csv', 'video_id,path\n1,ü.mp4'.encode('latin1'), 'UTF-8'),
    ('a.csv', 'video_id,path\n1,ü.mp4'.encode('utf-16'), 'UTF-8'),
    ('a.csv', b'video_id,path\n1,a\n1,a,b,c\n', 'line 3'),
    ('a.csv', bytes(range(1, 128)), 'a.csv'),
    ('a.parquet', b'', 'cannot be read'),
    ('a.parquet', b'PAR1'+bytes(99)+b'PAR1', 'cannot be read'),
    ('a.parquet', b'PAR1 is not enough', 'cannot be read'),
    ('a.jsonl', b'', 'empty'),
    ('a.jsonl', b'[1, 2]\n', 'line 1'),
    ('a.jsonl', b'{"video_id": "a", "path": "b"}\n{"video', 'line 2'),
    ('a.jsonl', b'{"video_id": "a"}\n', 'no column path'),
    ('a.txt', b'x', 'not a manifest'),
    ('a.pkl', b'x', 'not a manifest'),
    ('a.xlsx', b'PK', 'not a manifest')])
def test_bad_manifest(name, content, message, tmp_path):
    (tmp_path/name).write_bytes(content)
    with pytest.raises(CorpusError, match=message) as e: read_manifest(tmp_path/name)
    assert str(tmp_path) in str(e.value) and len(str(e.value))<600

def test_manifest_that_is_not_there(tmp_path):
    for o in (tmp_path/'m.csv', tmp_path):
        with pytest.raises(CorpusError): read_manifest(o)

def test_byte_order_mark_and_numbers(tmp_path):
    (tmp_path/'m.csv').write_text('\ufeffvideo_id,path,duration,release_date\n007,a.mp4,3,2004\n,b.mp4,x,\n')
    df = read_manifest(tmp_path/'m.csv')
    assert df.video_id[0]=='007' and df.duration[0]==3
    with pytest.raises(CorpusError) as e: validate(df, check_files=False)
    assert len(e.value.problems)==2

def test_json_lines_with_numbers(tmp_path):
    row = dict(video_id=7, path='a.mp4', release_date=2004, tags='a; b')
    (tmp_path/'m.jsonl').write_text(json.dumps(row)+'\n\n')
    df = read_manifest(tmp_path/'m.jsonl')
    assert df.release_date[0]=='2004' and df.tags[0]==['a', 'b']
    with pytest.raises(CorpusError, match='video_id: 7: want text'): validate(df, check_files=False)

def test_parquet_with_timestamps_and_arrays(tmp_path):
    row = dict(video_id='a', path='a.mp4', release_date=pd.Timestamp('2004-05-06'), tags=np.array(['x'], object))
    pd.DataFrame([row]).to_parquet(tmp_path/'m.parquet')
    assert read_manifest(tmp_path/'m.parquet')[['release_date', 'tags']].values.tolist()==[['2004-05-06', ['x']]]

# Checking

WRONG = dict(
    video_id=['', ' a', 'a/b', 'a\\b', 'a\nb', '..', 'a\udc80', 7, None, float('nan')],
    path=['', None, 3],
    artist=[3, ['x']],
    title=[1.5],
    genre=[b'x'],
    tags=['a', ['a;b'], [''], [3], ('a',)],
    mood=[0],
    emotion=[True],
    release_date=['04', '2004-13', '2004-02-30', '2004-1-1', 2004, 'x'],
    origin=[{}],
    duration=[0, -1, float('inf'), '3', True],
    split=['val', 'Train', 3, ['train']],
    license=[0],
    sha256=['abc', 'G'*64, 'A'*64, 5])

@pytest.mark.parametrize('column, value', [(column, o) for column in WRONG for o in WRONG[column]])
def test_each_wrong_value_is_found(column, value):
    df = pd.DataFrame([dict(ROWS[0], video_id=o, path=o+'.mp4') for o in 'abc'], dtype=object)
    assert validate(df, check_files=False)==[]
    df.at[1, column] = value
    with pytest.raises(CorpusError) as e: validate(df, check_files=False)
    assert len(e.value.problems)==1 and e.value.problems[0].startswith(column+':')

def test_every_problem_at_once():
    first_wrong = {k: v[0] for k, v in WRONG.items()}
    df = pd.DataFrame([dict(video_id='a', path='p.mp4'), dict(first_wrong, path='p.mp4')], dtype=object)
    with pytest.raises(CorpusError) as e: validate(df)
    named = {o.split(':')[0] for o in e.value.problems}
    assert named==set(COLUMNS) and sum(o.startswith('path:') for o in e.value.problems)==2

def test_missing_column():
    with pytest.raises(CorpusError, match='path: no such column'): validate(pd.DataFrame(dict(video_id=['a'])))

def four_videos(**columns): return pd.DataFrame(dict(dict(video_id=list('abcd'), path=list('wxyz')), **columns))

def test_artists_in_several_splits_are_a_note():
    artists = ['Air', 'Björk', 'air', 'M.I.A.']
    df = four_videos(artist=artists, split=['train', 'train', 'test', 'valid'])
    assert validate(df, check_files=False)==["artists in more than one split (1): 'Air'"]
    assert validate(df.drop(columns='split'), check_files=False)==[]
    duet = df.assign(artist=['Air', 'Björk', 'Beck ft. Air', 'M.I.A.'])
    assert validate(duet, check_files=False)==["artists in more than one split (1): 'Air'"]
    assert validate(df.assign(artist=[None, '', None, ' ']), check_files=False)==[]

def test_identical_files_in_several_splits_are_a_problem():
    df = four_videos(sha256=['0'*64, '1'*64, '0'*64, None], split=['train', 'train', 'test', 'valid'])
    with pytest.raises(CorpusError, match='identical files in more than one split'): validate(df, check_files=False)
    assert validate(df.assign(split='train'), check_files=False)==[]

@pytest.mark.skipif(not os.environ.get('MVREP_SHARED'), reason='MVREP_SHARED is not set')
def test_real_files():
    corpus, errors = scan_folder(data_folder('av_clips'))
    assert len(corpus)>=6 and not len(errors) and validate(corpus)==[]
