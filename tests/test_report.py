"The report: its table of precision, and the page, opened from disk in a headless Chromium"
import re
import numpy as np
import pandas as pd
import pytest
from mvrep.corpus.names import artist_groups
from mvrep.explore.report import DEMO_NOTE, known_text, label_column, neighbour_precision, pick_seeds, write_report
from mvrep.index.examples import tiny_index
from browser import accessibility_violations, browser_test, without_visible_focus

HOSTILE = '<img src=x onerror="document.title=\'hacked\'">'

@pytest.fixture(scope='module')
def index(tmp_path_factory):
    "Twelve videos, one of them with markup in its title and quotation marks in its artist"
    index = tiny_index(tmp_path_factory.mktemp('report'))
    videos = index.videos.reset_index()
    videos.loc[0, ['title', 'artist']] = HOSTILE, '" onmouseover="alert(1)'
    videos['taste'] = [1., 2.]*6
    videos.loc[1:, 'title'] = 'Donaudampfschifffahrtsgesellschaft'*6
    videos.loc[2:, 'artist'] = [f'{o}Ⅷ{"X"*200}' for o in videos.artist[2:]]
    videos.loc[:, 'mood'] = [f'{o}'+'x'*200 for o in videos.mood]
    index.put_videos(videos)
    index.reload()
    return index

@pytest.fixture(scope='module')
def report(index, tmp_path_factory):
    dest = tmp_path_factory.mktemp('page')/'report.html'
    return write_report(index, dest, neighbour_precision(index), [index.build.video_ids[0]], k=2, note=DEMO_NOTE)

# Precision of neighbours

def shared_labels(index, video_id, column, by):
    "Share of the five nearest videos that have the label of a video"
    nearest = index.search(index.build.query(video_id), 5, by, exclude=[video_id])
    return (index.videos[column][nearest.index]==index.videos[column][video_id]).mean()

@pytest.mark.parametrize('column', ['genre', 'taste'])
def test_precision_is_the_mean_over_searches(index, column):
    scores = neighbour_precision(index, column)
    assert list(scores.by)==['audio', 'video', 'joint']
    for row in scores.itertuples():
        by_hand = np.mean([shared_labels(index, o, column, row.by) for o in index.build.video_ids])
        assert row.precision==pytest.approx(by_hand, abs=1e-6)
        assert row.pool==11

def test_videos_without_a_label_are_left_out(index):
    known = index.videos.genre.copy()
    index.videos.loc[index.videos.index[:4], 'genre'] = None
    scores = neighbour_precision(index, k=3)
    index.videos['genre'] = known
    assert set(scores.pool)=={7}

@pytest.mark.parametrize('by', ['audio', 'video', 'joint'])
def test_chance_of_irregular_videos(ragged, by):
    "Over the labelled videos that have the modality: others with the label, and of those the ones by other artists"
    row = neighbour_precision(ragged, k=4).set_index('by').loc[by]
    lacking = dict(audio=['no_audio'], video=['no_video'], joint=[])[by]
    videos = ragged.videos[ragged.videos.genre.notna() & ~ragged.videos.index.isin(lacking)]
    artist = artist_groups(videos.artist)
    same = videos.genre.to_numpy()[:, None]==videos.genre.to_numpy()
    others, strangers = ~np.eye(len(videos), dtype=bool), artist[:, None]!=artist
    assert row.pool==len(videos)-1
    assert row.chance==pytest.approx((same & others).sum(1).mean()/row.pool)
    assert row.other_chance==pytest.approx(((same & strangers).sum(1)/strangers.sum(1)).mean())
    assert row.precision>row.chance

def test_artists_are_the_same_in_any_spelling(index):
    artists = index.videos.artist.copy()
    index.videos['artist'] = ['Beyoncé', 'BEYONCE', 'Jay-Z ft. Beyoncé', *artists[3:]]
    scores = neighbour_precision(index, k=3)
    index.videos['artist'] = ['A', 'A', 'A', *artists[3:]]
    same = neighbour_precision(index, k=3)
    index.videos['artist'] = artists
    assert scores.equals(same)

