"Fusion: padding and missing modalities have no influence, gradients stay finite, order can be learned"
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from mvrep.learning.fusion import (
    AttentionPool, ConcatFusion, CrossAttentionFusion, GatedFusion, MeanFusion, MeanPool, SegmentTransformer,
    drop_modality, masked_mean, pad_segments, time_positions)

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

# Two modalities in one vector

@pytest.fixture
def embeddings():
    "Unit-norm audio and video embeddings, and which rows have audio and video"
    audio_emb, video_emb = F.normalize(torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    return audio_emb, video_emb, torch.tensor([1, 1, 0, 1, 0]).bool(), torch.tensor([1, 0, 1, 1, 0]).bool()

def test_the_mean_of_modalities(embeddings):
    audio_emb, video_emb, has_audio, has_video = embeddings
    mean = MeanFusion()
    close(mean(audio_emb, video_emb)[0], F.normalize((audio_emb+video_emb)/2, dim=1)[0])
    close(mean(audio_emb, None), audio_emb)
    close(mean(None, video_emb), video_emb)
    out = mean(*embeddings)
    close(out[1:3], torch.stack([audio_emb[1], video_emb[2]]))
    assert torch.equal(out[4], torch.zeros(8))

def test_concatenation_averages_the_cosines(embeddings):
    audio_emb, video_emb, *_ = embeddings
    concat = ConcatFusion(8, 8)
    full = concat(audio_emb, video_emb)
    close(full@full.T, (audio_emb@audio_emb.T+video_emb@video_emb.T)/2, eps=1e-6)
    close((concat(audio_emb, None)@full.T).diagonal(), torch.full((5,), .5**.5), eps=1e-6)
    no_audio = torch.zeros(5, dtype=torch.bool)
    assert torch.equal(concat(torch.full_like(audio_emb, torch.nan), video_emb, no_audio), concat(None, video_emb))

def test_concatenation_of_different_widths_with_a_missing_modality():
    assert ConcatFusion(3, 5)(None, torch.randn(2, 5)).shape==(2, 8)
    assert ConcatFusion(3, 5)(torch.randn(2, 3), None).shape==(2, 8)

@pytest.mark.parametrize('fusion', [MeanFusion(), ConcatFusion(8, 8)])
def test_both_modalities_count_alike_whatever_their_length(embeddings, fusion):
    audio_emb, video_emb, *_ = embeddings
    close(fusion(7*audio_emb, video_emb/3), fusion(audio_emb, video_emb))

def test_a_gate_mixes_what_is_there(embeddings):
    audio_emb, video_emb, *_ = embeddings
    gated = GatedFusion(8)
    close(gated(*embeddings)[1:3], torch.stack([audio_emb[1], video_emb[2]]))
    close(gated(audio_emb, None), audio_emb)
    share = gated.gate(torch.cat([audio_emb, video_emb], 1)).sigmoid()
    assert (0<share).all() and (share<1).all()
    close(gated(audio_emb, video_emb), F.normalize(share*audio_emb+(1-share)*video_emb, dim=1))
    close(gated(audio_emb, video_emb).norm(dim=1), torch.ones(5))

@pytest.mark.parametrize('fusion', [MeanFusion(), ConcatFusion(8, 8), GatedFusion(8), CrossAttentionFusion(8)])
def test_without_any_modality_there_is_nothing_to_fuse(fusion):
    with pytest.raises(ValueError, match='audio_emb, video_emb or both'): fusion(None, None)

def test_dropped_modalities():
    has_audio, has_video = drop_modality(10_000, .2, torch.Generator().manual_seed(0))
    assert (has_audio | has_video).all()
    assert abs((has_audio & has_video).float().mean()-.8)<.02

# Cross-attention

@pytest.fixture
def segments():
    "Audio segments (3, 4, 8), video segments (3, 6, 8) and masks: complete, audio only, nothing"
    g = torch.Generator().manual_seed(0)
    audio_mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]).bool()
    video_mask = torch.tensor([[1]*6, [0]*6, [0]*6]).bool()
    return torch.randn(3, 4, 8, generator=g), torch.randn(3, 6, 8, generator=g), audio_mask, video_mask

def test_attention_over_one_key_ignores_the_query(segments):
    audio_segments, video_segments, *_ = segments
    fusion = CrossAttentionFusion(8).eval()
    def spread(n_keys):
        keys = video_segments[:, :n_keys]
        return fusion.to_video(audio_segments, keys, keys, need_weights=False)[0].std(1).mean().item()
    assert spread(1)<1e-6 and spread(2)>1e-3 and spread(6)>1e-3

def test_missing_segments_and_modalities_have_no_influence(segments):
    audio_segments, video_segments, audio_mask, video_mask = segments
    fusion = CrossAttentionFusion(8).eval()
    for attention in (fusion.to_video, fusion.to_audio): # as after training: nothing found is not zero
        for bias in (attention.in_proj_bias, attention.out_proj.bias): nn.init.uniform_(bias, 1, 2)
    out = fusion(*segments).detach()
    alone = fusion.norm_audio(audio_segments[1, :2]).mean(0)
    close(out[1], F.normalize(alone, dim=0))
    close(out[0], fusion(audio_segments[:1], video_segments[:1])[0])
    close(out[1], fusion(audio_segments[1:2, :2], None)[0])
    assert torch.equal(out[2], torch.zeros(8))
    close(out[:2].norm(dim=1), torch.ones(2))
    audio_nan = torch.where(audio_mask[..., None], audio_segments, torch.nan)
    video_nan = torch.where(video_mask[..., None], video_segments, torch.nan)
    close(fusion(audio_nan, video_nan, audio_mask, video_mask), out)
    assert fusion(None, video_segments).shape==(3, 8)
    fusion(*segments).sum().backward()
    assert gradients_are_finite(fusion)

def test_every_segment_counts_and_their_order_does_not(segments):
    audio_segments, video_segments, *_ = segments
    fusion = CrossAttentionFusion(8).eval()
    base = fusion(audio_segments, video_segments).detach()
    for j in range(6):
        changed = video_segments.clone()
        changed[:, j] += 1
        assert (fusion(audio_segments, changed)-base).abs().amax()>1e-3
    close(fusion(audio_segments, video_segments[:, torch.randperm(6)]), base)

@pytest.mark.parametrize('n', [0, 2])
@pytest.mark.parametrize('missing', ['audio', 'video', 'both'])
def test_modalities_without_segments(n, missing):
    "Segments of shape (n, 0, d) mean the same as None"
    torch.manual_seed(0)
    fusion = CrossAttentionFusion(8).eval()
    audio, video = torch.zeros(n, 0, 8), torch.zeros(n, 0, 8)
    if missing=='video': audio = torch.randn(n, 3, 8)
    if missing=='audio': video = torch.randn(n, 2, 8)
    found = fusion(audio, video)
    assert found.shape==(n, 8)
    if missing=='both': assert not found.any()
    if missing=='video': close(found, fusion(audio, None))
    if missing=='audio': close(found, fusion(None, video))

@pytest.mark.parametrize('make', [MeanFusion, lambda: ConcatFusion(8, 8), lambda: GatedFusion(8)])
def test_no_videos_are_fused_to_none(make):
    none = torch.zeros(0, 8)
    for audio_emb, video_emb in ((none, none), (none, None), (None, none)): assert len(make()(audio_emb, video_emb))==0
