"""Layers that bring data to a scale: given numbers, or numbers learned by one look at the data.

Floor 2. Both compute in float32 whatever the policy (a pixel of 200 has no neighbour 201 in bfloat16).
"""

import math
from typing import Annotated

import jax.numpy as jnp
import numpy as np

from ..base import registry, settings
from ..base.fields import Anything, Bool, Field, Whole
from ..base.registry import to_config
from ..base.report import DataError, NotData, UsageError
from ..math.moments import full
from .contract import Weight
from .core import known_axis
from .layer import Layer
from .norm import checked_axis
from .variable import Variable

TINY = 1e-7  # the least deviation that is divided by
ROWS = 8192  # rows of a large array that are looked at together


class Rescaling(Layer):
    """y = x · scale + offset; either may be an array along the last axes.

    Where images are channels_first (at construction; Keras looks at each call), a scale (c,) lies along c.

    >>> Rescaling(1 / 255)(jnp.array([[0.0, 255.0]])).tolist()
    [[0.0, 1.0]]
    """

    masking = "pass"
    full_precision = True

    scale: Anything
    offset: Anything = 0.0

    def validate(self):
        self.scale, self.offset = (plain(self, name) for name in ("scale", "offset"))
        self.channels_first = settings.image_data_format() == "channels_first"

    def forward(self, w, x, call):
        x = full(x, self.variable_dtype)
        scale, offset = (jnp.asarray(np.asarray(value), x.dtype) for value in (self.scale, self.offset))
        if scale.ndim and self.channels_first:
            scale = scale.reshape(scale.shape + (1,) * (3 - scale.ndim))
        return (x * scale + offset).astype(self.compute_dtype)

    def get_config(self):
        """Arrays carry their type, as Keras writes them."""
        return {**super().get_config(), **to_config({"scale": self.scale, "offset": self.offset}, typed=True)}


class AxisTuple(Field):
    """An axis, several, or None for none; held as a tuple."""

    want, bad = "an axis, a tuple of axes, or None", "rows"

    def read(self, value, owner):
        value = () if value is None else value if isinstance(value, (list, tuple)) else (value,)
        return tuple(Whole().read(axis, owner) for axis in value)

    def write(self, value):
        return list(value)


class Normalization(Layer):
    """y = (x − mean) / max(√variance, 1e-7) along `axis`; invert=True: y = mean + x · max(√variance, 1e-7).

    Mean and variance (the biased one) are given, or learned by `adapt(data)`; then they are weights: mean,
    variance, count (0, kept for older files). axis=None is one mean for everything. The sums of `adapt` are in
    float64, where Keras has the type of the data.

    >>> layer = Normalization()
    >>> layer.adapt(np.array([[1.0], [3.0]]))
    >>> layer(jnp.array([[5.0]])).tolist()
    [[3.0]]
    """

    masking = "pass"
    full_precision = True

    axis: Annotated[tuple, AxisTuple()] = -1
    mean: Anything = None
    variance: Anything = None
    invert: Bool = False

    def validate(self):
        mean, variance = self.input_mean, self.input_variance
        if (mean is None) != (variance is None) or np.shape(mean) != np.shape(variance):
            raise UsageError(
                "Normalization takes mean and variance together, of one shape",
                at=self._birthplace, saw=f"mean={mean!r}, variance={variance!r}",
                want="both, or neither and adapt(data)",
            )  # fmt: skip
        if np.ndim(mean) > len(self.axis):
            raise UsageError(
                "Normalization(mean=…) has more axes than axis=… names",
                at=self._birthplace, saw=f"mean of shape {np.shape(mean)}, axis={self.axis}",
                want=f"at most {len(self.axis)} axes",
            )  # fmt: skip

    def kept_axes(self, shape):
        return sorted(checked_axis(self, axis, shape) % len(shape) for axis in self.axis)

    def declare(self, shape):
        kept = self.kept_axes(shape)
        sizes = tuple(known_axis(self, shape, axis) for axis in kept)
        if self.input_mean is None:
            yield Weight("mean", sizes, Filled(0), trainable=False)
            yield Weight("variance", sizes, Filled(1), trainable=False)
            yield Weight("count", (), Filled(0), trainable=False, dtype="int32")

    def forward(self, w, x, call):
        x = full(x, self.variable_dtype)
        mean, variance = self.lying(w, x.shape)
        deviation = jnp.maximum(jnp.sqrt(variance), TINY)
        return (mean + x * deviation if self.invert else (x - mean) / deviation).astype(self.compute_dtype)

    def lying(self, w, shape):
        """Mean and variance as arrays that broadcast against an input of `shape`."""
        kept = self.kept_axes(shape)
        if self.input_mean is None:
            lying = [n if axis in kept else 1 for axis, n in enumerate(shape)]
            return w["mean"].reshape(lying), w["variance"].reshape(lying)
        both = (self.input_mean, self.input_variance)
        given = [jnp.asarray(np.asarray(value), jnp.promote_types(self.variable_dtype, jnp.float32)) for value in both]
        lying, whole = [1] * len(shape), [n if axis in kept else 1 for axis, n in enumerate(shape)]
        for axis, n in zip(kept[::-1], given[0].shape[::-1], strict=False):
            lying[axis] = n
        return tuple(jnp.broadcast_to(value.reshape(lying), whole) for value in given)

    def adapt(self, data):
        """Learn mean and variance from an array, or from an iterable of batches (of tuples, the first entry counts).

        What was learned before is replaced.
        """
        if self.input_mean is not None:
            raise UsageError(
                f"{self.name} (Normalization) has its mean and variance already",
                at=self._birthplace, saw="adapt() of a layer with mean=… and variance=…",
                fix="Normalization(), then adapt(data)",
            )  # fmt: skip
        total = None
        for batch in batches(self, data):
            if total is None:
                self.allocate(tuple(batch.shape))
                fixed = {axis: batch.shape[axis] for axis in self.kept_axes(batch.shape)}
                self.same_sizes(tuple(fixed.values()), tuple(self.box["mean"].shape), batch.shape)
            self.same_sizes(tuple(batch.shape[axis] for axis in fixed), tuple(fixed.values()), batch.shape)
            for part in parts(batch, whole=0 in fixed):
                total = merged(total, statistics(part, tuple(a for a in range(part.ndim) if a not in fixed)))
        if total is None:
            raise DataError("adapt() got no data", saw="an empty iterable", want="an array, or at least one batch")
        _, mean, variance = total
        kind = self.box["mean"].dtype
        self.put({"mean": jnp.asarray(mean, kind), "variance": jnp.asarray(variance, kind)})

    def same_sizes(self, sizes, wanted, shape):
        if sizes != wanted:
            raise DataError(
                f"{self.name} (Normalization) was built for other data",
                at=self._birthplace, saw=f"data of shape {tuple(shape)}", want=f"sizes {wanted} along axis {self.axis}",
            )  # fmt: skip

    @property
    def adapt_mean(self):
        return Variable.of(self, "mean", self.declaration("mean"))

    @property
    def adapt_variance(self):
        return Variable.of(self, "variance", self.declaration("variance"))

    def argument(self, name):
        return self.__dict__[f"input_{name}"] if name in ("mean", "variance") else super().argument(name)

    def get_config(self):
        config = super().get_config()
        return {**config, **{name: np.array(self.argument(name)).tolist() for name in ("mean", "variance")}}


