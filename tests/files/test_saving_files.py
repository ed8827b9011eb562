"""Files: the same tree as Keras 3.15.1 to the last attribute, both directions, and no harm from a hostile one."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import functools
import io
import json
import pickle
import stat
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from seriatim import files as saving
from seriatim import layers
from seriatim.base import registry
from seriatim.base.report import FileError
from seriatim.files import door, hdf5, keras_zip, layout, legacy, record, restore
from seriatim.sequential import Sequential

HERE = Path(__file__).parent
K = keras.layers


# ---- a chain of plain objects that mirrors a Keras model -------------------------------------------------


class Mirror:
    """What `layout` asks of a layer, taken from a layer of Keras."""

    store = ""

    def __init__(self, layer):
        self.name, self.children, self.of = layer.name, {}, layer
        own = layer._trainable_variables + layer._non_trainable_variables
        if isinstance(layer, keras.Sequential):
            self.children = {str(i): mirror(inner) for i, inner in enumerate(layer.layers)}
        elif isinstance(layer, K.Bidirectional):
            self.children = {
                "forward_layer": mirror(layer.forward_layer),
                "backward_layer": mirror(layer.backward_layer),
            }
        elif isinstance(layer, K.Wrapper):
            self.children = {"layer": mirror(layer.layer)}
        elif isinstance(layer, K.RNN):
            own, self.store = layer.cell._trainable_variables + layer.cell._non_trainable_variables, "cell"
        inner = [variable for child in self.children.values() for variable in child.of.weights]
        self.own = [View(self, variable) for variable in own if not any(variable is other for other in inner)]
        self.echoes = [View(self, variable) for variable in own if any(variable is other for other in inner)]

    @property
    def weights(self):
        return self.own + [view for child in self.children.values() for view in child.weights]

    @property
    def layers(self):
        return list(self.children.values())

    @property
    def trainable_weights(self):
        return [view for view in self.weights if view.variable.trainable]

    @property
    def non_trainable_weights(self):
        return [view for view in self.weights if not view.variable.trainable]


class View:
    def __init__(self, layer, variable):
        self.layer, self.variable, self.key, self.path = layer, variable, variable.name, variable.path
        self.shape, self.dtype = tuple(variable.shape), variable.dtype

    def numpy(self):
        return np.asarray(self.variable.value)

    def assign(self, value):
        self.variable.assign(value)


def mirror(layer):
    kind = type(layer).__name__
    return type(kind, (Mirror,), {"__module__": "seriatim.stand_in"})(layer)


class Slots:
    """An optimizer, mirrored."""

    def __init__(self, optimizer):
        self.name, self.variables = optimizer.name, [View(self, v) for v in optimizer.variables]
        inner = getattr(optimizer, "inner_optimizer", None)
        if inner is not None:
            self.inner_optimizer = Slots(inner)


def build(*chain, name=None, shape=None):
    return keras.Sequential([*([K.Input(shape)] if shape else []), *chain], name=name)


MODELS = {
    "dense": lambda: build(K.Dense(4), K.Dense(3), K.Dense(2, use_bias=False), shape=(5,)),
    "conv": lambda: build(
        K.Conv2D(3, 3), K.BatchNormalization(), K.Activation("relu"), K.MaxPooling2D(), K.SeparableConv2D(2, 2),
        K.DepthwiseConv2D(2), K.Conv2DTranspose(2, 2), K.GlobalAveragePooling2D(), K.Dense(2), shape=(12, 12, 2),
    ),
    "nested": lambda: build(
        build(K.Dense(4), K.ReLU(), K.Dense(3)), K.Dropout(0.1), build(build(K.Dense(3), K.Dense(2)), K.Dense(3)),
        K.Dense(1), shape=(5,),
    ),
    "recurrent": lambda: build(
        K.Embedding(9, 4), K.Bidirectional(K.LSTM(3, return_sequences=True)), K.GRU(3, return_sequences=True),
        K.SimpleRNN(2, return_sequences=True), K.LSTM(2), shape=(6,),
    ),
    "conv lstm": lambda: build(
        K.ConvLSTM1D(2, 2, return_sequences=True), K.TimeDistributed(K.Conv1D(2, 2)), K.ConvLSTM1D(2, 2),
        shape=(3, 6, 2),
    ),
    "wrapped": lambda: build(
        K.TimeDistributed(K.Dense(3)), K.TimeDistributed(build(K.Dense(2), K.Dense(3))),
        K.SpectralNormalization(K.Dense(4)), K.Bidirectional(K.GRU(2, dropout=0.2)), shape=(4, 3),
    ),
    "norms": lambda: build(
        K.Normalization(), K.LayerNormalization(), K.UnitNormalization(), K.GroupNormalization(1), K.PReLU(),
        K.RMSNormalization(), K.GaussianNoise(0.1), shape=(4,),
    ),
    "weightless": lambda: build(K.Flatten(), K.Dropout(0.2), K.Reshape((2, 6)), K.Permute((2, 1)), shape=(3, 4)),
    "half": lambda: build(
        K.Dense(3, dtype="bfloat16"), K.Dense(2, dtype="float16"), K.Dense(1, dtype="mixed_bfloat16"), shape=(2,)
    ),
    "frozen": lambda: freeze(build(K.Dense(4), K.BatchNormalization(), K.Dense(2), shape=(3,))),
    "named": lambda: build(K.Dense(4, name="Zoë"), K.Dense(2, name="a_b"), shape=(3,), name="my model"),
}  # fmt: skip


@functools.cache
def made(name):
    """Building a model in Keras takes a second, so each is built once; tests leave its weights as they were."""
    return MODELS[name]()


def erase(model):
    """Set every weight to zero; what they were."""
    kept = model.get_weights()
    model.set_weights([np.zeros_like(array) for array in kept])
    return kept


def freeze(model):
    model.layers[0].trainable = model.layers[1].trainable = False
    return model


def tree(data):
    """Everything in an HDF5 file: {path: ("group" | dtype, shape, bytes, {attribute: (type, value)})}."""
    found = {}

    def look(name, item):
        about = {}
        for key, value in item.attrs.items():
            kind = item.attrs.get_id(key).get_type()
            about[key] = (kind.get_class(), getattr(kind, "is_variable_str", bool)(), np.asarray(value).tolist())
        if isinstance(item, h5py.Dataset):
            found[name] = (str(item.dtype), item.shape, np.asarray(item).tobytes(), about)
        else:
            found[name] = ("group", about)

    with h5py.File(io.BytesIO(data), "r") as file:
        look("", file)
        file.visititems(look)
    return found


def inside(path):
    return zipfile.ZipFile(path).read("model.weights.h5")


@pytest.mark.parametrize("name", MODELS)
def test_weights_stand_where_keras_puts_them(name, tmp_path):
    model = made(name)
    model.save_weights(tmp_path / "theirs.weights.h5")
    saving.write(tmp_path / "ours.weights.h5", layout.take(mirror(model)))
    theirs, ours = (tree((tmp_path / f"{who}.weights.h5").read_bytes()) for who in ("theirs", "ours"))
    assert ours == theirs


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop", "mixed"])
def test_optimizer_stands_where_keras_puts_it(optimizer, tmp_path):
    dtype = "mixed_float16" if optimizer == "mixed" else "float32"
    model = build(K.Dense(3, dtype=dtype), K.Dense(1, dtype=dtype), shape=(2,))
    chosen = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()) if optimizer == "mixed" else optimizer
    model.compile(chosen, "mse", metrics=["mae"])
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    model.save(tmp_path / "theirs.keras")
    saving.write(tmp_path / "ours.keras", layout.take(mirror(model), {}, Slots(model.optimizer)))
    assert tree(inside(tmp_path / "ours.keras")) == tree(inside(tmp_path / "theirs.keras"))


@pytest.mark.parametrize("name", [name for name in MODELS if name != "half"])  # Keras writes no bfloat16 there
def test_older_layout_is_keras_own(name, tmp_path):
    model = made(name)
    model.save(tmp_path / "theirs.h5")
    written = json.loads(h5py.File(tmp_path / "theirs.h5").attrs["model_config"])
    saving.write(tmp_path / "ours.h5", layout.take_legacy(mirror(model), written))
    theirs, ours = (tree((tmp_path / f"{who}.h5").read_bytes()) for who in ("theirs", "ours"))
    assert ours == theirs


@pytest.mark.parametrize("name", MODELS)
def test_keras_loads_what_we_write(name, tmp_path):
    model = made(name)
    saving.write(tmp_path / "w.weights.h5", layout.take(mirror(model)))
    kept = erase(model)
    model.load_weights(tmp_path / "w.weights.h5")
    for a, b in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("suffix", ["weights.h5", "safetensors", "h5"])
def test_restore_brings_every_array_back(name, suffix, tmp_path):
    if (name, suffix) == ("half", "h5"):
        return  # the older layout has no bfloat16
    model = made(name)
    take = layout.take_legacy if suffix == "h5" else layout.take
    saving.write(tmp_path / f"w.{suffix}", take(mirror(model)))
    kept = erase(model)
    plan = restore.restore(mirror(model), saving.read(tmp_path / f"w.{suffix}"), "w")
    assert not plan.skipped and not plan.extra
    for a, b in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# ---- layers of our own, beside the same ones of Keras -----------------------------------------------------


def block(base, dense):
    """The same class, written for Keras, on either library."""

    class Block(base):
        def __init__(self, **options):
            super().__init__(**options)
            self.zeta, self._hidden = dense(2), dense(3)
            self.notes = [["no layer here"], [dense(6)]]
            self.alpha = [dense(4), dense(5), ("x", [dense(3)])]
            self.by = {"b": dense(7), "a": dense(4)}
            self.again = self.zeta

        def build(self, shape):
            self.scale = self.add_weight(shape=(1,), name="scale", initializer="ones")
            self.fixed = self.add_weight(shape=(2,), name="fixed", trainable=False)

        @property
        def first(self):
            return self._hidden

        def call(self, x):
            listed = [*self.alpha[:2], *self.alpha[2][1], *self.notes[1], *self.by.values()]
            for layer in (*listed, self.zeta, self._hidden):
                x = layer(x)
            return x * self.scale

    return Block


def test_custom_layers_with_lists_and_dicts_of_layers(tmp_path):
    theirs = keras.Sequential([K.Input((3,)), block(K.Layer, K.Dense)(), K.Dense(1)])
    ours = Sequential([layers.Input((3,)), block(layers.Layer, layers.Dense)(), layers.Dense(1)])
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    saving.save_weights(ours, tmp_path / "ours.weights.h5")
    shapes = [{path: item[:-1] if item[0] == "group" else item[:2] for path, item in tree(file.read_bytes()).items()}
              for file in (tmp_path / "theirs.weights.h5", tmp_path / "ours.weights.h5")]  # fmt: skip
    assert shapes[0] == shapes[1]
    saving.load_weights(ours, tmp_path / "theirs.weights.h5")
    theirs.load_weights(tmp_path / "ours.weights.h5")


@functools.cache
def trained(old):
    """One for each layout: saving as .h5 makes Keras forget its optimizer for later .keras files."""
    model = build(
        K.Conv2D(4, 3, activation="relu"), K.BatchNormalization(), K.MaxPooling2D(), K.Flatten(), K.Dropout(0.2),
        build(K.Dense(5), K.ReLU(), name="inner"), K.LayerNormalization(), K.Dense(3, activation="softmax"),
        shape=(8, 8, 2),
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    model.fit(rng.normal(size=(8, 8, 8, 2)), np.arange(8) % 3, verbose=0)
    return model


def pair(tmp_path, suffix="keras"):
    """(Keras's model, ours read from its file, that file)."""
    model = trained(suffix == "h5")
    path = tmp_path / f"theirs.{suffix}"
    model.save(path)
    return model, saving.load_model(path), path


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_models_go_there_and_back(suffix, tmp_path):
    theirs, ours, _ = pair(tmp_path, suffix)
    for a, b in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    back = tmp_path / f"ours.{suffix}"
    saving.save_model(ours, back)
    again = keras.models.load_model(back)
    x = np.random.default_rng(1).normal(size=(4, 8, 8, 2)).astype("float32")
    np.testing.assert_array_equal(theirs.predict(x, verbose=0), again.predict(x, verbose=0))
    if suffix == "h5":  # Keras 3.15.1 does not bring the slots back from its own .h5 either: compare the files
        assert slots(back) == slots(tmp_path / "theirs.h5")
        return
    assert again.optimizer.name == theirs.optimizer.name
    for a, b in zip(theirs.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert tree(inside(back)) == tree(inside(tmp_path / "theirs.keras"))


def slots(path):
    """The optimizer's arrays in a file of the older layout, in order."""
    with h5py.File(path) as file:
        group = file["optimizer_weights"]
        return [np.asarray(group[name]).tolist() for name in group.attrs["weight_names"]]


@pytest.mark.parametrize("name", ["recurrent", "wrapped", "nested", "norms", "conv", "half", "named", "conv lstm"])
def test_our_own_layers_stand_where_those_of_keras_do(name, tmp_path):
    theirs = made(name)
    theirs.save(tmp_path / "theirs.keras")
    ours = saving.load_model(tmp_path / "theirs.keras")
    saving.save_model(ours, tmp_path / "ours.keras")
    assert tree(inside(tmp_path / "ours.keras")) == tree(inside(tmp_path / "theirs.keras"))


def test_folder_and_bytes_and_json(tmp_path):
    theirs, ours, path = pair(tmp_path)
    theirs.save(tmp_path / "theirs", zipped=False)
    saving.save_model(ours, tmp_path / "ours", zipped=False)
    saving.save_model(ours, tmp_path / "ours", zipped=False)  # over the old one
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    for folder in ("theirs", "ours"):
        for a, b in zip(saving.load_model(tmp_path / folder).get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    blob = io.BytesIO()
    saving.write(blob, saving.read(path))
    blob.seek(0)
    assert saving.read(blob).arrays.keys() == saving.read(path).arrays.keys()
    assert saving.model_from_json(theirs.to_json()).count_params() == theirs.count_params()
    assert keras.models.load_model(tmp_path / "ours").count_params() == theirs.count_params()


def test_shards_both_ways(tmp_path):
    theirs, ours, _ = pair(tmp_path)
    theirs.save_weights(tmp_path / "theirs.weights.json", max_shard_size=1e-6)
    saving.save_weights(ours, tmp_path / "ours.weights.json", max_shard_size=1e-6)
    assert len(list(tmp_path.glob("ours_*.weights.h5"))) > 1
    for name in ("theirs", "ours"):
        fresh = keras.models.clone_model(theirs)
        fresh.load_weights(tmp_path / f"{name}.weights.json")
        ours.set_weights([np.zeros_like(w) for w in ours.get_weights()])
        saving.load_weights(ours, tmp_path / f"{name}.weights.json")
        for a, b, c in zip(theirs.get_weights(), fresh.get_weights(), ours.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)


def test_safetensors_is_read_by_others_and_reads_others(tmp_path):
    from safetensors.numpy import load_file, save_file

    theirs, ours, _ = pair(tmp_path)
    saving.save_weights(ours, tmp_path / "w.safetensors")
    seen = load_file(tmp_path / "w.safetensors")
    assert "conv2d/kernel" in "".join(name.replace("_1/", "/") for name in seen) or any("kernel" in n for n in seen)
    save_file({name.replace("/", "."): value for name, value in seen.items() if "vars" not in name},
              tmp_path / "other.safetensors")  # fmt: skip
    ours.set_weights([np.zeros_like(w) for w in ours.get_weights()])
    saving.load_weights(ours, tmp_path / "other.safetensors")
    for a, b in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["conv", "misc", "rnn"])
def test_files_of_keras_2(name, tmp_path):
    """Written by tf_keras 2.21 (see keras2.md); its predictions beside ours, at float32 rounding over four layers."""
    kept = np.load(HERE / f"keras2_{name}.npz")
    for suffix in ("h5", "keras") if name != "rnn" else ("h5",):
        model = saving.load_model(HERE / f"keras2_{name}.{suffix}")
        np.testing.assert_allclose(np.asarray(model(kept["x"])), kept["y"], rtol=2e-5, atol=2e-6)
        assert model.compiled


def test_words_of_keras_2_are_translated():
    config = saving.read(HERE / "keras2_rnn.h5").config
    text = json.dumps(config)
    for word in ("batch_input_shape", "input_length", "time_major", "implementation", "MeanMetricWrapper", '"decay"'):
        assert word not in text
    assert config["config"]["layers"][0]["config"]["batch_shape"] == [None, 7]
    assert config["compile_config"]["metrics"][1] == "mse"
    assert config["compile_config"]["optimizer"]["config"]["learning_rate"]["class_name"] == "InverseTimeDecay"
    dense = {"class_name": "Dense", "config": {"name": "d", "units": 2, "batch_input_shape": [None, 3]}}
    chain = legacy.modern({"class_name": "Sequential", "config": [dense]}, "1.2")["config"]["layers"]
    assert [layer["class_name"] for layer in chain] == ["InputLayer", "Dense"]


# ---- all or nothing -----------------------------------------------------------------------------------------


def small():
    return Sequential([layers.Input((3,)), layers.Dense(4), layers.Dense(2)])


def test_what_does_not_fit_changes_nothing(tmp_path):
    model, other = small(), Sequential([layers.Input((3,)), layers.Dense(4), layers.Dense(5)])
    saving.save_weights(other, tmp_path / "o.weights.h5")
    before = model.get_weights()
    with pytest.raises(FileError, match=r"(?s)o\.weights\.h5.*kernel is \(4, 5\) in the file, \(4, 2\)"):
        saving.load_weights(model, tmp_path / "o.weights.h5")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.warns(UserWarning, match="not loaded"):
        saving.load_weights(model, tmp_path / "o.weights.h5", skip_mismatch=True)
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])
    np.testing.assert_array_equal(model.get_weights()[2], before[2])


