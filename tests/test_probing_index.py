"Probing and tagging an index: the twelve demo videos, a store with gaps, and what is refused"
import json
from dataclasses import replace
from types import SimpleNamespace
import numpy as np
import pandas as pd
import pytest
from ragged import COLUMNS, ENCODERS, features_of, made_features
from mvrep.encoders.musicnn import Musicnn
from mvrep.index.index import create_index
from mvrep.index.examples import tiny_index
from mvrep.media.read import read_audio
from mvrep.probing.cross_validation import Protocol
from mvrep.corpus.duplicates import recordings
from mvrep.probing.index import NoLabels, is_measured, label_columns, probe_index, video_features
from mvrep.probing.tags import musicnn_tags, tag_catalogue

QUICK = Protocol(n_seeds=1)

@pytest.fixture(scope='module')
def index(tmp_path_factory): return tiny_index(tmp_path_factory.mktemp('index')/'tiny')

# Features of videos

@pytest.fixture
def small_store():
    "Video b has a segment without audio, c has no audio, and a video called new is not in the store"
    keys = pd.DataFrame(dict(video_id=[*'aabbbc']))
    matrix = np.array([1., 3, np.nan, 5, 6, np.nan])[:, None]
    return SimpleNamespace(keys=lambda: keys, matrix=lambda column: matrix)

@pytest.mark.parametrize('block', [1, 2, 3, 256])
def test_features_do_not_depend_on_the_block(small_store, block):
    found = video_features(small_store, dict(audio='loudness'), np.array(['c', 'a', 'b', 'new']), block)['audio']
    np.testing.assert_array_equal(found, [[np.nan, np.nan], [2, 1], [5.5, .5], [np.nan, np.nan]])

def test_features_of_an_index_are_means_and_standard_deviations(index):
    keys = index.store.keys().video_id.to_numpy()
    for modality, found in video_features(index.store, index.build.columns, index.build.video_ids, 5).items():
        segments = pd.DataFrame(np.array(index.store.matrix(index.build.columns[modality]), float)).groupby(keys)
        np.testing.assert_allclose(found, np.c_[segments.mean(), segments.std(ddof=0)], atol=1e-5)

def test_features_of_irregular_videos(ragged):
    "Any videos may be asked for; those that lack a modality, or are only entered, have none of its features"
    wanted = np.array(['z_unbuilt', 'late', 'no_audio', 'b_entered', 'c03'])
    made = {modality: made_features(ragged, modality) for modality in COLUMNS}
    for block in (1, 7, 256):
        found = video_features(ragged.store, COLUMNS, wanted, block)
        for modality, x in found.items():
            expected = np.full((5, x.shape[1]), np.nan)
            for row, feats in enumerate([features_of('z_unbuilt')[ENCODERS[modality]], made[modality]['late'],
                                         made[modality].get('no_audio'), None, made[modality]['c03']]):
                if feats is not None: expected[row] = np.r_[feats.mean(0), feats.std(0)]
            np.testing.assert_allclose(x, expected, atol=1e-4)

@pytest.mark.parametrize('block', [1, 4, 256])
def test_videos_that_are_not_wanted_overwrite_nothing(small_store, block):
    found = video_features(small_store, dict(audio='loudness'), np.array(['a', 'x', 'b']), block)['audio']
    np.testing.assert_array_equal(found, [[2, 1], [np.nan, np.nan], [5.5, .5]])

def test_measured_numbers_have_fractions():
    for values, is_number in (([1., 2.5, np.nan], True), ([1., 2., np.nan], False), ([1, 2], False), (['1.5'], False)):
        assert is_measured(pd.Series(values))==is_number

# Probing

def test_an_irregular_index_is_probed(ragged_model):
    "Every input says for how many videos it is; the recording of c05 is that of c04, so both are in one fold"
    report = probe_index(ragged_model, 'genre', protocol=Protocol('knn', n_seeds=1))
    n = {o['by']: o['n'] for o in report['results']}
    labelled = len(ragged_model.build.video_ids)-1
    assert report['n']==labelled and report['grouped_by']=='artist'
    assert n==dict(audio=labelled-1, video=labelled-1, concatenated=labelled, both=labelled)
    assert any('1 copy of other videos' in o for o in report['notes'])
    assert any('joint_both: left out, their model has learned from all artists' in o for o in report['notes'])
    assert {o['video_id'] for o in report['doubtful']}<=set(ragged_model.build.video_ids)-{'a_unlabelled'}
    for o in report['doubtful']: assert ragged_model.videos.genre[o['video_id']]==o['label']
    assert report['results'][0]['chance_accuracy']==pytest.approx(.5, abs=.01)

