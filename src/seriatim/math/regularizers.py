"""Regularizers: a price for the size of an array, which joins the loss.

Floor 1. Array in, scalar of the same dtype out; the price is a sum over all entries, never a mean.
"""

import math
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry, settings
from ..base.config import Config
from ..base.fields import Field, OneOf, Real, Refused
from ..base.report import UsageError


class Factor(Field):
    """A finite number, 0 or more, kept as a float; None is the default."""

    want, bad = "a finite number, 0 or more", -1.0

    def __init__(self, default):
        self.default = default

    def read(self, value, owner):
        number = float(Real(0).read(self.default if value is None else value, owner))
        if math.isinf(number):
            raise Refused
        return number


Hundredth = Annotated[float, Factor(0.01)]
Nothing = Annotated[float, Factor(0.0)]
Mode = Annotated[str, OneOf("rows", "columns")]


class Regularizer(Config):
    """array -> scalar. Subclass it as in Keras: `__call__(x)`, `get_config()`."""

    family: ClassVar[str] = "regularizer"

    def __call__(self, x):
        return 0.0


class L1(Regularizer):
    """l1 · Σ |x|

    >>> float(L1(0.5)([[1.0, -3.0]]))
    2.0
    """

    l1: Hundredth = 0.01

    def __call__(self, x):
        return self.l1 * jnp.sum(jnp.abs(jnp.asarray(x)))

    def get_config(self):
        return {"l1": as_float32(self.l1)}


class L2(Regularizer):
    """l2 · Σ x²"""

    l2: Hundredth = 0.01

    def __call__(self, x):
        return self.l2 * jnp.sum(jnp.square(jnp.asarray(x)))


class L1L2(Regularizer):
    """l1 · Σ |x| + l2 · Σ x². Both are 0 unless given, so the name "l1l2" alone costs nothing, as in Keras."""

    l1: Nothing = 0.0
    l2: Nothing = 0.0

    def __call__(self, x):
        x = jnp.asarray(x)
        price = jnp.zeros((), x.dtype)
        if self.l1:
            price += self.l1 * jnp.sum(jnp.abs(x))
        if self.l2:
            price += self.l2 * jnp.sum(jnp.square(x))
        return price


class OrthogonalRegularizer(Regularizer):
    """factor · the mean of |cosine| over all pairs of rows (or columns) of a matrix.

    Differs from Keras in two places where Keras gives nan: a single row has no pairs, so its price is 0,
    and a row of zeros has gradient 0. Keras's small constant is read once, when the regularizer is made.
    """

    factor: Annotated[float, Factor(None)] = 0.01
    mode: Mode = "rows"

    def validate(self):
        self.epsilon = settings.epsilon()

    def __call__(self, x):
        x = jnp.asarray(x)
        if x.ndim != 2:
            raise UsageError("OrthogonalRegularizer takes a matrix", saw=f"an array of shape {x.shape}", want="2 axes")
        rows = x if self.mode == "rows" else x.T
        size = len(rows)
        squares = jnp.sum(jnp.square(rows), axis=1, keepdims=True)
        rows = rows * jax.lax.rsqrt(jnp.maximum(squares, self.epsilon**2))
        cosines = jnp.abs(rows @ rows.T) * (1 - jnp.eye(size, dtype=x.dtype))
        return self.factor * jnp.sum(cosines) / max(size * (size - 1), 1)

    def get_config(self):
        return {"factor": as_float32(self.factor), "mode": self.mode}


def as_float32(number):
    """The number that is left of `number` in float32: these two members of Keras hold a tensor."""
    return float(np.float32(number))


registry.add("regularizer", L1, L2, L1L2, OrthogonalRegularizer)
