"""Losses: a distance for each example, made one number. Loss = distance + reduction + name.

Floor 2. A member names its distance (`math/distances.py`) and that distance's options, in Keras's order; weights,
masks, label types and shapes are answered once, in `Loss.__call__`. As in Keras 3, sum_over_batch_size divides by
the number of values, not by the sum of the weights.
"""

import inspect
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, ClassVar

import jax.numpy as jnp

from .base import names, registry, settings
from .base.config import Config
from .base.fields import Anything, Axes, Bool, Field, Fraction, Int, Number, OptionalInt, OptionalText, Policy
from .base.policy import read_policy
from .base.report import UsageError, birthplace
from .math import distances
from .math.reductions import REDUCTIONS, reduced


class ReductionField(Field):
    """How one number is made of many."""

    want, bad = "'sum_over_batch_size', 'mean', 'mean_with_sample_weight', 'sum', 'none' or None", "average"

    def read(self, value, owner):
        if value is not None and value not in REDUCTIONS:
            raise UsageError(
                "Invalid value for argument `reduction`", at=birthplace(), saw=f"reduction={value!r}", want=self.want
            )
        return value


class FloatPolicy(Policy):
    """A dtype policy; None is the float type of the settings, whatever the global policy."""

    def read(self, value, owner):
        return read_policy(value or settings.floatx())


Reduced = Annotated[str | None, ReductionField()]
FloatType = Annotated[Any, FloatPolicy()]
TAIL = {"reduction": Reduced, "name": OptionalText, "dtype": FloatType}


class Loss(Config, keyword=True):
    """One number for labels and predictions. Write `call(y_true, y_pred)`: a value for each example.

    `reduction`: sum_over_batch_size (or mean) divides by the number of values, mean_with_sample_weight by the sum of
    the weights, sum by nothing; none (or None) gives the weighted values themselves.

    >>> class Cubic(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return abs(y_true - y_pred) ** 3
    >>> float(Cubic(reduction="sum")([1.0, 2.0], [3.0, 2.0]))
    8.0
    """

    family: ClassVar[str] = "loss"
    counting: ClassVar[bool] = False  # True: labels are class numbers and keep their own type

    name: OptionalText = None
    reduction: Reduced = "sum_over_batch_size"
    dtype: FloatType = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.name = self.name or names.fresh(names.snake(type(self).__name__))

    @classmethod
    def bind(cls, args, kwargs):
        """Losses written for Keras may give name, reduction and dtype by position."""
        if all(argument.keyword for argument in cls.constructor.values()):
            kwargs, args = {**dict(zip(Loss.constructor, args, strict=False)), **kwargs}, args[len(Loss.constructor) :]
        return super().bind(args, kwargs)

    def argument(self, name):
        return self.dtype_policy if name == "dtype" else super().argument(name)

    def get_config(self):
        """The arguments, without dtype (as in Keras)."""
        config = super().get_config()
        return {name: config[name] for name in ("name", "reduction", *config) if name != "dtype"}

    def call(self, y_true, y_pred):
        """A value for each example."""
        raise NotImplementedError(f"{type(self).__name__} does not define call(y_true, y_pred)")

    def __call__(self, y_true, y_pred, sample_weight=None, mask=None):
        """The loss of a batch: a scalar, or the weighted values if the reduction is none.

        `sample_weight` and `mask` (True = counts) have one entry for each value, or for each row of values.
        """
        mask = getattr(y_pred, "_keras_mask", None) if mask is None else mask
        y_true, y_pred = distances.arrays(y_true, self.dtype, self.counting), distances.arrays(y_pred, self.dtype)
        with listening() as notes:
            values = self.call(y_true, y_pred)
        left = next((kept for result, kept in notes if result is values), None)
        mask = left if mask is None else mask if left is None else jnp.logical_and(mask, left)
        return reduced(jnp.asarray(values, self.dtype), sample_weight, mask, self.reduction)


def _set_dtype(self, policy):
    if "dtype_policy" in self.__dict__:
        raise AttributeError("the dtype of a loss is fixed when it is made: Loss(dtype=…)")
    self.__dict__["dtype_policy"] = policy


Loss.dtype = property(lambda self: self.dtype_policy.compute_dtype, _set_dtype, doc="The type it computes in.")


