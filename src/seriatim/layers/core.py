"""The plain layers: the input, the dense product, an activation, a function.

Floor 2.
"""

import inspect
from typing import Annotated, Any

import jax.numpy as jnp

from ..base import registry
from ..base.fields import (
    Activated,
    Anything,
    Bool,
    Constrained,
    Field,
    Initial,
    NonNegative,
    OptionalDims,
    OptionalInt,
    PositiveInt,
    Regular,
)  # fmt: skip
from ..base.report import UsageError
from ..math.affine import product
from .contract import PENALTY, Weight
from .infer import KerasTensor
from .layer import Layer


class InputLayer(Layer):
    """y = x: what the chain expects, with or without its batch axis.

    >>> Input((28, 28, 1)).batch_shape
    (None, 28, 28, 1)
    """

    masking = "pass"
    integers = True

    shape: OptionalDims = None
    batch_size: OptionalInt = None
    sparse: Anything = None
    ragged: Anything = None
    batch_shape: OptionalDims = None
    input_tensor: Anything = None
    optional: Bool = False

    def translate(self, kwargs):
        if "batch_input_shape" in kwargs:
            kwargs["batch_shape"] = kwargs.pop("batch_input_shape")
        if "input_shape" in kwargs:
            kwargs["shape"] = kwargs.pop("input_shape")
        return kwargs

    def validate(self):
        if self.sparse or self.ragged:
            raise UsageError(
                "Input takes dense arrays", at=self._birthplace, saw=f"sparse={self.sparse}, ragged={self.ragged}"
            )
        if self.batch_shape is not None and self.batch_size is not None:
            raise UsageError(
                "Input takes batch_size, or batch_shape", at=self._birthplace,
                saw=f"batch_size={self.batch_size}, batch_shape={self.batch_shape}",
            )  # fmt: skip
        if (self.shape is None) == (self.batch_shape is None):
            raise UsageError(
                "Input takes shape, or batch_shape",
                at=self._birthplace, saw=f"shape={self.shape}, batch_shape={self.batch_shape}",
                want="one of the two", fix="Input(shape=(784,))",
            )  # fmt: skip
        if self.batch_shape is None:
            self.batch_shape = (self.batch_size, *self.shape)
        self.batch_size, *rest = self.batch_shape
        self.shape = tuple(rest)

    @property
    def spec(self):
        """The shape and dtype that it stands for."""
        return KerasTensor(self.batch_shape, self.dtype, name=self.name)

    output = spec

    def forward(self, w, x, call):
        return x

    def get_config(self):
        return {
            "batch_shape": tuple(self.batch_shape), "dtype": self.dtype, "sparse": bool(self.sparse),
            "ragged": bool(self.ragged), "name": self.name, "optional": self.optional,
        }  # fmt: skip

    def source(self):
        batch, *shape = self.batch_shape
        parts = [repr(tuple(shape))] + ([f"batch_size={batch}"] if batch else [])
        parts += [f"dtype={self.dtype!r}"] if self.dtype != "float32" else []
        return f"Input({', '.join(parts)})"


def Input(shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None, name=None,
          tensor=None, optional=False):  # fmt: skip
    """What the chain expects: `Input((784,))` is rows of 784 numbers."""
    return InputLayer(
        shape=shape, batch_size=batch_size, dtype=dtype, sparse=sparse, ragged=ragged,
        batch_shape=batch_shape, name=name, optional=optional,
    )  # fmt: skip


class Identity(Layer):
    """y = x"""

    masking = "pass"
    integers = True

    def forward(self, w, x, call):
        return floats_in_compute_dtype(self, x)


