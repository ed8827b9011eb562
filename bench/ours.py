"""Our side: `fit` on a Sequential."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from keras_words import Fitted

import seriatim
from seriatim import Sequential, layers, optimizers  # noqa: F401  (names are resolved at first use: here)


def versions():
    return {"seriatim": seriatim.__version__, "jax": jax.__version__}


def device():
    return jax.devices()[0].device_kind


def rate(size=2048, tries=7):
    """Floating-point operations a second of XLA's float32 product: the best of some, in billions."""
    a = jnp.asarray(np.random.default_rng(0).random((size, size), dtype=np.float32))
    product = jax.jit(lambda a: a @ a)
    times = []
    for _ in range(tries + 1):
        began = time.perf_counter()
        product(a).block_until_ready()
        times.append(time.perf_counter() - began)
    return {"gflops": 2 * size**3 / min(times[1:]) / 1e9}


def flow(size=1 << 26, tries=5):
    """Bytes a second, read and written, of one addition over an array larger than any cache: the best, in billions.

    In place: a new array for each sum would measure how fast the system hands out pages.
    """
    a = jnp.zeros(size, jnp.float32)
    move = jax.jit(lambda a: a + 1, donate_argnums=0)
    times = []
    for _ in range(tries + 1):
        began = time.perf_counter()
        a = move(a).block_until_ready()
        times.append(time.perf_counter() - began)
    return {"gbytes": 2 * a.nbytes / min(times[1:]) / 1e9}


def open_model(workload, x, y):
    return Fitted(seriatim, workload, x, y)
