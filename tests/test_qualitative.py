"Query videos and their neighbours, and the page that shows them"
import html
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote
import numpy as np
import pandas as pd
import pytest
from mvrep.core import MODALITIES, MediaError
from mvrep.explore.qualitative import draw_segments, draw_videos, list_overlap, segment_neighbours, video_neighbours
from mvrep.explore.qualitative_page import PageContent, _Cards, show_qualitative_page, write_qualitative_page
from mvrep.index.examples import tiny_index
from browser import accessibility_violations, browser_test, chromium, flags

@pytest.fixture(scope='module')
def index(tmp_path_factory): return tiny_index(tmp_path_factory.mktemp('qualitative'))

@pytest.fixture
def own_index(tmp_path): return tiny_index(tmp_path/'own') # to be changed

# Seeds

def test_seeds_are_drawn_the_same_way_every_time(index):
    assert draw_videos(index, 5)==draw_videos(index, 5) and draw_segments(index, 5)==draw_segments(index, 5)
    assert sorted(draw_videos(index, 99))==sorted(index.build.video_ids)
    assert draw_videos(index, 12)!=draw_videos(index, 12, seed=1)

def test_only_videos_with_both_modalities_are_drawn(own_index):
    is_silent = np.arange(12)<5
    own_index.build = replace(own_index.build, has=dict(audio=~is_silent, video=np.ones(12, bool)))
    assert set(draw_videos(own_index, 99))==set(own_index.build.video_ids[5:])
    own_index.build = replace(own_index.build, has=dict(audio=np.zeros(12, bool), video=np.ones(12, bool)))
    with pytest.raises(ValueError, match='has no video with audio and video'): draw_videos(own_index)

# Cards

CARDS = pd.DataFrame(dict(title=['T', None], artist=['A', None], genre=['rock', None],
                          release_date=['2004-05-06', None],
                          duration=[8., np.nan], path='missing.mp4'), index=['a', 'b'])

@pytest.mark.parametrize('stretch, moments', [
    (('a', 0, 8), ''), (('a', .4, 7.6), ''), (('a', 0, 7.5), ''), (('a', 0, 7.4), '0:00–0:07'),
    (('a', .5, 7.5), '0:00–0:08'), (('a', 2, 4), '0:02–0:06')])
def test_the_card_of_a_stretch(stretch, moments):
    played = []
    cards = _Cards(SimpleNamespace(videos=CARDS), PageContent(), lambda *args: played.append(args) or 'address')
    card = cards.card(*stretch)
    assert (card.title, card.artist, card.about, card.moments)==('T', 'A', 'rock · 2004', moments)
    assert (card.sheet, card.src)==('', 'address') # no frames of a file that is missing
    assert cards.card(*stretch) is card and len(played)==1
    path, played_stretch = played[0]
    assert path=='missing.mp4' and (played_stretch.start, played_stretch.length)==stretch[1:]

def test_a_card_of_a_video_without_metadata():
    def fail(*args): raise MediaError('missing.mp4', 'it is empty')
    cards = _Cards(SimpleNamespace(videos=CARDS), PageContent(), fail)
    for length in (0., -1., np.nan): # unknown
        card = cards.card('b', 0, length)
        assert (card.title, card.artist, card.about, card.moments, card.src)==('b', '', '', '', '')
    assert [o.length for o in cards.made]==[30.]

def test_seeds_that_are_given_or_drawn(index):
    ids = list(index.build.video_ids)
    segments = index.store.keys().segment_id.tolist()
    given = PageContent(videos=ids[:2], segments=segments[:1]).seeds(index)
    assert given==(ids[:2], segments[:1]) and PageContent(videos=0, segments=0).seeds(index)==([], [])
    drawn = PageContent(videos=3, segments=2, seed=4).seeds(index)
    assert drawn==(list(draw_videos(index, 3, 4)), list(draw_segments(index, 2, 4))) and list(map(len, drawn))==[3, 2]

# Neighbours. The tiny videos have one segment each, so a segment finds what its video finds

