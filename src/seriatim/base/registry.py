"""Which name means which class: one closed table a family, and nothing is ever imported by name.

Floor 0. `add` fills a table at the end of the file that defines its members; `find` reads it;
`to_config` / `from_config` turn an object into Keras's `{module, class_name, config, …}` and back.
Classes that users register stand in a table of their own, under `package>name`.
"""

import difflib
import inspect
from contextlib import contextmanager

import numpy as np

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
    "policy": "keras.dtype_policies",
    "seed": "keras.random",
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


def to_config(value, typed=False):
    """Keras's JSON form of an object; plain values and containers pass through, arrays become lists.

    With `typed`, arrays and functions say what they are: `{"class_name": "__numpy__", "config": {"value": …, …}}`.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        items = [to_config(item, typed) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: to_config(item, typed) for key, item in value.items()}
    if hasattr(value, "tolist"):
        if not (typed and value.ndim):
            return value.tolist()
        kind = "numpy" if isinstance(value, np.ndarray) else "tensor"
        return special(kind, value=np.asarray(value).tolist(), dtype=str(value.dtype))
    if inspect.isfunction(value) or inspect.isbuiltin(value):
        return function_config(value, short=not typed)
    if hasattr(value, "get_config"):
        return object_config(value, typed)
    if callable(value) and hasattr(value, "__name__"):
        return function_config(value, short=not typed)
    if isinstance(value, bytes):
        return special("bytes", value=value.decode())
    if isinstance(value, slice):
        ends = {"start": value.start, "stop": value.stop, "step": value.step}
        return special("slice", **to_config(ends, typed))
    if value is Ellipsis:
        return special("ellipsis")
    raise UsageError(
        "this object cannot be written into a config",
        saw=f"{value!r} of type {type(value).__name__}",
        want="a plain value, or an object with get_config()",
    )


def special(name, **config):
    """Keras's form of a value that JSON has no word for."""
    return {"class_name": f"__{name}__", "config": config}


def object_config(value, typed=False):
    """The form of an object with `get_config()`."""
    family = getattr(type(value), "family", None)
    builtin = _tables.get(family, {}).get(type(value).__name__) is type(value)
    written = {
        "module": getattr(value, "module", MODULES[family]) if builtin else None,
        "class_name": type(value).__name__,
        "config": to_config(value.get_config(), typed),
        "registered_name": None if builtin else get_registered_name(type(value)),
    }
    build = value.get_build_config() if hasattr(value, "get_build_config") else None
    return {**written, "build_config": build} if build else written


def function_config(function, short=True):
    """A function of ours is its name, if `short`; a registered or custom one says so."""
    for family in ("activation", "loss", "metric", "initializer"):
        if short and _tables[family].get(function.__name__) is function:
            return function.__name__
    return {
        "module": "builtins",
        "class_name": "function",
        "config": get_registered_name(function),
        "registered_name": "function",
    }


class NotAConfig(UsageError, TypeError):
    """A config whose parts are of the wrong type."""


def from_config(family, config, custom_objects=None):
    """The object that `to_config` wrote; class names are looked up in the closed tables only.

    A config that names one of Keras's modules is looked up in the family of that module first: a layer may stand
    where an activation is wanted.
    """
    if config is None:
        return None
    if isinstance(config, str):
        return (custom_objects or {}).get(config) or find(family, config)
    if not isinstance(config, dict) or "class_name" not in config:
        raise UsageError(f"not a config of a {family}", saw=repr(config), want="a dict with class_name and config")
    name, inner = config["class_name"], config.get("config", {})
    wanted = str if name == "function" else dict
    if not isinstance(inner, wanted):
        raise NotAConfig(f"the config of a {name} holds no {wanted.__name__}", saw=f"config={inner!r}")
    if name == "function":
        return custom_member((inner, f"Custom>{inner}"), custom_objects, inner) or builtin_function(config, family)
    given = config.get("registered_name") or name
    member = custom_member((given, name, f"Custom>{name}"), custom_objects)
    return revive(member or builtin_class(config, family), inner)


def custom_member(names, custom_objects, last=None):
    """What a user registered under one of these names (or, as older files say it, under `package>last`), or None."""
    tables = (custom_objects or {}, _custom)
    found = [table[name] for table in tables for name in names if name in table]
    found += [table[key] for table in tables for key in table if last and key.endswith(f">{last}")]
    return found[0] if found else None


def builtin_class(config, family):
    name = config["class_name"]
    place = family_of(config.get("module"))
    member = _tables[place].get(name) if place else None
    return own_name(config, name, find(family, name) if member is None else member)


def builtin_function(config, family):
    """A function of ours by its name: of the family, else of any."""
    name = config["config"]
    found = [_tables[place][name] for place in (family, *MODULES) if name in _tables[place]]
    function = next((member for member in found if not inspect.isclass(member)), None)
    if function is None and name not in _tables[family]:
        raise UsageError(
            f"unknown function {name!r}", saw=repr(name), want="a function of the library, or one that is registered",
            fix=f"custom_objects={{{name!r}: your_function}}",
        )  # fmt: skip
    return own_name(config, name, revive(find(family, name), {}) if function is None else function)


def own_name(config, name, member):
    """The member, if its config does not claim that it is a registered one."""
    claimed = config.get("registered_name")
    if claimed and claimed not in (name, config["class_name"]):
        raise UsageError(
            f"{name} is a name of the library, and nothing is registered as {claimed!r}", saw=f"{claimed!r}",
            want=f"the class that was registered as {claimed!r}, imported before the file is read",
        )  # fmt: skip
    return member


def family_of(module):
    """`"keras.optimizers.schedules"` is the module of a "schedule"; None if it names no family."""
    parts = (module or "").split(".")
    words = {path.rpartition(".")[2]: family for family, path in MODULES.items()}
    found = [words[part] for part in parts if part in words]
    return "schedule" if "schedule" in found else found[0] if found else None


def revive(member, config):
    if not inspect.isclass(member):
        return member
    return member.from_config(config) if hasattr(member, "from_config") else member(**config)


SPECIAL = {
    "__numpy__": lambda inner: np.array(inner["value"], inner["dtype"]),
    "__tensor__": lambda inner: np.array(inner["value"], inner["dtype"]),
    "__bytes__": lambda inner: inner["value"].encode(),
    "__slice__": lambda inner: slice(*(deserialize(inner[end]) for end in ("start", "stop", "step"))),
    "__ellipsis__": lambda inner: Ellipsis,
}


def deserialize(config, custom_objects=None):
    """What `to_config(value, typed=True)` wrote, whatever it was; objects that were built are built again."""
    if isinstance(config, str):
        return custom_member((config,), custom_objects) or config
    if isinstance(config, (list, tuple)):
        return [deserialize(item, custom_objects) for item in config]
    if config is None or isinstance(config, (bool, int, float)):
        return config
    if not isinstance(config, dict):
        raise NotAConfig("this is no config", saw=f"{config!r} of type {type(config).__name__}")
    if not {"class_name", "config"} <= config.keys():
        return {key: deserialize(item, custom_objects) for key, item in config.items()}
    if config["class_name"] in SPECIAL:
        return SPECIAL[config["class_name"]](config["config"])
    with custom_object_scope(custom_objects):
        found = from_config(family_of(config.get("module")) or family_with(config["class_name"]), config)
        shape = (config.get("build_config") or {}).get("input_shape")
        if shape and not getattr(found, "built", True):
            found.build(tuple(shape))
    return found


def family_with(name):
    """The first family with a member of this name."""
    return next((family for family in MODULES if name in _tables[family]), "layer")
