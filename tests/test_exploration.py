"""Metadata of a corpus: which rows count, which tags count, which country is near"""
from collections import Counter
from itertools import chain

import numpy as np
import pandas as pd
import pytest
from mvrep.corpus.demo import describe, tiny_corpus
from mvrep.corpus.exploration import (COUNTRY_TAGS, GENRE_TAGS, check_columns, compare_densities, compare_shares,
                                      density, most_common, nearest_country, plot_densities, plot_shares,
                                      tag_counts, tag_lists)
from mvrep.corpus.manifest import read_manifest, release_years

PLACES = {
    'Liverpool': (53.4, -3., 'UK'), 'Omaha': (41.3, -95.9, 'USA'), 'Hamilton, Ontario': (43.26, -79.87, 'Canada'),
    'Utrecht': (52.09, 5.12, 'Netherlands'), 'Galway': (53.27, -9.05, 'Ireland'), 'Dresden': (51.05, 13.74, 'Germany'),
    'Recife': (-8.05, -34.9, 'Brazil'), 'Kyoto': (35., 135.8, 'Japan')}

ARTISTS = [['uk', 'british', 'rock']]*3 + [['british', 'rock', 'alternative rock']] \
    + [['american', 'rock', 'alternative rock']] + [['american', 'pop']]*4 + [['pop']]
COUNTRIES = dict(Britain=('uk', 'british', 'united kingdom'), USA=('american', 'usa'), France=('french',))

@pytest.fixture(scope='module')
def demo(): return pd.DataFrame([dict(video_id=f'v{i:04}', duration=24., **describe(i)) for i in range(400)])

def test_a_constant_column_is_broken(demo):
    columns = check_columns(demo)
    assert list(columns.index[columns.broken])==['duration']
    assert columns.loc['genre', 'distinct']==8
    with pytest.raises(ValueError, match='no rows'): check_columns(demo[:0])

def test_unknown_values_are_one_value():
    columns = check_columns(pd.DataFrame(dict(a=[None, float('nan'), 'x', ''])), share=.7)
    assert columns.loc['a'].to_dict()==dict(distinct=2, common='', share=.75, broken=True)

def test_lists_in_an_index_are_values():
    tags = [np.array(['a', 'b']), np.array(['a', 'b']), np.array([], object), None]
    assert check_columns(pd.DataFrame(dict(tags=tags))).loc['tags', ['distinct', 'share']].tolist()==[3, .5]

def test_release_years():
    dates = ['2003', '2008-05-01', '1998', 'long ago', None, '', float('nan'), '12.5.2003', '1e3', ' 2003', '20030512']
    np.testing.assert_array_equal(release_years(dates), [2003, 2008, 1998, *[np.nan]*8])
    assert release_years([2003, 2004.]).tolist()==[2003, 2004]
    assert np.isnan(release_years([None, None])).all() and not len(release_years([]))

def test_densities_integrate_to_one(demo):
    densities = compare_densities(dict(all=demo, old=demo[release_years(demo.release_date)<2000]))
    area = np.trapezoid(densities, densities.index, axis=0)
    assert (abs(area-1)<.1).all() and list(densities)==['all (400 known)', 'old (104 known)']
    assert plot_densities(densities).size==(500, 260)

def test_densities_need_values(demo):
    with pytest.raises(ValueError, match='400 known values, 1 different'): density(demo.duration, [24.])
    with pytest.raises(ValueError, match='release is not known for any video of a'):
        compare_densities(dict(a=demo.assign(release_date=None)))
    with pytest.raises(ValueError, match="quantity='size'"): compare_densities(dict(a=demo), 'size')

def test_tag_lists():
    df = pd.DataFrame(dict(genre=['Pop', None, 'Hip Hop; pop', float('nan'), ['Rock ', 'rock', '']]))
    assert tag_lists(df, 'genre').tolist()==[['pop'], [], ['hip hop', 'pop'], [], ['rock']]
    with pytest.raises(ValueError, match="no column 'mood'"): tag_lists(df, 'mood')

def test_only_the_most_common_tag_of_a_name_counts():
    counts = tag_counts(ARTISTS, COUNTRIES)
    assert counts.n.to_dict()==dict(USA=5, Britain=4) and counts.tag['Britain']=='british'
    assert counts.share.to_dict()==dict(USA=.5, Britain=.4)

def test_a_tag_that_never_occurs_alone_is_included_in_the_other():
    genres = [sorted(set(row)&{'rock', 'pop', 'alternative rock'}) for row in ARTISTS]
    assert tag_counts(genres).kept_as.to_dict()=={'pop': '', 'rock': '', 'alternative rock': 'rock'}
    assert tag_counts([['a', 'b']]*2).kept_as.to_dict()=={'a': '', 'b': 'a'} # always together: the first one is kept

def test_overlap_is_a_share_of_the_rows_of_a_tag():
    rows = [['rock', 'alternative rock']]*9 + [['alternative rock'], ['rock']] + [['rock']]*3
    assert tag_counts(rows).kept_as['alternative rock']==''
    assert tag_counts(rows, overlap=.9).kept_as['alternative rock']=='rock'
    assert (tag_counts([['a', 'b']]*2, overlap=2.).kept_as=='').all()

def test_no_tags_make_an_empty_table():
    assert len(tag_counts([]))==0 and len(tag_counts([[], []], COUNTRIES))==0

def test_tag_counts_follow_the_definition():
    rng = np.random.default_rng(0)
    for _ in range(50):
        rows = [list(rng.choice(list('abcdef'), rng.integers(0, 4))) for _ in range(12)]
        overlap = rng.choice([.5, .8, 1.])
        counts = tag_counts(rows, overlap=overlap)
        kept = []
        for tag in counts.index:
            own = [set(row) for row in rows if tag in row]
            together = Counter(chain.from_iterable(own))
            including = [o for o in kept if together[o]>=overlap*len(own)]
            assert counts.n[tag]==len(own) and counts.kept_as[tag]==(including[0] if including else '')
            if not including: kept.append(tag)

def test_most_common_genres_and_countries(demo):
    genres = most_common(demo, 'genre')
    assert len(genres)==8 and set(genres.n)=={50}
    countries = most_common(demo, 'origin', COUNTRY_TAGS)
    assert len(countries)==10 and countries.share.sum()<1+1e-9
    assert most_common(read_manifest(tiny_corpus()/'manifest.csv'), 'genre').n.sum()==12

def test_tags_mean_one_thing_only():
    for table in (COUNTRY_TAGS, GENRE_TAGS):
        tags = [tag for tags in table.values() for tag in tags]
        assert len(tags)==len(set(tags)) and tags==[o.casefold().strip() for o in tags]

@pytest.mark.parametrize('place', PLACES)
def test_nearest_country(place):
    latitude, longitude, country = PLACES[place]
    assert nearest_country([latitude], [longitude]).tolist()==[country]

def test_nearest_country_errs_near_borders_and_knows_what_is_unknown():
    assert nearest_country([50.78], [6.08]).tolist()==['Belgium'] # Aachen: 40 km from Liège, 70 km from Cologne
    assert nearest_country([float('nan'), 51.5], [0., float('nan')]).tolist()==[None, None]

def test_shares_of_two_corpora(demo):
    is_old = release_years(demo.release_date)<2000
    shares = compare_shares({'old': most_common(demo[is_old], 'origin', COUNTRY_TAGS),
                             'new': most_common(demo[~is_old], 'origin', COUNTRY_TAGS)})
    assert shares.max(axis=1).is_monotonic_decreasing and 10<=len(shares)<=12
    assert plot_shares(shares).size==(600, 300)
