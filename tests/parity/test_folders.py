"""Which files a folder gives, in which order, and on which side of a split: as Keras finds them."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras.src.utils import dataset_utils

from seriatim import kernels, utils
from seriatim.data import images
from seriatim.data.series import sizes

from .picture_cases import CASES, label, read, write

RECORD = np.load(Path(__file__).with_name("pictures.npz"))


@pytest.fixture
def folder(tmp_path):
    for name in ("b/deep/er", "b", "a", "c", ".hidden", "a/x", "B"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        for i in range(4):
            (tmp_path / name / f"{i * 7}.txt").write_text("")
    (tmp_path / "elsewhere.txt").write_text("")
    return tmp_path


@pytest.mark.parametrize("labels", ["inferred", None, "given"])
def test_files_and_labels_of_a_split(folder, labels):
    if labels == "given":
        labels = [i % 5 for i in range(sum(1 for _ in folder.rglob("*.txt")))]
    for seed in (0, 3, None):
        for subset in ("training", "validation"):
            shuffle, given = seed is not None, list(labels) if isinstance(labels, list) else labels
            found = dataset_utils.index_directory(str(folder), given, (".txt",), None, shuffle, seed, False, False)
            paths, numbers = dataset_utils.get_training_or_validation_split(*found[:2], 0.3, subset)
            ours = utils.text_dataset_from_directory(
                folder, labels, shuffle=shuffle, seed=seed, validation_split=0.3, subset=subset, verbose=False,
                batch_size=None,
            )  # fmt: skip
            assert [Path(path) for path in ours.file_paths] == [Path(path) for path in paths]
            assert getattr(ours, "class_names", None) == found[2]
            if labels is not None and subset == "validation":  # the training side is drawn anew in each pass
                assert [int(label) for _, label in ours] == list(numbers)


def test_sizes_of_a_split():
    given = [None, 1, 3, 9, 10, 0, -1, 0.1, 0.25, 0.55, 0.9, 1.0, 0.01]
    for left in given:
        for right in given:
            try:
                wanted = dataset_utils._rescale_dataset_split_sizes(left, right, 10)
            except (ValueError, TypeError):
                with pytest.raises(ValueError):
                    sizes(left, right, 10)
            else:
                assert sizes(left, right, 10) == wanted, (left, right)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("case", CASES, ids=label)
def test_pictures_as_keras_on_tensorflow_reads_them(case, compiled, tmp_path, monkeypatch):
    if compiled and not kernels.library.ready():
        pytest.skip("no compiled kernels here")
    if not compiled:
        monkeypatch.setattr(kernels.library, "function", lambda name: None)
    write({name[5:]: RECORD[name].tobytes() for name in RECORD.files if name.startswith("file:")}, tmp_path)
    ours, theirs = read(utils, tmp_path, case), RECORD[label(case)]  # of bytes where nothing was averaged; ours are not
    assert ours.shape == theirs.shape and ours.dtype == np.float32
    # the same bytes were averaged, with weights of 24 bits: 255 · 2⁻¹⁸; in grey, a PNG file is rounded another way
    assert np.abs(ours - theirs).max() <= (1 if "color_mode" in case else 1e-3)
    monkeypatch.setattr(images, "jpeg_decoder", lambda: None)
    assert np.abs(read(utils, tmp_path, case) - theirs).max() <= 6  # what another transform makes of a byte or two


def test_pictures_and_arrays(tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 5, 3)) * 300
    for array in (x, x[:, :, :1], np.concatenate([x, x[:, :, :1]], 2)):
        for scale in (True, False):
            how = {"scale": scale, "dtype": "float32"}
            array = array if scale else np.clip(array, 0, 255 if array.shape[2] > 1 else 900)
            ours, theirs = utils.array_to_img(array, **how), keras.utils.array_to_img(array, **how)
            assert ours.mode == theirs.mode and ours.tobytes() == theirs.tobytes()
            for form in ("channels_last", "channels_first"):
                np.testing.assert_array_equal(utils.img_to_array(ours, form), keras.utils.img_to_array(theirs, form))
    utils.save_img(tmp_path / "x.png", x)
    for more in (
        {}, {"color_mode": "grayscale"}, {"color_mode": "rgba", "target_size": (3, 8), "interpolation": "bicubic"},
        {"target_size": (4, 4), "keep_aspect_ratio": True, "interpolation": "lanczos"},
    ):  # fmt: skip
        ours, theirs = (side.load_img(tmp_path / "x.png", **more) for side in (utils, keras.utils))
        assert ours.mode == theirs.mode and ours.tobytes() == theirs.tobytes()
    with pytest.warns(UserWarning, match="transparency"):
        utils.save_img(tmp_path / "x.jpg", np.concatenate([x, x[:, :, :1]], 2))
