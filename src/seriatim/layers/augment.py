"""Layers for pictures: what all of them share.

Floor 2. A member says what it draws for a batch (`draw`) and what it does with it (`change`); both are pure and traced,
so that pictures are augmented inside the compiled step. Called alone, on one picture or a batch or a dict of
{"images", "labels", "segmentation_masks", "bounding_boxes": {"boxes", "labels"}}, a layer augments unless
`training=False`, as in Keras. Boxes move as the pixels do: `bounding_box_format` says how they are written
(`seriatim.utils.bounding_boxes`), float32 come out, cut at the edges; the label of a box that is gone is −1.

A `seed` fixes the draws of each step of training; outside, the n-th call of a layer gives the same as the n-th call of
another one with that seed. The numbers are not those of Keras, whose generators are others.
Pictures come out in the compute type of the layer, whole numbers too (only Resizing and the adaptive equalization
keep the type of whole numbers, rounded).
"""

import copy
import functools
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..base.fields import Field, Format, OneOf, Optional, Real, Refused
from ..base.report import DataError, UsageError
from ..base.signature import check_rank
from ..math import boxes
from ..math import images as pictures
from ..math.moments import full
from ..math.windows import first_to_last, last_to_first
from .contract import Call
from .infer import KerasTensor
from .layer import symbol
from .noise import Seeded
from .variable import Variable, is_traced

HOLDS = ("images", "labels", "segmentation_masks", "bounding_boxes")  # what a dict may hold that a layer changes


# ---- arguments ----------------------------------------------------------------------------------------


class Factor(Field):
    """The ends of a range that is drawn from: (low, high), or a number f for (−f, f), no end below `low`.

    `raw`: the attribute holds what was given, as in Keras; `ends` reads it.
    """

    def __init__(self, low=-1, high=1, raw=False, above=None):
        self.low, self.high, self.raw, self.above = low, high, raw, above
        self.want = f"a number from {low} to {high}, or two of them"
        self.bad = high + 1

    def read(self, value, owner):
        pair = isinstance(value, (tuple, list))
        if pair and len(value) != 2:
            raise Refused
        numbers = [Real(self.low, self.high).read(number, owner) for number in (value if pair else (value,))]
        if self.above is not None and min(numbers) <= self.above:
            raise Refused
        if self.raw:
            return tuple(value) if pair else value
        return tuple(sorted(numbers)) if pair else (max(-abs(value), self.low), abs(value))


def ends(value):
    """(low, high) of a raw factor."""
    return tuple(sorted(value)) if isinstance(value, (tuple, list)) else (-abs(value), abs(value))


class Range(Field):
    """The lowest and the highest value of a picture."""

    want, bad = "two numbers, the lowest and the highest value of a picture", (0, 1, 2)

    def read(self, value, owner):
        if not isinstance(value, (tuple, list, np.ndarray)) or len(value) != 2:
            raise Refused
        return tuple(sorted(Real().read(number, owner) for number in value))


Signed = Annotated[Any, Factor(-1, 1)]
Share = Annotated[Any, Factor(0, 1)]
RawFactor = Annotated[Any, Factor(-1, 1, raw=True)]
ValueRange = Annotated[Any, Range()]
Looks = Annotated[str, OneOf("bilinear", "nearest")]
Fills = Annotated[str, OneOf("reflect", "wrap", "constant", "nearest")]
Resizes = Annotated[str, OneOf(*pictures.RESIZES)]
BoxFormat = Annotated[str | None, Optional(OneOf(*boxes.NAMES))]


# ---- draws ----------------------------------------------------------------------------------------------


def uniform(key, count, between):
    """`count` numbers, spread evenly between two ends."""
    return jax.random.uniform(key, (count,), jnp.float32, *between)


def happens(key, count, factor):
    """`count` times True or False; how probable True is, is itself drawn from `factor`."""
    threshold, chance = jax.random.split(key)
    return uniform(threshold, count, (0.0, 1.0)) < uniform(chance, count, factor)


def each(values):
    """(b,) as (b, 1, 1, 1): one value for each picture."""
    return values.reshape(-1, 1, 1, 1)


def as_key(seed):
    """A JAX key from one, from a whole number, or from a SeedGenerator."""
    if hasattr(seed, "next"):
        return seed.next()
    return (
        seed
        if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key)
        else jax.random.key(seed)
    )


# ---- what all have in common --------------------------------------------------------------------------


