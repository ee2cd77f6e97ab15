"A recommender learned from ratings: arms differ in the loss alone, batches hold positives, runs continue"
from dataclasses import asdict, replace
import numpy as np
import pandas as pd
import pytest
import torch
from mvrep.learning.fusion_networks import ItemFeatures, embed_items, stack_items
from mvrep.learning.losses import Candidates
from mvrep.learning.margin_losses import TripletMarginLoss
from mvrep.recommendation.fusion_net import (
    ARMS, MARGINS, PUBLISHED_ARMS, FusionConfig, PairBatches, item_lists, make_margin_loss, measure_cold,
    pair_relations, train_fusion, TripletBatches)
from mvrep.recommendation.rating_pairs import make_pairs, make_triplets
from mvrep.recommendation.ratings import SimulatedUsers, simulate_ratings, split_by_item

ITEMS = [f'v{i:02d}' for i in range(48)]
KIND = np.arange(48)%4

@pytest.fixture(scope='module')
def features():
    "Items of four kinds; the kind is clear in the text, and noisy in audio and video"
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 6))
    def noisy(scale): return [centres[k]+scale*rng.normal(size=(2, 6)) for k in KIND]
    return stack_items(ITEMS, dict(video=noisy(.7), audio=noisy(1.), text=noisy(.1)))

@pytest.fixture(scope='module')
def task():
    "Split ratings, and pairs for training and validation"
    causes = pd.DataFrame(dict(genre=[f'g{k}' for k in KIND], x=np.random.default_rng(1).normal(size=48)), ITEMS)
    split = split_by_item(simulate_ratings(causes, SimulatedUsers(40, 10)), (.6, .2, .2))
    return split, *(make_pairs(o, causes.genre)[0] for o in (split.train, split.valid))

CONFIG = FusionConfig(fusion='simple', embed_dim=8, batch_size=16, lr=1e-3, plateau_patience=1, max_epochs=2)

# Arms

def test_arms_differ_in_the_loss_alone():
    for (loss, distance), config in zip(MARGINS, ARMS.values(), strict=True):
        assert asdict(config)==asdict(FusionConfig())|dict(loss=loss, distance=distance)
    published = [(o.fusion, o.lr) for o in PUBLISHED_ARMS.values()]
    assert len(set(published))>2 and list(PUBLISHED_ARMS)==list(ARMS)
    with pytest.raises(ValueError, match='no arm pair, manhattan: want one of pair, cosine'):
        make_margin_loss(FusionConfig(distance='manhattan'))

@pytest.mark.parametrize('arm', ARMS)
def test_losses_are_those_of_a_slow_loop(arm):
    config, rng = ARMS[arm], torch.Generator().manual_seed(0)
    emb = torch.nn.functional.normalize(torch.randn(10, 5, generator=rng), dim=1)
    relation = torch.randint(0, 3, (10, 10), generator=rng).triu(1) # 1: positive, 2: negative, 0: unknown
    relation = relation+relation.T
    cos, margin = emb@emb.T, MARGINS[config.loss, config.distance]
    d = 1-cos if config.distance=='cosine' else torch.cdist(emb, emb)
    if config.loss=='pair':
        want = (d[relation==1]**2).mean()+((margin-d[relation==2]).relu()**2).mean()
    else:
        costs = [d[a, p]-d[a, n]+margin for a, p in (relation==1).nonzero() for n in (relation[a]==2).nonzero().ravel()
                 if d[a, p]<d[a, n]<=d[a, p]+margin]
        want = torch.stack(costs).relu().sum()/sum(float(o)>0 for o in costs)
    found = make_margin_loss(config).one_way(Candidates(cos, relation==1, relation==0))
    assert found.item()==pytest.approx(want.item(), rel=1e-3)

# Batches

