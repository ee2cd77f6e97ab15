"Fusion: padding has no influence, gradients stay finite, order can be learned"
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from mvrep.learning.fusion import (
    AttentionPool, MeanPool, SegmentTransformer, masked_mean, pad_segments, time_positions)

def close(a, b, eps=1e-5): torch.testing.assert_close(a, b, atol=eps, rtol=0)

def gradients_are_finite(module): return all(p.grad.isfinite().all() for p in module.parameters())

@pytest.fixture
def videos():
    "A long video, a short one, one whose second segment is missing, and an empty one"
    torch.manual_seed(0)
    long, short = torch.randn(4, 3), torch.randn(2, 3)
    gap = torch.randn(3, 3)
    gap[1] = torch.nan
    return [long, short, gap, torch.zeros(0, 3)]

@pytest.fixture
def batch(videos):
    "Padded segments, the same with NaN as padding, and the mask"
    x, mask = pad_segments(videos)
    return x, torch.where(mask[..., None], x, torch.nan), mask

# Padding and pooling

def test_missing_segments_become_zeros(batch):
    x, _, mask = batch
    assert x.shape==(4, 4, 3)
    assert mask.int().tolist()==[[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert torch.equal(x[1, 2:], torch.zeros(2, 3))

def test_one_missing_value_makes_a_segment_missing():
    x, mask = pad_segments([torch.tensor([[1., torch.nan], [2., 3.]])])
    assert (x.tolist(), mask.tolist())==([[[0, 0], [2, 3]]], [[False, True]])

def test_the_mean_is_over_existing_segments(videos, batch):
    long, short, gap, _ = videos
    x, with_nan, mask = batch
    want = torch.stack([long.mean(0), short.mean(0), gap[[0, 2]].mean(0), torch.zeros(3)])
    close(masked_mean(x, mask), want, eps=1e-6)
    assert torch.equal(MeanPool()(with_nan, mask), masked_mean(x, mask))
    assert torch.equal(masked_mean(x), x.mean(1))

def test_attention_ignores_padding(videos, batch):
    x, with_nan, mask = batch
    pool = AttentionPool(3)
    weights = pool.weights(x, mask).detach()
    close(weights.sum(1), mask.any(1).float())
    assert torch.equal(weights[~mask], torch.zeros((~mask).sum()))
    close(pool(x, mask)[1], pool(videos[1][None])[0], eps=1e-6)
    close(pool(x, mask)[3], torch.zeros(3))
    pool(with_nan, mask).sum().backward()
    assert gradients_are_finite(pool)

EMPTY = [(0, 3, 8), (2, 0, 8), (0, 0, 8)] # no video, no segment, neither

@pytest.mark.parametrize('shape', EMPTY)
@pytest.mark.parametrize('make', [MeanPool, lambda: AttentionPool(8), lambda: SegmentTransformer(8, 8, 8)])
def test_videos_without_segments_become_zeros(make, shape):
    pool, x = make(), torch.zeros(shape)
    for mode in (True, False):
        for mask in (None, torch.zeros(shape[:2], dtype=torch.bool)):
            assert torch.equal(pool.train(mode)(x, mask), torch.zeros(shape[0], 8))

def test_an_empty_list_of_videos_is_refused():
    with pytest.raises(ValueError, match='no videos: want the segments of at least one'): pad_segments([])

# The transformer

def test_similarity_of_times_depends_on_their_distance():
    def similarity(s, t): return F.cosine_similarity(*time_positions(torch.tensor([s, t]), 64), dim=0).item()
    assert similarity(10., 20.)==pytest.approx(similarity(110., 120.), abs=1e-4)
    fade = [similarity(0., t) for t in (0., 1., 30., 600.)]
    assert fade[0]==pytest.approx(1) and fade==sorted(fade, reverse=True)
    with pytest.raises(ValueError, match='dim=7: want an even width'): time_positions(torch.zeros(3), 7)

def test_a_video_in_a_batch_is_embedded_as_it_is_alone(videos, batch):
    long, short, gap, _ = videos
    x, with_nan, mask = batch
    model = SegmentTransformer(3, 16, 32).eval()
    times = torch.tensor([[0., 10, 20, 30], [0., 10, 0, 0], [0., 10, 20, 0], [0., 0, 0, 0]])
    out = model(x, mask, times).detach()
    close(out[1], model(short[None], times=times[1, :2])[0])
    close(out[2], model(gap[None, [0, 2]], times=torch.tensor([0., 20.]))[0])
    assert torch.equal(model(with_nan, mask, times).detach(), out)
    assert torch.equal(out[3], torch.zeros(16))
    reversed_times = torch.tensor([30., 20, 10, 0])
    assert not torch.allclose(out[0], model(long[None], times=reversed_times)[0], atol=1e-3)
    model.train()(with_nan, mask, times).sum().backward()
    assert gradients_are_finite(model)

def order_task(n, generator):
    "Videos of 8 segments, and whether the quiet segment comes before the loud one"
    x, label = .3*torch.randn(n, 8, 6, generator=generator), torch.arange(n)%2
    first, second = torch.randint(0, 4, (n,), generator=generator), torch.randint(4, 8, (n,), generator=generator)
    x[torch.arange(n), first, label] += 3
    x[torch.arange(n), second, 1-label] += 3
    return x, label

def order_accuracy(pool, width):
    generator = torch.Generator().manual_seed(0)
    classifier = nn.Linear(width, 2)
    optimizer = torch.optim.Adam([*pool.parameters(), *classifier.parameters()], lr=2e-3)
    for _ in range(60):
        x, label = order_task(128, generator)
        F.cross_entropy(classifier(pool(x)), label).backward()
        optimizer.step()
        optimizer.zero_grad()
    x, label = order_task(1000, generator)
    with torch.no_grad(): return (classifier(pool.eval()(x)).argmax(1)==label).float().mean().item()

def test_only_the_transformer_learns_order():
    torch.manual_seed(0)
    assert order_accuracy(SegmentTransformer(6, 16, 32, n_layers=1), 16)>.9
    assert max(order_accuracy(MeanPool(), 6), order_accuracy(AttentionPool(6), 6))<.6
