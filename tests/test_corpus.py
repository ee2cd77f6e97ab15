"""Corpora from the wild: folders and tables as people have them, and splits that must hold whatever comes"""
import json, os, sys
from pathlib import Path
import av, numpy as np, pandas as pd, pytest
from mvrep.core import sha256
from mvrep.corpus.manifest import COLUMNS, CorpusError, SPLITS, read_manifest, save_manifest, scan_files, scan_folder, validate, make_video_ids
from mvrep.corpus.duplicates import find_duplicates
from mvrep.corpus.public import join_msd, read_msd
from mvrep.corpus.folds import split_by_artist, split_random

def film(path, seconds=.4, picture=True, sound=True, tags=None):
    "A small real file at `path`"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w', options=dict(movflags='use_metadata_tags') if str(path).endswith('.mov') else {}) as c:
        c.metadata.update(dict(tags or {}, comment=Path(path).name)) # no two with the same content
        streams = []
        if picture:
            v = c.add_stream('mpeg4', rate=25)
            v.width,v.height,v.pix_fmt = 64, 48, 'yuv420p'
            streams.append(v)
        if sound:
            a = c.add_stream('aac', rate=16000, layout='mono')
            streams.append(a)
        if picture:
            for i in range(max(1, round(seconds*25))): c.mux(v.encode(av.VideoFrame.from_ndarray(np.full((48,64,3), 9*i, 'uint8'))))
        if sound:
            f = av.AudioFrame.from_ndarray(np.zeros((1, max(1024, int(seconds*16000))), 'float32'), 'fltp', 'mono')
            f.sample_rate = 16000
            c.mux(a.encode(f))
        for s in streams: c.mux(s.encode())
    return Path(path)

@pytest.fixture(scope='module')
def home(tmp_path_factory):
    "A folder with good and bad files of every kind"
    d = tmp_path_factory.mktemp('videos')
    film(d/'b.mp4', tags=dict(title='Jóga', artist='Björk', genre='pop', date='19970915'))
    film(d/'a'/'one.MKV', tags=dict(TITLE='One', ARTIST='U2'))
    film(d/'a'/('long '*45+'.mp4'))
    film(d/'a'/'b'/'音楽 🎵.webm'.replace('webm', 'mkv'))
    film(d/'mute.mp4', sound=False)
    film(d/'heard.mp4', picture=False)
    film(d/'frame.mp4', seconds=.04, sound=False)
    film(d/'.hidden.mp4'); film(d/'.git'/'x.mp4')
    (d/'cut.mp4').write_bytes((d/'b.mp4').read_bytes()[:300])
    (d/'empty.mp4').touch()
    (d/'text.mp4').write_text('not a video')
    (d/'folder.mp4').mkdir(); film(d/'folder.mp4'/'in.mp4')
    (d/'notes.txt').write_text('no video either')
    (d/'copy of b.mp4').write_bytes((d/'b.mp4').read_bytes())
    (d/'broken.mp4').symlink_to(d/'gone.mp4')
    (d/'self.mp4').symlink_to(d/'self.mp4')
    (d/'a'/'up').symlink_to(d); (d/'a'/'upper').symlink_to(d.parent); (d/'a'/'here').symlink_to(d/'a')
    os.mkfifo(d/'pipe.mp4')
    return d

GOOD = {'b', 'a-one', 'a-b-音楽', 'mute', 'heard', 'frame', 'folder-mp4-in', 'copy-of-b'}
BAD = {'cut.mp4', 'empty.mp4', 'text.mp4', 'broken.mp4', 'self.mp4', 'pipe.mp4'}

