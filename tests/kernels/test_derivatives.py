"""Derivatives that no kernel has: of a gradient, and forwards. The program is then JAX's own, and nobody notices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seriatim
from seriatim import kernels
from seriatim.kernels.noise import drop
from seriatim.layers import LSTM, Conv1D, Dense, Flatten, Layer
from seriatim.math import recurrence, windows
from seriatim.math.activations import relu
from seriatim.math.affine import product
from seriatim.math.moments import standardise

from .both import close, needs_kernels

pytestmark = needs_kernels

KERNEL = np.linspace(-1, 1, 3 * 4 * 4, dtype="float32").reshape(3, 4, 4)
GATES = recurrence.Weights(KERNEL[0], KERNEL[1], KERNEL[2, 0])
FUNCTIONS = {
    "dense": lambda x: product(x, KERNEL[0], KERNEL[0, 0], relu) ** 2,
    "conv": lambda x: jnp.tanh(windows.conv(x, KERNEL, (1,), "same")),
    "depthwise": lambda x: windows.depthwise_conv(x, KERNEL[:, :, :2], (1,)) ** 2,
    "max": lambda x: windows.max_pool(x, (3,), (2,)) ** 2,
    "average": lambda x: windows.average_pool(x, (2,), (2,)) ** 2,
    "norm": lambda x: standardise(x, None, None, 1e-3)[0] ** 3,
    "recurrent": lambda x: recurrence.recur(recurrence.SIMPLE, x, GATES, (x[:, 0],), sequences=True)[0],
}
DERIVATIVES = {
    "gradient of a gradient": lambda f, x: jax.grad(lambda x: (jax.grad(lambda x: f(x).sum())(x) ** 2).sum())(x),
    "forwards": lambda f, x: jax.jvp(f, (x,), (jnp.cos(x),))[1],
    "gradient of forwards": lambda f, x: jax.grad(lambda x: (jax.jvp(f, (x,), (jnp.cos(x),))[1] ** 2).sum())(x),
}


@pytest.mark.parametrize("derivative", DERIVATIVES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_program_goes_on_without_kernels(name, derivative):
    x = np.random.default_rng(0).normal(size=(5, 6, 4)).astype("float32")

    def run(x):
        return DERIVATIVES[derivative](FUNCTIONS[name], x)

    close(jax.jit(kernels.served(run))(x), jax.jit(run)(x))


def test_only_then():
    x = np.ones((5, 6, 4), "float32")
    for f in FUNCTIONS.values():
        assert "ffi_call" in str(jax.make_jaxpr(kernels.served(jax.grad(lambda x, f=f: f(x).sum())))(x))
    assert "ffi_call" not in str(jax.make_jaxpr(kernels.served(lambda x: jax.jvp(relu, (x,), (x,))))(x))


class Slope(Layer):
    """The derivative of its inner layers: backwards for each row, forwards after them."""

    def __init__(self):
        super().__init__()
        self.inner, self.memory, self.after = Conv1D(4, 3, padding="same", activation="tanh"), LSTM(3), Dense(2, "tanh")

    def call(self, x):
        x = jax.vmap(jax.grad(lambda row: (self.inner(row[None]) ** 2).sum() + self.memory(row[None]).sum()))(x)
        return jax.jvp(self.after, (x,), (jnp.ones_like(x),))[1]


def trained(monkeypatch, plain):
    if plain:
        monkeypatch.setattr(kernels, "offered", lambda dtype=None: False)
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=shape).astype("float32") for shape in ((16, 6, 3), (16, 1)))
    seriatim.utils.set_random_seed(3)
    model = seriatim.Sequential([seriatim.Input((6, 3)), Slope(), Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    losses = model.fit(x, y, epochs=2, batch_size=16, verbose=0).history["loss"]
    return losses, model.evaluate(x, y, verbose=0), model.predict(x, verbose=0)


def test_a_layer_of_derivatives_trains(monkeypatch):
    for found, wanted in zip(trained(monkeypatch, False), trained(monkeypatch, True), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_an_error_of_the_author_stays_as_it_is():
    runs, wrong = [], ValueError("it cannot be differentiated, said the author")

    def run(x):
        runs.append(x)
        raise wrong

    with pytest.raises(ValueError) as caught:
        jax.jit(kernels.served(run))(np.ones(3, "float32"))
    assert caught.value is wrong and len(runs) == 1
    assert "run" in [entry.name for entry in caught.traceback]


def test_a_rule_of_the_author_without_a_tangent_is_reported_as_by_jax():
    """No other program would take it: the error is that of the function without kernels."""

    @jax.custom_vjp
    def double(x):
        return 2 * x

    double.defvjp(lambda x: (2 * x, None), lambda _, dy: (2 * dy,))
    with pytest.raises(TypeError, match="custom_vjp") as caught:
        jax.jit(kernels.served(lambda x: jax.jvp(double, (x,), (x,))[1]))(np.ones(3, "float32"))
    assert caught.value.__context__ is None or "ffi" not in str(caught.value.__context__)


def test_what_was_tried_leaves_nothing_behind():
    said = []

    def run(x):
        jax.debug.callback(lambda: said.append(1))
        return DERIVATIVES["gradient of a gradient"](FUNCTIONS["dense"], x)

    jax.block_until_ready(jax.jit(kernels.served(run))(np.ones((2, 2, 4), "float32")))
    jax.effects_barrier()
    assert said == [1]


def test_what_jit_keeps_of_a_function_holds_no_kernel_outside():
    """A function under the author's own jit, met by the engine first, then differentiated forwards by the author."""
    f = jax.jit(FUNCTIONS["dense"])
    x = np.ones((2, 2, 4), "float32")
    assert "ffi_call" in str(jax.make_jaxpr(kernels.served(f))(x))
    assert "ffi_call" not in str(jax.make_jaxpr(f)(x))
    assert np.isfinite(jax.jvp(f, (x,), (x,))[1]).all()


def test_dropout_forwards():
    x, key = np.ones(64, "float32"), np.array([1, 2], np.uint32)
    with pytest.raises(TypeError, match="custom_vjp"):  # the kernel by itself has no derivative forwards
        jax.jvp(lambda x: drop(x, key, 2**31, 2.0), (x,), (x,))
    layer = seriatim.layers.Dropout(0.5)

    def run(x):
        from_engine = seriatim.layers.contract.Call(training=True, root=jax.random.key(1))
        return jax.jvp(lambda x: layer.apply({}, x, from_engine)[0], (x,), (x,))

    y, tangent = jax.jit(kernels.served(run))(x)
    np.testing.assert_array_equal(y, tangent)
