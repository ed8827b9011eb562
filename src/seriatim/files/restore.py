"""Bringing the arrays of a Record into a model: first every check, then every array, or none at all.

Floor 2 (no JAX). Arrays are found by their place in the file; in the older `.h5` layout by the order of
the layers, or by their names; in a safetensors file of another program by weight name (`dense/kernel`).
"""

import difflib
from typing import NamedTuple

import ml_dtypes
import numpy as np

from ..base.report import FileError
from .layout import assets, groups, legacy_views, own_method, slot_values, weight_names, word_for
from .record import refused

SHOWN = 10  # problems that one message lists


class Plan(NamedTuple):
    """What a load will do, before it does anything."""

    values: list  # (view, array), all of one shape and a type that can hold it
    stores: list  # (function, arrays): a layer's own load_own_variables, an optimizer's set_weights
    files: list  # (layer, {name: bytes})
    skipped: list  # sentences: what was left as it is
    extra: list  # places in the file that the model has no use for
    touched: list  # the layers that get new arrays

    def run(self):
        for view, array in self.values:
            view.assign(array)
        for function, store in self.stores:
            function(store)
        for layer, data in self.files:
            layer.set_assets(data)
        for layer in self.touched:
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()
        return self


def restore(model, record, where, optimizer=None, skip_mismatch=False, by_name=False, skip=()):
    """Set the arrays of `model` (and of `optimizer`) from a Record; returns the Plan that was run.

    Anything that does not fit raises a FileError that lists all of it, and nothing has changed. With
    `skip_mismatch` such arrays stay as they are and the Plan's `skipped` says which. Optimizer arrays that
    do not fit are always skipped, together: the optimizer starts afresh.
    """
    return plan(model, record, where, optimizer, skip_mismatch, by_name, skip).run()


def plan(model, record, where, optimizer=None, skip_mismatch=False, by_name=False, skip=()):
    work = Plan([], [], [], [], [], [])
    if "legacy" in record.meta:
        problems = _plan_legacy(model, record, where, by_name, work)
        slots = [record.arrays[path] for path in record.meta["legacy"]["optimizer"]]
    else:
        if by_name:
            raise FileError(
                "by_name needs a file in the older .h5 layout", saw=f"{where}", fix="leave by_name out", code="mismatch"
            )
        problems = _plan_places(model, record, where, skip, work)
        slots = numbered(record.arrays, "optimizer/vars")
    if problems and not skip_mismatch:
        raise mismatch(where, problems)
    work.skipped.extend(problems)
    if optimizer is not None and optimizer.built and slots:
        _plan_optimizer(optimizer, slots, work)
    return work


