"""Whole recurrent layers, as kernels: `math.recurrence.recur` in C++ (recurrent.cc) for tanh and sigmoid.

Floor 1.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from . import call

LANES = 16  # the widest vector of any level: what is kept between forward and backward has room for whole ones
TALL = 12  # the tallest tile
ROWS = 8  # of the batch in one piece of work, at most: 16 are 3 % faster on one core, and leave others idle


class Way(NamedTuple):
    """What is fixed about a run: the kernel's name, vectors kept for each of its gates, direction, what is wanted."""

    name: str
    kept: int
    reverse: bool
    sequences: bool


KEPT = {"lstm": 5, "gru": 4, "simple": 0}


def recur(name, x, weights, states, mask=None, reverse=False, sequences=False):
    """(outputs, states) of a cell run along time, as `math.recurrence.recur` gives them. x (b, t, f), mask (b, t)."""
    empty = jnp.zeros((0,), x.dtype)
    bias, recurrent_bias = (empty if b is None else b for b in weights[2:])
    h, c = states if len(states) == 2 else (*states, empty)
    mask = jnp.zeros((0, 0), bool) if mask is None else mask != 0
    way = Way(name, KEPT[name], reverse, sequences)
    y, h, c = _recur(way, x, weights[0], weights[1], bias, recurrent_bias, h, c, mask)
    return y if sequences else h, (h, c)[: len(states)]


def pieces(batch):
    """How many pieces the rows of a batch are cut into: known from the batch alone, so that sums are too."""
    return max(1, -(-batch // ROWS))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recur(way, *arrays):
    """(outputs (b, t, u) or (b, 0, u), last state, last carry)."""
    return _run(way, arrays, outputs=way.sequences, keep=0)[:3]


def _run(way, arrays, outputs, keep):
    x, recurrent, carry = arrays[0], arrays[2], arrays[6]
    (b, t), u = x.shape[:2], recurrent.shape[0]
    shapes = ((b, t if outputs else 0, u), (b, u), carry.shape, (b, t, keep * -(-u // LANES) * LANES))
    return call(way.name + "_forward", shapes, *arrays, reverse=way.reverse, pieces=pieces(b))


def _forward(way, *primals):
    arrays = tuple(primal.value for primal in primals)
    y, h, c, kept = _run(way, arrays, outputs=True, keep=way.kept)
    wanted = () if primals[0].perturbed else None  # the gradient of x; None, known while tracing: a first layer
    return (y if way.sequences else y[:, :0], h, c), (wanted, arrays, y, kept)


def _backward(way, saved, gradients):
    wanted, (x, kernel, recurrent, bias, recurrent_bias, h0, c0, mask), y, kept = saved
    dy, dh, dc = gradients
    dy = jnp.zeros((x.shape[0], 0, dy.shape[-1]), x.dtype) if isinstance(dy, SymbolicZero) or not way.sequences else dy
    dh, dc = (jnp.zeros(d.shape, x.dtype) if isinstance(d, SymbolicZero) else d for d in (dh, dc))
    (features, width), units, parts = kernel.shape, recurrent.shape[0], pieces(x.shape[0])
    sums = (parts, features + units + 2 * TALL, width // units * -(-units // LANES) * LANES)
    arrays = (kernel, recurrent, bias, recurrent_bias, h0, c0)
    shapes = (x.shape if wanted is not None else (0,) * 3, *(a.shape for a in arrays), sums)
    dx, *d_arrays, _ = call(
        way.name + "_backward", shapes, mask, x, kernel, recurrent, h0, c0, y, kept, dy, dh, dc,
        reverse=way.reverse, pieces=parts,
    )  # fmt: skip
    return None if wanted is None else dx, *d_arrays, None


_recur.defvjp(_forward, _backward, symbolic_zeros=True)
