"""Texts as numbers: standardised, split into terms, looked up in a vocabulary.

Floor 2. The work is done on bytes, a thousand rows at a time: one call of C for the case and the punctuation of all of
them, one to split them, one pass over a dict. A mark that no text in UTF-8 holds ends each row. Where our kernels are
compiled, one of them does the usual case (words at white space, looked up) in one pass, on all cores.
"""

import concurrent.futures
import os
import string
from typing import Annotated, Any

import numpy as np

from ..base import registry
from ..base.fields import Anything, Bool, Field, OptionalInt, OptionalText, Refused, Text
from ..base.report import DataError, UsageError
from ..kernels import text as kernel
from .categories import NO_SPARSE
from .contract import under, within
from .core import found_function
from .host import HostLayer, looks, refuse, rows_of, strings_of
from .lookup import DROPPED, ENDS, MARK, Mode, StringLookup, path_refused
from .vocabulary import Vocabulary

ROWS = 1024  # looked at together: their terms stay in the processor's cache
MORE = 8192  # for the kernel: a piece that a thread is worth
SMALL = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
SIGNS = string.punctuation.encode()
STANDARDS = {
    "lower_and_strip_punctuation": (SMALL, SIGNS), "lower": (SMALL, b""), "strip_punctuation": (None, SIGNS),
}  # fmt: skip


class Step(Field):
    """One of a few words, a function, or None."""

    bad = "no such word"

    def __init__(self, *words):
        self.words, self.want = words, f"{', '.join(map(repr, words))}, a function, or None"

    def read(self, value, owner):
        value = found_function(value) if isinstance(value, dict) else value
        if value is not None and value not in self.words and not callable(value):
            raise Refused
        return value

    def source(self, value):
        return getattr(value, "__name__", repr(value))


class Widths(Field):
    """A whole number n, for all widths up to n; a tuple of widths; or None."""

    want, bad = "a positive whole number, a tuple of them, or None", "two"

    def read(self, value, owner):
        value = tuple(value) if isinstance(value, list) else value
        widths = value if isinstance(value, tuple) else () if value is None else (value,)
        if not all(type(width) is int and width > 0 for width in widths):
            raise Refused
        return value

    def write(self, value):
        return list(value) if isinstance(value, tuple) else value


