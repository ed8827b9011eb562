"""RNN over our cells and over cells written for Keras, and convolutional LSTMs, beside real Keras 3.15.1."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import seriatim.layers as ours
from seriatim import Sequential
from seriatim.base.report import UsageError
from seriatim.layers.contract import Call

from .beside import both_refuse, same_places, same_shapes
from .test_recurrent import CLOSE, as_json, by_name, compare, mask_of, numbers, same_weights

B, T, F = 4, 6, 5


def cells_of(kinds, layers):
    """The cells that a tuple of (name, arguments) asks for, in our library or in Keras's; one, or several."""
    made = [getattr(layers, kind)(**options) for kind, options in kinds]
    return made if len(made) > 1 else made[0]


SIMPLE, LSTM, GRU = ("SimpleRNNCell", {"units": 3}), ("LSTMCell", {"units": 2}), ("GRUCell", {"units": 4})
BEFORE = ("GRUCell", {"units": 3, "reset_after": False, "activation": "relu", "use_bias": False})
WAYS = [
    ((SIMPLE,), {}, None), ((LSTM,), {"return_sequences": True, "return_state": True}, "right"),
    ((GRU,), {"go_backwards": True, "zero_output_for_mask": True}, "left"),
    ((BEFORE,), {"return_sequences": True}, "gaps"), ((LSTM, GRU), {"return_state": True}, "right"),
    ((GRU, SIMPLE, LSTM), {"return_sequences": True, "go_backwards": True}, "gaps"),
    ((SIMPLE, LSTM), {"return_sequences": True, "zero_output_for_mask": True}, "right"),
]  # fmt: skip


@pytest.mark.parametrize("kinds, options, mask", WAYS)
def test_our_cells(kinds, options, mask):
    mine, real = (layers.RNN(cells_of(kinds, layers), **options) for layers in (ours, keras.layers))
    same_weights(mine, real, (B, T, F))
    compare(mine, real, numbers(B, T, F), mask_of(mask))
    got, want = (jax.tree.leaves(layer.compute_output_shape((B, T, F))) for layer in (mine, real))
    assert got == want and mine.supports_masking == real.supports_masking


def minimal(layers, ops):
    """A cell as Keras's documentation writes them, with dropout that only training sees."""

    class MinimalCell(layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.state_size = units

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="uniform", name="kernel")
            self.recurrent_kernel = self.add_weight(shape=(self.units, self.units), name="recurrent_kernel")

        def call(self, inputs, states, training=False):
            h = ops.matmul(inputs, self.kernel)
            output = h + ops.matmul(states[0], self.recurrent_kernel) + (1.0 if training else 0.0)
            return output, [output]

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    return MinimalCell


def nested(layers, ops):
    """Two states, an output of another size, and a layer inside that nobody builds."""

    class NestedCell(layers.Layer):
        state_size, output_size = [3, 3], 3

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = layers.Dense(3, activation="tanh")

        def call(self, inputs, states):
            h = self.inner(inputs) + states[0] * 0.5
            return h, [h, states[1] + h]

    return NestedCell


def pair_of(make, *args):
    return make(ours, jnp)(*args), make(keras.layers, keras.ops)(*args)


@pytest.mark.parametrize("options, mask", [
    ({}, None), ({"return_sequences": True, "go_backwards": True}, "gaps"), ({"return_state": True}, "right"),
    ({"zero_output_for_mask": True, "return_sequences": True}, "right"),
])  # fmt: skip
@pytest.mark.parametrize("training", [False, True])
def test_cells_written_for_keras(options, mask, training):
    (mine, real) = pair_of(minimal, 3)
    mine, real = ours.RNN(mine, **options), keras.layers.RNN(real, **options)
    same_weights(mine, real, (B, T, F))
    compare(mine, real, numbers(B, T, F), mask_of(mask), training)


