"""`seriatim.datasets`: digits inside the package, and Keras's eight data sets, downloaded once. Floor 6.

Those are kept where Keras keeps them (`~/.keras/datasets`): what it has downloaded already is used.
"""

from . import boston_housing, california_housing, cifar10, cifar100, digits, fashion_mnist, imdb, mnist, reuters

__all__ = [
    "boston_housing", "california_housing", "cifar10", "cifar100", "digits", "fashion_mnist", "imdb", "mnist",
    "reuters",
]  # fmt: skip
