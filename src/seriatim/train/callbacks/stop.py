"""Callbacks that end a run: no progress, or a loss that is no number. Floor 4."""

import math

from .callback import Callback
from .monitor import Monitor


class EarlyStopping(Monitor):
    """Stop when the monitored value has not become better for `patience` epochs.

    restore_best_weights puts the weights of the best epoch back at the end of training, also when the
    run was not stopped early (as Keras does). baseline: a value that has to be beaten to reset the wait.
    """

    remembered = ("wait", "stopped_epoch", "best", "best_weights", "best_epoch")

    def __init__(
        self, monitor="val_loss", min_delta=0, patience=0, verbose=0, mode="auto", baseline=None,
        restore_best_weights=False, start_from_epoch=0,
    ):  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.wait, self.stopped_epoch, self.best, self.best_weights, self.best_epoch = 0, 0, None, None, 0

    def on_epoch_end(self, epoch, logs=None):
        current = self.value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.best is None or self.better(current, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.better(current, self.baseline):
                self.wait = 0
            self.settle()
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch, self.model.stop_training = epoch, True

    def on_train_end(self, logs=None):
        if self.stopped_epoch > 0 and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class TerminateOnNaN(Callback):
    """Stop as soon as the loss is NaN or infinite; `raise_error=True` raises instead."""

    refresh = 0.5

    def __init__(self, raise_error=False):
        super().__init__()
        self.raise_error = raise_error

    def on_progress(self, step, logs=None):
        self.check(step - 1, logs)

    def on_epoch_end(self, epoch, logs=None):
        self.check(((self.params or {}).get("steps") or 1) - 1, logs)

    def check(self, batch, logs):
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            if self.raise_error:
                raise RuntimeError(f"NaN or Inf loss encountered at batch {batch}: {loss}")
            if not self.model.stop_training:
                print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True
