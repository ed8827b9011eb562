"""California housing: 20,640 districts, 8 attributes, the median price of a house (Pace and Barry 1997). Floor 6."""

from ..base.report import UsageError
from .boston_housing import check, read, split


def load_data(version="large", path="california_housing.npz", test_split=0.2, seed=113):
    """(x_train, y_train), (x_test, y_test): attributes (n, 8) of n districts, and prices in dollars (n,).

    They are where a district lies, and the age, rooms, bedrooms, inhabitants, households and income in it. "small"
    takes the first 600 districts.
    """
    check(test_split)
    if version not in ("large", "small"):
        raise UsageError("version is not known", saw=repr(version), want="'large' or 'small'")
    x, y = read("california_housing.npz", path)
    return split(x[:600], y[:600], test_split, seed) if version == "small" else split(x, y, test_split, seed)