def test_every_batch_holds_positives(features, task):
    relations = pair_relations(task[1], features)
    batches = PairBatches(relations.positive, relations.negative, 16)
    first, second = list(batches), list(batches)
    assert len(first)==len(batches) and all(relations.among(o)[0].any() and len(o)<=16 for o in first)
    assert any(not torch.equal(a, b) for a, b in zip(first, second))
    batches.set_epoch(0)
    assert all(torch.equal(a, b) for a, b in zip(first, batches))
    with pytest.raises(ValueError, match='want a multiple of 4'): PairBatches(relations.positive, relations.negative, 6)
    with pytest.raises(ValueError, match='no positive pair'): PairBatches(torch.zeros(0, 2), relations.negative)

def test_relations_are_those_of_the_table(features, task):
    known = {frozenset(o[:2]): o[2] for o in task[1][['first', 'second', 'same']].itertuples(index=False)}
    relations, rows = pair_relations(task[1], features), torch.tensor([40, 3, 7, 0, 12, 44, 8])
    positive, negative = relations.among(rows)
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            found = known.get(frozenset((ITEMS[a], ITEMS[b])))
            assert (bool(positive[i, j]), bool(negative[i, j]))==(found is True, found is False)
    some = ItemFeatures(ITEMS[:24], features.x, features.mask) # the others have no features
    assert set(pair_relations(task[1], some).positive.ravel().tolist())<=set(range(24))

# Training

@pytest.fixture(scope='module')
def run(features, task, tmp_path_factory):
    "The first arm after five epochs"
    return train_fusion(features, *task[1:], tmp_path_factory.mktemp('run'), replace(CONFIG, max_epochs=5))

def test_the_best_epoch_by_validation_items_is_kept(run):
    assert run.epoch==run.log.valid_ndcg.to_numpy().argmax() and len(run.log)==5
    assert run.log.train_loss.iloc[-1]<run.log.train_loss.iloc[0] and not run.net.training
    assert list(run.folder.glob('tensorboard/*/events*'))

def test_a_run_that_was_stopped_continues_as_if_it_had_not(run, features, task, tmp_path):
    for n in (2, 5): again = train_fusion(features, *task[1:], tmp_path, replace(CONFIG, max_epochs=n))
    pd.testing.assert_frame_equal(again.log, run.log)
    assert again.folder.name==run.folder.name
    for a, b in zip(again.net.parameters(), run.net.parameters()): assert torch.equal(a, b)
    before = {o: o.stat().st_mtime_ns for o in tmp_path.rglob('*.ckpt')}
    train_fusion(features, *task[1:], tmp_path, replace(CONFIG, max_epochs=5))
    assert {o: o.stat().st_mtime_ns for o in tmp_path.rglob('*.ckpt')}==before

@pytest.mark.parametrize('arm', [o for o in ARMS if o!='pair, cosine'])
def test_the_other_arms_train(arm, features, task, tmp_path):
    config = replace(CONFIG, loss=ARMS[arm].loss, distance=ARMS[arm].distance, max_epochs=1)
    run = train_fusion(features, *task[1:], tmp_path, config)
    assert np.isfinite(run.log.train_loss).all() and np.isfinite(embed_items(run.net, features)).all()

def test_items_of_validation_must_not_be_in_training(features, task, tmp_path):
    with pytest.raises(ValueError, match='divide the ratings by item first'):
        train_fusion(features, task[1], task[1], tmp_path, CONFIG)
    assert not list(tmp_path.iterdir())

# Use

def agreement(emb):
    lists = item_lists(emb, ITEMS, 5)
    kind = dict(zip(ITEMS, KIND))
    return (lists['item'].map(kind)==lists.other.map(kind)).mean()

def test_a_network_trained_with_text_embeds_videos_without_it(run, features):
    mask = features.mask|dict(text=torch.zeros_like(features.mask['text']))
    emb = embed_items(run.net, ItemFeatures(ITEMS, features.x, mask))
    np.testing.assert_allclose(np.linalg.norm(emb, axis=1), 1, atol=1e-5)
    assert agreement(embed_items(run.net, features))>.8 and agreement(emb)>.45 # chance is .23

def test_lists_of_every_item():
    emb = np.array([[1., 0], [1, 0], [0, 1], [0, 0]])
    lists = item_lists(emb, list('abcd'), 10)
    assert lists[['item', 'rank', 'other']].values.tolist()==[
        ['a', 1, 'b'], ['a', 2, 'c'], ['b', 1, 'a'], ['b', 2, 'c'], ['c', 1, 'a'], ['c', 2, 'b']]
    assert not len(item_lists(emb[:1], ['a']))

