"Ratings: formats of MovieLens, bad rows are named, and no rating of an evaluation makes a training pair"
from itertools import combinations
import numpy as np
import pandas as pd
import pytest
from mvrep.recommendation.interactions import InteractionError
from mvrep.recommendation.rating_pairs import (
    PairRules, find_leaks, genre_overlap, genre_table, make_pairs, make_triplets, popularity_bias, split_pairs)
from mvrep.recommendation.ratings import (
    SimulatedUsers, read_movielens, read_movies, read_ratings, simulate_ratings, split_by_item, split_by_time,
    split_genres)

ROWS = [('1', '31', '2.5', '1260759144'), ('1', '1029', '4.0', '1260759179'), ('2', '31', '5.0', '835355493')]

def write(path, rows, separator=',', header=''):
    path.write_text('\n'.join([*filter(None, [header]), *map(separator.join, rows)])+'\n', encoding='latin-1')
    return path

@pytest.mark.parametrize('name, separator, header', [
    ('ratings.csv', ',', 'userId,movieId,rating,timestamp'), ('ratings.dat', '::', ''), ('u.data', '\t', '')])
def test_formats_of_movielens(tmp_path, name, separator, header):
    ratings, report = read_ratings(write(tmp_path/name, ROWS, separator, header))
    assert ratings.values.tolist()==[['2', '31', 5., 835355493.], ['1', '31', 2.5, 1260759144.],
                                     ['1', '1029', 4., 1260759179.]]
    assert (report.rows, report.kept, report.users, report.items, report.one_class_users)==(3, 3, 2, 2, 1)

def test_any_table_of_users_items_and_times(tmp_path):
    dates = ['2024-01-02', '2024-01-03', '2024-01-01']
    table = pd.DataFrame(dict(User=['a', 'a', 'b'], video_id=['x', 'x', 'y'], date=dates))
    ratings, report = read_ratings(table)
    assert ratings.item.tolist()==['y', 'x'] and report.repeats==1 and (ratings.rating==5).all()
    table.to_parquet(tmp_path/'log.parquet')
    pd.testing.assert_frame_equal(read_ratings(tmp_path/'log.parquet')[0], ratings)

def test_the_later_rating_counts():
    table = pd.DataFrame(dict(user='a', item=['x', 'x'], rating=[1., 5.], time=[20, 10]))
    assert read_ratings(table)[0].rating.tolist()==[1.]

HEADER = 'userId,movieId,rating,timestamp\n'
BAD = HEADER+'1,31,5,10\n1,31\n,31,4,10\n2,,4,10\n2,31,great,10\n2,31,4,soon\n2,77,4,10\n3,31,inf,9\n'

def test_bad_rows_and_unknown_items_are_named(tmp_path):
    path = tmp_path/'ratings.csv'
    path.write_text(BAD)
    ratings, report = read_ratings(path, [31])
    assert len(ratings)==1 and report.unknown=={'77': 1} and report.rows==8
    assert {o: report.faults[f'line {o}'].split(' ')[1] for o in (3, 4, 5, 6, 7, 9)}=={
        3: '2', 4: 'no', 5: 'no', 6: 'a', 7: 'a', 9: 'a'}
    assert 'left out: 6 bad rows (line 3 has 2 fields, the header 4; line 4 has no user' in report.lines[2]
    assert 'left out: 1 rating of 1 unknown item (77)' in report.lines

@pytest.mark.parametrize('text, message', [
    ('user,item,rating\na,b,3\n', 'no column time; it has user, item, rating'),
    (HEADER+'1,2,x,3\n', 'no usable rating; 1 bad row'), (HEADER, 'no usable rating'),
    (HEADER+'1,9,4,3\n', "such as '9'")])
def test_what_cannot_be_used(tmp_path, text, message):
    path = tmp_path/'ratings.csv'
    path.write_text(text)
    with pytest.raises(InteractionError, match=message): read_ratings(path, ['1'])
    with pytest.raises(InteractionError, match='no such file|No such file'): read_ratings(tmp_path/'gone.dat')

