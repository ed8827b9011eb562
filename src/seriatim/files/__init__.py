"""Files: every format is read into one inert Record, checked, and only then brought into a model.

Floor 2, without JAX and without layers. `door` reads and writes by suffix; `layout` says where each array
stands; `restore` brings arrays back, all or none; `models` is what `model.save` and `load_model` call.
"""

from .door import read, write
from .models import load_model, load_weights, model_from_json, save_model, save_weights
from .record import Record

__all__ = ["Record", "load_model", "load_weights", "model_from_json", "read", "save_model", "save_weights", "write"]
