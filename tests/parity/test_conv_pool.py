"""Convolution and pooling beside Keras 3.15.1: outputs, gradients, shapes, configs, ties, masks, refusals."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seriatim.base import registry
from seriatim.math import windows

from .beside import CLOSE, QUICK, both_refuse, compare, ours, pair, same_name, same_places, same_words, theirs

RANKS = (1, 2, 3)
CONVS = {1: "Conv1D", 2: "Conv2D", 3: "Conv3D"}
EXTENT = {1: (7, 14), 2: (5, 10), 3: (4, 7)}  # sizes of spatial axes, odd ones too
ALIASES = {
    **{f"Convolution{n}D": f"Conv{n}D" for n in RANKS},
    **{f"MaxPool{n}D": f"MaxPooling{n}D" for n in RANKS},
    **{f"AvgPool{n}D": f"AveragePooling{n}D" for n in RANKS},
    **{f"GlobalMaxPool{n}D": f"GlobalMaxPooling{n}D" for n in RANKS},
    **{f"GlobalAvgPool{n}D": f"GlobalAveragePooling{n}D" for n in RANKS},
}


def draw_shape(rng, rank, data_format, channels):
    space = tuple(int(n) for n in rng.integers(*EXTENT[rank], rank))
    return (2, *space, channels) if data_format == "channels_last" else (2, channels, *space)


def draw_conv(rank, seed):
    """A random convolution, (arguments, shape of the input); one stride or dilation, or neither."""
    rng = np.random.default_rng((rank, seed))
    groups = int(rng.choice([1, 1, 2, 3]))
    kernel = tuple(int(k) for k in rng.integers(1, 4, rank))
    data_format = str(rng.choice(["channels_last", "channels_first"]))
    arguments = {
        "filters": groups * int(rng.integers(1, 4)), "kernel_size": kernel, "groups": groups,
        "padding": str(rng.choice(["valid", "same", "causal"] if rank == 1 else ["valid", "same"])),
        "data_format": data_format, "use_bias": bool(rng.integers(4)),
        "activation": str(rng.choice(["linear", "tanh", "relu"])),
    }  # fmt: skip
    kind = rng.choice(["plain", "strides", "dilation_rate"])
    if kind != "plain":
        arguments[str(kind)] = tuple(int(n) for n in rng.integers(1, 4 if kind == "strides" else 3, rank))
    if seed == 0:  # the path of 1 x 1 kernels, on every run
        arguments |= {"kernel_size": (1,) * rank, "strides": 2, "groups": 1, "data_format": "channels_last"}
        arguments.pop("dilation_rate", None)
        data_format = "channels_last"
    return arguments, draw_shape(rng, rank, data_format, groups * int(rng.integers(1, 4)))


def draw_pool(rank, seed):
    rng = np.random.default_rng((rank, seed, 7))
    size = tuple(int(n) for n in rng.integers(1, 4, rank))
    arguments = {"pool_size": size, "padding": str(rng.choice(["valid", "same"]))}
    arguments["data_format"] = str(rng.choice(["channels_last", "channels_first"]))
    if seed % 2:
        arguments["strides"] = tuple(int(n) for n in rng.integers(1, 4, rank))
    return arguments, draw_shape(rng, rank, arguments["data_format"], 3)


# ---- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rank", RANKS)
def test_convolution(rank, seed):
    arguments, shape = draw_conv(rank, seed)
    mine, real = pair(CONVS[rank], arguments, shape)
    compare(mine, real, np.random.default_rng(seed).normal(size=shape).astype("float32"))
    assert mine.compute_output_shape((None, *shape[1:])) == real.compute_output_shape((None, *shape[1:]))


@pytest.mark.parametrize("kind", ["MaxPooling", "AveragePooling"])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rank", RANKS)
def test_pooling(rank, seed, kind):
    arguments, shape = draw_pool(rank, seed)
    mine, real = pair(f"{kind}{rank}D", arguments, shape)
    x = np.random.default_rng(seed).integers(-2, 3, shape).clip(0).astype("float32")  # after a relu: ties everywhere
    compare(mine, real, x)
    assert mine.compute_output_shape((None, *shape[1:])) == real.compute_output_shape((None, *shape[1:]))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("kind", ["GlobalMaxPooling", "GlobalAveragePooling"])
def test_global_pooling(kind, rank, data_format, keepdims):
    shape = draw_shape(np.random.default_rng(rank), rank, data_format, 3)
    mine, real = pair(f"{kind}{rank}D", {"data_format": data_format, "keepdims": keepdims}, shape)
    compare(mine, real, np.random.default_rng(3).integers(0, 3, shape).astype("float32"))
    assert mine.compute_output_shape((None, *shape[1:])) == real.compute_output_shape((None, *shape[1:]))


@pytest.mark.parametrize("name, arguments, shape", [
    ("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal", "strides": 2}, (None, None, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": (3, 2), "strides": (2, 1)}, (None, None, 9, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "data_format": "channels_first"}, (2, 3, None, None)),
    ("Conv3D", {"filters": 4, "kernel_size": 2, "dilation_rate": 2}, (None, 9, None, 7, 2)),
    ("MaxPooling1D", {"pool_size": 3, "strides": 2, "padding": "same"}, (None, None, 3)),
    ("MaxPooling2D", {}, (None, None, 7, 3)),
    ("AveragePooling3D", {"pool_size": 2}, (None, None, 7, None, 3)),
    ("GlobalMaxPooling2D", {}, (None, None, None, 3)),
    ("GlobalAveragePooling1D", {"keepdims": True}, (None, None, 3)),
])  # fmt: skip
def test_open_axes(name, arguments, shape):
    real = theirs(name, **arguments).compute_output_shape(shape)
    assert ours(name, **arguments).compute_output_shape(shape) == tuple(real)


@pytest.mark.parametrize("sizes, strides, padding", [
    ((2, 2), (2, 2), "valid"), ((3, 2), (3, 2), "same"), ((3, 3), (2, 2), "same"), ((3, 2), (1, 1), "valid"),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["zeros", "relu", "infinite", "nan"])
def test_first_of_equals_takes_the_gradient(sizes, strides, padding, kind):
    """The very cells that XLA's reduce_window chooses, row by row; whole numbers make every sum exact."""
    rng = np.random.default_rng(5)
    x = rng.integers(-3, 3, (3, 8, 7, 4)).clip(0).astype("float32") * (kind != "zeros")
    if kind == "infinite":
        x[rng.random(x.shape) < 0.3] = np.inf
        x[rng.random(x.shape) < 0.3] = -np.inf
    if kind == "nan":
        x[rng.random(x.shape) < 0.1] = np.nan

    def xla(x):
        return jax.lax.reduce_window(
            x, -jnp.inf, jax.lax.max, (1, *sizes, 1), (1, *strides, 1), padding.upper()
        )  # fmt: skip

    def mine(x):
        return windows.max_pool(x, sizes, strides, padding)

    up = rng.integers(-4, 5, jax.eval_shape(mine, x).shape).astype("float32")

    def both(x, up):
        return [(y, turn(up)[0]) for y, turn in (jax.vjp(mine, x), jax.vjp(xla, x))]

    (got, slope), (want, slope_want) = jax.jit(both, compiler_options=QUICK)(x, up)
    np.testing.assert_array_equal(got, want)
    if kind != "nan" or sizes == strides:  # by axes in turn, a NaN sends the gradient elsewhere in its window
        np.testing.assert_array_equal(slope, slope_want)


