"An index that is changed, damaged, rolled back and read at the same time"
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
import numpy as np
import pandas as pd
import pytest
from mvrep.core import sha256
from mvrep.corpus.demo import tiny_corpus
from mvrep.corpus.manifest import read_manifest
from mvrep.encoders.registry import Encoder, load_encoder
from mvrep.features.extraction import encode_video
from mvrep.features.vectors import unit_norm
from mvrep.index.build import Build, Query
from mvrep.index.index import Index, create_index
from mvrep.index.examples import tiny_index
from mvrep.index.info import index_info
from mvrep.index.indexing import index_folder
from mvrep.index.storage import N_KEPT, build_folder, build_numbers, current_number, one_writer
from mvrep.learning.model import JointModel, Origin, load_model
from mvrep.media.segments import Segment

COLUMNS = dict(audio='musicnn_mtt', video='efficientnet_lite0')

# Indexes of generated embeddings

def clustered(seed, n, d):
    "Unit-norm embeddings around n/50 centres"
    rng = np.random.default_rng(seed)
    n_centres = max(1, n//50)
    return unit_norm(rng.standard_normal((n_centres, d))[np.arange(n)%n_centres]+.8*rng.standard_normal((n, d)))

def put_clustered(index, n, seed=0):
    "A build of `n` generated videos; returns their ids"
    ids = [f'v{i:04}' for i in range(n)]
    index.put_embeddings(ids, dict(audio=clustered(seed, n, 24), video=clustered(seed+1, n, 16)))
    return ids

@pytest.fixture
def index(tmp_path):
    "An index with the metadata of 3,000 videos and no build"
    index = create_index(tmp_path/'ix', ('musicnn_mtt', 'efficientnet_lite0'), COLUMNS)
    def genre(i):
        if i%2: return 'rock'
        return 'soul' if i%50 else 'rare'
    index.put_videos(pd.DataFrame([dict(video_id=f'v{i:04}', path=f'{i}.mp4', genre=genre(i)) for i in range(3000)]))
    return index

READER = '''
import sys
from pathlib import Path
from mvrep.index.index import Index
folder, stop = sys.argv[1:]
index = Index(folder)
query, first = index.build.query('v0001'), index.build.number
held, n_rounds, seen = index.search(query, 5), 0, set()
latest = Index(folder)
print('ready', flush=True)
while not Path(stop).exists() or n_rounds<6:
    assert index.search(query, 5).equals(held), 'a build that is held changed'
    if n_rounds%2: latest = Index(folder)
    else: latest.reload()
    build = latest.build
    assert len(build)==len(build.has['audio'])==len(build.embeddings['audio'])==len(latest.videos), 'half a build'
    assert build.number>=max(seen, default=0), 'an older build'
    top = latest.search(build.query('v0001'), 1)
    assert top.index[0]=='v0001' and abs(top.score.iloc[0]-1)<1e-6
    if build.number not in seen: print(build.number, flush=True)
    seen.add(build.number)
    n_rounds += 1
print(n_rounds, len(seen), index.build.number==first)
'''

def start_reader(index, stop):
    command = [sys.executable, '-c', READER, str(index.folder), str(stop)]
    env = dict(os.environ, OMP_NUM_THREADS='1')
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)

def wait_until_seen(reader, number):
    "Read what a reader prints until it has seen a build"
    while True:
        line = reader.stdout.readline()
        assert line, reader.communicate()[1]
        if int(line)>=number: return

def test_readers_see_complete_builds_while_a_writer_replaces_them(index, tmp_path):
    put_clustered(index, 500)
    stop = tmp_path/'stop'
    readers = [start_reader(index, stop) for _ in range(2)]
    for reader in readers: assert reader.stdout.readline()=='ready\n', reader.communicate()[1]
    for i in range(20):
        put_clustered(index, 500+i, i)
        if i%7==6: # now and then the writer waits for the readers
            for reader in readers: wait_until_seen(reader, index.build.number)
    stop.touch()
    for reader in readers:
        out, err = reader.communicate(timeout=120)
        assert reader.returncode==0, err
        n_rounds, n_builds, is_held = out.splitlines()[-1].split()
        assert int(n_rounds)>=6 and int(n_builds)>1 and is_held=='True'
    assert len(build_numbers(index.builds_folder))==3 and current_number(index.builds_folder)==21