class Dense(Layer):
    """y = activation(x @ kernel + bias)

    b ... features -> b ... units. kernel (features, units), bias (units,).

    >>> Dense(2).compute_output_shape((None, 5))
    (None, 2)
    """

    signature = "b ... features -> b ... units"
    masking = "pass"

    units: PositiveInt
    activation: Activated = None
    use_bias: Bool = True
    kernel_initializer: Initial = "glorot_uniform"
    bias_initializer: Initial = "zeros"
    kernel_regularizer: Regular = None
    bias_regularizer: Regular = None
    activity_regularizer: Regular = None
    kernel_constraint: Constrained = None
    bias_constraint: Constrained = None
    lora_rank: Anything = None
    lora_alpha: Anything = None
    quantization_config: Anything = None

    def validate(self):
        refuse_lora(self)

    def declare(self, shape):
        features = known_axis(self, shape, -1)
        yield Weight(
            "kernel", (features, self.units), self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        if self.use_bias:
            yield Weight(
                "bias", (self.units,), self.bias_initializer,
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )  # fmt: skip

    def forward(self, w, x, call):
        return product(x, w["kernel"], w.get("bias"), self.activation)

    def get_config(self):
        return without_none(super().get_config(), "lora_rank", "lora_alpha", "activity_regularizer")


class Activation(Layer):
    """y = activation(x)"""

    masking = "pass"

    activation: Activated

    def forward(self, w, x, call):
        return self.activation(x)


class ActivityRegularization(Layer):
    """y = x, and l1 * sum(|x|) + l2 * sum(x²), divided by the batch size, joins the loss."""

    masking = "pass"

    l1: NonNegative = 0.0
    l2: NonNegative = 0.0

    def apply(self, w, x, call):
        penalty = self.l1 * jnp.sum(jnp.abs(x)) + self.l2 * jnp.sum(jnp.square(x))
        return x, {PENALTY: penalty / len(x)}


class Function(Field):
    """A function, or a plain value; in a config a function is its registered name."""

    def write(self, value):
        if not callable(value):
            return super().write(value)
        return {
            "module": "builtins", "class_name": "function", "config": registry.get_registered_name(value),
            "registered_name": "function",
        }  # fmt: skip

    def source(self, value):
        return getattr(value, "__name__", repr(value))


Named = Annotated[Any, Function()]


class Lambda(Layer):
    """y = function(x, **arguments); a function with no weights of its own.

    `mask` is a mask, or a function (x, mask) -> mask. A model with a Lambda is saved by the name of a
    registered function; code is never written into a file (Keras writes bytecode).
    """

    function: Named
    output_shape: Named = None
    mask: Named = None
    arguments: Anything = None

    def validate(self):
        if not callable(self.function):
            raise UsageError(
                "Lambda takes a function", at=self._birthplace, saw=repr(self.function), want="a function of x"
            )
        self.supports_masking = self.mask is not None

    def forward(self, w, x, call):
        options = dict(self.arguments or {})
        accepted = parameters(self.function)
        if "training" in accepted:
            options.setdefault("training", call.training)
        if "mask" in accepted:
            options.setdefault("mask", call.mask)
        return self.function(x, **options)

    def next_mask(self, x, mask):
        return self.mask(x, mask) if callable(self.mask) else self.mask

    def get_config(self):
        """Functions by their names; output_shape and mask only if they were given, as in Keras."""
        config = super().get_config()
        return without_none({**config, "arguments": config["arguments"] or {}}, "output_shape", "mask")

    @classmethod
    def from_config(cls, config):
        """The layer of a config, its functions looked up by name; code in a config (`__lambda__`) is refused."""
        return cls(**{name: found_function(value) for name, value in config.items()})


def parameters(function):
    """The names of a function's arguments; none if Python cannot tell."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def found_function(value):
    """The function that a config names; any other value as it is."""
    kind = value.get("class_name") if isinstance(value, dict) else None
    if kind == "function":
        return registry.from_config("activation", value)
    if kind == "__lambda__":
        raise UsageError(
            "code in a config is never run",
            saw="a Lambda layer of a Python lambda, written by Keras as bytecode",
            fix="give the function a name, register it with register_keras_serializable, and save the model again",
        )
    return tuple(value) if isinstance(value, list) else value


def floats_in_compute_dtype(layer, x):
    """x in the layer's compute dtype if it holds floats; whole numbers as they are."""
    return x.astype(layer.compute_dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x


def refuse_lora(layer):
    """A UsageError for the arguments that are in Keras's signature but are not done here."""
    for name in ("lora_rank", "quantization_config"):
        if getattr(layer, name) is not None:
            raise UsageError(
                f"{type(layer).__name__}({name}=…) is not offered", at=layer._birthplace,
                saw=f"{name}={getattr(layer, name)!r}", want="None",
            )  # fmt: skip


def known_axis(layer, shape, axis):
    """The size of an axis that weights depend on; a UsageError if the input leaves it open."""
    size = shape[axis]
    if size is None:
        raise UsageError(
            f"{layer.name} ({type(layer).__name__}) needs to know axis {axis} of its input",
            at=layer._birthplace, saw=f"an input of shape {shape}", want="a size instead of None",
            fix="name the size in Input(…)",
        )  # fmt: skip
    return size


def without_none(config, *names):
    """Keras leaves these arguments out of a config while they are None."""
    return {key: value for key, value in config.items() if not (key in names and value is None)}


registry.add("layer", InputLayer, Identity, Dense, Activation, ActivityRegularization, Lambda)
