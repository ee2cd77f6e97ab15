"Settings of an approximate search are chosen on one half of the queries and measured on the other"
import numpy as np
import pytest
from scipy.stats import binomtest
from mvrep.index import approximate
from mvrep.index.approximate import tune_cells

N = 401 # queries: 200 to choose with, 201 to measure on

def tune(monkeypatch, found, **options):
    """Tune with a search of which query i finds `found(i, n, cells)` of its ten neighbours, with a record of all
    questions"""
    asked = []
    def find(table, query, n, cells):
        i = int(query[0])
        asked.append((i, n, cells))
        return np.arange(10*i, 10*i+found(i, n, cells))
    monkeypatch.setattr(approximate, 'find_candidates', find)
    neighbours = [np.arange(10*i, 10*i+10) for i in range(N)]
    return tune_cells(None, 8, np.arange(N)[:, None], neighbours, **options), asked

def test_the_recall_is_that_of_the_other_half(monkeypatch):
    tuned, asked = tune(monkeypatch, lambda i, n, cells: 10 if i<200 else 7)
    assert (tuned.cells, tuned.candidates)==(1, 30)
    assert (tuned.recall, tuned.n_queries, tuned.k, tuned.target, tuned.n_cells)==(pytest.approx(.7), 201, 10, .95, 8)
    interval = binomtest(1407, 2010).proportion_ci(method='wilson') # 7 of 10, 201 times
    assert (tuned.low, tuned.high)==(pytest.approx(interval.low), pytest.approx(interval.high))
    assert [o[0] for o in asked]==list(range(N))

def test_the_smallest_settings_that_do(monkeypatch):
    "Four cells are needed, and 300 candidates"
    tuned, asked = tune(monkeypatch, lambda i, n, cells: min(10, 4+cells+(2 if n>=300 else 0)+(n>=100)*(n<300)))
    assert (tuned.cells, tuned.candidates, tuned.recall)==(4, 300, 1)
    tried = list(dict.fromkeys(o[1:] for o in asked))
    assert tried==[(30, 1), (100, 1), (300, 1), (1000, 1), (30, 2), (100, 2), (300, 2), (1000, 2), (30, 4), (100, 4),
                   (300, 4)]

def test_no_settings_do(monkeypatch):
    with pytest.raises(ValueError, match=r'a recall of 0.95; the best was 0.900 on 200 queries: search exactly'):
        tune(monkeypatch, lambda i, n, cells: 9 if cells==8 else 5)
    tuned, _ = tune(monkeypatch, lambda i, n, cells: 9 if cells==8 else 5, target=.8)
    assert (tuned.cells, tuned.candidates)==(8, 30)

def test_a_recall_on_the_edge_is_not_confirmed(monkeypatch):
    "The lower end of the interval must reach the target"
    with pytest.raises(ValueError, match='could not confirm'): tune(monkeypatch, lambda i, n, cells: 9, target=.9)
