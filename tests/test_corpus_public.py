"Readers of public data sets, on small files in their published forms and on the real files where they are"
import importlib.util
import os
import sqlite3
from contextlib import closing
import numpy as np
import pandas as pd
import pytest
from mvrep.core import data_folder
from mvrep.corpus import msd
from mvrep.corpus.annotations import as_corpus
from mvrep.corpus.folds import split_by_artist
from mvrep.corpus.manifest import COLUMNS, CorpusError, validate
from mvrep.corpus.msd import join_msd, read_msd, read_msd_csv, read_msd_summary, read_msd_tracks
from mvrep.corpus.public import read_jamendo, read_magnatagatune

needs_data = pytest.mark.skipif(not os.environ.get('MVREP_SHARED'), reason='MVREP_SHARED is not set')

def test_as_corpus():
    df = as_corpus('x', video_id=['a', 'b'], title=['One', float('nan')], bpm=[90., None])
    assert list(df.columns)==[*COLUMNS, 'bpm']
    assert df.title.tolist()==['One', None] and df.tags.tolist()==[[], []] and df.duration.dtype==float
    with pytest.raises(CorpusError, match="video_id: 'a' used more than once"): as_corpus('x', video_id=['a', 'a'])

# MTG-Jamendo

HEADER = 'TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS'
TRACKS = [
    'track_0000001\tartist_000014\talbum_000031\t14/1.mp3\t124.6\tgenre---rock',
    'track_0000002\tartist_000014\talbum_000031\t14/2.mp3\t59\tgenre---pop\tgenre---funk\tinstrument---voice',
    'track_0000003\tartist_000020\talbum_000040\t14/3.mp3\t211.1\tmood/theme---calm']

def write_lines(path, *lines):
    path.write_text('\n'.join(lines)+'\n')
    return path

def test_jamendo(tmp_path):
    df = read_jamendo(write_lines(tmp_path/'a.tsv', HEADER, *TRACKS), 'mp3')
    assert df.path[0]=='mp3/14/1.mp3' and df.duration.tolist()==[124.6, 59, 211.1]
    assert df.genre.tolist()==['rock', None, None] and df.mood.tolist()==[None, None, 'calm']
    assert df.tags.tolist()==[['rock'], ['pop', 'funk', 'voice'], ['calm']]
    assert df.genres.tolist()==[['rock'], ['pop', 'funk'], []] and df.instruments.tolist()==[[], ['voice'], []]
    assert validate(df, check_files=False)==[]

@pytest.mark.parametrize('lines, message', [
    ([HEADER, 'track_0000001\tartist'], 'line 2: 2 columns'),
    ([HEADER, TRACKS[0], TRACKS[1]+'\trock'], "line 3: 'rock': want a tag like genre---rock"),
    ([HEADER, TRACKS[0]+'\tgenre---'], "line 2: 'genre---': want a tag"),
    ([HEADER, *TRACKS[:2], TRACKS[2].replace('211.1', 'long')], "line 4: duration 'long'"),
    (TRACKS, 'want the header TRACK_ID'),
    ([''], 'want the header TRACK_ID'),
    ([HEADER], 'no tracks'),
    ([HEADER, *TRACKS, TRACKS[0]], 'used more than once'),
    ([HEADER]+['x']*30, 'and 10 more')])
def test_bad_jamendo(lines, message, tmp_path):
    with pytest.raises(CorpusError, match=message): read_jamendo(write_lines(tmp_path/'a.tsv', *lines))

def test_every_bad_line_of_jamendo_is_named(tmp_path):
    lines = [HEADER, 'track_0000001\tartist', TRACKS[1]+'\trock', TRACKS[2].replace('211.1', 'long')]
    with pytest.raises(CorpusError) as e: read_jamendo(write_lines(tmp_path/'a.tsv', *lines))
    assert [o.split(':')[0] for o in e.value.problems]==['line 2', 'line 3', 'line 4']
    with pytest.raises(CorpusError, match='cannot be read'): read_jamendo(tmp_path/'gone.tsv')

def test_jamendo_can_be_split_by_artist(tmp_path):
    df = read_jamendo(write_lines(tmp_path/'a.tsv', HEADER, *TRACKS))
    others = [df.assign(video_id=df.video_id+f'-{i}', artist=f'artist_{i}') for i in range(20)]
    both = pd.concat([df, *others], ignore_index=True)
    split = split_by_artist(both)
    assert split.groupby(both.artist).nunique().max()==1 and split.nunique()==3

