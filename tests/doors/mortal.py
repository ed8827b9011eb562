"""A model, its data and a run that can be killed: the same for a test and for its child process."""

import os

import numpy as np

import seriatim
from seriatim import layers
from seriatim.callbacks import BackupAndRestore, Callback, EarlyStopping, ReduceLROnPlateau


def model(seed):
    seriatim.utils.set_random_seed(seed)
    chain = [
        layers.Input((6,)),
        layers.Dense(8, "relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.3),
        layers.Dense(1),
    ]
    made = seriatim.Sequential(chain)
    made.compile(seriatim.optimizers.Adam(0.01, use_ema=True), "mse", metrics=["mae"])
    return made


def data():
    x = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
    return x, x.sum(1, keepdims=True)


class Batches(seriatim.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, i):
        return tuple(part[10 * i : 10 * i + 10] for part in data())


class Death(Callback):
    def __init__(self, epoch, batch):
        super().__init__()
        self.place = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            os._exit(9)


def run(seed, folder, freq, kind, *more):
    made = model(seed)
    watch = [BackupAndRestore(folder, save_freq=freq, double_checkpoint=True)] if folder else []
    watch += [
        ReduceLROnPlateau("loss", patience=1),
        EarlyStopping("loss", patience=3, restore_best_weights=True),
        *more,
    ]
    how = {"epochs": 6, "verbose": 0, "callbacks": watch}
    if kind == "stream":
        history = made.fit(Batches(), steps_per_epoch=4, **how)
    else:
        history = made.fit(
            *data(), batch_size=8, validation_split=0.2, steps_per_epoch=3 if kind == "cut" else None, **how
        )
    return made, history.history
