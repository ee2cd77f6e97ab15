"Lists of an irregular index against their definitions, computed one pair at a time from the features"
import numpy as np
import pytest
from ragged import BUILT, ENCODERS, ENTERED, features_of, made_features, metadata, segments_of
from mvrep.core import MODALITIES, UnknownId
from mvrep.corpus.names import artist_key
from mvrep.recommendation.likes import freshness, recommend
from mvrep.recommendation.lists import ListRules
from mvrep.recommendation.matching import Stretch, align, match_stretch
from mvrep.recommendation.neighbours import similar, similarities
from mvrep.recommendation.words import search

def unit(x): return x/np.linalg.norm(x)

@pytest.fixture(scope='module')
def segments(ragged):
    "{modality: {video: unit-norm standardised segments}}"
    def standardised(m, feats):
        scale = ragged.build.scale[m]
        return np.array([unit((row-scale.mean)/scale.std) for row in feats])
    found = {}
    for m in MODALITIES: found[m] = {o: standardised(m, feats) for o, feats in made_features(ragged, m).items()}
    return found

def cosine(segments, one, other, by='joint', weight=.5):
    "Cosine of two videos; None if they cannot be compared"
    weights = dict(audio=weight, video=1-weight) if by=='joint' else {by: 1}
    both = [m for m in weights if one in segments[m] and other in segments[m]]
    if not both: return None
    def concatenated(video):
        widths = {m: ENCODERS[m].dim for m in weights}
        parts = {m: unit(segments[m][video].sum(0)) if video in segments[m] else np.zeros(widths[m]) for m in weights}
        return unit(np.concatenate([weights[m]**.5*part for m, part in parts.items()]))
    return concatenated(one)@concatenated(other)

def ranked(segments, seed, by='joint', weight=.5):
    "All videos of the build that can be compared with a seed, best first"
    scores = {o: cosine(segments, seed, o, by, weight) for o in BUILT if o!=seed}
    return sorted([o for o, score in scores.items() if score is not None], key=lambda o: (-scores[o], o))

# Similar videos

@pytest.mark.parametrize('by, weight', [('joint', .5), ('joint', .2), ('audio', .5), ('video', .5)])
@pytest.mark.parametrize('seed', ['a_unlabelled', 'c07', 'no_audio', 'late'])
def test_similar_videos(ragged, segments, seed, by, weight):
    if by=='audio' and seed=='no_audio':
        with pytest.raises(ValueError, match='no_audio has no audio'): similar(ragged, seed, by)
        return
    found = similar(ragged, seed, by, weight, k=30, with_copies=True)[0]
    assert list(found.index)==ranked(segments, seed, by, weight)
    assert found.score.to_numpy()==pytest.approx([cosine(segments, seed, o, by, weight) for o in found.index], abs=1e-5)
    assert list(similar(ragged, seed, by, weight, k=4, with_copies=True)[0].index)==list(found.index)[:4]

def test_a_recording_is_listed_once_with_its_copies(ragged, segments):
    expected = ranked(segments, 'c06')
    expected.remove(max('c04', 'c05', key=expected.index))
    found = similar(ragged, 'c06', k=30)[0]
    assert list(found.index)==expected
    assert found.copies.to_dict()=={o: int(o in ('c04', 'c05')) for o in expected}

def test_lists_of_a_few_artists(ragged, segments):
    artists = metadata().set_index('video_id').artist.map(artist_key)
    seen, expected = [], []
    for video_id in ranked(segments, 'no_video'):
        if seen.count(artists[video_id])<1: expected.append(video_id)
        seen.append(artists[video_id])
    assert list(similar(ragged, 'no_video', k=30, with_copies=True, max_per_artist=1)[0].index)==expected

def test_a_condition_leaves_out_what_is_not_built(ragged, segments):
    genre = metadata().set_index('video_id').genre
    expected = [o for o in ranked(segments, 'c06') if genre[o]=='soft']
    assert list(similar(ragged, 'c06', k=30, with_copies=True, where="genre = 'soft'")[0].index)==expected
    assert similar(ragged, 'c06', where="video_id IN ('b_entered', 'z_unbuilt')")[0].empty

