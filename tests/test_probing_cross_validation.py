"Cross-validation on known answers, with copies, missing modalities, few artists and labels that nothing knows"
import json
import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score
from mvrep.metrics.classification import MEASURES, chance_average_precision, rank_within_folds
from mvrep.metrics.intervals import jackknife_interval
from mvrep.probing.cross_validation import (FoldPredictions, Labels, Protocol, _decide, _doubtful, _fold_notes,
                                            _fuse, _Prediction, _Selection,
                                            compare_inputs, cross_validate, evaluate_predictions, fuse_probabilities,
                                            predict_folds)

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

def test_chance_by_hand():
    "Six videos of three classes, in two folds of which each has one video of `a`, one of `b` and one more"
    truth = np.eye(3, dtype=bool)[[0, 1, 0, 0, 1, 2]]
    folds = np.repeat([0, 1], 3)
    probs = np.tile(np.random.default_rng(0).random((6, 3)), (2, 1, 1))
    predictions = FoldPredictions(dict(x=probs), dict(x=probs>.9), np.stack([folds, folds]), [])
    row, classes = evaluate_predictions('x', predictions, Labels(truth, ['a', 'b', 'c'], np.arange(6)))
    assert row['chance_accuracy']==pytest.approx((1/2)**2+(1/3)**2+(1/6)**2)
    assert (row['chance_balanced_accuracy'], row['chance_macro_f1'], row['chance_auc'])==(1/3, 1/3, .5)
    assert row['majority_accuracy']==.5 and row['n']==6
    one_of_three = (1+1/2+1/3)/3 # mean precision of one positive that is first, second or third
    two_of_three = ((1+1)/2+(1+2/3)/2+(1/2+2/3)/2)/3
    want = dict(a=(2*two_of_three+one_of_three)/3, b=one_of_three, c=one_of_three)
    found = {o['label']: o['chance_average_precision'] for o in classes}
    assert found==pytest.approx(want, abs=.12) # the mean of 20 orders
    assert row['chance_average_precision']==pytest.approx(np.mean(list(found.values())))
    assert [o['n'] for o in classes]==[3, 2, 1]

def test_chance_of_tags_by_hand():
    "Three of four videos have the tag `x`, all have `y`, whose order says nothing"
    truth = np.array([[1, 1], [1, 1], [1, 1], [0, 1]], bool)
    probs = np.arange(8.).reshape(1, 4, 2)/8
    labels = Labels(truth, ['x', 'y'], np.arange(4), multilabel=True)
    predictions = FoldPredictions(dict(x=probs), dict(x=probs>.5), np.zeros((1, 4), int), [])
    row, classes = evaluate_predictions('x', predictions, labels)
    assert row['chance_accuracy']==pytest.approx(((3/4)**2+(1/4)**2+1)/2)
    assert row['chance_macro_f1']==pytest.approx((2*.75/1.75+1)/2)
    assert (row['chance_balanced_accuracy'], row['chance_auc'], row['majority_accuracy'])==(.5, .5, .875)
    by_place = [1, (1+1+3/4)/3, (1+2/3+3/4)/3, (1/2+2/3+3/4)/3] # of the video without the tag: last … first
    assert row['chance_average_precision']==pytest.approx(np.mean(by_place), abs=.1)
    assert [o['chance_average_precision'] for o in classes]==[row['chance_average_precision'], None]

def test_measures_are_means_over_seeds_on_the_videos_that_have_the_input():
    "Both seeds split differently; the last video lacks the input"
    truth = np.eye(2, dtype=bool)[[0, 0, 1, 1, 1]]
    right, wrong = np.array([[.9, .1]]*2+[[.1, .9]]*2+[[np.nan]*2]), np.array([[.9, .1]]*4+[[np.nan]*2])
    probs, folds = np.stack([right, wrong]), np.array([[0, 0, 0, 0, 0], [0, 1, 0, 1, 0]])
    predictions = FoldPredictions(dict(x=probs), dict(x=np.nan_to_num(probs)>.5), folds, [])
    row, classes = evaluate_predictions('x', predictions, Labels(truth, ['a', 'b'], np.array([0, 0, 1, 2, 3])))
    assert row['n']==4 and (row['accuracy'], row['auc'], row['chance_accuracy'])==(.75, .75, .5)
    assert [o['recall'] for o in classes]==[1, .5] and [o['precision'] for o in classes]==[.75, .5]

