"Segments that are similar to a segment, against the definition"
import numpy as np
import pandas as pd
import pytest
from mvrep.core import UnknownId
from mvrep.encoders.registry import Encoder
from mvrep.index.exact import joint_scores
from mvrep.index.index import create_index
from mvrep.index.segments import open_segments
from mvrep.media.segments import Segment

class Network:
    "What an encoder must tell about its network"
    dim = 4
    layers = dict(pooled=4)
    weights_hash = 'random'

@pytest.fixture(scope='module')
def index(tmp_path_factory):
    "Six videos of one to four segments; the second has no audio, the third no video"
    rng = np.random.default_rng(0)
    index = create_index(tmp_path_factory.mktemp('segments')/'ix', ('a', 'v'), dict(audio='a', video='v'))
    encoders = Encoder('a', 'audio', Network()), Encoder('v', 'video', Network())
    for encoder in encoders: index.store.add_column(encoder)
    for number in range(6):
        n = number%4+1
        feats = {o: rng.normal(size=(n, 4)) for o in encoders}
        if number in (1, 2): feats[encoders[number-1]] = None
        index.store.put(f'v{number}', [Segment(i, 5.*i, 5.) for i in range(n)], 'random', feats)
    index.put_videos(pd.DataFrame(dict(video_id=[f'v{i}' for i in range(6)], path='x')))
    index.make_build()
    return index

def expected(index, segment_id, by):
    "Scores of all segments of other videos, by the definition"
    keys = index.store.keys()
    emb = {m: index.build.embed_segments(m, np.asarray(index.store.matrix(c))) for m, c in index.build.columns.items()}
    row = int(np.flatnonzero(keys.segment_id==segment_id)[0])
    cosines = {m: o@o[row] for m, o in emb.items()}
    has = {m: ~np.isnan(o[:, 0]) for m, o in emb.items()}
    scores = joint_scores(cosines, has, {m: o[row] for m, o in has.items()}) if by=='joint' else cosines[by]
    keys['score'] = scores
    return keys[(keys.video_id!=keys.video_id[row]) & keys.score.notna()].set_index('segment_id')

@pytest.mark.parametrize('in_memory', [False, True])
@pytest.mark.parametrize('by', ['audio', 'video', 'joint'])
def test_scores_are_those_of_the_definition(index, by, in_memory):
    search = open_segments(index, by, in_memory)
    ids = list(search.keys.index)
    for segment_id, (rows, scores) in zip(ids, search.search(ids, k=99)):
        wanted = expected(index, segment_id, by).score
        np.testing.assert_allclose(scores, wanted[search.keys.index[rows]], atol=1e-5)
        assert len(rows)==len(wanted) and (np.diff(scores)<=1e-6).all()

def test_only_the_best_segment_of_a_video_counts(index):
    search = open_segments(index)
    for segment_id, (rows, scores) in zip(['v3_0', 'v0_0'], search.search(['v3_0', 'v0_0'], 3, one_per_video=True)):
        best = expected(index, segment_id, 'joint').groupby('video_id').score.max().nlargest(3)
        assert list(search.keys.video_id.iloc[rows])==list(best.index)
        np.testing.assert_allclose(scores, best, atol=1e-5)

def test_what_may_be_found(index):
    search = open_segments(index, 'video')
    allowed = (search.keys.video_id=='v5').to_numpy()
    (rows, _), (none, _) = search.search(['v0_0', 'v2_0'], 9, allowed=allowed)
    assert set(search.keys.video_id.iloc[rows])=={'v5'} and len(none)==0 # v2 has no video
    assert search.search([])==[]
    with pytest.raises(UnknownId, match="no segment 'v9_0'"): search.search(['v0_0', 'v9_0'])
    with pytest.raises(ValueError, match="by='taste'"): open_segments(index, 'taste')
