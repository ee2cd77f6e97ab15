"Lists for people: rules, neighbours with reasons, likes, and music for a clip"
import os
import shutil
from dataclasses import dataclass, replace
from types import SimpleNamespace
import numpy as np
import pandas as pd
import pytest
from mvrep.core import MediaError
from mvrep.encoders.registry import Encoder
from mvrep.features.vectors import unit_norm
from mvrep.index.index import create_index
from mvrep.index.examples import tiny_index
from mvrep.index.joint_space import train
from mvrep.media.clips import write_mp4_and_wav
from mvrep.media.read import probe, read_audio, read_frames
from mvrep.media.segments import Segment
from mvrep.recommendation.likes import combine, freshness, recommend
from mvrep.recommendation.lists import ListRules, limit_per_artist, mmr
from mvrep.recommendation.matching import Stretch, align, match, match_stretch, preview
from mvrep.recommendation.neighbours import REASONS, describe_reasons, explain, find_seed, segment_embeddings, similar
from mvrep.recommendation.neighbours import similarities

@pytest.fixture(scope='module')
def index(tmp_path_factory): return tiny_index(tmp_path_factory.mktemp('lists'))

@pytest.fixture
def upload(index, tmp_path):
    "A copy of a video of the index, which the index does not know"
    path = tmp_path/'upload.mp4'
    shutil.copy(index.videos.path['v0001'], path)
    return path

# Rules

@pytest.mark.parametrize('wrong', [dict(k=0), dict(max_per_artist=0), dict(diversity=1.1), dict(diversity=-.1)])
def test_rules_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))): ListRules(**wrong)

def test_an_unknown_rule_is_refused(index):
    with pytest.raises(TypeError, match='colour'): similar(index, 'v0000', colour='red')

def test_limits_per_artist():
    artists = ['Ada', 'ada ', 'Bo', None, None, 'Ada ft. Bo', '', np.nan]
    assert limit_per_artist(artists, 1)==[0, 2, 3, 4, 6, 7]
    assert limit_per_artist(artists, 2)==[0, 1, 2, 3, 4, 6, 7]

def test_mmr_against_its_definition():
    rng = np.random.default_rng(0)
    relevance, emb = rng.random(12), unit_norm(rng.normal(size=(12, 4)))
    similarity = emb@emb.T
    picked = [int(relevance.argmax())]
    while len(picked)<5:
        value = {i: .6*relevance[i]-.4*similarity[i, picked].max() for i in range(12) if i not in picked}
        picked.append(max(value, key=value.get))
    assert mmr(relevance, similarity, 5, .4)==picked
    assert mmr(relevance, similarity, 5, 0)==np.argsort(-relevance)[:5].tolist()
    with pytest.raises(ValueError, match='between 0 and 1'): mmr(relevance, similarity, 5, 2)

# Similar videos

def test_a_file_of_the_index_is_its_video(index):
    by_path, by_id = similar(index, index.videos.path['v0000'], k=3)[0], similar(index, 'v0000', k=3)[0]
    assert by_path.equals(by_id) and 'v0000' not in by_id.index and by_id.score.is_monotonic_decreasing

def test_an_upload_finds_its_original(index, upload):
    assert similar(index, upload, k=1)[0].index[0]=='v0001'

def test_reasons_are_the_best_pairs_of_segments(index):
    reasons = similar(index, 'v0000', k=3)[1]
    assert len(reasons)==6 and set(reasons.modality)=={'audio', 'video'}
    for reason in reasons.itertuples():
        seed_keys, seed_emb = segment_embeddings(index, ['v0000'], reason.modality)
        keys, emb = segment_embeddings(index, [reason.video_id], reason.modality)
        cosines = pd.DataFrame(seed_emb@emb.T, seed_keys.start, keys.start)
        assert np.isclose(cosines.loc[reason.seed_start, reason.start], reason.score, atol=1e-5)
        assert np.isclose(cosines.to_numpy().max(), reason.score, atol=1e-5)
    assert len(explain(index, find_seed(index, 'v0000').segments, []))==0

