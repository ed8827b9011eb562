"""What scripts of `tensorflow.keras` have beyond `keras`: texts, series, pictures; Keras's numbers for each seed."""

import importlib
import inspect
import json
import random
import warnings
from contextlib import contextmanager
from itertools import islice, product

import keras
import numpy as np
import pandas as pd
import pytest
from keras._tf_keras.keras.preprocessing import image as real_image
from keras._tf_keras.keras.preprocessing import sequence as real_sequence
from keras._tf_keras.keras.preprocessing import text as real_text
from PIL import Image

import seriatim
from seriatim import Sequential, layers
from seriatim.base.report import DataError, UsageError
from seriatim.preprocessing import image, sequence, text

RNG = np.random.default_rng(0)
TEXTS = [
    "The cat sat on the mat.", "The dog ate: my homework!\tAnd the CAT", "", "the-the the", "Ünïcode söme çat",
    ["A", "list", "of", "Words", "the"], "tab\tand\nnewline, twice,twice",
]  # fmt: skip
MODULES = ("preprocessing", "preprocessing.text", "preprocessing.sequence", "preprocessing.image", "losses", "metrics")


@contextmanager
def seeds(seed):
    """Both global generators begin at a seed."""
    random.seed(seed)
    np.random.seed(seed)
    yield


def same(mine, real):
    """Equal to the last bit: arrays, and lists and tuples of them."""
    if isinstance(real, (tuple, list)) and any(isinstance(part, np.ndarray) for part in real):
        assert type(mine) is type(real) and len(mine) == len(real)
        for a, b in zip(mine, real, strict=True):
            same(a, b)
    else:
        assert np.asarray(mine).dtype == np.asarray(real).dtype
        np.testing.assert_array_equal(mine, real)


@pytest.mark.parametrize("module", MODULES)
def test_every_name_with_keras_s_arguments(module):
    real = importlib.import_module(f"keras._tf_keras.keras.{module}")
    mine = importlib.import_module(f"seriatim.{module}")
    for name in (name for name in dir(real) if name[0] != "_"):
        assert hasattr(mine, name), f"{module}.{name}"
        theirs, ours = getattr(real, name), getattr(mine, name)
        if module.startswith("preprocessing.") and (inspect.isfunction(theirs) or inspect.isclass(theirs)):
            assert arguments(ours) == arguments(theirs), name
            for word in (w for w in vars(theirs) if inspect.isfunction(vars(theirs)[w]) and w[0] != "_"):
                if word != "set_processing_attrs":
                    assert arguments(getattr(ours, word)) == arguments(getattr(theirs, word)), f"{name}.{word}"


def arguments(function):
    """(name, default) of each argument."""
    return [(p.name, p.default) for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]


# ---- texts ------------------------------------------------------------------------------------------------------


def test_functions_of_texts():
    for sentence, lower, filters, split in product(
        [t for t in TEXTS if isinstance(t, str)], (True, False), ("", "aT,", text.PUNCTUATION), (" ", ",", "th")
    ):
        options = {"filters": filters, "lower": lower, "split": split}
        assert text.text_to_word_sequence(sentence, **options) == real_text.text_to_word_sequence(sentence, **options)
        assert text.one_hot(sentence, 50, **options) == real_text.one_hot(sentence, 50, **options)
        for function in (None, "md5", len):
            mine = text.hashing_trick(sentence, 9, function, **options)
            assert mine == real_text.hashing_trick(sentence, 9, function, **options)
    assert text.hashing_trick("a b", 9, len, analyzer=list) == real_text.hashing_trick("a b", 9, len, analyzer=list)


