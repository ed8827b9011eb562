"""The area under a curve of two rates over thresholds: ROC, precision-recall, or precision-recall-gain.

Floor 2. The four cells are counted at `num_thresholds` thresholds (`confusion.cells`); the area is read from them.
"""

from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry, settings
from ..base.fields import Anything, Bool, OneOf, Optional, OptionalInt, OptionalText, Whole
from ..base.report import DataError, UsageError
from ..math.reductions import ratio
from .confusion import CELLS, cells, even
from .metric import CountType, Metric


class CurveName(OneOf):
    """ROC, PR or PRGAIN, also in small letters."""

    def read(self, value, owner):
        return super().read(value.upper() if isinstance(value, str) else value, owner)


class AUC(Metric):
    """The area under the curve of the four cells, approximated at `num_thresholds` thresholds.

    curve ROC: TP rate over FP rate. PR: precision over recall (Davis & Goadrich 2006 between the points with
    "interpolation"). PRGAIN: the two gains of Flach & Kull 2015. `summation_method` "minoring" and "majoring" take
    the lower and the higher end of each interval. With `multi_label`, (b, labels) are counted label by label and
    the areas averaged by `label_weights`; without, `label_weights` weigh the entries.

    >>> m = AUC(num_thresholds=3)
    >>> m.update_state([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
    >>> float(m.result())
    0.75
    """

    num_thresholds: Annotated[int | None, Optional(Whole())] = 200
    curve: Annotated[str, CurveName("ROC", "PR", "PRGAIN")] = "ROC"
    summation_method: Annotated[str, OneOf("interpolation", "majoring", "minoring")] = "interpolation"
    name: OptionalText = None
    dtype: CountType = None
    thresholds: Anything = None
    multi_label: Bool = False
    num_labels: OptionalInt = None
    label_weights: Anything = None
    from_logits: Bool = False

    _direction: ClassVar[str] = "up"

    def validate(self):
        if self.num_labels and not self.multi_label:
            raise UsageError(
                "AUC counts labels apart only with multi_label=True",
                saw=f"num_labels={self.num_labels}, multi_label=False", fix="multi_label=True, or no num_labels",
            )  # fmt: skip
        given, steps = self.thresholds, (self.num_thresholds or 0) - 1
        if given is None and steps < 1:
            raise UsageError(
                "AUC needs two thresholds or more", saw=f"num_thresholds={self.num_thresholds}", want="2 or more"
            )
        inner = [i / steps for i in range(1, steps)] if given is None else sorted(float(t) for t in given)
        self.inner = None if given is None else inner
        self.evenly = given is None or even([0.0, *inner, 1.0])
        self.thresholds = [-settings.epsilon(), *inner, 1.0 + settings.epsilon()]  # the ends catch rounding
        self.num_thresholds = len(self.thresholds)

    def argument(self, name):
        return self.inner if name == "thresholds" else super().argument(name)

    def get_config(self):
        config = super().get_config()
        return {k: v for k, v in config.items() if k != "thresholds" or v is not None}

    # ---- counting ------------------------------------------------------------------------------------

    @property
    def shaped(self):
        return self.multi_label and not self.num_labels

    def zero(self, y=None, p=None):
        shape = (self.num_thresholds,)
        if self.multi_label:
            if self.shaped and (p is None or len(p.shape) != 2):
                raise DataError(
                    f"{self.name} counts every label apart",
                    saw=f"predictions of shape {getattr(p, 'shape', None)}", want="(batch, labels)",
                )  # fmt: skip
            shape = (self.num_thresholds, self.num_labels or p.shape[1])
        return {cell: np.zeros(shape, settings.floatx()) for cell in CELLS}

    def add(self, tally, y_true, y_pred, sample_weight=None):
        y_pred = jnp.asarray(y_pred)
        y_pred = jax.nn.sigmoid(y_pred) if self.from_logits else y_pred
        found = cells(
            y_true, y_pred, self.thresholds, self.evenly, sample_weight,
            label_weights=None if self.multi_label else self.label_weights, by_label=self.multi_label,
        )  # fmt: skip
        return {cell: tally[cell] + found[cell] for cell in CELLS}

    def read(self, tally):
        counts = [jnp.asarray(tally[cell]) for cell in CELLS]
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = interpolated_pr(*counts)
        else:
            x, y = CURVES[self.curve](*counts)
            areas = (x[:-1] - x[1:]) * HEIGHTS[self.summation_method](y[:-1], y[1:])
        if not self.multi_label:
            return jnp.sum(areas)
        by_label = jnp.sum(areas, axis=0)
        if self.label_weights is None:
            return jnp.mean(by_label)
        weights = jnp.asarray(self.label_weights, by_label.dtype)
        return ratio(jnp.sum(by_label * weights), jnp.sum(weights))


def roc(tp, fp, tn, fn):
    return ratio(fp, fp + tn), ratio(tp, tp + fn)


def precision_recall(tp, fp, tn, fn):
    return ratio(tp, tp + fn), ratio(tp, tp + fp)


def precision_recall_gain(tp, fp, tn, fn):
    """1 - (positives / negatives) · FN / TP over 1 - (positives / negatives) · FP / TP; (0, 1) without a hit."""
    odds = ratio(tp + fn, tn + fp)
    recall_gain = jnp.where(tp == 0, 0.0, 1.0 - odds * ratio(fn, tp))
    precision_gain = jnp.where(tp == 0, 1.0, 1.0 - odds * ratio(fp, tp))
    return jnp.maximum(recall_gain, 0.0), precision_gain


def interpolated_pr(tp, fp, tn, fn):
    """The area below each piece of the PR curve, TP and FP growing in proportion between two thresholds."""
    found = tp + fp
    gained = tp[:-1] - tp[1:]
    slope = ratio(gained, jnp.maximum(found[:-1] - found[1:], 0))
    start = tp[1:] - slope * found[1:]
    both = (found[:-1] > 0) & (found[1:] > 0)
    growth = jnp.where(both, ratio(found[:-1], jnp.maximum(found[1:], 0)), 1.0)
    return ratio(slope * (gained + start * jnp.log(growth)), jnp.maximum(tp[1:] + fn[1:], 0))


CURVES = {"ROC": roc, "PR": precision_recall, "PRGAIN": precision_recall_gain}
HEIGHTS = {"interpolation": lambda a, b: (a + b) / 2, "minoring": jnp.minimum, "majoring": jnp.maximum}

registry.add("metric", AUC)