def test_reasons_in_words():
    rows = [('b', 'audio', 3.4, 80., 5., .93), ('b', 'video', 8., 85.2, 5., .714), ('a', 'audio', 0., 3725., 5., -.2)]
    texts = describe_reasons(pd.DataFrame(rows, columns=REASONS))
    assert list(texts.items())==[('b', 'audio 0:03↔1:20 0.93; video 0:08↔1:25 0.71'), ('a', 'audio 0:00↔62:05 -0.20')]
    assert not len(describe_reasons(pd.DataFrame(columns=REASONS)))

def test_diversity_lowers_the_similarity_within_a_list(index):
    def within(ids): return similarities(index, list(ids))[np.triu_indices(len(ids), 1)].mean()
    plain, varied = (similar(index, 'v0000', k=4, diversity=o)[0] for o in (0., .7))
    assert len(varied)==4 and within(varied.index)<within(plain.index)

def test_rules_hold_for_the_list_that_is_returned(index):
    assert similar(index, 'v0000', k=8, max_per_artist=1)[0].artist.is_unique
    assert set(similar(index, 'v0000', where="genre = 'jazz'")[0].genre)=={'jazz'}

def test_similarities_agree_with_a_search(index):
    ids = list(index.build.video_ids[:4])
    for by, weight in (('audio', .5), ('video', .5), ('joint', .3)):
        found = index.build.scores(index.build.query(ids[0]), by, weight).score[ids]
        assert np.allclose(similarities(index, ids, by, weight)[0], found, atol=1e-5)
    with pytest.raises(ValueError, match='between 0 and 1'): similarities(index, ids, weight=2)

def test_similarities_of_videos_without_a_modality_in_common(index):
    has = {modality: np.ones(len(index), bool) for modality in ('audio', 'video')}
    has['audio'][0] = has['video'][1] = False
    lacking, ids = SimpleNamespace(build=replace(index.build, has=has)), index.build.video_ids[:3]
    assert np.argwhere(np.isnan(similarities(lacking, ids))).tolist()==[[0, 1], [1, 0]]
    by_audio = similarities(lacking, ids, 'audio')
    assert np.isnan(by_audio).tolist()==[[True]*3, [True, False, False], [True, False, False]]

def test_a_seed_without_the_modality(index, tmp_path):
    write_mp4_and_wav(index.videos.path['v0000'], tmp_path/'silent', 0., 3., size=(90, 160))
    with pytest.raises(ValueError, match='has no audio to compare'): similar(index, tmp_path/'silent.mp4', by='audio')
    with pytest.raises(KeyError, match='neither an id'): similar(index, 'nothing')
    empty = create_index(tmp_path/'empty', index.build.specs, index.build.columns)
    with pytest.raises(ValueError, match='has no videos'): similar(empty, 'v0000')

# Likes

def test_combining_likes():
    scores = np.array([[.8, .2, np.nan], [.4, np.nan, np.nan]])
    assert np.allclose(combine(scores, 'mean'), [.6, .2, np.nan], equal_nan=True)
    assert np.allclose(combine(scores, 'max'), [.8, .2, np.nan], equal_nan=True)

@pytest.mark.filterwarnings('ignore:half_life has no effect')
def test_freshness_by_hand():
    dates = pd.Series(['2024-05-01', '2024-04-01', '2023', 'last summer', None, '2031-01-01'])
    assert np.allclose(freshness(dates, 30, '2024-05-01')[:3], [1, .5, 2**(-486/30)])
    unknown = 2**(-15/365) # the median of 0, 0, 30 and 486 days
    assert np.allclose(freshness(dates, 365, '2024-05-01')[3:], [unknown, unknown, 1])
    assert freshness(dates[3:5], 30, '2024-05-01').tolist()==[1, 1] # no date is known
    with pytest.raises(ValueError, match='more than 0'): freshness(dates, 0, '2024-05-01')
    with pytest.raises(ValueError, match='needs the day'): freshness(dates, 30, None)

def test_one_like_is_a_search(index):
    assert list(recommend(index, 'v0000', k=5).index)==list(similar(index, 'v0000', k=5)[0].index)

