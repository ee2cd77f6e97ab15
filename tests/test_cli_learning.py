"Commands that learn from an index"
import re
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
from commands import ask, mvrep
from mvrep.cli.learning import DIRECTIONS, DOUBT, INPUTS, RANKING, _note_limits, _ranking_rows, _show_results
from mvrep.encoders.registry import Encoder
from mvrep.index.index import create_index
from mvrep.index.examples import tiny_index
from mvrep.media.segments import Segment
from mvrep.probing.index import THESIS_INPUTS

RESULTS = Path(__file__).resolve().parents[1]/'results'
pytestmark = pytest.mark.filterwarnings('ignore:the first of', 'ignore:R@5') # notes of the tiny index
FEW_EPOCHS = '--epochs', 3, '--accelerator', 'cpu'

def test_train_again_repeats_the_result(tmp_path):
    index = tiny_index(tmp_path)
    refused = mvrep('evaluate', index.folder, code=1).stderr
    assert 'no trained model' in refused and refused.count('\n')==1
    parts = ['train']*7+['valid']*2+['test']*3
    index.put_videos(index.videos.reset_index().assign(split=parts))
    answer = ask('train', index.folder, *FEW_EPOCHS)
    assert (answer['recipe'], answer['epochs'])==('aligned', 3)
    names = 'recipe corpus run epoch epochs train_loss valid_loss valid_median_rank valid_R@10 columns videos'
    assert list(answer)==names.split() and answer['valid_median_rank']>=1
    assert answer['videos']==dict(train=7, valid=2, test=3, unknown_artists=0)
    printed = mvrep('train', index.folder, *FEW_EPOCHS)
    assert f'best of epochs 0 to 2: epoch {answer["epoch"]},' in printed.stdout
    assert 'trained on 7 videos, validated on 2; 3 kept for' in printed.stdout and 'unknown' not in printed.stderr
    assert 'audio → video' in mvrep('evaluate', index.folder).stdout
    assert ask('evaluate', index.folder)['retrieval']['pool_size']==3
    assert ask('info', index.folder)['model']==answer['run']
    builds = ask('rollback', index.folder, '--list')['builds']
    assert [o['model'] for o in builds]==['', answer['run']] # the same model again makes no build

# What limits the numbers of an evaluation

def test_the_numbers_of_few_videos_and_of_unknown_artists_have_notes(capsys):
    chance = {f'chance_{name}': .1 for name in RANKING}
    ends = '', '_low', '_high'
    values = {f'{direction}_{name}{end}': .5 for direction in DIRECTIONS for name in RANKING for end in ends}
    counts = dict(pool_size=4, n_by_artists_trained_on=0, n_trained_on=24, n_unknown_artists=28)
    few = {**values, **chance, **counts, 'chance_R@5': 1., 'chance_R@10': 1.}
    assert {row[1] for row in _ranking_rows(few)}=={'median_rank', 'mean_rank', 'MRR', 'R@1'}
    exact = few|{f'audio_to_video_MRR{end}': value for end, value in zip(ends, (.7, .6, .8))}|{'chance_MRR': .2}
    assert ('audio → video', 'MRR', .7, .6, .8, .2) in _ranking_rows(exact)
    _note_limits(few)
    notes = capsys.readouterr().err
    assert '4 test videos: too few' in notes
    assert 'the artist of 28 of 28 training and test videos is unknown' in notes
    _note_limits(values|chance|dict(pool_size=1000, n_by_artists_trained_on=0, n_trained_on=9000, n_unknown_artists=0))
    assert not capsys.readouterr().err
    _note_limits(values|chance|dict(pool_size=1000, n_by_artists_trained_on=1, n_trained_on=9000, n_unknown_artists=1))
    notes = capsys.readouterr().err
    assert '1 test video by artists in the training set' in notes and 'the artist of 1 of 10,000' in notes

# Probes

class RandomNet:
    "What an encoder must tell about its network"
    dim = 6
    layers = dict(pooled=6)
    weights_hash = 'random'

EMOTIONS = [*['żal 悲']*8, *['joy']*8, *['calm']*8, 'lonely', None]
IDS = [f'v{i:02}' for i in range(len(EMOTIONS))]

def labels(emotions): return pd.DataFrame(dict(video_id=IDS, path=IDS, emotion=emotions))

@pytest.fixture(scope='module')
def labelled(tmp_path_factory):
    "Random features, with the emotion in two of them: a label with one video, a video without a label"
    rng = np.random.default_rng(0)
    index = create_index(tmp_path_factory.mktemp('labelled')/'ix', ('a', 'v'), dict(audio='a', video='v'))
    encoders = Encoder('a', 'audio', RandomNet()), Encoder('v', 'video', RandomNet())
    for encoder in encoders: index.store.add_column(encoder)
    for video_id, emotion in zip(IDS, EMOTIONS):
        x = rng.normal(size=(2, 6))
        x[:, :2] += 4*np.array([emotion=='joy', emotion=='calm'])
        feats = {encoder: x+rng.normal(size=(2, 6)) for encoder in encoders}
        index.store.put(video_id, [Segment(0, 0., 5.), Segment(1, 5., 5.)], 'random', feats)
    index.put_videos(labels(EMOTIONS))
    index.make_build()
    return index

