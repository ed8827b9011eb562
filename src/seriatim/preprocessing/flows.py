"""Endless batches of augmented pictures: what `ImageDataGenerator.flow…` gives.

Floor 6. The base class decides which pictures come when, and turns them into batches; a member says where they lie and
what their labels are. Draws come from NumPy's global generator in Keras's order.
"""

import os
import threading
import warnings

import numpy as np

from ..base import settings
from ..base.report import DataError, FileError, UsageError
from ..data.images import array_to_img, channels_first, img_to_array, load_img, one_of
from ..utils import PyDataset

CHANNELS = {"rgb": 3, "rgba": 4, "grayscale": 1}


class Iterator(PyDataset):
    """Batches of n examples, by number for `fit`, or without an end by `next`. Write `batch_of(rows)`.

    shuffle draws a new order for each pass. With a seed, every batch begins NumPy's global generator anew at seed +
    the number of batches before it.
    """

    white_list_formats = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")

    def __init__(self, n, batch_size, shuffle, seed, **kwargs):
        super().__init__(**kwargs)
        self.n, self.batch_size, self.shuffle, self.seed = n, batch_size, shuffle, seed
        self.batch_index = self.total_batches_seen = 0
        self.index_array, self.lock = None, threading.Lock()

    def __len__(self):
        return (self.n + self.batch_size - 1) // self.batch_size

    def __getitem__(self, idx):
        if not idx < len(self):
            raise UsageError("there is no such batch", saw=f"batch {idx}", want=f"0 to {len(self) - 1}")
        self.begin_batch()
        if self.index_array is None:
            self.on_epoch_end()
        return self._get_batches_of_transformed_samples(self.rows(idx))

    def __iter__(self):
        return self

    def __next__(self):
        with self.lock:
            self.begin_batch()
            if self.batch_index == 0:
                self.on_epoch_end()
            rows = self.rows(self.batch_index)
            self.batch_index = (self.batch_index + 1) % max(len(self), 1)
        return self._get_batches_of_transformed_samples(rows)

    def begin_batch(self):
        if self.seed is not None:
            np.random.seed(self.seed + self.total_batches_seen)
        self.total_batches_seen += 1

    def rows(self, index):
        return self.index_array[self.batch_size * index : self.batch_size * (index + 1)]

    def on_epoch_end(self):
        """A new order for the next pass."""
        self.index_array = np.random.permutation(self.n) if self.shuffle else np.arange(self.n)

    def reset(self):
        """Let `next` begin a new pass."""
        self.batch_index = 0

    def _get_batches_of_transformed_samples(self, index_array):
        """The batch of these rows."""
        raise NotImplementedError(f"{type(self).__name__} defines no _get_batches_of_transformed_samples")

    def saved(self, batch, rows, most):
        """Write a batch's pictures into `save_to_dir`, if there is one."""
        for i, row in enumerate(rows if self.save_to_dir else ()):
            image = array_to_img(batch[i], self.data_format, scale=True)
            name = f"{self.save_prefix}_{row}_{np.random.randint(most)}.{self.save_format}"
            image.save(os.path.join(self.save_to_dir, name))


def in_subset(subset, share, count):
    """start, stop of the rows of "validation" (the first share) or "training" (the rest)."""
    if one_of("subset", subset, ("training", "validation", None)) is None:
        return 0, count
    cut = int(share * count)
    return (0, cut) if subset == "validation" else (cut, count)


