"""Search by words and content: terms of a query, calibrated tags, results of both, and indexes without tags."""
import shutil
from dataclasses import replace
import numpy as np
import mvrep.cli.finding # registers the commands
import mvrep.cli.pretraining # noqa: F401
import pandas as pd
import pytest
from fastcore.test import test_eq as eq
from mvrep.cli.options import run_command
from mvrep.corpus.demo import tiny_corpus
from mvrep.encoders.tags import TAG_WEIGHTS, tag_names
from mvrep.index.build import read_build, write_build
from mvrep.index.examples import tiny_index
from mvrep.index.index import Index
from mvrep.index.indexing import index_folder
from mvrep.index.tags import ARRAYS, TagTable, pool_tags, read_tags
from mvrep.recommendation.auto_tags import choose_tags, tag_videos
from mvrep.recommendation.content import ContentSearch, open_content, share_below
from mvrep.recommendation.query import known_phrases, query_words, read_query, with_close_tags, without_fillers
from mvrep.recommendation.text_search import open_search, search
from mvrep.recommendation.word_benchmark import benchmark_words, first_precision, order_auc
from sklearn.metrics import roc_auc_score

@pytest.fixture(scope='module')
def index(tmp_path_factory):
    "Twelve videos with tags: not to be changed."
    return tiny_index(tmp_path_factory.mktemp('search'))

@pytest.fixture(scope='module')
def untagged(tmp_path_factory):
    "An index of the same videos whose build has no tags, as from an earlier version."
    index = tiny_index(tmp_path_factory.mktemp('untagged'))
    index.build = replace(index.build, tags=None)
    return index

# Queries

def terms_of(query): return '; '.join(map(str, without_fillers(read_query(query))))

@pytest.mark.parametrize('query, terms', [
    ('sad piano', 'sad; piano'), ('SAD, Piano', 'sad; piano'), ('party, not metal', 'party; not metal'),
    ('party not heavy metal', 'party; not heavy metal'), ('no vocals', 'no vocals'), ('jazz -piano', 'jazz; not piano'),
    ('a sad song with piano', 'sad; piano'), ('hip-hop', 'hip hop'), ('R&B', 'r b → rnb (synonym)'),
    ('without drums', 'not drums'), ('you are not alone', 'you; are; not; alone'), ('a song', 'a; song'),
    ('sad, not xylophone', 'sad; not xylophone'), ('not', 'not'), ('mélancolie - sad', 'melancolie; sad'),
    ('not not metal', 'not; not metal'), ('rock, pop', 'rock; pop'), ('-', None), ('?!', None), ('', None)])
def test_terms(query, terms):
    if terms is not None: return eq(terms_of(query), terms)
    with pytest.raises(ValueError, match='give a word'): read_query(query)

def test_every_synonym_stands_for_tags_that_exist():
    names = {name for column in TAG_WEIGHTS for name in tag_names(column)}
    for words, (tags, how) in known_phrases().items():
        assert set(tags)<=names and len(set(tags))==len(tags), words
        assert how in ('tag', 'synonym') and words==' '.join(query_words(words)) and len(words.split())<=3, words

def test_every_tag_can_be_asked_for():
    for column in TAG_WEIGHTS:
        for name in tag_names(column):
            term, = read_query(name)
            assert name in term.tags and term.how=='tag', name

def test_close_words_only():
    vectors = dict(xylo=[1, 0], flute=[.8, .6], sad=[0, 1])
    def encode(texts): return np.array([vectors.get(o, [-1, 0]) for o in texts])
    found = with_close_tags(read_query('xylo mystery piano'), encode)
    eq(found[0].tags, ('flute',))
    eq(found[2], read_query('piano')[0])

# Tags of a build

def test_pooled_tags_by_hand():
    x = np.random.default_rng(0).random((7, 3))
    ids, starts = np.array(list('aabbbcc')), np.arange(7.)
    pooled = pool_tags(x, ids, starts)
    for row, video_id in enumerate('abc'):
        own = x[ids==video_id]
        np.testing.assert_allclose(pooled['mean'][row], own.mean(0), rtol=1e-6)
        np.testing.assert_array_equal(pooled['moment'][row], starts[ids==video_id][own.argmax(0)])
        np.testing.assert_allclose(pooled['peak'][row], own.max(0), rtol=1e-6)

def test_tags_are_those_of_the_network(index):
    from mvrep.encoders.tags import tag_encoders
    from mvrep.features.extraction import encode_video
    path = index.videos.path['v0002']
    segments, feats = encode_video(path, 'v0002', tag_encoders())
    tags, video = index.build.tags, index.build.rows.get_loc('v0002')
    column = tags.names[50:], feats['tags_msd']
    for name, value in zip(column[0], column[1].mean(0)):
        row = tags.rows(name)[-1]
        assert abs(tags.row('mean', row)[video]-value)<1e-3, name

