"""Threads that make the next batches while the step runs.

Floor 2. Errors of the source come up where the batch is taken. Leaving early, by an error or by Ctrl-C, ends the
threads: whoever reads closes (`Ahead.close`, or the generator's own `close`).
"""

import pickle
import threading
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_all_start_methods, get_context
from queue import SimpleQueue

from ..base.report import UsageError

PATIENCE = 5.0  # seconds that `close` waits for a source that is still at work on its item


class Ahead:
    """An iterator that is read on a thread, up to `depth` items ahead; `waited` sums the seconds its reader stood.

    `settle()` is called before the reader waits for an item that is not there yet, and is to return when the device
    has done what it was given: so `waited` counts only the time in which nothing at all was computed.
    """

    def __init__(self, items, depth=2, settle=None):
        self.items, self.settle, self.waited = iter(items), settle, 0.0
        self.shelf, self.room, self.left, self.over = SimpleQueue(), threading.Semaphore(depth), False, False
        self.thread = threading.Thread(target=self.fill, daemon=True, name="seriatim-prefetch")
        self.thread.start()

    def fill(self):
        end = StopIteration()
        try:
            for item in self.items:
                self.shelf.put((item, None))
                self.room.acquire()
                if self.left:
                    close(self.items)
                    break
        except BaseException as error:
            end = error
        self.shelf.put((None, end))

    def __iter__(self):
        return self

    def __next__(self):
        if self.over:
            raise StopIteration
        if self.shelf.empty():
            if self.settle is not None:
                self.settle()
            began = time.perf_counter()
            item, end = self.shelf.get()
            self.waited += time.perf_counter() - began
        else:
            item, end = self.shelf.get()
        if end is not None:
            self.over = True
            raise end
        self.room.release()
        return item

    def close(self):
        """End the thread; an item that is being made is waited for, but not longer than `PATIENCE`."""
        self.left = self.over = True
        self.room.release()
        self.thread.join(PATIENCE)


def close(items):
    """Close a generator, with all that it holds; other iterators need no end."""
    if hasattr(items, "close"):
        items.close()


def prefetch(items, depth=2):
    """The same items, made up to `depth` ahead on a thread."""
    ahead = Ahead(items, depth)
    try:
        yield from ahead
    finally:
        ahead.close()


def ordered(work, items, pool, ahead):
    """`work(item)` for each item, in their order; up to `ahead` are at work on `pool`, which is closed at the end."""
    begun = deque()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) >= ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        close(items)


def threads(workers):
    return ThreadPoolExecutor(workers, "seriatim-worker")


# ---- processes ------------------------------------------------------------------------------------------


def from_processes(source, items, workers, ahead):
    """`source[item]` for each item, in order, from `workers` processes that hold a copy of the source each."""
    try:
        payload = pickle.dumps(source)
    except Exception as error:
        raise UsageError(
            f"use_multiprocessing=True sends {type(source).__name__} to other processes, and it cannot be pickled",
            saw=f"{type(error).__name__}: {error}", want="attributes that pickle: no open files, locks or lambdas",
            fix="use_multiprocessing=False: then the workers are threads",
        ) from error  # fmt: skip
    # A fork would copy JAX's threads in whatever state they are: the processes start afresh.
    context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    pool = ProcessPoolExecutor(workers, context, _hold, (payload,))
    try:
        yield from ordered(_item, items, pool, ahead)
    except BrokenProcessPool as error:
        raise UsageError(
            f"a process that reads {type(source).__name__} has ended", saw=str(error),
            want="a script that other processes can import, and a class that stands in a file",
            fix='if __name__ == "__main__": around what trains; or use_multiprocessing=False',
        ) from error  # fmt: skip


_held = {}


def _hold(payload):
    _held["payload"] = payload


def _item(index):
    # Unpickled at the first item and not on arrival: so an error reaches the reader as itself.
    if "source" not in _held:
        _held["source"] = pickle.loads(_held["payload"])
    return _held["source"][index]
