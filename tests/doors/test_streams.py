"""Streams: read ahead on threads, in an order that is always the same; what waits says so, and what ends ends."""

import functools
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from seriatim import Sequential, utils
from seriatim.base.report import DataError, UsageError
from seriatim.callbacks import LambdaCallback
from seriatim.data.prefetch import Ahead
from seriatim.data.source import Stream
from seriatim.layers import Dense, Input

READERS = ("seriatim-prefetch", "seriatim-worker")


def model():
    utils.set_random_seed(1)
    chain = Sequential([Input((3,)), Dense(1, kernel_initializer="ones")])
    chain.compile("sgd", "mse")
    return chain


def batch(i):
    return np.full((4, 3), i, "float32"), np.zeros((4, 1), "float32")


def generator(count, pause=0.0):
    for i in range(count):
        time.sleep(pause)
        yield batch(i)


class Batches(utils.PyDataset):
    """Twelve batches; `told` is what happened, in order."""

    def __init__(self, before=lambda i: None, **kwargs):
        super().__init__(**kwargs)
        self.before, self.told = before, []

    def __len__(self):
        return 12

    def __getitem__(self, i):
        self.told.append(i)
        self.before(i)
        return batch(i)

    def on_epoch_begin(self):
        self.told.append("begin")

    def on_epoch_end(self):
        self.told.append("end")


def our_threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(READERS)]


def numbers(stream, **how):
    return [int(batch.x[0, 0]) for _, batch in stream.batches(**how)]


def test_waiting_is_measured_and_told(capsys):
    history = model().fit(generator(60, 0.02), verbose=2)
    assert "% for data" in capsys.readouterr().out and set(history.history) == {"loss"}
    model().fit(generator(60), verbose=2)
    assert "for data" not in capsys.readouterr().out
    model().evaluate(generator(60, 0.02), verbose=2)
    assert "% for data" in capsys.readouterr().out
    # A device that is still at work is waited for first: that is no waiting for data.
    ahead = Ahead(iter([time.sleep(0.05)] * 3), settle=lambda: time.sleep(0.1))
    assert list(ahead) == [None] * 3 and ahead.waited < 0.05


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_batches_come_in_one_order_whatever_the_workers(workers):
    rng = np.random.default_rng(workers)
    source = Stream(Batches(lambda i: time.sleep(rng.random() / 200), workers=workers, max_queue_size=5))
    plain = Stream(Batches())
    for number in range(2):
        assert numbers(source, seed=3, place=(number, 0)) == numbers(plain, seed=3, place=(number, 0))
    assert numbers(source, shuffle=False) == list(range(12))
    assert numbers(source, place=(0, 9), shuffle=False, steps=5) == [9, 10, 11, 0, 1]
    assert numbers(source, place=(1, 2), shuffle=False, steps=2) == [2, 3]
    expected = model().predict(np.concatenate([batch(i)[0] for i in range(12)]))
    np.testing.assert_allclose(model().predict(Batches(workers=workers)), expected, rtol=1e-6)
    assert model().evaluate(Batches(workers=workers), verbose=0) == pytest.approx(np.mean(expected**2), rel=1e-6)
    assert not our_threads()


def test_workers_work_at_once():
    together = threading.Barrier(3, timeout=30)  # broken, and so an error, unless three batches are made at a time
    seen = []
    source = Batches(lambda i: together.wait() if seen else seen.append(i), workers=3)  # fit looks at one alone
    model().fit(source, verbose=0)


@pytest.mark.parametrize("workers", [1, 3])
def test_epochs_begin_and_end_around_their_batches(workers):
    source = Batches(workers=workers)
    model().fit(source, epochs=3, steps_per_epoch=5, shuffle=False, verbose=0)
    told = source.told[1:]  # the first batch is looked at before all
    parts = [told[start : start + 7] for start in (0, 7, 14)]
    assert len(told) == 21 and all(part[0] == "begin" and part[-1] == "end" for part in parts)
    assert [sorted(part[1:-1]) for part in parts] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [0, 1, 2, 10, 11]]


def test_a_generator_is_read_no_further_than_asked():
    source = generator(100)
    model().fit(source, steps_per_epoch=4, epochs=2, verbose=0, validation_data=generator(100), validation_steps=3)
    model().evaluate(source, steps=2, verbose=0)
    model().predict(source, steps=1)
    assert next(source)[0][0, 0] == 11


def test_an_endless_dataset():
    class Endless(utils.PyDataset):
        num_batches = None

        def __getitem__(self, i):
            return batch(i)

    assert numbers(Stream(Endless(workers=2)), steps=4) == [0, 1, 2, 3]
    assert len(model().fit(Endless(), steps_per_epoch=3, epochs=2, verbose=0).epoch) == 2


def test_one_buffer_for_all_batches():
    def reusing():
        x, y = np.zeros((4096, 3), "float32"), np.zeros((4096, 1), "float32")
        for i in range(50):
            x[...] = i
            yield x, y

    pred = model().predict(reusing())
    np.testing.assert_allclose(pred[::4096, 0], 3.0 * np.arange(50), rtol=1e-6)


def fail(i):
    if i == 7:
        raise OSError("the disk is gone")


def press(batch, logs=None):
    if batch == 7:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("way", ["error", "interrupt", "shape"])
def test_an_end_before_the_end_leaves_a_whole_model_and_no_thread(workers, way, request):
    # A process that was started in the background may be deaf to interrupts.
    request.addfinalizer(functools.partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chain = model()
    source = Batches(fail if way == "error" else lambda i: None, workers=workers)
    if way == "shape":
        source.__class__ = type("Odd", (Batches,), {"__getitem__": lambda self, i: batch(i) if i != 7 else (1,) * 4})
    stops = {"error": (OSError, "disk"), "interrupt": (KeyboardInterrupt, None), "shape": (DataError, "4 parts")}[way]
    watch = [LambdaCallback(on_train_batch_end=press)] if way == "interrupt" else []
    with pytest.raises(stops[0], match=stops[1]):
        chain.fit(source, shuffle=False, verbose=0, callbacks=watch)
    assert not our_threads()
    assert int(chain.optimizer.iterations) == (8 if way == "interrupt" else 7)
    chain.fit(Batches(), verbose=0)


PROCESSES = """
import os, sys
import numpy as np
import seriatim

class Batches(seriatim.utils.PyDataset):
    last = 6
    def __len__(self): return 6
    def __getitem__(self, i):
        if i == self.last: os._exit(1)
        return np.full((1, 1), i * 2.0 + (os.getpid() != home), "float32")

home = int(sys.argv[1]) if len(sys.argv) > 1 else os.getpid()
if __name__ == "__main__":
    sys.argv.append(str(home))
    chain = seriatim.Sequential([seriatim.layers.Input((1,)), seriatim.layers.Identity()])
    chain.compile("sgd", "mse")
    print(chain.predict(Batches(workers=2, use_multiprocessing=True), verbose=0)[:, 0].tolist())
    dying = Batches(workers=2, use_multiprocessing=True)
    dying.last = 3
    try:
        chain.predict(dying, verbose=0)
    except seriatim.base.report.UsageError as error:
        print(error.title)
"""


def test_workers_that_are_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PROCESSES)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=False)
    lines = [str([i * 2.0 + 1 for i in range(6)]), "a process that reads Batches has ended"]
    assert done.stdout.splitlines() == lines, done.stderr
    with pytest.raises(UsageError, match="cannot be pickled"):
        model().fit(Batches(workers=2, use_multiprocessing=True), verbose=0)
    assert not our_threads()
