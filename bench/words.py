"""How well words find videos by content, and how fast: `python bench/words.py quality|speed …`, both by default

quality  Every genre, mood and tag of 96 synthetic videos is searched for by content, and also every label of the index
         that `--index` names: words.csv. Words that no tag means are rows without numbers.
speed    100,000 videos with random tags and texts are searched: bench_words.json.

Tables go into the folder `--out`, results/ by default."""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
from time import perf_counter
from types import SimpleNamespace
import numpy as np
import pandas as pd
from common import parser, write_json, write_table
from mvrep.index.examples import study_index
from mvrep.index.index import Index
from mvrep.index.tags import TagTable
from mvrep.encoders.tags import TAG_WEIGHTS, tag_names
from mvrep.recommendation.content import ContentSearch
from mvrep.recommendation.text_search import Search
from mvrep.recommendation.word_benchmark import benchmark_words
from mvrep.recommendation.words import TextSearch

COLUMNS = 'genre', 'mood', 'tags'
N_VIDEOS = 100_000
QUERY = 'sad piano'

def quality(out, index, corpus):
    "Measure each label"
    tables = []
    for column in COLUMNS:
        if not index.videos[column].notna().any(): continue
        found = benchmark_words(index, column)
        left_out = pd.DataFrame(dict(word=list(found.left_out), left_out=list(found.left_out.values())))
        table = pd.concat([found.table, left_out]) if len(left_out) else found.table
        tables.append(table.assign(column=column, corpus=corpus, k=found.k, seed=found.seed))
    table = pd.concat(tables, ignore_index=True)
    write_table(out/'words.csv', table, digits=4)
    print(table.round(2).to_string(), flush=True)

def random_search(seed=0):
    "A search over random tags and texts"
    rng = np.random.default_rng(seed)
    names = sum(map(tag_names, TAG_WEIGHTS), ())
    mean = rng.beta(.3, 3, (len(names), N_VIDEOS)).astype(np.float16)
    ids = np.array([f'v{i:06d}' for i in range(N_VIDEOS)], object)
    starts, ends = 'ka mi so te lu ra no vi pe du'.split(), 'ban der fin gol hus'.split()
    words = np.array([a+b for a in starts for b in ends])
    titles = [' '.join(o) for o in words[rng.integers(0, len(words), (N_VIDEOS, 4))]]
    videos = pd.DataFrame(dict(path=ids+'.mp4', title=titles, artist=[o[:9] for o in titles]), ids)
    for column in ('genre', 'mood', 'emotion', 'tags'): videos[column] = None
    table = TagTable(names, {}, N_VIDEOS, dict(mean=mean, peak=mean, moment=np.zeros(mean.shape, np.float32)))
    build = SimpleNamespace(video_ids=ids, tags=table, rows=pd.Index(ids), has=dict(audio=np.ones(N_VIDEOS, bool)))
    class Videos(SimpleNamespace):
        def __len__(self): return N_VIDEOS
    index = Videos(build=build, videos=videos, folder='random')
    opened = Search(index, TextSearch(index, videos), encode=lambda texts: np.zeros((len(texts), 2)))
    opened.__dict__['content'] = ContentSearch(ids, table)
    return opened

def milliseconds(function):
    start = perf_counter()
    function()
    return 1000*(perf_counter()-start)

def speed(out):
    "Time of the first query and of later ones"
    opened, times = random_search(), {}
    for by in ('content', 'both'):
        first, *later = [milliseconds(lambda: opened.find(QUERY, by=by)) for _ in range(6)]
        times[by] = dict(first_ms=round(first, 1), median_ms=round(float(np.median(later)), 1))
    found = dict(videos=N_VIDEOS, tags=len(opened.content.tags.names), query=QUERY, results=times)
    print(write_json(out/'bench_words.json', found), flush=True)

if __name__=='__main__':
    arguments = parser(__doc__)
    arguments.add_argument('parts', nargs='*', default=['quality', 'speed'])
    arguments.add_argument('--index', help='index with labels to measure on, instead of the synthetic videos')
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if 'speed' in given.parts: speed(given.out)
    if 'quality' in given.parts:
        index = Index(given.index) if given.index else study_index()
        quality(given.out, index, given.index or 'demo (synthetic)')
