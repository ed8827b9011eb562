"""Layers at the head of the chain that the host runs, before the compiled program: strings travel no further.

Floor 2. A host layer has two halves. `feed(rows)` is NumPy, and runs in the feed: for arrays once ahead, for streams on
the thread that makes the next batch. What it gives enters the program, where `forward` may go on (whole numbers to
one-hot vectors). Nothing traced can stand before a host layer; the chain says so when one is added.
"""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from ..base.report import DataError, UsageError
from .infer import KerasTensor
from .layer import Layer, symbol
from .variable import Variable, is_traced


class HostLayer(Layer):
    """Abstract: `feed(rows)` on the host, in NumPy; then `forward` in the compiled program, the identity by default.

    A member may set `traced` to False where `forward` is the identity, and says in `compute_output_shape` what comes
    of a shape. Called directly, it takes arrays, lists or a single value, and gives a JAX array, or a NumPy array of
    strings.
    """

    host = True
    integers = True
    full_precision = True
    takes = "string"  # the dtype of an Input before it

    def feed(self, x):
        """What enters the compiled program for these rows: a NumPy array of numbers."""
        raise NotImplementedError(f"{type(self).__name__} defines no feed")

    def forward(self, w, x, call):
        return x

    def compute_output_shape(self, input_shape):
        raise NotImplementedError(f"{type(self).__name__} defines no compute_output_shape")

    def compute_output_spec(self, x, **options):
        """The KerasTensor behind the layer."""
        return KerasTensor(self.compute_output_shape(symbol(x).shape), self.compute_dtype if self.traced else "int32")

    def save_assets(self, dir_path):
        """Write what files keep of the layer beside its arrays, such as a vocabulary, into a folder."""
        for name, data in self.get_assets().items():
            Path(dir_path, name).write_bytes(data)

    def load_assets(self, dir_path):
        """Take what `save_assets` has written."""
        self.set_assets({path.name: path.read_bytes() for path in Path(dir_path).iterdir() if path.is_file()})

    def get_assets(self):
        """{file name: bytes}; most layers have none."""
        return {}

    def set_assets(self, files):
        """Take back what `get_assets` gave."""

    def get_build_config(self):
        return None  # as Keras: there is nothing to build

    def __call__(self, x, training=None, mask=None):
        """The output for rows, or for a single value."""
        x = symbol(x)
        if isinstance(x, KerasTensor):
            return self.compute_output_spec(x)
        x = x.value if isinstance(x, Variable) else x
        if is_traced(x):
            raise UsageError(
                f"{self.name} ({type(self).__name__}) runs on the host, before a compiled program", at=self._birthplace,
                saw="a call inside jax.jit or jax.grad", fix="call it first, and give its output to the function",
            )  # fmt: skip
        x = rows_of(x, self)
        fed = self.feed(x if x.ndim else x[None])
        if fed.dtype.kind not in "iufb":
            return fed if x.ndim else fed[0]
        y = Layer.__call__(self, fed, training, mask) if self.traced else whole(fed)
        return y if x.ndim else y[0]


def whole(ids):
    """Whole numbers as a JAX array; those that 32 bits cannot hold stay in NumPy."""
    small = ids.size == 0 or (ids.max() < 2**31 and ids.min() >= -(2**31))
    return jnp.asarray(ids, "int32") if small and ids.dtype.kind in "iu" else ids if not small else jnp.asarray(ids)


def rows_of(value, layer):
    """What was handed over as a NumPy array; strings are Python objects in it, or of NumPy's own kinds."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, (list, tuple)):
        return _nested(value, layer)
    if hasattr(value, "to_numpy"):  # pandas, polars
        return value.to_numpy()
    if hasattr(value, "detach"):  # torch
        return value.detach().cpu().numpy()
    return np.asarray(value)


def _nested(value, layer):
    """Lists as an array: NumPy's numbers, or objects (an array of NumPy's strings is as wide as the longest)."""
    array = np.array(value, object)
    kinds = set(map(type, array.ravel().tolist()))
    if list in kinds or tuple in kinds or np.ndarray in kinds:
        raise DataError(
            f"the rows for {layer.name} have different lengths", at=layer._birthplace,
            saw=f"{len(value)} lists of unequal length", want="rows of one length, or one text a row",
        )  # fmt: skip
    return array if kinds & {str, bytes} else np.array(value)


def strings_of(array, layer, encoding="utf-8"):
    """The strings of an array in a flat list; bytes are read in `encoding`."""
    flat = array.ravel().tolist()
    kinds = set(map(type, flat))
    if not all(issubclass(kind, (str, bytes)) for kind in kinds):
        odd = next(item for item in flat if not isinstance(item, (str, bytes)))
        raise DataError(
            f"{layer.name} ({type(layer).__name__}) takes strings", at=layer._birthplace,
            saw=f"{odd!r} of type {type(odd).__name__}", want="strings",
            fix="fill missing values, x.fillna(''); turn numbers into strings, x.astype(str)",
        )  # fmt: skip
    if any(issubclass(kind, bytes) for kind in kinds):
        return [item.decode(encoding, "replace") if isinstance(item, bytes) else item for item in flat]
    return flat


def looks(layer, data, steps=None):
    """`data` of an adapt in pieces: itself if it is an array or a list, else the first entry of each batch.

    The pieces of a list or an array (n,) are (n, 1): each entry is a document of its own.
    """
    if isinstance(data, (list, tuple)) or hasattr(data, "dtype") or hasattr(data, "to_numpy"):
        array = rows_of(data, layer)
        yield array[:, None] if array.ndim == 1 else array
        return
    if isinstance(data, (str, bytes)) or not (hasattr(data, "__iter__") or hasattr(data, "__getitem__")):
        raise DataError(
            f"{layer.name} cannot adapt to this", saw=type(data).__name__, want="an array, or an iterable of batches"
        )
    batches = data if hasattr(data, "__iter__") else (data[i] for i in range(len(data)))
    for i, batch in enumerate(batches):
        if steps is not None and i >= steps:
            return
        paired = isinstance(batch, tuple) and not isinstance(batch[0], (str, bytes))
        yield rows_of(batch[0] if paired else batch, layer)


def refuse(layer, **reasons):
    """A UsageError for arguments of Keras that have no place here."""
    for name, reason in reasons.items():
        if getattr(layer, name):
            raise UsageError(
                f"{type(layer).__name__}({name}=True) is not offered: {reason}", at=layer._birthplace,
                saw=f"{name}={getattr(layer, name)!r}", want="False",
            )  # fmt: skip


__all__ = ["HostLayer", "looks", "refuse", "rows_of", "strings_of", "whole"]
