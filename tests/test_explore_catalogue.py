"Cards of the app: what is shown of a video, of neighbours and of their moments, for an irregular index"
import numpy as np
import pandas as pd
import pytest
from mvrep.explore.catalogue import neighbour_cards, video_card
from mvrep.explore.packing import one_line
from mvrep.explore.report import data_uri

def test_cards_of_irregular_videos(ragged):
    unknown = video_card(ragged, 'a_unlabelled')
    assert unknown['title']==unknown['id']=='a_unlabelled' and unknown['artist'] is None and unknown['genre'] is None
    known = video_card(ragged, 'c03')
    assert (known['artist'], known['genre'])==('Artist 3 ft. Artist 4', ragged.videos.genre['c03'])
    for video_id, has in dict(c03=(True, True), no_audio=(False, True), no_video=(True, False)).items():
        card = video_card(ragged, video_id)
        assert (card['has_audio'], card['has_video'])==has

def test_cards_of_neighbours(ragged):
    "In the order of the list, with a missing score as None, and each with its own moments"
    found = pd.DataFrame(dict(score=[.9, .8], audio=[.7, np.nan], video=[.5, .4], copies=[2, 0],
                              same_recording=[True, False]), index=['c03', 'no_audio'])
    reasons = pd.DataFrame(dict(video_id=['no_audio', 'c03', 'c03'], modality=['video', 'audio', 'video'],
                                seed_start=[1., 2., 3.], start=[4., 5., 6.]))
    first, second = neighbour_cards(ragged, found, reasons)
    assert (first['id'], first['score'], first['audio'], first['video'])==('c03', .9, .7, .5)
    assert (second['id'], second['score'], second['audio'], second['video'])==('no_audio', .4, None, .4)
    assert [o['start'] for o in first['reasons']]==[5., 6.] and [o['modality'] for o in second['reasons']]==['video']

@pytest.mark.parametrize('value, line', [
    ('a\nb\t c ', 'a b  c'), ('\x00\x1f x', 'x'), ('a\u2028b', 'a b'), (None, ''), (3, ''), ('\ud800', '')])
def test_a_text_on_one_line(value, line): assert one_line(value)==line

def test_data_as_an_address(): assert data_uri('text/plain', b'abc')=='data:text/plain;base64,YWJj'
