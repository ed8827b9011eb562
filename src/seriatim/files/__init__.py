"""Files: every format is read into one inert Record, checked, and only then brought into a model.

Floor 2, without JAX and without layers. `door` reads and writes by suffix; `layout` says where each array
stands; `restore` brings arrays back, all or none; `models` is what `model.save` and `load_model` call.
Resolved at first use: training needs no HDF5.
"""

from ..base.lazy import names_from

_PLACES = {
    "Record": ".record", "read": ".door", "write": ".door", "load_model": ".models", "load_weights": ".models",
    "model_from_json": ".models", "save_model": ".models", "save_weights": ".models",
}  # fmt: skip
__all__ = [*_PLACES]  # noqa: PLE0604 - strings
__getattr__ = names_from(__name__, _PLACES)
