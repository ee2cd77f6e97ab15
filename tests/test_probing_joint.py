"Joint embeddings as inputs of probes: no test video has helped to make its own embedding"
from dataclasses import replace
from types import SimpleNamespace
import numpy as np
import pytest
from mvrep.learning import recipes
from mvrep.learning.config import RECIPES
from mvrep.learning.synthetic import synthetic_store
from mvrep.probing.cross_validation import LearnedInputs, Protocol, cross_validate
from mvrep.probing.index import probe_index
from mvrep.probing.joint import JOINT_INPUTS, embed_all, joint_inputs, refitted_inputs, split_around, trained_inputs

QUICK = Protocol('knn', n_seeds=1)
N = 60
ARTISTS = [f'artist {i//3}' for i in range(N)]
TRUTH = np.random.default_rng(0).random(N)<.5
VALUES = np.where(TRUTH, 'calm', 'loud').tolist()
NOTHING = np.zeros(N, bool)

def memorise(held_out, seed):
    "The class of every video that is not held out, and noise for the others"
    feats = np.random.default_rng(seed).normal(size=(N, 2))
    feats[~held_out] = np.c_[TRUTH, ~TRUTH][~held_out]
    return dict(memory=feats)

def probe_memory(make, seen=NOTHING, values=VALUES):
    feats = dict(frozen=np.random.default_rng(1).normal(size=(N, 4)))
    report = cross_validate(feats, values, ARTISTS, protocol=QUICK, learned=LearnedInputs(('memory',), make, seen))
    return report, {o['by']: o for o in report['results']}

# Learned inputs

def test_a_model_that_memorises_is_at_chance_if_it_is_made_without_the_fold():
    _, leaky = probe_memory(lambda held_out, seed: memorise(NOTHING, seed))
    assert leaky['memory']['accuracy']==1
    report, honest = probe_memory(memorise)
    assert honest['memory']['auc_low']<.5<honest['memory']['auc_high'] and honest['memory']['n']==N
    assert not any('learned' in o for o in report['notes'])

def test_videos_without_a_label_are_held_out_with_their_artist():
    held = []
    def make(held_out, seed):
        held.append(held_out)
        return memorise(held_out, seed)
    probe_memory(make, values=[None if i%3==0 else o for i, o in enumerate(VALUES)])
    assert len(held)==5 and (np.sum(held, 0)==1).all() # each video once, those without a label too
    for o in held: assert (o.reshape(-1, 3).all(1)==o.reshape(-1, 3).any(1)).all()

def test_videos_of_artists_that_a_model_has_seen_do_not_count():
    seen = NOTHING.copy()
    seen[:30:3] = True # one video of each of ten artists
    report, rows = probe_memory(lambda held_out, seed: memorise(np.arange(N)>=30, seed), seen)
    assert (rows['memory']['n'], rows['frozen']['n'])==(30, N)
    assert rows['memory']['auc_low']<.5<rows['memory']['auc_high']
    assert {o['n'] for o in report['differences']}=={30}
    note = 'memory: their model has learned from artists of 30 of these 60 videos, so that only the other 30 count'
    assert note in report['notes'] and not any('missing' in o for o in report['notes'])
    assert report['doubtful_by']=='frozen'

def test_a_model_that_has_seen_every_artist_is_left_out():
    report, rows = probe_memory(memorise, NOTHING | (np.arange(N)%3==1))
    assert list(rows)==['frozen'] and not report['differences']
    assert 'memory: left out, their model has learned from all artists' in report['notes']

# Joint embeddings

def test_a_video_with_one_modality_has_the_embedding_of_that_one():
    nan = np.nan
    found = joint_inputs(np.array([[1., 0], [nan, nan], [0, 1]]), np.array([[0., 1], [0, 1], [nan, nan]]))
    assert tuple(found)==JOINT_INPUTS
    np.testing.assert_array_equal(found['joint_both'], [[.5, .5], [0, 1], [0, 1]])
    np.testing.assert_array_equal(found['joint_audio'][1], [nan, nan])

