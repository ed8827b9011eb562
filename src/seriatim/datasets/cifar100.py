"""CIFAR-100: 60,000 colour photographs of 32 x 32 pixels in 100 classes of 20 kinds (Krizhevsky 2009). Floor 6."""

from pathlib import Path

from ..base.report import UsageError
from .cifar10 import read
from .sources import fetch


def load_data(label_mode="fine"):
    """(x_train, y_train), (x_test, y_test): uint8 (50000, 32, 32, 3) and (10000, 32, 32, 3), labels (n, 1).

    label_mode: "fine" (0 to 99) or "coarse" (0 to 19). Channels come first where `config.image_data_format()` says so.
    """
    if label_mode not in ("fine", "coarse"):
        raise UsageError("label_mode is not known", saw=repr(label_mode), want="'fine' or 'coarse'")
    folder = Path(fetch("cifar-100-python.tar.gz", "cifar-100-python-target", extract=True), "cifar-100-python")
    return read(folder, ["train"], f"{label_mode}_labels"), read(folder, ["test"], f"{label_mode}_labels")