def test_cells_of_all_kinds_in_one_stack():
    mine, real = pair_of(minimal, 3)
    mine, real = ours.RNN([ours.LSTMCell(2), mine]), keras.layers.RNN([keras.layers.LSTMCell(2), real])
    same_weights(mine, real, (B, T, F))
    compare(mine, real, numbers(B, T, F))  # under a mask Keras puts row 0 of a last cell's bare state into every row


def test_a_layer_inside_a_cell():
    """Keras 3.15.1 cannot build it alone (its RNN asks the cell for a build of its own), so the sums are by hand."""
    mine, x = ours.RNN(nested(ours, jnp)(), return_state=True), numbers(2, 4, F)
    y, first, second = mine(x)
    dense = mine.cell.inner
    h, total = jnp.zeros((2, 3)), jnp.zeros((2, 3))
    for t in range(4):
        h = dense(x[:, t]) + h * 0.5
        total = total + h
    for got, want in ((y, h), (first, h), (second, total)):
        np.testing.assert_allclose(got, want, **CLOSE)
    assert {v.key for v in dense.weights} == {"kernel", "bias"} and len(mine.trainable_variables) == 2


def test_states_kept_between_batches():
    """Three batches: the outputs go on where the last ended, until the states are reset; nested states too."""
    kinds, x = (LSTM, GRU), numbers(2, T, F)
    mine, real = (layers.RNN(cells_of(kinds, layers), stateful=True) for layers in (ours, keras.layers))
    same_weights(mine, real, (2, T, F))
    for _ in range(2):
        np.testing.assert_allclose(mine(x), real(x), **CLOSE)
    assert [tuple(s.shape) for s in mine.states] == [tuple(s.shape) for s in jax.tree.leaves(real.states)]
    before = np.asarray(mine(x))
    mine.reset_state()
    assert np.abs(before - np.asarray(mine(x))).max() > 1e-4
    with pytest.raises(UsageError, match="batch size"):
        ours.RNN(ours.LSTMCell(2), stateful=True).build((None, T, F))


def test_first_states_by_hand():
    mine, real = (layers.RNN(cells_of((LSTM,), layers)) for layers in (ours, keras.layers))
    same_weights(mine, real, (B, T, F))
    states = [numbers(B, 2, seed=1), numbers(B, 2, seed=2)]
    got, want = mine(numbers(B, T, F), initial_state=states), real(numbers(B, T, F), initial_state=states)
    np.testing.assert_allclose(got, want, **CLOSE)


@pytest.mark.parametrize("kind", [SIMPLE, LSTM, GRU, BEFORE])
def test_one_step(kind):
    mine, real = (cells_of((kind,), layers) for layers in (ours, keras.layers))
    mine.build((B, F))
    real.build((B, F))
    mine.set_weights([numbers(*v.shape, seed=i) for i, v in enumerate(mine.weights)])
    real.set_weights(mine.get_weights())
    states, real_states = mine.get_initial_state(B), real.get_initial_state(B)
    for x in (numbers(B, F), numbers(B, F, seed=1)):
        y, states = mine(x, states)
        want, real_states = real(x, real_states)
        for got, other in zip(jax.tree.leaves((y, states)), jax.tree.leaves((want, real_states)), strict=True):
            np.testing.assert_allclose(got, other, **CLOSE)
    assert mine.state_size == real.state_size and mine.output_size == real.output_size


def test_dropout_is_one_mask_for_all_steps():
    """With recurrent weights of 0 and the same input at every step, every step gives the same output."""
    for cell in (ours.SimpleRNNCell(50, dropout=0.5), ours.GRUCell(50, dropout=0.5)):
        layer = ours.RNN(cell, return_sequences=True)
        layer.build((None, 4, 30))
        layer.set_weights([np.zeros_like(w) if w.shape[0] == 50 else w for w in layer.get_weights()])
        x = np.ones((2, 4, 30), "float32")
        y, _ = layer.apply(layer.arrays, x, Call(training=True, root=jax.random.key(0)))
        rest, _ = layer.apply(layer.arrays, x, Call())
        assert np.abs(np.asarray(y[0, 0]) - np.asarray(rest[0, 0])).max() > 1e-3
        if isinstance(cell, ours.SimpleRNNCell):
            np.testing.assert_array_equal(y[:, 0], y[:, 3])