@pytest.mark.parametrize("kind", [
    {}, {"num_words": 5}, {"oov_token": "<oov>"}, {"oov_token": "the", "num_words": 4}, {"lower": False},
    {"char_level": True, "oov_token": "?"}, {"filters": ",", "split": "t"}, {"analyzer": lambda t: t.split("a")},
])  # fmt: skip
def test_tokenizer(kind):
    mine, real = text.Tokenizer(**kind), real_text.Tokenizer(**kind)
    assert mine.texts_to_sequences(["the"]) == [[]]
    for tokenizer in (mine, real):
        tokenizer.fit_on_texts(TEXTS)
        tokenizer.fit_on_texts(["the dog again", "dog"])
        tokenizer.fit_on_sequences([[1, 2, 2], [3, 40]])
    names = ("word_index", "index_word", "word_counts", "word_docs", "index_docs", "document_count")
    for name in names:
        assert getattr(mine, name) == getattr(real, name), name
    assert list(mine.word_counts) == list(real.word_counts)
    new = [*TEXTS, "a word nobody knows", "dog dog"]
    sequences = mine.texts_to_sequences(new)
    assert sequences == real.texts_to_sequences(new) == list(mine.texts_to_sequences_generator(new))
    odd = [[*row, 0, 999] for row in sequences]
    assert mine.sequences_to_texts(odd) == real.sequences_to_texts(odd)
    for mode in ("binary", "count", "freq", "tfidf"):
        for rows, wanted in ((mine.texts_to_matrix(new, mode), real.texts_to_matrix(new, mode)),
                             (mine.sequences_to_matrix(odd, mode), real.sequences_to_matrix(odd, mode))):  # fmt: skip
            np.testing.assert_allclose(rows, wanted, rtol=1e-14)  # a logarithm of one number, or of many at once
    ours, theirs = mine.get_config(), real.get_config()
    assert list(ours) == list(theirs)
    learned = [name for name in ours if isinstance(ours[name], str) and name in names]
    assert {n: json.loads(ours[n]) for n in learned} == {n: json.loads(theirs[n]) for n in learned}
    if "analyzer" not in kind:
        for back in (text.tokenizer_from_json(real.to_json()), text.tokenizer_from_json(mine.to_json(indent=1))):
            assert back.texts_to_sequences(new) == sequences
            assert back.index_docs == mine.index_docs
        assert real_text.tokenizer_from_json(mine.to_json()).texts_to_sequences(new) == sequences


def test_tokenizer_refuses():
    fresh = text.Tokenizer(9).texts_to_matrix
    for call in (lambda: text.Tokenizer().texts_to_matrix(["a"]), lambda: fresh(["a"], "tfidf"),
                 lambda: fresh(["a"], "often"), lambda: text.tokenizer_from_json("[]")):  # fmt: skip
        with pytest.raises(ValueError):
            call()
    with pytest.raises(TypeError):
        text.Tokenizer(words=3)
    with pytest.warns(UserWarning, match="num_words"):
        assert text.Tokenizer(nb_words=3).num_words == 3


# ---- series -----------------------------------------------------------------------------------------------------


