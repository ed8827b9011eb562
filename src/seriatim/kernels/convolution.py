"""Convolution and its gradients, as kernels: `math.windows.conv` in C++ (conv.cc).

Floor 1. Channels last; one to three spatial axes, which the kernels always see as three.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from . import call

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
    return _conv(slide, x, kernel, bias)


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


def _wide(kernel):
    return kernel.reshape((1,) * (AXES + 2 - kernel.ndim) + kernel.shape)
