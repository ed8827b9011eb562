"""Texts as lists of word numbers, ranked by how often a word occurs: what IMDB and Reuters share.

Floor 6.
"""

import json
from itertools import chain, pairwise

import numpy as np

from ..base.report import UsageError
from .sources import fetch


def shuffled(x, y, rng):
    """Both in the same new order."""
    order = np.arange(len(x))
    rng.shuffle(order)
    return x[order], y[order]


def begun(texts, labels, start_char, index_from, maxlen):
    """(texts, labels): numbers counted from `index_from`, behind a `start_char`; only those shorter than maxlen."""
    start = [] if start_char is None else [start_char]
    texts = [start + [word + index_from for word in text] for text in texts] if start or index_from else list(texts)
    if maxlen:
        keep = [len(text) < maxlen for text in texts]
        texts = [text for text, fits in zip(texts, keep, strict=True) if fits]
        labels = labels[np.asarray(keep, bool)]
    if not texts:
        raise UsageError("no text is shorter than maxlen", saw=f"maxlen={maxlen}", fix="a larger maxlen")
    return texts, labels


def limited(texts, num_words, skip_top, oov_char):
    """Words outside skip_top … num_words - 1 become `oov_char`, or are left out if that is None.

    Without num_words, the largest number of all stands for it (and so is outside itself), as in Keras.
    """
    ends = np.cumsum([0, *map(len, texts)])
    flat = np.fromiter(chain.from_iterable(texts), np.int64, ends[-1])
    num_words = num_words or flat.max()
    inside = (skip_top <= flat) & (flat < num_words)
    if oov_char is None:
        ends, flat = np.cumsum([0, *inside])[ends], flat[inside]
    else:
        flat = np.where(inside, flat, oov_char)
    words = flat.tolist()
    return [words[start:stop] for start, stop in pairwise(ends.tolist())]


def word_index(source, path):
    """{word: rank} from a file of the table."""
    with open(fetch(source, path), encoding="utf-8") as file:
        return json.load(file)
