"""Pictures brighter, greyer, sharper, of another hue: other colours in the same places.

Floor 2. Those that draw do so in training alone, each picture for itself; AutoContrast and the two equalizations
draw nothing and act at rest too.
"""

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from ..base import registry
from ..base.fields import Field, Format, Fraction, NonNegative, Optional, PositiveInt, Refused, Seed, Whole
from ..math import images as pictures
from .augment import Factor, ImageLayer, Share, Signed, ValueRange, each, happens, uniform

Bits = Annotated[Any, Factor(1, 8)]
OptionalSigned = Annotated[Any, Optional(Factor(-1, 1, raw=True))]
OptionalShare = Annotated[Any, Optional(Factor(0, 1, raw=True))]
BYTES = (0, 255)


class OddSizes(Field):
    """An odd whole number, or two: (across, down)."""

    want, bad = "an odd whole number, or two of them", 4

    def read(self, value, owner):
        sizes = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        if len(sizes) != 2 or any(Whole(1).read(size, owner) % 2 == 0 for size in sizes):
            raise Refused
        return sizes


class Pair(Field):
    """Two positive whole numbers."""

    want, bad = "two positive whole numbers", (8,)

    def read(self, value, owner):
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise Refused
        return tuple(Whole(1).read(size, owner) for size in value)


# ---- light ----------------------------------------------------------------------------------------------


class RandomBrightness(ImageLayer):
    """x + f · (high − low), f drawn from `factor` (a number f stands for (−f, f)), cut at value_range = (low, high)."""

    factor: Signed
    value_range: ValueRange = (0, 255)
    seed: Seed = None

    def draw(self, key, shape):
        low, high = self.value_range
        return {"rgb_delta": each(uniform(key, shape[0], self.factor)) * (high - low)}

    def change(self, x, drawn):
        return jnp.clip(x + drawn["rgb_delta"], *self.value_range)


class RandomContrast(ImageLayer):
    """(x − mean) · f + mean for each channel, f drawn from 1 − factor[0] to 1 + factor[1], cut at `value_range`.

    A number f stands for (0, f), as in Keras: contrast grows only; (f, f) for both ways.
    """

    factor: Share
    value_range: ValueRange = (0, 255)
    seed: Seed = None

    def draw(self, key, shape):
        return {"contrast_factor": each(uniform(key, shape[0], (1 - self.factor[0], 1 + self.factor[1])))}

    def change(self, x, drawn):
        mean = jnp.mean(x, (1, 2), keepdims=True)
        return jnp.clip((x - mean) * drawn["contrast_factor"] + mean, *self.value_range)


class AutoContrast(ImageLayer):
    """Each channel of each picture stretched over `value_range`; a channel of one value stays.

    Keras stretches channels_first pictures column by column.
    """

    only_in_training = False

    value_range: ValueRange = (0, 255)

    def change(self, x, drawn):
        low, high = jnp.min(x, (1, 2), keepdims=True), jnp.max(x, (1, 2), keepdims=True)
        flat = high == low
        share = (x - low) / jnp.where(flat, 1, high - low)
        return jnp.where(flat, x, pictures.rescaled(share, (0, 1), self.value_range))


class Equalization(ImageLayer):
    """Each channel of each picture with all brightnesses equally frequent, in `bins` steps, at rest too.

    Keras equalizes a batch as if it were one picture, and, against its documentation, in training only.
    """

    only_in_training = False

    value_range: ValueRange = (0, 255)
    bins: PositiveInt = 256
    data_format: Format = None

    def change(self, x, drawn):
        x = pictures.rescaled(x, self.value_range, BYTES)
        return pictures.rescaled(pictures.equalized(x, self.bins), BYTES, self.value_range)


class ContrastLimitedAdaptiveHistogramEqualization(ImageLayer):
    """Each channel equalized tile by tile, no brightness more than clip_limit times as frequent as the mean (CLAHE).

    Pizer et al., 1987. tile_grid_size: tiles down and across. Whole numbers stay, rounded (Keras cuts them off).
    """

    only_in_training = False
    keeps_whole = True

    value_range: ValueRange = (0, 255)
    clip_limit: NonNegative = 4.0
    tile_grid_size: Annotated[Any, Pair()] = (8, 8)
    data_format: Format = None

    def change(self, x, drawn):
        x = pictures.rescaled(x, self.value_range, BYTES)
        return pictures.rescaled(pictures.clahe(x, self.clip_limit, self.tile_grid_size), BYTES, self.value_range)


