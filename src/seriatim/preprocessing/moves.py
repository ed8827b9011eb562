"""One picture turned, moved, sheared, zoomed, or with other colours: NumPy in, NumPy out.

Floor 6. A picture is (c, h, w) unless the axes are given. Random amounts come from NumPy's global generator.
"""

from functools import reduce

import numpy as np
from scipy import ndimage

from ..base.report import DataError, Missing, UsageError
from ..data.images import array_to_img, img_to_array


def apply_affine_transform(
    x, theta=0, tx=0, ty=0, shear=0, zx=1, zy=1, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest",
    cval=0.0, order=1,
):  # fmt: skip
    """The picture whose pixel p is that of x at A p: turned by theta degrees, moved, sheared, zoomed.

    A = rotation · shift · shear · zoom. Between pixels a spline of this `order`; outside of x as scipy's `mode`
    says ("nearest", "constant" with cval, "reflect", "wrap"). As in Keras, A acts on (column, row), about the point
    (h/2, w/2): tx moves columns, and a picture that is not square is not turned about its centre.
    """
    if sorted((row_axis, col_axis, channel_axis)) != [0, 1, 2] or channel_axis == 1:
        raise UsageError(
            "row_axis, col_axis and channel_axis must be distinct, and channels first or last",
            saw=f"{row_axis}, {col_axis}, {channel_axis}",
        )  # fmt: skip
    if x.ndim != 3:
        raise DataError("a picture has three axes", saw=f"shape {x.shape}")
    parts = affine_parts(theta, tx, ty, shear, zx, zy)
    if not parts:
        return x
    down, right = x.shape[row_axis] / 2 - 0.5, x.shape[col_axis] / 2 - 0.5
    matrix = moved_by(down, right) @ reduce(np.matmul, parts) @ moved_by(-down, -right)
    if col_axis > row_axis:
        matrix = matrix[[1, 0, 2]][:, [1, 0, 2]]
    turn, offset = matrix[:2, :2], matrix[:2, 2]
    planes = np.moveaxis(x, channel_axis, 0)
    moved = [ndimage.affine_transform(p, turn, offset, order=order, mode=fill_mode, cval=cval) for p in planes]
    return np.moveaxis(np.stack(moved), 0, channel_axis)


def affine_parts(theta, tx, ty, shear, zx, zy):
    """The (3, 3) matrices of what is asked for, in the order in which they are multiplied."""
    theta, shear = np.deg2rad(theta), np.deg2rad(shear)
    parts = []
    if theta != 0:
        parts.append([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
    if tx != 0 or ty != 0:
        parts.append(moved_by(tx, ty))
    if shear != 0:
        parts.append([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
    if zx != 1 or zy != 1:
        parts.append([[zx, 0, 0], [0, zy, 0], [0, 0, 1]])
    return [np.array(part) for part in parts]


def moved_by(tx, ty):
    return np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])


def random_rotation(
    x, rg, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest", cval=0.0, interpolation_order=1
):
    """The picture turned by up to `rg` degrees."""
    theta = np.random.uniform(-rg, rg)
    return apply_affine_transform(
        x, theta=theta, row_axis=row_axis, col_axis=col_axis, channel_axis=channel_axis, fill_mode=fill_mode,
        cval=cval, order=interpolation_order,
    )  # fmt: skip


def random_shift(
    x, wrg, hrg, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest", cval=0.0, interpolation_order=1
):
    """The picture moved by up to the shares `wrg` of its width and `hrg` of its height."""
    tx = np.random.uniform(-hrg, hrg) * x.shape[row_axis]
    ty = np.random.uniform(-wrg, wrg) * x.shape[col_axis]
    return apply_affine_transform(
        x, tx=tx, ty=ty, row_axis=row_axis, col_axis=col_axis, channel_axis=channel_axis, fill_mode=fill_mode,
        cval=cval, order=interpolation_order,
    )  # fmt: skip


def random_shear(
    x, intensity, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest", cval=0.0, interpolation_order=1
):
    """The picture sheared by up to `intensity` degrees."""
    shear = np.random.uniform(-intensity, intensity)
    return apply_affine_transform(
        x, shear=shear, row_axis=row_axis, col_axis=col_axis, channel_axis=channel_axis, fill_mode=fill_mode,
        cval=cval, order=interpolation_order,
    )  # fmt: skip


def random_zoom(
    x, zoom_range, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest", cval=0.0, interpolation_order=1
):
    """The picture zoomed: rows and columns each by a factor out of zoom_range = (least, most); below 1, it grows."""
    zx, zy = random_pair("zoom_range", zoom_range)
    return apply_affine_transform(
        x, zx=zx, zy=zy, row_axis=row_axis, col_axis=col_axis, channel_axis=channel_axis, fill_mode=fill_mode,
        cval=cval, order=interpolation_order,
    )  # fmt: skip


def random_pair(name, limits):
    """Two factors between the two limits; nothing is drawn for (1, 1)."""
    least, most = two(name, limits)
    return (1, 1) if least == most == 1 else np.random.uniform(least, most, 2)


def two(name, limits):
    """The limits, if they are two."""
    if not isinstance(limits, (tuple, list, np.ndarray)) or len(limits) != 2:
        raise UsageError(f"{name} is two numbers", saw=repr(limits), want="(least, most)")
    return limits


def apply_channel_shift(x, intensity, channel_axis=0):
    """x + intensity, within the least and the largest value of x."""
    return np.clip(x + intensity, x.min(), x.max())


def random_channel_shift(x, intensity_range, channel_axis=0):
    """`apply_channel_shift` by up to `intensity_range`."""
    return apply_channel_shift(x, np.random.uniform(-intensity_range, intensity_range), channel_axis)


def apply_brightness_shift(x, brightness, scale=True):
    """The picture `brightness` times as bright, through 8 bits; scale: its values are first spread over 0 to 255."""
    try:
        from PIL import ImageEnhance
    except ImportError as error:
        raise Missing("brightness is changed by Pillow", fix="pip install 'seriatim[images]'") from error
    least, most = np.min(x), np.max(x)
    outside = least < 0 or most > 255
    image = array_to_img(x, scale=outside or scale)
    y = img_to_array(ImageEnhance.Brightness(image).enhance(brightness))
    return y / 255 * (most - least) + least if outside and not scale else y


def random_brightness(x, brightness_range, scale=True):
    """`apply_brightness_shift` by a factor out of brightness_range = (least, most)."""
    least, most = two("brightness_range", brightness_range)
    return apply_brightness_shift(x, np.random.uniform(least, most), scale)


def flip_axis(x, axis):
    """The picture turned around along an axis."""
    return np.flip(x, axis)
