"""The generated corpus: same bytes however it is made, whole files, honest manifest, sound and picture tied by the causes"""
import json, os, signal, subprocess, sys, time
from pathlib import Path

import numpy as np, pandas as pd, pytest
from mvrep.corpus.manifest import read_manifest, scan_folder, validate
from mvrep.corpus.demo import EMOTIONS, describe, make_demo, video_causes
from mvrep.corpus.demo_video import FPS, as_rgb, film
from mvrep.corpus.demo_audio import GENRES, SR, draw_causes, song
from mvrep.media.read import probe, read_audio, read_frames

@pytest.fixture(scope='module')
def corpus(tmp_path_factory):
    d = tmp_path_factory.mktemp('demo')
    return d, make_demo(d, 8, 2.5, workers=1)

def test_bytes_do_not_depend_on_workers(corpus, tmp_path):
    assert list(make_demo(tmp_path, 8, 2.5, workers=2).sha256)==list(corpus[1].sha256)

def test_a_corpus_grows_without_touching_what_is_there(tmp_path):
    a = make_demo(tmp_path, 2, 1.)
    stamp = [os.stat(o).st_mtime_ns for o in a.path]
    b = make_demo(tmp_path, 3, 1.)
    assert list(b.sha256[:2])==list(a.sha256) and [os.stat(o).st_mtime_ns for o in a.path]==stamp

def test_files_are_ordinary(corpus):
    for r in corpus[1].itertuples():
        i = probe(r.path)
        assert (i.video_codec, i.audio_codec, i.width, i.height, i.fps, i.sr, i.channels)==('h264', 'aac', 320, 180, FPS, SR, 2)
        assert abs(i.duration-2.5)<.05 and abs(i.video_end-i.audio_end)<.05
        assert (i.tags['title'], i.tags['artist'], i.tags['genre'], i.tags['date'])==(r.title, r.artist, r.genre, r.release_date)
        assert len(read_frames(r.path))==round(2.5*FPS)

def test_nothing_clips_and_nothing_is_silent():
    for g in GENRES:
        for s in range(3):
            y = song(draw_causes(np.random.default_rng(s), g), 5., s)
            assert y.shape==(5*SR, 2) and np.isfinite(y).all() and .1<np.abs(y).max()<1, (g, s)
            assert -24<10*np.log10((y**2).mean())<-12, (g, s)

def test_sound_and_picture_are_in_the_file_as_made(corpus):
    from mvrep.core import seed_from
    r, (heard, seen), s = corpus[1].iloc[3], video_causes(3), seed_from('demo', 0, 3)
    y, z = song(heard, 2.5, s).mean(1), read_audio(r.path, sr=None)
    n = min(len(y), len(z))
    lag = np.fft.irfft(np.fft.rfft(y[:n], 2*n).conj()*np.fft.rfft(z[:n], 2*n)).argmax()
    assert min(lag, 2*n-lag)<=2 and np.corrcoef(y[:n], z[:n])[0,1]>.9
    a = np.stack([as_rgb(o) for o in film(seen, 2.5, s)]).astype(float)
    assert np.corrcoef(a.ravel(), read_frames(r.path).astype(float).ravel())[0,1]>.95

def test_manifest_is_valid_and_hides_the_causes(corpus):
    d, df = corpus
    m = read_manifest(d/'manifest.csv')
    validate(m)
    want = 'video_id path artist title genre tags mood emotion release_date origin duration split license sha256'.split()
    assert sorted(m.columns)==sorted(want) and not m[want].isna().any().any()
    assert set(m.emotion)<=set(EMOTIONS) and set(m.genre)==set(GENRES)
    assert [list(o) for o in m.tags]==[list(o) for o in df.tags]
    c = pd.read_csv(d/'manifest.causes.csv')
    assert list(c.video_id)==list(m.video_id) and list(c.cause_genre)==list(m.genre)
    assert list(scan_folder(d/'videos')[0].title)==list(m.title)

def test_artists_have_one_name_one_country_and_one_side():
    rows = pd.DataFrame([describe(i)|dict(number=video_causes(i)[0].artist) for i in range(300)])
    assert rows.groupby('number').artist.nunique().max()==rows.groupby('artist').number.nunique().max()==rows.groupby('artist').origin.nunique().max()==1

def test_coupling_leaves_the_crowd_of_pictures_alone():
    n = 1500
    drawn = {k: [video_causes(i, k) for i in range(n)] for k in (0., .5, 1.)}
    agree = {k: np.mean([a.genre==b.genre for a,b in v]) for k,v in drawn.items()}
    assert abs(agree[0.]-1/8)<.03 and abs(agree[.5]-(.5+.5/8))<.04 and agree[1.]==1
    for f in ('tempo','energy','valence'):
        x,y = ([getattr(b, f) for _,b in drawn[k]] for k in (0., 1.))
        assert abs(np.mean(x)-np.mean(y))<4*np.std(y)*np.sqrt(2/n)
        assert abs(np.corrcoef(x, [getattr(a, f) for a,_ in drawn[0.]])[0,1])<4/np.sqrt(n)

def test_a_folder_holds_one_corpus(tmp_path):
    make_demo(tmp_path, 1, 1.)
    for bad in (dict(length=2.), dict(length=1., seed=1), dict(length=1., coupling=0.)):
        with pytest.raises(ValueError, match='choose another folder'): make_demo(tmp_path, 1, **bad)
    for bad in (dict(n=0), dict(length=0), dict(coupling=-.1)):
        with pytest.raises(ValueError, match='need n'): make_demo(tmp_path/'x', **bad)

def test_killed_and_repeated_is_as_if_undisturbed(tmp_path, corpus):
    code = f'from mvrep.corpus.demo import make_demo; make_demo({str(tmp_path)!r}, 8, 2.5, workers=1)'
    p = subprocess.Popen([sys.executable, '-c', code])
    for _ in range(600):
        if p.poll() is not None or len([*(tmp_path/'videos').glob('v*.mp4')])>=2: break
        time.sleep(.1)
    p.send_signal(signal.SIGKILL); p.wait()
    assert list(make_demo(tmp_path, 8, 2.5, workers=1).sha256)==list(corpus[1].sha256)
