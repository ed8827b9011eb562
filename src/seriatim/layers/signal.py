"""Sound as pictures: the frequencies of short stretches of a signal.

Floor 2. Both run in the compiled program: the first by the fast Fourier transform, the second by a convolution whose
kernels are the waves, so that they can be trained.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.fields import (
    Anything,
    Bool,
    Format,
    NonNegative,
    OneOf,
    Optional,
    OptionalInt,
    OptionalNumber,
    Padding,
    PositiveInt,
)  # fmt: skip
from ..base.report import UsageError
from ..math.initializers import STFT, spectral_window
from ..math.moments import full
from ..math.signals import mel_matrix, stft
from ..math.windows import conv, window_count
from .contract import Weight
from .layer import Layer

SILENCE = 1e-7  # the least power of which a logarithm or a root is taken


class MelSpectrogram(Layer):
    """Power of a signal in bands that are equally wide to the ear, in decibels, over time.

    b t -> b num_mel_bins (1 + t // sequence_stride). |Fourier transform| to the power `mag_exp`, in bands from min_freq
    to max_freq hertz; with power_to_db then 10 · log10(power / ref_power), nothing below min_power, and nothing more
    than top_db below the loudest place of the row (Keras: of the batch, so that a row depends on its neighbours).

    >>> MelSpectrogram(num_mel_bins=64, sampling_rate=8000, sequence_stride=256).compute_output_shape((None, 16000))
    (None, 64, 63)
    """

    signature = "... t -> ... k t"
    single = 1
    full_precision = True

    fft_length: PositiveInt = 2048
    sequence_stride: PositiveInt = 512
    sequence_length: OptionalInt = None
    window: Anything = "hann"
    sampling_rate: PositiveInt = 16000
    num_mel_bins: PositiveInt = 128
    min_freq: NonNegative = 20.0
    max_freq: OptionalNumber = None
    power_to_db: Bool = True
    top_db: NonNegative = 80.0
    mag_exp: NonNegative = 2.0
    min_power: NonNegative = 1e-10
    ref_power: Anything = 1.0

    def validate(self):
        self.sequence_length = self.sequence_length or self.fft_length
        self.max_freq = self.max_freq or int(self.sampling_rate / 2)
        if self.fft_length < self.sequence_length:
            raise UsageError(
                "fft_length must be greater than or equal to sequence_length", at=self._birthplace,
                saw=f"fft_length={self.fft_length}, sequence_length={self.sequence_length}",
            )  # fmt: skip
        self.taper()

    def taper(self):
        """The window as an array."""
        if self.window is None:
            return np.ones(self.fft_length)
        if isinstance(self.window, str):
            if self.window not in ("hann", "hamming"):
                raise UsageError("unknown window", at=self._birthplace, saw=repr(self.window), want="hann or hamming")
            return spectral_window(self.window, self.sequence_length, periodic=True)
        window = np.asarray(self.window, np.float64)
        if window.shape != (self.sequence_length,):
            raise UsageError(
                "the window has another length than sequence_length", at=self._birthplace,
                saw=f"a window of shape {window.shape}", want=f"({self.sequence_length},)",
            )  # fmt: skip
        return window

    def forward(self, w, x, call):
        x = full(x, self.variable_dtype)
        waves = stft(x, self.taper(), self.sequence_stride, self.fft_length)
        power = (jnp.real(waves) ** 2 + jnp.imag(waves) ** 2) ** (self.mag_exp / 2)
        frequencies = self.fft_length // 2 + 1
        bands = mel_matrix(self.num_mel_bins, frequencies, self.sampling_rate, self.min_freq, self.max_freq)
        y = power @ jnp.asarray(bands, power.dtype)
        return jnp.swapaxes(self.decibels(y) if self.power_to_db else y, -1, -2).astype(self.compute_dtype)

    def decibels(self, power):
        reference = np.maximum(np.abs(self.ref_power), self.min_power)
        y = 10 * (jnp.log10(jnp.maximum(power, self.min_power)) - np.log10(reference).astype("float32"))
        return jnp.maximum(y, y.max((-2, -1), keepdims=True) - self.top_db)


class STFTSpectrogram(Layer):
    """Frequencies of windowed stretches of a signal: log, magnitude, power (psd), parts or angle of their waves.

    b t c -> b t (c · f), channel by channel, with f = fft_length // 2 + 1 (twice that for "stft", real beside imag);
    expand_dims=True: b t f c. channels_first: b c t -> b (c · f) t, or b c t f. The kernels, real_kernel and
    imag_kernel (frame_length, 1, f), are waves times the window (`initializers.STFT`): trainable=False fixes them.

    >>> STFTSpectrogram(frame_length=256, fft_length=512).compute_output_shape((None, 160000, 1))
    (None, 1249, 257)
    """

    signature = "b t c -> b t c"
    convolves = True

    mode: Annotated[str, OneOf("log", "magnitude", "psd", "real", "imag", "angle", "stft")] = "log"
    frame_length: PositiveInt = 256
    frame_step: OptionalInt = None
    fft_length: OptionalInt = None
    window: Anything = "hann"
    periodic: Bool = False
    scaling: Annotated[str | None, Optional(OneOf("density", "spectrum"))] = "density"
    padding: Padding = "valid"
    expand_dims: Bool = False
    data_format: Format = None

    def validate(self):
        self.step = self.frame_step or max(1, self.frame_length // 2)
        self.frequencies = (self.fft_length or 1 << (self.frame_length - 1).bit_length()) // 2 + 1
        if self.frame_step is not None and not 1 <= self.frame_step <= self.frame_length:
            raise UsageError(
                "frame_step lies between 1 and frame_length", at=self._birthplace,
                saw=f"frame_step={self.frame_step}, frame_length={self.frame_length}",
            )  # fmt: skip
        if self.fft_length is not None and self.fft_length < self.frame_length:
            raise UsageError(
                "fft_length is not less than frame_length", at=self._birthplace,
                saw=f"fft_length={self.fft_length}, frame_length={self.frame_length}",
            )  # fmt: skip
        for side in ("real", "imag"):
            self.waves(side)

    def waves(self, side):
        return STFT(side, self.window, self.scaling, self.periodic)

    def declare(self, shape):
        size = shape[1 if self.data_format == "channels_last" else 2]
        if window_count(size, self.frame_length, self.step, self.padding) == 0:
            raise UsageError(
                f"{self.name} (STFTSpectrogram) needs longer signals", at=self._birthplace,
                saw=f"an input of shape {shape}", want=f"at least frame_length={self.frame_length} samples",
            )  # fmt: skip
        for side, other in (("real", "imag"), ("imag", "real")):
            if self.mode != other:
                yield Weight(f"{side}_kernel", (self.frame_length, 1, self.frequencies), self.waves(side))

    def forward(self, w, x, call):
        x = x.swapaxes(1, 2) if self.data_format == "channels_last" else x  # b c t
        batch, channels, time = x.shape
        real, imag = (
            conv(x.reshape(batch * channels, time, 1), w[name], (self.step,), self.padding) if name in w else None
            for name in ("real_kernel", "imag_kernel")
        )
        y = self.seen(real, imag)
        y = y.reshape(batch, channels, *y.shape[1:])  # b c t f
        if self.expand_dims:
            return y.transpose(0, 2, 3, 1) if self.data_format == "channels_last" else y
        y = y.transpose(0, 2, 1, 3).reshape(batch, y.shape[2], -1)
        return y if self.data_format == "channels_last" else y.swapaxes(1, 2)

    def seen(self, real, imag):
        """What the mode asks for, from the two parts of the waves."""
        if self.mode in ("real", "imag"):
            return real if self.mode == "real" else imag
        if self.mode == "angle":
            return jnp.arctan2(imag, real)
        if self.mode == "stft":
            return jnp.concatenate([real, imag], -1)
        power = real**2 + imag**2
        if self.mode == "psd":  # a frequency between the ends stands for its negative too
            return power.at[..., 1:-1].multiply(2)
        y = jnp.sqrt(jnp.maximum(power, SILENCE))
        return y if self.mode == "magnitude" else jnp.log(jnp.maximum(y, SILENCE))


registry.add("layer", MelSpectrogram, STFTSpectrogram)
