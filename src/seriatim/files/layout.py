"""Where each array of a model stands in a file: Keras's tree of `layers/<class>[_k]/…/vars/<i>`.

Floor 2 (no JAX). Nothing here knows a class of layers: a layer has `name`, `weights` (views with `.key`
and `.layer`), `children` ({name: layer}; "0", "1", … are the places of a chain) and `store` (the group
inside its own that holds its arrays, such as the `cell` of an LSTM); and, if Keras's class writes arrays of
an inner layer a second time before its own, `echoes` (SpectralNormalization does, with the inner kernel).
"""

import re
from typing import Any, NamedTuple

import numpy as np

from ..base.names import snake
from .legacy import OPTIMIZER, TOP, WEIGHTS
from .record import Record

OURS = frozenset(("_given", "_original", "_context", "_children", "_declared", "_penalties", "_birthplace", "box"))


class Group(NamedTuple):
    """One `vars` group: its path, the name it carries, and the views of its arrays in order."""

    path: str  # "layers/dense"; "" for the model itself
    name: str | None
    owner: Any  # the layer, or the optimizer
    variables: list

    def places(self):
        """{path in the file: view}."""
        return {f"{self.path}/vars/{i}".lstrip("/"): v for i, v in enumerate(self.variables)}

    def values(self):
        return slot_values(self.owner) if hasattr(self.owner, "apply_gradients") else arrays_of(self.variables)


def arrays_of(views):
    return [np.asarray(view.numpy()) for view in views]


def slot_values(optimizer):
    """The arrays of an optimizer, all at once where it offers that."""
    return list(optimizer.get_weights()) if hasattr(optimizer, "get_weights") else arrays_of(optimizer.variables)


def groups(model, optimizer=None, skip=()):
    """All groups of a model in the order in which Keras writes them; layers in `skip` are left out.

    A layer that stands in two places is written once, at the first.
    """
    found, seen = [], {id(item) for item in skip}
    _visit(model, "", found, seen)
    if optimizer is not None and id(optimizer) not in seen:
        _visit_optimizer(optimizer, "optimizer", found)
    return found


def _visit(layer, path, found, seen):
    if id(layer) in seen:
        return
    seen.add(id(layer))
    own = [*getattr(layer, "echoes", ()), *(view for view in layer.weights if view.layer is layer)]
    store = getattr(layer, "store", "")
    found.append(Group(path, layer.name, layer, [] if store else own))
    if store:
        found.append(Group(f"{path}/{store}".lstrip("/"), store_name(layer), layer, own))
    for name, child in inside(layer):
        _visit(child, f"{path}/{name}".lstrip("/"), found, seen)


def _visit_optimizer(optimizer, path, found):
    found.append(Group(path, optimizer.name, optimizer, list(optimizer.variables)))
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        _visit_optimizer(inner, f"{path}/inner_optimizer", found)


def store_name(layer):
    """The name that Keras gives the object in `store`: `lstm_cell`, or `conv_lstm_cell` for a ConvLSTM2D."""
    ours = next((cls for cls in type(layer).__mro__ if cls.__module__.startswith("seriatim.")), type(layer))
    return f"{re.sub(r'[0-9]d$', '', snake(ours.__name__))}_{layer.store}"


# ---- what stands inside a layer ---------------------------------------------------------------------


def inside(layer):
    """[(path segment(s), layer)] of the layers inside, in Keras's order: attributes by name, private ones last.

    Within a list, tuple or dict the class names count, `dense`, `dense_1`, and a container inside it is
    `container`; so are the places of a chain, under `layers`.
    """
    children = layer.children
    if children and all(name.isdigit() for name in children):
        return list(_contained(list(children.values()), "layers", {id(child) for child in children.values()}))
    known = {id(child) for child in children.values()}
    found = []
    for name, value in sorted(attributes(layer, children), key=lambda item: (item[0].startswith("_"), item[0])):
        if id(value) in known:
            found.append((name, value))
        elif isinstance(value, (list, tuple, dict)):
            found += _contained(list(value.values()) if isinstance(value, dict) else value, name, known)
    return found


def attributes(layer, children):
    """(name, value) of the attributes where layers may stand: the declared ones, or all of an author's class."""
    if not getattr(layer, "keras_style", False):
        heads = {}
        for name, child in children.items():
            head, _, rest = name.partition("/")
            heads.setdefault(head, {} if rest else child)
            if rest:
                heads[head][rest] = child
        return [(head, _nested(value)) for head, value in heads.items()]
    base = getattr(layer, "layer_class", object)
    names = [name for name in dir(layer) if not name.startswith("__") and name not in OURS and not hasattr(base, name)]
    found = []
    for name in names:
        try:
            found.append((name, getattr(layer, name)))
        except Exception:  # an author's property may fail before the layer has run
            continue
    return found