@pytest.mark.parametrize("size, stride", [(80, 80), (70, 3)])
@pytest.mark.parametrize("kind", ["MaxPooling1D", "AveragePooling1D"])
def test_windows_too_large_to_unroll(kind, size, stride):
    shape = (2, 165, 2)
    mine, real = pair(kind, {"pool_size": size, "strides": stride, "padding": "same"}, shape)
    compare(mine, real, np.random.default_rng(0).integers(0, 9, shape).astype("float32"))


def test_mask_of_global_average():
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    for data_format in ("channels_last", "channels_first"):
        arguments = {"data_format": data_format, "keepdims": True}
        layer = ours("GlobalAveragePooling1D", **arguments)
        inputs = x if data_format == "channels_last" else x.swapaxes(1, 2)
        want = theirs("GlobalAveragePooling1D", **arguments)(inputs, mask=mask)
        np.testing.assert_allclose(layer(inputs, mask=mask), want, **CLOSE)
        assert layer.compute_mask(inputs, mask) is None


# ---- transforms and dtypes -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(dtype):
    with jax.enable_x64(dtype == "float64"):
        rng = np.random.default_rng(0)
        x, kernel = jnp.asarray(rng.normal(size=(2, 7, 7, 2)), dtype), jnp.asarray(rng.normal(size=(3, 3, 2, 4)), dtype)

        def chain(x, kernel):
            y = windows.max_pool(windows.conv(x, kernel, (1, 1), "same"), (2, 2), (2, 2))
            return windows.average_pool(windows.max_pool(y, (2, 2), (1, 1), "same"), (2, 2), (2, 2), "same").sum()

        value, (dx, dk) = jax.jit(jax.value_and_grad(chain, (0, 1)))(x, kernel)
        assert value.dtype == dx.dtype == dk.dtype == jnp.dtype(dtype)
        assert all(bool(jnp.isfinite(a).all()) for a in (value, dx, dk))
        counts = windows.average_pool(jnp.ones((1, 5, 5, 1), dtype), (2, 2), (2, 2), "same")
        assert counts.dtype == jnp.dtype(dtype) and bool((counts == 1).all())


def test_vmap_is_a_loop_and_tangents_agree_with_gradients():
    x = np.random.default_rng(0).integers(0, 4, (3, 2, 6, 7, 2)).astype("float32")
    dx = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    for sizes, strides in (((2, 2), (2, 2)), ((3, 2), (2, 1))):

        def pool(x, sizes=sizes, strides=strides):
            return windows.max_pool(x, sizes, strides, "same")

        def loop(x, pool=pool):
            return jnp.stack([pool(part) for part in x])

        each, tangent = jax.jit(lambda x, dx, loop=loop: jax.jvp(loop, (x,), (dx,)))(x, dx)
        np.testing.assert_array_equal(jax.jit(jax.vmap(pool))(x), each)
        gradient = jax.jit(jax.grad(lambda x, pool=pool: jnp.vdot(jax.vmap(pool)(x), tangent)))(x)
        # <J dx, J dx> = <dx, Jᵀ J dx>: about 300 terms
        np.testing.assert_allclose(jnp.vdot(tangent, tangent), jnp.vdot(dx, gradient), rtol=1e-5)


