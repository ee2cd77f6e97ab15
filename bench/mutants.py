"""Decode damaged media: valid files of several containers with seeded bit flips, cuts, zeros and repeats

    python bench/mutants.py                        # 240 mutants; writes results/media_mutants.json

A crash, a hang or an unexpected error is counted and its reason kept; tests/test_media_mutants.py tries a few of them.
"""
import sys
import tempfile
from collections import Counter
from pathlib import Path
from common import parser, write_json

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'tests'))
from mutants import counts, decode_mutants, make_mutants

FINE = ('read', 'refused')

if __name__=='__main__':
    options = parser(__doc__, 'media_mutants.json')
    options.add_argument('--mutants', type=int, default=240)
    options.add_argument('--seed', type=int, default=0)
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = decode_mutants(make_mutants(Path(folder), args.mutants, args.seed))
    outcomes = Counter(o['outcome'] for o in rows)
    wrong = [o for o in rows if o['outcome'] not in FINE]
    write_json(args.out, dict(command='python bench/mutants.py', seed=args.seed, mutants=len(rows),
                              outcomes={o: outcomes[o] for o in ('read', 'refused', 'crash', 'hang', 'unexpected')},
                              by_container=counts(rows, 'source'), by_change=counts(rows, 'change'), wrong=wrong))