def test_a_second_writer_is_refused(index, tmp_path):
    code = f'''
from pathlib import Path
from mvrep.index.storage import one_writer
with one_writer(Path({str(index.folder)!r})):
    print("held", flush=True)
    input()
'''
    holder = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline()=='held\n'
    put_clustered(index, 10)
    with pytest.raises(ValueError, match='being written by another process'): index.remove(['v0001'])
    with pytest.raises(ValueError, match='being written by another process'): index.rollback()
    holder.communicate('\n', timeout=30)
    index.remove(['v0001'])
    assert len(index)==9
    (tmp_path/'file').write_text('')
    with pytest.raises(ValueError, match='is a file, not a folder'), one_writer(tmp_path/'file'): pass

def test_leftovers_of_a_killed_writer_are_removed(index, tmp_path):
    leftovers = [index.folder/'.tmp-a', index.folder/'index'/'.tmp-b'/'x', index.folder/'model'/'.tmp-c']
    for path in leftovers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('half')
    with one_writer(index.folder): assert not any(o.exists() for o in leftovers)
    other = tmp_path/'no index'/'.tmp-mine'
    other.parent.mkdir()
    other.write_text('kept')
    with one_writer(other.parent): assert other.exists()

# Searching

def test_many_queries_have_the_results_of_each_alone(index):
    ids = put_clustered(index, 300)
    build = index.build
    queries = [build.query(o) for o in ids[:5]]
    together = build.search_many(queries, 4, exclude=[(o,) for o in ids[:5]])
    for found, query, video_id in zip(together, queries, ids):
        assert found.equals(build.search(query, 4, exclude=(video_id,)))
    for by, weight in dict(audio=1., video=0.).items():
        assert build.search(queries[0], 4, weight=weight).equals(build.search(queries[0], 4, by))
    with pytest.raises(ValueError, match='between 0 and 1'): index.search(queries[0], weight=1.5)
    with pytest.raises(ValueError, match="want 'audio'"): index.search(queries[0], by='text')

def test_a_condition_is_applied_before_the_search(index):
    ids = put_clustered(index, 300)
    query = index.build.query(ids[0])
    found = index.search(query, 10, where="genre = 'rare'", exclude=[ids[0]])
    assert list(index.videos.genre[found.index])==['rare']*5 # of 300 videos
    with pytest.raises(ValueError, match='columns are'): index.search(query, where='colour = 1')

def test_conditions_come_before_an_approximate_search(index):
    ids = put_clustered(index, 3000)
    settings = index.prepare_approximate(n_queries=100)
    assert settings.recall>.8 and settings.cells<settings.n_cells
    recalls = []
    for where in (None, "genre = 'rock'", "genre = 'rare'"):
        for video_id in ids[1:60:3]:
            query = index.build.query(video_id)
            found = index.search(query, 10, where=where, exclude=(video_id,), approximate=True)
            exact = index.search(query, 10, where=where, exclude=(video_id,), approximate=False)
            assert len(found)==10 and video_id not in found.index and found.score.is_monotonic_decreasing
            assert where is None or set(index.videos.genre[found.index])=={where.split("'")[1]}
            both = found.index.intersection(exact.index)
            assert np.allclose(found.score[both], exact.score[both])
            recalls.append((where, found.index.isin(exact.index).mean()))
    recall = pd.DataFrame(recalls, columns=['where', 'recall']).groupby('where', dropna=False).recall.mean()
    assert recall["genre = 'rare'"]==1 and recall.min()>.6, recall # few videos are searched exactly

def test_approximate_search_by_one_modality(index):
    put_clustered(index, 3000)
    index.prepare_approximate(n_queries=100)
    query = index.build.query('v0042')
    with pytest.raises(ValueError, match=r"index.prepare_approximate\('audio'\)"):
        index.search(query, weight=1, approximate=True)
    index.prepare_approximate('audio', n_queries=100)
    found = index.search(query, 10, weight=1, approximate=True)
    assert found.equals(index.search(query, 10, 'audio', approximate=True))
    assert found.index.isin(index.search(query, 10, 'audio').index).sum()>=5
    everything = index.search(query, 3000, approximate=True)
    assert everything.equals(index.search(query, 3000)) # nothing can be left out
    assert Index(index.folder).search(query, 10, approximate=True).equals(index.search(query, 10, approximate=True))

