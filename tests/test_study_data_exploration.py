"What the study of real metadata reads from results/exploration.csv and says about it"
import pandas as pd
import pytest
from conftest import root

MSD, MUVI = 'MSD subset', 'MuVi-Sync'

@pytest.fixture(scope='module')
def part():
    "Rows of the table by question"
    table = pd.read_csv(root/'results'/'exploration.csv', keep_default_na=False, dtype=dict(key=str))
    return dict(list(table.groupby('what')))

def by_corpus(rows, values='value'): return rows.pivot(index='key', columns='corpus', values=values).astype(float)

def test_five_columns_of_the_msd_subset_are_broken(part):
    columns = part['column'].set_index('key').value.astype(float)
    assert set(columns.index[columns>=.99])=={
        'song.title', 'release.name', 'artist.location', 'artist.similar', 'song.artist_mbtags'}

def test_what_is_known(part):
    known = by_corpus(part['known'], 'n')
    assert known.loc['rows'].to_dict()=={MSD: 10000, MUVI: 598}
    assert known.loc['release', MSD]==4680

def test_videos_are_newer_and_less_different_in_length(part):
    years = by_corpus(part['release'].assign(key=part['release'].key.astype(float))).idxmax()
    spread = by_corpus(part['duration summary'])
    assert years[MUVI]-years[MSD]>5
    assert spread.loc['relative spread', MUVI]<spread.loc['relative spread', MSD]
    assert spread.loc['under 2 min (%)', MUVI]==0

@pytest.mark.parametrize('corpus', [MSD, MUVI])
def test_most_artists_are_from_the_usa_and_britain(part, corpus):
    origin = part['origin']
    assert list(origin[origin.corpus==corpus].key[:2])==['USA', 'UK']

def test_tags_that_others_include(part):
    note = part['genre overlap'].set_index('key').note
    assert note['Alternative Rock']=='never without Rock'
    assert (note[['Jazz', 'Reggae', 'Country']]=='never without Pop').all()