def test_timeseries_generator():
    data, targets = RNG.normal(size=(50, 2)), RNG.normal(size=50)
    cases = [
        {"length": 5}, {"length": 6, "sampling_rate": 2, "stride": 3, "batch_size": 4}, {"length": 4, "reverse": True},
        {"length": 3, "start_index": 10, "end_index": 30, "batch_size": 7},
        {"length": 3, "shuffle": True, "batch_size": 5},
        {"length": 10, "sampling_rate": 3, "batch_size": 1, "reverse": True, "shuffle": True},
    ]  # fmt: skip
    for case in cases:
        mine = sequence.TimeseriesGenerator(data, targets, **case)
        real = real_sequence.TimeseriesGenerator(data, targets, **case)
        assert len(mine) == len(real)
        for i in range(len(real)):
            with seeds(i):
                a = mine[i]
            with seeds(i):
                same(a, real[i])
    config = json.loads(mine.to_json())["config"]  # Keras's own get_config fails
    assert json.loads(config["targets"]) == targets.tolist() and config["start_index"] == 10
    for wrong in ({"length": 50}, {"length": 4, "end_index": 3}):
        with pytest.raises(UsageError):
            sequence.TimeseriesGenerator(data, targets, **wrong)
    with pytest.raises(DataError):
        sequence.TimeseriesGenerator(data, targets[1:], 3)
    model = Sequential([layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(sequence.TimeseriesGenerator(data, targets, 4, batch_size=16), epochs=2, verbose=0)
    assert model.predict(sequence.TimeseriesGenerator(data, targets, 4, batch_size=16), verbose=0).shape == (46, 1)


def test_skipgrams():
    same(sequence.make_sampling_table(100, 1e-3), real_sequence.make_sampling_table(100, 1e-3))
    words, table = RNG.integers(0, 20, 60).tolist(), np.linspace(0, 1, 20)
    for i, case in enumerate([
        {"seed": 0}, {"window_size": 1, "seed": 1}, {"negative_samples": 0, "seed": 1},
        {"negative_samples": 2.5, "categorical": True, "seed": 2}, {"shuffle": False},
        {"sampling_table": table, "shuffle": False},
        {"seed": 3, "sampling_table": table, "window_size": 2},
    ]):  # fmt: skip
        with seeds(i):
            mine = sequence.skipgrams(words, 20, **case)
        with seeds(i):
            assert mine == real_sequence.skipgrams(words, 20, **case)
    couples, labels = sequence.skipgrams(words, 20)  # Keras draws a seed as newer Pythons do not allow
    assert len(couples) == len(labels) == 2 * sum(labels) and sequence.skipgrams([0, 0], 20) == ([], [])


# ---- pictures ---------------------------------------------------------------------------------------------------


def test_moves_of_one_picture():
    shapes = [((3, 9, 9), (1, 2, 0)), ((8, 11, 3), (0, 1, 2)), ((7, 10, 1), (1, 0, 2))]
    for (shape, (row, column, channel)), fill, order in product(shapes, ("nearest", "constant", "reflect"), (0, 1, 3)):
        x = RNG.uniform(0, 255, shape).astype("float32")
        axes = {"row_axis": row, "col_axis": column, "channel_axis": channel}
        where = {**axes, "fill_mode": fill, "cval": 7.0}
        for move in (
            {},
            {"theta": 30},
            {"tx": 2, "shear": 10},
            {"theta": -75, "tx": 1.5, "ty": -2, "zx": 0.8, "zy": 1.3},
        ):
            same(image.apply_affine_transform(x, **move, **where, order=order),
                 real_image.apply_affine_transform(x, **move, **where, order=order))  # fmt: skip
        for name, amount in (("random_rotation", (40,)), ("random_shift", (0.2, 0.4)), ("random_shear", (15,)),
                             ("random_zoom", ((0.7, 1.2),)), ("random_zoom", ((1, 1),))):  # fmt: skip
            with seeds(order):
                mine = getattr(image, name)(x, *amount, **where, interpolation_order=order)
            with seeds(order):
                same(mine, getattr(real_image, name)(x, *amount, **where, interpolation_order=order))
        same(image.apply_channel_shift(x, 20.0, channel), real_image.apply_channel_shift(x, 20.0, channel))
    for x in (RNG.uniform(0, 255, (8, 6, 3)), RNG.uniform(-1, 1, (8, 6, 3)).astype("float32"), np.full((4, 4, 1), 9.0)):
        for scale, (name, amount) in product(
            (True, False), (("random_channel_shift", 30.0), ("random_brightness", (0.4, 1.6)))
        ):
            options = {} if name == "random_channel_shift" else {"scale": scale}
            with seeds(1):
                mine = getattr(image, name)(x, amount, **options)
            with seeds(1):
                same(mine, getattr(real_image, name)(x, amount, **options))
    affine = image.apply_affine_transform
    for wrong in (lambda: image.random_zoom(x, (1, 2, 3)), lambda: image.random_brightness(x, (1,)),
                  lambda: affine(x, row_axis=0), lambda: affine(x[0], theta=3),
                  lambda: affine(x, 3, row_axis=0, col_axis=2, channel_axis=1)):  # fmt: skip
        with pytest.raises(ValueError):
            wrong()


CHANGES = [
    {}, {"rescale": 1 / 255}, {"rotation_range": 30, "fill_mode": "reflect", "interpolation_order": 0},
    {"width_shift_range": 0.3, "height_shift_range": 3, "shear_range": 20.0, "zoom_range": 0.2},
    {"width_shift_range": [-2, 0, 2], "height_shift_range": [0.1, 0.2], "zoom_range": (0.5, 1.0), "cval": 3.0,
     "fill_mode": "constant"},
    {"horizontal_flip": True, "vertical_flip": True, "channel_shift_range": 40.0, "brightness_range": (0.3, 1.5)},
    {"samplewise_center": True, "samplewise_std_normalization": True, "dtype": "float64"},
    {"featurewise_std_normalization": True, "rescale": 0.01, "height_shift_range": 1.5},
    {"zca_whitening": True, "featurewise_std_normalization": True, "horizontal_flip": True},
    {"preprocessing_function": lambda x: x[..., ::-1] * 2, "data_format": "channels_first", "rotation_range": 10},
    {"samplewise_std_normalization": True, "data_format": "channels_first", "shear_range": 5, "horizontal_flip": 1},
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", range(len(CHANGES)))
def test_generator_over_arrays(case, tmp_path):
    """The same batches by `next` and by number, over several passes; `fit` on data first."""
    changes = CHANGES[case]
    x = RNG.uniform(0, 255, (11, 6, 8, 3) if "data_format" not in changes else (11, 3, 6, 8))
    y, w = np.arange(11) % 2, RNG.uniform(size=11)
    flows = ({"shuffle": False, "batch_size": 4}, {"batch_size": 3, "sample_weight": w, "seed": 5})
    runs = []
    for module in (image, real_image):
        with seeds(case):
            made, found = module.ImageDataGenerator(**changes, validation_split=0.3), []
            found.append(made.random_transform(x[0].astype("float32"), seed=4))
            made.fit(x, augment=case % 2 == 1, rounds=2, seed=3)
            found += [made.standardize(x[:2].astype("float32")), made.mean, made.std, made.zca_whitening_matrix]
            for options in flows:
                batches = made.flow(x, y, **options)
                found += [len(batches), batches[1], batches[0], *islice(batches, 7)]
                batches.on_epoch_end()
                batches.reset()
                found += [batches[len(batches) - 1], next(batches)]
            for subset in ("training", "validation"):
                found.append(next(made.flow(x, y, subset=subset, seed=1)))
            found.append(next(made.flow((x, [w, y]), batch_size=2)))
            folder = tmp_path / module.__name__
            folder.mkdir()
            found.append(next(made.flow(x, batch_size=2, save_to_dir=str(folder), save_prefix="p")))
            found.append(np.array(sorted(p.name for p in folder.iterdir())))
        runs.append(found)
    assert len(runs[0]) == len(runs[1])
    for mine, real in zip(*runs, strict=True):
        same(mine, real)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of three classes, in several formats, and files that are none."""
    where = tmp_path_factory.mktemp("pictures")
    for name, count in (("b", 5), ("a", 4), ("c/deeper", 3)):
        (where / name).mkdir(parents=True)
        for i in range(count):
            size = (int(RNG.integers(5, 12)), int(RNG.integers(5, 12)))
            pixels = RNG.integers(0, 256, (*size, 3), "uint8")
            Image.fromarray(pixels).save(where / name / f"{i}.{('png', 'jpg', 'bmp')[i % 3]}")
        (where / name / "notes.txt").write_text("no picture")
    return where


def compare_flows(flow, passes=2):
    runs = []
    for module in (image, real_image):
        with seeds(2):
            batches = flow(module)
            found = [batches[i] for i in range(len(batches))] + [next(batches) for _ in range(passes * len(batches))]
        runs.append((batches, found))
    (mine, found), (real, wanted) = runs
    for name in ("filenames", "filepaths", "samples", "class_indices", "image_shape", "n", "class_mode", "labels"):
        if hasattr(real, name):
            assert repr(getattr(mine, name)) == repr(getattr(real, name)), name
    for a, b in zip(found, wanted, strict=True):
        same(a, b)
    return mine


FOLDERS = [
    {}, {"target_size": (7, 9), "class_mode": "sparse", "shuffle": False}, {"class_mode": None, "color_mode": "rgba"},
    {"class_mode": "input", "color_mode": "grayscale", "seed": 9}, {"classes": ["c", "a"], "class_mode": "binary"},
    {"subset": "training", "interpolation": "bilinear"}, {"subset": "validation", "keep_aspect_ratio": True, "seed": 1},
]  # fmt: skip


def test_flow_from_directory(folder, capsys):
    changes = {"rotation_range": 20, "rescale": 1 / 255, "validation_split": 0.4}
    for options, data_format in zip(FOLDERS, ["channels_last", "channels_first"] * 4, strict=False):
        options = {"batch_size": 5, "target_size": (6, 6), **options}
        compare_flows(lambda module: module.ImageDataGenerator(**changes, data_format=data_format).flow_from_directory(
            str(folder), **options))  # fmt: skip
        mine, real = capsys.readouterr().out.splitlines()
        assert mine == real
    with pytest.raises(UsageError):
        image.ImageDataGenerator().flow_from_directory(folder, class_mode="rough")


@pytest.mark.filterwarnings("ignore:Found 4 invalid")
def test_flow_from_dataframe(folder):
    names = [str(p.relative_to(folder)) for p in sorted(folder.rglob("*.*"))]
    n, rng = len(names) + 1, np.random.default_rng(4)
    table = pd.DataFrame({
        "filename": [*names, "missing.png"], "class": rng.choice(["x", "y", "z"], n).tolist(),
        "two": rng.choice(["p", "q"], n), "number": rng.normal(size=n), "w": rng.uniform(size=n),
        "several": [["x", "y"] if i % 2 else ("y",) for i in range(n)],
    })  # fmt: skip
    for options in (
        {}, {"class_mode": "sparse", "classes": ["z", "x"], "weight_col": "w"},
        {"y_col": "two", "class_mode": "binary"},
        {"y_col": "several"}, {"y_col": "several", "classes": ["y"]}, {"class_mode": "raw", "y_col": "number"},
        {"class_mode": "raw", "y_col": ["number", "w"], "shuffle": False}, {"class_mode": None, "subset": "training"},
        {"class_mode": "multi_output", "y_col": ["number", "two"]}, {"class_mode": "input", "subset": "validation"},
        {"subset": "training", "seed": 3, "weight_col": "w"}, {"subset": "validation", "classes": ["x", "y"]},
    ):  # fmt: skip
        options = {"target_size": (5, 4), "batch_size": 4, **options}
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            compare_flows(lambda module: module.ImageDataGenerator(validation_split=0.25).flow_from_dataframe(
                table, str(folder), **options))  # fmt: skip
        assert sum("4 invalid image filename" in str(w.message) for w in said) == 2
    generator = image.ImageDataGenerator()
    for wrong in ({"class_mode": "binary"}, {"class_mode": "sparse", "y_col": "number"}, {"weight_col": "two"},
                  {"x_col": "w"}, {"class_mode": "multi_output", "y_col": "w"}, {"class_mode": "odd"}):  # fmt: skip
        with pytest.raises(ValueError):
            generator.flow_from_dataframe(table, str(folder), validate_filenames="x_col" not in wrong, **wrong)


def test_generators_train_a_model(folder):
    """An endless iterator of batches is also a source by number: fit needs no steps_per_epoch."""
    generator = image.ImageDataGenerator(rescale=1 / 255, horizontal_flip=True, validation_split=0.25)
    options = {"target_size": (8, 8), "batch_size": 4, "class_mode": "sparse", "seed": 1}
    train = generator.flow_from_directory(folder, subset="training", **options)
    held = generator.flow_from_directory(folder, subset="validation", **options)
    model = Sequential([layers.Flatten(), layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(train, validation_data=held, epochs=3, verbose=0)
    assert len(history.history["val_loss"]) == 3 and model.optimizer.iterations == 3 * len(train)
    assert model.predict(held, verbose=0).shape == (held.samples, 3)
    assert model.evaluate(held, verbose=0, return_dict=True)["loss"] > 0


def test_short_names_of_losses():
    y, p = np.eye(3, dtype="float32"), RNG.uniform(0.1, 0.9, (3, 3)).astype("float32")
    for name in ("mse", "MSE", "mae", "MAE", "mape", "MAPE", "msle", "MSLE", "bce", "BCE", "kld", "KLD"):
        wanted = np.asarray(keras.losses.get(name)(y, p))
        for found in (seriatim.losses.get(name), getattr(seriatim.losses, name)):
            np.testing.assert_allclose(found(y, p), wanted, rtol=1e-5)
        if name.lower() != "bce":
            assert getattr(seriatim.metrics, name) is getattr(seriatim.losses, name)
    kinds = seriatim.losses.Reduction
    for kind in kinds.all():
        kinds.validate(kind)
        assert np.size(seriatim.losses.MeanSquaredError(reduction=kind)(y, p)) == (3 if kind == "none" else 1)
    with pytest.raises(ValueError, match="Invalid Reduction Key"):
        kinds.validate("average")


def test_the_package_is_found():
    assert seriatim.preprocessing.image.ImageDataGenerator is image.ImageDataGenerator
    assert seriatim.preprocessing.sequence.pad_sequences is seriatim.utils.pad_sequences
