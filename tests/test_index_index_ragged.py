"An irregular index: conditions, order of the metadata, removals, info, and a build that is replaced while it is read"
import numpy as np
import pytest
from ragged import BUILT, ENCODERS, ENTERED, STORED, metadata, n_segments, put_features
from mvrep.core import MODALITIES, UnknownId
from mvrep.index.index import Index
from mvrep.index.info import index_info

@pytest.mark.parametrize('where', ["genre = 'loud'", 'genre IS NULL', "video_id IN ('b_entered', 'z_unbuilt')",
                                   "video_id >= 'late'", "artist LIKE '%Artist 4%'"])
def test_a_condition_marks_videos_of_the_build_only(ragged, where):
    table = metadata().set_index('video_id')
    meets = {
        "genre = 'loud'": table.genre=='loud', 'genre IS NULL': table.genre.isna(),
        "video_id IN ('b_entered', 'z_unbuilt')": table.index.isin(['b_entered', 'z_unbuilt']),
        "video_id >= 'late'": table.index>='late',
        "artist LIKE '%Artist 4%'": table.artist.fillna('').str.contains('Artist 4')}[where]
    expected = set(table.index[meets])
    assert ragged.filter(where).tolist()==[o in expected for o in BUILT]
    found = ragged.search(ragged.build.query('c03'), 40, where=where)
    assert set(found.index)==expected&set(BUILT)

def test_metadata_in_the_order_of_the_build(ragged):
    table = metadata().set_index('video_id')
    assert list(ragged.videos.index)==BUILT
    for column in ('title', 'artist', 'genre', 'duration'):
        assert ragged.videos[column].astype(object).where(ragged.videos[column].notna(), None).tolist()==\
            table[column].astype(object).where(table[column].notna(), None).loc[BUILT].tolist()

def test_unknown_videos(ragged):
    for video_id in ('b_entered', 'z_unbuilt', 'nothing'):
        with pytest.raises(UnknownId, match=f'no video .{video_id}. in build 2'): ragged.build.query(video_id)

# What an index holds

def test_info_by_hand(ragged):
    info, table = index_info(ragged), metadata().set_index('video_id')
    assert (info.videos, info.with_audio, info.with_video)==(20, 19, 19)
    assert info.segments==sum(map(n_segments, STORED)) and (info.copies, info.failed, info.removed)==(1, 0, 0)
    assert info.without_file==len(ENTERED) and info.silent_audio==()
    assert info.hours==pytest.approx(table.duration[BUILT].sum()/3600, abs=5e-4)
    names = {str(o).split(' ft.')[0] for o in table.artist[BUILT] if isinstance(o, str)}
    assert (info.artists, info.genres)==(len(names), 2)
    assert info.hubness['pool']==17 and info.made_by==tuple(sorted(o.made_by for o in ENCODERS.values()))

def test_removing_leaves_the_rest_in_order(own_ragged):
    before = own_ragged.build
    own_ragged.remove(['c00', 'no_audio', 'z_unbuilt', 'b_entered'])
    stays = [o for o in BUILT if o not in ('c00', 'no_audio')]
    after = Index(own_ragged.folder)
    assert list(after.build.video_ids)==stays and list(after.videos.index)==stays
    assert sorted(after.store.done().index)==sorted(stays)
    assert sorted(after.metadata_table.to_pandas().video_id)==sorted(stays)
    rows = [BUILT.index(o) for o in stays]
    for m in MODALITIES: np.testing.assert_array_equal(after.build.embeddings[m], before.embeddings[m][rows])
    put_features(after, ['c00']) # comes back
    after.put_videos(metadata().query("video_id == 'c00'"))
    assert after.make_build(refit=False) and after.build.video_ids[-1]=='c00'
    np.testing.assert_allclose(after.build.query('c00').audio, before.query('c00').audio, atol=1e-6)

# A build that is replaced while it is read

def test_a_build_that_is_replaced_while_it_is_read_is_read_again(own_ragged, monkeypatch):
    writer, read = Index(own_ragged.folder), Index._read
    def replaced_meanwhile(self, number):
        if number==2:
            monkeypatch.setattr(Index, '_read', read)
            writer.make_build()
            raise FileNotFoundError('ids.json')
        return read(self, number)
    monkeypatch.setattr(Index, '_read', replaced_meanwhile)
    own_ragged.reload()
    assert own_ragged.build.number==3 and list(own_ragged.build.video_ids)==STORED

def test_a_build_that_stays_damaged_is_an_error(own_ragged, monkeypatch):
    def gone(self, number): raise FileNotFoundError('ids.json')
    monkeypatch.setattr(Index, '_read', gone)
    with pytest.raises(ValueError, match='0002 is damaged .ids.json.: .* --to 1. returns to build 1'):
        own_ragged.reload()
