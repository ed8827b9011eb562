"""Recurrent layers and wrappers beside real Keras 3.15.1, weights copied; and our own gradient beside autodiff's."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from seriatim.base import registry
from seriatim.base.report import DataError, UsageError
from seriatim.layers import recurrent, wrap
from seriatim.layers.chain import output_shape, run
from seriatim.layers.contract import PENALTY, Call
from seriatim.layers.core import ActivityRegularization, Dense, Lambda
from seriatim.layers.layer import Layer
from seriatim.layers.noise import Dropout
from seriatim.layers.recurrent import GRU, LSTM, SimpleRNN
from seriatim.layers.wrap import Bidirectional, TimeDistributed
from seriatim.math import recurrence
from seriatim.math.recurrence import Weights, recur

enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64  # before jax 0.8
EPS = float(np.finfo(np.float32).eps)
# Six steps, each a sum of at most ten products and a few nonlinearities, and gradients that sum over 24 rows: some
# hundred roundings of numbers of size 1 to 3, taken in another order than Keras does.
CLOSE = {"rtol": 2e-5, "atol": 100 * EPS}
B, T, F, U = 4, 6, 5, 3


def of(kind, **options):
    return registry.find("layer", kind)(**options)


def as_json(config):
    return json.loads(json.dumps(config, default=lambda value: value.tolist()))


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 0.7, shape).astype("float32")


def same_weights(ours, theirs, shape, seed=3):
    """Build both for an input of `shape` and give them the same random arrays."""
    theirs.build(shape)
    ours.build(shape)
    values = [
        np.abs(numbers(*v.shape, seed=seed + i)) + 0.3 if "variance" in v.path else numbers(*v.shape, seed=seed + i)
        for i, v in enumerate(theirs.weights)
    ]
    assert [v.shape for v in ours.weights] == [tuple(v.shape) for v in theirs.weights]
    ours.set_weights(values)
    theirs.set_weights(values)
    return ours, theirs


def mask_of(kind, b=B, t=T):
    """Row 0 has every step, row 1 some, row 2 one, row 3 none."""
    lengths, places = np.array([t, t - 2, 1, 0])[:b, None], np.arange(t)
    if kind == "right":
        return places < lengths
    if kind == "left":
        return places >= t - lengths
    gaps = np.random.default_rng(5).random((b, t)) < 0.6
    gaps[3] = False
    return gaps if kind == "gaps" else None


def away(y):
    """A fixed cotangent for every output."""
    return [jnp.asarray(numbers(*leaf.shape, seed=20 + i)) for i, leaf in enumerate(jax.tree.leaves(y))]


def pull(function, *arguments):
    """Outputs of a function, and the gradients of all arguments along a fixed cotangent; compiled as one."""

    def total(*arguments):
        y, rest = function(*arguments)
        leaves = jax.tree.leaves(y)
        return sum((c * leaf).sum() for c, leaf in zip(away(y), leaves, strict=True)), (leaves, rest)

    gradients, (y, rest) = jax.jit(jax.grad(total, range(len(arguments)), has_aux=True))(*arguments)
    return y, gradients, rest


def compare(ours, theirs, x, mask=None, training=False, close=CLOSE):
    """Outputs, gradients of the input and of every trainable array, and what moved."""
    mask = None if mask is None else jnp.asarray(mask)

    def their_run(x, arrays):
        options = {} if mask is None else {"mask": mask}
        y, moved = theirs.stateless_call(
            arrays, [v.value for v in theirs.non_trainable_variables], x, training=training, **options
        )
        return y, moved

    names = [name for name, v in by_name(ours).items() if v.trainable]

    def our_run(x, arrays):
        w, x = ours.meet(ours.arrays | dict(zip(names, arrays, strict=True)), x)
        return ours.apply(w, x, Call(training=training, root=jax.random.key(0), mask=mask))

    y, grads, moved = pull(our_run, x, [ours.arrays[name] for name in names])
    y_k, grads_k, moved_k = pull(their_run, x, [v.value for v in theirs.trainable_variables])
    for one, other in zip(jax.tree.leaves((y, grads)), jax.tree.leaves((y_k, grads_k)), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, **close)
    return moved, moved_k


def by_name(layer):
    """Every variable by the name of its array in `layer.arrays`."""
    found = {v.key: v for v in layer.variables if v.layer is layer}
    for name, child in layer.children.items():
        found |= {f"{name}/{key}": v for key, v in by_name(child).items()}
    return found


# ---- the three layers ------------------------------------------------------------------------------------

CELLS = [("SimpleRNN", {}), ("LSTM", {}), ("GRU", {}), ("GRU", {"reset_after": False})]
WAYS = [
    ({}, None),
    ({"return_sequences": True, "return_state": True}, "right"),
    ({"go_backwards": True}, "left"),
    ({"return_sequences": True, "go_backwards": True, "zero_output_for_mask": True}, "gaps"),
]
OTHERS = [
    ("SimpleRNN", {"activation": "relu", "use_bias": False, "return_sequences": True}, "gaps"),
    ("LSTM", {"activation": "softsign", "recurrent_activation": "hard_sigmoid", "return_state": True}, "right"),
    ("LSTM", {"use_bias": False, "zero_output_for_mask": True}, "right"),
    ("GRU", {"activation": "relu", "return_sequences": True, "go_backwards": True}, "right"),
    ("GRU", {"use_bias": False, "unroll": True, "return_sequences": True}, None),
    ("GRU", {"reset_after": False, "use_bias": False, "recurrent_activation": None}, None),
]
CASES = [
    (kind, options | way, mask)
    for i, (kind, options) in enumerate(CELLS)
    for way, mask in (WAYS if i in (1, 2) else WAYS[1::2])
]


@pytest.mark.parametrize("kind, options, mask", CASES + OTHERS)
def test_numbers_and_gradients(kind, options, mask):
    ours, theirs = of(kind, units=U, **options), getattr(keras.layers, kind)(U, **options)
    same_weights(ours, theirs, (B, T, F))
    compare(ours, theirs, numbers(B, T, F), mask_of(mask))


@pytest.mark.parametrize("kind, options", CELLS)
def test_keras_sees_the_same_layer(kind, options):
    """Names, order and shapes of the weights; configs; promised shapes; masks."""
    more = {
        "units": U, "kernel_regularizer": "l2", "recurrent_constraint": "max_norm", "bias_initializer": "ones",
        "dropout": 0.2, "recurrent_dropout": 0.1, "return_sequences": True, "name": "it", "trainable": False,
    }  # fmt: skip
    for extra in ({"units": U, "name": "it"}, more | options):
        ours, theirs = of(kind, **extra), getattr(keras.layers, kind)(**extra)
        assert as_json(ours.get_config()) == as_json(theirs.get_config())
        again = type(ours).from_config(as_json(theirs.get_config()))
        assert as_json(again.get_config()) == as_json(theirs.get_config())
        ours.build((None, T, F))
        theirs.build((None, T, F))
        assert [(v.name, v.shape) for v in ours.weights] == [(v.name, tuple(v.shape)) for v in theirs.weights]
        assert ours.compute_mask(None, "mask") == theirs.compute_mask(None, "mask")
        assert ours.supports_masking == theirs.supports_masking
        for v, other in zip(ours.weights, theirs.weights, strict=True):
            assert v.trainable == other.trainable
            if v.name == "bias":
                np.testing.assert_array_equal(v.numpy(), other.numpy())
    for way, _ in WAYS:
        for shape in ((None, T, F), (2, None, F)):
            ours, theirs = of(kind, units=U, **way, **options), getattr(keras.layers, kind)(U, **way, **options)
            assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)


@pytest.mark.parametrize("options", [{}, {"unit_forget_bias": False}, {"bias_initializer": "ones"}])
def test_first_bias_of_an_lstm(options):
    ours, theirs = LSTM(U, **options), keras.layers.LSTM(U, **options)
    ours.build((None, T, F))
    theirs.build((None, T, F))
    np.testing.assert_array_equal(ours.get_weights()[2], theirs.get_weights()[2])


def test_arguments_come_in_the_order_of_keras():
    assert LSTM(3, "relu", "hard_sigmoid", False).use_bias is False
    for word in ("time_major", "input_length"):
        with pytest.raises(UsageError):
            LSTM(3, **{word: True})
    with pytest.raises(UsageError):
        SimpleRNN(3, implementation=1)  # as in Keras, whose LSTM and GRU alone still know the word
    assert LSTM(3, implementation=1).implementation == 1
    with pytest.raises(UsageError):
        LSTM(3, use_cudnn="sometimes")
    with pytest.raises(UsageError, match="rank|axes"):
        LSTM(3).build((None, 4))
    layer = LSTM(3)
    layer.build((None, 4, 5))
    with pytest.raises(DataError):
        layer(np.ones((2, 4, 5), "float32"), mask=np.ones((2, 5), bool))


# ---- states ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_stateful_batches_follow_each_other(kind):
    ours, theirs = of(kind, units=U, stateful=True), getattr(keras.layers, kind)(U, stateful=True)
    same_weights(ours, theirs, (B, T, F))
    for seed in range(2):
        x = numbers(B, T, F, seed=seed)
        np.testing.assert_allclose(ours(x), theirs(x), **CLOSE)
        for state, other in zip(ours.states, theirs.states, strict=True):
            np.testing.assert_allclose(state.numpy(), other.numpy(), **CLOSE)
    ours.reset_state()
    theirs.reset_state()
    np.testing.assert_allclose(ours(x), theirs(x), **CLOSE)
    assert [v.name for v in ours.weights] == ["kernel", "recurrent_kernel", "bias"]
    with pytest.raises(DataError):
        ours(x[:2])
    with pytest.raises(UsageError, match="batch size"):
        of(kind, units=U, stateful=True).build((None, T, F))


def test_first_states_may_be_given():
    x = numbers(B, T, F)
    states = [numbers(B, U, seed=i) for i in range(4)]
    mask = mask_of("left")
    for kind, count in (("GRU", 1), ("LSTM", 2)):
        ours, theirs = of(kind, units=U, return_state=True), getattr(keras.layers, kind)(U, return_state=True)
        same_weights(ours, theirs, x.shape)
        y = ours(x, initial_state=states[:count], mask=mask)
        for one, other in zip(y, theirs(x, initial_state=states[:count], mask=mask), strict=True):
            np.testing.assert_allclose(one, other, **CLOSE)
    with pytest.raises(UsageError, match="2 states"):
        ours(x, initial_state=states[:1])
    ours, theirs = Bidirectional(LSTM(U)), keras.layers.Bidirectional(keras.layers.LSTM(U))
    same_weights(ours, theirs, x.shape)
    np.testing.assert_allclose(ours(x, initial_state=states), theirs(x, initial_state=states), **CLOSE)


# ---- dropout ---------------------------------------------------------------------------------------------

DROPPED = [
    ("SimpleRNN", {"dropout": 0.3, "recurrent_dropout": 0.4}, 1),
    ("LSTM", {"dropout": 0.3}, 1),
    ("LSTM", {"dropout": 0.3, "recurrent_dropout": 0.4}, 4),
    ("GRU", {"dropout": 0.3, "recurrent_dropout": 0.4}, 3),
    ("GRU", {"recurrent_dropout": 0.4, "reset_after": False}, 3),
]


@pytest.mark.parametrize("kind, options, count", DROPPED)
def test_dropout_with_the_masks_of_keras(kind, options, count, monkeypatch):
    """The same masks put into both: as many as Keras makes, one for a batch, used where Keras uses them."""
    ours, theirs = of(kind, units=U, **options), getattr(keras.layers, kind)(U, **options)
    x = numbers(B, T, F)
    same_weights(ours, theirs, x.shape)
    made = []

    def masks(key, rate, shape, dtype):
        if not rate:
            return None
        made.append(jnp.asarray(np.random.default_rng(shape[-1]).integers(0, 2, shape) / (1 - rate), dtype))
        assert shape == (count, B, F if rate == 0.3 else U)
        return made[-1]

    monkeypatch.setattr(recurrent, "ones_thinned", masks)
    y, _ = ours.apply(ours.arrays, x, Call(training=True, root=jax.random.key(0)))
    single = kind == "SimpleRNN" or len(options) == 1 and "dropout" in options
    for name, mask in zip((n for n in ("dropout", "recurrent_dropout") if n in options), made, strict=True):
        setattr(theirs.cell, f"_{name}_mask", mask[0] if single else list(mask))
    np.testing.assert_allclose(y, theirs(x, training=True), **CLOSE)


def test_dropout_is_one_mask_for_all_steps():
    """With an identity kernel and no recurrence, the output is the input times its mask."""
    layer = SimpleRNN(8, activation=None, dropout=0.5, return_sequences=True, seed=3)
    layer.build((None, T, 8))
    layer.set_weights([np.eye(8), np.zeros((8, 8)), np.zeros(8)])
    x = np.ones((64, T, 8), "float32")
    y, _ = layer.apply(layer.arrays, x, Call(training=True, root=jax.random.key(1)))
    y = np.asarray(y)
    assert set(np.unique(y)) == {0.0, 2.0} and (y == y[:, :1]).all()
    assert abs((y[:, 0] == 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(64 * 8)  # four standard deviations
    assert (y[0, 0] != y[1, 0]).any()
    np.testing.assert_array_equal(layer.apply(layer.arrays, x, Call(root=jax.random.key(1)))[0], x)


# ---- forwards and backwards ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mode, kind, options, mask",
    [
        ("concat", "LSTM", {"return_sequences": True}, "gaps"),
        ("concat", "GRU", {}, "left"),
        ("sum", "SimpleRNN", {"return_sequences": True}, None),
        ("mul", "GRU", {"return_sequences": True, "return_state": True}, "right"),
        ("ave", "LSTM", {"return_state": True}, None),
        (None, "SimpleRNN", {"return_sequences": True, "return_state": True}, "right"),
    ],
)
def test_bidirectional(mode, kind, options, mask):
    inner = getattr(keras.layers, kind)(U, **options, name="it")
    theirs = keras.layers.Bidirectional(inner, merge_mode=mode, name="bi")
    ours = Bidirectional(of(kind, units=U, **options, name="it"), merge_mode=mode, name="bi")
    assert as_json(ours.get_config()) == as_json(theirs.get_config())
    again = Bidirectional.from_config(as_json(theirs.get_config()))
    assert as_json(again.get_config()) == as_json(theirs.get_config())
    assert ours.compute_output_shape((None, T, F)) == theirs.compute_output_shape((None, T, F))
    same_weights(ours, theirs, (B, T, F))
    assert as_json(ours.get_config()) == as_json(theirs.get_config())  # both say what the inner layers are built for
    assert [v.path.split("/")[0] for v in ours.weights] == ["forward_it"] * 3 + ["backward_it"] * 3
    compare(ours, theirs, numbers(B, T, F), mask_of(mask))


def test_bidirectional_of_two_given_layers():
    def made(layers):
        back = layers.GRU(U, go_backwards=True, return_sequences=True, stateful=True, name="back")
        ahead = layers.LSTM(U, return_sequences=True, stateful=True, name="ahead")
        return layers.Bidirectional(ahead, backward_layer=back)

    ours, theirs = same_weights(made(NAMES), made(keras.layers), (B, T, F))
    for seed in range(2):
        x = numbers(B, T, F, seed=seed)
        np.testing.assert_allclose(ours(x), theirs(x), **CLOSE)
    assert len(ours.states) == 3 and len(ours.weights) == 6 and len(ours.variables) == 9
    ours.reset_states()
    theirs.reset_states()
    np.testing.assert_allclose(ours(x), theirs(x), **CLOSE)


class NAMES:
    GRU, LSTM, Bidirectional = GRU, LSTM, Bidirectional


def test_bidirectional_refuses_what_is_no_pair():
    for layer, options in (
        (Dense(3), {}), (LSTM(3, go_backwards=True), {}), (LSTM(3), {"backward_layer": LSTM(3)}),
        (LSTM(3), {"backward_layer": LSTM(3, go_backwards=True, return_sequences=True)}), (3, {}),
        (LSTM(3), {"merge_mode": "max"}),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            Bidirectional(layer, **options)


def test_bidirectional_clones_and_takes_first_arrays():
    inner = LSTM(U)
    inner.build((None, T, F))
    values = [numbers(*v.shape, seed=i) for i, v in enumerate([*inner.weights, *inner.weights])]
    layer = Bidirectional(inner, weights=values)
    layer.build((None, T, F))
    for value, now in zip(values, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(value, now)
    assert layer.forward_layer is not inner and repr(layer) == "Bidirectional(LSTM(3))"


def test_bidirectional_adds_the_penalties_of_both():
    ours = Bidirectional(LSTM(U, activity_regularizer="l2"))
    theirs = keras.layers.Bidirectional(keras.layers.LSTM(U, activity_regularizer="l2"))
    x = numbers(B, T, F)
    same_weights(ours, theirs, x.shape)
    theirs(x)
    _, (moved,), _ = run((ours,), (ours.arrays,), x, Call())
    np.testing.assert_allclose(moved[PENALTY], sum(theirs.losses), rtol=1e-5)


# ---- every step ------------------------------------------------------------------------------------------

INNER = [
    ("Dense", {"units": U, "activation": "relu"}, (B, T, F), None),
    ("Conv2D", {"filters": 2, "kernel_size": 2}, (B, 3, 4, 4, 2), None),
    ("Flatten", {}, (B, T, 2, 3), None),
    ("LSTM", {"units": U}, (B, 2, T, F), "gaps"),
    ("LayerNormalization", {}, (B, T, F), "right"),
]


@pytest.mark.parametrize("kind, options, shape, mask", INNER)
def test_time_distributed(kind, options, shape, mask):
    ours = TimeDistributed(of(kind, **options, name="it"), name="td")
    theirs = keras.layers.TimeDistributed(getattr(keras.layers, kind)(**options, name="it"), name="td")
    assert as_json(ours.get_config()) == as_json(theirs.get_config())
    assert ours.compute_output_shape((None, *shape[1:])) == theirs.compute_output_shape((None, *shape[1:]))
    same_weights(ours, theirs, shape)
    mask = mask_of(mask, t=shape[-2])
    if kind == "LSTM":
        mask = np.stack([mask, mask[::-1]], axis=1)
    compare(ours, theirs, numbers(*shape), mask)


@pytest.mark.parametrize("mask", [None, "right"])
def test_time_distributed_batch_normalization_sees_step_after_step(mask):
    ours = TimeDistributed(of("BatchNormalization", momentum=0.7))
    theirs = keras.layers.TimeDistributed(keras.layers.BatchNormalization(momentum=0.7))
    same_weights(ours, theirs, (B, T, F))
    x = numbers(B, T, F)
    mask = mask if mask is None else mask_of(mask)[::-1] | (np.arange(B) > 1)[:, None]  # no step without a row
    compare(ours, theirs, x, mask)
    moved, moved_k = compare(ours, theirs, x, mask, training=True, close={"rtol": 1e-4, "atol": 1e-4})
    # A column of four rows is divided by its own deviation: a small one makes the roundings of the mean large.
    for name, other in zip(("layer/moving_mean", "layer/moving_variance"), moved_k, strict=True):
        np.testing.assert_allclose(moved[name], other, **CLOSE)
    assert [v.name for v in ours.non_trainable_weights] == ["moving_mean", "moving_variance"]


def test_time_distributed_foreign_layers_see_one_step():
    """A function, or a layer of the user's, may look at the whole batch of a step."""

    class Centre(Layer):
        def call(self, x):
            self.add_loss(jnp.sum(x))
            return x - jnp.mean(x, axis=0)

    x = numbers(B, T, F)
    centred = x - x.mean(0)
    layer = TimeDistributed(Centre())
    y, moved = layer.apply({}, x, Call())
    np.testing.assert_allclose(y, centred, atol=4 * EPS)
    np.testing.assert_allclose(moved[PENALTY], x.sum(), rtol=1e-5)
    for inner in (Lambda(lambda x: x - jnp.mean(x, axis=0)), Dense(F, activation=lambda x: x - jnp.mean(x, axis=0))):
        layer = TimeDistributed(inner)
        layer.build(x.shape)
        w = {name: np.eye(F, dtype="float32") if "kernel" in name else array for name, array in layer.arrays.items()}
        np.testing.assert_allclose(layer.apply(w, x, Call())[0], centred, atol=4 * EPS)
    softmax = TimeDistributed(of("Softmax", axis=0))
    np.testing.assert_allclose(softmax(x).sum(0), np.ones((T, F)), atol=4 * EPS)


