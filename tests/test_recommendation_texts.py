"Lists by text, by three weights, their reasons, and how commands, maps and the app take them"
import math
import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient
from test_index_texts import TITLES, index, letters, made, plain, unit
from commands import ask, mvrep
from mvrep.cli.options import joint_weights
from mvrep.explore.app import make_app
from mvrep.explore.tsne import map_vectors
from mvrep.index.exact import read_weights
from mvrep.recommendation.evaluation import item_modalities, item_vectors
from mvrep.recommendation.likes import recommend
from mvrep.recommendation.neighbours import describe_reasons, explain, find_seed, similar, similarities

FIXTURES = letters, made, plain, index # of the other file, which pytest finds by these names

def test_similar_by_text_and_its_reasons(index):
    found, reasons = similar(index, 'a', by='text')
    assert list(found.index)==['b', 'c'] and found.score['b']==pytest.approx(unit(TITLES['a'])@unit(TITLES['b']))
    assert list(reasons.modality)==['text']*2 and reasons.start.isna().all()
    assert describe_reasons(reasons)['b']==f'text {found.score["b"]:.2f}'
    joint, reasons = similar(index, 'a', k=3)
    assert list(reasons[reasons.video_id=='b'].modality)==['audio', 'video', 'text']
    assert list(reasons[reasons.video_id=='d'].modality)==['audio', 'video'], 'd has no text'
    assert describe_reasons(reasons)['b'].endswith(f'; text {joint.text["b"]:.2f}')
    assert 'text' not in set(similar(index, 'a', weight=dict(audio=1, video=1))[1].modality)
    assert not len(explain(index, find_seed(index, 'a').segments, []))

def test_three_weights_in_a_list(index):
    weight = dict(audio=.4, video=.4, text=.2)
    found, _ = similar(index, 'a', weight=weight)
    row = found.loc['b']
    assert row.score==pytest.approx(.4*row.audio+.4*row.video+.2*row.text, abs=1e-6)
    varied, _ = similar(index, 'a', weight=weight, diversity=.5, k=2)
    assert len(varied)==2
    only_text, _ = similar(index, 'a', weight=dict(text=1))
    pd.testing.assert_series_equal(only_text.score, similar(index, 'a', by='text')[0].score)

def test_a_seed_without_text(index):
    with pytest.raises(ValueError, match='d has no text to compare'): similar(index, 'd', by='text')
    with pytest.raises(ValueError, match='d has no text to compare'): similar(index, 'd', weight=dict(text=2))
    with_text, _ = similar(index, 'd', weight=dict(audio=1, video=1, text=9))
    np.testing.assert_allclose(with_text.score, similar(index, 'd')[0].score, atol=1e-6)

def test_similarities_are_the_scores_of_a_search(index):
    ids = list('abcd')
    for by, weight in (('text', .5), ('joint', .5), ('joint', dict(audio=1, text=3))):
        matrix = similarities(index, ids, by, weight)
        for i, video_id in enumerate(ids):
            scores = index.build.scores(index.build.query(video_id), by, weight).score[ids]
            np.testing.assert_allclose(matrix[i], scores, atol=1e-6)

def test_recommendations_by_text(index):
    found = recommend(index, ['a'], by='text')
    assert list(found.index)==['b', 'c'] and set(found.because)=={'a'}
    both = recommend(index, ['a', 'd'], weight=dict(video=1, text=1))
    assert set(both.index)=={'b', 'c'}
    with pytest.raises(ValueError, match="no liked video can be compared by 'text'"): recommend(index, ['d'], by='text')

def test_vectors_for_evaluation_and_maps(index, plain):
    weight = dict(audio=1, video=1, text=2)
    vectors, has = item_vectors(index, weight=weight), item_modalities(index, weight=weight)
    assert has.shape==(4, 3) and has[3].tolist()==[.25, .25, 0]
    assert vectors[0]@vectors[1]==pytest.approx(similarities(index, ['a', 'b'], weight=weight)[0, 1], abs=1e-5)
    keys, by_text = map_vectors(index, 'text')
    assert list(keys.index)==['a', 'b', 'c'] and by_text.shape==(3, 26)
    joint, without = map_vectors(index)[1], map_vectors(plain)[1]
    assert joint.shape[1]==without.shape[1]+26
    for args in ((plain, 'text'), (index, 'text', 'segment')):
        with pytest.raises(ValueError, match="by='text': want one of audio, video, joint"): map_vectors(*args)

