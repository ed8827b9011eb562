"""Initializers: the first value of a weight, drawn with NumPy, so that nothing is compiled to start up.

Floor 1. Members write `values(shape, rng)`; seeds, dtypes and Keras's `__call__` are general. The
distributions are Keras's, the bits are not: Keras's own differ between its backends, ours never do.
"""

import math
import operator
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry, settings
from ..base.config import Config
from ..base.fields import Anything, Axes, Bool, Number, OneOf, Optional, Seed
from ..base.report import UsageError

FLOAT = np.float32  # of the drawing; a weight's own dtype comes after
TRUNCATED = 0.87962566103423978  # the standard deviation of a normal cut off at ±2: scipy.stats.truncnorm.std(-2, 2)
Mode = Annotated[str, OneOf("fan_in", "fan_out", "fan_avg")]
Distribution = Annotated[str, OneOf("truncated_normal", "untruncated_normal", "uniform", "normal")]
Side = Annotated[str, OneOf("real", "imag")]
Scaling = Annotated[str | None, Optional(OneOf("density", "spectrum"))]


class Initializer(Config):
    """values(shape, rng) -> array. Subclass it as in Keras: `__call__(shape, dtype=None)`, `get_config()`.

    >>> Constant(2.0)((2, 2)).tolist()
    [[2.0, 2.0], [2.0, 2.0]]
    """

    family: ClassVar[str] = "initializer"

    def values(self, shape, rng):
        """A NumPy array of `shape`; what is random in it comes from `rng`."""
        raise NotImplementedError(f"{type(self).__name__} defines neither values nor __call__")

    def draw(self, shape, rng, dtype="float32"):
        """The first value of a weight, as a NumPy array; a seed of the initializer's own goes before `rng`."""
        if type(self).__call__ is not Initializer.__call__:
            return np.asarray(self(shape, dtype=dtype))
        return self.values(shape, rng if self.unseeded else self.generator())

    def __call__(self, shape, dtype=None):
        """The array for `shape`, in `dtype` or `config.floatx()`: at every call the same, but for a SeedGenerator."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        return jnp.asarray(self.values(shape, self.generator()), jnp.dtype(dtype or settings.floatx()))

    unseeded: ClassVar[bool] = True

    def generator(self):
        """The random numbers of this instance; most have none."""

    def clone(self):
        """An initializer with the same config: the same values if it has a seed, others if not."""
        return type(self).from_config(self.get_config())


# ---- constant -----------------------------------------------------------------------------------


class Zeros(Initializer):
    """0 everywhere."""

    def values(self, shape, rng):
        return np.zeros(shape, FLOAT)


class Ones(Initializer):
    """1 everywhere."""

    def values(self, shape, rng):
        return np.ones(shape, FLOAT)


class Constant(Initializer):
    """The given value everywhere; an array is spread over the shape as in arithmetic."""

    value: Anything = 0.0

    def values(self, shape, rng):
        value = np.asarray(self.value)
        try:
            return np.array(np.broadcast_to(value, shape))
        except ValueError:
            raise UsageError(
                "this Constant does not fit the weight", saw=f"a value of shape {value.shape}", want=f"shape {shape}"
            ) from None

    def get_config(self):
        return {"value": registry.to_config(self.value, typed=True)}

    @classmethod
    def from_config(cls, config):
        return cls(read_array(config.get("value", 0.0)))


class Identity(Initializer):
    """gain on the diagonal of a matrix, 0 elsewhere. (Keras 3.15.1 leaves gain out of the config, and so loses it.)"""

    gain: Number = 1.0

    def values(self, shape, rng):
        if len(shape) != 2:
            raise UsageError("Identity fills matrices", saw=f"shape {shape}", want="2 axes")
        return self.gain * np.eye(*shape, dtype=FLOAT)

    def get_config(self):
        return {} if self.gain == 1.0 else super().get_config()


class STFT(Initializer):
    """cos (or sin) of −2π · time · frequency, times a window: a convolution with it is a Fourier transform.

    Shape (frame_length, channels, fft_length // 2 + 1). `scaling="density"` divides by the root of the
    window's energy, "spectrum" by its sum. Computed in float64; Keras computes in the weight's dtype.
    """

    side: Side = "real"
    window: Anything = "hann"
    scaling: Scaling = "density"
    periodic: Bool = False

    def validate(self):
        if isinstance(self.window, str) and self.window not in WINDOWS:
            raise UsageError(
                f"unknown window {self.window!r}", at=self._birthplace, saw=repr(self.window),
                want=f"{', '.join(sorted(WINDOWS))}, an array, or None",
            )  # fmt: skip

    def values(self, shape, rng):
        frame_length, _, bins = shape
        time, frequency = np.arange(frame_length), np.arange(bins) / max(2 * (bins - 1), 1)
        angle = -2 * np.pi * np.outer(time, frequency)
        kernel = np.cos(angle) if self.side == "real" else np.sin(angle)
        if self.window is not None:
            taper = self.taper(frame_length)
            scale = {None: 1.0, "density": np.sqrt(np.sum(taper**2)), "spectrum": np.sum(np.abs(taper))}[self.scaling]
            kernel = kernel * taper[:, None] / scale
        return np.array(np.broadcast_to(kernel[:, None, :], shape))

    def taper(self, frame_length):
        if isinstance(self.window, str):
            return spectral_window(self.window, frame_length, self.periodic)
        taper = np.asarray(self.window, np.float64)
        if taper.shape != (frame_length,):
            raise UsageError(
                "the window has another length than the frame", saw=f"a window of shape {taper.shape}",
                want=f"({frame_length},)",
            )  # fmt: skip
        return taper


# ---- random -------------------------------------------------------------------------------------


class RandomInitializer(Initializer):
    """An initializer with a seed: a whole number, a SeedGenerator, or None (a fresh one when it is built)."""

    def validate(self):
        self._init_seed = self.seed  # what was given: goes into the config
        self.seed = read_seed(self.seed)

    @property
    def unseeded(self):
        return self.__dict__.get("_init_seed") is None

    def argument(self, name):
        return self.__dict__.get("_init_seed") if name == "seed" else super().argument(name)

    def generator(self):
        if isinstance(self.seed, int):
            return np.random.default_rng(self.seed % 2**64)
        key = self.seed.next()
        words = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
        return np.random.default_rng(np.asarray(words).astype(np.uint64).tolist())


class RandomNormal(RandomInitializer):
    """Normal, with a mean and a standard deviation."""

    mean: Number = 0.0
    stddev: Number = 0.05
    seed: Seed = None

    def values(self, shape, rng):
        return self.mean + self.stddev * rng.standard_normal(shape, FLOAT)


class TruncatedNormal(RandomInitializer):
    """Normal, drawn again wherever it is more than two stddev from the mean (so it spreads by 0.88 stddev)."""

    mean: Number = 0.0
    stddev: Number = 0.05
    seed: Seed = None

    def values(self, shape, rng):
        return self.mean + self.stddev * truncated_normal(shape, rng)


class RandomUniform(RandomInitializer):
    """Uniform from minval to maxval."""

    minval: Number = -0.05
    maxval: Number = 0.05
    seed: Seed = None

    def values(self, shape, rng):
        return self.minval + (self.maxval - self.minval) * rng.random(shape, FLOAT)


class VarianceScaling(RandomInitializer):
    """Mean 0 and variance scale / fan, so that a sum over the fan keeps its size. He et al., 2015.

    `input_axes`, `output_axes`: which axes the fans are the product of, where the shape alone does not
    say (a kernel of an attention head).
    """

    scale: Number = 1.0
    mode: Mode = "fan_in"
    distribution: Distribution = "truncated_normal"
    seed: Seed = None
    input_axes: Axes = None
    output_axes: Axes = None

    def __init_subclass__(cls, fixed=None, **rest):
        """`fixed=(scale, mode, distribution)` takes these three out of the constructor."""
        super().__init_subclass__(**rest)
        if fixed:
            cls.constructor = {name: cls.constructor[name] for name in ("seed", "input_axes", "output_axes")}
            cls.__signature__ = cls.__signature__.replace(parameters=[a.parameter() for a in cls.constructor.values()])
            cls.scale, cls.mode, cls.distribution = fixed

    def validate(self):
        super().validate()
        if not self.scale > 0:
            raise UsageError("scale must be positive", at=self._birthplace, saw=f"scale={self.scale}")
        if self.distribution == "normal":
            self.distribution = "truncated_normal"

    def values(self, shape, rng):
        fan_in, fan_out = fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, fan))
        if self.distribution == "truncated_normal":
            return stddev / TRUNCATED * truncated_normal(shape, rng)
        if self.distribution == "untruncated_normal":
            return stddev * rng.standard_normal(shape, FLOAT)
        return math.sqrt(3) * stddev * (2 * rng.random(shape, FLOAT) - 1)


class GlorotUniform(VarianceScaling, fixed=(1.0, "fan_avg", "uniform")):
    """Uniform within ±√(6 / (fan_in + fan_out)). Glorot & Bengio, 2010."""


class GlorotNormal(VarianceScaling, fixed=(1.0, "fan_avg", "truncated_normal")):
    """Normal with variance 2 / (fan_in + fan_out). Glorot & Bengio, 2010."""


class HeUniform(VarianceScaling, fixed=(2.0, "fan_in", "uniform")):
    """Uniform within ±√(6 / fan_in), for relu. He et al., 2015."""


class HeNormal(VarianceScaling, fixed=(2.0, "fan_in", "truncated_normal")):
    """Normal with variance 2 / fan_in, for relu. He et al., 2015."""


class LecunUniform(VarianceScaling, fixed=(1.0, "fan_in", "uniform")):
    """Uniform within ±√(3 / fan_in), for selu. LeCun et al., 1998; Klambauer et al., 2017."""


class LecunNormal(VarianceScaling, fixed=(1.0, "fan_in", "truncated_normal")):
    """Normal with variance 1 / fan_in, for selu. LeCun et al., 1998; Klambauer et al., 2017."""


class Orthogonal(RandomInitializer):
    """gain times a random orthogonal matrix, all such matrices equally likely. Saxe et al., 2014.

    All axes but the last are the rows. More rows than columns: the columns are orthonormal; else the rows.
    """

    gain: Number = 1.0
    seed: Seed = None

    def values(self, shape, rng):
        if len(shape) < 2:
            raise UsageError("Orthogonal fills matrices", saw=f"shape {shape}", want="2 axes or more")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns)), FLOAT))
        q *= np.where(np.diagonal(r) < 0, -1, 1).astype(FLOAT)  # makes the decomposition, so the draw, unique
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


# ---- windows of a Fourier transform ---------------------------------------------------------------


def spectral_window(name, length, periodic=False):
    """A window by name, as in `scipy.signal.get_window`: symmetric, or periodic (the last sample is left out).

    >>> spectral_window("hann", 4, periodic=True).round(2).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    if length < 2:
        return np.ones(length)
    total = length + bool(periodic)
    place = np.arange(total) - (total - 1) / 2  # 0 in the middle
    return WINDOWS[name](place, total)[:length]


def cosines(*weights):
    """Σ weight_k · cos(k π u), with u from −1 to 1 across the window."""
    return lambda place, total: sum(a * np.cos(2 * np.pi * k * place / (total - 1)) for k, a in enumerate(weights))


def across(shape):
    """A window from a function of |u|, u from −1 to 1 across the window."""
    return lambda place, total: shape(np.abs(2 * place / (total - 1)))


def parzen(place, total):
    u = np.abs(2 * place / total)
    return np.where(np.abs(place) <= (total - 1) / 4, 1 - 6 * u**2 * (1 - u), 2 * (1 - u) ** 3)


def taylor(place, total, sidelobes=4, level=30):
    """Sidelobes near the main one are held at −level dB. Taylor, 1955; Carrara, Goodman & Majewski, 1995."""
    a2 = (np.arccosh(10 ** (level / 20)) / np.pi) ** 2
    order = np.arange(1, sidelobes)
    spread = sidelobes**2 / (a2 + (sidelobes - 0.5) ** 2)
    sign = np.where(order % 2, 1, -1)
    top = np.prod([1 - order**2 / spread / (a2 + (n - 0.5) ** 2) for n in order], axis=0)
    bottom = 2 * np.array([np.prod([1 - m**2 / n**2 for n in order if n != m]) for m in order])
    weight = sign * top / bottom
    taper = 1 + 2 * np.cos(2 * np.pi * np.outer(place, order) / total) @ weight
    return taper / (1 + 2 * weight.sum())  # 1 in the middle


WINDOWS = {
    "boxcar": cosines(1.0),
    "hann": cosines(0.5, 0.5),
    "hamming": cosines(0.54, 0.46),
    "blackman": cosines(0.42, 0.50, 0.08),
    "nuttall": cosines(0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": cosines(0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": cosines(0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
    "bartlett": across(lambda u: 1 - u),
    "barthann": across(lambda u: 0.62 - 0.24 * u + 0.38 * np.cos(np.pi * u)),
    "bohman": across(lambda u: (1 - u) * np.cos(np.pi * u) + np.sin(np.pi * u) / np.pi),
    "lanczos": across(np.sinc),
    "tukey": across(lambda u: np.where(u <= 0.5, 1.0, 0.5 - 0.5 * np.cos(2 * np.pi * u))),
    "triang": lambda place, total: 1 - np.abs(place) / ((total + total % 2) / 2),
    "cosine": lambda place, total: np.cos(np.pi * place / total),
    "exponential": lambda place, total: np.exp(-np.abs(place)),
    "parzen": parzen,
    "taylor": taylor,
}
WINDOWS |= {
    short: WINDOWS[name]
    for name, shorts in {
        "boxcar": "box ones rect rectangular", "hann": "han", "hamming": "hamm ham", "blackman": "black blk",
        "nuttall": "nutl nut", "blackmanharris": "blackharr bkh", "flattop": "flat flt", "bartlett": "bart brt",
        "barthann": "brthan bth", "bohman": "bman bmn", "lanczos": "sinc", "tukey": "tuk", "triang": "triangle tri",
        "cosine": "halfcosine", "exponential": "poisson", "parzen": "parz par", "taylor": "taylorwin",
    }.items()
    for short in shorts.split()
}  # fmt: skip


# ---- what they are made of ----------------------------------------------------------------------


def truncated_normal(shape, rng):
    """Standard normal numbers, each drawn again until it lies within ±2."""
    draws = rng.standard_normal(math.prod(shape), FLOAT)
    outside = np.flatnonzero(np.abs(draws) > 2)
    while outside.size:
        draws[outside] = rng.standard_normal(outside.size, FLOAT)
        outside = outside[np.abs(draws[outside]) > 2]
    return draws.reshape(shape)


def fans(shape, input_axes=None, output_axes=None):
    """How many inputs one output sums over, and how many outputs one input reaches.

    >>> fans((3, 3, 16, 32))
    (144, 288)
    """
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[axis] for axis in input_axes), math.prod(shape[axis] for axis in output_axes)
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    window_size = math.prod(shape[:-2])
    return window_size * shape[-2], window_size * shape[-1]


def read_seed(seed):
    """A whole number or a SeedGenerator, from what the user wrote or a file says."""
    if isinstance(seed, dict):  # a SeedGenerator in a file of Keras's: its seed
        seed = seed.get("config", {}).get("seed")
    if seed is None:
        return settings.next_seed()
    if hasattr(seed, "next"):
        return seed
    try:
        return operator.index(seed)
    except TypeError:
        raise UsageError(
            "a seed is a whole number", saw=f"seed={seed!r}", want="a whole number, a SeedGenerator or None"
        ) from None


def read_array(value):
    """The number or array that `to_config(…, typed=True)` wrote."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        return np.asarray(value["config"]["value"], jnp.dtype(value["config"]["dtype"]))
    return value


def exactly(array):
    """An initializer that gives this very array, and refuses any other shape."""
    array = np.asarray(array)

    def initialize(shape, dtype=None):
        if tuple(shape) != array.shape:
            raise UsageError("the initial array does not fit the weight", saw=str(array.shape), want=str(tuple(shape)))
        return jnp.asarray(array, jnp.dtype(dtype or settings.floatx()))

    return initialize


registry.add(
    "initializer", Zeros, Ones, Constant, Identity, STFT, RandomNormal, TruncatedNormal, RandomUniform,
    VarianceScaling, GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal, Orthogonal,
    zero=Zeros, one=Ones, normal=RandomNormal, uniform=RandomUniform,
    IdentityInitializer=Identity, STFTInitializer=STFT, OrthogonalInitializer=Orthogonal,
)  # fmt: skip
