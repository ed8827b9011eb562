"""Convolution kernels beside plain XLA: every rank, stride, dilation, margin and channel count, and their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seriatim import Sequential, kernels, layers
from seriatim.engine import programs
from seriatim.engine.plan import make_plan
from seriatim.math import windows
from seriatim.math.activations import linear, relu, tanh

from .both import both, close, needs_kernels, serves, with_gradients

pytestmark = needs_kernels


def arrays(shape, kernel, filters, groups=1, seed=0):
    """x, kernel, bias: whole numbers in part, so that relu meets exact zeros."""
    rng = np.random.default_rng(seed)
    cells = (*kernel, shape[-1] // groups, filters)
    return [rng.normal(size=size).astype(np.float32) for size in (shape, cells, (filters,))]


def compare(x, w, b, **how):
    """Value and gradients, kernels beside plain XLA."""
    how.setdefault("strides", (1,) * (w.ndim - 2))
    run = with_gradients(lambda x, w, b: windows.conv(x, w, bias=b, **how))
    assert serves(run, x, w, b)
    close(*both(run, x, w, b))


def random_case(seed):
    """One case of any kind; sizes small and odd, with axes of 1 among them."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 4))
    pick = lambda *options: options[rng.integers(len(options))]
    kernel = tuple(int(rng.integers(1, 5)) for _ in range(rank))
    strides = tuple(int(rng.integers(1, 4)) for _ in range(rank))
    dilation = tuple(int(rng.integers(1, 3)) for _ in range(rank)) if pick(True, False) else (1,) * rank
    padding = pick("valid", "same", "causal") if rank == 1 else pick("valid", "same")
    space = tuple(max(1, (k - 1) * d + 1 + int(rng.integers(0, 9))) for k, d in zip(kernel, dilation, strict=True))
    if padding != "valid" and pick(True, False, False):
        space = (1,) * rank
    groups = pick(1, 1, 1, 3)
    channels, filters = (groups * pick(1, 3, 7, 16, 33) for _ in range(2))
    if kernel == (1,) * rank and groups == 1:
        kernel = (2,) * rank
        space = tuple(max(n, 4) for n in space)
    return (
        (pick(1, 2, 5), *space, channels),
        kernel,
        filters,
        groups,
        {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups},
    )


@pytest.mark.parametrize("seed", range(60))
def test_random_cases(seed):
    shape, kernel, filters, groups, how = random_case(seed)
    compare(*arrays(shape, kernel, filters, groups, seed), **how)


CASES = {
    "first layer, 1 channel": ((33, 28, 28, 1), (3, 3), 32, {}),
    "first layer, 3 channels": ((3, 64, 64, 3), (3, 3), 32, {"padding": "same"}),
    "images in groups": ((130, 5, 5, 16), (3, 3), 48, {"padding": "same"}),
    "one image in bands": ((1, 90, 70, 8), (5, 5), 20, {"padding": "same", "strides": (2, 2)}),
    "one sequence in bands": ((1, 5000, 9), (7,), 33, {"padding": "causal", "dilation": (3,)}),
    "volume": ((2, 9, 17, 15, 16), (3, 3, 3), 16, {"padding": "same"}),
    "patches: stride = window": ((2, 32, 32, 3), (8, 8), 24, {"strides": (8, 8)}),
    "stride beyond the window": ((2, 23, 19, 5), (2, 2), 7, {"strides": (3, 4)}),
    "a window wider than the image": ((2, 2, 2, 4), (5, 5), 6, {"padding": "same"}),
    "wide": ((4, 7, 7, 128), (3, 3), 160, {"padding": "same"}),
    "one filter": ((5, 13, 12, 33), (3, 3), 1, {"padding": "same"}),
    "four filters, strides": ((1, 21, 17, 16), (3, 4), 4, {"padding": "same", "strides": (2, 1)}),
    "two filters of a sequence": ((3, 70, 40), (5,), 2, {"padding": "causal", "dilation": (2,)}),
    "groups": ((3, 12, 12, 64), (3, 3), 96, {"groups": 4, "padding": "same"}),
    "depthwise": ((5, 12, 13, 70), (3, 3), 70, {"groups": 70, "padding": "same"}),
    "depthwise, strides": ((2, 21, 13, 7), (3, 4), 7, {"groups": 7, "strides": (2, 3)}),
    "depthwise, a long window": (
        (2, 90, 16),
        (31,),
        16,
        {"groups": 16, "padding": "same", "activation": relu},
    ),
    "depthwise volume": ((1, 5, 6, 7, 33), (3, 2, 2), 33, {"groups": 33, "padding": "same", "dilation": (1, 2, 1)}),
    "a kernel of 1 with groups": ((3, 12, 12, 8), (1, 1), 8, {"groups": 2}),
    "channels first": ((3, 7, 12, 11), (3, 3), 8, {"data_format": "channels_first"}),
}


