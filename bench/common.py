"What the benches share: their options, and how they write results"
import argparse
import json
from pathlib import Path
import pandas as pd
from mvrep.core import atomic_write

RESULTS = Path(__file__).resolve().parents[1]/'results'

def parser(
    doc:str, # Docstring of the script
    file:str='' # Name of its file in results/; empty if it writes several tables
) -> argparse.ArgumentParser: # With the option --out
    "The command line of a bench."
    found = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = 'file of the results' if file else 'folder for the tables'
    found.add_argument('--out', type=Path, default=RESULTS/file, help=what)
    return found

def write_table(path, table, digits=None, **options):
    "Write a table as CSV, without its index unless `index=True`; with `digits`, numbers are rounded."
    table = pd.DataFrame(table)
    if digits is not None: table = table.round(digits)
    with atomic_write(path) as tmp: table.to_csv(tmp, **dict(index=False)|options)

def write_json(path, document, digits=None):
    "Write a document as JSON; with `digits`, numbers are rounded. Returns what is in the file."
    if digits is not None:
        document = json.loads(json.dumps(document, default=float), parse_float=lambda o: round(float(o), digits))
    with atomic_write(path) as tmp: tmp.write_text(json.dumps(document, indent=1)+'\n')
    return document
