"""Vocabularies: strings or whole numbers become their place in a list, and back.

Floor 2. The table is looked up on the host; vectors (one_hot, multi_hot, count, tf_idf) are made of the places in the
compiled program. A vocabulary is given, or learned by `adapt`: the most frequent first, equals in descending order.
"""

import concurrent.futures
import itertools
import os
from collections import Counter
from pathlib import Path
from typing import Annotated, ClassVar

import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.fields import Anything, Bool, NonNegativeInt, OneOf, OptionalInt, OptionalText, Text
from ..base.report import DataError, FileError, UsageError
from ..kernels import text as kernel
from .categories import NO_SPARSE, Encoding, decimals, encoded, encoded_shape, hashed, two_words
from .contract import Weight
from .host import HostLayer, looks, refuse, rows_of, strings_of
from .vocabulary import Table, Vocabulary, in_order

MARK = b"\xff"  # ends a row of terms: a byte that UTF-8 does not use
ENDS = -3  # its place
UNKNOWN = -2  # the place, for the moment, of what is not in the vocabulary
MANY = 4096  # strings that the kernel is called for
PIECE = 2**15  # of them, for a thread: they stay in its cache
DROPPED = -1  # the place of what leaves no trace in a vector
FILE = "vocabulary.txt"


Mode = Annotated[str, Encoding("int", "one_hot", "multi_hot", "count", "tf_idf")]
Method = Annotated[str, OneOf("floormod", "farmhash")]


class NoVocabulary(UsageError, RuntimeError):
    """Terms are to be looked up before there are any."""


