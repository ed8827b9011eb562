"""Pictures turned, moved, zoomed, sheared, in perspective, wobbling: the same picture from elsewhere, in training.

Floor 2. Each picture has its own draw. Segmentation masks go the same way, every cell still one of the classes.
"""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.fields import Field, Format, Fraction, Number, OneOf, Optional, Real, Refused, Seed
from ..base.report import UsageError
from ..math import warps
from ..math.boxes import around
from .augment import (
    Factor,
    Fills,
    ImageLayer,
    Looks,
    RawFactor,
    Share,
    Signed,
    ValueRange,
    as_key,
    each,
    ends,
    happens,
    uniform,
)  # fmt: skip
from .noise import normal

Zoom = Factor(-1, 1, raw=True, above=-1)


class Fill(Field):
    """A number, or one for each of three channels."""

    want, bad = "a number, or three of them", (1, 2)

    def read(self, value, owner):
        if isinstance(value, (tuple, list)) and len(value) != 3:
            raise Refused
        many = isinstance(value, (tuple, list))
        return tuple(Real().read(number, owner) for number in value) if many else Real().read(value, owner)


class RandomFlip(ImageLayer):
    """The picture mirrored, with a probability of one half: left to right, upside down, or both at once.

    >>> RandomFlip("horizontal", seed=1)(jnp.ones((4, 2, 2, 1))).shape
    (4, 2, 2, 1)
    """

    mode: Annotated[str, OneOf("horizontal", "vertical", "horizontal_and_vertical")] = "horizontal_and_vertical"
    seed: Seed = None
    data_format: Format = None

    def draw(self, key, shape):
        return {"flips": each(jax.random.bernoulli(key, 0.5, shape[:1]))}

    def change(self, x, drawn):
        axes = {"horizontal": (2,), "vertical": (1,), "horizontal_and_vertical": (1, 2)}[self.mode]
        return jnp.where(drawn["flips"], jnp.flip(x, axes), x)

    def remask(self, masks, drawn):
        return self.change(masks, drawn)

    def rebox(self, found, drawn, shape):
        flips = drawn["flips"].reshape(-1, 1, 1)

        def move(x, y, x2, y2):
            if "horizontal" in self.mode:
                x, x2 = jnp.where(flips, shape[2] - x2, x), jnp.where(flips, shape[2] - x, x2)
            if "vertical" in self.mode:
                y, y2 = jnp.where(flips, shape[1] - y2, y), jnp.where(flips, shape[1] - y, y2)
            return x, y, x2, y2

        return self.carry(found, shape, move)


class Warp(ImageLayer):
    """Abstract: each picture looked at through a transform (b, 8) of its own (`math.warps.affine_transform`).

    A box becomes the rectangle around its four corners, which are taken for middles of cells, as in Keras: where the
    picture grows, shrinks or turns, that is up to half a cell (of the old or the new picture) beside its edge.
    """

    fill_mode = "reflect"

    def transform(self, drawn, shape):
        """From the result back to the picture, for pictures of `shape`."""
        raise NotImplementedError

    def warped(self, x, drawn, interpolation):
        transform = self.transform(drawn, x.shape)
        return warps.affine_transform(x, transform, interpolation, self.fill_mode, self.fill_value)

    def change(self, x, drawn):
        return self.warped(x, drawn, self.interpolation)

    def remask(self, masks, drawn):
        return self.warped(masks, drawn, "nearest")

    def rebox(self, found, drawn, shape):
        def move(*edges):
            transform = self.transform(drawn, shape)
            return around(edges, lambda x, y: warps.forth(transform, x, y))

        return self.carry(found, shape, move)


class RandomRotation(Warp):
    """The picture turned around its middle by 2π f, f drawn from `factor`; above 0 is anticlockwise.

    A number f stands for (−f, f).
    """

    factor: Signed
    fill_mode: Fills = "reflect"
    interpolation: Looks = "bilinear"
    seed: Seed = None
    fill_value: Number = 0.0
    data_format: Format = None

    def draw(self, key, shape):
        return {"angle": uniform(key, shape[0], self.factor) * 360}

    def transform(self, drawn, shape):
        return warps.rotation(drawn["angle"] * (np.pi / 180), *shape[1:3])


