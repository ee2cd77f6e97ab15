"Feature store, vectors and extraction"
import os
import random
import shutil
import subprocess
import sys
from collections import namedtuple

import av
import numpy as np
import pandas as pd
import pytest

from mvrep.core import MediaError
from mvrep.corpus.demo import tiny_corpus
from mvrep.corpus.manifest import read_manifest
from mvrep.encoders.registry import load_encoder
from mvrep.encoders.weights import WeightsError
import mvrep.cli.main # makes the commands
from mvrep.cli.options import run_command
from mvrep.features.extraction import encode_video, encoding_seconds, extract, missing_jobs, read_segment
from mvrep.features.store import FeatureStore, sql_in, sql_quote, table_errors
from mvrep.features.table_records import RECORD
from mvrep.features.vectors import Scale, fit_scale, pool_segments, standardise, unit_norm
from mvrep.index.indexing import index_folder
from mvrep.index.info import index_info
from mvrep.media.clips import write_mp4
from mvrep.media.read import probe, read_frames
from mvrep.media.segments import Segment

# Vectors

def features(n=1000):
    "Features of very different ranges; the last one is constant, and row 3 lacks the modality"
    x = np.random.default_rng(0).normal([5, 0, -3, 7], [100, 1, .01, 0], (n, 4)).astype(np.float32)
    x[3] = np.nan
    return x

def test_scale_is_mean_and_standard_deviation_of_usable_rows():
    x = features()
    usable = np.delete(x, 3, axis=0).astype(np.float64)
    for block in (64, 8192):
        scale = fit_scale(x, block=block)
        np.testing.assert_allclose(scale.mean, usable.mean(0), rtol=1e-12)
        np.testing.assert_allclose(scale.std[:3], usable.std(0)[:3], rtol=1e-9)

def test_scale_of_named_rows_knows_no_other_row():
    x = features()
    named, alone = fit_scale(x, np.arange(10, 300), block=64), fit_scale(x[10:300])
    np.testing.assert_allclose(named.to_array()[:, :3], alone.to_array()[:, :3], rtol=1e-12)

def test_constant_feature_becomes_zero():
    x = features()
    scale = fit_scale(x)
    assert np.isinf(scale.std[3])
    assert (np.delete(standardise(x, scale), 3, axis=0)[:, 3]==0).all()

def test_precision_survives_a_large_offset():
    x = np.random.default_rng(0).normal(1e6, 1, (20_000, 2))
    np.testing.assert_allclose(fit_scale(x, block=100).std, x.std(0), rtol=1e-9)

def test_scale_needs_one_usable_row():
    x = np.full((5, 2), np.nan)
    with pytest.raises(ValueError, match='5 segments, none with features'): fit_scale(x)
    with pytest.raises(ValueError, match='0 segments'): fit_scale(x, np.array([], int))
    x[2] = [1, 2]
    assert fit_scale(x).mean.tolist()==[1, 2]

def test_scale_and_array():
    scale = fit_scale(features())
    array = scale.to_array()
    assert array.shape==(2, 4) and array.dtype==np.float64
    np.testing.assert_array_equal(Scale.from_array(array).to_array(), array)
    np.testing.assert_array_equal(Scale.identity(2).to_array(), [[0, 0], [1, 1]])
    with pytest.raises(ValueError, match=r'\(2, f\)'): Scale.from_array(array[0])

def test_standardised_rows_have_unit_norm_or_are_missing():
    x = features()
    emb = standardise(x, fit_scale(x))
    assert emb.dtype==np.float32 and np.isnan(emb[3]).all()
    np.testing.assert_allclose(np.linalg.norm(np.delete(emb, 3, axis=0), axis=1), 1, rtol=1e-5)

def test_every_feature_has_the_same_share_of_distances():
    x = np.delete(features(), 3, axis=0)
    share = standardise(x, fit_scale(x)).var(0)
    assert x.var(0)[0]/x.var(0).sum()>.99
    np.testing.assert_allclose(share[:3]/share.sum(), 1/3, atol=.02)

