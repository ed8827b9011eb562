"""How long a step waits for its data: `python bench/streams.py`. Prints a row for each kind of source.

`waited` is the share of an epoch in which nothing was computed because no batch was there. A source that makes a
batch faster than the step uses one keeps it near zero; the last rows show one that does not, and what workers do.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

import seriatim
from seriatim.callbacks import Callback
from seriatim.layers import Dense, Input

ROWS, EPOCHS = 32, 3


class Watch(Callback):
    """The epoch that waited least, and the milliseconds of a step in it."""

    def __init__(self):
        super().__init__()
        self.best = (1.0, 0.0)

    def on_epoch_begin(self, epoch, logs=None):
        self.began, self.share = time.perf_counter(), 0.0

    def on_waiting(self, share, logs=None):
        self.share = share

    def on_epoch_end(self, epoch, logs=None):
        each = (time.perf_counter() - self.began) / self.params["steps"]
        if epoch:  # the first one compiles
            self.best = min(self.best, (self.share, 1e3 * each))


class Batches(seriatim.utils.PyDataset):
    """Batches that take some milliseconds each, as files on a disk do."""

    def __init__(self, pool, steps, seconds, **kwargs):
        super().__init__(**kwargs)
        self.pool, self.steps, self.seconds = pool, steps, seconds

    def __len__(self):
        return self.steps

    def __getitem__(self, i):
        time.sleep(self.seconds)
        return self.pool


def pool():
    rng = np.random.default_rng(0)
    return rng.random((ROWS, 784), "float32"), rng.integers(0, 10, ROWS)


def generator(seconds):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, ROWS)
    while True:
        until = time.perf_counter() + seconds
        x = rng.random((ROWS, 784), "float32")
        time.sleep(max(0.0, until - time.perf_counter()))
        yield x, labels


def measure(title, width, steps, *data, **how):
    chain = seriatim.Sequential([Input((784,)), Dense(width, "relu"), Dense(width, "relu"), Dense(10, "softmax")])
    chain.compile("sgd", "sparse_categorical_crossentropy")
    watch = Watch()
    chain.fit(*data, epochs=1 + EPOCHS, verbose=0, callbacks=[watch], **how)
    print(f"{title:48s} waited {100 * watch.best[0]:5.1f} %   {watch.best[1]:7.2f} ms/step", flush=True)


def main():
    for kind, width, steps in (("short steps", 1024, 400), ("long steps", 4096, 60)):
        x, y = np.tile(pool()[0], (steps, 1)), np.tile(pool()[1], steps)
        measure(f"{kind}: arrays", width, steps, x, y, batch_size=ROWS)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.npy"
            np.save(path, x)
            measure(f"{kind}: memory-mapped", width, steps, np.load(path, mmap_mode="r"), y, batch_size=ROWS)
        fast = generator(0.001)
        measure(f"{kind}: generator, 1 ms a batch", width, steps, fast, steps_per_epoch=steps)
        for seconds in (0.005, 0.04):
            for workers in (1, 4):
                source = Batches(pool(), steps, seconds, workers=workers)
                title = f"{kind}: PyDataset, {1e3 * seconds:.0f} ms a batch, workers={workers}"
                measure(title, width, steps, source)


if __name__ == "__main__":
    main()
