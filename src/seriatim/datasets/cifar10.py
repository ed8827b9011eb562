"""CIFAR-10: 60,000 colour photographs of 32 x 32 pixels in 10 classes (Krizhevsky 2009). Floor 6."""

from pathlib import Path

import numpy as np

from ..base.settings import image_data_format
from .inert import load_pickle
from .sources import fetch

BATCHES = [f"data_batch_{i}" for i in range(1, 6)]


def load_data():
    """(x_train, y_train), (x_test, y_test): uint8 (50000, 32, 32, 3) and (10000, 32, 32, 3), labels uint8 (n, 1).

    Channels come first where `config.image_data_format()` says so. The classes: 0 airplane, 1 automobile, 2 bird,
    3 cat, 4 deer, 5 dog, 6 frog, 7 horse, 8 ship, 9 truck.
    """
    folder = fetch("cifar-10-python.tar.gz", "cifar-10-batches-py-target", extract=True)
    batches = Path(folder, "cifar-10-batches-py")
    (x_train, y_train), (x_test, y_test) = read(batches, BATCHES), read(batches, ["test_batch"])
    return (x_train, y_train.astype("uint8")), (x_test, y_test.astype("uint8"))


def read(folder, names, labels="labels"):
    """Images and labels of some of CIFAR's files, one after another."""
    images, classes = [], []
    for name in names:
        with open(folder / name, "rb") as file:
            batch = load_pickle(file, encoding="bytes")
        images.append(batch[b"data"].reshape(-1, 3, 32, 32))
        classes.append(np.reshape(batch[labels.encode()], (-1, 1)))
    x = np.concatenate(images)
    return x if image_data_format() == "channels_first" else x.transpose(0, 2, 3, 1), np.concatenate(classes)
