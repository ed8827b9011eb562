"""Sound as pictures: short stretches of a signal, their frequencies, and frequencies as an ear spaces them.

Floor 1.
"""

import jax.numpy as jnp
import numpy as np


def stft(x, window, stride, fft_length):
    """Fourier transforms of windowed stretches, `stride` apart, the first one centred on the first sample.

    x (…, t) -> complex (…, 1 + t // stride, fft_length // 2 + 1). The ends are mirrored; a window that is shorter than
    `fft_length` stands in its middle.
    """
    before = (fft_length - len(window)) // 2
    window = np.pad(window, (before, fft_length - len(window) - before))
    half = fft_length // 2
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(half, half)], mode="reflect")
    count = 1 + (x.shape[-1] - fft_length) // stride
    places = stride * np.arange(count)[:, None] + np.arange(fft_length)
    return jnp.fft.rfft(x[..., places] * jnp.asarray(window, x.dtype), axis=-1)


def mel(frequency):
    """How high a frequency (in hertz) sounds: 1127 · ln(1 + f / 700). O'Shaughnessy, 1987."""
    return 1127.0 * np.log1p(np.asarray(frequency, np.float64) / 700.0)


def mel_matrix(bins, frequencies, rate, low, high):
    """Triangles that take `frequencies` from 0 to rate / 2 to `bins` bands of equal height on the mel scale.

    (frequencies, bins) in float64; each band begins and ends in the middle of its neighbours, and frequency 0 has none.
    """
    edges = np.linspace(mel(low), mel(high), bins + 2)
    place = mel(np.linspace(0.0, rate / 2, frequencies))[:, None]
    up = (place - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - place) / (edges[2:] - edges[1:-1])
    matrix = np.maximum(0.0, np.minimum(up, down))
    matrix[0] = 0.0
    return matrix


__all__ = ["mel", "mel_matrix", "stft"]