def mismatch(where, problems):
    lines = problems[:SHOWN] + ([f"… and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else [])
    return refused(
        where, "the arrays do not fit the model" if len(problems) > 1 else "an array does not fit the model",
        saw="\n   |         ".join(lines), want="a model of the same layers, in the same order",
        fix="skip_mismatch=True loads those that fit", code="mismatch",
    )  # fmt: skip


# ---- by place ---------------------------------------------------------------------------------------


def _plan_places(model, record, where, skip, work):
    """Find each array where the layout of `model` says it stands; returns what does not fit."""
    problems, used = [], set()
    names = weight_names(model)
    for group in groups(model, skip=skip):
        head = f"{group.path}/vars".lstrip("/")
        load = own_method(group.owner, "load_own_variables") if not getattr(group.owner, "store", "") else None
        here = {place.rpartition("/")[2]: place for place in record.arrays if place.rpartition("/")[0] == head}
        if load is not None:
            work.stores.append((load, {name: record.arrays[place] for name, place in here.items()}))
            used |= set(here.values())
            _plan_assets(group, record, work, problems)
            continue
        for place, view in group.places().items():
            word = word_for(view, names)
            key = next((key for key in (place, word, word.replace("/", ".")) if key in record.arrays), None)
            if key is None:
                near = difflib.get_close_matches(word, record.arrays, n=1, cutoff=0.7) if not here else []
                problems.append(f"{word} {view.shape} is not in the file" + (f" (but {near[0]} is)" if near else ""))
                continue
            used.add(key)
            _pair(view, record.arrays[key], word, work, problems)
        if len(here) > len(group.variables):
            problems.append(f"{group.name}: {len(here)} arrays in the file, {len(group.variables)} in the layer")
        _plan_assets(group, record, work, problems)
        if group.variables:
            work.touched.append(group.owner)
    work.extra.extend(place for place in record.arrays if place not in used and place.startswith(("layers/", "vars/")))
    return problems


def _pair(view, array, word, work, problems):
    if tuple(array.shape) != tuple(view.shape):
        problems.append(f"{word} is {tuple(array.shape)} in the file, {tuple(view.shape)} in the model")
    elif not holds(view.dtype, array):
        problems.append(f"{word} is {array.dtype} in the file; {view.dtype} cannot hold it")
    else:
        work.values.append((view, array))


def holds(dtype, array):
    """True if `dtype` can take the values: floats go to floats, and anything to what gives it back unchanged."""
    target = np.dtype(ml_dtypes.bfloat16) if str(dtype) == "bfloat16" else np.dtype(str(dtype))
    floats = [kind.kind == "f" or kind.name == "bfloat16" for kind in (target, array.dtype)]
    if all(floats) or target == array.dtype:
        return True
    with np.errstate(invalid="ignore"):
        return bool(np.array_equal(array.astype(target).astype(array.dtype), array))


def _plan_assets(group, record, work, problems):
    wanted = assets(group.owner) if not hasattr(group.owner, "set_assets") else True
    if not wanted:
        return
    head = f"{group.path}/" if group.path else ""
    files = {
        name.removeprefix(head): data
        for name, data in (record.meta.get("assets") or {}).items()
        if name.startswith(head) and "/" not in name.removeprefix(head)
    }
    if files:
        work.files.append((group.owner, files))


def numbered(arrays, head):
    """[arrays[head/0], arrays[head/1], …] as far as they go."""
    found = []
    while f"{head}/{len(found)}" in arrays:
        found.append(arrays[f"{head}/{len(found)}"])
    return found


# ---- by order, or by name: the older layout -----------------------------------------------------------


def _plan_legacy(model, record, where, by_name, work):
    """Pair the layers that have arrays, in order (or by their names); returns what does not fit."""
    order, problems = record.meta["legacy"], []
    saved = [(name, paths) for name, paths in order["layers"] if paths]
    layers = [layer for layer in model.layers if legacy_views(layer)]
    if by_name:
        index = {}
        for layer in layers:
            index.setdefault(layer.name, []).append(layer)
        pairs = [(layer, name, paths) for name, paths in saved for layer in index.get(name, [])]
        work.extra.extend(path for name, paths in saved if name not in index for path in paths)
    elif len(saved) != len(layers):
        return [
            f"{len(saved)} layers with arrays in the file: {', '.join(name for name, _ in saved)}",
            f"{len(layers)} in the model: {', '.join(layer.name for layer in layers)}",
        ]
    else:
        pairs = [(layer, name, paths) for layer, (name, paths) in zip(layers, saved, strict=True)]
    for layer, name, paths in pairs:
        views = legacy_views(layer)
        if len(views) != len(paths):
            problems.append(f"{name}: {len(paths)} arrays in the file, {len(views)} in {layer.name}")
            continue
        for view, path in zip(views, paths, strict=True):
            _pair(view, record.arrays[path], f"{layer.name}/{view.key}", work, problems)
        work.touched.append(layer)
    own = [view for view in model.weights if view.layer is model]
    if len(own) == len(order["top"]):
        for view, path in zip(own, order["top"], strict=True):
            _pair(view, record.arrays[path], view.key, work, problems)
    return problems


# ---- the optimizer --------------------------------------------------------------------------------------


def _plan_optimizer(optimizer, slots, work):
    """All arrays of the optimizer, or none: a file of Keras 2 has no array for the learning rate."""
    now = slot_values(optimizer)
    if len(now) == len(slots) + 1 and len(now) > 1 and not now[1].shape:
        slots = [slots[0], now[1], *slots[1:]]
    problem = None
    if len(now) != len(slots):
        problem = f"{len(slots)} arrays in the file, {len(now)} in the model"
    for i, (old, new) in enumerate(zip(now, slots, strict=False)):
        if old.shape != new.shape or not holds(old.dtype, new):
            problem = problem or f"array {i} is {new.shape} in the file, {old.shape} in the model"
    if problem:
        work.skipped.append(f"the optimizer starts afresh: {problem}")
    else:
        work.stores.append((optimizer.set_weights, slots))


__all__ = ["Plan", "plan", "restore"]
