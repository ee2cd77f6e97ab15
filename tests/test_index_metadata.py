"What the table of metadata keeps of a manifest: what is filled, what is replaced, and in which form"
import lancedb
import numpy as np
import pandas as pd
import pytest
from mvrep.features.store import open_table
from mvrep.index.metadata import VIDEOS, ids_where, put_metadata

@pytest.fixture
def table(tmp_path): return open_table(lancedb.connect(tmp_path), 'videos', VIDEOS)

def put(table, overwrite=True, **row):
    "The metadata of one video"
    put_metadata(table, pd.DataFrame([dict(dict(video_id='a', path='a.mp4'), **row)]), overwrite)

def stored(table, video_id='a'):
    "A row without what is empty"
    row = next(o for o in table.to_arrow().to_pylist() if o['video_id']==video_id)
    return {column: value for column, value in row.items() if value not in (None, [])}

def test_known_values_are_replaced_or_filled(table):
    put(table, artist='Ada', genre='rock', tags=['x'], duration=5., sha256='1')
    put(table, artist='Bo', genre=None, tags=[], title='T', duration=7., sha256='2')
    known = dict(video_id='a', artist='Bo', genre='rock', tags=['x'], title='T', sha256='2')
    assert stored(table)==dict(known, path='a.mp4', duration=7.)
    put(table, overwrite=False, artist='Cy', mood='sad', path='b.mp4', duration=9., title='', sha256=None)
    assert stored(table)==dict(known, path='b.mp4', duration=9., mood='sad') # the file is that which was given

def test_without_a_change_nothing_is_written(table):
    put(table, artist='Ada')
    version = table.version
    put(table, artist='Ada')
    put(table, overwrite=False, artist='Bo')
    assert table.version==version
    rows = [dict(video_id='a', path='a.mp4', artist='Ada'), dict(video_id='b', path='b.mp4')]
    put_metadata(table, pd.DataFrame(rows))
    assert table.version>version and sorted(table.to_pandas().video_id)==['a', 'b']
    put_metadata(table, pd.DataFrame(rows).assign(artist='Cy')) # replaces, unless it is told not to
    assert stored(table)['artist']==stored(table, 'b')['artist']=='Cy'

def test_own_columns_have_the_kind_of_their_values(table):
    put(table, **{'Beats per minute': 120, 'moods!': ['sad', 'slow'], 'is live': True, 'mixed': ['x'], 'empty': None})
    kinds = {field.name: str(field.type) for field in table.schema if field.name not in VIDEOS.names}
    assert kinds=={'Beats_per_minute': 'double', 'moods_': 'list<item: string>', 'is_live': 'string',
                   'mixed': 'list<item: string>', 'empty': 'string'}
    assert stored(table)['Beats_per_minute']==120. and stored(table)['is_live']=='True'
    put(table, **{'mixed': 'y', 'moods!': ('a', 1)})
    assert stored(table)['mixed']==['y'] and stored(table)['moods_']==['a', '1']

def test_a_column_of_texts_and_lists_is_text(table):
    rows = [dict(video_id='a', path='a.mp4', mine=['x', 'y']), dict(video_id='b', path='b.mp4', mine='z'),
            dict(video_id='c', path='c.mp4', mine=np.nan)]
    put_metadata(table, pd.DataFrame(rows))
    assert [stored(table, o).get('mine') for o in 'abc']==['x; y', 'z', None]

def test_columns_that_cannot_be_kept(table):
    put(table, tempo=120.)
    with pytest.raises(ValueError, match="a: tempo='fast' is not a number"): put(table, tempo='fast')
    with pytest.raises(ValueError, match="two columns of the manifest are stored as 'a_b'"):
        put(table, **{'a b': 1, 'a-b': 2})
    put(table, overwrite=False, tempo='130') # a number written as text
    assert stored(table)['tempo']==120

def test_conditions_name_their_fault(table):
    put(table, artist='Ada', duration=5.)
    put_metadata(table, pd.DataFrame([dict(video_id='b', path='b.mp4', duration=7.)]))
    assert ids_where(table, 'duration > 5')==['b'] and sorted(ids_where(table, 'duration >= 5'))==['a', 'b']
    assert ids_where(table, 'artist IS NULL')==['b']
    with pytest.raises(ValueError, match='it is a value, not a condition'): ids_where(table, 'duration')
    with pytest.raises(ValueError, match="cannot filter by 'x{200}…'"): ids_where(table, 'x'*300)
