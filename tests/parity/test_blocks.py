"""Attention, positions and branches beside Keras: one layer, then whole chains as the Functional models they become."""

import json

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import seriatim
from seriatim import Sequential, fit_many
from seriatim.base.report import DataError, SeriatimErrors, UsageError
from seriatim.layers import (
    GRU,
    BatchNormalization,
    Concat,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Input,
    Lambda,
    Layer,
    LayerNormalization,
    Masking,
    MaxPooling2D,
    PositionalEmbedding,
    ReLU,
    Residual,
    SelfAttention,
    StringLookup,
    TimeDistributed,
    TransformerBlock,
)
from seriatim.layers.contract import Call

from .beside import CLOSE, QUICK

R = np.random.default_rng(0)
IDS = R.integers(1, 9, (12, 6))
IDS[:, 4:] *= R.random((12, 2)) < 0.5
IDS[3, 1:] = 0
MASK = np.concatenate([IDS[1:] > 0, np.zeros((1, 6), bool)])  # the last row has no step to look at


def drawn(weights, seed=1):
    """Numbers in the shapes of `weights`; variances must not be negative."""
    rng = np.random.default_rng(seed)
    values = [0.5 * rng.normal(size=w.shape).astype("float32") for w in weights]
    return [np.abs(value) if value.ndim == 1 else value for value in values]


# ---- one layer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, width",
    [
        ({"num_heads": 2, "key_dim": 3}, 5),
        ({"num_heads": 3, "key_dim": 2, "use_bias": False, "use_causal_mask": True}, 4),
        ({"num_heads": 2, "key_dim": 3, "value_dim": 4, "output_shape": (2, 5), "dropout": 0.3}, 5),
    ],
    ids=str,
)
def test_self_attention_is_multi_head_attention_of_itself(options, width):
    """Weights by name, shape and order; output and gradients; with a mask and without."""
    x = R.normal(size=(12, 6, width)).astype("float32")
    mine, real = SelfAttention(**options), dict(options)
    causal = real.pop("use_causal_mask", False)
    real = keras.layers.MultiHeadAttention(**real)
    mine.build(x.shape)
    real.build(x.shape, x.shape)
    assert [v.path.split("/", 1)[1] for v in mine.weights] == [v.path.split("/", 1)[1] for v in real.weights]
    assert [v.shape for v in mine.weights] == [v.shape for v in real.weights]
    weights = drawn(mine.weights)
    names = [v.key for v in mine.weights]

    def of_mine(weights, x, mask):
        return mine.apply(dict(zip(names, weights, strict=True)), x, Call(mask=mask))[0]

    def of_real(weights, x, mask):
        both = None if mask is None else mask[:, :, None] & mask[:, None, :]
        state = real.non_trainable_variables
        return real.stateless_call(weights, state, x, x, attention_mask=both, use_causal_mask=causal)[0]

    for mask in (None, MASK):
        up = np.random.default_rng(2).normal(size=jax.eval_shape(of_mine, weights, x, mask).shape).astype("float32")

        def with_gradients(run, mask=mask, up=up):
            def both(weights, x):
                y, back = jax.vjp(lambda weights, x: run(weights, x, mask), weights, x)
                return y, back(jnp.asarray(up))

            return jax.jit(both, compiler_options=QUICK)(weights, x)

        got, want = with_gradients(of_mine), with_gradients(of_real)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(a, b, **CLOSE)


