"""IMDB: 50,000 film reviews, good or bad (Maas et al. 2011). Floor 6."""

import numpy as np

from .inert import load_npz
from .sources import fetch
from .words import begun, limited, shuffled, word_index


def load_data(
    path="imdb.npz", num_words=None, skip_top=0, maxlen=None, seed=113, start_char=1, oov_char=2, index_from=3
):
    """(x_train, y_train), (x_test, y_test): arrays of 25,000 lists of word numbers each, and labels (1: good).

    A word is the rank of its frequency (1: the most frequent) plus `index_from`; 0 is for padding. A list begins with
    `start_char`; ranks from `num_words` on and below `skip_top` become `oov_char` (None: they are left out); of the
    reviews, only those shorter than `maxlen` stay.

    >>> (x_train, y_train), (x_test, y_test) = load_data(num_words=10000)  # doctest: +SKIP
    """
    arrays, rng = load_npz(fetch("imdb.npz", path)), np.random.RandomState(seed)
    x_train, y_train = shuffled(arrays["x_train"], arrays["y_train"], rng)
    x_test, y_test = shuffled(arrays["x_test"], arrays["y_test"], rng)
    x_train, y_train = begun(x_train, y_train, start_char, index_from, maxlen)
    x_test, y_test = begun(x_test, y_test, start_char, index_from, maxlen)
    texts, cut = limited(x_train + x_test, num_words, skip_top, oov_char), len(x_train)
    return (np.array(texts[:cut], object), y_train), (np.array(texts[cut:], object), y_test)


def get_word_index(path="imdb_word_index.json"):
    """{word: rank}; in `load_data` a word's number is its rank + index_from (3)."""
    return word_index("imdb_word_index.json", path)
