"""The few settings of the process, as `seriatim.config` shows them, and where seeds come from.

Floor 0. Keras's words and defaults; `~/.keras/keras.json` is not read.
"""

import os
import random

import numpy as np

from .report import UsageError

FLOATS = ("float16", "bfloat16", "float32", "float64")

_now = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
    "dtype_policy": None,
    "interactive_logging": True,
    "max_epochs": None,
    "max_steps_per_epoch": None,
    "seedings": 0,
}


def floatx():
    """The default float type of weights and data, as a string."""
    return _now["floatx"]


def set_floatx(value):
    """Set the default float type: "float32", "float64", "bfloat16" or "float16"."""
    _now["floatx"] = one_of("floatx", value, FLOATS)


def epsilon():
    """The small constant that keeps logarithms and quotients finite (1e-7)."""
    return _now["epsilon"]


def set_epsilon(value):
    """Set the small constant."""
    _now["epsilon"] = float(value)


def image_data_format():
    """`"channels_last"` (b h w c) or `"channels_first"` (b c h w)."""
    return _now["image_data_format"]


def set_image_data_format(data_format):
    """Set "channels_last" or "channels_first" for layers made from now on."""
    _now["image_data_format"] = one_of("image_data_format", data_format, ("channels_last", "channels_first"))


def is_interactive_logging_enabled():
    """Whether progress is shown as a moving bar by default."""
    return _now["interactive_logging"]


def enable_interactive_logging():
    """Show progress as a moving bar (the default)."""
    _now["interactive_logging"] = True


def disable_interactive_logging():
    """Show progress as plain lines."""
    _now["interactive_logging"] = False


def _limit(name, variable):
    value = _now[name]
    return int(os.environ[variable]) if value is None and os.environ.get(variable) else value


def max_epochs():
    """The most epochs a fit may run, or None; also from KERAS_MAX_EPOCHS."""
    return _limit("max_epochs", "KERAS_MAX_EPOCHS")


def set_max_epochs(max_epochs):
    """Let no fit run more epochs than this (None: no limit)."""
    _now["max_epochs"] = max_epochs


def max_steps_per_epoch():
    """The most steps an epoch may run, or None; also from KERAS_MAX_STEPS_PER_EPOCH."""
    return _limit("max_steps_per_epoch", "KERAS_MAX_STEPS_PER_EPOCH")


def set_max_steps_per_epoch(max_steps_per_epoch):
    """Let no epoch run more steps than this (None: no limit)."""
    _now["max_steps_per_epoch"] = max_steps_per_epoch


def policy():
    """The global dtype policy, as it was set; the float type unless one was."""
    return _now["dtype_policy"] or floatx()


def set_policy(value):
    """Set the global dtype policy: a name, or a map of policies."""
    _now["dtype_policy"] = value


def policy_name():
    """The name of the global dtype policy."""
    return getattr(policy(), "name", policy())


def seed_everything(seed):
    """Fix what comes from Python's and NumPy's `random` from here on."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    _now["seedings"] += 1


def seedings():
    """How often everything was seeded."""
    return _now["seedings"]


def next_seed():
    """A new integer seed, from Python's `random` (so `random.seed(n)` fixes it, as in Keras)."""
    return random.randint(1, 10**9)


def one_of(name, value, allowed):
    if value not in allowed:
        raise UsageError(f"{name} is not known", saw=repr(value), want=" or ".join(map(repr, allowed)))
    return value
