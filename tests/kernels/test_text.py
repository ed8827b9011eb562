"""The kernel of texts beside the same work in Python: the same places, for all kinds of bytes."""

import numpy as np
import pytest

from seriatim.kernels import library, text
from seriatim.layers import StringLookup, TextVectorization

pytestmark = pytest.mark.skipif(not text.ready(), reason=library.status())

SIGNS = [*"aAbBzZ  \t\n.,-_!'\"{~^", "é", "É", "ÿ", "你", "\x00", "\x01", "\x1c", "\u2028", "the", "THE", "film "]


@pytest.mark.parametrize("standardize", ["lower_and_strip_punctuation", "lower", "strip_punctuation", None])
def test_the_kernel_reads_as_python_does(standardize, monkeypatch):
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(SIGNS, rng.integers(0, 30))) for _ in range(3000)] + ["", " ", "x" * 5000, "end"]
    words = TextVectorization(standardize=standardize, max_tokens=700)
    words.adapt(texts)
    for rows in (texts, [row for row in texts if row.isascii()], texts[-1:], texts * 6):  # the last on threads
        y = words.feed(np.array(rows, object))
        with monkeypatch.context() as plain:
            plain.setattr(text, "ready", lambda: False)
            np.testing.assert_array_equal(y, words.feed(np.array(rows, object)))
    assert len(np.unique(y)) > 600 and (y == 1).any()
    assert words.feed(np.zeros(0, object)).shape == (0, 0)


@pytest.mark.parametrize("odd", [None, "", "\x1f", "\u00e9", b"a"], ids=repr)
def test_strings_that_are_terms(odd, monkeypatch):
    """Many strings go to the kernel, unless one among them is not of its kind; then all go the other way."""
    rng = np.random.default_rng(2)
    strings = [f"{i % 700} {'x' * (i % 3)}" for i in rng.integers(0, 2000, 5000).tolist()] + (
        [] if odd is None else [odd]
    )
    for options in ({"mask_token": "5 "}, {"mask_token": ""}, {"num_oov_indices": 3}):
        layer = StringLookup(
            vocabulary=list(dict.fromkeys(s for s in strings[:1500] if s not in ("5 ", ""))), **options
        )
        x = np.array(strings, object).reshape(-1, 1)
        y = layer.feed(x)
        with monkeypatch.context() as plain:
            plain.setattr(text, "ready", lambda: False)
            np.testing.assert_array_equal(y, layer.feed(x))
