"Similarity of metadata, agreement of two similarities, and prediction of a field, against their definitions"
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from mvrep.corpus.names import artist_groups
from mvrep.recommendation.metadata import field_similarity, metadata_similarity, predict_field, rank_agreement
from mvrep.recommendation.metadata import set_overlap, year_similarity

FEW = pd.DataFrame(dict(
    artist=['Beyoncé', 'BEYONCE ', 'Björk', None], genre=['pop', 'pop', 'pop', None],
    tags=[['a', 'B'], ['b'], None, []], release_date=['2003', '2008-05', 'long ago', None]))

# Fields

def test_similarity_is_the_mean_over_the_fields_that_both_have():
    similarity = metadata_similarity(FEW)
    assert similarity[0, 1]==pytest.approx(np.mean([1, 1, .5, .5]))
    assert similarity[0, 2]==pytest.approx(np.mean([0, 1]))
    assert np.isnan(similarity[3]).all()
    np.testing.assert_array_equal(similarity, similarity.T)

def test_fields_that_cannot_be_compared_are_named():
    with pytest.raises(ValueError, match="no field 'year'"): metadata_similarity(FEW, ('year',))
    with pytest.raises(ValueError, match="no column 'mood'"): metadata_similarity(FEW, ('genre', 'mood'))
    with pytest.raises(ValueError, match='no fields'): metadata_similarity(FEW, ())

def test_guests_do_not_make_another_artist():
    videos = pd.DataFrame(dict(artist=['JAY-Z ft. Beyoncé', 'Jay Z', 'Beyoncé', ' ']))
    similarity = field_similarity(videos, 'artist')
    assert similarity[0, :3].tolist()==[1, 1, 0] and np.isnan(similarity[3]).all()

def test_sets():
    np.testing.assert_allclose(set_overlap([{1, 2, 3}, {2, 3, 4, 5}, set()])[0], [1, 2/5, np.nan])
    assert np.isnan(set_overlap([set(), set()])).all()

def test_years():
    dates = ['2003', '2008-05-01', '1998', 'long ago', None, '']
    np.testing.assert_allclose(year_similarity(dates)[0, :3], [1, .5, .5])

# Agreement

def random_similarity(seed, n=40, d=5):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return x@x.T

def random_noise(seed, n=40):
    noise = np.random.default_rng(seed).normal(size=(n, n))
    return noise+noise.T

def first(similarity, i, k):
    "The `k` nearest of a video, by sorting"
    others = [o for o in np.argsort(-similarity[i]) if o!=i]
    return set(others[:k])

def test_agreement_with_itself_is_one():
    found = rank_agreement(random_similarity(0), random_similarity(0), 5)
    np.testing.assert_allclose([found['spearman'], found['overlap']], [1, 1])

def test_agreement_follows_its_definition():
    one, other = random_similarity(0), random_noise(1)
    found = rank_agreement(one, other, 5)
    above = np.triu_indices(40, 1)
    assert found['spearman']==pytest.approx(spearmanr(one[above], other[above]).statistic)
    overlaps = [len(first(one, i, 5) & first(other, i, 5))/5 for i in range(40)]
    assert found['overlap']==pytest.approx(np.mean(overlaps))
    assert found['pairs']==40*39/2 and found['pool']==39 and found['chance_overlap']==pytest.approx(5/39)

def test_intervals_hold_chance_for_noise():
    found = rank_agreement(random_similarity(0), random_noise(1), 5)
    assert found['spearman_low']<0<found['spearman_high']
    assert found['overlap_low']<found['chance_overlap']<found['overlap_high']

def test_tied_similarities_overlap_by_chance():
    found = rank_agreement(random_similarity(0), np.zeros((40, 40)), 5)
    assert found['overlap']==pytest.approx(5/39) and found['spearman']==0

