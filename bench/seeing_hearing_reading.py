"""Does a recommender that learns from ratings help videos without ratings? `python bench/seeing_hearing_reading.py`

Simulated users rate the 96 synthetic videos: their taste is over hidden causes, what they watch depends on popularity,
too, and ratings have noise. A fusion network learns from the ratings of some videos, and lists of the others are
compared with what these users like. Videos are divided by seed, so are weights and batches. Tables in `--out`:

seeing_hearing_reading.csv         nDCG, precision, recall, hit rate, MRR of each recommender, by seed
seeing_hearing_reading_paired.csv  differences of nDCG@10, paired over users, whose seeds are averaged
seeing_hearing_reading_curves.csv  loss and validation of each epoch

With `--index` and `--ratings`, an index of your own and ratings of its videos; the titles are then the text."""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
import numpy as np
import pandas as pd
from common import parser, write_table
from mvrep.corpus.demo import video_causes
from mvrep.corpus.duplicates import recordings
from mvrep.corpus.manifest import release_years
from mvrep.encoders.text import TfidfEncoder, clean_texts
from mvrep.features.vectors import unit_norm
from mvrep.index.examples import study_index
from mvrep.index.index import Index
from mvrep.learning.fusion_networks import ItemFeatures, embed_items, stack_items
from mvrep.metrics.intervals import paired_difference
from mvrep.metrics.recommendation import user_ndcg
from mvrep.recommendation.baselines import by_metadata
from mvrep.recommendation.evaluation import by_content, by_popularity, evaluate_recommenders
from mvrep.recommendation.fusion_net import ARMS, train_fusion
from mvrep.recommendation.rating_pairs import PairRules, make_pairs, make_triplets
from mvrep.recommendation.rating_space import index_features
from mvrep.recommendation.ratings import LIKED, SimulatedUsers, read_ratings, simulate_ratings, split_by_item

MAIN = 'pair, cosine' # the arm of the ablations
ABLATIONS = [('video',), ('audio',), ('text',), ('video', 'audio'), ('video', 'audio', 'text')]
USERS = SimulatedUsers(n_users=300, n_ratings=24)
TEXT_LOST = .15 # Share of videos without a description

# Descriptions

LEVELS = dict(valence=('dark and sad', 'mixed', 'bright and happy'), energy=('calm', 'steady', 'wild'),
              tempo=('slow', 'walking', 'fast'))

def describe(causes, seed=0):
    "A sentence on each video: one of its causes is left out, and each word is redrawn with probability .2"
    rng, texts = np.random.default_rng(seed), []
    ranks = causes[list(LEVELS)].rank(pct=True)
    for video_id, row in ranks.iterrows():
        words = [LEVELS[name][min(int(3*share), 2)] for name, share in row.items()]
        words = [rng.choice(LEVELS[name]) if rng.random()<.2 else word for name, word in zip(LEVELS, words)]
        del words[rng.integers(len(words))]
        texts.append(f'A {" and ".join(words)} video, {causes.genre[video_id]} by name.')
    lost = rng.random(len(texts))<TEXT_LOST
    return [None if is_lost else text for is_lost, text in zip(lost, texts)]

# The task

@dataclass(frozen=True)
class Task:
    "Videos, their features and their ratings"
    videos:pd.DataFrame # Metadata, by id
    features:ItemFeatures # Of video, audio and text
    ratings:pd.DataFrame # As from `read_ratings`
    genres:pd.Series # By id

def with_text(features, texts, years):
    "The features, and those of descriptions"
    texts, _ = clean_texts(texts, features.items)
    words = TfidfEncoder.fit(texts, dim=32).encode(texts)
    text = stack_items(features.items, dict(text=[o[None] for o in words]), year=years)
    return ItemFeatures(features.items, features.x|text.x, features.mask|text.mask, year=text.year)

def demo_task():
    "The synthetic videos, generated descriptions, and simulated ratings"
    index = study_index()
    ids = list(index.build.video_ids)
    causes = pd.DataFrame([asdict(video_causes(int(o[1:]))[0]) for o in ids], ids)
    causes = causes[['genre', 'valence', 'energy', 'tempo']]
    features = with_text(index_features(index, ids), describe(causes), release_years(index.videos.release_date))
    return Task(index.videos, features, simulate_ratings(causes, USERS), index.videos.genre)

def own_task(folder, ratings):
    "The videos of an index, their titles, and ratings of them"
    index = Index(folder)
    ids = list(index.build.video_ids)
    found, report = read_ratings(ratings, ids)
    for line in report.lines: print(line)
    features = with_text(index_features(index, ids), list(index.videos.title), release_years(index.videos.release_date))
    return Task(index.videos, features, found, index.videos.genre)

# Training

def untrained(features):
    "Features as they are: the mean of each modality, standardised, side by side"
    parts = []
    for m, x in features.x.items():
        mask = features.mask[m][..., None]
        mean = ((x*mask).sum(1)/mask.sum(1).clamp(min=1)).numpy()
        parts.append(np.nan_to_num(unit_norm((mean-mean.mean(0))/np.maximum(mean.std(0), 1e-6))))
    return unit_norm(np.concatenate(parts, 1))

@dataclass(frozen=True)
class Split:
    "One division of the ratings"
    seed:int # Seed of everything
    parts:object # `RatingSplit`
    pairs:pd.DataFrame # Of the training part
    valid:pd.DataFrame # Of the validation part

def divide(task, seed, rules):
    parts = split_by_item(task.ratings, seed=seed, groups=recordings(task.videos))
    pairs, valid = (make_pairs(o, task.genres, rules, seed)[0] for o in (parts.train, parts.valid))
    return Split(seed, parts, pairs, valid)

