"""Pictures seen through other coordinates: rotated, moved, zoomed, sheared, in perspective, wobbling.

Floor 1. Pictures are (b, h, w, c). A warp says for each cell of the result where in the picture to look, in cells
from the middle of the first one; what lies between cells is interpolated, what lies outside is filled. Each cell
reads its corners by one flat index and XLA fuses the coordinates into that loop: nothing of the size of a grid is
kept.
"""

import jax
import jax.numpy as jnp
from jax import lax

from .images import blurred

FILLS = ("constant", "nearest", "reflect", "mirror", "wrap")


def inside(index, size, fill_mode):
    """The cell that stands for `index` along an axis of `size` cells, by the way of continuing the picture.

    nearest a|abc|c, reflect ba|abc|cb, mirror cb|abc|ba, wrap bc|abc|ab; "constant" is the nearest cell here.
    """
    if fill_mode == "wrap":
        return jnp.mod(index, size)
    if fill_mode == "reflect":
        index = jnp.mod(index, 2 * size)
        return jnp.minimum(index, 2 * size - 1 - index)
    if fill_mode == "mirror":
        period = max(2 * (size - 1), 1)
        index = jnp.mod(index, period)
        return jnp.minimum(index, period - index) if size > 1 else jnp.zeros_like(index)
    return jnp.clip(index, 0, size - 1)


def sample(image, rows, columns, interpolation="bilinear", fill_mode="constant", fill_value=0.0):
    """One picture (h, w, c) looked at in places (…): (…, c).

    rows, columns: floats, 0 the middle of the first cell. "bilinear" weighs the four cells around; with
    fill_mode="constant" those outside are `fill_value`. Whole numbers are rounded.
    """
    height, width, channels = image.shape
    flat = image.reshape(height * width, channels)

    def at(i, j):
        cell = inside(i, height, fill_mode) * width + inside(j, width, fill_mode)
        found = flat.at[cell].get(mode="promise_in_bounds")
        if fill_mode != "constant":
            return found
        there = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        return jnp.where(there[..., None], found, jnp.asarray(fill_value).astype(image.dtype))

    if interpolation == "nearest":
        return at(nearest_cell(rows), nearest_cell(columns))
    whole = jnp.issubdtype(image.dtype, jnp.integer)
    dtype = jnp.float32 if whole else image.dtype
    top, left = jnp.floor(rows), jnp.floor(columns)
    down, right = ((rows - top)[..., None].astype(dtype), (columns - left)[..., None].astype(dtype))
    i, j = top.astype(jnp.int32), left.astype(jnp.int32)
    upper = at(i, j) * (1 - right) + at(i, j + 1) * right
    lower = at(i + 1, j) * (1 - right) + at(i + 1, j + 1) * right
    y = upper * (1 - down) + lower * down
    return jnp.round(y).astype(image.dtype) if whole else y


def nearest_cell(place):
    """The whole number nearest to `place`, halves away from 0."""
    return (jnp.sign(place) * jnp.floor(jnp.abs(place) + 0.5)).astype(jnp.int32)


def grid(height, width):
    """(row, column) of each cell, as floats (h, w)."""
    return (lax.broadcasted_iota(jnp.float32, (height, width), axis) for axis in (0, 1))


# ---- straight lines stay straight -------------------------------------------------------------------


def affine_transform(images, transform, interpolation="bilinear", fill_mode="constant", fill_value=0.0):
    """y[r, q] = x[(b0 q + b1 r + b2) / k, (a0 q + a1 r + a2) / k], k = c0 q + c1 r + 1

    images (b, h, w, c); transform (b, 8): a0, a1, a2, b0, b1, b2, c0, c1, from the result back to the picture.
    """

    def look(image, t):
        rows, columns = grid(*image.shape[:2])
        k = t[6] * columns + t[7] * rows + 1
        down, across = (t[3] * columns + t[4] * rows + t[5]) / k, (t[0] * columns + t[1] * rows + t[2]) / k
        return sample(image, down, across, interpolation, fill_mode, fill_value)

    return jax.vmap(look)(images, transform)


