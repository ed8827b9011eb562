"""A dtype policy: the type weights are kept in, and the type a layer computes in.

Floor 0. `float32` keeps and computes in float32; `mixed_bfloat16` keeps float32, computes bfloat16.
"""

from . import settings
from .report import UsageError


class DTypePolicy:
    """`DTypePolicy("float32")`, `DTypePolicy("mixed_bfloat16")`: `.variable_dtype`, `.compute_dtype`."""

    def __init__(self, name=None):
        name = name or settings.policy_name()
        mixed = name.startswith("mixed_")
        compute = name.removeprefix("mixed_")
        known = settings.FLOATS + ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool", "string")
        if compute not in known or (mixed and compute not in ("float16", "bfloat16")):
            raise UsageError(
                "unknown dtype policy",
                saw=repr(name),
                want="float32, float64, bfloat16, float16, mixed_bfloat16 or mixed_float16",
            )
        self.name = name
        self.compute_dtype = compute
        self.variable_dtype = "float32" if mixed else compute

    def get_config(self):
        return {"name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __eq__(self, other):
        return isinstance(other, DTypePolicy) and other.name == self.name

    def __hash__(self):
        return hash(self.name)

    def __repr__(self):
        return f"DTypePolicy({self.name!r})"


def read_policy(value):
    """A policy from a name, a config dict, a policy of ours or of Keras, or None (the global one)."""
    if isinstance(value, DTypePolicy):
        return value
    if isinstance(value, dict):
        return DTypePolicy(value.get("config", value)["name"])
    if value is None or isinstance(value, str):
        return DTypePolicy(value)
    if hasattr(value, "compute_dtype") and hasattr(value, "name"):
        return DTypePolicy(value.name)
    return DTypePolicy(getattr(value, "__name__", None) or str(value))


def write_policy(policy):
    config = {"name": policy.name}
    return {"module": "keras", "class_name": "DTypePolicy", "config": config, "registered_name": None}
