"""Populations: whole calls of `fit_many` against the same models fitted one after another.

Run with a Python that has seriatim: `.venv/bin/python bench/many.py`. With --write, the table goes into
docs/performance.md.
"""

import argparse
import os
import time
from pathlib import Path
from statistics import median

import numpy as np
import table

from seriatim import Sequential, fit_many
from seriatim.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from seriatim.utils import set_random_seed

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def small():
    """20-16-1."""
    return compiled([Input((20,)), Dense(16, "relu"), Dense(1, "sigmoid")], "binary_crossentropy")


def digits():
    """784-32-10."""
    return compiled([Input((784,)), Dense(32, "relu"), Dense(10, "softmax")], "sparse_categorical_crossentropy")


def images():
    """A CNN for digits."""
    return compiled(
        [Input((28, 28, 1)), Conv2D(16, 3, activation="relu"), MaxPooling2D(), Conv2D(32, 3, activation="relu"),
         MaxPooling2D(), Flatten(), Dense(10, "softmax")],
        "sparse_categorical_crossentropy",
    )  # fmt: skip


def compiled(layers, loss):
    model = Sequential(layers)
    model.compile("adam", loss=loss, metrics=["accuracy"])
    return model


CASES = (  # title, build, shape of a row, classes, rows, members, epochs
    ("20-16-1", small, (20,), 2, 2000, 32, 10),
    ("784-32-10", digits, (784,), 10, 6000, 8, 5),
    ("CNN 16, 32 on 28×28×1", images, (28, 28, 1), 10, 1280, 4, 3),
)


def together(build, members, x, y, epochs):
    population = fit_many(build, members, x, y, epochs=epochs, verbose=0)
    return [member.model for member in population]


def alone(build, members, x, y, epochs):
    models = []
    for seed in range(members):
        set_random_seed(seed)
        models.append(build())
        models[-1].fit(x, y, epochs=epochs, verbose=0)
    return models


def case(title, build, shape, classes, rows, members, epochs, rounds):
    """A row of the table: both ways in turns, after one call of each that compiles."""
    rng = np.random.default_rng(1)
    x, y = rng.random((rows, *shape), dtype=np.float32), rng.integers(0, classes, rows).astype(np.int32)
    problem = build, members, x, y, epochs
    check_equal(together(*problem), alone(*problem), x)
    times = {together: [], alone: []}
    for _ in range(rounds):
        for way, found in times.items():
            began, spent = time.perf_counter(), time.process_time()
            way(*problem)
            found.append((time.perf_counter() - began, time.process_time() - spent))
    (one, cpu_one), (other, cpu_other) = (map(median, zip(*times[way], strict=True)) for way in (together, alone))
    print(f"{title}: {one:.3f} s together, {other:.3f} s alone", flush=True)
    return [
        f"{title} × {members}", f"{rows:,}", f"{epochs}", table.shown(one), table.shown(other),
        f"{other / one:.2f}×", f"{table.shown(cpu_one)}, {table.shown(cpu_other)}",
    ]  # fmt: skip


def check_equal(one, other, x):
    """A member must be what `fit` makes of it alone, but for rounding."""
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.predict(x[:64], verbose=0), b.predict(x[:64], verbose=0), atol=1e-2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="calls of each way (%(default)s)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    rows = [case(*one, rounds=max(1, given.rounds)) for one in CASES]
    head = ["", "rows", "epochs", "`fit_many`, s", "one after another, s", "faster", "CPU time of each, s"]
    text = (
        f"The median of {given.rounds} calls of each way in turns, building the models included, programs compiled; "
        f"batches of 32; load of the machine before: {load:.1f}.\n\n{table.grid(head, rows)}"
    )
    print(f"\n{text}\n")
    if given.write:
        table.put_in_page(PAGE, text, "many")


if __name__ == "__main__":
    main()