def test_first_weights_reach_as_far():
    mine, real = SelfAttention(8, 40), keras.layers.MultiHeadAttention(8, 40)
    mine.build((None, 3, 200))
    real.build((None, 3, 200), (None, 3, 200))
    for a, b in zip(mine.get_weights(), real.get_weights(), strict=True):
        np.testing.assert_allclose(np.abs(a).max(), np.abs(b).max(), rtol=1e-3)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_half_precision_holds_under_a_mask(policy):
    """Scores beyond what float16 holds, and a row without a single step to look at."""
    layer = SelfAttention(2, 8, use_causal_mask=True, dtype=policy)
    x = 200 * R.normal(size=(12, 6, 8)).astype("float32")
    layer.build(x.shape)

    def total(w, x):
        return jnp.sum(layer.apply(*layer.meet(w, x), Call(mask=MASK))[0].astype("float32"))

    run = jax.jit(jax.value_and_grad(total), compiler_options=QUICK)
    for leaf in jax.tree.leaves(run(layer.arrays, x)):
        assert np.all(np.isfinite(np.asarray(leaf, "float32")))


def test_positions():
    steps, width = 7, 6
    table = [
        [np.cos(p / 50 ** ((i - 1) / width)) if i % 2 else np.sin(p / 50 ** (i / width)) for i in range(width)]
        for p in range(steps)
    ]
    x = R.normal(size=(2, steps, width)).astype("float32")
    np.testing.assert_allclose(PositionalEmbedding(kind="sine", max_wavelength=50)(x), x + np.array(table), **CLOSE)
    model = Sequential([Input((None, width)), PositionalEmbedding(steps), Dense(1)])
    learned = model.layers[0].get_weights()[0]
    assert learned.shape == (steps, width)
    np.testing.assert_array_equal(model.layers[0](x[:, :4]), x[:, :4] + learned[:4])
    assert model.predict(x[:, :3], verbose=0).shape == (2, 3, 1)
    with pytest.raises(DataError, match="at most 7"):
        model.predict(np.zeros((2, 8, width)), verbose=0)
    with pytest.raises(DataError, match="at most 5"):
        PositionalEmbedding(5, kind="sine")(x)
    assert PositionalEmbedding().build((None, 9, 2)) is None
    with pytest.raises(UsageError, match="sequence_length"):
        PositionalEmbedding().build((None, None, 2))


# ---- whole chains ----------------------------------------------------------------------------------------------


def words(*layers, **options):
    return [Input((6,), dtype="int32"), Embedding(9, 8, mask_zero=True, **options), *layers]


def inception():
    return Concat([
        Conv2D(2, 1), [Conv2D(2, 1), Conv2D(3, 3, padding="same")], MaxPooling2D(3, 1, padding="same"),
        [Residual(Conv2D(4, 1)), Conv2D(2, 1), ReLU()],
    ])  # fmt: skip


def resnet():
    f = [Conv2D(4, 3, padding="same"), BatchNormalization(), ReLU(), Conv2D(4, 1)]
    return Residual(f, shortcut=[Conv2D(4, 1), BatchNormalization()])


CHAINS = {
    "encoder": lambda: words(
        PositionalEmbedding(), TransformerBlock(2, 16), TransformerBlock(4, 10, 3, "tanh", norm_first=True),
        GlobalAveragePooling1D(), Dense(1),
    ),
    "decoder": lambda: words(
        PositionalEmbedding(kind="sine"), TransformerBlock(2, 16, use_causal_mask=True, epsilon=1e-3),
        Residual([LayerNormalization(), SelfAttention(2, use_causal_mask=True)]), Dense(9),
    ),
    "mixed": lambda: words(
        PositionalEmbedding(8), Concat([[], [Dense(4), Dense(3)], SelfAttention(2)]), SelfAttention(2, 5),
        Concat([GRU(3), [Conv1D(4, 3), GlobalMaxPooling1D()], [GlobalAveragePooling1D(), Dense(3)]]), Dense(1),
    ),
    "steps joined": lambda: [
        Input((6, 4)), Masking(), PositionalEmbedding(),
        Concat([SelfAttention(1), [Dense(4), Residual(Dense(4))]], axis=1), GRU(3), Dense(1),
    ],
    "pictures": lambda: [Input((6, 6, 3)), resnet(), inception(), Sequential([Flatten(), Dense(1)])],
}  # fmt: skip