def test_time_distributed_noise_and_penalties():
    x = np.ones((64, T, 8), "float32")
    call = Call(training=True, root=jax.random.key(2))
    for options, across in (({}, False), ({"noise_shape": (1, None)}, True)):
        y = np.asarray(TimeDistributed(Dropout(0.5, **options)).apply({}, x, call)[0])
        assert (y == y[:1]).all() == across  # shared by the rows of a step, if its noise_shape says so
        assert not (y == y[:, :1]).all()  # another draw for every step
    y, moved = TimeDistributed(ActivityRegularization(l1=0.5)).apply({}, x, call)
    np.testing.assert_allclose(moved[PENALTY], 0.5 * T * 8)


def test_time_distributed_refuses():
    with pytest.raises(UsageError):
        TimeDistributed(3)
    with pytest.raises(UsageError, match="axes"):
        TimeDistributed(Dense(3)).build((None, 4))
    with pytest.raises(DataError):
        TimeDistributed(Dense(3))(numbers(B, T, F), mask=np.ones((B, T + 1), bool))


def test_wrapped_layers_stay_frozen():
    frozen = TimeDistributed(Dense(3, trainable=False))
    frozen.build((None, T, F))
    assert frozen.trainable and not frozen.trainable_weights and len(frozen.weights) == 2
    both = Bidirectional(LSTM(3, trainable=False))
    assert not both.forward_layer.trainable and not both.backward_layer.trainable


