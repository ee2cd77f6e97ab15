"Words of the metadata of an irregular index"
from ragged import BUILT, ENTERED, metadata
from mvrep.recommendation.words import search

def test_only_videos_of_the_build_are_found_by_words(ragged):
    number = ENTERED.index('c00')
    found = search(ragged, f'Title {number}', k=1)
    assert list(found.index)==['c00'] and found.matched.iloc[0][0]=='title'
    everything = search(ragged, 'title', k=50)
    assert sorted(everything.index)==sorted(set(BUILT)-{'a_unlabelled'})
    soft = search(ragged, 'title', k=50, where="genre = 'soft'")
    assert sorted(soft.index)==[o for o in sorted(BUILT) if metadata().set_index('video_id').genre[o]=='soft']

def test_both_artists_of_a_duet_find_it(ragged):
    for name in ('Artist 3', 'Artist 4'): assert 'c03' in search(ragged, name, k=4).index
