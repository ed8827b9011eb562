"""Which name means which class: one closed table a family, and nothing is ever imported by name.

Floor 0. `add` fills a table at the end of the file that defines its members; `find` reads it;
`to_config` / `from_config` turn an object into Keras's `{module, class_name, config, …}` and back.
Classes that users register stand in a table of their own, under `package>name`.
"""

import difflib
import inspect
from contextlib import contextmanager

from .names import snake
from .report import UsageError

MODULES = {
    "layer": "keras.layers",
    "activation": "keras.activations",
    "initializer": "keras.initializers",
    "regularizer": "keras.regularizers",
    "constraint": "keras.constraints",
    "loss": "keras.losses",
    "metric": "keras.metrics",
    "optimizer": "keras.optimizers",
    "schedule": "keras.optimizers.schedules",
}

_tables = {family: {} for family in MODULES}
_custom = {}
_custom_names = {}


def add(family, *members, **aliases):
    """Put classes (or functions) into the table of `family`, under their name and its snake form."""
    table = _tables[family]
    for member in members:
        table[member.__name__] = member
        table.setdefault(snake(member.__name__), member)
    table.update(aliases)


def table(family):
    """The table itself: name -> class or function."""
    return _tables[family]


def find(family, name):
    """The member of `family` called `name`; a UsageError that suggests the nearest name if there is none."""
    table = _tables[family]
    for candidate in (name, snake(name) if name.isidentifier() else name, name.lower()):
        if candidate in _custom:
            return _custom[candidate]
        if candidate in table:
            return table[candidate]
    near = difflib.get_close_matches(name.lower(), [word for word in table if word.islower()], n=3, cutoff=0.5)
    raise UsageError(
        f"unknown {family} {name!r}",
        saw=repr(name),
        want=f"one of {', '.join(sorted({word for word in table if word.islower()}))}",
        fix=f"did you mean {' or '.join(map(repr, near))}?" if near else None,
    )


# ---- what users register ------------------------------------------------------------------------


def register_keras_serializable(package="Custom", name=None):
    """Class or function decorator: known to `load_model` and `from_config` as `package>name`."""

    def decorate(member):
        if inspect.isclass(member) and not hasattr(member, "get_config"):
            raise UsageError(
                f"{member.__name__} cannot be registered", saw="a class without get_config()", want="get_config()"
            )
        key = f"{package}>{name or member.__name__}"
        _custom[key] = member
        _custom_names[member] = key
        return member

    return decorate


def get_registered_name(obj):
    """The name under which a class or function is written into files."""
    return _custom_names.get(obj, obj.__name__)


def get_registered_object(name, custom_objects=None, module_objects=None):
    """The class or function registered under a name, or None."""
    for table in (custom_objects or {}, _custom, module_objects or {}):
        if name in table:
            return table[name]
    return None


def get_custom_objects():
    """The live table of registered classes and functions; may be changed."""
    return _custom


@contextmanager
def custom_object_scope(custom_objects):
    """Within the block, the names in `custom_objects` are known to loading and to string arguments."""
    before = dict(_custom)
    _custom.update(custom_objects or {})
    try:
        yield
    finally:
        _custom.clear()
        _custom.update(before)


# ---- objects to configs and back ------------------------------------------------------------------


def to_config(value):
    """Keras's JSON form of an object; plain values and containers pass through, tuples become lists."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [to_config(item) for item in value]
    if isinstance(value, dict):
        return {key: to_config(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    if inspect.isfunction(value) or inspect.isbuiltin(value):
        return function_config(value)
    if hasattr(value, "get_config"):
        family = getattr(type(value), "family", None)
        builtin = _tables.get(family, {}).get(type(value).__name__) is type(value)
        written = {
            "module": getattr(value, "module", MODULES[family]) if builtin else None,
            "class_name": type(value).__name__,
            "config": value.get_config(),
            "registered_name": None if builtin else get_registered_name(type(value)),
        }
        build = value.get_build_config() if hasattr(value, "get_build_config") else None
        return {**written, "build_config": build} if build else written
    if callable(value) and hasattr(value, "__name__"):
        return function_config(value)
    raise UsageError(
        "this object cannot be written into a config",
        saw=f"{value!r} of type {type(value).__name__}",
        want="a plain value, or an object with get_config()",
    )


def function_config(function):
    """A function of ours is its name; a registered or custom one says so."""
    for family in ("activation", "loss", "metric", "initializer"):
        if _tables[family].get(function.__name__) is function:
            return function.__name__
    return {
        "module": "builtins",
        "class_name": "function",
        "config": get_registered_name(function),
        "registered_name": "function",
    }


def from_config(family, config, custom_objects=None):
    """The object that `to_config` wrote; class names are looked up in the closed tables only."""
    if config is None:
        return None
    if isinstance(config, str):
        return (custom_objects or {}).get(config) or find(family, config)
    if not isinstance(config, dict) or "class_name" not in config:
        raise UsageError(f"not a config of a {family}", saw=repr(config), want="a dict with class_name and config")
    name, inner = config["class_name"], config.get("config", {})
    registered = config.get("registered_name") or name
    if name == "function":
        name = registered = inner
        inner = {}
    for table in (custom_objects or {}, _custom):
        for key in (registered, name, f"Custom>{name}"):
            if key in table:
                return revive(table[key], inner)
    return revive(find(family, name), inner)


def revive(member, config):
    if not inspect.isclass(member):
        return member
    return member.from_config(config) if hasattr(member, "from_config") else member(**config)
