"""seriatim.activations: what an array becomes, as functions and by name.

Floor 6: a door to math/activations.py. `None` means linear.
"""

from .base import registry
from .base.fields import Named, Refused
from .base.report import UsageError
from .math.activations import (
    celu,
    elu,
    exponential,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    linear,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    swish,
    tanh,
    tanh_shrink,
    threshold,
)  # fmt: skip


def get(identifier):
    """The activation for a name, a config, a function or a layer; `None` is linear.

    >>> get("swish") is silu
    True
    """
    try:
        return Named("activation", default="linear").read(identifier, None)
    except Refused:
        raise UsageError(
            "not an activation", saw=repr(identifier), want="a name, such as 'relu', a function or a layer"
        ) from None


def serialize(activation):
    """The name of one of our functions, or the config of another one or of a layer."""
    if not callable(activation):
        raise UsageError("only activations can be serialized here", saw=repr(activation), want="a function or a layer")
    return registry.to_config(activation)


def deserialize(config, custom_objects=None):
    """The activation that `serialize` wrote."""
    return registry.from_config("activation", config, custom_objects)


__all__ = [
    "celu", "deserialize", "elu", "exponential", "gelu", "get", "glu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu",
    "serialize", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus",
    "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh", "tanh_shrink", "threshold",
]  # fmt: skip
