"""Reuters: 11,228 newswires of 1987 in 46 topics (Lewis 1997, Reuters-21578). Floor 6."""

import numpy as np

from .inert import load_npz
from .sources import fetch
from .words import begun, limited, shuffled, split, word_index

LABELS = (
    "cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves ship cotton carcass "
    "crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin strategic-metal livestock retail ipi "
    "iron-steel rubber heat jobs lei bop zinc orange pet-chem dlr gas silver wpi hog lead"
)


def load_data(
    path="reuters.npz", num_words=None, skip_top=0, maxlen=None, test_split=0.2, seed=113, start_char=1, oov_char=2,
    index_from=3,
):  # fmt: skip
    """(x_train, y_train), (x_test, y_test): arrays of lists of word numbers, and topics 0 to 45.

    The words are numbered as in `imdb.load_data`; the last `test_split` of the shuffled texts are the test set.
    """
    arrays = load_npz(fetch("reuters.npz", path))
    both = shuffled(arrays["x"], arrays["y"], np.random.RandomState(seed))
    texts = begun(*both, start_char, index_from, maxlen)
    lists = limited(texts, num_words, skip_top, oov_char)
    return split(lists, texts.labels, int(len(lists) * (1 - test_split)))


def get_word_index(path="reuters_word_index.json"):
    """{word: rank}; in `load_data` a word's number is its rank + index_from (3)."""
    return word_index("reuters_word_index.json", path)


def get_label_names():
    """The 46 topics, in the order of their numbers."""
    return tuple(LABELS.split())
