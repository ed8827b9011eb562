"""Layers written for Keras: `build` and `add_weight` declare, `call` computes on a shadow of the layer.

Floor 2. One door for Keras's mutable habits: the shadow's box holds this call's arrays, so `self.kernel`
and `self.count.assign(…)` mean what the author thinks, and what was assigned comes back as `moved`.
"""

import copy
import inspect
from contextlib import nullcontext

import jax
import jax.numpy as jnp

from ..base.report import UsageError
from . import seeds
from .contract import PENALTY, Weight, under, within
from .variable import Variable, is_traced


def adopt(cls, base):
    """Give a class that defines `call` the contract of a declared layer; `super().call(x)` is what the library does."""
    if not cls.keras_style:
        cls.inherited = next(above for above in cls.__mro__[1:] if issubclass(above, base))
    cls.keras_style = True
    cls.declare, cls.apply, cls.next_mask = declare, apply, next_mask
    if "build" in vars(cls):
        cls.build = once(vars(cls)["build"])


def once(user_build):
    """The author's `build`, marking the layer as built as Keras does."""

    def build(self, *args, **kwargs):
        user_build(self, *args, **kwargs)
        self.__dict__["_build_ran"] = True
        self.__dict__.setdefault("_build_shape", args[0] if args else None)

    build.__wrapped__ = user_build
    return build


def declare(self, shape):
    """What `__init__` and `build(shape)` asked for through `add_weight`, then what the inner layers ask for."""
    if not self.__dict__.get("_build_ran"):
        self.__dict__["_build_ran"] = True
        self.build(shape)
        if any(not child.built for child in self.children.values()):
            probe = tuple(2 if size is None else size for size in shape)
            dtype = self.dtype_policy.compute_dtype
            jax.eval_shape(
                lambda x: apply(self, self.arrays, x, self.probe_call())[0], jax.ShapeDtypeStruct(probe, dtype)
            )
    found = list(self.__dict__.get("_declared", {}).values())
    for name, child in self.children.items():
        found += under(name, child.declare(child.input_spec_shape))
    return found


def build_inherited(self, shape):
    """Allocate what the library's class above declares for itself; inner layers ask for their own."""
    prefixes = tuple(f"{name}/" for name in self.children)
    if self.inherited is not self.layer_class:
        self.input_spec_shape = tuple(shape)
    for i, weight in enumerate(self.inherited.declare(self, shape)):
        if weight.name not in self.box and not (prefixes and weight.name.startswith(prefixes)):
            self.box[weight.name] = self.draw(weight, i)
            self.redeclare(weight)


def apply(self, w, x, call):
    """Run the author's `call` on a shadow that holds `w`; return its output and the state it assigned."""
    ghost = shadow(self, w, call)
    before_call = dict(ghost.__dict__)
    accepted = inspect.signature(type(self).call).parameters
    options = {}
    if "training" in accepted:
        options["training"] = call.training
    if "mask" in accepted:
        options["mask"] = call.mask
    with nullcontext() if call.root is None else seeds.drawing_in(call):
        y = ghost.call(x, **options)
    moved = {name: array for name, array in ghost.arrays.items() if name in w and array is not w[name]}
    note(self, ghost, before_call)
    penalties = ghost.penalties()
    if penalties:
        moved[PENALTY] = sum(penalties)
    return y, moved


def note(layer, ghost, before):
    """Keep what `call` wrote into plain attributes, unless it belongs to a program that is being compiled."""
    original = layer.__dict__.get("_original", layer)
    for name, value in ghost.__dict__.items():
        if name[0] == "_" or name == "box" or value is before.get(name, ghost):
            continue
        if not any(is_traced(leaf) for leaf in jax.tree.leaves(value)):
            original.__dict__[name] = value


def next_mask(self, x, mask):
    if type(self).compute_mask is not self.layer_class.compute_mask:
        return self.compute_mask(x, mask)
    if self.inherited.next_mask is not self.layer_class.next_mask:
        return self.inherited.next_mask(self, x, mask)
    return mask if self.supports_masking else None


