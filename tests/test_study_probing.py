"What the studies of retrieval, genre, tags, emotion and label noise say, checked on the committed results"
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from mvrep.corpus.demo import tiny_corpus
from mvrep.learning.samplers import sample_pairs
from mvrep.media.read import read_frames
from mvrep.metrics.classification import MEASURES
from mvrep.probing.index import THESIS_INPUTS

RESULTS = Path(__file__).parents[1]/'results'

def read(name, target=None, kind=None):
    rows = pd.read_csv(RESULTS/f'{name}.csv')
    if target: rows = rows[rows.target==target]
    return rows[rows.kind==kind] if kind else rows

# Cross-modal retrieval

def test_six_views_of_real_videos():
    rows = read('muvi_retrieval')
    assert set(rows.folds)=={4, 5}
    best = rows[rows.row=='all six views']
    assert (best.video_to_audio_median_rank<20).all() and (best['video_to_audio_R@10']>.35).all()

def test_settings_of_closed_forms_come_from_inner_folds():
    rows, chosen = read('muvi_retrieval').set_index('row'), read('muvi_retrieval_settings')
    for name in ('CCA', 'ridge'):
        name = f'{name} on pooled statistics'
        assert (chosen.row==name).sum()==rows.n[name]==15
        assert rows.video_to_audio_median_rank[name]<rows.video_to_audio_median_rank[f'{name}, library defaults']

def test_median_ranks_are_compared_over_artists():
    paired = read('muvi_retrieval_paired').set_index(['way', 'than'])
    assert (paired.low<=paired.difference).all() and (paired.difference<=paired.high).all()
    assert (paired.difference==paired.median_rank-paired.than_median_rank).all() and set(paired.artists)=={189}
    pooled = 'CCA on pooled statistics'
    assert paired.high['all six views', pooled]<0
    assert paired.low['heads on pooled statistics', pooled]<0<=paired.high['heads on pooled statistics', pooled]
    assert paired.low['view: style', 'view: curves']<0<paired.high['view: style', 'view: curves']

# Genre and tags

@pytest.mark.parametrize('name', ['probe_demo', 'probe_muvi'])
def test_intervals_hold_their_measure(name):
    rows = read(name)
    for o in MEASURES: assert ((rows[f'{o}_low']<=rows[o]) & (rows[o]<=rows[f'{o}_high'])).all()

def gain(name, target, by, than):
    "Difference of AUC, linear probes"
    return read(f'{name}_differences', target, 'linear').set_index(['measure', 'by', 'than']).loc['auc', by, than]

@pytest.mark.parametrize('name', ['probe_muvi'])
def test_differences_are_those_of_the_means(name):
    keys = ['target', 'kind', 'by']
    means = read(name).set_index(keys)
    for o in read(f'{name}_differences').itertuples():
        by, than = (means.loc[(o.target, o.kind, name)] for name in (o.by, o.than))
        if by.n==than.n==o.n: assert abs(by[o.measure]-than[o.measure]-o.difference)<2e-4
        assert o.low<=o.difference<=o.high

def test_inputs_and_kinds_are_complete():
    assert {'audio', 'video', 'concatenated', 'both'}<=set(read('probe_demo', 'genre', 'linear').by)<=set(THESIS_INPUTS)
    for target in ('genre', 'tags'):
        assert set(read('probe_muvi', target, 'knn').by)=={'audio', 'video', 'concatenated', 'both'}

def test_years_are_read_from_video():
    assert read('probe_muvi_year').set_index('by').spearman['video']>.8

@pytest.mark.parametrize('name', ['probe_demo', 'probe_muvi'])
@pytest.mark.parametrize('target', ['genre', 'tags'])
def test_every_input_is_above_chance(name, target): assert (read(name, target, 'linear').auc_low>.5).all()

@pytest.mark.parametrize('target', ['genre', 'tags'])
def test_video_and_both_are_above_audio_on_real_videos(target):
    for by in ('video', 'both'): assert gain('probe_muvi', target, by, 'audio').low>0

def test_tags_without_training():
    zero = read('zero_shot_tags')
    assert set(zero.target)=={'genre', 'tags'}
    assert ((zero.auc_low<=zero.auc) & (zero.auc<=zero.auc_high)).all()
    assert (zero[zero.label=='mean'].auc_low>.5).all()

# Emotion

@pytest.fixture(scope='module')
def emotion(): return pd.read_csv(RESULTS/'emotion.csv')

