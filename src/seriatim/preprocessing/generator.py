"""`ImageDataGenerator`: random changes of pictures on the host, as scripts of Keras 1 and 2 make them.

Floor 6. New code has the layers for pictures (`RandomRotation`, `RandomFlip`, …), which run in the compiled step.
"""

import warnings

import numpy as np

from ..base import settings
from ..base.report import UsageError
from ..data.images import channels_first, one_of
from .flows import DataFrameIterator, DirectoryIterator, NumpyArrayIterator, check_pictures
from .moves import (
    apply_affine_transform,
    apply_brightness_shift,
    apply_channel_shift,
    flip_axis,
    random_pair,
    two,
)  # fmt: skip

SMALL = 1e-6  # keeps quotients finite


class ImageDataGenerator:
    """Turns, moves, shears, zooms, flips and recolours pictures at random, and brings them to one scale.

    Each range says how much: `rotation_range` and `shear_range` in degrees; `width_shift_range` and
    `height_shift_range` as shares (below 1), pixels, or a list to choose from; `zoom_range` as a number z (1 - z to
    1 + z) or (least, most); `brightness_range` as (least, most); `channel_shift_range` as a number. `fill_mode`, `cval`
    and `interpolation_order` go to `apply_affine_transform`. Then, in this order: `preprocessing_function`, `rescale`
    (a factor), centring and scaling of each picture (samplewise_…) or by the data of `fit` (featurewise_…,
    zca_whitening).

    `flow`, `flow_from_directory` and `flow_from_dataframe` give batches for `fit`, of which `validation_split` goes to
    subset="validation". Keras's numbers, for the same state of NumPy's global generator.
    """

    def __init__(
        self, featurewise_center=False, samplewise_center=False, featurewise_std_normalization=False,
        samplewise_std_normalization=False, zca_whitening=False, zca_epsilon=1e-6, rotation_range=0,
        width_shift_range=0.0, height_shift_range=0.0, brightness_range=None, shear_range=0.0, zoom_range=0.0,
        channel_shift_range=0.0, fill_mode="nearest", cval=0.0, horizontal_flip=False, vertical_flip=False,
        rescale=None, preprocessing_function=None, data_format=None, validation_split=0.0, interpolation_order=1,
        dtype=None,
    ):  # fmt: skip
        self.featurewise_center, self.samplewise_center = featurewise_center, samplewise_center
        self.featurewise_std_normalization = featurewise_std_normalization
        self.samplewise_std_normalization = samplewise_std_normalization
        self.zca_whitening, self.zca_epsilon = zca_whitening, zca_epsilon
        self.rotation_range, self.shear_range = rotation_range, shear_range
        self.width_shift_range, self.height_shift_range = width_shift_range, height_shift_range
        number = isinstance(zoom_range, (int, float))
        self.zoom_range = [1 - zoom_range, 1 + zoom_range] if number else list(two("zoom_range", zoom_range))
        self.brightness_range = None if brightness_range is None else two("brightness_range", brightness_range)
        one_of("fill_mode", fill_mode, ("nearest", "constant", "reflect", "wrap"))
        self.channel_shift_range, self.fill_mode, self.cval = channel_shift_range, fill_mode, cval
        self.horizontal_flip, self.vertical_flip = horizontal_flip, vertical_flip
        self.rescale, self.preprocessing_function = rescale, preprocessing_function
        self.interpolation_order, self.dtype = interpolation_order, dtype or settings.floatx()
        self.data_format = data_format or settings.image_data_format()
        self.channel_axis, self.row_axis, self.col_axis = (1, 2, 3) if channels_first(self.data_format) else (3, 1, 2)
        if validation_split and not 0 < validation_split < 1:
            raise UsageError("validation_split is a share", saw=repr(validation_split), want="0 to 1, without the ends")
        self._validation_split = validation_split
        self.mean = self.std = self.zca_whitening_matrix = None
        self.settle("zca_whitening", "featurewise_center", True)
        self.settle("zca_whitening", "featurewise_std_normalization", False)
        self.settle("featurewise_std_normalization", "featurewise_center", True)
        self.settle("samplewise_std_normalization", "samplewise_center", True)

    def settle(self, asked, other, value):
        """Where `asked` is on, `other` has this value."""
        if getattr(self, asked) and bool(getattr(self, other)) is not value:
            setattr(self, other, value)
            warnings.warn(f"{asked}=True sets {other}={value}.", stacklevel=3)

    def flow(
        self, x, y=None, batch_size=32, shuffle=True, sample_weight=None, seed=None, save_to_dir=None,
        save_prefix="", save_format="png", ignore_class_split=False, subset=None,
    ):  # fmt: skip
        """Batches of changed pictures out of an array x (n, h, w, c), with their y and sample_weight.

        x may be (pictures, [other arrays]). `save_to_dir`: a folder in which each picture is kept, to look at.
        """
        return NumpyArrayIterator(
            x, y, self, batch_size, shuffle, sample_weight, seed, self.data_format, save_to_dir, save_prefix,
            save_format, subset, ignore_class_split, self.dtype,
        )  # fmt: skip

    def flow_from_directory(
        self, directory, target_size=(256, 256), color_mode="rgb", classes=None, class_mode="categorical",
        batch_size=32, shuffle=True, seed=None, save_to_dir=None, save_prefix="", save_format="png",
        follow_links=False, subset=None, interpolation="nearest", keep_aspect_ratio=False,
    ):  # fmt: skip
        """Batches of the pictures in a folder, in which each folder is a class.

        class_mode: "categorical" (one-hot), "binary" and "sparse" (numbers), "input" (the pictures themselves) or None
        (no targets). `class_indices` and `filenames` of the result say what is what. Needs Pillow.
        """
        return DirectoryIterator(
            directory, self, target_size, color_mode, classes, class_mode, batch_size, shuffle, seed,
            self.data_format, save_to_dir, save_prefix, save_format, follow_links, subset, interpolation,
            keep_aspect_ratio, self.dtype,
        )  # fmt: skip

    def flow_from_dataframe(
        self, dataframe, directory=None, x_col="filename", y_col="class", weight_col=None, target_size=(256, 256),
        color_mode="rgb", classes=None, class_mode="categorical", batch_size=32, shuffle=True, seed=None,
        save_to_dir=None, save_prefix="", save_format="png", subset=None, interpolation="nearest",
        validate_filenames=True, **kwargs,
    ):  # fmt: skip
        """Batches of the pictures that a pandas data frame names in `x_col` (from `directory` on), with their `y_col`.

        class_mode as in `flow_from_directory` ("categorical" takes lists of classes, too), or "raw" (the values of
        y_col) or "multi_output" (a list of columns). `weight_col`: a weight for each picture.
        """
        if kwargs:
            warnings.warn(f"{', '.join(kwargs)}: no longer has a meaning.", DeprecationWarning, stacklevel=2)
        return DataFrameIterator(
            dataframe, directory, self, x_col, y_col, weight_col, target_size, color_mode, classes,
            "raw" if class_mode == "other" else class_mode, batch_size, shuffle, seed, self.data_format, save_to_dir,
            save_prefix, save_format, subset, interpolation, False, self.dtype, validate_filenames,
        )  # fmt: skip

    def augmented(self, x):
        """A picture, changed at random and brought to scale; x is overwritten."""
        return self.standardize(self.random_transform(x))

    def standardize(self, x):
        """Bring a picture, or a batch of them, to scale; x is overwritten where it can be."""
        if self.preprocessing_function:
            x = self.preprocessing_function(x)
        if self.rescale:
            x *= self.rescale
        if self.samplewise_center:
            x -= np.mean(x, keepdims=True)
        if self.samplewise_std_normalization:
            x /= np.std(x, keepdims=True) + SMALL
        if self.featurewise_center and self.fitted("mean", "featurewise_center"):
            x -= self.mean
        if self.featurewise_std_normalization and self.fitted("std", "featurewise_std_normalization"):
            x /= self.std + SMALL
        if self.zca_whitening and self.fitted("zca_whitening_matrix", "zca_whitening"):
            flat = x.reshape(-1, np.prod(x.shape[-3:]))
            x = np.reshape(flat @ self.zca_whitening_matrix, x.shape)
        return x

    def fitted(self, name, option):
        """Whether `fit` has found this; a warning if not."""
        if getattr(self, name) is None:
            warnings.warn(f"{option} does nothing yet: call .fit(x) first.", stacklevel=4)
        return getattr(self, name) is not None

    def get_random_transform(self, img_shape, seed=None):
        """What to do to a picture of this shape, drawn at random: a dict for `apply_transform`."""
        if seed is not None:
            np.random.seed(seed)
        uniform = np.random.uniform
        theta = uniform(-self.rotation_range, self.rotation_range) if self.rotation_range else 0
        tx = shift(self.height_shift_range, img_shape[self.row_axis - 1])
        ty = shift(self.width_shift_range, img_shape[self.col_axis - 1])
        shear = uniform(-self.shear_range, self.shear_range) if self.shear_range else 0
        zx, zy = random_pair("zoom_range", self.zoom_range)
        across, down = [(np.random.random() < 0.5) * flips for flips in (self.horizontal_flip, self.vertical_flip)]
        reach = self.channel_shift_range
        return {
            "theta": theta, "tx": tx, "ty": ty, "shear": shear, "zx": zx, "zy": zy,
            "flip_horizontal": across, "flip_vertical": down,
            "channel_shift_intensity": uniform(-reach, reach) if reach != 0 else None,
            "brightness": None if self.brightness_range is None else uniform(*self.brightness_range),
        }  # fmt: skip

    def apply_transform(self, x, transform_parameters):
        """The picture x (h, w, c), changed as a dict of `get_random_transform` says; what is not in it stays."""
        row, column, channel = self.row_axis - 1, self.col_axis - 1, self.channel_axis - 1
        kept = {"theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1}
        x = apply_affine_transform(
            x, **{name: transform_parameters.get(name, same) for name, same in kept.items()}, row_axis=row,
            col_axis=column, channel_axis=channel, fill_mode=self.fill_mode, cval=self.cval,
            order=self.interpolation_order,
        )  # fmt: skip
        if transform_parameters.get("channel_shift_intensity") is not None:
            x = apply_channel_shift(x, transform_parameters["channel_shift_intensity"], channel)
        if transform_parameters.get("flip_horizontal"):
            x = flip_axis(x, column)
        if transform_parameters.get("flip_vertical"):
            x = flip_axis(x, row)
        if transform_parameters.get("brightness") is not None:
            x = apply_brightness_shift(x, transform_parameters["brightness"], False)
        return x

    def random_transform(self, x, seed=None):
        """The picture x, changed at random."""
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def fit(self, x, augment=False, rounds=1, seed=None):
        """Find mean, deviation and whitening in pictures x (n, h, w, c), for featurewise_… and zca_whitening.

        augment=True: in `rounds` changed copies of them.
        """
        x = np.array(x, self.dtype)
        check_pictures(x, self.channel_axis, ".fit()")
        if seed is not None:
            np.random.seed(seed)
        if self.rescale:
            x *= self.rescale
        if augment:
            x = np.array([self.random_transform(picture) for _ in range(rounds) for picture in x], self.dtype)
        shape = [1, 1, 1]
        shape[self.channel_axis - 1] = x.shape[self.channel_axis]
        if self.featurewise_center:
            self.mean = np.mean(x, axis=(0, self.row_axis, self.col_axis)).reshape(shape)
            x -= self.mean
        if self.featurewise_std_normalization:
            self.std = np.std(x, axis=(0, self.row_axis, self.col_axis)).reshape(shape)
            x /= self.std + SMALL
        if self.zca_whitening:
            # u diag(sqrt(n) / (s + epsilon)) u.T
            u, s, _ = np.linalg.svd(x.reshape(len(x), -1).T, full_matrices=False)
            self.zca_whitening_matrix = (u * (np.sqrt(len(x)) / (s + self.zca_epsilon))).dot(u.T)


def shift(reach, size):
    """How many pixels to move: up to a share of the size or a number of pixels, or one of a list, either way."""
    if not (len(reach) if np.ndim(reach) else reach):
        return 0
    try:
        pixels = np.random.choice(reach) * np.random.choice([-1, 1])
    except ValueError:  # a float is nothing to choose from
        pixels = np.random.uniform(-reach, reach)
    return pixels * size if np.max(reach) < 1 else pixels
