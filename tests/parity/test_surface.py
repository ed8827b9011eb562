"""Every public name of Keras 3.15.1 that a Sequential model can reach is here, with the same arguments and defaults.

`surface.txt` lists what is not, with the reason; it may only shrink: a line whose gap is closed fails the test.
"""

import fnmatch
import importlib
import inspect
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest

TABLE = Path(__file__).with_name("surface.txt")
MODULES = (
    "", "activations", "backend", "callbacks", "config", "constraints", "datasets", "dtype_policies", "initializers",
    "layers", "losses", "metrics", "models", "ops", "ops.image", "optimizers", "optimizers.schedules",
    "preprocessing.image", "preprocessing.sequence", "random", "regularizers", "saving", "tree", "utils",
    "utils.bounding_boxes",
)  # fmt: skip
OPEN_CLASSES = (
    "Sequential",
    "Layer",
    "Metric",
    "Loss",
    "Optimizer",
    "Initializer",
    "Regularizer",
    "callbacks.Callback",
)


@cache
def reasons():
    """[(pattern, reason)] of the table."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [tuple(part.strip() for part in line.split(" | ", 1)) for line in lines if line and line[0] != "#"]


def public(module):
    """{name: member} of a module of Keras."""
    place = importlib.import_module(f"keras.{module}".rstrip("."))
    names = [name for name in dir(place) if name[0] != "_" and name not in ("src", "version")]
    return {name: getattr(place, name) for name in names}


def ours(module):
    try:
        return importlib.import_module(f"seriatim.{module}".rstrip("."))
    except ModuleNotFoundError:
        return None


def parameters(member):
    """[(name, default, may stand by position)] without self; None if Python cannot tell."""
    try:
        found = inspect.signature(member).parameters.values()
    except (TypeError, ValueError):
        return None
    return [p for p in found if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name != "self"]


def equal(a, b):
    if callable(a) and callable(b):
        return True
    return a is b or bool(np.all(np.asarray(a, object) == np.asarray(b, object)))


def argument_gaps(name, theirs, mine):
    """`name(argument)` for each argument that is missing, in another place, or has another default."""
    wanted, have = parameters(theirs), parameters(mine)
    if wanted is None or have is None:
        return
    by_name = {p.name: p for p in have}
    places = [p.name for p in have if p.kind is not p.KEYWORD_ONLY]
    for place, p in enumerate(wanted):
        there = by_name.get(p.name)
        if there is None:
            yield f"{name}({p.name})"
        elif p.kind is not p.KEYWORD_ONLY and (place >= len(places) or places[place] != p.name):
            yield f"{name}({p.name}) in place {place}"
        elif not equal(p.default, there.default):
            yield f"{name}({p.name}={p.default!r})"


def member_gaps(module, name, theirs):
    full = f"{module}.{name}".lstrip(".")
    place = ours(module)
    if place is None or not hasattr(place, name):
        yield full
        return
    mine = getattr(place, name)
    if inspect.ismodule(theirs):
        return
    if inspect.isclass(theirs) and inspect.isclass(mine) and full in OPEN_CLASSES:
        for word in (word for word in vars_of(theirs) if word[0] != "_"):
            if not hasattr(mine, word) and word not in getattr(mine, "constructor", ()):
                yield f"{full}.{word}"
            elif inspect.isfunction(getattr(theirs, word)) and inspect.isfunction(getattr(mine, word, None)):
                yield from argument_gaps(f"{full}.{word}", getattr(theirs, word), getattr(mine, word))
    if callable(theirs):
        yield from argument_gaps(full, theirs, mine)


def vars_of(cls):
    """The public words of a class that Keras documents: its own and those of its bases inside Keras's surface."""
    hidden = ("KerasSaveable", "Operation", "Trainer", "object", "BackendLayer", "JaxLayer", "Functional")
    bases = [base for base in cls.__mro__ if base.__name__ not in hidden or base.__name__ == "Trainer"]
    return sorted({word for base in bases if base.__module__.startswith("keras.") for word in vars(base)})


def gaps():
    for module in MODULES:
        for name, theirs in public(module).items():
            if inspect.ismodule(theirs) and f"{module}.{name}".lstrip(".") in MODULES:
                continue
            yield from member_gaps(module, name, theirs)


@pytest.fixture(scope="module")
def found():
    return sorted(set(gaps()))


def test_every_gap_has_a_reason(found):
    patterns = [pattern for pattern, _ in reasons()]
    silent = [gap for gap in found if not any(fnmatch.fnmatchcase(gap, pattern) for pattern in patterns)]
    assert not silent, "\n".join(silent)


def test_every_reason_has_a_gap(found):
    idle = [pattern for pattern, _ in reasons() if not any(fnmatch.fnmatchcase(gap, pattern) for gap in found)]
    assert not idle, f"no longer missing, so take it out of {TABLE.name}: {idle}"
    assert all(len(reason) > 8 for _, reason in reasons())
    assert keras.__version__ == "3.15.1"