def test_weights_as_one_word():
    assert read_weights(' audio=.4, text=1')==dict(audio=.4, text=1)
    for wrong in ('audio', 'audio=x', '', 'audio=1,audio=2', '.5', 'audio:1'):
        with pytest.raises(ValueError, match='such as audio=.4,video=.4,text=.2'): read_weights(wrong)
    assert joint_weights(None, 'audio')==.5

def test_commands_by_text(index):
    args = 'similar', index.folder, '--video', 'a'
    answer = ask(*args, '--by', 'text')
    assert [o['video_id'] for o in answer['results']]==['b', 'c']
    assert answer['results'][0]['reasons'][0]['seed_start'] is None
    weighted = ask(*args, '--weights', 'audio=1,text=3')['results']
    expected = similar(index, 'a', weight=dict(audio=1, text=3))[0]
    assert [o['video_id'] for o in weighted]==list(expected.index)
    assert 'text' in mvrep(*args, width=160).stdout
    assert 'want modalities and numbers' in mvrep(*args, '--weights', 'audio', code=2, width=160).stderr
    assert 'only for --by joint' in mvrep(*args, '--by', 'text', '--weights', 'text=1', code=2, width=160).stderr
    assert "a weight for 'smell'" in mvrep(*args, '--weights', 'smell=1', code=1).stderr
    liked = ask('recommend', index.folder, '--like', 'a', '--weights', 'text=1')['results']
    assert [o['video_id'] for o in liked]==['b', 'c']
    shown = ask('info', index.folder)
    assert (shown['with_text'], shown['text_encoder'])==(3, 'letters')

def test_commands_without_text(plain):
    done = mvrep('similar', plain.folder, '--video', 'a', '--by', 'text', code=2, width=200)
    assert 'this index has no text, which `mvrep index --text` adds' in done.stderr
    assert "this index has audio and video" in mvrep(
        'similar', plain.folder, '--video', 'a', '--weights', 'text=1', code=1).stderr
    assert 'with text' not in mvrep('info', plain.folder).stdout
    for words in (('similar', plain.folder, '--video', 'a'), ('recommend', plain.folder, '--like', 'a'),
                  ('tune', plain.folder)):
        wrong = mvrep(*words, '--by', 'smell', code=2, width=200)
        assert "'--by'" in wrong.stderr and "want 'audio', 'video' or 'joint'" in wrong.stderr and wrong.stdout==''

def test_the_app_weights_text(index, plain):
    with TestClient(make_app(index.folder), base_url='http://127.0.0.1') as client:
        cards = client.get('/api/videos', params=dict(q='')).json()['videos']
        assert {o['id']: o['has_text'] for o in cards}==dict(a=True, b=True, c=True, d=False)
        answer = client.get('/api/similar', params=dict(id='a', weights='audio=1,video=0,text=3')).json()['results']
        expected = similar(index, 'a', weight=dict(audio=1, text=3), k=12)[0]
        assert [o['id'] for o in answer]==list(expected.index)
        assert answer[0]['text']==pytest.approx(expected.text.iloc[0]) and answer[0]['reasons'][-1]['start'] is None
        for weights, reason in (('x', 'such as'), ('smell=1', "a weight for 'smell'"), ('audio=-1', 'want numbers')):
            refused = client.get('/api/similar', params=dict(id='a', weights=weights))
            assert refused.status_code==400 and reason in refused.json()['error']
        refused = client.get('/api/similar', params=dict(id='d', weights='text=1'))
        assert refused.status_code==400 and 'd has no text' in refused.json()['error']
    with TestClient(make_app(plain.folder), base_url='http://127.0.0.1') as client:
        card = client.get('/api/video', params=dict(id='a')).json()
        assert 'has_text' not in card, 'the slider stays hidden'
        row = client.get('/api/similar', params=dict(id='a')).json()['results'][0]
        assert 'text' not in row and math.isfinite(row['score'])
