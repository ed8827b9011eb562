"""Types of arguments as data: a check, a phrase for the message, and a bad example for the tests.

Floor 0. A `Config` class annotates its arguments with these; `read` turns what the user wrote into
what the attribute holds (`3` -> `(3, 3)`, `"relu"` -> the function), `write` gives the JSON form back.
"""

import inspect
import operator
from typing import Annotated, Any

from . import registry, settings
from .policy import DTypePolicy, read_policy, write_policy


class Refused(Exception):
    """A field does not take this value; the Config adds the names and reports."""


class Field:
    """Anything at all. Subclasses narrow it."""

    want: str = "any value"
    bad: Any = None  # a value that must be refused; None: nothing is

    def read(self, value, owner):
        return value

    def write(self, value):
        return registry.to_config(value)

    def source(self, value):
        """The value as Python source, for `repr`."""
        return repr(self.write(value)) if not isinstance(value, tuple) else repr(value)


class Optional(Field):
    """None, or what the inner field takes."""

    def __init__(self, inner):
        self.inner, self.bad, self.want = inner, inner.bad, f"{inner.want} or None"

    def read(self, value, owner):
        return None if value is None else self.inner.read(value, owner)

    def write(self, value):
        return None if value is None else self.inner.write(value)


class Whole(Field):
    """A whole number, at least `least`."""

    bad = 1.5

    def __init__(self, least=None):
        self.least = least
        self.want = {None: "a whole number", 1: "a positive whole number", 0: "a whole number, 0 or more"}.get(
            least, f"a whole number, {least} or more"
        )
        if least is not None:
            self.bad = least - 1

    def read(self, value, owner):
        try:
            number = operator.index(value)
        except TypeError:
            raise Refused from None
        if isinstance(value, bool) or (self.least is not None and number < self.least):
            raise Refused
        return number


class Real(Field):
    """A number between `least` and `most`."""

    bad = "wide"

    def __init__(self, least=None, most=None, want=None):
        self.least, self.most = least, most
        bounds = f"{least} or more" if most is None else f"from {least} to {most}"
        self.want = want or ("a number" if least is None else f"a number, {bounds}")
        if least is not None:
            self.bad = least - 1

    def read(self, value, owner):
        if isinstance(value, (str, bool)) or not hasattr(value, "__float__"):
            raise Refused
        number = value if isinstance(value, (int, float)) else float(value)
        if (self.least is not None and not number >= self.least) or (self.most is not None and not number <= self.most):
            raise Refused
        return number


class Flag(Field):
    """True or False."""

    want, bad = "True or False", "maybe"

    def read(self, value, owner):
        if value not in (True, False):
            raise Refused
        return bool(value)


class Word(Field):
    """A string."""

    want, bad = "a string", 7

    def read(self, value, owner):
        if not isinstance(value, str):
            raise Refused
        return value


class OneOf(Field):
    """One of a few words (any letter case)."""

    bad = "no such word"

    def __init__(self, *words):
        self.words, self.want = words, " or ".join(map(repr, words))

    def read(self, value, owner):
        value = value.lower() if isinstance(value, str) and value.lower() in self.words else value
        if value not in self.words:
            raise Refused
        return value


class DataFormat(Field):
    """channels_last or channels_first; None is the setting of `config.image_data_format()`."""

    want, bad = "'channels_last', 'channels_first' or None", "channels_middle"

    def read(self, value, owner):
        value = settings.image_data_format() if value is None else value
        if value not in ("channels_last", "channels_first"):
            raise Refused
        return value


class Shape(Field):
    """A tuple of whole numbers and None."""

    want, bad = "a tuple of sizes, such as (28, 28, 1)", "wide"

    def read(self, value, owner):
        if isinstance(value, int) and not isinstance(value, bool):
            value = (value,)
        try:
            return tuple(None if size is None else operator.index(size) for size in value)
        except TypeError:
            raise Refused from None

    def write(self, value):
        return tuple(value)


class Sizes(Field):
    """One positive whole number for every spatial axis, or a tuple of `owner.rank` of them."""

    bad = 0

    def __init__(self, least=1):
        self.least = least
        self.want = "a positive whole number, or one for each spatial axis"

    def read(self, value, owner):
        rank = owner.rank
        sizes = (value,) * rank if not isinstance(value, (tuple, list)) else tuple(value)
        if len(sizes) != rank:
            raise Refused
        return tuple(Whole(self.least).read(size, owner) for size in sizes)

    def write(self, value):
        return tuple(value)


class Named(Field):
    """A member of a family: its name, its config dict, the object itself, or a callable."""

    def __init__(self, family, default=None):
        self.family, self.default, self.bad = family, default, "no such name"
        self.want = f"the name of a {family}, a {family} object, or a function"

    def read(self, value, owner):
        if value is None:
            return None if self.default is None else registry.find(self.family, self.default)
        if isinstance(value, (str, dict)):
            value = registry.from_config(self.family, value)
        if inspect.isclass(value):
            value = value()
        if not callable(value):
            raise Refused
        return value

    def write(self, value):
        return None if value is None else registry.to_config(value)

    def source(self, value):
        return source(value)


class Policy(Field):
    """A dtype policy: a name, an object, a config dict, or None for the global one."""

    want, bad = "the name of a dtype policy, such as 'float32'", "no_such_dtype"

    def read(self, value, owner):
        return read_policy(value)

    def write(self, value):
        return write_policy(value)

    def source(self, value):
        return repr(value.name) if isinstance(value, DTypePolicy) else repr(value)


def source(value):
    """Python source of a member of a family, as short as it can be said."""
    if value is None:
        return "None"
    written = registry.to_config(value)
    if isinstance(written, str):
        return repr(written)
    if hasattr(value, "source"):
        text = value.source()
        short = registry.snake(text[:-2])
        known = text.endswith("()") and registry.table(value.family).get(short) is type(value)
        return repr(short) if known else text
    return getattr(value, "__name__", repr(value))


PositiveInt = Annotated[int, Whole(1)]
NonNegativeInt = Annotated[int, Whole(0)]
Int = Annotated[int, Whole()]
Fraction = Annotated[float, Real(0, 1)]
NonNegative = Annotated[float, Real(0)]
Number = Annotated[float, Real()]
Bool = Annotated[bool, Flag()]
Text = Annotated[str, Word()]
OptionalText = Annotated[str | None, Optional(Word())]
OptionalInt = Annotated[int | None, Optional(Whole())]
OptionalNumber = Annotated[float | None, Optional(Real())]
Anything = Annotated[Any, Field()]
Axes = Annotated[Any, Field()]
Seed = Annotated[Any, Field()]
Format = Annotated[str | None, DataFormat()]
Padding = Annotated[str, OneOf("valid", "same")]
SpatialSizes = Annotated[Any, Sizes()]
OptionalSizes = Annotated[Any, Optional(Sizes())]
Dims = Annotated[Any, Shape()]
OptionalDims = Annotated[Any, Optional(Shape())]
Activated = Annotated[Any, Named("activation", default="linear")]
Initial = Annotated[Any, Named("initializer")]
Regular = Annotated[Any, Named("regularizer")]
Constrained = Annotated[Any, Named("constraint")]
DType = Annotated[str | DTypePolicy | None, Policy()]
