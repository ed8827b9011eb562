"""Activation, shape, normalisation, noise, embedding and adapting layers beside real Keras 3.15.1.

Both compute in float32 with XLA, so most numbers are the same bits; a tolerance is argued where it stands.
"""

import json
import re

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from seriatim.base import registry, settings
from seriatim.base.report import DataError, UsageError
from seriatim.layers import activation, adapt, core, embed, noise, norm, shape  # noqa: F401  they fill the registry
from seriatim.layers.contract import PENALTY, Call
from seriatim.layers.noise import kept, words
from seriatim.math import activations, constraints, initializers, regularizers  # noqa: F401  likewise
from seriatim.math.moments import moments


def label(value):
    """The name of a case: the same in every process."""
    return re.sub(r" at 0x\w+", "", str(value))


EPS = float(np.finfo(np.float32).eps)
# Sums of up to a few hundred float32 products in another order: some ten roundings of numbers of size 1.
CLOSE = {"rtol": 1e-5, "atol": 30 * EPS}


def as_json(config):
    return json.loads(json.dumps(config, default=lambda value: value.tolist()))


def theirs_of(name, options):
    return getattr(keras.layers, name)(**options)


def ours_of(name, options):
    return registry.find("layer", name)(**options)


def both(name, options):
    return ours_of(name, options), theirs_of(name, options)


def pair(name, options, input_shape, seed=0):
    """Our layer and Keras's, built for the same shape, with the same random weights."""
    ours, theirs = both(name, options)
    theirs.build(input_shape)
    ours.build(input_shape)
    rng = np.random.default_rng(seed)
    fresh = []
    for variable in theirs.weights:
        value = rng.normal(1.0, 0.3, variable.shape)
        positive = "variance" in variable.path or "stddev" in variable.path
        fresh.append((np.abs(value) + 0.2 if positive else value).astype(str(variable.dtype)))
    theirs.set_weights(fresh)
    theirs.finalize_state() if name == "Normalization" else None  # Keras keeps a copy of mean and variance
    ours.set_weights(fresh)
    return ours, theirs


def run_ours(layer, w, x, training=False, mask=None, key=None):
    w, x = layer.meet(w, x)
    return layer.apply(w, x, Call(training=training, root=jax.random.key(0) if key is None else key, mask=mask))


def run_theirs(layer, trainable, other, x, training, mask):
    names = type(layer).call.__code__.co_varnames[: type(layer).call.__code__.co_argcount]
    options = {"training": training} if "training" in names else {}
    if mask is not None and "mask" in names:
        options["mask"] = mask
    return layer.stateless_call(trainable, other, x, **options)


def draw(kind, sizes, seed=1):
    rng = np.random.default_rng(seed)
    if kind == "ids":
        return rng.integers(0, 7, sizes)
    x = rng.normal(0.5, 2.0, sizes).astype(np.float32)
    return np.where(rng.random(sizes[:-1] + (1,)) < 0.3, 0, x).astype(np.float32) if kind == "gaps" else x


def steps_mask(sizes, seed=2):
    mask = np.random.default_rng(seed).random(sizes[:2]) < 0.7
    mask[:, 0] = True
    return mask


