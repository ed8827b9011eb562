"""seriatim.initializers: the first values of weights, as classes and by name.

Floor 6: a door to math/initializers.py. The names in small letters are the same classes, as in Keras.
"""

from .base import registry
from .base.fields import Named, Refused
from .base.report import UsageError
from .math.initializers import (
    STFT,
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    Initializer,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
    exactly,
)  # fmt: skip

constant, identity, ones, orthogonal, zeros, stft = Constant, Identity, Ones, Orthogonal, Zeros, STFT
glorot_normal, he_normal, lecun_normal = GlorotNormal, HeNormal, LecunNormal
glorot_uniform, he_uniform, lecun_uniform = GlorotUniform, HeUniform, LecunUniform
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling = VarianceScaling
IdentityInitializer, OrthogonalInitializer, STFTInitializer = Identity, Orthogonal, STFT


def get(identifier):
    """The initializer for a name, a config, a class, an object, a function, or the very array; None stays None.

    >>> get("he_normal")
    HeNormal()
    """
    if hasattr(identifier, "dtype") and hasattr(identifier, "shape"):
        return exactly(identifier)
    try:
        return Named("initializer").read(identifier, None)
    except Refused:
        raise UsageError(
            "not an initializer", saw=repr(identifier), want="a name, such as 'he_normal', or an Initializer"
        ) from None


def serialize(initializer):
    """The config of an initializer, with its class."""
    return registry.to_config(initializer)


def deserialize(config, custom_objects=None):
    """The initializer that `serialize` wrote."""
    return registry.from_config("initializer", config, custom_objects)


__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "IdentityInitializer",
    "Initializer", "LecunNormal", "LecunUniform", "Ones", "Orthogonal", "OrthogonalInitializer", "RandomNormal",
    "RandomUniform", "STFT", "STFTInitializer", "TruncatedNormal", "VarianceScaling", "Zeros", "constant",
    "deserialize", "get", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "identity", "lecun_normal",
    "lecun_uniform", "ones", "orthogonal", "random_normal", "random_uniform", "serialize", "stft",
    "truncated_normal", "variance_scaling", "zeros",
]  # fmt: skip
