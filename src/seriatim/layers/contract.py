"""The two words in which a layer speaks: a Weight it asks for, and the Call it runs in.

Floor 2. A layer declares weights and computes forward; everything else reads the declarations.
"""

from typing import Any, NamedTuple

import jax

from ..base.settings import next_seed

Array = Any  # a jax.Array, a numpy array, or a tracer
Shape = tuple[int | None, ...]
PENALTY = "penalty"  # the entry of `moved` that joins the loss
MASK = "mask"  # the entry of `moved` with the mask behind a chain inside a chain


def is_shape(value):
    """Whether this is one shape, not a tuple of several."""
    return isinstance(value, tuple) and all(item is None or isinstance(item, int) for item in value)


class Weight(NamedTuple):
    """One array that a layer asks for: declared here, allocated elsewhere."""

    name: str
    shape: tuple[int, ...]
    initializer: Any  # an Initializer, or a function (shape, dtype) -> array
    trainable: bool = True  # False: moves only through apply()
    regularizer: Any = None  # array -> scalar, joins the loss
    constraint: Any = None  # array -> array, after an update
    dtype: str | None = None  # None: the layer's variable dtype
    saved: bool = True  # False: not in files, nor in get_weights()


class Call(NamedTuple):
    """All that a layer may know about the moment it runs in."""

    training: bool = False  # static: two compiled programs
    root: Any = None  # the key of this step
    mask: Any = None  # (b, t) bool, True = real data
    path: tuple = ()  # where in the chain: folded into the key
    sketch: bool = False  # static: shapes are being derived, and sizes that the input leaves open are made up
    step: Any = None  # the number of this step, for layers with a seed of their own

    @property
    def key(self):
        """This layer's own random key: the step's key, folded with the layer's position."""
        return self.key_for(None)

    def key_for(self, seed):
        """The same for a layer with a seed: it follows from the seed, the number of the step and the position alone."""
        if seed is not None and self.step is not None:
            key = jax.random.fold_in(jax.random.key(seed), self.step)
        else:
            key = jax.random.key(next_seed()) if self.root is None else self.root
            key = key if seed is None else jax.random.fold_in(key, seed)
        for position in self.path:
            key = jax.random.fold_in(key, position)
        return key

    def at(self, position):
        """The same moment, one place further down (or in)."""
        return self._replace(path=(*self.path, position))


def within(arrays, prefix):
    """The entries under `prefix/`, without it: `{"a/kernel": k}` within `a` is `{"kernel": k}`."""
    start = f"{prefix}/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def under(prefix, arrays):
    """The same entries with `prefix/` before their names (a dict, or an iterable of Weights)."""
    if isinstance(arrays, dict):
        return {f"{prefix}/{name}": array for name, array in arrays.items()}
    return [weight._replace(name=f"{prefix}/{weight.name}") for weight in arrays]
