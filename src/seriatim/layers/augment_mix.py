"""Several augmentations at once: drawn one after another, mixed, or two pictures made into one.

Floor 2. Which augmentations are used is drawn in the trace, once for a batch, so that a step runs only those.
"""

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from ..base import registry
from ..base.fields import Bool, Field, Format, NonNegativeInt, PositiveInt, Real, Refused, Seed
from ..base.report import DataError, UsageError
from .augment import ImageLayer, Looks, Share, ValueRange, as_key, each, uniform
from .augment_colour import (
    AutoContrast,
    Equalization,
    RandomBrightness,
    RandomColorDegeneration,
    RandomContrast,
    RandomPosterization,
    RandomSharpness,
    Solarization,
)
from .augment_geometry import RandomRotation, RandomShear, RandomTranslation, boxes


class Above(Field):
    """A number above 0."""

    want, bad = "a number above 0", 0

    def read(self, value, owner):
        if Real(0).read(value, owner) == 0:
            raise Refused
        return value


Positive = Annotated[Any, Above()]

# ---- one of many ----------------------------------------------------------------------------------------


class Policy(ImageLayer):
    """Abstract: a layer that draws from other layers, made for `factor`, `value_range` and `interpolation`."""

    def validate(self):
        factor, levels, look = self.factor, self.value_range, self.interpolation
        kinds = {
            "random_shear": (RandomShear, factor, factor, look),
            "random_translation": (RandomTranslation, factor, factor, "reflect", look),
            "random_rotation": (RandomRotation, factor, "reflect", look),
            "random_brightness": (RandomBrightness, factor, levels),
            "random_color_degeneration": (RandomColorDegeneration, factor, levels),
            "random_contrast": (RandomContrast, factor, levels),
            "random_sharpness": (RandomSharpness, factor, levels),
            "random_posterization": (RandomPosterization, max(1, int(8 * factor[1])), levels),
            "solarization": (Solarization, factor, factor, levels),
            "auto_contrast": (AutoContrast, levels),
            "equalization": (Equalization, levels),
        }
        self.parts = {
            name: kind(*rest, name=name, bounding_box_format=self.bounding_box_format)
            for name, (kind, *rest) in kinds.items()
            if name in self.used()
        }

    def used(self):
        """The names of the layers that are drawn from."""
        raise NotImplementedError

    @property
    def children(self):
        return self.__dict__.get("parts", {})

    def branches(self, shape, act):
        """One function (x, key) -> act(layer, x, drawn) for each layer, and one that leaves x alone."""

        def branch(part):
            return lambda x, key: act(part, x, part.draw(key, shape))

        return [*map(branch, self.parts.values()), lambda x, key: x]


GEOMETRY = ("random_shear", "random_translation", "random_rotation")
LEVELS = ("random_posterization", "solarization", "auto_contrast", "equalization")
COLOURS = ("random_brightness", "random_color_degeneration", "random_contrast", "random_sharpness")


class RandAugment(Policy):
    """num_ops augmentations one after another, each drawn from eleven, as strong as `factor`. Cubuk et al., 2020.

    One choice for a batch, as in Keras, with a draw for each picture; only what was chosen is computed.
    """

    value_range: ValueRange = (0, 255)
    num_ops: NonNegativeInt = 2
    factor: Share = 0.5
    interpolation: Looks = "bilinear"
    seed: Seed = None
    data_format: Format = None

    def used(self):
        return GEOMETRY + COLOURS + LEVELS

    def draw(self, key, shape):
        which, seed = jax.random.split(key)
        return {"layer_idxes": jax.random.randint(which, (self.num_ops,), 0, len(self.parts)), "seed": seed}

    def change(self, x, drawn):
        return self.through(x, drawn, x.shape, lambda part, x, drawn: part.change(x, drawn))

    def remask(self, masks, drawn):
        return self.through(masks, drawn, masks.shape, lambda part, x, drawn: part.remask(x, drawn))

    def rebox(self, found, drawn, shape):
        found = self.carry(found, shape, lambda *edges: edges)  # of one type, whichever layer comes
        return self.through(found, drawn, shape, lambda part, x, drawn: part.rebox(x, drawn, shape))

    def through(self, x, drawn, shape, act):
        """x after act(layer, x, what the layer draws) for each layer chosen."""
        if self.num_ops == 0:
            return x
        branches, key = self.branches(shape, act), as_key(drawn["seed"])

        def once(i, x):
            return jax.lax.switch(drawn["layer_idxes"][i], branches, x, jax.random.fold_in(key, i))

        return jax.lax.fori_loop(0, self.num_ops, once, x)


