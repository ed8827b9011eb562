"""`seriatim.ops.image`: pictures resized, moved, cut, blurred and compared.

Floor 6. Pictures are (b, h, w, c), or (b, c, h, w) with data_format="channels_first"; one picture alone has no b.
The formulas stand in `math/images.py` and `math/warps.py`.
"""

import inspect
import math

import jax
import jax.numpy as jnp

from ..base.report import UsageError
from ..base.settings import image_data_format
from ..layers.seeds import draw_seed
from ..math import images as pictures
from ..math import warps, windows
from .core import saturate_cast
from .nn import _sizes
from .table import plain, row

WARPS, METHODS = ("nearest", "bilinear"), ("linear", "bilinear", "trilinear", "cubic", "bicubic", "tricubic")
METHODS += ("lanczos3", "lanczos5")


def _chosen(word, value, options):
    if value not in options:
        raise UsageError(f"unknown {word}", saw=f"{word}={value!r}", want=", ".join(map(repr, options)))


def _channels_last(x, data_format, ranks=(3, 4)):
    """(the array with b in front and c at the end, how to undo both)."""
    x, first = jnp.asarray(plain(x)), (data_format or image_data_format()) == "channels_first"
    if x.ndim not in ranks:
        want = f"{ranks[0]} axes for one, {ranks[1]} for a batch"
        raise UsageError("pictures of another rank", saw=f"an array of shape {x.shape}", want=want)
    single = x.ndim == ranks[0]
    x = x[None] if single else x

    def undone(y):
        y = jnp.moveaxis(y, -1, 1) if first else y
        return y[0] if single else y

    return (jnp.moveaxis(x, 1, -1) if first else x), undone


def _of_pictures(signature, ranks=(3, 4)):
    """Decorator: a function of pictures (b, h, w, c) becomes Keras's `signature`, with data_format and single ones."""

    def decorate(function):
        def call(images, *args, data_format=None, **options):
            x, undone = _channels_last(images, data_format, ranks)
            return undone(function(x, *args, **options))

        call.__module__, call.__name__ = function.__module__, function.__name__
        made = row(signature, call)
        made.__doc__, made.__module__ = inspect.getdoc(function), function.__module__
        return made

    return decorate


def _floats(x):
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise UsageError("colours are turned as floats", saw=f"pictures of {x.dtype}", fix="images / 255.0")
    return x


# ---- colour -----------------------------------------------------------------------------------------


@_of_pictures("rgb_to_grayscale(images, data_format=None)")
def rgb_to_grayscale(images):
    """0.2989 r + 0.587 g + 0.114 b; a picture of one channel stays."""
    return pictures.rgb_to_grayscale(images)


@_of_pictures("rgb_to_hsv(images, data_format=None)")
def rgb_to_hsv(images):
    """Hue, saturation and value, each from 0 to 1, of floats from 0 to 1."""
    return pictures.rgb_to_hsv(_floats(images))


@_of_pictures("hsv_to_rgb(images, data_format=None)")
def hsv_to_rgb(images):
    """Red, green and blue from hue, saturation and value, each from 0 to 1."""
    return pictures.hsv_to_rgb(_floats(images))


# ---- size -------------------------------------------------------------------------------------------


@_of_pictures(
    "resize(images, size, interpolation='bilinear', antialias=False, crop_to_aspect_ratio=False, "
    "pad_to_aspect_ratio=False, fill_mode='constant', fill_value=0.0, data_format=None)"
)
def resize(images, size, interpolation, antialias, crop_to_aspect_ratio, pad_to_aspect_ratio, fill_mode, fill_value):
    """The pictures drawn with size = (height, width) cells, in their own type, whole numbers rounded.

    interpolation: nearest, bilinear, bicubic, lanczos3 or lanczos5; `antialias` widens it where a picture shrinks. To
    keep the shapes in it, cut a window in the middle first (`crop_to_…`) or put `fill_value` around (`pad_to_…`).
    """
    _chosen("interpolation", interpolation, pictures.RESIZES)
    _chosen("fill_mode", fill_mode, ("constant",))
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise UsageError("pictures are cut or padded", saw="crop_to_aspect_ratio=True, pad_to_aspect_ratio=True")
    height, width = size
    y = images
    if crop_to_aspect_ratio:
        y = pictures.crop_to_ratio(y, height, width)
    elif pad_to_aspect_ratio:
        y = pictures.pad_to_ratio(y, height, width, fill_value)
    y = pictures.resize(y, height, width, interpolation, antialias)
    if y.dtype == images.dtype:
        return y
    return saturate_cast(jnp.round(y) if jnp.issubdtype(images.dtype, jnp.integer) else y, images.dtype)


