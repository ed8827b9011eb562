"""`seriatim.ops`: segments, spectra, sequences cut into frames, and other mathematics.

Floor 6.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ..base.report import UsageError
from .table import plain, rows

ROWS = {
    **rows("logsumexp(x, axis=None, keepdims=False)", jax.nn),
    **rows("erf(x); erfc(x); rsqrt(x)", jax.lax),
}


def erfinv(x):
    """The x whose error function is given."""
    return jax.lax.erf_inv(jnp.asarray(plain(x)))


def cdist(x, y):
    """(…, n, d), (…, m, d) -> (…, n, m): the distances between the rows of x and of y."""
    x, y = jnp.asarray(plain(x)), jnp.asarray(plain(y))
    return jnp.linalg.norm(x[..., :, None, :] - y[..., None, :, :], axis=-1)


def logdet(x):
    """The logarithm of the determinant of positive definite matrices."""
    return jnp.linalg.slogdet(plain(x))[1]


def in_top_k(targets, predictions, k):
    """Whether the predicted value of each target is among the k largest of its row."""
    targets, predictions = jnp.asarray(plain(targets)), jnp.asarray(plain(predictions))
    best = jnp.take_along_axis(predictions, targets[:, None], axis=-1)
    return jnp.isfinite(best[:, 0]) & (jnp.sum(predictions > best, axis=-1) < k)


def top_k(x, k, sorted=True):
    """(the k largest values of each row, their places)"""
    return jax.lax.top_k(plain(x), k)


def view_as_complex(x):
    """(…, 2) real and imaginary parts -> (…) complex numbers."""
    x = jnp.asarray(plain(x))
    if x.ndim < 1 or x.shape[-1] != 2:
        raise UsageError("the last axis holds the real and the imaginary part", saw=str(x.shape), want="size 2")
    return jax.lax.complex(x[..., 0], x[..., 1])


def view_as_real(x):
    """(…) complex numbers -> (…, 2) real and imaginary parts."""
    x = plain(x)
    return jnp.stack([jnp.real(x), jnp.imag(x)], -1)


# ---- segments: rows that belong together ---------------------------------------------------------------


def _segments(function, data, segment_ids, num_segments, sorted):
    return function(plain(data), plain(segment_ids), num_segments, indices_are_sorted=sorted)


def segment_max(data, segment_ids, num_segments=None, sorted=False):
    """The maximum of the rows with each number."""
    return _segments(jax.ops.segment_max, data, segment_ids, num_segments, sorted)


def segment_min(data, segment_ids, num_segments=None, sorted=False):
    """The minimum of the rows with each number."""
    return _segments(jax.ops.segment_min, data, segment_ids, num_segments, sorted)


def segment_prod(data, segment_ids, num_segments=None, sorted=False):
    """The product of the rows with each number."""
    return _segments(jax.ops.segment_prod, data, segment_ids, num_segments, sorted)


def segment_sum(data, segment_ids, num_segments=None, sorted=False):
    """The sum of the rows with each number."""
    return _segments(jax.ops.segment_sum, data, segment_ids, num_segments, sorted)


# ---- spectra: complex numbers as a pair (real, imaginary), as in Keras ---------------------------------------


def _pair(z):
    return jnp.real(z), jnp.imag(z)


def _complex(x):
    real, imaginary = map(plain, x)
    return jax.lax.complex(jnp.asarray(real), jnp.asarray(imaginary))


def fft(x):
    """The discrete Fourier transform along the last axis."""
    return _pair(jnp.fft.fft(_complex(x)))


def fft2(x):
    """The discrete Fourier transform along the last two axes."""
    return _pair(jnp.fft.fft2(_complex(x)))


def ifft2(x):
    """The inverse of `fft2`."""
    return _pair(jnp.fft.ifft2(_complex(x)))


def rfft(x, fft_length=None):
    """The Fourier transform of real numbers along the last axis: its fft_length // 2 + 1 different values."""
    return _pair(jnp.fft.rfft(plain(x), fft_length))


def irfft(x, fft_length=None):
    """The inverse of `rfft`."""
    return jnp.fft.irfft(_complex(x), fft_length)


def extract_sequences(x, sequence_length, sequence_stride):
    """(…, n) -> (…, frames, sequence_length): overlapping stretches of the last axis."""
    x = jnp.asarray(plain(x))
    count = max(0, 1 + (x.shape[-1] - sequence_length) // sequence_stride)
    return x[..., np.arange(count)[:, None] * sequence_stride + np.arange(sequence_length)]


def _window(window, length, fft_length):
    if isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise UsageError("unknown window", saw=repr(window), want="'hann', 'hamming', None, or its values")
        window = {"hann": np.hanning, "hamming": np.hamming}[window](length + 1)[:-1]  # periodic: begins again
    window = jnp.ones(length) if window is None else jnp.asarray(plain(window))
    if window.shape != (length,):
        raise UsageError("the window has another length", saw=str(window.shape), want=f"({length},)")
    left = (fft_length - length) // 2
    return jnp.pad(window, (left, fft_length - length - left))


def stft(x, sequence_length, sequence_stride, fft_length, window="hann", center=True):
    """(…, n) -> (real, imaginary), each (…, frames, fft_length // 2 + 1): the spectrum of each stretch.

    `center` mirrors fft_length // 2 values at both ends, so that frame i stands at i · sequence_stride.
    """
    x = jnp.asarray(plain(x))
    window = _window(window, sequence_length, fft_length).astype(x.dtype)
    if center:
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(fft_length // 2,) * 2], mode="reflect")
    return rfft(extract_sequences(x, fft_length, sequence_stride) * window, fft_length)


def istft(x, sequence_length, sequence_stride, fft_length, length=None, window="hann", center=True):
    """The inverse of `stft`: frames are added up where they overlap, and divided by their windows' squares."""
    frames = irfft(x, fft_length)
    window = _window(window, sequence_length, fft_length).astype(frames.dtype)
    count = frames.shape[-2]
    total = fft_length + (count - 1) * sequence_stride
    places = (np.arange(count)[:, None] * sequence_stride + np.arange(fft_length)).ravel()

    def overlap(pieces):
        flat = pieces.reshape(*pieces.shape[:-2], -1)
        return jnp.zeros((*pieces.shape[:-2], total), pieces.dtype).at[..., places].add(flat)

    weight = overlap(jnp.broadcast_to(window**2, (count, fft_length)))
    y = overlap(frames * window) / jnp.where(weight > 1e-11, weight, 1)
    start = fft_length // 2 if center else 0
    if length is not None:
        return y[..., start : start + length]
    return y[..., start : total - start] if center else y
