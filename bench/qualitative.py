"""How often neighbours agree: `python bench/qualitative.py INDEX` writes results/qualitative.csv

INDEX is an index of the synthetic demo corpus, such as `mvrep demo` makes. One segment of every video is a seed; seed 0.
`--page FILE.html` writes what there is to see and hear instead: 25 seed videos and 20 seed segments with three neighbours each, of any index."""
import argparse
from pathlib import Path
from mvrep.core import atomic_write
from mvrep.index.index import Index
from mvrep.explore.qualitative import agreement, draw_segments, write_page

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('index')
    p.add_argument('--out', type=Path, default=Path(__file__).parents[1]/'results'/'qualitative.csv')
    p.add_argument('--page', type=Path)
    o = p.parse_args()
    ix = Index(o.index)
    if o.page: return print(write_page(ix, o.page, clips=True))
    res = agreement(ix, draw_segments(ix, len(ix)))
    with atomic_write(o.out) as tmp: res.to_csv(tmp, float_format='%.4f')
    print(res.round(3).to_string())

if __name__=='__main__': main()
