"Searches and hubs of an irregular index against their definition"
import numpy as np
import pytest
from ragged import BUILT, unit
from mvrep.core import MODALITIES
from mvrep.index.build import Query

def has(video_id, modality): return video_id!=f'no_{modality}'

def cosine(build, query, video_id, weights):
    "Weighted mean of the cosines of the modalities that both have; None if they have none in common"
    row = BUILT.index(video_id)
    shared = [m for m in weights if query[m] is not None and build.has[m][row]]
    if not shared: return None
    total = sum(weights[m]*(unit(query[m])@unit(build.embeddings[m][row])) for m in shared)
    return total/sum(weights[m] for m in shared)

WEIGHTS = [('audio', .5, dict(audio=1)), ('video', .5, dict(video=1)), ('joint', .5, dict(audio=.5, video=.5)),
           ('joint', .1, dict(audio=.1, video=.9)), ('joint', 1, dict(audio=1))]

@pytest.mark.parametrize('by, weight, weights', WEIGHTS)
@pytest.mark.parametrize('seed', ['c03', 'no_audio', 'no_video'])
def test_a_search_against_its_definition(ragged, seed, by, weight, weights):
    build = ragged.build
    query = build.query(seed)
    expected = {o: cosine(build, query, o, weights) for o in BUILT if o!=seed}
    expected = {o: score for o, score in expected.items() if score is not None}
    order = sorted(expected, key=lambda o: (-expected[o], o))
    found = ragged.search(query, 40, by, weight=weight, exclude=(seed,))
    assert list(found.index)==order and found.score.to_dict()==pytest.approx(expected, abs=1e-5)
    scores = build.scores(query, by, weight).score.drop(seed).dropna()
    assert scores.to_dict()==pytest.approx(expected, abs=1e-5)
    assert list(ragged.search(query, 3, by, weight=weight, exclude=(seed,)).index)==order[:3]
    for m in MODALITIES:
        either = query[m] is None or not has(seed, m)
        known = [None if either or not has(o, m) else cosine(build, query, o, {m: 1}) for o in order]
        np.testing.assert_allclose(found[m], np.array(known, float), atol=1e-5)

def test_many_queries_of_all_kinds(ragged):
    build = ragged.build
    queries = [build.query(o) for o in BUILT]+[Query(None, None)]
    together = build.search_many(queries, 4, exclude=[[o] for o in BUILT]+[[]])
    for query, video_id, found in zip(queries, BUILT, together):
        assert found.equals(build.search(query, 4, exclude=(video_id,))) and len(found)==4
    assert together[-1].empty

@pytest.mark.parametrize('by', ['joint', 'audio'])
def test_hubs_are_counted_among_videos_that_can_be_compared(ragged, by):
    rows = [i for i, o in enumerate(BUILT) if has(o, 'audio') and (by=='audio' or has(o, 'video')) and o!='c05']
    modalities = ['audio'] if by=='audio' else MODALITIES
    x = np.concatenate([ragged.build.embeddings[m][rows] for m in modalities], axis=1)
    cosines = x@x.T
    np.fill_diagonal(cosines, -np.inf)
    lists = np.argsort(-cosines, axis=1)[:, :3]
    count = np.bincount(lists.ravel(), minlength=len(rows))
    found = ragged.build.hubness(by, 3, allowed=np.array([o!='c05' for o in BUILT]))
    assert (found['pool'], found['never'])==(len(rows), pytest.approx((count==0).mean()))
    assert found['largest']==pytest.approx(count.max()/(len(rows)-1))
    assert found['chance_never']==pytest.approx((1-3/(len(rows)-1))**(len(rows)-1))
    few = ragged.build.hubness(by, 3, max_videos=10, seed=5)
    assert (few['pool'], few['seed'], few['by'])==(10, 5, by)

def test_hubs_need_more_videos_than_places(ragged):
    "18 videos have both modalities"
    assert ragged.build.hubness('joint', 18, seed=3)==dict(by='joint', seed=3)
    assert ragged.build.hubness('joint', 17)['pool']==18
