"""What users hand to `fit`: tables and sparse matrices train; what is no data is told plainly. And what they read."""

import numpy as np
import pytest

from seriatim import Sequential
from seriatim.base.report import DataError, UsageError
from seriatim.callbacks import Callback
from seriatim.layers import LSTM, Dense, Embedding, Flatten, Input

pandas = pytest.importorskip("pandas")
sparse = pytest.importorskip("scipy.sparse")
TABLE = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "b": [True, False, True], "c": [1, 2, 3]})


def model():
    chain = Sequential([Input((3,)), Dense(1)])
    chain.compile("sgd", "mse")
    return chain


def test_tables_and_sparse_matrices():
    assert np.isfinite(model().fit(TABLE, TABLE["a"], verbose=0).history["loss"][0])
    a, b = model(), model()
    b.set_weights(a.get_weights())
    np.testing.assert_allclose(a.predict(sparse.csr_matrix(np.eye(3))), b.predict(np.eye(3)), rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "kind", "words"),
    [
        (TABLE.assign(a=["x", "y", "z"]), DataError, "(?s)column 'a'.*'x'"),
        (TABLE.assign(a=[1, None, "q"]), DataError, "(?s)column 'a'.*missing"),
        (iter([]), DataError, "empty"),
        (len, DataError, "not data"),
        (None, UsageError, "no data"),
        (iter([(1, 2, 3, 4)]), DataError, "4 parts"),
    ],
    ids=["words", "missing", "empty", "function", "none", "four parts"],
)
def test_what_is_no_data(x, kind, words):
    with pytest.raises(kind, match=words):
        model().fit(x, TABLE["a"] if isinstance(x, pandas.DataFrame) else None, verbose=0)


def test_a_pipe_gets_one_plain_line_an_epoch(capsys):
    model().fit(TABLE, TABLE["a"], epochs=2, validation_data=(TABLE, TABLE["a"]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].startswith("Epoch 1/2 - 1/1 - ") and "\x1b" not in lines[0]
    assert " - loss: " in lines[1] and " - val_loss: " in lines[1] and "/step" in lines[1]
    model().fit(TABLE, TABLE["a"], verbose=0)
    assert capsys.readouterr().out == ""


def test_batches_of_other_sizes_in_a_chain_built_by_its_data():
    chain = Sequential([Embedding(9, 4), LSTM(3), Dense(1)])
    chain.compile("sgd", "mse")
    chain.fit(((np.ones((2, t), int), np.ones((2, 1))) for t in (5, 7, 4)), verbose=0)
    assert chain.input_shape == (None, None) and chain.predict(np.ones((3, 11), int)).shape == (3, 1)
    flat = Sequential([Flatten(), Dense(1)])  # a kernel of twelve numbers
    flat.predict(np.ones((2, 3, 4)))
    with pytest.raises(DataError, match=r"(?s)\(2, 5, 4\).*\(None, 3, 4\)"):
        flat.predict(np.ones((2, 5, 4)))
    assert flat.input_shape == (None, 3, 4)


def test_an_evaluation_is_watched_in_executions_and_can_be_stopped():
    class Watch(Callback):
        def on_test_batch_begin(self, batch, logs=None):
            seen.append(batch)

        def on_test_batch_end(self, batch, logs=None):
            seen.append((batch, *logs))
            self.model.stop_evaluating = batch >= stop

    for source, stop, wanted in (
        ((np.ones((14, 3)), np.ones(14)), 9, [0, (2, "loss"), 3, (5, "loss"), 6, (6, "loss")]),
        ((np.ones((14, 3)), np.ones(14)), 2, [0, (2, "loss")]),
        (iter([(np.ones((2, 3)), np.ones(2))] * 4), 9, [0, (2, "loss"), 3, (3, "loss")]),
    ):
        seen, chain = [], model()
        chain.compile("sgd", "mse", steps_per_execution=3)
        chain.evaluate(*(source if isinstance(source, tuple) else (source,)), batch_size=2, callbacks=[Watch()])
        assert seen == wanted
