"""How often a prediction is the label: equal, on the right side of a threshold, first, or among the first k.

Floor 2. Each accuracy is a function (y_true, y_pred) -> 1.0 or 0.0 for every example, and its mean.
"""

from typing import ClassVar

import jax.numpy as jnp

from ..base import registry, settings
from ..base.fields import Bool, Int, Number, Text
from ..math.distances import same_rank
from .mean import FUNCTIONS, MeanMetricWrapper, paired
from .metric import CountType


def hits(found):
    """True and False as 1 and 0 of the float type."""
    return jnp.asarray(found, settings.floatx())


def accuracy(y_true, y_pred):
    """1 where the prediction equals the label: (b, ...) and (b, ...) -> (b, ...)."""
    y_true, y_pred = paired(y_true, y_pred)
    return hits(y_true == y_pred)


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """1 where `y_pred > threshold` says what the label says: (b, ...) and (b, ...) -> (b, ...).

    >>> binary_accuracy([1, 1, 0, 0], [0.98, 0.3, 0.2, 0.6]).tolist()
    [1.0, 0.0, 1.0, 0.0]
    """
    y_true, y_pred = same_rank(jnp.asarray(y_true), jnp.asarray(y_pred))
    return hits(y_true == (y_pred > threshold).astype(y_true.dtype))


def categorical_accuracy(y_true, y_pred):
    """1 where the largest prediction stands where the largest label stands: (b, ..., c) twice -> (b, ...)."""
    labels, y_pred = jnp.argmax(jnp.asarray(y_true), axis=-1), jnp.asarray(y_pred)
    return match_classes(labels, y_pred)


def sparse_categorical_accuracy(y_true, y_pred):
    """1 where the largest prediction stands at the label: (b, ...) or (b, ..., 1), and (b, ..., c) -> (b, ...).

    Labels are compared as they are; Keras rounds them to the dtype of the predictions first.
    """
    matches = match_classes(jnp.asarray(y_true), jnp.asarray(y_pred))
    return matches[..., 0] if matches.ndim > 1 and matches.shape[-1] == 1 else matches


def match_classes(labels, y_pred):
    """1 where the last axis of `y_pred` is largest at the label, in the shape of `labels`."""
    first = jnp.argmax(y_pred, axis=-1).astype(labels.dtype)
    if labels.ndim == y_pred.ndim and labels.shape[-1] == 1:
        return hits(labels[..., 0] == first)[..., None]
    return hits(labels == first)


def in_top_k(labels, y_pred, k):
    """Whether fewer than k predictions are larger than the one at the label; a NaN there counts as the smallest.

    labels (n,) int, y_pred (n, c) -> (n,) bool. Ties are in the label's favour.
    """
    at_label = jnp.take_along_axis(y_pred, labels[:, None], axis=-1, mode="fill", fill_value=jnp.nan)
    at_label = jnp.where(jnp.isnan(at_label), -jnp.inf, at_label)
    return jnp.sum(y_pred > at_label, axis=-1) < k


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where the largest label is among the k largest predictions: (b, ..., c) twice -> (b, ...)."""
    return sparse_top_k_categorical_accuracy(jnp.argmax(jnp.asarray(y_true), axis=-1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """1 where the label is among the k largest predictions: (b, ...) and (b, ..., c) -> (b, ...).

    With `from_sorted_ids` the predictions are class ids, best first, and the first k of them count.
    """
    y_pred = jnp.asarray(y_pred)
    labels = jnp.asarray(y_true, y_pred.dtype if from_sorted_ids else "int32")
    rows, flat = jnp.reshape(y_pred, (-1, y_pred.shape[-1])), jnp.reshape(labels, -1)
    found = jnp.any(flat[:, None] == rows[:, :k], axis=1) if from_sorted_ids else in_top_k(flat, rows, k)
    return jnp.reshape(hits(found), labels.shape)


class Accuracy(MeanMetricWrapper):
    """The share of predictions that equal their label."""

    name: Text = "accuracy"
    dtype: CountType = None

    _direction: ClassVar[str] = "up"

    def values(self, y_true, y_pred):
        return accuracy(y_true, y_pred)


class BinaryAccuracy(MeanMetricWrapper):
    """The share of predictions on the label's side of `threshold` (0.5 even where predictions are logits)."""

    name: Text = "binary_accuracy"
    dtype: CountType = None
    threshold: Number = 0.5

    _direction: ClassVar[str] = "up"

    def values(self, y_true, y_pred):
        return binary_accuracy(y_true, y_pred, self.threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """The share of one-hot labels that the largest prediction meets."""

    name: Text = "categorical_accuracy"
    dtype: CountType = None

    _direction: ClassVar[str] = "up"

    def values(self, y_true, y_pred):
        return categorical_accuracy(y_true, y_pred)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """The share of integer labels that the largest prediction meets."""

    name: Text = "sparse_categorical_accuracy"
    dtype: CountType = None

    _direction: ClassVar[str] = "up"

    def values(self, y_true, y_pred):
        return sparse_categorical_accuracy(y_true, y_pred)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """The share of one-hot labels among the k largest predictions."""

    k: Int = 5
    name: Text = "top_k_categorical_accuracy"
    dtype: CountType = None

    _direction: ClassVar[str] = "up"

    def values(self, y_true, y_pred):
        return top_k_categorical_accuracy(y_true, y_pred, self.k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """The share of integer labels among the k largest predictions, or among the first k predicted ids."""

    k: Int = 5
    name: Text = "sparse_top_k_categorical_accuracy"
    dtype: CountType = None
    from_sorted_ids: Bool = False

    _direction: ClassVar[str] = "up"

    def values(self, y_true, y_pred):
        return sparse_top_k_categorical_accuracy(y_true, y_pred, self.k, self.from_sorted_ids)

    def get_config(self):
        config = super().get_config()
        return config if self.from_sorted_ids else {k: v for k, v in config.items() if k != "from_sorted_ids"}


def accuracy_for(y_shape, p_shape):
    """The accuracy that the word "accuracy" means for labels and predictions of these shapes: a class."""
    return by_shape(y_shape, p_shape, BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy)


def by_shape(y_shape, p_shape, binary, sparse, dense):
    """Keras's rule: one prediction is binary; labels without the class axis are sparse; the rest one-hot."""
    if p_shape and p_shape[-1] == 1:
        return binary
    if len(y_shape) < len(p_shape) or (y_shape and y_shape[-1] == 1 and p_shape[-1] is not None and p_shape[-1] > 1):
        return sparse
    return dense


for _function in (
    binary_accuracy, categorical_accuracy, sparse_categorical_accuracy,
    top_k_categorical_accuracy, sparse_top_k_categorical_accuracy,
):  # fmt: skip
    FUNCTIONS[_function.__name__] = _function
registry.add(
    "metric", Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy,
    TopKCategoricalAccuracy, SparseTopKCategoricalAccuracy,
)  # fmt: skip
