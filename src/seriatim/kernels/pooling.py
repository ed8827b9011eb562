"""The maximum or the mean of each window, as kernels: `math.windows.max_pool`, `average_pool` in C++ (windows.cc).

Floor 1. Channels last; one to three spatial axes, which the kernels always see as three.
"""

import functools
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from . import call, joined
from .convolution import AXES, filled, full

MOST = 255  # cells of a window that the kernels take: which of them was the largest is kept in a byte


class Windows(NamedTuple):
    """How a window moves: for each spatial axis."""

    sizes: tuple
    strides: tuple
    before: tuple  # cells of nothing before the first of x
    cells: tuple  # of x
    space: tuple  # of the result

    @property
    def numbers(self):
        """What windows.cc reads: three sizes, three strides, three margins."""
        lead = AXES - len(self.space)
        parts = (1,) * lead + self.sizes, (1,) * lead + self.strides, (0,) * lead + self.before
        return np.array(sum(parts, ()), np.int64)

    @property
    def side_by_side(self):
        """Whether they lie one next to the other within x, from its first cell on."""
        within = all(n * size <= cells for n, size, cells in zip(self.space, self.sizes, self.cells, strict=True))
        return self.sizes == self.strides and not any(self.before) and within

    def result(self, x):
        return (x.shape[0], *self.space, x.shape[-1])

    def source(self, y):
        return (y.shape[0], *self.cells, y.shape[-1])


def max_pool(windows, x):
    """The largest value of each window, NaN if it holds one. The gradient goes to the first of equal values.

    Right behind a convolution they are one kernel.
    """
    together = joined(x, "max_pool")
    if together is None or not windows.side_by_side or prod(windows.sizes) == MOST:
        return _max_pool(windows, x)
    return together(windows.sizes, windows.space)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _max_pool(windows, x):
    shape = windows.result(x)
    return call("max_pool", full(shape), filled(x), numbers=windows.numbers).reshape(shape)


def _max_forward(windows, x):
    shape = windows.result(x)
    places = jax.ShapeDtypeStruct(full(shape), jnp.uint8)
    y, places = call("max_pool_places", (full(shape), places), filled(x), numbers=windows.numbers)
    return y.reshape(shape), places


def _max_backward(windows, places, dy):
    shape = windows.source(dy)
    dx = call("max_pool_gradient", full(shape), filled(dy), places, numbers=windows.numbers)
    return (dx.reshape(shape),)


_max_pool.defvjp(_max_forward, _max_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def average_pool(windows, x):
    """The mean of each window's cells within x."""
    shape = windows.result(x)
    return call("average_pool", full(shape), filled(x), numbers=windows.numbers).reshape(shape)


def _average_forward(windows, x):
    return average_pool(windows, x), None


def _average_backward(windows, _, dy):
    shape = windows.source(dy)
    return (call("average_pool_gradient", full(shape), filled(dy), numbers=windows.numbers).reshape(shape),)


average_pool.defvjp(_average_forward, _average_backward)
