"""From a value for each example to one number: weights, masks, and what the sum is divided by.

Floor 1. The rules are Keras 3's: a mean divides by the number of values, not by the sum of the weights.
"""

import jax.numpy as jnp
import numpy as np

from ..base.report import DataError
from .distances import same_rank

MEANS = ("sum_over_batch_size", "mean")
REDUCTIONS = (*MEANS, "mean_with_sample_weight", "sum", "none", None)


def reduced(values, sample_weight, mask, reduction):
    """The values, weighted, and made one number as `reduction` says."""
    weight = weighed(sample_weight, mask, values.dtype, reduction)
    if weight is not None:
        shape = values.shape
        values, weight = beside(values, weight)
        if shape and np.broadcast_shapes(values.shape, weight.shape) != values.shape:
            refuse("weights or masks must have one entry for each value of the loss, or for each row", values, weight)
        values = values * weight
    if reduction in (None, "none") or values.shape in ((), (0,)):
        return values
    total = jnp.sum(values)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and weight is not None:
        return ratio(total, jnp.sum(weight))
    return total / max(values.size, 1)


def weighed(sample_weight, mask, dtype, reduction):
    """Weights and mask in one: the weight of each entry, or None if neither is given."""
    weight = None if sample_weight is None else jnp.asarray(sample_weight, dtype)
    if mask is None:
        return weight
    keep = jnp.asarray(mask, dtype)
    if reduction in MEANS:  # so that dividing by all entries is dividing by those that count
        keep = jnp.where(keep != 0, ratio(keep.size, jnp.sum(keep)), 0)
    if weight is None:
        return keep
    keep, weight = beside(keep, weight)
    return weight * keep


def beside(a, b):
    """Two arrays whose axes match: (b,) is (b, 1) beside (b, 1) and beside (b, t).

    Differs from Keras, where (b,) beside (b, t) fails, or (if b = t) runs along the steps.
    """
    a, b = same_rank(a, b)
    if 0 < b.ndim < a.ndim and b.shape == a.shape[: b.ndim]:
        b = b.reshape(b.shape + (1,) * (a.ndim - b.ndim))
    elif 0 < a.ndim < b.ndim and a.shape == b.shape[: a.ndim]:
        a = a.reshape(a.shape + (1,) * (b.ndim - a.ndim))
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        refuse("weights, masks and values of the loss do not fit together", a, b)
    return a, b


def refuse(title, a, b):
    raise DataError(title, saw=f"shapes {a.shape} and {b.shape}", want="equal shapes, or (batch,) beside (batch, ...)")


def ratio(a, b):
    """a / b, and 0 where b is 0."""
    return jnp.where(b == 0, 0, a / jnp.where(b == 0, 1, b))