def _statistic(name):
    """`layer.mean`: what the input is compared with, of its number of axes, or None before there is one."""

    def read(self):
        shape = self.__dict__.get("input_spec_shape")
        return None if shape is None else self.lying(self.box, shape)[("mean", "variance").index(name)]

    def write(self, value):
        self.__dict__[f"input_{name}"] = value

    return property(read, write, doc=_statistic.__doc__)


Normalization.mean, Normalization.variance = _statistic("mean"), _statistic("variance")


# ---- a look at the data -----------------------------------------------------------------------------


def batches(layer, data):
    """`data` as NumPy batches: itself if it is an array, else one after another."""
    if hasattr(data, "shape") and hasattr(data, "dtype"):
        yield np.asarray(data)
        return
    if isinstance(data, (str, bytes)) or not (hasattr(data, "__iter__") or hasattr(data, "__getitem__")):
        raise NotData(
            f"{layer.name} cannot adapt to this",
            saw=type(data).__name__, want="an array, or an iterable of batches",
        )  # fmt: skip
    for batch in data if hasattr(data, "__iter__") else (data[i] for i in range(len(data))):
        batch = batch[0] if isinstance(batch, tuple) else batch
        if not hasattr(batch, "shape"):
            raise NotData(
                f"{layer.name} cannot adapt to this",
                saw=f"a batch of type {type(batch).__name__}", want="batches that are arrays",
                fix="adapt(np.array(data))",
            )  # fmt: skip
        yield np.asarray(batch)


def parts(batch, whole):
    """A batch in pieces of some thousand rows, so that its float64 copy stays small."""
    return [batch] if whole or len(batch) <= ROWS else (batch[i : i + ROWS] for i in range(0, len(batch), ROWS))


def statistics(x, axes):
    """(count, mean, biased variance) along `axes`, in float64."""
    x = x.astype(np.float64)
    return math.prod(x.shape[axis] for axis in axes), x.mean(axes), x.var(axes)


def merged(a, b):
    """The statistics of two samples together. Chan, Golub & LeVeque, 1979."""
    if a is None:
        return b
    n = a[0] + b[0]
    mean = a[1] + (b[1] - a[1]) * (b[0] / n)
    return n, mean, (a[0] * (a[2] + (a[1] - mean) ** 2) + b[0] * (b[2] + (b[1] - mean) ** 2)) / n


# ---- numbers and arrays in a config -----------------------------------------------------------------


class Filled:
    """An initializer: the same number everywhere."""

    def __init__(self, number):
        self.number = number

    def draw(self, shape, rng):
        return np.full(shape, self.number)


def plain(layer, name):
    """The value of an argument, unpacked if it is the config of an array."""
    value = getattr(layer, name)
    if isinstance(value, dict):
        return np.array(value["config"]["value"], value["config"].get("dtype"))
    return value


registry.add("layer", Rescaling, Normalization)