class Reduction:
    """The reductions, as scripts of Keras 2 name them. Differs from Keras 3, which refuses its own "auto"."""

    NONE, SUM, SUM_OVER_BATCH_SIZE = "none", "sum", "sum_over_batch_size"
    AUTO = SUM_OVER_BATCH_SIZE

    @classmethod
    def all(cls):
        return cls.AUTO, cls.NONE, cls.SUM, cls.SUM_OVER_BATCH_SIZE

    @classmethod
    def validate(cls, key):
        if key not in cls.all():
            raise UsageError("Invalid Reduction Key", saw=repr(key), want=" or ".join(map(repr, cls.all()[1:])))


# ---- the functions, under Keras's names ------------------------------------------------------------

mean_squared_error = mse = MSE = distances.mean_squared_error
mean_absolute_error = mae = MAE = distances.mean_absolute_error
mean_absolute_percentage_error = mape = MAPE = distances.mean_absolute_percentage_error
mean_squared_logarithmic_error = msle = MSLE = distances.mean_squared_logarithmic_error
cosine_similarity = distances.cosine_similarity
huber = distances.huber
log_cosh = logcosh = distances.log_cosh
kl_divergence = kld = KLD = kullback_leibler_divergence = distances.kl_divergence
poisson = distances.poisson
binary_crossentropy = bce = BCE = distances.binary_crossentropy
binary_focal_crossentropy = distances.binary_focal_crossentropy
categorical_crossentropy = distances.categorical_crossentropy
categorical_focal_crossentropy = distances.categorical_focal_crossentropy
categorical_generalized_cross_entropy = distances.categorical_generalized_cross_entropy
hinge = distances.hinge
squared_hinge = distances.squared_hinge
categorical_hinge = distances.categorical_hinge
dice = distances.dice
tversky = distances.tversky
ctc = distances.ctc

_notes = ContextVar("notes", default=None)  # while a loss is called: [(values, which of them count)]


@contextmanager
def listening():
    """Within the block, a function that leaves values out may say so (Keras: a mask on the result)."""
    token = _notes.set([])
    try:
        yield _notes.get()
    finally:
        _notes.reset(token)


def noted(values, kept):
    """The values; the loss that is being called, if any, learns which of them count."""
    if _notes.get() is not None:
        _notes.get().append((values, kept))
    return values


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """−log(p[y_true]) for class numbers (`math.distances`); in a mean, labels of `ignore_class` do not count."""
    values = distances.sparse_categorical_crossentropy(y_true, y_pred, from_logits, ignore_class, axis)
    if ignore_class is None:
        return values
    return noted(values, distances.class_numbers(y_true, jnp.asarray(y_pred), axis) != ignore_class)


def circle(y_true, y_pred, ref_labels=None, ref_embeddings=None, remove_diagonal=True, gamma=80, margin=0.4):
    """The circle loss of each embedding (`math.distances`); in a mean, examples at 0 do not count."""
    values = distances.circle(y_true, y_pred, ref_labels, ref_embeddings, remove_diagonal, gamma, margin)
    return noted(values, values > 0)


COUNTING = (*distances.COUNTING, sparse_categorical_crossentropy, circle)


# ---- a loss from a function ---------------------------------------------------------------------


class Distance(Loss):
    """A loss whose `call` is one function `fn(y_true, y_pred, **options)`.

    After its own arguments, a member takes `reduction`, `name` (its class in snake case) and `dtype`. Differs from
    Keras: for our own functions, labels that would have to be stretched to meet the predictions are refused.
    """

    fn: ClassVar[Any]

    def __init_subclass__(cls, **rest):
        if "fn" in vars(cls):
            own = inspect.get_annotations(cls)
            cls.__annotations__ = own | {name: hint for name, hint in TAIL.items() if name not in own}
            cls.name = vars(cls).get("name", names.snake(cls.__name__))
        super().__init_subclass__(**rest)

    @property
    def counting(self):
        return self.fn in COUNTING

    @property
    def options(self):
        """What the function is given besides labels and predictions."""
        return {name: getattr(self, name) for name in self.constructor if name not in TAIL}

    def call(self, y_true, y_pred):
        if hasattr(y_true, "ndim") and hasattr(y_pred, "ndim"):
            if self.fn in distances.ELEMENTWISE or self.fn in distances.ONE_HOT:
                distances.same_shape(y_true, y_pred, classes=self.fn in distances.ONE_HOT)
            y_true, y_pred = distances.same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self.options)


