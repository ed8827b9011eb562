"""Files: every format is read into one inert Record, checked, and only then brought into a model.

Floor 2, without JAX and without layers. `door` reads and writes by suffix; `layout` says where each array
stands; `restore` brings arrays back, all or none; `models` is what `model.save` and `load_model` call.
"""

from ..base.registry import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from .door import read, write
from .models import load_model, load_weights, model_from_json, save_model, save_weights
from .record import Record

CustomObjectScope = custom_object_scope

__all__ = [
    "CustomObjectScope", "Record", "custom_object_scope", "get_custom_objects", "get_registered_name",
    "get_registered_object", "load_model", "load_weights", "model_from_json", "read", "register_keras_serializable",
    "save_model", "save_weights", "write",
]  # fmt: skip