def test_cells_are_ready_before_a_build_is_seen(index, monkeypatch):
    put_clustered(index, 3000)
    index.prepare_approximate(n_queries=100)
    reader, seen = Index(index.folder), []
    make = Build.make_cell_search
    def watched(self, *args, **kwargs):
        reader.reload()
        seen.append((reader.build.number, list(reader.build.cells), len(self)))
        return make(self, *args, **kwargs)
    monkeypatch.setattr(Build, 'make_cell_search', watched)
    put_clustered(index, 2900)
    reader.reload()
    assert seen==[(1, ['joint'], 2900)] # the old build was in use
    assert reader.build.number==2 and reader.build.cells['joint'].settings.target==.95
    assert len(reader.search(reader.build.query('v0001'), 5, approximate=True))==5

def test_a_held_build_is_searched_exactly_once_its_cells_are_gone(index):
    put_clustered(index, 2000)
    index.prepare_approximate(n_queries=100)
    held = Index(index.folder)
    query = held.build.query('v0001')
    before = held.search(query, 5)
    with pytest.warns(UserWarning, match='exact from now on'): put_clustered(index, 8) # too few for cells
    assert index.build.cells=={} and len(Index(index.folder).search(query, 5))==5
    for i in range(2): put_clustered(index, 600, i)
    assert held.build.number not in build_numbers(index.builds_folder)
    assert held.search(query, 5, approximate=True).equals(before) and held.build.cells=={}

def test_settings_written_by_an_earlier_version_are_read(index):
    put_clustered(index, 2000)
    index.prepare_approximate(n_queries=100)
    path = build_folder(index.builds_folder, 1)/'cells'/'joint.json'
    stored = json.loads(path.read_text())
    stored['of'], stored['questions'] = stored.pop('n_cells'), stored.pop('n_queries')
    path.with_suffix('.checksums').unlink() # which came later
    path.write_text(json.dumps(dict(stored, weight=.5)))
    assert Index(index.folder).build.cells['joint'].settings==index.build.cells['joint'].settings

def test_missing_modalities_against_the_definition(index):
    "The score is the weighted mean of the cosines of the modalities that both videos have"
    weight, emb = .7, dict(audio=clustered(0, 400, 24), video=clustered(1, 400, 16))
    emb['video'][::3] = 0
    emb['audio'][1::3] = 0
    ids = [f'v{i:04}' for i in range(400)]
    index.put_embeddings(ids, emb)
    build = index.build
    weights = dict(audio=weight, video=1-weight)
    total = sum(w*emb[m].astype(float)@emb[m].T for m, w in weights.items())
    shared = sum(w*np.outer(build.has[m], build.has[m]) for m, w in weights.items())
    scores = total/np.maximum(shared, 1e-12)
    for i, video_id in enumerate(ids[:6]):
        query = build.query(video_id)
        comparable = (build.has['audio'] & build.has['audio'][i]) | (build.has['video'] & build.has['video'][i])
        expected = pd.Series(np.where(comparable, scores[i], np.nan), ids).dropna().sort_values(ascending=False)
        found = index.search(query, 1000, weight=weight)
        assert len(found)==comparable.sum() and np.allclose(found.score, expected, atol=1e-6)
        assert np.array_equal(build.scores(query, weight=weight).score.notna(), comparable)
        has_video = pd.Series(build.has['video'] & build.has['video'][i], ids)
        assert found.video.notna().equals(has_video[found.index])
    assert len(index.search(Query(None, None)))==0

def test_hubs_of_a_build_without_enough_videos(index):
    put_clustered(index, 5)
    assert index.build.hubness()==dict(by='joint', seed=0)
    with pytest.raises(ValueError, match="by='text'"): index.build.hubness('text')

def test_embeddings_that_are_given_are_checked(index):
    with pytest.raises(ValueError, match='2 rows of audio embeddings for 1 video'):
        index.put_embeddings(['a'], dict(audio=np.eye(2), video=np.eye(1)))
    with pytest.raises(ValueError, match='video embedding 1 has norm 3'):
        index.put_embeddings(['a', 'b'], dict(audio=np.eye(2), video=np.diag([1., 3.])))
    with pytest.raises(ValueError, match='norm nan'):
        index.put_embeddings(['a'], dict(audio=np.array([[np.nan, 0]]), video=np.eye(1)))
    assert len(index)==0

# Indexes of generated features

