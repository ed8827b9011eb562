"""Data sets: what is done to elements on the way, and pictures, texts and sounds read from folders."""

import gc
import random
import sys
import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from seriatim import Sequential, layers, utils
from seriatim.base.report import DataError, FileError, Missing, UsageError
from seriatim.data import images
from seriatim.data.sounds import read_wav
from seriatim.data.source import Stream
from seriatim.data.taps import taps
from seriatim.utils import Dataset

Image = pytest.importorskip("PIL.Image")
KINDS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")


@pytest.fixture
def folder(tmp_path):
    """Three classes, with 2, 3 and 4 files of each kind; the number of a file is its brightness, word and loudness."""
    number = 0
    for name, count in (("b", 3), ("a", 2), ("c", 4)):
        for i in range(count):
            place = tmp_path / name / ("deep" if i else "")
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((5 + i, 6, 3), 10 * number, "uint8")).save(place / f"{i}.PNG")
            (place / f"{i}.txt").write_text(f"wörd {number}", encoding="utf-8")
            write_wav(place / f"{i}.wav", np.full((4 + i, 1), number * 1024), 2)
            (place / f"{i}.other").write_text("not for any reader")
            number += 1
    return tmp_path


def write_wav(path, samples, width, rate=100):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        data = samples.astype("<i4").tobytes() if width != 1 else (samples + 128).astype("u1").tobytes()
        keep = np.frombuffer(data, "u1").reshape(-1, 1 if width == 1 else 4)[:, :width]
        file.writeframes(keep.tobytes())


def listed(dataset):
    return [x.tolist() if isinstance(x, np.ndarray) else x for x in dataset]


