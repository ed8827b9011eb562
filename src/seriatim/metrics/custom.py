"""Metrics written for Keras: `add_variable` declares, `update_state` counts, here on a shadow of the metric.

Floor 2. The shadow's box holds the arrays of a tally, traced or not, so `self.total.assign_add(…)` means what
the author thinks inside a compiled loop, and what was assigned is the next tally.
"""

import copy
import inspect

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry, settings
from ..base.report import UsageError
from ..math import initializers
from .variable import MetricVariable, plain

FACE = ("update_state", "result", "reset_state")


def adopt(cls):
    """Give a class that defines any of Keras's three methods the pure functions of a metric."""
    cls.zero, cls.add, cls.read = zero, add, read
    if "reset_state" in vars(cls):
        cls.again = again
    if "summable" not in vars(cls):
        cls.summable = False


# ---- the contract, by way of a shadow ----------------------------------------------------------------


def zero(self, y=None, p=None):
    """The tally after the author's `reset_state`; variables that a first batch creates are found by tracing one."""
    discover(self, y, p)
    ghost = shadow(self, self.first)
    with jax.ensure_compile_time_eval():
        ghost.reset_state()
    return {name: np.asarray(array) for name, array in ghost.tally.items()}


def again(self, tally):
    """The tally of a new epoch: the author's `reset_state` says what becomes of the old one."""
    ghost = shadow(self, tally)
    ghost.reset_state()
    return {name: jnp.asarray(array) for name, array in ghost.tally.items()}


def add(self, tally, y_true, y_pred, sample_weight=None):
    """The tally after the author's `update_state` on a shadow that holds `tally`."""
    ghost = shadow(self, tally)
    ghost.update_state(y_true, y_pred, **weighing(self, sample_weight))
    after = ghost.tally
    if after.keys() - tally.keys():
        raise UsageError(
            f"{self.name} creates variables in update_state",
            saw=f"new: {', '.join(sorted(after.keys() - tally.keys()))}",
            want="all variables from __init__, or a tally that zero(y, p) started",
        )
    return {name: after[name] for name in tally}


def read(self, tally):
    """The author's `result` on a shadow that holds `tally`."""
    return plain(shadow(self, tally).result())


def weighing(metric, sample_weight):
    """`sample_weight` by keyword, as Keras passes it; nothing if it is None and the method does not take it."""
    taken = inspect.signature(metric.update_state).parameters
    known = "sample_weight" in taken or any(p.kind is p.VAR_KEYWORD for p in taken.values())
    if not known and sample_weight is not None:
        raise UsageError(
            f"{metric.name} takes no sample_weight", saw=f"update_state({', '.join(taken)})",
            want="update_state(y_true, y_pred, sample_weight=None)",
        )  # fmt: skip
    return {"sample_weight": sample_weight} if known else {}


def discover(metric, y, p):
    """Trace one batch through the author's `update_state`, so that variables created there exist from now on."""
    if p is None or metric.__dict__.get("_discovered"):
        return
    before = metric.tally
    jax.eval_shape(lambda y, p: metric.update_state(y, p, **weighing(metric, None)), probe(y), probe(p))
    metric.put({**metric.first, **before})
    metric.__dict__["_discovered"] = True


def probe(like):
    """A shape without unknown axes."""
    dtype = getattr(like, "dtype", None) or settings.floatx()
    return jax.ShapeDtypeStruct(tuple(2 if size is None else size for size in like.shape), dtype)


# ---- shadows -------------------------------------------------------------------------------------------


def shadow(metric, tally):
    """A shallow copy of a metric whose box holds `tally`, and whose inner metrics are shadows of their own."""
    ghost = copy.copy(metric)
    children = metric.children
    prefixes = tuple(f"{name}/" for name in children)
    ghost.__dict__["box"] = {k: v for k, v in tally.items() if not (prefixes and k.startswith(prefixes))}
    ghost.__dict__["_first"] = dict(metric._first)
    twins = {id(metric): ghost}
    for name, child in children.items():
        twins[id(child)] = shadow(child, within(tally, name))
    for name, value in metric.__dict__.items():
        if name not in ("box", "_first", "_given"):
            ghost.__dict__[name] = rebind(value, twins)
    return ghost


def rebind(value, twins):
    """The same attribute, with this metric's variables and inner metrics replaced by the shadow's."""
    if isinstance(value, MetricVariable) and id(value.metric) in twins:
        return MetricVariable(twins[id(value.metric)], value.key)
    if id(value) in twins:
        return twins[id(value)]
    if type(value) in (list, tuple):
        return type(value)(rebind(item, twins) for item in value)
    if type(value) is dict:
        return {key: rebind(item, twins) for key, item in value.items()}
    return value


def inner_metrics(metric, kind):
    """The metrics an author has put into attributes, lists and dicts, in the order of the attributes."""
    found = {}

    def visit(name, value):
        if isinstance(value, kind):
            if value is not metric and not any(value is other for other in found.values()):
                found[name] = value
        elif type(value) in (list, tuple):
            for i, item in enumerate(value):
                visit(f"{name}.{i}", item)
        elif type(value) is dict:
            for key, item in value.items():
                visit(f"{name}.{key}", item)

    for name, value in metric.__dict__.items():
        if name not in ("box", "_first", "_given"):
            visit(name, value)
    return found


def within(tally, prefix):
    """The entries under `prefix/`, without it."""
    start = f"{prefix}/"
    return {name.removeprefix(start): array for name, array in tally.items() if name.startswith(start)}


# ---- Keras's add_variable --------------------------------------------------------------------------------


def add_variable(self, shape=(), initializer=None, dtype=None, aggregation="sum", name=None):
    """Ask for a running count and get the view that shows it (Keras's `Metric.add_variable`)."""
    if "box" not in self.__dict__:
        raise UsageError(
            f"{type(self).__name__} asks for a variable too early",
            saw="add_variable before super().__init__()", fix="call super().__init__(name=name) first",
        )  # fmt: skip
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    key, count = name or "variable", 0
    while key in self.box:
        count += 1
        key = f"{name or 'variable'}_{count}"
    self._first[key] = first_value(initializer, shape, jnp.dtype(dtype or settings.floatx()))
    self.box[key] = self._first[key]
    return MetricVariable(self, key)


def first_value(initializer, shape, dtype):
    """The first value of a variable as a NumPy array; zeros unless the initializer says otherwise."""
    if isinstance(initializer, (str, dict)):
        initializer = registry.from_config("initializer", initializer)
    initializer = initializers.Zeros() if initializer is None else initializer
    if inspect.isclass(initializer):
        initializer = initializer()
    if hasattr(initializer, "draw"):
        return np.asarray(initializer.draw(shape, np.random.default_rng(settings.next_seed()))).astype(dtype)
    if callable(initializer):
        with jax.ensure_compile_time_eval():
            return np.asarray(initializer(shape, dtype=dtype)).astype(dtype)
    return np.broadcast_to(np.asarray(initializer, dtype), shape).copy()
