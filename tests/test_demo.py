"""The synthetic corpus: the same bytes however it is made, complete files, a manifest without the causes"""
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
from mvrep.core import seed_from
from mvrep.corpus.demo import EMOTIONS, describe, make_demo, video_causes
from mvrep.corpus.demo_audio import PATTERNS, song
from mvrep.corpus.demo_causes import FORMS, GENRES, MODES, draw_causes, signature
from mvrep.corpus.demo_instruments import DRUMS, INSTRUMENTS, SR, drum_hit, note
from mvrep.corpus.demo_looks import LOOKS, palette
from mvrep.corpus.demo_performers import PERFORMERS
from mvrep.corpus.demo_scenes import HEIGHT, SCENES, WIDTH, arrange_scene
from mvrep.corpus.demo_video import FPS, as_rgb, render_video
from mvrep.corpus.manifest import read_manifest, validate
from mvrep.corpus.scan import scan_folder
from mvrep.media.read import probe, read_audio, read_frames

COLUMNS = ('video_id', 'path', 'artist', 'title', 'genre', 'tags', 'mood', 'emotion', 'release_date', 'origin',
           'duration', 'split', 'license', 'sha256')

@pytest.fixture(scope='module')
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp('demo')
    return folder, make_demo(folder, 8, 2.5, workers=1)

def times(paths): return [os.stat(o).st_mtime_ns for o in paths]

# The tables of genres, patterns and looks

def test_tables_name_only_what_exists():
    for genre in GENRES.values():
        instruments = [genre.bass[0], *[o for o, _ in genre.chords], *genre.leads]
        patterns = [genre.bass[1], *[o for _, o in genre.chords]]
        assert set(instruments)<=set(INSTRUMENTS)
        assert set(patterns)<=set(PATTERNS)
        assert {genre.snare, genre.cymbal}<=set(DRUMS)
        assert set(genre.borrows_from)<=set(GENRES)-{genre.name} and len(genre.borrows_from)==2
        assert len(genre.grooves)==2
        for groove in genre.grooves:
            assert set(groove)=={'kick', 'snare', 'cymbal'}
            assert all(len(line)==16 and set(line)<=set('Xx-o.') for line in groove.values())

def test_looks_are_complete():
    assert list(LOOKS)==list(GENRES)
    for look in LOOKS.values():
        assert set(look.scenes)<=set(SCENES) and sum(look.scenes.values())==pytest.approx(1)
        assert set(look.band)<=set(PERFORMERS)

# Causes

def test_causes_are_in_range():
    rng = np.random.default_rng(0)
    for genre in GENRES:
        for _ in range(50):
            causes = draw_causes(rng, genre)
            slowest, fastest = GENRES[genre].tempo
            assert causes.genre==genre and slowest<=causes.tempo<=fastest
            assert -1<=causes.valence<=1 and 0<=causes.energy<=1
            assert 0<=causes.key<12 and causes.mode in MODES and 0<=causes.form<len(FORMS)
            assert GENRES[list(GENRES)[causes.artist%len(GENRES)]].name==genre

def test_an_artist_keeps_its_signature():
    assert (signature(3).random(3)==signature(3).random(3)).all()
    assert (signature(3).random(3)!=signature(4).random(3)).any()

def test_coupling_1_shares_every_cause():
    for i in range(20):
        audio, video = video_causes(i, 1.)
        assert audio==video

def test_coupling_leaves_the_distribution_of_videos_unchanged():
    n = 1500
    drawn = {coupling: list(map(partial(video_causes, coupling=coupling), range(n))) for coupling in (0., .5, 1.)}
    def agreement(coupling): return np.mean([audio.genre==video.genre for audio, video in drawn[coupling]])
    assert abs(agreement(0.)-1/8)<.03 and abs(agreement(.5)-(.5+.5/8))<.04 and agreement(1.)==1
    for name in ('tempo', 'energy', 'valence'):
        independent = [getattr(video, name) for _, video in drawn[0.]]
        shared = [getattr(video, name) for _, video in drawn[1.]]
        audio = [getattr(o, name) for o, _ in drawn[0.]]
        assert abs(np.mean(independent)-np.mean(shared))<4*np.std(shared)*np.sqrt(2/n)
        assert abs(np.corrcoef(independent, audio)[0, 1])<4/np.sqrt(n)