class NumpyArrayIterator(Iterator):
    """Batches of pictures (n, h, w, c) that are at hand: x, (x, y) or (x, y, sample_weight).

    x may be (pictures, other arrays), which then stand beside the pictures of each batch. Differs from Keras: of a
    subset, sample_weight is cut where x and y are.
    """

    def __init__(
        self, x, y, image_data_generator, batch_size=32, shuffle=False, sample_weight=None, seed=None,
        data_format=None, save_to_dir=None, save_prefix="", save_format="png", subset=None, ignore_class_split=False,
        dtype=None,
    ):  # fmt: skip
        self.dtype = dtype or settings.floatx()
        x, others = (x[0], x[1] if isinstance(x[1], list) else [x[1]]) if isinstance(x, (tuple, list)) else (x, [])
        others = [np.asarray(other) for other in others]
        for name, array in [("y", y), ("sample_weight", sample_weight), *(("x[1]", other) for other in others)]:
            if array is not None and len(array) != len(x):
                raise DataError(
                    f"x (images tensor) and {name} should have the same length", saw=f"{len(x)} and {len(array)}"
                )
        start, stop = in_subset(subset, image_data_generator._validation_split, len(x))
        if subset is not None and y is not None:
            cut = stop if subset == "validation" else start
            if not ignore_class_split and not np.array_equal(np.unique(y[:cut]), np.unique(y[cut:])):
                raise DataError(
                    "Training and validation subsets have different number of classes after the split",
                    saw=f"{np.unique(y[:cut])} and {np.unique(y[cut:])}", fix="shuffle x and y first",
                )  # fmt: skip
            y = y[start:stop]
        self.x = np.asarray(x[start:stop], self.dtype)
        self.x_misc = [other[start:stop] for other in others]
        self.y = None if y is None else np.asarray(y)
        self.sample_weight = None if sample_weight is None else np.asarray(sample_weight)[start:stop]
        self.image_data_generator = image_data_generator
        self.data_format = data_format or settings.image_data_format()
        check_pictures(self.x, 1 if channels_first(self.data_format) else 3, "NumpyArrayIterator")
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        super().__init__(len(self.x), batch_size, shuffle, seed)

    def _get_batches_of_transformed_samples(self, index_array):
        batch = np.zeros((len(index_array), *self.x.shape[1:]), self.dtype)
        for out, row in zip(batch, index_array, strict=True):
            out[...] = self.image_data_generator.augmented(self.x[row].astype(self.dtype))
        self.saved(batch, index_array, 10**4)
        x = [batch, *(other[index_array] for other in self.x_misc)] if self.x_misc else batch
        if self.y is None:
            return x
        weights = () if self.sample_weight is None else (self.sample_weight[index_array],)
        return (x, self.y[index_array], *weights)


def check_pictures(x, channel_axis, who):
    """A DataError for arrays that are no pictures; a warning for channels that are no colours."""
    if x.ndim != 4:
        raise DataError(f"Input data in `{who}` should have rank 4", saw=f"shape {x.shape}", want="(n, h, w, c)")
    if x.shape[channel_axis] not in (1, 3, 4):
        warnings.warn(f"expected 1, 3 or 4 channels on axis {channel_axis}, saw shape {x.shape}", stacklevel=3)


