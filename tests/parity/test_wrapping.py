"""Optimizers around optimizers, and half precision, beside Keras's: losses, weights, every array, configs, files."""

import json
import re

import keras
import numpy as np
import pytest

import seriatim
from seriatim.base.report import UsageError

R = np.random.default_rng(0)
X = R.normal(size=(32, 4)).astype("float32")
Y = X.sum(1, keepdims=True)


def small(library, optimizer, **compiled):
    """A model of either library with the same weights."""
    L = library.layers
    chain = [L.Input((4,)), L.Dense(5, activation="tanh", name="one"), L.Dense(1, name="two")]
    model = library.Sequential(chain)
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
    model.compile(optimizer, "mse", **compiled)
    return model


def loss_scale(o):
    return o.LossScaleOptimizer(o.Adam(0.01, clipnorm=1.0), initial_scale=2.0**124, dynamic_growth_steps=3)


def by_pattern(o):
    return o.MultiOptimizer(
        o.OptimizerMap(o.SGD(0.05, momentum=0.9), {".*one/.*": o.Adam(0.01)}), loss_scale_factor=8.0
    )


def by_function(o):
    return o.MultiOptimizer(lambda v: o.Adam(0.01, use_ema=True) if v.name == "kernel" else o.SGD(0.02))


@pytest.mark.parametrize("make", [loss_scale, by_pattern, by_function], ids=lambda f: f.__name__)
def test_trajectory(make, tmp_path):
    """With a first scale of 2¹²⁴ the first gradients overflow, are skipped, and the scale grows again later."""
    mine, real = (small(library, make(library.optimizers)) for library in (seriatim, keras))
    fits = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0}
    losses = [model.fit(X, Y, **fits).history["loss"] for model in (mine, real)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    got = [np.asarray(v) for v in mine.optimizer.variables]
    for a, b in zip(got, (np.asarray(v) for v in real.optimizer.variables), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for a, b in zip(mine.get_weights(), real.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert int(mine.optimizer.iterations) == int(real.optimizer.iterations)
    if make is loss_scale:
        assert 0 < int(mine.optimizer.iterations) < 16  # some steps were skipped
    if make is by_function:
        return  # a function has no form in files
    texts = [
        json.dumps(k.optimizers.serialize(m.optimizer), sort_keys=True) for k, m in ((seriatim, mine), (keras, real))
    ]
    texts = [
        re.sub(r'"(adam|sgd|loss_scale_optimizer|multi_optimizer)(_\d+)?"', "", text) for text in texts
    ]  # counted by the process
    assert texts[0] == texts[1] or make is by_pattern
    mine.save(tmp_path / "mine.keras")
    real.save(tmp_path / "real.keras")
    for path in ("mine.keras", "real.keras"):  # and on from there
        again = seriatim.models.load_model(tmp_path / path)
        np.testing.assert_allclose(again.fit(X, Y, **fits).history["loss"], mine_on(mine, fits), rtol=1e-5)
    assert type(keras.models.load_model(tmp_path / "mine.keras").optimizer).__name__ == type(mine.optimizer).__name__


def mine_on(model, fits, kept={}):
    """The losses of two more epochs of a model, run once."""
    if id(model) not in kept:
        kept[id(model)] = model.fit(X, Y, **fits).history["loss"]
    return kept[id(model)]


def test_rates_of_wrapped_optimizers():
    scaled = small(seriatim, seriatim.optimizers.LossScaleOptimizer(seriatim.optimizers.SGD(0.1)))
    scaled.optimizer.learning_rate = 0.0
    before = scaled.get_weights()
    scaled.fit(X, Y, verbose=0, callbacks=[seriatim.callbacks.LearningRateScheduler(lambda e, rate: rate)])
    np.testing.assert_array_equal(scaled.get_weights()[0], before[0])
    scaled.optimizer.inner_optimizer.learning_rate = 0.1
    scaled.fit(X, Y, verbose=0)
    assert float(scaled.optimizer.learning_rate) == np.float32(0.1)
    assert not np.array_equal(scaled.get_weights()[0], before[0])
    o = seriatim.optimizers
    several = small(seriatim, o.MultiOptimizer(o.OptimizerMap(o.SGD(0.1), {"two/bias": o.SGD(0.1)})))
    several.fit(X, Y, verbose=0)
    several.optimizer.optimizers[0].learning_rate = 0.0
    before = several.get_weights()
    several.fit(X, Y, verbose=0)
    same = [np.array_equal(a, b) for a, b in zip(before, several.get_weights(), strict=True)]
    assert same == [False, True, False, False] or same.count(False) == 3  # the map's own optimizer comes first
    with pytest.raises(AttributeError, match="Learning rate"):
        _ = several.optimizer.learning_rate
    with pytest.raises(AttributeError, match="Learning rate"):
        several.optimizer.learning_rate = 0.1


def test_two_divisions_are_two_programs():
    """The same optimizers for other weights: nothing is shared that differs."""
    o, moved = seriatim.optimizers, []
    for pattern in ("one/.*", "two/.*"):
        model = small(seriatim, o.MultiOptimizer(o.OptimizerMap(o.SGD(0.0), {pattern: o.SGD(0.1)})))
        before = model.get_weights()
        model.fit(X, Y, verbose=0)
        moved.append([not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)])
    assert moved == [[True, True, False, False], [False, False, True, True]]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_in_training(policy):
    images, labels, seen = R.normal(size=(24, 8, 8, 2)).astype("float32"), R.integers(0, 3, 24), []
    for library in (seriatim, keras):
        L = library.layers
        library.config.set_dtype_policy(policy)
        try:
            model = library.Sequential([
                L.Input((8, 8, 2)), L.Conv2D(4, 3, activation="relu"), L.BatchNormalization(), L.MaxPooling2D(2),
                L.Flatten(), L.Dense(6, activation="tanh", dtype="float32"), L.Dense(3, activation="softmax"),
            ])  # fmt: skip
        finally:
            library.config.set_dtype_policy("float32")
        rng = np.random.default_rng(3)
        values = [rng.normal(size=w.shape) * 0.3 if w.ndim > 1 else w for w in model.get_weights()]
        model.set_weights([np.asarray(value, "float32") for value in values])
        model.compile(library.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
        assert type(model.optimizer).__name__ == ("LossScaleOptimizer" if policy == "mixed_float16" else "Adam")
        history = model.fit(images, labels, batch_size=8, epochs=2, shuffle=False, verbose=0).history
        out = model.predict(images, verbose=0)
        assert str(out.dtype) == policy.removeprefix("mixed_")
        assert {str(w.dtype) for w in model.weights} == {"float32"}
        seen.append([history["loss"], history["accuracy"], out.astype("float32"), *model.get_weights()])
        unscaled = library.Sequential([L.Input((2,)), L.Dense(1, dtype=policy)])
        unscaled.compile("sgd", "mse")
        assert type(unscaled.optimizer).__name__ == "SGD"  # the policy of the model decides, as in Keras
    for a, b in zip(*seen, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-2, atol=2e-3)  # bfloat16 keeps 8 bits; sums run in another order


def test_what_wrapping_refuses():
    o = seriatim.optimizers
    sgd, scaled = o.SGD(), o.LossScaleOptimizer(o.SGD())
    for call in (
        lambda: o.LossScaleOptimizer(sgd, dynamic=False), lambda: o.LossScaleOptimizer(sgd, clipnorm=1.0),
        lambda: o.LossScaleOptimizer(sgd, colour=1), lambda: o.MultiOptimizer(7),
        lambda: o.OptimizerMap(sgd, {"a": sgd}).__setitem__("a", sgd),
        lambda: o.OptimizerMap(sgd).__setitem__("a", scaled),
        lambda: o.OptimizerMap(sgd, {"a.*": sgd, ".*b": sgd})["ab"], lambda: o.MultiOptimizer(o.OptimizerMap(scaled)),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            call()
    for arguments in ((7,), (sgd, [sgd])):
        with pytest.raises(TypeError):
            o.OptimizerMap(*arguments)
    table = o.OptimizerMap(sgd)
    table["a"] = o.Adam()
    assert (len(table), list(table), type(table["a"]).__name__) == (1, ["a"], "Adam")
    del table["a"]
    assert table["a"] is sgd
    twin = scaled.fresh()
    assert twin.inner_optimizer is not scaled.inner_optimizer and twin.get_config() == scaled.get_config()


@pytest.mark.parametrize("name", ["train_step", "compute_loss", "make_train_function"])
def test_a_step_of_ones_own_is_not_passed_over_in_silence(name):
    model = type("Mine", (seriatim.Sequential,), {name: lambda self, *rest: None})([seriatim.layers.Dense(1)])
    with pytest.raises(UsageError, match=f"(?s)Mine.{name}.*add_loss"):
        model.compile("sgd", "mse")
