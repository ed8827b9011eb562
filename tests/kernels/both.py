"""A function traced with kernels and without: the two must agree."""

import jax
import numpy as np
import pytest

from seriatim import kernels
from seriatim.kernels import library

needs_kernels = pytest.mark.skipif(not library.ready(), reason=library.status())


def both(function, *args):
    """(with kernels, in plain XLA): the results of a function of arrays, as NumPy trees."""

    def traced(wanted):
        def run(*args):
            with kernels.use(wanted):
                return function(*args)

        return jax.tree.map(np.asarray, jax.jit(run)(*args))

    return traced(True), traced(False)


def close(found, wanted, tolerance=1e-5):
    """Equal to `tolerance` of the largest entry: sums of many terms are rounded at the size of their parts."""
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        scale = np.abs(b[np.isfinite(b)]).max(initial=1e-30)
        np.testing.assert_allclose(a / scale, b / scale, rtol=0, atol=tolerance)


def with_gradients(function, seed=4321):
    """The value of `function`, and the gradients of a random sum of it."""

    def run(*args):
        y, pull = jax.vjp(function, *args)
        weights = [np.random.default_rng(seed).normal(size=leaf.shape).astype("f") for leaf in jax.tree.leaves(y)]
        return y, pull(jax.tree.unflatten(jax.tree.structure(y), weights))

    return run


def serves(function, *args):
    """Whether tracing `function` with kernels calls one."""
    with kernels.use():
        return "ffi_call" in str(jax.make_jaxpr(function)(*args))