@dataclass(frozen=True)
class Network:
    "What an encoder needs to know of its network"
    dim:int # Width of its features
    weights_hash:str = 'generated' # Provenance

    @property
    def layers(self): return dict(pooled=self.dim)

class Changing:
    "An index of generated features that a test changes"
    def __init__(self, folder):
        self.rng = np.random.default_rng(0)
        self.audio, self.video = Encoder('loudness', 'audio', Network(6)), Encoder('colour', 'video', Network(4))
        self.index = create_index(folder, ('loudness', 'colour'), dict(audio='loudness', video='colour'))
        for encoder in (self.audio, self.video): self.index.store.add_column(encoder)

    def feats(self, encoder): return self.rng.standard_normal((3, encoder.dim))

    def put(self, *ids, source='first', encoders=None):
        "Metadata and features of videos; the video 'silent' has no audio"
        self.index.put_videos(pd.DataFrame([dict(video_id=o, path=f'{o}.mp4', title=o.upper()) for o in ids]))
        for video_id in ids:
            feats = {e: self.feats(e) for e in encoders or (self.audio, self.video)}
            if video_id=='silent': feats[self.audio] = None
            self.index.store.put(video_id, [Segment(i, 5.*i, 5.) for i in range(3)], source, feats)

    @property
    def ids(self): return list(self.index.build.video_ids)

    def save_model(self, **dims):
        "An untrained model, which is enough to see where it is used"
        model = JointModel(dict(dict(audio=6, video=4), **dims), embed_dim=3, output='linear').eval()
        model.save(self.index.model_file)
        return model

@pytest.fixture
def changing(tmp_path):
    changing = Changing(tmp_path/'ix')
    changing.put('a', 'b', 'c', 'silent')
    changing.index.make_build()
    return changing

def test_an_index_without_videos_and_one_that_was_not_finished(tmp_path):
    changing = Changing(tmp_path/'ix')
    with pytest.raises(ValueError, match='has no videos: add some with `mvrep add`'): changing.index.check_not_empty()
    changing.put('a')
    with pytest.raises(ValueError, match='was not finished: run `mvrep index` again'): changing.index.check_not_empty()
    changing.index.make_build()
    changing.index.check_not_empty()

def test_first_build(changing):
    build = changing.index.build
    assert changing.ids==['a', 'b', 'c', 'silent']
    assert build.has['audio'].tolist()==[True, True, True, False] and build.has['video'].all()
    assert np.allclose(np.linalg.norm(build.embeddings['video'], axis=1), 1)
    assert not build.embeddings['audio'][3].any()

def test_adding_leaves_other_embeddings_unchanged(changing):
    index, before = changing.index, changing.index.build
    changing.put('d')
    changing.put('b', source='second')
    index.make_build(refit=False)
    assert changing.ids==['a', 'c', 'silent', 'b', 'd']
    for m in before.embeddings: assert np.array_equal(index.build.embeddings[m][:3], before.embeddings[m][[0, 2, 3]])
    assert (index.build.embeddings['audio'][3]!=before.embeddings['audio'][1]).any()
    index.make_build(refit=False)
    assert index.build.number==2 # nothing changed, so no build was made

def test_refitting_changes_the_scale(changing):
    before = changing.index.build
    changing.put('d', 'e', 'f')
    changing.index.make_build()
    assert changing.ids==['a', 'b', 'c', 'd', 'e', 'f', 'silent']
    assert not np.allclose(changing.index.build.embeddings['video'][0], before.embeddings['video'][0])

@pytest.mark.parametrize('text, reason', [
    ('{"format": 1, "sp', 'mvrep.json is damaged'),
    ('{"format": 2}', 'not written by this version'),
    ('[]', 'mvrep.json is damaged'), ('{"format": 1, "seed": 1, "colour": 2}', 'mvrep.json is damaged')])
def test_damaged_configuration(changing, text, reason):
    path = changing.index.folder/'mvrep.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=reason): Index(changing.index.folder)
    with pytest.raises(ValueError, match=reason):
        create_index(changing.index.folder, ('loudness', 'colour'), dict(audio='loudness', video='colour'))

def test_a_folder_with_other_files_is_not_taken(tmp_path):
    (tmp_path/'letters').mkdir()
    (tmp_path/'letters'/'a.txt').write_text('Dear')
    with pytest.raises(ValueError, match='has files in it and is not an index'):
        create_index(tmp_path/'letters', ('a', 'b'), COLUMNS)