@needs_data
def test_real_jamendo():
    for part, n in (('train', 9949), ('validation', 3802), ('test', 4231)):
        df = read_jamendo(data_folder('jamendo', f'autotagging_moodtheme-{part}.tsv'))
        assert len(df)==n and validate(df, check_files=False)==[] and df.moods.map(len).min()>0

# MagnaTagATune

@pytest.fixture
def clips(tmp_path):
    "The two files of MagnaTagATune with three clips, quoted as published"
    annotations = [
        '"clip_id"\t"no voice"\t"singer"\t"mp3_path"', '"2"\t"1"\t"0"\t"f/one-0-29.mp3"',
        '"6"\t"0"\t"0"\t"c/two-30-59.mp3"', '"7"\t"1"\t"1"\t"0/x-0-29.mp3"']
    columns = 'clip_id track_number title artist album url segmentStart segmentEnd original_url mp3_path'.split()
    info = ['\t'.join(f'"{o}"' for o in columns), '"2"\t"1"\t"BWV54"\t"Choir"\t""\t""\t"0"\t"29"\t""\t""',
            '"6"\t"2"\t"II"\t"Duo"\t""\t""\t"30"\t"58"\t""\t""']
    write_lines(tmp_path/'annotations_final.csv', *annotations)
    write_lines(tmp_path/'clip_info_final.csv', *info)
    return tmp_path/'annotations_final.csv', tmp_path/'clip_info_final.csv'

def test_magnatagatune(clips):
    df = read_magnatagatune(*clips)
    assert df.tags.tolist()==[['no voice'], [], ['no voice', 'singer']]
    assert df.split.tolist()==['test', 'valid', 'train']
    assert df.artist.tolist()==['Choir', 'Duo', None] and df.duration.tolist()==[29., 28., 29.]
    assert read_magnatagatune(clips[0]).duration.tolist()==[29.]*3
    assert validate(df, check_files=False)==[]

@pytest.mark.parametrize('old, new, message', [
    ('"1"\t"1"', '"1"\t"2"', "1 cell other than 0 and 1, first '2' in line 4, column singer"),
    ('"f/one', '"x/one', "mp3_path: 'x/one-0-29.mp3': want a folder 0 to f"),
    ('"6"', '"2"', "video_id: '2' used more than once")])
def test_bad_magnatagatune(clips, old, new, message):
    clips[0].write_text(clips[0].read_text().replace(old, new))
    with pytest.raises(CorpusError, match=message): read_magnatagatune(clips[0])

@pytest.mark.parametrize('content, message', [
    ('clip_id,rock,mp3_path\n2,1,f/1.mp3\n', 'no column clip_id, mp3_path; it has clip_id,rock,mp3_path'),
    ('clip_id\tmp3_path\n2\tf/1.mp3\n', 'no tags'),
    ('clip_id\trock\tmp3_path\n', 'no rows'),
    ('', 'no column clip_id')])
def test_other_files_than_magnatagatune(content, message, tmp_path):
    (tmp_path/'a.csv').write_text(content)
    with pytest.raises(CorpusError, match=message): read_magnatagatune(tmp_path/'a.csv')

def test_bad_clip_info(clips):
    clips[1].write_text(clips[1].read_text().replace('"58"', '"late"'))
    with pytest.raises(CorpusError, match="segmentEnd: 'late': want numbers"): read_magnatagatune(*clips)

# Lists of MSD tracks, and the join

FIRST, SECOND = 'TRCSCVP128F9342C96', 'TRGXVIQ128E0792864'

def test_list_of_ids(tmp_path):
    (tmp_path/'ids.txt').write_bytes(f'{FIRST}\r\n{SECOND}\r\n{FIRST}\r\n'.encode())
    tracks = read_msd(tmp_path/'ids.txt')
    assert tracks.track_id.tolist()==[FIRST, SECOND, FIRST] and tracks.title.isna().all()

@pytest.mark.parametrize('content', [
    b'', b'TRCSCVP128F9342C96\nnonsense', b'TRCSCVP128F9342C96<SEP>x', 'TRCSCVP128F9342C96 é'.encode('latin1')])
def test_bad_list(content, tmp_path):
    (tmp_path/'bad.txt').write_bytes(content)
    with pytest.raises(CorpusError): read_msd(tmp_path/'bad.txt')

def test_list_names_the_bad_lines(tmp_path):
    with pytest.raises(CorpusError, match='line 2: want'): read_msd(write_lines(tmp_path/'a.txt', FIRST, 'not an id'))
    with pytest.raises(CorpusError): read_msd(tmp_path/'gone.txt')

