"""Record what Keras 3.15.1 on TensorFlow reads from three pictures, as resizes.npz: python record_resizes.py.

Run with tensorflow-cpu 2.21.0 and Pillow; the pictures are PNG, so decoding is exact.
"""

import os
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
from PIL import Image

KINDS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")
SIZES = ((4, 7), (13, 9))


def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in ((9, 6), (5, 11), (8, 8))]


def main():
    found = {f"picture{i}": picture for i, picture in enumerate(pictures())}
    with tempfile.TemporaryDirectory() as folder:
        for i, picture in enumerate(pictures()):
            Image.fromarray(picture).save(Path(folder) / f"{i}.png")
        how = {"labels": None, "shuffle": False, "verbose": False}
        for size in SIZES:
            for kind in KINDS:
                read = keras.utils.image_dataset_from_directory(folder, image_size=size, interpolation=kind, **how)
                found[f"{kind}_{size[0]}"] = next(iter(read)).numpy()
            for fit in ("crop", "pad"):
                read = keras.utils.image_dataset_from_directory(
                    folder, image_size=size, **{f"{fit}_to_aspect_ratio": True}, **how
                )
                found[f"{fit}_{size[0]}"] = next(iter(read)).numpy()
            read = keras.utils.image_dataset_from_directory(folder, image_size=size, color_mode="grayscale", **how)
            found[f"grey_{size[0]}"] = next(iter(read)).numpy()
    np.savez_compressed(Path(__file__).with_name("resizes.npz"), **found)


if __name__ == "__main__":
    main()
