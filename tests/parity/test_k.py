"""`seriatim.backend` beside the functions of `tensorflow.keras.backend`: the same names and arguments.

Those need TensorFlow to run: what they give is worked out here in NumPy, or by Keras 3's ops where these say the same.
"""

import inspect

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras.src.legacy import backend as real

import seriatim
from seriatim import backend as K
from seriatim.base.report import UsageError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(3, 4)).astype("float32"), RNG.normal(size=(3, 4)).astype("float32")
P = RNG.uniform(0.01, 1, (3, 4)).astype("float32")
P /= P.sum(-1, keepdims=True)
T, C = np.eye(4, dtype="float32")[[1, 3, 0]], np.array([1, 3, 0])
B = X > 0
CUBE = RNG.normal(size=(3, 4, 5)).astype("float32")
PICTURES = RNG.normal(size=(2, 6, 7, 3)).astype("float32")
VOLUMES = RNG.normal(size=(2, 4, 5, 4, 2)).astype("float32")
KERNEL = RNG.normal(size=(3, 3, 3, 4)).astype("float32")


def arguments(function):
    return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def sparse(x):
    return -np.log(np.take_along_axis(x, C[:, None], -1)[:, 0])


def bce(t, p):
    return -t * np.log(p) - (1 - t) * np.log(1 - p)


