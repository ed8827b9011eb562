"""Transposed and depthwise convolution by the kernels of convolution, beside plain XLA: all ranks, and gradients."""

import numpy as np
import pytest

from seriatim.math.activations import relu, tanh
from seriatim.math.deconvolution import conv_transpose
from seriatim.math.windows import depthwise_conv

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


@pytest.mark.parametrize("seed", range(12))
def test_channels_apart(seed):
    """The kernels for groups of one channel beside the sum of shifted products."""
    x, kernel, how = random_case(seed)
    how.pop("output_padding", None)
    if how["data_format"] == "channels_first":
        x = np.moveaxis(x, 1, -1)
    x = np.pad(x, [(0, 0), *[(0, 8)] * (x.ndim - 2), (0, 0)], mode="wrap")
    x = x if how["data_format"] == "channels_last" else np.moveaxis(x, -1, 1)
    kernel = np.swapaxes(kernel, -1, -2)[..., :3]
    bias = np.linspace(-1, 1, kernel.shape[-2] * kernel.shape[-1]).astype("float32")
    activation = (relu, tanh)[seed % 2]
    run = with_gradients(lambda x, kernel, bias: depthwise_conv(x, kernel, **how, bias=bias, activation=activation))
    assert serves(run, x, kernel, bias)
    close(*both(run, x, kernel, bias))
