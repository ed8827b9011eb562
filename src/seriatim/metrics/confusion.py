"""Counting hits and misses at thresholds: the four cells, precision, recall, and one at a bound on the other.

Floor 2. `cells` counts all thresholds at once: by buckets where they are evenly spaced, else by comparison.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry, settings
from ..base.fields import Anything, Fraction, OptionalInt, OptionalText, PositiveInt
from ..base.report import DataError, UsageError
from ..math.distances import same_rank
from ..math.reductions import beside, ratio
from .metric import CountType, Metric

CELLS = ("true_positives", "false_positives", "true_negatives", "false_negatives")
BELOW_ALL = -1e10  # a prediction that no threshold lets pass
FEW = 12  # up to so many thresholds, comparing with each is quicker than sorting into buckets


def cells(
    y_true, y_pred, thresholds, evenly, sample_weight=None, *,
    label_weights=None, by_label=False, top_k=None, class_id=None,
):  # fmt: skip
    """The weight in each of the four cells, for every threshold: {cell: (thresholds,) or (thresholds, labels)}.

    A prediction is positive where it is above the threshold; a label, where it is not 0. `evenly` says that the
    thresholds are evenly spaced from 0 to 1, and that predictions may be taken to lie there too.
    """
    dtype = settings.floatx()
    y_pred, y_true = same_rank(jnp.asarray(y_pred, dtype), jnp.asarray(y_true, dtype))
    weight = None if sample_weight is None else row_weight(jnp.asarray(sample_weight, dtype), y_true)
    if top_k is not None:
        y_pred = only_top_k(y_pred, top_k)
    if class_id is not None:
        y_true, y_pred = one_class(y_true, class_id), one_class(y_pred, class_id)
    if label_weights is not None:
        label_weights = jnp.asarray(label_weights, dtype)
        weight = label_weights if weight is None else weight * label_weights
    if y_true.shape != y_pred.shape:
        raise DataError(
            "labels and predictions differ in shape", saw=f"labels {y_true.shape}, predictions {y_pred.shape}",
            want="one label for every prediction",
        )  # fmt: skip
    positive = y_true != 0
    weight = jnp.broadcast_to(jnp.asarray(1 if weight is None else weight, dtype), y_pred.shape)
    columns = (-1, y_pred.shape[-1]) if by_label else (-1, 1)
    positive, y_pred, weight = (jnp.reshape(x, columns) for x in (positive, y_pred, weight))
    true, false = jnp.where(positive, weight, 0), jnp.where(positive, 0, weight)
    if evenly:
        found = by_bucket(steps_passed(y_pred, thresholds), true, false, len(thresholds))
    elif len(thresholds) > FEW:
        order = np.argsort(thresholds)
        passed = jnp.searchsorted(jnp.asarray(thresholds, dtype)[order], y_pred)
        found = by_bucket(jnp.where(jnp.isnan(y_pred), 0, passed), true, false, len(thresholds))
        found = [array[np.argsort(order)] for array in found]
    else:
        found = by_comparison(y_pred, true, false, jnp.asarray(thresholds, dtype))
    return {cell: array if by_label else array[:, 0] for cell, array in zip(CELLS, found, strict=True)}


def by_comparison(y_pred, true, false, thresholds):
    """Every prediction against every threshold. y_pred, true, false (n, l), thresholds (t,) -> four arrays (t, l)."""
    above = y_pred > thresholds[:, None, None]
    pairs = ((above, true), (above, false), (~above, false), (~above, true))
    return tuple(jnp.sum(jnp.where(where, weight, 0), axis=1) for where, weight in pairs)


def by_bucket(passed, true, false, count):
    """Every prediction into the bucket between two thresholds, then sums from the top: n + t steps, not n·t.

    `passed` (n, l) is how many of the `count` thresholds, the lowest first, lie below a prediction.
    """
    weights = jnp.stack([true, false], axis=-1)
    buckets = jnp.zeros((count + 1, *weights.shape[1:]), weights.dtype)
    buckets = buckets.at[passed, jnp.arange(passed.shape[1])].add(weights, mode="drop")
    above = jnp.cumsum(buckets[:0:-1], axis=0)[::-1]
    below = jnp.sum(weights, axis=0) - above
    return above[..., 0], above[..., 1], below[..., 1], below[..., 0]


def steps_passed(y_pred, thresholds):
    """How many evenly spaced thresholds lie below each prediction."""
    passed = jnp.ceil(jnp.clip(y_pred, 0, 1) * (len(thresholds) - 1)).astype("int32")
    return jnp.maximum(passed, 1) if thresholds[0] < 0 else passed


def even(thresholds):
    """Whether three or more thresholds are evenly spaced from 0 to 1."""
    n = len(thresholds)
    return n >= 3 and bool(np.allclose(thresholds, np.arange(n, dtype="float32") / (n - 1), atol=settings.epsilon()))


def row_weight(weight, y_true):
    """Weights (), (b,), (b, 1) or of the labels' shape, ready to meet the labels."""
    weight = beside(y_true, weight)[1]
    return weight[..., 0] if weight.ndim > y_true.ndim else weight


