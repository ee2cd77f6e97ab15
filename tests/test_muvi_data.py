"""MuVi-Sync: what is read is what was written, and files that do not fit are named"""
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mvrep.corpus.muvi import (ARRAYS, AUDIO_SERIES, VIDEO_SERIES, check_muvi, load_muvi, make_muvi, read_artists,
                               save_muvi, segment_features, to_corpus)
from mvrep.corpus.muvi_public import CLIP_FOLDER, FOLDERS, SHOTS_FOLDER, load_public, read_lab, read_titles

SERIES = (*AUDIO_SERIES, *VIDEO_SERIES, 'clip')

@pytest.fixture(scope='module')
def data(): return make_muvi(4)

def same(a, b, series=SERIES):
    return all(np.allclose(np.concatenate(getattr(a, o)), np.concatenate(getattr(b, o)), atol=1e-4) for o in series)

# The data

def test_made_up_videos_follow_the_coupling():
    def correlation(coupling):
        made = make_muvi(20, coupling)
        pairs = zip(made.loudness, made.motion)
        return np.mean([np.corrcoef(np.log(loudness), np.log(motion))[0, 1] for loudness, motion in pairs])
    assert correlation(1.)>.5 and abs(correlation(0.))<.15

def test_made_up_videos_depend_on_the_seed_only(data):
    assert same(make_muvi(4), data)
    assert make_muvi(4, seed=1).n_seconds.tolist()!=data.n_seconds.tolist()

def test_a_cut_is_not_cut_again(data):
    cut = data.cut(150)
    assert [len(o) for o in cut.clip]==[15]*4 and set(cut.n_seconds)=={150}
    assert same(cut.cut(150), cut)

