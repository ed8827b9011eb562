"""Space made smaller or larger without weights: cells cut off the edges, zeros put around, every cell repeated.

Floor 2. Three abstract classes, one for each verb; none passes a mask on, whole numbers stay whole.
"""

from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from ..base import registry
from ..base.fields import Field, Format, OneOf, PositiveInt, Refused, SpatialSizes, Whole
from ..base.report import UsageError
from ..math.windows import first_to_last, last_to_first, spatial_axes
from .shape import Arrangement


class Edges(Field):
    """(before, after) for each spatial axis, from a whole number, one for each axis, or a pair for each axis.

    With one axis only, the two numbers are the pair: (1, 2) is 1 before and 2 after.
    """

    want, bad = "a whole number, 0 or more, one for each spatial axis, or a pair (before, after) for each", -1

    def read(self, value, owner):
        if owner.rank == 1:
            return self.pair(value, owner)
        sides = value if isinstance(value, (tuple, list)) else (value,) * owner.rank
        if len(sides) != owner.rank:
            raise Refused
        return tuple(self.pair(side, owner) for side in sides)

    def pair(self, value, owner):
        ends = value if isinstance(value, (tuple, list)) else (value, value)
        if len(ends) != 2:
            raise Refused
        return tuple(Whole(0).read(end, owner) for end in ends)


Margins = Annotated[Any, Edges()]
Interpolation = Annotated[str, OneOf("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")]


def pairs(layer, edges):
    """(before, after) for every axis of an input, the batch and the channels included."""
    around = [(0, 0)] * (layer.rank + 2)
    sides = (edges,) if layer.rank == 1 else edges
    for axis, side in zip(spatial_axes(layer.rank, layer.data_format), sides, strict=True):
        around[axis] = side
    return around


# ---- less -------------------------------------------------------------------------------------------


class Cropping(Arrangement):
    """y = x without its first and last cells along each spatial axis; at least one cell must be left."""

    rank: ClassVar[int]
    data_format = "channels_last"

    cropping: Margins

    weightless = True

    def declare(self, shape):
        self.check(shape)
        return ()

    def check(self, shape):
        for axis, (size, cut) in enumerate(zip(shape, pairs(self, self.cropping), strict=True)):
            if size is not None and sum(cut) >= size and sum(cut):
                raise UsageError(
                    f"{self.name} ({type(self).__name__}) would leave nothing along axis {axis}",
                    at=self._birthplace, saw=f"cropping={self.cropping}, an input of shape {tuple(shape)}",
                    want=f"at least {sum(cut) + 1} cells there",
                )  # fmt: skip

    def arrange(self, x):
        self.check(x.shape)
        cuts = pairs(self, self.cropping)
        starts = [before for before, _ in cuts]
        return lax.slice(x, starts, [size - after for size, (_, after) in zip(x.shape, cuts, strict=True)])


class Cropping1D(Cropping):
    """y[b, t, c] = x[b, t + before, c]

    b t c -> b t c.

    >>> Cropping1D((1, 2)).compute_output_shape((None, 10, 4))
    (None, 7, 4)
    """

    signature = "b t c -> b t c"
    rank = 1
    cropping = (1, 1)


class Cropping2D(Cropping):
    """y[b, h, w, c] = x[b, h + top, w + left, c]

    b h w c -> b h w c. cropping: a number, (height, width), or ((top, bottom), (left, right)).

    >>> Cropping2D(((1, 2), (3, 4))).compute_output_shape((None, 28, 28, 3))
    (None, 25, 21, 3)
    """

    signature = "b h w c -> b h w c"
    rank = 2
    cropping = ((0, 0), (0, 0))
    data_format: Format = None


class Cropping3D(Cropping):
    """y[b, d, h, w, c] = x, its first and last cells of depth, height and width cut off

    b d h w c -> b d h w c.
    """

    signature = "b d h w c -> b d h w c"
    rank = 3
    cropping = ((1, 1), (1, 1), (1, 1))
    data_format: Format = None


# ---- more: zeros --------------------------------------------------------------------------------------