class RandomTranslation(Warp):
    """The picture moved by drawn shares of its height (above 0: down) and its width (above 0: to the right)."""

    height_factor: RawFactor
    width_factor: RawFactor
    fill_mode: Fills = "reflect"
    interpolation: Looks = "bilinear"
    seed: Seed = None
    fill_value: Number = 0.0
    data_format: Format = None

    def draw(self, key, shape):
        down, across = jax.random.split(key)
        rows = uniform(down, shape[0], ends(self.height_factor)) * shape[1]
        columns = uniform(across, shape[0], ends(self.width_factor)) * shape[2]
        return {"translations": jnp.stack([columns, rows], 1)}

    def transform(self, drawn, shape):
        columns, rows = drawn["translations"].T
        return warps.shift(rows, columns)


class RandomZoom(Warp):
    """The picture zoomed around its middle: 1 + f of its height is seen, f below 0 zooms in.

    width_factor=None zooms width and height alike.
    """

    height_factor: Annotated[Any, Zoom]
    width_factor: Annotated[Any, Optional(Zoom)] = None
    fill_mode: Fills = "reflect"
    interpolation: Looks = "bilinear"
    seed: Seed = None
    fill_value: Number = 0.0
    data_format: Format = None

    def draw(self, key, shape):
        down, across = jax.random.split(key)
        height = 1 + uniform(down, shape[0], ends(self.height_factor))[:, None]
        if self.width_factor is None:
            return {"height_zoom": height, "width_zoom": height}
        return {"height_zoom": height, "width_zoom": 1 + uniform(across, shape[0], ends(self.width_factor))[:, None]}

    def transform(self, drawn, shape):
        return warps.zoom(drawn["height_zoom"][:, 0], drawn["width_zoom"][:, 0], *shape[1:3])


class RandomShear(Warp):
    """The picture slanted: rows slide by x_factor of their distance from the top, columns by y_factor from the left.

    A number f stands for (−f, f). The pair (−f, f), which Keras writes into a config and does not read, is taken too.
    Bounding boxes go with the pixels; in Keras they do so in square pictures that slide one way.
    """

    x_factor: Signed = 0.0
    y_factor: Signed = 0.0
    interpolation: Looks = "bilinear"
    fill_mode: Fills = "reflect"
    fill_value: Number = 0.0
    data_format: Format = None
    seed: Seed = None

    def draw(self, key, shape):
        turn, x, y = jax.random.split(key, 3)
        sign = jnp.where(jax.random.bernoulli(turn, 0.5, shape[:1]), 1.0, -1.0)
        drawn = (uniform(k, shape[0], factor) for k, factor in ((x, self.x_factor), (y, self.y_factor)))
        return {"shear_factor": jnp.stack(list(drawn), 1) * sign[:, None]}

    def transform(self, drawn, shape):
        return warps.shear(*drawn["shear_factor"].T)