class LossFunctionWrapper(Distance):
    """The loss of `fn(y_true, y_pred, **kwargs)`, a function that gives a value for each example.

    >>> float(LossFunctionWrapper(huber, delta=2.0)([[0.0]], [[4.0]]))
    6.0
    """

    options = None

    def __init__(self, fn, reduction="sum_over_batch_size", name=None, dtype=None, **kwargs):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn, self.options = fn, kwargs

    def get_config(self):
        return {**super().get_config(), "fn": serialize(self.fn), **registry.to_config(self.options)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "fn": deserialize(config["fn"])} if "fn" in config else config)

    def source(self):
        given = {"name": self.name, "reduction": self.reduction, **self.options}
        fn = getattr(self.fn, "__name__", repr(self.fn))
        return f"{type(self).__name__}({fn}, {', '.join(f'{name}={value!r}' for name, value in given.items())})"


def as_loss(identifier):
    """The Loss that `compile` makes of a name, a config, a function or an object; None stays None.

    A function is wrapped, under the name by which it was asked for.

    >>> as_loss("mse")
    LossFunctionWrapper(mean_squared_error, name='mse', reduction='sum_over_batch_size')
    """
    found = get(identifier)
    if found is None or isinstance(found, Loss):
        return found
    asked = identifier if isinstance(identifier, str) else getattr(found, "name", None)
    name = asked or getattr(found, "__name__", None) or names.snake(type(found).__name__)
    return LossFunctionWrapper(found, name=name)


# ---- numbers ------------------------------------------------------------------------------------


class MeanSquaredError(Distance):
    """mean((y_true − y_pred)²)"""

    fn = staticmethod(mean_squared_error)


class MeanAbsoluteError(Distance):
    """mean(|y_true − y_pred|)"""

    fn = staticmethod(mean_absolute_error)


class MeanAbsolutePercentageError(Distance):
    """100 · mean(|y_true − y_pred| / |y_true|)"""

    fn = staticmethod(mean_absolute_percentage_error)


class MeanSquaredLogarithmicError(Distance):
    """mean((log(1 + y_true) − log(1 + y_pred))²)"""

    fn = staticmethod(mean_squared_logarithmic_error)


class CosineSimilarity(Distance):
    """−cos(y_true, y_pred) along `axis`. Differs from Keras 3.15.1: the config keeps `axis`."""

    fn = staticmethod(cosine_similarity)
    axis: Int = -1


class Huber(Distance):
    """A square up to `delta`, a line beyond. Differs from Keras 3.15.1: the config keeps `delta`."""

    fn, name = staticmethod(huber), "huber_loss"
    delta: Number = 1.0


class LogCosh(Distance):
    """mean(log(cosh(y_pred − y_true)))"""

    fn = staticmethod(log_cosh)


# ---- probabilities ------------------------------------------------------------------------------


class KLDivergence(Distance):
    """sum(y_true · log(y_true / y_pred))"""

    fn = staticmethod(kl_divergence)


class Poisson(Distance):
    """mean(y_pred − y_true · log(y_pred))"""

    fn = staticmethod(poisson)


class BinaryCrossentropy(Distance):
    """mean(−y_true · log(p) − (1 − y_true) · log(1 − p)): labels 0 or 1 for each output."""

    fn = staticmethod(binary_crossentropy)
    from_logits: Bool = False
    label_smoothing: Fraction = 0.0
    axis: Int = -1


class BinaryFocalCrossentropy(Distance):
    """Binary crossentropy that weighs what is already right less, by (1 − p)^gamma."""

    fn = staticmethod(binary_focal_crossentropy)
    apply_class_balancing: Bool = False
    alpha: Number = 0.25
    gamma: Number = 2.0
    from_logits: Bool = False
    label_smoothing: Fraction = 0.0
    axis: Int = -1


class CategoricalCrossentropy(Distance):
    """−sum(y_true · log(p)): one-hot labels (b, ..., classes)."""

    fn = staticmethod(categorical_crossentropy)
    from_logits: Bool = False
    label_smoothing: Fraction = 0.0
    axis: Int = -1


class CategoricalFocalCrossentropy(Distance):
    """Categorical crossentropy that weighs what is already right less; `alpha` a number or one for each class."""

    fn = staticmethod(categorical_focal_crossentropy)
    alpha: Anything = 0.25
    gamma: Number = 2.0
    from_logits: Bool = False
    label_smoothing: Fraction = 0.0
    axis: Int = -1


