"Ranks of the same queries under several ways of matching, and their differences with intervals over artists"
from dataclasses import dataclass
import numpy as np
import pandas as pd
from mvrep.metrics.intervals import bootstrap_interval
from mvrep.metrics.ranking import embedding_ranks

@dataclass(frozen=True)
class Queries:
    "Who asks in one gallery"
    gallery:int # Number of the distribution of artists over folds
    videos:np.ndarray # Number of each video, shape (n,)
    artists:np.ndarray # Number of the artist of each video, shape (n,)

def rank_rows(way, audio_emb, video_emb, queries):
    "A row per query and direction of one way of matching"
    tables = []
    for direction, ranks in zip(('audio_to_video', 'video_to_audio'), embedding_ranks(audio_emb, video_emb)):
        about = dict(way=way, direction=direction, gallery=queries.gallery)
        tables.append(pd.DataFrame(dict(video=queries.videos, artist=queries.artists, rank=ranks)).assign(**about))
    return pd.concat(tables)

def medians_apart(ranks): return np.median(ranks[:, 0])-np.median(ranks[:, 1])

def paired_row(wide, way, than):
    "How much larger the median rank of one way is than that of another, over the queries that both answered"
    both = wide[[way, than]].dropna()
    artists = both.index.get_level_values('artist').to_numpy()
    low, high = bootstrap_interval(both.to_numpy(), medians_apart, artists)
    return dict(way=way, than=than, median_rank=both[way].median(), than_median_rank=both[than].median(),
                difference=medians_apart(both.to_numpy()), low=low, high=high,
                queries=len(both), videos=both.index.get_level_values('video').nunique(), artists=len(set(artists)))

def paired_rows(tables, pairs):
    "A row for each pair of ways; the interval (95 %) resamples artists with all their queries"
    wide = pd.concat(tables).pivot(index=['artist', 'video', 'gallery', 'direction'], columns='way', values='rank')
    return [paired_row(wide, *o) for o in pairs if set(o)<=set(wide)]
