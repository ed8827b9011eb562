"""Progress while training: a live line on a terminal, a table in a notebook, one plain line in a log.

Floor 4. The fields are Keras's (`32/32 - 1s - 15ms/step - accuracy: 0.93 - loss: 0.21`), so that scripts
that read them go on working.
"""

import sys
import time
from html import escape

from ..base import settings
from ..base.lazy import later
from ..base.report import UsageError
from .callbacks.callback import Callback

rich = later("rich")

WIDTH = 20  # cells of the bar
MUCH = 0.2  # the share of waiting that is worth a word


def make_display(verbose="auto", job="fit"):
    """The display that fits where the output goes; None for silence."""
    if verbose not in ("auto", 0, 1, 2, True, False):
        raise UsageError("verbose is 'auto', 0, 1 or 2", saw=repr(verbose))
    verbose = (1 if settings.is_interactive_logging_enabled() else 2) if verbose == "auto" else int(verbose)
    if not verbose:
        return None
    if job == "predict":
        return LiveDisplay(verbose, job) if verbose == 1 and on_terminal() else None
    if verbose == 2:
        return PlainDisplay(verbose, job)
    if in_notebook():
        return TableDisplay(verbose, job) if job == "fit" else PlainDisplay(verbose, job)
    return LiveDisplay(verbose, job) if on_terminal() else PlainDisplay(1, job)


def on_terminal():
    return bool(getattr(sys.stdout, "isatty", lambda: False)())


def in_notebook():
    shell = sys.modules.get("IPython")
    shell = shell.get_ipython() if shell is not None and hasattr(shell, "get_ipython") else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


class Display(Callback):
    """What all displays know: the epoch, the steps, the time."""

    def __init__(self, verbose=1, job="fit"):
        super().__init__()
        self.verbose, self.job, self.waited = verbose, job, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.began, self.waited = epoch, time.perf_counter(), 0.0

    def on_test_begin(self, logs=None):
        if self.job == "evaluate":
            self.on_epoch_begin(0)

    def on_waiting(self, share, logs=None):
        self.waited = max(self.waited, share)

    @property
    def late(self):
        """`waited 43 % for data`, where that is much: then the source is what to make faster."""
        return f"waited {100 * self.waited:.0f} % for data" if self.waited >= MUCH else ""

    @property
    def steps(self):
        return (self.params or {}).get("steps")

    @property
    def epochs(self):
        return (self.params or {}).get("epochs")

    def fields(self, logs, done=None):
        """`32/32 - 1s - 15ms/step - accuracy: 0.93 - loss: 0.21`"""
        passed = time.perf_counter() - self.began
        steps = done or self.steps or 1
        head = [f"{steps}/{self.steps or steps}", f"{passed:.0f}s", f"{pace(passed / steps)}/step"]
        rest = [f"{name}: {number(value)}" for name, value in (logs or {}).items()]
        return " - ".join([*head, *rest, *([self.late] if self.late else [])])


class PlainDisplay(Display):
    """One line an epoch, no control codes: for pipes, log files, and verbose=2."""

    def on_epoch_end(self, epoch, logs=None):
        print(f"Epoch {epoch + 1}/{self.epochs} - {self.fields(logs)}", flush=True)

    def on_test_end(self, logs=None):
        if self.job == "evaluate":
            print(self.fields(logs), flush=True)