def test_folder(home):
    df,bad = scan_folder(home)
    assert list(df.columns)==list(COLUMNS)
    long = [o for o in df.video_id if o.startswith('a-long')]
    assert set(df.video_id)==GOOD|set(long) and len(long)==1 and len(long[0])==80
    assert {Path(o).name for o in bad.path}==BAD and bad.reason.str.len().gt(5).all()
    assert list(df.path)==sorted(df.path, key=Path)
    b = df.set_index('video_id').loc['b']
    assert (b.title, b.artist, b.genre, b.release_date)==('Jóga', 'Björk', 'pop', '1997-09-15') and b.duration>.3
    assert df.set_index('video_id').title['a-one']=='One'
    assert validate(df)==[] and df.sha256.isna().all()

def test_folder_is_the_same_twice_and_moved(home, tmp_path):
    a,b = scan_folder(home),scan_folder(home)
    for x,y in zip(a, b): pd.testing.assert_frame_equal(x, y)
    (tmp_path/'link').symlink_to(home)
    c = scan_folder(tmp_path/'link')[0]
    assert list(c.video_id)==list(a[0].video_id) and all(o.startswith(str(tmp_path)) for o in c.path)

def test_relative_folder(home, monkeypatch):
    monkeypatch.chdir(home.parent)
    assert list(scan_folder(home.name)[0].path)==list(scan_folder(home)[0].path)
    assert list(scan_files([Path(home.name)/'b.mp4'], home.name)[0].video_id)==['b']

def test_linked_folders_are_read_once(tmp_path):
    film(tmp_path/'disk'/'x.mp4'); (tmp_path/'v').mkdir()
    for o in ('one', 'two'): (tmp_path/'v'/o).symlink_to(tmp_path/'disk')
    assert list(scan_folder(tmp_path/'v')[0].video_id)==['one-x']

def test_unreadable(tmp_path):
    film(tmp_path/'a.mp4'); film(tmp_path/'b.mp4').chmod(0); film(tmp_path/'c'/'c.mp4'); (tmp_path/'c').chmod(0)
    if os.access(tmp_path/'b.mp4', os.R_OK): pytest.skip('this user may read everything')
    df,bad = scan_folder(tmp_path)
    (tmp_path/'c').chmod(0o755)
    assert list(df.video_id)==['a'] and {Path(o).name for o in bad.path}=={'b.mp4', 'c'} and bad.reason.str.contains('permission', case=False).all()

@pytest.mark.skipif(sys.platform!='linux', reason='other systems have no such names')
def test_name_that_is_no_text(tmp_path):
    film(tmp_path/'a.mp4')
    os.rename(tmp_path/'a.mp4', os.fsencode(tmp_path)+b'/\xff\xfe.mp4')
    df,bad = scan_folder(tmp_path)
    assert not len(df) and 'UTF-8' in bad.reason[0]
    bad.to_parquet(tmp_path/'bad.parquet')

def test_only_bad_files_is_no_crash(tmp_path):
    (tmp_path/'a.mp4').write_text('no')
    df,bad = scan_folder(tmp_path)
    assert len(df)==0 and len(bad)==1 and validate(df)==[]
    assert len(split_random(df))==len(split_by_artist(df))==len(find_duplicates(df))==0

def test_files_by_hand(home, tmp_path):
    other = film(tmp_path/'b.mp4')
    df,bad = scan_files([home/'b.mp4', other, home/'b.mp4', home/'text.mp4', tmp_path/'none.mp4'])
    assert len(df)==2 and df.video_id.is_unique and df.video_id.str.startswith('b-').all() and len(bad)==2
    assert scan_files([home/'b.mp4'])[0].video_id[0]=='b'

def test_label(home):
    df = scan_folder(home, 'genre')[0].set_index('video_id')
    assert df.genre['a-one']=='a' and df.genre['a-b-音楽']=='b' and df.genre['b'] is None
    assert scan_folder(home, 'tags')[0].set_index('video_id').tags['folder-mp4-in']==['folder.mp4']
    for o in ('path', 'nonsense'):
        with pytest.raises(ValueError, match='label_from_folder'): scan_folder(home, o)

