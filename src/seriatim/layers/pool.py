"""Pooling: one number for each window (or for the whole extent) of every channel, its maximum or its mean.

Floor 2. Three abstract classes: `Pooling` (a window that moves), `GlobalPooling` (all there is), and `AdaptivePooling`
(as many windows as are asked for).
"""

from typing import ClassVar

import jax.numpy as jnp

from ..base import registry
from ..base.fields import Bool, Format, OptionalSizes, OptionalText, Padding, SpatialSizes
from ..base.report import UsageError
from ..math.windows import adaptive_pool, average_pool, global_max, max_pool, spatial_axes
from .conv import check_windows
from .core import floats_in_compute_dtype
from .layer import Layer

# ---- a window that moves --------------------------------------------------------------------------


class Pooling(Layer):
    """y[b, i, c] = pool over k of x[b, i·stride + k, c]; `strides` are those of the window itself if None."""

    rank: ClassVar[int]
    integers = True  # the largest of whole numbers is a whole number

    pool_size: SpatialSizes
    strides: OptionalSizes = None
    padding: Padding = "valid"
    data_format: Format = None
    name: OptionalText = None  # here by position too

    def accept(self, name, value):
        return self.pool_size if name == "strides" and value is None else super().accept(name, value)

    weightless = True

    def declare(self, shape):
        check_windows(self, shape, self.pool_size)
        return ()

    def forward(self, w, x, call):
        check_windows(self, x.shape, self.pool_size)
        x = floats_in_compute_dtype(self, x)
        return self.pool(x, self.pool_size, self.strides, self.padding, self.data_format)


class MaxPooling(Pooling):
    """The largest value of each window. Where values tie, the gradient goes to the first of them."""

    pool = staticmethod(max_pool)


class MaxPooling1D(MaxPooling):
    """y[b, t, c] = max over k of x[b, t·stride + k, c]

    b t c -> b t c.

    >>> MaxPooling1D().compute_output_shape((None, 9, 4))
    (None, 4, 4)
    """

    signature = "b t c -> b t c"
    rank = 1
    pool_size = 2


class MaxPooling2D(MaxPooling):
    """y[b, h, w, c] = max over i, j of x[b, h·stride + i, w·stride + j, c]

    b h w c -> b h w c.

    >>> MaxPooling2D(3, strides=2, padding="same").compute_output_shape((None, 9, 9, 4))
    (None, 5, 5, 4)
    """

    signature = "b h w c -> b h w c"
    rank = 2
    pool_size = (2, 2)


class MaxPooling3D(MaxPooling):
    """y[b, d, h, w, c] = max over each window of depth, height and width

    b d h w c -> b d h w c.
    """

    signature = "b d h w c -> b d h w c"
    rank = 3
    pool_size = (2, 2, 2)


class AveragePooling(Pooling):
    """The mean of each window; with padding="same" of those cells only that lie inside the input."""

    pool = staticmethod(average_pool)


class AveragePooling1D(AveragePooling):
    """y[b, t, c] = mean over k of x[b, t·stride + k, c]

    b t c -> b t c.
    """

    signature = "b t c -> b t c"
    rank = 1


class AveragePooling2D(AveragePooling):
    """y[b, h, w, c] = mean over i, j of x[b, h·stride + i, w·stride + j, c]

    b h w c -> b h w c.

    >>> AveragePooling2D(2).compute_output_shape((None, 8, 8, 3))
    (None, 4, 4, 3)
    """

    signature = "b h w c -> b h w c"
    rank = 2


class AveragePooling3D(AveragePooling):
    """y[b, d, h, w, c] = mean over each window of depth, height and width

    b d h w c -> b d h w c.
    """

    signature = "b d h w c -> b d h w c"
    rank = 3


# ---- the whole extent -----------------------------------------------------------------------------


class GlobalPooling(Layer):
    """y[b, c] = pool over all places of x[b, …, c]; keepdims=True leaves them as axes of length 1."""

    rank: ClassVar[int]
    integers = True

    data_format: Format = None
    keepdims: Bool = False

    @property
    def places(self):
        return spatial_axes(self.rank, self.data_format)


class GlobalMaxPooling(GlobalPooling):
    """The largest value of each channel. Where values tie, they share the gradient, as in jnp.max."""

    def forward(self, w, x, call):
        return global_max(floats_in_compute_dtype(self, x), self.places, self.keepdims)


class GlobalMaxPooling1D(GlobalMaxPooling):
    """y[b, c] = max over t of x[b, t, c]. A mask is not looked at (as in Keras): padding can win."""

    signature = "b t c -> b c"
    rank = 1


class GlobalMaxPooling2D(GlobalMaxPooling):
    """y[b, c] = max over h, w of x[b, h, w, c]"""

    signature = "b h w c -> b c"
    rank = 2


class GlobalMaxPooling3D(GlobalMaxPooling):
    """y[b, c] = max over d, h, w of x[b, d, h, w, c]"""

    signature = "b d h w c -> b c"
    rank = 3