@pytest.fixture(scope='module')
def paired(): return pd.read_csv(RESULTS/'emotion_paired.csv').set_index(['way', 'than', 'measure'])

def holds_zero(rows): return ((rows.low<0)&(rows.high>0)).all()

def test_every_way_of_matching_emotions_is_above_chance(emotion):
    near = emotion[emotion.task!='classify']
    assert (emotion.low>emotion.chance).all() and (near.others_low>near.others_chance).all()
    assert (near.others<near.accuracy).all()

def test_audio_gains_from_video(emotion, paired):
    both = [o for o in emotion.way if o.startswith('both')]
    assert (paired.loc[[(o, 'audio', 'accuracy') for o in both]].low>0).all()
    assert holds_zero(paired.loc[[(o, 'video', 'accuracy') for o in both]])
    assert holds_zero(paired.loc[[('video', 'audio', 'accuracy')]])

def test_forms_of_pair_networks_are_not_told_apart(paired):
    forms = [(f'pair space, repaired, on {o}', f'pair network, published form, on {o}')
             for o in ('features', 'descriptions')]
    measures = ('accuracy', 'others')
    assert holds_zero(paired.loc[[(*o, measure) for o in forms for measure in measures]])
    assert paired.loc[(*forms[1], 'accuracy')].seeds_above==0
    networks = [*forms[0], *forms[1]]
    assert holds_zero(paired.loc[[('joint embedding of true pairs', o, m) for o in networks for m in measures]])

def test_confusions_of_emotions_add_up(emotion):
    table = pd.read_csv(RESULTS/'emotion_confusion.csv', index_col='truth')
    assert list(table.index)==list(table.columns)
    assert abs(table.to_numpy().sum()-emotion.n.max())<.1

def test_a_mel_cnn_from_random_weights_is_at_chance():
    mel = read('emotion_mel')
    assert ((mel.low<mel.chance)&(mel.chance<mel.high)&(mel.folds==5)).all()

def test_area_from_decisions_is_the_mean_of_recall_and_specificity():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 400)
    scores = rng.normal(size=(400, 6))+1.5*np.eye(6)[truth]
    one_hot, decided = np.eye(6)[truth], np.eye(6)[scores.argmax(1)]
    recall = np.array([decided[truth==o, o].mean() for o in range(6)])
    specificity = np.array([1-decided[truth!=o, o].mean() for o in range(6)])
    from_decisions = roc_auc_score(one_hot, decided)
    assert np.isclose(from_decisions, ((recall+specificity)/2).mean())
    assert roc_auc_score(one_hot, scores)>from_decisions

def test_pairs_that_are_drawn_before_the_split_leak_labels():
    video, music, same = sample_pairs(np.random.default_rng(0).integers(0, 6, 40), 2000, seed=0)
    train = np.arange(2000)<1600
    known = np.full((40, 40), np.nan)
    known[video[train], music[train]] = known[music[train], video[train]] = same[train]
    shared = (known==1).astype(int)
    guess = ((shared@shared)>0)[video[~train], music[~train]]
    assert (guess==same[~train]).mean()>.8

def test_patches_of_one_song_on_both_sides_of_a_split():
    rng = np.random.default_rng(0)
    song = np.repeat(np.arange(60), 20)
    patches = rng.normal(size=(60, 16))[song]+.3*rng.normal(size=(1200, 16))
    labels = rng.integers(0, 6, 60)[song]
    def accuracy(test):
        model = KNeighborsClassifier(1).fit(patches[~test], labels[~test])
        return model.score(patches[test], labels[test])
    assert accuracy(rng.random(1200)<.2)>.95 and accuracy(song%5==0)<.35

def test_consecutive_frames_vary_less_than_frames_of_the_whole_video():
    frames = read_frames(tiny_corpus()/'videos'/'v0000.mp4', size=48)[0]
    spread = frames[np.linspace(0, len(frames)-1, 32).round().astype(int)]
    def variety(frames): return frames.mean((1, 2)).std(0).mean()
    assert variety(spread)>variety(frames[:32])

# Label noise

def test_lists_of_doubtful_labels():
    draws = read('label_noise')
    assert sorted(draws.groupby(['corpus', 'share']).size().unique())==[1, 3]
    for o in ('wrong', 'doubtful'): assert (draws.found<=draws[o]).all()
    np.testing.assert_allclose(draws.chance_precision, draws.wrong/draws.videos, atol=1e-3)