def shadow(layer, w, call, views=False):
    """A shallow copy of a layer whose box holds `w`, and whose inner layers are shadows of their own.

    Attributes that were views of trainable arrays hold the arrays themselves, unless `views`.
    """
    ghost = copy.copy(layer)
    own = layer.__dict__
    state = {
        "_original": own.get("_original", layer),
        "_penalties": [],
        "_context": call,
        "box": {name: w[name] for name in layer.box if name in w} if w else dict(layer.box),
    }
    ghost.__dict__.update(state)
    twins = {id(layer): ghost}
    for position, (name, child) in enumerate(layer.children.items()):
        inner = None if call is None else call.at(position)
        twins[id(child)] = shadow(child, within(w, name), inner, views)
    for name, value in own.items():
        if name not in state and name not in ("_given", "_children"):
            ghost.__dict__[name] = _rebind(value, twins, views)
    return ghost


def shell(layer):
    """A copy of a layer without its arrays, so that a compiled program keeps no model alive."""
    ghost = shadow(layer, dict.fromkeys(layer.arrays), None, views=True)
    pile = [ghost]
    for twin in pile:
        for name in ("_original", "_penalties", "_context"):
            twin.__dict__.pop(name, None)
        pile += twin.children.values()
    return ghost


def _rebind(value, twins, views):
    """The same attribute, with this layer's variables and inner layers replaced by the shadow's."""
    if isinstance(value, Variable) and id(value.layer) in twins:
        twin, trainable = twins[id(value.layer)], value.weight is None or value.weight.trainable
        held = trainable and not views and value.key in twin.box
        return twin.box[value.key] if held else Variable.of(twin, value.key, value.weight)
    if id(value) in twins:
        return twins[id(value)]
    if type(value) in (list, tuple):
        return type(value)(_rebind(item, twins, views) for item in value)
    if type(value) is dict:
        return {key: _rebind(item, twins, views) for key, item in value.items()}
    return value


def inner_layers(layer, kind):
    """The layers an author has put into attributes, lists and dicts, in the order of the attributes."""
    found = {}

    def visit(name, value):
        if isinstance(value, kind):
            if value is not layer and not any(value is other for other in found.values()):
                found[name] = value
        elif type(value) in (list, tuple):
            for i, item in enumerate(value):
                visit(f"{name}/{i}", item)
        elif type(value) is dict:
            for key, item in value.items():
                visit(f"{name}/{key}", item)

    for name, value in list(vars(layer).items()):
        if name not in ("_given", "_original", "_context", "_children"):
            visit(name, value)
    return found


def add_weight(
    self, shape=None, initializer=None, dtype=None, trainable=True, autocast=True, regularizer=None,
    constraint=None, aggregation="none", overwrite_with_gradient=False, name=None,
):  # fmt: skip
    """Ask for an array and get the Variable that shows it (Keras's `Layer.add_weight`)."""
    if isinstance(shape, str):
        raise UsageError("add_weight takes the shape first", saw=f"add_weight({shape!r}, …)", fix=f"name={shape!r}")
    declared = self.__dict__.setdefault("_declared", {})
    shape = (shape,) if isinstance(shape, int) else tuple(shape or ())
    dtype = str(jnp.dtype(dtype)) if dtype is not None else self.dtype_policy.variable_dtype
    is_float = jnp.issubdtype(jnp.dtype(dtype), jnp.floating)
    if initializer is None:
        initializer = "glorot_uniform" if is_float else "zeros"
    weight = Weight(
        name=_free(name or "variable", declared), shape=shape, initializer=self.read_member("initializer", initializer),
        trainable=trainable, regularizer=self.read_member("regularizer", regularizer),
        constraint=self.read_member("constraint", constraint), dtype=dtype,
    )  # fmt: skip
    declared[weight.name] = weight
    self.box[weight.name] = self.draw(weight, len(declared))
    return Variable.of(self, weight.name, weight)


def _free(name, taken):
    candidate, count = name, 0
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    return candidate
