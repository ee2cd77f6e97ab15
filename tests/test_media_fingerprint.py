"Fingerprints find the same recording in other formats, at other volumes and in excerpts, and nothing else"
import numpy as np
import pytest
from mvrep.corpus.demo import tiny_corpus
from mvrep.media.clips import write_audio
from mvrep.media.fingerprint import (FRAME, MIN_WORDS, SR, STEP, audio_fingerprint, is_same_recording, overlap,
                                     read_fingerprint, same_recordings)
from mvrep.media.read import read_audio

RATE = 48000 # Hz, of the copies

COPIES = { # name: ending, codec, bit rate, change of the waveform
    'webm at 24 kbit/s': ('webm', 'libopus', 24000, lambda y: y),
    'mp3 at 32 kbit/s': ('mp3', 'libmp3lame', 32000, lambda y: y),
    'cut at both ends': ('webm', 'libopus', 64000, lambda y: y[int(1.737*RATE):-int(1.1*RATE)]),
    '8 dB louder, clipped': ('mp4', 'aac', 64000, lambda y: np.clip(2.5*y, -1, 1)),
    '14 dB quieter': ('mp4', 'aac', 64000, lambda y: .2*y),
    'an excerpt of four seconds': ('webm', 'libopus', 48000, lambda y: y[int(2.43*RATE):int(6.43*RATE)]),
    'with more treble': ('mp4', 'aac', 64000, lambda y: np.convolve(y, [1, -.7], 'same')),
}

@pytest.fixture(scope='module')
def songs():
    "Waveforms of the twelve synthetic songs"
    return [read_audio(o, sr=RATE) for o in sorted((tiny_corpus()/'videos').iterdir())]

@pytest.fixture(scope='module')
def prints(): return [read_fingerprint(o) for o in sorted((tiny_corpus()/'videos').iterdir())]

@pytest.mark.parametrize('name', COPIES)
def test_a_copy_is_found_and_nothing_else(name, songs, prints, tmp_path):
    ending, codec, bit_rate, change = COPIES[name]
    files = [tmp_path/f'{i}.{ending}' for i in (0, 5, 9)]
    for i, file in zip((0, 5, 9), files): write_audio(file, change(songs[i]), RATE, codec, bit_rate)
    copies = [read_fingerprint(o) for o in files]
    n = len(prints)
    assert same_recordings(prints+copies)==[(0, n), (5, n+1), (9, n+2)]

def test_songs_of_a_corpus_are_different_recordings(prints):
    assert len(prints)==12 and all(len(o)>60 for o in prints)
    assert same_recordings(prints)==[]

def test_words_stay_comparable_with_those_of_older_indexes():
    noise = (.1*np.random.default_rng(0).normal(size=SR)).astype(np.float32)
    stored = np.array([0x8bb296bb, 0x92abca35, 0x3469c88d, 0x2d5545cd, 0x8d4776ee], np.uint32)
    words = audio_fingerprint(noise)
    assert len(words)==5 and np.bitwise_count(words^stored).sum()<=2 # bits of bands that are almost equal may differ
    assert np.array_equal(audio_fingerprint(.5*noise), words) and len(audio_fingerprint(noise[:FRAME+2*STEP]))==1
    assert len(audio_fingerprint(noise[:FRAME+2*STEP-1]))==0

def test_only_pairs_with_a_new_file_are_compared(prints):
    doubled = prints+prints[:2]
    is_new = np.zeros(len(doubled), bool)
    is_new[-1] = True
    assert same_recordings(doubled, is_new)==[(1, 13)]

def test_silence_is_not_a_recording():
    noise = np.random.default_rng(0).normal(size=10*SR).astype(np.float32)*.1
    silence = np.zeros(10*SR, np.float32)
    one, other = (audio_fingerprint(np.concatenate(o)) for o in ((silence, noise), (silence, noise[::-1])))
    assert not np.count_nonzero(audio_fingerprint(silence))
    assert overlap(audio_fingerprint(silence), audio_fingerprint(silence)).n_words==0
    assert same_recordings([one, other, audio_fingerprint(silence), audio_fingerprint(silence)])==[]

def test_errors_are_counted_at_the_offset():
    one = np.array([1, 2, 3, 4], np.uint32)
    assert overlap(one, one[1:], offset=1).error==0
    assert overlap(one[1:], one, offset=-1).n_words==3
    assert overlap(one, one^np.uint32(3), offset=0).error==2/32
    assert overlap(one, one, offset=4).n_words==0

def test_a_short_overlap_is_not_enough():
    long = np.random.default_rng(0).integers(1, 2**32, 200, dtype=np.uint32)
    assert is_same_recording(long, long[:MIN_WORDS])
    assert not is_same_recording(long, long[:MIN_WORDS-1])
    end, begin = long.copy(), np.random.default_rng(1).integers(1, 2**32, 200, dtype=np.uint32)
    begin[:30] = end[-30:] # a jingle at the end of one song and at the start of another
    assert not is_same_recording(end, begin, offset=170)

@pytest.mark.parametrize('seconds', [0, .3])
def test_too_short_for_a_word(seconds):
    assert len(audio_fingerprint(np.ones(int(seconds*SR), np.float32)))==0
    assert same_recordings([np.zeros(0, np.uint32)]*3)==[]

def test_common_words_do_not_hide_a_copy():
    "A steady tone in every file, and one recording in two of them"
    rng = np.random.default_rng(0)
    tone = np.full(300, 12345, np.uint32)
    own = [rng.integers(1, 2**32, 100, dtype=np.uint32) for _ in range(30)]
    files = [np.concatenate([tone, o]) for o in own]
    files.append(np.concatenate([own[4], rng.integers(1, 2**32, 5, dtype=np.uint32)]))
    assert (4, 30) in same_recordings(files)
