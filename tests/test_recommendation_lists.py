"Lists and their rules, computed by hand"
import numpy as np
import pandas as pd
import pytest
from mvrep.recommendation.lists import ListRules, arrange, limit_per_artist, mmr, n_surplus

def test_what_is_unlike_the_list_is_better_than_what_is_neutral():
    "Candidates 1 and 2 are as relevant; 2 is the opposite of the first pick"
    similarity = np.array([[1, 0, -.5], [0, 1, 0], [-.5, 0, 1]])
    assert mmr(np.array([1, .5, .5]), similarity, 3, .5)==[0, 2, 1]
    assert mmr(np.array([1, .5, .5]), similarity, 3, 0)==[0, 1, 2]

def test_the_nearest_of_the_list_counts():
    "Candidate 2 is like the first pick, candidate 3 like the second; 4 is worse and like neither"
    similarity = np.eye(5)
    for i, j in ((0, 2), (1, 3)): similarity[i, j] = similarity[j, i] = .9
    assert mmr(np.array([1, .95, .9, .85, .5]), similarity, 4, .5)==[0, 1, 4, 2]
    assert mmr(np.array([1, .95]), similarity[:2, :2], 5, .5)==[0, 1]

def videos(**artists): return pd.DataFrame(dict(artist=artists.values(), recording=None), index=list(artists))

def likeness(ids): return np.eye(len(ids))

def test_arranging_by_hand():
    known = videos(a='Ada', b='Ada', c='Bo', d=None, e=None, f='Ada')
    known['recording'] = ['r', 'r', 's', 't', 'u', 'r']
    ranked = pd.DataFrame(dict(score=[.9, .8, .7, .6, .5]), index=list('abcde'))
    found = arrange(ranked, known, ListRules(k=3), likeness)
    assert found.copies.to_dict()==dict(a=2, c=0, d=0) and found.score.tolist()==[.9, .7, .6]
    all_copies = arrange(ranked, known, ListRules(k=3, with_copies=True), likeness)
    assert all_copies.copies.to_dict()==dict(a=2, b=2, c=0)
    few = arrange(ranked, known, ListRules(with_copies=True, max_per_artist=1), likeness)
    assert list(few.index)==['a', 'c', 'd', 'e']
    own = arrange(ranked.drop('a'), known, ListRules(k=2), likeness, own=['a'])
    assert own.copies.to_dict()==dict(b=1, c=0)

def test_diversity_chooses_among_ten_times_as_many():
    "The 21st candidate of a list of two is never looked at"
    ids = [f'v{i:02d}' for i in range(25)]
    ranked = pd.DataFrame(dict(score=np.linspace(1, .5, 25)), index=ids)
    def similarity_of(wanted):
        assert list(wanted)==ids[:20]
        alike = np.ones((20, 20))
        alike[19, :19] = alike[:19, 19] = -1
        return alike
    known = videos(**dict.fromkeys(ids, 'Ada'))
    assert list(arrange(ranked, known, ListRules(k=2, diversity=.9), similarity_of).index)==['v00', 'v19']

def test_surplus_of_the_largest_recordings():
    recording = pd.Series([*'aaaabbbccd'])
    assert [n_surplus(recording, k) for k in (1, 2, 3, 4, 9)]==[3, 5, 6, 6, 6]

def test_rules_without_effect_are_reported():
    ranked = pd.DataFrame(dict(score=[1.]), index=['a'])
    with pytest.warns(UserWarning, match='max_per_artist has no effect'):
        arrange(ranked, videos(a=None), ListRules(max_per_artist=1), likeness)
    with pytest.warns(UserWarning, match='list of one video'):
        arrange(ranked, videos(a='Ada'), ListRules(k=1, diversity=.5), likeness)

def test_limits():
    assert limit_per_artist(['Ada', 'Bo', 'ada', 'Ada feat. Bo', 'Bo', None, None], 2)==[0, 1, 2, 4, 5, 6]
    for edge in (dict(k=1), dict(max_per_artist=1), dict(diversity=0.), dict(diversity=1.)): ListRules(**edge)
