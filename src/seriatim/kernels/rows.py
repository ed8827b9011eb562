"""Rows of a table by their numbers, as kernels: a batch out of the data, vectors out of an embedding (rows.cc).

Floor 1.
"""

import jax
import jax.numpy as jnp

from . import call


def take(table, ids):
    """table[ids] along the first axis, for any dtype; nothing is differentiated."""
    flat = ids.reshape(-1).astype(jnp.int32)
    out = jax.ShapeDtypeStruct((flat.shape[0], *table.shape[1:]), table.dtype)
    return call("rows_take", out, table, flat).reshape(ids.shape + table.shape[1:])


@jax.custom_vjp
def look_up(table, ids):
    """table[ids], (v, n) and (…) -> (…, n); out of range: NaN. Its gradient sums the rows of each number."""
    return take(table, ids)


def _forward(table, ids):
    return take(table, ids), (ids, table.shape)


def _backward(saved, dy):
    ids, shape = saved
    flat = ids.reshape(-1).astype(jnp.int32)
    table = call("rows_add", shape, flat, dy.reshape(flat.shape[0], *shape[1:]))
    return table, None


look_up.defvjp(_forward, _backward)