def test_training_moves_the_weights_of_a_stack():
    model = Sequential([ours.Input((4, 3)), ours.RNN([ours.LSTMCell(4), minimal(ours, jnp)(2)]), ours.Dense(1)])
    model.compile("adam", "mse")
    before = model.get_weights()
    history = model.fit(numbers(32, 4, 3), numbers(32, 1), epochs=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, model.get_weights(), strict=True))


def test_bidirectional_rnn():
    inner = [layers.RNN(layers.GRUCell(2), return_sequences=True) for layers in (ours, keras.layers)]
    mine, real = ours.Bidirectional(inner[0]), keras.layers.Bidirectional(inner[1])
    same_weights(mine, real, (B, T, F))
    compare(mine, real, numbers(B, T, F))


# ---- convolutional LSTMs --------------------------------------------------------------------------------


def draw_conv_lstm(rank, seed):
    rng = np.random.default_rng((rank, seed))
    data_format = str(rng.choice(["channels_last", "channels_first"]))
    options = {
        "filters": int(rng.integers(1, 4)), "kernel_size": tuple(int(k) for k in rng.integers(1, 4, rank)),
        "padding": str(rng.choice(["valid", "same"])), "data_format": data_format, "use_bias": bool(rng.integers(3)),
        "return_sequences": bool(rng.integers(2)), "go_backwards": bool(rng.integers(2)),
        "return_state": bool(rng.integers(2)), "unit_forget_bias": bool(rng.integers(2)),
        "recurrent_activation": str(rng.choice(["sigmoid", "hard_sigmoid"])),
    }  # fmt: skip
    options[str(rng.choice(["strides", "dilation_rate"]))] = tuple(int(n) for n in rng.integers(1, 3, rank))
    space = tuple(int(n) for n in rng.integers(5, 8, rank)) if rank < 3 else (5, 5, 6)
    return options, (2, 3, *space, 2) if data_format == "channels_last" else (2, 3, 2, *space)


@pytest.mark.parametrize("rank, seed", [(1, 0), (1, 1), (2, 2), (3, 0)])
def test_convolutional_lstm(rank, seed):
    options, shape = draw_conv_lstm(rank, seed)
    name = f"ConvLSTM{rank}D"
    mine, real = (getattr(layers, name)(**options) for layers in (ours, keras.layers))
    same_weights(mine, real, shape)
    compare(mine, real, numbers(*shape))
    if not options["return_state"]:
        same_shapes(name, options, (None, None, *shape[2:]))


def test_masks_of_a_convolutional_lstm():
    """A masked step changes nothing: a row of three real steps is the row without the others. Keras fails here."""
    x = numbers(3, 5, 6, 2)
    layer = ours.ConvLSTM1D(3, 2, return_sequences=True, return_state=True)
    mask = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)
    y, h, c = layer(x, mask=mask)
    for row in (0, 1):
        short, h_short, c_short = layer(x[row : row + 1, mask[row]])
        np.testing.assert_allclose(y[row][mask[row]], short[0], **CLOSE)
        np.testing.assert_allclose((h[row], c[row]), (h_short[0], c_short[0]), **CLOSE)
    np.testing.assert_array_equal(h[2], 0)


def test_states_of_a_convolutional_lstm():
    x = numbers(2, 3, 6, 2)
    mine, real = (layers.ConvLSTM1D(3, 2, stateful=True) for layers in (ours, keras.layers))
    same_weights(mine, real, x.shape)
    for _ in range(2):
        np.testing.assert_allclose(mine(x), real(x), **CLOSE)
    states = [numbers(2, 5, 3, seed=1), numbers(2, 5, 3, seed=2)]
    np.testing.assert_allclose(mine(x, initial_state=states), real(x, initial_state=states), **CLOSE)


