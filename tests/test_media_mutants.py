"Damaged media are read or refused: no crash, no hang, no unexpected error. bench/mutants.py tries hundreds"
import pandas as pd
from mutants import CHANGES, decode_mutants, make_mutants

def test_damaged_media_are_read_or_refused(tmp_path):
    mutants = make_mutants(tmp_path, 24, seed=1, sources=('constant', 'variable_mkv', 'flash', 'webm'))
    rows = pd.DataFrame(decode_mutants(mutants))
    assert set(rows.change)==set(CHANGES) and set(rows.outcome)<={'read', 'refused'}, rows.to_string()
    refused = rows[rows.outcome=='refused']
    assert len(refused) and refused.reason.str.len().min()>20
