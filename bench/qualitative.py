"""How much lists of neighbours have in common: `python bench/qualitative.py INDEX` writes results/qualitative.csv

INDEX is an index of the synthetic demo corpus, such as `mvrep demo` makes. One segment of every video is a query;
seed 0.
`--page FILE.html` writes the page with 25 seed videos and 20 seed segments instead, of any index."""
import argparse
from pathlib import Path
from mvrep.core import atomic_write
from mvrep.explore.qualitative import draw_segments, list_overlap
from mvrep.explore.qualitative_page import write_qualitative_page
from mvrep.index.index import Index

def parse_options():
    "Options of the command line"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('index')
    parser.add_argument('--out', type=Path, default=Path(__file__).parents[1]/'results'/'qualitative.csv')
    parser.add_argument('--page', type=Path)
    return parser.parse_args()

def main():
    "Measure the overlap, or write the page"
    options = parse_options()
    index = Index(options.index)
    if options.page: return print(write_qualitative_page(index, options.page, clips=True))
    overlap = list_overlap(index, draw_segments(index, len(index)))
    with atomic_write(options.out) as tmp: overlap.to_csv(tmp, float_format='%.4f')
    print(overlap.round(3).to_string())

if __name__=='__main__': main()
