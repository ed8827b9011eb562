"""Dropout as a kernel: the mask of `layers.noise`, drawn while the numbers pass by (noise.cc).

Floor 1.
"""

import functools

import jax
import numpy as np

from . import call


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def drop(x, key, threshold, scale):
    """x · scale where the word of a place is below `threshold`, 0 elsewhere. key: two 32-bit words."""
    return call("noise_drop", x.shape, x, key, threshold=np.int64(threshold), scale=np.float32(scale))


def _forward(x, key, threshold, scale):
    return drop(x, key, threshold, scale), key


def _backward(threshold, scale, key, dy):
    return drop(dy, key, threshold, scale), None  # the same places again: no mask is kept


drop.defvjp(_forward, _backward)
