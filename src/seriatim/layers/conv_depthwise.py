"""Convolution that keeps the channels apart: depthwise, and separable (depthwise, then mixed place by place).

Floor 2. The arithmetic is `math.windows.depthwise_conv`.
"""

from typing import ClassVar

from ..base import registry
from ..base.fields import Activated, Bool, Constrained, Format, Initial, Padding, PositiveInt, Regular, SpatialSizes
from ..math.activations import linear
from ..math.windows import conv, depthwise_conv
from .contract import Weight
from .conv import bias_weight, channel_axis, check_windows
from .core import known_axis
from .layer import Layer


class DepthwiseConv(Layer):
    """y[b, i, c·m + j] = activation(sum over k of x[b, i·stride + k·dilation, c] · kernel[k, c, j] + bias[c·m + j])

    m = depth_multiplier filters for each channel; kernel (k…, channels, m), bias (channels · m,).
    """

    rank: ClassVar[int]
    convolves: ClassVar[bool] = True

    kernel_size: SpatialSizes
    strides: SpatialSizes = 1
    padding: Padding = "valid"
    depth_multiplier: PositiveInt = 1
    data_format: Format = None
    dilation_rate: SpatialSizes = 1
    activation: Activated = None
    use_bias: Bool = True
    depthwise_initializer: Initial = "glorot_uniform"
    bias_initializer: Initial = "zeros"
    depthwise_regularizer: Regular = None
    bias_regularizer: Regular = None
    activity_regularizer: Regular = None
    depthwise_constraint: Constrained = None
    bias_constraint: Constrained = None

    def declare(self, shape):
        channels = known_axis(self, shape, channel_axis(self))
        check_windows(self, shape, self.kernel_size, self.dilation_rate)
        yield depthwise_weight(self, "kernel", channels)
        if self.use_bias:
            yield bias_weight(self, channels * self.depth_multiplier)

    def forward(self, w, x, call):
        return depthwise(self, x, w["kernel"], w.get("bias"), self.activation)


class DepthwiseConv1D(DepthwiseConv):
    """y[b, t, c·m + j] = activation(sum over k of x[b, t·stride + k·dilation, c] · kernel[k, c, j] + bias[c·m + j])

    b t c -> b t c·m.

    >>> DepthwiseConv1D(3, depth_multiplier=2).compute_output_shape((None, 10, 4))
    (None, 8, 8)
    """

    signature = "b t c -> b t features"
    rank = 1


class DepthwiseConv2D(DepthwiseConv):
    """y[b, h, w, c·m + j] = activation(sum over i, l of x[b, h + i, w + l, c] · kernel[i, l, c, j] + bias[c·m + j])

    b h w c -> b h w c·m, for strides and dilation of 1. Any strides, as JAX does them; TensorFlow wants equal ones.

    >>> DepthwiseConv2D(3, padding="same").compute_output_shape((None, 28, 28, 4))
    (None, 28, 28, 4)
    """

    signature = "b h w c -> b h w features"
    rank = 2
    strides = (1, 1)
    dilation_rate = (1, 1)


class SeparableConv(Layer):
    """y = activation(depthwise(x) · pointwise_kernel + bias): each channel slid for itself, then all mixed in place.

    depthwise_kernel (k…, channels, m), pointwise_kernel (1…, channels · m, filters), bias (filters,). Chollet, 2017.
    """

    rank: ClassVar[int]
    convolves: ClassVar[bool] = True

    filters: PositiveInt
    kernel_size: SpatialSizes
    strides: SpatialSizes = 1
    padding: Padding = "valid"
    data_format: Format = None
    dilation_rate: SpatialSizes = 1
    depth_multiplier: PositiveInt = 1
    activation: Activated = None
    use_bias: Bool = True
    depthwise_initializer: Initial = "glorot_uniform"
    pointwise_initializer: Initial = "glorot_uniform"
    bias_initializer: Initial = "zeros"
    depthwise_regularizer: Regular = None
    pointwise_regularizer: Regular = None
    bias_regularizer: Regular = None
    activity_regularizer: Regular = None
    depthwise_constraint: Constrained = None
    pointwise_constraint: Constrained = None
    bias_constraint: Constrained = None

    def declare(self, shape):
        channels = known_axis(self, shape, channel_axis(self))
        check_windows(self, shape, self.kernel_size, self.dilation_rate)
        yield depthwise_weight(self, "depthwise_kernel", channels)
        yield Weight(
            "pointwise_kernel", (*(1,) * self.rank, channels * self.depth_multiplier, self.filters),
            self.pointwise_initializer, regularizer=self.pointwise_regularizer, constraint=self.pointwise_constraint,
        )  # fmt: skip
        if self.use_bias:
            yield bias_weight(self, self.filters)

    def forward(self, w, x, call):
        x = depthwise(self, x, w["depthwise_kernel"])
        return conv(
            x, w["pointwise_kernel"], (1,) * self.rank, data_format=self.data_format, bias=w.get("bias"),
            activation=self.activation,
        )  # fmt: skip


class SeparableConv1D(SeparableConv):
    """y[b, t, f] = activation(sum over c of depthwise(x)[b, t, c] · pointwise_kernel[0, c, f] + bias[f])

    b t c -> b t filters.

    >>> SeparableConv1D(6, 3).compute_output_shape((None, 10, 4))
    (None, 8, 6)
    """

    signature = "b t c -> b t filters"
    rank = 1


class SeparableConv2D(SeparableConv):
    """y[b, h, w, f] = activation(sum over c of depthwise(x)[b, h, w, c] · pointwise_kernel[0, 0, c, f] + bias[f])

    b h w c -> b h w filters.

    >>> SeparableConv2D(6, 3, strides=2).compute_output_shape((None, 28, 28, 4))
    (None, 13, 13, 6)
    """

    signature = "b h w c -> b h w filters"
    rank = 2
    strides = (1, 1)
    dilation_rate = (1, 1)


# ---- what both share ----------------------------------------------------------------------------------


def depthwise_weight(layer, name, channels):
    return Weight(
        name, (*layer.kernel_size, channels, layer.depth_multiplier), layer.depthwise_initializer,
        regularizer=layer.depthwise_regularizer, constraint=layer.depthwise_constraint,
    )  # fmt: skip


def depthwise(layer, x, kernel, bias=None, activation=linear):
    check_windows(layer, x.shape, layer.kernel_size, layer.dilation_rate)
    return depthwise_conv(
        x, kernel, layer.strides, layer.padding, layer.dilation_rate, layer.data_format, bias, activation
    )


SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D

registry.add(
    "layer", DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D,
    SeparableConvolution1D=SeparableConvolution1D, SeparableConvolution2D=SeparableConvolution2D,
)  # fmt: skip
