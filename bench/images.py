"""Reading pictures from folders: ours beside tf.data, in one run: `python bench/images.py`.

Both sides are `utils.image_dataset_from_directory` on one folder of 2,000 small JPEGs, made here; a pass is read to its
end. Rounds alternate and the best one of each side counts. Runs in the environment of `make bench` (.venv-bench).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-bench" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
COUNT, ROUNDS = 2000, 3
SIZES = (((240, 320), (256, 256)), ((240, 320), (128, 128)))  # of the files, and of the arrays


def make(folder, size):
    """Smooth pictures with some noise: they compress like photographs (about 20 kB each)."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(COUNT):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC), "int16")
        noisy = np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype("uint8")
        place = Path(folder) / f"class{i % 2}"
        place.mkdir(exist_ok=True)
        Image.fromarray(noisy).save(place / f"{i:04}.jpg", quality=85)


def worker(side, folder):
    """Read a pass whenever a line with a size comes; answer with its pictures a second."""
    if side == "ours":
        from seriatim import utils
    else:
        os.environ["KERAS_BACKEND"] = "tensorflow"
        from keras import utils
    kept = {}
    for line in sys.stdin:
        size = tuple(json.loads(line))
        if size not in kept:
            kept[size] = utils.image_dataset_from_directory(folder, image_size=size, seed=1, verbose=False)
        began = time.perf_counter()
        rows = sum(len(labels) for _, labels in kept[size])
        assert rows == COUNT
        print("rate", rows / (time.perf_counter() - began), flush=True)


def race(folder, size):
    """The best rate of each side: they take turns, so that both meet the same machine."""
    command = [PYTHON, __file__]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    sides = {
        side: subprocess.Popen(
            [*command, side, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=env,
        )  # fmt: skip
        for side in ("ours", "tf.data")
    }
    best = dict.fromkeys(sides, 0.0)
    for _ in range(ROUNDS):
        for side, process in sides.items():
            process.stdin.write(json.dumps(size) + "\n")
            process.stdin.flush()
            rate = next(float(line.split()[1]) for line in process.stdout if line.startswith("rate"))
            best[side] = max(best[side], rate)
    for process in sides.values():
        process.stdin.close()
        process.wait()
    return best


def main():
    if Path(sys.prefix) != PYTHON.parent.parent:
        if not PYTHON.exists():
            sys.exit("`make bench` makes the environment for this")
        subprocess.run([PYTHON, "-m", "pip", "install", "-q", "pillow>=10", "simplejpeg>=1.8"], check=True)
        sys.exit(subprocess.run([PYTHON, __file__], check=False).returncode)
    for of_files, of_arrays in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            make(folder, of_files)
            best = race(folder, of_arrays)
        title = f"{COUNT} JPEGs {of_files[1]}x{of_files[0]} -> {of_arrays[1]}x{of_arrays[0]}"
        ratio = best["ours"] / best["tf.data"]
        print(
            f"{title}: ours {best['ours']:.0f} pictures/s, tf.data {best['tf.data']:.0f}, ratio {ratio:.2f}", flush=True
        )


if __name__ == "__main__":
    if len(sys.argv) > 2:
        worker(*sys.argv[1:])
    else:
        main()
