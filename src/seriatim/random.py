"""`seriatim.random`: random arrays under Keras's names. An integer seed gives the same array each time.

Floor 6. The numbers are those of Keras on JAX for the same seed. Without a seed they come from Python's `random`; in a
layer's `call` during training, from the key of the step.
"""

import jax
import jax.numpy as jnp

from .base.report import UsageError
from .base.settings import floatx
from .layers.seeds import SeedGenerator, draw_seed


def kind(dtype, wanted, name, fix):
    """`dtype`, if it is of the wanted kind."""
    if not jnp.issubdtype(dtype, wanted):
        raise UsageError(f"random.{name} has no numbers of this type", saw=f"dtype={str(dtype)!r}", fix=fix)
    return dtype


def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normal numbers of this mean and standard deviation."""
    return jax.random.normal(draw_seed(seed), shape, dtype or floatx()) * stddev + mean


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Numbers spread evenly over [minval, maxval), of a floating-point type."""
    dtype = kind(dtype or floatx(), jnp.floating, "uniform", "randint draws whole numbers")
    return jax.random.uniform(draw_seed(seed), shape, dtype, minval, maxval)


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normal numbers, none further than two standard deviations from the mean."""
    return jax.random.truncated_normal(draw_seed(seed), -2.0, 2.0, shape, dtype or floatx()) * stddev + mean


def randint(shape, minval, maxval, dtype="int32", seed=None):
    """Whole numbers from minval to maxval − 1."""
    dtype = kind(dtype, jnp.integer, "randint", "uniform draws real numbers")
    return jax.random.randint(draw_seed(seed), shape, minval, maxval, dtype)


def categorical(logits, num_samples, dtype="int32", seed=None):
    """(b, classes) -> (b, num_samples) drawn classes."""
    logits = jnp.asarray(logits)
    if logits.ndim != 2:
        raise UsageError("categorical takes a row of logits for each sample", saw=str(logits.shape), want="two axes")
    shape = (len(logits), num_samples)
    return jax.random.categorical(draw_seed(seed), logits[..., None], axis=1, shape=shape).astype(dtype)


def dropout(inputs, rate, noise_shape=None, seed=None):
    """`inputs` with a share `rate` of entries set to 0, the others divided by 1 − rate."""
    inputs = jnp.asarray(inputs)
    if not 0 < rate < 1:
        return inputs * (1 - rate)
    shape = inputs.shape if noise_shape is None else noise_shape
    shape = [size if given is None else given for size, given in zip(inputs.shape, shape, strict=True)]
    keep = jax.random.bernoulli(draw_seed(seed), 1 - rate, shape)
    return jnp.where(keep, inputs / (1 - rate), 0)


def shuffle(x, axis=0, seed=None):
    """`x` with its slices along `axis` in random order."""
    return jax.random.permutation(draw_seed(seed), x, axis)


def gamma(shape, alpha, dtype=None, seed=None):
    """Numbers of the gamma distribution."""
    return jax.random.gamma(draw_seed(seed), alpha, shape, dtype or floatx())


def beta(shape, alpha, beta, dtype=None, seed=None):
    """Numbers of the beta distribution."""
    return jax.random.beta(draw_seed(seed), jnp.asarray(alpha), jnp.asarray(beta), shape, dtype or floatx())


def binomial(shape, counts, probabilities, dtype=None, seed=None):
    """Numbers of successes in `counts` trials."""
    return jax.random.binomial(
        draw_seed(seed), jnp.asarray(counts), jnp.asarray(probabilities), shape, dtype or floatx()
    )


__all__ = [
    "SeedGenerator", "beta", "binomial", "categorical", "dropout", "gamma", "normal", "randint", "shuffle",
    "truncated_normal", "uniform",
]  # fmt: skip
