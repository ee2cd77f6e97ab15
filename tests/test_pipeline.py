"""The command line as a demanding user meets it: bad files, kills, two at once, a full disk, and names that nobody would choose"""
import json, os, random, shutil, signal, subprocess, sys, time
from pathlib import Path
import lancedb, numpy as np, pandas as pd, psutil, pytest
from typer.testing import CliRunner
from mvrep.corpus.demo import tiny_corpus
from mvrep.index.index import Index
from mvrep.cli.indexing import app
from test_media import FAST, VFR, bad_files, make

KILLS = int(os.environ.get('MVREP_KILLS', 3))

def start(*args, **kwargs):
    "A command on its way, in a process group of its own"
    env = dict(os.environ, COLUMNS='200', OMP_NUM_THREADS='1')
    return subprocess.Popen([sys.executable, '-c', 'from mvrep.cli.main import main; main()', *map(str, args)], text=True, env=env,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **kwargs) # whoever runs the tests in the background ignores it

def ask(*args, rc=0):
    "What a command says, with --json parsed; in this process, which has loaded what it needs already"
    res = CliRunner().invoke(app, [str(o) for o in args])
    assert res.exit_code==rc, f'{args} ended with {res.exit_code}\n{res.output[-3000:]}\n{res.exception!r}'
    return json.loads(res.stdout) if '--json' in args and rc in (0, 3) else res.output

def state(folder):
    "All that an index holds, in an order that does not depend on how it came about"
    ix = Index(folder)
    rows = ix.store.segments.to_pandas().sort_values('segment_id', ignore_index=True)
    videos = ix.table.to_pandas().sort_values('video_id', ignore_index=True)
    by_id = np.argsort(ix.build.video_ids)
    tracks = {o: np.asarray(x)[by_id] for o,x in ix.build.embeddings.items()}
    return rows, videos, ix.build.video_ids[by_id], tracks, ix.scale, ix.store.errors()

def same(a, b):
    "Are two indexes equal, bit for bit?"
    for x,y in zip(a[:2]+a[5:], b[:2]+b[5:]):
        assert list(x.columns)==list(y.columns) and len(x)==len(y)
        for c in x:
            for u,v in zip(x[c], y[c]): assert np.array_equal(u, v) if isinstance(u, np.ndarray) else u==v or (pd.isna(u) and pd.isna(v)), (c, u, v)
    assert list(a[2])==list(b[2])
    for s,t in zip(a[3:5], b[3:5]):
        assert s.keys()==t.keys()
        for k in s: np.testing.assert_array_equal(s[k], t[k])

def workers(p):
    "The processes that work for `p`"
    def works(o):
        try: return 'spawn_main' in ' '.join(o.cmdline())
        except psutil.Error: return False # it ended just now
    return [o for o in psutil.Process(p.pid).children(recursive=True) if works(o)]

def until(happens, p, seconds=400):
    "Wait for something while `p` runs; False if it ended first"
    stop = time.monotonic()+seconds
    while not happens():
        if p.poll() is not None: return False
        assert time.monotonic()<stop, 'it never came to that'
        time.sleep(.05)
    return True

def rows(folder):
    "How many segments are committed now, folded into the large table or not"
    if not (folder/'store'/'segments.lance').exists(): return 0
    db = lancedb.connect(folder/'store')
    def ids(o):
        try: return set(db.open_table(o).search().select(['segment_id']).to_arrow()['segment_id'].to_pylist())
        except ValueError: return set() # not there yet
    return len(ids('segments')|ids('recent'))

def all_gone(processes, seconds=60):
    "Do processes end by themselves?"
    _,alive = psutil.wait_procs(processes, timeout=seconds)
    for o in alive: o.kill()
    return not alive

GOOD = ('plain', 'audio-only', 'mute', 'frame', 'short', 'vfr', 'turned', 'odd', 'two')

