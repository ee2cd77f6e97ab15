"The build of an irregular index against its definition, and what has no part in it"
import numpy as np
import pytest
from ragged import BUILT, COLUMNS, ENCODERS, ENTERED, STORED, features_of, made_features, many_videos, metadata
from ragged import n_segments, put_features, save_model, segments_of
from mvrep.core import MODALITIES, UnknownId
from mvrep.index.build import Query
from mvrep.index.index import Index
from mvrep.index.info import index_info
from mvrep.index.segments import open_segments

def unit(x): return x/np.linalg.norm(x)

def embed(feats, scale):
    "Mean of the standardised segments of unit norm, of unit norm"
    return unit(sum(unit((row-scale.mean)/scale.std) for row in feats))

def has(video_id, modality): return video_id!=f'no_{modality}'

# Builds

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

# Searches

def cosine(build, query, video_id, weights):
    "Cosine of concatenated embeddings; None if they have no modality in common"
    row = BUILT.index(video_id)
    parts, both = [], False
    for m, weight in weights.items():
        other = build.embeddings[m][row] if build.has[m][row] else None
        both |= query[m] is not None and other is not None
        missing = np.zeros(build.embeddings[m].shape[1])
        parts.append([weight**.5*(missing if o is None else o) for o in (query[m], other)])
    one, two = (np.concatenate(o) for o in zip(*parts))
    return unit(one)@unit(two) if both else None

WEIGHTS = [('audio', .5, dict(audio=1)), ('video', .5, dict(video=1)), ('joint', .5, dict(audio=.5, video=.5)),
           ('joint', .1, dict(audio=.1, video=.9)), ('joint', 1, dict(audio=1))]

@pytest.mark.parametrize('by, weight, weights', WEIGHTS)
@pytest.mark.parametrize('seed', ['c03', 'no_audio', 'no_video'])
def test_a_search_against_its_definition(ragged, seed, by, weight, weights):
    build = ragged.build
    query = build.query(seed)
    expected = {o: cosine(build, query, o, weights) for o in BUILT if o!=seed}
    expected = {o: score for o, score in expected.items() if score is not None}
    order = sorted(expected, key=lambda o: (-expected[o], o))
    found = ragged.search(query, 40, by, weight=weight, exclude=(seed,))
    assert list(found.index)==order and found.score.to_dict()==pytest.approx(expected, abs=1e-5)
    scores = build.scores(query, by, weight).score.drop(seed).dropna()
    assert scores.to_dict()==pytest.approx(expected, abs=1e-5)
    assert list(ragged.search(query, 3, by, weight=weight, exclude=(seed,)).index)==order[:3]
    for m in MODALITIES:
        either = query[m] is None or not has(seed, m)
        known = [None if either or not has(o, m) else cosine(build, query, o, {m: 1}) for o in order]
        np.testing.assert_allclose(found[m], np.array(known, float), atol=1e-5)

def test_many_queries_of_all_kinds(ragged):
    build = ragged.build
    queries = [build.query(o) for o in BUILT]+[Query(None, None)]
    together = build.search_many(queries, 4, exclude=[[o] for o in BUILT]+[[]])
    for query, video_id, found in zip(queries, BUILT, together):
        assert found.equals(build.search(query, 4, exclude=(video_id,))) and len(found)==4
    assert together[-1].empty

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

@pytest.mark.parametrize('by', ['joint', 'audio'])
def test_hubs_are_counted_among_videos_that_can_be_compared(ragged, by):
    rows = [i for i, o in enumerate(BUILT) if has(o, 'audio') and (by=='audio' or has(o, 'video')) and o!='c05']
    modalities = ['audio'] if by=='audio' else MODALITIES
    x = np.concatenate([ragged.build.embeddings[m][rows] for m in modalities], axis=1)
    cosines = x@x.T
    np.fill_diagonal(cosines, -np.inf)
    lists = np.argsort(-cosines, axis=1)[:, :3]
    count = np.bincount(lists.ravel(), minlength=len(rows))
    found = ragged.build.hubness(by, 3, allowed=np.array([o!='c05' for o in BUILT]))
    assert (found['pool'], found['never'])==(len(rows), pytest.approx((count==0).mean()))
    assert found['largest']==pytest.approx(count.max()/(len(rows)-1))
    assert found['chance_never']==pytest.approx((1-3/(len(rows)-1))**(len(rows)-1))
    few = ragged.build.hubness(by, 3, max_videos=10, seed=5)
    assert (few['pool'], few['seed'], few['by'])==(10, 5, by)

def test_hubs_need_more_videos_than_places(ragged):
    "18 videos have both modalities"
    assert ragged.build.hubness('joint', 18, seed=3)==dict(by='joint', seed=3)
    assert ragged.build.hubness('joint', 17)['pool']==18

# Segments

@pytest.mark.parametrize('by, in_memory', [('audio', True), ('audio', False), ('video', True), ('video', False)])
def test_the_nearest_segments_of_other_videos(ragged, by, in_memory):
    vectors, scale = {}, ragged.build.scale[by]
    for video_id, feats in made_features(ragged, by).items():
        for segment, row in zip(segments_of(video_id), feats):
            vectors[f'{video_id}_{segment.index}'] = unit((row-scale.mean)/scale.std)
    searched = open_segments(ragged, by, in_memory)
    assert len(searched.keys)==sum(map(n_segments, BUILT)) and searched.most==5
    for query in ('c02_1', 'late_4', 'a_unlabelled_0'):
        own = query.rpartition('_')[0]
        expected = {o: vectors[query]@x for o, x in vectors.items() if o.rpartition('_')[0]!=own}
        order = sorted(expected, key=lambda o: -expected[o])
        (rows, scores), = searched.search([query], k=7)
        assert list(searched.keys.index[rows])==order[:7]
        assert scores==pytest.approx([expected[o] for o in order[:7]], abs=1e-5)
        (rows, _), = searched.search([query], k=7, one_per_video=True)
        videos = list(dict.fromkeys(o.rpartition('_')[0] for o in order))
        assert list(searched.keys.video_id.iloc[rows])==videos[:7]
    lacking, = searched.search([f'no_{by}_0'])
    assert len(lacking[0])==0

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