@pytest.mark.parametrize('how', ['mean', 'max'])
def test_likes_against_their_embeddings(index, how):
    emb, likes = index.build.embeddings['audio'], ['v0000', 'v0001', 'v0002']
    cosines = emb@emb[index.build.rows.get_indexer(likes)].T
    expected = cosines.mean(axis=1) if how=='mean' else cosines.max(axis=1)
    found = recommend(index, likes, k=9, by='audio', how=how)
    assert np.allclose(found.score, expected[index.build.rows.get_indexer(found.index)], atol=1e-6)
    nearest = np.array(likes)[cosines.argmax(axis=1)]
    assert list(found.because)==list(nearest[index.build.rows.get_indexer(found.index)])

def test_a_dislike_moves_what_resembles_it_down(index):
    found = recommend(index, ['v0000', 'v0001'], disliked=['v0003'], k=4)
    assert not {'v0000', 'v0001', 'v0003'} & set(found.index)
    assert np.allclose(found.score, found.liked-.5*found.disliked)
    near = index.search(index.build.query('v0005'), 1, exclude=('v0000', 'v0005')).index[0]
    def place(**kwargs): return list(recommend(index, 'v0000', k=12, **kwargs).index).index(near)
    assert place(disliked=['v0005'], against=2.)>place()

def test_freshness_and_rules_together(index):
    newest = index.videos.drop('v0000').release_date.sort_values(ascending=False).index[:4]
    assert list(recommend(index, 'v0000', k=4, half_life=60, today='2019-01-01').index)==list(newest)
    rules = dict(k=8, max_per_artist=1, diversity=.5)
    found = recommend(index, ['v0000', 'v0001'], half_life=3650, today='2024-01-01', **rules)
    assert found.artist.is_unique
    assert set(recommend(index, 'v0000', where="genre = 'jazz'").genre)=={'jazz'}

def test_likes_that_cannot_be_used(index, upload):
    assert recommend(index, [upload, 'v0000'], k=1, how='max').index[0]=='v0001'
    with pytest.raises(KeyError, match='x, y'): recommend(index, ['x', 'v0000', 'y'])
    with pytest.raises(ValueError, match='at least one liked'): recommend(index, [])
    with pytest.raises(ValueError, match='both liked and disliked: v0001'):
        recommend(index, ['v0000', 'v0001'], 'v0001')
    with pytest.raises(ValueError, match="'mean' or 'max'"): recommend(index, 'v0000', how='median')

# Music for a clip

def test_alignment_without_a_choice():
    assert align(np.ones((2, 3)), [0, 1], [0, 1, 2], 3., 3.)[0].tolist()==[0]
    lags, scores = align(np.ones((2, 9)), [0, 1], np.arange(9), 3., 10.)
    assert np.allclose(scores, 1) and len(lags)==15 and scores.argmax()==0

@dataclass(frozen=True)
class Network:
    "What an encoder needs to know of its network"
    dim:int # Width of its features
    weights_hash:str = 'generated' # Provenance

    @property
    def layers(self): return dict(pooled=self.dim)

def drifting_index(folder, n=240, n_segments=6, seed=0):
    "Generated features in which every moment of a video has hidden causes of its own, shared by audio and video"
    rng = np.random.default_rng(seed)
    encoders = [Encoder('small-audio', 'audio', Network(24)), Encoder('small-video', 'video', Network(16))]
    names = dict(audio='small-audio', video='small-video')
    index = create_index(folder, tuple(names.values()), names, 'whole')
    for encoder in encoders: index.store.add_column(encoder)
    mixing = {e: rng.normal(size=(6, e.dim)) for e in encoders}
    ids = [f'v{i:03d}' for i in range(n)]
    artists = [f'artist {i//4}' for i in range(n)]
    paths = [f'{o}.mp4' for o in ids]
    index.put_videos(pd.DataFrame(dict(video_id=ids, path=paths, artist=artists, duration=5.*n_segments)))
    for video_id in ids:
        causes = rng.normal(size=6)+rng.normal(size=(n_segments, 6))
        feats = {e: causes@m+rng.normal(size=(n_segments, e.dim)) for e, m in mixing.items()}
        index.store.put(video_id, [Segment(i, 5.*i, 5.) for i in range(n_segments)], 'generated', feats)
    index.make_build()
    return index

