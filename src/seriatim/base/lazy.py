"""Names that are resolved at first use, so that what nobody asks for is never imported.

Floor 0.
"""

from importlib import import_module


def names_from(package, places):
    """A module's `__getattr__` that finds each name in the module that `places` gives, relative to `package`."""

    def find(name):
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(places[name], package), name)

    return find
