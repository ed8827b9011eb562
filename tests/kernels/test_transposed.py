"""Transposed convolution by the kernels of convolution, beside plain XLA: every rank, stride, margin, and gradients."""

import numpy as np
import pytest

from seriatim.math.deconvolution import conv_transpose

from .both import both, close, needs_kernels, serves, with_gradients

pytestmark = needs_kernels


def random_case(seed):
    """(x, kernel, how) of any rank; axes of 1 among them, and output_padding on odd seeds."""
    rng = np.random.default_rng(seed)
    rank = 1 + seed % 3
    channels, filters = (int(rng.choice([1, 3, 7, 16, 33])) for _ in range(2))
    window, strides = (tuple(int(n) for n in rng.integers(1, 5, rank)) for _ in range(2))
    how = {"strides": strides, "padding": str(rng.choice(["valid", "same"]))}
    if seed % 4 == 3:
        how |= {"strides": (1,) * rank, "dilation": tuple(int(n) for n in rng.integers(1, 3, rank))}
    if seed % 2:
        how["output_padding"] = tuple(int(rng.integers(0, stride)) for stride in how["strides"])
    how["data_format"] = str(rng.choice(["channels_last", "channels_first"]))
    space = tuple(int(n) for n in rng.integers(1, 7, rank))
    shape = (3, *space, channels) if how["data_format"] == "channels_last" else (3, channels, *space)
    x, kernel = (rng.normal(size=size).astype("float32") for size in (shape, (*window, filters, channels)))
    return x, kernel, how


@pytest.mark.parametrize("seed", range(24))
def test_random_cases(seed):
    x, kernel, how = random_case(seed)
    run = with_gradients(lambda x, kernel: conv_transpose(x, kernel, **how))
    assert serves(run, x, kernel)
    close(*both(run, x, kernel))
    again = both(run, x, kernel)[0], both(run, x, kernel)[0]
    for a, b in zip(again[0][1], again[1][1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_nan_passes():
    x, kernel = np.ones((1, 4, 2), "float32"), np.ones((2, 3, 2), "float32")
    x[0, 1, 0] = np.nan
    with_kernels, plain = both(lambda x, kernel: conv_transpose(x, kernel, (2,)), x, kernel)
    np.testing.assert_array_equal(np.isnan(with_kernels), np.isnan(plain))
    assert np.isnan(with_kernels).sum() == 6