def index_of(folder, n=40):
    store, videos = synthetic_store(folder, n=n)
    columns, video_ids = dict(audio='audio', video='video'), videos.index.to_numpy()
    build = SimpleNamespace(video_ids=video_ids, columns=columns, model=None)
    return SimpleNamespace(folder=folder, store=store, videos=videos, build=build)

@pytest.fixture(scope='module')
def index(tmp_path_factory): return index_of(tmp_path_factory.mktemp('joint'))

def test_the_training_and_validation_parts_of_an_index_are_seen():
    ids, embs = np.array(['a', 'b', 'c', 'd']), dict.fromkeys(('audio', 'video'), np.eye(4))
    def inputs(origin):
        build = SimpleNamespace(video_ids=ids, has=dict.fromkeys(embs, np.array([1, 1, 0, 1], bool)), embeddings=embs,
                                model=SimpleNamespace(origin=origin))
        return trained_inputs(SimpleNamespace(build=build))
    found = inputs(SimpleNamespace(split=dict(a='train', b='valid', c='test')))
    assert found.seen.tolist()==[True, True, False, False]
    assert np.isnan(found.make(None, 0)['joint_audio']).any(1).tolist()==[False, False, True, False]
    assert inputs(None).seen.all() # nothing is known of its training

def test_no_artist_is_in_two_parts():
    held_out = np.isin(ARTISTS, ARTISTS[:9])
    split = split_around(ARTISTS, held_out, seed=3)
    assert ((split=='test')==held_out).all() and set(split)=={'train', 'valid', 'test'}
    assert not set(np.array(ARTISTS)[split=='valid']) & set(np.array(ARTISTS)[split=='train'])
    with pytest.raises(ValueError, match='1 artist to train on without a fold: want at least 2'):
        split_around(['a', 'b'], np.array([True, False]))

def test_a_fold_is_kept_out_of_its_joint_space(index, monkeypatch):
    splits = []
    def fit(data, config):
        splits.append(dict(zip(data.video_ids, data.split)))
        return SimpleNamespace(model=SimpleNamespace(
            embed_videos=lambda modality, feats, ids, starts: np.random.default_rng(0).normal(size=(len(set(ids)), 4))))
    monkeypatch.setattr(recipes, 'fit_in_memory', fit)
    report = probe_index(index, 'genre', protocol=QUICK, refit=True)
    def tested_in(split): return {o for o, part in split.items() if part=='test'}
    tested = [tested_in(o) for o in splits]
    assert len(splits)==5 and sorted(o for fold in tested for o in fold)==sorted(index.videos.index)
    for fold in tested: assert index.videos.artist[list(fold)].isin(index.videos.artist.drop(list(fold))).sum()==0
    assert {o['n'] for o in report['results']}=={40}
    compared = {(o['by'], o['than']) for o in report['differences']}
    assert compared>{('joint_both', 'concatenated'), ('both', 'joint_both')}

def test_a_space_for_one_fold_and_its_embeddings(index):
    config = replace(RECIPES['aligned'], max_epochs=1)
    held_out = index.videos.artist.isin(index.videos.artist.iloc[[0, -1]]).to_numpy()
    found = refitted_inputs(index, config).make(held_out, 0)
    assert {o.shape for o in found.values()}=={(40, config.embed_dim)} and not np.isnan(found['joint_both']).any()
    again = refitted_inputs(index, config).make(held_out, 0)
    np.testing.assert_array_equal(found['joint_audio'], again['joint_audio'])

def test_embeddings_are_in_the_order_of_the_videos_asked_for(index):
    model = SimpleNamespace(embed_videos=lambda modality, feats, ids, starts:
                            np.array([feats[ids==o].mean(0) for o in dict.fromkeys(ids)]))
    wanted = np.array([*index.videos.index[[7, 3]], 'new'])
    audio, _ = embed_all(model, index.store, index.build.columns, wanted)
    keys, feats = index.store.keys().video_id.to_numpy(), index.store.matrix('audio')
    np.testing.assert_allclose(audio[:2], [feats[keys==o].mean(0) for o in wanted[:2]], rtol=1e-5)
    assert np.isnan(audio[2]).all()
