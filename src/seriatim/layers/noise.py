"""Layers that disturb what flows through them in training, and are nothing at rest.

Floor 2. The random bits are a pure function of (key, place), computed where they are used: `words`.
"""

import math
import operator
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.fields import Anything, DType, Format, Fraction, OptionalText, Seed
from ..base.report import UsageError
from ..kernels import serve
from ..kernels.noise import drop
from .layer import Layer
from .variable import is_traced

WORDS = 2**32  # how many 32-bit words there are


def words(key, shape):
    """Independent random 32-bit words, one for each place of `shape`: mix(mix(place ^ k0) ^ k1).

    k0, k1 are the words of the key, as JAX's fold_in made them; each place is mixed with them by two rounds of a
    multiply-and-shift permutation (of Wellons' search for such permutations, 2018), which fuses into the
    multiplication that follows. Dropout of (128, 512) on two cores of a CPU: 48 µs with these words, 299 with
    `jax.random.bernoulli`, 244 with uint16 from `jax.random.bits` (a full threefry block for each, however narrow),
    32 for the multiplication alone. Frequencies, correlations at lags and between keys, and the spectrum are as
    threefry's (tests/parity/test_plain_layers.py). Not for secrets.
    """
    first, second = key_words(key)
    place, stride = jnp.zeros(shape, np.uint32), 1
    for axis in reversed(range(len(shape))):
        place += jax.lax.broadcasted_iota(np.uint32, shape, axis) * np.uint32(stride % 2**32)
        stride *= shape[axis]
    return mix(mix(place ^ first) ^ second)


def key_words(key):
    """The first two words of a JAX key, new style or old."""
    data = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return data[0], data[1]


def mix(word):
    """A permutation of the 32-bit words in which every bit of the input turns half the bits of the output."""
    word = (word ^ (word >> np.uint32(16))) * np.uint32(0x21F0AAAD)
    word = (word ^ (word >> np.uint32(15))) * np.uint32(0xD35A2D97)
    return word ^ (word >> np.uint32(15))


def kept(key, shape, rate):
    """(mask, probability): booleans that are True with a probability of 1 − rate, and that probability exactly.

    The probability is a multiple of 2⁻³²; whoever divides by it has an expectation without bias.
    """
    threshold = chance(rate)
    if is_traced(rate):  # no number is above all words: where nothing is dropped, the last word is let in by hand
        share = jnp.maximum(threshold, 1).astype(np.float32) / np.float32(WORDS)
        return (words(key, shape) < threshold) | (threshold == np.uint32(WORDS - 1)), share
    return words(key, shape) < np.uint32(threshold), threshold / WORDS


def chance(rate):
    """The words below this number are the share 1 − rate of all. A traced rate is that number already."""
    return rate if is_traced(rate) else min(round((1 - rate) * WORDS), WORDS - 1)


def disturbs(strength):
    """Whether a layer of this strength does anything; a traced one might."""
    return is_traced(strength) or strength != 0


def normal(key, shape, dtype):
    """Normal numbers of mean 0 and variance 1: √2 · erf⁻¹(u), u the middle of one of 2²³ equal parts of (−1, 1)."""
    u = ((words(key, shape) >> np.uint32(9)).astype(np.float32) + 0.5) * np.float32(2**-22) - 1
    return (np.float32(np.sqrt(2)) * jax.lax.erf_inv(u)).astype(dtype)


def thinned(x, key, rate, noise_shape):
    """x / p where a draw of probability p = 1 − rate succeeds, 0 elsewhere; one draw for each place of noise_shape."""
    traced = is_traced(rate)
    if not traced and rate == 1:
        return jnp.zeros_like(x)
    if tuple(noise_shape) == x.shape and x.size and serve(x) and not traced:
        return drop(x, jnp.stack(key_words(key)), chance(rate), WORDS / chance(rate))
    mask, probability = kept(key, noise_shape, rate)
    scale = (1 / probability).astype(x.dtype) if traced else 1 / probability
    return jnp.where(jnp.broadcast_to(mask, x.shape), x * scale, jnp.zeros_like(x))


def filled(layer, shape):
    """The layer's noise_shape with None replaced by the sizes of the input; None is the whole shape of the input."""
    if layer.noise_shape is None:
        return shape
    sizes = tuple(n if wanted is None else wanted for wanted, n in zip(layer.noise_shape, shape, strict=False))
    offset = len(shape) - len(layer.noise_shape)
    if offset < 0 or any(n not in (1, size) for n, size in zip(sizes, shape[offset:], strict=True)):
        raise UsageError(
            f"{layer.name} ({type(layer).__name__}) has a noise_shape that does not fit its input",
            at=layer._birthplace, saw=f"noise_shape={layer.noise_shape}, an input of shape {shape}",
            want="1, None or the size of the input for each axis",
        )  # fmt: skip
    return sizes


class Seeded(Layer):
    """Abstract: a layer that draws. With a `seed`, its draws follow from that and the number of the step alone."""

    seed = None

    def own_key(self, call):
        return call.key_for(None if self.seed is None else self.seed_word())

    def seed_word(self):
        seed = getattr(self.seed, "initial_seed", self.seed)  # of a Keras SeedGenerator
        return seed if is_traced(seed) else np.uint32(operator.index(seed) % WORDS)

    def entering(self, name, number):
        """A seed as a word, so that the draws are the same."""
        return np.uint32(number % WORDS) if name == "seed" else super().entering(name, number)