def test_no_folder(tmp_path):
    for o,what in ((tmp_path, 'looked for'), (tmp_path/'x', 'no such folder'), (film(tmp_path.parent/'y.mp4'), 'not a folder')):
        with pytest.raises(CorpusError, match=what): scan_folder(o)

def test_ids():
    hard = ['-abc_DEF--x', 'a/b', 'a b', 'A b', '..', '...', '🎵', '🎶', 'x'*300, 'x'*299, 'e\u0301', '\u00e9 ', 'con', 'a\nb', 'a;b', "a'b"]
    names = [f'/v/{o}.mp4' for o in hard]
    ids = make_video_ids(names, '/v')
    assert len({o.casefold() for o in ids})==len(hard) and max(map(len, ids))<=80 and ids[0]=='-abc_DEF--x'
    assert validate(pd.DataFrame(dict(video_id=ids, path=names)), check_files=False)==[]
    assert make_video_ids(names[::-1], '/v')==ids[::-1]

def test_duplicates(home):
    df,_ = scan_folder(home)
    d = find_duplicates(df)
    assert list(d.video_id)==['b', 'copy-of-b'] and set(d.sha256)=={sha256(home/'b.mp4')}
    hashed = scan_folder(home, hash=True)[0]
    pd.testing.assert_frame_equal(find_duplicates(hashed), d)
    assert split_random(hashed)[hashed.video_id.isin(d.video_id)].nunique()==1
    part = pd.Series(['train' if o=='b' else 'test' for o in hashed.video_id])
    with pytest.raises(CorpusError, match='identical files'): validate(hashed.assign(split=part))
    assert len(find_duplicates(hashed.assign(path='gone.mp4')))==2

ROWS = [dict(video_id='001', path='a.mp4', artist='NA', title='None', genre='a,"b"', tags=['x y', 'é'], mood=None, emotion='Sad', release_date='2004', origin='NA', duration=3.5, split='train', license='CC0-1.0', sha256='0'*64),
        dict(video_id='-x', path='s/ü b.mp4', artist='two\nlines', title='nan', genre='"', tags=[], mood='null', emotion=None, release_date=None, origin=None, duration=None, split=None, license=None, sha256=None)]

@pytest.mark.parametrize('kind', ['csv', 'parquet', 'jsonl'])
def test_round_trip(kind, tmp_path):
    df = pd.DataFrame(ROWS).assign(path=[str(tmp_path/o['path']) for o in ROWS], mine=['kept', 'too'])
    save_manifest(df, tmp_path/f'm.{kind}')
    back = read_manifest(tmp_path/f'm.{kind}')
    assert [{k: None if isinstance(v, float) and v!=v else v for k,v in o.items()} for o in back.to_dict('records')]==[dict(o, path=str(tmp_path/o['path']), mine=m) for o,m in zip(ROWS, ('kept', 'too'))]
    assert validate(back, check_files=False)==[]
    moved = tmp_path.parent/f'moved-{kind}'
    tmp_path.rename(moved)
    assert read_manifest(moved/f'm.{kind}').path[0]==str(moved/'a.mp4')
    assert [o.name for o in moved.iterdir()]==[f'm.{kind}']

def test_save_is_whole_or_absent(tmp_path):
    save_manifest(pd.DataFrame(ROWS), tmp_path/'m.csv')
    before = (tmp_path/'m.csv').read_bytes()
    with pytest.raises(TypeError): save_manifest(pd.DataFrame(ROWS).assign(tags=[[1], [2]]), tmp_path/'m.csv')
    assert (tmp_path/'m.csv').read_bytes()==before and len(list(tmp_path.iterdir()))==1
    with pytest.raises(ValueError, match='want one of'): save_manifest(pd.DataFrame(ROWS), tmp_path/'m.xlsx')

