"""`predict` of one row and of many: the arrays kept between two calls are never old, and no batch changes a result."""

import gc
import weakref

import numpy as np
import pytest

from seriatim import Sequential
from seriatim.base.report import DataError
from seriatim.callbacks import Callback
from seriatim.layers import (
    LSTM,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    Lambda,
    Layer,
    MaxPooling2D,
)  # fmt: skip
from seriatim.train.fit import wide

RNG = np.random.default_rng(0)
ROW = RNG.random((1, 6), dtype="float32")
X, Y = RNG.random((70, 6), dtype="float32"), RNG.random((70, 2), dtype="float32")
CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # float32 sums of at most eight products, in another order


def mlp(*extra):
    model = Sequential([Input((6,)), Dense(8, activation="relu"), Dense(2), *extra])
    model.compile("sgd", "mse")
    return model


def by_hand(model, x):
    """A chain of Dense layers in NumPy, from the weights that the model shows."""
    for layer in model.layers:
        kernel, bias = layer.get_weights()
        x = x @ kernel + bias
        x = np.maximum(x, 0) if layer.activation.__name__ == "relu" else x
    return x


def agrees(model):
    """All ways to ask for one row give what the weights say."""
    wanted = by_hand(model, ROW)
    for ask in (model.predict, model.predict_on_batch, model):
        np.testing.assert_allclose(np.asarray(ask(ROW)), wanted, **CLOSE)
    return wanted


# ---- the arrays are those of now ------------------------------------------------------------------------


def halve(model):
    return [w / 2 + 0.1 for w in model.get_weights()]


