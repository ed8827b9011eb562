"""Seriatim: Sequential models, done completely. Keras's words, on JAX.

Names are resolved at first use, so `import seriatim` is light: JAX comes with the first layer.
"""

from importlib import import_module

__version__ = "0.1.0"

_PLACES = {
    "Sequential": "sequential", "Input": "layers", "Layer": "layers", "Variable": "layers",
    "KerasTensor": "layers.infer",
    "Initializer": "initializers", "Regularizer": "regularizers", "Loss": "losses", "Metric": "metrics",
    "Optimizer": "optimizers", "DTypePolicy": "base.policy", "fit_many": "train.many",
}  # fmt: skip
_MODULES = (
    "layers", "models", "losses", "metrics", "optimizers", "callbacks", "activations", "initializers",
    "regularizers", "constraints", "utils", "datasets", "ops", "random", "tree", "config", "saving", "backend",
    "dtype_policies", "preprocessing",
)  # fmt: skip

__all__ = ["__version__", "version"]
__all__ += [*_PLACES, *_MODULES]  # noqa: PLE0604 - both hold strings


def version():
    return __version__


def __getattr__(name):
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _PLACES:
        value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
