"""A run that dies goes on from its backup, and ends with the bits of a run that never died."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import seriatim
from seriatim import layers
from seriatim.base.report import FileError, UsageError
from seriatim.callbacks import BackupAndRestore, Callback

from .mortal import data, model, run


@pytest.mark.parametrize(("freq", "kind"), [("epoch", "rows"), (3, "cut"), (5, "stream")])
def test_killed_and_continued_is_the_run_that_was_not_killed(tmp_path, freq, kind):
    folder = str(tmp_path / "backup")
    code = f"from mortal import *; run(7, {folder!r}, {freq!r}, {kind!r}, Death(3, 1))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, timeout=600).returncode == 9
    assert os.listdir(folder)
    whole, history = run(7, None, freq, kind)
    went_on, rest = run(99, folder, freq, kind)
    for name, values in rest.items():
        assert values == history[name][-len(values) :], name
    assert 1 < len(rest["loss"]) < len(history["loss"])
    for a, b in zip(whole.get_weights(), went_on.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not os.path.exists(folder)


class Fault(Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 4:
            raise RuntimeError("Interrupting!")


def test_a_damaged_backup_and_a_foreign_one(tmp_path):
    keep = BackupAndRestore(tmp_path, double_checkpoint=True, delete_checkpoint=False)
    made, (x, y) = model(1), data()
    with pytest.raises(RuntimeError, match="Interrupting"):
        made.fit(x, y, epochs=10, verbose=0, callbacks=[keep, Fault()])
    (tmp_path / "latest.safetensors").write_bytes(b"\0" * 40)
    with pytest.warns(UserWarning, match="the one before"):
        assert len(model(2).fit(x, y, epochs=10, verbose=0, callbacks=[keep]).history["loss"]) == 7
    assert model(3).fit(x, y, epochs=10, verbose=0, callbacks=[keep]).history == {}  # it had come to its end
    other = seriatim.Sequential([layers.Input((6,)), layers.Dense(1)])
    other.compile("adam", "mse")
    before = other.get_weights()
    with pytest.raises(FileError, match="(?s)another one.*weights/0/kernel"):
        other.fit(x, y, verbose=0, callbacks=[keep])
    np.testing.assert_array_equal(other.get_weights()[0], before[0])
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(FileError):
        model(4).fit(x, y, epochs=10, verbose=0, callbacks=[keep])


@pytest.mark.parametrize("options", [{"backup_dir": ""}, {"backup_dir": "x", "save_freq": "batch"}])
def test_wrong_arguments(options):
    with pytest.raises(UsageError):
        BackupAndRestore(**options)
