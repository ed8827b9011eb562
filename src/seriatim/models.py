"""`seriatim.models`: Sequential, and the files it is kept in. Floor 6."""

from .base.lazy import names_from
from .sequential import Sequential

_FILES = dict.fromkeys(("load_model", "model_from_json", "save_model"), ".files.models")
__getattr__ = names_from(__package__, _FILES)


def clone_model(model, input_tensors=None, clone_function=None, call_function=None, recursive=False, **options):
    """A model of the same architecture with fresh weights; `clone_function(layer)` may replace layers."""
    if clone_function is None:
        return type(model).from_config(model.get_config())
    layers = [clone_function(layer) for layer in model.layers]
    return Sequential([*([model.entry] if model.entry is not None else []), *layers], name=model.name)


__all__ = ["Sequential", "clone_model", *_FILES]  # noqa: PLE0604 - strings
