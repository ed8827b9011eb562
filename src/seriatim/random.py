"""`seriatim.random`: random arrays under Keras's names. An integer seed gives the same array each time.

Floor 6. `SeedGenerator` moves on with every use; without a seed, one is drawn from Python's `random`.
"""

import jax
import jax.numpy as jnp

from .base.settings import floatx, next_seed


class SeedGenerator:
    """A seed that moves on: each `next()` is a new key."""

    def __init__(self, seed=None, name=None, **kwargs):
        self.seed = next_seed() if seed is None else int(seed)
        self.name, self.count = name or "seed_generator", 0

    def next(self, ordered=True):
        self.count += 1
        return jax.random.fold_in(jax.random.key(self.seed), self.count)

    def get_config(self):
        return {"seed": self.seed}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def key_of(seed):
    """A JAX key from an integer, a SeedGenerator, a key, or None."""
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if isinstance(seed, jax.Array):
        return seed
    return jax.random.key(next_seed() if seed is None else int(seed))


def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normal numbers of this mean and standard deviation."""
    return mean + stddev * jax.random.normal(key_of(seed), shape, dtype or floatx())


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Numbers spread evenly over [minval, maxval)."""
    dtype = jnp.dtype(dtype or floatx())
    if jnp.issubdtype(dtype, jnp.integer):
        return jax.random.randint(key_of(seed), shape, int(minval), int(maxval), dtype)
    return jax.random.uniform(key_of(seed), shape, dtype, minval, maxval)


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normal numbers, none further than two standard deviations from the mean."""
    return mean + stddev * jax.random.truncated_normal(key_of(seed), -2.0, 2.0, shape, dtype or floatx())


def randint(shape, minval, maxval, dtype="int32", seed=None):
    """Whole numbers from minval to maxval − 1."""
    return jax.random.randint(key_of(seed), shape, minval, maxval, dtype)


def categorical(logits, num_samples, dtype="int32", seed=None):
    """(b, classes) -> (b, num_samples) drawn classes."""
    drawn = jax.random.categorical(key_of(seed), logits[:, None, :], axis=-1, shape=(len(logits), num_samples))
    return drawn.astype(dtype)


def dropout(inputs, rate, noise_shape=None, seed=None):
    """`inputs` with a share `rate` of entries set to 0, the others divided by 1 − rate."""
    keep = jax.random.bernoulli(key_of(seed), 1 - rate, noise_shape or inputs.shape)
    return jnp.where(keep, inputs / (1 - rate), 0)


def shuffle(x, axis=0, seed=None):
    """`x` with its slices along `axis` in random order."""
    return jax.random.permutation(key_of(seed), x, axis)


def gamma(shape, alpha, dtype=None, seed=None):
    """Numbers of the gamma distribution."""
    return jax.random.gamma(key_of(seed), alpha, shape, dtype or floatx())


def beta(shape, alpha, beta, dtype=None, seed=None):
    """Numbers of the beta distribution."""
    return jax.random.beta(key_of(seed), alpha, beta, shape, dtype or floatx())


def binomial(shape, counts, probabilities, dtype=None, seed=None):
    """Numbers of successes in `counts` trials."""
    return jax.random.binomial(key_of(seed), counts, probabilities, shape, dtype or floatx())


__all__ = [
    "SeedGenerator", "beta", "binomial", "categorical", "dropout", "gamma", "normal", "randint", "shuffle",
    "truncated_normal", "uniform",
]  # fmt: skip
