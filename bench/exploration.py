"""Appendix A on real metadata: `MVREP_SHARED=DIR python bench/exploration.py` writes results/exploration.csv

DIR holds `metadata/msd_10k_subset.csv` and `muvi_sync/`. What is written are counts and densities, nothing of a single song."""
import argparse, os
from pathlib import Path
import numpy as np, pandas as pd
from mvrep.core import atomic_write
from mvrep.corpus.public import read_msd_csv
from mvrep.corpus.exploration import COUNTRIES, GENRES, check_columns, compare_densities, nearest_country, tag_counts, tag_lists, top
from mvrep.corpus.muvi import load_muvi

def muvi(folder):
    "What is known of MuVi-Sync's videos: length from the features, year from the charts, tags of the artist from Last.fm"
    data = load_muvi(next(folder.glob('*.npz')))
    labels = {o: pd.read_csv(folder/'labels'/f'{o}.csv', dtype=str, keep_default_na=False) for o in ('spotify_tophits_join', 'lastfm_hetrec_artist_tags')}
    year = labels['spotify_tophits_join'].set_index('id').year
    tags = labels['lastfm_hetrec_artist_tags'].groupby('id').tagValue.agg(list)
    return pd.DataFrame(dict(video_id=data.ids, duration=data.n_seconds.astype(float), release_date=[year.get(o) for o in data.ids], tags=[tags.get(o, []) for o in data.ids]))

def summary(seconds):
    s = seconds.dropna()
    return {'mean (s)': s.mean(), 'standard deviation (s)': s.std(), 'median (s)': s.median(), 'relative spread': s.std()/s.mean(), 'over 10 min (%)': 100*(s>600).mean(), 'under 2 min (%)': 100*(s<120).mean()}

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--out', type=Path, default=Path(__file__).parents[1]/'results'/'exploration.csv')
    out,shared,rows = p.parse_args().out, Path(os.environ['MVREP_SHARED']), []
    def add(corpus, what, key, value='', n='', note=''): rows.append(dict(corpus=corpus, what=what, key=key, value=f'{value:.6g}' if isinstance(value, float) else value, n=n, note=note))
    csv = shared/'metadata'/'msd_10k_subset.csv'
    for c,r in check_columns(pd.read_csv(csv, dtype=str, keep_default_na=False)).iterrows(): add('MSD subset', 'column', c, float(r.share), int(r.distinct), f'most common: {r.common}' if r.share>.3 else '')
    msd,mv = read_msd_csv(csv), muvi(shared/'muvi_sync')
    msd['origin'] = nearest_country(msd.latitude, msd.longitude)
    with_country = tag_lists(mv).map(lambda o: bool(set(o)&set(sum(COUNTRIES.values(), ()))))
    both = {'MSD subset': msd, 'MuVi-Sync': mv}
    origins = {'MSD subset': top(msd, 'origin', {o: (o.casefold(),) for o in msd.origin.dropna().unique()}), 'MuVi-Sync': top(mv[with_country], 'tags', COUNTRIES, overlap=2.)}
    genres = {k: top(d, 'tags', GENRES) for k,d in both.items()}
    for k,d in both.items():
        for what,n in dict(rows=len(d), release=d.release_date.notna().sum(), duration=d.duration.notna().sum(), origin=d.origin.notna().sum() if 'origin' in d else with_country.sum(), tags=d.tags.map(bool).sum()).items(): add(k, 'known', what, n=int(n))
        for what,v in summary(d.duration).items(): add(k, 'duration summary', what, float(v))
        for what,t in (('origin', origins[k]), ('genre', genres[k])):
            for name,r in t.iterrows(): add(k, what, name, float(r.share), int(r.n), r.tag)
    for what in ('release', 'duration'):
        for x,r in compare_densities(both, what).iterrows():
            for k,v in zip(both, r): add(k, what, f'{x:.2f}', float(v))
    c = tag_counts(tag_lists(mv), GENRES)
    for name,r in c[c.kept_as!=''].iterrows(): add('MuVi-Sync', 'genre overlap', name, n=int(r.n), note=f'said by {r.kept_as}')
    term = msd.tags.map(lambda o: o[0] if o else '')
    for what,n in {'term is rock': (term=='rock').sum(), 'term has the word rock': term.str.contains(r'\brock\b').sum(), 'different terms': term.nunique()}.items(): add('MSD subset', 'rock', what, n=int(n))
    with atomic_write(out) as tmp: pd.DataFrame(rows).to_csv(tmp, index=False)

if __name__=='__main__': main()
