"""Arrays out of pickles and .npz files, without ever running what a pickle asks for.

Floor 6. The reviews of IMDB and the pictures of CIFAR are published as pickles. Python's unpickler reads them here,
but the only names that it finds are the two stand-ins below, which note what they are given; arrays of plain numbers,
or of lists, are then made from the notes. Not even NumPy's own unpickling is used.
"""

import io
import math
import pickle
import re
import zipfile

import numpy as np

from ..base.report import FileError


class Refused(FileError, pickle.UnpicklingError):
    """A pickle that asks for more than arrays."""


class Dtype:
    """Stands for numpy.dtype: a code such as `u1`, and the order of its bytes."""

    def __init__(self, code="", align=False, copy=False):
        self.code, self.order = as_text(code), "|"

    def __setstate__(self, state):
        self.order = as_text(state[1])

    @property
    def real(self):
        if self.code in ("O", "O8"):
            return np.dtype(object)
        if self.order not in ("<", ">", "|", "=") or not re.fullmatch("b1|[iuf][1248]", self.code):
            raise Refused("Refusing to read this array", saw=f"numbers of type {self.order}{self.code}")
        return np.dtype(self.order + self.code)


class Array:
    """Stands for numpy.ndarray, and for the function that begins one: shape, dtype, and bytes or a list."""

    def __init__(self, *begun):
        self.shape, self.dtype, self.columns, self.data = (0,), Dtype("u1"), False, b""

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.columns, self.data = state

    @property
    def real(self):
        dtype = self.dtype.real
        if not dtype.hasobject:
            flat = np.frombuffer(self.data, dtype).copy()
        else:
            flat = np.empty(math.prod(self.shape), object)
            if not isinstance(self.data, list) or len(self.data) != flat.size:
                raise ValueError(f"{len(self.data)} items for the shape {self.shape}")
            for i, item in enumerate(self.data):
                flat[i] = made(item)
        return flat.reshape(self.shape, order="F" if self.columns else "C")


NAMES = {
    "numpy.ndarray": Array, "numpy.dtype": Dtype,
    "numpy.core.multiarray._reconstruct": Array, "numpy._core.multiarray._reconstruct": Array,
}  # fmt: skip


class Reader(pickle.Unpickler):
    """Finds nothing but the stand-ins."""

    def find_class(self, module, name):
        if f"{module}.{name}" not in NAMES:
            raise Refused("Refusing to read this pickle: it asks for code", saw=f"{module}.{name}", want="arrays")
        return NAMES[f"{module}.{name}"]


def load_pickle(file, encoding="ASCII"):
    """What a pickle holds, of dicts, lists, numbers, strings and arrays. Anything else is a FileError."""
    try:
        found = Reader(file, encoding=encoding).load()
        return {key: made(value) for key, value in found.items()} if isinstance(found, dict) else made(found)
    except FileError:
        raise
    except Exception as error:  # whatever a damaged pickle does to the unpickler and to the notes
        raise Refused("this pickle is damaged", saw=f"{type(error).__name__}: {error}") from error


def made(value):
    """The array that a stand-in noted; anything else as it is."""
    return value.real if isinstance(value, Array) else value


def as_text(value):
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def load_npz(path):
    """{name: array} of an .npz file; arrays of objects hold lists and numbers."""
    with zipfile.ZipFile(path) as archive:
        return {
            name.removesuffix(".npy"): load_npy(io.BytesIO(archive.read(name)))
            for name in archive.namelist()
            if name.endswith(".npy")
        }


def load_npy(file):
    """One array of an .npz file."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    if header(file)[2].hasobject:
        return load_pickle(file)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
