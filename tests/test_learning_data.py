"Which of several copies is trained on, and which split a linked artist gets"
import numpy as np
import pandas as pd
from mvrep.learning.data import _is_copy, _metadata

def test_the_copy_in_the_earliest_split_stays():
    "Train before valid before test before none; within a split the one that has both modalities, then the first"
    splits = ['valid', 'train', 'test', 'valid', '', 'test', 'train', 'train', 'train']
    recording = ['x', 'x', 'x', 'y', 'y', None, 'z', 'z', 'z']
    metadata = pd.DataFrame(dict(video_id=list('abcdefghi'), split=splits, recording=recording))
    has_both = np.array([True]*6+[False, True, True])
    stays = metadata.video_id[~_is_copy(metadata, has_both)]
    assert list(stays)==['b', 'd', 'f', 'h']
    metadata.loc[0, 'split'] = 'test' # the first of two in the same split
    metadata.loc[1, 'split'] = ''
    assert list(metadata.video_id[~_is_copy(metadata, has_both)])[0]=='a'

def test_metadata_in_the_order_of_a_store():
    "Splits of the corpus are kept; a video without one has an empty text, and linked artists have one name"
    videos = pd.DataFrame(dict(artist=['B', 'A feat. B', None], split=['test', None, 'train']), index=['p', 'q', 'r'])
    found = _metadata(videos, ['r', 'q', 'p'], seed=0)
    assert list(found.video_id)==['r', 'q', 'p'] and list(found.split)==['train', '', 'test']
    assert pd.isna(found.artist[0]) and found.artist[1]==found.artist[2]
