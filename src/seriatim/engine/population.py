"""Many members of one architecture in one program: the loop of `step.train_chunk`, for a stack of states.

Floor 3. A member is one entry of every array's first axis; each has its own order of the data and its own number of
steps (0: it rests). Two ways to run them, with the same results within rounding: *together*, where `vmap` makes each
operation one over all members, and *in turns*, where the program takes one member after another, with kernels.
"""

import functools
import os
import weakref

import jax
import jax.numpy as jnp
import numpy as np

from .. import kernels
from ..base.report import UsageError
from ..layers.contract import is_shape
from . import cache, step
from .differences import vary
from .programs import Programs

SMALL = 50_000  # products a step of a member, below which a CPU is faster with all members in one operation
UNTRACEABLE = (jax.errors.JAXTypeError, jax.errors.JAXIndexError)
_shared = weakref.WeakValueDictionary()


# ---- the programs -----------------------------------------------------------------------------------------


def train_members(plan, places, together, size, states, numbers, data, order, base, stop):
    """Each member's steps on `stop` batches of `size` rows from row `base` of its order. stop: int32 (members,).

    data: the rows of all, once; order: int32 (members, rows), or None for as they are; numbers: an array (members,)
    for each place in which the members' plans differ.
    """
    if together:
        return train_together(plan, places, size, states, numbers, data, order, base, stop)

    def one(row):
        ts, numbers, order, stop = row
        own = vary(plan, places, numbers)
        return jax.lax.fori_loop(
            0, stop, lambda i, ts: step.train_rows(own, size, ts, data, order, base + i * size), ts
        )

    return jax.lax.map(one, (states, numbers, order, stop))


def train_together(plan, places, size, states, numbers, data, order, base, stop):
    """The same with the loop over the steps outside, and a member that has no more steps kept as it is."""

    def one(ts, numbers, order, stop, i):
        new = step.train_rows(vary(plan, places, numbers), size, ts, data, order, base + i * size)
        return jax.tree.map(lambda n, o: jnp.where(i < stop, n, o), new, ts)

    def all_of_them(i, states):
        return jax.vmap(functools.partial(one, i=i))(states, numbers, order, stop)

    return jax.lax.fori_loop(0, jnp.max(stop), all_of_them, states)


def test_members(plan, places, together, size, arrays, numbers, tallies, data, order, base, stop):
    """Each member's tally after `stop` batches of `size` rows, and what stateful layers moved."""

    def one(arrays, numbers, tally, order, stop):
        own = vary(plan, places, numbers)

        def body(i, now):
            tally, arrays = now
            return step.test_step(own, arrays, tally, step.rows(data, order, base + i * size, size))

        return jax.lax.fori_loop(0, stop, body, (tally, arrays))

    rows = (arrays, numbers, tallies, order, stop)
    return jax.vmap(one)(*rows) if together else jax.lax.map(lambda row: one(*row), rows)


def read_members(plan, places, together, tallies):
    """{name: values (members, …)}"""
    return jax.vmap(functools.partial(step.read_tally, plan))(tallies)


class PopulationPrograms(Programs):
    """The compiled programs of a population, by kind and shape."""

    donate = {"train_members": (0,)}
    kinds = {"train_members": train_members, "test_members": test_members, "read_members": read_members}

    def __init__(self, plan, places, together):
        super().__init__(plan)
        self.places, self.together = places, together

    def compile(self, kind, size, shapes):
        head = (self.plan, self.places, self.together, *([] if size is None else [size]))
        function = functools.partial(self.kinds[kind], *head)
        if kind != "read_members":
            shapes = (shapes[0], tuple(weak(n) for n in shapes[1]), *shapes[2:])
        traced = kernels.served(function, wanted=not self.together)
        try:
            lowered = jax.jit(traced, donate_argnums=self.donate.get(kind, ())).lower(*shapes)
        except UNTRACEABLE as error:
            raise self.refusal(function, shapes) or error from error
        return cache.compiled(lowered)

    def refusal(self, function, shapes):
        """A UsageError that names the first place which cannot be traced by itself; None if all can."""
        for i, place in enumerate(self.places):
            alone = functools.partial(function.func, self.plan, (place,), *function.args[2:])
            try:
                jax.eval_shape(alone, shapes[0], (shapes[1][i],), *shapes[2:])
            except UNTRACEABLE:
                return UsageError(
                    f"{place.said} differs between the members, but decides what is compiled", saw=place.said,
                    want="the same value for all members", fix="one call of fit_many for each value",
                )  # fmt: skip
        return None


def weak(shape):
    """A number that takes the dtype of what it meets, as Python's floats do; a word of a random draw stays one."""
    weak_type = jnp.issubdtype(shape.dtype, jnp.floating)
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype, weak_type=weak_type)


def programs_for(plan, places, together):
    """The programs of this population, or of an equal one that is still in use."""
    key = (plan.fingerprint, places, together)
    found = _shared.get(key)
    if found is None:
        found = _shared[key] = PopulationPrograms(plan, places, together)
    return found


# ---- who runs where ------------------------------------------------------------------------------------------


def is_together(plan, shapes, params, rows):
    """Whether one operation for all members beats one member after another: always, but not on a CPU.

    There it does for the smallest models only, whose steps cost less than starting them; beyond, the kernels are
    faster, and members in turns can be split over the cores.
    """
    if jax.default_backend() != "cpu":
        return True
    products = 0
    for shape, weights in zip(shapes, params, strict=False):
        places = np.prod([n or 1 for n in shape[1:-1]]) if is_shape(shape) else 1
        products += rows * places * sum(np.size(w) for w in weights.values())
    return products <= SMALL and not any(layer.convolves for layer in plan.layers)


def shares(members, together):
    """The members of each program that runs beside the others: one program for all, or one a core."""
    cores = 1 if together else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    size = -(-members // min(members, cores))
    return [range(start, min(start + size, members)) for start in range(0, members, size)]


def stacked(trees):
    """One tree with a first axis for the members, from one tree for each."""
    return jax.tree.map(lambda *leaves: _stack(leaves), *trees)


def _stack(leaves):
    if isinstance(leaves[0], jax.Array) and jnp.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
        return jnp.stack(leaves)
    return jnp.asarray(np.stack([np.asarray(leaf) for leaf in leaves]))


def on_host(tree):
    """The same tree as NumPy arrays of its own."""
    return jax.tree.map(np.array, tree)


def member_of(tree, i):
    """The tree of member i, with arrays of its own, out of a stack on the host."""
    return jax.tree.map(lambda leaf: leaf[i].copy(), tree)
