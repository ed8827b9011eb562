"""fit, evaluate and predict: for each epoch, for each chunk, run the compiled loop; then the callbacks.

Floor 4. How long a chunk may be is derived from who is watching (`CallbackList.watching`).
"""

import math
import time
import warnings
from contextlib import closing
from functools import partial

import jax
import numpy as np

from ..base import settings
from ..base.report import UsageError
from ..data.arrays import to_array
from ..data.prefetch import Ahead, close
from ..data.source import Batch, Resident, open_source
from ..engine import step
from ..engine.device import placed
from ..kernels.rows import hold
from ..layers.chain import Chain, every_layer
from ..layers.contract import is_shape
from .callbacks.callback import BATCH_MOMENTS, CallbackList
from .display import make_display
from .history import History
from .session import Session, in_place, on_device, read_logs


def fit(
    model, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, validation_split=0.0,
    validation_data=None, shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0,
    steps_per_epoch=None, validation_steps=None, validation_batch_size=None, validation_freq=1,
):  # fmt: skip
    """Train for `epochs - initial_epoch` epochs; returns the History. See `Sequential.fit`."""
    check_counts(epochs=epochs, steps_per_epoch=steps_per_epoch, validation_steps=validation_steps)
    check_counts(batch_size=batch_size, validation_batch_size=validation_batch_size)
    source = open_source(x, y, sample_weight, batch_size, class_weight, steps_per_epoch, model.read)
    if validation_split and validation_data is None:
        if not isinstance(source, Resident):
            raise UsageError("validation_split needs arrays", saw=type(x).__name__, fix="pass validation_data=…")
        if not 0 < validation_split < 1:
            raise UsageError("validation_split is a share of the rows", saw=str(validation_split), want="0 < share < 1")
        source, validation = source.split(validation_split, weigh=class_weight is None)
        if validation_batch_size:
            validation.batch_size = min(validation_batch_size, validation.rows)
    else:
        validation = open_validation(validation_data, validation_batch_size or batch_size, model.read)
    epochs = min(epochs, settings.max_epochs() or epochs)
    limit = settings.max_steps_per_epoch()
    steps_per_epoch = min(steps_per_epoch or limit, limit) if limit else steps_per_epoch
    programs = model.ready(source.sample(), training=True)
    if validation is not None:
        model.check_targets(validation.sample())
    history = History()
    watchers = CallbackList(callbacks, add_history=True, history=history)
    total = steps_per_epoch or (source.total_steps if isinstance(source, Resident) else source.length)
    display = make_display(verbose)
    if display is not None:
        watchers.callbacks.insert(-1, display)
    watchers.set_model(model)
    watchers.set_params({"verbose": display.verbose if display else 0, "epochs": epochs, "steps": total})
    loop = Loop(model, programs, source, shuffle, steps_per_epoch, watchers, initial_epoch)
    watchers.set_run(loop)
    valid = Validation(model, programs, validation, validation_steps, validation_freq, watchers)
    model.history, model.stop_training = history, False
    watchers.on_train_begin()
    logs = {}
    try:
        for epoch in range(loop.first, epochs):
            if model.stop_training:  # a run that was restored had come to its end
                break
            logs = loop.epoch(epoch)
            if valid.due(epoch):
                logs.update(valid.run())
            logs = dict(sorted(logs.items()))
            watchers.on_epoch_end(epoch, logs)
            if model.stop_training or loop.dry:
                break
        loop.finish()
    finally:
        loop.close()
        loop.session.leave()
        if display is not None and hasattr(display, "close"):
            display.close()
    watchers.on_train_end(logs)
    return history


def open_validation(data, batch_size, read=to_array):
    """A source from `validation_data`: (x, y), (x, y, sample_weight) or a stream."""
    if data is None:
        return None
    if isinstance(data, (tuple, list)) and 1 <= len(data) <= 3:
        return open_source(*data, batch_size=batch_size, read=read)
    return open_source(data, batch_size=batch_size, read=read)


def check_counts(**counts):
    for name, value in counts.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0):
            raise UsageError(f"{name} counts something", saw=f"{name}={value!r}", want="a positive whole number")


# ---- one epoch ----------------------------------------------------------------------------------------


