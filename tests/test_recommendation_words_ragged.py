"Words of the metadata of an irregular index"
import pandas as pd
from ragged import BUILT, ENTERED, metadata
from mvrep.recommendation.words import SEARCHED, TextSearch, search_words

def test_only_videos_of_the_build_are_found_by_words(ragged):
    number = ENTERED.index('c00')
    found = search_words(ragged, f'Title {number}', k=1)
    assert list(found.index)==['c00'] and found.matched.iloc[0][0]=='title'
    everything = search_words(ragged, 'title', k=50)
    assert sorted(everything.index)==sorted(set(BUILT)-{'a_unlabelled'})
    soft = search_words(ragged, 'title', k=50, where="genre = 'soft'")
    assert sorted(soft.index)==[o for o in sorted(BUILT) if metadata().set_index('video_id').genre[o]=='soft']

def test_both_artists_of_a_duet_find_it(ragged):
    for name in ('Artist 3', 'Artist 4'): assert 'c03' in search_words(ragged, name, k=4).index

def test_a_part_of_a_word_is_named_only_where_no_word_matches():
    hidden = 'recordings of grandpianos among a great many other instruments'
    texts = dict(title=['piano', hidden, 'drums'], genre=[hidden, None, None], path='x.mp4', artist=None)
    videos = pd.DataFrame(dict(dict.fromkeys(SEARCHED), **texts), index=pd.Index([*'abc'], name='video_id'))
    found = TextSearch(None, videos).find('piano')
    assert found.matched.to_dict()==dict(a=['title'], b=['title']) and found.score.is_monotonic_decreasing
    assert list(TextSearch(None, videos).find('piano', k=1).index)==['a']
