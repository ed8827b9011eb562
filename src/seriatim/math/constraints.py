"""Constraints: where an array is put back to after each update of the optimizer.

Floor 1. Array in, array of the same shape and dtype out. A norm is taken along `axis` (one or several):
axis 0 of a Dense kernel (features, units) is one norm a unit; for a Conv2D kernel it is (0, 1, 2).
"""

from typing import ClassVar

import jax.numpy as jnp

from ..base import registry, settings
from ..base.config import Config
from ..base.fields import Axes, Number


class Constraint(Config):
    """array -> array. Subclass it as in Keras: `__call__(w)`, `get_config()`."""

    family: ClassVar[str] = "constraint"

    def __call__(self, w):
        return w


class NonNeg(Constraint):
    """max(w, 0)"""

    def __call__(self, w):
        return jnp.maximum(jnp.asarray(w), 0)


class NormConstraint(Constraint):
    """w scaled so that its norm along the axis is `wanted(norm)`.

    As in Keras, the quotient is wanted / (norm + ε), so the new norm is a hair below the wanted one. ε is
    `config.epsilon()` at the time the constraint is made.
    """

    def validate(self):
        self.epsilon = settings.epsilon()

    def wanted(self, norm):
        raise NotImplementedError

    def __call__(self, w):
        w = jnp.asarray(w)
        axis = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        norm = jnp.sqrt(jnp.sum(jnp.square(w), axis=axis, keepdims=True))
        return w * (self.wanted(norm) / (self.epsilon + norm))


class MaxNorm(NormConstraint):
    """Norms above max_value become max_value. Srivastava et al., 2014.

    >>> MaxNorm(5.0)([[3.0, 6.0], [4.0, 8.0]]).round().tolist()
    [[3.0, 3.0], [4.0, 4.0]]
    """

    max_value: Number = 2
    axis: Axes = 0

    def wanted(self, norm):
        return jnp.clip(norm, 0, self.max_value)


class UnitNorm(NormConstraint):
    """Every norm becomes 1."""

    axis: Axes = 0

    def wanted(self, norm):
        return jnp.ones_like(norm)


class MinMaxNorm(NormConstraint):
    """Norms move to between min_value and max_value: all the way at rate 1, by that share of it below."""

    min_value: Number = 0.0
    max_value: Number = 1.0
    rate: Number = 1.0
    axis: Axes = 0

    def wanted(self, norm):
        return self.rate * jnp.clip(norm, self.min_value, self.max_value) + (1 - self.rate) * norm


registry.add("constraint", NonNeg, MaxNorm, UnitNorm, MinMaxNorm)