def test_a_model_embeds_the_videos_of_the_next_build(changing):
    index = changing.index
    model = changing.save_model()
    index.make_build(refit=False)
    assert {m: e.shape for m, e in index.build.embeddings.items()}==dict(audio=(4, 3), video=(4, 3))
    changing.save_model(audio=200)
    with pytest.raises(ValueError, match=r'was trained on loudness \(width 200\)'): index.make_build()
    other = dict(audio='other', video='colour')
    model.origin = Origin(run='r', config={}, corpus='', columns=other, split={}, epoch=0, epochs=1, metrics={})
    model.save(index.model_file)
    with pytest.raises(ValueError, match='was trained on other'): index.make_build()
    assert index.build.number==2 and len(index)==4

def test_rollback_restores_model_metadata_features_and_embeddings(changing):
    index = changing.index
    first = index.build
    model = changing.save_model()
    index.make_build()
    changing.save_model(audio=200) # does not fit: no build is made of it
    index.rollback()
    assert index.build.number==2 and index.build.model_hash==sha256(index.model_file)
    changing.put('a', source='wrong')
    index.put_videos(pd.DataFrame([dict(video_id='a', path='a.mp4', title='wrong')]))
    model.save(index.model_file)
    index.make_build(refit=False)
    row = index.build.rows.get_loc('a')
    assert (index.build.number, index.build.sources[row], index.videos.title['a'])==(3, 'wrong', 'wrong')
    index.rollback()
    index.rollback()
    assert (index.build.number, index.build.model_hash, index.videos.title['a'])==(1, '', 'A')
    assert not index.model_file.exists() and index.store.done().source['a']=='first'
    assert np.array_equal(index.build.embeddings['audio'], first.embeddings['audio'])
    index.make_build(refit=False)
    assert index.build.number==1 # nothing to do
    assert index.builds().in_use.to_dict()=={1: True, 2: False, 3: False}

def test_builds_share_the_file_of_a_model(changing):
    index = changing.index
    changing.save_model()
    index.make_build()
    changing.put('d')
    index.make_build(refit=False)
    index.remove(['a'])
    def file_of(number): return (build_folder(index.builds_folder, number)/'model.safetensors').stat()
    files = [file_of(number) for number in build_numbers(index.builds_folder)]
    assert len(files)==N_KEPT and len({o.st_ino for o in files})==1
    live = index.model_file
    assert live.stat().st_ino!=files[0].st_ino # what is written into the live file changes no build
    live.write_bytes(b'damaged')
    index.rollback()
    assert load_model(live) and index.model_name

def test_builds_left_behind_go_when_another_is_made(changing):
    index = changing.index
    with pytest.raises(ValueError, match='no build 99: build 1 exists, 1 is in use'): index.rollback(99)
    for video_id in 'de':
        changing.put(video_id)
        index.make_build(refit=False)
    index.rollback(1)
    index.rollback(3) # forward, as long as nothing was made from the earlier one
    assert changing.ids[-1]=='e'
    index.rollback(1)
    changing.put('f')
    index.make_build(refit=False)
    assert changing.ids[-1]=='f' and list(index.builds().index)==[1, 4]
    with pytest.raises(ValueError, match='no build 99: builds 1, 4 exist, 4 is in use'): index.rollback(99)

def test_rollback_goes_one_step_at_a_time(changing):
    index = changing.index
    changing.put('d')
    index.make_build(refit=False)
    index.put_videos(pd.DataFrame([dict(video_id='a', path='a.mp4', title='other')]))
    index.rollback()
    assert (index.build.number, index.videos.title['a'])==(2, 'A') # metadata
    changing.put('e', 'f')
    index.rollback()
    assert index.build.number==2 and set(index.store.done().index)=={'a', 'b', 'c', 'd', 'silent'} # an interrupted run
    index.rollback()
    assert index.build.number==1 # the build
    with pytest.raises(ValueError, match='no earlier build: builds 1, 2 exist, 1 is in use'): index.rollback()

