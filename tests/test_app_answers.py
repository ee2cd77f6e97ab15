"Answers of the app to single requests, without a server"
import asyncio
import json
from types import SimpleNamespace
import pandas as pd
import pytest
from starlette.exceptions import HTTPException
from mvrep.explore.app import _find_route, _fraction, _media_path, _requested_id, _similar_route
from mvrep.explore.explorer import _check_column

def request(**query): return SimpleNamespace(query_params=query)

INDEX = SimpleNamespace(build=SimpleNamespace(rows=pd.Index(['a', 'b'])))

class Answers:
    "Passes the arguments of a search through"
    uploads = SimpleNamespace(kept={'file': 1}, similar=lambda index, name, **rules: [name, rules])
    async def current(self): return SimpleNamespace(index=INDEX)
    async def run(self, function, *args): return list(map(str, args)) if args else function()

def answer(route, **query): return json.loads(asyncio.run(route(Answers(), request(**query))).body)

def test_only_two_hundred_characters_are_searched_for():
    assert answer(_find_route, q='x'*300)[-1]=='x'*200 and answer(_find_route, q='sad')[-1]=='sad'
    assert answer(_find_route)[-1]==''

def test_ids_that_are_asked_for():
    assert _requested_id(INDEX, request(id='b'))=='b'
    for query in (dict(id='c'), {}):
        with pytest.raises(HTTPException) as refused: _requested_id(INDEX, request(**query))
        assert refused.value.status_code==404

def test_rules_of_a_search(monkeypatch):
    monkeypatch.setattr('mvrep.explore.app.neighbour_cards', lambda index, *found: list(found))
    monkeypatch.setattr('mvrep.explore.app.similar', lambda index, video_id, **rules: [video_id, rules])
    for query, name in ((dict(id='b'), 'b'), (dict(upload='file', id='a'), 'file')):
        found, rules = answer(_similar_route, weight='.25', diversity='1', **query)['results']
        assert found==name and (rules['weight'], rules['diversity'])==(.25, 1)
    assert answer(_similar_route, id='a')['results'][1]|dict(k=0)==dict(weight=.5, diversity=0, k=0)
    with pytest.raises(HTTPException, match='drop it again'): answer(_similar_route, upload='other')

@pytest.mark.parametrize('text', ['-0.1', '1.1', 'nan', 'x', ''])
def test_what_is_not_a_fraction(text):
    with pytest.raises(HTTPException) as refused: _fraction(request(weight=text), 'weight', .5)
    assert refused.value.status_code==400
    assert [_fraction(request(weight=o), 'weight', .5) for o in ('0', '1', '.5')]==[0, 1, .5]

def test_files_that_are_gone(tmp_path):
    (tmp_path/'a.mp4').touch()
    paths = pd.Series(dict(a=str(tmp_path/'a.mp4'), b=str(tmp_path/'b.mp4'), c=None), dtype=object)
    index = SimpleNamespace(videos=SimpleNamespace(path=paths))
    assert _media_path(index, 'a')==str(tmp_path/'a.mp4')
    for video_id in 'bc':
        with pytest.raises(HTTPException) as refused: _media_path(index, video_id)
        assert refused.value.status_code==410

def test_the_column_that_points_are_coloured_by():
    info = dict(columns=[dict(name='genre'), dict(name='year')])
    assert [_check_column(info, o) for o in (None, 'genre', 'year')]==['genre', 'genre', 'year']
    with pytest.raises(ValueError, match="no column 'mood' to colour by: want one of genre, year"):
        _check_column(info, 'mood')