def test_a_folder_of_movielens_1m(tmp_path):
    write(tmp_path/'ratings.dat', ROWS, '::')
    movies = [('31', 'Misérables, Les (1995)', 'Drama|Musical'), ('1029', 'Dumbo', 'Animation')]
    write(tmp_path/'movies.dat', movies, '::')
    write(tmp_path/'tags.dat', [('15', '31', 'see :: this', '1215184630'), ('15', '31', 'x', '1215184631')], '::')
    write(tmp_path/'links.csv', [('31', '0112792', '9909'), ('1029', '114709', '')], header='movieId,imdbId,tmdbId')
    found = read_movielens(tmp_path)
    assert found.movies.title.tolist()==['Misérables, Les', 'Dumbo'] and found.movies.genres['31']==['Drama', 'Musical']
    assert found.movies.year['31']==1995 and np.isnan(found.movies.year['1029'])
    assert found.tags.tag.tolist()==['see :: this', 'x'] and found.tags.time[1]==1215184630
    assert found.links.imdb.tolist()==['tt0112792', 'tt0114709']
    (tmp_path/'movies.dat').unlink()
    with pytest.raises(InteractionError, match='no movies.csv and no movies.dat'): read_movielens(tmp_path)

def test_movies_with_commas_and_without_genres(tmp_path):
    path = tmp_path/'movies.csv'
    rows = '1,"City, The (Ville, La) (1999)",(no genres listed)\n2,Show (2001–2003),A|B\n'
    path.write_text(f'movieId,title,genres\n{rows}')
    movies = read_movies(path)
    assert movies.title.tolist()==['City, The (Ville, La)', 'Show'] and movies.year.tolist()==[1999, 2001]
    assert movies.genres.tolist()==[[], ['A', 'B']]
    assert [split_genres(o) for o in (None, np.nan, '', 'A, B', ['C', ' '])]==[[], [], [], ['A', 'B'], ['C']]

# Simulated ratings

@pytest.fixture(scope='module')
def causes():
    rng = np.random.default_rng(0)
    return pd.DataFrame(dict(genre=[['A', 'B|C', 'C', 'D'][i%4] for i in range(60)], valence=rng.normal(size=60),
                             energy=rng.random(60)), [f'v{i:02d}' for i in range(60)])

@pytest.fixture(scope='module')
def ratings(causes): return simulate_ratings(causes, SimulatedUsers(40, 12))

def test_simulated_users_have_taste_and_follow_what_is_popular(causes, ratings):
    assert len(ratings)==480 and not ratings.duplicated(['user', 'item']).any() and ratings.time.is_monotonic_increasing
    pd.testing.assert_frame_equal(ratings, simulate_ratings(causes, SimulatedUsers(40, 12)))
    def top_share(**how):
        counts = simulate_ratings(causes, SimulatedUsers(40, 12, **how)).item.value_counts()
        return counts[:6].sum()/480
    assert top_share(taste=0., popularity=2.)>.4>top_share(popularity=0.)
    assert (ratings.rating>=4).mean()>(simulate_ratings(causes, SimulatedUsers(40, 12, taste=0.)).rating>=4).mean()
    with pytest.raises(ValueError, match='0 videos'): simulate_ratings(causes[:0])

# Splits

