"""Where the data sets lie: a row a file, as Keras 3.15.1 names it, with its address and its hash.

Floor 6.
"""

from ..download import get_file

GOOGLE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
TORONTO = "https://www.cs.toronto.edu/~kriz/"

SOURCES = {
    "mnist.npz": (GOOGLE, "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"),
    "train-labels-idx1-ubyte.gz": (GOOGLE, None),
    "train-images-idx3-ubyte.gz": (GOOGLE, None),
    "t10k-labels-idx1-ubyte.gz": (GOOGLE, None),
    "t10k-images-idx3-ubyte.gz": (GOOGLE, None),
    "cifar-10-python.tar.gz": (TORONTO, "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"),
    "cifar-100-python.tar.gz": (TORONTO, "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"),
    "imdb.npz": (GOOGLE, "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"),
    "imdb_word_index.json": (GOOGLE, "bfafd718b763782e994055a2d397834f"),
    "reuters.npz": (GOOGLE, "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"),
    "reuters_word_index.json": (GOOGLE, "4d44cc38712099c9e383dc6e5f11a921"),
    "boston_housing.npz": (GOOGLE, "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"),
    "california_housing.npz": (GOOGLE, "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"),
}


def fetch(source, fname=None, **options):
    """The path of a file of the table in the cache, called `fname` there; downloaded if need be."""
    place, file_hash = SOURCES[source]
    return get_file(fname or source, origin=place + source, file_hash=file_hash, **options)
