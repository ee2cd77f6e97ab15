"""How much lists of neighbours have in common: `python bench/qualitative.py INDEX` writes results/qualitative.csv

INDEX is an index of the synthetic demo corpus, such as `mvrep demo` makes. One segment of every video is a query;
seed 0.
`--page FILE.html` writes the page with 25 seed videos and 20 seed segments instead, of any index."""
from pathlib import Path
from common import parser, write_table
from mvrep.explore.qualitative import draw_segments, list_overlap
from mvrep.explore.qualitative_page import write_qualitative_page
from mvrep.index.index import Index

def parse_options():
    "Options of the command line"
    options = parser(__doc__, 'qualitative.csv')
    options.add_argument('index')
    options.add_argument('--page', type=Path)
    return options.parse_args()

def main():
    "Measure the overlap, or write the page"
    options = parse_options()
    index = Index(options.index)
    if options.page: return print(write_qualitative_page(index, options.page, clips=True))
    overlap = list_overlap(index, draw_segments(index, len(index)))
    write_table(options.out, overlap, index=True, float_format='%.4f')
    print(overlap.round(3).to_string())

if __name__=='__main__': main()
