"""Keras's test files import `keras` and `keras.src.…`; here these names lead to seriatim.

Nothing is generated on disk. A module that a test file asks for is made on the spot: its names are looked up in
`facade.py` (what has no public name), then in the public module of the same area, then in all public modules.
A name that we do not offer becomes an `Absent`: the file still loads, and the test that uses the name fails.
Packages of other frameworks are stubs that skip the test that uses them.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
import unittest
from functools import cache
from pathlib import Path

import facade
import shim

FOREIGN = (
    "tensorflow",
    "torch",
    "grain",
    "torchvision",
    "flax",
    "orbax",
    "tensorflow_text",
    "jax2tf",
    "dmtree",
    "tf2onnx",
)
PUBLIC = (
    "layers", "losses", "metrics", "optimizers", "optimizers.schedules", "callbacks", "activations", "initializers",
    "regularizers", "constraints", "utils", "saving", "models", "tree", "random", "config", "backend", "datasets",
    "dtype_policies", "utils.bounding_boxes",
)  # fmt: skip
SHIMS = {"keras.src.testing", "keras.src.testing.test_case", "keras.src.testing.test_utils"}
OPS = ("keras.ops", "keras.src.ops", "keras.src.backend.numpy", "keras.src.backend.nn", "keras.src.backend.math",
       "keras.src.backend.linalg", "keras.src.backend.image", "keras.src.backend.core")  # fmt: skip


BEYOND = {
    "Model": "functional and subclassed models are out of scope",
    "Functional": "functional and subclassed models are out of scope",
    "DataParallel": "Keras's distribution API is out of scope",
    "get_device_count": "Keras's distribution API is out of scope",
    "gptq_config": "quantised weights are not offered: they serve large language models",
    "HashedCrossing": "several inputs: not a chain",
    "Concatenate": "several inputs: not a chain",
}  # by a part of the path: the test that uses it is no test of ours


class Unavailable(Exception):
    """A test uses a name that seriatim does not offer."""


class AbsentType(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return absent(f"{cls.path}.{name}")

    def __call__(cls, *args, **kwargs):
        for part in cls.path.split("."):
            if part in BEYOND:
                raise unittest.SkipTest(BEYOND[part])
        raise Unavailable(f"seriatim does not offer {cls.path}")


@cache
def absent(path):
    return AbsentType(path.rpartition(".")[2], (), {"path": path})


class SkipType(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return skipping(f"{cls.path}.{name}")

    def __call__(cls, *args, **kwargs):
        raise unittest.SkipTest(f"needs {cls.path.partition('.')[0]}")


@cache
def skipping(path):
    return SkipType(path.rpartition(".")[2], (), {"path": path})


def wheel():
    """The folder of the installed keras package, found without importing it."""
    for entry in sys.path:
        if (Path(entry) / "keras" / "src" / "version.py").exists():
            return Path(entry) / "keras"
    raise SystemExit("the development dependency keras==3.15.1 is not installed: pip install -e '.[dev]'")


WHEEL = wheel()


def on_disk(name):
    """The file or folder that `keras.a.b` names inside the package, or None."""
    base = WHEEL.joinpath(*name.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base) if path.exists()), None)


def area(name):
    """`keras.src.optimizers.adam` -> "optimizers"."""
    parts = [part for part in name.split(".")[1:] if part not in ("src", "api")]
    return parts[0] if parts else ""


def lookup(module, name):
    """What `from module import name` gives."""
    own = facade.NAMES.get(f"{module}.{name}") or facade.NAMES.get(f"{area(module)}.{name}") or facade.NAMES.get(name)
    if own is not None:
        return own
    if module.startswith(OPS):
        if on_disk(f"{module}.{name}"):
            return importlib.import_module(f"{module}.{name}")
        return getattr(importlib.import_module("seriatim.ops"), name, None) or absent(f"{module}.{name}")
    here = area(module)
    if module == "keras.src.utils.module_utils":
        return skipping(name)
    if on_disk(f"{module}.{name}") and not (module == "keras" and name not in PUBLIC and name not in ("src", "ops")):
        return importlib.import_module(f"{module}.{name}")
    for place in ([here] if here in PUBLIC else []) + ["", *PUBLIC]:
        found = importlib.import_module(f"seriatim.{place}".rstrip("."))
        if name in (getattr(found, "__all__", None) or vars(found)) and hasattr(found, name):
            return getattr(found, name)
    return absent(f"{module}.{name}")


class Mirror(types.ModuleType):
    """A module of Keras, as a view of ours."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lookup(self.__name__, name)


class Stub(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return skipping(f"{self.__name__}.{name}")


class Loader(importlib.abc.Loader):
    def create_module(self, spec):
        if spec.name in SHIMS:
            return shim
        if spec.name == "conftest":
            return facade.conftest
        kind = Mirror if spec.name.partition(".")[0] == "keras" else Stub
        module = kind(spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module):
        pass


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        head = fullname.partition(".")[0]
        if head == "keras" and fullname.endswith("_test") and on_disk(fullname):
            return importlib.util.spec_from_file_location(fullname, on_disk(fullname))
        if head in ("keras", "conftest", *FOREIGN):
            return importlib.machinery.ModuleSpec(fullname, Loader(), is_package=True)
        return None


def install():
    shim.test_case = shim.test_utils = shim
    sys.meta_path.insert(0, Finder())