@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_unit_norm_keeps_type_and_zeros(dtype):
    x = np.array([[3, 4], [0, 0]], dtype)
    assert unit_norm(x).dtype==dtype
    np.testing.assert_allclose(unit_norm(x), [[.6, .8], [0, 0]], rtol=1e-6)

def test_pooled_segments_are_normalised_means():
    emb = np.array([[1, 0], [0, 1], [0, 1], [np.nan, np.nan]])
    pooled = pool_segments(emb, np.array(list('aabc')))
    assert pooled.dtype==np.float32
    np.testing.assert_allclose(pooled, [[.5**.5, .5**.5], [0, 1], [0, 0]], rtol=1e-6)

def test_pooling_refuses_scattered_rows():
    with pytest.raises(ValueError, match='adjacent'): pool_segments(np.eye(3), np.array(list('aba')))

# Store

Encoder = namedtuple('Encoder', 'column made_by dim dtype', defaults=['float32'])
AUDIO, VIDEO = Encoder('audio', 'audio/1', 5), Encoder('video', 'video/1', 3)
TWO = [Segment(0, 0., 5.), Segment(1, 5., 5.)]

def random_feats(encoder, seed): return np.random.default_rng(seed).normal(size=(2, encoder.dim)).astype(np.float32)

A1 = random_feats(AUDIO, 0)
V1 = random_feats(VIDEO, 1)
V2 = random_feats(VIDEO, 2)

@pytest.fixture
def store(tmp_path):
    "Video a has both modalities, b is silent; b was stored first"
    store = FeatureStore(tmp_path/'ix')
    for o in (AUDIO, VIDEO): store.add_column(o)
    store.put('b', TWO, 'file-1', {AUDIO: None, VIDEO: V2})
    store.put('a', TWO, 'file-1', {AUDIO: A1, VIDEO: V1}, split='train')
    return store

def test_a_new_store_is_empty_and_opening_it_again_changes_nothing(tmp_path):
    store = FeatureStore(tmp_path)
    assert (len(store), store.columns, len(store.errors()), len(store.done()))==(0, {}, 0, 0)
    assert len(FeatureStore(tmp_path))==0

def test_what_was_put_is_read(store):
    assert len(store)==4 and store.columns=={'audio': 5, 'video': 3}
    assert FeatureStore(store.folder).columns==store.columns
    done = store.done().loc['a']
    assert (done.source, done.split, done.audio_made_by, done.video_made_by)==('file-1', 'train', 'audio/1', 'video/1')
    np.testing.assert_array_equal(store.read('audio', ['a'])[1], A1)

def test_rows_are_in_order_of_video_and_segment(store):
    assert list(store.keys().segment_id)==['a_0', 'a_1', 'b_0', 'b_1']
    x = store.matrix('audio')
    assert isinstance(x, np.memmap) and x.shape==(4, 5)
    np.testing.assert_array_equal(x[:2], A1)

def test_a_missing_modality_is_nan(store):
    assert np.isnan(store.matrix('audio')[2:]).all()
    store.put('b', TWO, 'file-2', {AUDIO: None, VIDEO: V1}) # a silent video that changed stays silent
    assert len(store)==4
    assert np.isnan(store.read('audio', ['b'])[1]).all()
    np.testing.assert_array_equal(store.read('video', ['b'])[1], V1)

def test_a_changed_file_replaces_its_rows_and_forgets_other_columns(store):
    store.put('a', TWO[:1], 'file-2', {VIDEO: V1[:1]})
    assert len(store)==3
    assert np.isnan(store.read('audio', ['a'])[1]).all()
    store.put('a', TWO, 'file-3', {AUDIO: A1, VIDEO: V1})
    assert len(store)==4

