"""Convolution: one small kernel, slid over time, an image or a volume, the same weights at every place.

Floor 2. One abstract `Conv` for every rank; the arithmetic is `math.windows.conv`.
"""

from typing import Annotated, ClassVar

from ..base import registry
from ..base.fields import (
    Activated,
    Bool,
    Constrained,
    Format,
    Initial,
    OneOf,
    Padding,
    PositiveInt,
    Regular,
    SpatialSizes,
)
from ..base.report import UsageError
from ..math.windows import conv, spatial_axes, window_count
from .contract import Weight
from .core import known_axis
from .layer import Layer


class Conv(Layer):
    """y[b, i, f] = activation(sum over k, c of x[b, i·stride + k·dilation, c] · kernel[k, c, f] + bias[f])

    kernel (k…, channels / groups, filters), bias (filters,). The kernel is not flipped: what is called
    convolution here, as everywhere in deep learning, is correlation.
    """

    rank: ClassVar[int]
    convolves: ClassVar[bool] = True

    filters: PositiveInt
    kernel_size: SpatialSizes
    strides: SpatialSizes = 1
    padding: Padding = "valid"
    data_format: Format = None
    dilation_rate: SpatialSizes = 1
    groups: PositiveInt = 1
    activation: Activated = None
    use_bias: Bool = True
    kernel_initializer: Initial = "glorot_uniform"
    bias_initializer: Initial = "zeros"
    kernel_regularizer: Regular = None
    bias_regularizer: Regular = None
    activity_regularizer: Regular = None
    kernel_constraint: Constrained = None
    bias_constraint: Constrained = None

    def validate(self):
        if self.filters % self.groups:
            raise UsageError(
                f"{type(self).__name__}: each group makes the same number of filters",
                at=self._birthplace, saw=f"filters={self.filters}, groups={self.groups}",
                want="filters divisible by groups",
            )  # fmt: skip
        strides_or_dilation(self)

    def declare(self, shape):
        channels = known_axis(self, shape, channel_axis(self))
        if channels % self.groups:
            raise UsageError(
                f"{self.name} ({type(self).__name__}): each group sees the same number of channels",
                at=self._birthplace, saw=f"{channels} channels in {shape}, groups={self.groups}",
                want="channels divisible by groups",
            )  # fmt: skip
        check_windows(self, shape, self.kernel_size, self.dilation_rate)
        yield Weight(
            "kernel", (*self.kernel_size, channels // self.groups, self.filters), self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        if self.use_bias:
            yield bias_weight(self, self.filters)

    def forward(self, w, x, call):
        check_windows(self, x.shape, self.kernel_size, self.dilation_rate)
        return conv(
            x, w["kernel"], self.strides, self.padding, self.dilation_rate, self.groups, self.data_format,
            w.get("bias"), self.activation,
        )  # fmt: skip


class Conv1D(Conv):
    """y[b, t, f] = activation(sum over k, c of x[b, t·stride + k·dilation, c] · kernel[k, c, f] + bias[f])

    b t c -> b t filters. `padding="causal"`: no output sees a later input.

    >>> Conv1D(4, 3, padding="causal").compute_output_shape((None, 10, 2))
    (None, 10, 4)
    """

    signature = "b t c -> b t filters"
    rank = 1
    padding: Annotated[str, OneOf("valid", "same", "causal")] = "valid"


class Conv2D(Conv):
    """y[b, h, w, f] = activation(sum over i, j, c of x[b, h + i, w + j, c] · kernel[i, j, c, f] + bias[f])

    b h w c -> b h w filters, for strides and dilation of 1.

    >>> Conv2D(8, 3).compute_output_shape((None, 28, 28, 1))
    (None, 26, 26, 8)
    """

    signature = "b h w c -> b h w filters"
    rank = 2
    strides = (1, 1)
    dilation_rate = (1, 1)


class Conv3D(Conv):
    """y = activation(kernel slid over depth, height and width of x, + bias)

    b d h w c -> b d h w filters.

    >>> Conv3D(8, 3, padding="same").compute_output_shape((None, 9, 28, 28, 1))
    (None, 9, 28, 28, 8)
    """

    signature = "b d h w c -> b d h w filters"
    rank = 3
    strides = (1, 1, 1)
    dilation_rate = (1, 1, 1)


def bias_weight(layer, size):
    return Weight(
        "bias", (size,), layer.bias_initializer, regularizer=layer.bias_regularizer, constraint=layer.bias_constraint
    )


def channel_axis(layer):
    return -1 if layer.data_format == "channels_last" else 1


def strides_or_dilation(layer):
    """A UsageError if a layer is to have both: windows far apart, and cells far apart in each."""
    if max(layer.strides) > 1 and max(layer.dilation_rate) > 1:
        raise UsageError(
            f"{type(layer).__name__} takes strides or dilation_rate, not both",
            at=layer._birthplace, saw=f"strides={layer.strides}, dilation_rate={layer.dilation_rate}",
            want="one of the two to be 1",
        )  # fmt: skip


def check_windows(layer, shape, sizes, dilation=None):
    """A UsageError that names the layer and the axis if not even one window fits."""
    axes = spatial_axes(layer.rank, layer.data_format)
    words = {1: ("time",), 2: ("height", "width"), 3: ("depth", "height", "width")}[layer.rank]
    dilation = dilation or (1,) * layer.rank
    for axis, word, size, stride, step in zip(axes, words, sizes, layer.strides, dilation, strict=True):
        if window_count(shape[axis], size, stride, layer.padding, step) == 0:
            raise UsageError(
                f"{layer.name} ({type(layer).__name__}): no window fits along the {word} (axis {axis})",
                at=layer._birthplace, saw=f"an input of shape {tuple(shape)}",
                want=f"at least {(size - 1) * step + 1} cells there" if layer.padding == "valid" else "at least 1 cell",
                fix="padding='same', a smaller window, or fewer layers that shrink the input before it",
            )  # fmt: skip


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D

registry.add(
    "layer", Conv1D, Conv2D, Conv3D,
    Convolution1D=Convolution1D, Convolution2D=Convolution2D, Convolution3D=Convolution3D,
)  # fmt: skip
