"""Activations: what an array becomes, element by element (or, for five of them, along an axis).

Floor 1. Names, defaults, values and gradients (at the edges too) are those of Keras 3.15.1 on JAX.
Any shape in, the same shape out (`glu` halves one axis); x may be a list, a NumPy or a JAX array.
"""

import jax
import jax.numpy as jnp

from ..base import registry
from ..base.report import UsageError
from ..kernels import joined

# ---- straight lines -----------------------------------------------------------------------------


def linear(x):
    """x, unchanged."""
    return x


def relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    """x above the threshold, negative_slope · (x − threshold) below it, never more than max_value.

    The gradient at the threshold is 0, but 1 if only a slope is given, as in Keras (`leaky_relu`).

    >>> relu([-2.0, 0.0, 3.0], negative_slope=0.5, max_value=2.0).tolist()
    [-1.0, 0.0, 2.0]
    """
    if (together := joined(x, "relu")) and (negative_slope, max_value, threshold) == (0.0, None, 0.0):
        return together()
    x = jnp.asarray(x)
    if negative_slope != 0.0 and max_value is None and threshold == 0:
        return jax.nn.leaky_relu(x, negative_slope)
    if threshold != 0:
        above = jnp.where(x > jnp.asarray(threshold, x.dtype), x, 0)
    else:
        above = jax.nn.relu6(x) if max_value == 6 else jax.nn.relu(x)
    if max_value is not None and not (max_value == 6 and threshold == 0):
        above = jnp.clip(above, jnp.asarray(0, x.dtype), jnp.asarray(max_value, x.dtype))
    return above - negative_slope * jax.nn.relu(threshold - x) if negative_slope != 0.0 else above


def leaky_relu(x, negative_slope=0.2):
    """x where x ≥ 0, negative_slope · x elsewhere. Maas et al., 2013 (with 0.01; Keras has 0.2)."""
    return jax.nn.leaky_relu(jnp.asarray(x), negative_slope)


def relu6(x):
    """min(max(x, 0), 6). Krizhevsky, 2010."""
    return jax.nn.relu6(jnp.asarray(x))


def hard_sigmoid(x):
    """relu6(x + 3) / 6. (Keras 2 had 0.2 x + 0.5, clipped to 0 … 1.)"""
    return jax.nn.hard_sigmoid(jnp.asarray(x))


def hard_silu(x):
    """x · hard_sigmoid(x). Howard et al., 2019 ("hard swish")."""
    return jax.nn.hard_silu(jnp.asarray(x))


def hard_tanh(x):
    """x, cut off at −1 and 1."""
    return jax.nn.hard_tanh(jnp.asarray(x))


def hard_shrink(x, threshold=0.5):
    """x where |x| > threshold, 0 elsewhere."""
    x = jnp.asarray(x)
    return jnp.where(jnp.abs(x) > threshold, x, 0.0)


def soft_shrink(x, threshold=0.5):
    """x moved towards 0 by threshold, and 0 where |x| ≤ threshold."""
    x = jnp.asarray(x)
    return jnp.where(x > threshold, x - threshold, jnp.where(x < -threshold, x + threshold, 0.0))


def threshold(x, threshold, default_value):
    """x where x > threshold, default_value elsewhere."""
    x = jnp.asarray(x)
    return jnp.where(x > threshold, x, default_value)


# ---- exponentials -------------------------------------------------------------------------------


def exponential(x):
    """exp(x)"""
    return jnp.exp(jnp.asarray(x))


def elu(x, alpha=1.0):
    """x where x > 0, alpha · (exp(x) − 1) elsewhere. Clevert et al., 2016."""
    return jax.nn.elu(jnp.asarray(x), alpha)


def selu(x):
    """1.0507 · elu(x, alpha=1.6733): keeps mean 0 and variance 1 through a deep chain. Klambauer et al., 2017."""
    return jax.nn.selu(jnp.asarray(x))


def celu(x, alpha=1.0):
    """x where x > 0, alpha · (exp(x / alpha) − 1) elsewhere: an elu whose slope at 0 is 1. Barron, 2017."""
    return jax.nn.celu(jnp.asarray(x), alpha)


def sigmoid(x):
    """1 / (1 + exp(−x))"""
    return jax.nn.sigmoid(jnp.asarray(x))


def log_sigmoid(x):
    """log(sigmoid(x)), without ever forming the sigmoid."""
    return jax.nn.log_sigmoid(jnp.asarray(x))