def test_unknown_pairs_do_not_count():
    one = random_similarity(0)
    one[:10, 10:] = one[10:, :10] = np.nan # two islands
    found = rank_agreement(one, random_similarity(0), 5)
    assert found['pairs']==10*9/2+30*29/2 and found['overlap']==pytest.approx(1)
    assert found['pool']==pytest.approx((10*9+30*29)/40)

def test_agreement_refuses_what_does_not_fit():
    similarity = random_similarity(0)
    with pytest.raises(ValueError, match='k=39'): rank_agreement(similarity, similarity, 39)
    with pytest.raises(ValueError, match='two square matrices'): rank_agreement(similarity, similarity[:9])

# Prediction

GROUP = np.repeat(['a', 'b', 'c', 'd'], 10)
SAME_GROUP = (GROUP[:, None]==GROUP).astype(float)

def test_prediction_of_known_answers():
    nothing, unknown = np.zeros((40, 40)), np.full((40, 40), np.nan)
    found = predict_field(dict(truth=SAME_GROUP, nothing=nothing, unknown=unknown), SAME_GROUP, k=5)
    np.testing.assert_allclose(found.found, [1, 9/39, 9/39])
    np.testing.assert_allclose(found.chance, [9/39]*3)
    assert (found.low<=found.found).all() and (found.found<=found.high).all()
    assert found.n.tolist()==[40]*3 and found.pool.tolist()==[39]*3

def test_neighbours_of_the_same_group_are_passed_over():
    found = predict_field(dict(truth=SAME_GROUP), SAME_GROUP, artist_groups(GROUP), 5)
    assert found.found[0]==found.chance[0]==0 and found.pool[0]==30

def test_unknown_truth_is_not_asked_for():
    truth = SAME_GROUP.copy()
    truth[0] = truth[:, 0] = np.nan
    found = predict_field(dict(truth=SAME_GROUP), truth, k=5)
    assert found.n[0]==39 and found.found[0]==1

def test_unknown_similarities_are_behind_all_others():
    similarity = np.where(SAME_GROUP>0, np.nan, -1e6)
    assert predict_field(dict(x=similarity), SAME_GROUP, k=5).found[0]==0

def test_too_few_videos_to_predict():
    with pytest.raises(ValueError, match='more than 39 others'): predict_field(dict(x=SAME_GROUP), SAME_GROUP, k=39)

def test_intervals_resample_artists_if_they_are_given():
    group = np.repeat(np.arange(10), 10) # ten videos each, all of an artist with the same answer
    truth = np.where(group[:, None]%2==0, 1., .2)*np.ones((100, 100))
    by_video, by_artist = (predict_field(dict(x=truth), truth, o, same_group=True).iloc[0] for o in (None, group))
    assert by_video.found==pytest.approx(.6) and by_artist.found==pytest.approx(.6)
    assert by_artist.high-by_artist.low>2*(by_video.high-by_video.low)
    rng = np.random.default_rng(0)
    one = truth+rng.normal(size=truth.shape)
    narrow, wide = (rank_agreement(one, truth, n_boot=50, groups=o) for o in (None, group))
    assert wide['spearman_high']-wide['spearman_low']>narrow['spearman_high']-narrow['spearman_low']

def test_each_way_is_compared_with_one_of_them_on_the_same_videos():
    nothing = np.zeros((40, 40))
    found = predict_field(dict(truth=SAME_GROUP, nothing=nothing), SAME_GROUP, k=5).set_index('by')
    assert found.difference['nothing']==0
    assert found.difference['truth']==pytest.approx(found.found['truth']-found.found['nothing'])
    assert 0<found.difference_low['truth']<=found.difference['truth']<=found.difference_high['truth']
    other = predict_field(dict(truth=SAME_GROUP, nothing=nothing), SAME_GROUP, k=5, than='truth').set_index('by')
    assert other.difference['nothing']==pytest.approx(-found.difference['truth'])
    with pytest.raises(ValueError, match="no similarity 'x' to compare with: want one of truth"):
        predict_field(dict(truth=SAME_GROUP), SAME_GROUP, k=5, than='x')