CASES = {
    "abs": [(X,), abs(X)], "all": [(B, 1), B.all(1)], "any": [(B, 0, True), B.any(0, keepdims=True)],
    "arange": [(2, 9, 3), np.arange(2, 9, 3)], "argmax": [(X,), X.argmax(-1)], "argmin": [(X, 0), X.argmin(0)],
    "batch_flatten": [(CUBE,), CUBE.reshape(3, -1)],
    "batch_normalization": [(X, Y[0], P[0], Y[1], Y[2]), (X - Y[0]) / np.sqrt(P[0] + 1e-3) * Y[2] + Y[1]],
    "bias_add": [(PICTURES, Y[0, :3]), PICTURES + Y[0, :3]],
    "binary_crossentropy": [(T, P), bce(T, P)],
    "binary_focal_crossentropy": [(T, P, True), bce(T, P) * (1 - np.where(T, P, 1 - P)) ** 2 * np.where(T, 0.25, 0.75)],
    "cast": [(B, "float32"), B.astype("float32")], "cast_to_floatx": [([1, 2],), np.array([1, 2], "float32")],
    "categorical_crossentropy": [(T, P), sparse(P)],
    "categorical_focal_crossentropy": [(T, P), 0.25 * (1 - np.exp(-sparse(P))) ** 2 * sparse(P)],
    "clip": [(X, None, 0.3), np.minimum(X, 0.3)], "concatenate": [([X, Y],), np.concatenate([X, Y], -1)],
    "constant": [(2.5, None, (2, 2)), np.full((2, 2), 2.5)], "cos": [(X,), np.cos(X)], "count_params": [(CUBE,), 60],
    "cumprod": [(X, 1), X.cumprod(1)], "cumsum": [(X,), X.cumsum(0)],
    "dot": [(X, CUBE[:, :, 0].T), X @ CUBE[:, :, 0].T],
    "dtype": [(X,), "float32"], "elu": [(X, 0.5), np.where(X > 0, X, 0.5 * (np.exp(X) - 1))], "equal": [(X, Y), X == Y],
    "eval": [(jnp.asarray(X),), X], "exp": [(X,), np.exp(X)], "expand_dims": [(X, 1), X[:, None]],
    "eye": [(3,), np.eye(3)],
    "flatten": [(CUBE,), CUBE.ravel()], "foldl": [(lambda a, x: 2 * a + x, X), 2 * (2 * X[0] + X[1]) + X[2]],
    "foldr": [(lambda a, x: 2 * a + x, X, Y[0]), 2 * (2 * (2 * Y[0] + X[2]) + X[1]) + X[0]],
    "gather": [(X, [2, 0]), X[[2, 0]]], "get_value": [(7,), 7], "greater": [(X, Y), X > Y],
    "greater_equal": [(X, Y), X >= Y], "hard_sigmoid": [(4 * X,), np.clip(0.8 * X + 0.5, 0, 1)],
    "in_top_k": [(P, C, 2), [c in np.argsort(p)[-2:] for p, c in zip(P, C)]], "int_shape": [(CUBE,), (3, 4, 5)],
    "is_sparse": [(X,), False], "l2_normalize": [(X, 1), X / np.linalg.norm(X, axis=1, keepdims=True)],
    "less": [(X, Y), X < Y], "less_equal": [(X, Y), X <= Y], "log": [(P,), np.log(P)],
    "map_fn": [(lambda x: x[::-1], X), X[:, ::-1]], "max": [(X, 1), X.max(1)], "maximum": [(X, Y), np.maximum(X, Y)],
    "mean": [(B, 0, True), B.mean(0, keepdims=True)], "min": [(X,), X.min()], "minimum": [(X, Y), np.minimum(X, Y)],
    "ndim": [(CUBE,), 3], "not_equal": [(X, Y), X != Y], "one_hot": [(C, 4), T], "ones": [((2, 3),), np.ones((2, 3))],
    "ones_like": [(X,), np.ones((3, 4))], "permute_dimensions": [(CUBE, (2, 0, 1)), CUBE.transpose(2, 0, 1)],
    "pow": [(X, 2), X**2], "prod": [(X, 1), X.prod(1)],
    "relu": [(X, 0.2, 0.8, 0.1), np.where(X >= 0.8, 0.8, np.where(X > 0.1, X, 0.2 * (X - 0.1)))],
    "repeat": [(X, 2), np.stack([X, X], 1)], "repeat_elements": [(X, 3, 1), X.repeat(3, 1)],
    "reshape": [(X, (2, -1)), X.reshape(2, -1)],
    "resize_images": [(PICTURES, 2, 3, "channels_last"), PICTURES.repeat(2, 1).repeat(3, 2)],
    "resize_volumes": [(VOLUMES, 2, 1, 3, "channels_first"), VOLUMES.repeat(2, 2).repeat(3, 4)],
    "reverse": [(CUBE, (0, 2)), CUBE[::-1, :, ::-1]], "round": [(3 * X,), np.round(3 * X)], "shape": [(X,), (3, 4)],
    "sigmoid": [(X,), 1 / (1 + np.exp(-X))], "sign": [(X,), np.sign(X)], "sin": [(X,), np.sin(X)],
    "softmax": [(X, 0), softmax(X, 0)], "softplus": [(X,), np.log1p(np.exp(X))], "softsign": [(X,), X / (1 + abs(X))],
    "sparse_categorical_crossentropy": [(C, X, True, -1, 3), sparse(softmax(X)) * (C != 3)],
    "spatial_2d_padding": [(PICTURES, ((1, 2), (0, 3))), np.pad(PICTURES, ((0, 0), (1, 2), (0, 3), (0, 0)))],
    "spatial_3d_padding": [(VOLUMES, ((1, 0), (2, 1), (0, 1)), "channels_first"),
                           np.pad(VOLUMES, ((0, 0), (0, 0), (1, 0), (2, 1), (0, 1)))],
    "sqrt": [(X,), np.sqrt(np.maximum(X, 0))], "square": [(X,), X**2], "squeeze": [(X[:, :1], 1), X[:, 0]],
    "stack": [([X, Y], 1), np.stack([X, Y], 1)], "std": [(X, 1), X.std(1)], "stop_gradient": [([X, Y],), [X, Y]],
    "sum": [(X, 1, True), X.sum(1, keepdims=True)], "switch": [(B[:, 0], X, lambda: Y), np.where(B[:, :1], X, Y)],
    "tanh": [(X,), np.tanh(X)], "temporal_padding": [(CUBE, (2, 1)), np.pad(CUBE, ((0, 0), (2, 1), (0, 0)))],
    "tile": [(X, [2, 1]), np.tile(X, (2, 1))], "to_dense": [(X,), X], "transpose": [(CUBE,), CUBE.transpose()],
    "var": [(X,), X.var()], "variable": [(X,), X], "zeros": [((2,), "int32"), np.zeros(2)], "zeros_like": [(X,), 0 * X],
}  # fmt: skip
OPS = {  # by Keras 3's functions
    "conv1d": [(CUBE, RNG.normal(size=(2, 5, 3)).astype("float32"), 2, "same"), "conv"],
    "conv2d": [(PICTURES, KERNEL, (2, 1), "same"), "conv"],
    "conv3d": [(VOLUMES, RNG.normal(size=(2, 2, 2, 2, 3)).astype("float32")), "conv"],
    "depthwise_conv2d": [(PICTURES, KERNEL[..., :2], (2, 2)), "depthwise_conv"],
    "separable_conv2d": [(PICTURES, KERNEL[..., :2], KERNEL[:1, :1].repeat(2, 2)), "separable_conv"],
    "pool2d": [(PICTURES, (2, 3), (1, 2), "same"), "max_pool"],
    "pool3d": [(VOLUMES, (2, 2, 2), (1, 2, 1)), "max_pool"],
}


