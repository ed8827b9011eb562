"""Record what Keras 3.15.1 on TensorFlow reads from a folder of small pictures.

    python tests/parity/record_pictures.py   # writes pictures.npz beside this file: the files, and what was read

Needs keras==3.15.1, tensorflow (2.21 when this was recorded) and Pillow; the tests need neither TensorFlow nor this.
"""

import io
import os
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
from picture_cases import CASES, label, read, write
from PIL import Image

FILES = (  # name, size, how it is written
    ("a/fine.jpg", (21, 30), {"quality": 90, "subsampling": 0}), ("a/coarse.jpg", (24, 17), {"quality": 60}),
    ("a/grey.jpg", (13, 13), {}), ("b/plain.png", (15, 26), {}), ("b/late.jpeg", (33, 40), {"progressive": True}),
)  # fmt: skip


def encoded(name, size, how):
    """Smooth colours with some noise, as the bytes of a file."""
    rng, room = np.random.default_rng(len(name)), io.BytesIO()
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC), "int16")
    image = Image.fromarray(np.clip(smooth + rng.integers(-20, 21, smooth.shape), 0, 255).astype("uint8"))
    (image.convert("L") if "grey" in name else image).save(room, "png" if name.endswith("png") else "jpeg", **how)
    return room.getvalue()


if __name__ == "__main__":
    files = {name: encoded(name, size, how) for name, size, how in FILES}
    with tempfile.TemporaryDirectory() as folder:
        write(files, Path(folder))
        arrays = {label(case): read(keras.utils, folder, case) for case in CASES}
    files = {f"file:{name}": np.frombuffer(data, np.uint8) for name, data in files.items()}
    np.savez_compressed(Path(__file__).with_name("pictures.npz"), **files, **arrays)