@pytest.mark.parametrize("kind", CHAINS)
def test_chain_is_its_functional_model(kind):
    """The same predictions, from weights set in one list; the same losses and weights in three steps of training."""
    mine = Sequential(CHAINS[kind](), name="mine")
    config = json.loads(json.dumps(mine.to_keras_config()))
    text = {"module": "keras.src.models.functional", "class_name": "Functional", "config": config,
            "registered_name": "Functional"}  # fmt: skip
    real = keras.Model.from_config(config) if kind == "mixed" else keras.models.model_from_json(json.dumps(text))
    assert [v.shape for v in real.weights] == [v.shape for v in mine.weights]
    mine.set_weights(drawn(mine.weights))
    real.set_weights(mine.get_weights())
    shape = mine.input_shape[1:]
    x = IDS if len(shape) == 1 else R.normal(size=(12, *shape)).astype("float32")
    if kind == "steps joined":
        x[:, 4:] *= (R.random((12, 2, 1)) < 0.5).astype("float32")
    y = R.normal(size=(12, *mine.output_shape[1:])).astype("float32")
    near(mine.predict(x, verbose=0), real.predict(x, verbose=0), 1e-5)
    if kind not in ("encoder", "pictures"):
        return
    losses = []
    for model, optimizer in ((mine, seriatim.optimizers.SGD(1e-3)), (real, keras.optimizers.SGD(1e-3))):
        model.compile(optimizer, "mse")
        losses.append([float(model.train_on_batch(x, y)) for _ in range(3)])
    near(*losses, 1e-5)
    for a, b in zip(mine.get_weights(), real.get_weights(), strict=True):
        near(a, b, 1e-4)


def near(a, b, share):
    np.testing.assert_allclose(a, b, rtol=0, atol=share * np.abs(b).max())


def test_what_keras_has_no_word_for():
    class Own(Layer):
        def call(self, x):
            return 2 * x

    for chain, reason in (
        ([Input((3,)), Own(name="it")], "your own"), ([Input((3,)), Lambda(abs, name="it")], "your own"),
        ([Input((3,)), Residual([Dense(3, activation=lambda x: x, name="it")])], "is yours"),
        ([Input((2, 3, 2)), TimeDistributed(SelfAttention(1), name="it")], "around a SelfAttention"),
        ([Input((3, 2)), GRU(2, return_state=True, name="it")], "several arrays"),
        ([Input((3, 2)), Concat([[], []], activity_regularizer="l2", name="it")], "ActivityRegularization"),
        ([Input((3, 2)), Masking(), Concat([[], Masking(1.0)]), PositionalEmbedding(name="it")], "mask"),
        ([StringLookup(vocabulary=["a"], name="it"), Embedding(3, 2)], "TensorFlow"),
        ([Dense(2, name="it")], "not built"),
    ):  # fmt: skip
        model = Sequential(chain, name="it")
        if reason == "TensorFlow":
            model.build((None, 1))
        with pytest.raises(UsageError, match=f"(?s)^it .*{reason}"):
            model.to_keras_config()


# ---- what blocks share with all layers -----------------------------------------------------------------------


def test_kept_in_every_format(tmp_path):
    vectors = [Residual([Dense(4), BatchNormalization()], shortcut=Dense(4)), Dense(1)]
    model = Sequential([*CHAINS["mixed"](), *vectors], name="kept")
    model.compile("adam", "mse")
    y = np.ones((12, 1))
    model.fit(IDS, y, verbose=0)
    want = model.predict(IDS, verbose=0)
    for name in ("a.keras", "a.h5"):
        model.save(tmp_path / name)
        again = seriatim.models.load_model(tmp_path / name)
        np.testing.assert_array_equal(again.predict(IDS, verbose=0), want)
        assert again.optimizer.iterations == 1
    for name in ("a.weights.h5", "a.safetensors"):
        model.save_weights(tmp_path / name)
        fresh = seriatim.models.clone_model(model)
        assert np.abs(fresh.predict(IDS, verbose=0) - want).max() > 1e-4
        fresh.load_weights(tmp_path / name)
        np.testing.assert_array_equal(fresh.predict(IDS, verbose=0), want)
    fresh = seriatim.models.model_from_json(model.to_json())
    fresh.set_weights(model.get_weights())
    np.testing.assert_array_equal(fresh.predict(IDS, verbose=0), want)
    texts = []
    model.summary(print_fn=texts.append, expand_nested=True)
    assert "(Concat)" in texts[0] and "└ batch_normalization" in texts[0]
    seriatim.utils.plot_model(model, tmp_path / "a.svg", expand_nested=True)
    picture = (tmp_path / "a.svg").read_text()
    assert "(Residual) · x is added" in picture and "(Concat) · side by side" in picture


