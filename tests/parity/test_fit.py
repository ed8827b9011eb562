"""Whole training runs beside real Keras, from copied weights and without shuffling.

Tolerance: both sides compute in float32 with sums in another order; over some tens of steps the difference
grows to a few parts in 1e5 (measured), so histories are compared at 5e-4 relative.
"""

import keras
import numpy as np
import pytest

import seriatim

CLOSE = {"rtol": 5e-4, "atol": 5e-5}


def data(rows=70, features=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features)).astype("float32")
    y = (x @ rng.normal(size=(features, classes))).argmax(-1)
    return x, y


def pair(build, loss, optimizer="adam", **compile_options):
    """The same model twice, with the same weights: ours and Keras's."""
    theirs, ours = build(keras), build(seriatim)
    ours.set_weights(theirs.get_weights())
    theirs.compile(optimizer, loss, **compile_options)
    ours.compile(optimizer, loss, **compile_options)
    return ours, theirs


def mlp(k, classes=3):
    return k.Sequential([
        k.layers.Input((6,)), k.layers.Dense(8, activation="relu", kernel_regularizer="l2"),
        k.layers.BatchNormalization(), k.layers.Dense(classes, activation="softmax"),
    ])  # fmt: skip


def compare(ours, theirs, **fit):
    a = ours.fit(**fit, shuffle=False, verbose=0)
    b = theirs.fit(**fit, shuffle=False, verbose=0)
    assert list(a.history) == list(b.history)
    for name, values in b.history.items():
        np.testing.assert_allclose(a.history[name], values, err_msg=name, **CLOSE)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-3, atol=2e-4)
    return a


@pytest.mark.parametrize("batch_size", [16, 35, 100])
def test_epochs_with_validation_split(batch_size):
    x, y = data()
    ours, theirs = pair(mlp, "sparse_categorical_crossentropy", metrics=["accuracy"])
    compare(ours, theirs, x=x, y=y, epochs=3, batch_size=batch_size, validation_split=0.2)


def test_weights_of_samples_and_weighted_metrics():
    x, y = data()
    w = np.linspace(0, 2, len(x)).astype("float32")
    ours, theirs = pair(
        mlp,
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        weighted_metrics=["accuracy", "sparse_categorical_crossentropy"],
    )
    compare(ours, theirs, x=x, y=y, sample_weight=w, epochs=2, validation_data=(x[:20], y[:20], w[:20]))


def test_class_weight():
    x, y = data()
    ours, theirs = pair(mlp, "categorical_crossentropy", metrics=["acc"])
    compare(ours, theirs, x=x, y=np.eye(3)[y], class_weight={0: 3.0, 2: 0.5}, epochs=2)


def test_class_weight_stays_out_of_validation():
    x, y = data()
    ours, theirs = pair(mlp, "categorical_crossentropy", weighted_metrics=["accuracy"])
    compare(ours, theirs, x=x, y=np.eye(3)[y], class_weight={0: 3.0, 2: 0.5}, epochs=2, validation_split=0.3)


