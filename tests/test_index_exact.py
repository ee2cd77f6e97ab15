"Scores, the best rows of a search, and the chance levels of hubness, computed by hand"
import numpy as np
import pytest
from mvrep.index.exact import best_rows, joint_scores, list_hubness, modality_weights, row_scores

def test_weights_of_a_search():
    assert modality_weights('audio')==dict(audio=1) and modality_weights('video', .3)==dict(video=1)
    assert modality_weights('joint', .25)==dict(audio=.25, video=.75)
    assert modality_weights('joint', 1)==dict(audio=1) and modality_weights('joint', 0)==dict(video=1)
    for weight in (-.01, 1.01):
        with pytest.raises(ValueError, match='between 0 and 1'): modality_weights('joint', weight)
    with pytest.raises(ValueError, match="'joint'"): modality_weights('both')

def test_joint_scores_by_hand():
    "Weight 1/4: a pair with both modalities, and one whose candidate lacks video"
    cosines = dict(audio=np.array([.8, .8]), video=np.array([.4, np.nan]))
    has = dict(audio=np.array([True, True]), video=np.array([True, False]))
    both = joint_scores(cosines, has, dict(audio=True, video=True), .25)
    assert both==pytest.approx([.25*.8+.75*.4, .8])
    cosines['video'][0] = np.nan # what the query lacks cannot be compared
    only_audio = joint_scores(cosines, has, dict(audio=True, video=False), .25)
    assert only_audio==pytest.approx([.8, .8])

ROWS = np.array([[1., 0], [0, 1], [.6, .8], [.8, .6], [0, -1]], np.float32)

def test_scores_of_rows():
    queries = np.array([[1., 0], [0, 2]], np.float32)
    assert row_scores([(ROWS, queries)], 1, np.array([1, 4, 2]))==pytest.approx([2, -2, 1.6])
    factor = np.array([1, 2, 3, 4, 5.])
    assert row_scores([(ROWS, queries)], 1, np.array([1, 4, 2]), factor, block=2)==pytest.approx([4, -10, 4.8])

@pytest.mark.parametrize('max_scores', [1, 2**23])
@pytest.mark.parametrize('k', [1, 2, 4, 5, 9])
def test_best_rows_by_hand(k, max_scores):
    (rows, scores), = best_rows([(ROWS, ROWS[:1])], k, max_scores=max_scores)
    assert rows.tolist()==[0, 3, 2, 1, 4][:k] and scores==pytest.approx([1, .8, .6, 0, 0][:k])
    with pytest.raises(ValueError, match='at least 1'): best_rows([(ROWS, ROWS[:1])], 0)

def test_many_candidates_of_one_query():
    "More than 4·k candidates are dropped and collected again: scores rise from block to block"
    x = np.linspace(-1, 1, 20000, dtype=np.float32)[:, None]
    (rows, scores), = best_rows([(x, np.ones((1, 1), np.float32))], 3, max_scores=1)
    assert rows.tolist()==[19999, 19998, 19997] and scores==pytest.approx(x[rows, 0])

def test_hubness_by_hand():
    "Four videos with lists of one: three lists hold the first video, one holds the second"
    found = list_hubness(np.array([[1], [0], [0], [0]]))
    assert (found['never'], found['largest'], found['k'], found['pool'])==(.5, 1, 1, 4)
    assert found['chance_never']==pytest.approx((2/3)**3)
    counts = np.array([3, 1, 0, 0])
    assert found['skewness']==pytest.approx(((counts-1)**3).mean()/counts.std()**3)
    assert found['chance_skewness']==pytest.approx((1-2/3)/np.sqrt(3*1/3*2/3)) # of a binomial, n=3, p=1/3

def test_hubness_of_random_lists_is_at_chance():
    rng = np.random.default_rng(0)
    n, k = 3000, 5
    lists = np.stack([rng.choice(n-1, k, replace=False) for _ in range(n)])
    found = list_hubness(lists+(lists>=np.arange(n)[:, None]))
    assert found['never']==pytest.approx(found['chance_never'], abs=.01)
    assert found['skewness']==pytest.approx(found['chance_skewness'], abs=.15)

def test_even_lists_have_no_hubs():
    found = list_hubness(np.array([[1, 2], [2, 0], [0, 1]]))
    assert (found['skewness'], found['never'], found['largest'], found['chance_skewness'])==(0, 0, 1, 0)
    with pytest.raises(ValueError, match='3 videos cannot have 3 neighbours each'): list_hubness(np.zeros((3, 3), int))
