"Search by written words: spelling, own columns, file names, conditions, and what matched"
import numpy as np
import pandas as pd
import pytest
from mvrep.index.index import Index
from mvrep.index.examples import tiny_index
from mvrep.recommendation.words import compare_texts, fit_texts, search_words, searched_texts

@pytest.fixture
def index(tmp_path): return tiny_index(tmp_path)

def describe(index, **columns):
    "Replace metadata; `video_id` is a column, and videos keep their files"
    table = pd.DataFrame(columns)
    if 'path' not in table: table['path'] = index.videos.path[table.video_id].to_numpy()
    index.put_videos(table)
    index.reload()

def first(index, query): return search_words(index, query, k=1).index[0]

def test_a_title_finds_its_video(index): assert first(index, index.videos.title['v0000'])=='v0000'

def test_spelling_is_forgiven(index):
    describe(index, video_id=['v0000'], artist=['Sigur Rós'], title=['Glósóli'], tags=[['piano', 'Sad']])
    for query in ('Sigur Rós', 'SIGUR ROS', 'glosoli', 'sigur roz', 'sad piano', 'Pianos'):
        assert first(index, query)=='v0000', query

def test_words_that_are_not_there_find_nothing(index):
    for query in ('xylophone quartz', 'zzzz'):
        found = search_words(index, query)
        assert len(found)==0 and {'score', 'matched', 'title'} <= {*found.columns}

@pytest.mark.parametrize('query', ['', '  ', '?!', '_'])
def test_a_query_without_words_is_refused(index, query):
    with pytest.raises(ValueError, match='give a word'): search_words(index, query)

def test_conditions(index):
    assert set(search_words(index, 'jazz', where="genre = 'jazz'").genre)=={'jazz'}
    assert len(search_words(index, 'jazz', where="genre = 'nothing'"))==0
    with pytest.raises(ValueError, match='cannot filter'): search_words(index, 'jazz', where='nonsense !')

def test_a_title_counts_more_than_the_name_of_a_file(index):
    named, titled = 'v0004', 'v0005'
    paths = ['/songs/velvet_sky (live).mp4', index.videos.path[titled]]
    describe(index, video_id=[named, titled], path=paths, title=[None, 'Velvet Sky'])
    for query in ('velvet sky', 'Velvet_Sky', 'sky velvt'):
        assert list(search_words(index, query, k=2).index)==[titled, named], query
    matched = search_words(index, 'sky').matched
    assert matched[titled]==['title'] and matched[named]==['path']

def test_every_id_finds_its_video(index):
    assert [first(index, o) for o in index.build.video_ids]==list(index.build.video_ids)

def test_own_columns_are_searched(index):
    describe(index, video_id=['v0001', 'v0002'], director=['Agnès Varda', 'Spike Jonze'],
             cast=[['Björk'], ['Sofia Coppola', 'Bill Murray']], bpm=[120., 90.])
    assert first(index, 'agnes varda')=='v0001' and first(index, 'coppola')=='v0002'
    assert search_words(index, 'bjork').matched['v0001']==['cast']
    assert '120' not in str(searched_texts(index.videos)['bpm'])

def test_matched_names_every_column_that_matches(index):
    describe(index, video_id=['v0003'], title=['Jazz'], genre=['jazz'], tags=[['acid jazz']])
    assert search_words(index, 'jazz').matched['v0003']==['title', 'genre', 'tags']

def test_metadata_that_changed_is_searched_after_reload(index):
    assert len(search_words(index, 'xylophone'))==0
    index.put_videos(pd.DataFrame(dict(video_id=['v0000'], path=[index.videos.path['v0000']], title=['Xylophone'])))
    assert len(search_words(index, 'xylophone'))==0
    index.reload()
    assert first(index, 'xylophone')=='v0000'
    assert first(Index(index.folder), 'xylophone')=='v0000'

def test_an_index_without_videos_is_refused(index):
    index.remove(list(index.build.video_ids))
    with pytest.raises(ValueError, match='no words to search: add some'): search_words(index, 'jazz')

def test_texts_are_compared_as_those_of_the_model(index):
    texts = ['sad piano', 'happy pianos', 'thunder', '']
    model = fit_texts(texts)
    for query in ('piano', 'pinao', 'thunder road'):
        fitted, given = compare_texts(model, query), compare_texts(model, query, texts)
        np.testing.assert_allclose(fitted[0], given[0])
        assert fitted[1].tolist()==given[1].tolist()
    with pytest.raises(ValueError, match='no words'): fit_texts(['', '?!'])
