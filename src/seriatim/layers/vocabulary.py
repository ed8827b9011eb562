"""A vocabulary: as an argument of a layer, and as a table.

Floor 2.
"""

import os
from typing import Annotated, Any

import numpy as np

from ..base.fields import Field, Refused

SHOWN = 8  # terms of a vocabulary in a layer's repr


class Given(list):
    """The terms that a layer was given (a class of their own: many, and no layers are among them)."""


class Table:
    """A vocabulary, and the ways to look it up, each made when it is first needed."""

    def __init__(self, tokens):
        self.tokens, self.ways = list(tokens), {}

    def way(self, name, make):
        if name not in self.ways:
            self.ways[name] = make(self.tokens)
        return self.ways[name]


class Terms(Field):
    """A vocabulary: terms, or the path of a file with a term in every line."""

    want, bad = "a list or an array of terms, or the path of a file", 7

    def read(self, value, owner):
        if value is None or isinstance(value, (str, os.PathLike)):
            return None if value is None else os.fspath(value)
        value = value.numpy() if hasattr(value, "numpy") else value
        try:
            terms = list(value.tolist() if hasattr(value, "tolist") else value)
        except TypeError:
            raise Refused from None
        return Given(term.decode() if isinstance(term, bytes) else plain(term) for term in terms)

    def write(self, value):
        return None if isinstance(value, str) else value  # a file travels beside the config

    def source(self, value):
        if isinstance(value, list) and len(value) > SHOWN:
            return f"[{', '.join(map(repr, value[:SHOWN]))}, … {len(value) - SHOWN} more]"
        return repr(value)


Vocabulary = Annotated[Any, Terms()]


def in_order(numbers):
    """The numbers of a list in ascending order, and where each stands in the list."""
    numbers = np.array(numbers, "int64")
    order = np.argsort(numbers)
    return numbers[order], order


def plain(term):
    """A number of NumPy's as Python's."""
    return term.item() if isinstance(term, np.generic) else term


__all__ = ["Table", "Vocabulary", "in_order"]
