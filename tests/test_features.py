"Feature store, vectors and extraction"
import numpy as np
import pytest

from mvrep.features.vectors import Scale, fit_scale, pool_segments, standardise, unit_norm

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
