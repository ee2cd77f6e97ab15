"Samplers: no video twice in a batch, new batches in each epoch, equal shares, no bias among positives"
from collections import Counter
from itertools import combinations
import numpy as np
import pytest
import torch
from pytorch_metric_learning.samplers import MPerClassSampler
from scipy.stats import chisquare
from torch.utils.data import DataLoader, TensorDataset
from mvrep.learning.samplers import MPerClass, OneSegmentPerVideo, sample_pairs, sample_triplets

VIDEO_IDS = np.repeat([f'v{i}' for i in range(10)], 3)
MOOD = np.array(['sad']*20+['tense']*10+['calm']*9+['rare'])

@pytest.fixture(scope='module')
def epochs():
    sampler = OneSegmentPerVideo(VIDEO_IDS, 4)
    return [list(sampler) for _ in range(200)]

# One segment per video

def test_an_epoch_has_each_video_at_most_once(epochs):
    for batches in epochs:
        assert [len(o) for o in batches]==[4, 4]
        assert len({VIDEO_IDS[row] for batch in batches for row in batch})==8

def test_epochs_differ_and_share_their_segments_equally(epochs):
    assert all(a!=b for a, b in zip(epochs, epochs[1:]))
    batches = [batch for o in epochs for batch in o]
    uses = Counter(row for batch in batches for row in batch)
    assert len(uses)==30 and 30<min(uses.values()) and max(uses.values())<80

def test_every_pair_of_videos_meets(epochs):
    met = {pair for batches in epochs for batch in batches for pair in combinations(sorted(VIDEO_IDS[batch]), 2)}
    assert len(met)==45

def test_an_epoch_can_be_repeated_and_depends_on_the_seed(epochs):
    sampler = OneSegmentPerVideo(VIDEO_IDS, 4)
    sampler.set_epoch(1)
    assert list(sampler)==epochs[1]
    assert list(OneSegmentPerVideo(VIDEO_IDS, 4, seed=1))!=epochs[0]

def test_videos_may_have_unequal_numbers_of_segments_in_any_order():
    ids = [7, 3, 7, 7, 5, 3]
    for batch in OneSegmentPerVideo(ids, 3): assert sorted(ids[row] for row in batch)==[3, 5, 7]

def test_a_data_loader_continues_with_the_next_epoch(epochs):
    loader = DataLoader(TensorDataset(torch.arange(30)), batch_sampler=OneSegmentPerVideo(VIDEO_IDS, 4))
    assert [o[0].tolist() for o in loader]==epochs[0]
    assert [o[0].tolist() for o in loader]==epochs[1]

def test_processes_share_the_joint_batch(epochs):
    halves = [list(OneSegmentPerVideo(VIDEO_IDS, 4, rank=rank, world_size=2)) for rank in range(2)]
    assert [sorted(a+b) for a, b in zip(*halves)]==[sorted(batch) for batch in epochs[0]]

def test_a_batch_is_no_larger_than_the_corpus():
    assert [len(o) for o in OneSegmentPerVideo(VIDEO_IDS)]==[10]

@pytest.mark.parametrize('settings, message', [
    (dict(rank=2, world_size=2), 'process 2 of 2'),
    (dict(world_size=16), 'from 10 videos as process 0 of 16')])
def test_a_batch_that_cannot_be_shared_is_refused(settings, message):
    with pytest.raises(ValueError, match=message): OneSegmentPerVideo(VIDEO_IDS, 4, **settings)

def test_ids_have_one_dimension():
    with pytest.raises(ValueError, match='want one id per row'): OneSegmentPerVideo(np.zeros((3, 2)))
    with pytest.raises(ValueError, match='want one id per row'): OneSegmentPerVideo([])

# Several items per class

def test_each_batch_has_m_of_each_class():
    sampler = MPerClass(MOOD, m=3, batch_size=9)
    batches = [batch for _ in range(100) for batch in sampler]
    for batch in batches:
        assert sorted(Counter(MOOD[batch]).values())==[3, 3, 3]
        if 'rare' not in MOOD[batch]: assert len(set(batch))==9
    share = Counter(MOOD[row] for batch in batches for row in batch)
    assert max(share.values())<1.2*min(share.values())
    sampler.set_epoch(0)
    assert next(iter(sampler))==batches[0]

def test_the_sampler_of_pytorch_metric_learning_promises_the_same():
    labels = np.unique(MOOD, return_inverse=True)[1]
    rows = torch.tensor(list(MPerClassSampler(labels, 3, batch_size=9, length_before_new_iter=36)))
    for batch in rows.reshape(-1, 9): assert sorted(Counter(MOOD[batch]).values())==[3, 3, 3]

def test_batches_of_too_many_classes_are_refused():
    with pytest.raises(ValueError, match='from 4 classes'): MPerClass(MOOD, m=3, batch_size=64)
    with pytest.raises(ValueError, match='batches of 10 with 3 per class'): MPerClass(MOOD, m=3, batch_size=10)

# Triplets and pairs

def test_triplets():
    anchor, positive, negative = sample_triplets(MOOD, 20_000)
    assert (MOOD[anchor]==MOOD[positive]).all() and (MOOD[anchor]!=MOOD[negative]).all()
    assert (anchor!=positive).all()
    assert len(set(zip(anchor, positive)))==20*19+10*9+9*8
    assert 'rare' not in MOOD[anchor]
    assert set(negative)==set(range(40))
    calm = MOOD[anchor]=='calm'
    assert chisquare(list(Counter(zip(anchor[calm], positive[calm])).values())).pvalue>.001

def test_half_of_the_pairs_share_the_label():
    first, second, same = sample_pairs(MOOD, 1001)
    assert np.array_equal(MOOD[first]==MOOD[second], same)
    assert same.sum()==500 and (first!=second).all()
    assert 200<same[:500].sum()<300 # in random order
    assert sample_pairs(MOOD, 9, seed=3)[1].tolist()==sample_pairs(MOOD, 9, seed=3)[1].tolist()

def test_one_class_has_no_triplets():
    with pytest.raises(ValueError, match='want at least two classes'): sample_pairs(['sad']*5, 3)
