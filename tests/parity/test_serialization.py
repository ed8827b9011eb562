"""Values to configs and back, and what a layer leaves behind when it is called: beside Keras's."""

import json

import keras
import numpy as np
import pytest

import seriatim
from seriatim.saving import deserialize_keras_object, load_weights, save_weights, serialize_keras_object

VALUES = [
    None, True, 3, 1.5, "word", b"bytes", ..., slice(None, 20, 2), slice(0, np.array([1, 2])),
    np.array([[0.5, 1.0]], "float32"), np.float32(2), np.arange(3), (1, (2, 3)), [1, "two", None],
    {"a": [np.array([1]), {"b": (b"x", ...)}]},
]  # fmt: skip


def test_any_value_is_written_as_by_keras_and_comes_back():
    for value in VALUES:
        written = serialize_keras_object(value)
        assert written == keras.saving.serialize_keras_object(value), value
        again = deserialize_keras_object(json.loads(json.dumps(written)))
        assert serialize_keras_object(again) == json.loads(json.dumps(written)) or isinstance(value, tuple)


def test_objects_inside_objects_come_back_built():
    layer = seriatim.layers.Conv1D(2, 3, activation=seriatim.layers.LeakyReLU(0.15, name="leaky"))
    layer.build((None, 10, 4))
    found = deserialize_keras_object(json.loads(json.dumps(serialize_keras_object({"layers": [layer]}))))["layers"][0]
    assert found.built and (found.activation.negative_slope, found.activation.name) == (0.15, "leaky")
    assert deserialize_keras_object(serialize_keras_object(seriatim.losses.mse)) is seriatim.losses.mse


@pytest.mark.parametrize("claimed", ["builtins.eval", "package>Mine"])
def test_a_name_of_the_library_is_not_what_somebody_registered(claimed):
    config = {"module": "keras.layers", "class_name": "Dense", "registered_name": claimed, "config": {"units": 1}}
    for k in (seriatim, keras):
        with pytest.raises(ValueError, match=claimed):
            k.saving.deserialize_keras_object(config)


def test_wrong_files_and_arguments_raise_what_keras_raises(tmp_path):
    for k in (seriatim, keras):
        model = k.Sequential([k.layers.Input((2,)), k.layers.Dense(1)])
        weights, whole = tmp_path / f"{k.__name__}.weights.h5", tmp_path / f"{k.__name__}.keras"
        model.save_weights(weights)
        model.save(whole)
        for wrong in (
            lambda k=k: k.saving.load_model("model.pkl"),
            lambda k=k: k.saving.load_model(tmp_path / "none.keras"),
            lambda model=model: model.save(tmp_path / "model.png"),
            lambda model=model, whole=whole: model.save(whole, zipped=False),
            lambda model=model, weights=weights: model.load_weights(weights, by_name=True),
            lambda model=model, whole=whole: model.load_weights(whole, objects_to_skip=[]),
            lambda model=model, weights=weights: model.load_weights(weights, unknown=1),
        ):
            with pytest.raises(ValueError):
                wrong()
        with pytest.raises(TypeError):
            k.layers.RepeatVector("3")


def test_layers_to_skip_keep_their_arrays(tmp_path):
    path = tmp_path / "part.weights.h5"
    first, second = (
        seriatim.Sequential([seriatim.layers.Input((3,)), *map(seriatim.layers.Dense, (5, 5))]) for _ in "ab"
    )
    save_weights(first, path, objects_to_skip=first.layers[:1])
    kept = second.layers[0].get_weights()
    load_weights(second, path, objects_to_skip=second.layers[:1])
    assert np.array_equal(second.layers[0].kernel, kept[0])
    assert np.array_equal(second.layers[1].kernel, first.layers[1].kernel)


# ---- layers written for Keras ---------------------------------------------------------------------------


def noting(k):
    class Noting(k.layers.Layer):
        """Looks at its values, and keeps what it has seen."""

        def __init__(self):
            super().__init__()
            self.dense, self.largest = k.layers.Dense(2, kernel_initializer="ones", activity_regularizer="l2"), None

        def build(self, shape):
            self.dense.build(shape)
            self.built = True

        def compute_output_shape(self, shape):
            return (shape[0], 2)

        def call(self, x):
            self.largest = float(k.ops.max(x)) if k.ops.max(x) > 0 else 0.0
            return self.dense(x)

    return Noting()


def test_a_called_layer_notes_and_counts_as_in_keras():
    x, seen = np.array([[1.0, 2.0], [3.0, 4.0]], "float32"), []
    for k in (seriatim, keras):
        layer, plain = noting(k), k.layers.Dense(1, kernel_initializer="ones", activity_regularizer="l2")
        model = k.Sequential([layer])
        layer(x), plain(x)
        before = [layer.largest, *map(float, layer.losses), *map(float, plain.losses)]
        seen.append([*before, *np.ravel(model(2 * x)), layer.largest])
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-6)
