"Tables of probe results: cells, sentences that compare inputs, files, and an index that cannot be probed"
from types import SimpleNamespace
import pandas as pd
import pytest
from mvrep.probing.index import THESIS_INPUTS
from mvrep.probing.tables import difference_text, probe_or_explain, probe_table, read_probes, with_interval

RESULTS = pd.DataFrame(dict(
    by=['audio', 'both'], n=[20, 22], auc=[.714, .9], auc_low=[.6, .85], auc_high=[.8, .95], chance_auc=[.5, .5]))

def test_an_interval_as_text(): assert with_interval(RESULTS, 'auc')==['0.71 (0.60–0.80)', '0.90 (0.85–0.95)']

def difference(low, value, high):
    return pd.DataFrame([dict(by='both', than='audio', measure='auc', n=20, difference=value, low=low, high=high)])

def test_a_table_begins_with_chance():
    table = probe_table(RESULTS, dict(AUC='auc'))
    assert table.index.tolist()==['chance', 'audio', 'both']
    assert table.AUC.tolist()==['0.50', '0.71 (0.60–0.80)', '0.90 (0.85–0.95)']
    assert table.thesis.tolist()==['', THESIS_INPUTS['audio'], THESIS_INPUTS['both']]
    assert probe_table(pd.DataFrame([]), dict(AUC='auc')).empty

@pytest.mark.parametrize('interval, verdict', [
    ((.02, .1, .2), 'is above audio: +0.10 (+0.02 to +0.20)'),
    ((-.2, -.1, -.02), 'is below audio: -0.10 (-0.20 to -0.02)'),
    ((-.02, .1, .2), 'is not told apart from audio: +0.10 (-0.02 to +0.20)'),
    ((0., 0., 0.), 'is not told apart from audio: +0.00 (+0.00 to +0.00)')])
def test_the_interval_of_the_difference_ranks(interval, verdict):
    assert difference_text(difference(*interval), 'both', 'audio')=='both '+verdict

def test_inputs_that_were_not_compared():
    rows = difference(.02, .1, .2)
    for args in (('audio', 'both'), ('both', 'audio', 'accuracy'), ('both', 'video')):
        assert difference_text(rows, *args)==f'{args[0]} was not compared with {args[1]}'
    assert difference_text(pd.DataFrame([]), 'both', 'audio')=='both was not compared with audio'
    assert difference_text(rows.assign(difference=None), 'both', 'audio')=='both and audio have no auc'

def test_one_target_and_kind_of_a_file(tmp_path):
    rows = pd.DataFrame(dict(target=['genre', 'tags', 'genre'], kind=['knn', 'knn', 'linear'], auc=[.1, .2, .3]))
    rows.to_csv(tmp_path/'probes.csv', index=False)
    found = read_probes(tmp_path/'probes.csv', 'genre')
    assert (found.auc.tolist(), found.index.tolist())==([.3], [0])
    assert read_probes(tmp_path/'probes.csv', 'tags', 'knn').auc.tolist()==[.2]
    with pytest.raises(OSError): read_probes(tmp_path/'missing.csv', 'genre')

def test_an_index_that_cannot_be_probed(capsys):
    videos = pd.DataFrame(dict(mood=[None]), index=['v0'])
    index = SimpleNamespace(videos=videos, build=SimpleNamespace(video_ids=videos.index))
    assert probe_or_explain(index, 'mood')['differences']==[]
    assert capsys.readouterr().out=='no video of this index has a label in mood\n'
    probe_or_explain(index, 'colour')
    assert 'want a column of the manifest: mood' in capsys.readouterr().out
