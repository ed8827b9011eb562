"""A data set that can be read again and again: elements, one after another, and what is done to them on the way.

Floor 2. Pass `number` over a data set is a pure function of the number and of the seeds of its shuffles; `fit` asks for
the pass of each epoch, so an epoch can be repeated. The words are those that scripts use with `tf.data`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count as counting
from itertools import islice
from typing import NamedTuple

import jax
import numpy as np

from ..base.report import DataError, UsageError
from .arrays import private
from .prefetch import ordered, prefetch, threads

AUTOTUNE = INFINITE = -1
UNKNOWN = -2


class Spec(NamedTuple):
    """Shape and type of one array of an element; None stands for a size that is not always the same."""

    shape: tuple
    dtype: np.dtype


class Dataset:
    """Elements (arrays, or tuples and dicts of arrays), one after another, as often as they are asked for.

    `start(number)` begins a pass. `length`: elements of a pass, INFINITE or UNKNOWN; `rows`: how many `unbatch` would
    give, if known; `open_rows`: whether the first axis of an element is a batch that may be smaller at the end.

    >>> numbers = Dataset.range(5).map(lambda x: 2 * x).batch(2)
    >>> [batch.tolist() for batch in numbers]
    [[0, 2], [4, 6], [8]]
    """

    def __init__(self, start: Callable[[int], Iterator], length=UNKNOWN, rows=None, open_rows=False, class_names=None):
        self.start, self.length, self.rows, self.open_rows = start, length, rows, open_rows
        self.passes, self.spec = 0, None
        if class_names is not None:
            self.class_names = class_names

    # ---- where elements come from ------------------------------------------------------------------------

    @staticmethod
    def from_tensor_slices(tensors):
        """The rows of an array, or of a tuple or dict of arrays with equally many."""
        leaves, tree = jax.tree.flatten(jax.tree.map(np.asarray, tensors, is_leaf=lambda t: isinstance(t, list)))
        sizes = {len(leaf) if leaf.ndim else None for leaf in leaves}
        if len(sizes) != 1 or None in sizes:
            raise DataError(
                "the arrays have different numbers of rows", saw=f"shapes {[leaf.shape for leaf in leaves]}",
                want="at least one array, and as many rows in each",
            )  # fmt: skip

        def start(number):
            for i in range(len(leaves[0])):
                yield tree.unflatten([leaf[i] for leaf in leaves])

        return Dataset(start, len(leaves[0]))

    @staticmethod
    def from_generator(generator, output_types=None, output_shapes=None, args=None, output_signature=None, name=None):
        """What `generator(*args)` yields, called anew for each pass; the signature is not needed."""

        def start(number):
            for item in generator(*(args or ())):
                yield jax.tree.map(lambda leaf: private(np.asarray(leaf)), item)

        return Dataset(start)

    @staticmethod
    def range(*bounds):
        """The whole numbers of Python's `range`, as int64."""
        numbers = range(*bounds)

        def start(number):
            yield from map(np.int64, numbers)

        return Dataset(start, len(numbers))

    @staticmethod
    def zip(*datasets):
        """Tuples of an element of each; as many as the shortest has."""
        datasets = datasets[0] if len(datasets) == 1 and isinstance(datasets[0], tuple) else datasets

        def start(number):
            passes = [dataset.start(number) for dataset in datasets]
            try:
                yield from zip(*passes, strict=False)
            finally:
                for one in passes:
                    one.close()

        lengths = [dataset.length for dataset in datasets]
        finite = [length for length in lengths if length != INFINITE]
        return Dataset(start, UNKNOWN if UNKNOWN in lengths else min(finite, default=INFINITE))

    # ---- reading ---------------------------------------------------------------------------------------

    def __iter__(self):
        self.passes += 1
        return self.start(self.passes - 1)

    def as_numpy_iterator(self):
        """The elements, with NumPy arrays in them."""
        for item in self:
            yield jax.tree.map(np.asarray, item)

    def cardinality(self):
        """How many elements a pass has: -1 if it has no end, -2 if that is not known."""
        return self.length

    def __len__(self):
        if self.length < 0:
            raise TypeError("the data set has no end" if self.length == INFINITE else "the length is not known")
        return self.length

    @property
    def element_spec(self):
        """The Spec of each array of an element; the first element is read for it."""
        if self.spec is None:
            with closing(self.start(0)) as items:
                first = next(items, None)
            if first is None:
                raise DataError("the data set is empty", saw="no element", want="at least one")
            self.spec = jax.tree.map(self._spec, first)
        return self.spec

    def _spec(self, leaf):
        leaf = np.asarray(leaf)
        return Spec((None, *leaf.shape[1:]) if self.open_rows and leaf.ndim else leaf.shape, leaf.dtype)

    def __repr__(self):
        length = {INFINITE: "no end", UNKNOWN: "unknown length"}.get(self.length, f"{self.length} elements")
        return f"<Dataset: {length}>"

    # ---- what is done to elements ------------------------------------------------------------------------

    def _then(self, step, length=None, **changes):
        """The data set of what the generator `step(items, number)` yields from a pass over this one."""

        def start(number):
            with closing(self.start(number)) as items:
                yield from step(items, number)

        kept = {"rows": self.rows, "open_rows": self.open_rows, "class_names": getattr(self, "class_names", None)}
        return Dataset(start, self.length if length is None else length, **{**kept, **changes})

    def map(self, map_func, num_parallel_calls=None, deterministic=None, name=None):
        """`map_func(element)`, or `map_func(*element)` of a tuple; on that many threads, in order (-1: one a core)."""

        def work(item):
            return map_func(*item) if isinstance(item, tuple) else map_func(item)

        def step(items, number):
            if num_parallel_calls is None:
                return map(work, items)
            workers = cores() if num_parallel_calls == AUTOTUNE else num_parallel_calls
            return ordered(work, items, threads(workers), workers + 1)

        return self._then(step)

    def filter(self, predicate, name=None):
        """The elements for which `predicate` is true."""

        def step(items, number):
            for item in items:
                if np.all(predicate(*item) if isinstance(item, tuple) else predicate(item)):
                    yield item

        return self._then(step, UNKNOWN, rows=None)

    def batch(self, batch_size, drop_remainder=False, num_parallel_calls=None, deterministic=None, name=None):
        """`batch_size` elements as one, along a new first axis; the last one may be smaller, or is left out."""
        size = positive("batch_size", batch_size)

        def step(items, number):
            while held := list(islice(items, size)):
                if len(held) == size or not drop_remainder:
                    yield stack(held)

        whole, rest = divmod(self.length, size) if self.length >= 0 else (self.length, 0)
        length = whole if drop_remainder or self.length < 0 else whole + bool(rest)
        rows = None if self.length < 0 else whole * size if drop_remainder else self.length
        return self._then(step, length, rows=rows, open_rows=not drop_remainder)

    def unbatch(self, name=None):
        """The rows of each element, one by one."""

        def step(items, number):
            for item in items:
                leaves, tree = jax.tree.flatten(item)
                for i in range(len(leaves[0])):
                    yield tree.unflatten([leaf[i] for leaf in leaves])

        return self._then(step, UNKNOWN if self.rows is None else self.rows, rows=None, open_rows=False)

    def shuffle(self, buffer_size, seed=None, reshuffle_each_iteration=True, name=None):
        """Each element is drawn from the next `buffer_size`; in another order in each pass, from the same seed.

        Without a seed, one is drawn now (from NumPy's, so `set_random_seed` decides). The orders are not tf.data's.
        """
        room = positive("buffer_size", buffer_size)
        seed = int(np.random.randint(2**31)) if seed is None else seed

        def step(items, number):
            rng = np.random.default_rng((seed, number if reshuffle_each_iteration else 0))
            held = list(islice(items, room))
            for item in items:
                i = rng.integers(room)
                yield held[i]
                held[i] = item
            for i in rng.permutation(len(held)):
                yield held[i]

        return self._then(step)

    def repeat(self, count=None, name=None):
        """A pass `count` times over (None or -1: without end), reshuffled each time if it is shuffled."""
        count = None if count in (None, -1) else count

        def start(number):
            for i in counting() if count is None else range(count):
                empty = True
                with closing(self.start(number * (count or 2**20) + i)) as items:
                    for item in items:
                        empty = False
                        yield item
                if empty:
                    return

        rows = None if count is None or self.rows is None else self.rows * count
        length = INFINITE if count is None else self.length * count if self.length >= 0 else self.length
        return Dataset(start, length, rows, self.open_rows, getattr(self, "class_names", None))

    def take(self, count, name=None):
        """The first `count` elements (-1: all)."""
        if count == -1:
            return self._then(lambda items, number: items)
        length = min(self.length, count) if self.length >= 0 else count if self.length == INFINITE else UNKNOWN
        return self._then(lambda items, number: islice(items, count), length, rows=None)

    def skip(self, count, name=None):
        """All but the first `count` elements (-1: none is left)."""
        length = 0 if count == -1 else max(self.length - count, 0) if self.length >= 0 else self.length
        return self._then(lambda items, number: islice(items, 0 if count == -1 else count, None if count != -1 else 0),
                          length, rows=None)  # fmt: skip

    def shard(self, num_shards, index, name=None):
        """Every `num_shards`-th element, from number `index` on."""
        length = len(range(index, self.length, num_shards)) if self.length >= 0 else self.length
        return self._then(lambda items, number: islice(items, index, None, num_shards), length, rows=None)

    def enumerate(self, start=0, name=None):
        """(number, element), counted from `start`."""
        return self._then(lambda items, number: enumerate(items, start), rows=None)

    def concatenate(self, dataset, name=None):
        """The elements of this one, then those of `dataset`."""

        def step(items, number):
            yield from items
            with closing(dataset.start(number)) as others:
                yield from others

        lengths = (self.length, dataset.length)
        rows = None if None in (self.rows, dataset.rows) else self.rows + dataset.rows
        known = INFINITE if INFINITE in lengths else UNKNOWN if UNKNOWN in lengths else sum(lengths)
        return self._then(step, known, rows=rows)

    def cache(self, filename="", name=None):
        """Kept in memory from the first whole pass on; later passes are the same one. No function may change it."""
        if filename:
            raise UsageError("cache() keeps elements in memory only", saw=f"filename={filename!r}", fix="cache()")
        kept = []

        def start(number):
            if kept:
                yield from kept[0]
                return
            mine = []
            with closing(self.start(number)) as items:
                for item in items:
                    mine.append(jax.tree.map(frozen, item))
                    yield mine[-1]
            kept[:] = [mine]

        return Dataset(start, self.length, self.rows, self.open_rows, getattr(self, "class_names", None))

    def prefetch(self, buffer_size, name=None):
        """Elements are made up to `buffer_size` ahead on a thread (-1: two). `fit` reads ahead without it too."""
        depth = 2 if buffer_size == AUTOTUNE else buffer_size
        return self._then(lambda items, number: prefetch(items, max(depth, 1)))

    def apply(self, transformation_func):
        """`transformation_func(this data set)`."""
        return transformation_func(self)


def positive(name, value):
    if isinstance(value, bool) or int(value) < 1:
        raise UsageError(f"{name} must be a positive whole number", saw=f"{name}={value!r}")
    return int(value)


def cores():
    """How many threads can compute at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def stack(items):
    """Elements of one structure as one element, along a new first axis."""
    return jax.tree.map(lambda *parts: column(parts), *items)


def column(parts):
    """Equal arrays as one array; texts as an array of Python strings."""
    if isinstance(parts[0], (str, bytes)):
        texts = np.empty(len(parts), object)
        texts[:] = parts
        return texts
    parts = [np.asarray(part) for part in parts]
    shapes = {part.shape for part in parts}
    if len(shapes) > 1:
        raise DataError(
            "elements of different shapes make no batch", saw=f"shapes {sorted(shapes)[:4]}", want="one shape",
            fix="bring them to one shape before, with map(…)",
        )  # fmt: skip
    return np.stack(parts)


def frozen(leaf):
    """The same array, so that writing into it is an error."""
    if isinstance(leaf, np.ndarray):
        leaf = leaf.view()
        leaf.flags.writeable = False
    return leaf
