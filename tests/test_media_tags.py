"Metadata as stores, taggers, phones and download programs write it"
import av
import pytest
from mvrep.media import MAX_TAG, clean_date, clean_genre, clean_text, make_clip, open_media, probe, read_tags

DATES = {
    '2009': '2009', '2009-05': '2009-05', '2009-05-06': '2009-05-06', '2009-00-00': '2009', '2009-05-00': '2009-05',
    '20090506': '2009-05-06', '200905': '', '2009/05/06': '2009-05-06', '2009:05:06': '2009-05-06',
    '2009-05-06T12:34:56Z': '2009-05-06', '2009-05-06 12:34:56': '2009-05-06', '20090506T123456Z': '2009-05-06',
    '2009/2010': '2009', '2009-2010': '2009', '2009–2010': '2009', '2009;2010': '2009', '℗ 2009': '2009',
    'May 2009': '2009', '06.05.2009': '2009', '5/6/2009': '2009', '2009 (remastered 2015)': '2009', 'c. 2009': '2009',
    '2009-02-31': '2009', '2009-13-01': '2009', '2009-5-6': '2009-05-06', ' 2009\u200b': '2009', '2009\0': '2009',
    '0000': '', '0000-00-00': '', '99': '', '': '', '1980s': '', '12345': '', 'unknown': '', '3009': '', '1066': ''}

@pytest.mark.parametrize('text', DATES)
def test_dates(text): assert clean_date(text)==DATES[text]

GENRES = {
    'Rock': 'Rock', '(17)': 'Rock', '17': 'Rock', '0': 'Blues', '191': 'Psybient', '(17)Rock': 'Rock',
    '(4)(31)': 'Disco', '(17)Heavy': 'Rock', '192': '', '255': '', '(255)Polka': 'Polka',
    'RX': 'Remix', '(CR)': 'Cover', '17;13': 'Rock',
    'Rock; Pop': 'Rock', 'Rock;Pop': 'Rock', 'Rock, Pop': 'Rock', 'Rock|Pop': 'Rock', 'Rock / Pop': 'Rock',
    'Rock/Pop': 'Rock', 'Rock\0Pop': 'Rock', '; Pop': 'Pop', 'Pop/Funk': 'Pop/Funk', 'Hip-Hop/Rap': 'Hip-Hop',
    'Singer/Songwriter': 'Singer/Songwriter', 'R&B': 'R&B', 'Drum & Bass': 'Drum & Bass',
    '\u200b': '', '': '', ' , ': '',
    'Rock (live)': 'Rock (live)', '²': '²', '9'*50: ''}

@pytest.mark.parametrize('text', GENRES)
def test_genres(text): assert clean_genre(text)==GENRES[text]

TEXTS = {
    ' A  Song ': 'A Song', 'A\nSong\t2': 'A Song 2', 'A\0': 'A', '\ufeffA Song': 'A Song', 'A\u200b Song': 'A Song',
    '\u200b': '', '\u200b\u2060\ufeff': '', '\u3164': '', '\u2800\u2800': '', '\u00a0': '', '\u202e': '',
    '\u00ad': '', '': '',
    'می\u200cخواهم': 'می\u200cخواهم', '👩\u200d🎤': '👩\u200d🎤', '音楽': '音楽', '-': '-'}

@pytest.mark.parametrize('text', TEXTS)
def test_texts(text): assert clean_text(text)==TEXTS[text]

def test_long_texts_are_cut():
    for text in ('x'*100_000, 'word '*100_000, '\u200b'*100_000+'x'):
        assert len(clean_text(text))<=MAX_TAG
    assert clean_text('x'*MAX_TAG)=='x'*MAX_TAG and clean_text('x'*(MAX_TAG+1)).endswith('x…')

def tags_of(folder, suffix='mp4', options=None, **tags):
    "What is read of a clip with tags; `_` in a name stands for a dot where the name begins with com"
    path = folder/f'a.{suffix}'
    with av.open(str(path), 'w', options=options or {}) as container:
        container.metadata.update({k.replace('_', '.') if k.startswith('com') else k: v for k, v in tags.items()})
        stream = container.add_stream('mpeg4', rate=5)
        stream.height = stream.width = 32
        for _ in range(2): container.mux(stream.encode(av.VideoFrame(32, 32, 'yuv420p')))
        container.mux(stream.encode())
    return probe(path).tags

def test_tags_of_stores(tmp_path):
    assert tags_of(tmp_path, date='2009-00-00', album_artist='The Band')==dict(artist='The Band', date='2009')
    assert tags_of(tmp_path, artist='A', album_artist='B')==dict(artist='A')
    assert tags_of(tmp_path, artist='\u200b', album_artist='B')==dict(artist='B')
    assert tags_of(tmp_path, title='x'*100_000)['title']=='x'*(MAX_TAG-1)+'…'

def test_tags_of_phones(tmp_path):
    options = dict(movflags='use_metadata_tags')
    names = dict(com_apple_quicktime_artist='The Band', com_apple_quicktime_title='A Song')
    assert tags_of(tmp_path, 'mov', options, **names)==dict(title='A Song', artist='The Band')
    names = dict(com_apple_quicktime_year='2009', com_apple_quicktime_genre='(17)')
    assert tags_of(tmp_path, 'mov', options, **names)==dict(genre='Rock', date='2009')

@pytest.mark.parametrize('name', ['DATE_RELEASED', 'YEAR', 'date', 'ORIGINALDATE', 'DATE_RECORDED'])
def test_dates_of_matroska(name, tmp_path):
    assert tags_of(tmp_path, 'mkv', **{name: '2009-05'})==dict(date='2009-05')

def test_a_readable_date_wins(tmp_path):
    assert tags_of(tmp_path, 'mkv', date='unknown', YEAR='2009')==dict(date='2009')

@pytest.mark.parametrize('suffix', ['mkv', 'mp4', 'avi', 'wmv', 'nut'])
def test_genre_numbers_in_other_containers(suffix, tmp_path):
    assert tags_of(tmp_path, suffix, genre='(17)').get('genre')=='Rock'

def write_stream_tags(path, audio):
    "A second of silence whose title stands at its stream"
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(audio, rate=48000, layout='mono')
        stream.metadata['title'] = 'Stereo'
        frame = av.AudioFrame(format='s16', layout='mono', samples=48000)
        frame.sample_rate = 48000
        frame.planes[0].update(bytes(96000))
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path

def test_the_name_of_a_track_is_not_the_title(tmp_path):
    for suffix in ('mka', 'mp4'): assert probe(write_stream_tags(tmp_path/f'a.{suffix}', audio='aac')).tags=={}
    assert probe(write_stream_tags(tmp_path/'a.ogg', audio='libopus')).tags==dict(title='Stereo')

def test_damaged_text_is_read(tmp_path):
    path = make_clip(tmp_path/'a.mp4', seconds=1, tags=dict(title='Numbers'))
    path.write_bytes(path.read_bytes().replace(b'Numbers', b'N\xff\xfebers'))
    with open_media(path) as media: assert read_tags(media)['title'].startswith('N')
