"Recommendations from likes and dislikes in an irregular index against their definition"
import numpy as np
import pytest
from ragged import BUILT, cosine, metadata, unit_segments
from mvrep.recommendation.likes import combine, freshness, recommend

@pytest.fixture(scope='module')
def segments(ragged): return unit_segments(ragged)

def test_likes_that_cannot_be_compared_are_left_out():
    scores = np.array([[.2, np.nan, np.nan], [.6, -.4, np.nan]])
    np.testing.assert_allclose(combine(scores), [.4, -.4, np.nan])
    np.testing.assert_allclose(combine(scores, 'max'), [.6, -.4, np.nan])
    with pytest.raises(ValueError, match="how='min'"): combine(scores, 'min')

def test_freshness_of_the_future_and_of_unknown_dates():
    dates = ['2024-01-11', '2024-01-01', '2023-12-22', '2024-02-30', None]
    found = freshness(dates, half_life=10, today='2024-01-01')
    assert found.tolist()==[1, 1, .5, 1, 1] # the median age of 0, 0 and 10 days is 0
    assert freshness(['2023-12-22', '2023-12-12', None], 10, '2024-01-01').tolist()==[.5, .25, pytest.approx(2**-1.5)]

@pytest.mark.parametrize('how', ['mean', 'max'])
def test_likes_and_dislikes(ragged, segments, how):
    likes, combine = ['c01', 'no_audio', 'late'], dict(mean=np.mean, max=np.max)[how]
    found = recommend(ragged, likes, ['c08', 'no_video'], how=how, against=.3, weight=.4, k=30, with_copies=True)
    assert sorted(found.index)==sorted(set(BUILT)-{*likes, 'c08', 'no_video'})
    for video_id, row in found.iterrows():
        scores = {o: cosine(segments, o, video_id, weight=.4) for o in likes}
        disliked = combine([cosine(segments, o, video_id, weight=.4) for o in ('c08', 'no_video')])
        assert row.liked==pytest.approx(combine(list(scores.values())), abs=1e-5)
        assert row.disliked==pytest.approx(disliked, abs=1e-5) and row.because==max(scores, key=scores.get)
        assert row.score==pytest.approx(row.liked-.3*row.disliked, abs=1e-5)
    assert found.score.is_monotonic_decreasing

def test_a_like_without_the_modality_counts_for_nothing(ragged, segments):
    found = recommend(ragged, ['no_audio', 'c01'], by='audio', k=30, with_copies=True)
    assert 'no_audio' not in found.index and set(found.because)=={'c01'}
    assert found.score.to_dict()=={o: pytest.approx(cosine(segments, 'c01', o, 'audio'), abs=1e-5) for o in found.index}
    with pytest.raises(ValueError, match='no liked video can be compared'): recommend(ragged, 'no_audio', by='audio')

def test_fresh_videos_first(ragged):
    "The dates are a year apart from 2001 on; in 2008 half of the videos are still to come"
    found = recommend(ragged, 'c01', ['c08'], half_life=365.25, today='2008-01-31', k=30, with_copies=True)
    dates = metadata().set_index('video_id').release_date
    ages = {o: max(0, 2008-int(dates[o][:4])) for o in BUILT if isinstance(dates[o], str)}
    ages['a_unlabelled'] = np.median(list(ages.values()))
    for video_id, row in found.iterrows():
        assert row.fresh==pytest.approx(2.**-ages[video_id], rel=.01)
        assert row.score==pytest.approx(max(1+row.liked-.5*row.disliked, 0)/2*row.fresh, rel=1e-4)
