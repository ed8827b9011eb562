"""The optimizers' one-pass update: C++ beside the formulas, array by array."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seriatim import optimizers
from seriatim.kernels import update

from .both import both, close, needs_kernels, serves

pytestmark = needs_kernels
SERVED = [
    optimizers.Adam(),
    optimizers.Adam(0.01, beta_1=0.8, epsilon=1e-3, weight_decay=0.1),
    optimizers.AdamW(0.02, clipnorm=0.5),
    optimizers.SGD(0.1),
    optimizers.SGD(0.1, momentum=0.9, weight_decay=0.01),
    optimizers.SGD(0.1, momentum=0.9, nesterov=True, global_clipnorm=1.0),
    optimizers.RMSprop(),
    optimizers.Adam(optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
]
PLAIN = [
    optimizers.Adam(amsgrad=True),
    optimizers.RMSprop(centered=True),
    optimizers.RMSprop(momentum=0.5),
    optimizers.Nadam(),
    optimizers.Adam(use_ema=True),
    optimizers.Adam(gradient_accumulation_steps=2),
]


def params():
    rng = np.random.default_rng(0)
    return [
        {"kernel": rng.normal(size=(130, 140)).astype("f"), "bias": rng.normal(size=5).astype("f")},
        {"w": np.ones((), "f")},
    ]


def steps(optimizer, finite=True):
    def run(p, state):
        for i in range(5):
            grads = jax.tree.map(lambda w, i=i: jnp.sin(3 * w + i), p)
            p, state = optimizer.advance(grads, state, p, finite=jnp.bool_(finite))
        return p, state

    return run


@pytest.mark.parametrize("optimizer", SERVED, ids=lambda o: o.source())
def test_served_as_the_formula_says(optimizer):
    p = params()
    run = steps(optimizer)
    assert serves(run, p, optimizer.init(p))
    close(*both(run, p, optimizer.init(p)), 5e-6)  # five steps, each rounded


@pytest.mark.parametrize("optimizer", PLAIN, ids=lambda o: o.source())
def test_without_a_kernel_as_before(optimizer):
    p = params()
    assert not serves(steps(optimizer), p, optimizer.init(p))


@pytest.mark.parametrize("optimizer", SERVED + PLAIN, ids=lambda o: o.source())
def test_a_step_that_is_not_finite_moves_nothing(optimizer):
    p = params()
    state = optimizer.init(p)
    for found in both(steps(optimizer, finite=False), p, state):
        assert all(
            np.array_equal(a, b) for a, b in zip(jax.tree.leaves(found), jax.tree.leaves((p, state)), strict=True)
        )


def test_a_formula_of_ones_own_is_not_replaced():
    class Half(optimizers.SGD):
        def move(self, g, w, slots, rate):
            return w / 2, slots

    p = params()
    run = steps(Half(0.1))
    assert not serves(run, p, Half(0.1).init(p))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 77, 20000, 20001])
def test_all_finite_finds_every_bad_number(bad, place):
    x = np.random.default_rng(0).normal(size=20002).astype("f") * 1e37
    small = np.ones(3, "f")
    check = jax.jit(lambda *a: update.all_finite(a))
    assert check(small, x)
    x[place] = bad
    assert not check(small, x)
