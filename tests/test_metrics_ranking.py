"Ranks, retrieval, precision of neighbours, and the shape of a space"
import numpy as np
import pytest
import torch

from mvrep.core import import_torchvision
from mvrep.metrics.geometry import alignment, modality_gap, uniformity
from mvrep.metrics.ranking import checked_tensor, embedding_ranks, precision_at_k, precision_of_lists, ranks
from mvrep.metrics.ranking import retrieval_metrics

import_torchvision() # torchmetrics imports it
from torchmetrics.functional.retrieval import retrieval_recall, retrieval_reciprocal_rank # noqa: E402

@pytest.fixture
def rng(): return np.random.default_rng(0)

@pytest.fixture
def pairs(rng):
    "Audio and video embeddings that are related"
    audio = rng.normal(size=(300, 16))
    return audio, audio+2*rng.normal(size=(300, 16))

def unit(x): return x/np.linalg.norm(x, axis=1, keepdims=True)

def ranks_by_definition(sim):
    "One pair at a time"
    def rank(i):
        others = [j for j in range(len(sim)) if j!=i]
        return 1+sum(sim[i, j]>sim[i, i] for j in others)+.5*sum(sim[i, j]==sim[i, i] for j in others)
    return [rank(i) for i in range(len(sim))]

# Checked input

def test_bad_rows_are_counted():
    bad = np.eye(5)
    bad[2, 3] = np.nan
    with pytest.raises(ValueError, match='x has NaN in 1 of 5 rows'): checked_tensor(bad, 'x')
    bad[2:4, 3] = np.inf
    with pytest.raises(ValueError, match='x has infinite values in 2 of 5 rows'): checked_tensor(bad, 'x')
    assert checked_tensor(bad, 'x', allow_infinite=True).isinf().any()

@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype):
    assert checked_tensor(torch.ones(2, 2, dtype=dtype, requires_grad=True), 'x').dtype==torch.float32

# Ranks

def test_perfect_reversed_and_ignorant_matrices():
    eye = np.eye(5)
    for sim, rank in ((eye, 1), (-eye, 5), (np.zeros((5, 5)), 3)): assert ranks(sim).tolist()==[rank]*5

def test_ranks_equal_their_definition(rng):
    for sim in (rng.normal(size=(40, 40)), rng.integers(0, 4, (30, 30))): # without ties and with many
        assert ranks(sim).tolist()==ranks_by_definition(sim)

def test_shuffled_candidates_change_nothing(rng):
    sim, order = rng.normal(size=(40, 40)), rng.permutation(40)
    assert (ranks(sim[:, order], np.argsort(order))==ranks(sim)).all()

def test_the_gallery_may_be_larger_than_the_queries():
    assert ranks([[.1, .9, .3]], [2]).tolist()==[2]
    assert ranks([[.4]]).tolist()==[1]

def test_the_diagonal_of_an_argsort_is_no_rank(rng):
    n = 1000
    random, perfect = rng.normal(size=(n, n)), np.eye(n)+.01*rng.normal(size=(n, n))
    def published(sim): return np.median(np.diag(np.argsort(sim, axis=1)))
    assert np.median(ranks(perfect))==1 and abs(np.median(ranks(random))-(n+1)/2)<50
    assert abs(published(perfect)-n/2)<50 and abs(published(random)-n/2)<50

def test_matrices_that_cannot_be_ranked_are_refused():
    eye = np.eye(5)
    bad = np.where(np.arange(25).reshape(5, 5)==13, np.nan, eye)
    with pytest.raises(ValueError, match='NaN in 1 of 5 rows'): ranks(bad)
    with pytest.raises(ValueError, match='square matrix'): ranks(eye[:3])
    with pytest.raises(ValueError, match=r'\(2,\) targets for 5 rows'): ranks(eye, [0, 1])

@pytest.mark.parametrize('block', [7, 128, 2048])
def test_tiles_of_any_size_give_the_ranks_of_the_matrix(pairs, block):
    sim = unit(pairs[0])@unit(pairs[1]).T
    audio_to_video, video_to_audio = embedding_ranks(*pairs, block)
    assert (audio_to_video==ranks(sim)).all() and (video_to_audio==ranks(sim.T)).all()

def test_a_collapsed_space_has_the_middle_rank():
    one_point = torch.randn(1, 100, generator=torch.Generator().manual_seed(0)).expand(301, 100)
    assert (embedding_ranks(one_point, one_point, block=64)[0]==151).all()

