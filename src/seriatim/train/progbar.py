"""`Progbar`: a bar for loops of one's own.

Floor 4. What a bar is drawn with stands in `display.py`; the numbers are averaged here.
"""

import sys
import time

import numpy as np

from ..base import settings
from ..base.lazy import later
from ..base.report import UsageError
from .display import bar, in_notebook, on_terminal, pace

rich = later("rich")


class Progbar:
    """A bar for loops of one's own: `40/80 ━━━━━━━━━━━━━━━━━━━━ 2s 48ms/step - loss: 0.2100`.

    `update(i, [("loss", 0.3)])` says that i steps are done, `add(n)` that n more are. Values are averaged over the
    steps, but those in `stateful_metrics` (or all that are not in `stateless_metrics`) are shown as they are.
    verbose=2 writes one line at the end, 0 nothing. `target=None`: the number of steps is not known.

    The fields are Keras's. Where nobody watches (a log, a pipe), each update is a line of its own, without codes.

    >>> bar = Progbar(2, verbose=2)
    >>> bar.add(1, [("loss", 0.3)])
    """

    def __init__(
        self, target, width=20, verbose=1, interval=0.05, stateful_metrics=None, stateless_metrics=None,
        unit_name="step",
    ):  # fmt: skip
        if stateful_metrics is not None and stateless_metrics is not None:
            raise UsageError("Only one of stateful_metrics and stateless_metrics can be given", saw="both")
        self.target, self.width, self.verbose, self.interval = target, width, verbose, interval
        self.unit_name = unit_name
        self.stateful_metrics = set(stateful_metrics or ()) if stateless_metrics is None else None
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self.moving = settings.is_interactive_logging_enabled() and (on_terminal() or in_notebook())
        self.seen, self.drawn, self.room = 0, 0.0, 0
        self.sums = {}  # name: (sum over steps, steps)
        self.began, self.first = time.time(), None  # first: when the first step was done

    def update(self, current, values=None, finalize=None):
        """`current` steps are done; `values` are those of the last of them, as (name, value)."""
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        for name, value in values or ():
            self.count(name, float(np.mean(value)), max(current - self.seen, 1), finalize)
        self.seen, now = current, time.time()
        each = self.pace(current, now)
        if self.verbose == 1 and (finalize or now - self.drawn >= self.interval):
            self.draw(self.line(current, now, each, finalize), finalize)
        elif self.verbose == 2 and finalize and self.target:
            unit = f"{pace(each) if each else '0s'}/{self.unit_name}"
            print(f"{self.done(current)} - {now - self.began:.0f}s - {unit}{self.fields()}", flush=True)
        else:
            return
        self.drawn = now

    def add(self, n, values=None):
        """n more steps are done."""
        self.update(self.seen + n, values)

    def count(self, name, value, steps, last):
        """Average a value over its steps, or keep it as it is; the last update gives the average itself."""
        one_by_one = self.stateful_metrics
        averaged = name in self.stateless_metrics if one_by_one is None else name not in one_by_one
        if last or not averaged:
            self.sums[name] = value, 1
        else:
            total, weight = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + value * steps, weight + steps

    def pace(self, current, now):
        """Seconds of a step, without the first, which is often the slowest."""
        if not current:
            return 0
        late = self.first is not None and current > 1
        each = (now - self.first) / (current - 1) if late else (now - self.began) / current
        if current == 1:
            self.first = now
        return each

    def done(self, current):
        return f"{current:{len(str(self.target))}d}/{self.target}" if self.target else f"{current:7d}/Unknown"

    def fields(self):
        return "".join(f" - {name}: {shown(total / steps)}" for name, (total, steps) in self.sums.items())

    def line(self, current, now, each, last):
        text = rich.text.Text.assemble((self.done(current), "bold"))
        if self.target:
            text = text.append(" ") + bar(current / self.target, self.width)
        left = each * (self.target - current) if self.target and not last else now - self.began
        text.append(f" {time_left(left) if self.target and not last else f'{left:.0f}s'}", "bold")
        return text.append(f" {pace(each) if each else '0s'}/{self.unit_name}{self.fields()}")

    def draw(self, text, last):
        """Over the line before on a terminal and in a notebook; else beneath it."""
        if not self.moving:
            print(text.plain, flush=True)
            return
        self.room, blank = text.cell_len, max(self.room - text.cell_len, 0)
        text.append(" " * blank)
        rich.console.Console(force_jupyter=False).print(
            text, end="\n" if last else "\r", soft_wrap=True, highlight=False
        )
        sys.stdout.flush()


def shown(value):
    """Four decimals, or scientific where that says little."""
    return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"


def time_left(seconds):
    """`5s`, `1:05`, `1:01:05`"""
    hours, minutes, rest = int(seconds // 3600), int(seconds % 3600 // 60), int(seconds % 60)
    if seconds > 3600:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{int(seconds // 60)}:{rest:02d}" if seconds > 60 else f"{int(seconds)}s"
