"""Names: `MaxPooling2D` is `max_pooling2d`, the second one `max_pooling2d_1`.

Floor 0. The counters are per process; `clear_session()` resets them.
"""

import re
from collections import Counter

_taken = Counter()


def snake(name):
    """`LSTM` -> `lstm`, `Conv2D` -> `conv2d`, `LayerNormalization` -> `layer_normalization`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def fresh(word):
    """The next free name for `word`: dense, dense_1, dense_2, …"""
    count = _taken[word]
    _taken[word] += 1
    return f"{word}_{count}" if count else word


def reset():
    _taken.clear()
