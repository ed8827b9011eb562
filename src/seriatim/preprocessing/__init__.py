"""`seriatim.preprocessing`: what scripts of `tensorflow.keras` do to texts, series and pictures before a model.

Floor 6. Random draws come from NumPy's and Python's global generators, in Keras's order: `utils.set_random_seed` gives
Keras's numbers. New code has `TextVectorization`, `timeseries_dataset_from_array` and the layers for pictures.
"""

from ..utils import image_dataset_from_directory, text_dataset_from_directory, timeseries_dataset_from_array
from . import image, sequence, text

__all__ = [
    "image", "image_dataset_from_directory", "sequence", "text", "text_dataset_from_directory",
    "timeseries_dataset_from_array",
]  # fmt: skip
