"""seriatim.regularizers: prices for the size of an array, as classes and by name.

Floor 6: a door to math/regularizers.py. The names in small letters are the same classes, as in Keras.
"""

from .base import registry
from .base.fields import Named, Refused
from .base.report import UsageError
from .math.regularizers import L1, L1L2, L2, OrthogonalRegularizer, Regularizer

l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer


def get(identifier):
    """The regularizer for a name, a config, a class, an object or a function; None stays None.

    >>> get("l2")
    L2()
    """
    try:
        return Named("regularizer").read(identifier, None)
    except Refused:
        raise UsageError(
            "not a regularizer", saw=repr(identifier), want="a name, such as 'l2', or a Regularizer"
        ) from None


def serialize(regularizer):
    """The config of a regularizer, with its class."""
    return registry.to_config(regularizer)


def deserialize(config, custom_objects=None):
    """The regularizer that `serialize` wrote."""
    return registry.from_config("regularizer", config, custom_objects)


__all__ = [
    "L1", "L1L2", "L2", "OrthogonalRegularizer", "Regularizer", "deserialize", "get", "l1", "l1_l2", "l2",
    "orthogonal_regularizer", "serialize",
]  # fmt: skip
