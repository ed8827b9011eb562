"""Fashion-MNIST: 70,000 pictures of clothes, 28 x 28 pixels (Xiao, Rasul and Vollgraf 2017; MIT licence). Floor 6."""

import gzip
import math
import os
import struct

import numpy as np

from ..base.report import FileError
from .sources import fetch


def load_data():
    """(x_train, y_train), (x_test, y_test): uint8 images (60000, 28, 28) and (10000, 28, 28), labels 0 to 9.

    The labels: 0 T-shirt/top, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag,
    9 ankle boot.
    """
    folder = os.path.join("datasets", "fashion-mnist")
    names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("labels-idx1", "images-idx3")]
    y_train, x_train, y_test, x_test = [read_idx(fetch(name, cache_subdir=folder)) for name in names]
    return (x_train, y_train), (x_test, y_test)


def read_idx(path):
    """The uint8 array of an IDX file: 0, 0, 8, the number of axes, their lengths, the bytes."""
    try:
        with gzip.open(path, "rb") as file:
            content = file.read()
        axes = content[3]
        shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
        values = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    except (OSError, EOFError, IndexError, struct.error, ValueError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    if content[:3] != b"\0\0\x08" or values.size != math.prod(shape):
        raise damaged(path, f"{values.size} bytes for the shape {shape}")
    return values.reshape(shape).copy()


def damaged(path, saw):
    return FileError(
        "this file is damaged", saw=f"{path}: {saw}", fix=f"remove it; it is then downloaded again: {path}"
    )
