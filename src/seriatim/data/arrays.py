"""Whatever holds numbers becomes one NumPy or JAX array, or an error that names the value in the way.

Floor 2. Arrays, lists, pandas, polars, torch and TensorFlow tensors, SciPy sparse matrices. Whole numbers
keep their type (uint8 images travel as uint8); float64 becomes the float type of the settings.
"""

import jax
import numpy as np

from ..base import settings
from ..base.memory import aligned
from ..base.report import DataError


def to_array(value, what="x"):
    """One array with a batch axis. `what` names it in messages."""
    if isinstance(value, jax.Array):
        return value
    array = _dense(value, what)
    if array.ndim == 0:
        raise DataError(f"{what} is a single number", saw=repr(value), want="rows", fix=f"{what} = [[{value}]]")
    if array.dtype.kind in "OUSM":
        array = _numbers(array, what)
    return _narrow(array)


def _dense(value, what):
    if hasattr(value, "toarray") and hasattr(value, "nnz"):  # SciPy sparse
        return value.toarray()
    if hasattr(value, "detach"):  # torch
        return value.detach().cpu().numpy()
    if hasattr(value, "columns") or (hasattr(value, "to_numpy") and not hasattr(value, "dtypes")):
        return _table(value, what)
    try:
        return np.asarray(value)
    except ValueError as error:
        lengths = sorted({len(row) for row in value if hasattr(row, "__len__")})
        raise DataError(
            f"the rows of {what} have different lengths", saw=f"lengths {lengths[:5]}",
            want="rows of one length", fix=f"{what} = seriatim.utils.pad_sequences({what})",
        ) from error  # fmt: skip


def _table(value, what):
    """A data frame or a column of one; missing values and words are reported by column."""
    array = value.to_numpy()
    if array.dtype.kind not in "OUSM" or not hasattr(value, "columns"):
        return array
    for column in value.columns:
        part = np.asarray(value[column].to_numpy())
        if part.dtype.kind in "OUSM":
            _numbers(part, f"column {column!r} of {what}")
    return array


def _numbers(array, what):
    """An array of Python objects as numbers, or an error with the first value that is none."""
    try:
        return array.astype("float64") if array.dtype.kind == "O" else _refuse(array.flat[0], what)
    except (TypeError, ValueError):
        for item in array.flat:
            if not isinstance(item, (int, float, np.number, bool)):
                _refuse(item, what)
        raise


def _refuse(item, what):
    kind = "a missing value" if item is None or str(item) in ("<NA>", "NaT") else f"{item!r} ({type(item).__name__})"
    raise DataError(
        f"{what} holds something that is not a number", saw=kind, want="numbers",
        fix="drop or fill missing values; turn words into numbers (for classes: codes, or to_categorical)",
    )  # fmt: skip


def _narrow(array):
    """The type the device uses: float64 -> floatx, int64 -> int32 where the values fit."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "f" and array.dtype != settings.floatx() and settings.floatx() != "bfloat16":
        return array.astype(settings.floatx())
    if kind in "iu" and size == 8:
        if array.size and (array.max() > 2**31 - 1 or array.min() < -(2**31)):
            return array.astype(settings.floatx())
        return array.astype("int32")
    return np.ascontiguousarray(array) if array.ndim else array


def private(array):
    """A copy of a NumPy array, for readers that run ahead.

    What yields batches may fill one buffer again and again; `jax.device_put` reads such a buffer late, or for ever.
    """
    if isinstance(array, jax.Array) or array.dtype.kind == "O":
        return array
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy


def is_array(value):
    """Whether a value is data by itself (a list counts if it holds numbers), not a stream of batches."""
    if isinstance(value, (np.ndarray, jax.Array)):
        return True
    if isinstance(value, (list, tuple)):
        return len(value) > 0
    if hasattr(value, "toarray") or hasattr(value, "detach") or hasattr(value, "to_numpy"):
        return True
    return hasattr(value, "__array__") and hasattr(value, "shape")


def class_weights(weights, y, sample_weight):
    """A weight for each row from {class: weight}; classes that are not named weigh 1."""
    if sample_weight is not None:
        raise DataError("class_weight and sample_weight exclude each other", saw="both", want="one of them")
    labels = np.asarray(y)
    if labels.ndim > 1:
        labels = labels.argmax(-1) if labels.shape[-1] > 1 else labels[..., 0]
    if labels.ndim > 1:
        raise DataError("class_weight needs one class for each row", saw=f"y {np.shape(y)}", want="y (n,) or (n, k)")
    labels = labels.astype("int64")
    table = {int(label): float(weight) for label, weight in dict(weights).items()}
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    lookup = np.array([table.get(label, 1.0) for label in range(low, high + 1)], settings.floatx())
    return lookup[labels - low]
