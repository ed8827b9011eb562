"""What users hand to `fit`: tables and sparse matrices train; what is no data is told plainly. And what they read."""

import numpy as np
import pytest

from seriatim import Sequential
from seriatim.base.report import DataError, UsageError
from seriatim.layers import Dense, Input

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
