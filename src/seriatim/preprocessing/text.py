"""Texts as lists of word numbers: `Tokenizer` and its functions.

Floor 6. New code has the layer `TextVectorization`, which is saved with the model.
"""

import hashlib
import json
import warnings
from collections import Counter, OrderedDict, defaultdict

import numpy as np

from ..base.report import BadArgument, DataError, UsageError

PUNCTUATION = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def text_to_word_sequence(input_text, filters=PUNCTUATION, lower=True, split=" "):
    """The words of a text: in small letters, parted by `split` and by each character in `filters`.

    >>> text_to_word_sequence("One, two - THREE!")
    ['one', 'two', 'three']
    """
    text = input_text.lower() if lower else input_text
    return [word for word in text.translate(dict.fromkeys(map(ord, filters), split)).split(split) if word]


def hashing_trick(text, n, hash_function=None, filters=PUNCTUATION, lower=True, split=" ", analyzer=None):
    """A number from 1 to n - 1 for each word of a text; different words may share one.

    hash_function: word -> whole number; "md5" is the same in every process, None (Python's `hash`) is not.
    """
    if hash_function == "md5":
        hash_function = md5
    words = text_to_word_sequence(text, filters, lower, split) if analyzer is None else analyzer(text)
    return [(hash_function or hash)(word) % (n - 1) + 1 for word in words]


def md5(word):
    return int(hashlib.md5(word.encode(), usedforsecurity=False).hexdigest(), 16)


def one_hot(input_text, n, filters=PUNCTUATION, lower=True, split=" ", analyzer=None):
    """`hashing_trick` with Python's `hash`: in spite of its name, numbers from 1 to n - 1."""
    return hashing_trick(input_text, n, hash, filters, lower, split, analyzer)


