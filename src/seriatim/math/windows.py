"""Sliding windows: convolution, and the maximum or the mean of each window, over one to three spatial axes.

Floor 1. A window lies along the spatial axes only; `channels_last` is (b, space…, c), `channels_first`
(b, c, space…). Pooling is written from slices and reshapes, because the gradient of XLA's own
`reduce_window` is many times slower on a CPU than the convolution that feeds it.
"""

from functools import partial, reduce
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..kernels import convolution, joined, once, pooling, serve
from .activations import linear, relu
from .affine import along, product

UNROLL = 64  # a window of more cells than this is left to reduce_window: the program would grow with it


# ---- arithmetic of sizes --------------------------------------------------------------------------


def spatial_axes(rank, data_format):
    """The axes that a window moves along: (1, 2) of (b, h, w, c), (2, 3) of (b, c, h, w)."""
    start = 1 if data_format == "channels_last" else 2
    return tuple(range(start, start + rank))


def window_count(size, window, stride, padding, dilation=1):
    """How many windows fit along an axis of `size` cells; None if the axis is open.

    >>> window_count(7, 3, 2, "valid"), window_count(7, 3, 2, "same")
    (3, 4)
    """
    if size is None:
        return None
    reach = (window - 1) * dilation + 1
    return -(-size // stride) if padding in ("same", "causal") else max(0, (size - reach) // stride + 1)


def margins(size, window, stride, padding, dilation=1):
    """How many cells of nothing stand before and after an axis: (before, after).

    "same" puts the odd cell after; "causal" puts all before, so that no window looks ahead.
    """
    reach = (window - 1) * dilation + 1
    if padding == "causal":
        return reach - 1, 0
    if padding == "same":
        missing = max(0, (window_count(size, window, stride, padding) - 1) * stride + reach - size)
        return missing // 2, missing - missing // 2
    return 0, 0


# ---- convolution ----------------------------------------------------------------------------------


def conv(
    x, kernel, strides, padding="valid", dilation=None, groups=1, data_format="channels_last", bias=None,
    activation=linear,
):  # fmt: skip
    """y[b, i, f] = activation(sum over k, c of x[b, i·stride + k·dilation, c] · kernel[k, c, f] + bias[f])

    kernel (k…, channels / groups, filters), bias (filters,). Group g of the filters sees group g of the channels.
    """
    rank = kernel.ndim - 2
    dilation = tuple(dilation or (1,) * rank)
    axes = spatial_axes(rank, data_format)
    if kernel.shape[:rank] == (1,) * rank and groups == 1 and data_format == "channels_last":
        every = _every(x, axes, strides)
        return product(every, kernel.reshape(kernel.shape[rank:]), bias, activation)  # twice as fast on a CPU
    sizes = [x.shape[axis] for axis in axes]
    along_axes = list(zip(sizes, kernel.shape, strides, dilation, strict=False))
    edges = [margins(size, k, stride, padding, step) for size, k, stride, step in along_axes]
    if serve(x, kernel, bias):
        space = tuple(window_count(size, k, stride, padding, step) for size, k, stride, step in along_axes)
        before = tuple(before for before, _ in edges)
        slide = convolution.Slide(tuple(strides), dilation, before, space, groups, activation is relu)
        y = last_to_first(convolution.conv(first_to_last(x, data_format), kernel, bias, slide), data_format)
        return y if activation is relu else activation(y)
    letters = "DHW"[-rank:]
    layout = f"N{letters}C" if data_format == "channels_last" else f"NC{letters}"
    y = lax.conv_general_dilated(
        x, kernel, strides, edges, rhs_dilation=dilation, dimension_numbers=(layout, f"{letters}IO", layout),
        feature_group_count=groups,
    )  # fmt: skip
    if bias is not None:
        y = y + along(bias, -1 if data_format == "channels_last" else 1, y.ndim)
    return activation(y)


def depthwise_conv(
    x, kernel, strides, padding="valid", dilation=None, data_format="channels_last", bias=None, activation=linear
):
    """y[b, i, c·m + j] = activation(sum over k of x[b, i·stride + k·dilation, c] · kernel[k, c, j] + bias[c·m + j])

    kernel (k…, channels, m), bias (channels · m,). Where no kernel serves, a sum of shifted products, which XLA runs
    as one loop: measured on a CPU, 26 to 73 times as fast as its grouped convolution (3 x 3 to 7 x 7), the gradients
    3 to 50 times by JAX's rules and 19 to 75 times by our own.
    """
    rank, (channels, each) = kernel.ndim - 2, kernel.shape[-2:]
    dilation = tuple(dilation or (1,) * rank)
    if prod(kernel.shape[:rank]) > UNROLL or serve(x, kernel, bias):
        kernel = kernel.reshape(*kernel.shape[:rank], 1, channels * each)
        return conv(x, kernel, strides, padding, dilation, channels, data_format, bias, activation)
    x = first_to_last(x, data_format)
    axes = spatial_axes(rank, "channels_last")
    along_axes = list(zip([x.shape[axis] for axis in axes], kernel.shape, strides, dilation, strict=False))
    edges = [margins(size, k, stride, padding, step) for size, k, stride, step in along_axes]
    x = jnp.pad(x, [(0, 0), *edges, (0, 0)])
    space = tuple(window_count(size, k, stride, padding, step) for size, k, stride, step in along_axes)
    y = (_weighted_once if once() else _weighted)(Taps(space, tuple(strides), dilation), x, kernel)
    y = y.reshape(*y.shape[:-2], channels * each)
    return activation(last_to_first(y if bias is None else y + along(bias, -1, y.ndim), data_format))


class Taps(NamedTuple):
    """Where the cells of each window lie: for each spatial axis the number of windows, their stride, the dilation."""

    space: tuple
    strides: tuple
    dilation: tuple

    def of(self, x, window):
        """For each cell of a window, row by row: that cell of all windows, (b, space…, c)."""
        for place in np.ndindex(*window):
            start = [k * step for k, step in zip(place, self.dilation, strict=True)]
            stop = [s + (n - 1) * stride + 1 for s, n, stride in zip(start, self.space, self.strides, strict=True)]
            stop = [x.shape[0], *stop, x.shape[-1]]
            yield place, lax.slice(x, [0, *start, 0], stop, [1, *self.strides, 1])


def _weighted(taps, x, kernel):
    """(b, space…, channels, m): the sum over the cells of each window, weighted by the kernel."""
    return sum(cell[..., None] * kernel[place] for place, cell in taps.of(x, kernel.shape[:-2]))


_weighted_once = jax.custom_vjp(_weighted, nondiff_argnums=(0,))


def _weighted_forward(taps, x, kernel):
    return _weighted(taps, x, kernel), (x, kernel)


def _weighted_backward(taps, saved, dy):
    """The sums for all cells of the kernel in one pass over dy: one by one they take 3 to 10 times as long."""
    x, kernel = saved
    (dx,) = jax.linear_transpose(lambda x: _weighted(taps, x, kernel), x)(dy)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    products = [(cell[..., None] * dy).astype(wide) for _, cell in taps.of(x, kernel.shape[:-2])]
    zeros = [np.zeros((), wide)] * len(products)
    sums = lax.reduce(products, zeros, lambda a, b: [p + q for p, q in zip(a, b, strict=True)], range(dy.ndim - 2))
    return dx, jnp.stack(sums).reshape(kernel.shape).astype(kernel.dtype)


_weighted_once.defvjp(_weighted_forward, _weighted_backward)


def first_to_last(x, data_format):
    """x with its channels last, whichever way it came."""
    return x if data_format == "channels_last" else jnp.moveaxis(x, 1, -1)


def last_to_first(x, data_format):
    """x, channels last, in the order of `data_format`."""
    return x if data_format == "channels_last" else jnp.moveaxis(x, -1, 1)


def _every(x, axes, strides):
    """The cells 0, stride, 2·stride, … along each of `axes`."""
    for axis, stride in zip(axes, strides, strict=True):
        x = x if stride == 1 else lax.slice_in_dim(x, 0, None, stride, axis)
    return x


# ---- pooling --------------------------------------------------------------------------------------


def max_pool(x, sizes, strides, padding="valid", data_format="channels_last"):
    """y[b, i, c] = max over k of x[b, i·stride + k, c]

    Where values tie, the gradient goes to the first of them in the window, row by row.
    """
    axes = spatial_axes(len(sizes), data_format)
    if serve(x) and prod(sizes) <= pooling.MOST:
        return _by_kernel(pooling.max_pool, x, axes, sizes, strides, padding, data_format)
    if jnp.issubdtype(x.dtype, jnp.floating):
        lowest = -jnp.inf
    else:
        lowest = False if x.dtype == bool else jnp.iinfo(x.dtype).min
    x = _fit(x, axes, sizes, strides, padding, lowest)
    if strides == sizes and prod(sizes) <= UNROLL:
        return _max_of_blocks(x, axes, sizes)
    # The maximum of a box is a maximum along each axis in turn; the last axis first keeps "first" row by row.
    for axis, size, stride in reversed(list(zip(axes, sizes, strides, strict=True))):
        if size <= UNROLL:
            x = _max_along(x, axis, size, stride)
        else:
            x = _reduce_window(x, lowest, lax.max, axis, size, stride)
    return x


def global_max(x, axes, keepdims=False):
    """The largest value over all places. Cells that tie share its gradient, as in jnp.max.

    Right behind a convolution only the windows of these cells take part in its gradients.
    """
    together = joined(x, "largest") if axes == (*range(1, x.ndim - 1),) else None
    if together is None:
        return jnp.max(x, axes, keepdims=keepdims)
    return jnp.expand_dims(together(), axes) if keepdims else together()


def average_pool(x, sizes, strides, padding="valid", data_format="channels_last"):
    """y[b, i, c] = mean over k of x[b, i·stride + k, c]; cells outside of x do not count."""
    axes = spatial_axes(len(sizes), data_format)
    if serve(x) and prod(sizes) <= pooling.MOST:
        return _by_kernel(pooling.average_pool, x, axes, sizes, strides, padding, data_format)
    cells = _cells(x, axes, sizes, strides, padding)
    x = _fit(x, axes, sizes, strides, padding, 0)
    if strides == sizes:
        return _blocks(x, axes, sizes).sum(tuple(axis + 1 + i for i, axis in enumerate(axes))) / cells
    for axis, size, stride in zip(axes, sizes, strides, strict=True):
        if size <= UNROLL:
            x = reduce(lax.add, _taps(x, axis, size, stride))
        else:
            x = _reduce_window(x, 0, lax.add, axis, size, stride)
    return x / cells


def adaptive_pool(pool, x, counts, data_format="channels_last"):
    """`pool` over counts[0] x counts[1] x … windows of nearly one size, that cover x.

    Window i of m along an axis of n cells lies from ⌊i·n/m⌋ up to ⌈(i + 1)·n/m⌉, so that neighbours may share cells.
    One axis after the other; where max_pool meets equal values, the gradient goes to the first along each.
    """
    for place, (axis, count) in enumerate(zip(spatial_axes(len(counts), data_format), counts, strict=True)):
        n = x.shape[axis]
        start = np.arange(count) * n // count
        size = -(-(np.arange(count) + 1) * n // count) - start
        wide = int(size.max())
        sizes = tuple(wide if i == place else 1 for i in range(len(counts)))
        cells = np.arange(wide)
        if pool is max_pool:  # windows laid side by side; a shorter one repeats its last cell, which changes nothing
            x = _side_by_side(x, start[:, None] + np.minimum(cells, size[:, None] - 1), axis)
            x = max_pool(x, sizes, sizes, "valid", data_format)
        else:  # a shorter one is filled with zeros, and its mean is that of fewer cells
            inside = cells < size[:, None]
            x = _side_by_side(x, np.where(inside, start[:, None] + cells, 0), axis, inside)
            scale = (wide / size).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
            x = average_pool(x, sizes, sizes, "valid", data_format) * jnp.asarray(scale, x.dtype)
    return x


def _side_by_side(x, cells, axis, inside=None):
    """The named cells of x along an axis, one after another; 0 where `inside` is False."""
    if np.array_equal(cells.ravel(), np.arange(x.shape[axis])):
        return x
    x = jnp.take(x, cells.ravel(), axis)
    if inside is None or inside.all():
        return x
    return jnp.where(inside.reshape([-1 if i == axis else 1 for i in range(x.ndim)]), x, 0)


def _by_kernel(pool, x, axes, sizes, strides, padding, data_format):
    cells = tuple(x.shape[axis] for axis in axes)
    along_axes = list(zip(cells, sizes, strides, strict=True))
    before = tuple(margins(*axis, padding)[0] for axis in along_axes)
    space = tuple(window_count(*axis, padding) for axis in along_axes)
    windows = pooling.Windows(tuple(sizes), tuple(strides), before, cells, space)
    return last_to_first(pool(windows, first_to_last(x, data_format)), data_format)


def _fit(x, axes, sizes, strides, padding, fill):
    """x with its margins, cut to the cells that some window (or, without overlap, some block) covers."""
    config = [(0, 0, 0)] * x.ndim
    for axis, size, stride in zip(axes, sizes, strides, strict=True):
        n = x.shape[axis]
        before, _ = margins(n, size, stride, padding)
        covered = (window_count(n, size, stride, padding) - 1) * stride + size
        config[axis] = (before, covered - n - before, 0)  # negative: cut off
    return lax.pad(x, jnp.asarray(fill, x.dtype), config) if any(map(any, config)) else x


def _cells(x, axes, sizes, strides, padding):
    """How many real cells each window holds: a number, or with margins an array that lies along `axes`."""
    if padding == "valid":
        return prod(sizes)
    counts = np.ones((1,) * x.ndim)
    for axis, size, stride in zip(axes, sizes, strides, strict=True):
        n = x.shape[axis]
        start = np.arange(window_count(n, size, stride, padding)) * stride - margins(n, size, stride, padding)[0]
        inside = np.minimum(start + size, n) - np.maximum(start, 0)
        counts = counts * inside.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return jnp.asarray(counts, x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.float32)


def _taps(x, axis, size, stride):
    """The first cells of all windows along `axis`, then the second cells, …: `size` arrays."""
    last = x.shape[axis] - size
    return [lax.slice_in_dim(x, k, k + last + 1, stride, axis) for k in range(size)]


def _blocks(x, axes, sizes):
    """(…, n, …) as (…, n / size, size, …) for each of `axes`."""
    shape = []
    for axis, n in enumerate(x.shape):
        shape += [n // sizes[axes.index(axis)], sizes[axes.index(axis)]] if axis in axes else [n]
    return x.reshape(shape)


def _reduce_window(x, start, function, axis, size, stride):
    along = [(size, stride) if i == axis else (1, 1) for i in range(x.ndim)]
    start = np.asarray(start, x.dtype)  # not a JAX array: JAX must see the value to know the gradient
    return lax.reduce_window(x, start, function, *zip(*along, strict=True), "VALID")


def _first(taps):
    """Which of the arrays holds the first maximum: its place in the list, cell by cell.

    Chosen as XLA's select_and_scatter does, NaN included: a later cell wins only where not(best >= it).
    """
    best, first = taps[0], jnp.zeros(taps[0].shape, jnp.uint8)
    for k, tap in enumerate(taps[1:], 1):
        stays = best >= tap
        best, first = jnp.where(stays, best, tap), jnp.where(stays, first, jnp.uint8(k))
    return first


# A tangent rule rather than a gradient rule: JAX turns it around for grad, and it serves jvp and hessian too.


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _max_of_blocks(x, axes, sizes):
    """The maximum of each block; blocks do not overlap and cover all of x."""
    return reduce(jnp.maximum, _corners(x, axes, sizes))


@_max_of_blocks.defjvp
def _max_of_blocks_tangent(axes, sizes, primals, tangents):
    (x,), (dx,) = primals, tangents
    inner = tuple(axis + 1 + i for i, axis in enumerate(axes))  # where _blocks puts the cells of a block
    blocks = _blocks(dx, axes, sizes)
    place = jnp.arange(prod(sizes), dtype=jnp.uint8).reshape(
        [n if i in inner else 1 for i, n in enumerate(blocks.shape)]
    )
    chosen = place == jnp.expand_dims(_first(_corners(x, axes, sizes)), inner)
    return _max_of_blocks(x, axes, sizes), jnp.where(chosen, blocks, 0).sum(inner)


def _corners(x, axes, sizes):
    """The first cell of every block, then the second, … row by row: one array for each cell of a block."""
    found = [x]
    for axis, size in zip(axes, sizes, strict=True):
        found = [tap for part in found for tap in _taps(part, axis, size, size)]
    return found


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _max_along(x, axis, size, stride):
    """The maximum of each window along one axis; windows may overlap."""
    return reduce(jnp.maximum, _taps(x, axis, size, stride))


@_max_along.defjvp
def _max_along_tangent(axis, size, stride, primals, tangents):
    (x,), (dx,) = primals, tangents
    first = _first(_taps(x, axis, size, stride))
    picked = (jnp.where(first == k, tap, 0) for k, tap in enumerate(_taps(dx, axis, size, stride)))
    return _max_along(x, axis, size, stride), reduce(lax.add, picked)