def test_a_trained_model_finds_the_song_and_the_moment(tmp_path):
    "Ten seconds of video of videos that were not trained on find their own song among 240, and the place in it"
    index = train(drifting_index(tmp_path/'ix').folder, epochs=30, accelerator='cpu', progress=False)
    test = [video_id for video_id, part in index.build.model.origin.split.items() if part=='test']
    ranks, hits = [], []
    chances = []
    for n, video_id in enumerate(test):
        first = n%5 # the clip is segments `first` and `first+1`
        feats = index.store.read('small-video', [video_id])[1][first:first+2]
        found = match_stretch(index, Stretch('video', np.array([0., 5.]), feats, 10.), ListRules(k=240))
        ranks.append(list(found.index).index(video_id)+1)
        lags = np.arange(0, 20.1, .5)
        hits.append(abs(found.start[video_id]-5*first)<=2.5)
        chances.append((abs(lags-5*first)<=2.5).mean())
    assert len(test)>20 and np.median(ranks)<240/6 and np.mean(hits)>np.mean(chances)+.2

@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    index = tiny_index(tmp_path_factory.mktemp('trained'))
    return train(index.folder, epochs=3, accelerator='cpu', progress=False)

@pytest.fixture(scope='module')
def clip(trained, tmp_path_factory):
    "Six silent seconds of a video of the index, and their audio in a .wav beside it"
    path = tmp_path_factory.mktemp('clip')/'clip'
    write_mp4_and_wav(trained.videos.path['v0000'], path, 0., 6., size=(90, 160))
    return path.with_suffix('.mp4')

def test_matching_files(trained, clip):
    found = match(trained, clip, k=3)
    assert len(found)==3 and found.score.is_monotonic_decreasing and (found.start>=0).all()
    assert (found.start+found.length<=found.duration+1e-6).all()
    videos = match(trained, clip.with_suffix('.wav'), want='video', k=12, max_per_artist=1)
    assert videos.artist.is_unique
    with pytest.raises(MediaError, match='no video in it'): match(trained, clip.with_suffix('.wav'))
    with pytest.raises(MediaError, match='no audio in it'): match(trained, clip, want='video')
    with pytest.raises(ValueError, match='nothing to match from 20'): match(trained, clip, start=20.)
    with pytest.raises(KeyError, match='neither an id in'): match(trained, 'missing.mp4')

def test_a_video_of_the_index_is_not_its_own_match(trained):
    assert 'v0000' not in match(trained, 'v0000', k=12).index
    assert set(match(trained, 'v0000', where="genre = 'jazz'").genre)=={'jazz'}

def test_matching_needs_a_model(index, clip):
    with pytest.raises(ValueError, match='mvrep train'): match(index, clip)

def test_a_preview_has_the_video_of_one_file_and_the_audio_of_another(trained, clip, tmp_path):
    song = trained.videos.path['v0003']
    file = preview(clip, song, tmp_path/'preview.mp4', audio_start=1., length=4.)
    info = probe(file)
    assert info.has_video and info.has_audio and abs(info.duration-4)<.2 and info.height==270
    original, copied = read_audio(song, 2., 2.)[200:-200], read_audio(file, 1., 2.)
    assert max(np.corrcoef(original, np.roll(copied, o)[200:-200])[0, 1] for o in range(-40, 41))>.9 # in step
    frames = [read_frames(o, 1., .5, fps=12, size=90).astype(float) for o in (clip, file)]
    assert abs(frames[0]-frames[1]).mean()<12
    with pytest.raises(ValueError, match='nothing is left'): preview(clip, song, file, video_start=99.)
    with pytest.raises(ValueError, match='choose another name'): preview(clip, song, song)
    assert os.path.getsize(song)>0
