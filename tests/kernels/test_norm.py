"""Batch normalisation: C++ beside plain XLA, with the gradients of the first result."""

import jax
import numpy as np
import pytest

from seriatim import kernels
from seriatim.math.activations import relu
from seriatim.math.moments import standardise

from .both import both, close, needs_kernels, serves, with_gradients

pytestmark = needs_kernels


@pytest.mark.parametrize("shape", [(4, 1), (5, 3), (2, 7, 33), (3, 9, 9, 16), (700, 64), (8, 40, 40, 5)], ids=str)
@pytest.mark.parametrize("centre", [0.0, 30.0])
def test_value_and_gradients(shape, centre):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=shape) + centre).astype("f")
    gamma, beta = (rng.normal(size=shape[-1:]).astype("f") for _ in range(2))
    run = with_gradients(lambda x, g, b: standardise(x, g, b, 1e-3))
    assert serves(run, x, gamma, beta)
    close(*both(run, x, gamma, beta), 2e-5)  # x − mean loses digits where the mean is 30 deviations away


@pytest.mark.parametrize("gamma", [None, np.full(4, 2, "f")], ids=["no gamma", "gamma"])
def test_without_scale_or_offset(gamma):
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("f")
    close(*both(lambda x: standardise(x, gamma, None, 1e-3), x))


def test_nan_is_not_hidden():
    x = np.ones((6, 3), "f")
    x[2, 1] = np.nan
    y, mean, _ = both(lambda x: standardise(x, None, None, 1e-3), x)[0]
    assert np.isnan(y[:, 1]).all() and np.isnan(mean[1]) and np.isfinite(y[:, [0, 2]]).all()


@pytest.mark.parametrize("shape", [(5, 3), (2, 7, 33), (700, 64)], ids=str)
def test_relu_behind_is_one_kernel_with_it(shape):
    rng = np.random.default_rng(0)
    x, (gamma, beta) = rng.normal(size=shape).astype("f"), rng.normal(size=(2, shape[-1])).astype("f")
    run = with_gradients(lambda x, g, b: relu(standardise(x, g, b, 1e-3)[0]))
    with kernels.use():
        text = jax.jit(run).lower(x, gamma, beta).compile().as_text()
    assert text.count('target="seriatim_norm_forward"') == 1 and "maximum" not in text and "compare" not in text
    close(*both(run, x, gamma, beta), 2e-5)
