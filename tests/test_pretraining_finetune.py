"Fine-tuning: windows, aggregation, frozen and trained encoders, evaluation by tag and group, public data sets"
from dataclasses import replace
import numpy as np
import pytest
import torch
from mvrep.encoders.sample_cnn import SampleCNN
from mvrep.encoders.weights import hash_weights
from mvrep.media.clips import write_audio
from mvrep.metrics.tagging import tag_metrics
from mvrep.pretraining.finetune import FineTuneConfig, TaggedSongs, Tagger, aggregate, evaluate_tags, fit_tagger
from mvrep.pretraining.finetune import score_songs, window_features
from mvrep.pretraining.public_tags import MTT_GROUPS, TAG_DATASETS, benchmark_tags, read_tag_dataset
from tones import SIZES, SR, tone, write_tones

SMALL = FineTuneConfig(max_epochs=15, batch_size=16, lr=.02)

@pytest.fixture(scope='module')
def songs(tmp_path_factory):
    recordings = write_tones(tmp_path_factory.mktemp('songs'), 24, 8, seconds=1.)
    split = np.array(['train', 'valid', 'test'])[np.arange(24)%3]
    truth = np.stack([np.arange(24)>12, np.arange(24)<6, np.zeros(24), np.ones(24)], 1).astype(bool)
    return TaggedSongs(replace(recordings, split=split), ['high', 'low', 'never', 'always'], truth, np.arange(24)//2)

@pytest.mark.parametrize('overlap', [0, .3, .5, .75, .9])
def test_overlapping_windows(overlap):
    net, y = SampleCNN(SIZES), tone(300, 1.)
    n = SIZES.n_samples
    step = int((1-overlap)*SIZES.seconds*SR)
    starts = range(0, SR-n+1, step)
    feats = window_features(net, y, SR, overlap)
    assert len(feats)==len(starts)
    with torch.inference_mode(): last = net.eval()(torch.from_numpy(y[starts[-1]:starts[-1]+n])[None])
    np.testing.assert_allclose(feats[-1], last[0], atol=1e-5)

@pytest.mark.parametrize('overlap', [-.1, .95, 1., float('nan')])
def test_overlaps_that_are_refused(overlap):
    with pytest.raises(ValueError, match='want a share from 0 to 0.9'):
        window_features(SampleCNN(SIZES), tone(1, 1), SR, overlap)

def test_aggregation():
    scores = np.random.default_rng(0).random((7, 3))
    np.testing.assert_allclose(aggregate(scores), scores.mean(0))
    np.testing.assert_allclose(aggregate(scores, 'max'), scores.max(0))
    np.testing.assert_allclose(aggregate(scores, 'vote'), (scores>.5).mean(0))
    with pytest.raises(ValueError, match='want one of mean, max, vote'): aggregate(scores, 'median')
    with pytest.raises(ValueError, match='no windows'): aggregate(scores[:0])

def random_net(songs, seed=0):
    "A random network whose normalisation fits the songs"
    net, recordings = SampleCNN(SIZES, seed), songs.recordings
    crops = torch.from_numpy(np.stack([recordings.crop(i, 0, SIZES.n_samples) for i in range(24)]))
    for _ in range(30): net.train()(crops)
    return net

@pytest.mark.parametrize('head', ['linear', 'mlp'])
def test_a_frozen_encoder_stays_frozen(songs, head):
    net = random_net(songs, seed=2)
    before = hash_weights(net)
    tagger, log = fit_tagger(net, songs, replace(SMALL, head=head, max_epochs=60))
    assert hash_weights(net)==before==hash_weights(tagger.encoder) and log.loss.iloc[-1]<log.loss.iloc[0]
    positions, scores = score_songs(tagger, songs)
    assert scores.shape==(8, 4) and ((0<=scores) & (scores<=1)).all()
    assert tag_metrics(scores[:, :2], songs.truth[positions, :2], n_boot=0)['macro_auc']>.75

def test_everything_can_be_trained(songs):
    net = SampleCNN(SIZES)
    before = hash_weights(net)
    tagger, _ = fit_tagger(net, songs, replace(SMALL, train_encoder=True, max_epochs=3, encoder_lr=1e-3))
    assert hash_weights(net)==before!=hash_weights(tagger.encoder)
    assert not torch.equal(net.blocks[0][1].running_mean, tagger.encoder.blocks[0][1].running_mean)

def test_a_seed_decides(songs):
    a, b, c = (fit_tagger(SampleCNN(SIZES), songs, replace(SMALL, max_epochs=2, seed=o))[1] for o in (0, 0, 1))
    assert a.equals(b) and not a.equals(c)

@pytest.mark.parametrize('change,message', [
    (dict(lr=1e30), 'not a number: use a learning rate below'), (dict(head='svm'), 'want linear or mlp'),
    (dict(overlap=.95), 'want a share'), (dict(aggregation='sum'), 'want one of mean')])
def test_wrong_settings(songs, change, message):
    with pytest.raises(ValueError, match=message): fit_tagger(SampleCNN(SIZES), songs, replace(SMALL, **change))

def test_another_network_cannot_be_trained():
    class Other(torch.nn.Module): layers = dict(pooled=3)
    with pytest.raises(ValueError, match='Other cannot be trained'):
        Tagger(Other(), ['a'], FineTuneConfig(train_encoder=True))

def test_tags_without_positives_are_named(songs):
    assert songs.unlearnable()==['never', 'always']
    scores, groups = np.random.default_rng(0).random((24, 4)), dict(a=['high', 'never'], b=['never'])
    found = evaluate_tags(scores, songs.truth, songs.tags, songs.artists, groups)
    assert found.left_out=={'never': 0, 'always': 24} and found.groups.group.tolist()==['all', 'a']
    assert found.tags.tag.tolist()==['high', 'low'] and np.isfinite(found.groups.drop(columns='group').to_numpy()).all()
    row = found.groups.set_index('group').loc['a']
    assert row.tags==1 and row.chance_pr_auc==pytest.approx(11/24) and row.chance_roc_auc==.5
    assert row.roc_auc_low<=row.roc_auc<=row.roc_auc_high
    for tag in found.tags.itertuples():
        assert tag.roc_auc_low<tag.roc_auc<tag.roc_auc_high and tag.pr_auc_low<tag.pr_auc<tag.pr_auc_high
        assert tag.chance_roc_auc==.5 and 0<tag.chance_pr_auc<1
    quick = evaluate_tags(scores, songs.truth, songs.tags, songs.artists, groups, n_boot=0)
    assert quick.tags.roc_auc.equals(found.tags.roc_auc) and quick.groups.roc_auc_low.isna().all()

def test_nothing_to_train_with(songs):
    none = replace(songs, recordings=replace(songs.recordings, split=np.array(['train']*24)))
    with pytest.raises(ValueError, match='24 songs to train on, 0 to validate'):
        fit_tagger(SampleCNN(SIZES), none, SMALL)
    constant = replace(songs, truth=np.zeros_like(songs.truth))
    with pytest.raises(ValueError, match='no tag has validation songs'): fit_tagger(SampleCNN(SIZES), constant, SMALL)
    with pytest.raises(ValueError, match='no test songs: 24 songs'):
        score_songs(Tagger(SampleCNN(SIZES), songs.tags), none)

# Public data sets

def write_song(path, i, suffix='.webm'):
    "Half a second of a high or a low tone"
    hz = 900+20*i if i%2 else 150+5*i
    write_audio(path, np.interp(np.arange(30_000)/48_000, np.arange(5000)/8000, tone(hz, .625)).astype(np.float32))

@pytest.fixture(scope='module')
def encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp('net')/'net.safetensors'
    SampleCNN(SIZES).save(path)
    return f'sample_cnn@{path}'

@pytest.fixture(scope='module')
def magnatagatune(tmp_path_factory):
    folder = tmp_path_factory.mktemp('mtt')
    rows = ['clip_id\tflute\tdrums\tsitar\tmp3_path']
    info = ['clip_id\ttitle\tartist\tsegmentStart\tsegmentEnd']
    for i in range(18):
        name = f'{"0cd"[i%3]}/song_{i}.webm'
        if i not in (3, 4): write_song(folder/'mp3'/name, i)
        rows.append(f'{i}\t{i%2}\t{1-i%2}\t{int(i==3)}\t{name}')
        info.append(f'{i}\tsong\tartist {i//2}\t0\t29')
    (folder/'mp3'/'d'/'song_2.webm').write_bytes(b'no audio')
    (folder/'annotations_final.csv').write_text('\n'.join(rows))
    (folder/'clip_info_final.csv').write_text('\n'.join(info))
    return folder

def test_magnatagatune(magnatagatune, encoder, tmp_path):
    found = benchmark_tags(magnatagatune, 'magnatagatune', encoder, SMALL, tmp_path, workers=0, n_boot=20)
    assert found.songs==dict(train=5, valid=5, test=5)
    reasons = dict(found.left_out)
    assert set(reasons)=={'2', '3', '4'} and 'no file' in reasons['3'] and 'Error' not in reasons['2']
    assert found.unlearnable==['sitar'] and found.evaluation.left_out=={'sitar': 0}
    assert found.evaluation.groups.group.tolist()==['all', 'instrument']
    assert np.isfinite(found.evaluation.groups.drop(columns='group').to_numpy()).all()

def test_short_songs_are_counted(magnatagatune, tmp_path):
    path = tmp_path/'long.safetensors'
    SampleCNN(replace(SIZES, channels=(8,)*8)).save(path)
    found = benchmark_tags(magnatagatune, 'magnatagatune', f'sample_cnn@{path}', SMALL, tmp_path, workers=0, n_boot=20)
    assert found.short==15 # of .6 s; the window has .8 s

@pytest.mark.parametrize('layout', ['', 'data/splits/split-0'])
@pytest.mark.parametrize('dataset', ['jamendo-moodtheme', 'jamendo-top50'])
def test_jamendo(tmp_path, encoder, layout, dataset):
    tags = ['mood/theme---happy', 'mood/theme---dark']
    for word, numbers in dict(train=range(6), validation=range(6, 10), test=range(10, 16)).items():
        rows = ['TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS']
        for i in numbers:
            rows.append(f'track_{i}\tartist_{i//2}\talbum_{i}\t0{i%2}/{i}.mp3\t1.0\t{tags[i%2]}\tgenre---rock')
            y = np.repeat(tone(900 if i%2 else 200, .6), 6)
            write_audio(tmp_path/'audio'/f'0{i%2}'/f'{i}.low.mp3', y, codec='libmp3lame')
        path = tmp_path/layout/f'autotagging_{TAG_DATASETS[dataset]}-{word}.tsv'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('\n'.join(rows))
    data = read_tag_dataset(tmp_path, dataset)
    assert data.tags==['genre---rock', *sorted(tags)] and data.groups['mood/theme']==sorted(tags)
    assert data.corpus.split.tolist()==['train']*6+['valid']*4+['test']*6
    if dataset=='jamendo-top50' or layout: return
    found = benchmark_tags(tmp_path, dataset, encoder, SMALL, tmp_path/'audio', workers=0, n_boot=20)
    assert found.songs==dict(train=6, valid=4, test=6) and not found.left_out
    assert found.evaluation.left_out=={'genre---rock': 6}
    assert found.evaluation.groups.group.tolist()==['all', 'mood/theme']

def test_what_is_missing(tmp_path, magnatagatune, encoder):
    with pytest.raises(ValueError, match='want one of magnatagatune, jamendo'): read_tag_dataset(tmp_path, 'fma')
    for name, file in (('magnatagatune', 'annotations_final.csv'), ('jamendo-genre', 'autotagging_genre-train.tsv')):
        with pytest.raises(FileNotFoundError, match=f'no {file}'): read_tag_dataset(tmp_path, name)
    (tmp_path/'annotations_final.csv').write_text('clip_id\tflute\tmp3_path\n1\t1\t0/a.mp3\n2\t0\tc/b.mp3')
    with pytest.raises(ValueError, match='none of 2 audio files'): benchmark_tags(tmp_path, 'magnatagatune', encoder)
    with pytest.raises(ValueError, match='want an audio encoder'):
        benchmark_tags(magnatagatune, 'magnatagatune', 'efficientnet_lite0')

def test_groups_of_magnatagatune():
    counts = {name: len(tags) for name, tags in MTT_GROUPS.items()}
    assert counts==dict(genre=12, mood=7, instrument=11, vocals=12, other=5)
