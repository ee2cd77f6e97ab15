"Losses against slow versions, open_clip and pytorch-metric-learning; chance, floor, masks, memory"
import math
import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning import distances, losses as pml, miners, reducers
from mvrep.core import import_torchvision
from mvrep.learning.cross_batch_memory import CrossBatchMemory
from mvrep.learning.losses import Candidates, ClipLoss, Memory, NTXentLoss, SigmoidLoss, VeldkampLoss, info_nce
from mvrep.learning.losses import same_pairs
from mvrep.learning.margin_losses import ContrastiveLoss, TripletMarginLoss, contrastive_cost
from mvrep.learning.structure import structure_loss

import_torchvision() # open_clip imports it
from open_clip.loss import ClipLoss as OpenClipLoss, SigLipLoss as OpenSigLipLoss

GENERATOR = torch.Generator().manual_seed(0)
def unit(*shape): return F.normalize(torch.randn(*shape, generator=GENERATOR), dim=-1)
AUDIO = unit(12, 8)
VIDEO = F.normalize(AUDIO+.3*torch.randn(12, 8, generator=GENERATOR), dim=1)
CLIP = torch.arange(12)
GENRE = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
ORTHOGONAL = torch.eye(20)
SIMPLEX = ORTHOGONAL-1/20

def value_and_gradients(loss, *inputs):
    inputs = [x.clone().requires_grad_() for x in inputs]
    value = loss(*inputs)
    value.backward()
    return [value.detach(), *(x.grad for x in inputs)]

def assert_same(ours, theirs, audio=AUDIO, video=VIDEO, eps=1e-5):
    "Equal value and equal gradients"
    for a, b in zip(value_and_gradients(ours, audio, video), value_and_gradients(theirs, audio, video)):
        torch.testing.assert_close(a, b, atol=eps, rtol=0)

def normalised(loss):
    "The same loss of embeddings of any length"
    return lambda x, y: loss(F.normalize(x, dim=1), F.normalize(y, dim=1))

def both_ways(loss, labels):
    "A loss of pytorch-metric-learning, averaged over both directions"
    def one_way(x, y): return loss(x, labels, ref_emb=y, ref_labels=labels.clone()) # the same tensor: no diagonal
    return lambda x, y: (one_way(x, y)+one_way(y, x))/2

# Pairs and masks

