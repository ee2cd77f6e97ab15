"Further spaces of an index: searched by name, kept with builds, made for later videos, left out where they do not fit"
import shutil
import numpy as np
import pandas as pd
import pytest
from mvrep.encoders.registry import Encoder
from mvrep.explore.tsne import map_vectors
from mvrep.index.index import Index, create_index, restore_build
from mvrep.index.spaces import check_space_name
from mvrep.learning.fusion_networks import make_fusion_net
from mvrep.learning.item_encoder import ItemEncoder, load_item_encoder
from mvrep.learning.synthetic import SyntheticNetwork
from mvrep.media.segments import Segment
from mvrep.recommendation.likes import recommend
from mvrep.recommendation.neighbours import similar

COLUMNS = dict(audio='loudness', video='colour')
ENCODERS = Encoder('loudness', 'audio', SyntheticNetwork(6)), Encoder('colour', 'video', SyntheticNetwork(4))

def add(index, ids, lacking=()):
    "Videos of random features; those in `lacking` have neither audio nor video"
    rng = np.random.default_rng([len(index), len(ids)])
    index.put_videos(pd.DataFrame([dict(video_id=o, path=f'{o}.mp4', genre='rock') for o in ids]))
    for o in ids:
        feats = {e: None if o in lacking else rng.normal(size=(2, e.dim)) for e in ENCODERS}
        index.store.put(o, [Segment(0, 0., 5.), Segment(1, 5., 5.)], '', feats)

def encoder(seed=0, columns=COLUMNS, fusion='simple'):
    import torch
    torch.manual_seed(seed)
    dims = dict(audio=6, video=4)
    return ItemEncoder(make_fusion_net({m: dims[m] for m in columns}, fusion, 8), columns, fusion, dict(seed=seed))

@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "Folder of an index of four videos, not to be changed"
    index = create_index(tmp_path_factory.mktemp('spaces')/'ix', ('loudness', 'colour'), COLUMNS)
    for o in ENCODERS: index.store.add_column(o)
    add(index, 'abcd', lacking='d')
    index.make_build()
    return index.folder

@pytest.fixture
def index(made, tmp_path): return Index(shutil.copytree(made, tmp_path/'ix'))

# By name

def test_search_compares_the_vectors_of_the_space(index):
    index.put_space('taste', encoder())
    space = index.build.spaces['taste']
    assert space.has.tolist()==[True]*3+[False]
    found = index.search(index.build.query('a'), by='taste', exclude=('a',))
    want = space.embeddings@space.embeddings[0]
    np.testing.assert_allclose(found.score, want[index.build.rows.get_indexer(found.index)], atol=1e-5)
    assert set(found.index)=={'b', 'c'} and found.score.is_monotonic_decreasing
    assert index.build.scores(index.build.query('a'), 'taste').score.isna().tolist()==[False]*3+[True]
    assert index.search(index.build.query('d'), by='taste').empty # it has no vector

def test_lists_and_reasons_by_a_space(index):
    index.put_space('taste', encoder())
    found, reasons = similar(index, 'a', by='taste', k=2, diversity=.5)
    assert sorted(found.index)==['b', 'c'] and set(reasons.modality)=={'audio', 'video'}
    assert sorted(recommend(index, ['a'], ['b'], by='taste').index)==['c']
    for video_id, by, error in (('d', 'taste', 'd has nothing that the space taste'), ('a', 'tast', "by='tast': want")):
        with pytest.raises(ValueError, match=error): similar(index, video_id, by=by)

def test_conditions_hold_in_a_space_and_cells_are_refused(index):
    index.put_space('taste', encoder())
    assert index.search(index.build.query('a'), by='taste', where="video_id = 'b'").index.tolist()==['b']
    with pytest.raises(ValueError, match='no approximate search'):
        index.build.search(index.build.query('a'), by='taste', approximate=True)

# Kept with builds

def test_other_embeddings_stay_the_same_bits(index):
    before = {m: np.array(o) for m, o in index.build.embeddings.items()}
    index.put_space('taste', encoder())
    for m, o in before.items(): np.testing.assert_array_equal(index.build.embeddings[m], o)
    assert index.build.number==2 and not index.make_build(refit=False)

def test_later_videos_are_embedded_and_the_others_stay(index):
    index.put_space('taste', encoder())
    before = np.array(index.build.spaces['taste'].embeddings)
    add(index, 'ef')
    index.make_build(refit=False)
    after = index.build.spaces['taste']
    np.testing.assert_array_equal(after.embeddings[:4], before)
    assert after.has.tolist()==[True]*3+[False, True, True]
    np.testing.assert_allclose(np.linalg.norm(after.embeddings[4:], axis=1), 1, atol=1e-5)
    feats = {c: index.store.read(c, ['e'])[1] for c in COLUMNS.values()} # as those of a file that is not in the index
    query = index.build.embed(feats)
    np.testing.assert_allclose(query.spaces['taste'], after.embeddings[4], atol=1e-5)

