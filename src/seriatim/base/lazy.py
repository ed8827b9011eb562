"""Names and modules that are imported at first use, so that what nobody asks for is never waited for.

Floor 0.
"""

from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any


def names_from(package, places):
    """A module's `__getattr__` that finds each name in the module that `places` gives, relative to `package`."""

    def find(name):
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(places[name], package), name)

    return find


def later(name) -> Any:
    """The module called `name`, imported when one of its names (or of the modules in it) is asked for."""
    return Later(name)


class Later(ModuleType):
    """What stands for a module until then."""

    def __getattr__(self, name):
        module = import_module(self.__name__)
        if not hasattr(module, name):
            with suppress(ModuleNotFoundError):  # then there is no such name, as the next line says
                import_module(f"{self.__name__}.{name}")
        value = getattr(module, name)
        setattr(self, name, value)
        return value
