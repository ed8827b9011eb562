"""The same functions as `math`, as kernels for the CPU: C++ behind XLA's foreign-function interface.

Floor 1, below `math`, which asks `serve(x, …)` and, where the answer is yes, calls a function of the same name here.
The answer is yes inside the programs of the engine (`served(step)`), on a CPU, for float32, if the library was built.
Everywhere else, a user's own `jax.grad`, a GPU, an export, plain XLA does the same work.

A kernel has one gradient, backwards. So have the gradients that `math` writes by hand, and they too serve only in the
engine's programs (`once()`): a user's own derivatives are JAX's, of any order, forwards and backwards.
"""

import contextlib
import threading

import jax
import jax.numpy as jnp

from . import library

# Of this thread: None outside the engine's programs, else whether kernels serve in it. JAX's own kind of switch, so
# that what jit keeps of a function traced in one state is not used in another.
_state = jax.make_user_context(None)

# How JAX says that a program wants another derivative: of a gradient, or forwards.
UNDIFFERENTIABLE = (f"FFI call to `{library.PREFIX}", "custom_vjp function", "'custom_lin' not implemented")

_newest = threading.local()  # of the arrays that kernels made, while a program is traced


def offered(dtype=jnp.float32):
    """Whether a program traced with kernels will find them for arrays of this dtype."""
    return jnp.dtype(dtype) == jnp.float32 and jax.default_backend() == "cpu" and library.ready()


@contextlib.contextmanager
def use(wanted=True):
    """While this thread traces a program of the engine: kernels where they serve (or, with False, nowhere)."""
    on = wanted and offered()
    try:
        with _state(on):
            yield on
    finally:
        _newest.noted = None


def served(function, wanted=True):
    """`function` as a program of the engine; in JAX's own operations alone if a layer asks for other derivatives."""

    def traced(*args):
        program = jax.jit(lambda *args: function(*args), inline=True)  # if it fails, nothing of it stays in the other
        try:
            with use(wanted):
                if not any(step.primitive.name == "custom_lin" for step in _steps(program.trace(*args).jaxpr)):
                    return program(*args)
        except (TypeError, ValueError, NotImplementedError) as error:
            if not any(sign in str(error) for sign in UNDIFFERENTIABLE):
                raise
        return function(*args)

    return traced


def _steps(jaxpr):
    """All operations of a program, those of its inner programs too."""
    for step in jaxpr.eqns:
        yield step
        for part in jax.tree.leaves(list(step.params.values())):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                yield from _steps(inner)


def serve(*arrays):
    """Whether kernels do the work for these arrays: here, now, and in float32 (None asks for nothing)."""
    return bool(_state.value) and all(a is None or a.dtype == jnp.float32 for a in arrays)


def once():
    """Whether this is a program of the engine, which takes one gradient, backwards."""
    return _state.value is not None


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
