"""Series and sentences: `TimeseriesGenerator`, `skipgrams`, and `pad_sequences` from `utils`.

Floor 6. New code has `utils.timeseries_dataset_from_array`.
"""

import json
import random

import numpy as np

from ..base.report import DataError, UsageError
from ..utils import PyDataset, pad_sequences

EULER = 0.577


class TimeseriesGenerator(PyDataset):
    """Batches of windows: (data[t - length : t : sampling_rate], targets[t]) for t = start_index + length, + stride, …

    The last t is `end_index`. shuffle=True draws each batch at random, with NumPy's global generator; reverse=True
    turns each window's time around.

    >>> x, y = TimeseriesGenerator(range(6), range(6), length=2, batch_size=2)[0]
    >>> x.tolist(), y.tolist()
    ([[0, 1], [1, 2]], [2, 3])
    """

    def __init__(
        self, data, targets, length, sampling_rate=1, stride=1, start_index=0, end_index=None, shuffle=False,
        reverse=False, batch_size=128, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        if len(data) != len(targets):
            raise DataError("Data and targets have to be of same length", saw=f"{len(data)} and {len(targets)}")
        self.data, self.targets, self.length = data, targets, length
        self.sampling_rate, self.stride, self.batch_size = sampling_rate, stride, batch_size
        self.start_index = start_index + length
        self.end_index = len(data) - 1 if end_index is None else end_index
        self.shuffle, self.reverse = shuffle, reverse
        if self.start_index > self.end_index:
            raise UsageError(
                "no window is left", saw=f"start_index + length = {self.start_index} > end_index = {self.end_index}",
                want="start_index + length <= end_index",
            )  # fmt: skip

    def __len__(self):
        return (self.end_index - self.start_index) // (self.batch_size * self.stride) + 1

    def __getitem__(self, index):
        if self.shuffle:
            ends = np.random.randint(self.start_index, self.end_index + 1, size=self.batch_size)
        else:
            first = self.start_index + self.batch_size * self.stride * index
            ends = range(first, min(first + self.batch_size * self.stride, self.end_index + 1), self.stride)
        windows = np.array([self.data[end - self.length : end : self.sampling_rate] for end in ends])
        return windows[:, ::-1] if self.reverse else windows, np.array([self.targets[end] for end in ends])

    def get_config(self):
        """The arguments; data and targets as JSON, `start_index` as the first t."""
        names = (
            "length", "sampling_rate", "stride", "start_index", "end_index", "shuffle", "reverse", "batch_size",
        )  # fmt: skip
        return {"data": as_json(self.data), "targets": as_json(self.targets)} | {
            name: getattr(self, name) for name in names
        }

    def to_json(self, **kwargs):
        """The configuration as a JSON text; further arguments go to `json.dumps`."""
        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)


def as_json(values):
    return json.dumps(values.tolist() if isinstance(values, np.ndarray) else list(values))


def make_sampling_table(size, sampling_factor=1e-5):
    """How likely a word of each rank is to be kept, as in word2vec: float64 (size,), smaller for frequent words.

    min(1, sqrt(factor / frequency)), with Zipf's law for the frequency of rank r:
    1 / (r · (log r + 0.577) + 1/2 - 1/(12 r)).
    """
    rank = np.maximum(np.arange(size), 1)
    rarity = rank * (np.log(rank) + EULER) + 0.5 - 1.0 / (12.0 * rank)
    kept = sampling_factor * rarity
    return np.minimum(1.0, kept / np.sqrt(kept))


def skipgrams(
    sequence, vocabulary_size, window_size=4, negative_samples=1.0, shuffle=True, categorical=False,
    sampling_table=None, seed=None,
):  # fmt: skip
    """(couples, labels): a word with each one near it (label 1), and with random words (0), as word2vec learns from.

    Near: at most window_size places away. `negative_samples` random couples come on each near one. 0 is no word.
    categorical: [0, 1] and [1, 0] for 1 and 0. Draws from Python's global generator, which `seed` only sets for the
    order at the end, as in Keras.
    """
    near, far = ([0, 1], [1, 0]) if categorical else (1, 0)
    couples = []
    for i, word in enumerate(sequence):
        if not word or (sampling_table is not None and sampling_table[word] < random.random()):
            continue
        around = range(max(0, i - window_size), min(len(sequence), i + window_size + 1))
        couples += [[word, sequence[j]] for j in around if j != i and sequence[j]]
    labels = [near] * len(couples)
    if negative_samples > 0:
        count = int(len(couples) * negative_samples)
        words = [word for word, _ in couples]
        random.shuffle(words)
        couples += [[words[i % len(words)], random.randint(1, vocabulary_size - 1)] for i in range(count)]
        labels += [far] * count
    if shuffle:
        seed = random.randint(0, 10**7) if seed is None else seed
        for column in (couples, labels):
            random.seed(seed)
            random.shuffle(column)
    return couples, labels


__all__ = ["TimeseriesGenerator", "make_sampling_table", "pad_sequences", "skipgrams"]
