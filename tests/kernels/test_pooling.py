"""Pooling kernels beside plain XLA: maxima and means, every rank, window, stride, margin and channel count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seriatim import kernels
from seriatim.math.windows import average_pool, max_pool

from .both import both, close, needs_kernels, serves, with_gradients

pytestmark = needs_kernels


def compare(pool, x, *how):
    """Value and gradient, kernels beside plain XLA."""
    run = with_gradients(lambda x: pool(x, *how))
    assert serves(run, x)
    close(*both(run, x), tolerance=1e-6)


def random_case(seed):
    """An input with many ties, and how the window moves; overlapping, apart or side by side."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 4))
    sizes = tuple(int(rng.integers(1, 5)) for _ in range(rank))
    strides = sizes if seed % 3 == 0 else tuple(int(rng.integers(1, 5)) for _ in range(rank))
    space = [size + int(rng.integers(0, 8)) for size in sizes]
    channels = int(rng.choice([1, 3, 7, 16, 33]))
    order = ["channels_last", "channels_first"][seed % 5 == 0]
    shape = (*space, channels) if order == "channels_last" else (channels, *space)
    x = rng.integers(-2, 3, size=(int(rng.choice([1, 3, 17])), *shape)).astype("f")
    return x, sizes, strides, ["valid", "same"][seed % 2], order


@pytest.mark.parametrize("pool", [max_pool, average_pool])
@pytest.mark.parametrize("seed", range(30))
def test_random_cases(pool, seed):
    compare(pool, *random_case(seed))


@pytest.mark.parametrize("pool", [max_pool, average_pool])
@pytest.mark.parametrize(
    ("shape", "sizes", "strides"),
    [
        ((17, 26, 26, 32), (2, 2), (2, 2)),
        ((2, 13, 12, 70), (3, 3), (2, 2)),
        ((1, 1, 1, 5), (2, 2), (2, 2)),
        ((2, 300, 4), (255,), (9,)),
        ((3, 6, 9, 9, 16), (2, 2, 2), (2, 2, 2)),
    ],
)
def test_named_cases(pool, shape, sizes, strides):
    x = np.random.default_rng(0).normal(size=shape).astype("f")
    compare(pool, x, sizes, strides, "same")


def test_a_window_of_more_cells_than_a_byte_counts_is_left_to_xla():
    x = np.ones((1, 16, 17, 2), np.float32)
    assert not serves(lambda x: max_pool(x, (16, 16), (1, 1)), x)


def test_ties_go_to_the_first():
    x = np.zeros((1, 3, 3, 1), np.float32)
    gradient = jax.jit(kernels.served(jax.grad(lambda x: max_pool(x, (2, 2), (1, 1)).sum())))(x)
    assert gradient[0, :, :, 0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_minus_infinity_is_a_number_like_others():
    x = np.full((1, 4, 4, 3), -np.inf, np.float32)
    y, back = jax.vjp(kernels.served(lambda x: max_pool(x, (2, 2), (2, 2))), jnp.asarray(x))
    assert np.isneginf(y).all()
    assert back(jnp.ones_like(y))[0][0, :, :, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("pool", [max_pool, average_pool])
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_nan_passes(pool, at):
    """A run that diverges must not look healthy."""
    x = np.ones((1, 4, 4, 18), np.float32)
    x[0, at // 2, at % 2, 17] = np.nan
    for run in (lambda x: pool(x, (2, 2), (2, 2)), lambda x: jax.vjp(lambda x: pool(x, (2, 2), (2, 2)), x)[0]):
        y = jax.jit(kernels.served(run))(x)
        assert np.isnan(y[0, 0, 0, 17]) and np.isnan(y).sum() == 1


def test_same_bits_every_time():
    x = np.random.default_rng(0).normal(size=(9, 31, 30, 24)).astype("f")
    run = jax.jit(kernels.served(jax.grad(lambda x: (average_pool(x, (3, 3), (1, 1)) ** 2).sum())))
    assert all((np.asarray(run(x)) == np.asarray(run(x))).all() for _ in range(5))
