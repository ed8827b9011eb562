"""MNIST: 70,000 handwritten digits of 28 x 28 pixels (LeCun, Cortes and Burges 1998; CC BY-SA 3.0). Floor 6."""

import numpy as np

from .sources import fetch


def load_data(path="mnist.npz"):
    """(x_train, y_train), (x_test, y_test): uint8 images (60000, 28, 28) and (10000, 28, 28), labels 0 to 9.

    Downloaded once, as `path` in Keras's cache. `datasets.digits` holds 5,000 of them without a network.
    """
    with np.load(fetch("mnist.npz", path), allow_pickle=False) as file:
        return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