def probe(index, *args):
    return mvrep('probe', index.folder, '--target', 'emotion', '--seeds', 1, *args)

def first_cells(line): return [o.strip() for o in line.split('│')[1:4]]

def test_the_report_of_a_probe(labelled):
    done = probe(labelled, '--by', 'both', '--json')
    report = done.json
    assert report['n_per_class']=={'calm': 8, 'joy': 8, 'żal 悲': 8} and report['skipped'][0]['label']=='lonely'
    assert (report['target'], report['folds'], report['seeds'], report['grouped_by'])==('emotion', 5, 1, 'video')
    assert report['results'][-1]['accuracy']>report['results'][-1]['chance_accuracy']+.2
    notes = done.stderr.splitlines()
    assert len(notes)==1+len(report['notes']) and all(o.startswith('note: ') for o in notes)
    assert 'lonely' in notes[0]

def test_the_table_of_a_probe_has_chance_and_the_most_frequent_label(labelled):
    printed = probe(labelled, '--by', 'audio', '--kind', 'knn').stdout
    assert 'most frequent' in printed and 'chance' in printed
    assert 'difference of AUC' not in printed # one input has nothing to be compared with

def test_chance_has_a_row_of_its_own(capsys):
    intervals = {f'{o}{end}': .8 for o in ('accuracy', 'macro_f1', 'auc') for end in ('', '_low', '_high')}
    chance = dict(chance_accuracy=.31, chance_macro_f1=.25, chance_auc=.5, majority_accuracy=.42)
    report = dict(target='mood', classes=list('abcd'), n=9, folds=3, seeds=1, grouped_by='artist', multilabel=False)
    result = intervals|chance|dict(by='audio', n=9)
    _show_results(report|dict(results=[result]), [result])
    rows = {}
    for line in capsys.readouterr().out.splitlines():
        name, *cells = map(str.strip, re.split(r'[│\t]', line.strip('│')))
        rows[name] = cells
    assert rows['chance'][1:4]==['0.310', '0.250', '0.500'] and rows['most frequent'][1]=='0.420'
    assert rows['audio'][:2]==['9', '0.800 (0.800–0.800)']

def test_the_rows_of_a_probe_are_explained(labelled):
    printed = probe(labelled, '--by', 'both').stdout
    table = printed[:printed.index('per class')]
    assert sum(line.startswith('│ both') for line in table.splitlines())==1 and '│ concatenated' not in table
    assert 'both: mean of the probabilities' in table and 'difference of AUC' not in table
    everything = probe(labelled).stdout
    assert all(f'{name}: ' in everything for name in ('audio', 'video', 'concatenated', 'both'))
    assert set(INPUTS)==set(THESIS_INPUTS)

def test_inputs_are_compared_on_the_same_videos(labelled):
    printed = probe(labelled).stdout
    compared = printed[printed.index('difference of AUC'):printed.index('per class, by both')]
    assert [first_cells(o)[:2] for o in compared.splitlines() if o.startswith('│')]==[
        ['audio', '24'], ['video', '24'], ['concatenated', '24']]

def test_only_a_probe_of_all_inputs_trains_the_joint_space_again(labelled):
    target = '--target', 'emotion'
    refused = mvrep('probe', labelled.folder, *target, '--by', 'audio', '--refit', code=2, width=300).stderr
    assert '--refit' in refused and "the joint space is an input of by='all', not of by='audio'" in refused

def test_a_wrong_label_is_among_those_to_check(labelled):
    wrong = list(EMOTIONS)
    wrong[10] = 'calm'
    labelled.put_videos(labels(wrong))
    printed = probe(labelled, '--by', 'both').stdout
    labelled.put_videos(labels(EMOTIONS))
    to_check = printed[printed.index('labels to check'):]
    assert ['v10', 'calm', 'joy'] in [first_cells(line) for line in to_check.splitlines()]

def test_the_numbers_about_doubtful_labels_are_those_of_the_study():
    table = pd.read_csv(RESULTS/'label_noise.csv').query('share==.1').groupby('corpus')
    means = table[['precision_first_10', 'precision']].mean()
    shown = [f'{100*o:.0f} %' for o in means.loc[['muvi_sync', 'synthetic']].to_numpy().ravel()]
    assert re.findall(r'\d+ %', ' '.join(DOUBT))==['10 %', *shown]

def test_a_column_without_labels_and_a_column_that_does_not_exist(labelled):
    refused = mvrep('probe', labelled.folder, '--target', 'genre', code=1).stderr
    assert '--label-from-folder genre' in refused and refused.count('\n')==1
    unknown = mvrep('probe', labelled.folder, '--target', 'colour', code=2, width=300).stderr
    assert "'--target'" in unknown and 'colour' in unknown and 'column of the manifest' in unknown
    mvrep('probe', labelled.folder, code=2)

@pytest.mark.parametrize('option', [('--recipe', 'track'), ('--accelerator', 'cpu'), ('--devices', 2),
                                    ('--precision', 'bf16-mixed')])
def test_options_that_ratings_do_not_use_are_refused(tmp_path, option):
    (tmp_path/'r.csv').write_text('user,item,rating\na,b,5\n')
    done = mvrep('train', tmp_path, '--ratings', tmp_path/'r.csv', *option, code=2)
    assert f'cannot be combined with {option[0]}' in ' '.join(done.text.split())