class GlobalAveragePooling(GlobalPooling):
    """The mean of each channel; along time, of the steps that the mask calls real data."""

    def forward(self, w, x, call):
        x = floats_in_compute_dtype(self, x)
        if call.mask is None or self.rank > 1:
            return jnp.mean(x, self.places, keepdims=self.keepdims)
        real = jnp.expand_dims(call.mask.astype(bool), 2 if self.data_format == "channels_last" else 1)
        if real.shape[self.places[0]] not in (1, x.shape[self.places[0]]):
            raise UsageError(
                f"{self.name} ({type(self).__name__}) got a mask of other steps than its input has",
                at=self._birthplace, saw=f"a mask of shape {call.mask.shape}, an input of shape {x.shape}",
                want=f"a mask of {x.shape[self.places[0]]} steps; a chain's masks are those of axis 1",
            )  # fmt: skip
        total = jnp.sum(jnp.where(real, x, 0), self.places, keepdims=self.keepdims)
        return total / jnp.sum(real.astype(x.dtype), self.places, keepdims=self.keepdims)


class GlobalAveragePooling1D(GlobalAveragePooling):
    """y[b, c] = mean over t of x[b, t, c]; under a mask, over the steps that are real data

    b t c -> b c. A row without any real step is 0 / 0 = NaN, as in Keras. The mask ends here.
    """

    signature = "b t c -> b c"
    rank = 1
    supports_masking = True


class GlobalAveragePooling2D(GlobalAveragePooling):
    """y[b, c] = mean over h, w of x[b, h, w, c]"""

    signature = "b h w c -> b c"
    rank = 2


class GlobalAveragePooling3D(GlobalAveragePooling):
    """y[b, c] = mean over d, h, w of x[b, d, h, w, c]"""

    signature = "b d h w c -> b c"
    rank = 3


# ---- as many windows as are asked for ----------------------------------------------------------------


class AdaptivePooling(Layer):
    """y[b, i, c] = pool over x[b, ⌊i·n/m⌋ … ⌈(i + 1)·n/m⌉ − 1, c]: m = output_size windows that cover n cells."""

    rank: ClassVar[int]

    output_size: SpatialSizes
    data_format: Format = None

    def forward(self, w, x, call):
        return adaptive_pool(self.pool, x, self.output_size, self.data_format)


class AdaptiveAveragePooling(AdaptivePooling):
    """The mean of each window."""

    pool = staticmethod(average_pool)


class AdaptiveMaxPooling(AdaptivePooling):
    """The largest value of each window; where values tie, the gradient goes to the first along each axis in turn."""

    pool = staticmethod(max_pool)


class AdaptiveAveragePooling1D(AdaptiveAveragePooling):
    """y = mean of x over output_size windows along t

    b t c -> b t c.

    >>> AdaptiveAveragePooling1D(3).compute_output_shape((None, 10, 4))
    (None, 3, 4)
    """

    signature = "b t c -> b t c"
    rank = 1


class AdaptiveAveragePooling2D(AdaptiveAveragePooling):
    """y = mean of x over output_size windows of height and width

    b h w c -> b h w c.

    >>> AdaptiveAveragePooling2D((3, 2)).compute_output_shape((None, 28, 20, 4))
    (None, 3, 2, 4)
    """

    signature = "b h w c -> b h w c"
    rank = 2


class AdaptiveAveragePooling3D(AdaptiveAveragePooling):
    """y = mean of x over output_size windows of depth, height and width

    b d h w c -> b d h w c.
    """

    signature = "b d h w c -> b d h w c"
    rank = 3


class AdaptiveMaxPooling1D(AdaptiveMaxPooling):
    """y = max of x over output_size windows along t

    b t c -> b t c.
    """

    signature = "b t c -> b t c"
    rank = 1


class AdaptiveMaxPooling2D(AdaptiveMaxPooling):
    """y = max of x over output_size windows of height and width

    b h w c -> b h w c.
    """

    signature = "b h w c -> b h w c"
    rank = 2


class AdaptiveMaxPooling3D(AdaptiveMaxPooling):
    """y = max of x over output_size windows of depth, height and width

    b d h w c -> b d h w c.
    """

    signature = "b d h w c -> b d h w c"
    rank = 3


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D

registry.add(
    "layer",
    MaxPooling1D, MaxPooling2D, MaxPooling3D, AveragePooling1D, AveragePooling2D, AveragePooling3D,
    GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D,
    GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D,
    AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D,
    AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D,
    MaxPool1D=MaxPool1D, MaxPool2D=MaxPool2D, MaxPool3D=MaxPool3D,
    AvgPool1D=AvgPool1D, AvgPool2D=AvgPool2D, AvgPool3D=AvgPool3D,
    GlobalMaxPool1D=GlobalMaxPool1D, GlobalMaxPool2D=GlobalMaxPool2D, GlobalMaxPool3D=GlobalMaxPool3D,
    GlobalAvgPool1D=GlobalAvgPool1D, GlobalAvgPool2D=GlobalAvgPool2D, GlobalAvgPool3D=GlobalAvgPool3D,
)  # fmt: skip
