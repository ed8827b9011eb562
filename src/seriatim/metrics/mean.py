"""Sums and means over examples: what most metrics are, once the value of an example is known.

Floor 2. A member of the mean family writes `values(y_true, y_pred)`; weights, extra axes and counting are here.
"""

import inspect
from typing import Annotated, Any, ClassVar

import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.fields import Field, OptionalText, Refused, Text
from ..math import distances
from ..math.distances import same_rank
from ..math.reductions import ratio
from .metric import CountType, Metric

FUNCTIONS = {  # metric functions by name, for configs; accuracy and correlation add theirs
    name: getattr(distances, name)
    for name in (
        "binary_crossentropy", "binary_focal_crossentropy", "categorical_crossentropy",
        "categorical_focal_crossentropy", "categorical_hinge", "hinge", "huber", "kl_divergence", "log_cosh",
        "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error",
        "mean_squared_logarithmic_error", "poisson", "sparse_categorical_crossentropy", "squared_hinge",
    )
}  # fmt: skip


def paired(y_true, y_pred, dtype=None):
    """Labels and predictions as arrays of one dtype (the predictions' own, unless given) and one rank."""
    y_pred = jnp.asarray(y_pred, dtype)
    return same_rank(jnp.asarray(y_true, y_pred.dtype), y_pred)


def by_example(values, sample_weight, reduce, dtype):
    """One value and one weight for each example: axes behind the first are reduced, after weighting where it fits.

    values (b, ...), sample_weight None, (b,), (b, 1) or (b, t) -> values (b,), weights (b,) or None.
    """
    values = jnp.asarray(values, dtype)
    if sample_weight is not None:
        values, weight = same_rank(values, jnp.asarray(sample_weight, dtype))
        rank = weight.ndim
        values = reduce(values, axis=tuple(range(rank, values.ndim))) if values.ndim > rank else values
        sample_weight = jnp.broadcast_to(weight, values.shape)
        values = values * sample_weight
        sample_weight = by_row(sample_weight, reduce)
    return by_row(values, reduce), sample_weight


def by_row(values, reduce):
    """The axes behind the first reduced, if there are any."""
    return reduce(values, axis=tuple(range(1, values.ndim))) if values.ndim > 1 else values


class Sum(Metric):
    """Σ w·v, over all entries of all batches."""

    name: Text = "sum"
    dtype: CountType = None

    def zero(self, y=None, p=None):
        return {"total": np.zeros((), self.dtype)}

    def add(self, tally, values, sample_weight=None):
        values, _ = by_example(values, sample_weight, jnp.sum, self.dtype)
        return {"total": tally["total"] + jnp.sum(values)}

    def read(self, tally):
        return jnp.asarray(tally["total"])


class Mean(Metric):
    """Σ w·v / Σ w over examples; 0 before the first. A value with more axes counts by its mean.

    >>> m = Mean()
    >>> m.update_state([1, 3, 5, 7], sample_weight=[1, 1, 0, 0])
    >>> float(m.result())
    2.0
    """

    name: Text = "mean"
    dtype: CountType = None

    def zero(self, y=None, p=None):
        return {"total": np.zeros((), self.dtype), "count": np.zeros((), self.dtype)}

    def add(self, tally, values, sample_weight=None):
        values, weight = by_example(values, sample_weight, jnp.mean, self.dtype)
        count = jnp.asarray(values.size, self.dtype) if weight is None else jnp.sum(weight)
        return {"total": tally["total"] + jnp.sum(values), "count": tally["count"] + count}

    def read(self, tally):
        return ratio(jnp.asarray(tally["total"]), jnp.asarray(tally["count"]))


class Function(Field):
    """A function of labels and predictions, or a Loss; in a config, its name."""

    want, bad = "a function (y_true, y_pred) -> values", 7

    def read(self, value, owner):
        if isinstance(value, dict):
            value = function_of(value)
        if not callable(value):
            raise Refused
        return value

    def write(self, value):
        return function_config(value)

    def source(self, value):
        return getattr(value, "__name__", None) or repr(value)


def function_config(function):
    """Keras's JSON form of a metric function; objects with a config of their own keep it."""
    if hasattr(function, "get_config"):
        return registry.to_config(function)
    name = registry.get_registered_name(function) if inspect.isfunction(function) else function.__name__
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


def function_of(config, custom_objects=None):
    """The function or loss that `function_config` described: ours, or one that the user has made known."""
    name = config.get("config")
    if config.get("class_name") != "function":
        return registry.from_config("loss", config, custom_objects)
    known = registry.get_registered_object(name, custom_objects, FUNCTIONS)
    known = known or registry.get_registered_object(f"Custom>{name}", custom_objects)
    return known or registry.find("metric", name)


class MeanMetricWrapper(Mean):
    """The mean of `fn(y_true, y_pred, **options)` over examples."""

    fn: Annotated[Any, Function()]
    name: OptionalText = None
    dtype: CountType = None

    masked: ClassVar[bool] = True

    def translate(self, kwargs):
        """What is not an argument of the metric is an option of `fn`."""
        if "fn" in self.constructor:
            self.options = {name: kwargs.pop(name) for name in list(kwargs) if name not in self.constructor}
        return kwargs

    def validate(self):
        fn = self.__dict__.get("fn")
        if getattr(fn, "__module__", None) == distances.__name__ or getattr(type(fn), "family", None) == "loss":
            self._direction = "down"

    def values(self, y_true, y_pred):
        """The value of every example (or of every entry), for one batch."""
        return self.fn(y_true, y_pred, **self.options)

    def add(self, tally, y_true, y_pred, sample_weight=None):
        values = self.values(jnp.asarray(y_true), jnp.asarray(y_pred))
        return Mean.add(self, tally, values, sample_weight)

    def source(self):
        options = getattr(self, "options", {}) if "fn" in self.constructor else {}
        return super().source()[:-1] + "".join(f", {name}={value!r}" for name, value in options.items()) + ")"

    def get_config(self):
        config = super().get_config()
        return {**config, **registry.to_config(self.options)} if "fn" in self.constructor else config


registry.add("metric", Sum, Mean, MeanMetricWrapper)