@pytest.mark.parametrize("name", CASES)
def test_named_cases(name):
    shape, kernel, filters, how = CASES[name]
    if how.get("data_format") == "channels_first":
        x, w, b = arrays((*shape[:1], *shape[2:], shape[1]), kernel, filters)
        compare(np.moveaxis(x, -1, 1).copy(), w, b, **how)
    else:
        compare(*arrays(shape, kernel, filters, how.get("groups", 1)), **how)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("batch", "high", "wide", "deep", "filters"),
    [(1, 9, 14, 16, 16), (3, 12, 11, 33, 20), (1, 70, 40, 16, 40), (7, 6, 6, 40, 70), (2, 5, 8, 160, 130)],
)
def test_windows_of_3_by_3_go_by_blocks(batch, high, wide, deep, filters, padding):
    """Four results at once, cells and kernels transformed first: odd sizes, edges, bands, every width of a tile."""
    compare(*arrays((batch, high, wide, deep), (3, 3), filters), padding=padding, activation=relu)
    x, w, b = arrays((batch, high, wide, deep), (3, 3), filters)
    close(*both(with_gradients(pooled(linear, padding)), x, w, b))


def test_depthwise_conv():
    x, w, _ = arrays((2, 9, 8, 12), (3, 2), 12, groups=12)
    run = with_gradients(lambda x, w: windows.depthwise_conv(x, w.reshape(3, 2, 12, 1), (1, 1), "same"))
    assert serves(run, x, w)
    close(*both(run, x, w))


@pytest.mark.parametrize("activation", [linear, relu, tanh])
def test_activations_and_no_bias(activation):
    x, w, b = arrays((3, 9, 8, 5), (3, 2), 18)
    compare(x, w, b, activation=activation)
    compare(x, w, None, activation=activation, padding="same")


def pooled(activation, padding):
    def run(x, w, b):
        y = windows.conv(x, w, (1,) * (w.ndim - 2), padding, bias=b, activation=activation)
        return windows.max_pool(y, sizes := (2, 3, 2)[: w.ndim - 2], sizes)

    return run


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("activation", [linear, relu])
@pytest.mark.parametrize(
    ("shape", "kernel", "filters"),
    [
        ((13, 11, 14, 3), (3, 3), 33),
        ((1, 90, 70, 8), (5, 2), 16),
        ((5, 21, 7), (4,), 20),
        ((30, 4, 5, 6, 16), (2, 3, 2), 7),
        ((128, 8, 8, 1), (3, 3), 32),
        ((6, 32, 32, 32), (3, 3), 4),  # images a power of two apart
    ],
)
def test_a_maximum_behind_is_one_kernel_with_the_convolution(shape, kernel, filters, activation, padding):
    x, w, b = arrays(shape, kernel, filters)
    run = with_gradients(pooled(activation, padding))
    with kernels.use():
        text = jax.jit(run).lower(x, w, b).compile().as_text()
    assert "conv_forward_pooled" in text and 'target="seriatim_conv_forward"' not in text
    close(*both(run, x, w, b))


def test_a_maximum_behind_lets_nan_pass_and_leaves_overlapping_windows_alone():
    x, w, b = arrays((5, 9, 9, 3), (3, 3), 4)
    x[1, 2, 3, 0] = np.nan
    found, wanted = both(pooled(relu, "valid"), x, w, b)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    overlap = lambda x: windows.max_pool(windows.conv(x, w, (1, 1), bias=b), (3, 3), (2, 2))
    close(*both(with_gradients(overlap), np.nan_to_num(x)))