@pytest.fixture(scope='module')
def wild(tmp_path_factory):
    "A folder with good and bad files of every kind"
    d = tmp_path_factory.mktemp('wild')
    bad_files(d)
    (d/'good.mp4').unlink()
    make(d/'plain.mp4', opts=FAST)
    make(d/'audio only.mp4', codec=None)
    make(d/'mute.mp4', audio=None)
    make(d/'frame.mp4', times=[0.], audio=None)
    make(d/'short.mp4', seconds=.3)
    make(d/'vfr.mp4', times=VFR, opts=FAST, seconds=6)
    make(d/'turned.mp4', rotation=90, opts=FAST)
    make(d/'odd.mp4', size=(61,151), pix='yuv444p', opts=FAST)
    make(d/'two.mp4', n_audio=2, opts=FAST)
    for name in 'Ünïcode – 音楽 🎬.mp4', 'x'*251+'.mp4', "-y 'o\"%.mp4": shutil.copy(d/'plain.mp4', d/name)
    for name,options in (('cut in front', dict(movflags='faststart')), ('cut at the end', {})):
        p = make(d/f'{name}.mp4', seconds=8, opts=FAST, options=options)
        p.write_bytes(p.read_bytes()[:p.stat().st_size//2])
    (d/'up').symlink_to(d)
    return d

@pytest.fixture(scope='module')
def index(wild, tmp_path_factory):
    "The index of that folder, and what the command said"
    d = tmp_path_factory.mktemp('index')/'ix'
    return d, ask('index', wild, '--out', d, '--workers', 1, '--json', rc=3)

def test_every_good_file_is_indexed_and_every_bad_one_has_a_reason(wild, index):
    folder,said = index
    bad = {Path(o['path']).name: o['reason'] for o in said['errors']}
    ids = set(Index(folder).ids)
    assert set(GOOD)<=ids and len(ids)==said['indexed']==said['done']==len(GOOD)+3
    files = {o.name for o in wild.glob('*.mp4') if not o.is_dir()}
    assert len(bad)==said['failed']==len(files)-len(ids) and all(len(o)>20 for o in bad.values())
    for name,why in {'empty.mp4': 'empty', 'cut in front.mp4': 'breaks off', 'cut at the end.mp4': 'moov', 'text.mp4': 'text', 'pipe.mp4': 'pipe', 'gone.mp4': 'no such file'}.items():
        assert why in bad[name], (name, bad[name])
    has = dict(zip(Index(folder).ids, Index(folder).has.tolist()))
    assert (has['mute'], has['audio-only'], has['two'])==([False, True], [True, False], [True, True])

def test_odd_ids_are_found_and_what_cannot_be_asked_is_refused(wild, index):
    folder,_ = index
    ids = list(Index(folder).ids)
    for v in [o for o in ids if o[0] in '-Üx' and o!='x']:
        res = ask('similar', folder, '--video', v, '-k', 2, '--json')
        assert len(res['results'])==2 and res['video']==v and res['results'][0]['score']>.999
    res = ask('similar', folder, '--video', wild/'two.mp4', '-k', 3, '--where', "video_id NOT IN ('plain', 'two') AND title IS NULL", '--json')['results']
    assert len(res)==3 and not {'plain', 'two'} & {o['video_id'] for o in res}
    assert 'no sound' in ask('similar', folder, '--video', wild/'mute.mp4', '--by', 'audio', '--json', rc=1)
    assert 'cannot filter' in ask('similar', folder, '--video', 'plain', '--where', "title = 'o'", '--where', 'nonsense', rc=1)

def test_a_file_of_the_same_name_from_elsewhere_is_another_video(wild, index, tmp_path):
    shutil.copytree(index[0], tmp_path/'ix')
    before = state(tmp_path/'ix')
    other = make(tmp_path/'plain.mp4', seconds=2, opts=FAST)
    (tmp_path/'late.mp4').touch()
    assert ask('add', tmp_path/'ix', other, tmp_path/'late.mp4', '--json', rc=3)['done']==1
    make(tmp_path/'late.mp4', seconds=1, opts=FAST)
    said = ask('add', tmp_path/'ix', other, tmp_path/'late.mp4', '--json')
    assert (said['done'], said['skipped'], said['errors'])==(1, 1, []) # what could not be used before is not said again
    ix = Index(tmp_path/'ix')
    assert set(ix.videos.path[ix.videos.path.str.endswith('/plain.mp4')])=={str(wild/'plain.mp4'), str(other)} and len(ix)==len(before[2])+2
    after = ix.store.segments.to_pandas().set_index('segment_id').musicnn_mtt
    for k,v in before[0].set_index('segment_id').musicnn_mtt.items(): assert np.array_equal(v, after[k]) if v is not None else after[k] is None

def corpus(folder, n=5):
    "A few videos, all different: the second takes a while, the others do not"
    folder.mkdir()
    for i in range(n): make(folder/f'v{i}.mp4', seconds=40 if i==1 else 2+i, opts=FAST, sr=32000+i%2*12100)
    return folder

@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    "Videos, and their index made in one go"
    d = tmp_path_factory.mktemp('calm')
    ask('index', corpus(d/'videos'), '--out', d/'ix', '--workers', 1)
    return d/'videos', state(d/'ix')

def test_interrupted_and_killed_at_random_moments(undisturbed, tmp_path):
    videos,want = undisturbed
    rng,ix = random.Random(0),tmp_path/'ix'
    p = start('index', videos, '--out', ix, '--workers', 2)
    assert until(lambda: (ix/'mvrep.json').exists() and workers(p), p) # the scan before it has workers, too
    os.kill(p.pid, signal.SIGSTOP) # or it may be done before the next command has begun
    assert 'another mvrep' in ask('remove', ix, 'v0', rc=1)
    left = workers(p)
    os.killpg(p.pid, signal.SIGINT)
    os.kill(p.pid, signal.SIGCONT)
    out,errs = p.communicate(timeout=600)
    assert p.returncode==130 and all_gone(left) and 'Traceback' not in errs and errs.count('interrupted')==1, errs
    for k in range(KILLS):
        p,n = start('index', videos, '--out', ix, '--workers', 1),rng.randrange(rows(ix), len(want[0])+1)
        if until(lambda: rows(ix)>=n and (k==0 or workers(p)), p): time.sleep(rng.random())
        left = workers(p) if p.poll() is None else []
        p.kill()
        p.communicate()
        assert all_gone(left), 'workers outlive the command'
    said = ask('index', videos, '--out', ix, '--workers', 1, '--json')
    assert said['done']+said['skipped']==said['indexed']==5
    same(state(ix), want)

def test_killed_worker_costs_its_video_alone(undisturbed, tmp_path):
    videos,want = undisturbed
    p = start('index', videos, '--out', tmp_path/'ix', '--workers', 1)
    assert until(lambda: rows(tmp_path/'ix')>0, p)
    for o in workers(p): o.kill()
    out,errs = p.communicate(timeout=600)
    ix = Index(tmp_path/'ix')
    assert p.returncode==3 and 'Traceback' not in errs, errs
    assert set(ix.build.video_ids)==set(want[2])-{'v1'} and list(ix.store.errors().video_id)==['v1'] and 'crashed' in ix.store.errors().reason[0]
    ask('index', videos, '--out', tmp_path/'ix', '--workers', 1)
    same(state(tmp_path/'ix'), want)

def test_full_disk(undisturbed, tmp_path):
    videos,want = undisturbed
    def mount(*args): return subprocess.run(['mount', *args, tmp_path], capture_output=True).returncode==0
    if not mount('-t', 'tmpfs', '-o', 'size=250k', 'tmpfs'): pytest.skip('this user may not mount a small disk')
    try:
        assert 'disk is full' in ask('index', videos, '--out', tmp_path/'ix', '--workers', 1, rc=1)
        assert ask('info', tmp_path/'ix', '--json')['videos']==0
        assert mount('-o', 'remount,size=9m')
        ask('index', videos, '--out', tmp_path/'ix', '--workers', 1)
        same(state(tmp_path/'ix'), want)
    finally: subprocess.run(['umount', '-l', tmp_path])

def test_folders_are_labels(tmp_path):
    "`<emotion>/<clip>.mp4` to a table of what sound and picture know, with files that are none and an emotion that one clip has"
    clips,emotions = sorted((tiny_corpus()/'videos').glob('*.mp4')), ['Fear', 'Sad', 'Très 悲']
    for i,o in enumerate(clips):
        (tmp_path/'clips'/(emotions[i%3] if i<11 else 'Tension')).mkdir(parents=True, exist_ok=True)
        shutil.copy(o, tmp_path/'clips'/(emotions[i%3] if i<11 else 'Tension')/o.name)
    (tmp_path/'clips'/'Sad'/'broken.mp4').write_bytes(bytes(5000))
    said = ask('index', tmp_path/'clips', '--out', tmp_path/'ix', '--label-from-folder', 'emotion', '--json', rc=3)
    assert (said['indexed'], said['failed'])==(12, 1)
    d = ask('probe', tmp_path/'ix', '--target', 'emotion', '--seeds', 1, '--folds', 3, '--json')
    assert d['n_per_class']=={'Fear': 4, 'Sad': 4, 'Très 悲': 3} and [o['label'] for o in d['skipped']]==['Tension']
    assert [o['by'] for o in d['results']]==['audio', 'video', 'concatenated', 'both']
    for o in d['results']: assert all(0<=o[k]<=1 and 0<o[f'chance_{k}']<1 for k in ('accuracy', 'macro_f1', 'auc')) and o['n']==11
