"""The workloads in Keras's words: one builder for Keras and for us, since the words are the same."""

import numpy as np


def build(kit, workload):
    """The compiled model of a workload; `kit` is the module `keras` or `seriatim`."""
    layers = kit.layers
    parts = {
        "dense": lambda units, activation: layers.Dense(units, activation=activation),
        "conv1d": lambda filters, size, activation: layers.Conv1D(filters, size, activation=activation),
        "conv2d": lambda filters, size, activation: layers.Conv2D(filters, size, activation=activation),
        "conv3d": lambda filters, size, activation: layers.Conv3D(filters, size, activation=activation),
        "same2d": lambda filters, size, stride, activation: layers.Conv2D(
            filters, size, stride, padding="same", activation=activation
        ),
        "transposed2d": lambda filters, size, stride, activation: layers.Conv2DTranspose(
            filters, size, stride, padding="same", activation=activation
        ),
        "depthwise2d": lambda size, stride: layers.DepthwiseConv2D(size, stride, padding="same"),
        "pool1d": lambda: layers.MaxPooling1D(2),
        "pool2d": lambda: layers.MaxPooling2D(2),
        "pool3d": lambda: layers.MaxPooling3D(2),
        "mean1d": lambda: layers.GlobalAveragePooling1D(),
        "mean2d": lambda: layers.GlobalAveragePooling2D(),
        "max1d": lambda: layers.GlobalMaxPooling1D(),
        "norm": lambda: layers.BatchNormalization(),
        "relu": lambda: layers.Activation("relu"),
        "flatten": lambda: layers.Flatten(),
        "dropout": lambda rate: layers.Dropout(rate),
        "embed": lambda words, size: layers.Embedding(words, size),
        "lstm": lambda units: layers.LSTM(units),
        "bilstm": lambda units, whole: layers.Bidirectional(layers.LSTM(units, return_sequences=whole)),
        "gru": lambda units: layers.GRU(units),
    }
    entry = layers.Input(workload.shape, dtype="int32" if workload.vocabulary else "float32")
    model = kit.Sequential([entry, *(parts[kind](*arguments) for kind, *arguments in workload.chain)])
    model.compile(
        optimizer=kit.optimizers.Adam(1e-3), loss=workload.loss,
        metrics=["accuracy"] if workload.counts_hits else None,
    )  # fmt: skip
    return model


class Fitted:
    """A model with `fit`, `predict` and a call: what the bench asks of it."""

    def __init__(self, kit, workload, x, y, to_numpy=np.asarray):
        self.workload, self.x, self.y = workload, x, y
        self.model = build(kit, workload)
        self.to_numpy = to_numpy
        self.ways = {"predict": self.predict, "call": self.call}

    def fit(self, epochs):
        """Whole epochs; the loss of the last one."""
        history = self.model.fit(self.x, self.y, batch_size=self.workload.batch, epochs=epochs, verbose=0)
        return history.history["loss"][-1]

    def row(self):
        return self.x[:1]

    def many(self, rows, size):
        """Predictions for the first `rows` rows, `size` at a time."""
        return self.model.predict(self.x[:rows], batch_size=size, verbose=0)

    def predict(self, row):
        return self.model.predict(row, verbose=0)

    def call(self, row):
        return self.to_numpy(self.model(row))

    @property
    def weights(self):
        return sum(int(np.prod(w.shape)) for w in self.model.trainable_weights)

    @property
    def steps(self):
        return int(self.to_numpy(self.model.optimizer.iterations))