def test_a_missing_array_is_named(tmp_path):
    model = small()
    kept = layout.take(model)
    del kept.arrays["layers/dense_1/vars/1"]
    saving.write(tmp_path / "w.weights.h5", kept)
    with pytest.raises(FileError, match="bias .* is not in the file"):
        saving.load_weights(model, tmp_path / "w.weights.h5")


# ---- writing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["keras", "weights.h5", "h5", "safetensors", "json"])
@pytest.mark.parametrize("broken", ["replace", "fsync", "write_tree"])
def test_a_failed_write_leaves_the_old_file(suffix, broken, tmp_path, monkeypatch):
    model, path = small(), tmp_path / f"m.{suffix}"
    take = layout.take_legacy if suffix == "h5" else layout.take
    kept = take(model, registry.to_config(model))
    saving.write(path, kept)
    old = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    if broken == "write_tree":
        for room in (hdf5, legacy):
            monkeypatch.setattr(room, "write_tree", fail)
    else:
        monkeypatch.setattr(os, broken, fail)
    if broken == "write_tree" and suffix in ("safetensors", "json"):
        saving.write(path, kept)
        return
    with pytest.raises(OSError, match="No space"):
        saving.write(path, kept)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_mode_and_links_of_the_target_are_kept(tmp_path):
    kept = layout.take(small())
    real, link = tmp_path / "real.weights.h5", tmp_path / "link.weights.h5"
    saving.write(real, kept)
    assert stat.S_IMODE(real.stat().st_mode) == 0o666 & ~current_umask()
    real.chmod(0o600)
    link.symlink_to(real)
    saving.write(link, kept)
    assert link.is_symlink() and stat.S_IMODE(real.stat().st_mode) == 0o600


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileError, match="mkdir -p"):
        saving.write(tmp_path / "no" / "w.weights.h5", layout.take(small()))