class LiveDisplay(Display):
    """A bar that moves, with the time left; at the end of an epoch, one line that stays."""

    refresh = 0.2

    def __init__(self, verbose=1, job="fit"):
        super().__init__(verbose, job)
        self.console = rich.console.Console(highlight=False)
        self.live = None

    def on_train_begin(self, logs=None):
        self.live = rich.live.Live(console=self.console, auto_refresh=False, transient=True)
        self.live.start()

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch)
        self.draw(0, {})

    def on_progress(self, step, logs=None):
        self.draw(step, logs)

    def on_epoch_end(self, epoch, logs=None):
        self.live.update(rich.text.Text(""), refresh=True)
        self.console.print(f"Epoch {epoch + 1}/{self.epochs}", style="bold")
        self.console.print(self.line(self.steps or 1, logs, last=True), soft_wrap=True)

    def on_train_end(self, logs=None):
        self.close()

    def on_test_end(self, logs=None):
        if self.job == "evaluate":
            self.console.print(self.line(self.steps or 1, logs, last=True), soft_wrap=True)

    def close(self):
        if self.live is not None:
            self.live.stop()
            self.live = None

    def draw(self, step, logs):
        if self.live is not None:
            head = rich.text.Text(f"Epoch {self.epoch + 1}/{self.epochs}\n", style="bold")
            self.live.update(head + self.line(step, logs), refresh=True)

    def line(self, step, logs, last=False):
        """`32/32 ━━━━━━━━━━━━━━━━━━━━ 1s 15ms/step - accuracy: 0.93 - loss: 0.21`"""
        total, passed = self.steps, time.perf_counter() - self.began
        text = rich.text.Text(f"{step}/{total or '?'} ")
        text += bar(1 if last or not total else step / total)
        each = passed / max(step, 1)
        if last or not total:
            text.append(f" {passed:.0f}s {pace(each)}/step")
        elif step:
            text.append(f" ETA {clock(each * (total - step))} {pace(each)}/step")
        for name, value in (logs or {}).items():
            text.append(f" - {name}: ", style="bright_black" if name.startswith("val_") else "")
            text.append(number(value), style="bold")
        if self.late:
            text.append(f" - {self.late}", style="yellow")
        return text


class TableDisplay(Display):
    """In a notebook: one HTML table that replaces itself and stays in the saved notebook."""

    refresh = 0.5

    def on_train_begin(self, logs=None):
        from IPython.display import HTML, display

        self.html, self.rows, self.now = HTML, [], ""
        self.handle = display(HTML(""), display_id=True)

    def on_progress(self, step, logs=None):
        share = f"{100 * step / self.steps:.0f} %" if self.steps else str(step)
        self.now = self.row(f"{self.epoch + 1}/{self.epochs} <small>{share}</small>", logs)
        self.update(logs)

    def on_epoch_end(self, epoch, logs=None):
        passed = time.perf_counter() - self.began
        aside = f"{clock(passed)} {self.late}".strip()
        self.rows.append(self.row(f"{epoch + 1}/{self.epochs} <small>{aside}</small>", logs))
        self.now = ""
        self.update(logs)

    def row(self, head, logs):
        cells = "".join(f"<td>{number(value)}</td>" for value in (logs or {}).values())
        return f"<tr><td>{head}</td>{cells}</tr>"

    def update(self, logs):
        names = "".join(f"<th>{escape(name)}</th>" for name in (logs or {}))
        rows = self.rows if len(self.rows) <= 60 else [*self.rows[:5], "<tr><td>…</td></tr>", *self.rows[-50:]]
        self.handle.update(self.html(f"<table><tr><th>epoch</th>{names}</tr>{''.join(rows)}{self.now}</table>"))


class ProgbarLogger(Display):
    """Keras's name for the display that `fit` adds by itself."""

    def __new__(cls, *args, **kwargs):
        return make_display("auto")


def bar(share, width=WIDTH):
    """A line of `width` cells; this share of it is done."""
    done = int(width * min(share, 1))
    return rich.text.Text.assemble(("━" * done, "green"), ("━" * (width - done), "bright_black"))


def number(value):
    """Four decimals, or scientific where that says nothing, as Keras prints."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if value == 0 or abs(value) > 1e-3 or value != value else f"{value:.4e}"


def pace(seconds):
    """Time of one step: `2s`, `15ms`, `71us`."""
    if seconds >= 1:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"


def clock(seconds):
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    return f"{minutes}:{seconds:02d}" if minutes else f"{seconds}s"