def test_columns_that_cannot_be_labels(index):
    with pytest.raises(ValueError, match="no column 'prize' in the manifest: want one of path, artist"):
        neighbour_precision(index, 'prize')
    with pytest.raises(ValueError, match='tags holds lists'): label_column(index, 'tags')
    with pytest.raises(ValueError, match='12 videos with a genre: want more than 12'): neighbour_precision(index, k=12)

# Seeds

def test_seeds_are_the_same_every_time_and_differ_in_genre(index):
    seeds = pick_seeds(index, 5)
    assert seeds==pick_seeds(index, 5) and index.videos.genre[seeds].is_unique
    assert len(pick_seeds(index, 99))==12
    assert set(index.videos.taste[pick_seeds(index, 2, 'taste')])=={1., 2.}

def test_known_text(index):
    video = index.videos.iloc[1]
    assert known_text(video, 'genre')==video.genre and known_text(video, 'tags')==', '.join(video.tags)
    assert known_text(pd.Series(dict(genre=None)), 'genre')=='' and known_text(video, 'duration')=='8.0'

# The page

def test_the_page_holds_everything_it_shows(report):
    page = report.read_text()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert addresses and all(o.startswith('data:') for o in addresses)
    assert 'http://' not in page and 'https://' not in page
    assert (page.count('<video'), page.count('data:video/mp4'), page.count('<img'))==(3, 3, 3)

def test_text_is_never_markup(report):
    page = report.read_text()
    assert '<img src=x' not in page and '&lt;img src=x' in page
    assert 'onmouseover="' not in page
    assert 'The corpus is synthetic' in page

def test_a_label_and_no_note(index, tmp_path):
    scores = neighbour_precision(index, 'mood', k=3)
    page = write_report(index, tmp_path/'report.html', scores, k=3, label='mood').read_text()
    assert 'Do neighbours share the mood?' in page and 'synthetic' not in page
    assert page.count('<video')==3*(1+3)
    with pytest.raises(KeyError, match="no video 'missing'"):
        write_report(index, tmp_path/'report.html', scores, ['missing'])

# In a browser

@pytest.fixture
def page(report, browser):
    "The report in a browser that remembers errors and requests to anywhere else"
    page = browser.new_page()
    page.problems = []
    page.on('console', lambda o: page.problems.append(o.text) if o.type in ('error', 'warning') else None)
    page.on('pageerror', lambda o: page.problems.append(str(o)))
    own = 'data:', report.as_uri()
    page.on('request', lambda o: None if o.url.startswith(own) else page.problems.append(o.url))
    page.goto(report.as_uri())
    yield page
    assert page.title().startswith('mvrep') and page.problems==[]
    page.close()

def player(name): return f'document.getElementById("{name}")'

@browser_test
def test_report_plays(page):
    page.wait_for_function("[...document.querySelectorAll('video')].every(v => v.readyState>0)")
    videos = page.evaluate("[...document.querySelectorAll('video')].map(v => [v.duration, v.videoWidth])")
    assert len(videos)==3 and all(duration>7 and width>100 for duration, width in videos)
    button = 'button[data-seed]'
    page.click(button) # the moment of the seed first, then that of the neighbour
    seed, other = (page.get_attribute(button, f'data-{o}') for o in ('seed', 'other'))
    page.wait_for_function(f'(v => !v.paused && v.webkitAudioDecodedByteCount>0)({player(seed)})')
    page.wait_for_function(f'(v => !v.paused && v.currentTime>0)({player(other)})', timeout=60000)
    assert page.evaluate(f'{player(seed)}.paused'), 'both play at once'

@browser_test
@pytest.mark.parametrize('width', [375, 320])
def test_report_is_not_wider_than_a_phone(page, width):
    "With long names; only the table may be scrolled"
    page.set_viewport_size(dict(width=width, height=800))
    assert page.evaluate('document.documentElement.scrollWidth')<=width
    wide = "[...document.querySelectorAll('main *')].filter(o => !o.closest('.scroll') && o.scrollWidth>innerWidth)"
    assert page.evaluate(f'{wide}.map(o => o.outerHTML.slice(0, 90))')==[]

@browser_test
def test_focus_in_the_report_can_be_seen(page): assert without_visible_focus(page, 8)==[]

@browser_test
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_report_is_accessible(page, scheme):
    page.emulate_media(color_scheme=scheme)
    assert accessibility_violations(page)==[]
