"""Transposed convolution: the gradient of a convolution, used forwards, so that strides make an input larger.

Floor 1. Also called deconvolution, though it undoes nothing. Sizes and margins are Keras's.
"""

import jax.numpy as jnp
from jax import lax

from ..kernels import convolution, serve
from .windows import first_to_last, last_to_first, spatial_axes


def transposed_margins(window, stride, padding, output_padding=None, dilation=1):
    """Cells of nothing before and after the stretched input: (before, after).

    The output has (size − 1) · stride + 2 + before + after − reach cells, reach = (window − 1) · dilation + 1. Without
    `output_padding` that is size · stride for "same", and (size − 1) · stride + max(reach, stride) for "valid".

    >>> transposed_margins(3, 2, "same"), transposed_margins(3, 2, "valid")
    ((2, 1), (2, 2))
    """
    reach = (window - 1) * dilation + 1
    if padding == "valid":
        return reach - 1, reach - 1 + (max(stride - reach, 0) if output_padding is None else output_padding)
    total = stride + reach - 2 if output_padding is None else reach + reach % 2 - 2 + output_padding
    before = min(total - total // 2, reach - 1)
    return before, total - before


def conv_transpose(
    x, kernel, strides, padding="valid", output_padding=None, dilation=None, data_format="channels_last"
):
    """y[b, i·stride + k·dilation − cut, f] = sum over all such i, k and c of x[b, i, c] · kernel[k, f, c]

    kernel (k…, filters, channels). `cut` cells at the start, and as many at the end as the output is to be shorter,
    are dropped.
    """
    rank = kernel.ndim - 2
    dilation = tuple(dilation or (1,) * rank)
    wanted = output_padding or (None,) * rank
    axes = spatial_axes(rank, data_format)
    along_axes = list(zip(kernel.shape, strides, wanted, dilation, strict=False))
    edges = [transposed_margins(k, stride, padding, extra, step) for k, stride, extra, step in along_axes]
    reaches = [(k - 1) * step + 1 for k, _, _, step in along_axes]
    if serve(x, kernel):
        before = tuple(reach - 1 - left for reach, (left, _) in zip(reaches, edges, strict=True))
        sizes = tuple(x.shape[axis] for axis in axes)
        space = tuple(
            (size - 1) * stride + 2 + sum(edge) - reach
            for size, stride, edge, reach in zip(sizes, strides, edges, reaches, strict=True)
        )
        slide = convolution.Slide(tuple(strides), dilation, before, sizes)
        return last_to_first(
            convolution.conv_transpose(slide, space, first_to_last(x, data_format), kernel), data_format
        )
    letters = "DHW"[-rank:]
    layout = f"N{letters}C" if data_format == "channels_last" else f"NC{letters}"
    return lax.conv_general_dilated(
        x, jnp.flip(kernel, range(rank)), (1,) * rank, edges, lhs_dilation=strides, rhs_dilation=dilation,
        dimension_numbers=(layout, f"{letters}OI", layout),
    )  # fmt: skip
