"The comparison of encoders: the published mistake repeated, and encoders that share nothing"
from dataclasses import replace
import numpy as np
import torch
from mvrep.encoders.sample_cnn import SampleCNN
from mvrep.encoders.weights import hash_weights
from mvrep.pretraining.comparison import GAINS, Comparison, Trainings, auc_gains, compare_encoders
from mvrep.pretraining.comparison import one_object_loaded_twice
from mvrep.pretraining.finetune import FineTuneConfig, TaggedSongs, Tagger
from mvrep.pretraining.video_conditioned import pair_with_video
from tones import MUSIC, SIZES, VIDEO, images_of, write_tones

def test_one_object_loaded_twice_has_the_wrong_encoder():
    taggers = {name: Tagger(SampleCNN(SIZES, seed), ['a', 'b'], FineTuneConfig(seed=seed))
               for seed, name in enumerate(('music', 'music and video'))}
    before = {name: hash_weights(o) for name, o in taggers.items()}
    published = one_object_loaded_twice(taggers)
    assert hash_weights(published.encoder)==hash_weights(taggers['music and video'].encoder)
    assert hash_weights(published.head)==hash_weights(taggers['music'].head)
    assert {name: hash_weights(o) for name, o in taggers.items()}==before, 'the taggers stay as they are'
    assert not {o.data_ptr() for o in published.parameters()} & {o.data_ptr() for o in taggers['music'].parameters()}

def test_a_comparison(tmp_path):
    recordings = write_tones(tmp_path/'tones', 18)
    recordings = replace(recordings, split=np.array(['train', 'valid', 'test'])[np.arange(18)%3])
    truth = np.stack([np.arange(18)>8, np.arange(18)<5], 1)
    songs = TaggedSongs(recordings, ['high', 'low'], truth, np.arange(18))
    trainings = Trainings(replace(MUSIC, max_epochs=1), replace(VIDEO, max_epochs=1), FineTuneConfig(max_epochs=3))
    data = pair_with_video(recordings, images_of(recordings), VIDEO)
    comparison = compare_encoders(data, songs, trainings.with_seed(1), tmp_path/'runs', accelerator='cpu')
    found = comparison.measures()
    names = ['random weights', 'music', 'music, longer', 'music and video', 'music, evaluated as published']
    assert found.encoder.tolist()==names and set(found.seed)=={1} and set(found.songs)=={6}
    assert np.isfinite(found.drop(columns='encoder').to_numpy(float)).all()
    again = compare_encoders(data, songs, trainings.with_seed(1), tmp_path/'runs', accelerator='cpu')
    assert again.measures().equals(found) and torch.is_grad_enabled()
    gains = auc_gains([comparison], n_boot=20).set_index('gain')
    auc = found.set_index('encoder').roc_auc
    for name, (encoder, than) in GAINS.items():
        assert np.isclose(gains.difference[name], auc[encoder]-auc[than])

def invented(n_songs, right, seed):
    "A comparison of an encoder that is right with a chance, and one that guesses; two songs of each artist"
    rng = np.random.default_rng(seed)
    truth = rng.random((n_songs, 3))<.4
    good = np.where(rng.random(truth.shape)<right, truth, rng.random(truth.shape))
    return Comparison(dict(good=good, guess=rng.random(truth.shape)), truth, np.arange(n_songs)//2, seed)

def test_gains_have_paired_intervals_over_artists():
    pair = dict(gain=('good', 'guess'))
    found = auc_gains([invented(40, .9, o) for o in range(3)], pair).iloc[0]
    assert found.seeds==3 and found.artists==20 and 0<found.low<found.difference<found.high
    no_gain = auc_gains([invented(40, 0., o) for o in range(3)], pair).iloc[0]
    assert no_gain.low<0<no_gain.high
    same = auc_gains([invented(40, .9, 0)], dict(none=('good', 'good'))).iloc[0]
    assert same.difference==same.low==same.high==0
    few, many = (auc_gains([invented(n, .5, 0)], pair).iloc[0] for n in (30, 300))
    assert many.high-many.low<few.high-few.low

def test_more_seeds_are_not_more_artists():
    "The same comparison three times has the interval of one"
    pair = dict(gain=('good', 'guess'))
    once, thrice = (auc_gains([invented(40, .5, 0)]*n, pair).iloc[0] for n in (1, 3))
    for o in ('difference', 'low', 'high'): assert np.isclose(once[o], thrice[o])
