"""A thread that makes the next batches while the step runs.

Floor 2. Errors of the source come up where the batch is taken; leaving early stops the thread.
"""

import queue
import threading


def prefetch(batches, depth=2):
    """The same batches, made up to `depth` ahead on a thread."""
    shelf, stop = queue.Queue(depth), threading.Event()

    def fill():
        try:
            for batch in batches:
                if not _offer(shelf, (batch, None), stop):
                    return
            _offer(shelf, (None, StopIteration()), stop)
        except BaseException as error:
            _offer(shelf, (None, error), stop)

    threading.Thread(target=fill, daemon=True, name="seriatim-prefetch").start()
    try:
        while True:
            batch, error = shelf.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield batch
    finally:
        stop.set()


def _offer(shelf, item, stop):
    while not stop.is_set():
        try:
            shelf.put(item, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False
