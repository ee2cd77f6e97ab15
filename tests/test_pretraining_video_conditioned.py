"Pre-training on music and video: frozen blocks, alignment, losses, separate objects, several processes"
import pickle
from dataclasses import replace
import numpy as np
import pandas as pd
import pytest
import torch
from mvrep.encoders.sample_cnn import SampleCNN
from mvrep.encoders.weights import hash_weights
from mvrep.features.seconds import SecondsMatrix, VideoSeconds
from mvrep.learning.losses import ClipLoss, NTXentLoss
from mvrep.learning.training import run_history
from mvrep.pretraining.contrastive import train_contrastive
from mvrep.pretraining.video_conditioned import VCMR, AudioVideoCrops, VideoConditionedModule, VideoTower
from mvrep.pretraining.video_conditioned import mapped_seconds, pair_with_video, train_video_conditioned
from tones import MUSIC, SIZES, SR, VIDEO, images_of, write_tones

@pytest.fixture(scope='module')
def data(tmp_path_factory):
    recordings = write_tones(tmp_path_factory.mktemp('tones'))
    return pair_with_video(recordings, images_of(recordings), VIDEO)

def test_published_settings():
    assert (VCMR.n_seconds, VCMR.temperature, VCMR.batch_size, VCMR.lr, VCMR.n_frozen)==(6, .1, 128, 5e-4, 4)
    tower = VideoTower(512, 512)
    assert tower.lstm.num_layers==2 and tower.lstm.dropout==.1 and tower.dense[1].in_features==6*512

def test_parameters_of_the_video_side_as_published():
    lstm = 2*4*(512*512+512*512+2*512)
    assert sum(o.numel() for o in VideoTower(512, 512).parameters())==lstm+6*512*512+512

def test_frozen_blocks_do_not_move_in_a_training(data, tmp_path):
    music = SampleCNN(SIZES, seed=4)
    trained, run = train_video_conditioned(data, music, VIDEO, tmp_path, accelerator='cpu')
    before, after = music.state_dict(), trained.state_dict()
    changed = {int(name.split('.')[1]) for name in before if not torch.equal(before[name], after[name])}
    assert changed=={3, 4, 5, 6, 7}, 'statistics of batch normalisation included'
    assert len(run_history(run.folder))==3

def test_the_published_mistake_would_be_seen(data):
    "Without gradients but in training mode, statistics move"
    module = VideoConditionedModule(VIDEO, data, SampleCNN(SIZES).state_dict()).train()
    before = module.encoder.blocks[0][1].running_mean.clone()
    batch = AudioVideoCrops(data, VIDEO)[np.arange(8), 0]
    module.batch_loss(batch)
    assert torch.equal(module.encoder.blocks[0][1].running_mean, before)
    torch.nn.Module.train(module.encoder.blocks[0], True)
    module.batch_loss(batch)
    assert not torch.equal(module.encoder.blocks[0][1].running_mean, before)

def test_music_and_video_conditioned_share_nothing(data, tmp_path):
    music, _ = train_contrastive(data.recordings, replace(MUSIC, max_epochs=1), tmp_path, accelerator='cpu')
    before = hash_weights(music)
    video, _ = train_video_conditioned(data, music, replace(VIDEO, max_epochs=1), tmp_path, accelerator='cpu')
    assert video is not music and hash_weights(music)==before!=hash_weights(video)
    def addresses(net): return {o.untyped_storage().data_ptr() for o in net.state_dict().values()}
    assert not addresses(music) & addresses(video)
    with torch.no_grad(): video.blocks[-1][0].weight.zero_()
    assert hash_weights(music)==before

def test_a_run_continues_bit_for_bit(data, tmp_path):
    music = SampleCNN(SIZES)
    whole, run = train_video_conditioned(data, music, VIDEO, tmp_path/'whole', accelerator='cpu')
    train_video_conditioned(data, music, replace(VIDEO, max_epochs=1), tmp_path/'parts', accelerator='cpu')
    again, run_again = train_video_conditioned(data, music, VIDEO, tmp_path/'parts', accelerator='cpu')
    assert hash_weights(again)==hash_weights(whole) and run.folder.name==run_again.folder.name
    other = train_video_conditioned(data, SampleCNN(SIZES, 1), VIDEO, tmp_path/'parts', accelerator='cpu')[1]
    assert other.folder.name!=run.folder.name

