"""A value to watch: its name in the logs, which way is better, and by how much.

Floor 4. Shared by every callback with a `monitor` argument.
"""

import math
import warnings

import numpy as np

from ...base.report import UsageError
from .callback import Callback


class Monitor(Callback):
    """A callback that watches `logs[monitor]`; `mode` is "min", "max" or "auto" (asked of the metric)."""

    def __init__(self, monitor="val_loss", mode="auto", min_delta=0.0):
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise UsageError(f"{type(self).__name__}(mode=…)", saw=repr(mode), want="'auto', 'min' or 'max'")
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        self.sign = {"min": -1, "max": 1, "auto": None}[mode]
        self.warned = False

    def better(self, value, than):
        """Whether `value` beats `than` by more than min_delta."""
        self.settle()
        return self.sign * (value - than) > self.min_delta

    def worst(self):
        self.settle()
        return -self.sign * math.inf

    def settle(self):
        """Which way is better, found out from the metric at first need."""
        if self.sign is not None:
            return
        name = self.monitor.removeprefix("val_")
        if name == "loss":
            self.sign = -1
            return
        known = {metric.name: getattr(metric, "direction", None) for metric in getattr(self.model, "metrics", [])}
        direction = known.get(name)
        if direction is None:
            raise UsageError(
                f"{type(self).__name__} cannot tell whether more or less of {self.monitor!r} is better",
                saw=f"mode='auto', metrics: {', '.join(known) or 'none'}", want="mode='min' or mode='max'",
                fix=f"{type(self).__name__}(monitor={self.monitor!r}, mode='max')",
            )  # fmt: skip
        self.sign = 1 if direction == "up" else -1

    def value(self, logs):
        """The watched value, or None with one warning that says what there is; a name that nobody knows is refused."""
        self.settle()
        value = (logs or {}).get(self.monitor)
        if value is None and not self.warned:
            self.warned = True
            warnings.warn(
                f"{type(self).__name__} watches {self.monitor!r}, which is not in the logs; there are: "
                f"{', '.join(logs or {}) or 'none'}", stacklevel=3,
            )  # fmt: skip
        if np.ndim(value) and np.size(value) != 1:  # F1Score(average=None) of several classes, for instance
            raise UsageError(
                f"{type(self).__name__} watches one number", saw=f"{self.monitor}={value}",
                want="a metric that is one number", fix="average='macro', where the metric has it",
            )  # fmt: skip
        return np.ravel(value)[0].item() if np.ndim(value) else value
