"""The same functions as `math`, as kernels for the CPU: C++ behind XLA's foreign-function interface.

Floor 1, below `math`, which asks `serve(x, …)` and, where the answer is yes, calls a function of the same name here.
The answer is yes inside the programs of the engine (`served(step)`), on a CPU, for float32, if the library was built.
Everywhere else, a user's own `jax.grad`, a GPU, an export, plain XLA does the same work.
"""

import contextlib
import threading

import jax
import jax.numpy as jnp

from . import library

_here = threading.local()
_newest = threading.local()  # of the arrays that kernels made, while a program is traced


def offered(dtype=jnp.float32):
    """Whether a program traced with kernels will find them for arrays of this dtype."""
    return jnp.dtype(dtype) == jnp.float32 and jax.default_backend() == "cpu" and library.ready()


@contextlib.contextmanager
def use(wanted=True):
    """While this thread traces a program: kernels where they serve (or, with False, nowhere)."""
    before = getattr(_here, "on", False)
    _here.on = wanted and offered()
    try:
        yield _here.on
    finally:
        _here.on, _newest.noted = before, None


def served(function):
    """`function`, traced with kernels."""

    def traced(*args):
        with use():
            return function(*args)

    return traced


def serve(*arrays):
    """Whether kernels do the work for these arrays: here, now, and in float32 (None asks for nothing)."""
    return getattr(_here, "on", False) and all(a is None or a.dtype == jnp.float32 for a in arrays)


def note(array, **steps):
    """`array`, with the steps by name that could have been taken in the same kernel: each makes the result of both."""
    _newest.noted = array, steps
    return array


def joined(array, step):
    """How to take that step in the kernel that made this very array, if it is the newest; else None.

    What nobody asks for any more, the array, is not computed.
    """
    noted, steps = getattr(_newest, "noted", None) or (None, {})
    return steps.get(step) if noted is array else None


def call(name, shapes, *arrays, aliases=None, **attributes):
    """The kernel `name` on arrays; `shapes` says what it returns, in float32 unless they are ShapeDtypeStructs.

    Under `vmap` the members of the population are served one after another.
    """
    out = jax.tree.map(_struct, shapes, is_leaf=lambda s: isinstance(s, tuple) and all(isinstance(n, int) for n in s))
    run = jax.ffi.ffi_call(library.PREFIX + name, out, vmap_method="sequential", input_output_aliases=aliases)
    return run(*arrays, **attributes)


def _struct(shape):
    return shape if isinstance(shape, jax.ShapeDtypeStruct) else jax.ShapeDtypeStruct(shape, jnp.float32)
