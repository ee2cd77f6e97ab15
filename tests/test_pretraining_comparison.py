"The comparison of encoders: the published mistake repeated, and encoders that share nothing"
from dataclasses import replace
import numpy as np
import torch
from mvrep.encoders.sample_cnn import SampleCNN
from mvrep.encoders.weights import hash_weights
from mvrep.pretraining.comparison import Trainings, compare_encoders, one_object_loaded_twice
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
    found = compare_encoders(data, songs, trainings.with_seed(1), tmp_path/'runs', 'cpu')
    names = ['random weights', 'music', 'music, longer', 'music and video', 'music, evaluated as published']
    assert found.encoder.tolist()==names and set(found.seed)=={1} and set(found.songs)=={6}
    assert np.isfinite(found.drop(columns='encoder').to_numpy(float)).all()
    again = compare_encoders(data, songs, trainings.with_seed(1), tmp_path/'runs', 'cpu')
    assert again.equals(found) and torch.is_grad_enabled()