def test_other_folder(home, tmp_path):
    (tmp_path/'m.csv').write_text(f'video_id,path\nx,b.mp4\ny,{home}/mute.mp4\nz,nowhere.mp4\n')
    assert list(read_manifest(tmp_path/'m.csv', root=home).path)==[str(home/'b.mp4'), str(home/'mute.mp4'), str(home/'nowhere.mp4')]
    with pytest.raises(CorpusError, match='nowhere'): validate(read_manifest(tmp_path/'m.csv', root=home))

@pytest.mark.parametrize('name,content,want', [
    ('a.csv', b'', 'empty'), ('a.csv', b'video_id,path\n', 'empty'), ('a.csv', b'id,path\n1,a', 'no column video_id'), ('a.csv', b'video_id;path\n1;a', 'commas'),
    ('a.csv', 'video_id,path\n1,ü.mp4'.encode('latin1'), 'UTF-8'), ('a.csv', 'video_id,path\n1,ü.mp4'.encode('utf-16'), 'UTF-8'), ('a.csv', b'video_id,path\n1,a\n1,a,b,c\n', 'line 3'),
    ('a.csv', bytes(range(1, 128)), 'a.csv'), ('a.parquet', b'', 'cannot be read'), ('a.parquet', b'PAR1'+bytes(99)+b'PAR1', 'cannot be read'),
    ('a.jsonl', b'', 'empty'), ('a.jsonl', b'[1, 2]\n', 'line 1'), ('a.jsonl', b'{"video_id": "a", "path": "b"}\n{"video', 'line 2'), ('a.jsonl', b'{"video_id": "a"}\n', 'no column path'),
    ('a.txt', b'x', 'not a manifest'), ('a.pkl', b'x', 'not a manifest')])
def test_bad_manifest(name, content, want, tmp_path):
    (tmp_path/name).write_bytes(content)
    with pytest.raises(CorpusError, match=want) as e: read_manifest(tmp_path/name)
    assert str(tmp_path) in str(e.value) and len(str(e.value))<600

def test_no_manifest(tmp_path):
    for o in (tmp_path/'m.csv', tmp_path):
        with pytest.raises(CorpusError): read_manifest(o)

def test_with_bom_and_numbers(tmp_path):
    (tmp_path/'m.csv').write_text('\ufeffvideo_id,path,duration,release_date\n007,a.mp4,3,2004\n,b.mp4,x,\n')
    df = read_manifest(tmp_path/'m.csv')
    assert df.video_id[0]=='007' and df.duration[0]==3
    with pytest.raises(CorpusError) as e: validate(df, check_files=False)
    assert len(e.value.problems)==2
    (tmp_path/'m.jsonl').write_text(json.dumps(dict(video_id=7, path='a.mp4', release_date=2004, tags='a; b'))+'\n\n')
    df = read_manifest(tmp_path/'m.jsonl')
    assert df.release_date[0]=='2004' and df.tags[0]==['a', 'b']
    with pytest.raises(CorpusError, match='video_id: 7: want text'): validate(df, check_files=False)
    pd.DataFrame(dict(video_id=['a'], path=['a.mp4'], release_date=[pd.Timestamp('2004-05-06')], tags=[np.array(['x'], object)])).to_parquet(tmp_path/'m.parquet')
    assert read_manifest(tmp_path/'m.parquet')[['release_date', 'tags']].values.tolist()==[['2004-05-06', ['x']]]

WRONG = dict(video_id=['', ' a', 'a/b', 'a\\b', 'a\nb', '..', 'a\udc80', 7, None, float('nan')], path=['', None, 3], artist=[3, ['x']], title=[1.5], genre=[b'x'], tags=['a', ['a;b'], [''], [3], ('a',)], mood=[0],
    emotion=[True], release_date=['04', '2004-13', '2004-02-30', '2004-1-1', 2004, 'x'], origin=[{}], duration=[0, -1, float('inf'), '3', True], split=['val', 'Train', 3, ['train']], license=[0], sha256=['abc', 'G'*64, 'A'*64, 5])

