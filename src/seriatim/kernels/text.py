"""Texts to places in a vocabulary, in C++: what `layers.text` does in Python, four times as fast.

Just below floor 1. The function is called through ctypes, which lets go of Python's lock, so that pieces of the
texts run on threads beside each other. Without the library (`ready()` is False) the caller has its own way.
"""

import ctypes
import functools

import numpy as np

from . import library

DROP, SPACE, END = 256, 257, 258  # what a byte means beside itself
BREAK = b"\xff"  # ends a row: a byte that UTF-8 does not use
BLANKS = b" \t\n\v\f\r"
BETWEEN = "\x1f"  # between strings that are terms: ASCII's own sign for that
PLAIN = np.arange(256, dtype=np.uint16)
PLAIN[ord(BETWEEN)] = END


def ready():
    """Whether the compiled function is there."""
    return _functions() is not None


@functools.cache
def _functions():
    """(fill a table, look up), or None."""
    fill, look = library.function("text_table"), library.function("text_places")
    if fill is None or look is None:
        return None
    pointer, number, small = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    fill.argtypes, fill.restype = [ctypes.c_char_p, pointer, number, pointer, number], None
    look.argtypes = [ctypes.c_char_p, number, pointer, ctypes.c_char_p, pointer, pointer, number, small, small,
                     pointer, pointer, pointer]  # fmt: skip
    look.restype = number
    return fill, look


class Terms:
    """A vocabulary as a hash table: byte strings, without doubles."""

    def __init__(self, terms):
        self.terms = b"".join(terms)
        self.ends = np.cumsum([0, *map(len, terms)], dtype=np.int64)
        self.room = 1 << (2 * len(terms) + 1).bit_length()
        self.slots = np.zeros(self.room, np.uint64)
        _functions()[0](self.terms, self.ends.ctypes.data, len(terms), self.slots.ctypes.data, self.room)


def meanings(table, dropped):
    """What each byte means: as in `bytes.translate(table, dropped)`, with blanks between terms, BREAK behind a row."""
    meaning = np.frombuffer(table or bytes(range(256)), np.uint8).astype(np.uint16)
    meaning[list(BLANKS)], meaning[BREAK[0]] = SPACE, END
    meaning[list(dropped)] = DROP
    return meaning


def places(rows, meaning, table, first, unknown):
    """(places, lengths): for each term of some texts its number in the table, from `first` on, or `unknown`.

    int32 (terms,), int64 (rows,). A text is a str.
    """
    if all(map(str.isascii, rows)):
        text = "\xff".join([*rows, ""]).encode("latin-1")
    else:
        text = BREAK.join([*map(str.encode, rows), b""])
    return _read(text, len(rows), meaning, table, first, unknown)


def alone(strings, table, first, unknown, empty):
    """The place of each string, a term as it is (`empty`: that of the empty one): int32 (n,).

    None if they are not all of ASCII, or hold the sign between them; a TypeError if one is no str.
    """
    text = BETWEEN.join(strings) + BETWEEN
    if not text.isascii() or text.count(BETWEEN) != len(strings):
        return None
    found, lengths = _read(text.encode("ascii"), len(strings), PLAIN, table, first, unknown)
    if len(found) == len(strings):
        return found
    ids = np.full(len(strings), empty, np.int32)
    ids[lengths > 0] = found
    return ids


def _read(text, rows, meaning, table, first, unknown):
    found, lengths = np.empty(len(text) // 2 + 1, np.int32), np.empty(rows, np.int64)
    term = np.empty(len(text) + 1, np.uint8)
    count = _functions()[1](
        text, len(text), meaning.ctypes.data, table.terms, table.ends.ctypes.data, table.slots.ctypes.data, table.room,
        first, unknown, term.ctypes.data, found.ctypes.data, lengths.ctypes.data,
    )  # fmt: skip
    return found[:count], lengths


__all__ = ["Terms", "alone", "meanings", "places", "ready"]