@pytest.mark.parametrize('at', [0, .3, .5, 1])
def test_a_cut_starts_at_a_window(data, at):
    cut = data.cut(100, at)
    for i in range(4):
        start = int((data.n_seconds[i]-100)*at)//10*10
        assert (cut.motion[i]==data.motion[i][start:start+100]).all()
        assert (cut.clip[i]==data.clip[i][start//10:start//10+10]).all()

def test_shorter_videos_are_kept_whole(data):
    assert data.cut(1000).n_seconds.tolist()==data.n_seconds.tolist()

@pytest.mark.parametrize('seconds', [5, 0, 155])
def test_a_cut_is_a_multiple_of_a_window(data, seconds):
    with pytest.raises(ValueError, match=f'seconds={seconds}: want a multiple of 10'): data.cut(seconds)

def test_a_subset_keeps_the_order(data):
    part = data.subset(['002', '000'])
    assert part.key==[data.key[2], data.key[0]] and (part.clip[0]==data.clip[2]).all()
    with pytest.raises(KeyError, match='2 videos not in the data set'): data.subset(['x', '000', 'y'])

# The packed form

def test_packed_round_trip(data, tmp_path):
    save_muvi(data, tmp_path/'a.npz')
    back = load_muvi(tmp_path/'a.npz')
    assert same(back, data) and tuple(ARRAYS)==SERIES
    assert (back.video_ids, back.key, back.chord_vocab)==(data.video_ids, data.key, data.chord_vocab)
    assert {o.dtype for o in back.chord}=={np.dtype(np.int64)} and {o.dtype for o in back.clip}=={np.dtype(np.float32)}

def test_a_file_that_is_not_complete_is_an_error(tmp_path):
    path = tmp_path/'a.npz'
    np.savez(path, ids=np.array(['001']), loud=np.ones(3))
    with pytest.raises(ValueError, match='no array named key, chord_vocab'): load_muvi(path)
    path.write_text('no zip')
    with pytest.raises(ValueError, match='not a plain .npz'): load_muvi(path)
    np.savez(path, ids=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match='allow_pickle=False'): load_muvi(path)
    with pytest.raises(FileNotFoundError): load_muvi(tmp_path/'b.npz')

def test_lengths_that_do_not_fit_are_errors(data, tmp_path):
    path = tmp_path/'a.npz'
    save_muvi(replace(data, since_cut=[o[:-1] for o in data.since_cut]), path)
    with pytest.raises(ValueError, match='scene has .* rows, but the lengths of the videos sum to'): load_muvi(path)
    save_muvi(replace(data, key=data.key[:2]), path)
    with pytest.raises(ValueError, match='need one entry for each of 4 ids'): load_muvi(path)

def test_all_problems_are_listed(data, tmp_path):
    save_muvi(replace(data, chord=[o+9 for o in data.chord], video_ids=['0']*4), tmp_path/'a.npz')
    with pytest.raises(ValueError, match='3 repeated video ids; video 0: chord 14 of a vocabulary of 6'):
        load_muvi(tmp_path/'a.npz')

def damage(series, i):
    "A copy of a list of arrays in which one number of video `i` is missing"
    series = [o.copy() for o in series]
    series[i][3] = np.nan
    return series

@pytest.mark.parametrize('change, problem', [
    (lambda o: dict(chord_vocab=[*o.chord_vocab[:-1], 'H:min']), "chord 'H:min' has no root"),
    (lambda o: dict(motion=damage(o.motion, 2)), 'video 002: motion is not finite'),
    (lambda o: dict(clip=[x[:-1] for x in o.clip]), '21 windows of 10 s, want 22 for 219 s'),
    (lambda o: dict(moods=[x[:-1] for x in o.moods]), 'video 000: series of different length'),
    (lambda o: dict(chord=[x-9 for x in o.chord]), 'of a vocabulary of 6')])
def test_problems_of_a_video(data, change, problem):
    with pytest.raises(ValueError, match=problem): check_muvi(replace(data, **change(data)), 'here')

# The public form

def write_lab(path, values, header=''):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'{second} {" ".join(map(str, np.atleast_1d(o)))}' for second, o in enumerate(values)]
    path.write_text('\n'.join([header, *lines] if header else lines)+'\n', encoding='utf8')

def write_public(data, root, as_shots=False):
    "Write videos in the public form, cuts as seconds since the cut or as the number of the shot"
    for i, video_id in enumerate(data.video_ids):
        for field, folder in FOLDERS.items():
            values, header = getattr(data, field)[i], ''
            if field=='since_cut':
                values = (np.cumsum(values==0)-1 if as_shots else values).astype(int)
                folder = SHOTS_FOLDER if as_shots else folder
            if field=='chord': values, header = [data.chord_vocab[o] for o in values], f'key {data.key[i]}'
            if field=='moods': header = 'time exciting_prob fearful_prob tense_prob sad_prob relaxing_prob neutral_prob'
            write_lab(root/folder/f'{video_id}.lab', values, header)
        path = root/CLIP_FOLDER/f'{video_id}.npy'
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.repeat(data.clip[i], 10, 0)[:data.n_seconds[i]])

def chord_names(data): return [data.chord_vocab[o] for o in np.concatenate(data.chord)]

@pytest.mark.parametrize('as_shots', [False, True])
def test_public_round_trip(data, tmp_path, as_shots):
    write_public(data, tmp_path, as_shots)
    back = load_public(tmp_path)
    assert same(back, data, [o for o in SERIES if o!='chord'])
    assert chord_names(back)==chord_names(data)
    assert (back.video_ids, back.key)==(data.video_ids, data.key)
    assert load_public(tmp_path, ['003', '001']).video_ids==['003', '001']

def test_the_shortest_series_decides_the_duration(data, tmp_path):
    write_public(data, tmp_path)
    motion = tmp_path/FOLDERS['motion']/'001.lab'
    motion.write_text('\n'.join(motion.read_text().splitlines()[:151])+'\n')
    back = load_public(tmp_path)
    assert back.n_seconds[1]==151 and len(back.clip[1])==16
    assert np.allclose(back.loudness[1], data.loudness[1][:151])

