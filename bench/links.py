"""What each link of a chain costs, whoever computes it: its weights, its products, what it must keep for the gradient.

Standard library only. Shapes are those of one row, channels last.
"""

from math import prod
from typing import NamedTuple


class Cost(NamedTuple):
    """One link for one row."""

    shape: tuple[int, ...]  # behind the link
    weights: int = 0  # trainable numbers
    products: int = 0  # floating-point operations forward, in products alone
    kept: int = 0  # numbers that the gradient needs again: the outputs of products


def link(kind, arguments, shape):
    """The Cost of one link whose input has `shape`."""
    return COSTS[family(kind)](arguments, shape)


def family(kind):
    """The kind without its number of axes: "conv" of "conv2d"."""
    return kind[:-2] if kind[-2:] in ("1d", "2d", "3d") else kind


def dense(arguments, shape):
    units = arguments[0]
    out = (*shape[:-1], units)
    return Cost(out, (shape[-1] + 1) * units, 2 * prod(shape) * units, prod(out))


def valid(arguments, shape):
    """A convolution without padding."""
    filters, size, _ = arguments
    return convolution((*(n - size + 1 for n in shape[:-1]), filters), size, shape)


def same(arguments, shape):
    """A convolution padded so that only its stride makes the output smaller."""
    filters, size, stride, _ = arguments
    return convolution((*(-(-n // stride) for n in shape[:-1]), filters), size, shape)


def convolution(out, size, shape):
    each = size ** (len(shape) - 1) * shape[-1]
    return Cost(out, (each + 1) * out[-1], 2 * each * prod(out), prod(out))


def depthwise(arguments, shape):
    size, stride = arguments
    out, each = (*(-(-n // stride) for n in shape[:-1]), shape[-1]), size ** (len(shape) - 1)
    return Cost(out, (each + 1) * shape[-1], 2 * each * prod(out), prod(out))


def transposed(arguments, shape):
    filters, size, stride, _ = arguments
    out, each = (*(n * stride for n in shape[:-1]), filters), size ** (len(shape) - 1)
    return Cost(out, (each * shape[-1] + 1) * filters, 2 * each * prod(shape) * filters, prod(out))


def recurrent(gates, biases=1):
    def cost(arguments, shape):
        units, (steps, width) = arguments[0], shape
        weights = gates * units * (width + units + biases)
        return Cost((units,), weights, 2 * steps * (width + units) * gates * units, steps * gates * units)

    return cost


def both_ways(arguments, shape):
    """Two LSTMs, one over the reversed steps; ("bilstm", units, whether all steps are wanted)."""
    _, weights, products, kept = recurrent(4)(arguments, shape)
    units, whole = arguments
    return Cost((shape[0], 2 * units) if whole else (2 * units,), 2 * weights, 2 * products, 2 * kept)


def shaped(change, weights=lambda arguments, shape: 0):
    return lambda arguments, shape: Cost(change(arguments, shape), weights(arguments, shape))


unchanged, over_places = shaped(lambda _, shape: shape), shaped(lambda _, shape: shape[-1:])

COSTS = {
    "dense": dense,
    "conv": valid,
    "same": same,
    "depthwise": depthwise,
    "transposed": transposed,
    "pool": shaped(lambda _, shape: (*(n // 2 for n in shape[:-1]), shape[-1])),
    "mean": over_places,
    "max": over_places,
    "norm": shaped(lambda _, shape: shape, lambda _, shape: 2 * shape[-1]),
    "embed": shaped(lambda arguments, shape: (*shape, arguments[1]), lambda arguments, _: arguments[0] * arguments[1]),
    "lstm": recurrent(4),
    "bilstm": both_ways,
    "gru": recurrent(3, biases=2),
    "relu": unchanged,
    "dropout": unchanged,
    "flatten": shaped(lambda _, shape: (prod(shape),)),
}
