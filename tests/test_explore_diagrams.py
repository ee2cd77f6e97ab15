"What diagrams and maps draw: boxes with their texts, arrows, titles, colours of pairs, legends"
from types import SimpleNamespace
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch, Rectangle
from mvrep.explore import diagrams, plots
from mvrep.explore.diagrams import plot_crop, plot_model, plot_pairs, plot_schemes, training_crop
from mvrep.explore.packing import pack_points
from mvrep.explore.plots import Coloring, plot_map
from mvrep.explore.tsne import Map
from mvrep.index.examples import tiny_index
from mvrep.learning.model import JointModel
from mvrep.media.read import read_audio, read_frames

@pytest.fixture(scope='module')
def index(tmp_path_factory): return tiny_index(tmp_path_factory.mktemp('diagrams'))

@pytest.fixture(autouse=True)
def figures(monkeypatch):
    "Functions that plot return the figure, not its image."
    for module in (diagrams, plots): monkeypatch.setattr(module, 'figure_image', lambda fig: fig)

def boxes(ax):
    "{centre of a box: its text and colour}; every box lies within the axes and is 1.6 wide and .6 high"
    texts = {o.get_position(): o.get_text() for o in ax.texts if o.get_text()}
    found = {}
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    for patch in ax.patches:
        assert isinstance(patch, FancyBboxPatch)
        x, y = patch.get_x(), patch.get_y()
        assert np.allclose([patch.get_width(), patch.get_height()], [1.6, .6])
        assert left<=x<=right-1.6 and low<=y<=high-.6, (x, y)
        centre = round(x+.8, 6), round(y+.3, 6)
        found[centre] = texts.pop(centre), to_hex(patch.get_facecolor())
    assert not texts, 'every text is in a box'
    return found

def rounded(point): return tuple(np.round(point, 6).tolist())

def arrows(ax): return [(rounded(o.xyann), rounded(o.xy), o.arrow_patch) for o in ax.texts if not o.get_text()]

BLUE, ORANGE = '#d4e4fb', '#fde3c8'
VIOLET, WHITE = '#e4d9f7', '#ffffff'

def test_two_schemes():
    fusion, contrast = plot_schemes().axes
    assert [o.get_title() for o in (fusion, contrast)]==['(a) fusion', '(b) contrastive learning']
    assert boxes(fusion)=={
        (0, 0): ('audio', BLUE), (0, 1): ('audio layers', BLUE), (2, 0): ('video', ORANGE),
        (2, 1): ('video layers', ORANGE), (1, 2): ('joint layers', VIOLET), (1, 3): ('label', WHITE)}
    assert [(a, b) for a, b, _ in arrows(fusion)]==[
        ((0, .3), (0, .7)), ((0, 1.3), (1, 1.7)), ((2, .3), (2, .7)), ((2, 1.3), (1, 1.7)), ((1, 2.3), (1, 2.7))]
    columns = [('audio 1', BLUE), ('video 1', ORANGE), ('audio 2', BLUE), ('video 2', ORANGE)]
    drawn = boxes(contrast)
    assert [drawn[2*x, 0] for x in range(4)]==columns and len(drawn)==12
    assert [drawn[2*x, 1][0] for x in range(4)]==['audio layers', 'video layers']*2
    assert {drawn[2*x, 2][0] for x in range(4)}=={'embedding'}