def test_what_is_shared_stays_shared_at_a_higher_coupling():
    for i in range(50):
        audio, half = video_causes(i, .5)
        _, more = video_causes(i, .8)
        for name, value in vars(audio).items():
            if getattr(half, name)==value: assert getattr(more, name)==value

# Audio and video

@pytest.mark.parametrize('name', INSTRUMENTS)
def test_notes_have_the_length_and_no_clicks(name):
    y = note(name, 57, .5)
    assert y.shape==(SR//2,) and np.isfinite(y).all()
    assert .05<np.abs(y).max()<2 and abs(y[0])<1e-3 and abs(y[-1])<1e-3

@pytest.mark.parametrize('name', DRUMS)
def test_drum_hits_decay(name):
    y = drum_hit(name)
    assert y.dtype==np.float32 and np.isfinite(y).all()
    assert np.abs(y[-len(y)//10:]).max()<.1*np.abs(y).max()

def test_unknown_names_are_errors():
    with pytest.raises(ValueError, match='want one of kick'): drum_hit('gong')
    with pytest.raises(ValueError, match='want one of saw'): note('kazoo', 57, 1.)

def test_songs_neither_clip_nor_are_silent():
    for genre in GENRES:
        for seed in range(3):
            y = song(draw_causes(np.random.default_rng(seed), genre), 5., seed)
            assert y.shape==(5*SR, 2) and np.isfinite(y).all() and .1<np.abs(y).max()<1, (genre, seed)
            assert -24<10*np.log10((y**2).mean())<-12, (genre, seed)

@pytest.mark.parametrize('kind', SCENES)
def test_drawing_a_moment_does_not_change_the_scene(kind):
    for seed in range(6):
        causes = draw_causes(np.random.default_rng(seed))
        scene = arrange_scene(kind, causes, palette(causes, seed), np.random.default_rng(seed), signature(seed))
        first = np.asarray(scene.draw(3.2, .5, .7))
        scene.draw(9., 1., 1.)
        assert first.shape==(HEIGHT, WIDTH, 3) and (np.asarray(scene.draw(3.2, .5, .7))==first).all()

def test_frames_depend_on_causes_and_seed_only():
    causes = draw_causes(np.random.default_rng(1))
    first, again, other = (np.stack(list(render_video(causes, 1., seed))) for seed in (5, 5, 6))
    assert (first==again).all() and (first!=other).any()

# Files

def test_bytes_do_not_depend_on_workers(corpus, tmp_path):
    assert list(make_demo(tmp_path, 8, 2.5, workers=2).sha256)==list(corpus[1].sha256)

def test_a_corpus_grows_without_touching_what_is_there(tmp_path):
    two = make_demo(tmp_path, 2, 1.)
    before = times(two.path)
    three = make_demo(tmp_path, 3, 1.)
    assert list(three.sha256[:2])==list(two.sha256) and times(two.path)==before

def test_a_lost_file_is_made_again(corpus, tmp_path):
    made = make_demo(tmp_path, 3, 1.)
    before = times(made.path[:2])
    os.unlink(made.path[2])
    assert list(make_demo(tmp_path, 3, 1.).sha256)==list(made.sha256)
    assert times(made.path[:2])==before

def test_another_seed_makes_other_bytes(tmp_path):
    first, second = (make_demo(tmp_path/str(seed), 1, 1., seed=seed) for seed in (0, 1))
    assert first.sha256[0]!=second.sha256[0]

def test_files_are_ordinary(corpus):
    for row in corpus[1].itertuples():
        info = probe(row.path)
        found = (info.video_codec, info.audio_codec, info.width, info.height, info.fps, info.sr, info.channels)
        assert found==('h264', 'aac', 320, 180, FPS, SR, 2)
        assert abs(info.duration-2.5)<.05 and abs(info.video_end-info.audio_end)<.05
        tags = [info.tags[o] for o in ('title', 'artist', 'genre', 'date')]
        assert tags==[row.title, row.artist, row.genre, row.release_date]
        assert len(read_frames(row.path))==round(2.5*FPS)

def test_audio_and_video_are_in_the_file_as_made(corpus):
    path = corpus[1].path[3]
    audio, video = video_causes(3)
    seed = seed_from('demo', 0, 3)
    made, stored = song(audio, 2.5, seed).mean(1), read_audio(path, sr=None)
    n = min(len(made), len(stored))
    spectrum = np.fft.rfft(made[:n], 2*n).conj()*np.fft.rfft(stored[:n], 2*n)
    lag = np.fft.irfft(spectrum).argmax()
    assert min(lag, 2*n-lag)<=2 and np.corrcoef(made[:n], stored[:n])[0, 1]>.9
    frames = np.stack([as_rgb(o) for o in render_video(video, 2.5, seed)]).astype(float)
    assert np.corrcoef(frames.ravel(), read_frames(path).astype(float).ravel())[0, 1]>.95

def test_killed_and_repeated_makes_the_same_corpus(tmp_path, corpus):
    code = f'from mvrep.corpus.demo import make_demo; make_demo({str(tmp_path)!r}, 8, 2.5, workers=1)'
    process = subprocess.Popen([sys.executable, '-c', code])
    for _ in range(600):
        if process.poll() is not None or len([*(tmp_path/'videos').glob('v*.mp4')])>=2: break
        time.sleep(.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(make_demo(tmp_path, 8, 2.5, workers=1).sha256)==list(corpus[1].sha256)

# Tables

def test_manifest_is_valid_and_hides_the_causes(corpus):
    folder, df = corpus
    manifest = read_manifest(folder/'manifest.csv')
    validate(manifest)
    assert sorted(manifest.columns)==sorted(COLUMNS) and not manifest.isna().any().any()
    assert set(manifest.emotion)<=set(EMOTIONS) and set(manifest.genre)==set(GENRES)
    assert [list(o) for o in manifest.tags]==[list(o) for o in df.tags]
    found, errors = scan_folder(folder/'videos')
    assert list(found.title)==list(manifest.title) and len(errors)==0

def test_causes_are_beside_the_manifest(corpus):
    folder, df = corpus
    causes = pd.read_csv(folder/'manifest.causes.csv')
    assert list(causes.video_id)==list(df.video_id) and list(causes.audio_genre)==list(df.genre)
    _, video = video_causes(2)
    assert {name: causes[f'video_{name}'][2] for name in vars(video)}==vars(video)

def test_artists_have_one_name_and_one_country():
    rows = pd.DataFrame([describe(i)|dict(number=video_causes(i)[0].artist) for i in range(400)])
    assert rows.groupby('number').artist.nunique().max()==1
    assert rows.groupby('artist').number.nunique().max()==1
    assert rows.groupby('artist').origin.nunique().max()==1
    assert set(rows.emotion)==set(EMOTIONS)

def test_artists_are_in_one_split_only(tmp_path):
    df = make_demo(tmp_path, 24, .5)
    assert df.groupby('artist').split.nunique().max()==1

def test_a_folder_holds_one_corpus(tmp_path):
    make_demo(tmp_path, 1, 1.)
    for other in (dict(length=2.), dict(length=1., seed=1), dict(length=1., coupling=0.)):
        with pytest.raises(ValueError, match='choose another folder'): make_demo(tmp_path, 1, **other)

@pytest.mark.parametrize('bad', [dict(n=0), dict(length=0), dict(coupling=-.1), dict(coupling=1.5)])
def test_settings_out_of_range_are_errors(bad, tmp_path):
    with pytest.raises(ValueError, match=next(iter(bad))+'=.*want'): make_demo(tmp_path/'x', **bad)
    assert not (tmp_path/'x').exists()
