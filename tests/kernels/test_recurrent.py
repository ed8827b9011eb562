"""Recurrent kernels beside plain XLA: every cell, direction, mask, size and gradient; extremes beside float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seriatim import kernels
from seriatim.math.activations import relu
from seriatim.math.recurrence import GRU, LSTM, SIMPLE, Weights, recur

from .both import both, close, needs_kernels, serves

pytestmark = needs_kernels

CELLS = {"simple": SIMPLE, "lstm": LSTM, "gru": GRU}
SIZES = [(1, 1, 1, 1), (2, 3, 1, 3), (1, 70, 3, 7), (3, 5, 2, 16), (9, 8, 17, 33), (33, 4, 7, 40), (5, 130, 16, 20)]


def numbers(cell, b, t, f, u, seed=0, bias=True, scale=1.0):
    """x, weights, first states."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape) * scale, jnp.float32)
    width = sum(cell.gates) * u
    weights = Weights(
        draw(f, width) / f**0.5, draw(u, width) / (2 * u**0.5), draw(width) if bias else None,
        draw(width) if bias and cell is GRU else None,
    )  # fmt: skip
    return draw(b, t, f), weights, tuple(draw(b, u) for _ in range(cell.states))


def holes(b, t, seed=0):
    """A mask (b, t) with holes anywhere; in the first row nothing is real."""
    mask = np.random.default_rng(seed).random((b, t)) > 0.4
    mask[0] = False
    return jnp.asarray(mask)


def pulled(cell, mask=None, wanted=(True, True), **how):
    """x, weights, states -> (outputs, states) and the gradients that random gradients of `wanted` of them give."""

    def run(x, weights, states):
        result, pull = jax.vjp(lambda *given: recur(cell, *given, mask, **how), x, weights, states)
        rng = np.random.default_rng(1)
        draw = lambda array, want: jnp.asarray(rng.normal(size=array.shape) * want, jnp.float32)
        return result, pull(tuple(jax.tree.map(lambda a, w=w: draw(a, w), r) for r, w in zip(result, wanted)))

    return run


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("sequences", (True, False))
def test_values_and_gradients(cell, size, sequences):
    for seed, reverse in enumerate((False, True)):
        for mask in (None, holes(*size[:2])):
            run = pulled(cell, mask, reverse=reverse, sequences=sequences)
            given = numbers(cell, *size, seed=seed)
            assert serves(run, *given)
            close(*both(run, *given))


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_without_bias(cell):
    close(*both(pulled(cell), *numbers(cell, 4, 6, 5, 18, bias=False)))


@pytest.mark.parametrize("wanted", ((True, False), (False, True)), ids=("outputs", "states"))
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_gradients_of_one_result_alone(cell, wanted):
    close(*both(pulled(cell, wanted=wanted, sequences=True), *numbers(cell, 4, 6, 5, 18)))


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_nobody_asks_for_the_gradient_of_x(cell):
    """A first layer's input gradient is left out; the other gradients keep their bits."""
    x, weights, states = numbers(cell, 6, 9, 5, 18)
    loss = lambda x, weights: recur(cell, x, weights, states)[0].sum()

    def gradient(which):
        return jax.jit(kernels.served(jax.grad(loss, argnums=which)))

    alone, with_x = gradient(1), gradient((0, 1))
    for left, right in zip(jax.tree.leaves(alone(x, weights)), jax.tree.leaves(with_x(x, weights)[1]), strict=True):
        np.testing.assert_array_equal(left, right)
    assert "tensor<6x9x5xf32>" in result_types(with_x.lower(x, weights))
    assert "tensor<6x9x5xf32>" not in result_types(alone.lower(x, weights))


