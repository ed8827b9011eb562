"""seriatim.constraints: where arrays are put back to after an update, as classes and by name.

Floor 6: a door to math/constraints.py. The names in small letters are the same classes, as in Keras.
"""

from .base import registry
from .base.fields import Named, Refused
from .base.report import UsageError
from .math.constraints import Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm

max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm


def get(identifier):
    """The constraint for a name, a config, a class, an object or a function; None stays None.

    >>> get("max_norm")
    MaxNorm()
    """
    try:
        return Named("constraint").read(identifier, None)
    except Refused:
        raise UsageError(
            "not a constraint", saw=repr(identifier), want="a name, such as 'max_norm', or a Constraint"
        ) from None


def serialize(constraint):
    """The config of a constraint, with its class."""
    return registry.to_config(constraint)


def deserialize(config, custom_objects=None):
    """The constraint that `serialize` wrote."""
    return registry.from_config("constraint", config, custom_objects)


__all__ = [
    "Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "deserialize", "get", "max_norm", "min_max_norm",
    "non_neg", "serialize", "unit_norm",
]  # fmt: skip