def test_pairs_share_an_id():
    video, artist = torch.tensor([0, 0, 1, 2]), torch.tensor([5, 5, -1, -1])
    assert same_pairs(video).int().tolist()==[[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert same_pairs(torch.stack([torch.arange(4), artist], 1)).sum()==6
    assert same_pairs(video, torch.tensor([2, 0])).int().tolist()==[[0, 1], [0, 1], [0, 0], [1, 0]]

def test_a_batch_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match='want both of the same shape'): ClipLoss()(AUDIO, VIDEO[:5])
    with pytest.raises(ValueError, match='for 12 clips'): ClipLoss()(AUDIO, VIDEO, same_pairs(GENRE)[:3])
    with pytest.raises(ValueError, match='for 12 clips'): ClipLoss()(AUDIO, VIDEO, positive=same_pairs(GENRE)[:3])

def masked_slowly(temperature):
    def loss(audio, video):
        rows = []
        for logits in (audio@video.T/temperature, video@audio.T/temperature):
            for i in range(12):
                kept = [j for j in range(12) if j==i or GENRE[i]!=GENRE[j]]
                rows.append(logits[i, kept].logsumexp(0)-logits[i, i])
        return sum(rows)/len(rows)
    return loss

def test_ignored_pairs_are_as_good_as_absent():
    ignore = same_pairs(GENRE)
    assert_same(lambda x, y: ClipLoss(.1)(x, y, ignore), normalised(masked_slowly(.1)))
    assert ClipLoss()(AUDIO, VIDEO, torch.ones(12, 12)).item()==0

def masked_by_hand(ignore, positive):
    "InfoNCE of both directions by hand, for masks with audio in rows that differ from their transposes"
    logits = AUDIO[:3]@VIDEO[:3].T/.1
    rows = []
    for x, left_out, right in ((logits, ignore, positive), (logits.T, ignore.T, positive.T)):
        for i in range(3):
            kept = [j for j in range(3) if right[i, j] or not left_out[i, j]]
            rows.append(x[i, kept].logsumexp(0)-x[i, right[i]].mean())
    return sum(rows).item()/6

def test_masks_have_audio_in_rows():
    ignore, positive = torch.zeros(3, 3).bool(), torch.eye(3).bool()
    ignore[0, 1], positive[2, 1] = True, True
    want = masked_by_hand(ignore, positive)
    assert ClipLoss(.1)(AUDIO[:3], VIDEO[:3], ignore, positive).item()==pytest.approx(want, abs=1e-5)
    for masks in ((ignore.T, positive), (ignore, positive.T)): assert abs(masked_by_hand(*masks)-want)>.001

def test_a_positive_pair_that_is_ignored_stays_positive():
    plain = ClipLoss(.1)(AUDIO, VIDEO)
    assert torch.equal(ClipLoss(.1)(AUDIO, VIDEO, torch.eye(12)), plain)

def test_related_clips_are_no_negatives_of_the_same_modality():
    "Neither those that are ignored, nor further positives, whatever side of the mask they are on"
    ignore, positive = torch.zeros(3, 3).bool(), torch.eye(3).bool()
    ignore[0, 1], positive[2, 1] = True, True
    def row(i, x, y, left_out, right):
        logits = [x[i]@y[j]/.1 for j in range(3) if right[i, j] or not left_out[i, j]]
        related = (left_out | left_out.T | right | right.T)[i]
        logits += [x[i]@x[j]/.1 for j in range(3) if j!=i and not related[j]]
        mean = torch.stack([x[i]@y[j]/.1 for j in range(3) if right[i, j]]).mean()
        return torch.stack(logits).logsumexp(0)-mean
    audio, video = AUDIO[:3], VIDEO[:3]
    want = sum(row(i, audio, video, ignore, positive)+row(i, video, audio, ignore.T, positive.T) for i in range(3))/6
    assert NTXentLoss(.1)(audio, video, ignore, positive).item()==pytest.approx(want.item(), abs=1e-5)

def test_sigmoid_loss_of_ignored_pairs():
    ignore = torch.zeros(12, 12)
    ignore[0, 1] = 1
    loss = SigmoidLoss(.1, -1.)
    cost = -F.logsigmoid(-(AUDIO[0]@VIDEO[1]/.1-1))
    assert (loss(AUDIO, VIDEO)-loss(AUDIO, VIDEO, ignore)).item()==pytest.approx(cost.item()/12, abs=1e-5)

def test_earlier_embeddings_may_have_any_length():
    x, memory = unit(3, 8), torch.zeros(3, 12)
    want = ClipLoss(.1)(x, x, memory=Memory(AUDIO, VIDEO, memory))
    torch.testing.assert_close(ClipLoss(.1)(x, x, memory=Memory(5*AUDIO, VIDEO/3, memory)), want)

def test_equal_candidates_share_equally():
    logits, true = torch.zeros(4, 4), torch.eye(4).bool()
    nothing = torch.zeros(4, 4).bool()
    assert info_nce(logits, true, nothing).item()==pytest.approx(math.log(4))
    assert info_nce(logits, true, nothing, printed=True).item()==pytest.approx(math.log(3))
    with pytest.raises(ValueError, match='no negatives'):
        info_nce(logits[:1, :1], true[:1, :1], nothing[:1, :1], printed=True)

def test_rows_without_a_positive_are_left_out():
    positive = torch.eye(12).bool()
    positive[3:] = False
    ignore = torch.zeros(12, 12).bool()
    cos = AUDIO@VIDEO.T
    assert torch.equal(info_nce(cos, positive, ignore), info_nce(cos[:3], positive[:3], ignore[:3]))

# The thesis

def printed_slowly(audio, video, temperature):
    total, n = 0., len(audio)
    for x, y in ((audio, video), (video, audio)):
        for i in range(n):
            others = sum(math.exp(x[i]@y[k]/temperature) for k in range(n) if k!=i)
            total -= math.log(math.exp(x[i]@y[i]/temperature)/others)/n
    return total

def published_slowly(audio, video, temperature):
    logits = audio@video.T/temperature
    return F.cross_entropy(logits, CLIP)+F.cross_entropy(logits.T, CLIP)

@pytest.mark.parametrize('temperature', [1., .3])
def test_the_thesis_loss_as_printed_and_as_published(temperature):
    printed = VeldkampLoss(temperature, printed=True)(AUDIO, VIDEO).item()
    assert printed==pytest.approx(printed_slowly(AUDIO, VIDEO, temperature), abs=1e-4)
    published = VeldkampLoss(temperature)(AUDIO, VIDEO).item()
    assert published==pytest.approx(published_slowly(AUDIO, VIDEO, temperature).item(), abs=1e-4)

def test_chance_and_floor_of_the_thesis_batch():
    loss = VeldkampLoss()
    bounds = loss.chance(1000), loss.floor(1000, nonnegative=True), loss.floor(1000)
    assert [round(o, 3) for o in bounds]==[13.816, 11.819, 11.817]
    same = torch.ones(1000, 4)
    with torch.no_grad(): assert loss(same, same).item()==pytest.approx(loss.chance(1000), abs=1e-3)

@pytest.mark.parametrize('loss', [VeldkampLoss(.3), VeldkampLoss(.3, printed=True), ClipLoss(.1), NTXentLoss(.1)])
def test_the_floor_is_reached_by_a_simplex(loss):
    assert loss(SIMPLEX, SIMPLEX).item()==pytest.approx(loss.floor(20), abs=1e-4)

@pytest.mark.parametrize('loss', [VeldkampLoss(.3), VeldkampLoss(.3, printed=True)])
def test_the_floor_behind_a_sigmoid_is_reached_by_orthogonal_vectors(loss):
    assert loss(ORTHOGONAL, ORTHOGONAL).item()==pytest.approx(loss.floor(20, nonnegative=True), abs=1e-4)

@pytest.mark.parametrize('loss', [
    VeldkampLoss(.3), VeldkampLoss(.3, printed=True), ClipLoss(.1), NTXentLoss(.1),
    TripletMarginLoss(mining='all'), TripletMarginLoss(mining='hard'), TripletMarginLoss()])
def test_equal_cosines_give_the_loss_at_chance(loss):
    same = torch.ones(12, 4)
    with torch.no_grad(): assert loss(same, same).item()==pytest.approx(loss.chance(12), abs=1e-4)

# Other softmax losses

def test_clip_loss_is_that_of_open_clip():
    ours, theirs = ClipLoss(.07, learned=True), OpenClipLoss()
    log_scale = torch.tensor(math.log(1/.07), requires_grad=True)
    assert_same(ours, normalised(lambda x, y: theirs(x, y, log_scale.exp())), 3*AUDIO, VIDEO)
    assert ours.logit_scale.grad.item()==pytest.approx(log_scale.grad.item(), abs=1e-5)

def test_nt_xent_is_that_of_pytorch_metric_learning():
    theirs = pml.NTXentLoss(temperature=.2)
    assert_same(NTXentLoss(.2), lambda x, y: theirs(torch.cat([x, y]), CLIP.repeat(2)))

def test_a_learned_temperature_stays_within_its_limits_and_can_return():
    loss = ClipLoss(.011, learned=True)
    optimizer = torch.optim.SGD(loss.parameters(), lr=5.)
    for video in [SIMPLEX]*5+[SIMPLEX.roll(1, 0)]*5:
        loss(SIMPLEX, video).backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad(): loss(SIMPLEX, video) # the next use clamps
        assert .01-1e-6<=loss.temperature<=1+1e-6
    assert loss.temperature==pytest.approx(1, abs=1e-5)

def test_several_positives_are_supcon():
    theirs = both_ways(pml.SupConLoss(.1), GENRE)
    assert_same(lambda x, y: ClipLoss(.1)(x, y, positive=same_pairs(GENRE)), theirs)

def test_siglip_is_that_of_open_clip():
    theirs = OpenSigLipLoss()
    assert_same(SigmoidLoss(), normalised(lambda x, y: theirs(x, y, torch.tensor(10.), torch.tensor(-10.))))

def test_siglip_at_chance():
    loss = SigmoidLoss(bias=-math.log(11)) # log odds of one pair in twelve
    loss.logit_scale.data.fill_(-99)
    assert loss(AUDIO, VIDEO).item()==pytest.approx(loss.chance(12), abs=1e-5)

# Margins

@pytest.mark.parametrize('kind', ['cosine', 'euclidean'])
def test_contrastive_loss_is_that_of_pytorch_metric_learning(kind):
    margins = (0., .8) if kind=='cosine' else (.1, 1.2)
    distance = distances.CosineSimilarity() if kind=='cosine' else distances.LpDistance()
    similarity_margins = (1., .2) if kind=='cosine' else margins
    theirs = pml.ContrastiveLoss(*similarity_margins, distance=distance, reducer=reducers.MeanReducer())
    ours = ContrastiveLoss(*margins, kind, power=1)
    assert_same(lambda x, y: ours(x, y, positive=same_pairs(GENRE)), both_ways(theirs, GENRE))

def test_contrastive_cost_of_given_pairs():
    same = torch.tensor([True, False, False])
    assert contrastive_cost(torch.tensor([.5, .5, 2.]), same).tolist()==[.25, .25, 0]
    assert contrastive_cost(torch.tensor([0., 1.]), same[:2]).tolist()==[0, 0]
    assert contrastive_cost(torch.tensor([.5, .5, .5]), same, .25, 1.5, power=1).tolist()==[.25, 1, 1]

def test_contrastive_loss_is_that_of_hadsell():
    distance = 1-AUDIO@VIDEO.T
    positives = [distance[i, i]**2 for i in range(12)]
    negatives = [max(1-distance[i, j], torch.tensor(0.))**2 for i in range(12) for j in range(12) if i!=j]
    want = sum(positives)/12+sum(negatives)/len(negatives)
    assert ContrastiveLoss()(AUDIO, VIDEO).item()==pytest.approx(want.item(), abs=1e-5)

@pytest.mark.parametrize('loss, chance', [
    (VeldkampLoss(.3), 2*math.log(4)), (VeldkampLoss(.3, printed=True), 2*math.log(3)), (ClipLoss(), math.log(4)),
    (NTXentLoss(), math.log(7)), (SigmoidLoss(), math.log(4)+3*math.log(4/3)),
    (ContrastiveLoss(), 2*.5**2), (ContrastiveLoss(.25, 1.25, power=1), 2*.5), (ContrastiveLoss(1., .5), 0),
    (TripletMarginLoss(.2, mining='all'), .2), (TripletMarginLoss(.2, mining='hard'), .2), (TripletMarginLoss(.2), 0)])
def test_chance_of_four_clips(loss, chance): assert loss.chance(4)==pytest.approx(chance)

def test_contrastive_loss_at_chance_is_that_of_the_best_single_distance():
    best = min((d/100)**2+(1-d/100)**2 for d in range(101))
    assert ContrastiveLoss().chance(12)==pytest.approx(best)
    with pytest.raises(ValueError, match="distance='manhattan'"): ContrastiveLoss(distance='manhattan')

def pml_triplet(labels, kind, mining, margin=.3):
    distance = distances.CosineSimilarity() if kind=='cosine' else distances.LpDistance()
    miner = dict(
        all=miners.TripletMarginMiner(margin=99, type_of_triplets='all', distance=distance),
        hard=miners.BatchHardMiner(distance=distance),
        semihard=miners.TripletMarginMiner(margin=margin, type_of_triplets='semihard', distance=distance))[mining]
    loss = pml.TripletMarginLoss(margin=margin, distance=distance)
    def one_way(x, y):
        reference = dict(ref_emb=y, ref_labels=labels.clone())
        return loss(x, labels, miner(x, labels, **reference), **reference)
    return lambda x, y: (one_way(x, y)+one_way(y, x))/2

@pytest.mark.parametrize('labels', [CLIP, GENRE], ids=['clip', 'genre'])
@pytest.mark.parametrize('mining', ['all', 'hard', 'semihard'])
@pytest.mark.parametrize('kind', ['cosine', 'euclidean'])
def test_triplet_loss_is_that_of_pytorch_metric_learning(kind, mining, labels):
    ours = TripletMarginLoss(.3, kind, mining)
    assert_same(lambda x, y: ours(x, y, positive=same_pairs(labels)), pml_triplet(labels, kind, mining))

def test_mining():
    cos = torch.tensor([[1., .9, .8, .1]]) # the last negative is further than the margin: it is not semi-hard
    candidates = Candidates(cos, cos==1, cos<0)
    assert TripletMarginLoss(.3).one_way(candidates).item()==pytest.approx(((.3-.1)+(.3-.2))/2)
    assert TripletMarginLoss(.3, mining='hard').one_way(candidates).item()==pytest.approx(.3-.1)
    equal = Candidates(torch.ones(1, 3), torch.tensor([[True, False, False]]), torch.zeros(1, 3).bool())
    assert TripletMarginLoss(.3).one_way(equal)==0
    with pytest.raises(ValueError, match="mining='soft'"): TripletMarginLoss(mining='soft')

# Structure

def structure_slowly(emb, feats, temperature):
    total, n = 0., len(emb)
    for i in range(n):
        others = [j for j in range(n) if j!=i]
        before, after = ((x[i]@x[others].T/temperature).softmax(0) for x in (feats, emb))
        total += (before*(before/after).log()).sum()/n
    return total

def test_structure_loss():
    g = torch.Generator().manual_seed(0)
    feats = torch.randn(40, 6, generator=g)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=g))[0]
    assert structure_loss(feats@rotation, feats).item()==pytest.approx(0, abs=1e-5)
    feats, emb = F.normalize(feats[:5], dim=1), unit(5, 6)
    for temperature in (.1, .5):
        want = structure_slowly(emb, feats, temperature).item()
        assert structure_loss(emb, feats, temperature).item()==pytest.approx(want, abs=1e-4)
    assert structure_loss(emb, feats)==structure_loss(emb, feats, .1)
    with pytest.raises(ValueError, match='at least 3'): structure_loss(feats[:2], feats[:2])
    with pytest.raises(ValueError, match='5 embeddings and 4 features'): structure_loss(emb, feats[:4])