def largest(activation=linear, **how):
    def run(x, w, b):
        y = windows.conv(x, w, bias=b, activation=activation, **how)
        return windows.global_max(y, tuple(range(1, y.ndim - 1)))

    return run


@pytest.mark.parametrize("seed", range(100, 116))
def test_the_largest_cell_behind_has_all_of_the_gradient(seed):
    """Any window; relu that lets nothing of some channels pass; equal cells, which share."""
    shape, kernel, filters, groups, how = random_case(seed)
    x, w, b = arrays(shape, kernel, filters, groups, seed)
    x[:, : shape[1] // 2] = 0.5
    b[::3] -= 100
    run = with_gradients(largest(relu if seed % 2 else linear, **how))
    with kernels.use():
        assert ("conv_largest_weight_gradient" in str(jax.make_jaxpr(run)(x, w, b))) == (groups == 1)
    close(*both(run, x, w, b))


def test_the_largest_cell_of_nothing_but_nan_is_nan():
    x, w, b = arrays((3, 12, 5), (4,), 18)
    x[1, 3, 2] = np.nan
    (top, gradients), (wanted, _) = both(with_gradients(largest(relu, strides=(1,))), x, w, b)
    np.testing.assert_array_equal(np.isnan(top), np.isnan(wanted))
    assert np.isnan(gradients[0][1]).any() and not np.isnan(gradients[0][[0, 2]]).any()
    assert all(np.isnan(part).any() for part in gradients[1:])


def test_relu_at_exact_zeros_has_no_gradient():
    x, w = np.zeros((1, 4, 4, 2), np.float32), np.ones((2, 2, 2, 3), np.float32)
    total = kernels.served(lambda b: windows.conv(x, w, (1, 1), bias=b, activation=relu).sum())
    assert (jax.jit(jax.grad(total))(jnp.zeros(3)) == 0).all()


def test_nan_passes():
    """A run that diverges must not look healthy: not behind relu either."""
    x, w, b = arrays((2, 6, 6, 3), (3, 3), 4)
    x[1, 2, 3, 0] = np.nan
    y = jax.jit(kernels.served(lambda x: windows.conv(x, w, (1, 1), bias=b, activation=relu)))(x)
    seen = np.isnan(windows.conv(x, w, (1, 1)))
    assert seen.any() and not seen.all()
    np.testing.assert_array_equal(np.isnan(y), seen)


def test_same_bits_every_time():
    x, w, b = arrays((9, 33, 31, 16), (3, 3), 32)

    def gradients(x, w, b):
        return jax.grad(lambda *a: (windows.conv(*a[:2], (1, 1), "same", bias=a[2]) ** 2).sum(), (0, 1, 2))(x, w, b)

    run = jax.jit(kernels.served(gradients))
    first = run(x, w, b)
    for _ in range(5):
        assert all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(first, run(x, w, b), strict=True))


def test_no_kernel_for_half_precision():
    x, w, b = (jnp.asarray(a, jnp.bfloat16) for a in arrays((1, 6, 6, 3), (3, 3), 4))
    assert not serves(lambda x, w, b: windows.conv(x, w, (1, 1), bias=b), x, w, b)


@pytest.mark.parametrize(("dtype", "loops"), [("float32", True), ("mixed_bfloat16", False)])
def test_a_chain_with_convolutions_runs_whole_epochs_if_kernels_serve(dtype, loops):
    chain = [layers.Conv2D(4, 3, activation="relu", dtype=dtype), layers.Flatten(), layers.Dense(1)]
    model = Sequential([layers.Input((6, 6, 1)), *chain])
    assert programs.Programs(make_plan(model.layers)).loops == loops


def test_fit_reaches_the_same_weights_with_kernels_and_without():
    x, _, _ = arrays((20, 9, 9, 3), (1, 1), 1)
    y = np.arange(20, dtype=np.float32)[:, None] / 20

    def fitted():
        chain = [layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(1)]
        model = Sequential([layers.Input((9, 9, 3)), *chain])
        model.set_weights([0.1 * np.random.default_rng(3).normal(size=w.shape) for w in model.get_weights()])
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=8, epochs=3, verbose=0, shuffle=False)
        return model.get_weights()

    found = fitted()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "offered", lambda *_: False)
        patch.setattr(programs, "_shared", {})  # no program of the first model serves the second
        wanted = fitted()
    close(found, wanted)