def _nested(value):
    """{"0": a, "1/0": b} as the list it was: [a, [b]]."""
    if not isinstance(value, dict):
        return value
    items = {}
    for name, child in value.items():
        head, _, rest = name.partition("/")
        if rest:
            items.setdefault(head, {})[rest] = child
        else:
            items[head] = child
    return [_nested(item) for item in items.values()]


def _contained(container, path, known, seen=()):
    counts = {}

    def numbered(word):
        counts[word] = counts.get(word, -1) + 1
        return f"{path}/{word}_{counts[word]}" if counts[word] else f"{path}/{word}"

    for item in container:
        if id(item) in known:
            if type(item).__name__ != "InputLayer":
                yield numbered(snake(type(item).__name__)), item
        elif isinstance(item, (list, tuple, dict)) and id(item) not in seen:
            inner = list(item.values()) if isinstance(item, dict) else item
            yield from _contained(inner, numbered("container"), known, (*seen, id(item)))


# ---- out of a model -----------------------------------------------------------------------------------


def take(model, config=None, optimizer=None, skip=()):
    """The Record of a model in today's layout: what `.keras`, `.weights.h5` and `.safetensors` files hold."""
    found = groups(model, optimizer, skip)
    names = weight_names(model)
    arrays, words, files, about, used = {}, {}, {}, {}, set()
    for group in found:
        about[group.path] = group.name
        for place, array in stored(group).items():
            arrays[place] = array
        for place, view in group.places().items():
            word = word_for(view, names)
            if place in arrays and word not in used:
                words[place] = word
                used.add(word)
        for name, data in assets(group.owner).items():
            files[f"{group.path}/{name}".lstrip("/")] = data
    meta = {"groups": about, "names": words, "assets": files}
    return Record(config, arrays, meta)


def word_for(view, names):
    """`inner/dense/kernel` for a weight, `adam/dense_kernel_momentum` for an array of an optimizer."""
    layer = getattr(view, "layer", None)
    return f"{names[id(layer)]}/{view.key}".lstrip("/") if id(layer) in names else view.path


def stored(group):
    """{path: array} of a group; a layer with a `save_own_variables(store)` of its own says what that is."""
    save = own_method(group.owner, "save_own_variables")
    if save is None or not group.variables and getattr(group.owner, "store", ""):
        return dict(zip(group.places(), group.values(), strict=True))
    store = {}
    save(store)
    return {f"{group.path}/vars/{name}".lstrip("/"): np.asarray(value) for name, value in store.items()}


def own_method(owner, name):
    """A method that an author has written over the one of the base class; None otherwise."""
    base = getattr(owner, "layer_class", None)
    method = getattr(type(owner), name, None)
    return getattr(owner, name) if method is not None and method is not getattr(base, name, None) else None


def assets(owner):
    """{file name: bytes} that a layer keeps beside its arrays, such as a vocabulary."""
    return owner.get_assets() if hasattr(owner, "get_assets") else {}


def weight_names(model):
    """{id of a layer: "inner/dense"}: the names on the way to it, without the model's own."""
    found = {}

    def visit(layer, path):
        found.setdefault(id(layer), path)
        for child in layer.children.values():
            visit(child, f"{path}/{child.name}".lstrip("/"))

    visit(model, "")
    return found


def take_legacy(model, config=None, optimizer=None):
    """The Record of a model in the older `.h5` layout: by layer, trainable arrays first, under Keras's names."""
    names = weight_names(model)
    arrays, order = {}, []

    def put(group, word, value):
        place = f"{group}/{word}"
        while place in arrays:  # two layers of one name
            place += "_"
        arrays[place] = np.asarray(value)
        return place

    def word(view):
        inner = f"{store_name(view.layer)}/" if getattr(view.layer, "store", "") else ""
        path = f"{model.name}/{names[id(view.layer)]}".rstrip("/")
        return f"{path}/{inner}{view.key}"

    for layer in model.layers:
        group = f"{WEIGHTS}/{layer.name}"
        order.append((layer.name, [put(group, word(view), view.numpy()) for view in legacy_views(layer)]))
    own = [view for view in model.weights if view.layer is model]
    top = [put(f"{WEIGHTS}/{TOP}", word(view), view.numpy()) for view in own]
    slots = []
    if optimizer is not None:
        for i, (view, value) in enumerate(zip(optimizer.variables, slot_values(optimizer), strict=True)):
            slots.append(put(OPTIMIZER, getattr(view, "path", None) or f"{optimizer.name}/variable_{i}", value))
    return Record(config, arrays, {"legacy": {"layers": order, "top": top, "optimizer": slots}})


def legacy_views(layer):
    return [*layer.trainable_weights, *layer.non_trainable_weights]


__all__ = ["Group", "groups", "legacy_views", "take", "take_legacy"]
