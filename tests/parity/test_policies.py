"""Dtype policies beside Keras's: names, maps, configs; and training in float64, where every digit can be compared."""

import json

import jax
import keras
import numpy as np
import pytest

import seriatim
from seriatim import dtype_policies, layers
from seriatim.base.report import UsageError

BOTH = (seriatim, keras)


def test_maps_as_keras():
    seen = []
    for k in BOTH:
        P = k.dtype_policies
        table = P.DTypePolicyMap("mixed_bfloat16")
        table["encoder/.*"], table["decoder"] = "float16", P.DTypePolicy("bfloat16")
        found = [table[n].name for n in ("encoder/a", "decoder", "decoder/x", "encoder")]
        found += [len(table), "decoder" in table, "encoder/a" in table, table.default_policy.name, table.compute_dtype]
        found += [P.get(n).variable_dtype for n in ("mixed_float16", "bfloat16", None)]
        written = [P.serialize(table), k.layers.Dense(2, name="d", dtype=table).get_config()]
        seen.append((found, json.loads(json.dumps(written))))
        with pytest.raises(ValueError, match="already exist"):
            table["decoder"] = "float32"
        table["encoder/a.*"] = "float32"
        with pytest.raises(ValueError, match="multiple"):
            table["encoder/a"]
        del table["decoder"]
        assert len(table) == 2
        for wrong in ("mixed_float64", "no_such"):
            with pytest.raises(ValueError):
                P.DTypePolicy(wrong)
        with pytest.raises(TypeError):
            P.DTypePolicyMap("float32", policy_map=7)
    assert seen[0] == seen[1]
    again = dtype_policies.deserialize(seen[0][1][0])
    assert again.get_config() == seen[0][1][0]["config"]


def test_a_layer_takes_its_own_policy_out_of_a_map():
    table = dtype_policies.DTypePolicyMap("float32", {"half.*": "mixed_bfloat16"})
    outs = []
    for names in (("half_1", "whole"), ("whole", "half_1")):  # the same chain but for the names
        model = seriatim.Sequential([layers.Input((3,)), *(layers.Dense(2, name=n, dtype=table) for n in names)])
        assert [layer.compute_dtype for layer in model.layers] == [
            "bfloat16" if n == "half_1" else "float32" for n in names
        ]
        outs.append(str(model(np.ones((2, 3), "float32")).dtype))
        assert eval(repr(model.layers[0]), {"Dense": layers.Dense, **vars(dtype_policies)}).compute_dtype == (
            model.layers[0].compute_dtype
        )
    assert outs == ["float32", "bfloat16"]
    seriatim.config.set_dtype_policy(table)
    try:
        assert layers.Dense(1, name="half_2").compute_dtype == "bfloat16"
        assert seriatim.config.dtype_policy() is table
    finally:
        seriatim.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", ["int8_from_float32", "gptq/4/128_from_float32"])
def test_quantized_policies_are_refused(name):
    for call in (lambda: layers.Dense(1, dtype=name), lambda: dtype_policies.QuantizedDTypePolicy("int8", "float32")):
        with pytest.raises(UsageError, match="floating point"):
            call()


@pytest.fixture
def doubles():
    """JAX as it was found, afterwards."""
    yield
    jax.config.update("jax_enable_x64", False)
    for k in BOTH:
        k.config.set_floatx("float32")
        k.config.set_dtype_policy("float32")


def test_training_in_float64(doubles):
    """Asking is enough; losses, metrics and weights agree with Keras's, to about 2e-8 (ours are exact: below)."""
    rng, seen = np.random.default_rng(0), []
    x = rng.normal(size=(40, 6))
    y = x.sum(1, keepdims=True)
    start = [rng.normal(size=s) for s in ((6, 4), (4,), (4,), (4,), (4, 1), (1,))]
    for k in BOTH:  # ours first: Keras leaves the switch to the user
        k.config.set_floatx("float64")
        k.config.set_dtype_policy("float64")  # an earlier one would stay
        L = k.layers
        model = k.Sequential([L.Input((6,)), L.Dense(4, activation="tanh"), L.LayerNormalization(), L.Dense(1)])
        model.set_weights(start)
        model.compile(k.optimizers.Adam(0.01), "mse", metrics=["mae"])
        assert {str(w.dtype) for w in model.weights} == {"float64"}
        history = model.fit(x, y, epochs=3, batch_size=7, shuffle=False, verbose=0).history
        out = model.predict(x, verbose=0)
        assert out.dtype == np.float64
        seen.append([history["loss"], history["mae"], out, *model.get_weights()])
    for a, b in zip(*seen, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_fit_in_float64_keeps_every_digit(doubles):
    """Gradient descent on a linear model, beside the same steps in NumPy."""
    seriatim.config.set_floatx("float64")
    seriatim.config.set_dtype_policy("float64")
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(20, 3)), rng.normal(size=(3, 1))
    y = x @ rng.normal(size=(3, 1))
    model = seriatim.Sequential([layers.Input((3,)), layers.Dense(1, use_bias=False)])
    model.set_weights([w])
    model.compile(seriatim.optimizers.SGD(0.1), "mse", metrics=["mae"])
    history = model.fit(x, y, batch_size=20, epochs=4, shuffle=False, verbose=0).history
    for i in range(4):
        error = x @ w - y
        np.testing.assert_allclose(history["loss"][i], (error**2).mean(), rtol=1e-13)
        np.testing.assert_allclose(history["mae"][i], np.abs(error).mean(), rtol=1e-13)
        w = w - 0.1 * 2 / 20 * x.T @ error
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=1e-13)


def test_a_layer_in_float64_and_a_model_beside_it(doubles):
    double = seriatim.Sequential([layers.Input((3,)), layers.Dense(2, dtype="float64")])
    single = seriatim.Sequential([layers.Input((3,)), layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert double(x).dtype == np.float64
    assert single(x).dtype == single.predict(x, verbose=0).dtype == np.float32
    single.compile("adam", "mse")
    single.fit(x, x[:, :2], verbose=0)
    assert {str(w.dtype) for w in single.weights} == {"float32"}


def test_switches():
    assert seriatim.config.backend() == keras.config.backend() == "jax"
    with pytest.raises(UsageError, match="one engine"):
        seriatim.config.set_backend("torch")
    with pytest.warns(UserWarning, match="custom_objects"):
        seriatim.config.enable_unsafe_deserialization()
    for word in ("traceback_filtering", "flash_attention"):
        before = getattr(seriatim.config, f"is_{word}_enabled")()
        for verb, state in (("disable", False), ("enable", True), ("enable" if before else "disable", before)):
            getattr(seriatim.config, f"{verb}_{word}")()
            assert getattr(seriatim.config, f"is_{word}_enabled")() is state
    assert seriatim.config.is_nnx_enabled() is keras.config.is_nnx_enabled() is False