def test_cold_items_are_measured_with_chance_and_intervals(run, features, task):
    split = task[0]
    random = np.random.default_rng(0).normal(size=(48, 4))
    vectors = dict(trained=embed_items(run.net, features), random=random/np.linalg.norm(random, axis=1, keepdims=True))
    table = measure_cold(vectors, ITEMS, split, ks=(3,), n_boot=50)
    assert list(table.index)==['trained', 'random', 'popularity', 'chance'] and (table.pool_size==10).all()
    assert table['ndcg@3']['trained']>table['chance_ndcg@3']['trained']
    assert {'precision@3', 'recall@3', 'hit_rate@3', 'MRR', 'MRR_low', 'MRR_high'}<=set(table)
    empty = replace(split, test=split.test.assign(rating=1.))
    with pytest.raises(ValueError, match='there is nothing to find'): measure_cold(vectors, ITEMS, empty)

# Explicit triplets, language and year

def test_given_triplets_are_compared_without_mining(features, task, tmp_path, monkeypatch):
    split, pairs, valid = task
    genres = pd.Series([f'g{k}' for k in KIND], ITEMS)
    triplets = make_triplets(pairs, genres)
    config = replace(CONFIG, loss='triplet', max_epochs=1)
    with monkeypatch.context() as patched:
        patched.setattr(TripletMarginLoss, 'one_way', lambda *args: pytest.fail('mined'))
        run = train_fusion(features, pairs, valid, tmp_path, config, triplets)
    mined = train_fusion(features, pairs, valid, tmp_path, config)
    assert run.folder!=mined.folder and np.isfinite(run.log.train_loss).all()
    with pytest.raises(ValueError, match='triplets need the loss "triplet"'):
        train_fusion(features, pairs, valid, tmp_path, CONFIG, triplets)
    shared = triplets.assign(negative=valid['first'].iloc[0])
    with pytest.raises(ValueError, match='in training and validation'):
        train_fusion(features, pairs, valid, tmp_path, config, shared)

@pytest.mark.parametrize('distance', ['cosine', 'euclidean'])
def test_the_loss_of_given_triplets(distance):
    a, p, n = torch.nn.functional.normalize(torch.randn(3, 9, 4, generator=torch.Generator().manual_seed(0)), dim=2)
    def d(x, y): return 1-(x*y).sum(1) if distance=='cosine' else (x-y).norm(dim=1)
    costs = d(a, p)-d(a, n)+.3
    want = costs[costs>0].mean()
    assert TripletMarginLoss(.3, distance).of_triplets(a, p, n).item()==pytest.approx(want.item(), rel=1e-4)

def test_batches_of_triplets_hold_each_once():
    triplets = torch.arange(21).view(7, 3)
    batches = list(TripletBatches(triplets, 10))
    assert [len(o) for o in batches]==[9, 9, 3] and torch.cat(batches).sort().values.tolist()==list(range(21))
    for wrong in ((triplets, 2), (triplets[:0], 9)):
        with pytest.raises(ValueError, match='want at least 1 and 3'): TripletBatches(*wrong)

def test_language_and_year_reach_the_network_and_the_run(features, task, tmp_path):
    _, pairs, valid = task
    language, year = torch.arange(48)%3, torch.full((48,), 1999.)
    year[::5] = torch.nan
    described = replace(features, language=language, year=year)
    run = train_fusion(described, pairs, valid, tmp_path, replace(CONFIG, max_epochs=1))
    assert run.net.towers['text'].languages.num_embeddings==3 and run.net.towers['text'].has_year
    emb = embed_items(run.net, described)
    for changed in (replace(described, language=language*0), replace(described, year=year+30)):
        assert np.abs(embed_items(run.net, changed)-emb).max()>1e-4
    assert train_fusion(features, pairs, valid, tmp_path, replace(CONFIG, max_epochs=1)).folder!=run.folder
