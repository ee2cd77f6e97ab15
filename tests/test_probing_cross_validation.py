"Cross-validation on known answers, with copies, missing modalities, few artists and labels that nothing knows"
import json
import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score
from mvrep.metrics.classification import MEASURES, chance_average_precision, rank_within_folds
from mvrep.metrics.intervals import jackknife_interval
from mvrep.probing.cross_validation import (FoldPredictions, Labels, Protocol, compare_inputs, cross_validate,
                                            evaluate_predictions, fuse_probabilities, predict_folds)

ONE = Protocol(n_seeds=1)
BOTH = dict(both=('audio', 'video'))

def rows_by_input(report): return {o['by']: o for o in report['results']}

def make_data():
    """Audio tells three classes apart, video two of them.

    One class has one video, one video no label, video 5 is a copy with another label, five videos lack audio."""
    rng = np.random.default_rng(0)
    label = np.arange(120)%3
    inputs = {}
    for name, centres in dict(audio=np.eye(3), video=np.eye(3)[[0, 1, 1]]).items():
        inputs[name] = rng.normal(size=(120, 10))+1.2*centres[label]@rng.normal(size=(3, 10))
        inputs[name][5] = inputs[name][4]
    values = [*np.array(['calm', 'loud', 'sad'])[label][:118], 'odd', None]
    values[5] = 'calm'
    inputs['audio'][60:65] = np.nan
    return inputs, values

@pytest.fixture(scope='module')
def data(): return make_data()

@pytest.fixture(scope='module')
def report(data):
    inputs, values = data
    return cross_validate(inputs, values, [f'artist {i//6}' for i in range(120)], BOTH, Protocol(n_seeds=2))

def audio_only(data): return dict(audio=np.nan_to_num(data[0]['audio']))

# Measures

def test_one_fold_is_scikit_learn():
    rng = np.random.default_rng(0)
    scores, truth = rng.normal(size=(50, 1)).round(1), rng.random((50, 1))<.3
    found = rank_within_folds(scores, truth, np.zeros(50))
    assert np.isclose(found.auc[0, 0], roc_auc_score(truth, scores))
    assert np.isclose(found.average_precision[0, 0], average_precision_score(truth, scores))

def test_frequency_in_training_is_at_chance_within_folds():
    rng = np.random.default_rng(0)
    artist = np.arange(60)//10
    truth = (rng.random(60)<np.array([.1, .9, .3, .7, .2, .6])[artist])[:, None]
    scores = np.array([truth[artist!=o].mean() for o in artist])[:, None]
    assert rank_within_folds(scores, truth, artist).auc.tolist()==[[.5]]
    assert roc_auc_score(truth, scores)<.3

def test_chance_of_average_precision_in_short_lists():
    rng = np.random.default_rng(0)
    scores, truth = rng.random((332, 1)), np.arange(332)[:, None]%41==0
    truth[-40:] = False
    assert truth.sum()==8
    assert chance_average_precision(scores, truth, np.arange(332)%5, 200)[0]>2*truth.mean()
    assert abs(chance_average_precision(scores, truth, np.zeros(332), 200)[0]-.04)<.02

def test_the_interval_covers():
    "In about 95 of 100 sets the jackknife holds the mean of all sets; percentiles of the bootstrap hold it in fewer"
    rng = np.random.default_rng(0)
    artist, found = np.arange(100)//5, []
    for _ in range(100):
        truth = rng.random(100)<np.where(rng.random(20)<.5, .1, .5)[artist]
        scores = (truth+rng.normal(size=100)+.7*rng.normal(size=20)[artist])[:, None]
        resampled = rng.multinomial(20, np.full(20, .05), 100)[:, artist]
        weights = np.r_[np.ones((1, 100)), np.arange(20)[:, None]!=artist, resampled]
        ap = rank_within_folds(scores, truth[:, None], artist%5, weights).average_precision[:, 0]
        found.append([ap[0], *jackknife_interval(ap[None, :21])[:, 0], *np.nanquantile(ap[21:], [.025, .975])])
    mean, low, high, low_boot, high_boot = np.transpose(found)
    covered = ((low<=mean.mean()) & (mean.mean()<=high)).sum()
    covered_boot = ((low_boot<=mean.mean()) & (mean.mean()<=high_boot)).sum()
    assert 88<=covered and covered_boot<covered

def test_fused_probabilities():
    fused = fuse_probabilities([[[.9, .1], [.6, .4]], [[.3, .7], [np.nan]*2]], False)
    np.testing.assert_allclose(fused, [[.663, .337], [.6, .4]], atol=1e-3)
    assert np.isnan(fuse_probabilities([[[np.nan]], [[np.nan]]], True)).all()

