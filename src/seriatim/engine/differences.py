"""Where the plans of two models of one architecture differ: numbers that one program may take as arrays.

Floor 3. `numbers_of` compares plans and finds the places; `vary` gives a plan whose places hold traced numbers. What
differs and is no number of a layer, a regularizer, a constraint, the loss or the optimizer, is refused by its name.
"""

import copy
import types
from typing import NamedTuple

import jax
import numpy as np

from ..base.config import Config
from ..base.fields import Optional, Real
from ..base.report import UsageError
from ..layers.custom import shell
from ..layers.layer import Layer
from ..layers.variable import Variable

INNER = {  # what a class written by a user has beside its own attributes
    "box", "name", "auto_named", "trainable", "built", "input_spec_shape", "declared_input", "declared_batch", "state",
    "changed", "_given", "_birthplace", "_built", "_policy", "_trainable", "_declared", "_build_ran", "_build_shape",
    "_children", "_penalties", "_context", "_original", "_supports_masking", "_eager", "_excluded", "_learning_rate",
    "_state", "_places", "_shapes", "_paths", "_variables",
}  # fmt: skip


class Place(NamedTuple):
    """A number in a plan: `part` of the plan, its `index` there, the inner layers, then attributes and keys."""

    part: str
    index: int | None
    layers: tuple
    path: tuple
    said: str  # the place in a user's words: "dropout_2 (Dropout), rate"


def numbers_of(plans):
    """(places, [the numbers of each plan]): where the plans differ from the first. A UsageError where they may not."""
    first, found = plans[0], {}
    for i, plan in enumerate(plans[1:], 1):
        for place, number in compare(first, plan, i):
            found.setdefault(place, {})[i] = number
    places = tuple(found)
    own = [number_at(first, place) for place in places]
    rows = [[found[place].get(i, own[j]) for j, place in enumerate(places)] for i in range(len(plans))]
    return places, [[entering(first, place, n) for place, n in zip(places, row, strict=True)] for row in rows]


def compare(first, other, member):
    """(place, number in `other`) for each number in which two plans differ."""
    if len(first.layers) != len(other.layers):
        raise differs("the number of layers", len(first.layers), len(other.layers), member)
    for i, (a, b) in enumerate(zip(first.layers, other.layers, strict=True)):
        yield from layer_numbers(Walk(member, "layers", i), a, b)
    if first.trainable != other.trainable:
        raise differs("which weights are trained", "some", "others", member)
    for part in ("penalties", "constraints"):
        mine, theirs = getattr(first, part), getattr(other, part)
        if [row[:2] for row in mine] != [row[:2] for row in theirs]:
            raise differs(f"which weights have {part}", "some", "others", member)
        for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            said = f"{first.layers[a[0]].name}/{a[1]}: {type(a[2]).__name__}"
            yield from Walk(member, part, i, (), said).into(a[2], b[2], (2,))
    for part in ("loss", "loss_weight", "optimizer"):
        yield from Walk(member, part, None, (), part).into(getattr(first, part), getattr(other, part), ())
    for (name, a, weighted), (other_name, b, other_weighted) in zip(first.metrics, other.metrics, strict=False):
        if (name, weighted) != (other_name, other_weighted) or list(Walk(member, "metrics", 0).into(a, b, ())):
            raise differs("the metrics", a, b, member)
    if len(first.metrics) != len(other.metrics):
        raise differs("the number of metrics", len(first.metrics), len(other.metrics), member)


def layer_numbers(walk, a, b):
    """The numbers in which two layers, and the layers inside them, differ."""
    walk = walk._replace(said=f"{a.name} ({type(a).__name__})")
    yield from walk.into(a, b, ())
    mine, theirs = a.children, b.children
    if mine.keys() != theirs.keys():
        raise differs(f"the layers inside {walk.said}", list(mine), list(theirs), walk.member)
    for name, child in mine.items():
        yield from layer_numbers(walk._replace(layers=(*walk.layers, name)), child, theirs[name])