# Memory

def test_the_memory_adds_columns_to_the_next_batch():
    audio, video = unit(6, 8), unit(6, 8)
    ids = torch.tensor([20, 21, 22, 0, 24, 25]) # clip 3 is clip 0 of the first batch
    def slow(audio, video):
        rows = []
        for queries, candidates, earlier in ((audio, video, VIDEO[:8]), (video, audio, AUDIO[:8])):
            for i in range(6):
                logits = [queries[i]@o/.1 for o in candidates]
                logits += [queries[i]@o/.1 for j, o in enumerate(earlier) if ids[i]!=j]
                rows.append(torch.stack(logits).logsumexp(0)-logits[i])
        return sum(rows)/12
    def ours(x, y):
        loss = CrossBatchMemory(ClipLoss(.1), size=8)
        assert torch.equal(loss(AUDIO, VIDEO, CLIP), ClipLoss(.1)(AUDIO, VIDEO))
        return loss(x, y, ids)
    assert_same(ours, normalised(slow), audio, video)

def test_the_memory_keeps_the_newest_clips_in_training_only():
    loss = CrossBatchMemory(ClipLoss(.1), size=8)
    loss(AUDIO, VIDEO, CLIP)
    loss(unit(6, 8), unit(6, 8), torch.tensor([20, 21, 22, 0, 24, 25]))
    want = [20, 21, 22, 0, 24, 25, 0, 1]
    assert loss.ids[:, 0].tolist()==want
    loss.eval()(AUDIO, VIDEO, CLIP)
    assert loss.ids[:, 0].tolist()==want and len(loss.audio_emb)==8

