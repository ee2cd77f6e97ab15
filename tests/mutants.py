"""Valid media with seeded damage, decoded in worker processes: for tests, and for bench/mutants.py.

A mutant may be read, or refused with a reason. It must not crash the decoder, hang, or fail with an unexpected error.
"""
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from media_files import AUDIO_FORMS, FORMS, Form, write_media
from mvrep.media.fingerprint import read_fingerprint
from mvrep.media.read import probe, read_audio, read_frames
from mvrep.media.workers import Failure, in_workers

ALL = FORMS | dict(pcm=AUDIO_FORMS['pcm'], mp3=AUDIO_FORMS['mp3'], wmv=Form('wmv', codec='wmv2', audio='libmp3lame'))
SOURCES = ('constant', 'fragments', 'variable_mkv', 'transport', 'transport_mpeg2', 'program', 'avi', 'flash', 'webm',
           'hevc', 'pcm', 'wmv')
SECONDS = 120. # Time limit for one mutant

def flip(content, rng):
    "Change up to 20 bits"
    for _ in range(rng.randint(1, 20)): content[rng.randrange(len(content))] ^= 1<<rng.randrange(8)

def flip_header(content, rng):
    "Change up to 5 bytes of the first 500"
    for _ in range(rng.randint(1, 5)): content[rng.randrange(min(500, len(content)))] = rng.randrange(256)

def truncate(content, rng):
    "Cut off the end"
    del content[rng.randrange(1, len(content)):]

def zeros(content, rng):
    "Overwrite up to 8 KB with zeros"
    start = rng.randrange(len(content))
    end = min(len(content), start+rng.randint(1, 8192))
    content[start:end] = bytes(end-start)

def remove(content, rng):
    "Take out up to 8 KB"
    start = rng.randrange(len(content))
    del content[start:start+rng.randint(1, 8192)]

def repeat(content, rng):
    "Put up to 8 KB in twice"
    start = rng.randrange(len(content))
    content[start:start] = content[start:start+rng.randint(1, 8192)]

CHANGES = dict(flip=flip, flip_header=flip_header, truncate=truncate, zeros=zeros, remove=remove, repeat=repeat)

@dataclass(frozen=True)
class Mutant:
    "A damaged file"
    source:str # Name of its `Form`
    change:str # Name of what was done to it
    path:Path # The file

def make_mutants(folder, n, seed, sources=SOURCES):
    "`n` damaged files, the same for the same seed"
    rng = random.Random(seed)
    originals = {o: write_media(folder/f'{o}.{ALL[o].suffix}', ALL[o]).read_bytes() for o in sources}
    mutants = []
    for i in range(n):
        source = sources[i%len(sources)]
        change = list(CHANGES)[i//len(sources)%len(CHANGES)]
        content = bytearray(originals[source])
        CHANGES[change](content, rng)
        path = folder/f'{i:04d}-{source}-{change}.{ALL[source].suffix}'
        path.write_bytes(content)
        mutants.append(Mutant(source, change, path))
    return mutants

def read_all(path):
    "In a worker: everything that indexing reads of a file"
    info = probe(path)
    for start in (0, info.duration/2, max(0, info.duration-1)):
        if info.has_video: read_frames(path, start, 1)
        if info.has_audio: read_audio(path, start, 1)
    if info.has_audio: read_fingerprint(path)
    return info.duration

def outcome_of(result):
    "'read', 'refused', 'crash', 'hang' or 'unexpected'"
    if not isinstance(result, Failure): return 'read'
    if result.error is not None: return 'unexpected'
    if 'crashed' in result.reason: return 'crash'
    return 'hang' if 'took' in result.reason and 'stopped' in result.reason else 'refused'

def decode_mutants(mutants, workers=2):
    "Frame columns of each mutant: source, change, outcome, reason"
    from mutants import read_all # workers import functions by name
    rows = [None]*len(mutants)
    for position, result in in_workers(read_all, [(str(o.path),) for o in mutants], workers, SECONDS):
        reason = result.reason if isinstance(result, Failure) else ''
        rows[position] = dict(source=mutants[position].source, change=mutants[position].change,
                              outcome=outcome_of(result), reason=reason)
    return rows

def counts(rows, key):
    "{value of a column: {outcome: number}}"
    found = {}
    for row in rows: found.setdefault(row[key], Counter())[row['outcome']] += 1
    return {value: dict(sorted(found[value].items())) for value in sorted(found)}