class TextVectorization(HostLayer):
    """y = the place of each term of a text in a vocabulary, or vectors made of them: strings in, numbers out.

    (b,) or (b, 1) -> (b, t), padded with 0 to the longest row at hand, or to output_sequence_length; place 1 is for
    unknown terms. "multi_hot", "count", "tf_idf" (count · idf_weights): (b, v). Texts become lower case (A to Z only,
    as in TensorFlow) and lose ASCII's punctuation, are split at white space, and joined again to `ngrams`. A function
    for `standardize` gets a NumPy array of strings and gives one; one for `split` gets an array (b,) and gives a list
    of terms for each row; `split=None`: each string is a term.

    Keras needs TensorFlow for this layer. Here a layer without a vocabulary does not run; texts that are given to fit,
    evaluate or predict as one array are padded alike, to the longest of all; ragged and sparse outputs are refused.

    >>> layer = TextVectorization(vocabulary=["cat", "dog"])
    >>> layer(["The cat.", "A dog, a cat!"]).tolist()
    [[1, 2, 0, 0], [1, 3, 1, 2]]
    """

    max_tokens: OptionalInt = None
    standardize: Annotated[Any, Step(*STANDARDS)] = "lower_and_strip_punctuation"
    split: Annotated[Any, Step("whitespace", "character")] = "whitespace"
    ngrams: Annotated[Any, Widths()] = None
    output_mode: Mode = "int"
    output_sequence_length: OptionalInt = None
    pad_to_max_tokens: Bool = False
    vocabulary: Vocabulary = None
    idf_weights: Anything = None
    sparse: Bool = False
    ragged: Bool = False
    encoding: Text = "utf-8"
    name: OptionalText = None

    def translate(self, kwargs):
        self.rest = {name: kwargs.pop(name) for name in ("vocabulary_size", "has_input_vocabulary") if name in kwargs}
        return super().translate(kwargs)

    def validate(self):
        refuse(self, sparse=NO_SPARSE, ragged="the compiled program takes rows of one length")
        self.traced = self.output_mode != "int"
        if self.traced and self.output_sequence_length is not None:
            raise UsageError(
                "a vector has no sequence length", at=self._birthplace, want="output_mode='int' beside it",
                saw=f"output_sequence_length={self.output_sequence_length}, output_mode={self.output_mode!r}",
            )  # fmt: skip
        self.lookup = StringLookup(
            max_tokens=self.max_tokens, vocabulary=self.vocabulary, idf_weights=self.idf_weights, mask_token="",
            pad_to_max_tokens=self.pad_to_max_tokens, output_mode=self.output_mode, encoding=self.encoding,
            **self.rest,
        )  # fmt: skip
        widths = self.ngrams
        self.widths = tuple(range(1, widths + 1)) if isinstance(widths, int) else widths or (1,)
        self.usual = self.split == "whitespace" and not callable(self.standardize) and self.widths == (1,)
        self.meaning = kernel.meanings(*STANDARDS.get(self.standardize, (None, b""))) if self.usual else None

    @property
    def children(self):
        return {"_lookup_layer": self.lookup}

    def inner_shapes(self, shape):
        return {"_lookup_layer": shape}

    # ---- the vocabulary ------------------------------------------------------------------------------------

    def get_vocabulary(self, include_special_tokens=True):
        """The terms in order; with the special tokens, the place of a term is its number."""
        return self.lookup.get_vocabulary(include_special_tokens)

    def vocabulary_size(self):
        """How many terms there are, the special ones included."""
        return self.lookup.vocabulary_size()

    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Take a list, an array or a file of terms in the place of the vocabulary; for tf_idf, with their weights."""
        self.lookup.set_vocabulary(vocabulary, idf_weights)
        self.vocabulary, self.idf_weights = self.lookup.vocabulary, self.lookup.idf_weights

    def adapt(self, data, batch_size=None, steps=None):
        """Learn the vocabulary from texts in an array or a list, or from an iterable of batches of them."""
        self.reset_state()
        for piece in looks(self, data, steps):
            self.update_state(piece)
        self.finalize_state()

    def update_state(self, data):
        """Count the terms of a batch of texts."""
        self.lookup.unfixed(self)
        x = np.atleast_1d(rows_of(data, self))
        for rows in self.chunks(x):
            terms = self.terms(rows)
            if self.widths == (1,) and self.output_mode != "tf_idf":
                self.lookup.count(terms, ())
                del self.lookup.counts[MARK]
            else:
                self.lookup.count(*self.grams(terms))

    def finalize_state(self):
        """Make the vocabulary of what was counted."""
        counts = self.lookup
        counts.counts, counts.documents = decoded(counts.counts), decoded(counts.documents)
        counts.finalize_state()

    def reset_state(self):
        """Forget what was counted; the vocabulary stays until it is made anew."""
        self.lookup.reset_state()

    # ---- from texts to places ------------------------------------------------------------------------------

    def chunks(self, x, size=ROWS):
        """The rows some at a time: lists of texts, or without a `split`, lists of rows of terms."""
        if x.ndim > 2 or x.ndim == 2 and x.shape[1] != 1 and self.split is not None:
            raise DataError(
                f"{self.name} (TextVectorization) splits one text a row", at=self._birthplace,
                saw=f"texts of shape {x.shape}", want="(n,) or (n, 1)", fix="split=None, for terms (n, t)",
            )  # fmt: skip
        if self.split is None:
            texts = self.standardised(strings_of(x, self, self.encoding))
            width = x.shape[1] if x.ndim > 1 else 1
            yield [texts[i : i + width] for i in range(0, len(texts), width)]
            return
        x = x.reshape(len(x))
        for start in range(0, len(x), size):
            yield strings_of(x[start : start + size], self, self.encoding)

    def standardised(self, texts):
        """Texts after `standardize`, as a list."""
        if callable(self.standardize):
            return np.asarray(self.standardize(np.asarray(texts, str))).tolist()
        if self.standardize is None:
            return texts
        return [text.encode().translate(*STANDARDS[self.standardize]).decode() for text in texts]

    def terms(self, rows):
        """The terms of some rows as bytes, in one flat list, with a MARK behind each row."""
        if self.split == "whitespace" and not callable(self.standardize):
            table, signs = STANDARDS.get(self.standardize, (None, b""))
            return ((b" \xff ".join(map(str.encode, rows))) + b" \xff").translate(table, signs).split()
        if self.split is not None:
            texts = self.standardised(rows)
            if callable(self.split):
                rows = [list(row) for row in self.split(np.asarray(texts, str))]
            else:
                rows = (text.encode().split() for text in texts) if self.split == "whitespace" else map(list, texts)
        return [term for row in rows for term in (*(t if isinstance(t, bytes) else t.encode() for t in row), MARK)]

    def grams(self, terms):
        """(terms, lengths): the n-grams of each row, those of the first width first, without marks."""
        ends = [i for i, term in enumerate(terms) if term == MARK]
        starts = [0, *(end + 1 for end in ends)]
        rows = [terms[start:end] for start, end in zip(starts, ends, strict=False)]
        if self.widths != (1,):
            rows = [
                [b" ".join(row[i : i + width]) for width in self.widths for i in range(len(row) - width + 1)]
                for row in rows
            ]
        return [term for row in rows for term in row], list(map(len, rows))

    def listed(self, rows):
        """(places, lengths) of the n-grams of some rows."""
        if self.usual and kernel.ready():
            table = self.lookup.table.way("compiled", lambda tokens: kernel.Terms([t.encode() for t in tokens]))
            return kernel.places(rows, self.meaning, table, len(self.lookup.specials), self.lookup.otherwise)
        terms = self.terms(rows)
        if self.widths != (1,):
            terms, lengths = self.grams(terms)
            return self.lookup.listed(terms, bytes), np.array(lengths, int)
        ids = self.lookup.listed(terms, bytes)
        ends = np.flatnonzero(ids == ENDS)
        return ids[ids != ENDS], np.diff(ends, prepend=-1) - 1

    def feed(self, x):
        if self.lookup.tokens is None:
            raise self.lookup.empty(self)
        if self.split is None and self.ngrams is None and x.ndim == 1 and not self.traced:
            return self.listed(next(self.chunks(x)))[0]
        parts = list(self.parts(x)) if len(x) else []
        ids, lengths = (np.concatenate([part[i] for part in parts]) if parts else np.zeros(0, int) for i in (0, 1))
        return padded(ids, lengths, self.output_sequence_length, DROPPED if self.traced else 0)

    def parts(self, x):
        """(places, lengths) of the rows, some at a time; by the kernel on threads, where there are enough of them."""
        if not (self.usual and kernel.ready()) or len(x) < 2 * MORE:
            return map(self.listed, self.chunks(x, MORE if self.usual and kernel.ready() else ROWS))
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
            return threads.map(self.listed, self.chunks(x, MORE))

    # ---- the compiled half ---------------------------------------------------------------------------------

    def declare(self, shape):
        return under("_lookup_layer", self.lookup.declare(shape))

    def forward(self, w, x, call):
        return self.lookup.forward(within(w, "_lookup_layer"), x, call)

    def compute_output_shape(self, input_shape):
        shape = tuple(input_shape)
        if self.traced:
            rows = (*shape, None) if self.split is not None and len(shape) == 1 else (shape[0], None)
            return self.lookup.compute_output_shape(rows)
        if self.split is None and len(shape) == 1 and self.ngrams is None:
            return shape
        open_end = shape[1] if self.split is None and self.ngrams is None else None
        return (shape[0], open_end if self.output_sequence_length is None else self.output_sequence_length)

    # ---- files ---------------------------------------------------------------------------------------------

    def get_assets(self):
        """The vocabulary as a file (Keras writes it twice: here, and for the lookup inside)."""
        return self.lookup.get_assets()

    def set_assets(self, files):
        self.lookup.set_assets(files)

    def save_own_variables(self, store):
        self.lookup.save_own_variables(store)

    def load_own_variables(self, store):
        self.lookup.load_own_variables(store)

    def program_config(self):
        """What the compiled half depends on."""
        return self.lookup.program_config()

    def get_config(self):
        """The arguments, and the size of the vocabulary; the vocabulary if it was given as terms."""
        inner = self.lookup.get_config()
        config = {**super().get_config(), "vocabulary_size": inner["vocabulary_size"] or self.vocabulary_size()}
        return {**config, "vocabulary": inner["vocabulary"], "idf_weights": inner["idf_weights"]}

    @classmethod
    def from_config(cls, config):
        """The layer of a config. A path in it is refused: a file of a model brings its vocabulary."""
        path_refused(cls, config)
        return cls(**config)


def decoded(counts):
    """The same counts of strings instead of bytes."""
    return type(counts)({term.decode() if isinstance(term, bytes) else term: n for term, n in counts.items()})


def padded(ids, lengths, length, filler):
    """Rows of whole numbers, given flat, side by side: int32 (n, length), cut, or filled at their ends."""
    longest = int(lengths.max(initial=0))
    length = longest if length is None else length
    if longest > length:
        place = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        ids, lengths = ids[place < length], np.minimum(lengths, length)
    y = np.full((len(lengths), length), filler, "int32")
    y[np.arange(length) < lengths[:, None]] = ids
    return y


registry.add("layer", TextVectorization)
