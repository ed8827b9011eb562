"""`seriatim.ops`: arrays in and out, loops and choices.

Floor 6.
"""

import re
from math import prod

import jax
import jax.numpy as jnp
import numpy as np

from ..base.report import UsageError
from .table import plain, rows

ROWS = rows(
    """
    associative_scan(f, elems, reverse=False, axis=0); fori_loop(lower, upper, body_fun, init_val);
    map(f, xs); scan(f, init, xs=None, length=None, reverse=False, unroll=1)
    """,
    jax.lax,
)


def switch(index, branches, *operands):
    """branches[index](*operands), the index kept within the list."""
    return jax.lax.switch(index, branches, *operands)


def cond(pred, true_fn, false_fn):
    """true_fn() or false_fn()"""
    return jax.lax.cond(pred, true_fn, false_fn)


def convert_to_tensor(x, dtype=None, sparse=None, ragged=None):
    """x as an array."""
    return jnp.asarray(plain(x), dtype)


def convert_to_numpy(x):
    """x as a NumPy array."""
    return np.asarray(x)


def cast(x, dtype):
    """x as an array of another dtype."""
    return jnp.asarray(plain(x)).astype(dtype)


def saturate_cast(x, dtype):
    """x as another dtype; what it cannot hold becomes its least or greatest number."""
    x, dtype = jnp.asarray(plain(x)), jnp.dtype(dtype)
    if not jnp.issubdtype(dtype, jnp.integer):
        return x.astype(dtype)
    info = jnp.iinfo(dtype)
    below, above = x <= info.min, x >= info.max  # compared before the cast: a float cannot say int32's greatest
    return jnp.where(below, info.min, jnp.where(above, info.max, jnp.where(below | above, 0, x).astype(dtype)))


def shape(x):
    """The sizes of the axes, as a tuple."""
    return tuple(np.shape(x) if not hasattr(x, "shape") else x.shape)


def dtype(x):
    """The name of the dtype."""
    return str(x.dtype)


def is_tensor(x):
    """Whether x is a JAX array."""
    return isinstance(x, jax.Array)


def stop_gradient(variable):
    """The same value, a constant to every gradient."""
    return jax.lax.stop_gradient(plain(variable))


def custom_gradient(f):
    """f returns (y, backward), and `backward(dy)` the gradient; the decorated function returns y."""

    @jax.custom_vjp
    def forward(*args):
        return f(*args)[0]

    def backward(saved, dy):
        given = f(*saved)[1](dy)
        return given if isinstance(given, tuple) else (given,)

    forward.defvjp(lambda *args: (f(*args)[0], args), backward)
    return forward


def scatter(indices, values, shape):
    """Zeros of `shape` with the values added at the indices (…, axes)."""
    values = jnp.asarray(plain(values))
    return jnp.zeros(shape, values.dtype).at[_places(indices)].add(values)


def scatter_update(inputs, indices, updates, reduction=None):
    """inputs with the updates at the indices (…, axes): set, or joined by add, max, min or mul."""
    at = jnp.asarray(plain(inputs)).at[_places(indices)]
    how = {None: at.set, "add": at.add, "max": at.max, "min": at.min, "mul": at.multiply}
    if reduction not in how:
        raise UsageError("unknown reduction", saw=repr(reduction), want="None, 'add', 'max', 'min' or 'mul'")
    return how[reduction](plain(updates))


def _places(indices):
    return tuple(jnp.moveaxis(jnp.asarray(plain(indices)), -1, 0))


def slice(inputs, start_indices, shape):
    """The block of `shape` that starts at these indices."""
    return jax.lax.dynamic_slice(plain(inputs), start_indices, shape)


def rearrange(tensor, pattern, **axes_lengths):
    """The axes named on the left of "->" in the order of the right; parentheses split an axis, or join some into one.

    Sizes within a split axis are given by name, all or all but one. Rogozhnikov, 2022 (einops).

    >>> rearrange(jnp.ones((2, 6, 4, 3)), "b (i h) w c -> b h (i w) c", i=2).shape
    (2, 3, 8, 3)
    """
    x = jnp.asarray(plain(tensor))

    def refuse(why):
        raise UsageError(f"rearrange: {why}", saw=f"{pattern!r} for an array of shape {x.shape}, {axes_lengths}")

    sides = [
        [group.strip("()").split() for group in re.findall(r"\([^()]*\)|\w+", side)] for side in pattern.split("->")
    ]
    if len(sides) != 2 or re.search(r"[^\w\s()>-]", pattern):
        refuse("a pattern is two lists of names with -> between them")
    left, right = sides
    names = [name for group in left for name in group]
    if len(left) != x.ndim:
        refuse(f"the left side has {len(left)} axes, the array {x.ndim}")
    if len(set(names)) != len(names) or sorted(names) != sorted(name for group in right for name in group):
        refuse("each name stands once on each side")
    sizes = {name: axes_lengths[name] for name in names if name in axes_lengths}
    for group, size in zip(left, x.shape, strict=True):
        unknown, known = [name for name in group if name not in sizes], prod(sizes.get(name, 1) for name in group)
        if len(unknown) > 1 or (size % known if unknown else size != known):
            refuse(f"({' '.join(group)}) does not make {size}")
        sizes |= dict.fromkeys(unknown, size // known)
    apart = x.reshape([sizes[name] for name in names])
    ordered = apart.transpose([names.index(name) for group in right for name in group])
    return ordered.reshape([prod(sizes[name] for name in group) for group in right])


def slice_update(inputs, start_indices, updates):
    """inputs with a block replaced."""
    return jax.lax.dynamic_update_slice(plain(inputs), plain(updates), start_indices)


def unstack(x, num=None, axis=0):
    """The slices along an axis, as a list."""
    return list(jnp.moveaxis(jnp.asarray(plain(x)), axis, 0))


def vectorized_map(function, elements):
    """The function over the rows of every array in `elements`, at once."""
    return jax.vmap(function)(elements)


def while_loop(cond, body, loop_vars, maximum_iterations=None):
    """loop_vars = body(*loop_vars) while cond(*loop_vars)"""
    single = not isinstance(loop_vars, (tuple, list))
    start = (loop_vars,) if single else tuple(loop_vars)

    def step(now):
        new = body(*now[1])
        return now[0] + 1, (new,) if single else tuple(new)

    def more(now):
        go = cond(*now[1])
        return go if maximum_iterations is None else jnp.logical_and(go, now[0] < maximum_iterations)

    end = jax.lax.while_loop(more, step, (0, start))[1]
    return end[0] if single else list(end) if isinstance(loop_vars, list) else end