def test_a_stored_video_leaves_the_errors(store):
    store.put_errors([('a', 'a.mp4', 'first'), ('x', 'x.mp4', 'other')])
    store.put_errors([('a', 'a.mp4', 'cut short')])
    assert list(store.errors().reason)==['cut short', 'other']
    store.put('a', TWO, 'file-2', {AUDIO: A1, VIDEO: V1})
    assert list(store.errors().video_id)==['x']

def test_errors_are_cleared_by_path(store):
    store.put_errors([('a', 'a.mp4', 'first'), ("it's", "it's.mp4", 'other')])
    store.clear_errors([])
    assert len(store.errors())==2
    store.clear_errors(["it's.mp4"])
    assert list(store.errors().video_id)==['a']
    store.clear_errors()
    assert not len(store.errors())

def test_ids_are_data_and_not_code(store):
    odd = "o'brien; drop table"
    store.put(odd, TWO[:1], 'file-1', {AUDIO: A1[:1], VIDEO: V1[:1]})
    assert odd in store.done().index
    np.testing.assert_array_equal(store.read('video', [odd])[1], V1[:1])
    store.set_splits({odd: "d'oh"})
    assert store.done().split[odd]=="d'oh"
    store.remove([odd])
    assert len(store)==4 and sql_quote(odd)=="'o''brien; drop table'"

def test_nothing_is_in_an_empty_list(store):
    assert sql_in('video_id', [])=='false'
    keys, x = store.read('audio', [])
    assert len(keys)==len(x)==0

def test_removed_videos_can_come_back(store):
    store.put_errors([('b', 'b.mp4', 'reason')])
    store.remove(['b', 'unknown'])
    assert list(store.done().index)==['a'] and not len(store.errors())
    store.put('b', TWO, 'file-1', {VIDEO: V2})
    np.testing.assert_array_equal(store.read('video', ['b'])[1], V2)

def test_a_new_encoder_fills_its_column_only(store):
    third = Encoder('third', 'third/1', 3)
    store.add_column(third)
    store.put('a', TWO, 'file-1', {third: V2})
    np.testing.assert_array_equal(store.read('third', ['a'])[1], V2)
    assert np.isnan(store.read('third', ['b'])[1]).all()
    np.testing.assert_array_equal(store.read('audio', ['a'])[1], A1)

def test_recent_work_survives_the_process_that_did_it(store):
    third = Encoder('third', 'third/1', 3)
    store.add_column(third)
    store.put('a', TWO, 'file-1', {third: V2}) # and the process ends here
    again = FeatureStore(store.folder)
    again.merge_recent()
    np.testing.assert_array_equal(again.read('third', ['a'])[1], V2)
    np.testing.assert_array_equal(again.read('audio', ['a'])[1], A1)
    before = again.segments.version
    again.merge_recent() # twice changes nothing
    assert again.segments.version==before and len(again)==4

def test_the_same_video_twice_in_recent_work(store):
    store.put('c', TWO, 'file-1', {AUDIO: A1, VIDEO: V1})
    store.put('c', TWO[:1], 'file-2', {AUDIO: A1[1:], VIDEO: V2[1:]})
    assert len(store)==5
    np.testing.assert_array_equal(store.read('video', ['c'])[1], V2[1:])

def test_many_rows_are_merged_on_the_way(store, monkeypatch):
    monkeypatch.setattr('mvrep.features.store.MERGE_ROWS', 4)
    for i in range(5): store.put(f'c{i}', TWO, 'file-1', {AUDIO: A1, VIDEO: V1})
    assert store.segments.count_rows()==12 # the last video is not merged yet
    assert len(store)==14

def test_a_table_whose_making_was_interrupted_is_made_again(store):
    store.merge_recent()
    (store.folder/'store'/RECORD).unlink() # of a table that was complete
    shutil.rmtree(store.folder/'store'/'recent.lance'/'_versions') # killed before its first version was complete
    store = FeatureStore(store.folder)
    store.merge_recent()
    store.put('a', TWO, 'file-1', {VIDEO: V2})
    assert len(store)==4
    np.testing.assert_array_equal(store.read('video', ['a'])[1], V2)