BN, LN = "BatchNormalization", "LayerNormalization"
CLIP = {"rmax": 1.5, "rmin": 0.5, "dmax": 0.4}
# name, options, input shape without the batch, what the input holds
ROWS = [
    ("Identity", {}, (5,), "real"), ("Activation", {"activation": "tanh"}, (5,), "real"),
    ("Dense", {"units": 4, "activation": "relu"}, (3, 5), "real"),
    ("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, (5,), "real"),
    ("ReLU", {}, (5,), "real"), ("ReLU", {"max_value": 6.0}, (5,), "real"),
    ("ReLU", {"max_value": 2.0, "negative_slope": 0.1, "threshold": 0.5}, (5,), "real"),
    ("LeakyReLU", {}, (5,), "real"), ("LeakyReLU", {"negative_slope": 0.01}, (5,), "real"),
    ("ELU", {}, (5,), "real"), ("ELU", {"alpha": 0.5}, (5,), "real"),
    ("PReLU", {}, (3, 5), "real"), ("PReLU", {"shared_axes": [1]}, (3, 5), "real"),
    ("PReLU", {"shared_axes": (1, 2), "alpha_initializer": "ones", "alpha_regularizer": "l2",
               "alpha_constraint": "non_neg"}, (4, 4, 3), "real"),
    ("Softmax", {}, (3, 5), "real"), ("Softmax", {"axis": 1}, (3, 5), "real"),
    ("Softmax", {"axis": (1, 2)}, (3, 5), "real"), ("Softmax", {"axis": [2]}, (3, 5), "real"),
    ("Flatten", {}, (3, 4, 2), "real"), ("Flatten", {}, (), "real"), ("Flatten", {}, (3,), "real"),
    ("Flatten", {"data_format": "channels_first"}, (3, 4, 2), "real"),
    ("Flatten", {"data_format": "channels_first"}, (3,), "real"),
    ("Reshape", {"target_shape": (2, 6)}, (3, 4), "real"), ("Reshape", {"target_shape": (-1,)}, (3, 4), "real"),
    ("Reshape", {"target_shape": [2, -1, 3]}, (3, 4), "real"), ("Reshape", {"target_shape": ()}, (1,), "real"),
    ("Permute", {"dims": (2, 1)}, (3, 4), "real"), ("Permute", {"dims": [3, 1, 2]}, (2, 3, 4), "real"),
    ("RepeatVector", {"n": 3}, (5,), "real"),
    (BN, {}, (5,), "real"), (BN, {}, (4, 3, 2), "real"), (BN, {"axis": 1}, (3, 4, 4), "real"),
    (BN, {"axis": -2, "epsilon": 1e-5, "momentum": 0.5}, (3, 4), "real"),
    (BN, {"center": False}, (5,), "real"), (BN, {"scale": False, "trainable": False}, (5,), "real"),
    (BN, {"beta_initializer": "ones", "gamma_regularizer": "l2", "beta_constraint": "non_neg"}, (5,), "real"),
    (BN, {"renorm": True}, (5,), "real"), (BN, {"renorm": True, "renorm_clipping": CLIP}, (3, 5), "real"),
    (BN, {"renorm": True, "scale": False, "renorm_momentum": 0.8}, (3, 5), "real"),
    (BN, {"renorm": True, "scale": False, "center": False}, (5,), "real"),
    (LN, {}, (5,), "real"), (LN, {"axis": (1, 2)}, (3, 4), "real"), (LN, {"axis": [2, 1]}, (3, 4), "real"),
    (LN, {"axis": 1, "epsilon": 1e-6}, (3, 4), "real"), (LN, {"axis": [-1, 1]}, (3, 4), "real"),
    (LN, {"center": False}, (5,), "real"), (LN, {"scale": False}, (5,), "real"),
    (LN, {"rms_scaling": True}, (5,), "real"), (LN, {"rms_scaling": True, "axis": [1]}, (3, 5), "real"),
    ("Embedding", {"input_dim": 7, "output_dim": 3}, (4,), "ids"),
    ("Embedding", {"input_dim": 7, "output_dim": 3, "mask_zero": True, "embeddings_regularizer": "l1",
                   "activity_regularizer": "l2", "input_length": 4}, (4,), "ids"),
    ("Masking", {}, (4, 3), "gaps"), ("Masking", {"mask_value": 1.5}, (4, 3), "gaps"),
    ("Rescaling", {"scale": 1 / 255}, (4, 3), "real"),
    ("Rescaling", {"scale": [1, 2, 3], "offset": [0.5, 1, 2]}, (4, 3), "real"),
    ("Rescaling", {"scale": np.array([1.0, 2.0, 3.0]), "offset": np.float32(2)}, (4, 3), "real"),
    ("Normalization", {}, (4, 3), "real"), ("Normalization", {"axis": None}, (4, 3), "real"),
    ("Normalization", {"axis": (1, -1)}, (4, 3), "real"),
    ("Normalization", {"invert": True, "axis": 1}, (4, 3), "real"),
    ("Normalization", {"mean": 2.0, "variance": 3.0}, (4, 3), "real"),
    ("Normalization", {"mean": [1, 2, 3], "variance": [1.0, 0.0, 4.0]}, (4, 3), "real"),
    ("Normalization", {"axis": (1, 2), "mean": np.arange(3.0), "variance": np.ones(3), "invert": True}, (4, 3), "real"),
    ("Normalization", {"axis": (1, 2), "mean": np.ones((4, 3)), "variance": np.full((4, 3), 2.0)}, (4, 3), "real"),
]  # fmt: skip
NOISE = [
    ("Dropout", {"rate": 0.3}, (5,)), ("Dropout", {"rate": 0.3, "noise_shape": (None, 1, None), "seed": 3}, (4, 5)),
    ("SpatialDropout1D", {"rate": 0.3}, (4, 5)), ("SpatialDropout2D", {"rate": 0.3}, (4, 4, 3)),
    ("SpatialDropout2D", {"rate": 0.3, "data_format": "channels_first", "dtype": "mixed_float16"}, (3, 4, 4)),
    ("SpatialDropout3D", {"rate": 0.3, "seed": 1, "name": "drop"}, (2, 3, 3, 4)),
    ("GaussianNoise", {"stddev": 0.3}, (5,)), ("GaussianDropout", {"rate": 0.3, "seed": 7}, (5,)),
    ("AlphaDropout", {"rate": 0.3}, (5,)), ("AlphaDropout", {"rate": 0.3, "noise_shape": [None, 1]}, (5,)),
]  # fmt: skip
BATCH = 6


def row_label(row):
    return f"{row[0]}-{row[1]}-{row[2]}" if isinstance(row, tuple) else None


@pytest.mark.parametrize("row", ROWS, ids=row_label)
def test_values_gradients_state_shapes_and_weights(row):
    name, options, sizes, kind = row
    ours, theirs = pair(name, options, (None, *sizes))
    x = jnp.asarray(draw(kind, (BATCH, *sizes)))
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
    assert [(w.shape, w.dtype) for w in ours.weights] == [(tuple(w.shape), str(w.dtype)) for w in theirs.weights]
    assert [w.name for w in ours.trainable_weights] == [w.name for w in theirs.trainable_weights]
    assert ours.compute_output_shape((None, *sizes)) == tuple(theirs.compute_output_shape((None, *sizes)))
    assert ours.supports_masking == theirs.supports_masking
    for training in (False, True) if name == BN else (False,):
        compare(ours, theirs, x, training, None)


def compare(ours, theirs, x, training, mask):
    """Output, moved state and gradients of a random projection of the output, ours beside theirs."""
    trainable = {w.name: w.value for w in ours.trainable_weights}
    other = {w.name: w.value for w in ours.non_trainable_weights}
    seeds = [v.value for v in theirs.non_trainable_variables][len(other) :]
    away = np.random.default_rng(9).normal(size=(len(x), *ours.compute_output_shape(x.shape)[1:])).astype("float32")

    def ours_sum(t, x):
        y, moved = run_ours(ours, {**t, **other}, x, training, mask)
        return jnp.sum(away * y), (y, [moved.get(name, other[name]) for name in other])

    def theirs_sum(t, x):
        arrays = [t[name] for name in trainable]  # a traced dict comes back sorted
        y, after = run_theirs(theirs, arrays, [*other.values(), *seeds], x, training, mask)
        return jnp.sum(away * y), (y, after[: len(other)])

    along = (0, 1) if jnp.issubdtype(x.dtype, jnp.floating) else (0,)
    both = [jax.jit(jax.grad(function, along, has_aux=True))(trainable, x) for function in (ours_sum, theirs_sum)]
    (slopes, (y, state)), (their_slopes, (want, after)) = both
    assert y.dtype == want.dtype
    np.testing.assert_allclose(y, want, **CLOSE)
    for name, value, wanted in zip(other, state, after, strict=True):
        np.testing.assert_allclose(value, wanted, **CLOSE, err_msg=name)
    for a, b in zip(*map(jax.tree.leaves, (slopes, their_slopes)), strict=True):
        # the slope in x of a normalisation is a difference of numbers of size 1/deviation: ten more roundings
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=100 * EPS * (1 + float(jnp.max(jnp.abs(b)))))


