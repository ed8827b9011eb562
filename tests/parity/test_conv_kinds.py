"""Depthwise, separable and transposed convolution beside Keras: outputs, gradients, shapes, configs, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seriatim.math import deconvolution, windows

from .beside import both_refuse, compare, pair, same_name, same_places, same_shapes, same_words

EXTENT = {1: (5, 12), 2: (4, 9), 3: (3, 6)}  # sizes of spatial axes
APART = {1: ("DepthwiseConv1D", "SeparableConv1D"), 2: ("DepthwiseConv2D", "SeparableConv2D")}
TRANSPOSED = {1: "Conv1DTranspose", 2: "Conv2DTranspose", 3: "Conv3DTranspose"}
ALIASES = {
    **{f"Convolution{n}DTranspose": f"Conv{n}DTranspose" for n in (1, 2, 3)},
    **{f"SeparableConvolution{n}D": f"SeparableConv{n}D" for n in (1, 2)},
}
NAMES = ["DepthwiseConv1D", "DepthwiseConv2D", *ALIASES.values()]


def draw(rank, seed, *salt):
    """(generator, arguments that all have, shape of an input)."""
    rng = np.random.default_rng((rank, seed, *salt))
    data_format = str(rng.choice(["channels_last", "channels_first"]))
    arguments = {
        "kernel_size": tuple(int(k) for k in rng.integers(1, 4, rank)), "padding": str(rng.choice(["valid", "same"])),
        "data_format": data_format, "use_bias": bool(rng.integers(4)),
        "activation": str(rng.choice(["linear", "tanh", "relu"])),
    }  # fmt: skip
    kind = str(rng.choice(["plain", "strides", "dilation_rate"]))
    if kind != "plain":
        arguments[kind] = tuple(int(n) for n in rng.integers(1, 4 if kind == "strides" else 3, rank))
    space = tuple(int(n) for n in rng.integers(*EXTENT[rank], rank))
    channels = int(rng.integers(1, 4))
    return rng, arguments, (2, *space, channels) if data_format == "channels_last" else (2, channels, *space)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("rank, which", [(1, 0), (1, 1), (2, 0), (2, 1)])
def test_channels_apart(rank, which, seed):
    rng, arguments, shape = draw(rank, seed, which)
    arguments["depth_multiplier"] = int(rng.integers(1, 4))
    if which:
        arguments["filters"] = int(rng.integers(1, 5))
    if arguments["padding"] == "valid":  # at least one window fits
        axes = windows.spatial_axes(rank, arguments["data_format"])
        shape = tuple(max(n, 5) if axis in axes else n for axis, n in enumerate(shape))
    mine, real = pair(APART[rank][which], arguments, shape)
    compare(mine, real, rng.normal(size=shape).astype("float32"))
    same_shapes(APART[rank][which], arguments, (None, *shape[1:]))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("rank", TRANSPOSED)
def test_transposed(rank, seed):
    rng, arguments, shape = draw(rank, seed, 2)
    arguments["filters"] = int(rng.integers(1, 5))
    if seed % 2:
        strides = arguments.get("strides", (1,) * rank)
        arguments["output_padding"] = tuple(int(rng.integers(0, stride)) for stride in strides)
    mine, real = pair(TRANSPOSED[rank], arguments, shape)
    compare(mine, real, rng.normal(size=shape).astype("float32"))
    same_shapes(TRANSPOSED[rank], arguments, (None, *shape[1:]))


def test_windows_too_large_to_unroll():
    arguments = {"kernel_size": windows.UNROLL + 3, "depth_multiplier": 2, "padding": "same", "strides": 2}
    mine, real = pair("DepthwiseConv1D", arguments, (2, 70, 2))
    compare(mine, real, np.random.default_rng(0).normal(size=(2, 70, 2)).astype("float32"))


@pytest.mark.parametrize("window, stride, padding", [(3, 2, "same"), (2, 3, "valid"), (4, 4, "same"), (1, 2, "same")])
def test_transposed_is_the_gradient_of_a_convolution(window, stride, padding):
    """<conv(y), x> = <y, conv_transpose(x)> for whole numbers, to the bit, wherever the sizes meet."""
    rng = np.random.default_rng(window)
    x = rng.integers(-3, 4, (2, 5, 3)).astype("float32")
    kernel = rng.integers(-3, 4, (window, 2, 3)).astype("float32")
    wide = deconvolution.conv_transpose(jnp.asarray(x), kernel, (stride,), padding)
    y = rng.integers(-3, 4, wide.shape).astype("float32")
    back = windows.conv(jnp.asarray(y), jnp.asarray(kernel), (stride,), padding)
    assert back.shape == x.shape
    assert float(jnp.vdot(back, x)) == float(jnp.vdot(y, wide))


def test_depthwise_has_a_second_derivative():
    """The gradient along a direction, differentiated again, against a difference of gradients in float64."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x, kernel, way = rng.normal(size=(2, 6, 3)), rng.normal(size=(3, 3, 2)), rng.normal(size=(3, 3, 2))

        def slope(kernel):
            return jnp.vdot(jax.grad(lambda k: jnp.sum(windows.depthwise_conv(x, k, (1,)) ** 3))(kernel), way)

        second = jnp.vdot(jax.grad(slope)(jnp.asarray(kernel)), way)
        h = 1e-5
        np.testing.assert_allclose(second, (slope(kernel + h * way) - slope(kernel - h * way)) / (2 * h), rtol=1e-6)