def one_class(x, class_id):
    if x.ndim == 1:
        raise DataError(
            "class_id picks a column of (batch, classes)", saw=f"an array of shape {x.shape}", want="at least two axes"
        )
    return x[..., class_id, None]


def only_top_k(y_pred, k):
    """The k largest predictions of every row; the others below all thresholds. Of equal ones the first win."""
    _, first = jax.lax.top_k(y_pred, k)
    chosen = jnp.any(first[..., None] == jnp.arange(y_pred.shape[-1]), axis=-2)
    return jnp.where(chosen, y_pred, BELOW_ALL)


def threshold_list(metric, given, default):
    """One threshold or several, as a list of numbers from 0 to 1."""
    if given is None:
        return [default]
    found = list(given) if np.ndim(given) else [given]
    wrong = [t for t in found if t is None or not 0 <= t <= 1]
    if wrong:
        raise UsageError(
            f"{type(metric).__name__}(thresholds=…) lie between 0 and 1",
            saw=f"thresholds={given!r}", want="one number from 0 to 1, or a list of them",
        )  # fmt: skip
    return found


class Thresholded(Metric):
    """Counts some of the four cells at each of `thresholds`; one threshold gives a number, several an array."""

    counted: ClassVar[tuple] = ()
    top_k: ClassVar[int | None] = None
    class_id: ClassVar[int | None] = None

    def validate(self):
        self.init_thresholds = self.thresholds
        default = 0.5 if self.top_k is None else BELOW_ALL
        self.thresholds = threshold_list(self, self.init_thresholds, default)
        self.evenly = even(self.thresholds)

    def argument(self, name):
        return self.init_thresholds if name == "thresholds" else super().argument(name)

    def zero(self, y=None, p=None):
        return {cell: np.zeros(len(self.thresholds), settings.floatx()) for cell in self.counted}

    def add(self, tally, y_true, y_pred, sample_weight=None):
        found = cells(
            y_true, y_pred, self.thresholds, self.evenly, sample_weight, top_k=self.top_k, class_id=self.class_id
        )
        return {cell: tally[cell] + found[cell] for cell in self.counted}

    def read(self, tally):
        value = self.rate(*(jnp.asarray(tally[cell]) for cell in self.counted))
        return value[0] if len(self.thresholds) == 1 else value

    def rate(self, hits, misses):
        return ratio(hits, hits + misses)


class Counted(Thresholded):
    """One of the four cells."""

    def zero(self, y=None, p=None):
        return {"accumulator": np.zeros(len(self.thresholds), settings.floatx())}

    def add(self, tally, y_true, y_pred, sample_weight=None):
        found = cells(y_true, y_pred, self.thresholds, self.evenly, sample_weight)
        return {"accumulator": tally["accumulator"] + found[self.counted[0]]}

    def read(self, tally):
        counts = jnp.asarray(tally["accumulator"])
        return counts[0] if len(self.thresholds) == 1 else counts


class TruePositives(Counted):
    """The weight of positive labels that are predicted positive."""

    thresholds: Anything = None
    name: OptionalText = None
    dtype: CountType = None

    counted: ClassVar[tuple] = ("true_positives",)


class TrueNegatives(Counted):
    """The weight of negative labels that are predicted negative."""

    thresholds: Anything = None
    name: OptionalText = None
    dtype: CountType = None

    counted: ClassVar[tuple] = ("true_negatives",)


class FalsePositives(Counted):
    """The weight of negative labels that are predicted positive."""

    thresholds: Anything = None
    name: OptionalText = None
    dtype: CountType = None

    counted: ClassVar[tuple] = ("false_positives",)


