"Logs: what is read, what is refused, simulated users, and the promises of each split"
from datetime import datetime
import numpy as np
import pandas as pd
import pytest
from mvrep.recommendation.interactions import InteractionError, LogReport, cold_items, hold_out, leave_last
from mvrep.recommendation.interactions import read_interactions, simulate_log

SMALL = '''user,item,time
7,v1,2024-03-02
7,v0,2024-03-01T20:00
NA,v1,2024-03-05
7,v1,2024-03-02
7,v1,2024-03-03
7,gone,2024-03-04
'''

@pytest.fixture
def path(tmp_path): return tmp_path/'log.csv'

# Reading

def test_rows_are_sorted_and_unique(path):
    path.write_text(SMALL)
    log, report = read_interactions(path, ['v0', 'v1', 'v2'])
    assert list(zip(log.user, log.item))==[('7', 'v0'), ('7', 'v1'), ('NA', 'v1')]
    assert report==LogReport(rows=6, unknown_rows=1, unknown_items=1, same_rows=1, repeats=1, kept=3, users=2, items=2)
    assert log.time[0]==datetime.fromisoformat('2024-03-01T20:00+00:00').timestamp()

def test_parquet_is_read_as_csv(path):
    path.write_text(SMALL)
    log, _ = read_interactions(path, ['v0', 'v1'])
    log.to_parquet(path.with_suffix('.parquet'))
    pd.testing.assert_frame_equal(read_interactions(path.with_suffix('.parquet'))[0], log)
    pd.testing.assert_frame_equal(read_interactions(log)[0], log)

def test_dates_of_a_table_are_seconds():
    times = pd.to_datetime(['2024-01-01', '2024-01-02'])
    log, _ = read_interactions(pd.DataFrame(dict(user=['a', 'b'], item=[1, 2], time=times)))
    assert log.time.diff()[1]==86400 and log.item.tolist()==['1', '2']

def test_without_items_all_are_known(path):
    path.write_text(SMALL)
    _, report = read_interactions(path)
    assert report.unknown_rows==0 and report.items==3

# Refusals

def refusal(path, text, items=None):
    "What the error says about a log"
    path.write_text(text)
    with pytest.raises(InteractionError) as e: read_interactions(path, items)
    assert str(e.value).startswith(f'{path}: ')
    return str(e.value)

HEADER = 'user,item,time\n'

@pytest.mark.parametrize('text, expected', [
    ('user,item,when\n', 'no column time; it has user, item, when'),
    (HEADER, 'no rows'),
    (HEADER+'a,v1,5\nb,v1,2024-01-01\n', 'both numbers and dates'),
    ('', 'no column user, item, time; it has no columns')])
def test_a_fault_is_named(path, text, expected): assert expected in refusal(path, text)

def test_unknown_items_are_named(path):
    assert "such as 'v1', are unknown: want some of 1 item, such as 'x'" in refusal(path, HEADER+'a,v1,5\n', ['x'])

def test_all_faults_are_named_at_once(path):
    text = refusal(path, HEADER+',v1,10\nb,,20\nc,v1,tomorrow\nd,v1,-5\ne,v1,inf\n')
    expected = ('1 row without user (row 1)', '1 row without item (row 2)', '3 rows whose time', '(rows 3, 4, 5)')
    for part in expected: assert part in text

def test_many_faulty_rows_are_counted(path):
    assert '9 rows without user (rows 1, 2, 3, 4, 5 …)' in refusal(path, HEADER+',v1,10\n'*9)

def test_files_that_are_not_logs(path):
    with pytest.raises(FileNotFoundError, match='no such file'): read_interactions('missing.csv')
    path.with_suffix('.txt').write_text(SMALL)
    with pytest.raises(InteractionError, match='want a .csv or .parquet'): read_interactions(path.with_suffix('.txt'))

# Simulated users

GENRES = ['pop', 'rock', 'hip hop', 'electronic', 'metal', 'folk', 'jazz', 'ambient']
VIDEOS = pd.DataFrame(dict(genre=GENRES*30), [f'v{i:03d}' for i in range(240)])

@pytest.fixture(scope='module')
def log(): return read_interactions(simulate_log(VIDEOS), VIDEOS.index)[0]

def test_simulation_depends_on_the_seed_only():
    log = simulate_log(VIDEOS, 20)
    pd.testing.assert_frame_equal(log, simulate_log(VIDEOS, 20))
    assert not log.equals(simulate_log(VIDEOS, 20, seed=1))

def test_simulated_users_follow_taste_and_popularity(log):
    assert (log.groupby('user').item.nunique()==12).all() and len(log)==2400
    genres = VIDEOS.genre[log.item].to_numpy()
    share_of_two = log.assign(genre=genres).groupby('user').genre.agg(lambda o: o.value_counts()[:2].sum()/len(o))
    assert share_of_two.mean()>.7 # 2/8 without taste
    assert log.item.value_counts()[:10].sum()/len(log)>.2 # 10/240 without popularity

def test_more_likes_than_videos_are_refused():
    for n in (0, 13):
        with pytest.raises(ValueError, match=f'n_likes={n}'): simulate_log(VIDEOS[:12], n_likes=n)

# Splits

def test_the_last_like_of_each_user(log):
    train, test = leave_last(log)
    assert len(test)==200 and len(train)+len(test)==len(log)
    assert (train.groupby('user').time.max().reindex(test.user).to_numpy()<=test.time).all()

def test_a_user_with_too_few_likes_stays_in_training(log):
    train, test = leave_last(log[log.user=='u0000'], 12)
    assert len(train)==12 and len(test)==0

def test_nothing_after_the_moment_is_known(log):
    train, test = hold_out(log)
    assert train.time.max()<test.time.min() and set(test.user)<=set(train.user)

def test_cold_items_are_not_in_training(log):
    train, test = cold_items(log)
    assert not set(train.item) & set(test.item) and set(test.user)<=set(train.user)
    assert test.item.nunique()==round(.2*log.item.nunique())
    assert not cold_items(log, seed=1)[1].equals(test)

@pytest.mark.parametrize('split', [hold_out, cold_items])
def test_shares_are_between_0_and_1(log, split):
    for share in (0, 1, np.nan):
        with pytest.raises(ValueError, match='between 0 and 1'): split(log, share)
