"""Callbacks that write down, or do, something small at a moment. Floor 4."""

import csv
import json
import urllib.error
import urllib.parse
import urllib.request
import warnings

import numpy as np

from ...base.report import UsageError
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


class RemoteMonitor(Callback):
    """Send each epoch's logs to a server: a POST to `root` + `path` with {"epoch": …, "loss": …}.

    As a form with one field `field` that holds JSON, or with `send_as_json` as JSON itself. A server that does not
    answer is warned of, and training goes on. Only http and https; as with Keras no answer is read.
    """

    def __init__(
        self, root="http://localhost:9000", path="/publish/epoch/end/", field="data", headers=None, send_as_json=False,
    ):  # fmt: skip
        super().__init__()
        if not root.startswith(("http://", "https://")):
            raise UsageError("RemoteMonitor speaks to a web server", saw=f"root={root!r}", want="http://… or https://…")
        self.root, self.path, self.field = root, path, field
        self.headers, self.send_as_json = headers, send_as_json

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch, **{name: np.asarray(value).tolist() for name, value in (logs or {}).items()}}
        text = json.dumps(row)
        kind = "application/json" if self.send_as_json else "application/x-www-form-urlencoded"
        data = text if self.send_as_json else urllib.parse.urlencode({self.field: text})
        headers = {"Content-Type": kind, **(self.headers or {})}
        request = urllib.request.Request(self.root + self.path, data.encode(), headers, method="POST")
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except urllib.error.HTTPError as error:
            error.close()  # the server was reached, and Keras does not look at what it says
        except OSError as error:
            warnings.warn(
                f"Could not reach RemoteMonitor root server at {self.root}: {error}", stacklevel=2,
            )  # fmt: skip