@pytest.mark.parametrize('by', MODALITIES)
def test_a_single_segment_finds_what_its_video_finds(index, by):
    video_id = index.build.video_ids[0]
    of_video = video_neighbours(index, video_id, by)
    of_segment = segment_neighbours(index, [f'{video_id}_0'], by)[f'{video_id}_0']
    assert list(of_video.video_id)==list(of_segment.video_id)
    assert of_video.score.to_numpy()==pytest.approx(of_segment.score.to_numpy(), abs=1e-4)

def test_joint_scores_of_segments_are_means(index):
    def scores(by): return segment_neighbours(index, ['v0000_0'], by, 99)['v0000_0'].set_index('video_id').score
    mean = (scores('audio')+scores('video'))/2
    assert scores('joint').sort_index().to_numpy()==pytest.approx(mean.sort_index().to_numpy(), abs=1e-5)

def test_a_video_is_not_its_own_neighbour(index):
    found = video_neighbours(index, 'v0000', k=99)
    assert len(found)==11 and 'v0000' not in set(found.video_id)
    assert 'v0000' not in set(segment_neighbours(index, ['v0000_0'], k=99)['v0000_0'].video_id)

def test_unknown_names(index):
    with pytest.raises(KeyError, match="no video 'x'"): video_neighbours(index, 'x')
    with pytest.raises(KeyError, match="no segment 'x_9'"): segment_neighbours(index, ['x_9'])
    with pytest.raises(KeyError, match="no segment 'x_9'"): list_overlap(index, ['v0000_0', 'x_9'])
    for find, seed in ((video_neighbours, 'v0000'), (segment_neighbours, ['v0000_0'])):
        with pytest.raises(ValueError, match="by='taste'"): find(index, seed, 'taste')

def test_videos_that_were_added_after_the_build_are_not_found(own_index):
    build = own_index.build
    has = {m: o[:6] for m, o in build.has.items()}
    half = dict(has=has, embeddings={m: o[:6] for m, o in build.embeddings.items()})
    own_index.build = replace(build, video_ids=build.video_ids[:6], **half)
    assert set(segment_neighbours(own_index, ['v0000_0'], k=99)['v0000_0'].video_id)==set(build.video_ids[1:6])

# Overlap

def test_overlap_of_lists(index):
    overlap = list_overlap(index, draw_segments(index))
    assert list(overlap.index[:3])==['videos by audio – videos by video', 'videos by audio – videos jointly',
                                     'videos by video – videos jointly']
    same = overlap.loc[['segments by audio – videos by audio', 'segments by video – videos by video'], 'overlap']
    assert list(same)==[1, 1]
    assert overlap.chance.to_numpy()==pytest.approx(3/11) and set(overlap.pool)=={11} and set(overlap.seeds)=={12}
    assert ((overlap.low<=overlap.overlap) & (overlap.overlap<=overlap.high)).all()

def test_overlap_by_hand(ragged):
    "Three seeds: what the lists of two have in common, as a share of the longer one; chance is at most 1"
    seeds = draw_segments(ragged, 3)
    owner = ragged.store.keys().set_index('segment_id').video_id
    overlap = list_overlap(ragged, seeds, k=4)
    shares = []
    for seed in seeds:
        one, other = (set(video_neighbours(ragged, owner[seed], by, 4).video_id) for by in ('audio', 'video'))
        shares.append(len(one & other)/4)
    row = overlap.loc['videos by audio – videos by video']
    assert row.overlap==pytest.approx(np.mean(shares))
    n = len(ragged.build.video_ids)
    assert (row.pool, row.seeds)==(n-1, 3) and row.chance==pytest.approx(4/(n-1))
    assert (list_overlap(ragged, seeds, k=99).chance==1).all()

# The page

def addresses(page): return [html.unescape(o) for o in re.findall(r'<video[^>]*src="([^"]+)"', page.read_text())]

def test_players_link_the_files_where_they_are(index, tmp_path):
    page = write_qualitative_page(index, tmp_path/'page.html', PageContent(videos=3, segments=2))
    players = addresses(page)
    assert len(players)==(3+2)*(1+9) and page.read_text().count('class="row"')==5
    path, moments = players[0].split('#')
    assert moments=='t=0.0,8.0' and (tmp_path/unquote(path)).resolve().is_file()
    assert 'Overlap of the lists' in page.read_text()