def test_recent_work_of_older_columns_makes_room(store):
    store.merge_recent()
    store.add_column(Encoder('third', 'third/1', 3)) # the table of recent work on disk lacks it
    again = FeatureStore(store.folder)
    again.put('c', TWO, 'file-1', {AUDIO: A1})
    np.testing.assert_array_equal(again.read('audio', ['c'])[1], A1)

def test_splits_move_videos_with_their_features(store):
    store.set_splits(dict(b='test', a='valid'))
    assert list(store.keys().split)==['valid', 'valid', 'test', 'test']
    np.testing.assert_array_equal(store.read('video', ['b'])[1], V2)

def test_a_column_belongs_to_one_version_of_an_encoder(store):
    other = VIDEO._replace(made_by='video/2')
    with pytest.raises(ValueError, match='made by video/1, not by video/2: index the videos again'):
        store.add_column(other)
    store.add_column(other, renew=True)
    assert np.isnan(store.matrix('video')).all()
    wider = AUDIO._replace(dim=6)
    with pytest.raises(ValueError, match='width 5, not 6'): store.add_column(wider)

def test_a_matrix_is_written_once_for_each_state(store):
    def files(): return [o.name for o in (store.folder/'cache').glob('*.npy')]
    store.matrix('audio')
    before = files()
    store.matrix('audio')
    assert files()==before
    store.put('c', TWO, 'file-1', {AUDIO: A1, VIDEO: V1})
    assert len(store.matrix('audio'))==6
    assert len(files())==1 and files()!=before

def test_unknown_columns_are_named(store):
    with pytest.raises(ValueError, match="no column 'vggish' .*: there are audio, video"): store.matrix('vggish')
    with pytest.raises(ValueError, match="no column 'vggish'"): store.read('vggish', ['a'])

def test_float16_keeps_what_fits_and_refuses_the_rest(store):
    half = Encoder('half', 'half/1', 5, 'float16')
    store.add_column(half)
    store.put('d', TWO, 'file-1', {half: A1})
    assert store.matrix('half').dtype==np.float16
    np.testing.assert_array_equal(store.read('half', ['d'])[1], A1.astype(np.float16))
    with pytest.raises(ValueError, match='65504'): store.put('e', TWO, 'file-1', {half: A1+1e5})
    assert 'e' not in store.done().index

def test_many_videos_at_once(store):
    names = dict(segment_id=['d_0', 'e_0'], video_id=['d', 'e'])
    keys = pd.DataFrame(dict(names, segment=0, start=0., length=5., split='', source='x'))
    store.append(keys, {VIDEO: V1})
    assert len(store)==6 and store.done().source['e']=='x'
    np.testing.assert_array_equal(store.read('video', ['d', 'e'])[1], V1)
    assert np.isnan(store.read('audio', ['d'])[1]).all()

def test_compaction_keeps_everything(store, monkeypatch):
    monkeypatch.setattr('mvrep.features.store.MAX_FRAGMENTS', 0)
    before = store.matrix('video').copy()
    store.compact()
    np.testing.assert_array_equal(store.matrix('video'), before)

def test_another_process_sees_all_of_a_video_or_nothing(store):
    store.merge_recent()
    reader = FeatureStore(store.folder)
    store.put('c', TWO, 'file-1', {AUDIO: A1, VIDEO: V1})
    assert len(reader)==4 # committed, but not merged
    store.merge_recent()
    reader.segments.checkout_latest()
    assert list(reader.keys().video_id)==['a', 'a', 'b', 'b', 'c', 'c']

