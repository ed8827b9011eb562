"""The arrays of a model while they train: taken from its boxes, stepped by compiled programs, given back.

Floor 4. Between two pauses the session owns the arrays (their buffers are donated from call to call);
at a pause the model has them, and whatever a callback sets there is taken up again.
"""

import time

import jax
import numpy as np

from .. import kernels
from ..data.source import Batch
from ..engine import step
from ..engine.device import placed
from ..engine.plan import merge, split
from ..engine.step import TrainState
from ..kernels.rows import Rows, can_stay, hold

LONGEST = 1.0  # seconds the compiled loop may run alone, so that Ctrl-C is heard


class Session:
    """The state of one run of training."""

    def __init__(self, model, programs):
        self.model, self.programs, self.plan = model, programs, programs.plan
        self.given = None
        self.seconds = None  # measured time of a step
        self.take()

    # ---- between the model and the run -----------------------------------------------------------

    def take(self):
        """Take the model's arrays as they are now."""
        arrays = self.model.device_arrays()
        params, state = split(self.plan, arrays)
        opt_state = self.model.optimizer_state(params)
        tally = self.ts.tally if self.given is not None else self.zero()
        self.ts = TrainState(params, state, opt_state, tally, self.model.key, placed(np.int32(self.model.steps_done)))
        self.programs.ask("copy_state", self.ts)
        self.given = self.held()

    def held(self):
        """What the model holds, by identity: to see whether a callback has changed it."""
        return [id(array) for array in self.model.held_arrays()]

    def give(self):
        """Let the model have the arrays; the session goes on with copies."""
        self.model.receive(merge(self.ts.params, self.ts.state), self.ts.opt_state, int(self.ts.step))
        self.given = self.held()

    def leave(self):
        """The end, good or bad: the model has the last whole state."""
        if self.given is None and not any(leaf.is_deleted() for leaf in jax.tree.leaves(self.ts)):
            self.give()

    def own(self):
        """Before a step: take up what was changed at the pause, and copy what the model keeps."""
        if self.given is None:
            return
        if self.given != self.held() or self.model.optimizer.changed:
            self.take()
        self.ts = self.programs.call("copy_state", self.ts)
        self.given = None

    def zero(self):
        y, pred = self.model.target_avals
        return placed(step.zero_tally(self.plan, y, pred))

    def reset(self):
        """Start counting anew; a metric with a `reset_state` of its own decides for itself."""
        tally, counted = self.zero(), self.ts.tally["metrics"]
        pairs = zip(self.plan.metrics, tally["metrics"], counted, strict=True)
        tally["metrics"] = tuple(m.again(old) if hasattr(m, "again") else new for (_, m, _), new, old in pairs)
        self.ts = self.ts._replace(tally=tally)

    def logs(self):
        """The tally as plain floats, in alphabetical order."""
        return read_logs(self.programs, self.ts.tally)

    @property
    def arrays(self):
        return merge(self.ts.params, self.ts.state)

    # ---- steps -------------------------------------------------------------------------------------

    def run(self, size, data, order, start, stop):
        """Steps `start` to `stop` of a pass over resident rows."""
        self.own()
        began = time.perf_counter()
        if self.programs.loops:
            args = (self.ts, data, order, np.int32(start), np.int32(stop))
            self.ts = self.programs.call("train_chunk", *args, size=size)
        else:
            program = self.programs.get("train_rows", self.ts, data, order, np.int32(0), size=size)
            for i in range(start, stop):
                self.ts = program(self.ts, data, order, np.int32(i * size))
        hold(self.ts.step, data)
        self.ts.step.block_until_ready()
        self.time(began, stop - start)

    def rest(self, size, data, order, start):
        """The last, smaller batch: `size` rows from `start`."""
        self.own()
        self.ts = self.programs.call("train_rows", self.ts, data, order, np.int32(start), size=size)
        hold(self.ts.step, data)

    def batch(self, batch):
        """One step on a batch that arrived."""
        self.own()
        self.ts = self.programs.call("train_step", self.ts, batch)

    def time(self, began, steps):
        passed = (time.perf_counter() - began) / steps
        self.seconds = passed if self.seconds is None else min(passed, 0.5 * (self.seconds + passed))

    def length(self, left, every, refresh):
        """How many steps to run before somebody wants to look."""
        if every:
            return min(left, every)
        if self.seconds is None:
            return 1
        return max(1, min(left, int((refresh or LONGEST) / max(self.seconds, 1e-7))))


def on_device(batch):
    """A batch (or all rows) as arrays on the device. (`jnp.asarray` would copy a large array twice.)"""
    return Batch(*(None if part is None else jax.device_put(part) for part in batch))


def in_place(batch, plan):
    """All rows of a source: left where they are if the kernels of `plan` read them there, else on the device."""
    stay = kernels.offered() and not plan.eager and all(part is None or can_stay(part) for part in batch)
    return Batch(*(None if part is None else Rows(part) for part in batch)) if stay else on_device(batch)


def read_logs(programs, tally):
    values = programs.call("read_tally", tally)
    return {name: plain(values[name]) for name in sorted(values)}


def plain(value):
    array = np.asarray(value)
    return float(array) if array.ndim == 0 else array.tolist()