class Tokenizer:
    """Gives each word a number, 1 for the most frequent; 0 is for padding, and 1 for `oov_token` where there is one.

    `fit_on_texts` learns the words; `texts_to_sequences` gives lists of their numbers, below `num_words` if that is
    given (others become the `oov_token`, or are left out); `texts_to_matrix` gives a row for each text. A text is a
    string, or a list of words; with char_level=True its characters are the words.

    >>> tokenizer = Tokenizer()
    >>> tokenizer.fit_on_texts(["the cat sat", "the mat"])
    >>> tokenizer.texts_to_sequences(["the mat sat still"])
    [[1, 4, 3]]
    """

    def __init__(
        self, num_words=None, filters=PUNCTUATION, lower=True, split=" ", char_level=False, oov_token=None,
        analyzer=None, **kwargs,
    ):  # fmt: skip
        if "nb_words" in kwargs:
            warnings.warn("The argument nb_words of Tokenizer is called num_words.", stacklevel=2)
            num_words = kwargs.pop("nb_words")
        self.document_count = kwargs.pop("document_count", 0)
        if kwargs:
            raise BadArgument(f"Tokenizer has no argument {next(iter(kwargs))!r}", saw=", ".join(kwargs))
        self.num_words, self.filters, self.lower, self.split = num_words, filters, lower, split
        self.char_level, self.oov_token, self.analyzer = char_level, oov_token, analyzer
        self.word_counts, self.word_docs, self.index_docs = OrderedDict(), defaultdict(int), defaultdict(int)
        self.word_index, self.index_word = {}, {}

    def words(self, text):
        """The words of one text."""
        if self.char_level or isinstance(text, list):
            if not self.lower:
                return text
            return [word.lower() for word in text] if isinstance(text, list) else text.lower()
        if self.analyzer is not None:
            return self.analyzer(text)
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    def fit_on_texts(self, texts):
        """Count the words of these texts, too, and number all words anew by how often they occur."""
        for text in texts:
            self.document_count += 1
            for word, count in Counter(self.words(text)).items():
                self.word_counts[word] = self.word_counts.get(word, 0) + count
                self.word_docs[word] += 1
        ranked = sorted(self.word_counts, key=self.word_counts.get, reverse=True)
        first = [] if self.oov_token is None else [self.oov_token]
        self.word_index = {word: i for i, word in enumerate([*first, *ranked], 1)}
        self.index_word = {i: word for word, i in self.word_index.items()}
        self.index_docs.update({self.word_index[word]: count for word, count in self.word_docs.items()})

    def fit_on_sequences(self, sequences):
        """Count in how many of these lists each number occurs: for "tfidf" without texts."""
        self.document_count += len(sequences)
        for sequence in sequences:
            for i in set(sequence):
                self.index_docs[i] += 1

    def texts_to_sequences(self, texts):
        """A list of word numbers for each text."""
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts):
        """`texts_to_sequences`, a text at a time."""
        for text in texts:
            yield self.limited([self.word_index.get(word) for word in self.words(text)])

    def sequences_to_texts(self, sequences):
        """The words of each list of numbers, with spaces between them."""
        return list(self.sequences_to_texts_generator(sequences))

    def sequences_to_texts_generator(self, sequences):
        """`sequences_to_texts`, a list at a time."""
        for sequence in sequences:
            numbers = self.limited([i if i in self.index_word else None for i in sequence])
            yield " ".join(self.index_word[i] for i in numbers)

    def limited(self, numbers):
        """The numbers below num_words; the oov_token's for others and for None, or nothing if there is none."""
        limit, unknown = self.num_words or float("inf"), self.word_index.get(self.oov_token)
        if unknown is None:
            return [i for i in numbers if i is not None and i < limit]
        return [unknown if i is None or i >= limit else i for i in numbers]

    def texts_to_matrix(self, texts, mode="binary"):
        """A row of word weights for each text: float64 (n, num_words); see `sequences_to_matrix`."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(self, sequences, mode="binary"):
        """A row for each list of numbers: whether a word occurs ("binary"), how often ("count"), that by the length
        ("freq"), or (1 + log count) · log(1 + texts / (1 + texts with the word)) ("tfidf").
        """
        if mode not in ("binary", "count", "freq", "tfidf"):
            raise UsageError("mode is not known", saw=repr(mode), want="'binary', 'count', 'freq' or 'tfidf'")
        if not self.num_words and not self.word_index:
            raise UsageError("the number of words is not known", fix="Tokenizer(num_words=…), or fit_on_texts first")
        if mode == "tfidf" and not self.document_count:
            raise UsageError("tfidf needs texts that were counted", fix="fit_on_texts or fit_on_sequences first")
        width = self.num_words or len(self.word_index) + 1
        rows = np.zeros((len(sequences), width))
        for row, sequence in zip(rows, sequences, strict=True):
            counts = Counter(i for i in sequence if i < width)
            if counts:
                row[list(counts)] = self.weights(counts, len(sequence), mode)
        return rows

    def weights(self, counts, length, mode):
        times = np.array(list(counts.values()), "float64")
        if mode == "tfidf":
            spread = 1 + np.array([self.index_docs.get(i, 0) for i in counts])
            return (1 + np.log(times)) * np.log(1 + self.document_count / spread)
        return {"binary": 1.0, "count": times, "freq": times / length}[mode]

    def get_config(self):
        """The arguments and what was learned; the counts as JSON, as Keras writes them."""
        names = ("num_words", "filters", "lower", "split", "char_level", "oov_token", "document_count")
        learned = ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
        return {name: getattr(self, name) for name in names} | {
            name: json.dumps(getattr(self, name)) for name in learned
        }

    def to_json(self, **kwargs):
        """A JSON text for `tokenizer_from_json`; further arguments go to `json.dumps`."""
        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)


def tokenizer_from_json(json_string):
    """The Tokenizer that `to_json` wrote, here or in Keras; an `analyzer` is not written."""
    found = json.loads(json_string)
    config = found.get("config") if isinstance(found, dict) else None
    if config is None:
        raise DataError("this is no Tokenizer", saw=f"{json_string[:60]!r}", want="what Tokenizer.to_json wrote")
    names = ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
    learned = {name: json.loads(config.pop(name)) for name in names}
    tokenizer = Tokenizer(**config)
    for name, value in learned.items():
        # JSON has no numbers as keys
        setattr(tokenizer, name, {int(i): v for i, v in value.items()} if name.startswith("index") else value)
    return tokenizer


__all__ = ["Tokenizer", "hashing_trick", "one_hot", "text_to_word_sequence", "tokenizer_from_json"]
