"""Resampling along an axis: which old entries make a new one, and with which weights.

Floor 2. The weights are those of `tf.image.resize` without antialiasing, which Keras's directory readers use: entry i
of the new axis lies at (i + ½) · old / new of the old one (Mitchell & Netravali, 1988; Keys, 1981; Duchon, 1979).
"""

from functools import lru_cache

import numpy as np

from ..kernels import pictures


def keys(x):
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def mitchell(x):
    x = np.abs(x)
    near = ((7 * x - 12) * x * x + 16 / 3) / 6
    far = (((-7 / 3 * x + 12) * x - 20) * x + 32 / 3) / 6
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def lanczos(radius):
    return lambda x: np.where(np.abs(x) < radius, np.sinc(x) * np.sinc(x / radius), 0.0)


KERNELS = {  # name: (radius, function of the distance)
    "bicubic": (2, keys),
    "lanczos3": (3, lanczos(3)),
    "lanczos5": (5, lanczos(5)),
    "lanczos16": (16, lanczos(16)),
    "gaussian": (1.5, lambda x: np.exp(-2 * x * x)),
    "mitchellcubic": (2, mitchell),
}
INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")


@lru_cache(maxsize=256)
def taps(old, new, kind, antialias=False):
    """(entries, weights), both (new, taps): new[i] = Σ weights[i, t] · old[entries[i, t]]."""
    scale = old / new
    at = (np.arange(new) + 0.5) * scale
    if kind == "nearest":
        return np.minimum(at.astype(np.int64), old - 1)[:, None], np.ones((new, 1), np.float32)
    if kind == "bilinear":
        low = np.floor(at - 0.5).astype(np.int64)
        share = at - 0.5 - low
        entries, weights = np.stack([low, low + 1], 1), np.stack([1 - share, share], 1)
    elif kind == "area":
        low = np.arange(new) * scale
        entries = np.floor(low + 1e-6).astype(np.int64)[:, None] + np.arange(int(np.ceil(scale)) + 1)
        weights = np.minimum(entries + 1, low[:, None] + scale) - np.maximum(entries, low[:, None])
        weights = np.where(entries < old, np.maximum(weights, 0), 0)
    else:
        radius, kernel = KERNELS[kind]
        wide = max(scale, 1.0) if antialias else 1.0
        at = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * (1 / (np.float32(new) / np.float32(old)))
        if kind == "bicubic" and not antialias:
            at = np.rint((at - 0.5) * 1024) / 1024 + 0.5  # TensorFlow's weights come from a table
        reach = radius * wide
        entries = np.ceil(at - reach - 0.5).astype(np.int64)[:, None] + np.arange(int(2 * reach) + 1)
        away = (entries + 0.5 - at[:, None]) / wide
        inside = (entries >= 0) & (entries < old) & (np.abs(away) < radius)
        weights = np.where(inside, kernel(away), 0)
    weights = weights / weights.sum(1, keepdims=True)
    return np.clip(entries, 0, old - 1), weights.astype(np.float32)


def resample(x, new, kind, axis, antialias=False, out=None):
    """x with `new` entries along axis 0 or 1, as float32."""
    entries, weights = taps(x.shape[axis], new, kind, antialias)
    lie = (-1,) + (1,) * (x.ndim - 1 - axis)
    total = None
    for entry, weight in zip(entries.T, weights.T, strict=True):
        part = np.take(x, entry, axis=axis, mode="clip")
        part = part.astype(np.float32) if part.dtype != np.float32 else part
        if kind != "nearest":
            part *= weight.reshape(lie)
        total = part if total is None else np.add(total, part, out=total)
    if out is None:
        return total
    out[...] = total
    return out


def resized(image, size, kind, out=None):
    """An image (h, w, c) as float32 (*size, c): the axis that shrinks more comes first."""
    (h, w), (new_h, new_w) = image.shape[:2], size
    if (h, w) == (new_h, new_w):
        return plain(image, out)
    if out is not None and pictures.resize(image, taps(h, new_h, kind), taps(w, new_w, kind), out):
        return out
    first = 0 if new_h * w <= h * new_w else 1
    for axis in (first, 1 - first):
        last = axis == 1 - first
        if image.shape[axis] != size[axis]:
            image = resample(image, size[axis], kind, axis, out=out if last else None)
        elif last:
            image = plain(image, out)
    return image


def plain(image, out):
    if out is None:
        return image.astype(np.float32)
    out[...] = image
    return out
