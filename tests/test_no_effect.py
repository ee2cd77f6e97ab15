"Options that cannot have an effect: one warning each"
import pytest
from commands import mvrep
from mvrep.index.examples import tiny_index

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "An index without artists and dates"
    index = tiny_index(tmp_path_factory.mktemp('bare'))
    index.metadata_table.update(values=dict(artist=None, release_date=None))
    return index.folder

@pytest.mark.filterwarnings('default')
@pytest.mark.parametrize('words, note', [
    (('similar', '--video', 'v0000', '--max-per-artist', 1), 'max_per_artist has no effect'),
    (('recommend', '--like', 'v0000', '--max-per-artist', 1), 'max_per_artist has no effect'),
    (('similar', '--video', 'v0000', '-k', 1, '--diversity', .5), 'diversity has no effect'),
    (('recommend', '--like', 'v0000', '--half-life', 30), 'half_life has no effect'),
    (('recommend', '--like', 'v0000', '--today', '2030-01-01'), '--today has no effect'),
    (('recommend', '--like', 'v0000', '--how', 'max'), '--how max has no effect')])
def test_an_option_without_effect_is_noted_once(folder, words, note):
    command, *options = words
    done = mvrep(command, folder, *options)
    assert done.stderr.count('note: ')==1 and note in done.stderr and done.stdout

def test_options_with_an_effect_are_silent(folder):
    likes = '--like', 'v0000', '--like', 'v0001'
    assert mvrep('recommend', folder, *likes, '--how', 'max', '--diversity', .5).stderr==''
