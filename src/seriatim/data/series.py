"""Windows over a series, and a data set cut in two. Floor 2."""

import random

import numpy as np

from ..base.report import DataError, UsageError
from .dataset import Dataset, positive, stack


def timeseries_dataset_from_array(
    data, targets, sequence_length, sequence_stride=1, sampling_rate=1, batch_size=128, shuffle=False, seed=None,
    start_index=None, end_index=None, format="tf",
):  # fmt: skip
    """Batches (windows, targets) of a series: (b, sequence_length, …), and targets[i] for the window that starts at i.

    A window is data[i], data[i + sampling_rate], …; the next one starts sequence_stride later. As in Keras; shuffled
    windows are drawn from all of them anew in each pass. What comes back is our own Dataset.

    >>> windows = timeseries_dataset_from_array(np.arange(5), None, 3)
    >>> [batch.tolist() for batch in windows]
    [[[0, 1, 2], [1, 2, 3], [2, 3, 4]]]
    """
    data, targets = np.asarray(data), None if targets is None else np.asarray(targets)
    if format not in ("tf", "grain"):
        raise UsageError("format is not known", saw=f"{format=}", want="'tf' or 'grain'")
    for name, value in (("sampling_rate", sampling_rate), ("sequence_stride", sequence_stride)):
        if not 0 < value < len(data):
            raise UsageError(f"{name} counts rows of the data", saw=f"{name}={value}, {len(data)} rows")
    start, end = start_index or 0, end_index or len(data)
    if not 0 <= start < len(data) or (end_index and not start < end < len(data)):
        raise UsageError(
            "start_index and end_index are no part of the data", saw=f"{start_index=}, {end_index=}, {len(data)} rows",
            want="0 <= start_index < end_index < the rows",
        )  # fmt: skip
    count = end - start - (sequence_length - 1) * sampling_rate
    data = data[start:end]
    if targets is not None:
        count, targets = min(count, len(targets)), targets[start:end]
    if count <= 0:
        raise DataError("no window fits into the data", saw=f"{end - start} rows, {sequence_length=}, {sampling_rate=}")
    places = np.arange(0, count, sequence_stride)
    if shuffle:
        seed = int(np.random.randint(1e6)) if seed is None else seed
    steps = np.arange(sequence_length) * sampling_rate
    size = 1 if batch_size is None else positive("batch_size", batch_size)

    def begin(number):
        order = np.random.default_rng((seed, number)).permutation(places) if shuffle else places
        for i in range(0, len(order), size):
            chunk = order[i : i + size] if batch_size is not None else order[i]
            windows = data[chunk[..., None] + steps]
            yield windows if targets is None else (windows, targets[chunk])

    single = batch_size is None
    return Dataset(begin, -(-len(places) // size), None if single else len(places), not single)


def split_dataset(dataset, left_size=None, right_size=None, shuffle=False, seed=None, preferred_backend=None):
    """Two Datasets of the elements of an array, a tuple or list of arrays, or a data set: the first, and the last ones.

    A size is a number of elements or a share of them; one side may be left out. Shuffled as in Keras for the same
    seed. A Dataset of batches is split by rows, and batched again. Everything is held in memory.
    """
    again = None
    if isinstance(dataset, np.ndarray):
        columns = dataset
    elif isinstance(dataset, (tuple, list)):
        columns = equal_rows(dataset)
    elif hasattr(dataset, "__iter__") or hasattr(dataset, "__getitem__"):
        batched = isinstance(dataset, Dataset) and dataset.open_rows
        items = list(dataset.unbatch() if batched else dataset)
        if not items:
            raise DataError("the data set is empty", saw="no element", want="at least two")
        columns = stack(items)
        again = len(next(iter(leaves(next(iter(dataset)))))) if batched else None
    else:
        raise UsageError("this cannot be split", saw=type(dataset).__name__, want="arrays or a data set")
    rows = len(next(iter(leaves(columns))))
    left, right = sizes(left_size, right_size, rows)
    order = list(range(rows))
    if shuffle:
        random.Random(random.randint(0, int(1e6)) if seed is None else seed).shuffle(order)
    sides = []
    for chosen in (order[:left], order[rows - right :]):
        side = Dataset.from_tensor_slices(part_of(columns, chosen))
        sides.append(side if again is None else side.batch(again))
    return tuple(sides)


def leaves(columns):
    """The arrays in an array, tuple, list or dict."""
    if isinstance(columns, dict):
        columns = tuple(columns.values())
    if isinstance(columns, (tuple, list)):
        for column in columns:
            yield from leaves(column)
    else:
        yield columns


def part_of(columns, rows):
    """These rows of each array."""
    if isinstance(columns, dict):
        return {name: part_of(column, rows) for name, column in columns.items()}
    return tuple(part_of(c, rows) for c in columns) if isinstance(columns, (tuple, list)) else columns[rows]


def equal_rows(arrays):
    """A tuple of arrays of equal length, or an error."""
    if not arrays or not all(isinstance(array, np.ndarray) for array in arrays):
        raise DataError(
            "a list to split holds arrays", saw=f"{[type(a).__name__ for a in arrays]}", want="NumPy arrays"
        )
    if len({len(array) for array in arrays}) > 1:
        raise DataError("the arrays have different lengths", saw=f"lengths {[len(array) for array in arrays]}")
    return tuple(arrays)


def sizes(left, right, rows):
    """Both sizes as numbers of rows."""
    if left is None and right is None:
        raise UsageError("a split needs left_size or right_size", saw="neither")
    counts = []
    for name, size in (("left_size", left), ("right_size", right)):
        if size is not None and (isinstance(size, bool) or not isinstance(size, (int, float, np.number))):
            raise UsageError(f"{name} is a number of rows or a share of them", saw=f"{name}={size!r}")
        whole = not isinstance(size, (float, np.floating))
        if size is not None and not 0 < size < (rows if whole else 1):
            raise UsageError(
                f"{name} leaves a side empty", saw=f"{name}={size}, {rows} rows",
                want=f"a whole number from 1 to {rows - 1}, or 0 < share < 1",
            )  # fmt: skip
        counts.append(size if size is None or whole else round(size * rows))
    left, right = counts
    left, right = rows - right if left is None else left, rows - left if right is None else right
    if left + right > rows or min(left, right) < 1:
        raise UsageError("the two sizes do not fit the data", saw=f"{left} and {right} of {rows} rows")
    return left, right