def result_types(lowered):
    """The line of the backward kernel's results in a lowered program."""
    (line,) = [line for line in lowered.as_text().splitlines() if "_backward" in line and "custom_call" in line]
    return line.split("->")[-1]


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_the_same_bits_again(cell):
    run, given = jax.jit(kernels.served(pulled(cell, sequences=True))), numbers(cell, 20, 30, 9, 40)
    first = jax.tree.leaves(run(*given))
    for _ in range(5):
        for left, right in zip(first, jax.tree.leaves(run(*given)), strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_row_is_alone(cell):
    """A batch of many rows gives each row what it gets alone, and NaN stays in its row, from its step on."""
    x, weights, states = numbers(cell, 19, 7, 3, 21)
    x = x.at[4, 2, 1].set(jnp.nan)
    run = jax.jit(kernels.served(lambda x, states: recur(cell, x, weights, states, sequences=True)))
    y, _ = run(x, states)
    for row in (0, 4, 18):
        alone, _ = run(x[row : row + 1], tuple(s[row : row + 1] for s in states))
        np.testing.assert_allclose(y[row], alone[0], rtol=1e-5, atol=1e-6)
    real = np.ones(y.shape, bool)
    real[4, 2:] = False
    np.testing.assert_array_equal(np.isfinite(y), real)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_gradients_do_not_hide_nan(cell):
    x, weights, states = numbers(cell, 3, 5, 2, 4)
    gradient = jax.jit(kernels.served(jax.grad(lambda w: recur(cell, x.at[0, 0].set(jnp.nan), w, states)[0].sum())))
    assert all(np.isnan(g).any() for g in jax.tree.leaves(gradient(weights)))


def grid():
    """Numbers where tanh bends, is flat and is all but linear, one in each row."""
    return np.concatenate([np.linspace(-12, 12, 5001), np.geomspace(1e-6, 1, 500), [-1e30, -100, 0, 100, 1e30]])


def test_tanh():
    """A step of a SimpleRNN with an identity is tanh."""
    x = grid().astype(np.float32)
    weights = Weights(jnp.ones((1, 1)), jnp.zeros((1, 1)))
    run = jax.jit(kernels.served(lambda x: recur(SIMPLE, x, weights, (jnp.zeros((len(x), 1)),))[0]))
    y = np.asarray(run(x[:, None, None]))[:, 0]
    np.testing.assert_allclose(y, np.tanh(x.astype(np.float64)), rtol=0, atol=3.5e-7)
    small = np.abs(x) < 1e-2
    np.testing.assert_allclose(y[small], np.tanh(x[small].astype(np.float64)), rtol=4e-7)
    assert np.abs(y).max() == 1 and y[-1] == 1 and y[-5] == -1


def test_sigmoid():
    """A step of a GRU whose candidate is 0, from the state 1, is the sigmoid of its update gate."""
    x = grid().astype(np.float32)
    weights = Weights(jnp.array([[1.0, 0, 0]]), jnp.zeros((1, 3)))
    run = jax.jit(kernels.served(lambda x: recur(GRU, x, weights, (jnp.ones((len(x), 1)),))[0]))
    y = np.asarray(run(x[:, None, None]))[:, 0]
    want = 1 / (1 + np.exp(-np.clip(x.astype(np.float64), -500, 500)))
    np.testing.assert_allclose(y, want, rtol=0, atol=2e-7)
    assert y.min() == 0 and y.max() == 1


def test_what_stays_with_xla():
    """Another activation, another dtype, no steps: the plain loop serves, inside a program with kernels too."""
    x, weights, states = numbers(SIMPLE, 2, 3, 4, 5)
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (x, weights, states))
    assert not serves(lambda *given: recur(SIMPLE, *given, activation=relu), x, weights, states)
    assert not serves(lambda *given: recur(SIMPLE, *given), *half)
    assert not serves(lambda *given: recur(SIMPLE, *given), x[:, :0], weights, states)
    assert not serves(lambda *given: recur(SIMPLE, *given), x[:0], weights, tuple(s[:0] for s in states))


def test_a_population():
    """Under vmap each member gets its own run."""
    x, weights, states = numbers(LSTM, 3, 4, 5, 6)
    many = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), weights)
    run = lambda weights: jax.grad(lambda w: recur(LSTM, x, w, states)[0].sum())(weights)
    close(*both(jax.vmap(run), many))
    np.testing.assert_array_equal(
        jax.jit(kernels.served(jax.vmap(run)))(many).kernel[0], jax.jit(kernels.served(run))(weights).kernel
    )