@pytest.mark.parametrize('column,value', [(k, v) for k,vs in WRONG.items() for v in vs])
def test_each_wrong_value_is_seen(column, value):
    df = pd.DataFrame([dict(ROWS[0], video_id=o, path=o+'.mp4') for o in 'abc'], dtype=object)
    assert validate(df, check_files=False)==[]
    df.at[1, column] = value
    with pytest.raises(CorpusError) as e: validate(df, check_files=False)
    assert len(e.value.problems)==1 and e.value.problems[0].startswith(column+':')

def test_every_problem_at_once():
    df = pd.DataFrame([dict(video_id='a', path='p.mp4')]+[dict({k: v[0] for k,v in WRONG.items()}, path='p.mp4')], dtype=object)
    with pytest.raises(CorpusError) as e: validate(df)
    said = {o.split(':')[0] for o in e.value.problems}
    assert said==set(COLUMNS) and sum(o.startswith('path:') for o in e.value.problems)==2

def test_msd(tmp_path):
    (tmp_path/'ids.txt').write_bytes(b'TRCSCVP128F9342C96\r\nTRGXVIQ128E0792864\r\nTRCSCVP128F9342C96\r\n')
    t = read_msd(tmp_path/'ids.txt')
    assert len(t)==3 and t.track_id.nunique()==2
    df = pd.DataFrame(dict(video_id=list('abcd'), path=list('abcd'), msd_id=['TRCSCVP128F9342C96', None, 'TRCSCVP128F9342C96', 'TRSXVUT128F9303C87']))
    out,n = join_msd(df, t)
    assert list(out.msd_id.notna())==[True, False, True, False]
    assert {k: n[k] for k in ('lines', 'tracks', 'tracks_matched', 'tracks_unmatched', 'videos_matched', 'videos_unmatched')}==dict(lines=3, tracks=2, tracks_matched=1, tracks_unmatched=1, videos_matched=2, videos_unmatched=2)
    for o in (b'', b'TRCSCVP128F9342C96\nnonsense', b'TRCSCVP128F9342C96<SEP>x', 'TRCSCVP128F9342C96 é'.encode('latin1')):
        (tmp_path/'bad.txt').write_bytes(o)
        with pytest.raises(CorpusError): read_msd(tmp_path/'bad.txt')
    with pytest.raises(CorpusError): read_msd(tmp_path/'none.txt')
    with pytest.raises(CorpusError, match='no corpus artist, no corpus title, no tracks artist'): join_msd(df[['video_id', 'path']], t)

def test_msd_by_name(tmp_path):
    (tmp_path/'t.txt').write_text('TRBBBBB128F9342C96<SEP>SO2<SEP>The Band<SEP>Song\nTRAAAAA128F9342C96<SEP>SO1<SEP>band<SEP>Song (Remastered 2009)\nTRCCCCC128F9342C96<SEP>SO3<SEP>Other<SEP>Song\n')
    df = pd.DataFrame(dict(video_id=list('abc'), path=list('abc'), artist=['BAND', 'Other', None], title=['Song ft. X', 'Other song', 'Song']))
    out,n = join_msd(df, read_msd(tmp_path/'t.txt'))
    assert out.msd_id[0]=='TRAAAAA128F9342C96' and out.msd_id[1:].isna().all() and n['videos_with_several_tracks']==1 and n['tracks_matched']==1

@pytest.mark.skipif(not os.environ.get('MVREP_SHARED'), reason='MVREP_SHARED is not set to the folder of development data')
def test_real_data():
    d = Path(os.environ['MVREP_SHARED'])
    t = read_msd(d/'metadata'/'msdids.txt')
    assert len(t)==10045 and t.track_id.nunique()==9416
    df,bad = scan_folder(d/'av_clips')
    assert len(df)>=6 and not len(bad) and validate(df)==[]
