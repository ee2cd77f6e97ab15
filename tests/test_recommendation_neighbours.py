"Similar videos of an irregular index against their definition, one pair at a time"
import numpy as np
import pytest
from ragged import BUILT, cosine, metadata, segments_of, unit_segments
from mvrep.core import MODALITIES, UnknownId
from mvrep.corpus.names import artist_key
from mvrep.recommendation.neighbours import similar, similarities

@pytest.fixture(scope='module')
def segments(ragged): return unit_segments(ragged)

def ranked(segments, seed, by='joint', weight=.5):
    "All videos of the build that can be compared with a seed, best first"
    scores = {o: cosine(segments, seed, o, by, weight) for o in BUILT if o!=seed}
    return sorted([o for o, score in scores.items() if score is not None], key=lambda o: (-scores[o], o))

@pytest.mark.parametrize('by, weight', [('joint', .5), ('joint', .2), ('audio', .5), ('video', .5)])
@pytest.mark.parametrize('seed', ['a_unlabelled', 'c07', 'no_audio', 'late'])
def test_similar_videos(ragged, segments, seed, by, weight):
    if by=='audio' and seed=='no_audio':
        with pytest.raises(ValueError, match='no_audio has no audio'): similar(ragged, seed, by)
        return
    found = similar(ragged, seed, by, weight, k=30, with_copies=True)[0]
    compared = 'video' if seed=='no_audio' else by # a query without audio is compared by video alone
    assert list(found.index)==ranked(segments, seed, compared, weight)
    expected = [cosine(segments, seed, o, compared, weight) for o in found.index]
    assert found.score.to_numpy()==pytest.approx(expected, abs=1e-5)
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