class SparseCategoricalCrossentropy(Distance):
    """−log(p[y_true]): labels that are class numbers, (b, ...) or (b, ..., 1).

    Labels of `ignore_class` count neither in the sum nor in the number it is divided by.
    Differs from Keras 3.15.1: the config keeps `axis`.
    """

    fn = staticmethod(sparse_categorical_crossentropy)
    from_logits: Bool = False
    ignore_class: OptionalInt = None
    reduction: Reduced
    axis: Int = -1


class CategoricalGeneralizedCrossEntropy(Distance):
    """(1 − p[y_true]^q) / q, 0 < q < 1: bears wrong labels; labels that are class numbers."""

    fn = staticmethod(categorical_generalized_cross_entropy)
    q: Number = 0.5

    def validate(self):
        if not 0 < self.q < 1:
            raise UsageError("q must be in the interval (0, 1)", at=birthplace(), saw=f"q={self.q}")


# ---- margins, overlaps, embeddings, sequences -----------------------------------------------------


class Hinge(Distance):
    """mean(max(1 − y_true · y_pred, 0)), labels −1 or 1 (or 0 or 1)."""

    fn = staticmethod(hinge)


class SquaredHinge(Distance):
    """mean(max(1 − y_true · y_pred, 0)²), labels −1 or 1 (or 0 or 1)."""

    fn = staticmethod(squared_hinge)


class CategoricalHinge(Distance):
    """max(best wrong score − true score + 1, 0), labels one-hot."""

    fn = staticmethod(categorical_hinge)


class Dice(Distance):
    """1 − 2·|A ∩ B| / (|A| + |B|), over the whole batch (axis=None) or along `axis`."""

    fn = staticmethod(dice)
    reduction: Reduced
    name: OptionalText = "dice"
    axis: Axes = None


class Tversky(Distance):
    """Dice with false alarms weighing `alpha` and misses `beta` (Keras 3.15.1 has the two swapped)."""

    fn = staticmethod(tversky)
    alpha: Number = 0.5
    beta: Number = 0.5
    reduction: Reduced
    name: OptionalText = "tversky"
    axis: Axes = None


class Circle(Distance):
    """The circle loss of embeddings of length 1 and their class numbers; examples at 0 do not count in a mean."""

    fn = staticmethod(circle)
    gamma: Number = 80.0
    margin: Number = 0.4
    remove_diagonal: Bool = True


class CTC(Distance):
    """−log P(label) over all its spellings in time; labels padded with 0, logits with class 0 as the blank."""

    fn = staticmethod(ctc)


# ---- by name ------------------------------------------------------------------------------------


def get(identifier):
    """The loss for a name, a config, a class, a function or an object; None stays None.

    >>> get("mse") is mean_squared_error
    True
    """
    found = deserialize(identifier) if isinstance(identifier, (str, dict)) else identifier
    found = found() if inspect.isclass(found) else found
    if found is not None and not callable(found):
        raise UsageError("not a loss", saw=repr(identifier), want="a name, such as 'mse', a Loss or a function")
    return found


def serialize(loss):
    """The config of a loss, or of a function by its name."""
    if inspect.isfunction(loss):
        name = registry.get_registered_name(loss)
        return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}
    return registry.to_config(loss)


def deserialize(name, custom_objects=None):
    """The loss (or the function) that `serialize` wrote, or that bears this name."""
    return registry.from_config("loss", name, custom_objects)


registry.add(
    "loss", Loss, LossFunctionWrapper, MeanSquaredError, MeanAbsoluteError, MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError, CosineSimilarity, Huber, LogCosh, KLDivergence, Poisson, BinaryCrossentropy,
    BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy, SparseCategoricalCrossentropy,
    CategoricalGeneralizedCrossEntropy, Hinge, SquaredHinge, CategoricalHinge, Dice, Tversky, Circle, CTC,
    mean_squared_error, mean_absolute_error, mean_absolute_percentage_error, mean_squared_logarithmic_error,
    cosine_similarity, huber, log_cosh, kl_divergence, poisson, binary_crossentropy, binary_focal_crossentropy,
    categorical_crossentropy, categorical_focal_crossentropy, sparse_categorical_crossentropy, hinge, squared_hinge,
    categorical_hinge, dice, tversky, circle, ctc, bce=bce, BCE=bce, kld=kld, KLD=kld, mae=mae, MAE=mae, mape=mape,
    MAPE=mape, mse=mse, MSE=mse, msle=msle, MSLE=msle,
)  # fmt: skip
