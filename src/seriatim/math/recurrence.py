"""Recurrence: a cell, step after step along time, and its gradient step after step backwards.

Floor 1. The loop holds the recurrent product and little else. In the engine's programs the backward loop for tanh and
sigmoid is our own: the forward loop keeps each gate's slope, and the weights' gradients are products over many steps
at once.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ..kernels import once, recurrent, serve
from .activations import sigmoid, tanh
from .affine import add_bias

TANH = (tanh, jnp.tanh, lax.tanh, jax.nn.tanh)
SIGMOID = (sigmoid, jax.nn.sigmoid, lax.logistic)
ENOUGH = 64  # rows that make a product worth its overhead
PLENTY = 4096  # rows of a product that lacks nothing
SMALL = 2**14  # numbers that stay in the nearest cache


class Weights(NamedTuple):
    """The arrays of a cell of g gates: kernel (f, g·u), recurrent (u, g·u), a bias (g·u,) of each product, or None."""

    kernel: Any
    recurrent: Any
    bias: Any = None
    recurrent_bias: Any = None


class Drops(NamedTuple):
    """Dropout masks, one for each gate and the same at every step: of the input (g, b, f), of the state (g, b, u)."""

    inputs: Any = None
    state: Any = None


class Cell(NamedTuple):
    """One kind of recurrence. `gates` counts the gates of each recurrent product of a step, in turn."""

    gates: tuple
    states: int
    step: Any  # (z, states, products, recurrent bias, activation, gate) -> (states, slopes and rows to keep)
    pull: Any  # (kept, gradient of the states, transposed blocks) -> (gradient of the states before, of the products)
    rows: Any  # (kept, gradient of the products) -> gradients of z, recurrent, recurrent bias


class Loop(NamedTuple):
    """What is fixed about a run: the cell, its nonlinearities, the direction, and whether all outputs are wanted."""

    cell: Cell
    activation: Any
    gate: Any
    reverse: bool
    sequences: bool


def recur(cell, x, weights, states, mask=None, *, activation=tanh, gate=sigmoid, reverse=False, sequences=False,
          drops=Drops()):  # fmt: skip
    """(outputs, states) of a cell run along time.

    x (b, t, f), states a tuple of (b, u), mask (b, t), True = real data. outputs (b, t, u), in the order in which
    they were computed, or with sequences=False the last one, (b, u). A masked step keeps the states, so that the
    output is the one before (at first: the first state). `reverse` starts at the end.

    >>> w = Weights(jnp.ones((1, 1)), jnp.ones((1, 1)))
    >>> recur(SIMPLE, jnp.zeros((1, 3, 1)), w, (jnp.zeros((1, 1)),))[0].tolist()
    [[0.0]]
    """
    loop = Loop(cell, activation, gate, reverse, sequences)
    smooth = activation in TANH and (gate in SIGMOID or cell is SIMPLE)
    smooth = smooth and drops.inputs is None and drops.state is None
    if smooth and cell in KERNELS and x.size and serve(x, *weights, *states):
        return recurrent.recur(KERNELS[cell], x, weights, states, mask, reverse, sequences)
    x = jnp.swapaxes(x, 0, 1)
    mask = None if mask is None else jnp.swapaxes(mask, 0, 1)[..., None] != 0
    states = tuple(state.astype(x.dtype) for state in states)
    if smooth and once():
        states, outputs = own(loop, x, weights, states, mask)
    else:
        states, outputs, _ = forward(loop, x, weights, states, mask, drops)
    if not sequences:
        return states[0], states
    outputs = jnp.flip(outputs, 0) if reverse else outputs
    return jnp.swapaxes(outputs, 0, 1), states


def steps_at_once(steps, rows, weights):
    """How many steps share one product of the input and of the weights' gradients; it divides `steps`.

    One, if a step has many rows or the kernels are small: its gates are still in the cache when they are multiplied.
    Measured on a CPU, that is 1.4 times as fast as one product over all steps (GRU, 256 rows, 120 steps, 64 units).
    Few rows are put together, so that large kernels are not summed up at every step (LSTM, 32 rows: 1.1 times).
    """
    small = weights.kernel.size + weights.recurrent.size <= SMALL
    most = 1 if rows >= ENOUGH or small else max(1, PLENTY // max(rows, 1))
    return max(size for size in range(1, min(steps, most) + 1) if steps % size == 0) if steps else 1


def blocks(array, size):
    """(t, …) as (t / size, size, …)."""
    return array.reshape(array.shape[0] // size, size, *array.shape[1:])


def flat(array):
    """(t, b, n) as (t · b, n)."""
    return array.reshape(-1, array.shape[-1])


# ---- forward -----------------------------------------------------------------------------------------


def forward(loop, x, weights, states, mask, drops=Drops(), keep=False):
    """(states, outputs, kept) for x (t, b, f): all steps, a few at once."""
    size = steps_at_once(*x.shape[:2], weights)
    products = recurrent_products(loop.cell, weights.recurrent, drops.state)

    def step(states, inputs):
        z, real = inputs
        new, kept = loop.cell.step(z, states, products, weights.recurrent_bias, loop.activation, loop.gate)
        if real is not None:
            new = tuple(jnp.where(real, a, b) for a, b in zip(new, states, strict=True))
        return new, (new[0] if loop.sequences else None, kept if keep else None)

    def some(states, inputs):
        x, real = inputs
        return lax.scan(step, states, (input_product(x, weights, drops.inputs), real), reverse=loop.reverse)

    inputs = jax.tree.map(lambda array: blocks(array, size), (x, mask))
    states, (outputs, kept) = lax.scan(some, states, inputs, reverse=loop.reverse)
    return states, None if outputs is None else outputs.reshape(x.shape[:2] + outputs.shape[3:]), kept


def input_product(x, weights, drop):
    """x @ kernel + bias for some steps at once; with dropout, each gate has an input of its own."""
    if drop is None:
        return add_bias(x @ weights.kernel, weights.bias)
    kernels = jnp.split(weights.kernel, len(drop), axis=1)
    return add_bias(jnp.concatenate([(x * d) @ k for d, k in zip(drop, kernels, strict=True)], -1), weights.bias)


def recurrent_blocks(cell, recurrent):
    """The recurrent kernel, cut into the columns of each product of a step."""
    width = recurrent.shape[1] // sum(cell.gates)
    ends = [width * sum(cell.gates[: i + 1]) for i in range(len(cell.gates))]
    return [recurrent[:, end - width * count : end] for end, count in zip(ends, cell.gates, strict=True)]


def recurrent_products(cell, recurrent, drop):
    """For each product of a step, the function h -> h @ block; with dropout, each gate has a state of its own."""
    parts = recurrent_blocks(cell, recurrent)
    if drop is None:
        return [lambda h, part=part: h @ part for part in parts]
    drops, found = list(drop), []
    for part, count in zip(parts, cell.gates, strict=True):
        gates, drops_here, drops = jnp.split(part, count, axis=1), drops[:count], drops[count:]
        found.append(partial(_dropped_product, gates, drops_here))
    return found


def _dropped_product(kernels, drops, h):
    return jnp.concatenate([(h * d) @ k for d, k in zip(drops, kernels, strict=True)], -1)


# ---- our own gradient ----------------------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def own(loop, x, weights, states, mask):
    """`forward` with tanh and sigmoid; its gradient is `backward`."""
    return forward(loop, x, weights, states, mask)[:2]


def own_forward(loop, x, weights, states, mask):
    states, outputs, kept = forward(loop, x, weights, states, mask, keep=True)
    return (states, outputs), (x, weights, mask, kept)


def backward(loop, saved, gradient):
    """Gradients of x, weights and first states, from those of the last states and of the outputs.

    In the loop: the slopes that were kept, and one product with the transposed recurrent kernel. Around it, for
    some steps at once: the products that give the gradients of the kernels and of x.
    """
    x, weights, mask, kept = saved
    d_states, d_outputs = gradient
    size = steps_at_once(*x.shape[:2], weights)
    transposed = [block.T for block in recurrent_blocks(loop.cell, weights.recurrent)]
    kernel = weights.kernel.T

    def step(d_states, inputs):
        kept, real, d_output = inputs
        if d_output is not None:
            d_states = (d_states[0] + d_output, *d_states[1:])
        before, d = loop.cell.pull(kept, d_states, transposed)
        if real is not None:
            before = tuple(jnp.where(real, a, b) for a, b in zip(before, d_states, strict=True))
            d = jax.tree.map(lambda array: jnp.where(real, array, 0), d)
        return before, d

    def some(carry, inputs):
        d_states, sums = carry
        x, *rest = inputs
        d_states, d = lax.scan(step, d_states, tuple(rest), reverse=not loop.reverse)
        dz, d_recurrent, d_recurrent_bias = loop.cell.rows(rest[0], d)
        found = Weights(rowwise(x, dz), d_recurrent, flat(dz).sum(0), d_recurrent_bias)
        sums = jax.tree.map(lambda total, new: total + new.astype(total.dtype), sums, chosen(found, weights))
        return (d_states, sums), dz @ kernel

    wide = jnp.promote_types(x.dtype, jnp.float32)  # sums over many steps, so that half precision does not stall
    zeros = jax.tree.map(lambda array: jnp.zeros(array.shape, wide), weights)
    inputs = (blocks(x, size), kept, *jax.tree.map(lambda array: blocks(array, size), (mask, d_outputs)))
    (d_states, sums), dx = lax.scan(some, (d_states, zeros), inputs, reverse=not loop.reverse)
    sums = jax.tree.map(lambda total, array: total.astype(array.dtype), sums, weights)
    return dx.reshape(x.shape), sums, d_states, None


own.defvjp(own_forward, backward)


def rowwise(rows, d):
    """Σ over steps and rows of the outer products: (t, b, n), (t, b, m) -> (n, m), summed in float32 or wider."""
    wide = jnp.promote_types(rows.dtype, jnp.float32)
    return jnp.matmul(flat(rows).T, flat(d), preferred_element_type=wide)


def chosen(found, weights):
    """The gradients of the weights that there are."""
    return Weights(*(None if array is None else new for new, array in zip(found, weights, strict=True)))


# ---- SimpleRNN -----------------------------------------------------------------------------------------


def simple_step(z, states, products, recurrent_bias, activation, gate):
    """h' = activation(z + h @ R). Elman, 1990."""
    (h,) = states
    new = activation(z + products[0](h))
    return (new,), (1 - new * new, h)


