"Tables of annotations: what is missing, values that are not numbers, and a corpus from some of its columns"
import numpy as np
import pandas as pd
import pytest
from mvrep.corpus.annotations import as_corpus, require_columns, to_numbers
from mvrep.corpus.manifest import COLUMNS
from mvrep.corpus.tables import CorpusError

def test_the_first_twelve_columns_are_named():
    wide = pd.DataFrame(columns=[f'c{i:02d}' for i in range(13)])
    with pytest.raises(CorpusError, match='no column x, y; it has c00, .*, c11 …$'):
        require_columns('t.csv', wide, ('x', 'c00', 'y'))
    with pytest.raises(CorpusError, match='no column x; it has .*, c11$'):
        require_columns('t.csv', wide.iloc[:, :12], ('x',))
    with pytest.raises(CorpusError, match='no rows'): require_columns('t.csv', wide, ('c12',))
    table = pd.DataFrame(dict(a=[1]))
    assert require_columns('t.csv', table, ('a',)) is table

def test_numbers():
    found = to_numbers('t.csv', pd.Series(['1', '', None, ' 2.5 ', 3]), 'tempo')
    assert found.dtype==float and found.fillna(-1).tolist()==[1, -1, -1, 2.5, 3]
    with pytest.raises(CorpusError, match="tempo: .*fast.*: want numbers"):
        to_numbers('t.csv', pd.Series(['1', 'fast']), 'tempo')

def test_a_corpus_of_some_columns():
    found = as_corpus('t.csv', video_id=['a', 'b'], mine=[1.5, np.nan], artist=['Ada', np.nan])
    assert list(found)==[*COLUMNS, 'mine'] and found.duration.isna().all() and found.duration.dtype==float
    assert found.artist.tolist()==['Ada', None] and found.tags.tolist()==[[], []] and found.genre.isna().all()
    found.tags[0].append('x')
    assert found.tags[1]==[] # a list of its own
    with pytest.raises(CorpusError, match='video_id: .*a.* used more than once'):
        as_corpus('t.csv', video_id=['a', 'a'])