@pytest.mark.parametrize('loss', [
    VeldkampLoss(printed=True), VeldkampLoss(), ClipLoss(learned=True), NTXentLoss(), CrossBatchMemory(ClipLoss(), 200),
    SigmoidLoss(), ContrastiveLoss(distance='euclidean'), TripletMarginLoss(), TripletMarginLoss(mining='hard')],
    ids=lambda loss: type(loss).__name__)
def test_a_loss_learns(loss):
    g = torch.Generator().manual_seed(1)
    shared = torch.randn(400, 4, generator=g)
    def features(): return shared@torch.randn(4, 12, generator=g)+.3*torch.randn(400, 12, generator=g)
    audio_feats, video_feats = features(), features()
    torch.manual_seed(0)
    audio_head, video_head = torch.nn.Linear(12, 8), torch.nn.Linear(12, 8)
    optimizer = torch.optim.Adam([*audio_head.parameters(), *video_head.parameters(), *loss.parameters()], lr=.01)
    for step in range(100):
        rows = torch.arange(100)+100*(step%3)
        ids = [rows] if isinstance(loss, CrossBatchMemory) else []
        loss(audio_head(audio_feats[rows]), video_head(video_feats[rows]), *ids).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad(): audio, video = audio_head(audio_feats[300:]), video_head(video_feats[300:])
    cos = F.normalize(audio, dim=1)@F.normalize(video, dim=1).T
    rank = 1+(cos>cos.diagonal()[:, None]).sum(1)
    assert rank.median()<20 # chance: 50.5

