"""A row is a signature of Keras and the function that does it: `rows("sum(x, axis=None, keepdims=False)", jax.numpy)`.

Floor 6. Arguments without a default go on by place, the others by name, so that only what is called differently, or
done differently, has to be written out.
"""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np

ARRAYS = ("x", "x1", "x2", "y", "a", "b", "q", "indices", "values", "condition")


def row(signature, function):
    """A function of Keras's signature, which hands its arguments to `function`."""
    name, _, rest = signature.partition("(")
    wanted = inspect.signature(eval(f"lambda {rest[:-1]}: None", {}))  # our own tables, never a user's text
    by_place = [p.name for p in wanted.parameters.values() if p.default is p.empty]

    @functools.wraps(function, updated=())
    def call(*args, **kwargs):
        given = wanted.bind(*args, **kwargs)
        given.apply_defaults()
        values = {key: plain(value) if key in ARRAYS else value for key, value in given.arguments.items()}
        first = [values.pop(key) for key in by_place]
        return function(*first, **values)

    call.__name__ = call.__qualname__ = name
    call.__signature__ = wanted
    call.__doc__ = f"{signature}: see `{function.__module__}.{getattr(function, '__name__', name)}`."
    return call


def rows(text, place):
    """{name: function} of signatures that stand apart by semicolons; the functions are those of `place`."""
    signatures = [" ".join(part.split()) for part in text.split(";") if part.strip()]
    return {s.partition("(")[0]: row(s, getattr(place, s.partition("(")[0])) for s in signatures}


def plain(x):
    """Lists and variables as arrays; arrays, numbers and None as they are."""
    if x is None or isinstance(x, (jax.Array, np.ndarray, bool, int, float, complex, np.generic)):
        return x
    return jnp.asarray(getattr(x, "value", x))
