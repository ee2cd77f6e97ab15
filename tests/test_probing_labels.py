"Labels as people write them, groups of videos that stay together, and doubtful labels"
import numpy as np
import pytest
from mvrep.probing.label_errors import doubtful_labels
from mvrep.probing.labels import artist_and_copy_groups, clean_labels, copy_groups, is_label, label_table

# Cleaning

@pytest.mark.parametrize('value, labels', [
    (' rock  ballad ', ['rock ballad']), (80., ['80']), (np.int64(80), ['80']),
    (None, []), (np.nan, []), ('', []), ('  ', []),
    (['Rock', None, 'pop '], ['Rock', 'pop']), (np.array(['a', 'b']), ['a', 'b']), ((), []), ('E\u0301te', ['Éte'])])
def test_clean_labels(value, labels): assert clean_labels(value)==labels

def test_a_fraction_is_not_a_label():
    with pytest.raises(ValueError, match='2.5 is not a label'): label_table([2.5]*3+[1]*3, np.arange(6))

def test_is_label(): assert is_label(['a', None, np.nan, '', '  ', 3]).tolist()==[True]+5*[False]

# Tables

def test_case_and_blanks_do_not_make_classes():
    table = label_table(['Sad', 'sad ', 'sad', 'glad', 'glad', 'glad', 'odd', None, np.nan, ''], np.arange(10))
    assert (table.names, int(table.known.sum()), table.multilabel)==(['glad', 'sad'], 6, False)
    assert table.skipped==[dict(label='odd', n=1, reason='fewer than 3 videos')]
    assert len(table.notes)==2 and '1 label in another' in table.notes[0] and '3 of 10 videos without' in table.notes[1]
    assert table.truth[:6].tolist()==[[False, True]]*3+[[True, False]]*3 and not table.truth[6:].any()

def test_whole_numbers_are_classes():
    assert label_table([1, 2, 1., '2', np.int64(1), 2, np.nan], np.arange(7)).names==['1', '2']

def test_a_class_of_one_artist_is_skipped():
    skipped = label_table(['a']*3+['b']*3+['c']*3, np.r_[0, 1, 2, 3, 4, 5, 6, 6, 6]).skipped
    assert [o['label'] for o in skipped]==['c'] and 'all by one artist' in skipped[0]['reason']

def test_tags():
    tags = [['rock', 'Rock'], ['rock', 'loud'], ['rock'], ['loud'], ['loud'], ['calm'], []]
    table = label_table(tags, np.arange(7))
    assert (table.names, table.multilabel, table.truth.sum(0).tolist())==(['loud', 'rock'], True, [3, 3])
    assert table.known.tolist()==[True]*6+[False]
    assert table.skipped==[dict(label='calm', n=1, reason='fewer than 3 videos')]

def test_tags_that_all_videos_have_and_rare_tags_are_skipped():
    tags = [['all', 'often'] if i<6 else ['all', 'seldom'] for i in range(10)]
    reasons = {o['label']: o['reason'] for o in label_table(tags, np.arange(10), max_tags=2).skipped}
    assert reasons==dict(all='fewer than 3 videos without it', seldom='not among the 2 most frequent')

@pytest.mark.parametrize('values, message', [
    (['sad']*5+['glad'], r'fewer than two classes .* among 6 videos; labels found: sad \(5\), glad \(1\)'),
    ([None]*5, 'none at all'),
    ([['a'], ['b'], []], 'no tag with at least 3 videos')])
def test_nothing_to_learn(values, message):
    with pytest.raises(ValueError, match=message): label_table(values, np.arange(len(values)))

# Groups

def test_artists_and_copies_stay_together():
    feats = np.array([[1.], [2], [3], [4], [2], [5]])
    artists = ['A', 'B', None, 'A feat. C', 'D', None]
    assert artist_and_copy_groups(artists, copy_groups(feats)).tolist()==[0, 1, 2, 0, 1, 3]
    assert len(feats)-len(np.unique(copy_groups(feats)))==1

def test_videos_without_features_are_not_copies():
    feats = np.array([[1.], [np.nan], [2], [np.nan], [3]])
    assert artist_and_copy_groups(['A', 'A', 'B', 'B', None], copy_groups(feats)).tolist()==[0, 0, 1, 1, 2]
    assert len(np.unique(copy_groups(feats)))==5

def test_videos_of_one_recording_are_copies():
    feats = np.array([[1.], [2], [3], [2]])
    assert copy_groups(feats, ['a', 'b', 'a', 'c']).tolist()==[0, 1, 0, 1]
    assert copy_groups(feats, list('abcd')).tolist()==[0, 1, 2, 1]

# Label errors

P_CALM = np.array([.9, .7, .2, .45, .1, .65])
CALM = np.array([1, 1, 1, 0, 0, 0], bool)

def positions(probs, truth): return [o['position'] for o in doubtful_labels(probs, truth, ['calm', 'loud'])]

def test_doubtful_labels():
    found = doubtful_labels(np.c_[P_CALM, 1-P_CALM], np.c_[CALM, ~CALM], ['calm', 'loud'])
    assert [o['position'] for o in found]==[2, 5]
    assert (found[0]['label'], found[0]['looks_like'])==('calm', 'loud')
    assert np.isclose(found[0]['p_label'], .2) and np.isclose(found[0]['p_looks_like'], .8)

def test_a_video_without_probabilities_is_not_doubted():
    p, calm = np.r_[P_CALM, np.nan], np.r_[CALM, True]
    assert positions(np.c_[p, 1-p], np.c_[calm, ~calm])==[2, 5]

def test_equal_probabilities_are_not_doubted():
    assert positions(np.full((4, 2), .5), np.eye(2, dtype=bool)[[0, 0, 1, 1]])==[]

def test_a_class_without_labels_is_not_suggested():
    assert positions(np.array([[.2, .8], [.3, .7]]), np.array([[True, False]]*2))==[]
