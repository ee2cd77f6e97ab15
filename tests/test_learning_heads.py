"Projection heads: layers, values against the definition, frozen encoders, autoencoders, the variants of the thesis"
import copy
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from mvrep.encoders.musicnn import Musicnn
from mvrep.learning.heads import Frozen, ProjectionHead, TwoTowers, autoencoder_init
from mvrep.learning.losses import ClipLoss, VeldkampLoss
from mvrep.metrics.ranking import retrieval_metrics

@pytest.fixture
def video_feats():
    return torch.randn(32, 512, generator=torch.Generator().manual_seed(0))

def n_parameters(module): return sum(p.numel() for p in module.parameters())

def layer_names(**settings): return [type(o).__name__ for o in ProjectionHead(512, **settings).layers]

# One head

def test_settings_decide_the_layers():
    assert layer_names(n_layers=4).count('Linear')==4
    assert layer_names(n_layers=1, output='linear')==['Linear']
    assert layer_names(batch_norm=False)==['Linear', 'ReLU', 'Dropout', 'Linear', 'Sigmoid']
    assert n_parameters(ProjectionHead(1506))==1506*512+512+2*512+512*256+256

def test_embeddings_have_unit_norm(video_feats):
    emb = ProjectionHead(512, embed_dim=512)(video_feats)
    assert emb.shape==(32, 512)
    torch.testing.assert_close(emb.norm(dim=1), torch.ones(32))

