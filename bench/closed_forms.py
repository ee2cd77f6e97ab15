"Ways of matching pooled statistics that need no training: each returns a function from rows to two embeddings"
import numpy as np
from mvrep.learning.muvi_retrieval import apply_view, fit_view

def unit(x): return x/np.linalg.norm(x, axis=1, keepdims=True)

def pooled_cca(audio, video, train, **settings):
    "Regularised CCA of pooled statistics"
    maps = fit_view(audio[train], video[train], **dict(k=16, ridge=(1., 10.), power=.5)|settings)
    return lambda rows: (apply_view(audio[rows], maps['audio']), apply_view(video[rows], maps['video']))

def ridge_regression(audio, video, train, strength=300.):
    "Statistics of the song as predicted from those of the video, compared by cosine"
    def standardised(x): return (x-x[train].mean(0))/(x[train].std(0)+1e-6)
    a, v = standardised(audio), standardised(video)
    kernel = v[train]@v[train].T+strength*v.shape[1]/10*np.eye(len(train))
    weights = v[train].T@np.linalg.solve(kernel, a[train])
    return lambda rows: (unit(a[rows]), unit(v[rows]@weights))