# Batches and settings that have no loss

EVERY_LOSS = [VeldkampLoss(), VeldkampLoss(.3, printed=True), ClipLoss(), ClipLoss(learned=True), NTXentLoss(),
              SigmoidLoss(), ContrastiveLoss(), ContrastiveLoss(distance='euclidean', power=1),
              *(TripletMarginLoss(mining=o) for o in ('semihard', 'hard', 'all'))]
EVERY_LOSS += [CrossBatchMemory(o, 8).eval() for o in (ClipLoss(), TripletMarginLoss())]

def value_of(loss, audio_emb, video_emb):
    "The loss, with ids for a memory; its gradients have to be finite"
    audio_emb = audio_emb.clone().requires_grad_()
    more = [torch.arange(len(audio_emb))] if isinstance(loss, CrossBatchMemory) else []
    value = loss(audio_emb, video_emb, *more)
    if value.requires_grad: value.backward()
    assert audio_emb.grad is None or audio_emb.grad.isfinite().all()
    return value.item()

@pytest.mark.parametrize('loss', EVERY_LOSS, ids=lambda o: type(o).__name__)
def test_odd_batches(loss):
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(6, 4, generator=g), torch.randn(6, 4, generator=g)
    for shape in ((0, 4), (6, 0)):
        empty = torch.zeros(shape)
        with pytest.raises(ValueError, match='at least one clip'): value_of(loss, empty, empty)
    for bad in (float('nan'), float('inf')):
        spoilt = a.clone()
        spoilt[2, 1] = bad
        for pair, name in (((spoilt, b), 'audio_emb'), ((a, spoilt), 'video_emb')):
            message = f'{name} has NaN or infinite values in 1 of 6 rows'
            with pytest.raises(ValueError, match=message): value_of(loss, *pair)
    constant, zeros = torch.ones(6, 4), torch.zeros(6, 4)
    assert all(math.isfinite(value_of(loss, *o)) for o in ((constant, constant), (zeros, b), (constant, -constant)))
    expected = value_of(loss, a, b)
    for size in (1e30, 1e-10): assert value_of(loss, a*size, b*size)==pytest.approx(expected, rel=1e-4)
    if getattr(loss, 'printed', False):
        with pytest.raises(ValueError, match='no negatives'): value_of(loss, a[:1], b[:1])
    else: assert math.isfinite(value_of(loss, a[:1], b[:1]))