# Reports

def test_a_known_answer(report):
    rows = rows_by_input(report)
    assert rows['both']['accuracy']>rows['video']['accuracy']>rows['video']['chance_accuracy']+.1
    assert (rows['audio']['n'], rows['both']['n'])==(113, 118)
    for row in rows.values():
        for name in MEASURES: assert row[f'{name}_low']<row[name]<=row[f'{name}_high']

def test_what_is_left_out_is_noted(report):
    assert report['skipped']==[dict(label='odd', n=1, reason='fewer than 3 videos')]
    assert report['notes']==[
        '1 of 120 videos without a label: left out',
        '1 copy of other videos: kept in the same fold',
        '1 video with copies that have other labels: check them',
        'audio: missing in 5 videos']
    assert (report['folds'], report['seeds'], report['grouped_by'], report['groups'])==(5, 2, 'artist', 20)

def test_the_wrong_label_of_a_copy_is_doubtful(report, data):
    assert 5 in [o['position'] for o in report['doubtful']]
    for o in report['doubtful']: assert o['by']=='both' and data[1][o['position']]==o['label']!=o['looks_like']

def differences_of(report, by, than):
    return {o['measure']: o for o in report['differences'] if (o['by'], o['than'])==(by, than)}

def test_each_input_is_compared_with_those_before_it(report):
    pairs = [(o['by'], o['than'], o['n']) for o in report['differences'] if o['measure']=='auc']
    assert pairs==[('video', 'audio', 113), ('both', 'audio', 113), ('both', 'video', 118)]
    assert [o['measure'] for o in report['differences'][:5]]==list(MEASURES)
    for o in report['differences']: assert o['low']<=o['difference']<=o['high']
    rows = rows_by_input(report)
    for name, o in differences_of(report, 'both', 'video').items(): # both have all videos
        assert o['difference']==pytest.approx(rows['both'][name]-rows['video'][name])
    assert differences_of(report, 'video', 'audio')['accuracy']['high']<0