def test_the_probes_of_both_use_all_three_inputs(index, monkeypatch):
    asked = []
    def record(inputs, values, artists, fused, protocol, measured, copies, learned):
        asked.append((list(inputs), fused, measured, copies))
        return dict(results=[], doubtful=[], notes=[])
    monkeypatch.setattr('mvrep.probing.index.cross_validate', record)
    for by in ('both', 'all', 'audio'): probe_index(index, 'tags', by)
    three = ['audio', 'video', 'concatenated']
    copies = recordings(index.videos).tolist()
    assert asked==[(three, dict(both=tuple(three)), ('concatenated', 'both'), copies),
                   (three, dict(both=tuple(three)), None, copies), (['audio'], {}, None, copies)]

def test_tags_of_the_demo_videos(index):
    report = probe_index(index, 'tags', 'both', QUICK)
    assert [o['by'] for o in report['results']]==['concatenated', 'both']
    assert [o['input'] for o in report['results']]==['B3', 'B1 + B2 + B3']
    assert {o['by'] for o in report['per_class']}=={'concatenated', 'both'}
    assert {(o['by'], o['than'], o['n']) for o in report['differences']}=={('both', 'concatenated', 12)}
    assert (report['doubtful_by'], report['doubtful'])==('both', None)
    assert not np.isnan([o['auc'] for o in report['results']]).any()
    assert json.loads(json.dumps(report))['target']=='tags'
    assert dict(label='bass', n=2, reason='fewer than 3 videos') in report['skipped']

def test_one_modality(index):
    report = probe_index(index, 'tags', 'audio', QUICK)
    assert ([o['by'] for o in report['results']], report['differences'])==(['audio'], [])

def with_features(index, **matrices):
    "The index with other features"
    stored = {o: index.store.matrix(o) for o in index.build.columns.values()}
    changed = {column: matrices.get(modality, stored[column]) for modality, column in index.build.columns.items()}
    store = SimpleNamespace(keys=index.store.keys, matrix=changed.get)
    return SimpleNamespace(folder='', videos=index.videos, store=store, build=index.build)

def test_a_modality_that_no_video_has(index):
    lacking = with_features(index, audio=np.full((len(index.store.keys()), 8), np.nan))
    report = probe_index(lacking, 'tags', 'both', QUICK)
    assert [o['by'] for o in report['results']]==['video']
    assert report['notes'][0]=='no video of this index has audio: left out'
    with pytest.raises(ValueError, match="by='audio': no video of this index has features of audio"):
        probe_index(lacking, 'tags', 'audio', QUICK)

def test_missing_parts_of_both_are_noted(index):
    audio = np.array(index.store.matrix(index.build.columns['audio']))
    audio[index.store.keys().video_id==index.build.video_ids[3]] = np.nan
    report = probe_index(with_features(index, audio=audio), 'tags', 'both', QUICK)
    assert [o['by'] for o in report['results']]==['concatenated', 'both']
    assert 'audio: missing in 1 video' in report['notes']

def test_a_column_of_the_users_own_is_a_target(index):
    videos = index.videos.assign(shelf=[i%2+1 for i in range(12)])
    changed = SimpleNamespace(folder='', videos=videos, store=index.store, build=index.build)
    report = probe_index(changed, 'shelf', 'video')
    assert report['classes']==['1', '2'] and report['target']=='shelf'

