"""`seriatim.backend`: what Keras 3 still shows of `K`; behind it stand the functions of older scripts. Floor 6."""

from importlib import import_module

import jax.numpy as jnp

from .base.names import reset
from .base.settings import epsilon, floatx, image_data_format, set_epsilon, set_image_data_format
from .config import backend, set_floatx

_prefixes = {}


def clear_session(free_memory=True):
    """Start the automatic layer names again at `dense`, `dense_1`, …"""
    reset()


def get_uid(prefix=""):
    """The next whole number for a prefix, from 1."""
    _prefixes[prefix] = _prefixes.get(prefix, 0) + 1
    return _prefixes[prefix]


def is_float_dtype(dtype):
    """Whether a dtype holds floats."""
    return jnp.issubdtype(jnp.dtype(dtype), jnp.floating)


def is_int_dtype(dtype):
    """Whether a dtype holds whole numbers."""
    return jnp.issubdtype(jnp.dtype(dtype), jnp.integer)


def standardize_dtype(dtype):
    """The dtype as a string; None is the float type of the settings."""
    return floatx() if dtype is None else str(jnp.dtype(getattr(dtype, "name", dtype)))


def result_type(*dtypes):
    """The dtype that an operation on these dtypes gives."""
    return str(jnp.result_type(*(jnp.zeros((), dtype) for dtype in dtypes)))


GONE = {
    "gradients": "`jax.grad` of a function", "name_scope": "variables are named by their layers",
    "ctc_label_dense_to_sparse": "no sparse arrays are offered",
    "function": "call the model, or `jax.jit` a function", "learning_phase": "`training` in a layer's call",
    "in_train_phase": "`training` in a layer's call", "in_test_phase": "`training` in a layer's call",
    "get_session": "there are no sessions", "set_session": "there are no sessions",
    "placeholder": "`seriatim.Input`",
}  # fmt: skip


def __getattr__(name):
    """The functions of Keras 1 and 2; `ops` is imported with the first of them."""
    if name in GONE:
        raise AttributeError(f"seriatim.backend has no {name}: {GONE[name]}")
    older = import_module(".k", __package__)
    if name not in older.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(older, name)


def __dir__():
    return sorted([*__all__, *import_module(".k", __package__).__all__])


__all__ = [
    "backend", "clear_session", "epsilon", "floatx", "get_uid", "image_data_format", "is_float_dtype", "is_int_dtype",
    "result_type", "set_epsilon", "set_floatx", "set_image_data_format", "standardize_dtype",
]  # fmt: skip
