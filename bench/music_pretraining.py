"""Does video help music features? Encoders trained on the demo corpus, or on an index, and tested on genres.

python bench/music_pretraining.py [--index DIR] [--seeds 5] [--epochs 12] [--size small|published] [--out FOLDER]
With a GPU and an index of music videos: --size published --epochs 50.
Writes music_pretraining.csv, the measures of each encoder and seed, and music_pretraining_gains.csv, their differences.
"""
import tempfile
import time
from dataclasses import replace
import pandas as pd
from common import parser, write_table
from mvrep.core import n_cores
from mvrep.encoders.sample_cnn import SampleCNNConfig
from mvrep.index.examples import study_index
from mvrep.index.index import Index
from mvrep.index.pretraining import labelled_audio, seconds_from_segments, seconds_of_videos
from mvrep.pretraining.augment import AugmentConfig
from mvrep.pretraining.comparison import Trainings, auc_gains, compare_encoders
from mvrep.pretraining.contrastive import VCMR_MUSIC
from mvrep.pretraining.finetune import FineTuneConfig
from mvrep.pretraining.runs import best_precision
from mvrep.pretraining.video_conditioned import VCMR, pair_with_video

SMALL = SampleCNNConfig(sr=8000, channels=(16, 16, 16, 32, 32, 32, 64, 64), dim=64) # windows of .8 s

def trainings_of(size, epochs, seed):
    "The trainings of a comparison, in the published size or a small one"
    music, video = replace(VCMR_MUSIC, max_epochs=epochs), replace(VCMR, max_epochs=epochs)
    if size=='small':
        small = dict(encoder=SMALL, passes_per_epoch=16, batch_size=32, seconds=None, lr=1e-3)
        changes = replace(AugmentConfig(), pitch=0.) # transposing takes longer than such a small network
        music, video = replace(music, augment=changes, **small), replace(video, **small, hidden_dim=64)
    return Trainings(music, video, FineTuneConfig(max_epochs=60)).with_seed(seed)

def compare(index, size, epochs, seed):
    "The comparison with one seed, and the number of songs to train on"
    trainings, start = trainings_of(size, epochs, seed), time.process_time()
    workers, precision = (0, '32-true') if size=='small' else (n_cores()-1, best_precision())
    songs = labelled_audio(index, trainings.music, shares=(.5, .2, .3), workers=workers)
    seconds = seconds_from_segments(index) if size=='small' else seconds_of_videos(index)
    data = pair_with_video(songs.recordings, seconds, trainings.video)
    with tempfile.TemporaryDirectory() as folder:
        found = compare_encoders(data, songs, trainings, folder, precision=precision, workers=workers)
    print(f'seed {seed}: {time.process_time()-start:.0f} s of processor time', flush=True)
    return found, len(data.recordings.in_split('train'))

def main():
    options = parser(__doc__)
    options.add_argument('--index', help='folder of an index; the demo corpus by default')
    options.add_argument('--seeds', type=int, default=5, help='number of seeds, each with a split of its own')
    options.add_argument('--epochs', type=int, default=12, help='epochs of each phase')
    options.add_argument('--size', choices=('small', 'published'), default='small', help='size of the encoders')
    args = options.parse_args()
    index = Index(args.index) if args.index else study_index()
    found, trained_on = zip(*[compare(index, args.size, args.epochs, seed) for seed in range(args.seeds)])
    settings = dict(size=args.size, epochs=args.epochs, genres=found[0].truth.shape[1])
    rows = [o.measures().assign(trained_on=n, **settings) for o, n in zip(found, trained_on)]
    write_table(args.out/'music_pretraining.csv', pd.concat(rows), digits=4)
    gains = auc_gains(list(found)).assign(songs=sum(len(o.truth) for o in found), **settings)
    write_table(args.out/'music_pretraining_gains.csv', gains, digits=4)
    print(gains.round(3).to_string())

if __name__=='__main__': main()