def test_a_trained_model_adds_inputs(index):
    model = SimpleNamespace(origin=SimpleNamespace(split={index.build.video_ids[0]: 'train'}))
    emb = {modality: np.array(index.build.embeddings[modality])[:, :32] for modality in ('audio', 'video')}
    build = replace(index.build, model=model, embeddings=emb)
    trained = SimpleNamespace(folder='', videos=index.videos, store=index.store, build=build)
    report = probe_index(trained, 'tags', protocol=Protocol('knn', n_seeds=1))
    assert [o['input'] for o in report['results']][-4:]==['M1', 'M2', 'M3', 'B1 + B2 + B3']
    n_by_artist = int((index.videos.artist==index.videos.artist.iloc[0]).sum())
    assert {o['n'] for o in report['results'] if o['by'].startswith('joint')}=={12-n_by_artist}
    note = f'their model has learned from artists of {n_by_artist} of these 12 videos, so that only the other'
    assert sum(note in o for o in report['notes'])==1 and not any('missing in' in o for o in report['notes'])
    pairs = [o for o in report['differences'] if o['by'].startswith('joint') and o['than']=='audio']
    assert {o['n'] for o in pairs}=={12-n_by_artist}
    assert report['doubtful_by']=='both'

def test_what_cannot_be_probed(index, tmp_path):
    with pytest.raises(ValueError, match='fewer than two classes'): probe_index(index, 'genre')
    message = "target='colour': want a column of the manifest: "
    with pytest.raises(ValueError, match=message): probe_index(index, 'colour')
    with pytest.raises(ValueError, match="target='gener': want .* did you mean genre[?]"): probe_index(index, 'gener')
    assert not {'path', 'sha256', 'duration', 'title'} & set(label_columns(index.videos))
    for measured in ('duration', 'tempo'):
        with_tempo = with_features(index)
        numbers = np.linspace(60, 180.5, len(index))
        with_tempo.videos = index.videos.assign(tempo=numbers, duration=numbers)
        with pytest.raises(ValueError, match=f"target='{measured}': it holds measured numbers, not labels: want"):
            probe_index(with_tempo, measured)
    unlabelled = with_features(index)
    unlabelled.videos = index.videos.assign(mood=None)
    with pytest.raises(NoLabels, match='^no video of this index has a label in mood$'): probe_index(unlabelled, 'mood')
    with pytest.raises(ValueError, match="refit=True: .* not of by='audio'"):
        probe_index(index, 'tags', 'audio', refit=True)
    with pytest.raises(ValueError, match="by='smell'"): probe_index(index, 'genre', 'smell')
    empty = create_index(tmp_path/'new', (), dict(audio='a', video='b'))
    with pytest.raises(ValueError, match='has no videos: add some'): probe_index(empty, 'genre')

# Tags

def test_tags_are_the_means_of_segments_in_the_order_of_the_build(index):
    column = index.build.columns['audio']
    of_segments = musicnn_tags(np.array(index.store.matrix(column)))
    keys = index.store.keys().video_id.to_numpy()
    found = tag_catalogue(index, labels=True)
    for video_id in (index.build.video_ids[-1], index.build.video_ids[0]):
        np.testing.assert_allclose(found.loc[video_id], of_segments[keys==video_id].mean(), rtol=1e-6)
    best = found.iloc[3].sort_values(ascending=False)[:5]
    shown = tag_catalogue(index).iloc[3]
    assert shown.tags==best.index.tolist() and shown.scores==pytest.approx(best.tolist(), abs=6e-4)

def test_tags_of_a_catalogue(index):
    found = tag_catalogue(index)
    assert found.index.tolist()==list(index.build.video_ids) and found.tags.map(len).eq(5).all()
    assert tag_catalogue(index, labels=True).shape==(12, 50)

def test_tags_are_nearly_those_of_musicnn(index):
    video_id = index.build.video_ids[0]
    segments = index.store.keys().query('video_id==@video_id')
    net, patches = Musicnn.from_pretrained('mtt'), []
    for o in segments.itertuples():
        y = read_audio(index.videos.path[video_id], o.start, o.length)
        patches.append(net.encode(y, 16000, 2.)['taggram'].mean(0))
    ours = tag_catalogue(index, labels=True).loc[video_id].to_numpy()
    assert np.corrcoef(ours, np.mean(patches, 0))[0, 1]>.98

def test_another_encoder_has_no_tags():
    index = SimpleNamespace(build=SimpleNamespace(columns=dict(audio='clap')))
    with pytest.raises(ValueError, match='encoded by clap'): tag_catalogue(index)