class FileIterator(Iterator):
    """Pictures that are read from files. A member sets `filenames`, `classes` (or `targets`) and `class_indices`."""

    sample_weight = None

    def __init__(
        self, directory, image_data_generator, target_size, color_mode, class_mode, batch_size, shuffle, seed,
        data_format, save_to_dir, save_prefix, save_format, interpolation, keep_aspect_ratio, dtype,
    ):  # fmt: skip
        one_of("color_mode", color_mode, CHANNELS)
        self.directory, self.image_data_generator = directory, image_data_generator
        self.target_size, self.color_mode, self.class_mode = tuple(target_size), color_mode, class_mode
        self.data_format, channels = data_format or settings.image_data_format(), CHANNELS[color_mode]
        first = channels_first(self.data_format)
        self.image_shape = (channels, *self.target_size) if first else (*self.target_size, channels)
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        self.interpolation, self.keep_aspect_ratio = interpolation, keep_aspect_ratio
        self.dtype, self.samples = dtype or settings.floatx(), len(self.filenames)
        self.filepaths = [os.path.join(directory, name) for name in self.filenames]
        super().__init__(self.samples, batch_size, shuffle, seed)

    @property
    def labels(self):
        """What `class_mode` makes targets of."""
        return self.targets if self.class_mode in ("multi_output", "raw") else self.classes

    def read(self, path):
        """A picture as an array of `image_shape`."""
        options = {"interpolation": self.interpolation, "keep_aspect_ratio": self.keep_aspect_ratio}
        with load_img(path, self.color_mode, self.target_size, **options) as image:
            return img_to_array(image, self.data_format)

    def _get_batches_of_transformed_samples(self, index_array):
        batch = np.zeros((len(index_array), *self.image_shape), self.dtype)
        for out, row in zip(batch, index_array, strict=True):
            x = self.read(self.filepaths[row])
            out[...] = self.image_data_generator.augmented(x) if self.image_data_generator else x
        self.saved(batch, index_array, 10**7)
        if self.class_mode is None:
            return batch
        y = self.targets_of(batch, index_array)
        return (batch, y) if self.sample_weight is None else (batch, y, self.sample_weight[index_array])

    def targets_of(self, batch, rows):
        if self.class_mode == "input":
            return batch.copy()
        if self.class_mode == "multi_output":
            return [target[rows] for target in self.labels]
        if self.class_mode == "raw":
            return self.labels[rows]
        chosen = [self.classes[row] for row in rows]
        if self.class_mode in ("binary", "sparse"):
            return np.array(chosen, self.dtype)
        y = np.zeros((len(rows), len(self.class_indices)), self.dtype)
        for row, classes in zip(y, chosen, strict=True):
            row[classes] = 1
        return y


class DirectoryIterator(FileIterator):
    """Pictures of a folder in which each folder is a class; see `ImageDataGenerator.flow_from_directory`."""

    allowed_class_modes = ("categorical", "binary", "sparse", "input", None)

    def __init__(
        self, directory, image_data_generator, target_size=(256, 256), color_mode="rgb", classes=None,
        class_mode="categorical", batch_size=32, shuffle=True, seed=None, data_format=None, save_to_dir=None,
        save_prefix="", save_format="png", follow_links=False, subset=None, interpolation="nearest",
        keep_aspect_ratio=False, dtype=None,
    ):  # fmt: skip
        one_of("class_mode", class_mode, self.allowed_class_modes)
        directory = os.fspath(directory)
        if not os.path.isdir(directory):
            raise FileError(f"{directory} is no folder", want="a folder with a folder of pictures for each class")
        if not classes:
            classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
        self.num_classes = len(classes)
        self.class_indices = {name: i for i, name in enumerate(classes)}
        self.filenames, numbers = [], []
        for name, number in self.class_indices.items():
            found = [os.path.join(name, inner) for inner in self.pictures(os.path.join(directory, name), follow_links)]
            share = image_data_generator._validation_split if subset else 0
            start, stop = in_subset(subset, share, len(found))
            self.filenames += found[start:stop]
            numbers += [number] * (stop - start)
        self.classes = np.array(numbers, "int32")
        print(f"Found {len(self.filenames)} images belonging to {self.num_classes} classes.", flush=True)
        super().__init__(
            directory, image_data_generator, target_size, color_mode, class_mode, batch_size, shuffle, seed,
            data_format, save_to_dir, save_prefix, save_format, interpolation, keep_aspect_ratio, dtype,
        )  # fmt: skip

    def pictures(self, folder, follow_links):
        """The pictures in a folder and in those within it, as paths from it, sorted by folder and name."""
        for root, _, names in sorted(os.walk(folder, followlinks=follow_links), key=lambda found: found[0]):
            for name in sorted(names):
                if name.lower().endswith(self.white_list_formats):
                    yield os.path.relpath(os.path.join(root, name), folder)