def test_excerpts_are_cut_into_a_folder_beside_the_page(own_index, tmp_path):
    content = PageContent(videos=['v0000'], segments=0, k=1)
    page = write_qualitative_page(own_index, tmp_path/'moved'/'a page.html', content, clips=True)
    clips = [page.parent/unquote(o) for o in addresses(page)]
    assert clips and all(o.is_file() and o.parent.name=='a page_clips' for o in clips)
    before = [o.read_bytes() for o in clips]
    own_index.videos['path'] = own_index.videos.path.to_numpy()[::-1] # the files changed
    assert addresses(write_qualitative_page(own_index, page, content, clips=True))==addresses(page)
    assert all(o.read_bytes()!=old for o, old in zip(clips, before))

def test_text_is_never_markup(own_index, tmp_path):
    own_index.videos.loc['v0000', ['title', 'artist']] = '<script>alert(1)</script>" onclick="x', "</iframe>'>"
    page = write_qualitative_page(own_index, tmp_path/'page.html', PageContent(['v0000'], 0, 1)).read_text()
    assert '&lt;script&gt;alert(1)&lt;/script&gt;' in page
    for o in ('<script', '</iframe>', 'onclick="'): assert o not in page

def test_a_file_that_is_gone_leaves_a_card(own_index, tmp_path):
    own_index.videos.loc['v0000', 'path'] = '/gone.mp4'
    page = write_qualitative_page(own_index, tmp_path/'page.html', PageContent(['v0000'], 0, 1), clips=True)
    assert len(addresses(page))==3 and page.read_text().count('the file cannot be read')==1

def test_no_seeds_is_a_page_too(index, tmp_path):
    page = write_qualitative_page(index, tmp_path/'page.html', PageContent(videos=0, segments=0))
    assert addresses(page)==[] and '12 videos' in page.read_text()

def test_the_page_in_a_notebook_is_one_frame(own_index):
    own_index.videos.loc['v0000', 'title'] = '"></iframe><script>alert(1)</script>'
    content = PageContent(['v0000'], ['v0001_0'], 1)
    frame = show_qualitative_page(own_index, content, clips=False).data
    assert frame.count('<iframe')==1 and frame.count('</iframe>')==1 and '<script' not in frame
    assert ' sandbox ' in frame and len(frame)<200_000
    inside = html.unescape(re.search('srcdoc="([^"]*)"', frame)[1])
    assert inside.startswith('<!doctype html>') and inside.count('data:image/jpeg')==8 and '<video' not in inside
    with_clips = show_qualitative_page(own_index, content).data
    assert with_clips.count('data:video/mp4')==8

# In a browser

@pytest.fixture
def browser():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()

@browser_test
def test_the_page_is_not_wider_than_a_phone(browser, index, tmp_path):
    page = browser.new_page(viewport=dict(width=390, height=800))
    page.goto(write_qualitative_page(index, tmp_path/'page.html', PageContent(videos=2, segments=1)).as_uri())
    assert page.evaluate('document.documentElement.scrollWidth')<=390

@browser_test
def test_clips_play_inside_a_notebook(browser, index, tmp_path):
    frame = show_qualitative_page(index, PageContent(['v0000'], 0, 1)).data
    (tmp_path/'notebook.html').write_text(f'<!doctype html><title>notebook</title>{frame}')
    page = browser.new_page()
    page.goto(Path(tmp_path/'notebook.html').as_uri())
    player = page.frames[1].locator('video').first
    player.focus()
    player.press('Space') # the frame runs no scripts, so the keyboard starts the player
    for _ in range(100):
        if player.evaluate('v => v.currentTime>.2 && v.webkitAudioDecodedByteCount>0'): break
        page.wait_for_timeout(100)
    assert player.evaluate('v => v.currentTime>.2')

@browser_test
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_the_page_is_accessible(browser, index, tmp_path, scheme):
    page = browser.new_page(color_scheme=scheme)
    page.goto(write_qualitative_page(index, tmp_path/'page.html', PageContent(videos=2, segments=1)).as_uri())
    assert accessibility_violations(page)==[]