def scale_and_translate(images, output_shape, scale, translation, spatial_dims, method, antialias=True):
    """The picture scaled, then moved, along `spatial_dims`, into an array of `output_shape`; what is outside is 0."""
    _chosen("method", method, METHODS)
    images, scale, translation = (jnp.asarray(plain(x)) for x in (images, scale, translation))
    return pictures.scale_and_translate(images, output_shape, scale, translation, spatial_dims, method, antialias)


def _ends(size, before, after, target, grows, words):
    """(before, after) where two of before, after and the target size are given; cells are added or taken away."""
    if [before, after, target].count(None) != 1:
        given = zip(words, (before, after, target), strict=True)
        raise UsageError(
            "two of three say where", saw=", ".join(f"{word}={value}" for word, value in given),
            want=f"two of {', '.join(words)}",
        )  # fmt: skip
    total = None if target is None else target - size if grows else size - target
    before = total - after if before is None else before
    after = total - before if after is None else after
    if before < 0 or after < 0 or (not grows and before + after >= size):
        raise UsageError(
            "the picture does not fit", saw=f"{words[0]}={before}, {words[1]}={after}, {size} cells",
            want=f"{words[0]} and {words[1]} of 0 or more" + ("" if grows else ", and less than all cells"),
        )  # fmt: skip
    return before, after


def _around(images, rows, columns, grows):
    kind = "padding" if grows else "cropping"
    return (
        *_ends(images.shape[1], *rows, grows, (f"top_{kind}", f"bottom_{kind}", "target_height")),
        *_ends(images.shape[2], *columns, grows, (f"left_{kind}", f"right_{kind}", "target_width")),
    )


@_of_pictures(
    "pad_images(images, top_padding=None, left_padding=None, bottom_padding=None, right_padding=None, "
    "target_height=None, target_width=None, data_format=None)"
)
def pad_images(images, top_padding, left_padding, bottom_padding, right_padding, target_height, target_width):
    """The pictures with zeros around: for each direction give two of both sides and the size wanted."""
    rows, columns = (top_padding, bottom_padding, target_height), (left_padding, right_padding, target_width)
    return pictures.pad(images, *_around(images, rows, columns, grows=True))


@_of_pictures(
    "crop_images(images, top_cropping=None, left_cropping=None, bottom_cropping=None, right_cropping=None, "
    "target_height=None, target_width=None, data_format=None)"
)
def crop_images(images, top_cropping, left_cropping, bottom_cropping, right_cropping, target_height, target_width):
    """The pictures without cells at the edges: for each direction give two of both sides and the size wanted."""
    rows, columns = (top_cropping, bottom_cropping, target_height), (left_cropping, right_cropping, target_width)
    top, bottom, left, right = _around(images, rows, columns, grows=False)
    return images[:, top : images.shape[1] - bottom, left : images.shape[2] - right]


# ---- patches ------------------------------------------------------------------------------------------


