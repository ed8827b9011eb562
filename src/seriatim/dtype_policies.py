"""`seriatim.dtype_policies`: which dtype weights are kept in, and which one layers compute in. Floor 6."""

from .base.policy import DTypePolicy, DTypePolicyMap, QuantizedDTypePolicy, read_policy, write_policy

FloatDTypePolicy = DTypePolicy
QuantizedFloat8DTypePolicy = Int4DTypePolicy = GPTQDTypePolicy = AWQDTypePolicy = QuantizedDTypePolicy


def get(identifier):
    """The policy for a name, a config, a policy, or None (the global one)."""
    return read_policy(identifier)


def serialize(dtype_policy):
    """Keras's config of a policy."""
    return write_policy(dtype_policy)


def deserialize(config, custom_objects=None):
    """The policy that `serialize` described."""
    return read_policy(config)


__all__ = [
    "AWQDTypePolicy", "DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "GPTQDTypePolicy", "Int4DTypePolicy",
    "QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy", "deserialize", "get", "serialize",
]  # fmt: skip