class Lookup(HostLayer):
    """Abstract: the place of each term in a vocabulary; a member says what terms are.

    Places: the mask token (0, if there is one and places are given out), the places of unknown terms, the vocabulary.
    """

    kind: ClassVar[type]

    def translate(self, kwargs):
        self.known_size = kwargs.pop("vocabulary_size", None)
        self.fixed = kwargs.pop("has_input_vocabulary", None)
        return super().translate(kwargs)

    def validate(self):
        refuse(self, sparse=NO_SPARSE)
        self.salt = two_words(self, self.salt)
        self.traced = self.output_mode != "int"
        self.fixed = self.vocabulary is not None if self.fixed is None else self.fixed
        self.table = self.idf = self.promised = None
        for wrong, saw, want in (
            (self.max_tokens is not None and self.max_tokens < 2, "max_tokens", "2 or more"),
            (self.pad_to_max_tokens and self.max_tokens is None, "pad_to_max_tokens", "max_tokens beside it"),
            (self.invert and self.traced, "output_mode", "'int' beside invert=True"),
            (self.idf_weights is not None and self.output_mode != "tf_idf", "idf_weights", "output_mode='tf_idf'"),
            (self.salt and self.kind is int and self.oov_method != "farmhash", "salt", "oov_method='farmhash'"),
        ):
            if wrong:
                raise UsageError(
                    f"the arguments of {type(self).__name__} do not go together", at=self._birthplace,
                    saw=f"{saw}={getattr(self, saw)!r}", want=want,
                )  # fmt: skip
        self.reset_state()
        if self.vocabulary is not None:
            self.learn(self.vocabulary, self.idf_weights)

    # ---- the vocabulary ------------------------------------------------------------------------------------

    @property
    def specials(self):
        """The tokens before the vocabulary: the mask's, where it has a place, and those for unknown terms."""
        masks = [self.mask_token] if self.mask_token is not None and not self.traced else []
        return masks + [self.oov_token] * self.num_oov_indices

    @property
    def first_unknown(self):
        return int(self.mask_token is not None and not self.traced)

    @property
    def tokens(self):
        """The terms without the special ones; None before there is a vocabulary."""
        return None if self.table is None else self.table.tokens

    def get_vocabulary(self, include_special_tokens=True):
        """The terms in order; with the special tokens, the place of a term is its number."""
        return (self.specials if include_special_tokens else []) + (self.tokens or [])

    def vocabulary_size(self):
        """How many terms there are, the special ones included."""
        return len(self.specials) + len(self.tokens or [])

    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Take a list, an array or a file of terms in the place of the vocabulary; for tf_idf, with their weights."""
        vocabulary, given = self.accept("vocabulary", vocabulary), self.vocabulary
        self.learn(vocabulary, idf_weights)
        if given is not None:
            self.vocabulary, self.idf_weights = vocabulary, idf_weights

    def learn(self, vocabulary, idf_weights=None):
        if (idf_weights is None) == (self.output_mode == "tf_idf"):
            raise UsageError(
                "idf_weights belong to a vocabulary with output_mode='tf_idf', and only to that", at=self._birthplace,
                saw=f"output_mode={self.output_mode!r}, idf_weights={'None' if idf_weights is None else 'given'}",
                want="both or neither",
            )  # fmt: skip
        terms = self.from_file(vocabulary) if isinstance(vocabulary, str) else list(vocabulary)
        found = terms[: len(self.specials)] == self.specials and not isinstance(vocabulary, str)
        tokens = terms[len(self.specials) :] if found else terms
        self.check(tokens, terms)
        self.keep(tokens)
        if idf_weights is not None:
            self.weigh(np.asarray(idf_weights, "float32"), len(terms), bool(found))

    def weigh(self, idf, count, whole):
        """Take the weights of the terms; where the special ones have none, they get the mean."""
        if idf.shape != (count,):
            raise UsageError(
                "each term has one of the idf_weights", at=self._birthplace, saw=f"idf_weights of shape {idf.shape}",
                want=f"({count},)",
            )  # fmt: skip
        idf = idf if whole else np.concatenate([np.full(len(self.specials), idf.mean(), "float32"), idf])
        room = self.depth() - len(idf)
        self.idf = np.concatenate([idf, np.zeros(room, "float32")])
        if "idf_weights" in self.box:
            self.box["idf_weights"] = self.idf

    def from_file(self, path):
        """The lines of a file."""
        try:
            lines = Path(path).read_text(encoding=getattr(self, "encoding", "utf-8")).removesuffix("\n").split("\n")
            return [self.kind(line) for line in lines]
        except (OSError, ValueError) as error:
            raise FileError(
                f"{path} is no vocabulary", saw=str(error), want="a text file with a term in every line"
            ) from error

    def check(self, tokens, terms):
        """A UsageError if these cannot be the terms of the vocabulary."""
        odd = next((term for term in tokens if not isinstance(term, self.kind) or isinstance(term, bool)), None)
        twice = [] if len(set(tokens)) == len(tokens) else [t for t, n in Counter(tokens).items() if n > 1]
        reserved = [self.mask_token, self.oov_token if self.invert else None]
        stray = next((token for token in reserved if token is not None and token in tokens), None)
        size = len(self.specials) + len(tokens)
        for wrong, saw, want in (
            (not terms, "an empty vocabulary", "at least one term"),
            (odd is not None, f"{odd!r} of type {type(odd).__name__}", f"terms of type {self.kind.__name__}"),
            (twice, f"more than once: {', '.join(map(repr, twice[:5]))}", "each term once"),
            (stray is not None, f"{stray!r} among the terms", f"{self.specials} at the start, or none of them"),
            (self.max_tokens and size > self.max_tokens, f"{size} terms", f"at most max_tokens={self.max_tokens}"),
        ):
            if wrong:
                raise UsageError(
                    f"{type(self).__name__} cannot have this vocabulary", at=self._birthplace, saw=saw, want=want
                )

    def keep(self, tokens):
        self.table = Table(tokens)
        if self.promised not in (None, self.depth()):
            raise UsageError(
                f"the layers behind {self.name} were built for another vocabulary", at=self._birthplace,
                saw=f"{self.depth()} terms", want=f"{self.promised}", fix="pad_to_max_tokens=True, or a new model",
            )  # fmt: skip

    def depth(self):
        """How many places a vector has."""
        if self.pad_to_max_tokens:
            return self.max_tokens
        if self.tokens is None and self.known_size is None:
            raise self.empty()
        return self.known_size if self.tokens is None else self.vocabulary_size()

    def empty(self, layer=None):
        layer = layer or self
        return NoVocabulary(
            f"{layer.name} ({type(layer).__name__}) has no vocabulary yet", at=layer._birthplace,
            saw="a layer before adapt()", fix="layer.adapt(data), or vocabulary=[…]",
        )  # fmt: skip

    # ---- learning it ---------------------------------------------------------------------------------------

    def adapt(self, data, steps=None):
        """Learn the vocabulary from an array or a list, or from an iterable of batches; what was known is replaced."""
        self.reset_state()
        for piece in looks(self, data, steps):
            self.update_state(piece)
        self.finalize_state()

    def update_state(self, data):
        """Count the terms of a batch; each row is a document."""
        self.unfixed()
        x = np.atleast_1d(rows_of(data, self))
        x = x[None] if x.ndim == 1 else x
        self.count(self.keys(x), [x[0].size] * len(x))

    def unfixed(self, layer=None):
        layer = layer or self
        if self.fixed:
            raise UsageError(
                f"{layer.name} ({type(layer).__name__}) has its vocabulary already", at=layer._birthplace,
                saw="adapt() of a layer with vocabulary=…", fix=f"{type(layer).__name__}(), then adapt(data)",
            )  # fmt: skip

    def count(self, terms, lengths):
        """Count a flat list of terms, in documents of these lengths."""
        self.counts.update(terms)
        if self.output_mode == "tf_idf":
            ends = list(itertools.accumulate(lengths))
            for start, end in itertools.pairwise([0, *ends]):
                self.documents.update(set(terms[start:end]))
            self.seen += len(ends)

    def finalize_state(self):
        """Make the vocabulary of what was counted."""
        for token in (self.mask_token, self.oov_token):
            self.counts.pop(token, None)
        if self.fixed or not self.counts:
            return
        ranked = sorted(self.counts.items(), key=lambda item: item[::-1], reverse=True)
        most = len(ranked) if self.max_tokens is None else self.max_tokens - len(self.specials)
        self.keep([token for token, _ in ranked[:most]])
        if self.output_mode == "tf_idf":
            documents = np.array([self.documents[token] for token in self.tokens or []])
            self.weigh(np.log(1 + self.seen / (1 + documents)).astype("float32"), len(self.tokens), False)
        self.reset_state()

    def reset_state(self):
        """Forget what was counted; the vocabulary stays until it is made anew."""
        self.counts, self.documents, self.seen = Counter(), Counter(), 0

    # ---- looking up ----------------------------------------------------------------------------------------

    def feed(self, x):
        if self.tokens is None:
            raise self.empty()
        return self.terms_at(x) if self.invert else self.places(x)

    def settled(self, ids, unknown):
        """ids with places for what is `UNKNOWN`; unknown(where) gives those terms."""
        if self.num_oov_indices == 1:
            return ids
        where = np.flatnonzero(ids.reshape(-1) == UNKNOWN)
        if len(where) and not self.num_oov_indices:
            raise DataError(
                f"{self.name} knows no place for what is not in the vocabulary", at=self._birthplace,
                saw=", ".join(map(repr, dict.fromkeys(unknown(where[:5])))), want="terms of the vocabulary",
                fix="num_oov_indices=1",
            )  # fmt: skip
        if len(where):
            ids.reshape(-1)[where] = self.first_unknown + self.spread(unknown(where))
        return ids

    def spread(self, terms):
        """Which of the places for unknown terms each of these gets."""
        return hashed(list(map(str, terms)), self.num_oov_indices, self.salt)

    @property
    def otherwise(self):
        return self.first_unknown if self.num_oov_indices == 1 else UNKNOWN

    def terms_at(self, ids):
        """The terms at these places."""
        terms = np.array([*self.get_vocabulary(), self.oov_token], object if self.kind is str else "int64")
        ids = np.asarray(ids).astype("int64")
        return terms[np.where((ids >= 0) & (ids < len(terms) - 1), ids, len(terms) - 1)]

    # ---- the compiled half ---------------------------------------------------------------------------------

    def declare(self, shape):
        if self.output_mode == "tf_idf":
            yield Weight("idf_weights", (self.depth(),), self.first_idf, trainable=False, saved=False)

    def first_idf(self, shape, dtype=None):
        return np.zeros(shape, "float32") if self.idf is None else self.idf

    def forward(self, w, x, call):
        if self.output_mode == "tf_idf":
            return encoded(x, "count", self.depth(), self.compute_dtype) * jnp.asarray(w["idf_weights"])
        return encoded(x, self.output_mode, self.depth() if self.traced else None, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        if self.traced:
            self.promised = self.depth()
        return encoded_shape(tuple(input_shape), self.output_mode, self.promised)

    # ---- files ---------------------------------------------------------------------------------------------

    def get_assets(self):
        """The vocabulary as a file, if it is not in the config."""
        if self.vocabulary is not None and not isinstance(self.vocabulary, str) or self.tokens is None:
            return {}
        lines = [str(term) for term in self.get_vocabulary()]
        broken = next((line for line in lines if "\n" in line), None)
        if broken is not None:
            raise FileError(f"{FILE} has a term in every line", saw=f"{broken!r} in {self.name}", want="no line breaks")
        return {FILE: "\n".join(lines).encode()}

    def set_assets(self, files):
        """Take the vocabulary from its file."""
        if FILE not in files or self.vocabulary is not None:
            return
        lines = files[FILE].decode().split("\n")
        while lines and not lines[-1]:
            lines.pop()
        idf = self.idf[: len(lines)] if self.output_mode == "tf_idf" and self.idf is not None else None
        self.learn([self.kind(line.removesuffix("\r")) for line in lines], idf)

    def save_own_variables(self, store):
        if self.output_mode == "tf_idf" and self.idf is not None:
            learned = self.vocabulary is None  # then Keras fills them up itself, and refuses those that are full
            store["idf_weights"] = self.idf[: self.vocabulary_size()] if learned else self.idf

    def load_own_variables(self, store):
        if "idf_weights" in store:
            idf = np.asarray(store["idf_weights"], "float32")
            self.idf = self.box["idf_weights"] = np.pad(idf, (0, max(0, self.depth() - len(idf))))

    def argument(self, name):
        return self.__dict__["_given_idf"] if name == "idf_weights" else super().argument(name)

    def program_config(self):
        """What the compiled half depends on."""
        return {"output_mode": self.output_mode, "depth": self.depth() if self.traced else None}

    def get_config(self):
        """The arguments; the size of the vocabulary, once it is known; the vocabulary if it was given as terms."""
        size = self.known_size if self.tokens is None else self.vocabulary_size()
        config = {**super().get_config(), "vocabulary_size": size, "oov_method": self.oov_method}
        idf = config["idf_weights"]
        return {**config, "idf_weights": None if idf is None else np.asarray(idf).tolist()}

    @classmethod
    def from_config(cls, config):
        """The layer of a config. A path in it is refused: a file of a model brings its vocabulary."""
        path_refused(cls, config)
        return cls(**config)


def path_refused(cls, config):
    if isinstance(config.get("vocabulary"), str):
        raise UsageError(
            f"the config of a {cls.__name__} names a file outside of the model", saw=repr(config["vocabulary"]),
            want="terms, or a vocabulary in the model's own file", fix="layer.set_vocabulary(path)",
        )  # fmt: skip


class StringLookup(Lookup):
    """y = the place of each string in the vocabulary, or vectors made of the places; invert=True: the way back.

    Any shape; "one_hot" adds an axis, "multi_hot", "count" and "tf_idf" (count · idf_weights) sum over the last one.
    The i-th term has place num_oov_indices + i (one more with a mask_token, in "int" mode); unknown strings have place
    0, or are hashed to num_oov_indices places, or refused if there are none. Bytes are read in `encoding`. Keras
    needs TensorFlow for this layer; here a layer without a vocabulary does not run, and vectors are floats.

    >>> layer = StringLookup(vocabulary=["a", "b"])
    >>> layer([["a", "z", "b"]]).tolist(), StringLookup(vocabulary=["a", "b"], invert=True)([[1, 2]]).tolist()
    ([[1, 0, 2]], [['a', 'b']])
    """

    kind = str
    oov_method = "farmhash"  # strings are always hashed

    max_tokens: OptionalInt = None
    num_oov_indices: NonNegativeInt = 1
    mask_token: OptionalText = None
    oov_token: OptionalText = "[UNK]"
    vocabulary: Vocabulary = None
    idf_weights: Anything = None
    invert: Bool = False
    output_mode: Mode = "int"
    pad_to_max_tokens: Bool = False
    sparse: Bool = False
    encoding: Text = "utf-8"
    name: OptionalText = None
    salt: Anything = None

    def translate(self, kwargs):
        self.oov_method = kwargs.pop("oov_method", "floormod")  # Keras's default word; it is for numbers
        return super().translate(kwargs)

    @property
    def takes(self):
        return "int64" if self.invert else "string"

    def keys(self, x):
        return strings_of(x, self, self.encoding)

    def places(self, x):
        flat = x.ravel()
        ids = self.compiled(flat) if len(flat) >= MANY and kernel.ready() else None
        if ids is None:
            flat = self.keys(x)
            ids = self.listed(flat, str)
        return self.settled(ids, lambda where: [flat[i] for i in where]).reshape(x.shape)

    def compiled(self, strings):
        """The same by the kernel; None if they are not its kind."""
        table = self.table.way("compiled", lambda tokens: kernel.Terms([term.encode() for term in tokens]))
        places = self.table.way(str, self.by_string)
        numbers = len(self.specials), self.otherwise, places.get("", self.otherwise)
        pieces = (strings[start : start + PIECE] for start in range(0, len(strings), PIECE))
        try:
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
                parts = list(threads.map(lambda piece: kernel.alone(piece.tolist(), table, *numbers), pieces))
        except TypeError:  # bytes among them, or what is no string
            return None
        if any(part is None for part in parts):
            return None
        ids = np.concatenate(parts)
        if self.mask_token:
            missed = np.flatnonzero(ids == self.otherwise)
            ids[missed] = [places.get(strings[i], self.otherwise) for i in missed.tolist()]
        return ids

    def listed(self, terms, kind):
        """The places of a flat list of str (or of their bytes in UTF-8): int32 (n,)."""
        table = self.table.way(kind, self.by_string if kind is str else self.by_bytes)
        return np.fromiter(map(table.get, terms, itertools.repeat(self.otherwise)), "int32", len(terms))

    def by_string(self, tokens):
        masks = {} if self.mask_token is None else {self.mask_token: DROPPED if self.traced else 0}
        return dict(zip(tokens, itertools.count(len(self.specials)), strict=False)) | masks

    def by_bytes(self, tokens):
        return {term.encode(): place for term, place in self.by_string(tokens).items()} | {MARK: ENDS}


class IntegerLookup(Lookup):
    """y = the place of each whole number in the vocabulary, or vectors made of the places; invert=True: the way back.

    As StringLookup, for whole numbers of up to 64 bits. Unknown numbers that share num_oov_indices places: their
    remainder ("floormod"), or their hash (oov_method="farmhash"). Keras needs TensorFlow for this layer.

    >>> IntegerLookup(vocabulary=[12, 36])([[36, 7, 12]]).tolist()
    [[2, 0, 1]]
    """

    kind = int
    takes = "int64"

    max_tokens: OptionalInt = None
    num_oov_indices: NonNegativeInt = 1
    mask_token: OptionalInt = None
    oov_token: OptionalInt = -1
    vocabulary: Vocabulary = None
    vocabulary_dtype: Annotated[str, OneOf("int64")] = "int64"
    idf_weights: Anything = None
    invert: Bool = False
    output_mode: Mode = "int"
    sparse: Bool = False
    pad_to_max_tokens: Bool = False
    oov_method: Method = "floormod"
    salt: Anything = None
    name: OptionalText = None

    def keys(self, x):
        return self.numbers(x).ravel().tolist()

    def numbers(self, x):
        if x.dtype.kind not in "iufb":
            raise DataError(
                f"{self.name} (IntegerLookup) takes whole numbers", at=self._birthplace,
                saw=f"{x.flat[0]!r}" if x.size else str(x.dtype), want="whole numbers", fix="StringLookup",
            )  # fmt: skip
        return x.astype("int64")

    def places(self, x):
        x = self.numbers(x)
        ranked, order = self.table.way("ranked", in_order)
        nearest = np.minimum(np.searchsorted(ranked, x), len(ranked) - 1)
        ids = np.where(ranked[nearest] == x, order[nearest] + len(self.specials), self.otherwise).astype("int32")
        if self.mask_token is not None:
            ids = np.where(x == self.mask_token, DROPPED if self.traced else 0, ids)
        return self.settled(ids, lambda where: x.reshape(-1)[where].tolist())

    def spread(self, terms):
        if self.oov_method == "floormod":
            return np.array(terms, "int64") % self.num_oov_indices
        return hashed(decimals(np.array(terms), self), self.num_oov_indices, self.salt)


def _idf_weights():
    """`layer.idf_weights`: what tf_idf multiplies the count of each term with, given or learned; else None."""

    def read(self):
        return self.__dict__["_given_idf"] if self.__dict__.get("idf") is None else self.idf

    def write(self, value):
        self.__dict__["_given_idf"] = value

    return property(read, write, doc=_idf_weights.__doc__)


StringLookup.idf_weights = IntegerLookup.idf_weights = _idf_weights()
registry.add("layer", StringLookup, IntegerLookup)
