"""Metrics: what is counted while a model trains. Each is three pure functions on a tally, with Keras's face on top.

Floor 2. `resolve` turns what a user wrote into `compile(metrics=[…])` into a Metric that carries the user's word.
"""

import inspect

from ..base import names, registry
from ..base.report import UsageError
from ..math.distances import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from .accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    accuracy_for,
    binary_accuracy,
    by_shape,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from .auc import AUC
from .confusion import (
    FalseNegatives,
    FalsePositives,
    Precision,
    PrecisionAtRecall,
    Recall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from .fscore import F1Score, FBetaScore
from .iou import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from .mean import Mean, MeanMetricWrapper, Sum, function_config, function_of
from .metric import Metric
from .probabilistic import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    Hinge,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from .regression import (
    ConcordanceCorrelation,
    CosineSimilarity,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    PearsonCorrelation,
    R2Score,
    RootMeanSquaredError,
    concordance_correlation,
    pearson_correlation,
)

# the short names of Keras 1 and 2
mse = MSE = mean_squared_error
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error
kld = KLD = kullback_leibler_divergence = kl_divergence
logcosh = log_cosh


def get(identifier):
    """The metric or the function that a name, a class, a config or an object stands for.

    >>> get("mse")
    MeanSquaredError()
    """
    found = identifier
    if isinstance(identifier, dict):
        found = deserialize(identifier)
    elif isinstance(identifier, str):
        found = registry.find("metric", identifier)
    if inspect.isclass(found):
        found = found()
    if found is not None and not callable(found):
        raise UsageError(
            "this is not a metric",
            saw=repr(identifier), want="a name, a Metric, its config, or a function (y_true, y_pred) -> values",
        )  # fmt: skip
    return found


def serialize(metric):
    """The config of a metric or of a metric function, as Keras writes it."""
    return function_config(metric) if inspect.isfunction(metric) else registry.to_config(metric)


def deserialize(config, custom_objects=None):
    """The metric or the function that `serialize` described."""
    if isinstance(config, dict) and config.get("class_name") == "function":
        return function_of(config, custom_objects)
    return registry.from_config("metric", config, custom_objects)


def resolve(identifier, y_shape, p_shape):
    """The Metric for one entry of `compile(metrics=[…])`, named as the history will name it.

    "accuracy", "acc", "crossentropy" and "ce" are decided by the shapes of labels and predictions; a string stays
    the name as it was typed; a function is averaged under its own name; a Metric object is taken as it is.

    >>> resolve("acc", (None,), (None, 10))
    SparseCategoricalAccuracy(name='acc')
    """
    if isinstance(identifier, str):
        return named(identifier, tuple(y_shape), tuple(p_shape))
    found = get(identifier)
    if isinstance(found, Metric):
        return found
    if found is None:
        raise UsageError("metrics=[…] holds None", want="a name, a Metric or a function")
    return MeanMetricWrapper(found, name=name_of(found))


def named(word, y_shape, p_shape):
    """A fresh metric for a word, with that word as its name."""
    kind = word.lower()
    if kind in ("accuracy", "acc"):
        return accuracy_for(y_shape, p_shape)(name=word)
    if kind in ("crossentropy", "ce"):
        members = (BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy)
        return by_shape(y_shape, p_shape, *members)(name=word)
    found = get(word)
    if isinstance(found, Metric):
        found.name, found.auto_named = word, False
        return found
    return MeanMetricWrapper(found, name=word)


def name_of(function):
    """`def my_rate(…)` is my_rate; a Loss is its name."""
    return getattr(function, "name", None) or names.snake(getattr(function, "__name__", type(function).__name__))


__all__ = [
    "AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "BinaryIoU", "CategoricalAccuracy",
    "CategoricalCrossentropy", "CategoricalHinge", "ConcordanceCorrelation", "CosineSimilarity", "F1Score",
    "FBetaScore", "FalseNegatives", "FalsePositives", "Hinge", "IoU", "KLDivergence", "LogCoshError", "Mean",
    "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanIoU", "MeanMetricWrapper", "MeanSquaredError",
    "MeanSquaredLogarithmicError", "Metric", "OneHotIoU", "OneHotMeanIoU", "PearsonCorrelation", "Poisson",
    "Precision", "PrecisionAtRecall", "R2Score", "Recall", "RecallAtPrecision", "RootMeanSquaredError",
    "SensitivityAtSpecificity", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy", "SpecificityAtSensitivity", "SquaredHinge", "Sum", "TopKCategoricalAccuracy",
    "TrueNegatives", "TruePositives", "binary_accuracy", "binary_crossentropy", "binary_focal_crossentropy",
    "categorical_accuracy", "categorical_crossentropy", "categorical_focal_crossentropy", "categorical_hinge",
    "concordance_correlation", "deserialize", "get", "hinge", "huber", "kl_divergence", "log_cosh",
    "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error",
    "pearson_correlation", "poisson", "resolve", "serialize", "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy", "sparse_top_k_categorical_accuracy", "squared_hinge",
    "top_k_categorical_accuracy",
]  # fmt: skip