def test_intervals_are_over_groups():
    "Two artists, one known and one not: each left out changes the accuracy more than any single video would"
    truth = np.eye(2, dtype=bool)[np.arange(20)%2]
    probs = np.where(np.arange(20)[:, None]<10, truth, ~truth)[None]*.8+.1
    predictions = FoldPredictions(dict(x=probs), dict(x=probs>.5), np.zeros((1, 20), int), [])
    def width(groups):
        row = evaluate_predictions('x', predictions, Labels(truth, ['a', 'b'], groups))[0]
        return row['accuracy_high']-row['accuracy_low']
    assert width(np.arange(20)//5)>1.5*width(np.arange(20))

def test_guesses_are_frequencies_in_training():
    "Of the inputs of a fold, one was seen with one class only: Laplace's rule over the other videos"
    truth = np.eye(2, dtype=bool)[[0]*6+[1]*6]
    feats = np.random.default_rng(0).normal(size=(12, 3))
    feats[[*range(6, 12)]] = np.nan # all videos that have it are of the first class
    labels = Labels(truth, ['a', 'b'], np.arange(12))
    found = predict_folds(dict(x=feats), labels, protocol=Protocol(n_folds=2, n_seeds=1))
    known = found.probs['x'][0, :6]
    np.testing.assert_allclose(known, [[4/5, 1/5]]*6) # three videos of `a` in the other fold: (3+1)/(3+2)
    assert np.isnan(found.probs['x'][0, 6:]).all()

def test_each_seed_has_its_own_folds_and_probes():
    rng = np.random.default_rng(0)
    truth = np.eye(2, dtype=bool)[np.arange(40)%2]
    labels = Labels(truth, ['a', 'b'], np.arange(40))
    found = predict_folds(dict(x=rng.normal(size=(40, 3))), labels, protocol=Protocol('knn', 4, 3))
    assert len({tuple(o) for o in found.folds})==3
    assert all(np.bincount(o).tolist()==[10]*4 for o in found.folds)

def test_thresholds_of_tags_are_fused_as_probabilities_are():
    parts = [_Prediction(np.array([[p]]), np.array([t])) for p, t in ((.9, .8), (.4, .2))]
    fused = _fuse(parts, True)
    assert fused.thresholds[0]==pytest.approx(.5) # odds of 4 and of 1/4
    assert fused.probs[0, 0]==pytest.approx(expit((np.log(9)+np.log(2/3))/2))
    assert _decide(fused, True).tolist()==[[True]]
    assert _decide(_Prediction(np.array([[.5], [.5]]), np.array([.5])), True).all()
    classes = _Prediction(np.array([[.2, .8], [.7, .3]]), np.array([]))
    assert _decide(classes, False).tolist()==[[False, True], [True, False]]

def test_certain_probabilities_are_fused():
    fused = fuse_probabilities([[[1., 0.]], [[.5, .5]]], False)
    np.testing.assert_allclose(fused, [[1000/1001, 1/1001]], rtol=1e-4)

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

def test_copies_by_different_artists_are_in_one_fold():
    feats = np.random.default_rng(0).normal(size=(30, 4))
    feats[7] = feats[3]
    recordings, artists = [*range(29), 11], [f'artist {i}' for i in range(30)]
    report = cross_validate(dict(x=feats), ['a', 'b']*15, artists, None, Protocol('knn', n_seeds=1), None, recordings)
    assert (report['n'], report['groups'], report['grouped_by'])==(30, 28, 'video')
    assert '2 copies of other videos: kept in the same fold' in report['notes']

def test_doubts_are_those_of_all_seeds():
    "A label that one seed finds doubtful, and that the mean of both does not"
    truth = np.eye(2, dtype=bool)[[0, 0, 1, 1]]
    sure = np.array([[.9, .1], [.9, .1], [.1, .9], [.1, .9]])
    other = sure.copy()
    other[0] = .45, .55
    predictions = FoldPredictions(dict(x=np.stack([other, sure])), {}, np.zeros((2, 4), int), [])
    def doubted(order):
        probs = dict(x=predictions.probs['x'][order])
        selection = _Selection(np.array([5, 6, 7, 9]), Labels(truth, ['a', 'b'], np.arange(4)), None, [], [])
        return _doubtful('x', FoldPredictions(probs, {}, None, []), selection)[1]
    assert doubted([0, 1])==[]
    other[0] = .05, .95
    predictions.probs['x'][1, 0] = .1, .9
    (found,) = doubted([1, 1])
    assert (found['position'], found['label'], found['looks_like'])==(5, 'a', 'b')

@pytest.mark.parametrize('n, is_rare', [(4, True), (5, False)])
def test_classes_that_some_folds_lack_are_noted(n, is_rare):
    truth = np.eye(2, dtype=bool)[[0]*n+[1]*20]
    notes = _fold_notes(5, 5, Labels(truth, ['a', 'b'], np.arange(n+20)))
    assert notes==(['fewer than 5 videos, so missing from some folds: a'] if is_rare else [])

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

def test_which_classes_are_measured_follows_from_counts_alone(data, report):
    "With features of other videos, and fewer folds, they are the same"
    inputs, values = data
    rng = np.random.default_rng(1)
    shuffled = {name: rng.permutation(x) for name, x in inputs.items()}
    artists = [f'artist {i//6}' for i in range(120)]
    other = cross_validate(shuffled, values, artists, protocol=Protocol('knn', n_folds=2, n_seeds=1))
    for name in ('classes', 'n_per_class', 'skipped'): assert other[name]==report[name]
