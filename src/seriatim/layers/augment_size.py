"""Pictures of another size, resized or cut, and boxes of another number.

Floor 2. Bounding boxes are cut with the pictures; what is resized carries them along.
"""

from typing import Annotated

import jax
import jax.numpy as jnp

from ..base import registry
from ..base.fields import Bool, Format, Int, Number, OneOf, OptionalText, PositiveInt, Seed
from ..base.report import UsageError
from ..math import images as pictures
from .augment import ImageLayer, Resizes


class Sized(ImageLayer):
    """Abstract: pictures of `height` rows and `width` columns come out, in training and at rest."""

    only_in_training = False
    signature = "b h w c -> b height width c"

    def framed(self, found, shape, top, left, rows, columns):
        """What `rebox` gives where the result shows a window of the picture, which may reach beyond its edges."""

        def move(x, y, x2, y2):
            across, down = self.width / columns, self.height / rows
            return (x - left) * across, (y - top) * down, (x2 - left) * across, (y2 - top) * down

        return self.carry(found, shape, move, (self.height, self.width))


class Resizing(Sized):
    """The pictures drawn with `height` rows and `width` columns.

    b h w c -> b height width c. crop_to_aspect_ratio takes the largest window in the middle of the new shape first,
    pad_to_aspect_ratio puts `fill_value` around. Whole numbers stay, rounded. "bicubic" is Keys' cubic, a = -1/2.

    >>> Resizing(2, 3).compute_output_shape((None, 8, 8, 1))
    (None, 2, 3, 1)
    """

    keeps_whole = True

    height: PositiveInt
    width: PositiveInt
    interpolation: Resizes = "bilinear"
    crop_to_aspect_ratio: Bool = False
    pad_to_aspect_ratio: Bool = False
    fill_mode: Annotated[str, OneOf("constant")] = "constant"
    fill_value: Number = 0.0
    antialias: Bool = False
    data_format: Format = None

    def validate(self):
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            raise UsageError(
                "Resizing crops or pads, not both", at=self._birthplace,
                saw="crop_to_aspect_ratio=True, pad_to_aspect_ratio=True", want="at most one of them",
            )  # fmt: skip

    def change(self, x, drawn):
        return self.resized(x, self.interpolation)

    def resized(self, x, interpolation):
        if self.crop_to_aspect_ratio:
            x = pictures.crop_to_ratio(x, self.height, self.width)
        if self.pad_to_aspect_ratio:
            x = pictures.pad_to_ratio(x, self.height, self.width, self.fill_value)
        return pictures.resize(x, self.height, self.width, interpolation, self.antialias)

    def remask(self, masks, drawn):
        return self.resized(masks, "nearest")

    def rebox(self, found, drawn, shape):
        rows, columns = shape[1:3]
        frame = (0, 0, rows, columns)
        if self.crop_to_aspect_ratio:
            frame = pictures.window(rows, columns, self.height, self.width)
        if self.pad_to_aspect_ratio:
            down, across = pictures.margins(rows, columns, self.height, self.width)
            frame = (-down, -across, rows + 2 * down, columns + 2 * across)
        return self.framed(found, shape, *frame)


class CenterCrop(Sized):
    """The window of `height` rows and `width` columns in the middle; smaller pictures as RandomCrop does it.

    b h w c -> b height width c.
    """

    height: PositiveInt
    width: PositiveInt
    data_format: Format = None

    def change(self, x, drawn, interpolation="bilinear"):
        down, across = x.shape[1] - self.height, x.shape[2] - self.width
        if down < 0 or across < 0:
            return fitted(x, self.height, self.width, interpolation)
        return pictures.crop(x, down // 2, across // 2, self.height, self.width)

    def remask(self, masks, drawn):
        return self.change(masks, drawn, "nearest")

    def rebox(self, found, drawn, shape):
        down, across = shape[1] - self.height, shape[2] - self.width
        if down < 0 or across < 0:
            return self.framed(found, shape, *pictures.window(*shape[1:3], self.height, self.width))
        return self.framed(found, shape, down // 2, across // 2, self.height, self.width)


class RandomCrop(Sized):
    """A window of `height` rows and `width` columns, for each picture another one, in training.

    b h w c -> b height width c. At rest, and where a picture is smaller: the largest window in the middle with the
    shape of the result, resized. Keras has one window for the whole batch, stretches smaller pictures, and at rest
    gives the pictures back as they are although it promises cropped ones; its boxes move by the row across and by the
    column down.
    """

    height: PositiveInt
    width: PositiveInt
    seed: Seed = None
    data_format: Format = None
    name: OptionalText = None

    def draw(self, key, shape):
        down, across = shape[1] - self.height, shape[2] - self.width
        if key is None or down < 0 or across < 0:
            return {}
        keys = jax.random.split(key)
        starts = (jax.random.randint(k, shape[:1], 0, n + 1) for k, n in zip(keys, (down, across), strict=True))
        return dict(zip(("h_start", "w_start"), starts, strict=True))

    def change(self, x, drawn, interpolation="bilinear"):
        if "h_start" not in drawn:
            return fitted(x, self.height, self.width, interpolation)

        def cut(image, top, left):
            return pictures.crop(image, top, left, self.height, self.width)

        return jax.vmap(cut)(x, drawn["h_start"], drawn["w_start"])

    def remask(self, masks, drawn):
        return self.change(masks, drawn, "nearest")

    def rebox(self, found, drawn, shape):
        if "h_start" not in drawn:
            return self.framed(found, shape, *pictures.window(*shape[1:3], self.height, self.width))
        top, left = (drawn[name].reshape(-1, 1, 1) for name in ("h_start", "w_start"))
        return self.framed(found, shape, top, left, self.height, self.width)


def fitted(x, height, width, interpolation="bilinear"):
    """The largest window in the middle with the shape of height : width, resized to that."""
    return pictures.resize(pictures.crop_to_ratio(x, height, width), height, width, interpolation)


class MaxNumBoundingBoxes(ImageLayer):
    """The first `max_number` bounding boxes of each picture, or its boxes and then rows of `fill_value`.

    {"images", "bounding_boxes"} -> the same with boxes (b, max_number, 4) and labels (b, max_number); pictures alone
    stay. Keras does not write `fill_value` into a config; here it stands there unless it is −1.

    >>> found = {"boxes": jnp.ones((1, 1, 4)), "labels": jnp.ones((1, 1), int)}
    >>> MaxNumBoundingBoxes(3)({"images": jnp.ones((1, 2, 2, 1)), "bounding_boxes": found})["bounding_boxes"]["labels"]
    Array([[ 1, -1, -1]], dtype=int32)
    """

    only_in_training = False
    keeps_whole = True

    max_number: PositiveInt
    fill_value: Int = -1

    def get_config(self):
        config = super().get_config()
        if config["fill_value"] == -1:
            config.pop("fill_value")
        return config

    def change(self, x, drawn):
        return x

    def rebox(self, found, drawn, shape):
        def fit(value):
            value = value[:, : self.max_number]
            around = [(0, 0)] * value.ndim
            around[1] = (0, self.max_number - value.shape[1])
            return jnp.pad(value, around, constant_values=self.fill_value)

        return jax.tree.map(fit, found)


registry.add("layer", Resizing, CenterCrop, RandomCrop, MaxNumBoundingBoxes)