# ---- hostile files: HDF5 --------------------------------------------------------------------------------------


def hostile(fill):
    def write(path):
        with h5py.File(path, "w") as file:
            group = file.create_group("layers/dense/vars")
            group["0"] = np.zeros((3, 4), "float32")
            fill(file, group, path)

    return write


def loop(file, group, path):
    group["inner"] = file["layers"]


def virtual(file, group, path):
    plan = h5py.VirtualLayout((3,), "float32")
    plan[:] = h5py.VirtualSource("/etc/passwd.h5", "x", (3,))
    group.create_virtual_dataset("1", plan)


def attribute_reference(file, group, path):
    group.attrs["name"] = group.ref


def hole(file, group, path):
    group.create_dataset("1", (100, 100), "float32", chunks=(10, 10))[:10, :10] = 1


def deep(file, group, path):
    for _ in range(80):
        group = group.create_group("g")


HOSTILE = {
    "soft link": hostile(lambda f, g, p: g.__setitem__("1", h5py.SoftLink("/layers/dense/vars/0"))),
    "dangling soft link": hostile(lambda f, g, p: g.__setitem__("1", h5py.SoftLink("/nowhere"))),
    "external link": hostile(lambda f, g, p: g.__setitem__("1", h5py.ExternalLink("other.h5", "/x"))),
    "external link at the root": hostile(lambda f, g, p: f.__setitem__("vars", h5py.ExternalLink("/dev/zero", "/x"))),
    "external data": hostile(lambda f, g, p: g.create_dataset("1", (3,), "float32", external=[("/etc/passwd", 0, 12)])),
    "virtual": hostile(virtual),
    "two places": hostile(loop),
    "too deep": hostile(deep),
    "more than the file holds": hostile(
        lambda f, g, p: g.create_dataset("1", (1 << 40,), "float32", chunks=(1 << 20,), compression="gzip")
    ),
    "never written": hostile(lambda f, g, p: g.create_dataset("1", (1000,), "float32")),
    "hole in the chunks": hostile(hole),
    "text": hostile(lambda f, g, p: g.create_dataset("1", data=["a", "b"])),
    "records": hostile(lambda f, g, p: g.create_dataset("1", data=np.zeros(2, [("a", "f4"), ("b", "i4")]))),
    "ragged": hostile(lambda f, g, p: g.create_dataset("1", (2,), h5py.vlen_dtype("float32"))),
    "references": hostile(lambda f, g, p: g.create_dataset("1", (2,), h5py.ref_dtype)),
    "opaque": hostile(lambda f, g, p: g.create_dataset("1", data=np.zeros(2, "V2"))),
    "complex": hostile(lambda f, g, p: g.create_dataset("1", data=np.zeros(2, "complex64"))),
    "null": hostile(lambda f, g, p: g.create_dataset("1", data=h5py.Empty("float32"))),
    "named type": hostile(lambda f, g, p: g.__setitem__("1", np.dtype("float32"))),
    "scale-offset": hostile(
        lambda f, g, p: g.create_dataset("1", data=np.zeros(10, "int32"), scaleoffset=True, chunks=(10,))
    ),
    "odd attribute": hostile(attribute_reference),
}