PLAIN_LOSSES = [o for o in EVERY_LOSS if not isinstance(o, CrossBatchMemory)]

@pytest.mark.parametrize('loss', PLAIN_LOSSES, ids=lambda o: type(o).__name__)
def test_all_or_no_pairs_are_positive(loss):
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    for positive in (torch.ones(4, 4), torch.zeros(4, 4)):
        try: value = loss(a, b, positive=positive).item()
        except ValueError as e: assert 'positive' in str(e) or 'negatives' in str(e)
        else: assert math.isfinite(value)
    everything = torch.ones(4, 4).bool()
    try: assert math.isfinite(loss(a, b, ignore=everything).item())
    except ValueError as e: assert 'negatives' in str(e)

@pytest.mark.parametrize('temperature', [0., -1., 1e-40, float('nan'), float('inf')])
@pytest.mark.parametrize('kind', [VeldkampLoss, ClipLoss, NTXentLoss, SigmoidLoss])
def test_temperatures_that_no_loss_can_have(kind, temperature):
    with pytest.raises(ValueError, match='temperature='): kind(temperature)

def test_other_settings_that_no_loss_can_have():
    nan, x = float('nan'), torch.randn(5, 3)
    for make in (lambda: ClipLoss(min_temperature=0.), lambda: ClipLoss(min_temperature=2.),
                 lambda: SigmoidLoss(bias=nan),
                 lambda: ContrastiveLoss(pos_margin=nan), lambda: ContrastiveLoss(neg_margin=float('inf')),
                 lambda: ContrastiveLoss(power=0), lambda: TripletMarginLoss(nan),
                 lambda: CrossBatchMemory(ClipLoss(), 0),
                 lambda: structure_loss(x, x, 0.), lambda: structure_loss(x*nan, x), lambda: structure_loss(x, x*nan)):
        with pytest.raises(ValueError): make()
    assert structure_loss(x*1e30, x*1e30).item()==pytest.approx(0, abs=1e-6)
    assert math.isfinite(structure_loss(torch.ones(5, 3), x).item())
    for loss in PLAIN_LOSSES: assert math.isfinite(loss.chance(2)) and math.isfinite(loss.floor(2))
    for loss in PLAIN_LOSSES[:6]:
        with pytest.raises(ValueError, match='at least'): loss.chance(0)

def test_a_memory_that_does_not_fit_or_is_not_finite():
    x = torch.randn(3, 2)
    for memory in (Memory(x, x, torch.zeros(2, 3)), Memory(x*float('nan'), x, torch.zeros(3, 3))):
        with pytest.raises(ValueError, match='memory'): ClipLoss()(x, x, memory=memory)
