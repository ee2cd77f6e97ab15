"A space learned from ratings: what is kept out stays out, items without ratings get a place, bad ratings are named"
import shutil
import numpy as np
import pandas as pd
import pytest
from mvrep.encoders.registry import Encoder
from mvrep.index.index import Index, create_index
from mvrep.learning.synthetic import SyntheticNetwork
from mvrep.media.segments import Segment
from mvrep.recommendation.baselines import by_als, by_bpr, by_metadata
from mvrep.recommendation.interactions import InteractionError
from mvrep.recommendation.neighbours import similar
from mvrep.recommendation.rating_space import divide_ratings, evaluate_on_ratings, longest, train_on_ratings
from mvrep.recommendation.ratings import SimulatedUsers, simulate_ratings

N, N_RATED = 80, 70
IDS = [f'v{i:02}' for i in range(N)]
KIND = np.arange(N)%4
COLUMNS = dict(audio='loudness', video='colour')

def fill(index, has_genres=True):
    "Features that tell the kind of a video among numbers that tell nothing; the last video has no features"
    rng = np.random.default_rng(0)
    encoders = [Encoder(column, m, SyntheticNetwork(12)) for m, column in COLUMNS.items()]
    for o in encoders: index.store.add_column(o)
    genres = [f'genre {k}' if has_genres else None for k in KIND]
    rows = [dict(video_id=o, path=f'{o}.mp4', genre=genre) for o, genre in zip(IDS, genres)]
    index.put_videos(pd.DataFrame(rows))
    for video_id, k in zip(IDS, KIND):
        x = np.r_[2*np.eye(4)[k], rng.normal(size=8)]
        feats = {e: None if video_id==IDS[-1] else x+.2*rng.normal(size=(2, 12)) for e in encoders}
        index.store.put(video_id, [Segment(0, 0., 5.), Segment(1, 5., 5.)], '', feats)
    index.make_build()

@pytest.fixture(scope='module')
def ratings():
    causes = pd.DataFrame(dict(genre=[f'genre {k}' for k in KIND]), IDS)
    return simulate_ratings(causes[:N_RATED], SimulatedUsers(60, 16))

@pytest.fixture(scope='module')
def untrained(tmp_path_factory):
    index = create_index(tmp_path_factory.mktemp('rated')/'ix', tuple(COLUMNS.values()), COLUMNS)
    fill(index)
    return index

@pytest.fixture(scope='module')
def trained(untrained, ratings, tmp_path_factory):
    "An index with a space of ratings, and how its training went"
    index = Index(shutil.copytree(untrained.folder, tmp_path_factory.mktemp('trained')/'ix'))
    return index, train_on_ratings(index, ratings, epochs=4)

# What is kept out

def test_parts_share_no_video_and_no_recording(untrained, ratings):
    index = Index(untrained.folder)
    index.videos['recording'] = [f'r{i//2}' for i in range(N)] # each video has a copy
    task = divide_ratings(index, ratings)
    part = pd.Series(task.parts)
    assert set(part)=={'train', 'valid', 'test'}
    assert part.groupby(index.videos.recording.reindex(part.index)).nunique().max()==1
    items = [set(getattr(task.split, o).item) for o in ('train', 'valid', 'test')]
    assert not items[0] & items[1] and not items[0] & items[2] and not items[1] & items[2]

def test_the_same_likes_are_held_out_of_later_tables(untrained, ratings):
    task = divide_ratings(untrained, ratings)
    key = ['user', 'item']
    assert .05<len(task.held_out)/(len(task.held_out)+len(task.split.train))<.12
    assert task.held_out.rating.min()>=4 and len(task.held_out.merge(task.split.train, on=key))==0
    later = pd.concat([ratings, ratings[:200].assign(user='new')], ignore_index=True).sample(frac=1, random_state=0)
    again = divide_ratings(untrained, later, parts=task.parts)
    assert len(task.held_out.merge(again.held_out, on=key))==len(task.held_out)
    assert len(task.split.train.merge(again.held_out, on=key))==0

def test_copies_of_known_videos_are_not_test_videos(untrained, ratings):
    index = Index(untrained.folder)
    index.videos['recording'] = None
    index.videos.loc[['v00', 'v70'], 'recording'] = 'same'
    later = pd.concat([ratings, ratings[:2].assign(item=['v70', 'v71'])], ignore_index=True)
    parts = divide_ratings(index, later, parts=dict(v00='valid')).parts
    assert (parts['v70'], parts['v71'], parts['v00'])==('valid', 'test', 'valid')

# Training

def test_videos_without_ratings_have_a_place(trained):
    index, found = trained
    space = index.build.spaces['ratings']
    assert space.has.tolist()==[True]*(N-1)+[False] # the last one has no features
    def same_kind(video_id):
        return similar(index, video_id, by='ratings', k=5)[0].genre.eq(index.videos.genre[video_id]).mean()
    assert np.mean([same_kind(o) for o in IDS[N_RATED:-1]])>.5 # chance is a quarter
    assert found.counts['train']['items']+found.counts['valid']['items']+found.counts['test']['items']==N_RATED

def test_other_embeddings_stay_and_a_repetition_changes_nothing(untrained, trained, ratings):
    index, found = trained
    for m in COLUMNS: np.testing.assert_array_equal(index.build.embeddings[m], untrained.build.embeddings[m])
    number = index.build.number
    assert train_on_ratings(index.folder, ratings, epochs=4)==found and Index(index.folder).build.number==number