def test_what_contrastive_learning_pulls_and_pushes():
    contrast = plot_schemes().axes[1]
    bent = [(a[0]//2, b[0]//2, to_hex(patch.get_edgecolor())) for a, b, patch in arrows(contrast) if a[1]==b[1]==2.3]
    assert bent==[(0, 1, '#2f9a50'), (2, 3, '#2f9a50'), (1, 2, '#dd4450'), (0, 3, '#dd4450')]
    bends = [patch.get_connectionstyle().rad for a, b, patch in arrows(contrast) if a[1]==b[1]==2.3]
    assert np.allclose(bends, [-.5, -.5, -.5, -.5/3])

def column(ax, x): return [text for (at, _), (text, _) in sorted(boxes(ax).items()) if at==x]

def test_layers_of_a_model(index):
    ax, = plot_model(index).axes
    widths = {o: index.store.matrix(column_name).shape[1] for o, column_name in index.build.columns.items()}
    for x, modality in ((0, 'audio'), (2.2, 'video')):
        encoder = f'{index.build.columns[modality]}, frozen'
        assert column(ax, x)==[modality, encoder, 'standardise', f'embedding, {widths[modality]}']
    model = JointModel(dict(audio=30, video=20), embed_dim=8, hidden_dim=16)
    ax, = plot_model(index, model).axes
    assert column(ax, 0)[2:]==['standardise', 'linear 30 → 16', 'linear 16 → 8', 'embedding, 8']
    assert column(ax, 2.2)[2:]==['standardise', 'linear 20 → 16', 'linear 16 → 8', 'embedding, 8']
    assert {color for (x, _), (_, color) in boxes(ax).items() if x}=={ORANGE}

# Crops

def test_a_crop_is_where_it_says(index):
    path = index.videos.path['v0003']
    crop = training_crop(path, 1., 4., size=56, seed=3)
    assert (len(crop.y), crop.frames.shape)==(48000, (30, 56, 56, 3)) and 1<=crop.moment<=2
    first, y = round((crop.moment-1)*10), round((crop.moment-1)*16000)
    assert np.array_equal(crop.y, read_audio(path, 1., 4.)[y:y+48000])
    frames = read_frames(path, 1., 4., fps=10, size=64)
    top, left = crop.corner
    assert np.array_equal(crop.frames, frames[first:first+30, top:top+56, left:left+56])
    assert np.array_equal(crop.frame, frames[0]) and 0<=top<=8
    other = training_crop(path, 1., 4., size=56, seed=4)
    assert (other.corner, other.moment)!=(crop.corner, crop.moment)

def test_a_plot_of_a_crop(index):
    path = index.videos.path['v0003']
    left, middle, right = plot_crop(path, 1., seed=2).axes
    crop = training_crop(path, 1., seed=2)
    assert left.get_title()=='in the file, 0:01' and right.get_title()=='its audio'
    assert middle.get_title()==f'as shown to the network, {crop.moment-1:.1f} s later'
    square, = left.patches
    assert square.get_xy()==crop.corner[::-1] and (square.get_width(), square.get_height())==(112, 112)
    assert np.array_equal(left.images[0].get_array(), crop.frame)
    assert np.array_equal(middle.images[0].get_array(), crop.frames[0]) and len(right.images)==1
    assert not left.get_xticks().size and not middle.get_yticks().size

IDS = ['v0003', 'v0004', 'v0005']
CELLS = [(i, j) for i in range(3) for j in range(3)]

def pairs_of(ax, n):
    "{(row, column): text and colour} of the table of pairs"
    squares = {o.get_xy()[::-1]: to_hex(o.get_facecolor()) for o in ax.patches if isinstance(o, Rectangle)}
    texts = {(o.get_position()[1]-.5, o.get_position()[0]-.5): o.get_text() for o in ax.texts}
    assert ax.get_xlim()==(0, n) and ax.get_ylim()==(n, 0) # row 0 is the top one
    return {at: (texts[at], color) for at, color in squares.items()}

@pytest.fixture
def quick_crops(monkeypatch):
    "Crops of random audio instead of those of files; the list of what was asked for"
    asked, y = [], np.random.default_rng(0).normal(size=48000).astype(np.float32)
    def crop(path, start, seed):
        asked.append((path, start, seed))
        return SimpleNamespace(frames=np.full((1, 4, 4, 3), seed, np.uint8), y=y)
    monkeypatch.setattr(diagrams, 'training_crop', crop)
    return asked

def test_pairs_of_a_batch(index, quick_crops):
    fig = plot_pairs(index, IDS, seed=5)
    pairs = pairs_of(fig.axes[-1], 3)
    assert [pairs[at][0] for at in CELLS]==['+', '−', '−', '−', '+', '−', '−', '−', '+']
    assert {color for (i, j), (_, color) in pairs.items() if i==j}=={'#2f9a50'}
    assert {color for (i, j), (_, color) in pairs.items() if i!=j}=={'#dd4450'}
    starts = index.store.keys().groupby('video_id').start.min()
    assert quick_crops==[(index.videos.path[o], starts[o], 5+i) for i, o in enumerate(IDS)]
    shown = [ax.images[0].get_array() for ax in fig.axes[:-1]]
    assert [o.max() for o in shown[::2]]==[5, 6, 7] and len(shown)==6 # images on top, audio on the left
    places = [ax.get_subplotspec() for ax in fig.axes[:-1]]
    assert [(o.rowspan.start, o.colspan.start) for o in places]==[(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0)]

def test_pairs_with_their_cosines(index, quick_crops):
    embeddings = dict(audio=np.eye(3)[[2, 0, 1]], video=np.array([[.6, .8, 0], [0, 1, 0], [0, 0, -1]]))
    build = SimpleNamespace(model=object(), rows=pd.Index(IDS[::-1]), embeddings=embeddings)
    shown = SimpleNamespace(build=build, store=index.store, videos=index.videos)
    pairs = pairs_of(plot_pairs(shown, IDS).axes[-1], 3)
    cosines = embeddings['audio'][::-1]@embeddings['video'][::-1].T
    assert [pairs[at][0] for at in CELLS]==[f'{o:.2f}' for o in cosines.ravel()]

# Maps

def map_of(index, n):
    keys = pd.DataFrame(dict(video_id=index.videos.index[np.arange(n)%12], start=0.))
    xy = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
    return Map('joint', 'video', keys, xy, np.zeros(n, bool), 5., 0, 0., np.zeros(n, np.uint64))

def test_a_map_as_text(index):
    m = map_of(index, 3)
    assert repr(m)=='Map(3 videos, by joint, perplexity 5, seed 0)'
    m.is_placed[1] = True
    assert repr(m)=='Map(3 videos, 1 of them placed, by joint, perplexity 5, seed 0)'

@pytest.mark.parametrize('n, many', [(2000, False), (2001, True)])
def test_maps_of_many_points_say_so(n, many, index):
    packed = pack_points(index.videos, map_of(index, n))
    assert (packed['info']['many'], packed['info']['n'], packed['info']['by'])==(many, n, 'joint')
    assert len(packed['xy'])==8*n and len(packed['codes'])==n*len(packed['info']['columns'])
    assert packed['text'].count(b'\n')==n-1

@pytest.mark.parametrize('n, size', [(12, 26), (100, 20), (2000, 1), (5000, 1)])
def test_points_and_legend_of_a_map(n, size, index, monkeypatch):
    names, colors = ['a$b', 'x'*30], ['#3d7fe0', '#d4700f']
    coloring = Coloring(np.arange(n)%2, names, colors)
    monkeypatch.setattr(plots, 'color_points', lambda videos, m, column: coloring)
    m = map_of(index, n)
    fig = plot_map(index, m, ('genre', '$'))
    assert [o.get_title() for o in fig.axes]==['genre', r'\$'] and fig.get_size_inches().tolist()==[6, 2.2]
    points = fig.axes[0].collections[0]
    assert np.array_equal(points.get_offsets(), m.xy) and set(points.get_sizes())=={size}
    assert [to_hex(o) for o in points.get_facecolors()[:2]]==colors
    legend = fig.axes[0].get_legend()
    assert [o.get_text() for o in legend.get_texts()]==[r'a\$b', 'x'*24]
    assert [to_hex(o.get_facecolor()[0]) for o in legend.legend_handles]==colors
    assert plot_map(index, m).axes[0].get_title()=='genre' and len(plot_map(index, m).axes)==1
