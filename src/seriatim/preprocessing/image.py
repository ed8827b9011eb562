"""Pictures: the page of names. Floor 6."""

from ..data.images import array_to_img, img_to_array, load_img, save_img, smart_resize
from .flows import DataFrameIterator, DirectoryIterator, Iterator, NumpyArrayIterator
from .generator import ImageDataGenerator
from .moves import (
    apply_affine_transform,
    apply_brightness_shift,
    apply_channel_shift,
    flip_axis,
    random_brightness,
    random_channel_shift,
    random_rotation,
    random_shear,
    random_shift,
    random_zoom,
)

__all__ = [
    "DataFrameIterator", "DirectoryIterator", "ImageDataGenerator", "Iterator", "NumpyArrayIterator",
    "apply_affine_transform", "apply_brightness_shift", "apply_channel_shift", "array_to_img", "flip_axis",
    "img_to_array", "load_img", "random_brightness", "random_channel_shift", "random_rotation", "random_shear",
    "random_shift", "random_zoom", "save_img", "smart_resize",
]  # fmt: skip
