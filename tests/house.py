"""Print where the repository breaks the house rules, which are in tests/rules.

python tests/house.py [PART]     a few violations of each rule, or all of those in places whose path contains PART

To add a rule: a function in tests/rules, its name in CHECKS, and violations that it must find in PLANTED of
test_house.py.
"""
import sys
from pathlib import Path
from rules import documentation, form, imports, text
from rules.source_tree import SourceTree

CHECKS = (
    form.wrong_names, form.wrong_form,
    imports.forward_imports, imports.heavy_imports, imports.loader_imports, imports.unused_imports,
    documentation.undocumented, documentation.unmentioned_raises, documentation.unoffered,
    form.wide_lines, form.long_functions, form.packed_code, form.long_tables, form.heavy_outputs,
    text.foreign_words, text.broken_links, text.lost_studies, text.unknown_commands, text.unmade_results,
    text.broken_snippets, text.long_readme)

def main(part=''):
    "Print the violations of each rule"
    tree = SourceTree(Path(__file__).resolve().parents[1])
    for check in CHECKS:
        found = [o for o in check(tree) if part in o]
        print(f'\n{check.__name__}: {len(found)}')
        for o in found[:400 if part else 8]: print('  ', o)

if __name__=='__main__': main(*sys.argv[1:])