class ImageLayer(Seeded, keyword=True):
    """Abstract: y = change(x, draw(key, shape)) of pictures (b, h, w, c), at rest too unless `only_in_training`."""

    signature = "b h w c -> b h w c"
    single = 3
    full_precision = True
    only_in_training: ClassVar[bool] = True
    keeps_whole: ClassVar[bool] = False  # True: whole numbers keep their type

    data_format: Format = None
    bounding_box_format: BoxFormat = None

    def get_config(self):
        """As in Keras, without a format of boxes where there is none."""
        config = super().get_config()
        if config["bounding_box_format"] is None:
            config.pop("bounding_box_format")
        return config

    # ---- what a member writes ----

    def draw(self, key, shape):
        """What is decided by chance for pictures of `shape` (b, h, w, c): a dict of arrays. At rest, key is None."""
        return {}

    def change(self, x, drawn):
        """The pictures (b, h, w, c), floats, after what was drawn."""
        raise NotImplementedError

    def relabel(self, labels, drawn):
        """The labels of the pictures, after what was drawn."""
        return labels

    def remask(self, masks, drawn):
        """The segmentation masks (b, h, w, c) of the pictures; most layers leave the places alone."""
        return masks

    def rebox(self, found, drawn, shape):
        """{"boxes", "labels"} of the pictures, which had `shape` (b, h, w, c); most layers leave the places alone."""
        return found

    def carry(self, found, shape, move, after=None):
        """What `rebox` gives where `move` takes left, top, right, bottom (b, n, 1) in pixels to the same.

        after: (height, width) of the pictures that come out, if not those of `shape`.
        """
        if self.bounding_box_format is None:
            raise UsageError(
                f"{self.name} ({type(self).__name__}) moves bounding boxes", at=self._birthplace,
                saw="no bounding_box_format", want=" or ".join(map(repr, boxes.NAMES)),
                fix=f"{type(self).__name__}(…, bounding_box_format='xyxy')",
            )  # fmt: skip
        if found["boxes"].ndim != 3:
            raise DataError(
                f"{self.name} ({type(self).__name__}) moves the boxes of each picture", at=self._birthplace,
                saw=f"bounding boxes of shape {found['boxes'].shape}", want="(b, n, 4) with a batch of pictures",
            )  # fmt: skip
        return boxes.carried(found, self.bounding_box_format, shape[1:3], after or shape[1:3], move)

    # ---- in a chain ----

    def forward(self, w, x, call):
        rest = call.training is not None and not call.training  # None: a chain called, and nobody said
        return self.flow({"images": x}, None if rest else self.own_key(call))["images"]

    def flow(self, data, key):
        """The entries of `data` after one draw; at rest, there is no key."""
        x = data["images"]
        if self.idle(key is not None):
            return {**data, "images": self.settle(x, x.dtype)}
        shape = first_to_last_shape(x.shape, self.data_format)
        drawn = self.draw(key, shape)
        done = {"images": self.changed(x, drawn)}
        if "labels" in data:
            done["labels"] = self.relabel(data["labels"], drawn)
        if "segmentation_masks" in data:
            masks = first_to_last(data["segmentation_masks"], self.data_format)
            done["segmentation_masks"] = last_to_first(self.remask(masks, drawn), self.data_format)
        if "bounding_boxes" in data:
            done["bounding_boxes"] = self.rebox(data["bounding_boxes"], drawn, shape)
        return done

    def idle(self, training):
        return self.only_in_training and not training

    def changed(self, x, drawn):
        y = self.change(full(first_to_last(x, self.data_format), self.variable_dtype), drawn)
        return self.settle(last_to_first(y, self.data_format), x.dtype)

    def settle(self, y, dtype):
        """Pictures in the type in which they leave the layer, having come as `dtype`."""
        if not (self.keeps_whole and jnp.issubdtype(dtype, jnp.integer)):
            return y.astype(self.compute_dtype)
        limits = jnp.iinfo(dtype)
        return y if y.dtype == dtype else jnp.clip(jnp.round(y), limits.min, limits.max).astype(dtype)

    # ---- alone ----

    def __call__(self, data, training=None, mask=None):
        """Pictures, or a dict of pictures and what belongs to them; one picture needs no batch axis."""
        data = symbol(data)
        if isinstance(data, KerasTensor):
            return super().__call__(data)
        context = self.__dict__.get("_context")
        if not isinstance(data, dict):
            x = data.value if isinstance(data, Variable) else data
            single = np.ndim(x) == 3
            x = jnp.asarray(x)[None] if single else x
            if context is not None:
                y = super().__call__(x, training)
            else:
                y = self.alone({"images": x}, training)["images"]
            return y[0] if single else y
        if "images" not in data:
            raise UsageError(
                f"{self.name} ({type(self).__name__}) cannot take this dict",
                at=self._birthplace, saw=f"a dict with {', '.join(map(str, data))}",
                want="images; labels, segmentation_masks and bounding_boxes go with them",
            )  # fmt: skip
        named = {
            name: arrays_of(data[name]) if name == "bounding_boxes" else jnp.asarray(data[name])
            for name in HOLDS
            if name in data
        }
        single = named["images"].ndim == 3
        if single:
            named = jax.tree.map(lambda value: value[None], named)
        if context is not None and training is None:
            training = bool(context.training)
        done = self.alone(named, training)
        return {**data, **(jax.tree.map(lambda value: value[0], done) if single else done)}

    def alone(self, data, training):
        """The entries of `data` outside of a chain: compiled for their shapes, except for a class of a user."""
        shape = tuple(data["images"].shape)
        check_rank(self, self.signature, shape)
        self.allocate(shape)
        key = self.next_key() if training is None or training else None
        if type(self).__module__.startswith("seriatim.") and not is_traced(data["images"]):
            return compiled(Frozen(self), data, key)
        return self.flow(data, key)

    def next_key(self):
        """The key of the next call outside of a chain."""
        return self.own_key(Call(step=self.next_call()))

    # ---- Keras's words for the two halves ----

    def get_random_transformation(self, data, training=True, seed=None):
        """What is drawn for these pictures, to be given to `transform_images` and the others."""
        if self.idle(training):
            return None
        x = data["images"] if isinstance(data, dict) else data
        shape = tuple(x.shape) if len(x.shape) == 4 else (1, *x.shape)
        if not training:
            key = None
        else:
            key = self.next_key() if seed is None else as_key(seed)
        return {**self.draw(key, first_to_last_shape(shape, self.data_format)), "input_shape": shape}

    def transform_images(self, images, transformation=None, training=True):
        """The pictures after what `get_random_transformation` drew."""
        images = jnp.asarray(images)
        if self.idle(training):
            return self.settle(images, images.dtype)
        single = images.ndim == 3
        y = self.changed(images[None] if single else images, as_arrays(transformation))
        return y[0] if single else y

    def transform_labels(self, labels, transformation=None, training=True):
        """The labels after what was drawn."""
        return labels if self.idle(training) else self.relabel(jnp.asarray(labels), as_arrays(transformation))

    def transform_segmentation_masks(self, segmentation_masks, transformation=None, training=True):
        """The masks after what was drawn, every cell still one of the classes."""
        if self.idle(training):
            return segmentation_masks
        masks = first_to_last(jnp.asarray(segmentation_masks), self.data_format)
        return last_to_first(self.remask(masks, as_arrays(transformation)), self.data_format)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """{"boxes", "labels"} after what was drawn, of pictures of transformation["input_shape"]."""
        if self.idle(training):
            return bounding_boxes
        if "input_shape" not in (transformation or {}):
            raise UsageError(
                "the transformation does not say of which pictures it is", saw=repr(transformation),
                want="input_shape, as get_random_transformation gives it",
            )  # fmt: skip
        shape = (1, *(int(size) for size in transformation["input_shape"][-3:]))
        shape, found = first_to_last_shape(shape, self.data_format), arrays_of(bounding_boxes)
        single = found["boxes"].ndim == 2
        if single:
            found = jax.tree.map(lambda value: value[None], found)
        done = self.rebox(found, as_arrays(transformation), shape)
        return jax.tree.map(lambda value: value[0], done) if single else done


