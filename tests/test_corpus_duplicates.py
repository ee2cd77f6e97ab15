"Copies are linked by content and by audio, also through a third file"
import numpy as np
import pandas as pd
from mvrep.corpus.duplicates import first_copies, recordings

RNG = np.random.default_rng(0)
SONG, OTHER = (RNG.integers(1, 2**32, 300, dtype=np.uint32) for _ in range(2))
NOTHING = np.zeros(0, np.uint32)

def test_hash_and_audio():
    prints = [NOTHING, SONG, NOTHING, SONG[50:200], OTHER]
    assert first_copies(['x', None, 'x', None, None], prints).tolist()==[0, 1, 0, 1, 4]

def test_copies_chain():
    "The second is linked with the first by its bytes and with the third by its audio"
    assert first_copies(['x', 'x', None], [NOTHING, SONG, SONG[10:]]).tolist()==[0, 0, 0]
    parts = [SONG[:160], SONG[100:], SONG[:80], SONG[220:]] # the last two have no second in common
    assert first_copies([None]*4, parts).tolist()==[0, 0, 0, 0]

def test_only_new_files_are_compared_and_known_links_stay():
    prints = [SONG, OTHER, SONG, SONG]
    is_new = np.array([False, False, False, True])
    assert first_copies([None]*4, prints, ['a', 'b', 'c', None], is_new).tolist()==[0, 1, 0, 0]
    is_new[:] = False
    assert first_copies([None]*4, prints, ['a', 'b', 'a', None], is_new).tolist()==[0, 1, 0, 3]

def test_a_video_without_copies_is_its_own_recording():
    videos = pd.DataFrame(dict(recording=['a', None, np.nan]), index=['b', 'a', 'c'])
    assert recordings(videos).tolist()==['a', 'a', 'c']
    assert recordings(videos[[]]).tolist()==['b', 'a', 'c']

def test_nothing():
    assert first_copies([], []).tolist()==[]
