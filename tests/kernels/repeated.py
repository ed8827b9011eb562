"""Every kernel, and the steps of two models, called again and again in one program: the same bits each time?

As a script (`python repeated.py CALLS [CPU]`) on the processors of the machine, or on one: a line for each case with
the number of calls that gave the bits of the first, and a digest of them.
"""

import hashlib
import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import seriatim
from seriatim import kernels, layers, optimizers
from seriatim.data.source import Batch
from seriatim.engine import step
from seriatim.kernels.noise import drop
from seriatim.kernels.rows import Rows
from seriatim.math import recurrence, windows
from seriatim.math.activations import relu
from seriatim.math.affine import look_up, product
from seriatim.math.moments import standardise
from seriatim.train.session import Session

SIZE = {"simple": 1, "lstm": 4, "gru": 3}
CELLS = {"simple": recurrence.SIMPLE, "lstm": recurrence.LSTM, "gru": recurrence.GRU}
ROWS = Rows(np.random.default_rng(5).normal(size=(3000, 300)).astype("float32"))


def draw(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype("float32")


def pulled(function):
    """The value and the gradients of a sum that weighs every entry of it (numbers from outside: XLA's own cosines of
    the last columns depend on who computes them)."""

    def run(*args):
        y, pull = jax.vjp(function, *args)
        return y, pull(jax.tree.map(lambda leaf: draw(*leaf.shape, seed=7), y))

    return run


def recurrent(name):
    def run(x, kernel, recurrent_kernel, bias, h):
        weights = recurrence.Weights(kernel, recurrent_kernel, bias, bias if name == "gru" else None)
        return recurrence.recur(CELLS[name], x, weights, (h,) * CELLS[name].states, sequences=True)

    width = 24 * SIZE[name]
    return pulled(run), (draw(37, 20, 9), draw(9, width), draw(24, width) / 5, draw(width), draw(37, 24))


def moved(optimizer):
    params = [{"kernel": draw(600, 700), "bias": draw(700)}]

    def run(params, state):
        return optimizer.advance(jax.tree.map(jnp.sin, params), state, params, finite=jnp.bool_(True))

    return run, (params, optimizer.init(params))


def stepped(build, x, y):
    """A whole step of training, from the state that a fit would begin with."""
    seriatim.utils.set_random_seed(1)
    model = build()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    batch = Batch(x, y)
    session = Session(model, model.ready(batch, training=True))
    plain = session.ts._replace(key=jax.random.key_data(session.ts.key))

    def run(ts, x, y):
        after = step.train_step(session.plan, ts._replace(key=jax.random.wrap_key_data(ts.key)), Batch(x, y))
        return after._replace(key=jax.random.key_data(after.key))

    return run, (plain, x, y)


def image_chain():
    hidden = [
        layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(), layers.DepthwiseConv2D(3),
        layers.BatchNormalization(), layers.ReLU(), layers.Conv2D(24, 3), layers.AveragePooling2D(2), layers.Flatten(),
        layers.Dropout(0.3), layers.Dense(70, activation="relu"),
    ]  # fmt: skip
    return seriatim.Sequential([seriatim.Input((20, 20, 3)), *hidden, layers.Dense(10, activation="softmax")])


def text_chain():
    hidden = [layers.Embedding(200, 16), layers.LSTM(24, return_sequences=True), layers.GRU(20)]
    return seriatim.Sequential([seriatim.Input((15,)), *hidden, layers.Dense(10, activation="softmax")])


def cases():
    """name -> (function, arguments): each large enough for several threads, by the measure of cpp/pool.h."""
    ids = np.random.default_rng(2).integers(0, 3000, 2500)
    labels = np.arange(40) % 10
    conv, pool = (draw(6, 19, 18, 16), draw(3, 3, 16, 24), draw(24)), (draw(9, 33, 32, 24),)
    return {
        "dense": (pulled(lambda x, w, b: product(x, w, b, relu)), (draw(130, 70), draw(70, 90), draw(90))),
        "conv": (pulled(lambda x, w, b: windows.conv(x, w, (1, 1), "same", None, 1, bias=b, activation=relu)), conv),
        "conv apart": (pulled(lambda x, w, b: windows.conv(x, w, (2, 1), "valid", (1, 2), bias=b)), conv),
        "conv, largest": (pulled(lambda x, w, b: windows.global_max(windows.conv(x, w, (1, 1), bias=b), (1, 2))), conv),
        "depthwise": (pulled(lambda x, w: windows.depthwise_conv(x, w, (1, 1))), (pool[0], draw(3, 3, 24, 1))),
        "max": (pulled(lambda x: windows.max_pool(x, (2, 2), (2, 2))), pool),
        "max over": (pulled(lambda x: windows.max_pool(x, (3, 3), (2, 2), "same")), pool),
        "average": (pulled(lambda x: windows.average_pool(x, (2, 2), (2, 2))), pool),
        "norm": (pulled(lambda x, g, b: standardise(x, g, b, 1e-3)[0]), (draw(7000, 33), draw(33), draw(33))),
        "drop": (pulled(lambda x: drop(x, jnp.array([3, 4], jnp.uint32), 2**31, 2.0)), (draw(700, 500),)),
        "look up": (pulled(lambda table: look_up(table, ids)), (draw(3000, 60),)),
        "fetch": (lambda ids: ROWS.take(ids), (ids,)),
        **{name: recurrent(name) for name in CELLS},
        "adam": moved(optimizers.Adam()), "sgd": moved(optimizers.SGD(momentum=0.9)),
        "rmsprop": moved(optimizers.RMSprop()),
        "step of images": stepped(image_chain, draw(40, 20, 20, 3), labels),
        "step of text": stepped(text_chain, np.random.default_rng(3).integers(0, 200, (40, 15)), labels),
    }  # fmt: skip


def bits(tree):
    """All numbers as 32-bit words, one after another."""
    leaves = [leaf if leaf.dtype.itemsize == 4 else leaf.astype(jnp.uint32) for leaf in jax.tree.leaves(tree)]
    return jnp.concatenate([lax.bitcast_convert_type(leaf, jnp.uint32).ravel() for leaf in leaves])


def repeat(function, args, calls):
    """(how many of the calls gave the bits of the first, these bits), in one program."""

    def program(args):
        first = bits(function(*args))

        def again(i, alike):  # the barrier: the compiler must not see that nothing changes
            _, here = lax.optimization_barrier((i, args))
            return alike + jnp.all(bits(function(*here)) == first)

        return lax.fori_loop(1, calls, again, jnp.int32(1)), first

    return jax.jit(kernels.served(program))(args)


def run(calls):
    """name -> (how many of `calls` were alike, digest of the result)."""
    found = {}
    for name, (function, args) in cases().items():
        alike, first = repeat(function, args, calls)
        found[name] = int(alike), hashlib.sha256(np.asarray(first).tobytes()).hexdigest()
    return found


if __name__ == "__main__":
    if len(sys.argv) > 2:
        os.sched_setaffinity(0, {int(sys.argv[2])})  # before XLA counts the processors
    for name, (alike, digest) in run(int(sys.argv[1])).items():
        print(name, alike, digest, sep="\t")