def forth(transform, x, y):
    """Where the places (x, y) (b, n) of the picture lie in the result, for a transform (b, 8) from the result back.

    (x', y', k) = adj(M) (x, y, 1), M the transform with c2 = 1: the adjugate needs no division by a determinant.
    """
    a0, a1, a2, b0, b1, b2, c0, c1 = (entry[:, None] for entry in transform.T)
    across = (b1 - b2 * c1) * x + (a2 * c1 - a1) * y + (a1 * b2 - a2 * b1)
    down = (b2 * c0 - b0) * x + (a0 - a2 * c0) * y + (a2 * b0 - a0 * b2)
    k = (b0 * c1 - b1 * c0) * x + (a1 * c0 - a0 * c1) * y + (a0 * b1 - a1 * b0)
    k = jnp.where(k == 0, 1e-6, k)  # far away, but a number
    return across / k, down / k


def rotation(angle, height, width):
    """The transform (b, 8) that turns pictures around their middle by `angle` (b,), in radians, anticlockwise."""
    cos, sin, zero = jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    return jnp.stack([cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos, zero, zero], -1)


def shift(down, across):
    """The transform (b, 8) that moves pictures by these numbers of cells (b,)."""
    one, zero = jnp.ones_like(down), jnp.zeros_like(down)
    return jnp.stack([one, zero, -across, zero, one, -down, zero, zero], -1)


def zoom(vertical, horizontal, height, width):
    """The transform (b, 8) that shows `vertical` (b,) of the height and `horizontal` of the width, from the middle."""
    zero = jnp.zeros_like(vertical)
    x, y = (width - 1) / 2 * (1 - horizontal), (height - 1) / 2 * (1 - vertical)
    return jnp.stack([horizontal, zero, x, zero, vertical, y, zero, zero], -1)


def shear(across, down):
    """The transform (b, 8) with which rows slide by `across` (b,) of their height, columns by `down` of their width."""
    one, zero = jnp.ones_like(across), jnp.zeros_like(across)
    return jnp.stack([one, across, zero, down, one, zero, zero, zero], -1)


def homography(start_points, end_points):
    """The transform (b, 8) that brings four points (b, 4, 2), each (x, y), to four others.

    Eight linear equations, two for each point: (x, y) of the start = (a0 u + a1 v + a2, b0 u + b1 v + b2) / k,
    k = c0 u + c1 v + 1, with (u, v) of the end.
    """
    (x, y), (u, v) = (jnp.moveaxis(points.astype(jnp.float32), -1, 0) for points in (start_points, end_points))
    one, zero = jnp.ones_like(u), jnp.zeros_like(u)
    across = jnp.stack([u, v, one, zero, zero, zero, -x * u, -x * v], -1)
    down = jnp.stack([zero, zero, zero, u, v, one, -y * u, -y * v], -1)
    right = jnp.concatenate([x, y], -1)[..., None]
    return jnp.linalg.solve(jnp.concatenate([across, down], -2), right)[..., 0]


def perspective_transform(images, start_points, end_points, interpolation="bilinear", fill_value=0.0):
    """Pictures (b, h, w, c) in which what lay at `start_points` (b, 4, 2), each (x, y), lies at `end_points`."""
    transform = homography(start_points, end_points)
    return affine_transform(images, transform, interpolation, "constant", fill_value)


# ---- and where they do not --------------------------------------------------------------------------


def elastic_transform(
    images, noise, alpha=20.0, sigma=5.0, largest=None, interpolation="bilinear", fill_mode="reflect", fill_value=0.0
):  # fmt: skip
    """y[r, q] = x[(r, q) + alpha · sigma · blurred noise]. Simard, Steinkraus & Platt, 2003.

    images (b, h, w, c); noise (b, h, w, 2): normal numbers, the share of each direction. `sigma` is the width of
    the blur; where it is traced, `largest` bounds it. Keras draws one noise for both directions, so that its
    pictures wobble along a diagonal only.
    """
    moved = alpha * sigma * blurred(noise, sigma, reach(sigma if largest is None else largest), cut=True)

    def look(image, way):
        rows, columns = grid(*image.shape[:2])
        return sample(image, rows + way[..., 0], columns + way[..., 1], interpolation, fill_mode, fill_value)

    return jax.vmap(look)(images, moved)


def reach(sigma):
    """How many cells of a bell of width `sigma` count on each side: about three sigma."""
    return int(6 * sigma) // 2
