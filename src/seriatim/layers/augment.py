"""Layers for pictures: what all of them share, and those that change the size.

Floor 2. A member says what it draws for a batch (`draw`) and what it does with it (`change`); both are pure and traced,
so that pictures are augmented inside the compiled step. Called alone, on one picture or a batch or a dict of
{"images", "labels", "segmentation_masks"}, a layer augments unless `training=False`, as in Keras.

A `seed` fixes the draws: in a chain it is folded into the key of the step; outside, the n-th call of a layer gives the
same as the n-th call of another one with that seed. The numbers are not those of Keras, whose generators are others.
Pictures come out in the compute type of the layer, whole numbers too (only Resizing and the adaptive equalization
keep the type of whole numbers, rounded).
"""

import copy
import functools
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.fields import Bool, Field, Format, Number, OneOf, OptionalText, PositiveInt, Real, Refused, Seed
from ..base.report import UsageError
from ..base.settings import next_seed
from ..base.signature import check_rank
from ..math import images as pictures
from ..math.moments import full
from ..math.windows import first_to_last, last_to_first
from .infer import KerasTensor
from .layer import symbol
from .noise import Seeded
from .variable import Variable, is_traced

HOLDS = ("images", "labels", "segmentation_masks")  # what a dict may hold that a layer changes


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

    # ---- in a chain ----

    def forward(self, w, x, call):
        rest = call.training is not None and not call.training  # None: a chain called, and nobody said
        return self.flow({"images": x}, None if rest else self.own_key(call.key))["images"]

    def flow(self, data, key):
        """The entries of `data` after one draw; at rest, there is no key."""
        x = data["images"]
        if self.idle(key is not None):
            return {**data, "images": self.settle(x, x.dtype)}
        drawn = self.draw(key, first_to_last_shape(x.shape, self.data_format))
        done = {"images": self.changed(x, drawn)}
        if "labels" in data:
            done["labels"] = self.relabel(data["labels"], drawn)
        if "segmentation_masks" in data:
            masks = first_to_last(data["segmentation_masks"], self.data_format)
            done["segmentation_masks"] = last_to_first(self.remask(masks, drawn), self.data_format)
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
        named = {name: jnp.asarray(data[name]) for name in HOLDS if name in data}
        self.check_dict(data)
        single = named["images"].ndim == 3
        if single:
            named = {name: value[None] for name, value in named.items()}
        if context is not None and training is None:
            training = bool(context.training)
        done = self.alone(named, training)
        return {**data, **({name: value[0] for name, value in done.items()} if single else done)}

    def check_dict(self, data):
        if "images" not in data or "bounding_boxes" in data:
            raise UsageError(
                f"{self.name} ({type(self).__name__}) cannot take this dict",
                at=self._birthplace, saw=f"a dict with {', '.join(map(str, data))}",
                want="images; labels and segmentation_masks go with them, bounding boxes do not",
            )  # fmt: skip

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
        if self.seed is None:
            return jax.random.key(next_seed())
        calls = self.__dict__.get("_calls", 0)
        self.__dict__["_calls"] = calls + 1
        return self.own_key(jax.random.key(calls))

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
        return self.draw(key, first_to_last_shape(shape, self.data_format))

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


# ---- size -----------------------------------------------------------------------------------------------


class Sized(ImageLayer):
    """Abstract: pictures of `height` rows and `width` columns come out, in training and at rest."""

    only_in_training = False
    signature = "b h w c -> b height width c"


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


class RandomCrop(Sized):
    """A window of `height` rows and `width` columns, for each picture another one, in training.

    b h w c -> b height width c. At rest, and where a picture is smaller: the largest window in the middle with the
    shape of the result, resized. Keras has one window for the whole batch, stretches smaller pictures, and at rest
    gives the pictures back as they are although it promises cropped ones.
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
        if not drawn:
            return fitted(x, self.height, self.width, interpolation)

        def cut(image, top, left):
            return pictures.crop(image, top, left, self.height, self.width)

        return jax.vmap(cut)(x, drawn["h_start"], drawn["w_start"])

    def remask(self, masks, drawn):
        return self.change(masks, drawn, "nearest")


def fitted(x, height, width, interpolation="bilinear"):
    """The largest window in the middle with the shape of height : width, resized to that."""
    return pictures.resize(pictures.crop_to_ratio(x, height, width), height, width, interpolation)


registry.add("layer", Resizing, CenterCrop, RandomCrop)
