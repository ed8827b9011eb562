"""The optimizer's update of all weights in one pass over memory, and the check that goes before it (update.cc).

Floor 1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from . import call


class Rule(NamedTuple):
    """A formula that has a kernel: its name, the numbers of this step (the rate first), the constants."""

    name: str
    numbers: tuple
    settings: tuple


def move(rule, finite, grads, weights, slots, decay):
    """(new weights, new slots), in place; where `finite` is False all stay as they are.

    grads, weights: lists of arrays; slots: a list of such lists. decay: a number for each weight, w ← w − w · decay ·
    rate before the formula.
    """
    moved = [*weights, *(array for rows in slots for array in rows)]
    out = call(
        f"update_{rule.name}", [array.shape for array in moved],
        jnp.asarray(finite, bool), jnp.stack([jnp.float32(x) for x in rule.numbers]), *grads, *moved,
        aliases={2 + len(grads) + i: i for i in range(len(moved))},
        decay=np.asarray(decay, np.float32), settings=np.asarray(rule.settings, np.float32),
    )  # fmt: skip
    n = len(weights)
    return out[:n], [out[n * (i + 1) : n * (i + 2)] for i in range(len(slots))]


def all_finite(arrays):
    """Whether every number is finite."""
    return call("update_all_finite", jax.ShapeDtypeStruct((), bool), *arrays)
