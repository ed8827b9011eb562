"""Scripts as people write them for `tensorflow.keras`, with the import changed and nothing else."""

import warnings

import numpy as np
import pytest

import seriatim
from seriatim.layers import GRU, LSTM, Conv2D, Dense, Dropout, Embedding, Flatten, MaxPooling2D
from seriatim.models import Sequential, clone_model, load_model, model_from_json


def test_the_first_script():
    rng = np.random.default_rng(0)
    X_train, y_train = rng.random((96, 784)), np.eye(10)[rng.integers(0, 10, 96)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = Sequential([Dense(32, activation="relu", input_shape=(784,)), Dense(10, activation="softmax")])
        model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(X_train, y_train, epochs=10, batch_size=32)
    assert list(history.history) == ["accuracy", "loss"] and len(history.history["loss"]) == 10
    assert model.predict(X_train[:3]).shape == (3, 10)


def test_images_with_add():
    model = Sequential()
    model.add(Conv2D(32, (3, 3), activation="relu", input_shape=(64, 64, 3)))
    model.add(MaxPooling2D((2, 2)))
    model.add(Conv2D(64, (3, 3), activation="relu"))
    model.add(MaxPooling2D((2, 2)))
    model.add(Flatten())
    model.add(Dense(128, activation="relu"))
    model.add(Dropout(0.5))
    model.add(Dense(1, activation="sigmoid"))
    assert model.count_params() == 896 + 18496 + 12544 * 128 + 128 + 129
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    x, y = np.random.default_rng(0).random((8, 64, 64, 3)), np.arange(8) % 2
    model.fit(x, y, epochs=1, batch_size=4, verbose=0)
    assert model.evaluate(x, y, verbose=0)[0] > 0


@pytest.mark.parametrize("layer", [LSTM, GRU])
def test_text_and_series(layer):
    x = np.random.default_rng(0).integers(0, 50, (12, 9))
    model = Sequential([Embedding(50, 8, input_length=9, mask_zero=True), layer(6), Dense(1, "sigmoid")])
    model.compile("rmsprop", "binary_crossentropy", metrics=["acc"])
    history = model.fit(x, np.arange(12) % 2, validation_split=0.25, epochs=2, verbose=0)
    assert set(history.history) == {"acc", "loss", "val_acc", "val_loss"}


def test_the_batch_shape_word():
    model = Sequential([LSTM(3, batch_input_shape=(2, 4, 1), stateful=True), Dense(1)])
    assert model.input_shape == (2, 4, 1)
    model.compile("sgd", "mse")
    x = np.ones((2, 4, 1), "float32")
    first = model.predict(x, batch_size=2)
    assert not np.allclose(first, model.predict(x, batch_size=2))
    model.reset_states()
    np.testing.assert_array_equal(first, model.predict(x, batch_size=2))


def test_keep_clone_and_json(tmp_path):
    model = Sequential([Dense(4, activation="relu", input_shape=(3,)), Dense(2)], name="kept")
    model.compile("adam", "mse", metrics=["mae"])
    x, y = np.ones((8, 3), "float32"), np.zeros((8, 2), "float32")
    model.fit(x, y, epochs=2, verbose=0)
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
        again = load_model(tmp_path / name)
        np.testing.assert_array_equal(again.predict(x), model.predict(x))
        a, b = (
            m.fit(x, y, epochs=2, verbose=0, shuffle=False).history["loss"]
            for m in (again, load_model(tmp_path / name))
        )
        np.testing.assert_allclose(a, b, rtol=1e-6)  # XLA's CPU products may differ in the last bit with threads
    # the optimizer's state is kept: training goes on as if it had not been interrupted
    again = load_model(tmp_path / "m.keras")
    straight = model.fit(x, y, epochs=3, verbose=0, shuffle=False).history["loss"]
    np.testing.assert_allclose(again.fit(x, y, epochs=3, verbose=0, shuffle=False).history["loss"], straight, rtol=1e-6)
    fresh = clone_model(model)
    assert fresh.count_params() == model.count_params() and not np.array_equal(
        fresh.get_weights()[0], model.get_weights()[0]
    )
    assert model_from_json(model.to_json()).output_shape == (None, 2)
    model.save_weights(tmp_path / "m.weights.h5")
    fresh.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(fresh.predict(x), model.predict(x))


def test_repr_is_source():
    from seriatim.layers import Conv1D, Input

    model = Sequential([Input((9, 2)), Conv1D(4, 3, padding="same", activation="relu"), Flatten(), Dense(2)])
    again = eval(repr(model))
    assert [layer.get_config().keys() for layer in again.layers] == [
        layer.get_config().keys() for layer in model.layers
    ]
    assert repr(again) == repr(model)
    assert "parameters" in repr(model)


def test_pictures(tmp_path):
    model = Sequential([Conv2D(2, 3, input_shape=(8, 8, 1)), Flatten(), Dense(2)])
    assert seriatim.utils.plot_model(model, tmp_path / "m.svg").read_text().startswith("<svg")
    path = seriatim.utils.plot_history({"loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}, tmp_path / "h.svg")
    assert "val" in path.read_text()


def test_one_row_and_lists():
    model = Sequential([Dense(1, input_shape=[1])])
    model.compile("sgd", "mse")
    model.fit([[1.0], [2.0]], [2.0, 4.0], epochs=1, verbose=0)
    assert model.predict([[7.0]]).shape == (1, 1)
    assert model.predict(np.array([10.0])).shape == (1, 1)


def test_nested_chain_trains():
    inner = Sequential([Dense(4, "relu", input_shape=(3,)), Dense(3)])
    model = Sequential([inner, Dense(1)])
    model.compile("adam", "mse")
    before = inner.get_weights()
    model.fit(np.ones((6, 3)), np.ones((6, 1)), verbose=0, epochs=2)
    assert not np.array_equal(before[0], inner.get_weights()[0])
    assert model.count_params() == 4 * 4 + 5 * 3 + 4
    inner.trainable = False
    kept = inner.get_weights()
    model.fit(np.ones((6, 3)), np.ones((6, 1)), verbose=0, epochs=2)
    assert all(np.array_equal(a, b) for a, b in zip(kept, inner.get_weights(), strict=True))
    assert [v.path for v in model.trainable_weights] == [v.path for v in model.layers[1].weights]
