"""Kernels beside plain XLA on random cases, as many as there is time for: `make fuzz`.

Case number n is always the same: its family is n modulo the number of families, its sizes are drawn from n. A case that
differs is printed with the command that repeats it; the exit status is then 1.
"""

import argparse
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from seriatim import optimizers
from seriatim.kernels import library
from seriatim.math import recurrence, windows
from seriatim.math.activations import linear, relu, tanh
from seriatim.math.affine import look_up, product
from seriatim.math.deconvolution import conv_transpose
from seriatim.math.moments import standardise

from . import test_conv_kinds, test_convolution, test_pooling
from .both import both, close, serves, with_gradients

CHANNELS = (1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 48, 65)
ACTIVATIONS = (linear, relu, tanh)


class Draw:
    """Random sizes and arrays of one case."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.seed = seed

    def size(self, most):
        """1 … most, small ones as often as large ones."""
        return int(most ** self.rng.random())

    def of(self, options):
        return options[self.rng.integers(len(options))]

    def array(self, *shape):
        """Normal numbers; sometimes whole ones, which tie, sometimes far from 0."""
        array = self.rng.normal(size=shape)
        return self.of((array, array, array, np.round(array), array + 3)).astype("float32")


def dense(draw):
    m, k, n = draw.size(300), draw.size(300), draw.size(300)
    activation = draw.of(ACTIVATIONS)
    shape = draw.of(((m,), (2, m), (m, 1)))
    return lambda x, w, b: product(x, w, b, activation), (draw.array(*shape, k), draw.array(k, n), draw.array(n))


def conv(draw):
    shape, kernel, filters, groups, how = test_convolution.random_case(draw.seed)
    activation = draw.of(ACTIVATIONS)
    how["data_format"] = draw.of(("channels_last", "channels_first"))
    x, w, b = test_convolution.arrays(shape, kernel, filters, groups, draw.seed)
    x = x if how["data_format"] == "channels_last" else np.moveaxis(x, -1, 1)
    return lambda x, w, b: windows.conv(x, w, bias=b, activation=activation, **how), (x, w, b)


def pooled_conv(draw):
    """A convolution, relu, and the maximum behind, which may be one kernel."""
    c, filters, k, size = draw.of(CHANNELS), draw.of(CHANNELS), draw.size(5), draw.of((2, 2, 3))
    x = draw.array(draw.size(9), k + draw.size(20), k + draw.size(20), c)
    padding, stride = draw.of(("valid", "same")), draw.of((size, size, 1))

    def run(x, w, b):
        y = windows.conv(x, w, (1, 1), padding, bias=b, activation=relu)
        return windows.max_pool(y, (size, size), (stride, stride), draw_padding)

    draw_padding = draw.of(("valid", "same")) if min(x.shape[1:3]) - k + 1 >= size else "same"
    return run, (x, draw.array(k, k, c, filters), draw.array(filters))


def largest_conv(draw):
    """A convolution and the largest cell of each channel: one gradient kernel, also where cells tie."""
    shape, kernel, filters, groups, how = test_convolution.random_case(draw.seed)
    x, w, b = test_convolution.arrays(shape, kernel, filters, groups, draw.seed)
    x = np.round(x) if draw.of((True, False)) else x
    return test_convolution.largest(draw.of((linear, relu)), **how), (x, w, b)  # tanh at 1 has noise for a slope


def transposed(draw):
    x, kernel, how = test_conv_kinds.random_case(draw.seed)
    return lambda x, kernel: conv_transpose(x, kernel, **how), (x, kernel)


def depthwise(draw):
    c, m, k = draw.of(CHANNELS), draw.of((1, 1, 2, 3)), (draw.size(5), draw.size(5))
    how = {"strides": (draw.size(3),) * 2, "padding": draw.of(("valid", "same"))}
    if how["strides"] == (1, 1):
        how["dilation"] = (draw.size(3), draw.size(3))
    x = draw.array(draw.size(5), 2 + 3 * k[0] + draw.size(12), 2 + 3 * k[1] + draw.size(12), c)
    activation = draw.of(ACTIVATIONS)
    run = lambda x, w, b: windows.depthwise_conv(x, w, bias=b, activation=activation, **how)
    return run, (x, draw.array(*k, c, m), draw.array(c * m))


def pool(draw):
    which = draw.of((windows.max_pool, windows.average_pool))
    x, *how = test_pooling.random_case(draw.seed)
    return lambda x: which(x, *how), (x,)


def norm(draw):
    n = draw.of(CHANNELS)
    shape = (1 + draw.size(2000), n) if draw.of((True, False)) else (draw.size(5), 1 + draw.size(20), draw.size(20), n)
    activation = draw.of((linear, relu))
    run = lambda x, g, b: activation(standardise(x, g, b, 1e-3)[0])
    return run, (draw.rng.normal(size=shape).astype("f"), draw.array(n), draw.array(n))


def rows(draw):
    n, ids = draw.size(500), draw.size(700)
    which = draw.rng.integers(-n, n, draw.of(((ids,), (ids, 3))))
    return lambda table: look_up(table, which), (draw.array(n, draw.of(CHANNELS)),)


def recurrent(draw):
    name = draw.of(("simple", "lstm", "gru"))
    cell = {"simple": recurrence.SIMPLE, "lstm": recurrence.LSTM, "gru": recurrence.GRU}[name]
    b, t, f, u = draw.size(40), draw.size(30), draw.of(CHANNELS), draw.of(CHANNELS)
    width = sum(cell.gates) * u
    mask = draw.rng.random((b, t)) > 0.3 if draw.of((True, False)) else None
    how = {"reverse": draw.of((True, False)), "sequences": draw.of((True, False))}

    def run(x, kernel, recurrent_kernel, bias, states):
        weights = recurrence.Weights(kernel, recurrent_kernel, bias, bias if name == "gru" else None)
        return recurrence.recur(cell, x, weights, states, mask, **how)

    small = lambda *shape: draw.rng.normal(size=shape).astype("f") / (2 * shape[0] ** 0.5)
    states = tuple(draw.rng.normal(size=(b, u)).astype("f") for _ in range(cell.states))
    return run, (draw.rng.normal(size=(b, t, f)).astype("f"), small(f, width), small(u, width), small(width), states)


def update(draw):
    optimizer = draw.of(
        (optimizers.Adam(0.01), optimizers.SGD(0.1, momentum=0.9), optimizers.SGD(0.1), optimizers.RMSprop())
    )
    params = [{"w": draw.array(draw.size(300), draw.size(300)), "b": draw.array(draw.size(70))}]

    def run(params, state):
        return optimizer.advance(jax.tree.map(jnp.cos, params), state, params, finite=jnp.bool_(True))

    run.whole = True
    return run, (params, optimizer.init(params))


FAMILIES = (dense, conv, pooled_conv, largest_conv, transposed, depthwise, pool, norm, rows, recurrent, update)


def differs(number):
    """What is wrong with a case, or None."""
    family = FAMILIES[number % len(FAMILIES)]
    function, args = family(Draw(number))
    run = function if hasattr(function, "whole") else with_gradients(function, number)
    if jax.tree.leaves(args) and not serves(run, *args):
        return None
    try:
        found, plain = both(run, *args)
        close(found, plain, 2e-5)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(both(run, *args)[0]), strict=True):
            np.testing.assert_array_equal(a, b)
    except AssertionError as error:
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves(args)]
        return f"{family.__name__} {shapes}: {' '.join(str(error).split())[:300]}"
    return None


def main():
    parser = argparse.ArgumentParser(description="Kernels beside plain XLA on random cases.")
    parser.add_argument("--seed", type=int, default=0, help="the number of the first case")
    parser.add_argument("--count", type=int, default=10**9, help="how many cases")
    parser.add_argument("--seconds", type=float, default=300, help="how long, at most")
    asked = parser.parse_args()
    if not library.ready():
        sys.exit(library.status())
    end, bad, number = time.monotonic() + asked.seconds, 0, asked.seed
    while number < asked.seed + asked.count and time.monotonic() < end:
        wrong = differs(number)
        if wrong:
            bad += 1
            print(f"make fuzz SEED={number} COUNT=1: {wrong}", flush=True)
        number += 1
        if number % 50 == 0:
            jax.clear_caches()
    print(f"{number - asked.seed} cases from {asked.seed}, {bad} differ; {library.status()}")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