def test_binary_with_counts():
    def build(k):
        return k.Sequential([k.layers.Input((6,)), k.layers.Dense(4, "tanh"), k.layers.Dense(1, "sigmoid")])

    x, y = data(classes=2)
    ours, theirs = pair(build, "binary_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
    ours.compile("rmsprop", "binary_crossentropy", metrics=["accuracy", seriatim.metrics.Precision(name="p")])
    theirs.compile("rmsprop", "binary_crossentropy", metrics=["accuracy", keras.metrics.Precision(name="p")])
    compare(ours, theirs, x=x, y=y, epochs=3, batch_size=20, validation_freq=2, validation_data=(x, y))


def test_steps_per_epoch_carries_over_a_pass():
    """The first epoch is Keras's. At the end of a pass Keras cuts the epoch short; ours goes on with the next pass."""
    x, y = data(rows=60)
    ours, theirs = pair(mlp, "sparse_categorical_crossentropy", metrics=["accuracy"])
    compare(ours, theirs, x=x, y=y, epochs=1, batch_size=10, steps_per_epoch=4)
    steps = []
    counter = seriatim.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    ours.fit(x, y, epochs=3, batch_size=10, steps_per_epoch=4, verbose=0, callbacks=[counter])
    assert steps == [0, 1, 2, 3] * 3


def test_initial_epoch_and_generator():
    x, y = data(rows=64)

    def batches():
        while True:
            for i in range(0, 64, 16):
                yield x[i : i + 16], y[i : i + 16]

    ours, theirs = pair(mlp, "sparse_categorical_crossentropy", metrics=["accuracy"])
    a = ours.fit(batches(), steps_per_epoch=4, initial_epoch=1, epochs=3, verbose=0)
    b = theirs.fit(batches(), steps_per_epoch=4, initial_epoch=1, epochs=3, verbose=0)
    assert a.epoch == b.epoch == [1, 2]
    np.testing.assert_allclose(a.history["loss"], b.history["loss"], **CLOSE)


def test_evaluate_predict_and_batches():
    x, y = data()
    ours, theirs = pair(mlp, "sparse_categorical_crossentropy", metrics=["accuracy"])
    np.testing.assert_allclose(ours.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0), **CLOSE)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), **CLOSE)
    np.testing.assert_allclose(ours.predict(x[:1]), theirs.predict(x[:1], verbose=0), **CLOSE)
    np.testing.assert_allclose(ours.train_on_batch(x, y), theirs.train_on_batch(x, y), **CLOSE)
    np.testing.assert_allclose(ours.test_on_batch(x, y), theirs.test_on_batch(x, y), **CLOSE)
    assert (
        ours.evaluate(x, y, verbose=0, return_dict=True).keys()
        == theirs.evaluate(x, y, verbose=0, return_dict=True).keys()
    )
    np.testing.assert_allclose(np.asarray(ours(x, training=False)), np.asarray(theirs(x, training=False)), **CLOSE)


def test_frozen_layers_stay():
    x, y = data()

    def build(k):
        model = mlp(k)
        model.layers[0].trainable = False
        return model

    ours, theirs = pair(build, "sparse_categorical_crossentropy")
    before = ours.layers[0].get_weights()
    compare(ours, theirs, x=x, y=y, epochs=2)
    for old, new in zip(before, ours.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_masked_sequences_reach_loss_and_metrics():
    def build(k):
        return k.Sequential([
            k.layers.Input((7, 2)), k.layers.Masking(0.0), k.layers.LSTM(4, return_sequences=True), k.layers.Dense(1),
        ])  # fmt: skip

    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 7, 2)).astype("float32")
    x[:10, 4:] = 0
    y = rng.normal(size=(20, 7, 1)).astype("float32")
    ours, theirs = pair(build, "mse", optimizer="sgd")
    compare(ours, theirs, x=x, y=y, epochs=2, batch_size=8)
    # metrics: on its JAX backend Keras loses the mask while training (not in evaluate); ours keeps it in both
    ours, theirs = pair(build, "mse", optimizer="sgd", metrics=["mae"])
    np.testing.assert_allclose(ours.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0), **CLOSE)
    np.testing.assert_allclose(ours.train_on_batch(x, y)[1], ours_masked_mae(x, y, theirs), **CLOSE)


def ours_masked_mae(x, y, model):
    error, mask = np.abs(model.predict(x, verbose=0) - y)[..., 0], np.any(x != 0, -1)
    return (error * mask).sum() / mask.sum()


def test_callbacks_see_what_keras_shows():
    x, y = data()
    seen = {}

    def recorder(k, log):
        class Record(k.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                log.append(("epoch_begin", epoch))

            def on_train_batch_end(self, batch, logs=None):
                log.append(("batch_end", batch, round(logs["loss"], 3)))

            def on_test_end(self, logs=None):
                log.append(("test_end", sorted(logs)))

            def on_epoch_end(self, epoch, logs=None):
                log.append(("epoch_end", epoch, sorted(logs)))

            def on_train_end(self, logs=None):
                log.append(("train_end", sorted(logs)))

        return Record()

    ours, theirs = pair(mlp, "sparse_categorical_crossentropy", metrics=["accuracy"])
    for k, model in ((seriatim, ours), (keras, theirs)):
        seen[k] = []
        model.fit(x, y, epochs=2, shuffle=False, verbose=0, validation_data=(x, y), callbacks=[recorder(k, seen[k])])
    for mine, other in zip(seen[seriatim], seen[keras], strict=True):
        assert mine[:2] == other[:2]
        if mine[0] == "batch_end":
            assert abs(mine[2] - other[2]) < 0.002