@pytest.mark.parametrize("row", [(*row, "real") for row in NOISE] + ROWS, ids=row_label)
def test_config(row):
    name, options, sizes, _ = row
    ours, theirs = ours_of(name, {**options, "name": "it"}), theirs_of(name, {**options, "name": "it"})
    assert as_json(ours.get_config()) == as_json(theirs.get_config())
    again = type(ours).from_config(as_json(ours.get_config()))
    assert as_json(again.get_config()) == as_json(ours.get_config())
    ours.build((None, *sizes)), theirs.build((None, *sizes))
    assert as_json(ours.get_config()) == as_json(theirs.get_config())
    type(theirs).from_config(as_json(ours.get_config()))  # Keras reads ours


def test_initial_values():
    four = {"class_name": "Constant", "config": {"value": 4.0}}
    for name, options in ((BN, {"renorm": True, "moving_variance_initializer": four}), (LN, {})):
        ours, theirs = both(name, options)
        ours.build((None, 3)), theirs.build((None, 3))
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "name, options, sizes",
    [(BN, {}, (4, 3)), (BN, {"renorm": True}, (4, 3)), ("Softmax", {}, (4,)), (LN, {}, (4, 3)), ("ELU", {}, (4, 3))],
    ids=label,
)
def test_under_a_mask(name, options, sizes):
    ours, theirs = pair(name, options, (None, *sizes))
    mask = jnp.asarray(steps_mask((BATCH, *sizes)))
    for training in (False, True) if name == BN else (False,):
        compare(ours, theirs, jnp.asarray(draw("real", (BATCH, *sizes))), training, mask)


