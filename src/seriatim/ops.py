"""`seriatim.ops`: array functions under Keras's names, for custom layers, losses and metrics.

Floor 6. One table: what Keras calls differently is a row; every other name is `jax.numpy`'s, `jax.nn`'s,
`jax.lax`'s or `jax.numpy.linalg`'s own.
"""

import jax
import jax.numpy as jnp
import numpy as np

from .base import registry
from .math import activations  # noqa: F401 - fills the table of activations


def convert_to_tensor(x, dtype=None, sparse=None, ragged=None):
    return jnp.asarray(x, dtype)


def convert_to_numpy(x):
    return np.asarray(x)


def cast(x, dtype):
    return jnp.asarray(x).astype(dtype)


def shape(x):
    return tuple(x.shape)


def is_tensor(x):
    return isinstance(x, jax.Array)


def norm(x, ord=None, axis=None, keepdims=False):
    return jnp.linalg.norm(x, ord=ord, axis=axis, keepdims=keepdims)


def l2_normalize(x, axis=-1, epsilon=1e-12):
    """x / sqrt(max(sum(x²), epsilon²))"""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis, keepdims=True), epsilon**2))


def normalize(x, axis=-1, order=2, epsilon=1e-12):
    """x divided by its norm of the given order along `axis`."""
    size = jnp.linalg.norm(x, ord=order, axis=axis, keepdims=True)
    return x / jnp.maximum(size, epsilon)


def scatter(indices, values, shape):
    return jnp.zeros(shape, values.dtype).at[tuple(jnp.moveaxis(indices, -1, 0))].add(values)


def scatter_update(inputs, indices, updates):
    return inputs.at[tuple(jnp.moveaxis(jnp.asarray(indices), -1, 0))].set(updates)


def slice(inputs, start_indices, shape):
    return jax.lax.dynamic_slice(inputs, start_indices, shape)


def slice_update(inputs, start_indices, updates):
    return jax.lax.dynamic_update_slice(inputs, updates, start_indices)


def moments(x, axes, keepdims=False, synchronized=False):
    return jnp.mean(x, axes, keepdims=keepdims), jnp.var(x, axes, keepdims=keepdims)


def in_top_k(targets, predictions, k):
    best = jnp.take_along_axis(predictions, targets[:, None], axis=-1)
    return jnp.sum(predictions > best, axis=-1) < k


def multi_hot(inputs, num_classes, axis=-1, dtype=None, sparse=False):
    return jnp.max(jax.nn.one_hot(inputs, num_classes, dtype=dtype or "float32"), axis=-2)


def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    return jax.nn.one_hot(x, num_classes, axis=axis, dtype=dtype or "float32")


def unstack(x, num=None, axis=0):
    return list(jnp.moveaxis(x, axis, 0))


def while_loop(cond, body, loop_vars, maximum_iterations=None):
    single = not isinstance(loop_vars, (tuple, list))
    start = (loop_vars,) if single else tuple(loop_vars)

    def step(now):
        new = body(*now[1])
        return now[0] + 1, (new,) if single else tuple(new)

    def more(now):
        go = cond(*now[1])
        return go if maximum_iterations is None else jnp.logical_and(go, now[0] < maximum_iterations)

    end = jax.lax.while_loop(more, step, (0, start))[1]
    return end[0] if single else end


_ROWS = {
    "absolute": jnp.abs, "arange": jnp.arange, "concatenate": jnp.concatenate, "cond": jax.lax.cond,
    "erf": jax.lax.erf, "erfinv": jax.lax.erf_inv, "fori_loop": jax.lax.fori_loop, "logsumexp": jax.nn.logsumexp,
    "rsqrt": jax.lax.rsqrt, "scan": jax.lax.scan, "map": jax.lax.map, "associative_scan": jax.lax.associative_scan,
    "segment_max": jax.ops.segment_max, "segment_sum": jax.ops.segment_sum, "stop_gradient": jax.lax.stop_gradient,
    "top_k": jax.lax.top_k, "vectorized_map": lambda function, elements: jax.vmap(function)(elements),
    "cholesky": jnp.linalg.cholesky, "qr": jnp.linalg.qr, "svd": jnp.linalg.svd, "inv": jnp.linalg.inv,
    "solve": jnp.linalg.solve, "det": jnp.linalg.det, "eigh": jnp.linalg.eigh, "lstsq": jnp.linalg.lstsq,
}  # fmt: skip


def __getattr__(name):
    if name.startswith("_"):
        raise AttributeError(name)
    if name in _ROWS:
        return _ROWS[name]
    if name in registry.table("activation"):
        return registry.table("activation")[name]
    for place in (jnp, jax.nn, jax.lax, jnp.linalg, jnp.fft):
        if hasattr(place, name):
            return getattr(place, name)
    raise AttributeError(f"seriatim.ops has no function {name!r}")
