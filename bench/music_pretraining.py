"""Does video help music features? Encoders trained on the demo corpus, or on an index, and tested on genres.

python bench/music_pretraining.py [--index DIR] [--seeds 3] [--epochs 6] [--size small|published] [--out FOLDER]
With a GPU and an index of music videos: --size published --epochs 50.
"""
import tempfile
import time
from dataclasses import replace
import pandas as pd
from common import parser, write_table
from mvrep.encoders.sample_cnn import SampleCNNConfig
from mvrep.index.examples import study_index
from mvrep.index.index import Index
from mvrep.index.pretraining import labelled_audio, seconds_from_segments
from mvrep.pretraining.comparison import Trainings, compare_encoders
from mvrep.pretraining.contrastive import VCMR_MUSIC
from mvrep.pretraining.finetune import FineTuneConfig
from mvrep.pretraining.video_conditioned import VCMR, pair_with_video

SMALL = SampleCNNConfig(sr=8000, channels=(16, 16, 16, 32, 32, 32, 64, 64), dim=64) # windows of .8 s

def trainings_of(size, epochs, seed):
    "The trainings of a comparison, in the published size or a small one"
    music, video = replace(VCMR_MUSIC, max_epochs=epochs), replace(VCMR, max_epochs=epochs)
    if size=='small':
        small = dict(encoder=SMALL, passes_per_epoch=4, batch_size=32, seconds=None, lr=1e-3)
        music, video = replace(music, **small), replace(video, **small, hidden_dim=64)
    return Trainings(music, video, FineTuneConfig(max_epochs=60)).with_seed(seed)

def run(index, size, epochs, seed):
    "The comparison with one seed"
    trainings, start = trainings_of(size, epochs, seed), time.process_time()
    songs = labelled_audio(index, trainings.music, shares=(.5, .2, .3), workers=0)
    data = pair_with_video(songs.recordings, seconds_from_segments(index), trainings.video)
    with tempfile.TemporaryDirectory() as folder: found = compare_encoders(data, songs, trainings, folder)
    print(f'seed {seed}: {time.process_time()-start:.0f} s of processor time')
    return found.assign(size=size, epochs=epochs, trained_on=len(data.recordings.in_split('train')))

def main():
    options = parser(__doc__)
    options.add_argument('--index', help='folder of an index; the demo corpus by default')
    options.add_argument('--seeds', type=int, default=3, help='number of seeds, each with a split of its own')
    options.add_argument('--epochs', type=int, default=6, help='epochs of each phase')
    options.add_argument('--size', choices=('small', 'published'), default='small', help='size of the encoders')
    args = options.parse_args()
    index = Index(args.index) if args.index else study_index()
    found = pd.concat([run(index, args.size, args.epochs, seed) for seed in range(args.seeds)], ignore_index=True)
    write_table(args.out/'music_pretraining.csv', found, digits=4)
    print(found.groupby('encoder', sort=False)[['roc_auc', 'pr_auc']].agg(['mean', 'min', 'max']).round(3))

if __name__=='__main__': main()