@pytest.mark.parametrize("suffix", ["weights.h5", "keras"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_hdf5_is_refused(name, suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.weights.h5"
    HOSTILE[name](path)
    if suffix == "keras":
        with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
            archive.writestr("config.json", "{}")
            archive.writestr("model.weights.h5", path.read_bytes())
        path = tmp_path / "bad.keras"
    with pytest.raises(FileError, match="bad"):
        saving.read(path, config=False)


def test_many_small_bombs_together(tmp_path):
    packed = zlib.compress(bytes(1 << 24), 9)
    with h5py.File(tmp_path / "b.weights.h5", "w") as file:
        for i in range(200):
            each = file.create_dataset(f"vars/{i}", (1 << 22,), "float32", chunks=(1 << 22,), compression="gzip")
            each.id.write_direct_chunk((0,), packed)
    with pytest.raises(FileError, match="more than the file holds"):
        saving.read(tmp_path / "b.weights.h5")


def test_packed_and_foreign_numbers_are_read_exactly(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
    values[0, :3] = np.nan, np.inf, 1e-42
    with h5py.File(tmp_path / "b.weights.h5", "w") as file:
        file.create_dataset("vars/0", data=values, compression="gzip", shuffle=True)
        file["vars/1"] = values.astype(">f4")
        file["vars/2"] = np.array([True, False])
    read = saving.read(tmp_path / "b.weights.h5").arrays
    assert read["vars/0"].tobytes() == values.tobytes() == read["vars/1"].tobytes()
    assert read["vars/1"].dtype.isnative and read["vars/2"].dtype == bool


def test_torn_and_flipped_files_never_crash(tmp_path):
    """In a process of its own, because libhdf5 is not memory-safe."""
    for suffix in ("weights.h5", "keras", "safetensors"):
        saving.write(tmp_path / f"m.{suffix}", layout.take(small(), registry.to_config(small())))
    script = f"""
import sys, pathlib, numpy as np
from seriatim import files as saving
from seriatim.base.report import FileError
rng, loaded, refused = np.random.default_rng(0), 0, 0
for suffix in ("weights.h5", "keras", "safetensors"):
    whole = pathlib.Path({str(tmp_path)!r}, "m." + suffix).read_bytes()
    right = saving.read(pathlib.Path({str(tmp_path)!r}, "m." + suffix)).arrays
    path = pathlib.Path({str(tmp_path)!r}, "x." + suffix)
    cases = [whole[: len(whole) * i // 64] for i in range(64)]
    for at in rng.integers(0, len(whole), 128):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << rng.integers(8)
        cases.append(bytes(flipped))
    for data in cases:
        path.write_bytes(data)
        try:
            arrays = saving.read(path).arrays
            loaded += 1
            same = arrays.keys() == right.keys() and all((arrays[k] == right[k]).all() for k in right)
            assert same or suffix == "weights.h5", suffix
        except FileError:
            refused += 1
print("loaded", loaded, "refused", refused, "jax" in sys.modules)
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == "False", "saving must not import JAX"


# ---- hostile files: archives, JSON, the rest --------------------------------------------------------------------


def archive_with(name="x", data=b"", **changes):
    def write(path):
        with zipfile.ZipFile(path, "w", changes.pop("method", zipfile.ZIP_STORED)) as archive:
            archive.writestr("config.json", "{}")
            info = zipfile.ZipInfo(name)
            for key, value in changes.items():
                setattr(info, key, value)
            archive.writestr(info, data)

    return write


def prefixed(path):
    archive_with("model.weights.h5", b"x")(path)
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())


def commented(path):
    archive_with("model.weights.h5", b"x")(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK\x05\x06 more"


def doubled(path):
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("config.json", "{}")


def overlapping(path):
    """Two names in the directory for one stored member (CVE-2024-0450)."""
    archive_with("model.weights.h5", b"y" * 100)(path)
    data = bytearray(path.read_bytes())
    first = data.rfind(b"PK\x01\x02")
    data[first + 42 : first + 46] = (0).to_bytes(4, "little")
    path.write_bytes(data)


def encrypted(path):
    archive_with("model.weights.h5", b"y" * 100)(path)
    data = bytearray(path.read_bytes())
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


ARCHIVES = {
    "climbing": archive_with("../evil"), "absolute": archive_with("/etc/evil"), "backslash": archive_with("a\\..\\b"),
    "drive": archive_with("C:/evil"), "inner climbing": archive_with("assets/../../evil"),
    "link": archive_with("assets/x", b"/etc/passwd", external_attr=(stat.S_IFLNK | 0o777) << 16),
    "odd method": archive_with("model.weights.h5", b"x" * 100, compress_type=zipfile.ZIP_LZMA),
    "bomb": archive_with("model.weights.h5", b"\0" * (1 << 29), compress_type=zipfile.ZIP_DEFLATED),
    "prefix": prefixed, "comment": commented, "twice": doubled, "overlap": overlapping, "encrypted": encrypted,
    "case": archive_with("CONFIG.JSON", b"{}"), "no weights": archive_with("other", b"x"),
    "npz": archive_with("model.weights.npz", b"x"), "not hdf5": archive_with("model.weights.h5", b"x"),
    "empty": lambda path: path.write_bytes(b""), "pickle": lambda path: path.write_bytes(pickle.dumps([1])),
    "html": lambda path: path.write_bytes(b"<html>404</html>"), "hdf5": lambda path: h5py.File(path, "w").close(),
    "many": lambda path: many(path), "fifo": lambda path: os.mkfifo(path), "folder": lambda path: path.mkdir(),
}  # fmt: skip


def many(path):
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(10_050):
            archive.writestr(f"assets/{i}", b"")


@pytest.mark.parametrize("name", ARCHIVES)
def test_hostile_archives_are_refused(name, tmp_path):
    path = tmp_path / "bad.keras"
    ARCHIVES[name](path)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(FileError, match="bad.keras"):
        saving.read(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


TEXTS = {
    "deep": "[" * 100_000 + "]" * 100_000, "deep dicts": '{"a":' * 200 + "1" + "}" * 200, "twins": '{"a": 1, "a": 2}',
    "list": "[]", "word": '"x"', "null": "null", "digits": '{"a": ' + "9" * 5000 + "}", "2**64": f'{{"a": {2**64}}}',
    "bom": b"\xef\xbb\xbf{}", "utf-16": "{}".encode("utf-16"), "latin": b'{"a": "\xe9"}', "tail": "{} {}",
    "comment": "{} // x", "quotes": "{'a': 1}", "nothing": "", "blank": "  ",
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_json_is_refused(name):
    with pytest.raises(FileError):
        record.parse(TEXTS[name], "bad.json")


@pytest.mark.parametrize("kind", ["__lambda__", "TorchModuleWrapper", "TFSMLayer", "list"])
def test_code_is_refused_by_the_name_of_its_layer(kind, tmp_path):
    function = ["4wEAAAA=", None, None] if kind == "list" else {"class_name": kind, "config": {"code": "4wEAAAA="}}
    inner = {"class_name": "Lambda", "config": {"name": "twice", "function": function}}
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [inner]}}
    (tmp_path / "m.json").write_text(json.dumps(config))
    with pytest.raises(FileError, match="'twice' needs"):
        saving.read(tmp_path / "m.json")
    with pytest.raises(FileError, match="'twice' needs"):
        saving.model_from_json(json.dumps(config))
    assert saving.read(tmp_path / "m.json", allowed=("twice",)).config
    assert saving.read(tmp_path / "m.json", config=False).config is None


def test_a_lambda_of_keras_is_refused_and_its_weights_are_not(tmp_path):
    model = build(K.Dense(2), K.Lambda(lambda x: 2 * x, name="twice"), shape=(3,))
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
        with pytest.raises(FileError, match="twice"):
            saving.load_model(tmp_path / name)
        assert len(saving.read(tmp_path / name, config=False).arrays) == 2


def test_hostile_shards(tmp_path):
    for name in ("../x.weights.h5", "/etc/x.h5", "a\\b.h5", "x.txt", ".."):
        (tmp_path / "i.weights.json").write_text(json.dumps({"metadata": {}, "weight_map": {"/layers/a/vars": name}}))
        with pytest.raises(FileError, match="elsewhere"):
            saving.read(tmp_path / "i.weights.json")


def test_links_in_a_folder(tmp_path):
    _, ours, _ = pair(tmp_path)
    saving.save_model(ours, tmp_path / "m", zipped=False)
    (tmp_path / "m" / "config.json").rename(tmp_path / "c.json")
    (tmp_path / "m" / "config.json").symlink_to(tmp_path / "c.json")
    with pytest.raises(FileError, match="link"):
        saving.read(tmp_path / "m")


def tensors_file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


SAFETENSORS = {
    "empty": b"", "huge header": (1 << 63).to_bytes(8, "little"), "short header": (100).to_bytes(8, "little") + b"{}",
    "overlap": tensors_file({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
    "hole": tensors_file({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
    "past the end": tensors_file({"a": entry([4], 0, 16)}, bytes(8)),
    "left over": tensors_file({"a": entry([1], 0, 4)}, bytes(8)),
    "backwards": tensors_file({"a": entry([1], 4, 0)}, bytes(4)),
    "wrong size": tensors_file({"a": entry([3], 0, 8)}, bytes(8)),
    "overflow": tensors_file({"a": entry([1 << 40, 1 << 40], 0, 8)}, bytes(8)),
    "negative": tensors_file({"a": entry([-1, -2], 0, 8)}, bytes(8)),
    "fraction": tensors_file({"a": entry([1.0], 0, 4)}, bytes(4)),
    "flag": tensors_file({"a": entry([True], 0, 4)}, bytes(4)),
    "type": tensors_file({"a": entry([1], 0, 4, "F4")}, bytes(4)),
    "axes": tensors_file({"a": entry([1] * 100, 0, 4)}, bytes(4)),
    "twins": tensors_file(b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{}}'),
    "metadata": tensors_file({"__metadata__": {"x": 1}}),
    "digest": tensors_file({"__metadata__": {"blake2b": "00"}, "a": entry([1], 0, 4)}, bytes(4)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAFETENSORS)
def test_hostile_safetensors_are_refused(name, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(SAFETENSORS[name])
    with pytest.raises(FileError, match="bad.safetensors"):
        saving.read(tmp_path / "bad.safetensors")


@pytest.mark.parametrize("path", ["http://x/m.keras", "hf://me/model", "gs://b/m.keras", "m.txt", "m", "missing.keras"])
def test_what_is_no_file_of_ours(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.txt").write_text("x")
    with pytest.raises(FileError):
        saving.read(path)
    if "missing" not in path:
        with pytest.raises(FileError):
            saving.write(path, record.Record())


def test_newer_files_say_so(tmp_path):
    kept = layout.take(small(), registry.to_config(small()))
    saving.write(tmp_path / "m.keras", kept)
    for about in ({"keras_version": "4.0.0"}, {"keras_version": "3.15.1", "seriatim": {"layout": 2}}):
        with zipfile.ZipFile(tmp_path / "n.keras", "w") as archive:
            for name, data in keras_zip.parts(kept):
                archive.writestr(name, json.dumps(about) if name == "metadata.json" else bytes(data))
        with pytest.raises(FileError, match="newer"):
            saving.read(tmp_path / "n.keras")
    meta = saving.read(tmp_path / "m.keras").meta
    assert meta["keras_version"] == "3.15.1" and meta["ours"] == {"layout": 1}


def test_every_suffix_has_a_reader():
    assert set(door.SUFFIXES) == {".weights.h5", ".weights.json", ".keras", ".h5", ".hdf5", ".safetensors", ".json"}


class Words(layers.Layer):
    """A layer that keeps a vocabulary beside its arrays."""

    words = ("a", "b")

    def call(self, x):
        return x

    def get_assets(self):
        return {"vocabulary.txt": "\n".join(self.words).encode()}

    def set_assets(self, files):
        self.words = tuple(files["vocabulary.txt"].decode().split("\n"))


@pytest.mark.parametrize("zipped", [True, False])
def test_assets_travel_with_the_model(zipped, tmp_path):
    registry.register_keras_serializable()(Words)
    model = Sequential([layers.Input((3,)), Words(), layers.Dense(2)])
    model.layers[0].words = ("x", "y", "ü")
    path = tmp_path / ("m.keras" if zipped else "m")
    saving.save_model(model, path, zipped=zipped)
    assert saving.read(path).meta["assets"] == {"layers/words/vocabulary.txt": "x\ny\nü".encode()}
    assert saving.load_model(path).layers[0].words == ("x", "y", "ü")


def test_a_chain_that_was_never_built_comes_back(tmp_path):
    model = Sequential([layers.Embedding(4, 2), layers.Dense(1)])
    model.compile("adam", "mse")
    model.save(tmp_path / "new.keras")
    again = saving.load_model(tmp_path / "new.keras")
    assert again.compiled and not again.built
    again.fit(np.ones((2, 3), int), np.ones((2, 3, 1)), verbose=0)
    (tmp_path / "terms.txt").write_text("a\nb\n")
    Sequential([layers.StringLookup(vocabulary=str(tmp_path / "terms.txt"))]).save(tmp_path / "terms.keras")
    assert saving.load_model(tmp_path / "terms.keras").layers[0].get_vocabulary() == ["[UNK]", "a", "b"]
