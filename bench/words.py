"""How well words find videos by content, and how fast: `python bench/words.py quality|speed …`, both by default

quality  Every genre, mood and tag of 96 synthetic videos is searched for by content, and also every label of the index
         that `--index` names: words.csv. Words that no tag means are rows without numbers.
speed    An index of 100,000 videos with random tags and texts is searched: bench_words.json. The first process that
         searches it keeps what it has learned on disk, and later ones, of which three are started, read that. As
         until now is what every process did: scikit-learn learns how rare each word and each piece of a word is,
         and compares all texts. Times are CPU seconds of one core.

Tables go into the folder `--out`, results/ by default."""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import process_time
import numpy as np
import pandas as pd
from common import parser, write_json, write_table
from sklearn.feature_extraction.text import TfidfVectorizer
from mvrep.encoders.tags import TAG_WEIGHTS, tag_names
from mvrep.index.examples import study_index
from mvrep.index.index import Index, create_index
from mvrep.index.tags import TagTable
from mvrep.recommendation.text_search import open_search
from mvrep.recommendation.word_benchmark import benchmark_words

COLUMNS = 'genre', 'mood', 'tags'
N_VIDEOS = 100_000
QUERIES = dict(content='sad piano', both='sad piano', words='kaban piano')
N_PROCESSES = 3

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

def random_index(folder, seed=0):
    "An index of random tags and texts"
    rng = np.random.default_rng(seed)
    ids = [f'v{i:06d}' for i in range(N_VIDEOS)]
    starts, ends = 'ka mi so te lu ra no vi pe du'.split(), 'ban der fin gol hus'.split()
    words = np.array([a+b for a in starts for b in ends])
    titles = [' '.join(o) for o in words[rng.integers(0, len(words), (N_VIDEOS, 4))]]
    index = create_index(folder, ('musicnn_mtt', 'efficientnet_lite0'),
                         dict(audio='musicnn_mtt', video='efficientnet_lite0'))
    index.put_videos(pd.DataFrame(dict(video_id=ids, path=[f'/nowhere/{o}.mp4' for o in ids], title=titles,
                                       artist=[o[:9] for o in titles])))
    index.put_embeddings(ids, {m: np.ones((N_VIDEOS, 1), np.float32) for m in ('audio', 'video')})
    names = sum(map(tag_names, TAG_WEIGHTS), ())
    mean = rng.beta(.3, 3, (len(names), N_VIDEOS)).astype(np.float16)
    arrays = dict(mean=mean, peak=mean, moment=np.zeros(mean.shape, np.float32))
    tags = TagTable(names, dict.fromkeys(TAG_WEIGHTS, 'random'), N_VIDEOS, arrays)
    index._save(replace(index.build, tags=tags), index.model_file)

def cpu_seconds(function):
    start = process_time()
    function()
    return process_time()-start

def search_index(folder, by):
    "CPU seconds of this process: to open the index, to answer the first query, and to answer it again"
    imported = process_time()
    opened = open_search(Index(folder))
    open_s = process_time()-imported
    first, *later = [cpu_seconds(lambda: opened.find(QUERIES[by], by=by)) for _ in range(6)]
    return dict(import_s=imported, open_s=open_s, first_s=first, later_s=float(np.median(later)))

def in_new_process(folder, by):
    command = [sys.executable, __file__, 'search', str(folder), by]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

def as_until_now(texts, query):
    "CPU seconds of scikit-learn: to learn from the texts, and to compare them"
    words = TfidfVectorizer(lowercase=False, sublinear_tf=True, token_pattern=r'[^\W_]+')
    pieces = TfidfVectorizer(lowercase=False, sublinear_tf=True, analyzer='char_wb', ngram_range=(2, 4))
    start = process_time()
    vectors = [o.fit_transform(texts) for o in (words, pieces)]
    learn_s = process_time()-start
    def compare():
        for vectorizer, x in zip((words, pieces), vectors): x@vectorizer.transform([query]).T
        def has_all(text): return all(word in text for word in query.split())
        return [has_all(text) for text in texts]
    return dict(learn_s=learn_s, later_s=float(np.median([cpu_seconds(compare) for _ in range(5)])))

def speed(out):
    "Time of the first process and of later ones"
    found = dict(videos=N_VIDEOS, queries=QUERIES, unit='CPU seconds')
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)/'ix'
        random_index(folder)
        found['first_process'] = in_new_process(folder, 'both')
        def later_processes(by): return pd.DataFrame([in_new_process(folder, by) for _ in range(N_PROCESSES)])
        later = {by: later_processes(by) for by in QUERIES}
        found['later_processes'] = {by: table.median().to_dict() for by, table in later.items()}
        sizes = [o.stat().st_size for o in (folder/'cache').rglob('*') if o.is_file()]
        found['megabytes_on_disk'] = sum(sizes)/1e6
        videos = Index(folder).videos
        texts = (videos.title+' '+videos.title+' '+videos.artist+' '+videos.index).tolist()
        found['as_until_now'] = as_until_now(texts, QUERIES['words'])
    print(write_json(out/'bench_words.json', found, digits=4), flush=True)

if __name__=='__main__' and sys.argv[1:2]==['search']:
    print(json.dumps(search_index(*sys.argv[2:])))
elif __name__=='__main__':
    arguments = parser(__doc__)
    arguments.add_argument('parts', nargs='*', default=['quality', 'speed'])
    arguments.add_argument('--index', help='index with labels to measure on, instead of the synthetic videos')
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if 'speed' in given.parts: speed(given.out)
    if 'quality' in given.parts:
        index = Index(given.index) if given.index else study_index()
        quality(given.out, index, given.index or 'demo (synthetic)')
