"""Data sets from folders: a folder a class, a file an example.

Floor 2. Which files, in which order, and which of them are for validation is decided as in Keras 3.15.1, for the same
seed. The order of a pass is then drawn from (seed, number of the pass) over all files, where Keras draws each from the
next eight batches. Files are read on one thread a core, some batches ahead.
"""

import os

import numpy as np

from ..base.memory import aligned
from ..base.report import DataError, FileError, UsageError
from .dataset import Dataset, column, cores, positive
from .images import CHANNELS, FORMATS, ImageReader, one_of
from .prefetch import ordered, threads
from .sounds import filled, read_wav
from .taps import INTERPOLATIONS


def image_dataset_from_directory(
    directory, labels="inferred", label_mode="int", class_names=None, color_mode="rgb", batch_size=32,
    image_size=(256, 256), shuffle=True, seed=None, validation_split=None, subset=None, interpolation="bilinear",
    follow_links=False, crop_to_aspect_ratio=False, pad_to_aspect_ratio=False, data_format=None, format="tf",
    verbose=True,
):  # fmt: skip
    """Batches (images, labels) of the pictures in a folder: float32 (b, h, w, c), from 0 to 255.

    The arguments are Keras's; what comes back is our own Dataset with `class_names` and `file_paths`, whatever
    `format` says. subset="both" gives the two. Needs Pillow (the extra `images`).
    """
    one_of("color_mode", color_mode, CHANNELS)
    one_of("format", format, ("tf", "grain"))
    interpolation = one_of("interpolation", str(interpolation).lower(), INTERPOLATIONS)
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if not isinstance(size, (tuple, list)) or len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise UsageError("image_size is (height, width)", saw=f"image_size={image_size!r}")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise UsageError("a picture is cropped or padded, not both", saw="crop_to_aspect_ratio, pad_to_aspect_ratio")
    fit = "crop" if crop_to_aspect_ratio else "pad" if pad_to_aspect_ratio else None
    reader = ImageReader(size, color_mode, interpolation, fit, data_format)

    def read(paths):
        images = aligned((len(paths), *reader.shape), np.float32)
        for path, image in zip(paths, images, strict=True):
            reader(path, image)
        return images

    folder = Folder(directory, labels, label_mode, class_names, FORMATS, shuffle, seed, follow_links, verbose)
    return folder.datasets(read, batch_size, validation_split, subset)


def text_dataset_from_directory(
    directory, labels="inferred", label_mode="int", class_names=None, batch_size=32, max_length=None, shuffle=True,
    seed=None, validation_split=None, subset=None, follow_links=False, format="tf", verbose=True,
):  # fmt: skip
    """Batches (texts, labels) of the .txt files in a folder: texts are NumPy arrays (b,) of Python strings.

    Read as UTF-8 (what is not, becomes U+FFFD); max_length counts characters, where tf.data counts bytes. The rest is
    as in `image_dataset_from_directory`.
    """
    one_of("format", format, ("tf", "grain"))

    def read(paths):
        texts = np.empty(len(paths), object)
        for i, path in enumerate(paths):
            with open(path, encoding="utf-8", errors="replace", newline="") as file:
                texts[i] = file.read(-1 if max_length is None else max_length)
        return texts

    folder = Folder(directory, labels, label_mode, class_names, (".txt",), shuffle, seed, follow_links, verbose)
    return folder.datasets(read, batch_size, validation_split, subset)


def audio_dataset_from_directory(
    directory, labels="inferred", label_mode="int", class_names=None, batch_size=32, sampling_rate=None,
    output_sequence_length=None, ragged=False, shuffle=True, seed=None, validation_split=None, subset=None,
    follow_links=False, verbose=True,
):  # fmt: skip
    """Batches (sounds, labels) of the .wav files in a folder: float32 (b, t, channels), from -1 to 1.

    Sounds of a batch are filled with zeros to the longest, or cut and filled to output_sequence_length; with
    ragged=True they are an array (b,) of arrays. The rest is as in `image_dataset_from_directory`.
    """
    if ragged and output_sequence_length is not None:
        raise UsageError("sounds keep their lengths or get one", saw="ragged=True and output_sequence_length")
    if sampling_rate is not None:
        positive("sampling_rate", sampling_rate)

    def read(paths):
        sounds = [read_wav(path, sampling_rate, output_sequence_length) for path in paths]
        if ragged:
            rows = np.empty(len(sounds), object)
            rows[:] = sounds
            return rows
        longest = max(map(len, sounds))
        return column([filled(sound, longest) for sound in sounds])

    folder = Folder(directory, labels, label_mode, class_names, (".wav",), shuffle, seed, follow_links, verbose)
    return folder.datasets(read, batch_size, validation_split, subset)


