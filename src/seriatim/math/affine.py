"""Adding and scaling along the last (or a named) axis, the axes spelled out.

Floor 1. A bias (units,) never meets (b, units) bare, so no product can broadcast by accident.
"""

import jax.numpy as jnp

from ..kernels import products, rows, serve
from .activations import linear, relu


def add_bias(x, bias):
    """x + bias along the last axis; x itself if there is no bias."""
    return x if bias is None else x + jnp.reshape(bias, (1,) * (x.ndim - 1) + bias.shape)


def product(x, kernel, bias=None, activation=linear):
    """activation(x @ kernel + bias). x (…, k), kernel (k, n), bias (n,)."""
    if not serve(x, kernel, bias) or not x.ndim:
        return activation(add_bias(x @ kernel, bias))
    y = products.product(x, kernel, bias, activation is relu)
    return y if activation is relu else activation(y)


def look_up(table, ids):
    """table[ids] along the first axis: (v, n) and whole numbers (…) -> (…, n). A number out of range yields NaN."""
    return rows.look_up(table, ids) if serve(table) else jnp.take(table, ids, axis=0)


def along(vector, axis, ndim):
    """A vector (c,) shaped so that it lies along `axis` of an array of `ndim` axes."""
    shape = [1] * ndim
    shape[axis] = vector.shape[0]
    return jnp.reshape(vector, shape)
