"Removals that last: by content, path and, in a manifest, by id"
import lancedb
import pandas as pd
import pytest
from mvrep.core import UnknownId, sha256
from mvrep.index.removed import forget_removed, put_removed, removed_videos, stays_away

@pytest.fixture
def db(tmp_path): return lancedb.connect(tmp_path/'store')

def videos(**rows):
    "{id: (path, sha256)} as a table"
    table = [dict(video_id=o, path=path, sha256=content) for o, (path, content) in rows.items()]
    return pd.DataFrame(table, columns=['video_id', 'path', 'sha256'])

def test_what_is_recorded(db, tmp_path):
    assert removed_videos(db).empty and list(removed_videos(db))==['video_id', 'path', 'sha256', 'removed']
    put_removed(db, videos())
    assert not (tmp_path/'store'/'removed.lance').exists()
    (tmp_path/'b.mp4').write_text('content')
    put_removed(db, videos(a=('a.mp4', 'aa'), b=(str(tmp_path/'b.mp4'), None), c=('gone.mp4', None)))
    found = removed_videos(db).set_index('video_id')
    assert found.sha256.fillna('').to_dict()==dict(a='aa', b=sha256(tmp_path/'b.mp4'), c='')
    assert found.removed.str.endswith('+00:00').all()

def test_removals_are_lifted_one_by_one(db):
    put_removed(db, videos(a=('a.mp4', 'aa'), b=('b.mp4', 'bb')))
    with pytest.raises(UnknownId, match="'c' was not removed"): forget_removed(db, ['a', 'c'])
    assert len(removed_videos(db))==2 # nothing was lifted
    lifted = forget_removed(db, ['b'])
    assert list(lifted.path)==['b.mp4'] and list(removed_videos(db).video_id)==['a']
    assert forget_removed(db, []).empty and list(removed_videos(db).video_id)==['a']

def test_which_files_stay_away(db):
    put_removed(db, videos(a=('a.mp4', 'aa'), b=('b.mp4', None)))
    found = videos(x=('x.mp4', 'aa'), b=('new.mp4', 'nn'), y=('b.mp4', 'yy'), z=('z.mp4', None), a=('b.mp4', 'aa'))
    removed = removed_videos(db)
    assert stays_away(found, removed).tolist()==['a', None, 'b', None, 'a'] # content before path
    assert stays_away(found, removed, by_id=True).tolist()==['a', 'b', 'b', None, 'a']
    assert stays_away(found, removed.iloc[:0]).isna().all()