class FalseNegatives(Counted):
    """The weight of positive labels that are predicted negative."""

    thresholds: Anything = None
    name: OptionalText = None
    dtype: CountType = None

    counted: ClassVar[tuple] = ("false_negatives",)


class Precision(Thresholded):
    """TP / (TP + FP): how much of what is predicted positive is positive. 0 where nothing is.

    >>> m = Precision()
    >>> m.update_state([0, 1, 1, 1], [1, 0, 1, 1])
    >>> round(float(m.result()), 4)
    0.6667
    """

    thresholds: Anything = None
    top_k: OptionalInt = None
    class_id: OptionalInt = None
    name: OptionalText = None
    dtype: CountType = None

    counted: ClassVar[tuple] = ("true_positives", "false_positives")
    _direction: ClassVar[str] = "up"


class Recall(Thresholded):
    """TP / (TP + FN): how much of what is positive is predicted positive. 0 where nothing is."""

    thresholds: Anything = None
    top_k: OptionalInt = None
    class_id: OptionalInt = None
    name: OptionalText = None
    dtype: CountType = None

    counted: ClassVar[tuple] = ("true_positives", "false_negatives")
    _direction: ClassVar[str] = "up"


class AtBound(Metric):
    """The best of one rate over `num_thresholds` even thresholds at which another is at least a bound; 0 if none is."""

    _direction: ClassVar[str] = "up"

    def validate(self):
        n = self.num_thresholds
        self.thresholds = [0.5] if n == 1 else [i / (n - 1) for i in range(n)]

    def zero(self, y=None, p=None):
        return {cell: np.zeros(self.num_thresholds, settings.floatx()) for cell in CELLS}

    def add(self, tally, y_true, y_pred, sample_weight=None):
        evenly = self.num_thresholds > 1
        found = cells(y_true, y_pred, self.thresholds, evenly, sample_weight, class_id=self.class_id)
        return {cell: tally[cell] + found[cell] for cell in CELLS}

    def read(self, tally):
        bounded, bound, wanted = self.rates(*(jnp.asarray(tally[cell]) for cell in CELLS))
        return jnp.max(jnp.where(bounded >= bound, wanted, 0), initial=0)

    def rates(self, tp, fp, tn, fn):
        """The bounded rate, its bound, and the wanted rate."""
        raise NotImplementedError


class SensitivityAtSpecificity(AtBound):
    """The largest TP / (TP + FN) where TN / (TN + FP) is at least `specificity`."""

    specificity: Fraction
    num_thresholds: PositiveInt = 200
    class_id: OptionalInt = None
    name: OptionalText = None
    dtype: CountType = None

    def rates(self, tp, fp, tn, fn):
        return ratio(tn, tn + fp), self.specificity, ratio(tp, tp + fn)


class SpecificityAtSensitivity(AtBound):
    """The largest TN / (TN + FP) where TP / (TP + FN) is at least `sensitivity`."""

    sensitivity: Fraction
    num_thresholds: PositiveInt = 200
    class_id: OptionalInt = None
    name: OptionalText = None
    dtype: CountType = None

    def rates(self, tp, fp, tn, fn):
        return ratio(tp, tp + fn), self.sensitivity, ratio(tn, tn + fp)


class PrecisionAtRecall(AtBound):
    """The largest TP / (TP + FP) where TP / (TP + FN) is at least `recall`."""

    recall: Fraction
    num_thresholds: PositiveInt = 200
    class_id: OptionalInt = None
    name: OptionalText = None
    dtype: CountType = None

    def rates(self, tp, fp, tn, fn):
        return ratio(tp, tp + fn), self.recall, ratio(tp, tp + fp)


class RecallAtPrecision(AtBound):
    """The largest TP / (TP + FN) where TP / (TP + FP) is at least `precision`."""

    precision: Fraction
    num_thresholds: PositiveInt = 200
    class_id: OptionalInt = None
    name: OptionalText = None
    dtype: CountType = None

    def rates(self, tp, fp, tn, fn):
        return ratio(tp, tp + fp), self.precision, ratio(tp, tp + fn)


registry.add(
    "metric", TruePositives, TrueNegatives, FalsePositives, FalseNegatives, Precision, Recall,
    SensitivityAtSpecificity, SpecificityAtSensitivity, PrecisionAtRecall, RecallAtPrecision,
)  # fmt: skip
