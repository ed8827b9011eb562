"""Convolution and its gradients, as kernels: `math.windows.conv` in C++ (conv.cc).

Floor 1. Channels last; one to three spatial axes, which the kernels always see as three.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from . import call, note

AXES = 3


class Slide(NamedTuple):
    """How the kernel moves: for each spatial axis, and how many windows there are."""

    strides: tuple
    dilation: tuple
    before: tuple  # cells of nothing before the first of x
    space: tuple  # of the result
    groups: int = 1
    rectify: bool = False

    @property
    def numbers(self):
        """What conv.cc reads: three strides, three dilations, three margins, the groups."""
        lead = AXES - len(self.space)
        parts = (1,) * lead + self.strides, (1,) * lead + self.dilation, (0,) * lead + self.before, (self.groups,)
        return np.array(sum(parts, ()), np.int64)


def conv(x, kernel, bias, slide):
    """y[b, i, f] = bias[f] + sum over k, c of x[b, i·stride + k·dilation − before, c] · kernel[k, c, f], relu if asked.

    x (b, space…, c), kernel (k…, c / groups, filters), bias (filters,) or None.
    """
    bias = jnp.zeros((0,), x.dtype) if bias is None else bias
    y = _conv(slide, x, kernel, bias)
    steps = {}
    if slide.groups == 1:
        steps["max_pool"] = functools.partial(_pooled, slide, x, kernel, bias)
        steps["largest"] = functools.partial(_conv_largest, slide, x, kernel, bias)
    if not slide.rectify:
        steps["relu"] = functools.partial(conv, x, kernel, bias, slide._replace(rectify=True))
    return note(y, **steps)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv(slide, x, kernel, bias):
    shape = (x.shape[0], *slide.space, kernel.shape[-1])
    y = call("conv_forward", full(shape), filled(x), _wide(kernel), bias, numbers=slide.numbers, relu=slide.rectify)
    return y.reshape(shape)


def _forward(slide, x, kernel, bias):
    y = _conv(slide, x, kernel, bias)
    return y, (x, kernel, bias, y if slide.rectify else None)


def _backward(slide, saved, dy):
    x, kernel, bias, y = saved
    dz = filled(jnp.where(y > 0, dy, 0) if slide.rectify else dy)
    dx = call("conv_input_gradient", full(x.shape), dz, _wide(kernel), numbers=slide.numbers)
    shapes = _wide(kernel).shape, bias.shape
    d_kernel, d_bias = call("conv_weight_gradient", shapes, filled(x), dz, numbers=slide.numbers)
    return dx.reshape(x.shape), d_kernel.reshape(kernel.shape), d_bias


_conv.defvjp(_forward, _backward)


def _pooled(slide, x, kernel, bias, size, space):
    covered = tuple(n * cells for n, cells in zip(space, size, strict=True))
    return _conv_pooled(slide._replace(space=covered), size, x, kernel, bias)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _conv_pooled(slide, size, x, kernel, bias):
    """The largest cell of each window of `conv`, in one kernel: what a window does not take is not computed.

    Windows of `size` lie side by side; slide.space is that of the cells they cover. The relu of a maximum is the
    maximum of the relus, so its gradient is 0 or goes, as that of the maximum, to the first of equal values.
    """
    return _pooled_forward(slide, size, x, kernel, bias)[0]


def _pooled_forward(slide, size, x, kernel, bias):
    shape = (x.shape[0], *(n // s for n, s in zip(slide.space, size, strict=True)), kernel.shape[-1])
    places = jax.ShapeDtypeStruct(full(shape), jnp.uint8)
    y, places = call(
        "conv_forward_pooled", (full(shape), places), filled(x), _wide(kernel), bias,
        numbers=slide.numbers, size=_sizes(size), relu=slide.rectify,
    )  # fmt: skip
    return y.reshape(shape), (x, kernel, bias, places)


def _pooled_backward(slide, size, saved, dy):
    x, kernel, bias, places = saved
    windows = np.concatenate([_sizes(size), _sizes(size), np.zeros(AXES, np.int64)])
    shape = full((x.shape[0], *slide.space, kernel.shape[-1]))
    dz = call("max_pool_gradient", shape, filled(dy), places, numbers=windows)  # unless nobody asks for dx
    dx = call("conv_input_gradient", full(x.shape), dz, _wide(kernel), numbers=slide.numbers)
    shapes = _wide(kernel).shape, bias.shape
    d_kernel, d_bias = call(
        "conv_weight_gradient_pooled", shapes, filled(x), filled(dy), places, numbers=slide.numbers, size=_sizes(size)
    )
    return dx.reshape(x.shape), d_kernel.reshape(kernel.shape), d_bias


_conv_pooled.defvjp(_pooled_forward, _pooled_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv_largest(slide, x, kernel, bias):
    """The largest cell of each channel of `conv`: (b, c). Only that cell has a gradient; cells that tie share it.

    Windows that hold the same are a tie only to the last bit, where they go by blocks: then one of them has all.
    """
    return _largest_forward(slide, x, kernel, bias)[0]


def _largest_forward(slide, x, kernel, bias):
    y = _conv(slide, x, kernel, bias)
    top = jnp.max(y, axis=tuple(range(1, y.ndim - 1)))
    return top, (x, kernel, bias, y, top)


def _largest_backward(slide, saved, dy):
    x, kernel, bias, y, top = saved
    options = {"numbers": slide.numbers, "relu": slide.rectify}
    given = filled(x), filled(y), top, dy
    dx = call("conv_largest_input_gradient", full(x.shape), *given, _wide(kernel), **options)
    d_kernel, d_bias = call("conv_largest_weight_gradient", (_wide(kernel).shape, bias.shape), *given, **options)
    return dx.reshape(x.shape), d_kernel.reshape(kernel.shape), d_bias


_conv_largest.defvjp(_largest_forward, _largest_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def conv_transpose(slide, space, x, kernel):
    """The gradient of `conv` with respect to its input, as a function of x, which takes the place of the result's.

    x (b, slide.space…, c), kernel (k…, filters, c) -> (b, space…, filters). The same three kernels, in other roles.
    """
    shape = (x.shape[0], *space, kernel.shape[-2])
    y = call("conv_input_gradient", full(shape), filled(x), _wide(kernel), numbers=slide.numbers)
    return y.reshape(shape)


def _transpose_forward(slide, space, x, kernel):
    return conv_transpose(slide, space, x, kernel), (x, kernel)


def _transpose_backward(slide, space, saved, dy):
    x, kernel = saved
    none = jnp.zeros((0,), x.dtype)
    dx = call("conv_forward", full(x.shape), filled(dy), _wide(kernel), none, numbers=slide.numbers, relu=False)
    shapes = _wide(kernel).shape, none.shape
    d_kernel, _ = call("conv_weight_gradient", shapes, filled(dy), filled(x), numbers=slide.numbers)
    return dx.reshape(x.shape), d_kernel.reshape(kernel.shape)


conv_transpose.defvjp(_transpose_forward, _transpose_backward)


def full(shape):
    """The shape (b, space…, c) with three spatial axes: the first ones 1."""
    return (shape[0], *(1,) * (AXES + 2 - len(shape)), *shape[1:])


def filled(x):
    """x (b, space…, c) with three spatial axes."""
    return x.reshape(full(x.shape))


def _sizes(size):
    return np.array((1,) * (AXES - len(size)) + size, np.int64)


def _wide(kernel):
    return kernel.reshape((1,) * (AXES + 2 - kernel.ndim) + kernel.shape)