def test_a_split_by_item_shares_no_item_and_no_artist(causes, ratings):
    artists = pd.Series(np.arange(60)//3, causes.index)
    split = split_by_item(ratings, seed=3, groups=artists)
    groups = [set(artists[part.item]) for part in (split.train, split.valid, split.test)]
    assert all(not (a & b) for a, b in combinations(groups, 2))
    assert len(split.train)+len(split.valid)+len(split.test)==480 and split.counts.items_in_train[1:].tolist()==[0, 0]

def test_a_split_by_time_follows_time(ratings):
    split = split_by_time(ratings)
    assert split.train.time.max()<split.valid.time.min()<=split.valid.time.max()<split.test.time.min()
    assert len(split.train)==pytest.approx(.7*480, abs=2)

@pytest.mark.parametrize('shares', [(.7, .3), (.9, .2, -.1), (.5, .5, .5)])
def test_wrong_shares(ratings, shares):
    for split in (split_by_item, split_by_time):
        with pytest.raises(ValueError, match='want three shares'): split(ratings, shares)

# Pairs

def slow_pairs(ratings, genres, rules=PairRules()):
    "Positives with the number of users, negatives with their disagreement, as the published code counts them"
    sets = {item: set(split_genres(o)) for item, o in genres.items() if split_genres(o)}
    positives, negatives = {}, {}
    for _, rows in ratings[ratings.item.isin(sets)].groupby('user'):
        liked = dict(zip(rows.item, rows.rating>=rules.liked))
        for a, b in combinations(sorted(liked), 2):
            overlap = len(sets[a] & sets[b])/len(sets[a] | sets[b])
            if liked[a] and liked[b] and overlap>=.25: positives[a, b] = positives.get((a, b), 0)+1
            score = 2 if liked[a]!=liked[b] else int(not liked[a])
            if score and overlap<=.1: negatives[a, b] = negatives.get((a, b), 0)+score
    return positives, negatives

def as_dict(pairs): return {(o.first, o.second): o.evidence for o in pairs.itertuples()}

def test_pairs_are_those_of_a_slow_count(causes, ratings):
    genres = causes.genre.to_dict()|{'v03': ''}
    positives, negatives = slow_pairs(ratings, genres)
    pairs, report = make_pairs(ratings, genres)
    assert as_dict(pairs[pairs.same])==positives and report.positives==len(positives)
    found = as_dict(pairs[pairs.why=='disagreed'])
    assert found.items()<=negatives.items() and len(found)==min(len(positives), len(negatives))
    left = set(negatives)-set(found) # the strongest disagreement is kept
    assert not left or max(negatives[o] for o in left)<=min(found.values())
    assert report.without_genre==['v03'] and not pairs[['first', 'second']].duplicated().any()

def test_random_negatives_make_up_for_missing_disagreement(causes):
    rng = np.random.default_rng(1)
    ratings = pd.DataFrame(dict(user=np.repeat(list('abcde'), 6), item=[f'v{i:02d}' for i in rng.integers(0, 60, 30)],
                                rating=5., time=0.)).drop_duplicates(['user', 'item'])
    pairs, report = make_pairs(ratings, causes.genre, PairRules(min_pairs=5))
    assert report.disagreed==0 and report.random>=report.positives and report.fewest>=5
    table = genre_table(causes.genre)
    added = pairs[pairs.why=='random']
    assert (np.diag(genre_overlap(table.loc[added['first']].values, table.loc[added['second']].values))<=.1).all()
    assert make_pairs(ratings, causes.genre, PairRules(max_positives=2))[1].positives==2

def test_no_rating_of_the_evaluation_makes_a_training_pair(causes, ratings):
    for split in (split_by_item(ratings), split_by_time(ratings)):
        pairs, _ = make_pairs(split.train, causes.genre)
        assert as_dict(pairs[pairs.same])==slow_pairs(split.train, causes.genre)[0]
        assert set(pairs['first']) | set(pairs['second'])<=set(split.train.item)
    honest = split_by_item(ratings)
    assert find_leaks(make_pairs(honest.train, causes.genre)[0], honest.test)==dict(items=0, likes=0, pairs=0)
    pairs, _ = make_pairs(ratings, causes.genre)
    parts = split_pairs(pairs)
    published = find_leaks(parts[0], ratings)
    assert published['items']>.9 and published['pairs']==1 and sum(map(len, parts))==len(pairs)

def test_triplets_keep_the_thresholds_and_the_split(causes, ratings):
    split = split_by_item(ratings)
    pairs, _ = make_pairs(split.train, causes.genre)
    triplets, table = make_triplets(pairs, causes.genre), genre_table(causes.genre)
    def overlap(a, b): return np.diag(genre_overlap(table.loc[triplets[a]].values, table.loc[triplets[b]].values))
    assert (overlap('anchor', 'positive')>=.25).all() and (overlap('positive', 'negative')<=.1).all()
    assert (overlap('anchor', 'negative')<=.5).all() and set(triplets.negative)<=set(split.train.item)
    assert .3<(triplets.anchor<triplets.positive).mean()<.7
    same = dict.fromkeys(causes.index, 'A')
    with pytest.raises(ValueError, match='no other item differs enough'): make_triplets(pairs, same)

def test_the_bias_to_popular_videos(causes):
    many = simulate_ratings(causes, SimulatedUsers(30, 8, taste=.5, popularity=2.))
    bias = popularity_bias(make_pairs(many, causes.genre)[0], many)
    assert bias['ratings']>.2 and bias['positives']>.15 and bias['correlation']>.3
    with pytest.raises(ValueError, match='top=1'): popularity_bias(pd.DataFrame(), many, 1)

def test_one_class_users_and_lonely_likes_make_no_pair(causes, ratings):
    nothing = ratings.assign(rating=1.)
    with pytest.raises(ValueError, match='nothing to learn from'): make_pairs(nothing, causes.genre)
    with pytest.raises(ValueError, match='of 0 items with a genre'): make_pairs(ratings, {o: '' for o in causes.index})
    assert read_ratings(nothing)[1].one_class_users==40
    one = pd.concat([ratings, pd.DataFrame(dict(user='lone', item=['v00'], rating=5., time=0.))])
    assert 'lone' in make_pairs(one, causes.genre)[1].without_pair
