"""Rows by their numbers: C++ beside `jnp.take` and beside its gradient."""

import jax.numpy as jnp
import numpy as np
import pytest

from seriatim.kernels.rows import take
from seriatim.math.affine import look_up

from .both import both, close, needs_kernels, serves, with_gradients

pytestmark = needs_kernels


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (50, 16), (300, 33), (20, 2, 5)], ids=str)
@pytest.mark.parametrize("count", [1, 5, 700])
def test_value_and_gradient(shape, count):
    rng = np.random.default_rng(0)
    table, ids = rng.normal(size=shape).astype("f"), rng.integers(-shape[0], shape[0], (count, 2))
    assert serves(look_up, table, ids)
    close(*both(with_gradients(lambda t: look_up(t, jnp.asarray(ids))), table))


def test_out_of_range():
    table, ids = np.ones((4, 3), "f"), np.array([0, 4, -5, 3])
    found, plain = both(with_gradients(lambda t: look_up(t, jnp.asarray(ids))), table)
    assert np.isnan(found[0]).any(1).tolist() == np.isnan(plain[0]).any(1).tolist() == [False, True, True, False]
    close(found[1], plain[1])


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float16", "int32", "float32"])
def test_a_batch_of_any_dtype(dtype):
    data = (np.arange(600) % 7).reshape(100, 2, 3).astype(dtype)
    ids = np.random.default_rng(0).permutation(100)[:37]
    found, plain = both(lambda d: take(d, jnp.asarray(ids)), data)
    assert found.dtype == data.dtype and np.array_equal(found, data[ids])
    assert np.array_equal(found, plain)
