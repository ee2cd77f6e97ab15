"An inverted index of texts: weights of scikit-learn, parts of words, and what is kept on disk"
import numpy as np
import pandas as pd
import pytest
from mvrep.features.checksums import read_arrays, write_arrays
from mvrep.index.examples import tiny_index
from mvrep.index.index import Index
from mvrep.recommendation import words
from mvrep.recommendation.text_table import fit_texts, from_arrays, pieces_of, to_arrays, words_of
from mvrep.recommendation.words import WORD_WEIGHT, compare_texts, search_words
from sklearn.feature_extraction.text import TfidfVectorizer

def random_texts(n, seed=0):
    "Texts of short and long words with punctuation, some of them empty"
    rng = np.random.default_rng(seed)
    known = [''.join(rng.choice([*'abcdé'], rng.integers(1, 8))) for _ in range(60)]+['a-b', '(live)', '7', 'x_y', '日本']
    return [' '.join(rng.choice(known, rng.integers(0, 9))) for _ in range(n)]+['', '?!']

@pytest.mark.parametrize('query', ['a', 'abc', 'live', 'a-b x_y', 'zzz', '日本', 'abcd dcba abcd'])
def test_weights_are_those_of_scikit_learn(query):
    texts = random_texts(80)
    model, scores = fit_texts(texts), 0
    for weight, options in ((WORD_WEIGHT, dict(token_pattern=r'[^\W_]+')),
                            (1-WORD_WEIGHT, dict(analyzer='char_wb', ngram_range=(2, 4)))):
        oracle = TfidfVectorizer(lowercase=False, sublinear_tf=True, **options)
        scores = scores+weight*(oracle.fit_transform(texts)@oracle.transform([query]).T).toarray().ravel()
    np.testing.assert_allclose(compare_texts(model, query)[0], scores, atol=1e-12)
    np.testing.assert_allclose(compare_texts(model, query, texts)[0], scores, atol=1e-12)

def test_words_and_pieces_are_those_of_scikit_learn():
    analyze = TfidfVectorizer(lowercase=False, analyzer='char_wb', ngram_range=(2, 4)).build_analyzer()
    for chunk in ('a', 'ab', 'abc', 'a-b', 'abcdefgh'): assert sorted(pieces_of(chunk))==sorted(analyze(chunk)), chunk
    assert words_of('hip-hop_2 (live)')==['hip', 'hop', '2', 'live']

@pytest.mark.parametrize('part', ['a', 'bc', 'live', '日', 'zzz', '7'])
def test_parts_of_words(part):
    texts = random_texts(50)
    assert fit_texts(texts).has_part(part).tolist()==[part in text for text in texts]

def test_arrays_give_the_same_model(tmp_path):
    texts = random_texts(30)
    model = fit_texts(texts)
    write_arrays(tmp_path/'texts', to_arrays(model))
    again = from_arrays(read_arrays(tmp_path/'texts'))
    for query in ('abc', '日本'):
        for found, expected in zip(compare_texts(again, query), compare_texts(model, query)):
            np.testing.assert_array_equal(found, expected)

@pytest.fixture
def cached(tmp_path, monkeypatch):
    "A small index whose texts are kept on disk; the number of times that they were computed is `len(cached.calls)`"
    monkeypatch.setattr(words, 'CACHED_FROM', 1)
    index, compute = tiny_index(tmp_path/'ix'), words.TextSearch._compute
    index.calls = []
    def counted(self):
        index.calls.append(1)
        return compute(self)
    monkeypatch.setattr(words.TextSearch, '_compute', counted)
    return index

def kept(index): return sorted((index.folder/'cache').glob('texts-*'))

def test_texts_are_computed_once(cached):
    found = [search_words(o, 'calm jazz').score.to_dict() for o in (cached, cached, Index(cached.folder))]
    assert found[0]==found[1]==found[2] and len(cached.calls)==1 and len(kept(cached))==1

def test_new_metadata_are_computed_again(cached):
    search_words(cached, 'calm jazz')
    cached.put_videos(pd.DataFrame(dict(video_id=['v0002'], path=[cached.videos.path['v0002']], title=['Xylophone'])))
    cached.reload()
    assert list(search_words(cached, 'xylophone').index)==['v0002'] and len(cached.calls)==2 and len(kept(cached))==1

def test_removed_videos_are_not_found(cached):
    title = cached.videos.title['v0002']
    search_words(cached, title)
    cached.remove(['v0002'])
    assert 'v0002' not in search_words(cached, title, k=12).index

@pytest.mark.parametrize('damage', ['changed', 'missing', 'record'])
def test_damaged_arrays_are_computed_again(cached, damage):
    before = search_words(cached, 'calm jazz').score.to_dict()
    file = kept(cached)[0]/('checksums.json' if damage=='record' else 'pieces-weights.npy')
    if damage=='missing': file.unlink()
    else: file.write_bytes(file.read_bytes()[:-1]+b'!')
    assert search_words(Index(cached.folder), 'calm jazz').score.to_dict()==before and len(cached.calls)==2
    assert search_words(Index(cached.folder), 'calm jazz').score.to_dict()==before and len(cached.calls)==2

def test_a_full_disk_does_not_matter(cached, monkeypatch):
    def fail(*args): raise OSError(28, 'No space left on device')
    monkeypatch.setattr('mvrep.features.store.write_arrays', fail)
    assert len(search_words(cached, 'calm jazz')) and not kept(cached)