def brightness(dataset, number=0):
    """The numbers of the pictures in pass `number`."""
    return [int(x[0, 0, 0]) // 10 for x in dataset.map(lambda *item: item[0]).unbatch().start(number)]


# ---- elements on their way ------------------------------------------------------------------------------


def test_words_of_a_dataset():
    ten = Dataset.range(10)
    assert listed(ten.batch(4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] and len(ten.batch(4)) == 3
    assert listed(ten.batch(4, drop_remainder=True).map(lambda x: x + 1, num_parallel_calls=-1)) == [
        [1, 2, 3, 4], [5, 6, 7, 8],
    ]  # fmt: skip
    assert listed(ten.skip(2).take(3)) == [2, 3, 4] and len(ten.skip(2).take(3)) == 3 and listed(ten.skip(-1)) == []
    assert listed(ten.filter(lambda x: x % 3 == 0).repeat(2)) == [0, 3, 6, 9] * 2
    assert listed(ten.shard(4, 1)) == [1, 5, 9] and listed(ten.batch(3).unbatch()) == list(range(10))
    assert len(ten.batch(3).unbatch()) == 10 and len(ten.batch(3).prefetch(2).cache()) == 4
    assert listed(ten.take(2).concatenate(ten.take(1)).enumerate(5)) == [(5, 0), (6, 1), (7, 0)]
    assert listed(Dataset.zip(ten, ten.skip(4))) == [(i, i + 4) for i in range(6)]
    assert listed(ten.prefetch(-1).apply(lambda d: d.take(-1))) == list(range(10))
    assert ten.repeat().cardinality() == -1 and ten.filter(bool).cardinality() == -2
    assert listed(Dataset.range(0).repeat()) == []
    for endless in (ten.repeat(), ten.filter(bool)):
        with pytest.raises(TypeError):
            len(endless)
    pairs = Dataset.from_tensor_slices((np.zeros((5, 2), "float32"), {"word": ["a", "b", "c", "d", "e"]}))
    x, words = next(iter(pairs.batch(3)))
    assert x.shape == (3, 2) and words["word"].tolist() == ["a", "b", "c"]
    assert pairs.batch(2).element_spec[0] == ((None, 2), np.dtype("float32")) and pairs.element_spec[0].shape == (2,)
    assert next(pairs.map(lambda x, y: x + 1).as_numpy_iterator()).tolist() == [1, 1]


def test_shuffle_is_a_pure_function_of_seed_and_pass():
    data = Dataset.range(20).shuffle(7, seed=1)
    first, second = listed(data), listed(data)
    assert first != second and sorted(first) == sorted(second) == list(range(20)) and first[0] < 7
    assert listed(Dataset.range(20).shuffle(7, seed=1)) == first != listed(Dataset.range(20).shuffle(7, seed=2))
    fixed = Dataset.range(20).shuffle(50, seed=1, reshuffle_each_iteration=False)
    assert listed(fixed) == listed(fixed) != list(range(20))
    assert len({tuple(listed(data.repeat(3))[i : i + 20]) for i in (0, 20, 40)}) == 3
    utils.set_random_seed(1)
    drawn = listed(Dataset.range(20).shuffle(20))
    utils.set_random_seed(1)
    assert listed(Dataset.range(20).shuffle(20)) == drawn


def test_a_cache_reads_once_and_cannot_be_spoilt():
    seen = []
    data = Dataset.range(4).map(lambda i: seen.append(i) or np.full(2, i)).cache()
    assert listed(data.take(2)) == [[0, 0], [1, 1]]  # not a whole pass: nothing is kept
    assert listed(data) == listed(data) and len(seen) == 6
    with pytest.raises(ValueError, match="read-only"):
        list(data.map(lambda x: np.add(x, 1, out=x)))
    with pytest.raises(UsageError):
        data.cache("file")
    with pytest.raises(DataError, match="different shapes"):
        list(Dataset.range(4).map(lambda i: np.zeros(int(i))).batch(2))
    with pytest.raises(DataError, match="numbers of rows"):
        Dataset.from_tensor_slices((np.zeros(3), np.zeros(4)))


def test_datasets_train_evaluate_predict_and_adapt():
    x = np.random.default_rng(0).normal(size=(50, 3)).astype("float32")
    rows = Dataset.from_tensor_slices((x, x.sum(1, keepdims=True)))
    scale = layers.Normalization()
    scale.adapt(rows.batch(20).map(lambda x, y: x))
    np.testing.assert_allclose(scale.mean[0], x.mean(0), atol=1e-6)
    utils.set_random_seed(1)
    model = Sequential([layers.Input((3,)), scale, layers.Dense(1)])
    model.compile("sgd", "mse")
    data = rows.shuffle(50, seed=1).batch(10).cache().prefetch(-1)
    history = model.fit(data, epochs=3, validation_data=rows.batch(10), verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and len(history["val_loss"]) == 3
    model.fit(data.repeat(), steps_per_epoch=7, epochs=2, verbose=0)
    whole = model.evaluate(x, x.sum(1, keepdims=True), batch_size=10, verbose=0)
    assert model.evaluate(rows.batch(10), verbose=0) == pytest.approx(whole)
    np.testing.assert_allclose(model.predict(rows.batch(10)), model.predict(x), rtol=1e-5, atol=1e-6)

    # Each epoch is the pass of its number, whatever was read before.
    def epoch(n):
        return [batch.x.tolist() for _, batch in Stream(rows.shuffle(50, seed=1).batch(8)).batches(place=(n, 0))]

    assert epoch(0) == epoch(0) != epoch(1)


def test_windows_over_a_series():
    x = np.arange(99)
    (windows,) = utils.timeseries_dataset_from_array(x, None, 10, sampling_rate=2, sequence_stride=3)
    assert windows[0].tolist() == list(range(0, 20, 2)) and windows[1, 0] == 3 and windows[-1].tolist()[0] == 78
    assert windows.shape == (27, 10)
    data = utils.timeseries_dataset_from_array(
        x[:, None], 10 * x, 4, batch_size=8, shuffle=True, seed=3, start_index=5, end_index=30
    )
    assert len(data) == 3 and data.element_spec[0].shape == (None, 4, 1)
    passes = [list(data), list(data)]
    for batches in passes:
        for window, target in batches:
            assert (window[:, :, 0] == window[:, :1, 0] + np.arange(4)).all() and (target == 10 * window[:, 0, 0]).all()
        assert sorted(w[0, 0] for b, _ in batches for w in b) == list(range(5, 27))
    assert not np.array_equal(passes[0][0][0], passes[1][0][0])
    single = utils.timeseries_dataset_from_array(x, x[10:], 10, batch_size=None)
    assert len(single) == 89 and [t for _, t in single] == list(range(10, 99))
    for wrong in (
        {"sequence_stride": 0}, {"sampling_rate": 99}, {"start_index": 99}, {"end_index": 99},
        {"start_index": 9, "end_index": 5}, {"format": "torch"}, {"batch_size": 0}, {"sequence_length": 200},
    ):  # fmt: skip
        with pytest.raises((UsageError, DataError)):
            utils.timeseries_dataset_from_array(x, None, **{"sequence_length": 5, **wrong})


def test_a_dataset_in_two():
    x, y = np.arange(10), np.arange(10) * 2.0
    left, right = utils.split_dataset((x, y), left_size=0.7)
    assert (len(left), len(right)) == (7, 3) and listed(right) == [(7, 14.0), (8, 16.0), (9, 18.0)]
    left, right = utils.split_dataset(x, right_size=2, left_size=5)
    assert listed(left) == [0, 1, 2, 3, 4] and listed(right) == [8, 9]
    left, right = utils.split_dataset(Dataset.from_tensor_slices((x, y)).batch(4), right_size=3)
    assert [len(b[0]) for b in left] == [4, 3] and listed(right.unbatch())[0] == (7, 14.0)
    left, right = utils.split_dataset([x, y], left_size=4, shuffle=True, seed=1)
    order = list(range(10))
    random.Random(1).shuffle(order)
    assert [a for a, _ in left] == order[:4] and [a for a, _ in right] == order[4:]
    for wrong in ({}, {"left_size": 0}, {"left_size": 1.5}, {"left_size": "a"}, {"left_size": 8, "right_size": 5}):
        with pytest.raises(UsageError):
            utils.split_dataset(x, **wrong)
    for data in (5, [], [x, y[:3]], [[1, 2]]):
        with pytest.raises((UsageError, DataError)):
            utils.split_dataset(data, left_size=0.5)


def test_x_y_and_weights():
    x, y, w = np.zeros(2), np.ones(2), np.ones(2)
    for packed in (x, (x, y), (x, y, w)):
        again = utils.pack_x_y_sample_weight(*utils.unpack_x_y_sample_weight(packed))
        assert type(again) is type(packed) and len(again) == len(packed)
    assert utils.pack_x_y_sample_weight([x]) == ([x],) and utils.unpack_x_y_sample_weight([x]) == (x, None, None)
    with pytest.raises(DataError):
        utils.unpack_x_y_sample_weight((1, 2, 3, 4))


# ---- folders ---------------------------------------------------------------------------------------------


def test_pictures_with_their_classes(folder, capsys):
    data = utils.image_dataset_from_directory(folder, image_size=(4, 3), shuffle=False, batch_size=4)
    assert capsys.readouterr().out == "Found 9 files belonging to 3 classes.\n"
    assert data.class_names == ["a", "b", "c"] and len(data) == 3 and len(data.file_paths) == 9
    assert Path(data.file_paths[2]) == folder / "b" / "0.PNG" and brightness(data) == [3, 4, 0, 1, 2, 5, 6, 7, 8]
    (x, y), *_, (last, _) = data
    assert x.shape == (4, 4, 3, 3) and x.dtype == np.float32 and last.shape[0] == 1
    assert y.tolist() == [0, 0, 1, 1] and y.dtype == np.int32 and (x[0] == 30).all()
    quiet = {"image_size": (4, 3), "verbose": False, "batch_size": None, "shuffle": False}
    read = utils.image_dataset_from_directory
    one_hot = read(folder, label_mode="categorical", class_names=["c", "a"], color_mode="rgba", **quiet)
    x, y = next(iter(one_hot))
    assert x.shape == (4, 3, 4) and y.tolist() == [1.0, 0.0] and len(one_hot) == 6
    x, y = list(read(folder, label_mode="binary", class_names=["c", "a"], data_format="channels_first", **quiet))[-1]
    assert x.shape == (3, 4, 3) and y.tolist() == [1.0]
    assert next(iter(read(folder, labels=None, color_mode="grayscale", **quiet))).shape == (4, 3, 1)
    given = read(folder, labels=[5, 5, 6, 6, 6, 7, 7, 7, 7], **quiet)
    assert given.class_names == ["5", "6", "7"] and [int(label) for _, label in given] == [5] * 2 + [6] * 3 + [7] * 4
    assert [len(b) for b in read(folder, labels=None, batch_size=5, image_size=4, verbose=False)] == [5, 4]


def test_files_are_chosen_and_mixed_by_the_seed(folder):
    how = {"image_size": (4, 4), "seed": 7, "batch_size": 2, "verbose": False, "validation_split": 0.3}
    read = utils.image_dataset_from_directory
    train, held = read(folder, subset="both", **how)
    assert (len(train.file_paths), len(held.file_paths)) == (7, 2)
    assert train.file_paths == read(folder, subset="training", **how).file_paths
    assert held.file_paths == read(folder, subset="validation", **how).file_paths
    assert not set(train.file_paths) & set(held.file_paths)
    assert brightness(held) == brightness(held, 1)
    first, second = brightness(train), brightness(train, 1)
    assert first != second and sorted(first) == sorted(second)
    assert brightness(read(folder, subset="training", **how)) == first == [x[0, 0, 0] // 10 for x, _ in train.unbatch()]
    for (x, y), path in zip(held.unbatch(), held.file_paths, strict=True):
        assert held.class_names[y] == Path(path).relative_to(folder).parts[0]
        assert x[0, 0, 0] == np.asarray(Image.open(path))[0, 0, 0]


def test_texts_and_sounds(folder):
    texts = utils.text_dataset_from_directory(folder, shuffle=False, batch_size=9, max_length=6, verbose=False)
    ((words, labels),) = texts
    assert words.tolist()[:3] == ["wörd 3", "wörd 4", "wörd 0"] and labels.tolist() == [0] * 2 + [1] * 3 + [2] * 4
    read = utils.audio_dataset_from_directory
    ((x, _),) = read(folder, shuffle=False, batch_size=9, verbose=False)
    assert x.shape == (9, 7, 1) and x[1, :, 0].tolist() == [4 / 32] * 5 + [0] * 2
    ((x, _),) = read(folder, shuffle=False, output_sequence_length=5, verbose=False)
    assert x.shape == (9, 5, 1) and x[-1, :, 0].tolist() == [8 / 32] * 5
    ((x, _),) = read(folder, shuffle=False, ragged=True, verbose=False)
    assert [len(sound) for sound in x] == [4, 5, 4, 5, 6, 4, 5, 6, 7]
    for wrong in ({"ragged": True, "output_sequence_length": 3}, {"sampling_rate": 0}, {"label_mode": "odd"}):
        with pytest.raises(UsageError):
            read(folder, **wrong)


def test_sounds_of_every_width_and_rate(tmp_path):
    wave_ = np.round(100 * np.sin(np.arange(400)[:, None] * [[0.02, 0.03]])).astype(int)
    for width in (1, 2, 3, 4):
        write_wav(tmp_path / "x.wav", wave_ * 256 ** (width - 1), width, rate=1000)
        np.testing.assert_allclose(read_wav(tmp_path / "x.wav"), wave_ / 128, atol=1e-6)
    for rate, shape in ((2000, 800), (500, 200)):
        x = read_wav(tmp_path / "x.wav", rate)
        inner = slice(shape // 8, -shape // 8)  # at the ends, the sum has no other side
        at = (np.arange(shape) + 0.5) * 1000 / rate - 0.5
        np.testing.assert_allclose(x[inner], np.sin(at[:, None] * [[0.02, 0.03]])[inner] * 100 / 128, atol=0.006)
    (tmp_path / "x.wav").write_bytes(b"RIFF....")
    with pytest.raises(FileError, match="x.wav"):
        read_wav(tmp_path / "x.wav")


def test_weights_sum_to_one():
    for kind in KINDS:
        for old, new in ((1, 5), (7, 1), (300, 13)):
            entries, weights = taps(old, new, kind)
            assert entries.min() >= 0 and entries.max() < old and np.allclose(weights.sum(1), 1, atol=1e-5)


def test_what_cannot_be_read(folder, monkeypatch, tmp_path):
    read = utils.image_dataset_from_directory
    for wrong in (
        {"labels": "some"}, {"labels": [1], "class_names": ["a"]}, {"label_mode": "odd"}, {"color_mode": "cmyk"},
        {"image_size": (3,)}, {"interpolation": "odd"}, {"format": "torch"}, {"subset": "both"},
        {"validation_split": 1.5, "subset": "training"}, {"validation_split": 0.5}, {"class_names": ["a", "z"]},
        {"validation_split": 0.5, "subset": "both"}, {"label_mode": "binary"}, {"labels": [1, 2]}, {"batch_size": 0},
        {"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, {"data_format": "channels_odd"},
        {"validation_split": 0.01, "subset": "both", "seed": 1},
    ):  # fmt: skip
        with pytest.raises((UsageError, DataError)):
            read(folder, verbose=False, **wrong)
    with pytest.raises(FileError, match="no such folder"):
        read(folder / "nowhere")
    (tmp_path / "a" / "0.PNG").write_bytes(b"no picture")
    with pytest.raises(FileError, match="0.PNG"):
        list(read(folder, verbose=False))
    gc.collect()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("seriatim-worker")]
    monkeypatch.setitem(sys.modules, "PIL", None)
    for use in (lambda: read(folder), lambda: images.load_img("x"), lambda: images.array_to_img(np.zeros((2, 2, 1)))):
        with pytest.raises(Missing, match="images"):
            use()
