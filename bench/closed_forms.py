"""Ways of matching pooled statistics that need no training: each returns a function from rows to two embeddings

Their settings are chosen in inner folds: the training videos are divided into folds that share no artist, and the
setting with the best ranks there is fitted to all of them. `pooled_cca` and `ridge_regression` take fixed ones."""
from dataclasses import dataclass
from itertools import product
import numpy as np
from sklearn.linear_model import Ridge
from mvrep.corpus.folds import group_folds
from mvrep.learning.muvi_retrieval import cca
from mvrep.metrics.ranking import embedding_ranks

CCA_RIDGES = (.1, 1., 10., 100.) # of each modality, in units of the mean variance of a feature
CCA_SHAPES = tuple(dict(k=k, power=power) for k, power in product((4, 8, 16, 32, 64), (0., .5, 1., 2.)))
CCA_DEFAULTS = dict(ridge=(1., 1.), k=16, power=1.) # of `mvrep.learning.muvi_retrieval.cca`
RIDGE_PENALTIES = (1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
RIDGE_DEFAULT = 1. # of `sklearn.linear_model.Ridge`
N_INNER = 5 # inner folds

def unit(x): return x/np.linalg.norm(x, axis=1, keepdims=True)

def standardised(x, train): return (x-x[train].mean(0))/(x[train].std(0)+1e-6)

@dataclass(frozen=True)
class Spanned:
    "Features in the directions that the training videos span: ridge solutions do not leave them"
    x:np.ndarray # Of all videos, shape (n, at most the number of training videos)
    ridge_factor:float # `cca` counts a ridge in units of the mean variance, which fewer directions make larger

def spanned(x, train):
    "Standardise features, and rotate them so that `cca` is fast"
    x = standardised(x, train)
    directions = np.linalg.svd(x[train], full_matrices=False)[2]
    return Spanned(x@directions.T, len(directions)/x.shape[1])

def cca_directions(audio, video, train, ridge):
    "All directions, not weighted by their correlations"
    ridges = [o*part.ridge_factor for o, part in zip(ridge, (audio, video))]
    return cca(audio.x[train], video.x[train], max(o['k'] for o in CCA_SHAPES), ridges, power=0)

def cca_embeddings(audio, video, directions, rows, k, power):
    "The first `k` directions, weighted by their correlations to the power `power`"
    weight = directions.correlations[:k]**power
    maps = directions.x_map[:, :k]*weight, directions.y_map[:, :k]*weight
    return unit(audio.x[rows]@maps[0]), unit(video.x[rows]@maps[1])

def pooled_cca(audio, video, train, ridge, k, power):
    "Regularised CCA of pooled statistics"
    audio, video = spanned(audio, train), spanned(video, train)
    directions = cca_directions(audio, video, train, ridge)
    return lambda rows: cca_embeddings(audio, video, directions, rows, k, power)

def ridge_regression(audio, video, train, penalty):
    "Statistics of the song as predicted from those of the video, compared by cosine"
    audio, video = standardised(audio, train), standardised(video, train)
    model = Ridge(penalty).fit(video[train], audio[train])
    return lambda rows: (unit(audio[rows]), unit(model.predict(video[rows])))

# Settings chosen in inner folds

def log_rank(audio_emb, video_emb):
    "Mean logarithm of the ranks in both directions: unlike the median, every query counts"
    return np.log(np.concatenate(embedding_ranks(audio_emb, video_emb))).mean()

def inner_folds(train, groups):
    "Positions to learn from and positions to choose by, which share no artist"
    for fold in group_folds(groups[train], N_INNER, seed=0): yield np.delete(train, fold), train[fold]

def best_setting(scores):
    "The setting with the smallest mean, from one {setting: score} for each inner fold"
    return min(scores[0], key=lambda setting: sum(o[setting] for o in scores))

def score_cca(audio, video, learn, choose):
    "{ridge of audio, ridge of video, number of a shape: score} of one inner fold"
    audio, video = spanned(audio, learn), spanned(video, learn)
    scores = {}
    for ridge in product(CCA_RIDGES, repeat=2):
        directions = cca_directions(audio, video, learn, ridge)
        for i, shape in enumerate(CCA_SHAPES):
            scores[*ridge, i] = log_rank(*cca_embeddings(audio, video, directions, choose, **shape))
    return scores

def choose_cca(audio, video, train, groups):
    "Settings of `pooled_cca`"
    *ridge, i = best_setting([score_cca(audio, video, *o) for o in inner_folds(train, groups)])
    return dict(ridge=tuple(ridge))|CCA_SHAPES[i]

def choose_ridge(audio, video, train, groups):
    "Settings of `ridge_regression`"
    def scores(learn, choose):
        return {o: log_rank(*ridge_regression(audio, video, learn, o)(choose)) for o in RIDGE_PENALTIES}
    return dict(penalty=best_setting([scores(*o) for o in inner_folds(train, groups)]))

def closed_forms(audio, video, train, groups):
    "Name, settings and fitted function of each way; settings come from inner folds, or are those of the libraries"
    chosen = dict(CCA=choose_cca, ridge=choose_ridge)
    fixed = dict(CCA=CCA_DEFAULTS, ridge=dict(penalty=RIDGE_DEFAULT))
    for name, fit in dict(CCA=pooled_cca, ridge=ridge_regression).items():
        settings = chosen[name](audio, video, train, groups)
        yield name, settings, fit(audio, video, train, **settings)
        yield f'{name}, library defaults', fixed[name], fit(audio, video, train, **fixed[name])
