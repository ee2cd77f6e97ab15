"The irregular index is as irregular as its description says"
import numpy as np
import pandas as pd
from ragged import BUILT, COLUMNS, ENCODERS, ENTERED, STORED, features_of, segments_of
from mvrep.index.index import Index

def test_orders_differ(ragged):
    assert list(ragged.build.video_ids)==BUILT and BUILT!=sorted(BUILT)
    assert list(ragged.store.done().index.sort_values())==STORED
    assert sorted(ragged.metadata_table.to_pandas().video_id)==ENTERED
    assert pd.isna(ragged.videos.genre.iloc[0]) and ragged.videos.genre.iloc[1:].notna().all()

def test_modalities_are_missing(ragged):
    lacking = {m: list(ragged.build.video_ids[~has]) for m, has in ragged.build.has.items()}
    assert lacking==dict(audio=['no_audio'], video=['no_video'])

def test_features_are_stored_as_they_were_made(ragged):
    keys = ragged.store.keys()
    for video_id in STORED:
        assert list(keys.start[keys.video_id==video_id])==[o.start for o in segments_of(video_id)]
        for modality, column in COLUMNS.items():
            stored = np.asarray(ragged.store.matrix(column))[keys.video_id==video_id]
            made = features_of(video_id)[ENCODERS[modality]]
            expected = np.full(stored.shape, np.nan) if made is None else made
            np.testing.assert_allclose(stored, expected, rtol=1e-6)

def test_model_embeds_the_same_videos(ragged_model):
    assert ragged_model.model_name and list(ragged_model.build.video_ids)==BUILT
    lacking = {m: list(ragged_model.build.video_ids[~has]) for m, has in ragged_model.build.has.items()}
    assert lacking==dict(audio=['no_audio'], video=['no_video'])

def test_a_copy_can_be_changed(ragged, own_ragged):
    own_ragged.remove(['c00'])
    assert len(own_ragged)==len(BUILT)-1 and len(Index(ragged.folder))==len(BUILT)
