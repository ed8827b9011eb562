"""F scores: one number for precision and recall, counted for every output apart.

Floor 2.
"""

from typing import Annotated, Any, ClassVar

import jax.numpy as jnp
import numpy as np

from ..base import registry, settings
from ..base.fields import Field, OneOf, Optional, Refused, Text
from .metric import CountType, Metric
from .regression import outputs_of


class PositiveFloat(Field):
    """A Python float above 0 and at most `most`; whole numbers are refused, as in Keras."""

    bad = 0

    def __init__(self, most=float("inf")):
        self.most, self.want = most, "a float above 0" + ("" if most == float("inf") else f", at most {most}")

    def read(self, value, owner):
        if not isinstance(value, float) or not 0 < value <= self.most:
            raise Refused
        return value


Average = Annotated[Any, Optional(OneOf("micro", "macro", "weighted"))]
Threshold = Annotated[Any, Optional(PositiveFloat(1.0))]


class FBetaScore(Metric):
    """F = (1 + β²) · precision · recall / (β² · precision + recall), for labels and predictions (b, outputs).

    Without a `threshold` the largest prediction of a row is the positive one. `average` None gives a score for
    each output, "micro" counts all outputs together, "macro" is their mean, "weighted" weighs by support.
    """

    average: Average = None
    beta: Annotated[float, PositiveFloat()] = 1.0
    threshold: Threshold = None
    name: Text = "fbeta_score"
    dtype: CountType = None

    _direction: ClassVar[str] = "up"

    @property
    def shaped(self):
        return True

    def zero(self, y=None, p=None):
        outputs = outputs_of(self, getattr(y, "shape", ()), getattr(p, "shape", ()))
        shape = () if self.average == "micro" else outputs
        words = ("true_positives", "false_positives", "false_negatives", "intermediate_weights")
        return {word: np.zeros(shape, self.dtype) for word in words}

    def add(self, tally, y_true, y_pred, sample_weight=None):
        y_true, y_pred = jnp.asarray(y_true, self.dtype), jnp.asarray(y_pred, self.dtype)
        if self.threshold is None:
            largest = jnp.max(y_pred, axis=-1, keepdims=True)
            positive = (y_pred >= largest) & (jnp.abs(y_pred) > 1e-9)  # a row of zeros has no positive
        else:
            positive = y_pred > self.threshold
        positive = positive.astype(self.dtype)
        weight = jnp.asarray(1 if sample_weight is None else sample_weight, self.dtype)
        weight = weight[:, None] if weight.ndim == 1 else weight
        axis = None if self.average == "micro" else 0
        seen = {
            "true_positives": positive * y_true,
            "false_positives": positive * (1 - y_true),
            "false_negatives": (1 - positive) * y_true,
            "intermediate_weights": y_true,
        }
        return {word: tally[word] + jnp.sum(seen[word] * weight, axis) for word in tally}

    def read(self, tally):
        tp, epsilon = tally["true_positives"], settings.epsilon()
        precision = tp / (tp + tally["false_positives"] + epsilon)
        recall = tp / (tp + tally["false_negatives"] + epsilon)
        squared = self.beta**2
        score = (1 + squared) * (precision * recall / (squared * precision + recall + epsilon))
        if self.average == "weighted":
            support = tally["intermediate_weights"]
            return jnp.sum(score * (support / (jnp.sum(support) + epsilon)))
        return score if self.average is None else jnp.mean(score)


class F1Score(FBetaScore):
    """F = 2 · precision · recall / (precision + recall), for labels and predictions (b, outputs).

    >>> import numpy as np
    >>> m = F1Score(threshold=0.5)
    >>> m.update_state(np.eye(3), np.eye(3))
    >>> np.round(m.result(), 3).tolist()
    [1.0, 1.0, 1.0]
    """

    average: Average = None
    threshold: Threshold = None
    name: Text = "f1_score"
    dtype: CountType = None

    beta = 1.0


registry.add("metric", FBetaScore, F1Score)
