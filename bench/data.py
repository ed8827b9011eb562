"""The data of a workload: random, of realistic size and type, the same for every framework."""

import os
from pathlib import Path

import numpy as np

SEED = 1
FILES = Path(os.environ.get("BENCH_DATA", Path(__file__).parent / "out" / "data"))
PIECE = 1 << 16  # rows made at a time for a file


def arrays(workload):
    """x and y of all rows, as NumPy arrays.

    The numbers are noise: how long a step takes does not depend on them, and all sides see the same.
    """
    if workload.on_disk:
        return mapped(workload.rows, workload.shape[0])
    rng = np.random.default_rng(SEED)
    size = (workload.rows, *workload.shape)
    if workload.vocabulary:
        x = rng.integers(0, workload.vocabulary, size, dtype=np.int32)
    else:
        x = rng.random(size, dtype=np.float32)
    if workload.copies:
        return x, x
    if workload.classes > 1:
        return x, rng.integers(0, workload.classes, workload.rows, dtype=np.int32)
    if workload.counts_hits:
        return x, rng.integers(0, 2, (workload.rows, 1)).astype(np.float32)
    return x, rng.random((workload.rows, 1), dtype=np.float32)


def mapped(rows, columns):
    """x (rows, columns) and y (rows, 1) in two .npy files, mapped into memory; made if they are not there."""
    found = []
    for width in (columns, 1):
        path = FILES / f"{rows}x{width}.npy"
        if not path.exists():
            write(path, rows, width)
        found.append(np.load(path, mmap_mode="r"))
    return tuple(found)


def write(path, rows, width):
    """A .npy file written piece by piece: the process that makes it never holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng, unfinished = np.random.default_rng((SEED, width)), path.with_suffix(".part")
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    with open(unfinished, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, rows, PIECE):
            rng.random((min(PIECE, rows - start), width), dtype=np.float32).tofile(file)
    unfinished.replace(path)
