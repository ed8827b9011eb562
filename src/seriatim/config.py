"""`seriatim.config`: the settings of the process, under Keras's names. Floor 6."""

from .base.policy import DTypePolicy
from .base.settings import (
    disable_interactive_logging,
    enable_interactive_logging,
    epsilon,
    floatx,
    image_data_format,
    is_interactive_logging_enabled,
    max_epochs,
    max_steps_per_epoch,
    policy_name,
    set_epsilon,
    set_floatx,
    set_image_data_format,
    set_max_epochs,
    set_max_steps_per_epoch,
    set_policy_name,
)  # fmt: skip


def backend():
    """`"jax"`: the one engine."""
    return "jax"


def dtype_policy():
    """The policy of layers that are given none."""
    return DTypePolicy(policy_name())


def set_dtype_policy(policy):
    """Set the policy of layers made from now on, by name or as an object."""
    set_policy_name(DTypePolicy(getattr(policy, "name", policy)).name)


__all__ = [
    "backend", "disable_interactive_logging", "dtype_policy", "enable_interactive_logging", "epsilon", "floatx",
    "image_data_format", "is_interactive_logging_enabled", "max_epochs", "max_steps_per_epoch", "set_dtype_policy",
    "set_epsilon", "set_floatx", "set_image_data_format", "set_max_epochs", "set_max_steps_per_epoch",
]  # fmt: skip