def tanh(x):
    """(exp(x) − exp(−x)) / (exp(x) + exp(−x))"""
    return jnp.tanh(jnp.asarray(x))


def tanh_shrink(x):
    """x − tanh(x)"""
    x = jnp.asarray(x)
    return x - jnp.tanh(x)


def silu(x):
    """x · sigmoid(x), also called swish. Ramachandran et al., 2017."""
    return jax.nn.silu(jnp.asarray(x))


def gelu(x, approximate=False):
    """x · Φ(x), Φ the normal distribution; approximate=True uses a tanh for it. Hendrycks & Gimpel, 2016."""
    return jax.nn.gelu(jnp.asarray(x), approximate)


def mish(x):
    """x · tanh(softplus(x)). Misra, 2019."""
    x = jnp.asarray(x)
    return x * jnp.tanh(jax.nn.softplus(x))


# ---- smooth steps and ramps ---------------------------------------------------------------------


def softplus(x):
    """log(exp(x) + 1), without overflow."""
    return jax.nn.softplus(jnp.asarray(x))


def softsign(x):
    """x / (|x| + 1)"""
    return jax.nn.soft_sign(jnp.asarray(x))


def squareplus(x, b=4):
    """(x + √(x² + b)) / 2. Barron, 2021."""
    return jax.nn.squareplus(jnp.asarray(x), b)


def sparse_plus(x):
    """0 below −1, (x + 1)² / 4 up to 1, x beyond."""
    return jax.nn.sparse_plus(jnp.asarray(x))


def sparse_sigmoid(x):
    """(x + 1) / 2, cut off at 0 and 1: the slope of `sparse_plus`. Blondel et al., 2019."""
    return jax.nn.sparse_sigmoid(jnp.asarray(x))


# ---- along an axis ------------------------------------------------------------------------------


def softmax(x, axis=-1):
    """exp(x) / Σ exp(x) along an axis (or a tuple of axes), shifted by the maximum so that it never overflows."""
    return jax.nn.softmax(jnp.asarray(x), axis)


def log_softmax(x, axis=-1):
    """x − log Σ exp(x) along an axis (or a tuple of axes)."""
    return jax.nn.log_softmax(jnp.asarray(x), axis)


def sparsemax(x, axis=-1):
    """max(x − τ, 0) along an axis, τ such that the sum is 1: the nearest point of the simplex.

    Martins & Astudillo, 2016. Keras 3.15.1 adds up too much for τ, so its results sum to 1 only where one
    of them is 1 (issue 23425, mended after it). We also shift by the maximum, which matters beyond 1e7.

    >>> sparsemax([0.0, 0.5, 1.0]).tolist()
    [0.0, 0.25, 0.75]
    """
    x = jnp.asarray(x)
    x = x - jax.lax.stop_gradient(jnp.max(x, axis=axis, keepdims=True))
    ordered = jnp.sort(x, axis=axis, descending=True)
    total = jnp.cumsum(ordered, axis=axis)
    rank = jax.lax.broadcasted_iota(x.dtype, x.shape, axis % x.ndim) + 1
    support = ordered - (total - 1) / rank > 0
    size = jnp.sum(support, axis=axis, keepdims=True)
    tau = (jnp.sum(jnp.where(support, ordered, 0), axis=axis, keepdims=True) - 1) / size
    return jnp.maximum(x - tau, 0)


def glu(x, axis=-1):
    """a · sigmoid(b), a and b the two halves of x along an axis. Dauphin et al., 2017."""
    x = jnp.asarray(x)
    if x.shape[axis] % 2:
        raise UsageError(
            "glu halves an axis, so its size must be even",
            saw=f"an array of shape {x.shape}, axis={axis}", want="an even size on that axis",
        )  # fmt: skip
    return jax.nn.glu(x, axis)


swish = silu
hard_swish = hard_silu

registry.add(
    "activation", linear, relu, leaky_relu, relu6, hard_sigmoid, hard_silu, hard_tanh, hard_shrink, soft_shrink,
    threshold, exponential, elu, selu, celu, sigmoid, log_sigmoid, tanh, tanh_shrink, silu, gelu, mish, softplus,
    softsign, squareplus, sparse_plus, sparse_sigmoid, softmax, log_softmax, sparsemax, glu,
    swish=silu, hard_swish=hard_silu,
)  # fmt: skip