def test_embeddings_that_are_not_pairs_are_refused(pairs):
    audio, video = pairs
    with pytest.raises(ValueError, match='want pairs'): embedding_ranks(audio, video[:5])
    with pytest.raises(ValueError, match='want pairs'): embedding_ranks(audio[:0], video[:0])
    for value, name in ((np.nan, 'NaN'), (np.inf, 'infinite values')):
        bad = np.where(video>3, value, video)
        with pytest.raises(ValueError, match=f'video_emb has {name}'): embedding_ranks(audio, bad)

# Retrieval

def test_retrieval_is_made_of_ranks(pairs):
    metrics = retrieval_metrics(*pairs)
    sim = unit(pairs[0])@unit(pairs[1]).T
    assert metrics['audio_to_video_R@10']==np.mean([o<=10 for o in ranks_by_definition(sim)])
    assert metrics['video_to_audio_MRR']==pytest.approx(np.mean([1/o for o in ranks_by_definition(sim.T)]))
    for direction in ('audio_to_video', 'video_to_audio'):
        for name in ('median_rank', 'mean_rank', 'MRR', 'R@1', 'R@5', 'R@10'):
            low, value, high = (metrics[f'{direction}_{name}{end}'] for end in ('_low', '', '_high'))
            assert low<=value<=high
    assert metrics['pool_size']==300

def test_retrieval_equals_torchmetrics(pairs):
    metrics = retrieval_metrics(*pairs, n_boot=0)
    scores = torch.tensor(unit(pairs[0])@unit(pairs[1]).T)+1 # torchmetrics drops candidates with a negative score
    hits = torch.eye(300).long()
    recall = np.mean([retrieval_recall(s, h, top_k=5) for s,h in zip(scores, hits)])
    mrr = np.mean([retrieval_reciprocal_rank(s, h) for s,h in zip(scores, hits)])
    assert metrics['audio_to_video_R@5']==pytest.approx(recall) and metrics['audio_to_video_MRR']==pytest.approx(mrr)

def test_equal_and_opposite_pairs(pairs):
    audio = pairs[0]
    same, opposite = retrieval_metrics(audio, audio, n_boot=0), retrieval_metrics(audio, -audio, n_boot=0)
    assert (same['audio_to_video_median_rank'], same['video_to_audio_R@1'])==(1, 1)
    assert opposite['audio_to_video_mean_rank']==300

def test_the_order_of_pairs_does_not_matter(pairs, rng):
    order = rng.permutation(300)
    shuffled = retrieval_metrics(pairs[0][order], pairs[1][order], n_boot=0)
    assert shuffled==pytest.approx(retrieval_metrics(*pairs, n_boot=0))

def test_unrelated_modalities_are_at_chance(rng):
    metrics = retrieval_metrics(rng.normal(size=(2000, 8)), rng.normal(size=(2000, 8)))
    for o in ('median_rank', 'mean_rank', 'R@10', 'MRR'):
        assert metrics[f'audio_to_video_{o}_low']<=metrics[f'chance_{o}']<=metrics[f'audio_to_video_{o}_high']

def test_chance_of_four_candidates_by_hand(rng):
    metrics = retrieval_metrics(*rng.normal(size=(2, 4, 3)), ks=(1, 3, 10), n_boot=0)
    assert (metrics['chance_median_rank'], metrics['chance_mean_rank'])==(2.5, 2.5)
    assert metrics['chance_MRR']==pytest.approx((1+1/2+1/3+1/4)/4)
    assert [metrics[f'chance_R@{k}'] for k in (1, 3, 10)]==[.25, .75, 1]

def test_a_single_pair_is_found(pairs):
    metrics = retrieval_metrics(pairs[0][:1], pairs[1][:1], n_boot=10)
    assert (metrics['audio_to_video_median_rank'], metrics['chance_R@1'], metrics['pool_size'])==(1, 1, 1)

# Precision of neighbours

GENRE = np.repeat(['house', 'folk', 'metal'], 10)

@pytest.fixture
def sim(rng):
    x = unit(rng.normal(size=(3, 8)).repeat(10, 0)+1.2*rng.normal(size=(30, 8)))
    return x@x.T

def test_precision_equals_its_definition(sim):
    def nearest(i): return sorted(set(range(30))-{i}, key=lambda j: -sim[i, j])[:5]
    shares = [np.mean(GENRE[nearest(i)]==GENRE[i]) for i in range(30)]
    result = precision_at_k(sim, GENRE, 5)
    assert result['precision']==pytest.approx(np.mean(shares)) and result['chance']==pytest.approx(9/29)
    assert result['low']<result['precision']<result['high'] and result['pool']==29