def arrays_of(found):
    """{"boxes", "labels"} as arrays, the boxes float32."""
    if not isinstance(found, dict) or not {"boxes", "labels"} <= set(found):
        raise UsageError(
            "bounding_boxes has boxes (b, n, 4) and labels (b, n)",
            saw=f"a dict with {', '.join(map(str, found))}" if isinstance(found, dict) else repr(type(found)),
            fix="{'images': x, 'bounding_boxes': {'boxes': …, 'labels': …}}",
        )  # fmt: skip
    try:
        return {name: jnp.asarray(value, "float32" if name == "boxes" else None) for name, value in found.items()}
    except (TypeError, ValueError) as error:
        raise DataError(
            "the bounding boxes of a batch are one array", saw=str(error).splitlines()[0],
            fix="MaxNumBoundingBoxes(n), called on each picture with its boxes, gives all of them n boxes",
        ) from error  # fmt: skip


def as_arrays(drawn):
    """What a user gives as a transformation, with arrays for numbers and lists."""
    if not isinstance(drawn, dict):
        return drawn
    kinds = (list, tuple, bool, int, float, np.ndarray, np.generic)
    return {name: jnp.asarray(value) if isinstance(value, kinds) else value for name, value in drawn.items()}


def first_to_last_shape(shape, data_format):
    return shape if data_format == "channels_last" else (shape[0], *shape[2:], shape[1])


def augments(layers):
    """Whether one of these layers draws: a chain with one, called, augments unless told not to, as in Keras."""
    return any(isinstance(layer, ImageLayer) and "seed" in layer.constructor for layer in layers)


class Frozen:
    """A layer as it is now, equal to every other one with the same class and configuration."""

    def __init__(self, layer):
        config = {**layer.get_config(), "name": None, "seed": None}
        self.layer, self.words = copy.copy(layer), (type(layer), repr(config), layer.variable_dtype)

    def __eq__(self, other):
        return self.words == other.words

    def __hash__(self):
        return hash(self.words)


@functools.partial(jax.jit, static_argnums=0)
def compiled(frozen, data, key):
    return frozen.layer.flow(data, key)