def test_losses(data):
    def module(**change): return VideoConditionedModule(replace(VIDEO, **change), data, SampleCNN(SIZES).state_dict())
    published, cross = module(), module(loss='cross_modal')
    assert type(published.loss) is NTXentLoss and type(cross.loss) is ClipLoss
    batch = AudioVideoCrops(data, VIDEO)[np.arange(8), 0]
    with torch.no_grad(): assert cross.eval().batch_loss(batch)<published.eval().batch_loss(batch)
    pairs = replace(VIDEO, audio_pairs=True)
    batch = AudioVideoCrops(data, pairs)[np.arange(8), 0]
    assert batch['audio'].shape[1]==2
    module(audio_pairs=True).batch_loss(batch).backward()
    with pytest.raises(ValueError, match="loss='other'"): module(loss='other')

def test_video_belongs_to_the_seconds_of_the_audio(tmp_path):
    recordings = write_tones(tmp_path, seconds=5.)
    seconds = {o: np.repeat(np.arange(5.)[:, None], 3, 1) for o in recordings.video_ids}
    crops = AudioVideoCrops(pair_with_video(recordings, seconds, VIDEO), VIDEO)
    for tick in range(40):
        nearest = min(round(crops.crops.start(0, tick, 0)/SR), 4)
        assert crops.seconds(0, tick).tolist()==[[nearest]*3]

def test_what_has_no_video_is_named(tmp_path):
    recordings = write_tones(tmp_path)
    images = images_of(recordings)
    del images['v03']
    images['v04'] = images['v04'][:0]
    images['v05'] = images['v05']*np.nan
    found = pair_with_video(recordings, images, VIDEO)
    assert [o for o, _ in found.left_out]==['v03', 'v04', 'v05'] and len(found.seconds)==13
    assert len(found.recordings.files)==13 and found.recordings.video_ids[3]=='v06'
    images['v06'] = np.zeros((2, 9))
    with pytest.raises(ValueError, match=r'image features of \[6, 9\] values'):
        pair_with_video(recordings, images, VIDEO)
    with pytest.raises(ValueError, match='train on music alone'): pair_with_video(recordings, {}, VIDEO)

def test_features_that_begin_later(tmp_path):
    recordings = write_tones(tmp_path, seconds=5.)
    later = {o: VideoSeconds(1., np.repeat(np.arange(1., 4.)[:, None], 3, 1)) for o in recordings.video_ids}
    crops = AudioVideoCrops(pair_with_video(recordings, later, VIDEO), VIDEO)
    for tick in range(40):
        nearest = np.clip(round(crops.crops.start(0, tick, 0)/SR), 1, 3)
        assert crops.seconds(0, tick).tolist()==[[nearest]*3]

def test_seconds_of_a_file_are_read_when_they_are_used(tmp_path):
    recordings = write_tones(tmp_path, seconds=5.)
    images = np.random.default_rng(0).normal(size=(16*5, 50)).astype(np.float32)
    np.save(tmp_path/'seconds.npy', images)
    videos = pd.DataFrame(dict(start=0., first=np.arange(16)*5, n_seconds=5), index=recordings.video_ids)
    in_file = mapped_seconds(SecondsMatrix(tmp_path/'seconds.npy', videos))
    in_memory = dict(zip(recordings.video_ids, images.reshape(16, 5, 50)))
    mapped, arrays = (pair_with_video(recordings, o, VIDEO) for o in (in_file, in_memory))
    assert mapped.fingerprint==arrays.fingerprint and mapped.width==50
    assert len(pickle.dumps(mapped.seconds))<images.nbytes/5 # what each process that reads is given
    batch = [3, 0, 15], 7
    video = [AudioVideoCrops(o, VIDEO)[batch]['video'] for o in (mapped, arrays)]
    assert torch.equal(*video) and video[0].shape==(3, 1, 50)
    assert in_file['v02'].between(1., 2).tolist()==images[11:13].tolist()

def test_an_encoder_of_another_size(data, tmp_path):
    with pytest.raises(ValueError, match='want SampleCNNConfig'):
        train_video_conditioned(data, SampleCNN(replace(SIZES, dim=24)), VIDEO, tmp_path)
