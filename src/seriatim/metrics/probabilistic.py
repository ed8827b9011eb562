"""How well predicted probabilities, rates or margins fit the labels: cross-entropies, divergence, hinges.

Floor 2. The distances are those of the losses (`math/distances.py`); here they are averaged over all examples.
"""

from typing import ClassVar

import jax.numpy as jnp

from ..base import registry
from ..base.fields import Bool, Fraction, Int, OptionalInt, Text
from ..math import distances
from ..math.reductions import weighed
from .mean import Mean, MeanMetricWrapper
from .metric import CountType


class BinaryCrossentropy(MeanMetricWrapper):
    """mean(-y_true log(y_pred) - (1 - y_true) log(1 - y_pred))"""

    name: Text = "binary_crossentropy"
    dtype: CountType = None
    from_logits: Bool = False
    label_smoothing: Fraction = 0

    _direction: ClassVar[str] = "down"

    def values(self, y_true, y_pred):
        return distances.binary_crossentropy(
            y_true, y_pred, from_logits=self.from_logits, label_smoothing=self.label_smoothing
        )


class CategoricalCrossentropy(MeanMetricWrapper):
    """mean(-Σ y_true log(y_pred)) over one-hot labels, the sum along `axis`."""

    name: Text = "categorical_crossentropy"
    dtype: CountType = None
    from_logits: Bool = False
    label_smoothing: Fraction = 0
    axis: Int = -1

    _direction: ClassVar[str] = "down"

    def values(self, y_true, y_pred):
        return distances.categorical_crossentropy(
            y_true, y_pred, from_logits=self.from_logits, label_smoothing=self.label_smoothing, axis=self.axis
        )


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """mean(-log(y_pred[y_true])) over integer labels.

    Entries of `ignore_class` have the value 0; as in Keras they still count, unless there are weights.
    """

    name: Text = "sparse_categorical_crossentropy"
    dtype: CountType = None
    from_logits: Bool = False
    ignore_class: OptionalInt = None
    axis: Int = -1

    _direction: ClassVar[str] = "down"

    def values(self, y_true, y_pred):
        return distances.sparse_categorical_crossentropy(
            y_true, y_pred, from_logits=self.from_logits, ignore_class=self.ignore_class, axis=self.axis
        )

    def add(self, tally, y_true, y_pred, sample_weight=None):
        y_true, y_pred = jnp.asarray(y_true), jnp.asarray(y_pred)
        values = self.values(y_true, y_pred)
        if self.ignore_class is not None and sample_weight is not None:
            counted = jnp.reshape(y_true != self.ignore_class, values.shape)
            sample_weight = weighed(sample_weight, counted, self.dtype, "sum")
        return Mean.add(self, tally, values, sample_weight)


class KLDivergence(MeanMetricWrapper):
    """mean(Σ y_true log(y_true / y_pred))"""

    name: Text = "kl_divergence"
    dtype: CountType = None

    _direction: ClassVar[str] = "down"

    def values(self, y_true, y_pred):
        return distances.kl_divergence(y_true, y_pred)


class Poisson(MeanMetricWrapper):
    """mean(y_pred - y_true log(y_pred))"""

    name: Text = "poisson"
    dtype: CountType = None

    _direction: ClassVar[str] = "down"

    def values(self, y_true, y_pred):
        return distances.poisson(y_true, y_pred)


class Hinge(MeanMetricWrapper):
    """mean(max(1 - y_true y_pred, 0)) with labels -1 and 1 (0 and 1 are converted, batch by batch)."""

    name: Text = "hinge"
    dtype: CountType = None

    _direction: ClassVar[str] = "down"

    def values(self, y_true, y_pred):
        return distances.hinge(y_true, y_pred)


class SquaredHinge(MeanMetricWrapper):
    """mean(max(1 - y_true y_pred, 0)²) with labels -1 and 1 (0 and 1 are converted, batch by batch)."""

    name: Text = "squared_hinge"
    dtype: CountType = None

    _direction: ClassVar[str] = "down"

    def values(self, y_true, y_pred):
        return distances.squared_hinge(y_true, y_pred)


class CategoricalHinge(MeanMetricWrapper):
    """mean(max(1 + largest wrong - right, 0)) over one-hot labels."""

    name: Text = "categorical_hinge"
    dtype: CountType = None

    _direction: ClassVar[str] = "down"

    def values(self, y_true, y_pred):
        return distances.categorical_hinge(y_true, y_pred)


registry.add(
    "metric", BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy, KLDivergence, Poisson,
    Hinge, SquaredHinge, CategoricalHinge, bce=BinaryCrossentropy, BCE=BinaryCrossentropy,
)  # fmt: skip
