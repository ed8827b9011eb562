"""Pictures as arrays: their size, their colours, their blur, and what their histograms say.

Floor 1. Pictures are (b, h, w, c), or with any axes before h, w, c where nothing else is said. Each picture is
treated alone: no result depends on the other pictures of a batch.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from ..base.report import UsageError

GREY = (0.2989, 0.5870, 0.1140)  # how bright red, green and blue are (ITU-R BT.601)
RESIZES = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic")
TAPS = 9  # a blur of more taps than this is a product with a banded matrix: the program would grow with it


# ---- size -------------------------------------------------------------------------------------------


def resize(images, height, width, interpolation="bilinear", antialias=False):
    """The pictures (…, h, w, c) drawn with `height` rows and `width` columns.

    Cells are squares with their value in the middle; "bicubic" is Keys' cubic with a = -1/2. Where a picture
    shrinks, `antialias` widens the window. Whole numbers become floats, except by "nearest".
    """
    shape = (*images.shape[:-3], height, width, images.shape[-1])
    return images if shape == images.shape else jax.image.resize(images, shape, interpolation, antialias=antialias)


def window(height, width, to_height, to_width):
    """(top, left, rows, columns) of the largest window in the middle with the shape of to_height : to_width."""
    rows = max(min(height, int(float(width * to_height) / to_width)), 1)
    columns = max(min(width, int(float(height * to_width) / to_height)), 1)
    return int((height - rows) / 2), int((width - columns) / 2), rows, columns


def crop(images, top, left, height, width):
    """The window of `height` rows and `width` columns whose first cell is (top, left); these may be traced."""
    start = [0] * (images.ndim - 3) + [top, left, 0]
    return lax.dynamic_slice(images, start, (*images.shape[:-3], height, width, images.shape[-1]))


def pad(images, top, bottom, left, right, fill_value=0.0):
    """The pictures with rows and columns of `fill_value` around them."""
    around = [(0, 0)] * (images.ndim - 3) + [(top, bottom), (left, right), (0, 0)]
    return jnp.pad(images, around, constant_values=fill_value)


def crop_to_ratio(images, to_height, to_width):
    """The largest window in the middle with the shape of to_height : to_width."""
    return crop(images, *window(*images.shape[-3:-1], to_height, to_width))


def pad_to_ratio(images, to_height, to_width, fill_value=0.0):
    """The pictures in the middle of a frame with the shape of to_height : to_width, less an odd row or column."""
    down, across = margins(*images.shape[-3:-1], to_height, to_width)
    return pad(images, down, down, across, across, fill_value)


def margins(height, width, to_height, to_width):
    """(rows above and below, columns on each side) that make the shape of to_height : to_width."""
    down = int((max(height, int(float(width * to_height) / to_width)) - height) / 2)
    across = int((max(width, int(float(height * to_width) / to_height)) - width) / 2)
    return (down, 0) if down else (0, across)


def scale_and_translate(images, shape, scale, translation, spatial_dims, method, antialias=True):
    """The pictures scaled and then moved along `spatial_dims`, drawn into an array of `shape`."""
    return jax.image.scale_and_translate(images, shape, spatial_dims, scale, translation, method, antialias)


def extract_patches(images, size, strides=None, dilation=1, padding="valid"):
    """(b, h, w, c) -> (b, rows, columns, size[0] · size[1] · c): each patch as one vector, row by row.

    "same" puts zeros around, the odd one after. Volumes have three sizes.
    """
    rank = len(size)
    strides = size if strides is None else strides
    dilation = (dilation,) * rank if isinstance(dilation, int) else dilation
    for i in range(rank):
        axis, reach = 2 * i + 1, (size[i] - 1) * dilation[i] + 1  # behind the axes that are two by now
        cells = images.shape[axis]
        if padding == "same":
            missing = max(0, (-(-cells // strides[i]) - 1) * strides[i] + reach - cells)
            around = [(0, 0)] * images.ndim
            around[axis] = (missing // 2, missing - missing // 2)
            images, cells = jnp.pad(images, around), cells + missing
        count = max(0, (cells - reach) // strides[i] + 1)
        places = jnp.arange(count)[:, None] * strides[i] + jnp.arange(size[i]) * dilation[i]
        images = jnp.take(images, places, axis)
    order = (0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1)
    y = images.transpose(order)  # (b, rows, columns, size[0], size[1], c)
    return y.reshape(*y.shape[: rank + 1], math.prod(y.shape[rank + 1 :]))


# ---- colour -----------------------------------------------------------------------------------------


def three(images, what):
    """The red, green and blue planes; a UsageError if there are no three channels."""
    if images.shape[-1] != 3:
        raise UsageError(
            f"{what} needs pictures in three colours", saw=f"an input of shape {images.shape}",
            want="3 channels: red, green, blue",
        )  # fmt: skip
    return images[..., 0], images[..., 1], images[..., 2]


def rgb_to_grayscale(images):
    """0.2989 r + 0.587 g + 0.114 b, (…, 3) -> (…, 1); a picture of one channel stays."""
    if images.shape[-1] == 1:
        return images
    planes = zip(GREY, three(images, "rgb_to_grayscale"), strict=True)
    return sum(share * plane for share, plane in planes)[..., None].astype(images.dtype)


def rgb_to_hsv(images):
    """Hue (0 to 1, red at 0), saturation (0 to 1) and value (the brightest of the three). Smith, 1978."""
    small = jnp.finfo(images.dtype).eps
    red, green, blue = three(jnp.where(jnp.abs(images) < small, 0, images), "rgb_to_hsv")
    value = jnp.maximum(jnp.maximum(red, green), blue)
    spread = value - jnp.minimum(jnp.minimum(red, green), blue)
    coloured = spread > 0
    sixth = 1 / (6 * jnp.where(coloured, spread, 1))
    hue = jnp.where(value == green, (blue - red) * sixth + 1 / 3, (red - green) * sixth + 2 / 3)
    hue = jnp.where(value == red, (green - blue) * sixth, hue)
    hue = jnp.where(coloured, jnp.where(hue < 0, hue + 1, hue), 0)
    saturation = jnp.where(value > 0, spread / jnp.where(value > 0, value, 1), 0)
    return jnp.stack([hue, saturation, value], -1)


def hsv_to_rgb(images):
    """value · (1 − saturation · (1 − d)), d how much of red, green and blue the hue holds."""
    hue, saturation, value = three(images, "hsv_to_rgb")
    turn = jnp.mod(hue, 1) * 6
    held = (jnp.abs(turn - 3) - 1, 2 - jnp.abs(turn - 2), 2 - jnp.abs(turn - 4))
    return jnp.stack([value * (1 - saturation * (1 - jnp.clip(share, 0, 1))) for share in held], -1)


def rescaled(images, old, new):
    """The numbers of the range `old` (low, high), brought to the range `new`."""
    if tuple(old) == tuple(new):
        return images
    return (images - old[0]) * ((new[1] - new[0]) / (old[1] - old[0])) + new[0]


# ---- blur -------------------------------------------------------------------------------------------


def blurred(images, sigma, radius, cut=False):
    """Pictures (b, h, w, c) under a bell of width `sigma`, with nothing outside of them.

    sigma and radius are numbers, or (across, down). A bell has 2 · radius + 1 cells, their sum is 1; where sigma is
    traced, `cut` drops what lies more than about three sigma away.
    """
    sigma = sigma if isinstance(sigma, (tuple, list)) or jnp.ndim(sigma) else (sigma, sigma)
    radius = radius if isinstance(radius, (tuple, list)) else (radius, radius)
    for axis, width, cells in zip((2, 1), sigma, radius, strict=True):
        images = weighed(images, axis, bell(width, cells, cut).astype(images.dtype))
    return images


def bell(sigma, radius, cut=False):
    """exp(−½ (i / sigma)²) for i from −radius to radius, divided by the sum."""
    i = jnp.arange(-radius, radius + 1, dtype=jnp.float32)
    height = jnp.exp(-0.5 * (i / sigma) ** 2)
    height = jnp.where(jnp.abs(i) <= jnp.floor(6 * sigma) // 2, height, 0) if cut else height
    return height / jnp.sum(height)


def weighed(x, axis, taps):
    """y[i] = sum over k of taps[k] · x[i + k − radius] along an axis; 0 stands outside of x.

    Few taps are as many slices, fused into one loop; many are a banded matrix, for a convolution inside a compiled
    loop is slow on a CPU.
    """
    size, radius = x.shape[axis], len(taps) // 2
    if len(taps) <= TAPS:
        around = [(radius, radius) if a == axis else (0, 0) for a in range(x.ndim)]
        wide = jnp.pad(x, around)
        return sum(taps[k] * lax.slice_in_dim(wide, k, k + size, axis=axis) for k in range(len(taps)))
    offset = jnp.arange(size)[None, :] - jnp.arange(size)[:, None] + radius
    band = jnp.where((offset >= 0) & (offset < len(taps)), taps[jnp.clip(offset, 0, len(taps) - 1)], 0)
    return jnp.moveaxis(jnp.tensordot(band, x, ((1,), (axis,))), 0, axis)


# ---- histograms -------------------------------------------------------------------------------------


def histograms(cells, bins):
    """How often each of 0 … bins − 1 stands in each row of `cells`: (groups, n) whole numbers -> (groups, bins)."""
    groups = len(cells)
    place = cells + jnp.arange(groups)[:, None] * bins
    counts = jnp.zeros(groups * bins, jnp.int32).at[place].add(1, mode="promise_in_bounds")
    return counts.reshape(groups, bins)


def looked_up(tables, cells):
    """tables[g, cells[g, i]]: (groups, bins) and (groups, …) -> (groups, …)."""
    start = jnp.arange(len(tables)).reshape(-1, *[1] * (cells.ndim - 1)) * tables.shape[1]
    return tables.reshape(-1).at[start + cells].get(mode="promise_in_bounds")


def planes(images):
    """(b, h, w, c) -> (b · c, h, w): one plane a group."""
    b, h, w, c = images.shape
    return jnp.moveaxis(images, -1, 1).reshape(b * c, h, w)


def unplanes(x, shape):
    """The inverse of `planes`, for pictures of `shape`."""
    b, h, w, c = shape
    return jnp.moveaxis(x.reshape(b, c, h, w), 1, -1)


def equalized(images, bins=256):
    """Each channel of each picture, 0 to 255, so that every brightness is as frequent as any other.

    A cell of bin k becomes 255 · (n(k) − n₀) / (n − n₀), rounded: n(k) counts the cells up to bin k, n₀ those of the
    first bin with any. A plane with cells in one bin only stays as it is.
    """
    x = planes(images)
    cells = jnp.clip((x * ((bins - 1) / 255)).astype(jnp.int32), 0, bins - 1).reshape(len(x), -1)
    counts = histograms(cells, bins)
    below = jnp.cumsum(counts, 1)
    first = jnp.min(jnp.where(below > 0, below, jnp.iinfo(jnp.int32).max), 1, keepdims=True)
    rest = below[:, -1:] - first
    table = jnp.round((below - first).astype(x.dtype) * 255 / jnp.maximum(rest, 1))
    table = jnp.clip(table, 0, 255)
    y = jnp.where(rest[..., None] > 0, looked_up(table, cells).reshape(x.shape), x)
    return unplanes(y, images.shape)


def clahe(images, clip_limit=4.0, grid=(8, 8)):
    """Equalised tile by tile, 0 to 255, what lies between the tiles' middles interpolated. Pizer et al., 1987.

    In each of grid[0] · grid[1] tiles no bin counts more than clip_limit times the mean; what is above is spread
    over all bins. The picture is mirrored at its lower and right edge up to whole tiles.
    """
    b, height, width, c = images.shape
    tile = (-(-height // grid[0]), -(-width // grid[1]))
    around = [(0, 0), (0, tile[0] * grid[0] - height), (0, tile[1] * grid[1] - width)]
    x = jnp.pad(planes(images), around, mode="symmetric")
    cells = jnp.clip(x.astype(jnp.int32), 0, 255)
    tiles = cells.reshape(b * c, grid[0], tile[0], grid[1], tile[1]).swapaxes(2, 3)
    tables = tile_tables(tiles.reshape(-1, tile[0] * tile[1]), clip_limit, images.dtype)
    tables = tables.reshape(b * c, grid[0] * grid[1] * 256)

    (upper, lower, down), (left, right, across) = (
        neighbours(n, cells_of, x.dtype) for n, cells_of in zip(grid, tile, strict=True)
    )

    def equalised_by(row, column):
        return looked_up(tables, (row[:, None] * grid[1] + column) * 256 + cells)

    down = down[:, None]
    top = equalised_by(upper, left) * (1 - across) + equalised_by(upper, right) * across
    bottom = equalised_by(lower, left) * (1 - across) + equalised_by(lower, right) * across
    y = (top * (1 - down) + bottom * down)[:, :height, :width]
    return unplanes(y, images.shape)


def tile_tables(cells, clip_limit, dtype):
    """What each of 256 brightnesses becomes, for each tile: (tiles, n) cells -> (tiles, 256)."""
    n = cells.shape[1]
    counts = histograms(cells, 256).astype(dtype)
    if clip_limit > 0:
        kept = jnp.minimum(counts, clip_limit * n / 256)
        counts = kept + jnp.sum(counts - kept, 1, keepdims=True) / 256
    below = jnp.cumsum(counts, 1)
    first = below[:, :1]
    rest = n - first
    return jnp.clip((below - first) * 255 / jnp.where(rest == 0, 1, rest), 0, 255)


def neighbours(tiles, size, dtype):
    """The two tiles whose middles are nearest to each row of `tiles` · `size`, and how near the second is."""
    place = (jnp.arange(tiles * size, dtype=dtype) - size / 2) / size
    first = jnp.floor(place)
    i = first.astype(jnp.int32)
    return jnp.clip(i, 0, tiles - 1), jnp.clip(i + 1, 0, tiles - 1), place - first
