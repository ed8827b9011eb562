"""How labels, predictions and weights of slightly different shapes meet: (b,) with (b, 1), (b, t) with (b,).

Floor 2. Pure array functions shared by the members of this room; the rules are Keras 3's.
"""

import jax.numpy as jnp


def same_rank(a, b, expand=True):
    """The two arrays with equal rank, where a last axis of size 1 is all that tells them apart.

    `(b, 1)` and `(b,)` become `(b, 1)` and `(b, 1)` (or `(b,)` and `(b,)` with `expand=False`);
    `(b, t, 1)` and `(b, t)` become `(b, t)` twice. Anything else is left as it is.
    """
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, b[..., None]) if b.ndim == 1 and expand else (a[..., 0], b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (a[..., None], b) if a.ndim == 1 and expand else (a, b[..., 0])
    return a, b


def paired(y_true, y_pred, dtype=None):
    """Labels and predictions as arrays of one dtype (the predictions' own, unless given) and one rank."""
    y_pred = jnp.asarray(y_pred, dtype)
    return same_rank(jnp.asarray(y_true, y_pred.dtype), y_pred)


def masked_weight(sample_weight, mask, dtype="float32"):
    """The weight of every entry: `sample_weight` where `mask` is True, 0 elsewhere; either may be None.

    mask (b, t), sample_weight (b,), (b, 1) or (b, t) -> (b, t). Keras refuses weights (b,) here.
    """
    if mask is None:
        return sample_weight
    mask = jnp.asarray(mask, dtype)
    if sample_weight is None:
        return mask
    mask, sample_weight = same_rank(mask, jnp.asarray(sample_weight, dtype))
    return jnp.reshape(sample_weight, sample_weight.shape + (1,) * (mask.ndim - sample_weight.ndim)) * mask


def ratio(a, b):
    """a / b, and 0 where b is 0."""
    return jnp.where(b == 0, 0, a / jnp.where(b == 0, 1, b))