def test_convolutional_dropout():
    """With a rate, training differs from rest and from another key; the same key gives the same output."""
    x = jnp.asarray(numbers(2, 3, 6, 2))
    for options in ({"dropout": 0.5}, {"recurrent_dropout": 0.5}):
        layer = ours.ConvLSTM1D(3, 2, **options)
        layer.build(x.shape)
        runs = [layer.apply(layer.arrays, x, Call(training=True, root=jax.random.key(k)))[0] for k in (0, 1, 0)]
        rest = layer.apply(layer.arrays, x, Call())[0]
        np.testing.assert_array_equal(runs[0], runs[2])
        assert all(float(jnp.abs(runs[0] - other).max()) > 1e-4 for other in (runs[1], rest))


# ---- words ------------------------------------------------------------------------------------------------

CELL_NAMES = ["SimpleRNNCell", "LSTMCell", "GRUCell"]


@pytest.mark.parametrize("name", [*CELL_NAMES, "StackedRNNCells", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"])
def test_arguments_in_the_same_places(name):
    same_places(name)


@pytest.mark.parametrize("make", [
    lambda layers: layers.SimpleRNNCell(3, dropout=0.1, name="c"),
    lambda layers: layers.LSTMCell(3, unit_forget_bias=False, kernel_regularizer="l2", name="c"),
    lambda layers: layers.GRUCell(3, reset_after=False, seed=3, name="c"),
    lambda layers: layers.StackedRNNCells([layers.LSTMCell(2, name="a"), layers.GRUCell(3, name="b")], name="c"),
    lambda layers: layers.RNN(layers.LSTMCell(3, name="a"), return_state=True, name="c"),
    lambda layers: layers.ConvLSTM2D(3, (2, 3), strides=2, dropout=0.2, name="c"),
    lambda layers: layers.ConvLSTM1D(3, 2, activity_regularizer="l2", stateful=True, name="c"),
])  # fmt: skip
def test_config(make):
    mine, real = make(ours), make(keras.layers)
    assert as_json(mine.get_config()) == as_json(real.get_config())
    again = type(mine).from_config(as_json(real.get_config()))
    assert as_json(again.get_config()) == as_json(real.get_config())
    assert as_json(eval(repr(mine), vars(ours).copy()).get_config()) == as_json(mine.get_config()), repr(mine)


def test_a_stack_in_a_list_gets_keras_names():
    mine, real = (layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)]) for layers in (ours, keras.layers))
    assert type(mine.cell).__name__ == type(real.cell).__name__ == "StackedRNNCells"
    mine.build((None, 4, 5))
    assert list(by_name(mine))[:2] == ["cell/cells/0/kernel", "cell/cells/0/recurrent_kernel"]
    assert [tuple(w.shape) for w in mine.weights] == [(5, 8), (2, 8), (8,), (2, 9), (3, 9), (2, 9)]


@pytest.mark.parametrize("name, arguments, shape, word", [
    ("RNN", {"cell": 3}, None, "a cell"), ("StackedRNNCells", {"cells": [3]}, None, "a list of cells"),
    ("LSTMCell", {"units": 0}, None, "units"), ("GRUCell", {"units": 2, "go_backwards": True}, None, "no argument"),
    ("ConvLSTM1D", {"filters": 2, "kernel_size": 9}, (None, 3, 6, 2), "no window fits"),
    ("ConvLSTM2D", {"filters": 2, "kernel_size": 2, "strides": 2, "dilation_rate": 2}, None, "not both"),
    ("ConvLSTM2D", {"filters": 2, "kernel_size": 2}, (None, 3, 6, 2), "5 axes"),
])  # fmt: skip
def test_refusals(name, arguments, shape, word):
    both_refuse(name, arguments, shape, word)
