"""What came in becomes one of two things: Resident (all rows are here) or Stream (batches arrive).

Floor 2. Order is a pure function of (seed, epoch), so any epoch of a Resident can be replayed.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..base.report import DataError, UsageError
from .arrays import class_weights, is_array, to_array


class Batch(NamedTuple):
    """Rows of one step: inputs, targets, a weight for each row (None where there is none)."""

    x: Any
    y: Any = None
    w: Any = None


class PyDataset:
    """Batches by number: subclass, and write `__len__` and `__getitem__(i) -> (x, y)` (Keras's PyDataset)."""

    def __init__(self, workers=1, use_multiprocessing=False, max_queue_size=10):
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __getitem__(self, index):
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__(index)")

    def __len__(self):
        return self.num_batches

    @property
    def num_batches(self):
        raise NotImplementedError(f"{type(self).__name__} defines neither __len__ nor num_batches")

    def on_epoch_begin(self):
        """Before each epoch."""

    def on_epoch_end(self):
        """Behind each epoch."""


class Resident:
    """All rows at hand: three arrays of equal length and a batch size."""

    def __init__(self, x, y=None, w=None, batch_size=32):
        self.data = Batch(x, y, w)
        self.rows = len(x)
        self.batch_size = min(int(batch_size), self.rows)

    @property
    def steps(self):
        """Whole batches in a pass."""
        return self.rows // self.batch_size

    @property
    def rest(self):
        """Rows of the last, smaller batch (0 if there is none)."""
        return self.rows % self.batch_size

    @property
    def total_steps(self):
        return self.steps + bool(self.rest)

    def order(self, seed, epoch, shuffle):
        """The rows in the order of this epoch: int32 (rows,), or None for as they are."""
        if not shuffle:
            return None
        rng = np.random.default_rng((seed, epoch))
        if shuffle == "batch":
            order = np.arange(self.rows, dtype=np.int32)
            for start in range(0, self.rows, self.batch_size):
                rng.shuffle(order[start : start + self.batch_size])
            return order
        return rng.permutation(np.int32(self.rows)).astype(np.int32)

    def sample(self):
        """Something to read shapes and types from."""
        return self.data

    def split(self, fraction, weigh=True):
        """The first rows for training, the last `fraction` for validation (with `weigh=False` without their weights).

        As in Keras, where weights of samples count in both, and weights of classes in training alone.
        """
        at = int(np.floor(self.rows * (1.0 - fraction)))
        if at == 0 or at == self.rows:
            raise DataError(
                "validation_split leaves one side empty", saw=f"{self.rows} rows, validation_split={fraction}",
                want="at least one row on each side",
            )  # fmt: skip
        cut = [(None, None) if a is None else (a[:at], a[at:]) for a in self.data]
        held = Batch(*(b for _, b in cut))
        held = held if weigh else held._replace(w=None)
        return Resident(*(a for a, _ in cut), self.batch_size), Resident(*held, self.batch_size)


class Stream:
    """Batches that arrive: a generator, a PyDataset, a data set or loader of another library."""

    def __init__(self, source, weights=None):
        self.source, self.weights = source, weights
        self.once = isinstance(source, Iterator)
        self.indexed = hasattr(source, "__getitem__") and hasattr(source, "__len__") and not hasattr(source, "dataset")
        self.waiting = None

    @property
    def length(self):
        """Batches in a pass, or None if unknown."""
        for name in ("__len__", "cardinality"):
            if hasattr(self.source, name):
                try:
                    count = int(getattr(self.source, name)())
                    return count if count >= 0 else None
                except (TypeError, NotImplementedError):
                    return None
        count = getattr(self.source, "num_batches", None)
        return count if isinstance(count, int) else None

    def batches(self, seed=0, epoch=0, shuffle=True):
        """One pass, batch by batch."""
        if self.waiting is not None:
            first, self.waiting = self.waiting, None
            yield first
        for item in self._items(seed, epoch, shuffle):
            yield self.batch(item)

    def _items(self, seed, epoch, shuffle):
        if self.indexed:
            order = np.arange(len(self.source))
            if shuffle:
                np.random.default_rng((seed, epoch)).shuffle(order)
            return (self.source[int(i)] for i in order)
        return iter(self.source)

    def batch(self, item):
        if isinstance(item, dict):
            raise DataError("a batch must be x, (x, y) or (x, y, sample_weight)", saw="a dict")
        parts = tuple(item) if isinstance(item, (tuple, list)) else (item,)
        if not 1 <= len(parts) <= 3:
            raise DataError("a batch must be x, (x, y) or (x, y, sample_weight)", saw=f"{len(parts)} parts")
        names = ("x", "y", "sample_weight")
        x, y, w = (*(to_array(p, n) if p is not None else None for p, n in zip(parts, names, strict=False)),
                   *([None] * (3 - len(parts))))  # fmt: skip
        if self.weights is not None:
            w = class_weights(self.weights, y, w)
        return Batch(x, y, w)

    def sample(self):
        """The first batch; a generator's is kept for the first pass."""
        if self.waiting is None:
            try:
                first = self.batch(next(self._items(0, 0, False)))
            except StopIteration:
                raise DataError("the data set is empty", saw="no batch", want="at least one batch") from None
            if self.once:
                self.waiting = first
            return first
        return self.waiting

    def finish(self):
        """Tell a PyDataset that an epoch has ended."""
        if hasattr(self.source, "on_epoch_end"):
            self.source.on_epoch_end()


def open_source(x, y=None, sample_weight=None, batch_size=None, class_weight=None, steps=None):
    """A Resident or a Stream from the arguments of fit, evaluate or predict."""
    if isinstance(x, (Resident, Stream)):
        return x
    if x is None:
        raise UsageError("there is no data", saw="x=None", want="arrays, or a stream of batches", fix="model.fit(x, y)")
    if not is_array(x):
        if not (hasattr(x, "__iter__") or hasattr(x, "__getitem__")):
            raise DataError(
                "this is not data", saw=f"x of type {type(x).__name__}",
                want="an array, a data frame, a list, or something that yields batches",
            )  # fmt: skip
        if y is not None or sample_weight is not None:
            raise UsageError(
                "a stream of batches brings its own targets", saw="y or sample_weight beside a stream",
                want="batches (x, y) or (x, y, sample_weight)",
            )  # fmt: skip
        return Stream(x, class_weight)
    x = to_array(x, "x")
    y = None if y is None else to_array(y, "y")
    w = None if sample_weight is None else to_array(sample_weight, "sample_weight")
    check_lengths(x, y, w)
    if class_weight is not None:
        if y is None:
            raise UsageError("class_weight needs y", saw="y=None")
        w = class_weights(class_weight, y, w)
    if batch_size is None and steps:
        batch_size = -(-len(x) // int(steps))
    if batch_size is not None and (isinstance(batch_size, bool) or int(batch_size) < 1):
        raise UsageError("batch_size must be a positive whole number", saw=f"batch_size={batch_size!r}")
    return Resident(x, y, w, 32 if batch_size is None else batch_size)


def check_lengths(x, y, w):
    if len(x) == 0:
        raise DataError("there are no rows", saw=f"x {np.shape(x)}", want="at least one row")
    for name, array in (("y", y), ("sample_weight", w)):
        if array is not None and len(array) != len(x):
            raise DataError(
                f"x and {name} have different numbers of rows",
                saw=f"x {np.shape(x)}, {name} {np.shape(array)}", want="the same number of rows",
            )  # fmt: skip