@pytest.mark.parametrize('seed', ['c02', 'no_video'])
def test_reasons_are_the_moments_that_are_most_alike(ragged, segments, seed):
    found, reasons = similar(ragged, seed, k=6)
    rows = []
    for video_id in found.index:
        for m in MODALITIES:
            if seed not in segments[m] or video_id not in segments[m]: continue
            cosines = segments[m][seed]@segments[m][video_id].T
            i, j = np.unravel_index(cosines.argmax(), cosines.shape)
            one, other = segments_of(seed)[i], segments_of(video_id)[j]
            rows.append((video_id, m, one.start, other.start, other.length, pytest.approx(cosines.max(), abs=1e-5)))
    assert list(reasons.itertuples(index=False, name=None))==rows

def test_similarities_in_any_order(ragged, segments):
    ids = ['late', 'no_audio', 'c03', 'no_video', 'a_unlabelled']
    for by in (*MODALITIES, 'joint'):
        found = similarities(ragged, ids, by, .3)
        for (i, j), value in np.ndenumerate(found):
            expected = cosine(segments, ids[i], ids[j], by, .3)
            assert np.isnan(value) if expected is None else value==pytest.approx(expected, abs=1e-5)

def test_videos_outside_the_build_are_unknown(ragged):
    for video_id in ('b_entered', 'z_unbuilt'):
        with pytest.raises(UnknownId, match='neither an id'): similar(ragged, video_id)

# Likes

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

# Music for a clip

def test_the_shorter_of_two_stays_within_the_other():
    "The fit of each window of a clip is 1, 2, 4 or 8; two of its four seconds fit into the video"
    similarity = np.array([1., 2, 4, 8])[:, None].repeat(2, axis=1)
    lags, scores = align(similarity, np.arange(4.), np.arange(2.), 4., 2., step=1.)
    assert (lags.tolist(), scores.tolist())==([0, -1, -2], [1.5, 3, 6])
    lags, scores = align(similarity.T, np.arange(2.), np.arange(4.), 2., 4., step=1.)
    assert (lags.tolist(), scores.tolist())==([0, 1, 2], [1.5, 3, 6])

def test_fit_between_windows_is_interpolated():
    lags, scores = align(np.array([[0., 1]]), np.zeros(1), np.array([0., 2]), 1., 3., step=.5)
    assert (lags.tolist(), scores.tolist())==([0, .5, 1, 1.5, 2], [0, .25, .5, .75, 1])

@pytest.mark.parametrize('seed, modality', [('c06', 'audio'), ('a_unlabelled', 'video'), ('c00', 'audio')])
def test_a_stretch_against_every_video(ragged_model, seed, modality):
    "Stretches of one to five windows, longer and shorter than the videos"
    build, wanted = ragged_model.build, 'video' if modality=='audio' else 'audio'
    windows, feats = segments_of(seed), features_of(seed)[ENCODERS[modality]].astype(np.float32)
    stretch = Stretch(modality, np.array([o.start for o in windows])-windows[0].start, feats, 12.)
    found = match_stretch(ragged_model, stretch, ListRules(k=30, with_copies=True), exclude=(seed,))
    assert sorted(found.index)==sorted(o for o in BUILT if o not in (seed, f'no_{wanted}'))
    query = build.embed({build.columns[modality]: feats}, stretch.starts)[modality]
    ours, durations = build.embed_segments(modality, feats), metadata().set_index('video_id').duration
    for video_id, row in found.iterrows():
        theirs = features_of(video_id)[ENCODERS[wanted]].astype(np.float32)
        cosines = ours@build.embed_segments(wanted, theirs).T
        end = segments_of(video_id)[-1].start+segments_of(video_id)[-1].length
        duration = np.nanmax([durations[video_id], end])
        starts = np.array([o.start for o in segments_of(video_id)])
        lags, fit = align(cosines, stretch.starts, starts, 12., duration)
        best = lags[fit.argmax()]
        assert row.fit==pytest.approx(fit.max(), abs=1e-5) and row.length==min(12., duration)
        assert (row.start, row.from_start)==(max(best, 0), max(-best, 0))
        position = build.rows.get_loc(video_id)
        assert row.score==pytest.approx(build.embeddings[wanted][position]@query, abs=1e-5)
    assert found.score.is_monotonic_decreasing and len(windows)==dict(c06=5, a_unlabelled=1, c00=2)[seed]

# Words

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
