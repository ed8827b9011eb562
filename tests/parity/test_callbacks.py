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

    def parts(self):
        return [self]


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


def test_rates_of_a_multi_optimizer():
    found = []
    for k in (seriatim, keras):
        parts = k.optimizers.SGD(0.1, name="slow"), k.optimizers.SGD(0.01, name="fast")
        both = k.optimizers.MultiOptimizer(k.optimizers.OptimizerMap(parts[0], {".*dense_1/.*": parts[1]}))
        chain = [k.layers.Input((1,)), k.layers.Dense(2, name="dense_1"), k.layers.Dense(1, name="dense_2")]
        model = k.Sequential(chain)
        model.compile(both, "mse")
        watch = [
            k.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5),
            k.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=1e9, min_lr=0.003),
        ]
        seen = model.fit(np.ones((2, 1)), np.ones((2, 1)), epochs=4, verbose=0, callbacks=watch).history
        found.append({name: values for name, values in seen.items() if name.startswith("learning")})
    assert found[0].keys() == found[1].keys() == {"learning_rate_slow", "learning_rate_fast"}
    for name, values in found[0].items():
        np.testing.assert_allclose(values, found[1][name], rtol=1e-6)


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


def small(library, optimizer, **compiled):
    """A model of either library with the same weights."""
    model = library.Sequential(
        [library.layers.Input((4,)), library.layers.Dense(5, activation="tanh"), library.layers.Dense(1)]
    )
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
    model.compile(optimizer, "mse", **compiled)
    return model


ROWS = np.random.default_rng(5).normal(size=(32, 4)).astype("float32")
SUMS = ROWS.sum(1, keepdims=True)


@pytest.mark.parametrize("on_epoch", [False, True])
def test_averaged_weights_are_evaluated(on_epoch):
    """The same losses, the same weights at the end, and the same evaluation with and without the callback."""
    seen = []
    for library in (seriatim, keras):
        model = small(library, library.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.8))
        swap = library.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch)
        kept = []
        look = library.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs, kept=kept, model=model: kept.append(model.get_weights()[0].copy())
        )
        history = model.fit(
            ROWS, SUMS, batch_size=8, epochs=3, validation_data=(ROWS, SUMS), shuffle=False, verbose=0,
            callbacks=[swap, look],
        ).history  # fmt: skip
        found = [*history["loss"], *history["val_loss"], model.evaluate(ROWS, SUMS, verbose=0)]
        seen.append([found, *kept, *model.get_weights()])
    for a, b in zip(*seen, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    plain = small(seriatim, "adam")
    before = plain.get_weights()
    with pytest.raises(ValueError, match="(?s)use_ema"):
        plain.fit(ROWS, SUMS, epochs=1, verbose=0, callbacks=[seriatim.callbacks.SwapEMAWeights(on_epoch)])
    for a, b in zip(before, plain.get_weights(), strict=True):  # refused before a step was lost
        np.testing.assert_array_equal(a, b)


def test_averages_are_used_for_predictions_and_put_back():
    model = small(seriatim, seriatim.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9))
    for _ in range(3):
        model.train_on_batch(ROWS, SUMS)
    before, swap = model.get_weights(), seriatim.callbacks.SwapEMAWeights()
    averaged = model.predict(ROWS, verbose=0, callbacks=[swap])
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.allclose(averaged, model.predict(ROWS, verbose=0))
    model.set_weights(model.optimizer.get_weights()[2:6])
    np.testing.assert_allclose(averaged, model.predict(ROWS, verbose=0), rtol=1e-6)


def test_backups_as_keras(tmp_path):
    """Interrupted at the same epoch and continued, both record the same losses and end with the same weights."""
    seen = []
    for library in (seriatim, keras):

        class Fault(library.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 2:
                    raise RuntimeError

        def run(*more, library=library):
            model = small(library, library.optimizers.Adam(0.02))
            back = library.callbacks.BackupAndRestore(str(tmp_path / library.__name__))
            history = model.fit(ROWS, SUMS, batch_size=8, epochs=4, shuffle=False, verbose=0, callbacks=[back, *more])
            return [history.epoch, history.history["loss"], *model.get_weights()]

        with pytest.raises(RuntimeError):
            run(Fault())
        seen.append(run())
        assert not (tmp_path / library.__name__).exists()
    for a, b in zip(*seen, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