class Solarization(ImageLayer):
    """In the range 0 to 255: x + a, cut at the ends, and what is then t or more inverted, 255 − x.

    a and t are 255 times numbers drawn from addition_factor and threshold_factor; a number f stands for (0, f). Keras
    leaves the lower end of both unscaled.
    """

    addition_factor: Share = 0.0
    threshold_factor: Share = 0.0
    value_range: ValueRange = (0, 255)
    seed: Seed = None

    def draw(self, key, shape):
        keys = jax.random.split(key)
        factors = (self.addition_factor, self.threshold_factor)
        drawn = (each(uniform(k, shape[0], factor)) * 255 for k, factor in zip(keys, factors, strict=True))
        return dict(zip(("additions", "thresholds"), drawn, strict=True))

    def change(self, x, drawn):
        x = jnp.clip(pictures.rescaled(x, self.value_range, BYTES) + drawn["additions"], *BYTES)
        x = jnp.where(x < drawn["thresholds"], x, 255 - x)
        return pictures.rescaled(x, BYTES, self.value_range)


class RandomPosterization(ImageLayer):
    """Only the first n of the 8 bits of each value are kept, n drawn from factor[0] … factor[1] − 1, or factor[0].

    A number n stands for (1, n).
    """

    factor: Bits
    value_range: ValueRange = (0, 255)
    data_format: Format = None
    seed: Seed = None

    def draw(self, key, shape):
        low, high = self.factor
        bits = jax.random.randint(key, shape[:1], low, high) if low != high else jnp.full(shape[:1], low)
        return {"shift_factor": (8 - bits).astype(jnp.uint8)}

    def change(self, x, drawn):
        whole = jnp.clip(pictures.rescaled(x, self.value_range, BYTES), *BYTES).astype(jnp.uint8)
        kept = whole & jnp.left_shift(jnp.uint8(255), each(drawn["shift_factor"]).astype(jnp.uint8))
        return pictures.rescaled(kept.astype(x.dtype), BYTES, self.value_range)


class RandomInvert(ImageLayer):
    """low + high − x of value_range = (low, high), with a probability of `factor`, or drawn from that range.

    Keras has high − x, which leaves the range where low is not 0.
    """

    factor: Share = 1.0
    value_range: ValueRange = (0, 255)
    seed: Seed = None
    data_format: Format = None

    def draw(self, key, shape):
        return {"apply_inversion": happens(key, shape[0], self.factor)}

    def change(self, x, drawn):
        return jnp.where(each(drawn["apply_inversion"]), sum(self.value_range) - x, x)


# ---- colour ---------------------------------------------------------------------------------------------


class RandomGrayscale(ImageLayer):
    """The picture without its colours, in as many channels, with a probability of `factor`."""

    factor: Fraction = 0.5
    data_format: Format = None
    seed: Seed = None

    def draw(self, key, shape):
        return {"apply_grayscale": uniform(key, shape[0], (0.0, 1.0)) < self.factor}

    def change(self, x, drawn):
        return jnp.where(each(drawn["apply_grayscale"]), pictures.rgb_to_grayscale(x), x)

    def get_config(self):
        """As in Keras, without a seed where there is none."""
        config = super().get_config()
        if config["seed"] is None:
            config.pop("seed")
        return config


class RandomColorDegeneration(ImageLayer):
    """x + f · (grey − x), f drawn from `factor` (a number f stands for (−f, f)), cut at `value_range`."""

    factor: Signed
    value_range: ValueRange = (0, 255)
    data_format: Format = None
    seed: Seed = None

    def draw(self, key, shape):
        return {"factor": each(uniform(key, shape[0], self.factor))}

    def change(self, x, drawn):
        return jnp.clip(x + drawn["factor"] * (pictures.rgb_to_grayscale(x) - x), *self.value_range)


class RandomHue(ImageLayer):
    """The hue turned by half of f, to one side or the other, f drawn from `factor` (a number f stands for (0, f))."""

    factor: Share
    value_range: ValueRange = (0, 255)
    data_format: Format = None
    seed: Seed = None

    def draw(self, key, shape):
        turn, far = jax.random.split(key)
        sign = jnp.where(jax.random.bernoulli(turn, 0.5, shape[:1]), 0.5, -0.5)
        return {"factor": uniform(far, shape[0], self.factor) * sign}

    def change(self, x, drawn):
        hsv = pictures.rgb_to_hsv(pictures.rescaled(x, self.value_range, (0, 1)))
        hue = jnp.mod(hsv[..., :1] + each(drawn["factor"]), 1)
        rgb = pictures.hsv_to_rgb(jnp.concatenate([hue, hsv[..., 1:]], -1))
        return pictures.rescaled(jnp.clip(rgb, 0, 1), (0, 1), self.value_range)


