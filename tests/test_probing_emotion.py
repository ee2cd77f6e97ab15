"Emotion classifiers, measures of matching, and networks trained on pairs"
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from mvrep.corpus.demo import EMOTIONS, describe
from mvrep.corpus.folds import train_test_pairs
from mvrep.encoders.mel_cnn import MelCNN
from mvrep.encoders.weights import WeightsError
from mvrep.features.vectors import Scale
from mvrep.index.exact import best_rows
from mvrep.learning.samplers import sample_pairs
from mvrep.probing.emotion import EmotionNet, late_fusion, train_emotion
from mvrep.probing.emotion_matching import best_shares, confusion_figure, draw_confusions, right_share
from mvrep.probing.emotion_matching import emotion_report, nearest_music, nearest_report
from mvrep.probing.emotion_pairs import (PairNet, PairSpace, PairTraining, distances, fit_pairs, load_pairs,
                                         save_pairs)

# Folds of the demo corpus

def test_emotion_folds_of_the_demo_corpus():
    demo = pd.DataFrame([describe(i) for i in range(96)])
    folds = train_test_pairs(demo.emotion, demo.artist)
    assert np.sort(np.concatenate([test for _,test in folds])).tolist()==list(range(96))
    for train, test in folds: assert not set(demo.artist[train]) & set(demo.artist[test])

def test_few_videos_of_each_emotion_still_make_folds():
    assert len(train_test_pairs(list(EMOTIONS[:4])*4))==5
    with pytest.raises(ValueError, match='2 groups cannot fill 5 folds'):
        train_test_pairs(['Sad']*4, ['Ada', 'Ada', 'Bo', 'Bo'])

# Classifiers

@pytest.fixture(scope='module')
def videos():
    "Twelve videos of five emotions with features of two modalities"
    rng = np.random.default_rng(0)
    emotions = np.array([*EMOTIONS[:4], 'Tension', 'Fear']*2, object)
    return dict(audio=rng.normal(size=(12, 30)).astype('f4'), video=rng.normal(size=(12, 20)).astype('f4')), emotions

@pytest.fixture(scope='module')
def nets(videos):
    feats, emotions = videos
    return {modality: train_emotion(x, emotions) for modality,x in feats.items()}

def test_the_description_is_what_the_last_layer_reads(videos, nets):
    x = torch.from_numpy(videos[0]['audio'])
    with torch.inference_mode(): described = nets['audio'].head(nets['audio'].features(x))
    torch.testing.assert_close(described, nets['audio'](x))

def test_the_seed_decides(videos, nets):
    again = train_emotion(videos[0]['audio'], videos[1])
    other = train_emotion(videos[0]['audio'], videos[1], seed=1)
    assert torch.equal(again.hidden.weight, nets['audio'].hidden.weight)
    assert not torch.equal(other.hidden.weight, nets['audio'].hidden.weight)

def test_training_videos_are_recognised(videos, nets):
    probs = late_fusion(list(nets.values()), list(videos[0].values()))
    report = emotion_report(videos[1], best_shares(probs))
    assert (report['accuracy'], report['n'])==(1., 12)

def test_what_cannot_be_trained(videos):
    x = videos[0]['audio']
    one = ['Sad', 'Sad', None, 'Sad']
    with pytest.raises(ValueError, match='1 emotion among 3 labelled'): train_emotion(x[:4], one)
    with pytest.raises(ValueError, match='row of features per label'): train_emotion(x, ['Sad'])
    assert train_emotion(x[:4], ['Sad', 'Fear', None, np.nan], epochs=1).classes==['Fear', 'Sad']

def test_late_fusion_is_the_mean(videos, nets):
    feats = videos[0]
    nets, xs = [nets['audio'], nets['video']], [feats['audio'], feats['video']]
    audio, video = late_fusion(nets[:1], xs[:1]), late_fusion(nets[1:], xs[1:])
    np.testing.assert_allclose(late_fusion(nets, xs), (audio+video)/2, atol=1e-6)
    silent = np.array(feats['audio'])
    silent[0] = np.nan
    np.testing.assert_allclose(late_fusion(nets, [silent, xs[1]]).iloc[0], video.iloc[0], atol=1e-6)
    assert late_fusion(nets[:1], [silent]).iloc[0].isna().all()
    with pytest.raises(ValueError, match='the same videos'): late_fusion(nets, [xs[0], xs[1][:3]])

def test_a_class_that_one_classifier_has_not_learned(videos, nets):
    feats, emotions = videos
    *two, third = nets['video'].classes[:3]
    half = train_emotion(feats['audio'], [o if o in two else None for o in emotions])
    fused = late_fusion([half, nets['video']], [feats['audio'], feats['video']])
    alone = late_fusion([nets['video']], [feats['video']])
    np.testing.assert_allclose(fused[third], alone[third]/2, atol=1e-6)

