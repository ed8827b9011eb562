"""Strings, categories and vocabularies beside Keras 3.15.1 on TensorFlow, as `record_text.py` has recorded it."""

import json
from pathlib import Path

import numpy as np
import pytest

import seriatim.layers
from seriatim import Sequential
from seriatim.base import registry
from seriatim.base.report import DataError, FileError, UsageError
from seriatim.layers import Dense, Discretization, Embedding, Flatten, Input, StringLookup, TextVectorization
from seriatim.math.hashing import farmhash, siphash
from seriatim.models import load_model

from .beside import plain, same_places
from .text_cases import CASES, NEW, TEXTS, arguments, batches, label

HERE = Path(__file__).parent
RECORD = json.loads((HERE / "text.json").read_text())
FLOATS = {"rtol": 1e-6, "atol": 1e-6}  # idf weights are rounded to float32 once here, and twice there


def adapted(case):
    kind, options, data, batched, _ = case
    layer = registry.find("layer", kind)(**arguments(options), name="it")
    if data is not None:
        layer.adapt((np.array(batch) for batch in batches(data)) if batched else np.array(data))
    return layer


def same_config(mine, theirs):
    """Equal, but for what Keras forgets: words in a list that it had given as a tuple, floats in float32."""
    mine, theirs = plain(mine), plain(theirs)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        if name == "bin_boundaries" and value is not None:
            np.testing.assert_allclose(value, theirs[name], **FLOATS)
        else:
            assert value == theirs[name], name


@pytest.mark.parametrize("case", CASES, ids=label)
def test_numbers_vocabularies_and_configs_are_keras_s(case):
    want, layer = RECORD["cases"][label(case)], adapted(case)
    y = np.asarray(layer(case[-1]))
    assert y.shape == np.shape(want["y"])
    if y.dtype.kind in "OU":
        assert y.tolist() == want["y"]
    else:
        np.testing.assert_allclose(y, want["y"], **FLOATS)
    if "vocabulary" in want:
        assert layer.get_vocabulary() == want["vocabulary"]
        assert layer.vocabulary_size() == len(want["vocabulary"])
    if "bin_boundaries" in want:
        np.testing.assert_allclose(layer.bin_boundaries, want["bin_boundaries"], **FLOATS)
    same_config(layer.get_config(), want["config"])
    again = type(layer).from_config(plain(want["config"]))
    assert plain(again.get_config()) == plain(want["config"])
    assert len(layer.compute_output_shape(np.shape(case[-1]))) == y.ndim


@pytest.mark.parametrize(
    "name", ["CategoryEncoding", "Discretization", "Hashing", "IntegerLookup", "StringLookup", "TextVectorization"]
)
def test_arguments_have_keras_s_places(name):
    same_places(name)


def test_hashes_of_every_length():
    """Reference vectors: of the authors' for SipHash, of Keras's documentation for both."""
    key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    assert siphash([b"", bytes(range(15))], key).tolist() == [0x726FDB47DD0E0E31, 0xA129CA6149BE45E5]
    letters = [b"A", b"B", b"C", b"D", b"E"]
    assert (farmhash(letters) % np.uint64(3)).tolist() == [1, 0, 1, 1, 2]
    assert (siphash(letters, (133, 137)) % np.uint64(3)).tolist() == [1, 2, 1, 0, 2]


# ---- files ---------------------------------------------------------------------------------------------------


def test_a_file_of_keras_brings_its_vocabulary():
    model = load_model(HERE / "text.keras")
    texts = np.array([[text] for text in NEW])
    np.testing.assert_allclose(model.predict(texts, verbose=0)[:, 0], RECORD["model"], rtol=1e-6)
    assert model.layers[0].get_vocabulary() == RECORD["cases"][label(CASES[0])]["vocabulary"]