class AugMix(Policy):
    """w x + (1 − w) · the weighted mean of num_chains chains of up to chain_depth augmentations.

    Hendrycks et al., 2020. w is drawn from Beta(alpha, alpha), the weights of the chains from Dirichlet(alpha), once
    for a batch, as in Keras.
    A link of a chain is one of eleven augmentations (seven if not `all_ops`) or none. In a compiled step Keras
    chooses the augmentations once and for all; here every step draws its own. A mixture has no segmentation mask and no
    bounding boxes (Keras gives the latter back unmoved).
    """

    value_range: ValueRange = (0, 255)
    num_chains: PositiveInt = 3
    chain_depth: PositiveInt = 3
    factor: Share = 0.3
    alpha: Positive = 1.0
    all_ops: Bool = True
    interpolation: Looks = "bilinear"
    seed: Seed = None
    data_format: Format = None

    def used(self):
        return GEOMETRY + LEVELS + (COLOURS if self.all_ops else ())

    def draw(self, key, shape):
        shares, weight, which, seed = jax.random.split(key, 4)
        alpha = jnp.asarray(self.alpha, jnp.float32)
        return {
            "chain_mixing_weights": jax.random.dirichlet(shares, jnp.full(self.num_chains, alpha)),
            "weight_sample": jax.random.beta(weight, alpha, alpha),
            "layer_idxes": jax.random.randint(which, (self.num_chains, self.chain_depth), 0, len(self.parts) + 1),
            "seed": seed,
        }

    def change(self, x, drawn):
        branches = self.branches(x.shape, lambda part, x, drawn: part.change(x, drawn))
        key = as_key(drawn["seed"])
        shares, weight = (drawn[name].astype(x.dtype) for name in ("chain_mixing_weights", "weight_sample"))

        def chain(i, total):
            def link(j, y):
                return jax.lax.switch(drawn["layer_idxes"][i, j], branches, y, jax.random.fold_in(chain_key, j))

            chain_key = jax.random.fold_in(key, i)
            return total + shares[i] * jax.lax.fori_loop(0, self.chain_depth, link, x)

        mixed = jax.lax.fori_loop(0, self.num_chains, chain, jnp.zeros_like(x))
        return jnp.clip(weight * x + (1 - weight) * mixed, *self.value_range)

    def remask(self, masks, drawn):
        raise self.refusal("segmentation_masks")

    def rebox(self, found, drawn, shape):
        raise self.refusal("bounding_boxes")

    def refusal(self, what):
        return UsageError(
            f"{self.name} (AugMix) mixes pictures of several places, which have no {what}",
            at=self._birthplace, saw=what, want="images and labels", fix="RandAugment(…)",
        )  # fmt: skip


# ---- two pictures into one ------------------------------------------------------------------------------