def test_a_saved_classifier(videos, nets, tmp_path):
    nets['audio'].save(tmp_path/'audio.safetensors')
    loaded = EmotionNet.load(tmp_path/'audio.safetensors')
    x = torch.from_numpy(videos[0]['audio'])
    with torch.inference_mode(): assert torch.equal(loaded(x), nets['audio'](x))
    assert loaded.classes==nets['audio'].classes
    MelCNN(['Fear', 'Sad']).save(tmp_path/'mel.safetensors')
    with pytest.raises(WeightsError, match='holds MelCNN, not EmotionNet'): EmotionNet.load(tmp_path/'mel.safetensors')
    with pytest.raises(WeightsError, match='no weights at'): EmotionNet.load(tmp_path/'missing.safetensors')

# Measures

ANSWER = pd.DataFrame(dict(Fear=[1, .5, 0, 0, 0], Sad=[0, .5, 1, 1, 1], Tension=0.))
EMOTIONS_OF_FOUR = ['Sad', 'Sad', 'Fear', 'Fear']

def test_ties_are_shared():
    shares = best_shares(pd.DataFrame(dict(a=[1, 2, np.nan], b=[1, 1, np.nan])))
    assert shares.fillna(-1).to_numpy().tolist()==[[.5, .5], [1, 0], [-1, -1]]

def test_shares_of_answers_that_are_right():
    assert right_share(['Sad', 'Fear', 'Joy'], ANSWER[:3]).tolist()==[0, .5, 0]

def test_report_by_hand():
    report = emotion_report(['Fear', 'Sad', 'Sad', 'Neutral', None], ANSWER)
    assert (report['accuracy'], report['n'], report['left_out'], report['unseen'])==(2.5/4, 4, 1, ['Neutral'])
    assert report['chance']==(1/4+2*2/4+1/4)/4
    assert report['recall'].fillna(-1).to_dict()==dict(Fear=1, Neutral=0, Sad=.75, Tension=-1)
    assert report['table'].sum(axis=1).to_dict()==dict(Fear=1, Neutral=1, Sad=2, Tension=0)

def test_reports_that_cannot_be_made():
    with pytest.raises(ValueError, match='none of 5 videos'): emotion_report([None]*5, ANSWER)
    with pytest.raises(ValueError, match='5 answers for 2 videos'): emotion_report(['Sad', 'Fear'], ANSWER)

def test_the_own_song_always_matches():
    report = nearest_report(1-np.eye(4), EMOTIONS_OF_FOUR)
    assert (report['accuracy'], report['R@1'], report['others'])==(1, 1, 1/3)
    assert (report['others_low'], report['others_high'])==(1/3, 1/3)

def test_the_other_song_of_the_emotion():
    report = nearest_report(1-np.eye(4)[[1, 0, 3, 2]], EMOTIONS_OF_FOUR)
    assert (report['accuracy'], report['R@1'], report['others'])==(1, 0, 1)

def test_equal_distances_are_at_chance():
    report = nearest_report(np.ones((4, 4)), EMOTIONS_OF_FOUR)
    assert (report['accuracy'], report['chance'], report['median_rank'], report['pool'])==(.5, .5, 2.5, 4)

def test_chance_by_hand():
    "One of four songs is `Sad`, three are `Fear`; unlabelled songs are candidates of the own song only"
    emotions = ['Sad', 'Fear', 'Fear', 'Fear', None]
    report = nearest_report(1-np.eye(5), emotions)
    assert report['chance']==pytest.approx((1/4+3*3/4)/4)
    assert report['others_chance']==pytest.approx((0+3*2/3)/4)
    assert (report['pool'], report['chance_median_rank'], report['chance_R@1'], report['chance_R@5'])==(5, 3, .2, 1)
    shares, chance = nearest_music(1-np.eye(5), emotions)
    np.testing.assert_allclose(chance, [1/4, 3/4, 3/4, 3/4, 0])
    assert shares.columns.tolist()==['Fear', 'Sad'] and shares.iloc[4].tolist()==[.75, .25]

def test_ranks_of_the_own_song():
    distance = np.array([[.5, .1, .2], [.9, .1, .8], [.3, .2, .4]])
    report = nearest_report(distance, ['Sad', 'Sad', 'Fear'])
    assert (report['median_rank'], report['R@1'], report['R@5'])==(3, 1/3, 1)

def test_artists_are_drawn_together():
    report = nearest_report(1-np.eye(4)[[1, 0, 2, 3]], EMOTIONS_OF_FOUR, ['Ada', 'Ada', 'Bo', 'Bo'])
    assert report['others_low']==1/3

def test_songs_without_a_label_are_no_answers():
    report = nearest_report(1-np.eye(4), ['Sad', None, 'Fear', 'Fear'])
    assert (report['n'], report['left_out'], report['pool'])==(3, 1, 4)

def test_distances_that_are_refused():
    with pytest.raises(ValueError, match='a distance for each'): nearest_report(np.ones((4, 3)), EMOTIONS_OF_FOUR)
    with pytest.raises(ValueError, match='not a number'): nearest_music(np.full((4, 4), np.nan), EMOTIONS_OF_FOUR)
    with pytest.raises(ValueError, match='no song with a label'):
        nearest_music(np.ones((2, 2)), ['Sad', None], own=False)

