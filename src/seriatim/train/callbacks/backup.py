"""A run that was killed goes on where it stood. Floor 4."""

import os
import warnings
from pathlib import Path

from ...base.report import FileError, UsageError
from ...files.tensors import read_tensors, write_tensors
from ..resume import restore, snapshot
from .callback import Callback


class BackupAndRestore(Callback):
    """Keep the whole run in `backup_dir`, and begin from there if a run was interrupted.

    save_freq: "epoch", or a number of batches; False: only restore. double_checkpoint: keep the backup before as well,
    for the case that the last one is damaged. delete_checkpoint: remove the backup when training has ended.

    Differs from Keras: one file, written whole or not at all, holds the optimizer, the random key, the counts of the
    metrics, the place in the data and the state of the other callbacks too; so the run goes on within an epoch, and
    with the same bits as a run that was never interrupted. Only generators are not wound forward: they go on with
    what they yield next. As in Keras, `history` begins anew.
    """

    last = True

    def __init__(self, backup_dir, save_freq="epoch", double_checkpoint=False, delete_checkpoint=True):
        super().__init__()
        if not backup_dir:
            raise UsageError("BackupAndRestore needs a folder", saw=f"backup_dir={backup_dir!r}")
        if save_freq not in ("epoch", False) and (isinstance(save_freq, bool) or not isinstance(save_freq, int)):
            raise UsageError("Invalid value for save_freq", saw=repr(save_freq), want="'epoch', or a number of batches")
        self.backup_dir, self.save_freq = os.fspath(backup_dir), save_freq
        self.double_checkpoint, self.delete_checkpoint = double_checkpoint, delete_checkpoint
        self.latest, self.previous = (Path(self.backup_dir) / f"{word}.safetensors" for word in ("latest", "previous"))
        self.epoch = self.since = self.seen = 0
        if save_freq and save_freq != "epoch":
            self.on_train_batch_end = self.count

    def set_run(self, run):
        """The run to keep; `fit` says it."""
        self.run = run

    def on_train_begin(self, logs=None):
        self.since = self.seen = 0
        found = [path for path in (self.latest, self.previous) if path.exists()]
        for i, path in enumerate(found):
            try:
                record = read_tensors(path)
            except FileError as error:
                if i + 1 == len(found):
                    raise
                warnings.warn(
                    f"the last backup cannot be read, so the one before is taken: {error.title}", stacklevel=2
                )
                continue
            restore(self.run, record, path)
            self.epoch, self.seen = self.run.first, self.run.done
            return

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def count(self, batch, logs=None):
        self.since += batch + 1 - self.seen
        self.seen = batch + 1
        if self.since >= self.save_freq:
            self.since = 0
            self.save(self.epoch, batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        self.epoch, self.seen = epoch + 1, 0
        if self.save_freq == "epoch":
            self.save(self.epoch, 0)

    def save(self, epoch, done):
        os.makedirs(self.backup_dir, exist_ok=True)
        record = snapshot(self.run, epoch, done)
        if self.double_checkpoint and self.latest.exists():
            os.replace(self.latest, self.previous)
        write_tensors(self.latest, record)

    def on_train_end(self, logs=None):
        """Remove the backup: our own files, and the folder if nothing else is in it."""
        folder = Path(self.backup_dir)
        if not self.delete_checkpoint or not folder.is_dir():
            return
        for path in (self.latest, self.previous, *folder.glob(".latest.safetensors.*.tmp")):
            path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