def test_numbers_of_blocks_differ_between_members():
    """Rates, seeds and epsilons within blocks, in one program; each member is what it is alone."""

    def build(rate=0.0, epsilon=1e-5):
        block = TransformerBlock(2, 8, dropout=rate, epsilon=epsilon, norm_first=True)
        branches = Concat([[Residual([Dropout(rate), Dense(8)])], SelfAttention(2, dropout=rate, seed=3)])
        model = Sequential(words(block, branches, GlobalAveragePooling1D(), Dense(1)))
        model.compile(seriatim.optimizers.SGD(0.01), "mse")
        return model

    y = R.normal(size=(12, 1)).astype("float32")
    points = [{"rate": 0.1, "epsilon": 1e-5, "seed": 2}, {"rate": 0.4, "epsilon": 1e-2, "seed": 2}]
    members = fit_many(build, points, IDS, y, epochs=2, batch_size=4, verbose=0)
    first, second = (member.history.history["loss"] for member in members)
    assert first != second
    seriatim.utils.set_random_seed(2)
    alone = build(0.4, 1e-2).fit(IDS, y, epochs=2, batch_size=4, verbose=0)
    np.testing.assert_allclose(second, alone.history["loss"], rtol=2e-4)


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: SelfAttention(0), "a positive whole number"),
        (lambda: SelfAttention(3).build((None, 4, 8)), "8 features, num_heads=3"),
        (lambda: TransformerBlock(3, 4).build((None, 4, 8)), "8 features, num_heads=3"),
        (lambda: Sequential([Input((12,)), SelfAttention(2)]), r"Embedding\(…\) before"),
        (lambda: SelfAttention(1, output_shape=(0,)), "output_shape"),
        (lambda: SelfAttention(1)(np.ones((2, 3, 4)), mask=np.ones((2, 4), bool)), "a mask of shape"),
        (lambda: Residual(3), "a list of layers"),
        (lambda: Residual([StringLookup()]), "runs on the host"),
        (lambda: Sequential([Input((4,)), Residual(Dense(5))]), r"x of shape \(None, 4\), f\(x\) of shape \(None, 5\)"),
        (lambda: Sequential([Input((4,)), Residual(Dense(5))]), r"shortcut=Dense\(5\)"),
        (lambda: Sequential([Input((6, 4)), Residual(Conv1D(4, 3))]), r"\(None, 4, 4\)(?s:.*)padding='same'"),
        (lambda: Sequential([Input((4,)), Residual(Dense(5), Dense(6))]), r"shortcut\(x\) of shape \(None, 6\)"),
        (lambda: Concat([]), "a list of chains"),
        (lambda: Concat([[], []], axis=0).compute_output_shape((None, 5)), "axis 0"),
        (lambda: Concat([Dense(3), Conv1D(2, 3)])(np.ones((1, 5, 4))), r"\(None, 5, 3\), \(None, 3, 2\)"),
        (lambda: (lambda one: Concat([one, [one]]))(Dense(2)), "two places"),
    ],
)  # fmt: skip
def test_refused(make, says):
    with pytest.raises(SeriatimErrors, match=says):
        make()
