"""Build the site from the notebooks as they are committed, or README.md from the first of them. No cell is executed.

python docs/build.py [--out docs/site]
python docs/build.py --readme
"""
import argparse
import shutil
import sys
import tempfile
from pathlib import Path

root = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(root), str(root/'docs')]

def build_site(out):
    "Build the site in a folder, all or nothing; any warning is an error."
    from sphinx.cmd.build import main as sphinx
    with tempfile.TemporaryDirectory() as work:
        site = Path(work)/'site'
        options = ['-q', '-W', '--keep-going', '-c', str(root/'docs'), '-d', f'{work}/trees']
        if sphinx([*options, str(root/'nbs'), str(site)]): sys.exit('docs: the warnings above are errors')
        write_explorer(site/'explorer')
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(site, out)

def write_explorer(folder):
    "Write the explorer over twelve synthetic videos, as a page without a kernel."
    from mvrep.explore.static_page import write_page
    from mvrep.index.examples import tiny_index
    with tempfile.TemporaryDirectory() as work: write_page(tiny_index(work), folder)

def write_readme():
    from extensions.readme import readme_text
    (root/'README.md').write_text(readme_text(), encoding='utf-8')

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=root/'docs/site')
    parser.add_argument('--readme', action='store_true', help='write README.md instead')
    args = parser.parse_args()
    if args.readme: return write_readme()
    build_site(args.out)
    print(f'Open {args.out.resolve()/"index.html"}')

if __name__=='__main__': main()