class ZeroPadding(Arrangement):
    """y = x with zeros before and after it along each spatial axis."""

    rank: ClassVar[int]

    padding: Margins
    data_format: Format = None

    def arrange(self, x):
        return jnp.pad(x, pairs(self, self.padding))


class ZeroPadding1D(ZeroPadding):
    """y[b, t, c] = x[b, t − before, c], 0 outside of x

    b t c -> b t c.

    >>> ZeroPadding1D((1, 2)).compute_output_shape((None, 10, 4))
    (None, 13, 4)
    """

    signature = "b t c -> b t c"
    rank = 1
    padding = 1


class ZeroPadding2D(ZeroPadding):
    """y[b, h, w, c] = x[b, h − top, w − left, c], 0 outside of x

    b h w c -> b h w c. padding: a number, (height, width), or ((top, bottom), (left, right)).

    >>> ZeroPadding2D((1, 2)).compute_output_shape((None, 28, 28, 3))
    (None, 30, 32, 3)
    """

    signature = "b h w c -> b h w c"
    rank = 2
    padding = (1, 1)


class ZeroPadding3D(ZeroPadding):
    """y[b, d, h, w, c] = x, zeros around it in depth, height and width

    b d h w c -> b d h w c.
    """

    signature = "b d h w c -> b d h w c"
    rank = 3
    padding = ((1, 1), (1, 1), (1, 1))


# ---- more: every cell again -----------------------------------------------------------------------------


class UpSampling(Arrangement):
    """y[b, i, c] = x[b, i // size, c]"""

    rank: ClassVar[int]
    data_format = "channels_last"

    def factors(self):
        """How many times each cell stands there, for every spatial axis."""
        raise NotImplementedError

    def arrange(self, x):
        for axis, factor in zip(spatial_axes(self.rank, self.data_format), self.factors(), strict=True):
            x = jnp.repeat(x, factor, axis)
        return x


class UpSampling1D(UpSampling):
    """y[b, t, c] = x[b, t // size, c]

    b t c -> b t c.

    >>> UpSampling1D(3).compute_output_shape((None, 4, 2))
    (None, 12, 2)
    """

    signature = "b t c -> b t c"
    rank = 1

    size: PositiveInt = 2

    def factors(self):
        return (self.size,)


class UpSampling2D(UpSampling):
    """y[b, h, w, c] = x[b, h // size, w // size, c], or what lies between the cells of x, interpolated

    b h w c -> b h w c. Another `interpolation` than "nearest" is `jax.image.resize`; whole numbers are rounded.

    >>> UpSampling2D((2, 3)).compute_output_shape((None, 4, 5, 2))
    (None, 8, 15, 2)
    """

    signature = "b h w c -> b h w c"
    rank = 2

    size: SpatialSizes = (2, 2)
    data_format: Format = None
    interpolation: Interpolation = "nearest"

    def factors(self):
        return self.size

    def arrange(self, x):
        if self.interpolation == "nearest":
            return super().arrange(x)
        x = first_to_last(x, self.data_format)
        shape = (x.shape[0], x.shape[1] * self.size[0], x.shape[2] * self.size[1], x.shape[3])
        y = jax.image.resize(x, shape, self.interpolation, antialias=False)
        if jnp.issubdtype(x.dtype, jnp.integer):
            limits = jnp.iinfo(x.dtype)
            y = jnp.clip(jnp.round(y), limits.min, limits.max).astype(x.dtype)
        return last_to_first(y, self.data_format)


class UpSampling3D(UpSampling):
    """y[b, d, h, w, c] = x[b, d // size, h // size, w // size, c]

    b d h w c -> b d h w c.
    """

    signature = "b d h w c -> b d h w c"
    rank = 3

    size: SpatialSizes = (2, 2, 2)
    data_format: Format = None

    def factors(self):
        return self.size


registry.add(
    "layer", Cropping1D, Cropping2D, Cropping3D, ZeroPadding1D, ZeroPadding2D, ZeroPadding3D,
    UpSampling1D, UpSampling2D, UpSampling3D,
)  # fmt: skip