class Noise(Seeded):
    """Abstract: y = x at rest; in training, `disturb(x, key)`."""

    masking = "pass"
    strength: ClassVar[str] = "rate"  # the argument that, at 0, switches the layer off

    def forward(self, w, x, call):
        if not call.training or not disturbs(getattr(self, self.strength)):
            return x
        return self.disturb(x, self.own_key(call))

    def entering(self, name, number):
        """A rate as the number of words that are let through."""
        return np.uint32(chance(number)) if name == "rate" else super().entering(name, number)

    def disturb(self, x, key):
        raise NotImplementedError


class Dropout(Noise):
    """y = x / (1 − rate), but 0 with probability `rate`, in training. Srivastava et al., 2014.

    `noise_shape` says which places share one draw: (None, 1, None) drops whole features of b t features.

    >>> Dropout(0.5)(jnp.ones((1, 3))).tolist()
    [[1.0, 1.0, 1.0]]
    """

    rate: Fraction
    noise_shape: Anything = None
    seed: Seed = None

    def validate(self):
        if self.noise_shape is None:
            return
        sizes = self.noise_shape if np.iterable(self.noise_shape) else ["not a shape"]
        if any(n is not None and (not isinstance(n, (int, np.integer)) or n <= 0) for n in sizes):
            raise UsageError(
                "Dropout(noise_shape=…) is not a shape",
                at=self._birthplace, saw=f"noise_shape={self.noise_shape!r}",
                want="a tuple of positive whole numbers and None, one for each axis of the input",
            )  # fmt: skip
        self.noise_shape = tuple(None if n is None else int(n) for n in sizes)

    def disturb(self, x, key):
        return thinned(x, key, self.rate, filled(self, x.shape))


class SpatialDropout(Noise):
    """Abstract: Dropout of whole channels, the same at every time step or place. Tompson et al., 2015."""

    def disturb(self, x, key):
        channels = 1 if getattr(self, "data_format", None) == "channels_first" else x.ndim - 1
        shape = [n if axis in (0, channels) else 1 for axis, n in enumerate(x.shape)]
        return thinned(x, key, self.rate, tuple(shape))

    def get_config(self):
        """As in Keras: neither `trainable` nor the policy, only the type of the weights."""
        config = super().get_config()
        config.pop("trainable")
        return {**config, "dtype": self.variable_dtype}


class SpatialDropout1D(SpatialDropout):
    """Dropout of whole features of b t features: a draw for each (b, feature)."""

    signature = "b t features -> b t features"

    rate: Fraction
    seed: Seed = None
    name: OptionalText
    dtype: DType


class SpatialDropout2D(SpatialDropout):
    """Dropout of whole feature maps of b h w c: a draw for each (b, c)."""

    signature = "b h w c -> b h w c"

    rate: Fraction
    data_format: Format = None
    seed: Seed = None
    name: OptionalText
    dtype: DType


class SpatialDropout3D(SpatialDropout):
    """Dropout of whole feature volumes of b d h w c: a draw for each (b, c)."""

    signature = "b d h w c -> b d h w c"

    rate: Fraction
    data_format: Format = None
    seed: Seed = None
    name: OptionalText
    dtype: DType


class GaussianNoise(Noise):
    """y = x + stddev · n, n normal, in training. stddev is from 0 to 1, as in Keras."""

    strength = "stddev"

    stddev: Fraction
    seed: Seed = None

    def disturb(self, x, key):
        return x + self.stddev * normal(key, x.shape, x.dtype)


class GaussianDropout(Noise):
    """y = x · (1 + √(rate / (1 − rate)) · n), n normal, in training. Srivastava et al., 2014.

    Mean and variance are those of Dropout(rate). A rate of 1 would have no finite noise.
    """

    rate: Fraction
    seed: Seed = None

    def disturb(self, x, key):
        below_one(self)
        if is_traced(self.rate):
            spread = jnp.sqrt(self.rate).astype(x.dtype)
        else:
            spread = math.sqrt(self.rate / (1 - self.rate))
        return x * (1 + spread * normal(key, x.shape, x.dtype))

    def entering(self, name, number):
        """The rate as the variance it makes."""
        if name != "rate":
            return super().entering(name, number)
        below_one(self, number)
        return np.float32(number / (1 - number))


class AlphaDropout(Noise):
    """y = a · (x, or α′ = −1.7581 with probability `rate`) + b, in training. Klambauer et al., 2017.

    a and b keep mean 0 and variance 1, which a chain of selu layers needs.
    """

    rate: Fraction
    noise_shape: Anything = None
    seed: Seed = None

    def disturb(self, x, key):
        below_one(self)
        low = -1.6732632423543772 * 1.0507009873554805  # what selu gives far below 0
        mask, probability = kept(key, filled(self, x.shape), self.rate)
        rate = 1 - probability
        a = (probability * (1 + rate * low**2)) ** -0.5
        b = -a * low * rate
        if is_traced(a):
            a, b = a.astype(x.dtype), b.astype(x.dtype)
        return a * jnp.where(mask, x, jnp.asarray(low, x.dtype)) + b

    def entering(self, name, number):
        if name == "rate":
            below_one(self, number)
        return super().entering(name, number)


def below_one(layer, rate=None):
    rate = layer.rate if rate is None else rate
    if not is_traced(rate) and rate == 1:
        raise UsageError(
            f"{layer.name} ({type(layer).__name__}) cannot drop everything",
            at=layer._birthplace, saw="rate=1", want="a rate below 1", fix="Dropout(1.0) gives zeros",
        )  # fmt: skip


registry.add(
    "layer", Dropout, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D, GaussianNoise, GaussianDropout, AlphaDropout
)
