"""Texts as lists of word numbers, ranked by how often a word occurs: what IMDB and Reuters share.

Floor 6.
"""

import json
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np

from ..base.report import UsageError
from .sources import fetch


def shuffled(x, y, rng):
    """Both in the same new order."""
    order = np.arange(len(x))
    rng.shuffle(order)
    return x[order], y[order]


class Texts(NamedTuple):
    """Texts one after another: their words (n,), the number of words of each (texts,), a label for each."""

    words: Any
    lengths: Any
    labels: Any


def begun(texts, labels, start_char, index_from, maxlen):
    """Texts whose words are counted from `index_from`, behind a `start_char`; only those shorter than maxlen."""
    first, lengths = start_char is not None, np.fromiter(map(len, texts), np.int64, len(texts))
    if maxlen:
        keep = lengths + first < maxlen
        texts, labels, lengths = texts[keep], labels[keep], lengths[keep]
    if not len(texts):
        raise UsageError("no text is shorter than maxlen", saw=f"maxlen={maxlen}", fix="a larger maxlen")
    words = np.fromiter(chain.from_iterable(texts), np.int64, lengths.sum()) + (index_from or 0)
    if first:
        words = np.insert(words, np.cumsum(lengths) - lengths, start_char)
    return Texts(words, lengths + first, labels)


def limited(texts, num_words, skip_top, oov_char):
    """Lists of words, of which those outside skip_top … num_words - 1 become `oov_char`, or None: are left out.

    Without num_words, the largest number of all stands for it (and so is outside itself), as in Keras.
    """
    words, ends = texts.words, np.cumsum([0, *texts.lengths])
    inside = (skip_top <= words) & (words < (num_words or words.max()))
    if oov_char is None:
        words, ends = words[inside], np.cumsum([0, *inside])[ends]
    else:
        words = np.where(inside, words, oov_char)
    words = words.tolist()
    return [words[start:stop] for start, stop in pairwise(ends.tolist())]


def split(lists, labels, cut):
    """(texts, labels) before the cut and behind it, as arrays."""
    return (np.array(lists[:cut], object), labels[:cut]), (np.array(lists[cut:], object), labels[cut:])


def word_index(source, path):
    """{word: rank} from a file of the table."""
    with open(fetch(source, path), encoding="utf-8") as file:
        return json.load(file)
