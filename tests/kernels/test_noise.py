"""Dropout: the kernel's mask is the mask of plain XLA, bit for bit."""

import jax
import numpy as np
import pytest

from seriatim.layers.noise import thinned

from .both import both, needs_kernels, serves, with_gradients

pytestmark = needs_kernels


@pytest.mark.parametrize("shape", [(1,), (7, 5), (130, 100), (3, 64, 65)], ids=str)
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.999])
def test_same_mask_and_gradient(shape, rate):
    x = np.random.default_rng(0).normal(size=shape).astype("f")
    run = lambda x: thinned(x, jax.random.key(7), rate, shape)
    assert serves(run, x)
    for a, b in zip(*map(jax.tree.leaves, both(with_gradients(run), x)), strict=True):
        np.testing.assert_array_equal(a == 0, b == 0)
        np.testing.assert_allclose(a, b, rtol=3e-7)


def test_shared_draws_stay_with_xla():
    x = np.ones((2, 3, 4), "f")
    assert not serves(lambda x: thinned(x, jax.random.key(7), 0.5, (2, 1, 4)), x)
