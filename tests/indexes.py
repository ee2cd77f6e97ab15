"Videos to index, and what an index of them holds: for tests and benches that compare indexes"
from dataclasses import dataclass
import lancedb
import numpy as np
import pandas as pd
from media_files import SHORT_GOP, make
from mvrep.core import MODALITIES
from mvrep.index.index import Index

def make_videos(folder, n):
    "Videos that all differ; the second takes longer than the others"
    folder.mkdir()
    for i in range(n):
        seconds = 40 if i==1 else 2+i
        make(folder/f'v{i}.mp4', seconds=seconds, options=SHORT_GOP, sr=32000+i%2*12100)
    return folder

def n_committed(folder):
    "Segments that are committed now, merged into the large table or not"
    if not (folder/'store'/'segments.lance').exists(): return 0
    db = lancedb.connect(folder/'store')
    def ids_in(table):
        try: rows = db.open_table(table).search().select(['segment_id']).to_arrow()
        except ValueError: return set() # does not exist yet
        return set(rows['segment_id'].to_pylist())
    return len(ids_in('segments')|ids_in('recent'))

@dataclass(frozen=True)
class Content:
    "All that an index holds, in an order that does not depend on how it was made"
    tables:dict # {name: frame}
    arrays:dict # {name: array}

def content_of(folder):
    index = Index(folder)
    build = index.build
    order = np.argsort(build.video_ids)
    segments = index.store.segments.to_pandas().sort_values('segment_id', ignore_index=True)
    videos = index.metadata_table.to_pandas().sort_values('video_id', ignore_index=True)
    arrays = dict(video_ids=build.video_ids[order])
    for modality in MODALITIES:
        arrays[modality] = np.asarray(build.embeddings[modality])[order]
        arrays[f'scale of {modality}'] = build.scale[modality].to_array()
    return Content(dict(segments=segments, videos=videos, errors=index.store.errors()), arrays)

def is_same_cell(a, b):
    if isinstance(a, np.ndarray): return np.array_equal(a, b)
    return a==b or (pd.isna(a) and pd.isna(b))

def assert_same(content, expected):
    "Compare two indexes bit for bit"
    for name, table in content.tables.items():
        other = expected.tables[name]
        assert list(table.columns)==list(other.columns) and len(table)==len(other), name
        for column in table:
            pairs = zip(table[column], other[column])
            assert all(is_same_cell(*pair) for pair in pairs), f'{column} of {name}'
    for name, array in content.arrays.items(): np.testing.assert_array_equal(array, expected.arrays[name], name)
