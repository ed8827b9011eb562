"""How far predictions are from numbers: means of distances, the share of variance explained, correlations.

Floor 2. The distances are those of the losses (`math/distances.py`); here they are averaged over all examples.
"""

from typing import Annotated, Any, ClassVar

import jax.numpy as jnp
import numpy as np

from ..base import registry, settings
from ..base.fields import Int, NonNegativeInt, OneOf, Optional, Text
from ..base.report import DataError
from ..math import distances
from .mean import FUNCTIONS, Mean, MeanMetricWrapper, paired
from .metric import CountType, Metric


class MeanSquaredError(MeanMetricWrapper):
    """mean((y_true - y_pred)²)"""

    name: Text = "mean_squared_error"
    dtype: CountType = None

    _direction: ClassVar[str] = "down"

    def values(self, y_true, y_pred):
        return distances.mean_squared_error(y_true, y_pred)


class MeanAbsoluteError(MeanMetricWrapper):
    """mean(|y_true - y_pred|)"""

    name: Text = "mean_absolute_error"
    dtype: CountType = None

    _direction: ClassVar[str] = "down"

    def values(self, y_true, y_pred):
        return distances.mean_absolute_error(y_true, y_pred)


class MeanAbsolutePercentageError(MeanMetricWrapper):
    """100 · mean(|y_true - y_pred| / |y_true|)"""

    name: Text = "mean_absolute_percentage_error"
    dtype: CountType = None

    _direction: ClassVar[str] = "down"

    def values(self, y_true, y_pred):
        return distances.mean_absolute_percentage_error(y_true, y_pred)


class MeanSquaredLogarithmicError(MeanMetricWrapper):
    """mean((log(1 + y_true) - log(1 + y_pred))²)"""

    name: Text = "mean_squared_logarithmic_error"
    dtype: CountType = None

    _direction: ClassVar[str] = "down"

    def values(self, y_true, y_pred):
        return distances.mean_squared_logarithmic_error(y_true, y_pred)


class LogCoshError(MeanMetricWrapper):
    """mean(log(cosh(y_pred - y_true)))"""

    name: Text = "logcosh"
    dtype: CountType = None

    _direction: ClassVar[str] = "down"

    def values(self, y_true, y_pred):
        return distances.log_cosh(y_true, y_pred)


class CosineSimilarity(MeanMetricWrapper):
    """mean over examples of (y_true · y_pred) / (|y_true| |y_pred|): 1 is the same direction.

    The loss of the same name is the negative. Keras leaves `axis` out of the config; we keep one that is not -1.
    """

    name: Text = "cosine_similarity"
    dtype: CountType = None
    axis: Int = -1

    _direction: ClassVar[str] = "up"

    def values(self, y_true, y_pred):
        return -distances.cosine_similarity(y_true, y_pred, axis=self.axis)

    def get_config(self):
        config = super().get_config()
        return config if self.axis != -1 else {name: value for name, value in config.items() if name != "axis"}


class RootMeanSquaredError(Mean):
    """√ mean((y_true - y_pred)²), the root taken once, over all batches.

    As in Keras, a mask of the predictions does not reach it.
    """

    name: Text = "root_mean_squared_error"
    dtype: CountType = None

    _direction: ClassVar[str] = "down"

    def add(self, tally, y_true, y_pred, sample_weight=None):
        y_true, y_pred = paired(y_true, y_pred, self.dtype)
        return Mean.add(self, tally, jnp.square(y_pred - y_true), sample_weight)

    def read(self, tally):
        return jnp.sqrt(Mean.read(self, tally))


