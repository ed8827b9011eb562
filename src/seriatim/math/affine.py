"""Adding and scaling along the last (or a named) axis, the axes spelled out.

Floor 1. A bias (units,) never meets (b, units) bare, so no product can broadcast by accident.
"""

import jax.numpy as jnp


def add_bias(x, bias):
    """x + bias along the last axis; x itself if there is no bias."""
    return x if bias is None else x + jnp.reshape(bias, (1,) * (x.ndim - 1) + bias.shape)


def along(vector, axis, ndim):
    """A vector (c,) shaped so that it lies along `axis` of an array of `ndim` axes."""
    shape = [1] * ndim
    shape[axis] = vector.shape[0]
    return jnp.reshape(vector, shape)
