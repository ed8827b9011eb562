"""Where the random numbers of `seriatim.random` come from: seeds that move on.

Floor 2. Within a step that the library compiles, every draw follows the key of that layer and that step, so that no
draw becomes a constant of the compiled program; anywhere else, a `SeedGenerator` counts on by itself. A seed is a
pair of 32-bit numbers, Keras's: the same seed gives the same numbers as Keras on JAX.
"""

from contextlib import contextmanager
from contextvars import ContextVar

import jax
import jax.numpy as jnp
import numpy as np

from ..base import names, registry, settings
from ..base.report import UsageError
from .variable import Variable

_running = ContextVar("running", default=None)  # within a call of a layer: [the Call, how many draws]


@contextmanager
def drawing_in(call):
    """Within the block, every draw follows the keys of this moment."""
    token = _running.set([call, 0])
    try:
        yield
    finally:
        _running.reset(token)


class SeedGenerator:
    """A seed that moves on: each `next()` is another one.

    In a layer's `call` during training, what is drawn follows from the seed and the number of the step, or, without a
    seed, from the key of the step (Keras: from the generator's own state), so that any step can be replayed.
    """

    family = "seed"

    def __init__(self, seed=None, name=None, **kwargs):
        if kwargs:
            raise UsageError("Unrecognized keyword arguments", saw=str(kwargs), want="seed and name")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise UsageError("Argument `seed` must be an integer", saw=f"seed={seed!r}")
        self.seed, self.name = seed, name or names.fresh("seed_generator")
        first = self.initial_seed = settings.next_seed() if seed is None else int(seed)
        self.state = Variable(pair(first), trainable=False, name="seed_generator_state")

    def next(self, ordered=True):
        """A seed for one draw; the state moves on."""
        running = _running.get()
        if running is not None:
            running[1] += 1
            key = running[0].key_for(None if self.seed is None else np.uint32(int(self.seed) % 2**32))
            return jax.random.key_data(jax.random.fold_in(key, running[1]))
        now = self.state.numpy()
        new = now + np.array([0, 1], now.dtype) if ordered else (now.astype("uint64") + 1) * 5387 % 933199
        self.state.layer.box[self.state.key] = new.astype(now.dtype)  # plain NumPy: no tracer stays behind
        return jnp.asarray(now)

    def get_config(self):
        return {"seed": self.seed, "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


registry.add("seed", SeedGenerator)


def pair(seed):
    return np.array([int(seed) & 0xFFFFFFFF, 0], np.uint32)


_everywhere = {}


def global_seed_generator():
    """The generator of the draws that are given no seed: a new one after `set_random_seed`."""
    if settings.seedings() not in _everywhere:
        _everywhere.clear()
        _everywhere[settings.seedings()] = SeedGenerator()
    return _everywhere[settings.seedings()]


def draw_seed(seed):
    """The two numbers of a draw, from a whole number, a SeedGenerator, such numbers, a JAX key, or None."""
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if isinstance(seed, jax.Array):
        return jax.random.key_data(seed) if jnp.issubdtype(seed.dtype, jax.dtypes.prng_key) else seed
    if seed is None:
        return global_seed_generator().next(ordered=False)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise UsageError(
            "Argument `seed` must be either an integer or an instance of `SeedGenerator`", saw=f"seed={seed!r}"
        )
    return jnp.asarray(pair(seed))