CHANGES = {
    "set_weights": lambda m, path: m.set_weights(halve(m)),
    "layer.set_weights": lambda m, path: m.layers[1].set_weights([w + 1 for w in m.layers[1].get_weights()]),
    "assign": lambda m, path: m.layers[0].kernel.assign(m.layers[0].kernel.numpy() + 1),
    "assign_add": lambda m, path: m.layers[1].bias.assign_add(np.ones(2, "float32")),
    "fit": lambda m, path: m.fit(X, Y, verbose=0),
    "train_on_batch": lambda m, path: m.train_on_batch(X, Y),
    "reset_weights": lambda m, path: m.reset_weights(),
    "add": lambda m, path: m.add(Dense(3)),
    "pop": lambda m, path: m.pop(),
    "frozen fit": lambda m, path: (setattr(m.layers[0], "trainable", False), m.fit(X, Y, verbose=0)),
    "compile": lambda m, path: (m.compile("adam", "mae"), m.fit(X, Y, verbose=0)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_at_once(change, tmp_path):
    model = mlp()
    before = agrees(model)
    CHANGES[change](model, tmp_path)
    after = agrees(model)
    assert before.shape != after.shape or not np.allclose(before, after)


@pytest.mark.parametrize("suffix", [".weights.h5", ".safetensors"])
def test_loaded_weights_are_seen_at_once(suffix, tmp_path):
    one, two = mlp(), mlp()
    agrees(two)
    one.save_weights(tmp_path / f"w{suffix}")
    two.load_weights(tmp_path / f"w{suffix}")
    np.testing.assert_array_equal(two.predict(ROW), one.predict(ROW))
    agrees(two)


def test_freed_arrays_do_not_lend_their_place():
    """Each value is thrown away before the next is made, so a new array may lie where an old one lay."""
    model = mlp()
    for i in range(50):
        model.layers[1].bias.assign(np.full(2, i, "float32"))
        np.testing.assert_allclose(model.predict(ROW), by_hand(model, ROW), **CLOSE)


def test_a_callback_predicts_with_the_weights_of_its_epoch():
    seen = []

    class Look(Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((self.model.predict(ROW), by_hand(self.model, ROW)))

    mlp().fit(X, Y, epochs=3, verbose=0, callbacks=[Look()])
    assert len(seen) == 3 and not np.allclose(seen[0][0], seen[2][0])
    for told, wanted in seen:
        np.testing.assert_allclose(told, wanted, **CLOSE)


def test_chains_inside_are_watched_too():
    inner = Sequential([Input((6,)), Dense(4)])
    model = Sequential([Input((6,)), inner])
    model.predict(ROW)
    inner.layers[0].kernel.assign(np.ones((6, 4), "float32"))
    np.testing.assert_allclose(model.predict(ROW), by_hand(inner, ROW), **CLOSE)
    inner.add(Dense(3))
    np.testing.assert_allclose(model.predict(ROW), by_hand(inner, ROW), **CLOSE)
    inner.pop()
    np.testing.assert_allclose(model.predict(ROW), by_hand(inner, ROW), **CLOSE)


def test_training_does_not_keep_the_old_arrays():
    model = mlp()
    model.predict(ROW)
    old = weakref.ref(model.layers[0].box["kernel"])
    assert old() is not None
    model.fit(X, Y, verbose=0)
    gc.collect()
    assert old() is None


def test_unchanged_arrays_are_gathered_once():
    model = mlp()
    model.predict(ROW)
    forward, arrays = model.forward, model.forward.arrays()
    model.predict(ROW), model.predict(X), model(ROW)
    assert model.forward is forward and forward.arrays() is arrays
    model.layers[0].bias.assign(np.ones(8, "float32"))
    assert forward.arrays() is not arrays and model.forward is forward


# ---- one row --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "uint8"])
def test_types_of_a_row(dtype):
    model, row = mlp(), np.arange(6).astype(dtype)[None]
    got = model.predict(row)
    assert isinstance(got, np.ndarray) and got.dtype == "float32"
    np.testing.assert_allclose(got, by_hand(model, row.astype("float32")), **CLOSE)


def test_policies_keep_their_type():
    model = Sequential([Input((6,)), Dense(4, dtype="mixed_float16"), Dense(2, dtype="mixed_float16")])
    assert model.predict(ROW).dtype == "float16"
    model.set_weights([w + 1 for w in model.get_weights()])
    np.testing.assert_allclose(model.predict(ROW), by_hand(model, ROW), rtol=1e-2)  # ten bits, three products deep


def test_a_misfit_is_the_same_error_after_a_fit():
    model = mlp()
    model.predict(ROW)
    for wrong in (np.ones((1, 5), "float32"), np.ones(6, "float32"), np.ones((1, 6, 2), "float32")):
        with pytest.raises(DataError, match="does not fit"):
            model.predict(wrong)
    agrees(model)


def test_one_row_shows_nothing(capsys):
    model = mlp()
    for verbose in ("auto", 0, 1, 2):
        model.predict(ROW, verbose=verbose)
    assert capsys.readouterr().out == ""


class Count(Layer):
    """Adds how often it was called."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, x):
        self.calls.assign_add(1.0)
        return x + self.calls


def test_what_a_layer_moves_is_kept_as_in_keras():
    model = Sequential([Input((6,)), Count()])
    model.compile("sgd", "mse")
    for i in range(1, 4):
        np.testing.assert_array_equal(model.predict(np.zeros((1, 6))), np.full((1, 6), i))
    assert sorted(set(model.predict(np.zeros((70, 6)))[:, 0])) == [4, 5, 6]  # three batches, as Keras makes them
    np.testing.assert_array_equal(model(np.zeros((1, 6))), np.full((1, 6), 7))
    model.layers[0].calls.assign(0.0)
    np.testing.assert_array_equal(model.predict(np.zeros((1, 6))), np.ones((1, 6)))


def test_a_stateful_layer_goes_on_from_row_to_row():
    model = Sequential([Input(batch_shape=(1, 4, 1)), LSTM(3, stateful=True)])
    x = RNG.random((3, 4, 1), dtype="float32")
    one_by_one = np.concatenate([model.predict(x[i : i + 1]) for i in range(3)])
    model.reset_states()
    np.testing.assert_allclose(model.predict(x, batch_size=1), one_by_one, **CLOSE)
    assert not np.allclose(model.predict(x[:1]), one_by_one[:1])


# ---- many rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layers, rows",
    [
        ([Input((784,)), Dense(32), Dense(10)], 1024),
        ([Input((4,)), Dense(16), Dense(1)], 65536),
        ([Input((28, 28, 1)), Conv2D(32, 3), MaxPooling2D(2), Flatten(), Dense(10)], 32),
        ([Input((None,)), Embedding(9, 64), LSTM(2)], 256),  # 50 steps of 64 numbers, from the data
        ([Input((6,)), Sequential([Dense(4096), Dense(2)])], 256),
    ],
    ids=["mlp", "narrow", "images", "open length", "a chain inside"],
)
def test_the_widest_activation_has_room(layers, rows):
    model = Sequential(layers)
    shape = tuple(n or 50 for n in model.input_shape[1:]) if model.built else (6,)
    assert wide(model, np.zeros((2, *shape), "float32")) == rows


@pytest.mark.parametrize("batch_size", [None, 7])
def test_wide_batches_change_nothing(batch_size, monkeypatch):
    model = Sequential([Input((8, 8, 1)), Conv2D(4, 3), BatchNormalization(), Dropout(0.5), Flatten(), Dense(3)])
    model.compile("adam", "mse")
    x = RNG.random((75, 8, 8, 1), dtype="float32")
    model.fit(x, RNG.random((75, 3)), verbose=0)
    singly = np.concatenate([model.predict(x[i : i + 1]) for i in range(75)])
    np.testing.assert_allclose(model.predict(x, batch_size=batch_size), singly, **CLOSE)
    monkeypatch.setattr("seriatim.train.fit.ROOM", 6 * 6 * 4 * 4 * 40)  # forty rows, so thirty-two
    assert wide(model, x) == 32
    np.testing.assert_allclose(model.predict(x, batch_size=batch_size), singly, **CLOSE)


def sizes(model, x, **options):
    """How many rows each call of the program had."""
    seen = []
    forward = model.forward_rows
    model.forward_rows = lambda rows: (seen.append(len(rows)), forward(rows))[1]
    model.predict(x, verbose=0, **options)
    del model.forward_rows
    return seen


def test_who_decides_the_batches():
    x = np.zeros((100, 6), "float32")
    assert sizes(mlp(), x) == [100]
    assert sizes(mlp(), x, batch_size=10) == [100]
    assert sizes(mlp(), x, batch_size=10, steps=3) == [30]
    assert sizes(mlp(Lambda(lambda t: t - t.mean(0))), x) == [32, 32, 32, 4]
    assert sizes(mlp(Lambda(lambda t: t - t.mean(0))), x, batch_size=50) == [50, 50]
    stateful = Sequential([Input(batch_shape=(20, 6, 1)), LSTM(2, stateful=True)])
    assert sizes(stateful, x, batch_size=20) == [20] * 5


def test_who_watches_batches_gets_those_of_keras():
    told = []

    class Watch(Callback):
        def on_predict_batch_end(self, batch, logs=None):
            told.append((batch, logs["outputs"].shape))

    mlp().predict(X, verbose=0, callbacks=[Watch()])
    assert told == [(0, (32, 2)), (1, (32, 2)), (2, (6, 2))]


def test_an_activation_that_is_assigned_later():
    model = Sequential([Input((6,)), Dense(2, activation="softmax")])
    before = model.predict(ROW), np.asarray(model(X))
    model.layers[-1].activation = None  # as users take the softmax off
    after = model.predict(ROW), np.asarray(model(X))
    for soft, logits in zip(before, after, strict=True):
        np.testing.assert_allclose(soft, np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), rtol=1e-5)
    assert model.get_config()["layers"][-1]["config"]["activation"] == "linear"
