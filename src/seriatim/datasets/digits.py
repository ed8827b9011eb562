"""5,000 handwritten digits of 28 x 28 pixels from MNIST, inside the package.

Floor 6. 500 of each class from the MNIST database (LeCun, Cortes and Burges 1998), 400 to train and 100
to test; see `SOURCES.md` beside this file.
"""

from pathlib import Path

import numpy as np


def load_data():
    """(x_train, y_train), (x_test, y_test): uint8 images (4000, 28, 28) and (1000, 28, 28), labels 0 to 9.

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, y_test.shape
    ((4000, 28, 28), (1000,))
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
