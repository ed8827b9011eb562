"""A forecast: how many sunspots next year? Windows of 22 years, two GRUs, and three baselines to beat.

Data: the yearly sunspot numbers from 1700 to 2008 (NOAA's National Geophysical Data Center, public domain), out of
the package statsmodels (BSD). Trained on the years to 1898, stopped by 1899 to 1938, tested on 1939 to 2008: never
on the past of what it has seen.

309 numbers are very few for a network, so the honest question is whether it beats simple rules. Expect an error of
14 to 16 sunspots, by seed (root mean square) in the test years, against 33 for "as last year" and 16 for a linear
autoregression. Then it is left to itself for eleven years. out/forecast.png shows both.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from statsmodels.datasets import sunspots

from seriatim import Sequential
from seriatim.callbacks import EarlyStopping
from seriatim.layers import GRU, Dense, Dropout, Input
from seriatim.utils import set_random_seed

OUT = Path("out")
WINDOW, VALIDATION, TEST = 22, 40, 70  # years; a cycle of the sun takes about eleven


def squeeze(spots):
    """The square root, about 0 to 1.4: the high years vary more than the low ones."""
    return np.sqrt(np.maximum(spots, 0)) / 10


def spread(values):
    return np.square(10 * np.maximum(values, 0))


def windows(series):
    """x (n, WINDOW, 1): the years before; y (n,): the year after."""
    view = np.lib.stride_tricks.sliding_window_view(series, WINDOW + 1).astype("float32")
    return view[:, :-1, None], view[:, -1]


def linear(x, y, x_test):
    """The best linear combination of the last nine years, by least squares."""
    design = [np.column_stack([part[:, -9:, 0], np.ones(len(part))]) for part in (x, x_test)]
    weights, *_ = np.linalg.lstsq(design[0], y, rcond=None)
    return design[1] @ weights


def alone(model, window, years):
    """A forecast of several years: each prediction becomes part of the window for the next."""
    window, found = list(window), []
    for _ in range(years):
        found.append(float(model.predict(np.array(window[-WINDOW:], "float32").reshape(1, WINDOW, 1), verbose=0)[0, 0]))
        window.append(found[-1])
    return spread(np.array(found))


def main():
    set_random_seed(1)
    OUT.mkdir(exist_ok=True)
    table = sunspots.load_pandas().data
    years, spots = table["YEAR"].to_numpy(int), table["SUNACTIVITY"].to_numpy()
    x, y = windows(squeeze(spots))
    train, val, test = slice(0, -VALIDATION - TEST), slice(-VALIDATION - TEST, -TEST), slice(-TEST, None)

    model = Sequential([
        Input((WINDOW, 1)),
        GRU(64, return_sequences=True),
        Dropout(0.2),
        GRU(64),
        Dropout(0.2),
        Dense(1),
    ], name="sunspots")  # fmt: skip
    model.summary()
    model.compile("adam", loss="mse")
    calm = EarlyStopping("val_loss", patience=50, restore_best_weights=True)
    history = model.fit(
        x[train], y[train], batch_size=16, epochs=400, validation_data=(x[val], y[val]), callbacks=[calm], verbose=0
    )
    print(f"{len(x[train])} windows, {len(history.epoch)} epochs\n")

    truth, seen = spots[-TEST:], spread(model.predict(x[test], verbose=0)[:, 0])
    rivals = {
        "as last year": spots[-TEST - 1 : -1],
        "as eleven years ago": spots[-TEST - 11 : -11],
        "linear, nine years": spread(linear(x[train], y[train], x[test])),
        "two GRUs": seen,
    }
    print(f"error in {years[-TEST]} to {years[-1]}, sunspots a year (root mean square)")
    for name, guess in rivals.items():
        print(f"  {name:20} {np.sqrt(np.mean(np.square(guess - truth))):5.1f}")

    ahead = alone(model, squeeze(spots[-WINDOW:]), 11)
    coming = np.arange(years[-1] + 1, years[-1] + 12)
    print(f"\nleft to itself after {years[-1]}: the next maximum in {coming[ahead.argmax()]} (the sun took until 2014)")
    _, axis = plt.subplots(figsize=(10, 4))
    axis.plot(years[-110:], spots[-110:], color="0.6", label="observed")
    axis.plot(years[-TEST:], seen, color="C1", label="one year ahead")
    axis.plot(coming, ahead, color="C1", linestyle=":", label="left to itself")
    axis.set_ylabel("sunspots")
    axis.legend(frameon=False)
    plt.savefig(OUT / "forecast.png", dpi=120, bbox_inches="tight")
    model.save(OUT / "forecast.keras")


if __name__ == "__main__":
    main()
