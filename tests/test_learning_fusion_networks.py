"Fusion networks: the video decides what is attended to, missing modalities and padding have no influence"
import numpy as np
import pytest
import torch
from torch import nn
from mvrep.learning.fusion_networks import (
    FUSIONS, TOWERS, FusionNet, Tower, TowerConfig, drop_modalities, make_fusion_net, stack_items)

SMALL = dict(video=TowerConfig(8, 8, .2), audio=TowerConfig(8, 4, .2), text=TowerConfig(12, 4, .2))
WIDTHS = dict(video=6, audio=5, text=4)

def small_net(fusion='hybrid', dims=WIDTHS, **kwargs):
    torch.manual_seed(0)
    return FusionNet(dims, fusion, 16, SMALL, **kwargs).eval()

@pytest.fixture
def features():
    "A complete item, one with audio only, one with text only, one with nothing, and gaps in the segments"
    rng = np.random.default_rng(0)
    def segments(*counts): return lambda width: [rng.normal(size=(n, width)) for n in counts]
    parts = dict(video=segments(4, 0, 0, 0, 3), audio=segments(3, 2, 0, 0, 0), text=segments(2, 0, 1, 0, 1))
    arrays = {m: make(WIDTHS[m]) for m, make in parts.items()}
    arrays['video'][4][1] = np.nan
    return stack_items(list('abcde'), arrays)

def embed(net, features):
    with torch.no_grad(): return net(features.x, features.mask)

def attended(net, frames, passages):
    "What frames of shape (1, t, 8) find in passages of shape (1, s, 12)"
    def all_of(x): return torch.ones(x.shape[:2], dtype=torch.bool)
    masks = dict(video=all_of(frames), text=all_of(passages))
    with torch.no_grad(): return net.fusion.found('text', dict(video=frames, text=passages), masks)

@pytest.mark.parametrize('n_passages', [1, 2, 5])
def test_changing_the_visual_query_changes_what_is_found(n_passages):
    net = small_net()
    passages, frames = torch.randn(1, n_passages, 12), torch.randn(1, 3, 8)
    found = attended(net, frames, passages)
    assert found.std(1).max()>1e-3 # another frame finds something else
    assert (attended(net, frames+1, passages)-found).abs().max()>1e-3
    attention = net.fusion.attention['text'] # the published attention has no learned key
    plain = nn.MultiheadAttention(8, 4, batch_first=True)
    keys = net.fusion.keys['text'](passages)
    spread = plain(net.fusion.query(frames), keys, keys)[0].std(1).max()
    assert (spread<1e-6)==(n_passages==1) and attention.bias_k is not None

@pytest.mark.parametrize('fusion', FUSIONS)
def test_rows_depend_on_nothing_but_their_own_segments(fusion, features):
    net = small_net(fusion)
    out = embed(net, features)
    torch.testing.assert_close(out.norm(dim=1), torch.tensor([1., 1, 1, 0, 1]))
    polluted = {m: torch.where(features.mask[m][..., None], x, torch.nan) for m, x in features.x.items()}
    with torch.no_grad(): torch.testing.assert_close(net(polluted, features.mask), out)
    for i in range(5): # alone, without padding
        counts = {m: mask[i].sum() for m, mask in features.mask.items()}
        x = {m: features.x[m][i][features.mask[m][i]][None] for m in WIDTHS}
        masks = {m: torch.ones(1, n, dtype=torch.bool) for m, n in counts.items()}
        with torch.no_grad(): torch.testing.assert_close(net(x, masks)[0], out[i], atol=1e-5, rtol=0)

@pytest.mark.parametrize('fusion', FUSIONS)
def test_every_segment_of_every_modality_counts(fusion, features):
    net = small_net(fusion)
    out = embed(net, features)
    for m in WIDTHS:
        for t in range(int(features.mask[m][0].sum())):
            x = {name: o.clone() for name, o in features.x.items()}
            x[m][0, t] = -x[m][0, t]
            with torch.no_grad(): assert (net(x, features.mask)[0]-out[0]).abs().max()>1e-5

def test_ablations(features):
    for modalities in (('video',), ('video', 'audio'), ('text',)):
        part = features.only(*modalities)
        assert list(part.dims)==list(modalities)
        has = torch.stack([part.mask[m].any(1) for m in modalities]).any(0)
        for fusion in FUSIONS: assert torch.equal(embed(small_net(fusion, part.dims), part).any(1), has)
    for wrong in (('smell',), ()):
        with pytest.raises(ValueError, match='want some of video, audio, text'): features.only(*wrong)

@pytest.mark.parametrize('fusion', FUSIONS)
def test_gradients_are_finite_and_reach_every_tower(fusion, features):
    net = small_net(fusion, n_languages=3).train()
    left = drop_modalities(features.mask, .5, torch.Generator().manual_seed(0))
    (net(features.x, left, torch.tensor([1, 0, 2, 3, 0]))*torch.randn(5, 16)).sum().backward()
    assert all(o.grad is not None and o.grad.isfinite().all() for o in net.towers.parameters())

def test_the_language_changes_the_text(features):
    net = small_net(n_languages=3)
    with torch.no_grad():
        out = [net(features.x, features.mask, torch.full((5,), k)) for k in (0, 2)]
        assert torch.equal(net(features.x, features.mask), out[0])
    assert (out[0]-out[1])[0].abs().max()>1e-4 and torch.equal(out[0][1], out[1][1]) # b has no text

def test_modalities_are_dropped_but_never_all(features):
    for seed in range(20):
        left = drop_modalities(features.mask, .7, torch.Generator().manual_seed(seed))
        assert all((left[m] <= mask).all() for m, mask in features.mask.items())
        assert torch.stack([o.any(1) for o in left.values()]).any(0).tolist()==[True, True, True, False, True]
    kept = drop_modalities({m: torch.ones(5000, 1, dtype=torch.bool) for m in 'abc'}, .2)
    assert abs(kept['a'].float().mean()-.8)<.03
    assert all(torch.equal(o, features.mask[m]) for m, o in drop_modalities(features.mask, 0.).items())

def test_scale_uses_existing_segments_of_the_training_part(features):
    net = small_net()
    net.set_scale(features, torch.tensor([0, 1]))
    x = torch.cat([features.x['audio'][i][features.mask['audio'][i]] for i in (0, 1)])
    torch.testing.assert_close(net.mean_audio, x.mean(0))
    torch.testing.assert_close(net.std_text, features.x['text'][0, :2].std(0, correction=0))

def test_published_sizes(features):
    net = make_fusion_net(features.dims)
    assert [TOWERS[m].dim for m in ('video', 'audio', 'text')]==[256, 192, 384] and net.embed_dim==128
    assert net.fusion.output[1].in_features==3*256
    simple, ultra = (make_fusion_net(features.dims, o).fusion.output for o in ('simple', 'ultra_simple'))
    assert (simple[1].in_features, simple[1].out_features, len(ultra))==(832, 416, 2)
    with pytest.raises(ValueError, match="fusion='sum'"): make_fusion_net(features.dims, 'sum')
    with pytest.raises(ValueError, match='want some of video'): make_fusion_net(dict(smell=3))

def test_what_cannot_be_stacked():
    with pytest.raises(ValueError, match='video: 1 arrays for 2 items'):
        stack_items(['a', 'b'], dict(video=[np.ones((1, 2))]))
    with pytest.raises(ValueError, match='no modality'): stack_items(['a'], {})
    nothing = torch.zeros(2, 0, 3), torch.zeros(2, 0, dtype=torch.bool)
    assert Tower(3, SMALL['text'])(*nothing)[1].tolist()==[[True], [True]]