def test_wrapper_of_a_keras_style_subclass():
    class Twice(wrap.Wrapper):
        def call(self, x):
            return 2 * self.layer(x)

    layer = Twice(Dense(3))
    x = numbers(B, F)
    y = layer(x)
    np.testing.assert_allclose(y, 2 * (x @ layer.get_weights()[0]), rtol=1e-5, atol=10 * EPS)
    assert output_shape(layer, (None, F)) == (None, 3)


def test_half_precision_as_in_keras():
    ours, theirs = LSTM(U, dtype="mixed_bfloat16"), keras.layers.LSTM(U, dtype="mixed_bfloat16")
    same_weights(ours, theirs, (B, T, F))
    x = numbers(B, T, F)
    y, other = ours(x), theirs(x)
    assert str(y.dtype) == "bfloat16"
    # bfloat16 has 8 bits: six steps, each rounded a few times, may differ by some 2⁻⁷.
    np.testing.assert_allclose(np.asarray(y, "float32"), np.asarray(other, "float32"), atol=6 * 2**-8)


# ---- the own gradient ------------------------------------------------------------------------------------

RULES = ["SIMPLE", "LSTM", "GRU", "GRU_BEFORE"]


def sequence(name, rows, steps, biased=True):
    cell, rng = getattr(recurrence, name), np.random.default_rng(8)
    width = U * sum(cell.gates)
    bias = rng.normal(size=(2, width)) if biased else (None, None)
    shapes = [(F, width), (U, width)]
    weights = Weights(*(rng.normal(0, 0.6, shape) for shape in shapes), bias[0], bias[1] if name == "GRU" else None)
    states = tuple(rng.normal(size=(rows, U)) for _ in range(cell.states))
    return cell, rng.normal(size=(rows, steps, F)), weights, states, rng.random((rows, steps)) < 0.7


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("rows, steps, plenty", [(3, 6, 4096), (3, 6, 10), (130, 3, 4096)])
def test_own_gradient_is_that_of_autodiff(name, rows, steps, plenty, monkeypatch):
    """In float64: six steps at once, three at once, one at once; with or without sequences, bias, mask, reversal."""
    monkeypatch.setattr(recurrence, "PLENTY", plenty)
    monkeypatch.setattr(recurrence, "SMALL", 0)
    with enable_x64(True):
        whole = (name in ("LSTM", "GRU_BEFORE")) == (plenty == 10)
        cell, x, weights, states, mask = sequence(name, rows, steps, biased=whole)
        at_once = recurrence.steps_at_once(steps, rows, weights)
        assert at_once == {(3, 4096): 6, (3, 10): 3, (130, 4096): 1}[rows, plenty]
        options = {"mask": mask if whole else None, "reverse": whole, "sequences": whole}
        first = pull(lambda *a: (recur(cell, *a, **options), ()), x, weights, states)
        monkeypatch.setattr(recurrence, "TANH", ())  # nothing is smooth: autodiff of the same loop
        second = pull(lambda *a: (recur(cell, *a, **options), ()), x, weights, states)
        for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
            assert one.dtype == np.float64
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def test_gradient_of_the_gradient():
    """The backward loop is plain JAX, so that it can be differentiated again."""
    with enable_x64(True):
        cell, x, weights, states, _ = sequence("SIMPLE", 2, 3)

        @jax.jit
        def slopes(scale):
            return jax.value_and_grad(jax.grad(lambda s: recur(cell, s * x, weights, states)[0].sum()))(scale)

        numeric = (slopes(1.0 + 1e-6)[0] - slopes(1.0 - 1e-6)[0]) / 2e-6
        np.testing.assert_allclose(slopes(1.0)[1], numeric, rtol=1e-6)


def test_half_precision_gradients_have_the_types_of_their_arrays():
    cell, x, weights, states, _ = sequence("GRU", 2, 4)
    low = partial(jax.tree.map, lambda array: jnp.asarray(array, jnp.bfloat16))
    gradients = jax.grad(lambda *a: recur(cell, *a)[0].astype("float32").sum(), (0, 1, 2))(*low((x, weights, states)))
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(gradients)} == {"bfloat16"}