def test_softmax_under_masks_of_every_form():
    x = jnp.asarray(draw("real", (3, 4, 5)))
    ours, theirs = ours_of("Softmax", {}), theirs_of("Softmax", {})
    for mask in (x > 0, (x > 0).astype("float32"), x[:, :1] > 0, x[0] > 0, jnp.zeros_like(x, bool)):
        np.testing.assert_allclose(run_ours(ours, {}, x, mask=mask)[0], theirs(x, mask=mask), **CLOSE)
    steps = jnp.asarray(steps_mask(x.shape))  # Keras refuses this one
    y = run_ours(ours, {}, x, mask=steps)[0]
    np.testing.assert_allclose(jnp.sum(y, -1), steps.astype("float32"), atol=4 * EPS)
    with pytest.raises(UsageError):
        run_ours(ours, {}, x, mask=x[:, :2] > 0)


def test_batch_normalization_far_from_zero():
    """Two passes: a mean a thousand deviations away leaves the variance its digits."""
    x = jnp.asarray(np.random.default_rng(0).normal(1000, 1, (4096, 3)), jnp.float32)
    _, ours = moments(x, (0,))
    exact = np.var(np.asarray(x, np.float64), axis=0)
    np.testing.assert_allclose(ours[0], exact, rtol=1e-5)
    np.testing.assert_allclose(ours[0], np.asarray(keras.ops.moments(x, 0)[1]), rtol=1e-5)


def test_second_derivatives_of_the_variance():
    """The hand-written derivative is right at the second order too: 2/n (δ − 1/n)."""
    x = jnp.asarray([1.0, 2.0, 4.0, 8.0])
    hessian = jax.hessian(lambda x: moments(x, (0,))[1][0])(x)
    np.testing.assert_allclose(hessian, 2 / 4 * (np.eye(4) - 1 / 4), atol=4 * EPS)


def test_trainable_false_uses_moving_statistics():
    ours, theirs = pair(BN, {}, (None, 3))
    x = jnp.asarray(draw("real", (BATCH, 3)))
    ours.trainable = theirs.trainable = False
    np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True), **CLOSE)
    y, moved = run_ours(ours, ours.arrays, x, training=True)
    assert moved == {}


@pytest.mark.parametrize("name", [BN, LN])
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16"])
def test_half_precision(name, policy):
    """Statistics in float32, the output in the policy's type; one rounding of it apart (Keras casts x first)."""
    ours, theirs = pair(name, {"dtype": policy}, (None, 4))
    kind = jnp.dtype(ours.compute_dtype)
    x = jnp.asarray(draw("real", (BATCH, 4))).astype(kind)
    for training in (False, True):
        y, want = ours(x, training=training), theirs(x, training=training)
        assert y.dtype == want.dtype == kind
        y, want = y.astype("float32"), want.astype("float32")
        np.testing.assert_allclose(y, want, rtol=2 * float(jnp.finfo(kind).eps), atol=1e-6)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=2e-3 if policy == "float16" else 1e-5, atol=1e-6)


# ---- masks --------------------------------------------------------------------------------------------


def test_masks_are_made_as_in_keras():
    ids, gaps = jnp.asarray(draw("ids", (BATCH, 4))), jnp.asarray(draw("gaps", (BATCH, 4, 3)))
    for name, options, x in (
        ("Embedding", {"input_dim": 7, "output_dim": 2, "mask_zero": True}, ids),
        ("Embedding", {"input_dim": 7, "output_dim": 2}, ids),
        ("Masking", {}, gaps), ("Masking", {"mask_value": 2.5}, gaps),
        ("Masking", {"mask_value": [0.0, 0.0, 0.0]}, gaps),
    ):  # fmt: skip
        given = {**options, "mask_value": np.asarray(options["mask_value"])} if "mask_value" in options else options
        ours, theirs = ours_of(name, options).compute_mask(x), theirs_of(name, given).compute_mask(x)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_array_equal(ours, theirs)
            assert 0 < ours.mean() <= 1


