"Files of an index that moved, are gone, or are known, from tables alone"
import os
import pandas as pd
import pytest
from mvrep.core import sha256
from mvrep.features.extraction import file_state
from mvrep.index import files
from mvrep.index.files import find_moved, hash_files, is_gone, why_not_usable, without_file

def table(**rows):
    "{id: (path, sha256, source)}"
    return pd.DataFrame.from_dict(rows, orient='index', columns=['path', 'sha256', 'source']).rename_axis('video_id')

@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('same.mp4', 'other.mp4', 'copy.mp4'): (tmp_path/name).write_text('content')
    (tmp_path/'new.mp4').write_text('new')
    return tmp_path

def test_the_same_size_at_another_time_is_another_state(folder):
    before = file_state('same.mp4')
    os.utime('same.mp4', ns=(0, os.stat('same.mp4').st_mtime_ns+1))
    assert file_state('same.mp4')!=before and file_state('same.mp4').startswith('7-')
    assert file_state('nothing.mp4')=='unreadable'

def test_gone_files(folder):
    known = table(a=('same.mp4', 'x', ''), b=('nothing.mp4', 'y', ''), c=('same.mp4/below', 'z', ''), d=(None, 'z', ''))
    assert [is_gone(o) for o in known.path]==[False, True, True, False]
    assert list(without_file(known).index)==['b', 'c'] and without_file(known.iloc[:0]).empty

def test_a_file_that_moved_is_found_by_content_and_name(folder):
    "Two videos with the same content are gone: each is found once, the one of the same name first"
    known = table(a=('old/else.mp4', 'same', '1'), b=('old/copy.mp4', 'same', '2'), c=('new.mp4', 'new', '3'))
    paths = ['copy.mp4', 'same.mp4', 'other.mp4', 'new.mp4']
    found = pd.DataFrame(dict(path=paths, sha256=['same', 'same', 'same', 'new']))
    assert find_moved(found, known)=={'copy.mp4': 'b', 'same.mp4': 'a'}
    assert find_moved(found[3:], known)=={} # it is where it was
    still_there = table(a=('same.mp4', 'same', '1'))
    assert find_moved(found[:1], still_there)=={}

def test_a_video_without_a_hash_is_found_by_size_and_time(folder):
    known = table(a=('old/new.mp4', None, file_state('new.mp4')), b=('old/x.mp4', None, None))
    assert find_moved(pd.DataFrame(dict(path=['new.mp4', 'same.mp4'], sha256=['h', 'g'])), known)=={'new.mp4': 'a'}

def test_known_files_are_not_read(folder, monkeypatch):
    read = []
    def note(path):
        read.append(path)
        return sha256(path)
    monkeypatch.setattr(files, 'sha256', note)
    known = table(a=('same.mp4', 'known', file_state('same.mp4')), b=('other.mp4', 'old', 'another state'),
                  c=('copy.mp4', None, file_state('copy.mp4')))
    corpus = pd.DataFrame(dict(path=['nothing.mp4', 'same.mp4', 'other.mp4', 'copy.mp4']), index=[3, 5, 7, 9])
    found = hash_files(corpus, known)
    content = sha256('other.mp4')
    assert found.to_dict()=={3: None, 5: 'known', 7: content, 9: content}
    assert sorted(read)==['copy.mp4', 'nothing.mp4', 'other.mp4']

def test_paths_that_cannot_be_used(folder):
    (folder/'index').mkdir()
    (folder/'index'/'mvrep.json').write_text('{}')
    os.symlink('nothing', folder/'link')
    os.mkfifo(folder/'pipe')
    assert why_not_usable(folder)==why_not_usable('same.mp4')==''
    for path, words in {' ': 'an empty name', 'https://x.org/a.mp4': 'URLs are not supported', 'a\0b': 'zero byte',
                        'link': 'a link to a file that does not exist', 'pipe': 'neither a file nor a folder',
                        'index': 'an index', 'sam.mp4': 'same.mp4', 'x'*300: 'cannot be read',
                        'same.mp4/x': 'no such file'}.items():
        assert words in why_not_usable(path), path
