"""The dense product and its gradients: C++ beside plain XLA, and beside float64."""

import jax
import numpy as np
import pytest

from seriatim.math.activations import linear, relu, tanh
from seriatim.math.affine import product

from .both import both, close, needs_kernels, serves, with_gradients

pytestmark = needs_kernels
SIZES = [(1, 1, 1), (5, 7, 3), (13, 65, 129), (32, 784, 32), (32, 32, 10), (97, 33, 31), (128, 300, 16), (200, 17, 64)]


def arrays(m, k, n, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=s).astype("f") for s in ((m, k), (k, n), (n,)))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("activation", [linear, relu, tanh], ids=lambda f: f.__name__)
def test_value_and_gradients(size, activation):
    x, w, b = arrays(*size)
    found, plain = both(with_gradients(lambda x, w, b: product(x, w, b, activation)), x, w, b)
    close(found, plain)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_against_float64(size):
    x, w, b = arrays(*size)
    found, _ = both(product, x, w, b)
    exact = x.astype(float) @ w.astype(float) + b
    close(found, exact.astype("f"), 2e-6)


def test_many_axes_and_no_bias():
    x, w, _ = arrays(24, 9, 5)
    x = x.reshape(2, 3, 4, 9)
    assert serves(product, x, w)
    close(*both(with_gradients(product), x, w))


def test_nan_is_not_hidden():
    x, w, b = arrays(4, 6, 3)
    x[2, 1] = np.nan
    found, _ = both(lambda x, w, b: product(x, w, b, relu), x, w, b)
    assert np.isnan(found[2]).all() and np.isfinite(found[[0, 1, 3]]).all()


def test_other_dtypes_stay_with_xla():
    x, w, b = (a.astype("float16") for a in arrays(4, 6, 3))
    assert not serves(product, x, w, b)


def test_a_population_is_served_one_by_one():
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(3, 8, 6)).astype("f"), rng.normal(size=(3, 6, 4)).astype("f")
    assert serves(jax.vmap(product), x, w)
    close(*both(jax.vmap(with_gradients(product)), x, w))


def test_same_bits_every_time():
    x, w, b = arrays(130, 257, 70)
    run = with_gradients(lambda x, w, b: product(x, w, b, relu))
    first, _ = both(run, x, w, b)
    for _ in range(3):
        again, _ = both(run, x, w, b)
        assert all(np.array_equal(p, q) for p, q in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True))