class Loop:
    """The training side of fit: epochs over a Resident or a Stream.

    Where it stands: `done` batches of the epoch, `cursor` batches of pass number `passed` over the data.
    """

    def __init__(self, model, programs, source, shuffle, steps, watchers, first=0):
        self.model, self.source, self.shuffle, self.steps, self.watchers = model, source, shuffle, steps, watchers
        self.session = Session(model, programs)
        self.batchers = watchers.watching(BATCH_MOMENTS)
        self.every = model.steps_per_execution if self.batchers else None
        self.refresh = watchers.refresh
        self.dry = False  # a generator came to its end
        self.first, self.done, self.cursor, self.passed = first, 0, 0, first
        self.ordered = None  # the pass whose order is loaded
        self.resident = isinstance(source, Resident)
        if self.resident:
            self.data = in_place(model.conform(source.data), programs.plan)
            self.prepare()

    def prepare(self):
        """Ask for the programs of this run: compiled on threads, beside each other."""
        source, session = self.source, self.session
        ts, zero = session.ts, np.int32(0)
        order = jax.ShapeDtypeStruct((source.rows,), np.int32) if self.shuffle else None
        if source.steps:
            kind, ends = ("train_chunk", (zero, zero)) if session.programs.loops else ("train_rows", (zero,))
            session.programs.ask(kind, ts, self.data, order, *ends, size=source.batch_size)
        if source.rest and (self.steps is None or self.steps > source.steps):
            session.programs.ask("train_rows", ts, self.data, order, zero, size=source.rest)
        session.programs.ask("read_tally", ts.tally)

    def epoch(self, number):
        """Run one epoch; returns its logs."""
        if not self.done:
            self.session.reset()
        self.watchers.on_epoch_begin(number)
        (self.resident_epoch if self.resident else self.stream_epoch)(number)
        self.session.give()
        self.done = 0
        return self.session.logs()

    def resident_epoch(self, number):
        source, left = self.source, (self.steps or self.source.total_steps) - self.done
        if self.steps is None:
            self.cursor, self.passed = self.done, number
        while left > 0 and not self.model.stop_training:
            if self.ordered != self.passed:
                self.order = source.order(self.model.data_seed, self.passed, self.shuffle)
                self.order = placed(self.order)
                self.ordered = self.passed
            whole = min(left, source.steps - self.cursor)
            if whole > 0:
                length = self.session.length(whole, self.every, self.refresh)
                self.before(length)
                self.session.run(source.batch_size, self.data, self.order, self.cursor, self.cursor + length)
            else:
                length = 1
                self.before(length)
                self.session.rest(source.rest, self.data, self.order, source.steps * source.batch_size)
            self.cursor += length
            left -= length
            if self.cursor >= source.total_steps:
                self.cursor, self.passed = 0, self.passed + 1
            self.after(length, left)

    def stream_epoch(self, number):
        self.source.begin()
        if self.steps is None:
            self.cursor, self.passed = self.done, number
        left = (self.steps or self.source.length or math.inf) - self.done
        place, steps = (self.passed, self.cursor), None if self.steps is None else left
        batches = self.source.batches(self.model.data_seed, place, self.shuffle, steps)
        with Feed(self.model, batches, self.source.depth, self.settle) as feed:
            while left > 0 and not self.model.stop_training:
                batch = next(feed, None)
                if batch is None:
                    self.ran_dry(left)
                    break
                self.before(1)
                self.session.batch(batch)
                self.passed, self.cursor = feed.place
                left -= 1
                self.after(1, left)
        self.watchers.on_waiting(feed.share)
        self.source.finish()

    def settle(self):
        """Wait until the device has done all its steps."""
        self.session.ts.step.block_until_ready()

    def close(self):
        """The end, good or bad: nothing reads the source any longer."""
        if not self.resident:
            self.source.close()

    def ran_dry(self, left):
        self.dry = self.source.once
        if self.steps is not None and self.done < self.steps:
            warnings.warn(
                f"The data ended {int(left)} batches before the epoch did; training stops here. A generator must "
                "yield steps_per_epoch * epochs batches.", stacklevel=4,
            )  # fmt: skip

    # ---- who is watching ---------------------------------------------------------------------------

    def before(self, length):
        if self.batchers:
            self.watchers.on_train_batch_begin(self.done)

    def after(self, length, left):
        self.done += length
        if self.batchers:
            self.session.give()
            self.watchers.on_train_batch_end(self.done - 1, self.session.logs())
        if self.refresh is not None and left > 0:
            self.watchers.on_progress(self.done, logs=self.session.logs())

    def finish(self):
        """The end of training: averaged weights take the place of the last ones, if asked for."""
        session = self.session
        params = self.model.optimizer.finish(session.ts.params, session.ts.opt_state)
        if params is not session.ts.params:
            session.ts = session.ts._replace(params=params)
            session.give()


