"""Writing the model during training. Floor 4."""

import math
import os

from ...base.report import UsageError
from .monitor import Monitor


class ModelCheckpoint(Monitor):
    """Save the model (or its weights) each epoch, each `save_freq` batches, or when it is the best so far.

    filepath may hold {epoch}, {batch} and any name of the logs: "model-{epoch:02d}-{val_loss:.2f}.keras".
    """

    remembered = ("best", "batches")

    def __init__(
        self, filepath, monitor="val_loss", verbose=0, save_best_only=False, save_weights_only=False, mode="auto",
        save_freq="epoch", initial_value_threshold=None,
    ):  # fmt: skip
        super().__init__(monitor, mode)
        self.filepath, self.verbose = os.fspath(filepath), verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int)):
            raise UsageError("save_freq is 'epoch' or a number of batches", saw=repr(save_freq))
        wanted = (".weights.h5", ".safetensors") if save_weights_only else (".keras", ".h5")
        if not self.filepath.endswith(wanted):
            raise UsageError(
                "ModelCheckpoint knows the format by the ending of filepath", saw=self.filepath,
                want=" or ".join(wanted), fix=f"{self.filepath.rpartition('.')[0] or self.filepath}{wanted[0]}",
            )  # fmt: skip
        self.save_freq, self.best, self.batches = save_freq, initial_value_threshold, 0
        if save_freq != "epoch":
            self.on_train_batch_end = self.count_batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def count_batch(self, batch, logs=None):
        self.batches += 1
        if self.batches >= self.save_freq:
            self.batches = 0
            self.save(self.epoch, batch, logs or {})

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self.save(epoch, None, logs or {})

    def save(self, epoch, batch, logs):
        path = self.path(epoch, batch, logs)
        if self.save_best_only:
            current = self.value(logs)
            if current is not None and not self.improves(epoch, current, path):
                return
        elif self.verbose:
            print(f"\nEpoch {epoch + 1}: saving model to {path}")
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        write = self.model.save_weights if self.save_weights_only else self.model.save
        write(path, overwrite=True)

    def improves(self, epoch, current, path):
        best = self.worst() if self.best is None else self.best
        if not self.better(current, best):
            if self.verbose:
                print(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {best:.5f}")
            return False
        if self.verbose:
            was = "inf" if math.isinf(best) else f"{best:.5f}"
            print(f"\nEpoch {epoch + 1}: {self.monitor} improved from {was} to {current:.5f}, saving model to {path}")
        self.best = current
        return True

    def path(self, epoch, batch, logs):
        try:
            return self.filepath.format(epoch=epoch + 1, batch=(batch or 0) + 1, **logs)
        except KeyError as error:
            raise UsageError(
                f"the filepath of ModelCheckpoint names {error}, which is not in the logs",
                saw=self.filepath, want=f"epoch, batch, {', '.join(logs)}",
            ) from error  # fmt: skip
