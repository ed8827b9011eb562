"""Rows read from where they lie: in memory or in a mapped file, with the results of rows on the device."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seriatim
from seriatim import layers
from seriatim.kernels import use
from seriatim.kernels.rows import Rows, _running, can_stay, hold
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


def test_threads_train_as_one_after_another():
    """Each model's rows stay until its own program has read them, whoever else trains."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(400, 50)).astype("f"), rng.normal(size=(400, 1))

    def fitted(model, shift):
        for _ in range(3):  # arrays of its own, which nobody else keeps
            model.fit(x + shift, y + shift, epochs=2, batch_size=16, shuffle=False, verbose=0)
        return model.get_weights()

    def models():
        for seed in (1, 2):
            seriatim.utils.set_random_seed(seed)
            model = seriatim.Sequential([seriatim.Input((50,)), layers.Dense(20, "tanh"), layers.Dense(1)])
            model.compile("adam", "mse")
            model.get_weights()  # drawn now, by this seed
            yield model

    wanted = [fitted(model, i) for i, model in enumerate(list(models()))]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(fitted, list(models()), range(2)))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(a, b)


def test_holding_from_many_threads():
    """Nothing is lost or kept too long, also where other threads give their arrays on to programs meanwhile."""
    step = jax.jit(lambda x: x + 1, donate_argnums=0)

    def many(_):
        made = jnp.zeros(3)
        for i in range(300):
            made = step(made)
            hold(made, i)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(many, range(4)))
    made = jax.block_until_ready(jnp.ones(2))
    jax.block_until_ready(step(jnp.zeros(3)))
    hold(made, "last")
    assert [kept for out, kept in _running if out is made] == ["last"]
    assert len(_running) <= 5
