"""Rows read from where they lie: in memory or in a mapped file, with the results of rows on the device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seriatim
from seriatim import layers
from seriatim.kernels import use
from seriatim.kernels.rows import Rows, can_stay
from seriatim.train import session

from .both import needs_kernels

pytestmark = needs_kernels


def take(array, ids):
    def run(rows, ids):
        with use():
            return rows.take(ids)

    rows = Rows(array)
    return np.asarray(jax.jit(run)(rows, jnp.asarray(ids)))


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "uint8", "int8", "int32", "int64", "uint16", "bool"]
)
@pytest.mark.parametrize("shape", [(90,), (90, 7), (90, 3, 5)], ids=str)
def test_the_rows_that_numpy_takes(dtype, shape):
    array = (np.random.default_rng(0).normal(size=shape) * 50).astype(dtype)
    ids = np.random.default_rng(1).permutation(90)[:70]
    assert can_stay(array)
    found = take(array, ids)
    assert found.dtype == jax.dtypes.canonicalize_dtype(array.dtype)
    assert np.array_equal(found, array[ids].astype(found.dtype))


@pytest.mark.parametrize(
    "array", [np.array(["a"]), np.ones(3, ">f4"), np.zeros((0, 3), "f"), [1.0], np.ones(2, complex)]
)
def test_what_cannot_stay(array):
    assert not can_stay(array)


def test_an_array_with_gaps_is_brought_together():
    array = np.arange(120, dtype="f").reshape(10, 12)[:, ::3]
    assert np.array_equal(take(array, [3, 1]), array[[3, 1]])


def test_no_row_beyond_the_end_is_read():
    with pytest.raises(Exception, match="no such row"):
        take(np.ones((4, 2), "f"), [4])


def train(x, y, monkeypatch, stay):
    if not stay:
        monkeypatch.setattr(session, "can_stay", lambda part: False)
    seriatim.utils.set_random_seed(5)
    model = seriatim.Sequential([layers.Dense(5, input_shape=x.shape[1:]), layers.Dropout(0.3), layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    weights = np.linspace(0.5, 1, len(x))
    h = model.fit(x, y, epochs=3, batch_size=8, sample_weight=weights, validation_split=0.3, verbose=0)
    return h.history, model.evaluate(x, y, verbose=0), model.get_weights()


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_training_is_the_same_to_the_bit(dtype, monkeypatch, tmp_path):
    x = (np.random.default_rng(0).random((75, 6)) * 9).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    y = x.sum(1)
    here = train(x, y, monkeypatch, True)
    mapped = train(np.load(tmp_path / "x.npy", mmap_mode="r"), y, monkeypatch, True)
    there = train(x, y, monkeypatch, False)
    for other in (mapped, there):
        assert here[0] == other[0] and here[1] == other[1]
        assert all(np.array_equal(a, b) for a, b in zip(here[2], other[2], strict=True))