@pytest.mark.parametrize(
    "options", [{"output_sequence_length": 5}, {"output_mode": "tf_idf", "pad_to_max_tokens": True}], ids=str
)
def test_from_strings_to_probabilities_and_back_from_a_file(options, tmp_path):
    words = TextVectorization(max_tokens=40, **options)
    words.adapt(TEXTS)
    body = [] if words.traced else [Embedding(40, 3), Flatten()]
    model = Sequential([Input((1,), dtype="string"), words, *body, Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    texts, y = np.array(TEXTS * 6), np.array([1, 0, 0, 1, 0, 1, 0, 0, 1] * 6, "float32")
    before = model.evaluate(texts, y, verbose=0)[0]
    resident = model.fit(texts, y, epochs=2, batch_size=9, shuffle=False, validation_split=0.2, verbose=0)
    assert len(resident.history["val_loss"]) == 2
    model.fit(((texts[i : i + 9], y[i : i + 9]) for i in range(0, 54, 9)), verbose=0)  # a stream, encoded on its thread
    model.train_on_batch(list(texts), y)
    assert model.evaluate(list(texts), y, verbose=0)[0] < before
    p = model.predict(texts, verbose=0)
    np.testing.assert_allclose(model(texts[:4]), p[:4], rtol=1e-6)
    np.testing.assert_allclose(model.predict(texts[:, None], batch_size=7, verbose=0), p, rtol=1e-6)
    np.testing.assert_array_equal(model.predict_on_batch(texts), p)
    model.save(tmp_path / "texts.keras")
    again = load_model(tmp_path / "texts.keras")
    np.testing.assert_array_equal(again.predict(texts, verbose=0), p)
    assert again.layers[0].get_vocabulary() == words.get_vocabulary()
    assert again.evaluate(texts, y, verbose=0) == model.evaluate(texts, y, verbose=0)
    with pytest.raises(FileError, match="no room for the vocabulary"):
        model.save(tmp_path / "texts.h5")


def test_a_trained_chain_gets_its_vocabulary_in_front():
    """Training on places, shipping on strings: a chain in a chain, and the same numbers."""
    words = StringLookup(vocabulary=["a", "b", "c"])
    inner = Sequential([Input((2,), dtype="int32"), Embedding(4, 3), Flatten(), Dense(2)])
    outer = Sequential([Input((2,), dtype="string"), words, inner])
    rows = [["a", "c"], ["z", "b"], ["c", "c"]]
    np.testing.assert_array_equal(outer.predict(rows, verbose=0), inner.predict(words(rows), verbose=0))
    wrapped = Sequential([outer, Dense(1)])  # and a host layer inside of a chain at the head
    assert wrapped.predict(rows, verbose=0).shape == (3, 1)
    back = Sequential([StringLookup(vocabulary=["a", "b", "c"], invert=True)])
    assert back.predict(np.array([[1, 3], [0, 2]]), verbose=0).tolist() == [["a", "c"], ["[UNK]", "b"]]


def test_what_is_refused(tmp_path):
    (tmp_path / "words.txt").write_text("a\nb\n")
    from_file = StringLookup(vocabulary=str(tmp_path / "words.txt"))
    assert from_file.get_vocabulary() == ["[UNK]", "a", "b"]
    given = StringLookup(vocabulary=["a"])
    for error, act, word in (
        (UsageError, lambda: Sequential([Dense(2), StringLookup()]), "stands behind dense"),
        (UsageError, lambda: StringLookup()(["a"]), "adapt"),
        (UsageError, lambda: TextVectorization()(["a"]), "TextVectorization"),
        (UsageError, lambda: given.adapt(["b"]), "already"),
        (UsageError, lambda: StringLookup(vocabulary=["a", "a"]), "more than once"),
        (UsageError, lambda: StringLookup(vocabulary=["a", ""], mask_token=""), "at the start"),
        (UsageError, lambda: StringLookup(vocabulary=["a", "b"], max_tokens=2), "at most max_tokens=2"),
        (UsageError, lambda: StringLookup.from_config({"vocabulary": "/etc/passwd"}), "outside of the model"),
        (UsageError, lambda: TextVectorization(ragged=True), "rows of one length"),
        (UsageError, lambda: TextVectorization(output_mode="count", output_sequence_length=4), "sequence length"),
        (UsageError, lambda: Discretization(num_bins=3)(np.zeros((2, 2))), "adapt"),
        (UsageError, lambda: Discretization(), "one of the two"),
        (FileError, lambda: StringLookup(vocabulary=str(tmp_path / "none.txt")), "no vocabulary"),
        (DataError, lambda: given([1.5]), "takes strings"),
        (DataError, lambda: given(["a", None]), "None"),
        (DataError, lambda: StringLookup(vocabulary=["a"], num_oov_indices=0)(["b"]), "'b'"),
        (DataError, lambda: TextVectorization(vocabulary=["a"])([["a", "b"]]), "one text a row"),
        (DataError, lambda: given([["a"], ["a", "b"]]), "different lengths"),
        (DataError, lambda: Sequential([given, Dense(1)]).predict("a"), "not data"),
    ):
        with pytest.raises(error) as caught:
            act()
        assert word in str(caught.value), str(caught.value)


def test_functions_standardise_and_split(tmp_path):
    layer = TextVectorization(standardize=without_digits, split=at_commas, vocabulary=["a b", "c"])
    assert np.asarray(layer(["A 1b,C9", "c,d,c"])).tolist() == [[2, 3, 0], [3, 1, 3]]
    config = plain(layer.get_config())
    assert config["standardize"]["config"] == "tests>without_digits"
    assert type(layer).from_config(config)(["c"]).tolist() == [[3]]


@seriatim.saving.register_keras_serializable("tests")
def without_digits(texts):
    return np.array(["".join(c for c in text.lower() if not c.isdigit()) for text in texts])


@seriatim.saving.register_keras_serializable("tests")
def at_commas(texts):
    return [text.split(",") for text in texts]


def test_strings_come_in_many_wrappings():
    pandas = pytest.importorskip("pandas")
    layer, words = StringLookup(vocabulary=["a", "\u00e9"]), ["a", "\u00e9", "x"]
    for rows in (
        words, tuple(words), np.array(words), np.array(words, object), np.array(words, np.dtypes.StringDType()),
        np.array([word.encode() for word in words]), pandas.Series(words),
    ):  # fmt: skip
        assert np.asarray(layer(rows)).tolist() == [1, 2, 0], type(rows)
    latin = StringLookup(vocabulary=["\u00e9"], encoding="latin-1")
    assert latin(np.array(["\u00e9".encode("latin-1")])).tolist() == [1]
