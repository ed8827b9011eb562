"""Pictures as arrays and back, through Pillow (the extra `images`).

Floor 2. An array is (h, w, c), or (c, h, w) where images are channels_first; c is 1, 3 or 4.
"""

import io
import os
import warnings
from functools import cache
from pathlib import Path

import numpy as np

from ..base import settings
from ..base.report import DataError, FileError, Missing, UsageError
from .taps import INTERPOLATIONS, resized

MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
FORMATS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


def pillow():
    """Pillow's module of images."""
    try:
        from PIL import Image
    except ImportError as error:
        raise Missing("pictures are read and written by Pillow", fix="pip install 'seriatim[images]'") from error
    return Image


def one_of(name, value, known):
    """The value if it is known, or a UsageError."""
    if value not in known:
        raise UsageError(f"{name} is not known", saw=f"{name}={value!r}", want=", ".join(map(repr, known)))
    return value


def channels_first(data_format):
    """Whether this data_format (None: the setting) is channels_first."""
    known = ("channels_last", "channels_first")
    return one_of("data_format", data_format or settings.image_data_format(), known) == "channels_first"


# ---- one picture ------------------------------------------------------------------------------------------


def load_img(path, color_mode="rgb", target_size=None, interpolation="nearest", keep_aspect_ratio=False):
    """A Pillow image from a file (a path, or io.BytesIO), in this colour mode and, if asked, of size (h, w).

    keep_aspect_ratio: the largest centred part of the wanted proportions is taken. Grey pictures of 16 and 32 bits
    stay so.
    """
    one_of("color_mode", color_mode, MODES)
    if not isinstance(path, (str, bytes, os.PathLike, io.BytesIO)):
        raise UsageError("load_img reads a file", saw=type(path).__name__, want="a path or io.BytesIO")
    image = opened(path)
    deep = color_mode == "grayscale" and image.mode in ("I;16", "I")
    if image.mode != MODES[color_mode] and not deep:
        image = image.convert(MODES[color_mode])
    if target_size is None or image.size == (target_size[1], target_size[0]):
        return image
    sampling = pillow().Resampling
    known = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
    filter_ = sampling[one_of("interpolation", interpolation, known).upper()]
    box = centred(image.size[::-1], target_size) if keep_aspect_ratio else None
    box = None if box is None else (box[1], box[0], box[1] + box[3], box[0] + box[2])
    return image.resize((target_size[1], target_size[0]), filter_, box=box)


def opened(file, mode=None, path=None):
    """A Pillow image, decoded; a FileError with the path if it is none. From a JPEG, "L" takes the brightness only."""
    try:
        image = pillow().open(file)
        if mode == "L":
            image.draft(mode, None)
        image.load()
    except Missing:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise FileError("this file is no picture that can be read", saw=f"{path or file}: {error}") from error
    return image