def test_embedding_ids_and_first_table():
    table = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
    for given in (table, [table]):
        ours, theirs = both("Embedding", {"input_dim": 7, "output_dim": 3, "weights": given})
        for ids in ([[0, 6, 3]], [[0.0, 6.9, 3.2]], [[-1, 7, 100]], np.uint8([[1, 2]])):
            np.testing.assert_array_equal(ours(jnp.asarray(ids)), theirs(jnp.asarray(ids)))
        assert as_json(ours.get_config()).keys() == as_json(theirs.get_config()).keys()
        assert "weights" not in repr(ours)
    with pytest.raises(UsageError, match="another shape"):
        ours_of("Embedding", {"input_dim": 7, "output_dim": 3, "weights": table.T})


# ---- noise: no number agrees, the distributions do ------------------------------------------------------


@pytest.mark.parametrize("name, options, sizes", NOISE, ids=label)
def test_noise_at_rest(name, options, sizes):
    ours, theirs = both(name, options)
    x = jnp.asarray(draw("real", (BATCH, *sizes))).astype(ours.compute_dtype)
    np.testing.assert_array_equal(ours(x), theirs(x))
    assert ours.supports_masking == theirs.supports_masking and ours.weights == []


@pytest.mark.parametrize("name, rate", [("Dropout", 0.2), ("Dropout", 0.5), ("Dropout", 0.001), ("AlphaDropout", 0.2),
                                        ("GaussianDropout", 0.2), ("GaussianNoise", 0.5)])  # fmt: skip