@pytest.mark.parametrize("name, arguments", [
    ("MaxPooling2D", {"pool_size": (2, 3), "padding": "same"}), ("AveragePooling2D", {"pool_size": (2, 3)}),
    ("MaxPooling2D", {"pool_size": 3, "strides": 1}), ("GlobalMaxPooling2D", {}), ("GlobalAveragePooling2D", {}),
])  # fmt: skip
def test_whole_numbers(name, arguments):
    x = np.arange(-20, 20).reshape(1, 5, 8, 1).astype("int32")
    got, want = ours(name, **arguments)(x), theirs(name, **arguments)(x)
    np.testing.assert_allclose(got, want, **CLOSE)
    assert str(got.dtype) == str(want.dtype)


# ---- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, arguments", [
    ("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "CAUSAL"}),
    ("Conv2D", {"filters": 4, "kernel_size": (3, 5), "strides": 2, "groups": 2, "activation": "relu"}),
    ("Conv2D", {"filters": 4, "kernel_size": 1, "activity_regularizer": "l2", "kernel_regularizer": "l1"}),
    ("Conv3D", {"filters": 4, "kernel_size": 3, "kernel_constraint": "max_norm", "dtype": "mixed_bfloat16"}),
    ("Conv2D", {"filters": 4, "kernel_size": 1, "use_bias": False, "name": "c", "bias_initializer": "ones"}),
    ("MaxPooling1D", {}), ("MaxPooling2D", {"pool_size": (2, 3), "strides": 1, "padding": "same"}),
    ("MaxPooling3D", {"data_format": "channels_first", "name": "pool"}), ("AveragePooling1D", {"pool_size": 3}),
    ("AveragePooling2D", {"pool_size": [2, 1]}), ("AveragePooling3D", {"pool_size": 2, "strides": (1, 2, 1)}),
    *((f"Global{kind}Pooling{n}D", {"keepdims": n == 2}) for kind in ("Max", "Average") for n in RANKS),
])  # fmt: skip
def test_config(name, arguments):
    same_words(name, arguments)
    assert theirs(name, **(arguments | {"name": None})).name.startswith(registry.snake(name))


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases(alias):
    same_name(alias, ALIASES[alias])


@pytest.mark.parametrize("name", sorted(ALIASES.values()))
def test_arguments_in_the_same_places(name):
    same_places(name)


@pytest.mark.parametrize("name, arguments, shape, word", [
    ("Conv2D", {"filters": 3, "kernel_size": 3, "groups": 2}, None, "filters divisible"),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "groups": 2}, (None, 8, 8, 3), "channels divisible"),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": 2, "dilation_rate": 2}, None, "not both"),
    ("Conv2D", {"filters": 4, "kernel_size": 9}, (None, 12, 5, 1), "width (axis 2)"),
    ("Conv1D", {"filters": 4, "kernel_size": 3, "dilation_rate": 4}, (None, 8, 1), "at least 9 cells"),
    ("Conv2D", {"filters": 4, "kernel_size": 3}, (None, 8, 8, None), "needs to know axis -1"),
    ("Conv2D", {"filters": 4, "kernel_size": 3}, (None, 8, 8), "channels"),
    ("Conv2D", {"filters": 4, "kernel_size": (3, 3, 3)}, None, "kernel_size"),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "padding": "causal"}, None, "'valid' or 'same'"),
    ("Conv2D", {"filters": 0, "kernel_size": 3}, None, "filters"),
    ("MaxPooling2D", {"pool_size": 4}, (None, 3, 8, 1), "height (axis 1)"),
    ("MaxPooling2D", {"pool_size": 4, "data_format": "channels_first"}, (None, 3, 8, 3), "width (axis 3)"),
    ("AveragePooling1D", {}, None, "needs pool_size"),
    ("GlobalMaxPooling1D", {}, (None, 8, 8, 1), "3 axes"),
])  # fmt: skip
def test_refusals(name, arguments, shape, word):
    both_refuse(name, arguments, shape, word)


def test_window_arithmetic_counts_what_xla_counts():
    for size in range(1, 12):
        for window in range(1, 5):
            for stride in range(1, 5):
                for dilation in (1, 2):
                    reach = (window - 1) * dilation + 1
                    (pads,) = jax.lax.padtype_to_pads((size,), (reach,), (stride,), "SAME")
                    assert windows.margins(size, window, stride, "same", dilation) == tuple(map(int, pads))
                    count = windows.window_count(size, window, stride, "same", dilation)
                    assert count == math.ceil(size / stride)
                    fits = len(range(0, size - reach + 1, stride))
                    assert windows.window_count(size, window, stride, "valid", dilation) == fits
