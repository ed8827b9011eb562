"""Everything that is fixed while training, gathered once: the layers, the objective, what moves.

Floor 3. Two models of the same architecture have equal plans, and so share their compiled programs.
"""

import copy
import json
from typing import Any, NamedTuple

import jax

from ..base.registry import to_config
from ..base.report import SeriatimErrors
from ..layers.custom import shell


class Plan(NamedTuple):
    """What a program is compiled for. `trainable` holds, for each layer, the names of its params."""

    layers: tuple
    trainable: tuple
    penalties: tuple  # (layer, name, regularizer)
    constraints: tuple  # (layer, name, constraint)
    loss: Any = None
    loss_weight: float = 1.0
    optimizer: Any = None
    metrics: tuple = ()  # (name, metric, whether it takes sample weights)
    eager: bool = False  # True: the step runs as Python, for prints and debuggers in a user's layer
    fingerprint: Any = None


def make_plan(layers, *, loss=None, loss_weight=1.0, optimizer=None, metrics=(), eager=False):
    """The plan of a built chain and what `compile` said about it."""
    owned = [list(layer.leaves()) for layer in layers]
    trainable = tuple(frozenset(name for name, v in part if v.trainable) for part in owned)
    moving = [(i, name, v.weight) for i, part in enumerate(owned) for name, v in part if v.trainable and v.weight]
    fingerprint = (
        tuple(identity(layer) for layer in layers), trainable, identity(loss), float(loss_weight),
        identity(optimizer), tuple((name, identity(metric), weighted) for name, metric, weighted in metrics), eager,
    )  # fmt: skip
    return Plan(
        layers=tuple(shell(layer) for layer in layers),
        trainable=trainable,
        penalties=tuple((i, name, w.regularizer) for i, name, w in moving if w.regularizer is not None),
        constraints=tuple((i, name, w.constraint) for i, name, w in moving if w.constraint is not None),
        loss=loss, loss_weight=loss_weight, optimizer=stateless(optimizer), metrics=tuple(metrics),
        eager=eager, fingerprint=fingerprint,
    )  # fmt: skip


def stateless(optimizer):
    """A copy of the optimizer without its arrays."""
    twin = copy.copy(optimizer)
    if optimizer is not None:
        twin.state = None
    return twin


def split(plan, arrays):
    """(params, state): what the optimizer moves, and what the layers move."""
    params = tuple({n: a for n, a in w.items() if n in names} for w, names in zip(arrays, plan.trainable, strict=True))
    state = tuple(
        {n: a for n, a in w.items() if n not in names} for w, names in zip(arrays, plan.trainable, strict=True)
    )
    return params, state


def merge(params, state):
    """All arrays of each layer again."""
    return tuple({**p, **s} for p, s in zip(params, state, strict=True))


# ---- what makes two plans equal ---------------------------------------------------------------------


def identity(member):
    """Equal for members that compile to the same program: class and configuration, without names or rates."""
    if member is None or isinstance(member, (str, int, float)):
        return member
    if not hasattr(member, "get_config"):
        return member
    if getattr(member, "keras_style", False) and getattr(member, "family", "") == "layer":
        return member  # code written by a user may read any attribute
    try:
        written = member.program_config() if hasattr(member, "program_config") else to_config(member)
        config = json.dumps(_nameless(written), sort_keys=True, default=repr)
    except SeriatimErrors:
        return member
    functions = tuple(v for v in vars(member).values() if callable(v) and not hasattr(v, "get_config"))
    flags = tuple(getattr(child, "trainable", None) for child in getattr(member, "children", {}).values())
    inner = tuple(identity(child) for child in getattr(member, "children", {}).values())
    return type(member), config, functions, flags, inner


def _nameless(value):
    if isinstance(value, (list, tuple)):
        return [_nameless(item) for item in value]
    if not isinstance(value, dict) or value.get("class_name") in ("DTypePolicy", "DTypePolicyMap"):
        return value  # the name of a policy is what it says
    dtype = value.get("dtype")
    mapped = isinstance(dtype, dict) and dtype.get("class_name") == "DTypePolicyMap"  # then the name decides the policy
    return {k: _nameless(v) for k, v in value.items() if mapped or not _passing(k, v)}


def _passing(key, value):
    return key in ("name", "shared_object_id") or (key == "learning_rate" and isinstance(value, (int, float)))


def avals(tree):
    """Shapes and dtypes in the place of arrays."""
    return jax.tree.map(_aval, tree)


def _aval(leaf):
    dtype = (
        leaf.dtype
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended)
        else jax.dtypes.canonicalize_dtype(leaf.dtype)
    )
    return jax.ShapeDtypeStruct(leaf.shape, dtype)