def test_every_name_with_keras_s_arguments():
    names = [
        name
        for name, f in vars(real).items()
        if inspect.isfunction(f) and name[0] != "_" and f.__module__ == real.__name__
    ]
    assert len(names) > 120
    for name in names:
        if name in K.GONE:
            with pytest.raises(AttributeError, match=name):
                getattr(K, name)
            continue
        if name not in K.__all__:
            assert arguments(getattr(K, name)) == arguments(getattr(real, name)), name
        assert getattr(K, name).__doc__ and name in dir(K)
    tested = {*CASES, *OPS, "rnn", "batch_dot", "conv2d_transpose", "ctc_batch_cost", "ctc_decode", "dropout"}
    variables = {
        "batch_get_value",
        "batch_set_value",
        "moving_average_update",
        "set_value",
        "update",
        "update_add",
        "update_sub",
    }
    drawn = {name for name in names if "random" in name or name == "truncated_normal"}
    assert {*names} - {*K.GONE} <= tested | variables | drawn | {*K.__all__}


def close(mine, wanted):
    if isinstance(wanted, (str, bool, tuple)):
        assert mine == wanted and type(mine) is type(wanted)
        return
    mine = mine if isinstance(mine, list) else getattr(mine, "value", mine)
    assert np.shape(mine) == np.shape(wanted)
    np.testing.assert_allclose(np.asarray(mine), wanted, rtol=3e-5, atol=3e-6)


def test_numbers():
    for name, (given, wanted) in CASES.items():
        close(getattr(K, name)(*given), wanted)
    for name, (given, other) in OPS.items():
        close(getattr(K, name)(*given), np.asarray(getattr(keras.ops, other)(*given)))
    mean = keras.ops.average_pool(PICTURES, (2, 2), (1, 1), "same")
    close(K.pool2d(PICTURES, (2, 2), padding="same", pool_mode="avg"), np.asarray(mean))
    kernel = RNG.normal(size=(2, 5, 3)).astype("float32")
    padded = np.pad(CUBE, ((0, 0), (2, 0), (0, 0)))
    close(
        K.conv1d(CUBE, kernel, padding="causal", dilation_rate=2),
        np.asarray(keras.ops.conv(padded, kernel, dilation_rate=2)),
    )
    for bias in (Y[0], RNG.normal(size=(4, 5, 2)).astype("float32")):
        first = bias if bias.ndim == 1 else np.moveaxis(bias, -1, 0)
        x = (
            VOLUMES.transpose(0, 4, 1, 2, 3)[:, :, 0]
            if bias.ndim == 3
            else np.repeat(PICTURES, 2, -1)[..., :4].transpose(0, 3, 1, 2)
        )
        x = x[:, :, :4, :5] if bias.ndim == 1 else np.zeros((2, 2, 4, 5), "float32")
        close(K.bias_add(x, bias, "channels_first"), x + first.reshape(-1, *(first.shape[1:] or (1, 1))))


def test_batch_dot_and_transposed_convolution():
    for a, b, axes, letters in (
        (X, Y, None, "bi,bi->b"), (CUBE, X[:, :, None].repeat(5, 2), (1, 1), "bij,bik->bjk"),
        (CUBE, Y, 1, "bij,bi->bj"),
        (CUBE, CUBE.transpose(0, 2, 1), None, "bij,bjk->bik"), (X, CUBE, None, "bi,bij->bj"),
        (CUBE[:, None].repeat(2, 1), CUBE, (3, 2), "bmij,bkj->bmik"),
        (CUBE, CUBE[:, None].repeat(2, 1), (-1, -1), "bij,bmkj->bimk"),
    ):  # fmt: skip
        wanted = np.einsum(letters, a, b)
        close(K.batch_dot(a, b, axes), wanted[:, None] if wanted.ndim == 1 else wanted)
    with pytest.raises(UsageError):
        K.batch_dot(X, Y, 0)
    x = RNG.normal(size=(2, 4, 4, 4)).astype("float32")
    for padding, size in (("valid", 9), ("same", 8)):
        wanted = keras.ops.conv_transpose(x, KERNEL, 2, padding)
        close(K.conv2d_transpose(x, KERNEL, (2, size, size, 3), (2, 2), padding), np.asarray(wanted))
    assert K.conv2d_transpose(x, KERNEL, (None, 7, 7, 3), (2, 2), "same").shape == (2, 7, 7, 3)


