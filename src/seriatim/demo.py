"""What the library does, in a minute: handwritten digits, from pixels to a saved model. Floor 6."""

import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from .datasets import digits
from .layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D, Rescaling
from .models import Sequential, load_model
from .optimizers import Adam
from .optimizers.schedules import CosineDecay
from .utils import plot_history, plot_model, set_random_seed


def demo(out=Path("out"), epochs=4):
    """Train a convolutional Sequential on real digits; print, save, reload, predict and draw it."""
    out.mkdir(parents=True, exist_ok=True)
    console, began = Console(highlight=False), time.perf_counter()
    set_random_seed(1)
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    console.print(f"{len(x_train)} handwritten digits to train on, {len(x_test)} to test; 28 x 28 pixels")
    x_train, y_train = shifted(x_train), np.tile(y_train, 5)
    console.print(f"each also moved by a pixel in four directions: {len(x_train)} to train on\n")
    model = Sequential(
        [
            Input((28, 28, 1)),
            Rescaling(1 / 255),
            Conv2D(32, 3, activation="relu"),
            MaxPooling2D(),
            Conv2D(64, 3, activation="relu"),
            MaxPooling2D(),
            Flatten(),
            Dropout(0.5),
            Dense(10, activation="softmax"),
        ]
    )
    model.summary()
    batch_size = 64
    rate = CosineDecay(3e-3, decay_steps=epochs * -(-len(x_train) // batch_size))
    model.compile(Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x_train, y_train, batch_size=batch_size, epochs=epochs, validation_data=(x_test, y_test))
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    console.print(f"\ntest accuracy [bold]{accuracy:.2%}[/bold]\n")
    show_confusion(console, y_test, model.predict(x_test, verbose=0).argmax(-1))
    model.save(out / "digits.keras")
    again = load_model(out / "digits.keras")
    same = np.array_equal(again.predict(x_test[:1]), model.predict(x_test[:1]))
    seen = again.predict(x_test[:1], verbose=0)[0]
    console.print(
        f"saved, reloaded: the first test digit is a {seen.argmax()} ({seen.max():.1%} sure; it is a {y_test[0]})"
    )
    console.print(f"the reloaded model predicts the same bits: {'yes' if same else 'NO'}")
    for path in (plot_model(model, out / "model.svg"), plot_history(history, out / "history.svg")):
        console.print(f"drawn into {path}")
    console.print(f"{time.perf_counter() - began:.0f} seconds in all")
    return accuracy


def shifted(images):
    """The images, and each moved by one pixel to the right, down, left and up."""
    moves = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
    return np.concatenate([np.roll(images, move, axis=(1, 2)) for move in moves])


def show_confusion(console, truth, guess):
    """Who is taken for whom: a row for each true digit, a column for each guess."""
    table = Table(title="a row: the true digit, a column: what the model says", box=None)
    for name in ["", *"0123456789"]:
        table.add_column(name, justify="right")
    for digit in range(10):
        counts = np.bincount(guess[truth == digit], minlength=10)
        cells = [f"[bold green]{n}[/]" if i == digit else str(n) if n else "[dim]·[/]" for i, n in enumerate(counts)]
        table.add_row(f"[bold]{digit}[/]", *cells)
    console.print(table)


if __name__ == "__main__":
    demo()
