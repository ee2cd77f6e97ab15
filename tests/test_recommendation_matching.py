"Music for a clip, and where it fits, against the definition"
import numpy as np
import pytest
from ragged import BUILT, ENCODERS, features_of, metadata, segments_of
from mvrep.recommendation.lists import ListRules
from mvrep.recommendation.matching import Stretch, align, match_stretch

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
