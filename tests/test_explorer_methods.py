"The explorer without a browser: its methods, its answers, shared views, and the files of the page"
import numpy as np
import pytest
from mvrep.explore.explorer import Explorer, View, read_view
from mvrep.explore.static_page import clip_name, write_page
from mvrep.index.examples import tiny_index

@pytest.fixture(scope='module')
def index(tmp_path_factory): return tiny_index(tmp_path_factory.mktemp('explorer'))

@pytest.fixture
def explorer(index): return Explorer(index)

def test_the_first_view(explorer, index):
    assert (explorer.info['n'], explorer.selected, explorer.state['color'])==(12, None, 'genre')
    assert repr(explorer)=='Explorer(12 videos, by joint, coloured by genre)'
    assert Explorer(index, color='mood').state['color']=='mood'
    with pytest.raises(ValueError, match="no column 'price' to colour by: want one of genre"):
        Explorer(index, color='price')

# What is shown

def test_search(explorer, index):
    assert explorer.search('guitar')==['v0002', 'v0003'] and explorer.search('no such words')==[]
    assert explorer.search('')==list(index.build.video_ids)

def test_filter(explorer, index):
    explorer.filter('genre', ['rock', 'pop'])
    assert set(explorer.visible())==set(index.videos.index[index.videos.genre.isin(['rock', 'pop'])])
    assert len(explorer.filter('year'))==12
    with pytest.raises(ValueError, match='no polka in genre: want some of'): explorer.filter('genre', ['polka'])
    with pytest.raises(ValueError, match="no column 'price' to colour by"): explorer.filter('price')

def test_columns_of_the_user(index):
    "A column of your own is a colour and a filter"
    index.videos = index.videos.assign(playlist=['run', 'rest']*6, energy=np.arange(12)//2/6)
    explorer = Explorer(index, color='playlist')
    index.reload()
    assert explorer.filter('playlist', ['run'])==list(index.build.video_ids[::2])
    assert explorer.filter('energy', ['0'])==['v0000', 'v0001'] and explorer.filter('energy', [])==[]

def test_lasso(explorer):
    x, y = explorer.points.map.xy[3]
    assert explorer.lasso([(x-.01, y-.01), (x+.01, y-.01), (x, y+.02)])==['v0003']
    with pytest.raises(ValueError, match='not a view of this explorer: lasso'):
        explorer.lasso([(0, 0), (1, float('nan')), (1, 1)])
    assert len(explorer.lasso(None))==12

# What plays

def test_select_and_swap(explorer):
    with pytest.raises(ValueError, match='no point is selected: select one first'): explorer.neighbours()
    assert explorer.select('v0003').title and explorer.selected=='v0003'
    near = explorer.neighbours('audio')
    other = near.index[0]
    swap = explorer.swap(other)
    assert (swap['video_start'], swap['audio_start'])==tuple(near.loc[other, ['seed_start', 'start']])
    assert explorer.swap(other, audio_start=2.5)['audio_start']==2.5
    explorer.back()
    assert explorer.state['swap'] is None
    with pytest.raises(KeyError, match='no point'): explorer.select('v9999')
    with pytest.raises(ValueError, match='not a view of this explorer: swap'): explorer.swap(other, audio_start=-1)

def test_answers_to_the_browser(explorer):
    data, offset = explorer.clip('v0003')
    assert data[4:8]==b'ftyp' and offset==explorer.points.starts['v0003'][0] and len(data)<2**20
    content, buffers = explorer._answer_clip(dict(id='v0003', moment=2.))
    assert content['offset']==2 and len(buffers)==1
    content, _ = explorer._answer_near(dict(id='v0003', by='video'))
    explorer.select('v0003')
    assert [o['id'] for o in content['rows']]==list(explorer.neighbours('video').index)
    with pytest.raises(KeyError, match='no point'): explorer._answer_clip(dict(id='../../etc/passwd'))
    with pytest.raises(ValueError, match='not a moment of a video'): explorer._answer_clip(dict(id='v0003', moment=-1))

# Views

def test_a_shared_view_returns(explorer):
    explorer.select('v0003')
    explorer.filter('mood')
    explorer.search('guitar')
    explorer.swap('v0004')
    shared = explorer.share()
    explorer.view('segment')
    assert (explorer.info['level'], explorer.info['n'], explorer.selected)==('segment', 12, None)
    explorer.restore(shared)
    assert (explorer.share(), explorer.info['level'])==(shared, 'video')

WRONG = '[1]', '{broken', '{"lasso": [[1]]}', '{"swap": 3}', '{"level": "track"}', '{"by": []}'

@pytest.mark.parametrize('text', WRONG)
def test_a_view_that_makes_no_sense(explorer, text):
    before = explorer.share()
    with pytest.raises(ValueError, match='not a view'): explorer.restore(text)
    assert explorer.share()==before

def test_a_view_of_points_that_are_gone(explorer):
    with pytest.raises(ValueError, match="no point 'x' on this map"): explorer.restore('{"selected": "x"}')

def test_unknown_fields_are_ignored(): assert read_view(dict(colour='red', by='audio'))==View(by='audio')

# The page

HOSTILE = '</script><script>document.title="hacked"</script><img src=x onerror=alert(1)>'

def test_metadata_cannot_end_a_script(tmp_path):
    index = tiny_index(tmp_path)
    index.videos.loc['v0000', 'title'] = HOSTILE
    page = write_page(index, tmp_path/'site')
    html = page.read_text()
    assert html.count('</script>')==3 and HOSTILE not in html and '\\u003c/script>' in html
    assert sum(o.stat().st_size for o in page.parent.rglob('*') if o.is_file())<3e6

def test_another_page_is_not_replaced(index, tmp_path):
    (tmp_path/'index.html').write_text('<title>My home</title>')
    with pytest.raises(ValueError, match='index.html is another page: choose another folder'):
        write_page(index, tmp_path)
    assert [o.name for o in tmp_path.iterdir()]==['index.html']

def test_names_of_files():
    assert clip_name('../../a b').startswith('_a_b-') and clip_name('a/b')!=clip_name('a b')