def test_removing_videos(changing):
    index, before = changing.index, changing.index.build
    with pytest.raises(KeyError, match='x'): index.remove(['a', 'x'])
    assert len(index)==4 # none was removed
    index.remove(['a', 'c'])
    assert changing.ids==['b', 'silent'] and set(index.store.done().index)=={'b', 'silent'}
    for m in before.embeddings: assert np.array_equal(index.build.embeddings[m], before.embeddings[m][[1, 3]])
    index.rollback()
    assert (len(index), len(index.store))==(4, 12)
    index.remove(changing.ids)
    assert (len(Index(index.folder)), len(index.store))==(0, 0)
    changing.put('a', 'b')
    index.make_build(refit=False)
    assert len(index)==2

def change_audio_encoder(changing):
    "Ask for another audio encoder, which has seen no video yet"
    changing.index = create_index(changing.index.folder, ('pitch', 'colour'), dict(audio='pitch', video='colour'))
    return Encoder('pitch', 'audio', Network(5))

def test_an_interrupted_change_of_encoders(changing):
    before = changing.index.build
    pitch = change_audio_encoder(changing)
    index = changing.index
    index.remove(['a']) # by the encoders of the build in use
    assert changing.ids==['b', 'c', 'silent'] and index.build.columns['audio']=='loudness'
    with pytest.raises(ValueError, match='3 of 3 videos have not been encoded by pitch and colour yet'):
        index.make_build(refit=False)
    index.store.add_column(pitch)
    changing.put('b', encoders=[pitch])
    with pytest.raises(ValueError, match="2 of 3 videos .* such as 'c': finish `mvrep index` first"):
        index.make_build(refit=False)
    index.remove(['c'])
    assert changing.ids==['b', 'silent'] and list(index.videos.title)==['B', 'SILENT']
    for m in before.embeddings: assert np.array_equal(index.build.embeddings[m], before.embeddings[m][[1, 3]])
    index.store.put_errors([('silent', 'silent.mp4', 'its audio breaks off')]) # left out, and the build is made
    index.make_build()
    assert changing.ids==['b'] and index.build.embeddings['audio'].shape==(1, 5)
    index.rollback()
    assert changing.ids==['b', 'silent'] and index.build.columns['audio']==index.config.columns['audio']=='loudness'

def test_other_weights_under_the_same_name_embed_everything_again(changing):
    "Interrupted after the last video and before the build: the next `make_build` notices"
    index, old = changing.index, changing.index.build
    other = Encoder('colour', 'video', Network(4, 'other weights'))
    index.store.add_column(other, renew=True)
    changing.put(*changing.ids, encoders=[other])
    index.make_build(refit=False)
    kept = index.build
    assert (kept.embeddings['video']!=old.embeddings['video']).all()
    assert kept.encoded_by['colour'].split('/')[3]=='other weights'
    index.make_build(refit=True)
    assert np.array_equal(index.build.embeddings['video'], kept.embeddings['video'])

def test_a_damaged_build(changing):
    index, kept = changing.index, np.array(changing.index.build.embeddings['audio'])
    folder = build_folder(index.builds_folder, 1)
    np.save(folder/'has.npy', [1])
    (folder/'audio.npy').write_bytes(b'')
    with pytest.raises(ValueError, match='is damaged'): Index(index.folder)
    shutil.rmtree(index.builds_folder)
    index = Index(index.folder)
    index.make_build()
    assert np.array_equal(index.build.embeddings['audio'], kept)

# Real videos

@pytest.fixture(scope='module')
def corpus(): return read_manifest(tiny_corpus()/'manifest.csv')

@pytest.fixture
def real(tmp_path): return tiny_index(tmp_path)

def test_metadata_is_filled_or_renewed(real, corpus):
    scan = corpus[['video_id', 'path']].assign(genre='polka', origin=None, tags=[[]]*len(corpus))
    real.put_videos(scan, overwrite=False)
    real.reload()
    assert list(real.videos.genre)==list(corpus.genre)
    real.put_videos(scan.head(1))
    real.reload()
    first = corpus.video_id[0]
    assert (real.videos.genre[first], real.videos.origin[first])==('polka', corpus.origin[0])

