"""A Config's constructor is its configuration: annotated arguments, in Keras's order, with defaults.

Floor 0. From the annotations come the constructor, its checks, its signature, `get_config`,
`from_config`, `repr` as source, equality of configuration, and the place in the user's code.
"""

import difflib
import inspect
from typing import ClassVar, get_args, get_origin

from .fields import Anything, Field, Refused
from .registry import to_config
from .report import BadArgument, birthplace

REQUIRED = inspect.Parameter.empty


class Argument:
    """One argument of a constructor: its name, its field, its default, and whether it is by keyword only."""

    __slots__ = ("name", "field", "default", "keyword")

    def __init__(self, name, field, default, keyword):
        self.name, self.field, self.default, self.keyword = name, field, default, keyword

    def parameter(self):
        kind = inspect.Parameter.KEYWORD_ONLY if self.keyword else inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Parameter(self.name, kind, default=self.default)


class Config:
    """Base of everything that is built from arguments: layers, losses, metrics, optimizers, …

    A subclass annotates its arguments with the types of `base.fields`:

        class Dropout(Layer):
            rate: Fraction
            seed: Seed = None

    Class variables are annotated with `ClassVar`. A class with an `__init__` of its own adds no
    arguments (that is how classes written for Keras look) and still gets `get_config`.
    """

    family: ClassVar[str] = ""
    constructor: ClassVar[dict] = {}

    def __init_subclass__(cls, keyword=False, **rest):
        super().__init_subclass__(**rest)
        found = dict(cls.constructor)
        if keyword or "__init__" not in vars(cls):
            for name, hint in inspect.get_annotations(cls).items():
                if get_origin(hint) is ClassVar or hint is ClassVar:
                    continue
                fields = [part for part in get_args(hint) if isinstance(part, Field)]
                if not fields:
                    continue
                inherited = found.pop(name) if name in found and found[name].keyword and not keyword else None
                default = vars(cls).get(name, inherited.default if inherited else REQUIRED)
                found[name] = Argument(name, fields[0], default, keyword)
            for name, argument in found.items():  # a bare `strides = (1, 1)` changes the default only
                if name in vars(cls) and argument.default is not vars(cls)[name]:
                    found[name] = Argument(name, argument.field, vars(cls)[name], argument.keyword)
        cls.constructor = dict(sorted(found.items(), key=lambda item: item[1].keyword))
        if "__init__" not in vars(cls):
            cls.__signature__ = inspect.Signature([a.parameter() for a in cls.constructor.values()])

    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls)
        self.__dict__["_given"] = (args, kwargs)
        self.__dict__["_birthplace"] = birthplace()
        return self

    def __init__(self, *args, **kwargs):
        for name, value in self.bind(args, self.translate(dict(kwargs))).items():
            setattr(self, name, self.accept(name, value))
        self.validate()

    def translate(self, kwargs):
        """Older words for arguments, mapped to today's. Most classes have none."""
        return kwargs

    def validate(self):
        """What must hold between arguments. Most classes have nothing to say."""

    # ---- from arguments to attributes ---------------------------------------------------------

    @classmethod
    def bind(cls, args, kwargs):
        """Name every argument: {name: value}, defaults filled in; a UsageError if one is unknown or missing."""
        known = cls.constructor
        places = [name for name, argument in known.items() if not argument.keyword]
        if len(args) > len(places):
            raise BadArgument(
                f"{cls.__name__}() got too many arguments",
                at=birthplace(), saw=f"{len(args)} by position",
                want=f"at most {len(places)}: {', '.join(places) or 'none'}",
            )  # fmt: skip
        values = dict(zip(places, args, strict=False))
        for name, value in kwargs.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                raise BadArgument(
                    f"{cls.__name__}() has no argument {name!r}",
                    at=birthplace(), saw=f"{name}={value!r}", want=", ".join(known),
                    fix=f"did you mean {near[0]!r}?" if near else None,
                )  # fmt: skip
            if name in values:
                raise BadArgument(f"{cls.__name__}() got {name!r} twice", at=birthplace(), saw=f"{name}={value!r}")
            values[name] = value
        missing = [n for n, a in known.items() if a.default is REQUIRED and n not in values]
        if missing:
            raise BadArgument(
                f"{cls.__name__}() needs {', '.join(missing)}",
                at=birthplace(), saw=f"{cls.__name__}({', '.join(map(repr, args))})",
                want=f"{cls.__name__}{cls.__signature__}" if "__signature__" in vars(cls) else None,
            )  # fmt: skip
        return {name: values.get(name, argument.default) for name, argument in known.items()}

    def accept(self, name, value):
        """What the attribute of an argument holds for `value`; a UsageError if its field refuses it."""
        field = self.constructor[name].field
        try:
            return field.read(value, self)
        except Refused:
            raise BadArgument(
                f"{type(self).__name__}({name}=…) cannot be {value!r}",
                at=birthplace(), saw=f"{name}={value!r}", want=field.want,
            ) from None  # fmt: skip

    def argument(self, name):
        """What the attribute of an argument holds."""
        return getattr(self, name)

    # ---- and back -------------------------------------------------------------------------------

    def get_config(self):
        """The arguments as plain JSON values, under Keras's names and in Keras's order."""
        config = {name: a.field.write(self.argument(name)) for name, a in self.constructor.items()}
        return {**config, **self._own_init_config()}

    def _own_init_config(self):
        """What a class with an `__init__` of its own was given, if it left `get_config` to us."""
        init = type(self).__init__
        if init is Config.__init__ or type(self).get_config is not own_get_config(type(self)):
            return {}
        args, kwargs = self._given
        given = inspect.signature(init).bind(self, *args, **kwargs)
        given.apply_defaults()
        values = {}
        for name, parameter in list(inspect.signature(init).parameters.items())[1:]:
            named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if named and name not in self.constructor:
                values[name] = to_config(given.arguments[name])
        return values

    @classmethod
    def from_config(cls, config):
        """The object that `get_config` described."""
        return cls(**config)

    def source(self):
        """Python source that builds an equal object; arguments at their default are left out."""
        parts, by_place = [], True
        for name, argument in self.constructor.items():
            value, default = self.argument(name), argument.default
            if default is not REQUIRED and same(argument.field, value, self.accept(name, default)):
                by_place = False
                continue
            text = argument.field.source(value)
            by_place = by_place and not argument.keyword and default is REQUIRED
            parts.append(text if by_place else f"{name}={text}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def __repr__(self):
        return self.source()


def own_get_config(cls):
    """The nearest `get_config` that belongs to the library, not to a user's class."""
    for base in cls.__mro__:
        if base.__module__.startswith("seriatim.") and "get_config" in vars(base):
            return vars(base)["get_config"]
    return None


def same(field, value, default):
    return value is default or field.write(value) == field.write(default)


__all__ = ["Anything", "Argument", "Config", "REQUIRED"]