def test_a_damaged_table_is_named_with_a_remedy(store):
    store.merge_recent()
    for o in (store.folder/'store'/'segments.lance'/'data').iterdir(): o.write_bytes(b'')
    with pytest.raises(OSError, match="table 'segments' .*has 0 bytes instead of .*: restore it"):
        FeatureStore(store.folder)
    (store.folder/'store'/RECORD).unlink() # as in an index of an earlier version
    again = FeatureStore(store.folder)
    for use in (again.keys, again.done, lambda: again.read('audio', ['a']), lambda: again.matrix('audio')):
        with pytest.raises(OSError, match="table 'segments' of .*: restore it from a copy, or index"): use()
    for o in (store.folder/'store'/'segments.lance'/'_versions').glob('*.manifest'): o.write_bytes(b'xx')
    with pytest.raises(OSError, match="table 'segments'"): FeatureStore(store.folder)

def overwrite(path, start=None):
    "8 KB of zeros in the middle of a file, as a failed disk leaves them"
    content = bytearray(path.read_bytes())
    start = len(content)//3 if start is None else start
    content[start:start+8192] = bytes(min(8192, len(content)-start))
    path.write_bytes(content)

def test_zeros_in_the_data_are_found_before_they_are_read(store):
    store.merge_recent()
    data, = (store.folder/'store'/'segments.lance'/'data').iterdir()
    overwrite(data)
    again = FeatureStore(store.folder)
    for use in (again.keys, again.done, lambda: again.read('audio', ['a']), lambda: again.matrix('audio')):
        with pytest.raises(OSError, match="table 'segments' .*was changed between byte 0 and"): use()
        again = FeatureStore(store.folder)

def test_a_table_is_not_older_than_it_was(store):
    "As after an interrupted copy; the engine would open the version before"
    store.merge_recent()
    manifests = sorted((store.folder/'store'/'segments.lance'/'_versions').glob('*.manifest'))
    manifests[0].unlink()
    with pytest.raises(OSError, match='its newest manifest is missing'): FeatureStore(store.folder)
    shutil.rmtree(store.folder/'store'/'segments.lance')
    with pytest.raises(OSError, match='is missing or has no manifest'): FeatureStore(store.folder)
    assert not (store.folder/'store'/'segments.lance').exists() # not made again

def test_a_manifest_of_zeros_is_damage_even_if_it_was_not_recorded(store):
    store.set_splits(dict(a='test')) # a commit after the last record
    manifest = min((store.folder/'store'/'segments.lance'/'_versions').glob('*.manifest'))
    overwrite(manifest, 0)
    with pytest.raises(OSError, match='manifest of version . is damaged'): FeatureStore(store.folder)

def test_a_damaged_matrix_is_written_again(store):
    before = np.array(store.matrix('audio'))
    for damage in (overwrite, lambda path: path.write_bytes(path.read_bytes()[:-3]), lambda path: path.unlink()):
        for suffix in ('.npy', '.json'):
            path, = (store.folder/'cache').glob(f'audio-*{suffix}')
            damage(path)
            np.testing.assert_array_equal(FeatureStore(store.folder).matrix('audio'), before)

def test_a_store_in_a_read_only_folder(store, monkeypatch, tmp_path):
    "Its matrices go to the data home"
    before = np.array(store.matrix('audio'))
    shutil.rmtree(store.folder/'cache')
    monkeypatch.setenv('MVREP_HOME', str(tmp_path/'home'))
    monkeypatch.setattr(os, 'access', lambda path, mode, **options: False)
    np.testing.assert_array_equal(FeatureStore(store.folder).matrix('audio'), before)
    assert not (store.folder/'cache').exists()
    assert list((tmp_path/'home'/'cache').glob('features-*/audio-*.npy'))

