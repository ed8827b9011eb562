"""`seriatim.saving`: keeping models and naming custom objects, under Keras's names. Floor 6."""

from .base.registry import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from .models import load_model, save_model
from .sequential import Sequential
from .utils import deserialize_keras_object, serialize_keras_object

CustomObjectScope = custom_object_scope


def save_weights(model, filepath, overwrite=True, max_shard_size=None, **options):
    """Write the weights alone; see `Sequential.save_weights`."""
    Sequential.save_weights(model, filepath, overwrite, max_shard_size, **options)


def load_weights(model, filepath, skip_mismatch=False, **options):
    """Read weights; see `Sequential.load_weights`."""
    Sequential.load_weights(model, filepath, skip_mismatch, **options)


__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]