def simple_pull(kept, d_states, transposed):
    slope, _ = kept
    dz = d_states[0] * slope
    return (dz @ transposed[0],), dz


def simple_rows(kept, dz):
    return dz, rowwise(kept[-1], dz), None


# ---- LSTM ----------------------------------------------------------------------------------------------


def lstm_step(z, states, products, recurrent_bias, activation, gate):
    """c' = f·c + i·g, h' = o·activation(c'), gates in the order i f g o. Hochreiter & Schmidhuber, 1997; Gers, 1999."""
    h, c = states
    z_i, z_f, z_g, z_o = jnp.split(z + products[0](h), 4, axis=-1)
    i, f, o, g = gate(z_i), gate(z_f), gate(z_o), activation(z_g)
    new = f * c + i * g
    out = activation(new)
    slopes = (g * i * (1 - i), c * f * (1 - f), i * (1 - g * g), out * o * (1 - o))
    return (o * out, new), (*slopes, o * (1 - out * out), f, h)


def lstm_pull(kept, d_states, transposed):
    s_i, s_f, s_g, s_o, s_c, f, _ = kept
    dh, dc = d_states
    dc = dc + dh * s_c
    dz = jnp.concatenate([dc * s_i, dc * s_f, dc * s_g, dh * s_o], axis=-1)
    return (dz @ transposed[0], dc * f), dz