def four_videos(): return pd.DataFrame(dict(
    video_id=list('abcd'), path=list('abcd'), msd_id=[FIRST, None, FIRST, 'TRSXVUT128F9303C87']))

def test_join_by_id(tmp_path):
    tracks = read_msd(write_lines(tmp_path/'ids.txt', FIRST, SECOND, FIRST))
    joined, counts = join_msd(four_videos(), tracks)
    assert joined.msd_id.notna().tolist()==[True, False, True, False]
    assert counts==dict(
        by='msd_id', lines=3, tracks=2, tracks_matched=1, tracks_unmatched=1,
        videos=4, videos_matched=2, videos_unmatched=2, videos_with_several_tracks=0)

def test_join_without_columns():
    ids = pd.DataFrame(dict(track_id=[FIRST]))
    with pytest.raises(CorpusError, match='no corpus artist, no corpus title, no tracks artist, no tracks title'):
        join_msd(four_videos().drop(columns='msd_id'), ids)

def test_join_by_name(tmp_path):
    tracks = read_msd(write_lines(
        tmp_path/'t.txt', 'TRBBBBB128F9342C96<SEP>SO2<SEP>The Band<SEP>Song',
        'TRAAAAA128F9342C96<SEP>SO1<SEP>band<SEP>Song (Remastered 2009)',
        'TRCCCCC128F9342C96<SEP>SO3<SEP>Other<SEP>Song'))
    df = pd.DataFrame(dict(
        video_id=list('abc'), path=list('abc'), artist=['BAND', 'Other', None],
        title=['Song ft. X', 'Other song', 'Song']))
    joined, counts = join_msd(df, tracks)
    assert joined.msd_id[0]=='TRAAAAA128F9342C96' and joined.msd_id[1:].isna().all()
    assert counts['videos_with_several_tracks']==1 and counts['tracks_matched']==1

def test_join_of_a_joined_corpus():
    tracks = pd.DataFrame(dict(track_id=[FIRST, SECOND], artist=['Air', 'Björk'], title=['One', 'Two']))
    df = pd.DataFrame(dict(video_id=['a'], artist=['Bjork'], title=['TWO (Official Video)']))
    joined = join_msd(df, tracks)[0]
    again, counts = join_msd(joined, pd.DataFrame(dict(track_id=[SECOND]*2)))
    assert again.msd_id[0]==SECOND
    assert (counts['by'], counts['lines'], counts['tracks'], counts['tracks_matched'])==('msd_id', 2, 1, 1)

@needs_data
def test_list_of_the_thesis():
    tracks = read_msd(data_folder('metadata', 'msdids.txt'))
    assert len(tracks)==10045 and tracks.track_id.nunique()==9416

@needs_data
def test_join_of_real_names():
    labels = data_folder('muvi_sync', 'labels')
    videos = pd.read_csv(labels/'meta_harmonix.csv', dtype=str)
    hits = pd.read_csv(labels/'spotify_tophits_join.csv', dtype=str).rename(columns=dict(id='track_id', song='title'))
    joined, counts = join_msd(videos, hits[['track_id', 'artist', 'title']])
    n_right = (joined.msd_id==joined.id).sum()
    assert n_right>=270 and counts['videos_matched']-n_right<=2

# Songs of the MSD

@pytest.fixture
def songs():
    "Three songs with the columns of the published database"
    return pd.DataFrame(dict(
        track_id=['TRAAAAA128F0000001', 'TRAAAAB128F0000002', 'TRAAAAC128F0000003'], title=['One', 'Two', ''],
        song_id=['SOAAAAA12A00000001', 'SOAAAAB12A00000002', 'SOAAAAC12A00000003'], release=['First', 'First', 'Other'],
        artist_id=['ARAAAAA1187B000001']*2+['ARAAAAB1187B000002'], artist_mbid=['']*3,
        artist_name=['The Ones', 'The Ones', 'Zwei'], duration=[218.9, 148., 0.],
        artist_familiarity=[.58, .58, .63], artist_hotttnesss=[.4, .4, .3], year=[2003, 0, 1969]))

def write_database(path, table, name='songs'):
    with closing(sqlite3.connect(path)) as db: table.to_sql(name, db, index=False)
    return path