class Mixture(ImageLayer):
    """Abstract: each picture mixed with another one of its batch, and their labels in the same shares."""

    def forward(self, w, x, call):
        if call.training and call.path:
            raise UsageError(
                f"{self.name} ({type(self).__name__}) mixes the labels too, and in a chain only pictures flow",
                at=self._birthplace, saw="training with it as a layer of the chain",
                want="the layer called on {'images': x, 'labels': y}, y one-hot, before fit",
                fix=f"fit on batches of {type(self).__name__}(…)({{'images': x, 'labels': y}}), from a generator",
            )  # fmt: skip
        return super().forward(w, x, call)

    def relabel(self, labels, drawn):
        if not jnp.issubdtype(labels.dtype, jnp.inexact) and labels.ndim < 2:
            raise DataError(
                f"{self.name} ({type(self).__name__}) cannot mix the numbers of classes",
                at=self._birthplace, saw=f"labels of shape {labels.shape} and type {labels.dtype}",
                want="one-hot labels (b, classes)", fix="seriatim.utils.to_categorical(labels)",
            )  # fmt: skip
        labels = labels if jnp.issubdtype(labels.dtype, jnp.inexact) else labels.astype(jnp.float32)
        own = drawn["mix_weight"].reshape(-1, *[1] * (labels.ndim - 1)).astype(labels.dtype)
        return own * labels + (1 - own) * labels[drawn["permutation_order"]]


class MixUp(Mixture):
    """w x + (1 − w) · another picture of the batch, w drawn from Beta(alpha, alpha); labels alike. Zhang et al., 2018.

    Called on {"images", "labels"}, labels one-hot. Segmentation masks are mixed like one-hot labels; of bounding boxes
    (b, n, 4), those of the other picture follow: (b, 2 n, 4). Keras puts their labels into rows of their own.

    >>> MixUp(seed=1)({"images": jnp.ones((2, 4, 4, 1)), "labels": jnp.eye(2)})["labels"].sum(1).tolist()
    [1.0, 1.0]
    """

    alpha: Positive = 0.2
    data_format: Format = None
    seed: Seed = None

    def draw(self, key, shape):
        weight, order = jax.random.split(key)
        alpha = jnp.asarray(self.alpha, jnp.float32)
        return {
            "mix_weight": jax.random.beta(weight, alpha, alpha, shape[:1]),
            "permutation_order": jax.random.permutation(order, shape[0]),
        }

    def change(self, x, drawn):
        own = each(drawn["mix_weight"]).astype(x.dtype)
        return own * x + (1 - own) * x[drawn["permutation_order"]]

    def remask(self, masks, drawn):
        return self.change(masks if jnp.issubdtype(masks.dtype, jnp.inexact) else masks.astype(jnp.float32), drawn)

    def rebox(self, found, drawn, shape):
        if found["boxes"].shape[0] != len(drawn["permutation_order"]):
            raise DataError(
                f"{self.name} (MixUp) adds the boxes of another picture of the batch", at=self._birthplace,
                saw=f"bounding boxes of shape {found['boxes'].shape}", want="(b, n, 4), b > 1",
            )  # fmt: skip
        return jax.tree.map(lambda v: jnp.concatenate([v, v[drawn["permutation_order"]]], 1), found)


class CutMix(Mixture):
    """A rectangle of each picture taken from another one of the batch; labels in the shares of the areas.

    Yun et al., 2019. The share is drawn from Beta(a, a), a from `factor`. Called on {"images", "labels"}, labels
    one-hot.
    """

    factor: Share = 1.0
    seed: Seed = None
    data_format: Format = None

    def draw(self, key, shape):
        strength, weight, place, order = jax.random.split(key, 4)
        alpha = uniform(strength, 1, self.factor)[0] + 1e-6
        side = jnp.sqrt(1 - jax.random.beta(weight, alpha, alpha, shape[:1]))
        inside, area = boxes(place, (side, side), shape)
        order = jax.random.permutation(order, shape[0])
        return {"batch_masks": inside, "mix_weight": 1 - area, "permutation_order": order}

    def change(self, x, drawn):
        return jnp.where(drawn["batch_masks"], x[drawn["permutation_order"]], x)

    def remask(self, masks, drawn):
        return self.change(masks, drawn)

    def rebox(self, found, drawn, shape):
        raise UsageError(
            f"{self.name} (CutMix) cuts rectangles out of what stands in the boxes",
            at=self._birthplace, saw="bounding_boxes", want="images, labels and segmentation_masks", fix="MixUp(…)",
        )  # fmt: skip


registry.add("layer", RandAugment, AugMix, MixUp, CutMix)