class Walk(NamedTuple):
    """Two objects at the same place of two plans, compared argument by argument."""

    member: int
    part: str
    index: int | None
    layers: tuple = ()
    said: str = ""

    def into(self, a, b, path, real=False):
        """(place, number in b) for each number that differs; `real`: whole numbers count as numbers here."""
        if a is b:
            return
        if is_number(a) and is_number(b):
            yield from self.number(a, b, path, real)
        elif isinstance(a, types.FunctionType) and isinstance(b, types.FunctionType):
            self.function(a, b, path)
        elif type(a) is not type(b):
            raise differs(self.words(path), a, b, self.member)
        elif isinstance(a, (list, tuple, dict)):
            yield from self.entries(a, b, path, real)
        elif isinstance(a, (np.ndarray, jax.Array)):
            if not np.array_equal(a, b):
                raise differs(self.words(path), "an array", "another", self.member)
        elif isinstance(a, Config):
            yield from self.arguments(a, b, path)
        elif not same(a, b):
            raise differs(self.words(path), a, b, self.member)

    def number(self, a, b, path, real):
        if a != b:
            if not (real or isinstance(a, float) or isinstance(b, float)):
                raise differs(self.words(path), a, b, self.member)
            yield Place(self.part, self.index, self.layers, path, self.words(path)), b

    def entries(self, a, b, path, real):
        keys = [list(x) if isinstance(x, dict) else range(len(x)) for x in (a, b)]
        if keys[0] != keys[1]:
            raise differs(self.words(path), a, b, self.member)
        for key in keys[0]:
            yield from self.into(a[key], b[key], (*path, key), real)

    def arguments(self, a, b, path):
        """Of two objects of one class: the constructor's arguments; of a user's class, all that it holds."""
        names = [name for name in a.constructor if name != "name"]
        theirs = not type(a).__module__.startswith("seriatim.")
        for name, value in {**vars(b), **vars(a)}.items():
            if name not in INNER and name not in names and not _holds_layers(value):
                names += [name] if theirs or isinstance(value, types.FunctionType) else []
        for name in names:
            where = f"_{name}" if name == "learning_rate" and hasattr(a, "_learning_rate") else name
            mine, theirs = getattr(a, where, None), getattr(b, where, None)
            if _holds_layers(mine) or getattr(mine, "family", "") == "initializer":
                continue  # layers are met as children; first values are drawn already
            if where != name and isinstance(mine, float) and isinstance(theirs, float):
                continue  # a rate lies in the optimizer's state
            field = a.constructor[name].field if name in a.constructor else None
            field = field.inner if isinstance(field, Optional) else field
            yield from self.into(mine, theirs, (*path, where), isinstance(field, Real) or name == "seed")

    def function(self, a, b, path):
        """Two functions are the same if their code is, and all that the code has around it."""
        around = [(f.__code__, f.__defaults__, f.__kwdefaults__, [c.cell_contents for c in f.__closure__ or ()])
                  for f in (a, b)]  # fmt: skip
        if around[0][0] != around[1][0] or list(self.entries(around[0][1:], around[1][1:], path, False)):
            raise differs(self.words(path), a.__qualname__, f"{b.__qualname__}, with other code or values", self.member)

    def words(self, path):
        path = path[1:] if self.part in ("penalties", "constraints") else path
        inside = ".".join(str(key).lstrip("_") for key in path)
        return f"{self.said}, {inside}" if inside else self.said


def is_number(value):
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def same(a, b):
    try:
        return bool(a == b)
    except (TypeError, ValueError):
        return False


def _holds_layers(value):
    if isinstance(value, (list, tuple)):
        return any(_holds_layers(item) for item in value)
    if isinstance(value, dict):
        return any(_holds_layers(item) for item in value.values())
    return isinstance(value, (Layer, Variable))


def differs(what, a, b, member):
    return UsageError(
        f"the members of a population have one architecture; member {member} differs from member 0 in {what}",
        saw=f"{a!r} and {b!r}", want="the same value, or numbers with a fraction such as a rate, for all members",
        fix="train what differs in its shape in calls of its own",
    )  # fmt: skip


# ---- numbers, in and out of a plan ----------------------------------------------------------------------


def number_at(plan, place):
    thing = getattr(plan, place.part)
    if place.index is not None:
        thing = thing[place.index]
    for name in place.layers:
        thing = thing.children[name]
    for key in place.path:
        thing = thing[key] if isinstance(thing, (list, tuple, dict)) else getattr(thing, key)
    return thing


def entering(plan, place, number):
    """A number as it enters the program: float32, unless the layer says otherwise (`Layer.entering`)."""
    if place.part == "layers":
        layer = plan.layers[place.index]
        for name in place.layers:
            layer = layer.children[name]
        return layer.entering(place.path[0], number) if len(place.path) == 1 else np.float32(number)
    return np.float32(number)


def vary(plan, places, numbers):
    """The plan with `numbers` at the places; the layers and objects on the way are copies."""
    layers, changed = list(plan.layers), {}
    for place, number in zip(places, numbers, strict=True):
        if place.part == "layers":
            if place.index not in changed:
                layers[place.index] = changed[place.index] = shell(plan.layers[place.index])
            layer = layers[place.index]
            for name in place.layers:
                layer = layer.children[name]
            vars(layer).update({place.path[0]: put(vars(layer)[place.path[0]], place.path[1:], number)})
        elif place.index is not None:
            part = list(getattr(plan, place.part))
            part[place.index] = put(part[place.index], place.path, number)
            plan = plan._replace(**{place.part: tuple(part)})
        else:
            plan = plan._replace(**{place.part: put(getattr(plan, place.part), place.path, number)})
            if place.part == "optimizer":
                plan.optimizer.rule = no_rule
    return plan._replace(layers=tuple(layers))


def no_rule(rate, now):
    """No kernel: its constants are fixed when it is compiled."""
    return


def put(thing, path, number):
    """A copy of `thing` with the number at the end of the path."""
    if not path:
        return number
    key, *rest = path
    if isinstance(thing, dict):
        return {**thing, key: put(thing[key], rest, number)}
    if isinstance(thing, (list, tuple)):
        return type(thing)(put(item, rest, number) if i == key else item for i, item in enumerate(thing))
    twin = copy.copy(thing)
    vars(twin)[key] = put(getattr(thing, key), rest, number)
    return twin


__all__ = ["Place", "numbers_of", "vary"]
