"""Cropping, padding, repeating, adaptive pooling, norms and products by letters beside Keras 3.15.1."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from seriatim.layers.contract import Call
from seriatim.layers.einsum import EinsumDense

from .beside import CLOSE, both_refuse, compare, ours, pair, plain, same_places, same_shapes, same_words, theirs

RANKS = (1, 2, 3)
RESIZES = [f"{verb}{n}D" for verb in ("Cropping", "ZeroPadding", "UpSampling") for n in RANKS]
ADAPTIVE = [f"Adaptive{kind}Pooling{n}D" for kind in ("Average", "Max") for n in RANKS]
NORMS = ["GroupNormalization", "RMSNormalization", "UnitNormalization", "SpectralNormalization"]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def draw_shape(rng, rank, data_format, least=5, most=10):
    space = tuple(int(n) for n in rng.integers(least, most, rank))
    return (2, *space, 3) if data_format == "channels_last" else (2, 3, *space)


def draw_edges(rng, rank):
    """A whole number, one for each axis, or a pair for each axis."""
    kind = rng.integers(3)
    if kind == 0:
        return int(rng.integers(0, 3))
    if rank == 1:
        return tuple(int(n) for n in rng.integers(0, 3, 2))
    if kind == 1:
        return tuple(int(n) for n in rng.integers(0, 3, rank))
    return tuple(tuple(int(n) for n in rng.integers(0, 3, 2)) for _ in range(rank))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", RESIZES)
def test_space_smaller_and_larger(name, seed):
    rng, rank = np.random.default_rng((seed, len(name))), int(name[-2])
    data_format = str(rng.choice(["channels_last", "channels_first"]))
    kind = {"C": "cropping", "Z": "padding", "U": "size"}[name[0]]
    size = tuple(int(n) for n in rng.integers(1, 4, rank)) if rank > 1 else int(rng.integers(1, 4))
    arguments = {kind: size if kind == "size" else draw_edges(rng, rank)}
    if rank > 1 or kind == "padding":
        arguments["data_format"] = data_format
    shape = draw_shape(rng, rank, arguments.get("data_format", "channels_last"))
    mine, real = pair(name, arguments, shape)
    compare(mine, real, numbers(*shape))
    same_shapes(name, arguments, (None, *shape[1:]))
    same_words(name, arguments)
    whole = np.arange(np.prod(shape)).reshape(shape).astype("int32")
    np.testing.assert_array_equal(mine(whole), real(whole))
    assert mine(whole).dtype == jnp.int32


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "BILINEAR"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_between_the_cells(interpolation, data_format):
    arguments = {"size": (2, 3), "interpolation": interpolation, "data_format": data_format}
    shape = draw_shape(np.random.default_rng(0), 2, data_format)
    mine, real = pair("UpSampling2D", arguments, shape)
    compare(mine, real, numbers(*shape))
    same_words("UpSampling2D", arguments)
    whole = np.arange(np.prod(shape)).reshape(shape).astype("int32")
    np.testing.assert_array_equal(mine(whole), real(whole))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_pooling(name, seed):
    """Few windows, many, as many as cells, more than cells; values that tie, as after a relu."""
    rng, rank = np.random.default_rng((seed, len(name))), int(name[-2])
    data_format = str(rng.choice(["channels_last", "channels_first"]))
    arguments = {"output_size": tuple(int(n) for n in rng.integers(1, 11, rank)), "data_format": data_format}
    if seed == 0:
        arguments["output_size"] = 4
    shape = draw_shape(rng, rank, data_format, 3, 9)
    mine, real = pair(name, arguments, shape)
    compare(mine, real, rng.integers(-2, 4, shape).clip(0).astype("float32"))
    same_shapes(name, arguments, (None, *shape[1:]))
    same_words(name, arguments)


@pytest.mark.parametrize("kind", ["Average", "Max"])
def test_adaptive_pooling_of_long_windows(kind):
    mine, real = pair(f"Adaptive{kind}Pooling1D", {"output_size": 2}, (2, 301, 3))
    compare(mine, real, numbers(2, 301, 3))


@pytest.mark.parametrize("name, arguments, shape", [
    ("GroupNormalization", {"groups": 2}, (3, 4)),
    ("GroupNormalization", {"groups": 3, "epsilon": 0.1, "scale": False}, (2, 5, 4, 6)),
    ("GroupNormalization", {"groups": -1, "axis": 1}, (2, 4, 3, 3)),
    ("GroupNormalization", {"groups": 1, "center": False, "axis": -2}, (2, 5, 4, 3)),
    ("RMSNormalization", {}, (3, 4)), ("RMSNormalization", {"axis": (1, 2), "epsilon": 0.1}, (3, 4, 5)),
    ("RMSNormalization", {"axis": [-1]}, (3, 4, 5)),
    ("UnitNormalization", {}, (3, 4)), ("UnitNormalization", {"axis": [1, 2]}, (3, 4, 5)),
    ("UnitNormalization", {"axis": 1}, (3, 4, 5)),
    ("EinsumDense", {"equation": "ab,bc->ac", "output_shape": 7, "bias_axes": "c"}, (3, 4)),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 6), "activation": "relu"}, (2, 5, 4)),
    ("EinsumDense", {"equation": "...x,xy->...y", "output_shape": 6, "bias_axes": "y"}, (2, 5, 3, 4)),
    ("EinsumDense", {"equation": "abcd,cde->abe", "output_shape": (5, 6), "bias_axes": "be"}, (2, 5, 3, 4)),
    ("EinsumDense", {"equation": "abc,cde->abde", "output_shape": (None, 6, 2), "bias_axes": "e"}, (2, 5, 4)),
    ("EinsumDense", {"equation": "...ab,bcd->...adc", "output_shape": (5, 2, 3), "bias_axes": "d"}, (2, 4, 5, 4)),
    ("EinsumDense", {"equation": "ab...,bc->ac...", "output_shape": 6, "bias_axes": "c"}, (2, 5, 3, 4)),
    ("EinsumDense", {"equation": "abc,ac->ab", "output_shape": (5,)}, (2, 5, 4)),
])  # fmt: skip
def test_norms_and_letters(name, arguments, shape):
    mine, real = pair(name, arguments, shape)
    compare(mine, real, numbers(*shape) + 0.3)
    assert plain(mine.get_config() | {"name": ""}) == plain(real.get_config() | {"name": ""})
    same_words(name, arguments)
    if name != "EinsumDense":  # there Keras repeats the None of output_shape, and turns round what "..." stands for
        same_shapes(name, arguments, (None, *shape[1:]))


def test_norms_in_half_precision():
    """float16 has 11 bits, bfloat16 8: both compute in float32 and round once at the end, Keras its weights before."""
    for name, arguments in (("GroupNormalization", {"groups": 2}), ("RMSNormalization", {})):
        for dtype, eps in (("mixed_float16", 2**-10), ("mixed_bfloat16", 2**-7)):
            mine, real = pair(name, {**arguments, "dtype": dtype}, (3, 4))
            x = numbers(3, 4)
            got, want = (np.asarray(layer(x)).astype("float32") for layer in (mine, real))
            np.testing.assert_allclose(got, want, rtol=4 * eps, atol=4 * eps)
            assert mine(x).dtype == real(x).dtype


def test_unit_of_nothing_is_nothing():
    x = jnp.zeros((2, 3)).at[0, 0].set(2.0)
    layer = ours("UnitNormalization")
    np.testing.assert_array_equal(layer(x), theirs("UnitNormalization")(x))
    assert bool(jnp.isfinite(jax.grad(lambda x: layer.forward({}, x, Call())[0].sum())(x)).all())


@pytest.mark.parametrize("equation, output_shape, shape", [("abc,cde->abde", (None, 8, 2), (2, 5, 40)),
                                                           ("abcd,cde->abe", (None, 30), (2, 5, 10, 4))])  # fmt: skip
def test_fans_follow_the_letters(equation, output_shape, shape):
    """The glorot bound √(6 / (in + out)) with the sizes of the letters that vanish and of those that stay."""
    mine, real = EinsumDense(equation, output_shape), keras.layers.EinsumDense(equation, output_shape)
    mine.build(shape)
    real.build(shape)
    largest, bound = (float(np.abs(np.asarray(layer.kernel)).max()) for layer in (mine, real))
    assert abs(largest / bound - 1) < 0.1


# ---- around a layer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("inner, arguments, shape, steps", [
    ("Dense", {"units": 3}, (4, 5), 1), ("Conv2D", {"filters": 3, "kernel_size": 2}, (2, 4, 4, 2), 3),
    ("Embedding", {"input_dim": 6, "output_dim": 3}, (2, 4), 2),
])  # fmt: skip
def test_spectral_normalisation(inner, arguments, shape, steps):
    """At rest and in training: output, gradients, and where vector_u moves; also for a kernel of zeros."""
    mine = ours("SpectralNormalization", layer=ours(inner, **arguments), power_iterations=steps)
    real = theirs("SpectralNormalization", layer=theirs(inner, **arguments), power_iterations=steps)
    mine.build(shape)
    real.build(shape)
    assert [v.key for v in mine.weights] == [v.name for v in real.weights]
    values = [numbers(*v.shape, seed=i) for i, v in enumerate(real.weights)]
    x = np.arange(8).reshape(2, 4) % 6 if inner == "Embedding" else numbers(*shape)
    for values in (values, [np.zeros_like(v) if i == 0 else v for i, v in enumerate(values)]):
        mine.set_weights(values)
        real.set_weights(values)
        names = [f"layer/{v.key}" for v in mine.trainable_variables]

        for training in (False, True):

            def my_run(arrays, training=training, names=names):
                w = mine.arrays | dict(zip(names, arrays, strict=True))
                y, moved = mine.apply(w, jnp.asarray(x), Call(training=training))
                return (y**2).sum(), (y, moved.get("vector_u", w["vector_u"]))

            def real_run(arrays, training=training):
                y, moved = real.stateless_call(arrays, [real.vector_u.value], x, training=training)
                return (y**2).astype("float32").sum(), (y, moved[0])

            arrays = [jnp.asarray(v.value) for v in real.trainable_variables]
            if inner == "Embedding":  # there Keras casts the rows to the type of the ids
                (_, (y, moved)), (_, (rows, moved_real)) = my_run(arrays), real_run(arrays)
                np.testing.assert_array_equal(np.asarray(y).astype("int32"), rows)
                np.testing.assert_allclose(moved, moved_real, **CLOSE)
                continue
            got = jax.value_and_grad(my_run, has_aux=True)(arrays)
            want = jax.value_and_grad(real_run, has_aux=True)(arrays)
            for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)  # σ is a sum of sums


def test_spectral_normalisation_in_words():
    options = {"power_iterations": 2, "name": "same"}
    mine = ours("SpectralNormalization", layer=ours("Dense", units=2, name="inner"), **options)
    real = theirs("SpectralNormalization", layer=theirs("Dense", units=2, name="inner"), **options)
    assert plain(mine.get_config()) == plain(real.get_config())
    mine.build((None, 3))
    real.build((None, 3))
    assert plain(mine.get_config()) == plain(real.get_config())
    assert plain(type(mine).from_config(plain(real.get_config())).get_config()) == plain(real.get_config())
    both_refuse("SpectralNormalization", {"layer": ours("ReLU")}, (None, 3), "kernel or embeddings")


# ---- back and forth -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [
    {}, {"tie_weights": False}, {"logit_soft_cap": 2.0, "mask_zero": True}, {"reverse_dtype": "float16"},
])  # fmt: skip
def test_embedding_and_back(arguments):
    arguments = {"input_dim": 7, "output_dim": 3, **arguments}
    mine, real = pair("ReversibleEmbedding", arguments, (2, 4))
    ids, h = np.arange(8).reshape(2, 4) % 7, numbers(2, 4, 3)
    np.testing.assert_array_equal(mine(ids), real(ids))
    back, want = mine(h, reverse=True), real(h, reverse=True)
    assert back.dtype == want.dtype
    np.testing.assert_allclose(back, want, rtol=1e-2 if "reverse_dtype" in arguments else 1e-5, atol=1e-3)
    same_words("ReversibleEmbedding", arguments)
    marked = keras.layers.ReversibleEmbedding(7, 3, mask_zero=True)(ids)._keras_mask if mine.mask_zero else None
    if marked is not None:
        np.testing.assert_array_equal(mine.compute_mask(jnp.asarray(ids)), marked)


# ---- words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*RESIZES, *ADAPTIVE, *NORMS, "EinsumDense", "ReversibleEmbedding"])
def test_arguments_in_the_same_places(name):
    same_places(name)


@pytest.mark.parametrize("name, arguments, shape", [
    ("Cropping1D", {}, (None, None, 3)), ("Cropping2D", {"cropping": 2}, (None, None, 9, 3)),
    ("ZeroPadding3D", {"padding": 2}, (None, None, 4, None, 3)),
    ("UpSampling2D", {"data_format": "channels_first", "interpolation": "bilinear"}, (None, 3, None, 4)),
    ("AdaptiveMaxPooling2D", {"output_size": (2, 3)}, (None, None, None, 3)),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 6)}, (None, None, 4)),
])  # fmt: skip
def test_open_axes(name, arguments, shape):
    same_shapes(name, arguments, shape)


@pytest.mark.parametrize("name, arguments, shape, word", [
    ("Cropping1D", {"cropping": (3, 5)}, (None, 8, 1), "at least 9 cells"),
    ("Cropping2D", {"cropping": (0, 4), "data_format": "channels_first"}, (None, 3, 8, 8), "axis 3"),
    ("Cropping2D", {"cropping": -1}, None, "0 or more"), ("Cropping3D", {"cropping": (1, 2)}, None, "cropping"),
    ("ZeroPadding2D", {"padding": (1, 2, 3)}, None, "padding"),
    ("ZeroPadding1D", {"padding": (1, -2)}, None, "padding"),
    ("UpSampling1D", {"size": 0}, None, "positive"), ("UpSampling2D", {"size": 1.5}, None, "size"),
    ("UpSampling2D", {"interpolation": "area"}, (2, 4, 4, 1), "bilinear"),
    ("AdaptiveMaxPooling2D", {"output_size": (1, 2, 3)}, None, "output_size"),
    ("GroupNormalization", {"groups": 0}, None, "-1"), ("GroupNormalization", {"groups": 3}, (None, 4), "divide 4"),
    ("GroupNormalization", {"groups": 2}, (None, None), "needs to know"),
    ("UnitNormalization", {"axis": "last"}, None, "axis"), ("UnitNormalization", {"axis": 3}, (2, 3), "no axis 3"),
    ("EinsumDense", {"equation": "ab,cd", "output_shape": 3}, (2, 3), "ab,bc->ac"),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (4, 6)}, (2, 5, 3), "two sizes"),
    ("EinsumDense", {"equation": "ab,bc->ac", "output_shape": 4, "bias_axes": "b"}, (2, 5), "letters of the output"),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 4)}, (None, 5, None), "must be known"),
    ("EinsumDense", {"equation": "ab,bcd->ac", "output_shape": 4}, (2, 5), "must be known"),
])  # fmt: skip
def test_refusals(name, arguments, shape, word):
    both_refuse(name, arguments, shape, word)
