"""Precision and recall of the shot detectors, on videos with known shots and between each other on real clips

A boundary that is found counts as right if it lies within the change or at most --tolerance seconds from it; each
change counts once. A flash is not a boundary. The real clips have no ground truth: there, a detector is compared with
another one, which tells how much they agree and not which one is right.

    python bench/shots.py             # writes results/shots.csv; MVREP_SHARED adds the real clips
    python bench/shots.py --videos 1 --seconds 10 --out /tmp/shots.csv
"""
import os
import tempfile
import time
from pathlib import Path
os.environ.setdefault('OMP_NUM_THREADS', '1')
import numpy as np
from common import parser, write_table
from mvrep.core import data_folder
from mvrep.media.read import probe
from mvrep.media.shots import METHODS, find_shots
from mvrep.media.synthetic_shots import Edit, make_edited, random_edits
from mvrep.metrics.intervals import bootstrap_interval

REFERENCE = 'transnetv2' # Detector that the others are compared with on clips without ground truth

def is_at(edit, moment, tolerance):
    "Does a moment lie within a change, or close to it?"
    return edit.start-tolerance<=moment<=edit.start+edit.length+tolerance

def found_edits(edits, cuts, tolerance):
    "Which edits have a cut of their own, bool, shape (n,)"
    found, free = [], list(cuts)
    for edit in edits:
        near = [o for o in free if is_at(edit, o, tolerance)]
        found.append(bool(near))
        if near: free.remove(near[0])
    return np.array(found, bool)

def f1(counts):
    "F1 of rows of hits, boundaries found, and true boundaries"
    hits, n_found, n_true = np.sum(counts, axis=0)[:3]
    return 2*hits/(n_found+n_true) if n_found+n_true else np.nan

def shares(counts):
    "Precision, recall and F1 of rows of hits, boundaries found, and true boundaries"
    hits, n_found, n_true = np.sum(counts, axis=0)[:3]
    low, high = bootstrap_interval(np.array(counts), f1) if len(counts)>1 else (np.nan, np.nan)
    return dict(hits=hits, found=n_found, true=n_true, precision=hits/max(1, n_found), recall=hits/max(1, n_true),
                f1=f1(counts), f1_low=low, f1_high=high)

def cuts_of(path, method):
    "Where the shots of a video begin, apart from the first one, and the CPU seconds it took to find them"
    before = time.process_time()
    shots = find_shots(path, method)
    return shots.start.to_numpy()[1:], time.process_time()-before

def measure_generated(folder, n_videos, seconds, tolerance):
    "A row per detector, on videos with known shots"
    edits = [random_edits(seconds, seed) for seed in range(n_videos)]
    videos = [make_edited(folder/f'{seed}.mp4', o, seconds, size=(144, 256), seed=seed) for seed, o in enumerate(edits)]
    for method in METHODS:
        counts, by_kind = [], {}
        cpu = 0.
        for video, o in zip(videos, edits):
            cuts, spent = cuts_of(video, method)
            true = [e for e in o if e.kind!='flash']
            found, cpu = found_edits(true, cuts, tolerance), cpu+spent
            counts.append((found.sum(), len(cuts), len(true)))
            for e, is_found in zip(true, found): by_kind.setdefault(e.kind, []).append(is_found)
            for e in o:
                is_flash = e.kind=='flash'
                if is_flash: by_kind.setdefault('flash', []).append(any(is_at(e, c, tolerance) for c in cuts))
        kinds = {f'{kind}_found': np.mean(by_kind[kind]) for kind in by_kind}
        kinds |= {f'n_{kind}': len(by_kind[kind]) for kind in by_kind}
        yield dict(data='generated', method=method, reference='truth', videos=n_videos, seconds=n_videos*seconds,
                   tolerance=tolerance, **shares(counts), **kinds, cpu_seconds_a_minute=60*cpu/(n_videos*seconds))

def measure_clips(folder, tolerance):
    "A row per detector but the reference, on real clips"
    clips = [o for o in sorted(folder.iterdir()) if probe(o).has_video]
    def cuts_of_clips(method): return [cuts_of(o, method)[0] for o in clips]
    found = {method: cuts_of_clips(method) for method in METHODS}
    seconds = sum(probe(o).duration for o in clips)
    for method in METHODS:
        if method==REFERENCE: continue
        counts = []
        for theirs, ours in zip(found[REFERENCE], found[method]):
            hits = found_edits([Edit('cut', o) for o in theirs], ours, tolerance).sum()
            counts.append((hits, len(ours), len(theirs)))
        yield dict(data='av_clips', method=method, reference=REFERENCE, videos=len(clips), seconds=seconds,
                   tolerance=tolerance, **shares(counts))

def main():
    "Run the bench"
    options = parser(__doc__, 'shots.csv')
    options.add_argument('--videos', type=int, default=8, help='generated videos')
    options.add_argument('--seconds', type=float, default=30, help='duration of each')
    options.add_argument('--tolerance', type=float, default=.2, help='seconds')
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measure_generated(Path(folder), args.videos, args.seconds, args.tolerance))
    clips = data_folder('av_clips')
    if clips: rows += measure_clips(clips, args.tolerance)
    write_table(args.out, rows, 3)

if __name__=='__main__': main()