def test_likes_alone_make_pairs_without_genres(ratings, tmp_path):
    index = create_index(tmp_path/'ix', tuple(COLUMNS.values()), COLUMNS)
    fill(index, has_genres=False)
    assert index.videos.genre.isna().all() and train_on_ratings(index, ratings[:300], epochs=1).pairs>0

def test_ratings_that_make_no_pairs(untrained, ratings):
    lonely = ratings.drop_duplicates('user') # no user has two likes
    with pytest.raises(ValueError, match='the training part: .* nothing to learn from; want more ratings'):
        train_on_ratings(untrained, lonely)
    with pytest.raises(ValueError, match='want at least three'):
        train_on_ratings(untrained, ratings[ratings.item=='v00'])
    assert not untrained.space_files

# Bad ratings

def test_bad_ratings_are_counted_and_named(untrained, ratings, tmp_path):
    rows = ['user,item,rating,time', *(f'{o.user},{o.item},{o.rating},{o.time}' for o in ratings.itertuples())]
    rows += ['u1,tt404,5,1', 'u1,tt404,4,2', 'u1,v00,good,3', ',v01,5,4', 'one-sided,v02,5,5', 'one-sided,v03,5,6']
    (tmp_path/'r.csv').write_bytes('\n'.join(rows).encode()+'\nJosé,v04,5,7\n'.encode('latin-1'))
    lines = '\n'.join(divide_ratings(untrained, tmp_path/'r.csv').report.lines)
    assert 'left out: 2 ratings of 1 unknown item (tt404)' in lines and 'left out: 3 bad rows' in lines
    assert 'with likes only or without any' in lines
    (tmp_path/'other.csv').write_text('user,item,rating,time\nu,x,5,1\n')
    with pytest.raises(InteractionError, match="other.csv: its items, such as 'x', are unknown: want ids such as"):
        train_on_ratings(untrained, tmp_path/'other.csv')

# Measures

def test_measures_of_cold_and_warm_videos(trained, ratings):
    index, _ = trained
    found = evaluate_on_ratings(index, ratings, n_boot=50)
    measures = found.measures
    assert measures.index.get_level_values('items').unique().tolist()==['cold', 'warm']
    cold = measures.loc['cold']
    assert cold.loc['ratings', 'ndcg@3']>cold.loc['ratings', 'chance_ndcg@3'] and cold.pool_size.eq(10).all()
    assert longest(found, 'cold')==5 and longest(found, 'warm')==10 # lists are shorter than their pools
    than = found.differences.loc[('warm', 'popularity')]
    gap = measures.loc[('warm', 'ratings'), 'ndcg@10']-measures.loc[('warm', 'popularity'), 'ndcg@10']
    assert than.difference==pytest.approx(gap) and than.low<=than.difference<=than.high

def test_later_ratings_measure_videos_that_were_new(trained, ratings):
    index, _ = trained
    users = ratings.user.unique()[:30]
    new = pd.DataFrame(dict(user=users, item=[IDS[N_RATED+i%8] for i in range(30)], rating=5., time=2e9))
    found = evaluate_on_ratings(index, pd.concat([ratings, new]), n_boot=20)
    assert found.counts['test']['items']==18

def test_nothing_to_measure(untrained, trained, ratings):
    with pytest.raises(ValueError, match='has no space of ratings: learn it with'):
        evaluate_on_ratings(untrained, ratings)
    index, _ = trained
    with pytest.raises(ValueError, match='nothing to measure: .*cold videos: 0 likes to find'):
        evaluate_on_ratings(index, ratings.assign(rating=1.))

# Baselines

def test_als_solves_equation_4():
    likes = pd.DataFrame([('a', 0), ('a', 1), ('b', 1), ('b', 2), ('c', 2)], columns=['user', 'item'])
    score = by_als(likes, [0, 1, 2, 3], dim=2, confidence=5., ridge=.1, n_rounds=60)
    scores = {user: score(list(o.item)) for user, o in likes.groupby('user')}
    assert np.isnan(scores['a'][3]) and scores['a'][1]>.8 and scores['c'][2]>.8>scores['c'][0]
    # users and items are at a fixed point, so predictions of all users repeat with another start
    other = by_als(likes, [0, 1, 2, 3], dim=2, confidence=5., ridge=.1, n_rounds=60, seed=1)
    np.testing.assert_allclose(scores['b'][:3], other([1, 2])[:3], atol=.02)

def test_metadata_without_columns():
    with pytest.raises(ValueError, match='none of the columns artist, genre'): by_metadata(pd.DataFrame(dict(x=[1])))

def test_bpr_ranks_what_similar_users_like():
    pytest.importorskip('cornac', reason='BPR needs mvrep[baselines]')
    pairs = [(f'u{i}', f'{i%2}{j}') for i in range(20) for j in range(6) if (i+j)%5]
    likes = pd.DataFrame(pairs, columns=['user', 'item'])
    items = [f'{i}{j}' for i in range(2) for j in range(6)]+['new']
    score = by_bpr(likes, items, dim=4, epochs=300, seed=0)
    own = likes[likes.user=='u0'].item.tolist()
    scores = pd.Series(score(own), items)
    assert np.isnan(scores['new']) and scores[items[:6]].min()>scores[items[6:12]].max()
    assert np.isnan(score(['00'])).all() # not a user of the training part
