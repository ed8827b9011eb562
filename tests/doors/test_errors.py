"""Wrong calls: the error is typed, names the culprit, says what was seen and wanted, and the fix."""

import numpy as np
import pytest

import seriatim
from seriatim import Sequential, layers
from seriatim.base.report import DataError, UsageError
from seriatim.layers import LSTM, Conv2D, Dense, Flatten, Input


def compiled(*layers, loss="mse", **options):
    model = Sequential(list(layers))
    model.compile("sgd", loss, **options)
    return model


X = np.zeros((4, 3), "float32")

WRONG = [
    (lambda: Dense(0), UsageError, ["units=0", "positive"]),
    (lambda: Dense(3, activaton="relu"), UsageError, ["activaton", "'activation'"]),
    (lambda: Dense(3, activation="rellu"), UsageError, ["rellu", "'relu'"]),
    (lambda: Dense(), UsageError, ["needs units"]),
    (lambda: Sequential([Dense]), UsageError, ["class Dense", "Dense(…)"]),
    (lambda: Sequential([np.tanh]), UsageError, ["only layers"]),
    (lambda: Sequential([Dense(2, name="a"), Dense(2, name="a")]), UsageError, ["two layers are called 'a'"]),
    (lambda: Sequential([Input((5, 2)), LSTM(3), LSTM(3)]), UsageError, ["lstm", "return_sequences"]),
    (lambda: Sequential([Input((28, 28)), Conv2D(3, 3)]), UsageError, ["conv2d", "channels"]),
    (lambda: Sequential([Input((None,)), Dense(2)]), UsageError, ["dense", "axis -1"]),
    (lambda: Sequential([Dense(2)]).summary() or Sequential([Dense(2)]).count_params(), UsageError, ["not built"]),
    (lambda: Sequential().pop(), UsageError, ["no layer"]),
    (lambda: Sequential([Input((3,)), Dense(1)]).fit(X, X), UsageError, ["not compiled", "compile("]),
    (lambda: compiled(Dense(1), loss="mes"), UsageError, ["mes", "'mse'"]),
    (lambda: compiled(Dense(1), metrics=["acuracy"]), UsageError, ["acuracy", "accuracy"]),
    (lambda: Sequential([Dense(1)]).compile("adamm", "mse"), UsageError, ["adamm", "'adam'"]),
    (lambda: compiled(Dense(1)).fit(X, X[:2]), DataError, ["different numbers of rows", "(4, 3)", "(2, 3)"]),
    (lambda: compiled(Dense(1)).fit(X), UsageError, ["targets"]),
    (lambda: compiled(Dense(1)).fit(X[:0], X[:0]), DataError, ["no rows"]),
    (lambda: compiled(Dense(1)).fit([["a", "b"]], [1]), DataError, ["not a number", "'a'"]),
    (lambda: compiled(Dense(1)).fit([[1, 2], [1]], [1, 2]), DataError, ["different lengths", "pad_sequences"]),
    (lambda: compiled(Input((5,)), Dense(1)).fit(X, X[:, :1]), DataError, ["(4, 3)", "(None, 5)", "dense"]),
    (lambda: compiled(Input((3,)), Dense(1)).predict(X[0]), DataError, ["x[None]"]),
    (lambda: compiled(Dense(1)).fit(X, X[:, :1], validation_split=2), UsageError, ["validation_split"]),
    (lambda: compiled(Dense(1)).fit(X, X[:, :1], batch_size=0), UsageError, ["batch_size"]),
    (lambda: compiled(Dense(1)).fit(X, X[:, :1], epochs="ten"), UsageError, ["epochs='ten'"]),
    (lambda: compiled(Dense(1)).fit(X, X[:, :1], verbose=7), UsageError, ["verbose"]),
    (lambda: compiled(Input((3,)), Dense(2)).set_weights([X]), UsageError, ["2 arrays", "kernel"]),
    (lambda: compiled(Input((3,)), Dense(2)).layers[0].kernel.assign(X), UsageError, ["dense", "(3, 2)"]),
    (lambda: compiled(Input((3,)), Dense(2)).get_layer("nope"), UsageError, ["nope", "dense"]),
    (lambda: seriatim.utils.to_categorical([3], 2), DataError, ["num_classes"]),
    (lambda: Sequential([Input((3,)), Flatten(), Dense(2)]).save("model.txt"), OSError, ["model.txt"]),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_calls_are_told_plainly(number):
    call, kind, words = WRONG[number]
    seriatim.backend.clear_session()
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    for word in words:
        assert word in text, text


def test_labels_of_the_wrong_form():
    model = compiled(Input((3,)), Dense(3, "softmax"), loss="categorical_crossentropy")
    with pytest.raises(ValueError, match="(?s)same shape.*sparse_categorical_crossentropy"):
        model.fit(X, np.arange(4) % 3, verbose=0)
    model = compiled(Input((3,)), Dense(3, "softmax"), loss="sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="(?s)categorical_crossentropy"):
        model.fit(X, np.eye(3)[np.arange(4) % 3], verbose=0)


def test_the_place_in_the_users_file_is_named():
    with pytest.raises(UsageError, match=r"test_errors\.py:\d+"):
        Dense(-1)


@pytest.mark.parametrize(
    ("layer", "good", "bad"),
    [
        (lambda: layers.MaxPooling2D(), (1, 4, 4, 1), (3, 3)),
        (lambda: layers.UpSampling2D(), (1, 4, 4, 1), (3, 3)),
        (lambda: layers.Cropping1D(), (1, 4, 2), (3, 3)),
        (lambda: layers.RepeatVector(2), (2, 3), (3, 3, 3)),
        (lambda: layers.UnitNormalization(), (2, 3), ()),
        (lambda: layers.Dense(2), (2, 3), (3,)),
    ],
)
def test_a_called_layer_names_itself_and_the_axes_it_wants(layer, good, bad):
    """At the first call and later, with weights and without."""
    for one in (layer(), layer()):
        with pytest.raises(UsageError, match=f"{one.name} .* cannot take an input of {len(bad)} axes"):
            one(np.ones(bad, "f"))
        one(np.ones(good, "f"))
        with pytest.raises(UsageError, match="cannot take an input"):
            one(np.ones(bad, "f"))


def test_a_called_layer_says_where_no_window_fits():
    with pytest.raises(UsageError, match="no window fits"):
        layers.MaxPooling2D(5)(np.ones((1, 3, 3, 1), "f"))
