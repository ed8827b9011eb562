"""WAV files as arrays, through the standard library. Floor 2."""

import wave

import numpy as np

from ..base.report import FileError
from .taps import resample


def read_wav(path, rate=None, length=None):
    """The samples of a file: float32 (t, channels) from -1 to 1; resampled to `rate`, cut or filled to `length`.

    Whole numbers of 8, 16, 24 and 32 bits. Resampling is a windowed sinc of 32 taps, not TensorFlow IO's.
    """
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, own = file.getsampwidth(), file.getnchannels(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise FileError(
            "this file is no WAV that can be read", saw=f"{path}: {error}", want="uncompressed whole numbers (PCM)"
        ) from error
    if width == 3:  # as the upper three bytes of 32 bits
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples, full = padded.view("<i4")[:, 0], 2**31
    else:
        samples, full = np.frombuffer(data, {1: "u1", 2: "<i2", 4: "<i4"}[width]), 2 ** (8 * width - 1)
    samples = samples.astype(np.float32) - 128 if width == 1 else samples.astype(np.float32)
    x = (samples / np.float32(full)).reshape(-1, channels)
    if rate is not None and rate != own and len(x):
        x = resample(x, max(round(len(x) * rate / own), 1), "lanczos16", 0, antialias=True)
    return x if length is None else filled(x, length)


def filled(x, length):
    """The first `length` samples, with zeros behind them if there are fewer."""
    return np.concatenate([x[:length], np.zeros((max(length - len(x), 0), *x.shape[1:]), x.dtype)])
