"""Boston housing: 506 districts, 13 attributes, the median price of a house (Harrison and Rubinfeld 1978).

Floor 6. One attribute, B, is made of the share of Black inhabitants: for teaching about such data, rather than with it.
"""

import numpy as np

from ..base.report import UsageError
from .sources import fetch
from .words import shuffled


def load_data(path="boston_housing.npz", test_split=0.2, seed=113):
    """(x_train, y_train), (x_test, y_test): attributes (n, 13) of districts, and prices in 1000 dollars (n,)."""
    check(test_split)
    return split(*read("boston_housing.npz", path), test_split, seed)


def check(test_split):
    if not 0 <= test_split < 1:
        raise UsageError("test_split is a share", saw=f"test_split={test_split}", want="0 <= test_split < 1")


def read(source, path):
    with np.load(fetch(source, path), allow_pickle=False) as file:
        return file["x"], file["y"]


def split(x, y, test_split, seed):
    """Shuffled; the last share is the test set."""
    x, y = shuffled(x, y, np.random.RandomState(seed))
    cut = int(len(x) * (1 - test_split))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])
