"""Stop `index`, `add`, `train` and `remove` at random moments, and compare with runs that were not disturbed

    python bench/kills.py                                    # 20 stops of each; writes results/kills.json
    python bench/kills.py --stops 2 --commands remove --out /tmp/kills.json
    python bench/kills.py --more --seed 1                    # goes on until there are 20 of each

Three of five stops are SIGKILL, the others SIGTERM and SIGINT (Ctrl-C). See tests/interruptions.py for what is
compared: a difference ends this script with an error.
"""
import random
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from common import parser, write_json
from mvrep.core import read_json

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'tests'))
from interruptions import Stop, make_plans, run_round

COMMANDS = ('index', 'add', 'train', 'remove')

class Measured:
    "The stops of one command, after those of an earlier run"
    def __init__(self, plan, seed, earlier):
        self.plan, self.seeds = plan, [*earlier.get('seeds', []), seed]
        self.stops = [Stop(**o) for o in earlier.get('log', [])]
        self.n_rounds = earlier.get('rounds', 0)

    def round(self, folder, n_stops, rng):
        "Another round, with at most three stops"
        self.stops += run_round(self.plan, folder/f'{self.plan.name}-{self.n_rounds}', rng, n_stops-len(self.stops))
        self.n_rounds += 1
        print(f'{self.plan.name}: {len(self.stops)} stops in {self.n_rounds} rounds, all equal', flush=True)

    def report(self):
        "Its part of results/kills.json"
        by_signal = dict(sorted(Counter(o.signal for o in self.stops).items()))
        lost = 0 if self.plan.name=='remove' else sum(max(0, o.before-o.after) for o in self.stops)
        return dict(seeds=self.seeds, stops=len(self.stops), by_signal=by_signal, rounds=self.n_rounds,
                    rounds_equal_to_the_undisturbed_run=self.n_rounds, # a round that differs would have raised
                    segments_lost=lost, undisturbed_seconds=round(self.plan.seconds, 1),
                    log=[asdict(o) for o in self.stops])

def measure(plans, folder, n_stops, seed, earlier, write):
    "Rounds of each command in turn, until each was stopped `n_stops` times"
    rng = random.Random(seed)
    measured = {name: Measured(plan, seed, earlier.get(name, {})) for name, plan in plans.items()}
    while any(len(o.stops)<n_stops for o in measured.values()):
        for o in measured.values():
            if len(o.stops)<n_stops: o.round(folder, n_stops, rng)
            write({name: o.report() for name, o in measured.items()})

if __name__=='__main__':
    options = parser(__doc__, 'kills.json')
    options.add_argument('--stops', type=int, default=20)
    options.add_argument('--commands', nargs='+', choices=COMMANDS, default=COMMANDS)
    options.add_argument('--seed', type=int, default=0)
    options.add_argument('--more', action='store_true', help='keep what --out holds, and add to it')
    args = options.parse_args()
    earlier = read_json(args.out) if args.more else {}
    about = earlier|dict(command='python bench/kills.py')
    with tempfile.TemporaryDirectory() as folder:
        plans = make_plans(Path(folder), args.commands)
        measure(plans, Path(folder), args.stops, args.seed, earlier, lambda found: write_json(args.out, about|found))