def test_recent_work_is_on_the_disk_before_its_other_copy_goes(store, monkeypatch):
    flushed, folder = [], store.folder/'store'
    fsync = os.fsync
    def noted(handle):
        flushed.append(os.readlink(f'/proc/self/fd/{handle}'))
        fsync(handle)
    monkeypatch.setattr(os, 'fsync', noted)
    create = store.db.create_table
    def emptied(*args, **kwargs):
        written = [o for o in (folder/'segments.lance').rglob('*') if o.suffix in ('.lance', '.manifest')]
        newest = {str(min(o for o in written if o.suffix=='.manifest'))}
        data = {str(o) for o in written if o.suffix=='.lance'}
        assert data | newest | {str(folder/'segments.lance'/'_versions'), str(folder)}<=set(flushed)
        return create(*args, **kwargs)
    monkeypatch.setattr(store.db, 'create_table', emptied)
    store.put('c', TWO, 'file-1', {AUDIO: A1, VIDEO: V1})
    store.merge_recent()
    assert flushed

def test_engine_errors_become_errors_of_python():
    def refused(error):
        with table_errors("table 'x'", 'do this'): raise error
    with pytest.raises(OSError, match=r"^table 'x': a file is missing \(Not found: 1.lance\): do this$"):
        refused(RuntimeError('lance error: LanceError(IO): Not found: 1.lance, /core/src/result.rs:1896:29\nmore'))
    with pytest.raises(ValueError, match="^table 'x': No field named nope: do this$"):
        refused(ValueError('No field named nope'))
    with pytest.raises(OSError, match='No space left on device: make room'): refused(OSError('No space left on device'))
    with pytest.raises(OSError, match="^table 'x': : do this$"): refused(RuntimeError())
    with pytest.raises(OSError, match='may not be read or written here .*copy the index to a folder'):
        refused(RuntimeError('lance error: Unable to open file /data/x.lance: Permission denied (os error 13)'))
    with pytest.raises(OSError, match='a file is truncated .*: do this$'):
        refused(RuntimeError('Invalid range 0..0 for object of size 0 bytes, /build/dataset.rs:775:26'))
    with pytest.raises(ZeroDivisionError): refused(ZeroDivisionError())

WRITER = """
import sys
from collections import namedtuple
import numpy as np
import mvrep.features.store as store_module
Encoder = namedtuple('Encoder', 'column made_by dim dtype')
Segment = namedtuple('Segment', 'index start length')
audio, video = Encoder('audio', 'audio/1', 5, 'float32'), Encoder('video', 'video/1', 3, 'float32')
store_module.MERGE_ROWS = 6
store = store_module.FeatureStore(sys.argv[1])
for o in (audio, video): store.add_column(o)
for i in range(1000):
    feats = {o: np.full((2, o.dim), i) for o in (audio, video)}
    store.put(f'v{i%7}', [Segment(0, 0., 5.), Segment(1, 5., 5.)], f'{i}', feats)
    print(i, flush=True)
"""

