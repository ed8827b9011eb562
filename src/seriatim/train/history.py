"""What happened, epoch by epoch: `history.history["loss"]` is a list with one number an epoch.

Floor 4.
"""

from ..base.report import Missing, UsageError
from .callbacks.callback import Callback


class History(Callback):
    """The record that `fit` returns: `.history` {name: [value of each epoch]} and `.epoch` [numbers]."""

    def __init__(self):
        super().__init__()
        self.history = {}

    def on_train_begin(self, logs=None):
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        self.model.history = self

    def plot(self, metrics=None, ax=None):
        """Draw the curves with matplotlib (training solid, validation dashed); returns the Axes."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise Missing("history.plot() draws with matplotlib", fix="pip install 'seriatim[plot]'") from error
        names = [name for name in self.history if not name.startswith("val_")]
        names = names if metrics is None else [metrics] if isinstance(metrics, str) else list(metrics)
        unknown = [name for name in names if name not in self.history]
        if unknown:
            raise UsageError("nothing was recorded under this name", saw=unknown[0], want=", ".join(self.history))
        axes = (
            [ax] if ax is not None else plt.subplots(1, len(names), figsize=(5 * len(names), 3.5), squeeze=False)[1][0]
        )
        epochs = [number + 1 for number in self.epoch]
        for axis, name in zip(axes if len(axes) == len(names) else axes * len(names), names, strict=False):
            (line,) = axis.plot(epochs, self.history[name], label=name)
            if f"val_{name}" in self.history:
                values = self.history[f"val_{name}"]
                axis.plot(epochs[: len(values)], values, "--", color=line.get_color(), label=f"val_{name}")
            axis.set_xlabel("epoch")
            axis.legend()
        return axes[0] if len(axes) == 1 else axes

    def to_frame(self):
        """The history as a pandas data frame, one row an epoch."""
        try:
            import pandas
        except ImportError as error:
            raise Missing("history.to_frame() makes a pandas data frame", fix="pip install pandas") from error
        return pandas.DataFrame(self.history, index=pandas.Index([n + 1 for n in self.epoch], name="epoch"))
