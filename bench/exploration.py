"""Appendix A of the thesis on real metadata

`MVREP_SHARED=DIR python bench/exploration.py` writes results/exploration.csv. DIR holds `metadata/msd_10k_subset.csv`
and `muvi_sync/`. Only counts and densities are written, nothing about a single song.
"""
import os
from itertools import chain
from pathlib import Path

import pandas as pd
from common import parser, write_table
from mvrep.corpus.exploration import (COUNTRY_TAGS, GENRE_TAGS, check_columns, compare_densities, most_common,
                                      nearest_country, tag_counts, tag_lists)
from mvrep.corpus.muvi import load_muvi
from mvrep.corpus.msd import read_msd_csv

MSD, MUVI = 'MSD subset', 'MuVi-Sync'

class Table:
    "Rows of the result"
    def __init__(self): self.rows = []

    def add(self, corpus, what, key, value='', n='', note=''):
        value = f'{value:.6g}' if isinstance(value, float) else value
        self.rows.append(dict(corpus=corpus, what=what, key=key, value=value, n=n, note=note))

def read_muvi(folder):
    "Metadata of MuVi-Sync: duration from the features, year from the charts, tags of the artist from Last.fm"
    data = load_muvi(next(folder.glob('*.npz')))
    charts, lastfm = (read_labels(folder, o) for o in ('spotify_tophits_join', 'lastfm_hetrec_artist_tags'))
    year = charts.set_index('id').year
    tags = lastfm.groupby('id').tagValue.agg(list)
    return pd.DataFrame(dict(
        video_id=data.video_ids,
        duration=data.n_seconds.astype(float),
        release_date=[year.get(o) for o in data.video_ids],
        tags=[tags.get(o, []) for o in data.video_ids]))

def read_labels(folder, name): return pd.read_csv(folder/'labels'/f'{name}.csv', dtype=str, keep_default_na=False)

def add_columns(table, csv):
    "Distinct values and share of the most common one, for each column of the subset"
    for column, row in check_columns(pd.read_csv(csv, dtype=str, keep_default_na=False)).iterrows():
        note = f'most common: {row.common}' if row.share>.3 else ''
        table.add(MSD, 'column', column, float(row.share), int(row.distinct), note)

def add_known(table, corpus, df, n_origins):
    "How many rows have a value"
    counts = dict(rows=len(df), release=df.release_date.notna().sum(), duration=df.duration.notna().sum(),
                  origin=n_origins, tags=df.tags.map(bool).sum())
    for key, n in counts.items(): table.add(corpus, 'known', key, n=int(n))

def add_durations(table, corpus, df):
    "Mean, spread and tails of the durations"
    s = df.duration.dropna()
    summary = {
        'mean (s)': s.mean(), 'standard deviation (s)': s.std(), 'median (s)': s.median(),
        'relative spread': s.std()/s.mean(), 'over 10 min (%)': 100*(s>600).mean(),
        'under 2 min (%)': 100*(s<120).mean()}
    for key, value in summary.items(): table.add(corpus, 'duration summary', key, float(value))

def add_shares(table, corpus, what, shares):
    "The most common countries or genres"
    for name, row in shares.iterrows(): table.add(corpus, what, name, float(row.share), int(row.n), row.tag)

def add_densities(table, corpora, what):
    "Densities of release years or durations"
    for at, row in compare_densities(corpora, what).iterrows():
        for corpus, value in zip(corpora, row): table.add(corpus, what, f'{at:.2f}', float(value))

def add_overlap(table, muvi):
    "Genres of MuVi-Sync that never occur without a more common one"
    counts = tag_counts(tag_lists(muvi), GENRE_TAGS)
    for name, row in counts[counts.kept_as!=''].iterrows():
        table.add(MUVI, 'genre overlap', name, n=int(row.n), note=f'never without {row.kept_as}')

def add_rock(table, msd):
    "What one term per artist does to a genre"
    term = msd.tags.map(lambda o: o[0] if o else '')
    counts = {'term is rock': (term=='rock').sum(), 'term has the word rock': term.str.contains(r'\brock\b').sum(),
              'different terms': term.nunique()}
    for key, n in counts.items(): table.add(MSD, 'rock', key, n=int(n))

def countries(msd, muvi):
    "Countries of both corpora, and how many videos of MuVi-Sync have one"
    names = {o: (o.casefold(),) for o in msd.origin.dropna().unique()}
    tags = set(chain.from_iterable(COUNTRY_TAGS.values()))
    has_country = tag_lists(muvi).map(lambda o: bool(set(o)&tags))
    by_tags = most_common(muvi[has_country], 'tags', COUNTRY_TAGS, overlap=2.)
    return {MSD: most_common(msd, 'origin', names), MUVI: by_tags}, has_country.sum()

def main():
    out = parser(__doc__, 'exploration.csv').parse_args().out
    shared = Path(os.environ['MVREP_SHARED'])
    csv = shared/'metadata'/'msd_10k_subset.csv'
    table = Table()
    add_columns(table, csv)
    msd, muvi = read_msd_csv(csv), read_muvi(shared/'muvi_sync')
    msd['origin'] = nearest_country(msd.latitude, msd.longitude)
    origins, n_muvi = countries(msd, muvi)
    n_origins = {MSD: msd.origin.notna().sum(), MUVI: n_muvi}
    corpora = {MSD: msd, MUVI: muvi}
    for corpus, df in corpora.items():
        add_known(table, corpus, df, n_origins[corpus])
        add_durations(table, corpus, df)
        add_shares(table, corpus, 'origin', origins[corpus])
        add_shares(table, corpus, 'genre', most_common(df, 'tags', GENRE_TAGS))
    for what in ('release', 'duration'): add_densities(table, corpora, what)
    add_overlap(table, muvi)
    add_rock(table, msd)
    write_table(out, table.rows)

if __name__=='__main__': main()