def centred(size, target):
    """(top, left, height, width) of the largest centred part of `size` with the proportions of `target`."""
    (h, w), (new_h, new_w) = size, target
    height, width = min(h, w * new_h // new_w), min(w, h * new_w // new_h)
    return (h - height) // 2, (w - width) // 2, height, width


def img_to_array(img, data_format=None, dtype=None):
    """A Pillow image as an array with three axes, of floats unless `dtype` says otherwise."""
    first = channels_first(data_format)
    x = np.asarray(img, dtype=dtype or settings.floatx())
    if x.ndim not in (2, 3):
        raise DataError("this is no picture", saw=f"an array of shape {x.shape}", want="2 or 3 axes")
    x = x[..., None] if x.ndim == 2 else x
    return x.transpose(2, 0, 1) if first else x


def array_to_img(x, data_format=None, scale=True, dtype=None):
    """A Pillow image from an array with three axes; `scale` brings its least value to 0 and its largest to 255."""
    first, image = channels_first(data_format), pillow()
    x = np.asarray(x, dtype=dtype or settings.floatx())
    if x.ndim != 3:
        raise DataError("a picture has three axes", saw=f"shape {x.shape}", want="(h, w, c)")
    x = x.transpose(1, 2, 0) if first else x
    if x.shape[2] not in (1, 3, 4):
        raise DataError("a picture has 1, 3 or 4 channels", saw=f"{x.shape[2]} channels, shape {x.shape}")
    if scale:
        x = x - x.min()
        x = x / (x.max() or 1) * 255
    if x.shape[2] > 1:
        return image.fromarray(np.ascontiguousarray(x.astype("uint8")))
    return image.fromarray(x[:, :, 0].astype("int32" if x.max() > 255 else "uint8"))


def save_img(path, x, data_format=None, file_format=None, scale=True, **kwargs):
    """Write an array as a picture; the format is the file's ending, or `file_format`. More goes to Pillow's `save`."""
    if file_format is None and isinstance(path, (str, Path)):
        file_format = Path(path).suffix[1:].lower()
    file_format = "jpeg" if file_format and file_format.lower() == "jpg" else file_format
    image = array_to_img(x, data_format, scale)
    if image.mode == "RGBA" and file_format == "jpeg":
        warnings.warn("JPEG has no transparency: the fourth channel is left out.", stacklevel=2)
        image = image.convert("RGB")
    image.save(path, format=file_format, **kwargs)


# ---- many of one size ---------------------------------------------------------------------------------------


@cache
def jpeg_decoder():
    """simplejpeg's decoder of JPEG files, or None where it is not installed."""
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    return decode_jpeg


def jpeg(data, mode):
    """(h, w, c) uint8 of the bytes of a JPEG file, to the bit as tf.data decodes it; None if Pillow has to do it."""
    decode = jpeg_decoder()
    if decode is None or mode == "RGBA" or not data.startswith(b"\xff\xd8\xff"):
        return None
    try:
        return decode(data, "GRAY" if mode == "L" else mode, fastdct=True)
    except ValueError:  # another kind of JPEG, or a broken file: Pillow knows, or says so
        return None


class ImageReader:
    """Reads pictures as float32 of one size, with values from 0 to 255: what `image_dataset_from_directory` does.

    JPEG files are decoded by simplejpeg, with the same pixels as tf.data; where it is missing, by Pillow, with pixels
    up to 3 of 255 apart from those.

    `fit`: None (proportions may change), "crop" (the largest centred part of the wanted proportions), or "pad" (all of
    it, in black). 16 bits a channel are cut to 8. With "nearest", too, they are floats (in Keras on TensorFlow, bytes).
    """

    def __init__(self, size, color_mode, interpolation, fit, data_format):
        pillow()
        self.mode, self.channels = MODES[color_mode], CHANNELS[color_mode]
        self.size, self.interpolation, self.fit = tuple(size), interpolation, fit
        self.first = channels_first(data_format)

    @property
    def shape(self):
        return (self.channels, *self.size) if self.first else (*self.size, self.channels)

    def __call__(self, path, out):
        """Read a file into `out`, of `shape`."""
        with open(path, "rb") as file:
            data = file.read()
        pixels = jpeg(data, self.mode)
        pixels = self.pixels(opened(io.BytesIO(data), self.mode, path)) if pixels is None else pixels
        out = out.transpose(1, 2, 0) if self.first else out
        if self.fit == "crop":
            top, left, height, width = centred(pixels.shape[:2], self.size)
            pixels = pixels[top : top + max(height, 1), left : left + max(width, 1)]
        if self.fit == "pad":
            (h, w), (new_h, new_w) = pixels.shape[:2], self.size
            ratio = max(w / new_w, h / new_h)
            down, across = h / ratio, w / ratio
            inner = max(int(down), 1), max(int(across), 1)
            top, left = int((new_h - down) / 2), int((new_w - across) / 2)
            out[...] = 0
            out = out[top : top + inner[0], left : left + inner[1]]
        resized(pixels, out.shape[:2], self.interpolation, out)

    def pixels(self, image):
        """(h, w, c) uint8 of a Pillow image."""
        if image.mode.startswith("I"):
            deep = np.asarray(image)
            deep = (deep >> 8 if image.mode != "I" or deep.max(initial=0) > 255 else deep).clip(0, 255).astype("uint8")
            image = pillow().fromarray(deep)
        if image.mode != self.mode:
            image = image.convert(self.mode)
        pixels = np.asarray(image)
        return pixels[..., None] if pixels.ndim == 2 else pixels


def smart_resize(x, size, interpolation="bilinear", data_format="channels_last", **kwargs):
    """The largest centred part of a picture (or of a batch) that has the proportions of `size`, in that size; NumPy."""
    one_of("interpolation", interpolation, INTERPOLATIONS)
    x, first = np.asarray(x), channels_first(data_format)
    if len(size) != 2 or x.ndim not in (3, 4):
        raise UsageError("smart_resize takes pictures and a size (h, w)", saw=f"shape {x.shape}, size={size!r}")
    pictures = x if x.ndim == 4 else x[None]
    pictures = pictures.transpose(0, 2, 3, 1) if first else pictures
    top, left, height, width = centred(pictures.shape[1:3], size)
    pictures = pictures[:, top : top + max(height, 1), left : left + max(width, 1)]
    y = np.stack([resized(picture, size, interpolation) for picture in pictures])
    y = y.transpose(0, 3, 1, 2) if first else y
    return y if x.ndim == 4 else y[0]