def test_noise_distribution(name, rate):
    """Mean and variance of 2^20 draws around 2.0, ours and Keras's, within five standard errors of one another."""
    x = jnp.full((1024, 1024), 2.0)
    layers = both(name, {"stddev" if name == "GaussianNoise" else "rate": rate})
    a, b = (np.asarray(layer(x, training=True), np.float64) for layer in layers)
    n = a.size
    assert abs(a.mean() - b.mean()) < 5 * np.sqrt((a.var() + b.var()) / n)
    fourth = lambda v: ((v - v.mean()) ** 4).mean() - v.var() ** 2
    assert abs(a.var() - b.var()) < 5 * np.sqrt((fourth(a) + fourth(b)) / n)
    if name == "Dropout":
        assert abs((a == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / n)
        np.testing.assert_allclose(np.unique(a), np.unique(b), rtol=4 * EPS)
    if name == "AlphaDropout":
        np.testing.assert_allclose(np.unique(a), np.unique(b), rtol=4 * EPS)
        assert abs(np.asarray(layers[0](x * 0, training=True), np.float64).mean()) < 0.005


@pytest.mark.parametrize("name, options, sizes, shared", [
    ("Dropout", {"rate": 0.5, "noise_shape": (None, 1, None)}, (8, 16), (1,)),
    ("Dropout", {"rate": 0.5, "noise_shape": (1, None, 1)}, (8, 16), (0, 2)),
    ("Dropout", {"rate": 0.5, "noise_shape": (16,)}, (8, 16), (0, 1)),
    ("SpatialDropout1D", {"rate": 0.5}, (8, 16), (1,)), ("SpatialDropout2D", {"rate": 0.5}, (4, 4, 16), (1, 2)),
    ("SpatialDropout2D", {"rate": 0.5, "data_format": "channels_first"}, (16, 4, 4), (2, 3)),
    ("SpatialDropout3D", {"rate": 0.5}, (4, 4, 2, 16), (1, 2, 3)),
    ("SpatialDropout3D", {"rate": 0.5, "data_format": "channels_first"}, (16, 4, 4, 2), (2, 3, 4)),
    ("AlphaDropout", {"rate": 0.5, "noise_shape": [None, 1, None]}, (8, 16), (1,)),
], ids=label)  # fmt: skip
def test_noise_structure(name, options, sizes, shared):
    """Along the shared axes one draw decides, along the others each place has its own; in Keras the same."""
    keras.utils.set_random_seed(0)  # seeds Python's random too, from which ours takes its keys
    x = jnp.ones((8, *sizes))
    for layer in (ours_of(name, options), theirs_of(name, options)):
        y = np.asarray(layer(x, training=True))
        assert np.all(np.ptp(y, axis=shared) == 0)
        for axis in set(range(y.ndim)) - set(shared):
            assert np.any(np.ptp(y, axis=axis) > 0)


def test_noise_at_its_ends_and_seeds():
    x = jnp.ones((64, 64))
    assert not np.any(ours_of("Dropout", {"rate": 1.0})(x, training=True))
    assert not np.any(theirs_of("Dropout", {"rate": 1.0})(x, training=True))
    np.testing.assert_array_equal(ours_of("Dropout", {"rate": 0})(x, training=True), x)
    with pytest.raises(UsageError):
        ours_of("AlphaDropout", {"rate": 1.0})(x, training=True)  # Keras: division by zero
    key = jax.random.key(5)
    layers = [ours_of("Dropout", {"rate": 0.5, "seed": seed}) for seed in (None, 1, 1, -3, 2**33 + 5)]
    runs = [run_ours(layer, {}, x, True, None, key)[0] for layer in layers]
    np.testing.assert_array_equal(runs[1], runs[2])
    assert all(np.any(runs[i] != runs[j]) for i, j in ((0, 1), (1, 3), (3, 4)))
    with pytest.raises(UsageError, match="noise_shape"):
        run_ours(ours_of("Dropout", {"rate": 0.5, "noise_shape": (3, 64)}), {}, x, True)
    for bad in ("ab", 3, (0, 1), (1.5, 1)):
        with pytest.raises(UsageError):
            ours_of("Dropout", {"rate": 0.5, "noise_shape": bad})


def test_words_are_as_random_as_threefry():
    """Frequencies of bits, bytes and pairs; correlations at lags, between keys; the spectrum: within five errors."""
    side, n, many = 256, 256 * 256, 12
    keys = [jax.random.fold_in(jax.random.key(3), i) for i in range(many)]
    drawn = np.stack([np.asarray(jax.jit(words, static_argnums=1)(key, (side, side))) for key in keys])
    bits = np.stack([(drawn >> np.uint32(i)) & 1 for i in range(32)])
    assert np.abs((bits.mean((1, 2, 3)) - 0.5) * 2 * np.sqrt(n * many)).max() < 5
    counts = np.bincount((drawn >> np.uint32(16)).ravel(), minlength=2**16)
    spread = ((counts - counts.mean()) ** 2 / counts.mean()).sum() / (2**16 - 1)
    assert abs(spread - 1) < 5 * np.sqrt(2 / 2**16)
    hits = (drawn.reshape(many, -1) < 0.8 * 2**32) / 0.4 - 2.0
    for lag in (1, 2, 3, 4, 8, 16, 255, 256, 257, 4096):
        assert np.abs((hits[:, :-lag] * hits[:, lag:]).mean(1)).max() * np.sqrt(n) < 5
        assert np.abs((hits[:-1, :-lag] * hits[1:, lag:]).mean(1)).max() * np.sqrt(n) < 5
    between = (hits @ hits.T / np.sqrt(n))[np.triu_indices(many, 1)]
    assert np.abs(between).max() < 5
    # the largest singular value of a random matrix is 2 √side (Bai & Yin, 1988); structure would show as more
    assert np.linalg.norm(hits[0].reshape(side, side), 2) / np.sqrt(side) < 2.15
    _, probability = kept(keys[0], (4,), 0.2)
    assert abs(probability - 0.8) < 2**-32


# ---- adapt -----------------------------------------------------------------------------------------


class Batches:
    """What has a length and items, and is no iterator."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


@pytest.mark.parametrize("axis", [-1, None, 1, (1, 2), (0,)], ids=label)
def test_adapt(axis):
    x = np.random.default_rng(0).normal(5, 3, (12, 4, 3)).astype("float32")
    ours, theirs = ours_of("Normalization", {"axis": axis}), theirs_of("Normalization", {"axis": axis})
    ours.adapt(x), theirs.adapt(x)
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5)  # ours sums in float64
    np.testing.assert_allclose(ours(jnp.asarray(x)), theirs(x), **CLOSE)
    np.testing.assert_allclose(ours.mean, np.asarray(theirs.mean), rtol=1e-5)
    assert ours.variance.shape == tuple(theirs.variance.shape)


def test_adapt_to_batches_and_large_arrays(monkeypatch):
    x = np.random.default_rng(0).normal(5, 3, (100, 3)).astype("float32")
    whole = ours_of("Normalization", {})
    whole.adapt(x)
    pieces = [x[:30], x[30:90], x[90:]]
    for data in (pieces, iter(pieces), [(p, None) for p in pieces], (jnp.asarray(p) for p in pieces), Batches(*pieces)):
        layer = ours_of("Normalization", {})
        layer.adapt(np.zeros((4, 3)))  # forgotten by the next adapt
        layer.adapt(data)
        np.testing.assert_allclose(layer.get_weights()[0], whole.get_weights()[0], rtol=2 * EPS)
        np.testing.assert_allclose(layer.get_weights()[1], whole.get_weights()[1], rtol=2 * EPS)
    monkeypatch.setattr(adapt, "ROWS", 16)
    layer = ours_of("Normalization", {})
    layer.adapt(x)
    np.testing.assert_allclose(layer.get_weights()[1], np.var(x.astype("float64"), axis=0), rtol=2 * EPS)
    layer.adapt(np.arange(300).reshape(100, 3))
    np.testing.assert_allclose(layer.get_weights()[0], [148.5, 149.5, 150.5])


def test_adapt_of_one_column():
    """TensorFlow's regression tutorial: a layer with axis=None, adapted to (n,), in front of (n, 1)."""
    ours = ours_of("Normalization", {"axis": None, "input_shape": [1]})
    ours.adapt(np.array([1.0, 3.0]))
    np.testing.assert_allclose(ours(jnp.asarray([[5.0], [2.0]])), [[3.0], [0.0]])
    assert [w.shape for w in ours.weights] == [(), (), ()]


def test_adapt_refuses():
    layer = ours_of("Normalization", {})
    for data in ([], "text", 3, [[1.0, 2.0]]):
        with pytest.raises((DataError, UsageError)):
            layer.adapt(data)
    layer.adapt(np.ones((4, 3)))
    for data in (np.ones((4, 2)), [np.ones((4, 3)), np.ones((4, 2))]):
        with pytest.raises(DataError, match="other data"):
            layer.adapt(data)
    with pytest.raises(UsageError):
        ours_of("Normalization", {"mean": 1.0, "variance": 1.0}).adapt(np.ones((4, 3)))


def test_rescaling_channels_first():
    settings.set_image_data_format("channels_first")
    keras.config.set_image_data_format("channels_first")
    try:
        x = jnp.asarray(draw("real", (2, 3, 4, 4)))
        ours, theirs = both("Rescaling", {"scale": [1.0, 2.0, 3.0]})
        np.testing.assert_allclose(ours(x), theirs(x), **CLOSE)
    finally:
        settings.set_image_data_format("channels_last")
        keras.config.set_image_data_format("channels_last")


def test_pixels_in_half_precision():
    """A byte of 201 is scaled in float32, then rounded once."""
    x = jnp.arange(256, dtype=jnp.uint8)[None]
    y = ours_of("Rescaling", {"scale": 1 / 127.5, "offset": -1, "dtype": "mixed_bfloat16"})(x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, (x.astype("float32") * np.float32(1 / 127.5) - 1).astype(jnp.bfloat16))


# ---- what cannot work -----------------------------------------------------------------------------


@pytest.mark.parametrize("name, options, sizes", [
    ("ReLU", {"max_value": -1.0}, None), ("ReLU", {"negative_slope": -1.0}, None), ("ReLU", {"threshold": None}, None),
    ("LeakyReLU", {"alpha": -0.1}, None), ("Reshape", {"target_shape": (-1, -1)}, None),
    ("Reshape", {"target_shape": (-2,)}, None), ("Reshape", {"target_shape": (5,)}, (3, 4)),
    ("Reshape", {"target_shape": (5, -1)}, (3, 4)), ("Permute", {"dims": (1, 3)}, None),
    ("Permute", {"dims": (0, 1)}, None),
    ("Permute", {"dims": (1, 2)}, (3,)), ("RepeatVector", {"n": 0}, None), ("RepeatVector", {"n": 2}, (3, 4)),
    ("Dropout", {"rate": 1.5}, None), ("GaussianNoise", {"stddev": 2.0}, None),
    ("SpatialDropout1D", {"rate": 0.1}, (3,)),
    (BN, {"axis": 3}, (4,)), (BN, {"renorm": True, "renorm_clipping": {"max": 1}}, None),
    (BN, {"renorm": True, "renorm_clipping": {"rmin": 2.0, "rmax": 1.0}}, None),
    (BN, {"renorm": True, "renorm_clipping": {"dmax": -1.0}}, None), (LN, {"axis": "last"}, None),
    (LN, {"axis": 2}, (4,)),
    ("Embedding", {"input_dim": 0, "output_dim": 1}, None), ("Embedding", {"input_dim": 3.0, "output_dim": 1}, None),
    ("Normalization", {"mean": 1.0}, None), ("Normalization", {"mean": [1.0, 2.0], "variance": [1.0]}, None),
    ("Normalization", {"mean": [[1.0]], "variance": [[1.0]]}, None), ("Normalization", {"axis": 2}, (4,)),
], ids=label)  # fmt: skip
def test_refused_here_and_in_keras(name, options, sizes):
    with pytest.raises(UsageError):
        ours = ours_of(name, options)
        if sizes is not None:
            ours.build((None, *sizes))
            ours.compute_output_shape((None, *sizes))
    with pytest.raises((ValueError, TypeError, IndexError)):
        theirs = theirs_of(name, options)
        if sizes is not None:
            theirs(np.zeros((2, *sizes)))


def test_reshape_names_both_shapes():
    with pytest.raises(UsageError, match=r"(?s)\(3, 4\).*\(5,\)"):
        ours_of("Reshape", {"target_shape": (5,)})(jnp.zeros((2, 3, 4)))


# ---- layers of core.py whose config is their own --------------------------------------------------------


def twice(x, by=2):
    return by * x


def every(x, mask):
    return mask


def test_lambda():
    for function in (twice, every):
        registry.register_keras_serializable("p")(function)
        keras.saving.register_keras_serializable("p")(function)
    relu = registry.find("activation", "relu")
    for ours, theirs in (
        (core.Lambda(twice, name="f"), keras.layers.Lambda(twice, name="f")),
        (core.Lambda(relu, name="f"), keras.layers.Lambda(keras.activations.relu, name="f")),
        [module.Lambda(twice, (3,), every, {"by": 3}, name="f") for module in (core, keras.layers)],
    ):
        assert as_json(ours.get_config()) == as_json(theirs.get_config())
        assert ours.supports_masking == theirs.supports_masking
        again = core.Lambda.from_config(as_json(ours.get_config()))
        assert again.get_config() == ours.get_config() and again.function is ours.function
        np.testing.assert_array_equal(again(jnp.ones((1, 3))), theirs(jnp.ones((1, 3))))
    assert repr(core.Lambda(twice, arguments={"by": 3})) == "Lambda(twice, arguments={'by': 3})"
    theirs = keras.layers.Lambda(lambda x: x).get_config()
    with pytest.raises(UsageError, match="never run"):
        core.Lambda.from_config(theirs)
    with pytest.raises(UsageError):
        core.Lambda.from_config(core.Lambda(lambda x: x).get_config())


def test_penalty_of_activity_regularization():
    x = jnp.asarray(draw("real", (BATCH, 3)))
    ours, theirs = both("ActivityRegularization", {"l1": 0.1, "l2": 0.2})
    theirs(x)
    moved = run_ours(ours, {}, x)[1]
    np.testing.assert_allclose(moved[PENALTY], theirs.losses[0], rtol=1e-6)


def test_input_layer_config():
    for options in ({"shape": (3,)}, {"batch_shape": (2, 3), "dtype": "int32"}, {"shape": (None, 4), "batch_size": 5}):
        ours, theirs = both("InputLayer", {**options, "name": "i"})
        assert as_json(ours.get_config()) == as_json(theirs.get_config())
        assert type(ours).from_config(as_json(ours.get_config())).get_config() == ours.get_config()


def test_ids_stay_whole_on_their_way():
    """Under half precision a Reshape in front of an Embedding must not round ids (Keras keeps integers too)."""
    ids = jnp.asarray([[257, 1001, 4097]], jnp.int32)
    ways = {"Flatten": {}, "Identity": {}, "Reshape": {"target_shape": (3, 1)}, "Permute": {"dims": (1,)}}
    for name, options in {**ways, "RepeatVector": {"n": 2}}.items():
        ours, theirs = both(name, {**options, "dtype": "mixed_bfloat16"})
        assert ours(ids).dtype == theirs(ids).dtype == jnp.int32
        assert ours(ids.astype("float32")).dtype == theirs(ids.astype("float32")).dtype == jnp.bfloat16