@pytest.mark.parametrize("name, arguments, shape", [
    ("DepthwiseConv1D", {"kernel_size": 3, "strides": 2, "depth_multiplier": 2}, (None, None, 3)),
    ("DepthwiseConv2D", {"kernel_size": (3, 2), "padding": "same"}, (2, None, 9, 3)),
    ("SeparableConv1D", {"filters": 4, "kernel_size": 3}, (None, None, 3)),
    ("SeparableConv2D", {"filters": 4, "kernel_size": 3, "data_format": "channels_first"}, (None, 3, None, 8)),
    ("Conv1DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2}, (None, None, 3)),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": (2, 1), "padding": "same"}, (None, None, 9, 3)),
    ("Conv3DTranspose", {"filters": 4, "kernel_size": 2, "strides": 2, "output_padding": 1}, (None, 9, None, 7, 2)),
])  # fmt: skip
def test_open_axes(name, arguments, shape):
    same_shapes(name, arguments, shape)


@pytest.mark.parametrize("name, arguments", [
    ("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2, "depthwise_regularizer": "l2"}),
    ("DepthwiseConv2D", {"kernel_size": (3, 2), "strides": 2, "dtype": "mixed_bfloat16", "activation": "relu"}),
    ("SeparableConv1D", {"filters": 4, "kernel_size": 3, "pointwise_constraint": "max_norm", "padding": "SAME"}),
    ("SeparableConv2D", {"filters": 4, "kernel_size": 3, "use_bias": False, "pointwise_initializer": "ones"}),
    ("Conv1DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2, "output_padding": 1}),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "activity_regularizer": "l1", "bias_regularizer": "l2"}),
    ("Conv3DTranspose", {"filters": 4, "kernel_size": 3, "strides": (1, 2, 2), "output_padding": (0, 1, 0)}),
])  # fmt: skip
def test_config(name, arguments):
    same_words(name, arguments)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_in_the_same_places(name):
    same_places(name)


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases(alias):
    same_name(alias, ALIASES[alias])


@pytest.mark.parametrize("name, arguments, shape, word", [
    ("DepthwiseConv2D", {"kernel_size": 9}, (None, 12, 5, 1), "width (axis 2)"),
    ("DepthwiseConv1D", {"kernel_size": 3, "padding": "causal"}, None, "'valid' or 'same'"),
    ("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 0}, None, "depth_multiplier"),
    ("SeparableConv1D", {"filters": 2, "kernel_size": 3, "dilation_rate": 4}, (None, 8, 1), "at least 9 cells"),
    ("SeparableConv2D", {"filters": 2, "kernel_size": 3}, (None, 8, 8, None), "needs to know axis -1"),
    ("Conv2DTranspose", {"filters": 0, "kernel_size": 3}, None, "filters"),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2, "dilation_rate": 2}, None, "not both"),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": (2, 1), "output_padding": 1}, None, "below"),
    ("Conv1DTranspose", {"filters": 2, "kernel_size": 3}, (None, 8, 8, 1), "3 axes"),
])  # fmt: skip
def test_refusals(name, arguments, shape, word):
    both_refuse(name, arguments, shape, word)
