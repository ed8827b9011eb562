"""Rows of a table by their numbers, as kernels: a batch out of the data, vectors out of an embedding (rows.cc).

Floor 1.
"""

import threading

import jax
import jax.numpy as jnp
import numpy as np

from . import call

_running = []  # (an array that a program is making, the rows it reads): they stay until it is made
_lock = threading.Lock()  # several threads may each train a model


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


# ---- rows that stay where they are ----------------------------------------------------------------------


@jax.tree_util.register_pytree_node_class
class Rows:
    """The rows of a NumPy array (n, …), read by a program from where they lie: in memory, or in a file it maps.

    Nothing is copied to the device. What a program gets of them has JAX's type: 64-bit numbers arrive as 32-bit ones.
    Whoever calls a program with them tells `hold`, since the program runs on after the call.
    """

    def __init__(self, array):
        self.array = np.ascontiguousarray(array)
        self.words = np.array([self.array.ctypes.data & 0xFFFFFFFF, self.array.ctypes.data >> 32], np.uint32)
        self.shape, self.kept = self.array.shape, self.array.dtype

    @property
    def dtype(self):
        """What a program sees."""
        return jax.dtypes.canonicalize_dtype(self.kept)

    def take(self, ids):
        """rows[ids], for ids (b,) in range; traced."""
        out = jax.ShapeDtypeStruct((ids.shape[0], *self.shape[1:]), self.dtype)
        rows, wide = np.int64(self.shape[0]), bool(self.dtype != self.kept)
        return call("rows_fetch", out, self.words, ids.astype(jnp.int32), rows=rows, wide=wide)

    def tree_flatten(self):
        return (self.words,), (self.shape, self.kept)

    @classmethod
    def tree_unflatten(cls, known, children):
        rows = object.__new__(cls)
        (rows.words,), (rows.shape, rows.kept), rows.array = children, known, None
        return rows


def can_stay(array):
    """Whether a kernel reads such an array in place: every row a whole number of bytes, in this machine's order."""
    types = ("float32", "int32", "uint32", "uint8", "int8", "uint16", "int16", "bool", "float16", "float64", "int64")
    return isinstance(array, np.ndarray) and array.dtype.isnative and array.dtype.name in types and array.size > 0


def hold(made, rows):
    """Keep `rows` alive until the array `made` is there; what was kept for arrays that are there goes."""
    with _lock:
        _running[:] = [(out, kept) for out, kept in _running if not _there(out)]
        _running.append((made, rows))


def _there(array):
    """Whether an array is made, or was given on to the next program, by its own thread perhaps just now."""
    try:
        return array.is_deleted() or array.is_ready()
    except RuntimeError:
        return True