def test_a_killed_writer_leaves_whole_videos(tmp_path):
    rng = random.Random(0)
    for _ in range(3):
        p = subprocess.Popen([sys.executable, '-c', WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
        printed = [p.stdout.readline() for _ in range(rng.randint(3, 30))]
        p.kill()
        printed += p.communicate()[0].splitlines()
        committed = int(printed[-1])
        store = FeatureStore(tmp_path)
        store.merge_recent()
        keys, done = store.keys(), store.done()
        audio, video = store.matrix('audio'), store.matrix('video')
        for i in range(len(keys)):
            version = int(done.source[keys.video_id[i]])
            assert (audio[i]==version).all() and (video[i]==version).all() # features of one commit
        assert (keys.groupby('video_id').size()==2).all()
        last = {f'v{i%7}': i for i in range(committed+1)}
        for video_id,i in last.items():
            assert int(done.source[video_id]) in (i, committed+1) # the next one may be committed, too

# Extraction

COLUMNS = ['musicnn_mtt', 'efficientnet_lite0']

@pytest.fixture(scope='module')
def encoders(): return [load_encoder(o) for o in COLUMNS]

@pytest.fixture(scope='module')
def videos(): return read_manifest(tiny_corpus()/'manifest.csv')

def remux(source, target, kinds=('audio', 'video')):
    "Copy streams of a video into another file, with the index in front"
    with av.open(str(source)) as src, av.open(str(target), 'w', options=dict(movflags='faststart')) as dest:
        copies = {o: dest.add_stream_from_template(o) for o in src.streams if o.type in kinds}
        for packet in src.demux(list(copies)):
            if packet.dts is None: continue
            packet.stream = copies[packet.stream]
            dest.mux(packet)
    return target

def test_encoding_depends_on_file_id_and_weights_only(encoders, videos):
    segments, feats = encode_video(videos.path[0], videos.video_id[0], encoders)
    assert {k: v.shape for k,v in feats.items()}=={o.column: (len(segments), o.dim) for o in encoders}
    again = encode_video(videos.path[0], videos.video_id[0], encoders)[1]
    for column in COLUMNS: np.testing.assert_array_equal(feats[column], again[column])

def test_a_missing_modality_has_no_features(encoders, videos, tmp_path):
    silent = remux(videos.path[0], tmp_path/'silent.mp4', kinds=('video',))
    feats = encode_video(silent, 'silent', encoders)[1]
    assert feats['musicnn_mtt'] is None and feats['efficientnet_lite0'].ndim==2

def test_a_segment_is_decoded_as_the_encoder_asks(encoders, videos):
    info, segment = probe(videos.path[0]), Segment(0, 1., 2.)
    audio, video = (read_segment(info, segment, o) for o in encoders)
    net = encoders[1].net
    assert audio.shape==(2*encoders[0].net.sr,)
    assert len(video)==2*net.fps and min(video.shape[1:3])==net.size

def test_a_truncated_video_is_refused(encoders, videos, tmp_path):
    cut = remux(videos.path[0], tmp_path/'cut.mp4')
    cut.write_bytes(cut.read_bytes()[:cut.stat().st_size*2//3])
    with pytest.raises(MediaError, match=r'audio breaks off at 5.28 s of 8.00 s: copy or download'):
        encode_video(cut, 'x', encoders)

def test_values_that_are_not_finite_are_refused(encoders, videos):
    class Broken:
        column = 'broken'
        modality = 'audio'
        net = encoders[0].net
        def __call__(self, x): return np.array([np.nan])
    with pytest.raises(MediaError, match='broken gave values that are not finite'):
        encode_video(videos.path[0], 'x', [Broken()])

def with_silence(source, target, level=0.):
    "A copy of a video whose audio is noise of a level"
    frames = read_frames(source, 0, 6, fps=10)
    y = level*np.random.default_rng(0).uniform(-1, 1, 6*44100).astype(np.float32)
    return write_mp4(target, frames, 10, y, 44100)

@pytest.mark.parametrize('level, is_silent', [(0., True), (3e-4, True), (.01, False)])
def test_silent_audio_counts_as_none(encoders, videos, tmp_path, level, is_silent):
    path = with_silence(videos.path[0], tmp_path/'a.mp4', level)
    assert probe(path).has_audio
    feats = encode_video(path, 'a', encoders)[1]
    assert (feats['musicnn_mtt'] is None)==is_silent and feats['efficientnet_lite0'].ndim==2

def test_a_silent_song_is_refused(encoders, tmp_path):
    path = write_mp4(tmp_path/'a.mp4', y=np.zeros(3*44100, np.float32))
    with pytest.raises(MediaError, match='its audio is silent, and it has no video'): encode_video(path, 'a', encoders)

def test_silent_videos_are_counted_and_named(videos, tmp_path):
    (tmp_path/'in').mkdir()
    with_silence(videos.path[0], tmp_path/'in'/'loud.mp4', .1)
    with_silence(videos.path[0], tmp_path/'in'/'silent.mp4')
    remux(videos.path[1], tmp_path/'in'/'without.mp4', kinds=('video',))
    index = index_folder(tmp_path/'in', tmp_path/'ix', progress=False).index
    numbers = index_info(index)
    assert numbers.silent_audio==('silent',) and (numbers.with_audio, numbers.with_video)==(1, 3)
    assert '1 video, used without audio: silent' in run_command('info', tmp_path/'ix', width=200).text

def test_the_time_limit_follows_the_duration():
    limits = [encoding_seconds(o, 'stratified') for o in (4, 240, 7200)]
    assert limits==[300+80+4, 300+600+240, 300+600+7200]
    assert encoding_seconds(240, 'whole')>5000

def test_a_text_file_is_refused(encoders, tmp_path):
    (tmp_path/'notes.mp4').write_text('not a video')
    with pytest.raises(MediaError, match='text, not media'): encode_video(tmp_path/'notes.mp4', 'x', encoders)

@pytest.fixture(scope='module')
def extracted(videos, tmp_path_factory):
    "Four good videos and a bad one, their store, and what `extract` counted"
    folder = tmp_path_factory.mktemp('extracted')
    bad = folder/'bad.mp4'
    bad.write_bytes(b'\0'*1000)
    few = pd.concat([videos.head(4), pd.DataFrame([dict(video_id='bad', path=str(bad))])], ignore_index=True)
    store = FeatureStore(folder/'ix')
    return few, store, extract(few, store, workers=1, progress=False)

def test_everything_is_missing_from_a_new_store(encoders, videos, tmp_path):
    jobs = missing_jobs(videos, FeatureStore(tmp_path), encoders)
    assert [o.video_id for o in jobs]==list(videos.video_id)
    assert jobs[0].columns==COLUMNS and jobs[0].path==str(videos.path[0])

def test_good_files_have_rows_and_bad_ones_a_reason(extracted):
    few, store, count = extracted
    assert count==dict(done=4, failed=1, skipped=0)
    assert list(store.errors().video_id)==['bad'] and set(store.done().index)==set(few.video_id[:4])

def test_workers_store_what_this_process_computes(extracted, encoders, videos):
    store = extracted[1]
    feats = encode_video(videos.path[0], videos.video_id[0], encoders)[1]
    for column in COLUMNS:
        np.testing.assert_array_equal(store.read(column, [videos.video_id[0]])[1], feats[column])
        rows = (store.keys().video_id==videos.video_id[0]).to_numpy()
        np.testing.assert_array_equal(store.matrix(column)[rows], feats[column])

def test_only_the_bad_file_is_tried_again(extracted, encoders):
    few, store, _ = extracted
    assert [o.video_id for o in missing_jobs(few, store, encoders)]==['bad']
    with pytest.raises(MediaError, match='bad.mp4'): extract(few, store, workers=1, strict=True, progress=False)

def test_a_changed_file_and_a_new_encoder_are_missing(extracted, encoders, tmp_path):
    few, store, _ = extracted
    copy = shutil.copy(few.path[1], tmp_path/'copy.mp4') # another modification time
    changed = few.head(3).assign(path=[few.path[0], copy, few.path[2]])
    assert [(o.video_id, o.columns) for o in missing_jobs(changed, store, encoders)]==[(few.video_id[1], COLUMNS)]
    third = VIDEO._replace(column='third')
    assert [o.columns for o in missing_jobs(few.head(3), store, [*encoders, third])]==[['third']]*3

def test_splits_follow_the_manifest(extracted):
    few, store, _ = extracted
    count = extract(few.head(4).assign(split=['test', None, 'test', 'valid']), store, workers=1, progress=False)
    assert count==dict(done=0, failed=0, skipped=4)
    before = few.split.fillna('') if 'split' in few else pd.Series('', few.index)
    assert list(store.done().split[few.video_id[:4]])==['test', before[1], 'test', 'valid']

def test_missing_weights_stop_the_job_before_it_starts(extracted):
    few, store, _ = extracted
    with pytest.raises(WeightsError): extract(few, store, ('r2plus1d_18@/nowhere/r2plus1d_18.pth',), progress=False)
