"""Callbacks beside Keras's, driven by the same scripted epochs: what they decide must be equal."""

import csv
import types

import keras
import numpy as np
import pytest

import seriatim

RUNS = np.random.default_rng(0).normal(size=(6, 14)).cumsum(axis=1).round(2)


class Rate:
    """An optimizer of which only the rate is asked."""

    learning_rate = 0.1


class Model:
    """What a callback touches of a model, written down."""

    def __init__(self):
        self.optimizer, self.stop_training, self.saved, self.weights = Rate(), False, [], 0
        self.metrics = []

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights

    def save(self, path, overwrite=True, **options):
        self.saved.append(str(path))

    save_weights = save


def drive(callback, values, name="val_loss"):
    """Run a callback through epochs with these values; returns the model and the number of epochs."""
    model = Model()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        model.weights = epoch
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"loss": float(value), name: float(value)})
        if model.stop_training:
            break
    callback.on_train_end()
    return model, epoch


EARLY = [
    {}, {"patience": 2}, {"patience": 1, "min_delta": 0.3}, {"patience": 2, "baseline": -0.5},
    {"patience": 2, "restore_best_weights": True}, {"patience": 1, "start_from_epoch": 4},
]  # fmt: skip


@pytest.mark.parametrize("options", EARLY, ids=str)
@pytest.mark.parametrize("mode", ["min", "max"])
def test_early_stopping(options, mode):
    for values in RUNS:
        mine, theirs = (k.callbacks.EarlyStopping(mode=mode, **options) for k in (seriatim, keras))
        (a, ended), (b, other) = drive(mine, values), drive(theirs, values)
        assert (ended, a.weights, mine.best, mine.stopped_epoch) == (
            other,
            b.weights,
            theirs.best,
            theirs.stopped_epoch,
        )


def test_the_direction_is_the_metrics_own():
    stop = seriatim.callbacks.EarlyStopping("val_accuracy", patience=1)
    stop.set_model(
        types.SimpleNamespace(metrics=[seriatim.metrics.BinaryAccuracy(name="accuracy")], stop_training=False)
    )
    for epoch, value in enumerate([0.1, 0.5, 0.4, 0.3]):
        stop.on_epoch_end(epoch, {"val_accuracy": value})
    assert stop.best == 0.5 and stop.model.stop_training
    with pytest.raises(ValueError, match="(?s)val_mine.*mode="):
        blind = seriatim.callbacks.EarlyStopping("val_mine")
        blind.set_model(types.SimpleNamespace(metrics=[], stop_training=False))
        blind.on_epoch_end(0, {"val_mine": 1.0})


@pytest.mark.parametrize(
    "options",
    [{"patience": 1}, {"patience": 2, "cooldown": 2}, {"patience": 0, "min_lr": 0.02}, {"factor": 0.5, "patience": 1}],
)
def test_reduce_on_plateau(options):
    for values in RUNS:
        mine, theirs = (k.callbacks.ReduceLROnPlateau(mode="min", **options) for k in (seriatim, keras))
        a, b = drive(mine, values)[0].optimizer.learning_rate, drive_keras_rate(theirs, values)
        np.testing.assert_allclose(a, b, rtol=1e-6)  # Keras keeps the rate in float32


def drive_keras_rate(callback, values):
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"val_loss": float(value)})
    return float(model.optimizer.learning_rate)


@pytest.mark.parametrize("best", [False, True])
@pytest.mark.parametrize("weights", [False, True])
def test_checkpoints_go_where_keras_puts_them(tmp_path, best, weights):
    ending = ".weights.h5" if weights else ".keras"
    path = str(tmp_path / ("m-{epoch:02d}-{val_loss:.2f}" + ending))
    for values in RUNS[:3]:
        made = [
            drive(
                k.callbacks.ModelCheckpoint(path, mode="min", save_best_only=best, save_weights_only=weights), values
            )[0]
            for k in (seriatim, keras)
        ]
        assert made[0].saved == made[1].saved and made[0].saved


def test_csv_rows_are_keras_rows(tmp_path):
    rows = []
    for name, k in (("a", seriatim), ("b", keras)):
        drive(k.callbacks.CSVLogger(str(tmp_path / name)), RUNS[0])
        rows.append(list(csv.reader((tmp_path / name).read_text().splitlines())))
    assert rows[0] == rows[1]


def fitted(*callbacks, epochs=3, x=None):
    model = seriatim.Sequential([seriatim.layers.Input((2,)), seriatim.layers.Dense(1)])
    model.compile(seriatim.optimizers.SGD(0.5), "mse")
    x = np.ones((8, 2), "float32") if x is None else x
    return model, model.fit(x, np.zeros((8, 1)), epochs=epochs, verbose=0, callbacks=list(callbacks))


def test_rates_by_schedule_reach_the_step():
    model, history = fitted(seriatim.callbacks.LearningRateScheduler(lambda epoch, rate: 0.0 if epoch else rate))
    assert history.history["learning_rate"] == [0.5, 0.0, 0.0]
    loss = history.history["loss"]
    assert loss[1] == loss[2] != loss[0]
    with pytest.raises(ValueError, match="float"):
        fitted(seriatim.callbacks.LearningRateScheduler(lambda epoch: "fast"))


def test_not_a_number_ends_the_run(capsys):
    _, history = fitted(seriatim.callbacks.TerminateOnNaN(), x=np.full((8, 2), np.nan, "float32"), epochs=5)
    assert history.epoch == [0] and "Invalid loss" in capsys.readouterr().out
    with pytest.raises(RuntimeError):
        fitted(seriatim.callbacks.TerminateOnNaN(raise_error=True), x=np.full((8, 2), np.nan, "float32"))


def test_best_weights_come_back_after_a_fit():
    stop = seriatim.callbacks.EarlyStopping("loss", restore_best_weights=True, patience=9)
    rates = iter([0.1, 3.0, 3.0])
    model, history = fitted(seriatim.callbacks.LearningRateScheduler(lambda epoch: next(rates)), stop)
    assert stop.best_epoch == int(np.argmin(history.history["loss"]))
    for mine, best in zip(model.get_weights(), stop.best_weights, strict=True):
        np.testing.assert_array_equal(mine, best)