class Folder:
    """The files of a folder, in the order of a seed, and their classes."""

    def __init__(self, directory, labels, label_mode, class_names, formats, shuffle, seed, follow_links, verbose):
        if labels not in ("inferred", None) and not isinstance(labels, (list, tuple)):
            raise UsageError(
                "labels is not known", saw=f"labels={labels!r}", want="'inferred', None, or a list of ints"
            )
        one_of("label_mode", label_mode, ("int", "categorical", "binary", None))
        if class_names and labels != "inferred":
            raise UsageError("class_names goes with labels='inferred'", saw=f"labels={labels!r}, {class_names=}")
        self.directory, self.formats, self.follow_links = os.fspath(directory), formats, follow_links
        self.label_mode = None if labels is None else label_mode
        self.shuffle, self.given = shuffle, seed
        self.seed = int(np.random.randint(1e6)) if seed is None else seed
        if not os.path.isdir(self.directory):
            raise FileError("there is no such folder", saw=self.directory)
        self.find(None if label_mode is None else labels, class_names)
        if label_mode == "binary" and self.label_mode and len(self.class_names) != 2:
            raise UsageError("label_mode='binary' needs two classes", saw=f"class_names={self.class_names}")
        if verbose:
            classes = "" if self.labels is None else f" belonging to {len(self.class_names)} classes"
            print(f"Found {len(self.paths)} files{classes}.", flush=True)
        if shuffle:
            order = list(range(len(self.paths)))
            np.random.RandomState(self.seed).shuffle(order)
            self.paths = [self.paths[i] for i in order]
            self.labels = None if self.labels is None else self.labels[order]

    def find(self, labels, class_names):
        """Set `paths`, `labels` (int32, or None) and `class_names`: sorted folders, and sorted files in each."""
        classes = [""]
        if labels == "inferred":
            classes = [n for n in sorted(os.listdir(self.directory)) if not n.startswith(".")]
            classes = [n for n in classes if os.path.isdir(os.path.join(self.directory, n))]
            if class_names is not None:
                if not set(class_names) <= set(classes):
                    raise UsageError(
                        "class_names are not the folders", saw=f"class_names={list(class_names)}",
                        want=f"names among {classes}",
                    )  # fmt: skip
                classes = list(class_names)
        found = [list(self.files(name)) for name in classes]
        self.paths = [path for paths in found for path in paths]
        self.labels, self.class_names = None, None
        if labels == "inferred":
            self.labels = np.repeat(np.arange(len(classes), dtype=np.int32), [len(paths) for paths in found])
            self.class_names = classes
        elif labels is not None:
            if len(labels) != len(self.paths):
                raise DataError(
                    "there are not as many labels as files", saw=f"{len(labels)} labels, {len(self.paths)} files",
                    want="one for each, in the order of the sorted paths",
                )  # fmt: skip
            self.labels = np.asarray(labels, dtype=np.int32)
            self.class_names = [str(label) for label in sorted(set(labels))]

    def files(self, name):
        top = os.path.join(self.directory, name)
        for root, _, names in sorted(os.walk(top, followlinks=self.follow_links), key=lambda step: step[0]):
            for file in sorted(names):
                if file.lower().endswith(self.formats):
                    inner = os.path.relpath(os.path.join(root, file), top)
                    yield os.path.join(self.directory, name, inner)

    def datasets(self, read, batch_size, validation_split, subset):
        """The data set, or both sides of the split. `read(paths)` gives the examples of some files as one array."""
        one_of("subset", subset, ("training", "validation", "both", None))
        if validation_split and not 0 < validation_split < 1:
            raise UsageError(
                "validation_split is a share of the files", saw=f"{validation_split=}", want="0 < share < 1"
            )
        if bool(validation_split) != bool(subset):
            raise UsageError("validation_split and subset go together", saw=f"{validation_split=}, {subset=}")
        if validation_split and self.shuffle and self.given is None:
            raise UsageError(
                "a shuffled split needs a seed, or both sides would share files", saw="seed=None", fix="seed=0"
            )
        held, whole = int((validation_split or 0) * len(self.paths)), len(self.paths)
        ranges = {None: (0, whole), "training": (0, whole - held), "validation": (whole - held, whole)}
        sides = ("training", "validation") if subset == "both" else (subset,)
        for side in sides:
            start, stop = ranges[side]
            if side:
                print(f"Using {stop - start} files for {side}.", flush=True)
            if start == stop:
                raise DataError(
                    f"there are no files for {side}" if side else "there are no files",
                    saw=f"{whole} files in {self.directory}", want=f"names that end in {', '.join(self.formats)}",
                )  # fmt: skip
        made = [
            self.dataset(read, batch_size, *ranges[side], self.shuffle and subset != "validation") for side in sides
        ]
        if subset == "both":
            made[1] = self.dataset(read, batch_size, *ranges["validation"], False)
            return made
        return made[0]

    def dataset(self, read, batch_size, start, stop, shuffle):
        """The Dataset of the files from `start` to `stop`."""
        paths, rows = self.paths[start:stop], stop - start
        labels = None if self.labels is None else self.encoded(self.labels[start:stop])
        size = 1 if batch_size is None else positive("batch_size", batch_size)

        def load(chunk):
            x = read([paths[i] for i in chunk])
            item = x if labels is None else (x, labels[chunk])
            if batch_size is None:
                return x[0] if labels is None else (x[0], labels[chunk[0]])
            return item

        def begin(number):
            order = np.random.default_rng((self.seed, number)).permutation(rows) if shuffle else np.arange(rows)
            chunks = (order[i : i + size] for i in range(0, rows, size))
            workers = cores()
            yield from ordered(load, chunks, threads(workers), workers + 1)

        single = batch_size is None
        made = Dataset(begin, -(-rows // size), None if single else rows, not single)
        made.file_paths, made.class_names = paths, self.class_names
        return made

    def encoded(self, labels):
        """Labels as `label_mode` says: int32 (n,), float32 (n, 1) or one-hot float32 (n, k)."""
        if self.label_mode == "binary":
            return labels.astype(np.float32)[:, None]
        if self.label_mode == "categorical":
            return (labels[:, None] == np.arange(len(self.class_names))).astype(np.float32)
        return labels
