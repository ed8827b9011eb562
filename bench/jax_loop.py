"""A JAX loop written by hand: one jitted step a batch, optax's Adam, a loop on the host.

All rows are on the device and the step picks its own (an index array is all that travels); rows of a mapped
file are picked on the host. The state is donated; loss and hits are added up inside the step and read once an epoch.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

AXES = {1: ("NHC", "HIO", "NHC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}
MOVING = 0.99  # of the means and variances in a batch normalization
EPSILON = 1e-3


def versions():
    return {"jax": jax.__version__, "optax": optax.__version__}


def device():
    return jax.devices()[0].device_kind


# ---- weights -------------------------------------------------------------------------------------------


def weights(kind, arguments, width, rng):
    """The arrays of one link whose input has `width` channels."""

    def draw(*shape):
        limit = math.sqrt(6 / (math.prod(shape[:-2]) * (shape[-2] + shape[-1])))
        return rng.uniform(-limit, limit, shape).astype(np.float32)

    if kind == "dense":
        return {"kernel": draw(width, arguments[0]), "bias": np.zeros(arguments[0], np.float32)}
    if kind == "depthwise2d":
        return {"kernel": draw(*(arguments[0],) * 2, 1, width), "bias": np.zeros(width, np.float32)}
    if kind.startswith(("conv", "same", "transposed")):
        size = (arguments[1],) * int(kind[-2])
        return {"kernel": draw(*size, width, arguments[0]), "bias": np.zeros(arguments[0], np.float32)}
    if kind == "norm":
        return {"scale": np.ones(width, np.float32), "shift": np.zeros(width, np.float32)}
    if kind == "embed":
        return {"table": draw(*arguments)}
    if kind == "bilstm":
        return {way: weights("lstm", arguments[:1], width, rng) for way in ("forward", "backward")}
    if kind in ("lstm", "gru"):
        gates = (4 if kind == "lstm" else 3) * arguments[0]
        found = {"kernel": draw(width, gates), "recurrent": draw(arguments[0], gates)}
        found["bias"] = np.zeros(gates if kind == "lstm" else (2, gates), np.float32)
        return found
    return {}


# ---- forward -------------------------------------------------------------------------------------------


def convolve(w, x, stride=1, padding="VALID", groups=1):
    n = x.ndim - 2
    y = lax.conv_general_dilated(
        x, w["kernel"], (stride,) * n, padding, dimension_numbers=AXES[n], feature_group_count=groups
    )
    return y + w["bias"]


def transposed(w, x, stride):
    n = x.ndim - 2
    return lax.conv_transpose(x, w["kernel"], (stride,) * n, "SAME", dimension_numbers=AXES[n]) + w["bias"]


def pool(x):
    window = (1, *(2,) * (x.ndim - 2), 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")


def normalize(w, x, moving, training):
    if training:
        places = tuple(range(x.ndim - 1))
        mean, variance = x.mean(places), x.var(places)
        moving = jax.tree.map(lambda old, new: MOVING * old + (1 - MOVING) * new, moving, (mean, variance))
    else:
        mean, variance = moving
    return (x - mean) * (lax.rsqrt(variance + EPSILON) * w["scale"]) + w["shift"], moving


def lstm(w, x, whole=False, reverse=False):
    """The output of the last step, or those of all."""
    units = w["recurrent"].shape[0]
    start = jnp.zeros((len(x), units)), jnp.zeros((len(x), units))

    def step(carry, z):
        h, c = carry
        i, f, g, o = jnp.split(z + h @ w["recurrent"], 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h if whole else None

    inputs = x @ w["kernel"] + w["bias"]  # one product for all time steps
    (last, _), every = lax.scan(step, start, jnp.swapaxes(inputs, 0, 1), reverse=reverse)
    return jnp.swapaxes(every, 0, 1) if whole else last


def both_ways(w, x, whole):
    return jnp.concatenate([lstm(w["forward"], x, whole), lstm(w["backward"], x, whole, reverse=True)], -1)


def gru(w, x):
    units = w["recurrent"].shape[0]

    def step(h, inputs):
        xz, xr, xh = jnp.split(inputs, 3, axis=-1)
        rz, rr, rh = jnp.split(h @ w["recurrent"] + w["bias"][1], 3, axis=-1)
        z, r = jax.nn.sigmoid(xz + rz), jax.nn.sigmoid(xr + rr)
        return z * h + (1 - z) * jnp.tanh(xh + r * rh), None

    inputs = x @ w["kernel"] + w["bias"][0]
    return lax.scan(step, jnp.zeros((len(x), units)), jnp.swapaxes(inputs, 0, 1))[0]


def forward(chain, params, moving, x, key, training):
    """The logits, and the moving averages after this batch."""
    moving = list(moving)
    for i, (kind, *arguments) in enumerate(chain):
        w = params[i]
        if kind == "dense":
            x = x @ w["kernel"] + w["bias"]
        elif kind.startswith("conv"):
            x = convolve(w, x)
        elif kind == "same2d":
            x = convolve(w, x, arguments[2], "SAME")
        elif kind == "depthwise2d":
            x = convolve(w, x, arguments[1], "SAME", groups=x.shape[-1])
        elif kind == "transposed2d":
            x = transposed(w, x, arguments[2])
        elif kind.startswith("pool"):
            x = pool(x)
        elif kind == "norm":
            x, moving[i] = normalize(w, x, moving[i], training)
        elif kind == "embed":
            x = w["table"][x]
        elif kind in ("lstm", "gru"):
            x = {"lstm": lstm, "gru": gru}[kind](w, x)
        elif kind == "bilstm":
            x = both_ways(w, x, arguments[1])
        elif kind == "flatten":
            x = x.reshape(len(x), -1)
        elif kind in ("mean1d", "mean2d"):
            x = x.mean(tuple(range(1, x.ndim - 1)))
        elif kind == "max1d":
            x = x.max(1)
        elif kind == "dropout" and training:
            keep = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - arguments[0], x.shape)
            x = jnp.where(keep, x / (1 - arguments[0]), 0)
        if kind == "relu" or arguments[-1:] == ["relu"]:
            x = jax.nn.relu(x)
    return x, tuple(moving)


def final(workload, x):
    if workload.classes > 1:
        return jax.nn.softmax(x)
    return jax.nn.sigmoid(x) if workload.counts_hits else x


# ---- the step ------------------------------------------------------------------------------------------


def compare(workload, pred, y):
    """The mean loss of a batch, and how many rows are right."""
    if workload.classes > 1:
        loss = optax.softmax_cross_entropy_with_integer_labels(pred, y)
        return loss.mean(), (pred.argmax(-1) == y).sum()
    if workload.counts_hits:
        return optax.sigmoid_binary_cross_entropy(pred, y).mean(), ((pred > 0) == (y > 0.5)).sum()
    return ((pred - y) ** 2).mean(), jnp.zeros((), int)


def make_step(workload, optimizer):
    """The jitted step: (state, x, y, rows) -> state; with `rows=None`, x and y are the batch itself."""

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, x, y, rows):
        params, moving, memory, key, total, hits = state
        if rows is not None:
            x, y = x[rows], y[rows]
        key, here = jax.random.split(key)

        def objective(params):
            pred, moved = forward(workload.chain, params, moving, x, here, training=True)
            loss, right = compare(workload, pred, y)
            return loss, (moved, right)

        (loss, (moved, right)), gradients = jax.value_and_grad(objective, has_aux=True)(params)
        updates, memory = optimizer.update(gradients, memory, params)
        params = optax.apply_updates(params, updates)
        return params, moved, memory, key, total + loss * len(x), hits + right

    return step


class Loop:
    """The model and its training loop."""

    def __init__(self, workload, x, y):
        self.workload, self.rng, self.steps = workload, np.random.default_rng(1), 0
        self.rows, self.sample = x, x[:1]
        self.x, self.y = (x, y) if workload.on_disk else (jnp.asarray(x), jnp.asarray(y))
        optimizer = optax.adam(1e-3, eps=1e-7)
        params, moving = self.init()
        self.state = (params, moving, optimizer.init(params), jax.random.key(1), jnp.zeros(()), jnp.zeros((), int))
        self.step = make_step(workload, optimizer)
        self.forward = jax.jit(self.answer)
        self.ways = {"call": self.call}

    def init(self):
        """First weights of every link, and the moving averages."""
        params, moving, shape = [], [], jax.ShapeDtypeStruct(self.sample.shape, self.sample.dtype)
        for link in self.workload.chain:
            kind, *arguments = link
            w = weights(kind, arguments, shape.shape[-1], self.rng)
            width = shape.shape[-1]
            moved = (np.zeros(width, np.float32), np.ones(width, np.float32)) if kind == "norm" else ()
            one = functools.partial(forward, (link,), key=None, training=False)
            shape = jax.eval_shape(lambda w, m, x, one=one: one((w,), (m,), x)[0], w, moved, shape)
            params.append(w)
            moving.append(moved)
        return jax.tree.map(jnp.asarray, (tuple(params), tuple(moving)))

    def fit(self, epochs):
        """Whole epochs; the loss of the last one."""
        size, rows = self.workload.batch, len(self.x)
        for _ in range(epochs):
            order = self.rng.permutation(rows).astype(np.int32)
            self.state = (*self.state[:4], jnp.zeros(()), jnp.zeros((), int))
            for start in range(0, rows, size):
                picked = order[start : start + size]
                if self.workload.on_disk:
                    self.state = self.step(self.state, self.x[picked], self.y[picked], None)
                else:
                    self.state = self.step(self.state, self.x, self.y, picked)
                self.steps += 1
            logs = float(self.state[4]) / rows, int(self.state[5]) / rows
        return logs[0]

    def row(self):
        return self.sample

    def many(self, rows, size):
        """Predictions for the first `rows` rows, `size` at a time."""
        found = [self.forward(*self.state[:2], self.rows[start : start + size]) for start in range(0, rows, size)]
        return np.concatenate([np.asarray(part) for part in found])

    def answer(self, params, moving, x):
        return final(self.workload, forward(self.workload.chain, params, moving, x, None, training=False)[0])

    def call(self, row):
        return np.asarray(self.forward(*self.state[:2], row))

    @property
    def weights(self):
        return sum(leaf.size for leaf in jax.tree.leaves(self.state[0]))


def open_model(workload, x, y):
    return Loop(workload, x, y)
