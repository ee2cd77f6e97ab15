"Lists show one video of a recording, with the number of the others"
import shutil
from collections import namedtuple
import numpy as np
import pandas as pd
import pytest
from mvrep.corpus.duplicates import recordings
from mvrep.explore.catalogue import neighbour_cards
from mvrep.index.examples import tiny_index
from mvrep.index.indexing import add_videos
from mvrep.index.info import index_info
from mvrep.media.segments import Segment
from mvrep.probing.cross_validation import Protocol
from mvrep.probing.index import probe_index
from mvrep.recommendation.likes import recommend
from mvrep.recommendation.lists import ListRules, arrange, n_surplus
from mvrep.recommendation.neighbours import Seed, same_content, similar

@pytest.fixture(scope='module')
def index(tmp_path_factory):
    "Twelve videos, four copies of one, and one copy of another"
    folder = tmp_path_factory.mktemp('copies')
    index = tiny_index(folder)
    copies = [shutil.copy(index.videos.path['v0003'], folder/f'copy{i}.mp4') for i in range(4)]
    copies.append(shutil.copy(index.videos.path['v0007'], folder/'other.mp4'))
    return add_videos(index, copies, progress=False).index

def test_copies_are_one_recording(index):
    sizes = recordings(index.videos).value_counts()
    assert sizes.tolist()==[5, 2, *[1]*10]
    assert set(index.videos.index[index.videos.recording=='copy0'])=={'v0003', *(f'copy{i}' for i in range(4))}

def test_a_copy_is_shown_once_with_the_number_of_others(index):
    found, reasons = similar(index, 'v0003', k=12)
    assert len(found)==12 and list(found.copies)[0]==3 and set(found.index[:1])<={f'copy{i}' for i in range(4)}
    assert recordings(index.videos)[found.index].is_unique
    other = found[found.index.isin(['v0007', 'other'])]
    assert list(other.copies)==[1] and list(reasons.video_id.unique())==list(found.index)

def test_a_short_list_is_full(index):
    found, _ = similar(index, 'v0003', k=3)
    assert len(found)==3 and found.copies.iloc[0]==3

def test_all_copies_can_be_shown(index):
    found, _ = similar(index, 'v0003', k=5, with_copies=True)
    assert set(found.index[:4])=={f'copy{i}' for i in range(4)}
    assert found.copies[:4].tolist()==[3]*4

def test_recommendations_count_copies_without_the_likes(index):
    found = recommend(index, ['v0003', 'copy1'], k=12)
    assert recordings(index.videos)[found.index].is_unique
    assert found.copies.iloc[0]==2 and found.index[0].startswith('copy')

def test_info_counts_copies_and_leaves_them_out_of_hubness(index):
    info = index_info(index)
    assert (info.videos, info.copies)==(17, 5)
    assert info.hubness['pool']==12 and index.build.hubness()['pool']==17

def test_folds_of_a_probe_keep_copies_together(index):
    labels = pd.Series(np.resize(['x', 'y'], len(index)), index.videos.index)
    index.videos['half'] = labels
    report = probe_index(index, 'half', 'audio', Protocol('linear', 3, 1))
    assert report['groups']<=12 and any('5 copies of other videos' in o for o in report['notes'])

def test_counts_of_a_ranking():
    ranked = pd.DataFrame(dict(score=[.9, .8, .7, .6]), index=list('bacd'))
    videos = pd.DataFrame(dict(artist=[None]*6, recording=list('aaacdd')), index=list('abecdf'))
    found = arrange(ranked, videos, ListRules(), None)
    assert found.copies.to_dict()==dict(b=2, c=0, d=1)
    assert arrange(ranked, videos, ListRules(), None, own=['a', 'e']).copies.to_dict()==dict(b=0, c=0, d=1)

def test_candidates_that_may_fall_away():
    recording = pd.Series(list('aaabbc'))
    assert [n_surplus(recording, k) for k in (1, 2, 3)]==[2, 3, 3]
    assert n_surplus(pd.Series(np.arange(5).astype(str)), 5)==0