class RandomSaturation(ImageLayer):
    """The saturation times f / (1 − f), at most 1, f drawn from `factor`: 0 is grey, ½ the picture itself.

    A number f stands for (−f, f), as in Keras; below 0 is grey too. Keras cuts the saturation at value_range[1]
    instead of 1, so that pictures of 0 to 255 can leave their range.
    """

    factor: Signed
    value_range: ValueRange = (0, 255)
    data_format: Format = None
    seed: Seed = None

    def draw(self, key, shape):
        share = uniform(key, shape[0], self.factor)
        return {"factor": share / (1 - share + 1e-7)}

    def change(self, x, drawn):
        hsv = pictures.rgb_to_hsv(x)
        saturation = jnp.clip(hsv[..., 1:2] * each(drawn["factor"]), 0, 1)
        return pictures.hsv_to_rgb(jnp.concatenate([hsv[..., :1], saturation, hsv[..., 2:]], -1))


class RandomColorJitter(ImageLayer):
    """RandomBrightness, RandomContrast, RandomSaturation and RandomHue, one after another; None leaves one out.

    With one of them only, it draws what that layer draws under the same seed.
    """

    value_range: ValueRange = (0, 255)
    brightness_factor: OptionalSigned = None
    contrast_factor: OptionalShare = None
    saturation_factor: OptionalSigned = None
    hue_factor: OptionalShare = None
    seed: Seed = None
    data_format: Format = None

    def validate(self):
        kinds = {
            "random_brightness": (RandomBrightness, self.brightness_factor),
            "random_contrast": (RandomContrast, self.contrast_factor),
            "random_saturation": (RandomSaturation, self.saturation_factor),
            "random_hue": (RandomHue, self.hue_factor),
        }
        self.parts = {
            name: kind(factor, self.value_range, name=name)
            for name, (kind, factor) in kinds.items()
            if factor is not None
        }

    @property
    def children(self):
        return self.__dict__.get("parts", {})

    def draw(self, key, shape):
        keys = [key] if len(self.parts) == 1 else jax.random.split(key, 4)
        return {name: part.draw(k, shape) for k, (name, part) in zip(keys, self.parts.items(), strict=False)}

    def change(self, x, drawn):
        for name, part in self.parts.items():
            x = part.change(x, drawn[name])
        return x


# ---- edges ----------------------------------------------------------------------------------------------


class RandomSharpness(ImageLayer):
    """smooth + 2 f · (x − smooth), f drawn from `factor`: below ½ blurs, above ½ sharpens; cut at `value_range`.

    smooth is (5 x + the eight cells around) / 13, with 0 outside of the picture. A number f stands for (0, f).
    """

    factor: Share
    value_range: ValueRange = (0, 255)
    data_format: Format = None
    seed: Seed = None

    def draw(self, key, shape):
        return {"factor": uniform(key, shape[0], self.factor)}

    def change(self, x, drawn):
        three = jnp.ones(3, x.dtype)
        nine = pictures.weighed(pictures.weighed(x, 1, three), 2, three)
        smooth = (nine + 4 * x) / 13
        return jnp.clip(x + (1 - 2 * each(drawn["factor"])) * (smooth - x), *self.value_range)


class RandomGaussianBlur(ImageLayer):
    """The picture under a bell, with a probability of `factor`, or drawn from that range; cut at `value_range`.

    Two widths, across and down, are drawn from `sigma`, once for the batch; outside of the picture is 0.
    """

    factor: Share = 1.0
    kernel_size: Annotated[Any, OddSizes()] = 3
    sigma: Share = 1.0
    value_range: ValueRange = (0, 255)
    data_format: Format = None
    seed: Seed = None

    def draw(self, key, shape):
        applies, width = jax.random.split(key)
        sigma = uniform(width, 2, self.sigma) + 1e-6
        return {"should_apply_blur": happens(applies, shape[0], self.factor), "blur_factor": sigma}

    def change(self, x, drawn):
        across, down = self.kernel_size
        smooth = pictures.blurred(x, drawn["blur_factor"], (across // 2, down // 2))
        return jnp.clip(jnp.where(each(drawn["should_apply_blur"]), smooth, x), *self.value_range)


registry.add(
    "layer", RandomBrightness, RandomContrast, AutoContrast, Equalization, Solarization, RandomPosterization,
    ContrastLimitedAdaptiveHistogramEqualization, RandomInvert, RandomGrayscale, RandomColorDegeneration, RandomHue,
    RandomSaturation, RandomColorJitter, RandomSharpness, RandomGaussianBlur,
)  # fmt: skip
