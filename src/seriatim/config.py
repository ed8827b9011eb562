"""`seriatim.config`: the settings of the process, under Keras's names. Floor 6."""

import warnings

from .base import settings
from .base.policy import DTypePolicyMap, read_policy
from .base.report import UsageError
from .base.settings import (
    disable_interactive_logging,
    enable_interactive_logging,
    epsilon,
    floatx,
    image_data_format,
    is_interactive_logging_enabled,
    max_epochs,
    max_steps_per_epoch,
    set_epsilon,
    set_image_data_format,
    set_max_epochs,
    set_max_steps_per_epoch,
)  # fmt: skip
from .math.precision import doubles


def backend():
    """`"jax"`: the one engine."""
    return "jax"


def set_backend(backend):
    """Nothing to choose: "jax" is accepted, all else refused."""
    if backend != "jax":
        raise UsageError("there is one engine", saw=f"set_backend({backend!r})", want="'jax'")


def is_nnx_enabled():
    """False: layers keep their arrays themselves."""
    return False


def set_floatx(value):
    """Set the float type of layers, data and losses made from now on: "float32", "float64", "bfloat16" or "float16".

    "float64" also tells JAX to have that type, for the whole process; so does a layer with dtype="float64".
    """
    settings.set_floatx(value)
    doubles(value)


def dtype_policy():
    """The policy of layers that are given none."""
    return read_policy(settings.policy())


def set_dtype_policy(policy):
    """Set the policy of layers made from now on: a name, a policy, or a DTypePolicyMap."""
    if policy is None:
        raise UsageError("None names no dtype policy", saw="set_dtype_policy(None)", want="'float32', for instance")
    policy = read_policy(policy)
    settings.set_policy(policy if isinstance(policy, DTypePolicyMap) else policy.name)


# ---- what has nothing to switch here ------------------------------------------------------------------------


def enable_unsafe_deserialization():
    """Warns: no code in a file is ever run, so there is nothing to enable. Functions go in as custom_objects."""
    warnings.warn(
        "no code in a file is run, whatever is enabled; load_model(path, custom_objects={name: function}) takes yours",
        stacklevel=2,
    )


_FLAGS = {"traceback_filtering": True, "flash_attention": False}


def enable_traceback_filtering():
    """Kept and told again; tracebacks are short as they are."""
    _FLAGS["traceback_filtering"] = True


def disable_traceback_filtering():
    """Kept and told again; no frame is ever left out."""
    _FLAGS["traceback_filtering"] = False


def is_traceback_filtering_enabled():
    """What was last asked for (True at first)."""
    return _FLAGS["traceback_filtering"]


def enable_flash_attention():
    """Kept and told again: a chain has no attention layer that could be faster."""
    _FLAGS["flash_attention"] = True


def disable_flash_attention():
    """Kept and told again."""
    _FLAGS["flash_attention"] = False


def is_flash_attention_enabled():
    """What was last asked for (False at first)."""
    return _FLAGS["flash_attention"]


__all__ = [
    "backend", "disable_flash_attention", "disable_interactive_logging", "disable_traceback_filtering", "dtype_policy",
    "enable_flash_attention", "enable_interactive_logging", "enable_traceback_filtering",
    "enable_unsafe_deserialization", "epsilon", "floatx", "image_data_format", "is_flash_attention_enabled",
    "is_interactive_logging_enabled", "is_nnx_enabled", "is_traceback_filtering_enabled", "max_epochs",
    "max_steps_per_epoch", "set_backend", "set_dtype_policy", "set_epsilon", "set_floatx", "set_image_data_format",
    "set_max_epochs", "set_max_steps_per_epoch",
]  # fmt: skip
