"""`seriatim.utils`: the small functions that scripts use beside a model. Floor 6."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from .backend import clear_session, standardize_dtype
from .base.registry import (
    custom_object_scope,
    deserialize,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    to_config,
)  # fmt: skip
from .base.report import DataError, Missing, UsageError
from .base.settings import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
    seed_everything,
)  # fmt: skip
from .data.dataset import Dataset
from .data.folders import audio_dataset_from_directory, image_dataset_from_directory, text_dataset_from_directory
from .data.images import array_to_img, img_to_array, load_img, save_img
from .data.series import split_dataset, timeseries_dataset_from_array
from .data.source import PyDataset, pack_x_y_sample_weight, unpack_x_y_sample_weight
from .download import get_file
from .layers.infer import KerasTensor
from .math import boxes as bounding_boxes
from .train.curves import history_svg
from .train.picture import chain_svg
from .train.progbar import Progbar
from .train.summary import rows, totals

Sequence = PyDataset
CustomObjectScope = custom_object_scope
sys.modules[f"{__name__}.bounding_boxes"] = bounding_boxes  # as `os.path`: imported by either name


def set_random_seed(seed):
    """Fix every random choice from here on: Python's, NumPy's, and so ours (initial weights, order, dropout)."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise UsageError("a seed is a whole number", saw=repr(seed))
    seed_everything(int(seed))


def to_categorical(x, num_classes=None):
    """Class numbers as one-hot rows: (…) whole numbers -> (…, num_classes) float32. A JAX array gives a JAX array.

    >>> to_categorical([0, 2], 3)
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    labels = np.asarray(x, dtype="int64")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    num_classes = int(labels.max()) + 1 if num_classes is None else num_classes
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise DataError(
            "a class number is outside the classes", saw=f"numbers from {labels.min()} to {labels.max()}",
            want=f"0 to {num_classes - 1}", fix=f"num_classes={labels.max() + 1}",
        )  # fmt: skip
    return like(x, np.eye(num_classes, dtype="float32")[labels])


def normalize(x, axis=-1, order=2):
    """x divided by its norm along `axis`; zero rows stay zero. A JAX array gives a JAX array."""
    size = np.atleast_1d(np.linalg.norm(x, order, axis))
    size[size == 0] = 1
    return like(x, np.asarray(x) / np.expand_dims(size, axis))


def like(x, array):
    """The array, on the device if x is there."""
    return jnp.asarray(array) if isinstance(x, jax.Array) else array


def pad_sequences(sequences, maxlen=None, dtype="int32", padding="pre", truncating="pre", value=0.0):
    """Rows of different lengths as one array (n, maxlen): filled with `value`, cut where too long.

    >>> pad_sequences([[1], [2, 3]])
    array([[0, 1],
           [2, 3]], dtype=int32)
    """
    for name, given in (("padding", padding), ("truncating", truncating)):
        if given not in ("pre", "post"):
            raise UsageError(f"{name} is not known", saw=repr(given), want="'pre' or 'post'")
    for i, row in enumerate(sequences):
        if not hasattr(row, "__len__"):
            raise DataError("every sequence must be a list", saw=f"sequences[{i}] = {row!r}")
    lengths = [len(row) for row in sequences]
    width = max(lengths, default=0) if maxlen is None else maxlen
    shape = next((np.asarray(row).shape[1:] for row in sequences if len(row)), ())
    if isinstance(value, str) and np.dtype(dtype).kind not in "OU":
        raise UsageError(
            f"`dtype` {dtype} is not compatible with `value`'s type: {type(value)}", saw=f"value={value!r}",
            fix="dtype=object",
        )  # fmt: skip
    array = np.full((len(lengths), width, *shape), value, dtype)
    for out, row in zip(array, sequences, strict=True):
        if not len(row):
            continue
        kept = np.asarray(row[-width:] if truncating == "pre" else row[:width], dtype) if width else []
        if padding == "post":
            out[: len(kept)] = kept
        elif len(kept):
            out[-len(kept) :] = kept
    return array


def plot_model(
    model, to_file="model.svg", show_shapes=True, show_dtype=False, show_layer_names=True, rankdir="TB",
    expand_nested=False, dpi=200, show_layer_activations=True, show_trainable=False, **kwargs,
):  # fmt: skip
    """Draw the chain into `to_file` (.svg, .html, or .png with the cairosvg package); returns the path.

    No Graphviz is needed. Layers stand as cards, with what flows between them drawn to scale.
    """
    text = chain_svg(
        rows(model, expand_nested), model.name, totals(model) if model.built else None, show_shapes=show_shapes,
        show_dtype=show_dtype, show_layer_names=show_layer_names, rankdir=rankdir,
        show_layer_activations=show_layer_activations, show_trainable=show_trainable,
    )  # fmt: skip
    return write_picture(text, to_file, dpi)


def plot_history(history, to_file="history.svg"):
    """Draw the curves of a History (or of its dict) into a file; returns the path. Needs no matplotlib."""
    return write_picture(history_svg(getattr(history, "history", history)), to_file, 200)


def write_picture(text, to_file, dpi):
    path = Path(to_file)
    if path.suffix == ".svg":
        path.write_text(text, encoding="utf-8")
    elif path.suffix == ".html":
        path.write_text(f"<!doctype html><meta charset=utf-8><body>{text}</body>", encoding="utf-8")
    elif path.suffix in (".png", ".pdf"):
        try:
            import cairosvg
        except ImportError as error:
            raise Missing(
                f"a {path.suffix} is drawn by the cairosvg package", fix=f"pip install cairosvg, or {path.stem}.svg"
            ) from error
        convert = cairosvg.svg2png if path.suffix == ".png" else cairosvg.svg2pdf
        convert(bytestring=text.encode(), write_to=str(path), dpi=dpi)
    else:
        raise UsageError("plot_model knows the format by the ending", saw=str(to_file), want=".svg, .html or .png")
    return path


def serialize_keras_object(obj):
    """Keras's JSON form of an object, a function, an array, or a container of them."""
    return to_config(obj, typed=True)


def is_keras_tensor(x):
    """Whether x is a shape and a dtype without data."""
    return isinstance(x, KerasTensor)


def deserialize_keras_object(config, custom_objects=None, safe_mode=True, **kwargs):
    """What `serialize_keras_object` wrote. No code is ever run, whatever `safe_mode` says; arrays are NumPy's."""
    return deserialize(config, custom_objects)


__all__ = [
    "CustomObjectScope", "Dataset", "Progbar", "PyDataset", "Sequence", "array_to_img", "audio_dataset_from_directory",
    "bounding_boxes", "clear_session", "custom_object_scope", "deserialize_keras_object", "disable_interactive_logging",
    "enable_interactive_logging", "get_custom_objects", "get_file", "get_registered_name", "get_registered_object",
    "image_dataset_from_directory", "img_to_array", "is_interactive_logging_enabled", "is_keras_tensor", "load_img",
    "normalize", "pack_x_y_sample_weight", "pad_sequences", "plot_history", "plot_model",
    "register_keras_serializable", "save_img", "serialize_keras_object", "set_random_seed", "split_dataset",
    "standardize_dtype", "text_dataset_from_directory", "timeseries_dataset_from_array", "to_categorical",
    "unpack_x_y_sample_weight",
]  # fmt: skip