def test_rows_of_the_figure_are_videos():
    names = ['Fear', 'Sad', 'Tension']
    table = pd.DataFrame([[3., 1, 0], [0, 2, 2], [1, 1, 4]], names, names)
    ax = Figure().subplots()
    draw_confusions(ax, table)
    assert (ax.get_ylabel(), ax.get_xlabel())==('emotion of the video', 'emotion of the nearest song')
    assert [o.get_text() for o in ax.get_yticklabels()]==names
    assert [o.get_text() for o in ax.texts][:3]==['3', '1', '0']
    assert confusion_figure(table).size==(336, 240)

# Pairs

SMALL = PairTraining(n_pairs=128, epochs=1)

@pytest.fixture(scope='module')
def task():
    "Four emotions, each a direction of its own in audio and video features: 80 videos to train on, 40 to measure"
    rng = np.random.default_rng(0)
    emotion = rng.integers(0, 4, 120)
    def make(): return (rng.normal(size=(4, 24))[emotion]+.7*rng.normal(size=(120, 24))).astype(np.float32)
    return make(), make(), np.array(['Exciting', 'Fear', 'Sad', 'Tension'], object)[emotion]

@pytest.fixture(scope='module')
def pair_nets(task):
    audio, video, names = task
    how = PairTraining(n_pairs=4000, epochs=3, lr=1e-3)
    return {kind: fit_pairs(audio[:80], video[:80], names[:80], kind, how) for kind in (PairNet, PairSpace)}

def test_half_of_the_pairs_share_an_emotion():
    emotions = np.array(['Fear']*6+['Sad']*3+['Tension']*3)
    video, song, same = sample_pairs(emotions, 1000, seed=0)
    assert (emotions[video]==emotions[song]).tolist()==same.tolist()
    assert (same.sum(), (video==song).sum())==(500, 0)

def test_the_published_network_has_its_size_and_is_no_distance():
    assert sum(o.numel() for o in PairNet(512, 912).parameters())==365_313
    torch.manual_seed(0)
    net = PairNet(16, 16).eval()
    net.video.load_state_dict(net.audio.state_dict())
    net.judge.weight.data *= 4
    x = torch.randn(60, 16).numpy()
    distance = distances(net, x, x)
    detour = distance[:, None, :]+distance[None].transpose(0, 2, 1)
    assert distance.diagonal().mean()>.1 and (distance[:, :, None]>detour+1e-6).any()

@pytest.mark.parametrize('kind', [PairNet, PairSpace])
def test_emotions_are_found(task, pair_nets, kind):
    audio, video, names = task
    assert nearest_report(distances(pair_nets[kind], audio[80:], video[80:]), names[80:])['accuracy']>.8

def test_an_exact_search_finds_the_nearest_songs(task, pair_nets):
    net, (audio, video, _) = pair_nets[PairSpace], task
    with torch.inference_mode():
        songs = net.encode_audio(torch.from_numpy(audio[80:])).numpy()
        queries = net.encode_video(torch.from_numpy(video[80:])).numpy()
    found = best_rows([(songs, queries)], 3)
    distance = distances(net, audio[80:], video[80:])
    assert np.array_equal(np.stack([rows for rows,_ in found]), np.argsort(distance)[:, :3])
    np.testing.assert_allclose(np.stack([score for _,score in found]), 1-np.sort(distance)[:, :3]**2/2, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(songs, axis=1), 1, atol=1e-5)

def test_the_same_seed_gives_the_same_space(task):
    audio, video = task[0][:12], task[1][:12]
    labels = ['Sad']*5+['Fear']*5+['Tension', None]
    def weight(n=12, seed=0):
        how = PairTraining(SMALL.n_pairs, SMALL.epochs, seed=seed)
        return fit_pairs(audio[:n], video[:n], labels[:n], how=how).audio.weight
    assert torch.equal(weight(), weight())
    assert not torch.equal(weight(), weight(seed=1))
    assert torch.equal(weight(), weight(n=11)) # the last video has no label

def test_pairs_that_cannot_be_trained(task):
    audio, video, names = (o[:12] for o in task)
    with pytest.raises(ValueError, match='want at least two classes'): fit_pairs(audio, video, ['Sad']*12, how=SMALL)
    with pytest.raises(ValueError, match='a label for each'): fit_pairs(audio, video, names[:3], how=SMALL)
    with pytest.raises(ValueError, match='NaN'): fit_pairs(audio*np.nan, video, names, how=SMALL)

@pytest.mark.parametrize('kind', [PairNet, PairSpace])
def test_a_saved_network(task, pair_nets, kind, tmp_path):
    audio, video, _ = task
    save_pairs(pair_nets[kind], tmp_path/'net.safetensors')
    loaded = load_pairs(tmp_path/'net.safetensors')
    assert type(loaded) is kind
    assert np.array_equal(distances(loaded, audio[80:], video[80:]), distances(pair_nets[kind], audio[80:], video[80:]))

def test_another_file_is_refused(tmp_path):
    EmotionNet(Scale.identity(3), ['Fear', 'Sad']).save(tmp_path/'other.safetensors')
    with pytest.raises(WeightsError, match='holds EmotionNet, not PairNet or PairSpace'):
        load_pairs(tmp_path/'other.safetensors')