class Feed:
    """The batches of a stream on the device, made ahead on a thread for as long as `with` lasts.

    `place`: where in the data the batch that was taken last ends.
    """

    def __init__(self, model, batches, depth, settle=None, put=on_device):
        self.model, self.put = model, put
        batches = self.fitting(batches)
        self.batches = Ahead(batches, depth, settle) if depth else batches
        self.began = time.perf_counter()

    def fitting(self, batches):
        try:
            for place, batch in batches:
                yield place, self.put(self.model.conform(batch))
        finally:
            close(batches)

    @property
    def share(self):
        """Which part of the time since the start nothing was computed for want of a batch; 0 in the first second."""
        seconds = time.perf_counter() - self.began
        return getattr(self.batches, "waited", 0.0) / seconds if seconds > 1 else 0.0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.batches.close()

    def __iter__(self):
        return self

    def __next__(self):
        self.place, batch = next(self.batches)
        return batch


class Validation:
    """The evaluation inside fit: the same source each time, its rows on the device once."""

    def __init__(self, model, programs, source, steps, frequency, watchers):
        self.source, self.frequency = source, frequency
        if source is not None:
            self.count = Counter(model, programs, source, steps, watchers)

    def due(self, epoch):
        if self.source is None:
            return False
        if isinstance(self.frequency, int):
            return (epoch + 1) % self.frequency == 0
        return epoch + 1 in self.frequency

    def run(self):
        return {f"val_{name}": value for name, value in self.count.run().items()}


# ---- evaluate -------------------------------------------------------------------------------------------


class Counter:
    """Counts batches into a tally: `evaluate`, and the validation of `fit`."""

    def __init__(self, model, programs, source, steps, watchers):
        self.model, self.programs, self.source, self.steps, self.watchers = model, programs, source, steps, watchers
        self.told = Told(watchers, "test", model.steps_per_execution)
        if isinstance(source, Resident):
            self.data = in_place(model.conform(source.data), programs.plan)
            self.prepare()

    def prepare(self):
        arrays, zero, source = self.model.device_arrays(), np.int32(0), self.source
        tally = self.zero()
        if source.steps:
            kind, ends = ("test_chunk", (zero, zero)) if self.loops else ("test_rows", (zero,))
            self.programs.ask(kind, arrays, tally, self.data, *ends, size=source.batch_size)
        if source.rest:
            self.programs.ask("test_rows", arrays, tally, self.data, zero, size=source.rest)
        self.programs.ask("read_tally", tally)

    @property
    def loops(self):
        return self.programs.loops and not self.told.watched

    def zero(self):
        y, pred = self.model.target_avals
        return placed(step.zero_tally(self.programs.plan, y, pred))

    def run(self, keep=False):
        """The logs of one evaluation; with `keep`, what stateful layers carry on stays in the model."""
        self.model.stop_evaluating = False
        self.watchers.on_test_begin()
        tally, self.arrays = self.zero(), self.model.device_arrays()
        tally = self.resident(tally) if isinstance(self.source, Resident) else self.stream(tally)
        if keep:
            self.model.keep_state(self.arrays)
        logs = read_logs(self.programs, tally)
        self.watchers.on_test_end(logs)
        return logs

    def resident(self, tally):
        source, size = self.source, self.source.batch_size
        steps = min(self.steps or source.total_steps, source.total_steps)
        whole = min(steps, source.steps)
        if self.loops and whole:
            args = (self.arrays, tally, self.data, np.int32(0), np.int32(whole))
            tally, self.arrays = self.programs.call("test_chunk", *args, size=size)
            hold(tally["loss"], self.data)
        for i in range(whole if self.loops else 0, steps):
            self.told.begin(i)
            rows = size if i < source.steps else source.rest
            args = (self.arrays, tally, self.data, np.int32(i * size))
            tally, self.arrays = self.programs.call("test_rows", *args, size=rows)
            hold(tally["loss"], self.data)
            self.told.end(i, partial(read_logs, self.programs, tally))
            if self.model.stop_evaluating:
                break
        self.told.last()
        return tally

    def stream(self, tally):
        self.source.begin()
        batches = self.source.batches(shuffle=False, steps=self.steps, again=False)
        with Feed(self.model, batches, self.source.depth, lambda: jax.block_until_ready(tally)) as feed:
            for i, batch in enumerate(feed):
                self.told.begin(i)
                tally, self.arrays = self.programs.call("test_step", self.arrays, tally, batch)
                self.told.end(i, partial(read_logs, self.programs, tally))
                if self.model.stop_evaluating:
                    break
        self.told.last()
        self.watchers.on_waiting(feed.share)
        self.source.finish()
        return tally