def test_a_build_reads_the_tags_it_wrote(index, tmp_path):
    write_build(index.build, tmp_path)
    tags, again = index.build.tags, read_build(tmp_path.rename(tmp_path.parent/'0007')).tags
    eq((again.names, again.made_by, again.n_encoded), (tags.names, tags.made_by, tags.n_encoded))
    for name in ARRAYS: np.testing.assert_array_equal(again.arrays[name], tags.arrays[name])

def test_an_extended_table_is_that_of_all_videos(index):
    ids, whole = list(index.build.video_ids), index.build.tags
    first = read_tags(index.store, ids[:7])
    extended = read_tags(index.store, ids, first)
    for name in ARRAYS: np.testing.assert_array_equal(extended.arrays[name], whole.arrays[name])

def test_removed_videos_lose_their_tags(index, tmp_path):
    copy = Index(shutil.copytree(index.folder, tmp_path/'ix'))
    copy.remove(['v0003'])
    stays = index.build.video_ids!='v0003'
    eq(copy.build.tags.n_encoded, 11)
    for name in ARRAYS:
        np.testing.assert_array_equal(copy.build.tags.arrays[name], index.build.tags.arrays[name][:, stays])

# Ranks and scores

def content_of(names, mean):
    "A search over given mean activations, shape (n_tags, n_videos)"
    mean = np.array(mean, np.float32)
    table = TagTable(tuple(names), {}, mean.shape[1], dict(mean=mean, peak=mean, moment=np.zeros_like(mean)))
    return ContentSearch(np.array([f'v{i}' for i in range(mean.shape[1])], object), table)

def test_ranks_do_not_depend_on_the_scale_of_a_tag():
    x = np.random.default_rng(0).random(50).astype(np.float32)
    np.testing.assert_array_equal(share_below(x), share_below(x**3/100))
    eq(share_below(np.full(4, .3)).tolist(), [.5]*4)

def test_combinations():
    content = content_of(['sad', 'piano', 'metal'], [[.9, .8, .1, .2], [.0, .7, .9, .1], [.5, .1, .2, .9]])
    def best(query): return content.video_ids[np.argmax(content.scores(read_query(query)))]
    eq([best(o) for o in ('sad', 'piano', 'sad piano', 'sad, not metal', 'metal')], ['v0', 'v2', 'v1', 'v1', 'v3'])

def test_a_video_without_tags_is_not_found():
    content = content_of(['sad'], [[.9, np.nan, .1]])
    eq(np.isnan(content.scores(read_query('not sad'))).tolist(), [False, True, False])
    eq(content.moments(read_query('sad'), 'v1'), [])

# Results

def test_by_words_is_the_search_of_written_words(index):
    from mvrep.recommendation.words import search_words
    for query in ('calm jazz', 'electric orchard', index.videos.title.iloc[3]):
        eq(search(index, query, by='words').score.to_dict(), search_words(index, query).score.to_dict())

def test_a_name_is_searched_as_written(index):
    title = index.videos.title['v0005']
    eq(search(index, title).index[0], 'v0005')
    assert not any(search(index, title).moments)

def test_a_written_word_counts_as_one(index):
    found = search(index, 'jazz', k=12)
    is_jazz = found.genre=='jazz'
    assert (found.score[is_jazz]==1).all() and (found.score[~is_jazz]<1).all()
    assert found.why.iloc[0].startswith('genre') and 'tag `jazz`' in found.why.iloc[0]

def test_by_content_ignores_what_is_written(index):
    found = search(index, 'jazz', k=12, by='content')
    eq(found.matched.tolist(), [[]]*len(found))
    content = open_content(index)
    eq(found.score.to_dict(), {k: v for k, v in zip(content.video_ids, content.scores(read_query('jazz'))) if v>=.5})

def test_unwanted_written_words(index):
    jazz = set(index.videos.index[index.videos.genre=='jazz'])
    assert not jazz & set(search(index, 'calm, not jazz', k=12, by='words').index)
    assert not jazz & set(search(index, 'calm, not jazz', k=12).index[:3])

def test_conditions(index):
    found = search(index, 'piano', k=12, where="genre = 'pop'")
    eq(set(found.genre), {'pop'})
    with pytest.raises(ValueError, match='cannot filter'): search(index, 'piano', where='nonsense !')

def test_words_that_nothing_matches_are_reported(index):
    with pytest.warns(UserWarning, match='zzyzx was left out'): search(index, 'zzyzx piano')
    with pytest.raises(ValueError, match='no music tag means zzyzx'): search(index, 'zzyzx', by='content')
    eq(len(search(index, 'zzyzx')), 0)
    with pytest.raises(ValueError, match='beside those that are not wanted'): search(index, 'not metal', by='words')
    with pytest.raises(ValueError, match='by=.smell.: want one of'): search(index, 'piano', by='smell')

def test_the_sentence_encoder_is_not_asked_about_written_words(index):
    asked = []
    def encode(texts):
        asked.extend(texts)
        return np.eye(len(texts))
    artist = query_words(index.videos.artist.iloc[0])[0]
    opened = replace(open_search(index), encode=encode)
    opened.rank(f'{artist} lugubrious')
    assert 'lugubrious' in asked and artist not in asked