def fit(features, split, config, folder, pairs=None, triplets=None):
    "Embeddings of all videos by a trained network, and its log"
    config = replace(config, seed=split.seed)
    run = train_fusion(features, split.pairs if pairs is None else pairs, split.valid, folder, config, triplets)
    return embed_items(run.net, features), run.log

def fit_all(task, split, args):
    "{name: embeddings of all videos}, and the learning curves"
    rules = PairRules(max_positives=args.pairs)
    common = dict(max_epochs=args.epochs, lr=1e-3, fusion='simple')
    jobs = {f'trained: {name}': (task.features, replace(o, **common), {}) for name, o in ARMS.items()}
    config = replace(ARMS[MAIN], **common)
    for names in ABLATIONS[:-1]: jobs[f'only {" + ".join(names)}'] = task.features.only(*names), config, {}
    jobs['hybrid fusion'] = task.features, replace(config, fusion='hybrid'), {}
    triplets = make_triplets(split.pairs, task.genres, rules, split.seed)
    jobs['given triplets, cosine'] = task.features, replace(ARMS['triplet, cosine'], **common), dict(triplets=triplets)
    known = pd.concat([split.parts.train, split.parts.test])
    jobs['leak: test ratings make pairs'] = task.features, config, dict(
        pairs=make_pairs(known, task.genres, rules, split.seed)[0])
    vectors, curves = {}, []
    for name, (features, config, given) in jobs.items():
        vectors[name], log = fit(features, split, config, args.runs, **given)
        curves.append(log.reset_index().assign(by=name, seed=split.seed))
        print(split.seed, name, flush=True)
    return vectors, pd.concat(curves)

# Measures

def measure(task, split, vectors, n_boot):
    "Measures by recommender, and the nDCG@10 of each user"
    items = task.features.items
    likes = task.ratings[task.ratings.rating>=LIKED]
    train = likes[likes.item.isin(set(split.parts.train.item))]
    test = likes[likes.item.isin(set(split.parts.test.item)) & likes.user.isin(set(train.user))]
    recommenders = {name: by_content(o, items) for name, o in vectors.items()}
    recommenders |= dict(metadata=by_metadata(task.videos), popularity=by_popularity(train, items))
    pool = sorted(set(split.parts.test.item))
    table = evaluate_recommenders(recommenders, train, test, items, vectors['untrained features'], pool, n_boot=n_boot)
    liked, wanted = (o.groupby('user').item.agg(list) for o in (train, test))
    rows, each = pd.Index(items).get_indexer(pool), {}
    tie = np.random.default_rng(split.seed).random(len(pool))
    for name, score in recommenders.items():
        order = [np.lexsort((tie, -np.nan_to_num(score(liked[o])[rows], nan=-9)))[:10] for o in wanted.index]
        each[name] = pd.Series(user_ndcg([np.array(pool)[o] for o in order], list(wanted)), wanted.index)
    return table.rename_axis('by').reset_index().assign(seed=split.seed), pd.DataFrame(each)

BASE = f'trained: {MAIN}'

def compare(each, n_boot):
    "Differences from the main arm, and of it from the features, over users whose seeds are averaged"
    by_user = pd.concat(each).groupby(level=0).mean()
    rows = []
    for name in by_user:
        if name==BASE: continue
        more = paired_difference(by_user[BASE], by_user[name], n_boot=n_boot)
        rows.append(dict(of=BASE, than=name, difference=more.mean, low=more.low, high=more.high, users=more.n))
    return pd.DataFrame(rows)

def write(out, tables, each, curves):
    "Write the three tables; returns the first"
    name = 'seeing_hearing_reading'
    found = pd.concat(tables, ignore_index=True)
    found = found[['by', 'seed', *(o for o in found if o not in ('by', 'seed'))]]
    write_table(out/f'{name}.csv', found, digits=4)
    write_table(out/f'{name}_paired.csv', compare(each, n_boot=2000), digits=4)
    write_table(out/f'{name}_curves.csv', pd.concat(curves), digits=4)
    return found

def main():
    p = parser(__doc__)
    p.add_argument('--index', type=Path, help='folder of an index instead of the synthetic videos')
    p.add_argument('--ratings', type=Path, help='ratings of its videos')
    p.add_argument('--seeds', type=int, default=3, help='divisions of the videos')
    p.add_argument('--epochs', type=int, default=8, help='epochs at most')
    p.add_argument('--pairs', type=int, default=300, help='positive pairs at most')
    args = p.parse_args()
    if bool(args.index)!=bool(args.ratings): p.error('--index and --ratings belong together')
    task = own_task(args.index, args.ratings) if args.index else demo_task()
    args.out.mkdir(parents=True, exist_ok=True)
    tables, curves = [], []
    each = [] # nDCG@10 of the users of each seed
    with tempfile.TemporaryDirectory() as args.runs:
        for seed in range(args.seeds):
            split = divide(task, seed, PairRules(max_positives=args.pairs))
            vectors, log = fit_all(task, split, args)
            vectors['untrained features'] = untrained(task.features)
            table, users = measure(task, split, vectors, n_boot=300)
            tables.append(table)
            each.append(users)
            curves.append(log)
            found = write(args.out, tables, each, curves) # after each seed: a long run may be stopped
    print(found.groupby('by', sort=False)['ndcg@10'].agg(['mean', 'min', 'max']).round(3).to_string())
    print(compare(each, n_boot=2000).round(3).to_string())

if __name__=='__main__': main()