def extract_patches(images, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """(b, h, w, c) -> (b, rows, columns, size · size · c): each patch as one vector; volumes if `size` has three.

    strides: `size` unless given. dilation_rate: the step from cell to cell in a patch.
    """
    rank = 2 if isinstance(size, int) else len(size)
    _chosen("number of sizes", rank, (2, 3))
    return _patches(images, rank, size, strides, dilation_rate, padding, data_format)


def extract_patches_3d(volumes, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """(b, d, h, w, c) -> (b, …, size · size · size · c): each block as one vector (`extract_patches`)."""
    return _patches(volumes, 3, size, strides, dilation_rate, padding, data_format)


def _patches(x, rank, size, strides, dilation, padding, data_format):
    x, undone = _channels_last(x, data_format, (rank + 1, rank + 2))
    size, dilation = _sizes(size, rank), _sizes(dilation, rank)
    strides = size if strides is None else _sizes(strides, rank)
    _chosen("padding", padding, ("valid", "same"))
    return undone(pictures.extract_patches(x, size, strides, dilation, padding))


# ---- other coordinates --------------------------------------------------------------------------------


@_of_pictures(
    "affine_transform(images, transform, interpolation='bilinear', fill_mode='constant', fill_value=0, "
    "data_format=None)"
)
def affine_transform(images, transform, interpolation, fill_mode, fill_value):
    """y[r, q] = x[(b0 q + b1 r + b2) / k, (a0 q + a1 r + a2) / k], k = c0 q + c1 r + 1

    transform (8,) or (b, 8): a0, a1, a2, b0, b1, b2, c0, c1. fill_mode: constant, nearest, reflect, mirror, wrap.
    Unlike Keras 3.15.1 on JAX, where they act on the channels, c0 and c1 give a perspective.
    """
    _chosen("interpolation", interpolation, WARPS)
    _chosen("fill_mode", fill_mode, warps.FILLS)
    transform = jnp.asarray(plain(transform), jnp.float32)
    if transform.ndim not in (1, 2) or transform.shape[-1] != 8:
        raise UsageError("a transform is 8 numbers", saw=f"shape {transform.shape}", want="(8,) or (batch, 8)")
    transform = jnp.broadcast_to(transform, (len(images), 8))
    return warps.affine_transform(images, transform, interpolation, fill_mode, fill_value)


@_of_pictures(
    "perspective_transform(images, start_points, end_points, interpolation='bilinear', fill_value=0, data_format=None)"
)
def perspective_transform(images, start_points, end_points, interpolation, fill_value):
    """The pictures in which what lay at `start_points` lies at `end_points`: (4, 2) or (b, 4, 2), each (x, y)."""
    _chosen("interpolation", interpolation, WARPS)
    points = [jnp.asarray(plain(p), jnp.float32) for p in (start_points, end_points)]
    if points[0].shape != points[1].shape or points[0].shape[-2:] != (4, 2) or points[0].ndim not in (2, 3):
        raise UsageError(
            "four points go to four points", saw=f"shapes {points[0].shape} and {points[1].shape}",
            want="(4, 2) or (batch, 4, 2) for both",
        )  # fmt: skip
    points = [jnp.broadcast_to(p, (len(images), 4, 2)) for p in points]
    return warps.perspective_transform(images, *points, interpolation, fill_value)


@_of_pictures(
    "elastic_transform(images, alpha=20.0, sigma=5.0, interpolation='bilinear', fill_mode='reflect', fill_value=0.0, "
    "seed=None, data_format=None)"
)
def elastic_transform(images, alpha, sigma, interpolation, fill_mode, fill_value, seed):
    """y[r, q] = x[(r, q) + alpha · sigma · blurred noise]. Keras draws one noise for both directions; here are two."""
    _chosen("interpolation", interpolation, WARPS)
    _chosen("fill_mode", fill_mode, warps.FILLS)
    noise = jax.random.normal(draw_seed(seed), (*images.shape[:3], 2), jnp.float32)
    y = warps.elastic_transform(images, noise, alpha, sigma, None, interpolation, fill_mode, fill_value)
    return y.astype(images.dtype)


def map_coordinates(inputs, coordinates, order, fill_mode="constant", fill_value=0):
    """inputs[coordinates[0], coordinates[1], …] between cells: the nearest one (order 0) or linear (1).

    coordinates (axes of inputs, …) -> (…). fill_mode: constant, nearest, reflect, mirror or wrap.
    """
    inputs, coordinates = jnp.asarray(plain(inputs)), jnp.asarray(plain(coordinates))
    _chosen("order", order, (0, 1))
    _chosen("fill_mode", fill_mode, warps.FILLS)
    if coordinates.ndim < 2 or len(coordinates) != inputs.ndim:
        raise UsageError(
            "one row of coordinates for each axis", saw=f"inputs {inputs.shape}, coordinates {coordinates.shape}",
            want=f"coordinates ({inputs.ndim}, …)",
        )  # fmt: skip
    return jax.scipy.ndimage.map_coordinates(inputs, coordinates, order, fill_mode, fill_value)


# ---- windows that slide -------------------------------------------------------------------------------


def _bell(size, sigma):
    """exp(−½ (i / sigma)²) around the middle of `size` cells, divided by the sum."""
    height = jnp.exp(-0.5 * jnp.square((jnp.arange(size) - (size - 1) / 2) / sigma))
    return height / jnp.sum(height)


def _slide(x, kernel, padding):
    """Every channel of x (b, h, w, c) under one kernel (k, k)."""
    kernels = jnp.tile(kernel[:, :, None, None].astype(x.dtype), (1, 1, x.shape[-1], 1))
    return windows.depthwise_conv(x, kernels, (1, 1), padding)


@_of_pictures("gaussian_blur(images, kernel_size=(3, 3), sigma=(1.0, 1.0), data_format=None)")
def gaussian_blur(images, kernel_size, sigma):
    """The pictures under a bell of kernel_size cells and width sigma, each (across, down); 0 stands outside."""
    across, down = (_bell(n, width) for n, width in zip(kernel_size, sigma, strict=True))
    return _slide(images, jnp.outer(down, across), "same")


def sobel_edges(images, data_format=None):
    """(b, h, w, c) -> (b, h, w, c, 2): how the brightness grows downwards and to the right. Sobel & Feldman, 1968.

    With channels first (b, c, h, w, 2).
    """
    x, undone = _channels_last(images, data_format)
    across = jnp.outer(jnp.array([1, 2, 1]), jnp.array([-1, 0, 1]))
    return jnp.stack([undone(_slide(x, kernel, "same")) for kernel in (across.T, across)], -1)


def ssim(image1, image2, max_val=1.0, filter_size=11, filter_sigma=1.5, k1=0.01, k2=0.03, data_format=None):
    """The mean of (2 μ₁μ₂ + c₁)(2 σ₁₂ + c₂) / ((μ₁² + μ₂² + c₁)(σ₁² + σ₂² + c₂)). Wang et al., 2004.

    Means and variances are those under a bell of `filter_size` cells that slides over both; c = (k · max_val)². One
    number a picture: 1 where both are the same.
    """
    a, _ = _channels_last(image1, data_format)
    b, _ = _channels_last(image2, data_format)
    kept, kind = a.dtype, jnp.promote_types(a.dtype, jnp.float32)
    a, b = a.astype(kind), b.astype(kind)
    bell = _bell(filter_size, filter_sigma)
    kernel = jnp.outer(bell, bell)

    def mean(x):
        return _slide(x, kernel, "valid")

    over, under = mean(a), mean(b)
    c1, c2 = math.pow(k1 * max_val, 2), math.pow(k2 * max_val, 2)
    spreads = mean(a * a) - over * over + mean(b * b) - under * under + c2
    together = mean(a * b) - over * under
    y = (2 * over * under + c1) * (2 * together + c2) / ((over * over + under * under + c1) * spreads)
    y = jnp.mean(y, (1, 2, 3)).astype(kept)
    return y[0] if jnp.ndim(plain(image1)) == 3 else y


__all__ = [
    "affine_transform", "crop_images", "elastic_transform", "extract_patches", "extract_patches_3d", "gaussian_blur",
    "hsv_to_rgb", "map_coordinates", "pad_images", "perspective_transform", "resize", "rgb_to_grayscale", "rgb_to_hsv",
    "scale_and_translate", "sobel_edges", "ssim",
]  # fmt: skip
