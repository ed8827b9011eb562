"""Callbacks that change the learning rate. Floor 4. A change never compiles anything anew."""

import numpy as np

from ...base.report import UsageError
from .callback import Callback
from .monitor import Monitor


def rates(optimizer):
    """{"learning_rate": …}, or one for each part of an optimizer that has several; nothing where it is unknown."""
    parts, found = optimizer.parts(), {}
    for part in parts:
        try:
            found[f"learning_rate_{part.name}" if len(parts) > 1 else "learning_rate"] = float(
                np.float32(part.learning_rate)
            )
        except AttributeError:
            continue
    return found


class LearningRateScheduler(Callback):
    """At the begin of each epoch: learning_rate = schedule(epoch, learning_rate), or schedule(epoch).

    Of a MultiOptimizer, each optimizer is asked about and set on its own.
    """

    def __init__(self, schedule, verbose=0):
        super().__init__()
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch, logs=None):
        parts = self.model.optimizer.parts()
        for part in parts:
            rate = self.asked(epoch, float(part.learning_rate))
            part.learning_rate = rate
            if self.verbose:
                which = f"{part.name} " if len(parts) > 1 else ""
                print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting {which}learning rate to {rate}.")

    def asked(self, epoch, rate):
        """What the schedule says, for the rate of now."""
        try:
            rate = self.schedule(epoch, rate)
        except TypeError:
            rate = self.schedule(epoch)
        if isinstance(rate, bool) or not isinstance(rate, (float, np.floating)) and getattr(rate, "shape", None) != ():
            raise UsageError(
                "the schedule of LearningRateScheduler must return a float", saw=repr(rate), want="a float",
            )  # fmt: skip
        return float(rate)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs.update(rates(self.model.optimizer))


class ReduceLROnPlateau(Monitor):
    """learning_rate *= factor when the monitored value has not become better for `patience` epochs."""

    remembered = ("wait", "cooldown_counter", "best")

    def __init__(
        self, monitor="val_loss", factor=0.1, patience=10, verbose=0, mode="auto", min_delta=1e-4, cooldown=0,
        min_lr=0.0, **kwargs,
    ):  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        if factor >= 1.0:
            raise UsageError("ReduceLROnPlateau reduces", saw=f"factor={factor}", want="a factor below 1")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.wait, self.cooldown_counter, self.best = 0, 0, None

    def in_cooldown(self):
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        logs.update(rates(self.model.optimizer))
        current = self.value(logs)
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.best is None or self.better(current, self.best):
            self.settle()
            self.best, self.wait = current, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self.reduce(epoch)

    def reduce(self, epoch):
        parts, reduced = self.model.optimizer.parts(), False
        for part in parts:
            old = float(part.learning_rate)
            if old <= float(np.float32(self.min_lr)):
                continue
            part.learning_rate = new = max(old * self.factor, self.min_lr)
            reduced = True
            if self.verbose:
                which = f"{part.name} " if len(parts) > 1 else ""
                print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing {which}learning rate to {new}.")
        if reduced:
            self.cooldown_counter, self.wait = self.cooldown, 0