def test_without_tags_written_words_are_searched(untagged):
    with pytest.warns(UserWarning, match='only the tags are computed'): found = search(untagged, 'calm jazz')
    eq(found.score.to_dict(), search(untagged, 'calm jazz', by='words').score.to_dict())
    with pytest.raises(ValueError, match='only the tags are computed'): search(untagged, 'jazz', by='content')

# Tags in the metadata

def test_tags_chosen_by_a_program(index, tmp_path):
    copy = Index(shutil.copytree(index.folder, tmp_path/'ix'))
    report = tag_videos(copy, threshold=.05, n=2)
    assert report.tagged>0 and max(map(len, copy.videos.auto_tags))<=2
    eq(copy.videos.tags.map(list).to_dict(), index.videos.tags.map(list).to_dict())
    tag, n = next(iter(report.counts.items()))
    eq(int(copy.filter(f"array_has(auto_tags, '{tag}')").sum()), n)
    assert copy.videos.auto_tags_by.str.startswith('machine: ').all()
    eq(tag_videos(copy, threshold=1).tagged, 0)
    assert not any(map(len, copy.videos.auto_tags)) # replaced by empty lists

def test_chosen_tags_are_not_written_words(index, tmp_path):
    copy = Index(shutil.copytree(index.folder, tmp_path/'ix'))
    before = search(copy, 'electronic', k=12, by='words').score.to_dict()
    tag_videos(copy)
    eq(search(copy, 'electronic', k=12, by='words').score.to_dict(), before)

@pytest.mark.parametrize('wrong', [dict(threshold=-.1), dict(threshold=float('nan')), dict(n=0)])
def test_wrong_numbers_of_tags(index, wrong):
    with pytest.raises(ValueError, match='want'): choose_tags(index.build.tags, **wrong)

# Tags of an index that has none

def test_indexing_again_adds_tags_only(tmp_path):
    corpus = tiny_corpus()/'manifest.csv'
    few = tmp_path/'few.csv'
    table = pd.read_csv(corpus).head(2)
    table['path'] = [str(corpus.parent/o) for o in table.path]
    table.to_csv(few, index=False)
    bare = index_folder(few, tmp_path/'ix', tags=False, workers=1, progress=False).index
    assert bare.build.tags is None
    makers = {o for o in bare.store.columns if o.startswith('tags_')}
    eq(makers, set())
    tagged = index_folder(few, tmp_path/'ix', workers=1, progress=False).index
    eq((tagged.build.number, tagged.build.tags.n_encoded), (2, 2))
    for modality, x in bare.build.embeddings.items():
        np.testing.assert_allclose(tagged.build.embeddings[modality], x, atol=1e-6)
    again = index_folder(few, tmp_path/'ix', workers=1, progress=False)
    eq((again.done, again.skipped, again.index.build.number), (0, 2, 2))

# Measures

def test_measures_of_words_by_hand():
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.integers(0, 5, 40), rng.integers(0, 2, 40)]).astype(float)
    eq(round(order_auc(values), 10), round(roc_auc_score(values[:, 1], values[:, 0]), 10))
    order = [first_precision(values[rng.permutation(40)], 10) for _ in range(3)]
    eq(len(set(np.round(order, 10))), 1) # equal scores share their places
    assert np.isnan(order_auc(np.ones((3, 2))))

def test_labels_that_cannot_be_asked(index):
    found = benchmark_words(index, 'mood', n_boot=20)
    assert found.left_out and all(found.left_out.values())
    eq(set(found.table.word) & set(found.left_out), set())
    with pytest.raises(ValueError, match='no column .x.'): benchmark_words(index, 'x')

def test_the_benchmark_writes_its_table(index, tmp_path):
    done = run_command('benchmark', 'words', index.folder, '--label', 'tags', '--out', tmp_path/'t.csv', '--json')
    table = pd.read_csv(tmp_path/'t.csv')
    eq(list(table.word), [o['word'] for o in done.json['table']])
    assert (table.auc_low<=table.auc).all() and (table.pool==12).all()
    missing = run_command('benchmark', 'words', index.folder, '--json').text
    assert 'benchmark words needs --label' in missing

# The command

def test_json(index):
    found = run_command('search', index.folder, 'piano,', 'not', 'metal', '--json', '-k', 2).json
    eq([o['text'] for o in found['terms']], ['piano', 'metal'])
    moment = found['results'][0]['moments'][0]
    eq((moment['term'], moment['tag']), ('piano', 'piano'))
    assert 0<=moment['activation']<=1 and moment['start']>=0

def test_errors_are_one_sentence(index):
    for words in (['?!'], ['zzyzx', '--by', 'content']):
        done = run_command('search', index.folder, *words)
        assert done.exit_code==1 and len(done.stderr.strip().splitlines())==1, done
