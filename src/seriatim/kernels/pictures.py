"""A picture in another size, on the thread that reads it (pictures.cc).

Floor 1.
"""

import ctypes

import numpy as np

from . import library

WORDS = (ctypes.c_void_p, *[ctypes.c_int64] * 3, *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64) * 2,
         ctypes.c_void_p, *[ctypes.c_int64] * 3)  # fmt: skip


def resize(picture, rows, columns, out):
    """Fill out (H, W, c) float32 from picture (h, w, c) uint8; False, and nothing done, where no kernel serves.

    rows and columns are (entries, weights) of the new ones, int64 and float32, both (new, taps).
    """
    call = library.function("resize_picture")
    if call is None or picture.shape[2] not in (1, 3, 4) or not (dense(picture, np.uint8) and dense(out, np.float32)):
        return False
    call.argtypes, call.restype = WORDS, None
    taps = [word for entries, weights in (rows, columns)
            for word in (entries.ctypes.data, weights.ctypes.data, entries.shape[1])]  # fmt: skip
    old = picture.ctypes.data, picture.strides[0], *picture.shape[1:]
    call(*old, *taps, out.ctypes.data, out.strides[0] // 4, *out.shape[:2])
    return True


def dense(array, dtype):
    """Whether the pixels of a row lie side by side."""
    size = array.itemsize
    return array.dtype == dtype and array.strides[1:] == (array.shape[2] * size, size) and array.strides[0] > 0
