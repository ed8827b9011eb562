"""`python bench/text.py`: 100,000 short reviews to numbers, ours beside Keras on TensorFlow, in one run.

Both get the same list of strings and the same vocabulary, in a process each of the environment that `make bench` made
(.venv-bench), turn and turn about; the table has the median of the turns. The reviews are drawn from 30,000 made-up
words as often as words are in English (Zipf's law), with capitals and punctuation. Nothing is written.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-bench" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
REVIEWS, WORDS, KEPT, TURNS = 100_000, 30_000, 20_000, 5
JOBS = ("places of words", "counts of words", "learning words", "places of strings")


def reviews():
    """(texts, words): the reviews, and the words they are made of, the most frequent first."""
    import numpy as np

    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = list(dict.fromkeys("".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(2 * WORDS)))[:WORDS]
    often = 1 / np.arange(1, WORDS + 1) ** 1.05
    lengths = rng.integers(5, 40, REVIEWS)
    drawn = iter(rng.choice(WORDS, lengths.sum(), p=often / often.sum()).tolist())
    texts = []
    for i, length in enumerate(lengths.tolist()):
        body = " ".join(words[next(drawn)] for _ in range(length))
        texts.append(body.capitalize() + (", " if i % 3 else " - ") + "it's fine.")
    return texts, words


def serve(ours):
    """Answer each line with the seconds of that job."""
    if not ours:
        os.environ["KERAS_BACKEND"] = "tensorflow"
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import numpy as np

    if ours:
        from seriatim import layers
    else:
        from keras import layers
    texts, words = reviews()
    flat = np.array([word for text in texts[: REVIEWS // 4] for word in text.split()], object)
    places = layers.TextVectorization(vocabulary=words[:KEPT])
    counts = layers.TextVectorization(vocabulary=words[:500], output_mode="count")
    strings = layers.StringLookup(vocabulary=words[:KEPT])
    array = np.array(texts, object)
    jobs = {
        "places of words": lambda: np.asarray(places(array)).shape,
        "counts of words": lambda: np.asarray(counts(array)).shape,
        "learning words": lambda: layers.TextVectorization(max_tokens=KEPT).adapt(array),
        "places of strings": lambda: np.asarray(strings(flat)).shape,
    }
    print("ready", flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        jobs[json.loads(line)]()
        print(time.perf_counter() - began, flush=True)


def main():
    sides = {
        name: subprocess.Popen(
            [PYTHON, __file__, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name in ("ours", "keras")
    }
    for side in sides.values():
        side.stdout.readline()
    print(f"{REVIEWS:,} reviews, median of {TURNS}     ours    Keras on TensorFlow")
    for job in JOBS:
        seconds = {name: [] for name in sides}
        for turn in range(TURNS + 1):  # the first one warms up
            for name, side in sides.items():
                side.stdin.write(json.dumps(job) + "\n")
                side.stdin.flush()
                took = float(side.stdout.readline())
                seconds[name] += [took] if turn else []
        mine, theirs = (statistics.median(seconds[name]) for name in ("ours", "keras"))
        print(f"{job:<24} {mine:8.3f} s {theirs:8.3f} s   {theirs / mine:5.2f} times as fast")
    for side in sides.values():
        side.stdin.close()
        side.wait()


if __name__ == "__main__":
    serve(sys.argv[1] == "ours") if len(sys.argv) > 1 else main()
