"""What came in becomes one of two things: Resident (all rows are here) or Stream (batches arrive).

Floor 2. Order is a pure function of (seed, epoch), so any epoch of a Resident can be replayed.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, count, islice
from typing import Any, NamedTuple

import numpy as np

from ..base.report import DataError, UsageError
from .arrays import class_weights, is_array, private, to_array
from .dataset import Dataset
from .prefetch import close, from_processes, ordered, threads

END = object()  # behind the last item of a pass


class Batch(NamedTuple):
    """Rows of one step: inputs, targets, a weight for each row (None where there is none)."""

    x: Any
    y: Any = None
    w: Any = None


class PyDataset:
    """Batches by number: subclass, and write `__getitem__(i) -> (x, y)` and `__len__` (Keras's PyDataset).

    While fit, evaluate and predict run, batches are made ahead, in the order in which they are used, by `workers`
    threads, or by processes with use_multiprocessing=True (for Python code that computes much; the object must pickle,
    and each process has a copy of it). Several workers are up to `max_queue_size` batches ahead, one is up to three.
    workers=0 makes each batch when it is needed, on no other thread; Keras does so for workers=1 too. An endless one
    has the `num_batches` None, and fit takes steps_per_epoch.
    """

    workers, use_multiprocessing, max_queue_size = 1, False, 10  # where a subclass has not called super().__init__()

    def __init__(self, workers=1, use_multiprocessing=False, max_queue_size=10):
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __getitem__(self, index):
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__(index)")

    def __iter__(self):
        for index in count() if self.num_batches is None else range(self.num_batches):
            yield self[index]

    @property
    def num_batches(self):
        """Batches in a pass; None: there is no end."""
        if hasattr(self, "__len__"):
            return len(self)
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
        rng, order = np.random.default_rng((seed, epoch)), np.arange(self.rows, dtype=np.int32)
        apart = self.batch_size if shuffle == "batch" else self.rows
        for start in range(0, self.rows, apart):
            rng.shuffle(order[start : start + apart])
        return order

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

    def __init__(self, source, weights=None, read=to_array):
        self.source, self.weights, self.read = source, weights, read
        self.once = isinstance(source, Iterator) and not isinstance(source, PyDataset)
        numbered = hasattr(source, "__len__") or hasattr(source, "num_batches")
        self.indexed = numbered and hasattr(source, "__getitem__") and not hasattr(source, "dataset")
        self.open = source if self.once else None  # the pass that is being read
        self.stands = None  # its place: (number of the pass, batches taken from it)
        self.first = None

    @property
    def length(self):
        """Batches in a pass, or None if unknown or endless."""
        for name in ("num_batches", "__len__", "cardinality"):
            known = getattr(self.source, name, None)
            if known is not None:
                try:
                    known = int(known() if callable(known) else known)
                    return known if known >= 0 else None
                except (TypeError, NotImplementedError):
                    return None
        return None

    def batches(self, seed=0, place=(0, 0), shuffle=True, steps=None, again=True):
        """(place behind it, batch), …: from `place` = (number of the pass, batches taken from it) to its end.

        Or `steps` of them, into further passes if need be and `again`. Nothing behind the last of them is read.
        """
        places = deque()

        def turns():
            for reached, turn in self._turns(seed, *place, shuffle, steps, again):
                places.append(reached)
                yield turn

        items = self._made(turns()) if self.indexed else turns()
        try:
            for item in items:
                yield places.popleft(), self.batch(item)
        finally:
            close(items)

    def _turns(self, seed, number, taken, shuffle, steps, again):
        """One after another: the numbers of the batches where they have numbers, else what the source yields."""
        self._begin(seed, number, taken, shuffle)
        while steps is None or steps > 0:
            turn = next(self.open, END)
            if turn is not END:
                taken, steps = taken + 1, None if steps is None else steps - 1
                self.stands = number, taken
                yield self.stands, turn
            elif steps is None or self.once or not again or not taken:
                return
            else:
                number, taken = number + 1, 0
                self._begin(seed, number, taken, shuffle)

    def _begin(self, seed, number, taken, shuffle):
        """Open pass `number` behind its first `taken` batches, if it does not stand there already."""
        if self.once or (self.open is not None and self.stands == (number, taken)):
            return
        self.close()
        self.open, self.stands = self._pass(seed, number, shuffle), (number, taken)
        for _ in islice(self.open, taken):
            pass

    def _pass(self, seed, number, shuffle):
        if isinstance(self.source, Dataset):
            return self.source.start(number)
        if not self.indexed:
            return iter(self.source)
        if self.length is None:
            return count()
        order = np.arange(self.length)
        if shuffle:
            np.random.default_rng((seed, number)).shuffle(order)
        return iter(order.tolist())

    def _made(self, turns):
        """The batches of these numbers, made by the workers that a PyDataset asks for."""
        workers = getattr(self.source, "workers", 1)
        ahead = max(getattr(self.source, "max_queue_size", 10), 1)
        if getattr(self.source, "use_multiprocessing", False) and workers > 0:
            return from_processes(self.source, turns, workers, ahead)
        if workers > 1:
            return ordered(self.source.__getitem__, turns, threads(workers), ahead)
        return map(self.source.__getitem__, turns)

    @property
    def depth(self):
        """How many batches the loop may let wait on a shelf of its own; 0: none is to be made ahead."""
        return 0 if self.indexed and getattr(self.source, "workers", 1) == 0 else 2

    def batch(self, item):
        if isinstance(item, dict):
            raise DataError("a batch must be x, (x, y) or (x, y, sample_weight)", saw="a dict")
        x, y, w = unpack_x_y_sample_weight(item)
        x = self.read(x, "x")
        y = None if y is None else to_array(y, "y")
        w = None if w is None else to_array(w, "sample_weight")
        if not isinstance(self.source, Dataset):  # whose elements nobody fills again
            x, y, w = (None if part is None else private(part) for part in (x, y, w))
        if self.weights is not None:
            w = class_weights(self.weights, y, w)
        return Batch(x, y, w)

    def sample(self):
        """The first batch, to read shapes and types from; a generator's comes again in the first pass."""
        if self.first is None:
            turns = self.source if self.once else self._pass(0, 0, False)
            first = next(turns, END)
            if first is END:
                raise DataError("the data set is empty", saw="no batch", want="at least one batch")
            if self.once:
                self.open = chain([first], self.source)
            else:
                close(turns)
            self.first = self.batch(self.source[first] if self.indexed else first)
        return self.first

    def begin(self):
        """Tell a PyDataset that an epoch begins."""
        if hasattr(self.source, "on_epoch_begin"):
            self.source.on_epoch_begin()

    def finish(self):
        """Tell a PyDataset that an epoch has ended."""
        if hasattr(self.source, "on_epoch_end"):
            self.source.on_epoch_end()

    def close(self):
        """Let go of a pass that was begun; a generator stays as it is, for whoever reads on."""
        if not self.once:
            with suppress(ValueError):  # at work on a thread that has been left: it ends with that
                close(self.open)
            self.open = None


def pack_x_y_sample_weight(x, y=None, sample_weight=None):
    """x, (x, y) or (x, y, sample_weight): as a stream yields them."""
    if y is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data):
    """(x, y, sample_weight) of what a stream yields, with None for what is not there."""
    data = tuple(data) if isinstance(data, (tuple, list)) else (data,)
    if not 1 <= len(data) <= 3:
        raise DataError("a batch must be x, (x, y) or (x, y, sample_weight)", saw=f"{len(data)} parts")
    return (*data, None, None)[:3]


def open_source(x, y=None, sample_weight=None, batch_size=None, class_weight=None, steps=None, read=to_array):
    """A Resident or a Stream from the arguments of fit, evaluate or predict; `read` makes numbers of x."""
    if isinstance(x, (Resident, Stream)):
        return x
    if x is None:
        raise UsageError("there is no data", saw="x=None", want="arrays, or a stream of batches", fix="model.fit(x, y)")
    if not is_array(x):
        if isinstance(x, (dict, str, bytes)) or not (hasattr(x, "__iter__") or hasattr(x, "__getitem__")):
            raise DataError(
                "this is not data", saw=f"x of type {type(x).__name__}",
                want="an array, a data frame, a list, or something that yields batches",
            )  # fmt: skip
        if y is not None or sample_weight is not None:
            raise UsageError(
                "a stream of batches brings its own targets", saw="y or sample_weight beside a stream",
                want="batches (x, y) or (x, y, sample_weight)",
            )  # fmt: skip
        return Stream(x, class_weight, read)
    x = read(x, "x")
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
