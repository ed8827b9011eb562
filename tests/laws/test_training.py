"""Laws of training: chunks do not matter, seeds decide, nothing compiles twice, nothing is lost."""

import gc
import weakref

import jax
import numpy as np
import pytest

import seriatim
from seriatim import Sequential, kernels
from seriatim.callbacks import Callback, LambdaCallback
from seriatim.engine import programs as engine
from seriatim.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, Layer


def data(rows=50, features=5, classes=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, features)).astype("float32"), rng.integers(0, classes, rows)


def model(compiled=True, **options):
    chain = Sequential([Input((5,)), Dense(7, "relu"), Dropout(0.3), BatchNormalization(), Dense(3, "softmax")])
    if compiled:
        chain.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return chain


def trained(seed=3, epochs=2, callbacks=(), make=model, **fit):
    seriatim.utils.set_random_seed(seed)
    chain = make()
    history = chain.fit(*data(), batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks), **fit)
    return chain, history


def same_bits(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


@pytest.fixture
def compiles(monkeypatch):
    """The kinds of program that were compiled, with no model of an earlier test left."""
    gc.collect()
    seen, compile_program = [], engine.Programs.compile

    def count(self, kind, size, shapes):
        seen.append(kind)
        return compile_program(self, kind, size, shapes)

    monkeypatch.setattr(engine.Programs, "compile", count)
    return seen


def test_same_seed_same_bits():
    (a, first), (b, second) = trained(), trained()
    assert same_bits(a, b) and first.history == second.history
    assert not same_bits(a, trained(seed=4)[0])


def test_a_chunk_of_n_is_n_chunks_of_one():
    whole, _ = trained()
    single, _ = trained(callbacks=[LambdaCallback(on_train_batch_end=lambda batch, logs: None)])
    assert same_bits(whole, single)


def test_two_fits_are_one_fit():
    once, _ = trained(epochs=4, shuffle=False)
    twice, _ = trained(epochs=2, shuffle=False)
    twice.fit(*data(), batch_size=8, epochs=4, initial_epoch=2, verbose=0, shuffle=False)
    assert same_bits(once, twice)


def test_the_order_is_a_pure_function_of_seed_and_epoch():
    source = seriatim.data.source.Resident(np.zeros((9, 1)), batch_size=4)
    assert np.array_equal(source.order(5, 2, True), source.order(5, 2, True))
    assert not np.array_equal(source.order(5, 2, True), source.order(5, 3, True))
    assert sorted(source.order(5, 2, True)) == list(range(9))
    assert source.order(5, 2, False) is None


def test_a_second_model_compiles_nothing(compiles):
    first, _ = trained()
    assert compiles
    compiles.clear()
    second, _ = trained(seed=8)
    assert compiles == []
    second.optimizer.learning_rate = 1e-4
    second.fit(*data(), batch_size=8, verbose=0)
    assert compiles == []
    assert first is not second


def test_programs_are_freed_with_the_last_model():
    def other():
        chain = Sequential([Input((5,)), Dense(11), Dense(3, "softmax")])
        chain.compile("sgd", "sparse_categorical_crossentropy")
        return chain

    chain, _ = trained(make=other)
    held = weakref.ref(chain.programs)
    del chain, _
    gc.collect()
    assert held() is None


def test_another_architecture_is_another_program(compiles):
    trained()
    compiles.clear()

    def wider():
        chain = Sequential([Input((5,)), Dense(8, "relu"), Dense(3, "softmax")])
        chain.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return chain

    trained(make=wider)
    assert "train_chunk" in compiles


def test_a_changed_attribute_is_seen():
    chain, _ = trained()
    chain.layers[0].trainable = False
    kept = chain.layers[0].get_weights()
    chain.fit(*data(), batch_size=8, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(kept, chain.layers[0].get_weights(), strict=True))
    chain.layers[0].trainable = True
    chain.fit(*data(), batch_size=8, verbose=0)
    assert not np.array_equal(kept[0], chain.layers[0].get_weights()[0])


def test_a_convolution_steps_like_a_loop():
    """Without kernels a CPU runs a chain with convolutions in one compiled call a batch: the numbers are the same."""
    seriatim.utils.set_random_seed(0)
    chain = Sequential([Input((6, 6, 1)), Conv2D(3, 3, activation="relu"), Flatten(), Dense(2, "softmax")])
    chain.compile("sgd", "sparse_categorical_crossentropy")
    x, y = np.random.default_rng(0).normal(size=(20, 6, 6)).astype("float32"), np.arange(20) % 2
    first = chain.get_weights()
    chain.fit(x, y, batch_size=8, shuffle=False, verbose=0, epochs=2)
    one_way = chain.get_weights()
    assert chain.programs.loops == (jax.default_backend() != "cpu" or kernels.offered())
    chain.set_weights(first)
    chain.programs.loops = not chain.programs.loops
    chain.fit(x, y, batch_size=8, shuffle=False, verbose=0, epochs=2)
    for a, b in zip(one_way, chain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)  # another order of sums


def test_not_a_number_leaves_the_last_good_weights():
    chain, _ = trained()
    kept = chain.get_weights()
    x, y = data()
    x[3] = np.nan
    history = chain.fit(x, y, batch_size=50, verbose=0)
    assert np.isnan(history.history["loss"][0])
    assert all(np.array_equal(a, b) for a, b in zip(kept, chain.get_weights(), strict=True))


class Interrupt(Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def test_an_interrupt_keeps_what_was_learned():
    one, _ = trained(epochs=1)
    seriatim.utils.set_random_seed(3)
    chain = model()
    with pytest.raises(KeyboardInterrupt):
        chain.fit(*data(), batch_size=8, epochs=5, verbose=0, callbacks=[Interrupt()])
    assert same_bits(one, chain)
    chain.fit(*data(), batch_size=8, verbose=0)  # and goes on


def test_a_bad_batch_leaves_the_model_as_it_was():
    chain, _ = trained()
    kept = chain.get_weights()
    x, y = data()
    for bad in ((x[:, :4], y), (x, y[:-1]), (x.astype(str), y), (x[:0], y[:0])):
        with pytest.raises(ValueError):
            chain.fit(*bad, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(kept, chain.get_weights(), strict=True))
    chain.fit(x, y, verbose=0)


def test_a_callback_may_set_weights():
    class Reset(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.set_weights([np.zeros_like(w) for w in self.model.get_weights()])

    chain = Sequential([Input((5,)), Dense(3)])
    chain.compile("sgd", "mse")
    x = np.ones((8, 5), "float32")
    chain.fit(x, np.zeros((8, 3)), batch_size=4, epochs=2, verbose=0, callbacks=[Reset()])
    assert all(not w.any() for w in chain.get_weights())


def test_stop_training_ends_the_epoch():
    class Stop(Callback):
        seen = 0

        def on_train_batch_end(self, batch, logs=None):
            self.seen += 1
            self.model.stop_training = self.seen == 3

    stop = Stop()
    _, history = trained(epochs=5, callbacks=[stop])
    assert stop.seen == 3 and history.epoch == [0]


def test_a_layer_written_for_keras_trains_and_counts():
    class Scaled(Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units, self.inner = units, Dense(units)

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(self.units,), initializer="ones", name="scale")
            self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

        def call(self, x, training=False):
            if training:
                self.calls.assign_add(1.0)
            return self.inner(x) * self.scale

    chain = Sequential([Input((5,)), Scaled(4), Dense(3, "softmax")])
    chain.compile("sgd", "sparse_categorical_crossentropy")
    assert [v.path.split("/")[-1] for v in chain.layers[0].weights] == ["scale", "calls", "kernel", "bias"]
    before = chain.get_weights()
    chain.fit(*data(), batch_size=10, epochs=2, verbose=0)
    assert float(chain.layers[0].calls) == 10
    assert not np.array_equal(before[2], chain.get_weights()[2])
    assert chain.layers[0].get_config()["units"] == 4


def test_streams_train_like_arrays():
    x, y = data(rows=48)

    class Batches(seriatim.utils.PyDataset):
        def __len__(self):
            return 6

        def __getitem__(self, i):
            return x[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8]

    seriatim.utils.set_random_seed(3)
    a = model()
    a.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    seriatim.utils.set_random_seed(3)
    b = model()
    b.fit(Batches(), epochs=2, shuffle=False, verbose=0)
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_optax_and_functions_are_taken():
    optax = pytest.importorskip("optax")
    chain = model(compiled=False)

    def gap(y_true, y_pred):
        return abs(y_true - y_pred)

    chain.compile(optax.adamw(1e-2), gap, metrics=[gap])
    history = chain.fit(data()[0], np.eye(3)[data()[1]], epochs=3, verbose=0)
    assert list(history.history) == ["gap", "loss"] and history.history["loss"][-1] < history.history["loss"][0]


def test_run_eagerly_runs_the_users_python_each_step():
    calls = []

    class Seen(Layer):
        def call(self, x):
            calls.append(x.shape)
            return x

    chain = Sequential([Input((5,)), Seen(), Dense(3, "softmax")])
    chain.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    calls.clear()
    chain.fit(*data(), batch_size=10, epochs=2, verbose=0)
    assert len(calls) == 10