def test_columns_of_the_users_own(changing):
    index = changing.index
    own = dict(energy=[.5, 0., None], playlists=[['a', 'b'], [], None], label=['x', None, 3],
               **{'my mood': ['sad', '', 'glad']})
    index.put_videos(pd.DataFrame(dict(video_id=['a', 'b', 'c'], path=['a.mp4', 'b.mp4', 'c.mp4'], **own)))
    index.make_build()
    videos = index.videos
    assert videos.energy[:2].tolist()==[.5, 0.] and videos.my_mood['c']=='glad'
    assert videos.label[['a', 'c']].tolist()==['x', '3'] and videos.label.isna()['b']
    assert list(videos.playlists['a'])==['a', 'b'] and np.isnan(videos.energy['silent'])
    assert list(index.build.video_ids[index.filter("energy >= 0 AND my_mood IS NULL")])==['b']
    index.put_videos(pd.DataFrame([dict(video_id='a', path='a.mp4', energy=.9)]), overwrite=False)
    index.reload()
    assert index.videos.energy['a']==.5 # only gaps are filled
    index.rollback(1)
    assert 'energy' not in index.videos
    two = pd.DataFrame([['a', 'a.mp4', 1, 2]], columns=['video_id', 'path', 'a b', 'a-b'])
    with pytest.raises(ValueError, match="two columns of the manifest are stored as 'a_b'"): index.put_videos(two)

def test_a_value_that_does_not_fit_its_column(changing):
    changing.index.put_videos(pd.DataFrame([dict(video_id='a', path='a.mp4', energy=.5)]))
    with pytest.raises(ValueError, match="b: energy='high' is not a number"):
        changing.index.put_videos(pd.DataFrame([dict(video_id='b', path='b.mp4', energy='high')]))

def test_a_file_is_embedded_as_in_the_index(real, corpus):
    encoders = [load_encoder(o) for o in real.build.specs]
    feats = encode_video(corpus.path[0], corpus.video_id[0], encoders)[1]
    embedded, stored = real.build.embed(feats), real.build.query(corpus.video_id[0])
    for m in ('audio', 'video'): assert np.allclose(embedded[m], stored[m], atol=1e-5)

def test_search_against_concatenated_embeddings(real, corpus):
    both = np.concatenate([real.build.embeddings[m] for m in ('audio', 'video')], axis=1)/2**.5
    expected = pd.Series(both@both[0], real.build.video_ids).sort_values(ascending=False).head(4)
    found = real.search(real.build.query(corpus.video_id[0]), k=4)
    assert list(found.index)==list(expected.index) and np.allclose(found.score, expected, atol=1e-5)
    assert Index(real.folder).search(real.build.query(corpus.video_id[0]), k=4).equals(found)

def test_a_model_embeds_a_file_as_it_embeds_the_index(real):
    JointModel(dict(audio=1506, video=1280), embed_dim=8, output='linear').eval().save(real.model_file)
    real.make_build(refit=False)
    assert [e.shape for e in real.build.embeddings.values()]==[(12, 8)]*2
    first = real.build.video_ids[0]
    query = real.build.embed({o: real.store.read(o, [first])[1] for o in real.build.columns.values()})
    assert np.allclose(query.audio, real.build.query(first).audio, atol=1e-5)
    real.model_file.unlink()
    assert Index(real.folder).build.embeddings['audio'].shape==(12, 8) # the build keeps its model
    real.make_build(refit=False)
    assert real.build.embeddings['audio'].shape==(12, 1506)

def test_index_folder_takes_a_tuple_of_encoders_and_refuses_others(tmp_path):
    from mvrep.index.indexing import EncodersError
    source = tiny_corpus()/'manifest.csv'
    with pytest.raises(EncodersError, match='one encoder for audio and one for video'):
        index_folder(source, tmp_path/'ix', encoders=('musicnn_mtt',))
    with pytest.raises(EncodersError, match='unknown encoder'):
        index_folder(source, tmp_path/'ix', encoders=('smell', 'efficientnet_lite0'))
    with pytest.raises(FileNotFoundError, match='no such file or folder'): index_folder(tmp_path/'none', tmp_path/'ix')
    assert not (tmp_path/'ix'/'mvrep.json').exists()

def test_space_of_an_index_by_kind(tmp_path):
    index = tiny_index(tmp_path)
    before = index_info(index)
    assert set(before.space)=={'features', 'builds', 'models', 'caches'} and before.space['models']==0
    (index.folder/'cache').mkdir(exist_ok=True)
    (index.folder/'cache'/'more.npy').write_bytes(bytes(3_000_000))
    (index.folder/'index'/'again').hardlink_to(index.folder/'cache'/'more.npy') # counted once
    after = index_info(index)
    assert sum(after.space.values())-sum(before.space.values())==pytest.approx(3, abs=.11)
    assert after.megabytes-before.megabytes==pytest.approx(3, abs=.11)
