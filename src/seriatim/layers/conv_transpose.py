"""Transposed convolution: each cell of the input puts a kernel, weighted, into a larger output.

Floor 2. One abstract class for every rank; the arithmetic is `math.deconvolution.conv_transpose`.
"""

from typing import Annotated, ClassVar

from ..base import registry
from ..base.fields import (
    Activated,
    Bool,
    Constrained,
    Format,
    Initial,
    Optional,
    Padding,
    PositiveInt,
    Regular,
    Sizes,
    SpatialSizes,
)
from ..base.report import UsageError
from ..math.affine import along
from ..math.deconvolution import conv_transpose
from .contract import Weight
from .conv import bias_weight, channel_axis, strides_or_dilation
from .core import known_axis
from .layer import Layer


class ConvTranspose(Layer):
    """y[b, i·stride + k·dilation − cut, f] = activation(sum over all i, k, c of x[b, i, c] · kernel[k, f, c] + bias[f])

    kernel (k…, filters, channels), bias (filters,): a convolution's gradient with respect to its input, used
    forwards. With n cells in and reach = (kernel_size − 1) · dilation + 1, "same" gives n · stride cells, "valid"
    (n − 1) · stride + max(reach, stride). With `output_padding` (below the stride) it is (n − 1) · stride +
    output_padding, and reach more for "valid", 1 more for "same" if reach is odd. Zeiler et al., 2010.
    """

    rank: ClassVar[int]
    convolves: ClassVar[bool] = True

    filters: PositiveInt
    kernel_size: SpatialSizes
    strides: SpatialSizes = 1
    padding: Padding = "valid"
    output_padding: Annotated[tuple | None, Optional(Sizes(0))] = None
    data_format: Format = None
    dilation_rate: SpatialSizes = 1
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
        strides_or_dilation(self)
        if any(extra >= stride for extra, stride in zip(self.output_padding or (), self.strides, strict=False)):
            raise UsageError(
                f"{type(self).__name__}(output_padding=…) fills up what a stride leaves, so it is smaller",
                at=self._birthplace, saw=f"output_padding={self.output_padding}, strides={self.strides}",
                want="output_padding below the stride on every axis",
            )  # fmt: skip

    def declare(self, shape):
        yield Weight(
            "kernel", (*self.kernel_size, self.filters, known_axis(self, shape, channel_axis(self))),
            self.kernel_initializer, regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        if self.use_bias:
            yield bias_weight(self, self.filters)

    def forward(self, w, x, call):
        y = conv_transpose(
            x, w["kernel"], self.strides, self.padding, self.output_padding, self.dilation_rate, self.data_format
        )
        return self.activation(y + along(w["bias"], channel_axis(self), y.ndim) if self.use_bias else y)


def swapped(arguments, one, other):
    """The same arguments, two of them in each other's place."""
    places = {one: other, other: one}
    return {places.get(name, name): arguments[places.get(name, name)] for name in arguments}


class Conv1DTranspose(ConvTranspose):
    """y[b, t·stride + k·dilation, f] = activation(sum over all such t, k, c of x[b, t, c] · kernel[k, f, c] + bias[f])

    b t c -> b t filters.

    >>> Conv1DTranspose(4, 3, strides=2).compute_output_shape((None, 10, 2))
    (None, 21, 4)
    """

    signature = "b t c -> b t filters"
    rank = 1


class Conv2DTranspose(ConvTranspose):
    """y = activation(x, each cell spread by the kernel over height and width, + bias)

    b h w c -> b h w filters.

    >>> Conv2DTranspose(8, 3, strides=2, padding="same").compute_output_shape((None, 7, 7, 16))
    (None, 14, 14, 8)
    """

    signature = "b h w c -> b h w filters"
    rank = 2
    strides = (1, 1)
    dilation_rate = (1, 1)


class Conv3DTranspose(ConvTranspose):
    """y = activation(x, each cell spread by the kernel over depth, height and width, + bias)

    b d h w c -> b d h w filters. As in Keras, data_format comes before output_padding here.
    """

    constructor: ClassVar[dict] = swapped(ConvTranspose.constructor, "output_padding", "data_format")

    signature = "b d h w c -> b d h w filters"
    rank = 3
    strides = (1, 1, 1)
    dilation_rate = (1, 1, 1)


Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose

registry.add(
    "layer", Conv1DTranspose, Conv2DTranspose, Conv3DTranspose,
    Convolution1DTranspose=Convolution1DTranspose, Convolution2DTranspose=Convolution2DTranspose,
    Convolution3DTranspose=Convolution3DTranspose,
)  # fmt: skip
