"""What is read from the folder of pictures in pictures.npz: by Keras on TensorFlow to record it, by us to compare."""

import numpy as np

SMOOTH = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")
CASES = [
    *({"image_size": size, "interpolation": kind} for size in ((9, 14), (31, 22)) for kind in SMOOTH),
    {"image_size": (10, 10), "crop_to_aspect_ratio": True}, {"image_size": (12, 25), "pad_to_aspect_ratio": True},
    {"image_size": (16, 16), "color_mode": "grayscale"}, {"image_size": (8, 9), "data_format": "channels_first"},
]  # fmt: skip


def label(case):
    return ",".join(f"{name}={value}" for name, value in case.items()).replace(" ", "")


def write(files, folder):
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)


def read(utils, folder, case):
    """All pictures of the folder as one array, by either library."""
    found = utils.image_dataset_from_directory(folder, shuffle=False, label_mode=None, verbose=False, **case)
    return np.asarray(next(iter(found)))
