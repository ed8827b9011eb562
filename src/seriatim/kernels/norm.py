"""Batch normalisation along the last axis, in as few passes as there can be (norm.cc).

Floor 1.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from . import call, note


def standardise(x, gamma, beta, epsilon):
    """(gamma · (x − mean) / √(variance + epsilon) + beta, mean, variance), over all axes but the last.

    The gradient is that of the first.
    """
    gamma = jnp.ones(x.shape[-1:], x.dtype) if gamma is None else gamma
    beta = jnp.zeros(x.shape[-1:], x.dtype) if beta is None else beta
    moments = tuple(call("norm_moments", (gamma.shape, gamma.shape), jax.lax.stop_gradient(x)))
    make = lambda rectify: _standardise(np.float32(epsilon), rectify, x, gamma, beta, moments)
    return note(make(False), relu=lambda: make(True)), *moments


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _standardise(epsilon, rectify, x, gamma, beta, moments):
    return call("norm_forward", x.shape, x, gamma, beta, *moments, epsilon=epsilon, relu=rectify)


def _forward(epsilon, rectify, *arrays):
    return _standardise(epsilon, rectify, *arrays), arrays


def _backward(epsilon, rectify, arrays, dy):
    x, gamma, beta, moments = arrays
    shapes = (x.shape, gamma.shape, beta.shape)
    return *call("norm_backward", shapes, x, gamma, beta, *moments, dy, epsilon=epsilon, relu=rectify), (None, None)


_standardise.defvjp(_forward, _backward)
