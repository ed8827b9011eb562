"""Where arrays lie. Floor 0."""

import math

import numpy as np

ALIGNED = 64  # bytes: where XLA's CPU device takes an array without a copy


def aligned(shape, dtype):
    """An array to fill, where the device reads it in place."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + ALIGNED, np.uint8)
    start = -room.ctypes.data % ALIGNED
    return room[start : start + size].view(dtype).reshape(shape)