def test_missing_files_are_errors(data, tmp_path):
    with pytest.raises(FileNotFoundError, match='no files for loudness'): load_public(tmp_path)
    write_public(data, tmp_path)
    with pytest.raises(FileNotFoundError, match='video 999 has no file for loudness; 7 files missing'):
        load_public(tmp_path, ['999'])
    (tmp_path/FOLDERS['chord']/'000.lab').unlink()
    assert load_public(tmp_path).video_ids==data.video_ids[1:]
    with pytest.raises(ValueError, match='no video has all of'): load_public(tmp_path, [])

@pytest.mark.parametrize('text, problem', [
    ('0 1.5\n2 1.5\n', 'line 2: want second 1'), ('0 1.5\n1\n', 'line 2: want second 1 and its value'),
    ('0 loud\n', 'could not convert'), ('', 'empty series')])
def test_a_text_file_that_cannot_be_read_is_named(data, tmp_path, text, problem):
    write_public(data, tmp_path)
    (tmp_path/FOLDERS['motion']/'000.lab').write_text(text)
    with pytest.raises(ValueError, match='000.lab.*'+problem): load_public(tmp_path)

def test_headers_are_kept_apart(tmp_path):
    (tmp_path/'a.lab').write_text('key A minor\n\n0 A:min\n1 F\n')
    assert read_lab(tmp_path/'a.lab')==([['A:min'], ['F']], dict(key='A minor'))

def test_titles(tmp_path):
    lines = ("036-Ariana Grande ft. Nicki Minaj - Side To Side (Official Video)\tSXiSVQZLje8",
             "060-CAN'T STOP THE FEELING!\tru0K8uYEZWw", 'a comment')
    (tmp_path/'idlist.txt').write_text('\n'.join(lines), encoding='utf8')
    titles = read_titles(tmp_path/'idlist.txt')
    assert titles.id.tolist()==['036', '060'] and titles.youtube_id.tolist()==['SXiSVQZLje8', 'ru0K8uYEZWw']
    assert titles.title.tolist()==['Side To Side (Official Video)', "CAN'T STOP THE FEELING!"]
    assert titles.artist[0]=='Ariana Grande ft. Nicki Minaj' and pd.isna(titles.artist[1])

# Artists, folds, segments

def test_artists():
    table = pd.DataFrame(dict(id=['1', '2'], artist=['Sia', None]))
    assert read_artists(table, ['2', '1', '3'])==['', 'Sia', ''] and read_artists(None, ['1'])==['']
    with pytest.raises(ValueError, match='no column artist'): read_artists(table[['id']], ['1'])
    with pytest.raises(ValueError, match="other ids, such as '1', than the videos, such as '001'"):
        read_artists(table, ['001'])

def test_an_artist_is_in_one_fold(data):
    artists = pd.DataFrame(dict(id=data.video_ids, artist=['Adele', 'Sia', 'Adele', 'Muse']))
    table = to_corpus(data, artists, k=2)
    assert table.fold[0]==table.fold[2] and set(table.fold)=={0, 1}
    assert table.duration.tolist()==data.n_seconds.tolist()
    with pytest.raises(ValueError, match='3 groups cannot fill 5 folds'): to_corpus(data, artists)

def test_segments(data):
    table, audio, video = segment_features(data.cut())
    assert audio.shape==(60, 18) and video.shape==(60, 784) and audio.dtype==video.dtype==np.float32
    assert table.start[:3].tolist()==[0., 10., 20.] and set(table.length)=={10.}
    whole, _, _ = segment_features(data)
    last = whole.groupby('video_id').length.last()
    assert last.tolist()==[(t-1)%10+1 for t in data.n_seconds]

def test_segments_of_a_modality_ignore_the_other(data):
    _, audio, video = segment_features(data)
    def zeros(series): return {o: list(map(np.zeros_like, getattr(data, o))) for o in series}
    silent, still = replace(data, **zeros(AUDIO_SERIES)), replace(data, **zeros((*VIDEO_SERIES, 'clip')))
    assert (segment_features(silent)[2]==video).all() and (segment_features(still)[1]==audio).all()
