"""A dtype policy: the type weights are kept in, and the type a layer computes in.

Floor 0. `float32` keeps and computes in float32; `mixed_bfloat16` keeps float32, computes bfloat16.
"""

import re
from collections.abc import MutableMapping

from . import registry, settings
from .report import UsageError

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool", "string")
QUANTIZED = ("int8_from_", "int4", "float8", "gptq", "awq")


class DTypePolicy:
    """`DTypePolicy("float32")`, `DTypePolicy("mixed_bfloat16")`: `.variable_dtype`, `.compute_dtype`."""

    family, module = "policy", "keras"
    quantization_mode = None

    def __init__(self, name=None):
        name = settings.policy_name() if name is None else name
        if not isinstance(name, str):
            raise NotAName("the name of a dtype policy is a word", saw=repr(name), want="'mixed_float16', for instance")
        mixed = name.startswith("mixed_")
        compute = name.removeprefix("mixed_")
        if name.startswith(QUANTIZED):
            raise refusal(name)
        if compute not in settings.FLOATS + INTEGERS or (mixed and compute not in ("float16", "bfloat16")):
            raise UsageError(
                "unknown dtype policy", saw=repr(name),
                want="float32, float64, bfloat16, float16, mixed_bfloat16 or mixed_float16",
            )  # fmt: skip
        self.name = name
        self.compute_dtype = compute
        self.variable_dtype = "float32" if mixed else compute

    @property
    def dtypes(self):
        """All types that it names."""
        return {self.compute_dtype, self.variable_dtype}

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


class DTypePolicyMap(MutableMapping):
    """A policy for each layer by its name or a pattern for it, and `default_policy` (None: the global one) for others.

    Given as the `dtype` of layers. Within itself it is what its default policy is.
    """

    family = "policy"
    quantization_mode = None

    def __init__(self, default_policy=None, policy_map=None):
        if policy_map is not None and not isinstance(policy_map, dict):
            raise NotAName("policy_map is a dict of policies by name", saw=repr(policy_map), want="a dict")
        self._default = None if default_policy is None else read_policy(default_policy)
        self.policies = {name: read_policy(policy) for name, policy in (policy_map or {}).items()}

    @property
    def default_policy(self):
        return DTypePolicy() if self._default is None else self._default

    name = property(lambda self: self.default_policy.name)
    compute_dtype = property(lambda self: self.default_policy.compute_dtype)
    variable_dtype = property(lambda self: self.default_policy.variable_dtype)

    @property
    def dtypes(self):
        """All types that the policies name."""
        return self.default_policy.dtypes.union(*(policy.dtypes for policy in self.policies.values()))

    def __getitem__(self, key):
        if key in self.policies:
            return self.policies[key]
        found = [pattern for pattern in self.policies if re.fullmatch(pattern, key)]
        if len(found) > 1:
            raise UsageError(f"Path {key!r} matches multiple dtype policies", saw=", ".join(found), want="one of them")
        return self.policies[found[0]] if found else self.default_policy

    def __setitem__(self, key, policy):
        if key in self.policies:
            raise UsageError(f"{key} already exists in the DTypePolicyMap", saw=repr(self.policies[key]))
        self.policies[key] = read_policy(policy)

    def __delitem__(self, key):
        del self.policies[key]

    def __contains__(self, key):
        return key in self.policies

    def __len__(self):
        return len(self.policies)

    def __iter__(self):
        return iter(self.policies)

    def get_config(self):
        default = None if self._default is None else self._default.name
        return {"default_policy": default, "policy_map": {name: write_policy(p) for name, p in self.policies.items()}}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The map that `get_config` described."""
        return cls(**config)

    def __eq__(self, other):
        return isinstance(other, DTypePolicyMap) and self.get_config() == other.get_config()

    def __repr__(self):
        inner = {name: policy.name for name, policy in self.policies.items()}
        return f"DTypePolicyMap({self._default and self._default.name!r}, {inner!r})"


class QuantizedDTypePolicy(DTypePolicy):
    """Refused: weights of 8 or 4 bits are not offered; `mixed_bfloat16` computes in half precision."""

    def __init__(self, mode=None, source_name=None, **rest):
        raise refusal(f"{mode}_from_{source_name or settings.policy_name()}")


class NotAName(UsageError, TypeError):
    """A policy of something else than a name."""


def refusal(name):
    return UsageError(
        "quantized policies are not offered: layers compute in floating point", saw=repr(name),
        want="float32, bfloat16, mixed_bfloat16, …", fix="dtype='mixed_bfloat16' halves the memory of activations",
    )  # fmt: skip


def read_policy(value):
    """A policy from a name, a config dict, a policy of ours or of Keras, or None (the global one)."""
    value = settings.policy() if value is None else value
    if isinstance(value, (DTypePolicy, DTypePolicyMap)):
        return value
    if isinstance(value, dict):
        name, config = value.get("class_name", "DTypePolicy"), value.get("config", value)
        if name == "DTypePolicyMap":
            return DTypePolicyMap(**config)
        if name not in ("DTypePolicy", "FloatDTypePolicy"):
            raise refusal(name)
        return DTypePolicy(config["name"])
    if isinstance(value, str):
        return DTypePolicy(value)
    if hasattr(value, "compute_dtype") and hasattr(value, "name"):
        return DTypePolicy(value.name)
    return DTypePolicy(getattr(value, "__name__", None) or str(value))


write_policy = registry.to_config
registry.add("policy", DTypePolicy, DTypePolicyMap)