def test_errors_that_move_together_are_told_apart():
    "Inputs with the same noise, of which one has a little less: intervals overlap, that of the difference excludes 0"
    rng = np.random.default_rng(0)
    truth = np.eye(2, dtype=bool)[np.arange(200)%2]
    shared = rng.normal(size=200)
    scores = {name: shared+signal*truth[:, 1] for name, signal in dict(one=1., other=1.4).items()}
    probs = {name: expit(np.c_[-o, o])[None] for name, o in scores.items()}
    decided = {name: o>.5 for name, o in probs.items()}
    predictions = FoldPredictions(probs, decided, np.zeros((1, 200), int), [])
    labels = Labels(truth, ['a', 'b'], np.arange(200)//10)
    one, other = (evaluate_predictions(o, predictions, labels)[0] for o in ('one', 'other'))
    gain = next(o for o in compare_inputs(predictions, labels) if o['measure']=='auc')
    assert (gain['by'], gain['than'], gain['n'])==('other', 'one', 200)
    assert one['auc_high']>other['auc_low'] and gain['low']>0
    assert gain['difference']==pytest.approx(other['auc']-one['auc'])

def test_inputs_without_a_video_in_common_are_not_compared():
    probs = dict(one=np.full((1, 4, 2), .5), other=np.full((1, 4, 2), .5))
    probs['one'][:, :2], probs['other'][:, 2:] = np.nan, np.nan
    decided = {name: o>.5 for name, o in probs.items()}
    predictions = FoldPredictions(probs, decided, np.zeros((1, 4), int), [])
    labels = Labels(np.eye(2, dtype=bool)[[0, 1, 0, 1]], ['a', 'b'], np.arange(4))
    assert compare_inputs(predictions, labels)==[]
    assert list(predictions.only(('one', 'missing')).probs)==['one']

def test_only_some_inputs_are_measured(data):
    inputs, values = data
    report = cross_validate(inputs, values, fused=BOTH, protocol=ONE, measured=('both',))
    assert list(rows_by_input(report))==['both'] and report['differences']==[]
    assert report['doubtful_by']=='both' and 'audio: missing in 5 videos' in report['notes']

def test_a_report_is_json(report): assert json.loads(json.dumps(report))['classes']==['calm', 'loud', 'sad']

def test_too_many_doubtful_labels_are_noted():
    rng = np.random.default_rng(0)
    noise, values = rng.standard_normal((40, 5)), list(rng.permutation(['a', 'b']*20))
    report = cross_validate(dict(noise=noise), values, protocol=ONE)
    assert len(report['doubtful'])>20 and any('more than half' in o for o in report['notes'])

def test_shuffled_labels_are_at_chance(data):
    values = np.random.default_rng(1).permutation(data[1][:118]).tolist()+[None]*2
    row = cross_validate(audio_only(data), values, protocol=ONE)['results'][0]
    assert row['auc_low']<.5<row['auc_high']
    assert row['average_precision_low']<row['chance_average_precision']<row['average_precision_high']

def test_two_artists_make_two_folds(data):
    tags = [['calm'] if o=='calm' else ['wild'] for o in data[1]]
    for i in (1, 2): tags[i] = ['wild', 'rare']
    report = cross_validate(audio_only(data), tags, ['A' if i%12<6 else 'B' for i in range(120)], protocol=ONE)
    assert (report['folds'], report['multilabel'], report['doubtful'])==(2, True, None)
    assert report['n_per_class']==dict(calm=41, wild=79)
    assert report['notes'][-1]=='2 folds instead of 5: not enough artists'

def test_one_artist_makes_none(data):
    with pytest.raises(ValueError, match='fewer than two classes'): cross_validate(audio_only(data), data[1], ['A']*120)

def test_unknown_artists_are_noted(data):
    artists = [f'artist {i//6}' if i<60 else None for i in range(120)]
    notes = cross_validate(audio_only(data), data[1], artists, protocol=ONE)['notes']
    assert any('artist unknown for 58 videos' in o for o in notes)
    assert any('no two videos are known' in o for o in cross_validate(audio_only(data), data[1], protocol=ONE)['notes'])

def test_an_artist_in_two_spellings_is_one_artist(data):
    artists = [f'artist {i}' for i in range(120)]
    artists[7], artists[9] = 'Beyoncé', 'BEYONCE feat. Björk'
    report = cross_validate(audio_only(data), data[1], artists, protocol=ONE)
    assert report['grouped_by']=='artist'
    assert not any('no two videos are known' in o for o in report['notes'])

def test_an_input_that_no_labelled_video_has_is_left_out(data):
    inputs, values = data
    video = np.full((120, 10), np.nan)
    video[[118, 119]] = inputs['video'][[118, 119]] # alone in its class, and unlabelled
    report = cross_validate(audio_only(data)|dict(video=video), values, fused=BOTH, protocol=ONE)
    assert [o['by'] for o in report['results']]==['audio', 'both']
    assert 'video: no labelled video has it, left out' in report['notes']

def test_an_input_of_one_class_orders_nothing(data):
    inputs, values = data
    video = np.full((120, 10), np.nan)
    video[:12:3] = inputs['video'][:12:3]
    report = cross_validate(audio_only(data)|dict(video=video), values, fused=BOTH, protocol=ONE)
    row = rows_by_input(report)['video']
    assert (row['n'], row['auc'], row['auc_low'], row['average_precision'])==(4, None, None, None)
    assert any('guessed by frequency' in o for o in report['notes'])
    assert any('video: no fold can order' in o for o in report['notes'])
    assert rows_by_input(report)['both']['accuracy']>.8 # the guesses of one input do not spoil the combination

def test_labels_without_features_are_not_used(data):
    video = np.full((120, 10), np.nan)
    video[118:] = 1.
    values = [o if 12<i<118 else None for i,o in enumerate(data[1])]
    with pytest.raises(ValueError, match='none at all'): cross_validate(dict(video=video), values)

def test_labelled_videos_without_features_are_counted(data):
    audio = audio_only(data)['audio']
    audio[:2] = np.nan
    notes = cross_validate(dict(audio=audio), data[1], protocol=ONE)['notes']
    assert '2 labelled videos without features: left out' in notes

def test_predictions_never_come_from_the_own_group():
    "A probe that memorises its artists is at chance"
    rng = np.random.default_rng(0)
    artist = np.arange(60)//6
    feats = rng.normal(size=(10, 20))[artist]+.01*rng.normal(size=(60, 20))
    truth = np.eye(2, dtype=bool)[rng.integers(0, 2, 10)[artist]]
    found = predict_folds(dict(x=feats), Labels(truth, ['a', 'b'], artist), protocol=Protocol('knn', n_seeds=1))
    for fold in range(5): assert not set(artist[found.folds[0]==fold]) & set(artist[found.folds[0]!=fold])
    assert abs((found.decided['x'][0]&truth).sum()/60-.5)<.35