def test_a_head_computes_its_definition(video_feats):
    head = ProjectionHead(512, batch_norm=False).eval()
    hidden, output = head.layers[0], head.layers[3]
    h = torch.relu(video_feats@hidden.weight.T+hidden.bias)
    want = torch.sigmoid(h@output.weight.T+output.bias)
    want = want/want.norm(dim=1, keepdim=True)
    torch.testing.assert_close(head(video_feats), want, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(head(video_feats.reshape(4, 8, 512)), want.reshape(4, 8, 256), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(head(video_feats.half()), want, atol=1e-3, rtol=1e-3)

def test_a_sigmoid_leaves_almost_no_spread(video_feats):
    def cosines(output):
        emb = ProjectionHead(512, output=output).eval()(video_feats).detach()
        return (emb@emb.T)[~torch.eye(32).bool()]
    torch.manual_seed(0)
    sigmoid, linear = cosines('sigmoid'), cosines('linear')
    assert sigmoid.mean()>.9 and sigmoid.std()<.05
    assert linear.mean().abs()<.5 and linear.std()>sigmoid.std()

@pytest.mark.parametrize('output', ['sigmoid', 'linear'])
@pytest.mark.parametrize('batch_norm', [False, True])
def test_no_features_give_no_embeddings(output, batch_norm):
    head = ProjectionHead(5, embed_dim=8, hidden_dim=7, batch_norm=batch_norm, output=output)
    for mode in (True, False):
        assert head.train(mode)(torch.zeros(0, 5)).shape==(0, 8)
        assert head(torch.zeros(2, 0, 5)).shape==(2, 0, 8)
    for o in head.state_dict().values(): assert o.isfinite().all() # statistics of the batch norm, too
    for single_sided in (False, True):
        towers = TwoTowers(5, 6, 5, single_sided=single_sided)
        assert [o.shape for o in towers(torch.zeros(0, 5), torch.zeros(0, 6))]==[(0, 5)]*2

def test_wrong_arguments_are_refused(video_feats):
    with pytest.raises(ValueError, match='expects width 1506'): ProjectionHead(1506)(video_feats)
    with pytest.raises(ValueError, match="output='tanh'"): ProjectionHead(512, output='tanh')
    with pytest.raises(ValueError, match='at least one layer'): ProjectionHead(512, n_layers=0)

# Two towers

def test_a_single_head_maps_into_the_audio_features():
    towers = TwoTowers(6, 5, embed_dim=99, single_sided=True, hidden_dim=7)
    audio_emb, video_emb = towers(torch.randn(3, 6), torch.randn(3, 5))
    assert audio_emb.shape==video_emb.shape==(3, 6) and towers.embed_dim==6

def test_two_towers_share_a_space(video_feats):
    audio_feats = torch.randn(32, 1506)
    audio_emb, video_emb = TwoTowers(1506, 512)(audio_feats, video_feats)
    assert (audio_emb.shape, video_emb.shape)==((32, 256), (32, 256))
    single = TwoTowers(1506, 512, single_sided=True)
    audio_emb, video_emb = single(audio_feats, video_feats)
    torch.testing.assert_close(audio_emb, F.normalize(audio_feats, dim=1))
    assert video_emb.shape==(32, 1506)
    assert n_parameters(single)==n_parameters(single.video)

# Frozen encoders

def train_head(encoder, head, steps=5):
    head.train()
    encoder.train()
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam([p for p in parameters if p.requires_grad], lr=.01)
    g = torch.Generator().manual_seed(0)
    for _ in range(steps):
        feats = encoder(torch.rand(4, 187, 96, generator=g))['pooled']
        targets = F.normalize(torch.randn(4, 256, generator=g), dim=1)
        ClipLoss()(head(feats), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

def changed(module, before): return [k for k, o in module.state_dict().items() if not torch.equal(before[k], o)]

def test_a_frozen_encoder_does_not_change_while_its_head_is_trained():
    encoder, head = Musicnn.from_pretrained('mtt'), ProjectionHead(1506)
    before, start = copy.deepcopy(encoder.state_dict()), copy.deepcopy(head.state_dict())
    no_gradients = copy.deepcopy(encoder).requires_grad_(False)
    train_head(Frozen(encoder), head)
    assert not changed(encoder, before)
    assert len(changed(head, start))==len(start)
    train_head(no_gradients, ProjectionHead(1506))
    assert changed(no_gradients, before) # the test can fail

def test_a_frozen_encoder_stays_in_evaluation_mode():
    model = nn.Sequential(Frozen(nn.BatchNorm1d(3)), nn.Linear(3, 2)).train()
    assert model[0].training and not model[0].encoder.training
    assert not model(torch.randn(5, 3))[0].isnan().any()
    assert all(p.grad is None for p in model[0].parameters())

# Autoencoders

@pytest.fixture
def pairs():
    "Features of 1,200 synthetic pairs that share six causes: audio (n, 120), video (n, 60), causes (n, 6)"
    g = torch.Generator().manual_seed(0)
    causes = torch.randn(1200, 6, generator=g)
    feats = []
    for width in (120, 60):
        x = causes@torch.randn(6, width, generator=g)+1.5*torch.randn(1200, width, generator=g)
        feats.append((x-x.mean(0))/x.std(0))
    return *feats, causes

def explained(head, feats, causes):
    "Share of the variance of the causes that ridge regression from a head's output explains on 300 test rows"
    z = head.eval()(feats).detach()
    z = torch.cat([z-z[:900].mean(0), torch.ones(1200, 1)], 1)
    gram = z[:900].T@z[:900]+1e-3*torch.eye(z.shape[1])
    error = (z@torch.linalg.solve(gram, z[:900].T@causes[:900])-causes)[900:]
    return (1-(error**2).mean()/causes[900:].var()).item()

def test_an_autoencoder_finds_the_causes(pairs):
    audio_feats, video_feats, causes = pairs
    torch.manual_seed(0)
    towers = TwoTowers(120, 60, embed_dim=16, hidden_dim=64, dropout=.1)
    start = explained(towers.audio, audio_feats, causes)
    for head, feats in ((towers.audio, audio_feats), (towers.video, video_feats)):
        errors = autoencoder_init(head, feats[:900])
        assert errors[-1]<.95*errors[0]
    assert explained(towers.audio, audio_feats, causes)>start

@pytest.mark.parametrize('training', [False, True])
def test_an_autoencoder_leaves_the_mode_as_it_was(pairs, training):
    head = ProjectionHead(60, embed_dim=4, hidden_dim=8).train(training)
    autoencoder_init(head, pairs[1][:20], epochs=1)
    assert head.training==training and all(o.grad is None or not o.grad.any() for o in head.parameters())

def test_a_last_batch_of_one_row_is_left_out():
    "Batch normalisation of one row would fail; the error of an epoch is a mean over rows"
    torch.manual_seed(0)
    head, feats = ProjectionHead(3, embed_dim=2, hidden_dim=4), torch.randn(5, 3)
    (one,) = autoencoder_init(copy.deepcopy(head), feats, epochs=1, batch_size=4)
    (two,) = autoencoder_init(copy.deepcopy(head), feats, epochs=1, batch_size=5)
    assert 0<one<two # the row that is left out adds nothing

def test_the_error_of_an_autoencoder_is_a_mean_over_rows():
    "Features that nothing can learn in one step: batches of 2 and of 4 of six rows have the mean of their squares"
    head = ProjectionHead(2, embed_dim=2, hidden_dim=4, output='linear')
    feats = 100*torch.tensor([[1., -1.]]).repeat(6, 1)
    (error,) = autoencoder_init(head, feats, epochs=1, batch_size=4, lr=0.)
    assert error==pytest.approx(1e4, rel=.05)

def test_an_autoencoder_depends_on_its_seed_only(pairs):
    head = ProjectionHead(60, embed_dim=16, hidden_dim=64)
    first, second = (autoencoder_init(copy.deepcopy(head), pairs[1][:100], epochs=2) for _ in range(2))
    assert first==second

# The variants of the thesis

def retrieve(pairs, temperature=1., autoencoder=False, **settings):
    "Train a variant for 100 steps. Returns the median rank among 300 test pairs."
    audio_feats, video_feats, _ = pairs
    torch.manual_seed(0)
    towers = TwoTowers(120, 60, **dict(embed_dim=32, hidden_dim=64) | settings)
    if autoencoder:
        autoencoder_init(towers.audio, audio_feats[:900])
        autoencoder_init(towers.video, video_feats[:900])
    loss, optimizer = VeldkampLoss(temperature), torch.optim.Adam(towers.parameters(), lr=.01)
    for _ in range(100):
        rows = torch.randperm(900)[:300]
        loss(*towers(audio_feats[rows], video_feats[rows])).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad(): embeddings = towers.eval()(audio_feats[900:], video_feats[900:])
    return retrieval_metrics(*embeddings, n_boot=0)['audio_to_video_median_rank']

def test_all_variants_learn(pairs):
    variants = dict(
        baseline={},
        embed_64=dict(embed_dim=64),
        four_layers=dict(n_layers=4),
        single_head=dict(single_sided=True),
        temperature=dict(temperature=.3),
        autoencoder=dict(autoencoder=True),
        linear=dict(output='linear'),
        linear_sharp=dict(output='linear', temperature=.1),
    )
    ranks = {name: retrieve(pairs, **settings) for name, settings in variants.items()}
    assert max(ranks.values())<120
    assert ranks['linear_sharp']<=ranks['baseline']

def test_a_single_row_cannot_be_normalised_over_the_batch_in_training():
    head = ProjectionHead(6, 4)
    with pytest.raises(ValueError, match='one row of features in training: batch normalisation needs at least 2'):
        head(torch.ones(1, 6))
    assert head.eval()(torch.ones(1, 6)).shape==(1, 4)
    assert ProjectionHead(6, 4, batch_norm=False)(torch.ones(1, 6)).shape==(1, 4)
    assert ProjectionHead(6, 4, n_layers=1)(torch.ones(1, 6)).shape==(1, 4)