def test_database(songs, tmp_path):
    df = read_msd_tracks(write_database(tmp_path/'track_metadata.db', songs))
    assert df.release_date.tolist()==['2003', None, '1969'] and df.title.tolist()==['One', 'Two', None]
    assert df.duration.isna().tolist()==[False, False, True] and df.song_id.tolist()==songs.song_id.tolist()
    video = pd.DataFrame(dict(artist=['the ones'], title=['TWO (Official Video)']))
    assert join_msd(video, df.rename(columns=dict(video_id='track_id')))[0].msd_id[0]=='TRAAAAB128F0000002'

def test_other_databases(songs, tmp_path):
    (tmp_path/'a.db').write_text('this is not a database, whatever its name')
    with pytest.raises(CorpusError, match='not a SQLite database'): read_msd_tracks(tmp_path/'a.db')
    with pytest.raises(CorpusError, match='no such file'): read_msd_tracks(tmp_path/'gone.db')
    other = write_database(tmp_path/'b.db', songs, 'tracks')
    with pytest.raises(CorpusError, match='no table songs; it has tracks'): read_msd_tracks(other)
    lacking = write_database(tmp_path/'c.db', songs.drop(columns=['year', 'duration']))
    with pytest.raises(CorpusError, match='no column duration, year'): read_msd_tracks(lacking)

def test_bad_values_in_a_database(songs, tmp_path):
    bad_year = write_database(tmp_path/'d.db', songs.assign(year=['2003', 'long ago', '1969']))
    with pytest.raises(CorpusError, match="year: 'long ago': want numbers"): read_msd_tracks(bad_year)
    twice = write_database(tmp_path/'e.db', pd.concat([songs, songs[:1]]))
    with pytest.raises(CorpusError, match="'TRAAAAA128F0000001' used more than once"): read_msd_tracks(twice)

def test_reading_leaves_the_database_alone(songs, tmp_path):
    database = write_database(tmp_path/'a.db', songs)
    before = database.read_bytes()
    read_msd_tracks(database)
    assert database.read_bytes()==before and list(tmp_path.iterdir())==[database]

def compound(table, **types): # {column: type of its values in HDF5}
    rows = [tuple(o) for o in table[list(types)].itertuples(index=False)]
    return np.array(rows, list(types.items()))

@pytest.mark.skipif(not importlib.util.find_spec('h5py'), reason='h5py is not installed')
def test_summary(songs, tmp_path):
    import h5py
    table = songs.assign(artist_latitude=[52.37, np.nan, 0.], artist_longitude=[4.9, np.nan, 0.])
    text = dict.fromkeys(('artist_id', 'artist_name', 'song_id', 'title'), 'S64')
    with h5py.File(tmp_path/'s.h5', 'w') as file:
        file['metadata/songs'] = compound(table, **text, artist_latitude='f8', artist_longitude='f8')
        file['analysis/songs'] = compound(table, track_id='S64', duration='f8')
        file['musicbrainz/songs'] = compound(table, year='i4')
    df = read_msd_summary(tmp_path/'s.h5')
    database = read_msd_tracks(write_database(tmp_path/'a.db', songs))
    pd.testing.assert_frame_equal(df[database.columns], database)
    assert df.latitude.notna().tolist()==df.longitude.notna().tolist()==[True, False, False]
    (tmp_path/'t.h5').write_text('not HDF5')
    with pytest.raises(CorpusError, match='not an MSD summary file'): read_msd_summary(tmp_path/'t.h5')

def test_summary_without_h5py(monkeypatch):
    monkeypatch.setattr(msd, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='pip install h5py'): read_msd_summary('msd_summary_file.h5')

def test_subset_as_csv(tmp_path):
    header = 'artist.latitude,artist.longitude,artist.name,artist.terms,song.duration,song.id,song.title,song.year'
    rows = ['0.0,0.0,Zwei,hip hop,218.9,SOA,0,0', '52.37,4.9,The Ones,,22050,SOB,0,1969']
    df = read_msd_csv(write_lines(tmp_path/'m.csv', header, *rows))
    assert df.title.tolist()==[None, None] and df.release_date.tolist()==[None, '1969']
    assert df.tags.tolist()==[['hip hop'], []]
    assert df.duration.notna().tolist()==[True, False] and df.latitude.notna().tolist()==[False, True]
    other = write_lines(tmp_path/'n.csv', 'a,b', '1,2')
    with pytest.raises(CorpusError, match='no column song.id'): read_msd_csv(other)
    with pytest.raises(CorpusError, match='no such file'): read_msd_csv(tmp_path/'gone.csv')

@needs_data
def test_real_subset():
    df = read_msd_csv(data_folder('metadata', 'msd_10k_subset.csv'))
    assert len(df)==10000 and df.release_date.notna().sum()==4680 and df.duration.isna().sum()==1