class Told:
    """The callbacks that watch the batches of an evaluation or prediction: told of every `every`-th, and of the last.

    `every` is the model's steps_per_execution.
    """

    def __init__(self, watchers, job, every):
        self.watchers, self.job, self.every, self.open = watchers, job, every, None
        self.watched = bool(watchers.watching((f"on_{job}_batch_begin", f"on_{job}_batch_end")))

    def begin(self, i):
        if self.watched and i % self.every == 0:
            getattr(self.watchers, f"on_{self.job}_batch_begin")(i)

    def end(self, i, logs):
        """Batch i is done; `logs()` says with what."""
        self.open = i, logs
        if (i + 1) % self.every == 0:
            self.last()

    def last(self):
        """What was done since they were told last."""
        if self.watched and self.open is not None:
            i, logs = self.open
            getattr(self.watchers, f"on_{self.job}_batch_end")(i, logs())
        self.open = None


def evaluate(model, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, steps=None, callbacks=None):
    """{name: value} of the loss and the metrics on the data. See `Sequential.evaluate`."""
    check_counts(batch_size=batch_size, steps=steps)
    source = open_source(x, y, sample_weight, batch_size, None, steps, model.read)
    programs = model.ready(source.sample(), training=False)
    model.check_targets(source.sample())
    display = make_display(verbose, job="evaluate")
    watchers = CallbackList([*(callbacks or []), *([display] if display else [])])
    watchers.set_model(model)
    total = steps or (source.total_steps if isinstance(source, Resident) else source.length)
    watchers.set_params({"verbose": display.verbose if display else 0, "epochs": 1, "steps": total})
    counter = Counter(model, programs, source, steps, watchers)
    return counter.run(keep=True)


# ---- predict ---------------------------------------------------------------------------------------------

ROOM = 4 * 2**20  # bytes of the widest activation in one call: with more, it no longer stays in the cache
ENOUGH = 64  # rows that keep two processors busy: more of them at once only leave the cache


def predict(model, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
    """The predictions for all rows, as NumPy. See `Sequential.predict`."""
    check_counts(batch_size=batch_size, steps=steps)
    source = open_source(x, None, None, batch_size, None, steps, model.read)
    model.ready_to_predict(source.sample())
    display = make_display(verbose, job="predict")
    watchers = CallbackList([*(callbacks or []), *([display] if display else [])])
    watchers.set_model(model)
    told = Told(watchers, "predict", model.steps_per_execution)
    model.stop_predicting = False
    total = steps or (source.total_steps if isinstance(source, Resident) else source.length)
    watchers.set_params({"verbose": display.verbose if display else 0, "epochs": 1, "steps": total})
    watchers.on_predict_begin()
    parts = []
    with closing(predict_batches(model, source, steps, told.watched)) as batches:
        for i, rows in enumerate(batches):
            told.begin(i)
            parts.append(model.forward_rows(rows))
            told.end(i, lambda: {"outputs": join(parts[-((len(parts) - 1) % told.every + 1) :])})
            if model.stop_predicting:
                break
    told.last()
    watchers.on_predict_end()
    return join(parts)


def predict_batches(model, source, steps, watched):
    """The rows of each call: the user's batches, or as many as suit the cache where that changes no result."""
    if not isinstance(source, Resident):
        source.begin()
        batches = source.batches(shuffle=False, steps=steps, again=False)
        with Feed(model, batches, source.depth, put=lambda batch: batch.x) as feed:
            yield from feed
        source.finish()
        return
    size = source.batch_size
    rows = min(source.rows, steps * size) if steps else source.rows
    if not watched and model.forward_pass().rowwise:
        least = min(size, ENOUGH) if jax.default_backend() == "cpu" else size
        size = max(least, wide(model, source.data.x))
    for start in range(0, rows, size):
        yield source.data.x[start : min(start + size, rows)]


def wide(model, x):
    """How many rows fill `ROOM` with float32 numbers where the chain is widest: a power of two."""
    longest = max(x.shape[1:], default=1)  # stands for a size that the chain leaves open
    shapes = [shape for one in every_layer(model) if isinstance(one, Chain) for shape in one.shapes]
    shapes += [one.largest(one.input_spec_shape) for one in every_layer(model) if hasattr(one, "largest")]
    widest = max(math.prod(n or longest for n in shape[1:]) for shape in shapes if is_shape(shape))
    return 1 << (max(1, ROOM // (4 * widest)).bit_length() - 1)


def join(parts):
    """Batches of predictions, one after another; a tuple of outputs stays one."""
    if isinstance(parts[0], (tuple, list)):
        return type(parts[0])(join([part[i] for part in parts]) for i in range(len(parts[0])))
    parts = [np.asarray(part) for part in parts]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


__all__ = ["Batch", "evaluate", "fit", "predict"]