# ---- GRU -----------------------------------------------------------------------------------------------


def gru_step(z, states, products, recurrent_bias, activation, gate):
    """h' = u·h + (1 − u)·c, c = activation(z_c + r·(h @ R_c + b)), gates in the order u r c. Cho et al., 2014."""
    (h,) = states
    q_u, q_r, q = jnp.split(add_bias(products[0](h), recurrent_bias), 3, axis=-1)
    z_u, z_r, z_c = jnp.split(z, 3, axis=-1)
    u, r = gate(z_u + q_u), gate(z_r + q_r)
    c = activation(z_c + r * q)
    return (u * h + (1 - u) * c,), (u, r, c, q, h)


def gru_pull(kept, d_states, transposed):
    u, r, c, q, h = kept
    (dh,) = d_states
    dc = dh * (1 - u) * (1 - c * c)
    d_gates = [dh * (h - c) * u * (1 - u), dc * q * r * (1 - r)]
    d = jnp.concatenate([*d_gates, dc * r], axis=-1)
    return (dh * u + d @ transposed[0],), (jnp.concatenate([*d_gates, dc], axis=-1), d)


def gru_rows(kept, d):
    dz, dq = d
    return dz, rowwise(kept[-1], dq), flat(dq).sum(0)


def gru_before_step(z, states, products, recurrent_bias, activation, gate):
    """As `gru_step`, with the reset before the product: c = activation(z_c + (r·h) @ R_c)."""
    (h,) = states
    z_u, z_r, z_c = jnp.split(z, 3, axis=-1)
    q_u, q_r = jnp.split(products[0](h), 2, axis=-1)
    u, r = gate(z_u + q_u), gate(z_r + q_r)
    c = activation(z_c + products[1](r * h))
    return (u * h + (1 - u) * c,), (u, r, c, h)


def gru_before_pull(kept, d_states, transposed):
    u, r, c, h = kept
    (dh,) = d_states
    dc = dh * (1 - u) * (1 - c * c)
    d_reset = dc @ transposed[1]
    d_gates = jnp.concatenate([dh * (h - c) * u * (1 - u), d_reset * h * r * (1 - r)], axis=-1)
    dh = dh * u + d_reset * r + d_gates @ transposed[0]
    return (dh,), jnp.concatenate([d_gates, dc], axis=-1)


def gru_before_rows(kept, dz):
    _, r, _, h = kept
    units = h.shape[-1]
    return dz, jnp.concatenate([rowwise(h, dz[..., : 2 * units]), rowwise(r * h, dz[..., 2 * units :])], axis=-1), None


SIMPLE = Cell((1,), 1, simple_step, simple_pull, simple_rows)
LSTM = Cell((4,), 2, lstm_step, lstm_pull, simple_rows)
GRU = Cell((3,), 1, gru_step, gru_pull, gru_rows)
GRU_BEFORE = Cell((2, 1), 1, gru_before_step, gru_before_pull, gru_before_rows)
KERNELS = {SIMPLE: "simple", LSTM: "lstm", GRU: "gru"}  # what the kernels for the CPU call them
