"The shape of an embedding space, computed by hand"
import numpy as np
import pytest
from mvrep.metrics.geometry import alignment, modality_gap, uniformity

EAST = [1., 0]
NORTH = [0, 1.]
WEST = [-1., 0]

def test_gap_is_the_distance_of_the_means():
    assert modality_gap(np.array([EAST, NORTH]), np.array([EAST, NORTH]))==0
    assert modality_gap(np.array([EAST, NORTH]), np.array([WEST, NORTH]))==pytest.approx(1)
    assert modality_gap(np.array([EAST, EAST]), np.array([WEST, WEST]))==pytest.approx(2)

def test_length_does_not_count():
    assert modality_gap(np.array([EAST, NORTH])*7, np.array([WEST, NORTH])*3)==pytest.approx(1)
    assert alignment(np.array([EAST])*7, np.array([NORTH])*3)==pytest.approx(2)

def test_alignment_is_the_mean_squared_distance_of_pairs():
    "Squared distances 0, 2 and 4"
    assert alignment(np.array([EAST]*3), np.array([EAST, NORTH, WEST]))==pytest.approx(2)
    assert alignment(np.array([EAST, NORTH]), np.array([NORTH, EAST]))==pytest.approx(2)

@pytest.mark.parametrize('block', [1, 2, 2048])
def test_uniformity_is_the_mean_over_pairs_of_different_items(block):
    "Pairs at squared distances 2, 2 and 4"
    expected = np.log((np.exp(-4)*2+np.exp(-8))/3)
    assert uniformity(np.array([EAST, NORTH, WEST]), block)==pytest.approx(expected, rel=1e-4)

@pytest.mark.parametrize('wrong', [np.zeros(3), np.zeros((0, 2)), np.zeros((1, 2, 2))])
def test_what_is_no_table_of_embeddings_is_refused(wrong):
    for measure in (uniformity, lambda x: alignment(x, x), lambda x: modality_gap(x, x)):
        with pytest.raises(ValueError, match='of shape .n, d.'): measure(wrong)

def test_pairs_and_two_items_are_needed():
    with pytest.raises(ValueError, match='pairs'): alignment(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match='pairs'): modality_gap(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match='two items, got 1'): uniformity(np.ones((1, 3)))