class RandomPerspective(Warp):
    """The picture seen from the side: each corner but the first moves by up to scale / 2 of its place.

    `factor`: the probability, or its range.
    """

    fill_mode = "constant"

    factor: Share = 1.0
    scale: Fraction = 1.0
    interpolation: Looks = "bilinear"
    fill_value: Number = 0.0
    seed: Seed = None
    data_format: Format = None

    def draw(self, key, shape):
        applies, moves = jax.random.split(key)
        right, bottom = shape[2] - 1.0, shape[1] - 1.0
        corners = jnp.array([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]])
        move = jax.random.uniform(moves, (shape[0], 4, 2), jnp.float32, -0.5, 0.5) * self.scale
        return {
            "apply_perspective": happens(applies, shape[0], self.factor),
            "start_points": jnp.broadcast_to(corners, move.shape), "end_points": corners * (1 + move),
        }  # fmt: skip

    def transform(self, drawn, shape):
        return warps.homography(drawn["start_points"], drawn["end_points"])

    def warped(self, x, drawn, interpolation):
        return jnp.where(each(drawn["apply_perspective"]), super().warped(x, drawn, interpolation), x)

    def rebox(self, found, drawn, shape):
        def chosen(new, old):
            return jnp.where(drawn["apply_perspective"].reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return jax.tree.map(chosen, super().rebox(found, drawn, shape), found)


class RandomElasticTransform(ImageLayer):
    """The picture as on rubber: each cell moves by smooth noise. Simard, Steinkraus & Platt, 2003.

    With s drawn from `scale`, once for the batch, the noise is blurred over 0.05 s of the shorter side and 0.1 s of the
    longer side strong. `factor`: the probability, or its range. The directions move apart, unlike in Keras, which
    draws one noise for both.
    """

    factor: Share = 1.0
    scale: Share = 1.0
    interpolation: Looks = "bilinear"
    fill_mode: Annotated[str, OneOf(*warps.FILLS)] = "reflect"
    fill_value: Number = 0.0
    value_range: ValueRange = (0, 255)
    seed: Seed = None
    data_format: Format = None

    def draw(self, key, shape):
        applies, strength, seed = jax.random.split(key, 3)
        return {
            "apply_transform": happens(applies, shape[0], self.factor),
            "distortion_factor": uniform(strength, 1, self.scale)[0],
            "seed": seed,
        }

    def warped(self, x, drawn, interpolation):
        scale, (longer, shorter) = drawn["distortion_factor"], (max(x.shape[1:3]), min(x.shape[1:3]))
        widest = 0.05 * shorter  # at a scale of 1, which bounds the traced one
        noise = normal(as_key(drawn["seed"]), (*x.shape[:3], 2), jnp.float32)
        sigma = jnp.maximum(widest * scale, 1e-6)  # a scale of 0 moves nothing, and must not divide by 0
        moved = warps.elastic_transform(
            x, noise, 0.1 * longer * scale, sigma, widest, interpolation, self.fill_mode, self.fill_value
        )
        return jnp.where(each(drawn["apply_transform"]), moved, x)

    def change(self, x, drawn):
        return jnp.clip(self.warped(x, drawn, self.interpolation), *self.value_range)

    def remask(self, masks, drawn):
        return self.warped(masks, drawn, "nearest")

    def rebox(self, found, drawn, shape):
        raise UsageError(
            f"{self.name} (RandomElasticTransform) moves every cell another way, and no rectangle with them",
            at=self._birthplace, saw="bounding_boxes", want="images, labels and segmentation_masks",
        )  # fmt: skip


class RandomErasing(ImageLayer):
    """A rectangle of the picture filled with `fill_value`, or with noise where that is None. Zhong et al., 2017.

    Its height and its width are √s of the picture's, each s drawn from `scale`. `factor`: the probability, or its
    range. The noise is normal, value_range[1] wide, cut at `value_range`.
    """

    factor: Share = 1.0
    scale: Share = (0.02, 0.33)
    fill_value: Annotated[Any, Optional(Fill())] = None
    value_range: ValueRange = (0, 255)
    seed: Seed = None
    data_format: Format = None

    def draw(self, key, shape):
        applies, sizes, place, noise = jax.random.split(key, 4)
        share = jnp.sqrt(jax.random.uniform(sizes, (2, shape[0]), jnp.float32, *self.scale))
        drawn = {"apply_erasing": happens(applies, shape[0], self.factor), "batch_masks": boxes(place, share, shape)[0]}
        if self.fill_value is None:
            fill = normal(noise, shape, jnp.float32) * self.value_range[1]
        else:
            fill = jnp.asarray(self.fill_value, jnp.float32)
        return {**drawn, "fill_value": jnp.clip(fill, *self.value_range)}

    def change(self, x, drawn):
        erased = drawn["batch_masks"] & each(drawn["apply_erasing"])
        return jnp.where(erased, drawn["fill_value"].astype(x.dtype), x)


def boxes(key, shares, shape):
    """(masks, areas): True within a rectangle for each picture, somewhere inside, and its share of the picture.

    shares (2, b) of the width and the height; masks (b, h, w, 1), areas (b,).
    """
    sizes = [share * length for share, length in zip(shares, (shape[2], shape[1]), strict=True)]
    mask = True
    for axis, k, size in zip((2, 1), jax.random.split(key), sizes, strict=True):
        start = each(uniform(k, shape[0], (0.0, 1.0)) * (shape[axis] - size))
        cell = jax.lax.broadcasted_iota(jnp.float32, (1, shape[1], shape[2], 1), axis)
        mask &= (cell >= start) & (cell < start + each(size))
    return mask, sizes[0] * sizes[1] / (shape[1] * shape[2])


registry.add(
    "layer", RandomFlip, RandomRotation, RandomTranslation, RandomZoom, RandomShear, RandomPerspective,
    RandomElasticTransform, RandomErasing,
)  # fmt: skip
