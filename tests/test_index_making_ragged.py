"Builds of an irregular index against their definition, and what has no part in them"
import numpy as np
import pytest
from ragged import BUILT, COLUMNS, ENCODERS, STORED, features_of, made_features, many_videos, save_model, segments_of
from ragged import unit
from mvrep.core import MODALITIES

def embed(feats, scale):
    "Mean of the standardised segments of unit norm, of unit norm"
    return unit(sum(unit((row-scale.mean)/scale.std) for row in feats))

def has(video_id, modality): return video_id!=f'no_{modality}'

@pytest.mark.parametrize('modality', MODALITIES)
def test_the_scale_knows_what_was_there_when_it_was_fitted(ragged, modality):
    "Not `late`, which came after it, and not `z_unbuilt`"
    fitted_on = [feats for o, feats in made_features(ragged, modality).items() if o!='late']
    rows, scale = np.concatenate(fitted_on), ragged.build.scale[modality]
    np.testing.assert_allclose(scale.mean, rows.mean(0), rtol=1e-6)
    np.testing.assert_allclose(scale.std, rows.std(0), rtol=1e-6)
    assert ragged.build.fitted_on[modality]==len(fitted_on)==len(BUILT)-2

@pytest.mark.parametrize('modality', MODALITIES)
def test_embeddings_are_in_the_order_of_the_build(ragged, modality):
    for row, video_id in enumerate(BUILT):
        found, made = ragged.build.embeddings[modality][row], made_features(ragged, modality).get(video_id)
        expected = np.zeros(ENCODERS[modality].dim) if made is None else embed(made, ragged.build.scale[modality])
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert ragged.build.has[modality][row]==has(video_id, modality)

def test_a_new_build_has_everything_in_the_order_of_ids(own_ragged):
    assert own_ragged.make_build() and list(own_ragged.build.video_ids)==STORED
    rows = np.concatenate([features_of(o)[ENCODERS['video']] for o in STORED if o!='no_video'])
    np.testing.assert_allclose(own_ragged.build.scale['video'].mean, rows.mean(0), rtol=1e-6)
    assert own_ragged.build.fitted_on==dict.fromkeys(MODALITIES, len(STORED)-1)

def test_the_features_of_one_video_change_no_other(own_ragged):
    "Another version of `late` on the old scale: all other embeddings are the same, bit for bit"
    before = own_ragged.build
    own_ragged.store.put('late', segments_of('c09'), 'second', features_of('c09'))
    assert own_ragged.make_build(refit=False)
    after = own_ragged.build
    assert list(after.video_ids)==[*BUILT[:-1], 'late', 'z_unbuilt']
    for m in MODALITIES:
        np.testing.assert_array_equal(after.embeddings[m][:-2], before.embeddings[m][:-1])
        np.testing.assert_array_equal(after.scale[m].to_array(), before.scale[m].to_array())
        np.testing.assert_allclose(after.query('late')[m], after.query('c09')[m], atol=1e-6)

def test_what_was_made_of_half_of_the_videos_is_made_again(own_ragged):
    "19 videos have each modality when the scale is fitted: it does for 38, but not for 39"
    n_fitted = len(BUILT)-2
    own_ragged.remove(['z_unbuilt', 'late'])
    keys, feats = many_videos(n_fitted+1)
    first = keys.video_id!=keys.video_id.iloc[-1]
    own_ragged.store.append(keys[first], {e: x[first] for e, x in feats.items()})
    assert own_ragged.make_build(refit=False) and own_ragged.build.fitted_on['audio']==n_fitted
    own_ragged.store.append(keys[~first], {e: x[~first] for e, x in feats.items()})
    assert own_ragged.make_build(refit=False) and own_ragged.build.fitted_on['audio']==2*n_fitted+1

def test_videos_that_replace_others_were_not_in_the_scale(own_ragged):
    "Twenty videos leave and twenty come: their number is the same, but the scale was fitted on hardly any of them"
    own_ragged.remove([o for o in BUILT if o not in ('c01', 'late')])
    assert own_ragged.build.fitted_on==dict(audio=1, video=1)
    keys, feats = many_videos(len(BUILT)-2)
    own_ragged.store.append(keys, feats)
    assert own_ragged.make_build(refit=False)
    assert own_ragged.build.fitted_on==dict.fromkeys(MODALITIES, len(own_ragged))

def test_more_than_one_block_of_videos(own_ragged):
    "A model that reads the order of the segments embeds each of 1,200 videos as it embeds it alone"
    keys, feats = many_videos(1200)
    own_ragged.store.append(keys, feats)
    save_model(own_ragged, 'track')
    own_ragged.make_build()
    build = own_ragged.build
    assert len(build)==len(STORED)+1200
    for video_id in ('c01', 'zz00000', 'zz01001', 'zz01199'):
        rows = np.flatnonzero(keys.video_id==video_id)
        starts = keys.start.to_numpy()[rows] if len(rows) else np.array([o.start for o in segments_of(video_id)])
        for modality, encoder in ENCODERS.items():
            x = (feats[encoder][rows] if len(rows) else features_of(video_id)[encoder]).astype(np.float32)
            alone = build.embed({COLUMNS[modality]: x}, starts)[modality]
            np.testing.assert_allclose(build.query(video_id)[modality], alone, atol=1e-5)
            late = build.embed({COLUMNS[modality]: x}, starts+30)[modality]
            assert np.abs(late-alone).max()>1e-3 # the moment counts
