"""Callbacks that write down, or do, something small at a moment. Floor 4."""

import csv

import numpy as np

from .callback import Callback


class CSVLogger(Callback):
    """A row an epoch into a CSV file: the epoch, then every value under its sorted name."""

    def __init__(self, filename, separator=",", append=False):
        super().__init__()
        self.filename, self.sep, self.append = filename, separator, append
        self.writer = self.keys = self.file = None

    def on_train_begin(self, logs=None):
        headed = False
        if self.append:
            try:
                with open(self.filename) as file:
                    headed = bool(file.readline())
            except FileNotFoundError:
                headed = False
        self.file = open(self.filename, "a" if self.append else "w", newline="")  # noqa: SIM115 - open for the run
        self.headed, self.writer, self.keys = headed, None, None

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            self.keys += [] if any(k.startswith("val_") for k in self.keys) else [f"val_{key}" for key in self.keys]
        if self.writer is None:
            self.writer = csv.DictWriter(self.file, ["epoch", *self.keys], delimiter=self.sep)
            if not self.headed:
                self.writer.writeheader()
        self.writer.writerow({"epoch": epoch, **{key: self.text(logs.get(key, "NA")) for key in self.keys}})
        self.file.flush()

    def text(self, value):
        value = np.asarray(value)
        return value.item() if value.ndim == 0 else f'"[{", ".join(map(str, value))}]"'

    def on_train_end(self, logs=None):
        self.file.close()
        self.writer = None


class LambdaCallback(Callback):
    """A callback from functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch))`."""

    def __init__(
        self, on_epoch_begin=None, on_epoch_end=None, on_train_begin=None, on_train_end=None,
        on_train_batch_begin=None, on_train_batch_end=None, **kwargs,
    ):  # fmt: skip
        super().__init__()
        given = {
            "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_train_begin": on_train_begin,
            "on_train_end": on_train_end, "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end, **kwargs,
        }  # fmt: skip
        self.__dict__.update({name: function for name, function in given.items() if function is not None})
