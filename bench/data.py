"""The data of a workload: random, of realistic size and type, the same for every framework."""

import numpy as np

SEED = 1


def arrays(workload):
    """x and y of all rows, as NumPy arrays.

    The numbers are noise: how long a step takes does not depend on them, and all sides see the same.
    """
    rng = np.random.default_rng(SEED)
    size = (workload.rows, *workload.shape)
    if workload.vocabulary:
        x = rng.integers(0, workload.vocabulary, size, dtype=np.int32)
    else:
        x = rng.random(size, dtype=np.float32)
    if workload.classes > 1:
        return x, rng.integers(0, workload.classes, workload.rows, dtype=np.int32)
    if workload.counts_hits:
        return x, rng.integers(0, 2, (workload.rows, 1)).astype(np.float32)
    return x, rng.random((workload.rows, 1), dtype=np.float32)