def test_variables_and_choices():
    v, w = K.variable(X, name="v"), K.variable(1.0)
    K.batch_set_value([(v, Y), (w, 3)])
    K.update_add(v, X)
    K.update_sub(w, 1.0)
    K.moving_average_update(v, 0 * X, 0.5)
    close(v, (X + Y) / 2)
    assert K.batch_get_value([w]) == [2.0] and isinstance(K.get_value(v), np.ndarray)
    close(K.sum(K.update(v, X)), X.sum())
    model = seriatim.Sequential([seriatim.layers.Dense(1)])
    model.compile("sgd", "mse")
    K.set_value(model.optimizer.learning_rate, 0.25)
    assert K.get_value(model.optimizer.learning_rate) == np.float32(0.25)
    assert float(jax.jit(lambda c: K.switch(c, lambda: 1.0, lambda: 2.0))(False)) == 2.0
    assert float(jax.grad(lambda x: jnp.sum(K.stop_gradient(x) * x))(3.0)) == 3.0
    many = K.random_normal((20_000,), 2.0, 0.5, seed=1), K.random_uniform((20_000,), -1, 3, seed=2)
    assert [round(float(x.mean()), 1) for x in many] == [2.0, 1.0]
    assert K.random_bernoulli((20_000,), 0.3, seed=1).mean() == pytest.approx(0.3, abs=0.02)
    assert abs(K.truncated_normal((5000,), seed=3)).max() < 2 and K.dropout(jnp.ones(999), 0.5, seed=1).max() == 2
    assert K.random_normal_variable((3,), 0, 1, name="n").name == "n" and K.random_uniform_variable(
        (3,), 1, 2
    ).shape == (3,)
    cost = K.ctc_batch_cost(np.array([[0, 1]]), P[None, :, :3] / P[None, :, :3].sum(-1, keepdims=True), [[3]], [[2]])
    q = P[:, :3] / P[:, :3].sum(-1, keepdims=True)  # the ways to read 0, 1 in three steps; 2 is the blank
    ways = [(0, 1, 2), (0, 2, 1), (2, 0, 1), (0, 0, 1), (0, 1, 1)]
    close(cost, [[-np.log(sum(np.prod([q[t, c] for t, c in enumerate(way)]) for way in ways))]])
    (best,), score = K.ctc_decode(q[None], [3])
    says = [c for i, c in enumerate(q.argmax(-1)) if c != 2 and (i == 0 or c != q.argmax(-1)[i - 1])]
    assert [c for c in best[0].tolist() if c >= 0] == says
    close(score, [[-np.log(q.max(-1) + 1e-7).sum()]])
    paths, scores = K.ctc_decode(q[None], [3], greedy=False, top_paths=6)
    found = {tuple(c for c in path[0].tolist() if c >= 0): float(p) for path, p in zip(paths, scores[0], strict=True)}
    close(-found[0, 1], cost[0, 0])


def test_rnn():
    kernel, recurrent = RNG.normal(size=(5, 2)).astype("float32"), RNG.normal(size=(2, 2)).astype("float32")
    step = lambda x, states: ((y := jnp.tanh(x @ kernel + states[0] @ recurrent + states[1])), [y])
    mask, start, constant = np.array([[1, 1, 0, 1], [0, 1, 1, 0], [1, 1, 1, 1]], bool), Y[:, :2], X[:, :2]
    for back in (False, True):
        for zero in (False, True):
            for m in (mask, None):
                state, y, outputs = start, np.zeros((3, 2), "float32"), []
                for t in range(4)[:: -1 if back else 1]:
                    new = np.tanh(CUBE[:, t] @ kernel + state @ recurrent + constant)
                    real_data = np.ones((3, 1), bool) if m is None else m[:, t, None]
                    y = np.where(real_data, new, 0 * y if zero else y)
                    state = np.where(real_data, new, state)
                    outputs.append(y)
                found = K.rnn(step, CUBE, [start], back, m, [constant], zero_output_for_mask=zero, unroll=back)
                for mine, wanted in zip(found, (y, np.stack(outputs, 1), [state]), strict=True):
                    close(mine, wanted)
    last, outputs, _ = K.rnn(
        step, CUBE.swapaxes(0, 1), [start], constants=[constant], time_major=True, return_all_outputs=False
    )
    assert outputs.shape == (1, 3, 2)
    close(outputs[0], np.asarray(last))