def test_chance_of_three_items_by_hand():
    result = precision_at_k(np.ones((3, 3)), ['a', 'a', 'b'], 1)
    assert result['chance']==pytest.approx((1/2+1/2+0)/3) and result['precision']==pytest.approx(1/3)

def test_lists_and_similarities_agree(sim):
    neighbours = np.argsort(-(sim-9*np.eye(30)), axis=1)[:, :5]
    assert precision_of_lists(neighbours, GENRE, 5)==precision_at_k(sim, GENRE, 5)

def test_whole_numbers_are_similarities():
    "Such as counts of shared tags: their type does not turn them into positions"
    counts = 9*(GENRE[:, None]==GENRE)
    assert counts.dtype.kind=='i' and precision_at_k(counts, GENRE, 5)==precision_at_k(counts.astype(float), GENRE, 5)
    assert precision_at_k(counts, GENRE, 5)['precision']==1

def test_a_constant_similarity_is_at_chance():
    for groups in (None, np.arange(30)//5):
        flat = precision_at_k(np.ones((30, 30)), GENRE, 5, groups=groups)
        assert flat['precision']==pytest.approx(flat['chance'])

def test_the_own_group_is_excluded(sim):
    alone = precision_at_k(sim, GENRE, 5, groups=np.arange(30)//10) # only other genres are left
    assert (alone['precision'], alone['chance'], alone['pool'])==(0, 0, 20)
    unknown = precision_at_k(sim, GENRE, 5, groups=np.full(30, -1)) # each its own
    assert unknown==precision_at_k(sim, GENRE, 5)

def test_precision_that_cannot_be_measured_is_refused(sim):
    lists = np.argsort(-sim, axis=1)
    with pytest.raises(ValueError, match='outside its group'): precision_at_k(sim, GENRE, 5, groups=np.zeros(30))
    with pytest.raises(ValueError, match='other than itself'): precision_of_lists(lists, GENRE, 5)
    with pytest.raises(ValueError, match='got shape'): precision_of_lists(lists[:, 1:4], GENRE, 5)
    with pytest.raises(ValueError, match='between 1 and the 29 other items'): precision_of_lists(lists, GENRE, 30)
    with pytest.raises(ValueError, match='between 1 and the 29 other items'): precision_at_k(sim, GENRE, 30)
    with pytest.raises(ValueError, match='for 30 labels'): precision_at_k(sim[:, :9], GENRE, 5)

# Shape of a space

def test_uniformity_equals_its_definition(rng):
    x = unit(rng.normal(size=(60, 64)))
    potentials = [np.exp(-2*((x[i]-x[j])**2).sum()) for i in range(60) for j in range(60) if i!=j]
    assert uniformity(x, block=7)==pytest.approx(np.log(np.mean(potentials)), abs=1e-9)

def test_limits_of_the_shape(rng):
    audio, video = rng.normal(size=(2, 500, 64))
    assert alignment(audio, audio)==pytest.approx(0) and modality_gap(audio, audio)==pytest.approx(0)
    assert alignment(audio, -audio)==pytest.approx(4) and alignment(audio, video)==pytest.approx(2, abs=.05)
    assert uniformity(np.ones((9, 4)))==pytest.approx(0, abs=1e-6)
    assert uniformity(audio)==pytest.approx(-4+8/64, abs=.01)
    assert modality_gap(np.ones((3, 2)), -np.ones((3, 2)))==pytest.approx(2)

def test_a_sigmoid_looks_aligned_and_is_at_chance(rng):
    audio, video = 1/(1+np.exp(-rng.normal(size=(2, 500, 64))))
    assert alignment(audio, video)<.5 and uniformity(audio)>-1
    assert abs(retrieval_metrics(audio, video, n_boot=0)['audio_to_video_median_rank']-250.5)<40

def test_shapes_that_cannot_be_measured_are_refused():
    with pytest.raises(ValueError, match='at least two items, got 1'): uniformity([[1., 0.]])
    with pytest.raises(ValueError, match='video_emb has NaN'): modality_gap([[1., 0.]], [[np.nan, 0.]])
    with pytest.raises(ValueError, match='audio_emb has infinite'): alignment([[np.inf, 0.]], [[1., 0.]])
