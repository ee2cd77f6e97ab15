"Commands that find videos"
import shutil
from dataclasses import replace
from pathlib import Path
import pytest
from commands import ask, mvrep
from mvrep.index.examples import tiny_index
from mvrep.learning.data import training_data
from mvrep.learning.config import RECIPES
from mvrep.learning.training import train_model
from mvrep.media.read import probe

@pytest.fixture(scope='module')
def index(tmp_path_factory): return tiny_index(tmp_path_factory.mktemp('finding'))

@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    "An index with a joint space that two epochs have made"
    folder = tmp_path_factory.mktemp('trained')
    index = tiny_index(folder)
    videos = index.videos.reset_index().assign(split=['train']*8+['valid']*4)
    data = training_data(index.store, index.build.columns, videos.set_index('video_id'))
    model = train_model(data, replace(RECIPES['aligned'], max_epochs=2, embed_dim=32), folder/'runs')
    index.model_file.parent.mkdir()
    model.save(index.model_file)
    index.make_build()
    return index

def ids_of(answer): return [o['video_id'] for o in answer['results']]

# Words

def test_words_of_titles_ids_and_file_names(index):
    title = index.videos.title['v0000']
    assert ids_of(ask('search', index.folder, *title.split()))[0]=='v0000'
    assert ids_of(ask('search', index.folder, 'v0001'))[0]=='v0001'
    assert ask('search', index.folder, 'zzzz')['results']==[]

def test_a_title_with_accents_and_a_video_without_tags(tmp_path):
    index = tiny_index(tmp_path)
    index.put_videos(index.videos.iloc[[3]].assign(tags=None, title='Glósóli').reset_index())
    answer = ask('search', index.folder, 'glosoli')
    assert ids_of(answer)==['v0003'] and answer['results'][0]['title']=='Glósóli'
    assert 'v0003' in mvrep('search', index.folder, 'glosoli').stdout

def test_no_words_and_no_results(index):
    genre = index.videos.genre['v0000']
    assert mvrep('search', index.folder, 'zzzz').stdout=="no video matches 'zzzz'\n"
    nothing = mvrep('search', index.folder, genre, '--where', "genre = 'fado'").stdout
    assert nothing==f"no video matches {genre!r} and genre = 'fado'\n"
    assert 'give a word to search for' in mvrep('search', index.folder, '…', code=1).stderr

# Similar videos

def test_a_condition_that_no_video_meets_is_not_an_error(index):
    assert ask('similar', index.folder, '--video', 'v0000', '--where', "genre = 'fado'")['results']==[]
    nothing = mvrep('similar', index.folder, '--video', 'v0000', '--where', "genre = 'fado'")
    assert nothing.stdout=="no video matches genre = 'fado'\n"

def test_a_video_or_a_condition_that_is_not_known(index):
    assert 'nothing: neither an id in' in mvrep('similar', index.folder, '--video', 'nothing', code=1).stderr
    assert 'an empty name: neither an id' in mvrep('similar', index.folder, '--video', '', code=1).stderr
    wrong = mvrep('similar', index.folder, '--video', 'v0000', '--where', 'colour = 1', code=1).stderr
    assert 'cannot filter' in wrong and wrong.count('\n')==1

def test_a_large_index_suggests_to_tune_it(index, monkeypatch):
    monkeypatch.setattr('mvrep.index.build.LARGE', 5)
    done = mvrep('similar', index.folder, '--video', 'v0000', '-k', 1, '--json')
    assert f'tune {index.folder}' in done.stderr and len(done.json['results'])==1

# Likes

def test_likes_are_ids_or_files_and_never_recommended(index):
    likes = '--like', 'v0000', '--like', index.videos.path['v0001'], '--less', 'v0002'
    answer = ask('recommend', index.folder, *likes, '-k', 12, '--half-life', 3650, '--today', '2030-01-01')
    assert set(ids_of(answer))==set(index.build.video_ids)-{'v0000', 'v0001', 'v0002'}
    assert all(0<o['fresh']<=1 for o in answer['results'])
    assert answer['like']==['v0000', index.videos.path['v0001']] and answer['less']==['v0002']
    assert 'nearest like' in mvrep('recommend', index.folder, *likes, '-k', 3).stdout

def test_likes_without_results_and_unknown_likes(index):
    nothing = mvrep('recommend', index.folder, '--like', 'v0000', '--where', "genre = 'fado'")
    assert nothing.stdout=="no video matches genre = 'fado'\n"
    refused = mvrep('recommend', index.folder, '--like', 'nothing', code=1).stderr
    assert 'nothing' in refused and refused.count('\n')==1

# Music for a clip, videos for a song

def test_an_index_without_a_model_cannot_match(index):
    assert 'mvrep train' in mvrep('match', index.folder, 'v0000', code=1).stderr

@pytest.mark.parametrize('want, start', [('audio', 0), ('video', 2)])
def test_the_preview_of_a_match(trained, want, start, tmp_path):
    file, preview = trained.videos.path['v0000'], tmp_path/'preview.mp4'
    answer = ask('match', trained.folder, file, '--want', want, '--start', start, '--length', 6, '-k', 2,
                 '--preview', preview)
    assert answer['video']==file and answer['want']==want and len(answer['results'])==2
    for result in answer['results']: assert {'video_id', 'score', 'start', 'length'}<=result.keys()
    info = probe(preview)
    assert info.has_audio and info.has_video and abs(info.duration-6)<.3

def test_no_file_is_replaced_by_a_preview(trained, tmp_path):
    file = shutil.copy(trained.videos.path['v0000'], tmp_path/'clip.mp4')
    content = Path(file).read_bytes()
    assert "'--preview'" in mvrep('match', trained.folder, file, '--preview', file, code=2).stderr
    assert Path(file).read_bytes()==content

def test_an_id_stands_for_its_file_and_is_not_its_own_match(trained):
    where = "video_id <> 'v0001'"
    file = trained.videos.path['v0000']
    options = '--length', 6, '-k', 12, '--where', where
    by_id, by_file = [ask('match', trained.folder, o, *options) for o in ('v0000', file)]
    assert by_id['results']==by_file['results'] and (by_id['video'], by_file['video'])==('v0000', file)
    assert set(ids_of(by_id))==set(trained.build.video_ids)-{'v0000', 'v0001'}

def test_a_match_that_does_not_exist(trained, tmp_path):
    refused = mvrep('match', trained.folder, tmp_path/'nothing.mp4', code=1).stderr
    assert 'neither an id in' in refused
    nothing = mvrep('match', trained.folder, 'v0000', '--length', 6, '--where', "genre = 'fado'",
                    '--preview', tmp_path/'none.mp4')
    assert nothing.stdout=="no video matches genre = 'fado'\n" and not (tmp_path/'none.mp4').exists()