def test_the_command_shows_the_number_of_copies(index, capsys):
    from mvrep.cli.finding import show_videos
    show_videos(similar(index, 'v0003', k=3)[0], dict(score='score'))
    assert '+3 copies' in capsys.readouterr().out
    show_videos(similar(index, 'v0000', k=1)[0].assign(copies=0), dict(score='score'))
    assert 'cop' not in capsys.readouterr().out.replace('copy', '')

# Copies of the query itself

def test_a_copy_of_the_query_says_so(index, tmp_path):
    "Of a video of the index, of a file that is not in it, and of a like"
    def same(found): return set(found.index[found.same_recording])
    assert len(same(similar(index, 'v0003', k=5)[0]) & {f'copy{i}' for i in range(4)})==1
    assert same(similar(index, 'v0003', k=12, with_copies=True)[0])=={f'copy{i}' for i in range(4)}
    assert same(similar(index, 'v0007', k=12)[0])=={'other'} and not same(similar(index, 'v0000', k=12)[0])
    assert same(recommend(index, ['v0007', 'v0001'], k=12))=={'other'}
    elsewhere = shutil.copy(index.videos.path['v0007'], tmp_path/'elsewhere.mp4')
    assert set(same_content(index, elsewhere))=={recordings(index.videos)['v0007']}
    seed = Seed(index.build.query('v0007'), {}, recordings=same_content(index, elsewhere))
    assert similar(index, seed, k=1)[0].same_recording.tolist()==[True]
    (tmp_path/'another.mp4').write_bytes(b'other content')
    assert same_content(index, tmp_path/'another.mp4')==()

def test_the_command_says_that_a_video_is_a_copy_of_the_query(index, capsys):
    from mvrep.cli.finding import describe_copies, show_videos
    show_videos(similar(index, 'v0007', k=3)[0], dict(score='score'))
    assert capsys.readouterr().out.count('same recording')==1
    assert [describe_copies(*o) for o in ((0, False), (2, False), (0, True), (1, True))]==[
        '', '+2 copies', 'same recording', 'same recording, +1 copy']

# A song, which has no video

@pytest.fixture(scope='module')
def with_song(tmp_path_factory):
    "Twelve videos, and a song with the audio of v0003"
    folder = tmp_path_factory.mktemp('song')
    index = tiny_index(folder)
    made_by = index.store.done().loc['v0003']
    feats = {namedtuple('Encoder', 'column made_by')(o, made_by[f'{o}_made_by']): index.store.read(o, ['v0003'])[1]
             for o in index.build.columns.values()}
    feats = {encoder: x if encoder.column==index.build.columns['audio'] else None for encoder, x in feats.items()}
    n_segments = len(index.store.read(index.build.columns['audio'], ['v0003'])[1])
    index.put_videos(pd.DataFrame([dict(video_id='song', path=str(folder/'song.mp3'), title='A song', duration=8.)]))
    index.store.put('song', [Segment(i, 2.*i, 5.) for i in range(n_segments)], 'song', feats)
    index.make_build(refit=False)
    return index

def test_the_neighbours_of_a_song_are_compared_by_audio(with_song):
    "A video that is not there counts neither as 0 nor as half of the score, whatever the weight"
    by_audio = similar(with_song, 'song', by='audio', k=12)[0]
    assert by_audio.index[0]=='v0003' and by_audio.score.iloc[0]>.99
    for weight in (0, .3, .5, 1):
        found, reasons = similar(with_song, 'song', k=12, weight=weight)
        assert list(found.index)==list(by_audio.index) and np.allclose(found.score, by_audio.score)
        assert np.allclose(found.audio, found.score, atol=1e-6) and found.video.isna().all()
        assert set(reasons.modality)=={'audio'}

def test_the_card_of_a_song_has_the_score_of_its_audio(with_song):
    cards = {o['id']: o for o in neighbour_cards(with_song, *similar(with_song, 'v0003', k=12))}
    song = cards['song']
    assert (song['has_audio'], song['has_video'], song['video'])==(True, False, None)
    assert song['score']==song['audio']>.99 and not song['same_recording'] and song['copies']==0
    other = cards['v0005']
    assert other['score']==pytest.approx((other['audio']+other['video'])/2, abs=1e-6)
