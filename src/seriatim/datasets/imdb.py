"""IMDB: 50,000 film reviews, good or bad (Maas et al. 2011). Floor 6."""

import numpy as np

from .inert import load_npz
from .sources import fetch
from .words import Texts, begun, limited, shuffled, split, word_index


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
    train, test = [
        begun(*shuffled(arrays[f"x_{part}"], arrays[f"y_{part}"], rng), start_char, index_from, maxlen)
        for part in ("train", "test")
    ]
    both = Texts(*map(np.concatenate, zip(train, test, strict=True)))
    return split(limited(both, num_words, skip_top, oov_char), both.labels, len(train.labels))


def get_word_index(path="imdb_word_index.json"):
    """{word: rank}; in `load_data` a word's number is its rank + index_from (3)."""
    return word_index("imdb_word_index.json", path)