class R2Score(Metric):
    """1 - Σ(y_true - y_pred)² / Σ(y_true - mean)², for every output, then averaged. y_true, y_pred: (b, outputs).

    With `num_regressors` = p it is 1 - (1 - R²)(n - 1)/(n - p - 1), where n counts entries as Keras does
    (rows × outputs); with n ≤ p + 1 it stays R², without Keras's warning.
    """

    class_aggregation: Annotated[Any, Optional(OneOf("uniform_average", "variance_weighted_average"))] = (
        "uniform_average"
    )
    num_regressors: NonNegativeInt = 0
    name: Text = "r2_score"
    dtype: CountType = None

    _direction: ClassVar[str] = "up"

    @property
    def shaped(self):
        return True

    def zero(self, y=None, p=None):
        outputs = outputs_of(self, *column_shapes(y, p))
        tally = {word: np.zeros(outputs, settings.floatx()) for word in ("squared_sum", "sum", "residual", "count")}
        return {"num_samples": np.zeros((), settings.floatx()), **tally}

    def add(self, tally, y_true, y_pred, sample_weight=None):
        y_true, y_pred = paired(y_true, y_pred, self.dtype)
        weight = jnp.asarray(1 if sample_weight is None else sample_weight, y_true.dtype)
        weight = jnp.broadcast_to(weight[:, None] if weight.ndim == 1 else weight, y_true.shape)
        seen = {
            "squared_sum": jnp.sum(y_true * (y_true * weight), axis=0),
            "sum": jnp.sum(y_true * weight, axis=0),
            "residual": jnp.sum(jnp.square(y_true - y_pred) * weight, axis=0),
            "count": jnp.sum(weight, axis=0),
            "num_samples": y_true.size,
        }
        return {word: (before + seen[word]).astype(before.dtype) for word, before in tally.items()}

    def read(self, tally):
        total = tally["squared_sum"] - tally["sum"] * (tally["sum"] / tally["count"])
        scores = 1 - tally["residual"] / total
        scores = jnp.where(jnp.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = jnp.mean(scores)
        elif self.class_aggregation == "variance_weighted_average":
            scores = jnp.sum(total * scores) / jnp.sum(total)
        if self.num_regressors == 0:
            return scores
        n, p = tally["num_samples"], self.num_regressors
        adjusted = 1 - (1 - scores) * (n - 1) / jnp.where(n > p + 1, n - p - 1, 1)
        return jnp.where(n > p + 1, adjusted, scores)


def column_shapes(y, p):
    """The shapes of labels and predictions once `same_rank` has been at them: one output may leave out its axis."""
    y, p = tuple(getattr(y, "shape", ())), tuple(getattr(p, "shape", ()))
    if len(y) + len(p) == 3 and (y if len(y) == 2 else p)[-1] == 1:
        return (None, 1), (None, 1)
    return y, p


def outputs_of(metric, y_shape, p_shape):
    """How many outputs a metric counts apart: the last size of (b, outputs) predictions."""
    if len(y_shape) != 2 or len(p_shape) != 2 or p_shape[-1] is None:
        raise DataError(
            f"{metric.name} counts every output apart",
            saw=f"labels {y_shape} and predictions {p_shape}", want="both of shape (batch, outputs)",
        )  # fmt: skip
    return (p_shape[-1],)


def pearson_correlation(y_true, y_pred, axis=-1):
    """cov(y_true, y_pred) / (σ_true σ_pred) along `axis`: (b, n) twice -> (b,)."""
    y_true, y_pred = paired(y_true, y_pred)
    a, b = centred(y_true, axis), centred(y_pred, axis)
    return jnp.mean(a / jnp.std(a, axis, keepdims=True) * (b / jnp.std(b, axis, keepdims=True)), axis)


def concordance_correlation(y_true, y_pred, axis=-1):
    """2 cov / (σ²_true + σ²_pred + (μ_true - μ_pred)²) along `axis` (Lin 1989): (b, n) twice -> (b,)."""
    y_true, y_pred = paired(y_true, y_pred)
    a, b = centred(y_true, axis), centred(y_pred, axis)
    shift = jnp.mean(y_true, axis) - jnp.mean(y_pred, axis)
    spread = jnp.var(a, axis) + jnp.var(b, axis) + jnp.square(shift)
    return 2 * jnp.mean(a * b, axis) / (spread + settings.epsilon())


def centred(x, axis):
    return x - jnp.mean(x, axis, keepdims=True)


class PearsonCorrelation(MeanMetricWrapper):
    """The mean over examples of Pearson's r along `axis`."""

    name: Text = "pearson_correlation"
    dtype: CountType = None
    axis: Int = -1

    _direction: ClassVar[str] = "up"

    def values(self, y_true, y_pred):
        return pearson_correlation(y_true, y_pred, self.axis)


class ConcordanceCorrelation(MeanMetricWrapper):
    """The mean over examples of Lin's concordance along `axis`: 1 only where the two are equal."""

    name: Text = "concordance_correlation"
    dtype: CountType = None
    axis: Int = -1

    _direction: ClassVar[str] = "up"

    def values(self, y_true, y_pred):
        return concordance_correlation(y_true, y_pred, self.axis)


FUNCTIONS.update(pearson_correlation=pearson_correlation, concordance_correlation=concordance_correlation)
registry.add(
    "metric", MeanSquaredError, RootMeanSquaredError, MeanAbsoluteError, MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError, CosineSimilarity, LogCoshError, R2Score, PearsonCorrelation, ConcordanceCorrelation,
    mse=MeanSquaredError, MSE=MeanSquaredError, mae=MeanAbsoluteError, MAE=MeanAbsoluteError,
    mape=MeanAbsolutePercentageError, MAPE=MeanAbsolutePercentageError,
    msle=MeanSquaredLogarithmicError, MSLE=MeanSquaredLogarithmicError,
)  # fmt: skip