def test_removed_videos_leave_the_space(index):
    index.put_space('taste', encoder())
    kept = np.array(index.build.spaces['taste'].embeddings[1:])
    index.remove(['a'])
    np.testing.assert_array_equal(index.build.spaces['taste'].embeddings, kept)
    assert Index(index.folder).search(index.build.query('b'), by='taste').index.tolist()[0]=='b'

def test_rollback_takes_spaces_back_and_forth(index):
    index.put_space('taste', encoder())
    index.put_space('mood', encoder(1))
    assert sorted(index.build.spaces)==sorted(index.space_files)==['mood', 'taste']
    index.rollback(1)
    assert not index.build.spaces and not index.space_files
    index.rollback(2)
    assert list(index.build.spaces)==list(index.space_files)==['taste'] and not index.make_build(refit=False)
    assert restore_build(index.folder, 3).build.spaces['mood'].encoder.origin==dict(seed=1)

def test_another_network_replaces_the_space(index):
    index.put_space('taste', encoder())
    before = np.array(index.build.spaces['taste'].embeddings)
    index.put_space('taste', encoder(1))
    assert not np.allclose(before, index.build.spaces['taste'].embeddings) and index.build.number==3

def test_a_damaged_space_is_named(index):
    index.put_space('taste', encoder())
    folder = index.builds_folder/'0002'
    for name in ('space-taste.npy', 'space-taste.safetensors'):
        broken = index.folder.parent/name
        shutil.copytree(index.folder, broken)
        path = broken/'index'/folder.name/name
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.unlink() # it may be linked
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f'{name}.*rollback'): Index(broken).build.spaces['taste'].embeddings.sum()

# What does not fit

def test_a_space_of_other_columns_is_left_out_with_a_warning(index):
    other = encoder(columns=dict(audio='loudness', video='motion'))
    with pytest.raises(ValueError, match='space taste: it was trained on motion of width 4'):
        index.put_space('taste', other)
    assert not index.space_files
    other.save(index.model_file.with_name('space-taste.safetensors'))
    with pytest.warns(UserWarning, match='space taste is left out: it was trained on motion of width 4'):
        index.make_build(refit=False)
    assert not index.build.spaces and len(index)==4

def test_other_files_beside_the_model_are_no_spaces(index):
    index.put_space('taste', encoder())
    folder = index.model_file.parent
    for name in ('old.safetensors', '.tmp-x.safetensors'): (folder/name).write_bytes(b'not a space')
    index.put_space('mood', encoder())
    index.rollback()
    assert list(index.build.spaces)==list(index.space_files)==['taste']
    assert (folder/'old.safetensors').is_file() and not (folder/'space-mood.safetensors').exists()

@pytest.mark.parametrize('name', ['audio', 'joint', 'model', 'text', '', 'Two Words', '../x', 'a'*50])
def test_names_of_spaces(name):
    with pytest.raises(ValueError, match='want up to 41 small letters'): check_space_name(name)

def test_a_wrong_name_changes_nothing(index):
    with pytest.raises(ValueError, match='want up to 41'): index.put_space('audio', encoder())
    assert index.build.number==1 and not index.model_file.parent.exists()

@pytest.mark.parametrize('change', [
    lambda o: b'', lambda o: b'nonsense', lambda o: o[:-4], lambda o: o.replace(b'"simple', b'"simpel'),
    lambda o: o.replace(b'item_encoder', b'item_encodes')])
def test_other_files_are_not_networks(tmp_path, change):
    encoder().save(tmp_path/'net.safetensors')
    content = (tmp_path/'net.safetensors').read_bytes()
    (tmp_path/'net.safetensors').write_bytes(change(content))
    with pytest.raises(ValueError, match='is not a network of this version of mvrep, train it again'):
        load_item_encoder(tmp_path/'net.safetensors')

def test_a_network_is_saved_with_all_it_needs(tmp_path):
    net = make_fusion_net(dict(text=5, audio=6), 'hybrid', 8, n_languages=3, has_year=True)
    ItemEncoder(net, dict(text='words', audio='loudness'), 'hybrid').save(tmp_path/'net.safetensors')
    loaded = load_item_encoder(tmp_path/'net.safetensors')
    x = dict(words=[np.ones((2, 5)), np.full((1, 5), np.nan)], loudness=[np.ones((0, 6)), np.ones((1, 6))])
    emb = loaded.embed(x)
    assert emb.shape==(2, 8) and np.allclose(np.linalg.norm(emb, axis=1), 1, atol=1e-5)
    assert loaded.net.towers['text'].languages.num_embeddings==4 and loaded.net.towers['text'].has_year

# Maps

def test_maps_of_a_space(index):
    index.put_space('taste', encoder())
    keys, vectors = map_vectors(index, 'taste')
    assert keys.video_id.tolist()==['a', 'b', 'c']
    np.testing.assert_allclose(vectors, index.build.spaces['taste'].embeddings[:3])
    keys, vectors = map_vectors(index, 'taste', 'segment') # each segment as if it were a video
    assert len(keys)==len(vectors)==6 and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="by='smell': want one of audio, video, joint, taste, "):
        map_vectors(index, 'smell')