class DataFrameIterator(FileIterator):
    """Pictures that a table names; see `ImageDataGenerator.flow_from_dataframe`."""

    allowed_class_modes = ("binary", "categorical", "input", "multi_output", "raw", "sparse", None)

    def __init__(
        self, dataframe, directory=None, image_data_generator=None, x_col="filename", y_col="class", weight_col=None,
        target_size=(256, 256), color_mode="rgb", classes=None, class_mode="categorical", batch_size=32, shuffle=True,
        seed=None, data_format="channels_last", save_to_dir=None, save_prefix="", save_format="png", subset=None,
        interpolation="nearest", keep_aspect_ratio=False, dtype="float32", validate_filenames=True,
    ):  # fmt: skip
        one_of("class_mode", class_mode, self.allowed_class_modes)
        directory = os.fspath(directory or "")
        names = self.column_of(dataframe, x_col, str)
        kept = [i for i, name in enumerate(names) if not validate_filenames or self.is_picture(directory, name)]
        if len(kept) < len(names):
            lost = f'Found {len(names) - len(kept)} invalid image filename(s) in x_col="{x_col}"'
            warnings.warn(f"{lost}. They are left out.", stacklevel=3)
        labelled = class_mode in ("binary", "sparse", "categorical")
        if labelled:
            kinds = (str, list, tuple) if class_mode == "categorical" else str
            labels = [known(label, classes) for label in self.column_of(dataframe, y_col, kinds)]
            check_binary(dataframe[y_col], classes, class_mode)
            kept = [i for i in kept if labels[i] is not None]
            every = dict.fromkeys(classes) if classes else sorted({name for i in kept for name in several(labels[i])})
            self.class_indices = {name: i for i, name in enumerate(every)}
        elif classes:
            warnings.warn(f'`classes` will be ignored given the class_mode="{class_mode}"', stacklevel=3)
        start, stop = in_subset(subset, image_data_generator._validation_split if subset else 0, len(kept))
        kept = kept[start:stop]
        table = dataframe.iloc[kept]
        if labelled:
            numbers = ((labels[i], [self.class_indices[name] for name in several(labels[i])]) for i in kept)
            self.classes = [found[0] if isinstance(label, str) else found for label, found in numbers]
        elif class_mode == "raw":
            self.targets = table[y_col].values
        elif class_mode == "multi_output":
            if not isinstance(y_col, list):
                raise UsageError(
                    'class_mode="multi_output" takes several columns', saw=f"y_col={y_col!r}", want="a list"
                )
            self.targets = [np.array(table[column].tolist()) for column in y_col]
        if weight_col and not issubclass(table[weight_col].dtype.type, np.number):
            raise DataError(f"the column {weight_col!r} of weights must be numeric", saw=str(table[weight_col].dtype))
        self.sample_weight = table[weight_col].values if weight_col else None
        self.filenames = [names[i] for i in kept]
        tested = "validated" if validate_filenames else "non-validated"
        tail = f" belonging to {len(self.class_indices)} classes" if labelled else ""
        print(f"Found {len(self.filenames)} {tested} image filenames{tail}.", flush=True)
        super().__init__(
            directory, image_data_generator, target_size, color_mode, class_mode, batch_size, shuffle, seed,
            data_format, save_to_dir, save_prefix, save_format, interpolation, keep_aspect_ratio, dtype,
        )  # fmt: skip

    def is_picture(self, directory, name):
        return name.lower().endswith(self.white_list_formats) and os.path.isfile(os.path.join(directory, name))

    def column_of(self, dataframe, column, kinds):
        """The values of a column, all of these kinds."""
        values = list(dataframe[column])
        wrong = next((value for value in values if not isinstance(value, kinds)), None)
        if wrong is not None:
            want = "strings" if kinds is str else "strings, or lists of strings"
            raise DataError(f"the column {column!r} must hold {want}", saw=repr(wrong))
        return values


def several(label):
    return [label] if isinstance(label, str) else label or []


def known(label, classes):
    """What of a label is among the classes, if these are given; None if nothing is."""
    if not classes:
        return label
    if isinstance(label, str):
        return label if label in classes else None
    return [name for name in label if name in classes] or None


def check_binary(column, classes, class_mode):
    count = len(set(classes)) if classes else column.astype(str).nunique()
    if class_mode == "binary" and count != 2:
        raise DataError('class_mode="binary" takes two classes', saw=f"{count} classes")
