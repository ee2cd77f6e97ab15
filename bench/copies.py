"""How well audio fingerprints tell copies of a recording from other recordings.

The generated demo corpus, and the real clips of `MVREP_SHARED` if it is set, are encoded again in several ways. The
bit error rate of each copy with its original, and of each two originals (many of the same generated artist), shows
where the threshold `MAX_ERROR` lies.

    python bench/copies.py [--out results/copies.csv]
"""
import itertools
import tempfile
from pathlib import Path
import numpy as np
import pandas as pd
from common import parser, write_table
from mvrep.core import data_folder
from mvrep.corpus.demo import demo_corpus
from mvrep.media.clips import write_audio
from mvrep.media.fingerprint import MAX_ERROR, MIN_OVERLAP, overlap, read_fingerprint, same_recordings
from mvrep.media.read import read_audio

RATE = 48000 # Hz, of the copies
COPIES = { # name: ending, codec, bit rate, change of the waveform
    'webm, 24 kbit/s': ('webm', 'libopus', 24000, lambda y: y),
    'mp4, 48 kbit/s': ('mp4', 'aac', 48000, lambda y: y),
    'mp3, 32 kbit/s': ('mp3', 'libmp3lame', 32000, lambda y: y),
    'cut at both ends': ('webm', 'libopus', 64000, lambda y: y[int(1.737*RATE):-int(1.1*RATE)]),
    '8 dB louder, clipped': ('mp4', 'aac', 64000, lambda y: np.clip(2.5*y, -1, 1)),
    '14 dB quieter': ('mp4', 'aac', 64000, lambda y: .2*y),
    'an excerpt of 5 s': ('webm', 'libopus', 48000, lambda y: y[int(.43*len(y)):int(.43*len(y))+5*RATE]),
    'more treble': ('mp4', 'aac', 64000, lambda y: np.convolve(y, [1, -.7], 'same')),
}

def least_error(one, other):
    "The lowest error at any offset with a sufficient overlap; 1 if there is none."
    least = max(18, int(MIN_OVERLAP*min(len(one), len(other))))
    offsets = range(least-len(other), len(one)-least+1)
    return min((overlap(one, other, o).error for o in offsets), default=1.)

def copies_of(path, folder):
    "Fingerprints of the copies of a file, by name of the copy."
    y = read_audio(path, sr=RATE)
    found = {}
    for name, (ending, codec, bit_rate, change) in COPIES.items():
        found[name] = read_fingerprint(write_audio(folder/f'copy.{ending}', change(y), RATE, codec, bit_rate))
    return found

def measure(corpus, paths, copied, folder):
    "A row for each kind of copy, and one for the pairs of different recordings."
    originals = [read_fingerprint(o) for o in paths]
    copies = {i: copies_of(paths[i], folder) for i in copied}
    for name in COPIES:
        made = [copies[i][name] for i in copied]
        errors = [least_error(originals[i], o) for i, o in zip(copied, made)]
        pairs = same_recordings(originals+made)
        n_found = sum((i, len(originals)+j) in pairs for j, i in enumerate(copied))
        yield dict(corpus=corpus, pairs=name, n=len(made), found=n_found, error_least=min(errors),
                   error_median=np.median(errors), error_most=max(errors))
    others = [least_error(originals[i], originals[j]) for i, j in itertools.combinations(range(len(paths)), 2)]
    yield dict(corpus=corpus, pairs='different recordings', n=len(others), found=len(same_recordings(originals)),
               error_least=min(others), error_median=np.median(others), error_most=max(others))

def main():
    out = parser(__doc__, 'copies.csv').parse_args().out
    videos = pd.read_csv(demo_corpus()/'manifest.csv').path
    corpora = {'synthetic': [demo_corpus()/o for o in videos]}
    clips = data_folder('av_clips')
    if clips: corpora['real'] = sorted(o for o in clips.iterdir() if o.suffix in ('.mp4', '.webm', '.mp3'))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, paths in corpora.items():
            copied = range(0, len(paths), 8 if name=='synthetic' else 1)
            rows += measure(name, paths, copied, Path(folder))
    write_table(out, pd.DataFrame(rows).assign(threshold=MAX_ERROR), digits=3)

if __name__=='__main__': main()
