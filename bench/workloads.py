"""What is measured: fourteen models, their sizes and their data, in no framework's words.

Standard library only. A chain is written once as tuples; each side builds it with its own parts.
"""

from dataclasses import dataclass, replace
from math import prod

from links import link


@dataclass(frozen=True)
class Workload:
    """One model, the data it trains on, and how long an epoch is."""

    name: str
    title: str
    shape: tuple[int, ...]  # of one row, channels last
    chain: tuple[tuple, ...]  # (kind, *arguments); the last activation goes with the loss
    loss: str
    batch: int
    rows: int
    classes: int = 1  # of the targets; 1: a number, or yes/no
    vocabulary: int = 0  # rows hold token ids below this; 0: numbers in [0, 1)
    copies: bool = False  # the targets are the rows themselves
    on_disk: bool = False  # the rows are a memory-mapped .npy file
    epochs: int | None = None  # of one round, where an epoch is long

    @property
    def steps(self):
        """Steps an epoch: the last, smaller batch is one."""
        return -(-self.rows // self.batch)

    @property
    def links(self):
        """[(kind, Cost)] in order: what each link costs for one row."""
        found, shape = [], self.shape
        for kind, *arguments in self.chain:
            found.append((kind, link(kind, arguments, shape)))
            shape = found[-1][1].shape
        return found

    @property
    def weights(self):
        """Trainable numbers; every side must have as many."""
        return sum(cost.weights for _, cost in self.links)

    @property
    def products(self):
        """Floating-point operations of a training step in products alone: what cannot be left out.

        Forward, and as much again for the gradients of the weights and of the input; the first layer with weights needs
        no gradient of its input.
        """
        total, first = 0, True
        for kind, cost in self.links:
            total += cost.products * (2 if first else 3)
            first = first and not cost.products and kind != "embed"
        return self.batch * total

    @property
    def traffic(self):
        """Bytes that a training step moves if no cache keeps anything from one use to the next.

        Its rows are read; the output of each product is written, and read for the gradient; Adam reads and writes each
        weight and its two moments.
        """
        return 4 * (self.batch * (prod(self.shape) + 2 * sum(cost.kept for _, cost in self.links)) + 6 * self.weights)

    @property
    def many(self):
        """Rows of one large prediction: a power of two, at most 20 billion operations, no more than there are."""
        most = min(self.rows, 32768, 2e10 / sum(cost.products for _, cost in self.links))
        return 1 << max(0, int(most).bit_length() - 1)

    @property
    def counts_hits(self):
        """Whether accuracy is counted."""
        return self.loss != "mse"


def separable(filters, stride=1):
    """The links of a depthwise and a pointwise convolution, each with batch normalization and relu."""
    return (
        ("depthwise2d", 3, stride), ("norm",), ("relu",), ("same2d", filters, 1, 1, "linear"), ("norm",), ("relu",),
    )  # fmt: skip


CLASSES, YES_NO, NUMBER = "sparse_categorical_crossentropy", "binary_crossentropy", "mse"

WORKLOADS = {
    w.name: w
    for w in (
        Workload(
            "mlp_small", "MLP 784-32-10, batch 32", (784,),
            (("dense", 32, "relu"), ("dense", 10, "softmax")),
            CLASSES, batch=32, rows=60000, classes=10,
        ),
        Workload(
            "mlp", "MLP 784-512-512-10, dropout 0.2, batch 128", (784,),
            (("dense", 512, "relu"), ("dropout", 0.2), ("dense", 512, "relu"), ("dropout", 0.2),
             ("dense", 10, "softmax")),
            CLASSES, batch=128, rows=60000, classes=10,
        ),
        Workload(
            "cnn_mnist", "Keras's MNIST CNN, 28×28×1, batch 128", (28, 28, 1),
            (("conv2d", 32, 3, "relu"), ("pool2d",), ("conv2d", 64, 3, "relu"), ("pool2d",), ("flatten",),
             ("dropout", 0.5), ("dense", 10, "softmax")),
            CLASSES, batch=128, rows=6400, classes=10,
        ),
        Workload(
            "cnn_image", "CNN on 64×64×3 images, yes/no, batch 32", (64, 64, 3),
            (("conv2d", 32, 3, "relu"), ("pool2d",), ("conv2d", 64, 3, "relu"), ("pool2d",), ("flatten",),
             ("dense", 128, "relu"), ("dense", 1, "sigmoid")),
            YES_NO, batch=32, rows=1280,
        ),
        Workload(
            "conv1d", "Conv1D 64, 128 + BatchNorm on 256×9, batch 32", (256, 9),
            (("conv1d", 64, 3, "linear"), ("norm",), ("relu",), ("conv1d", 128, 5, "linear"), ("norm",), ("relu",),
             ("pool1d",), ("mean1d",), ("dense", 6, "softmax")),
            CLASSES, batch=32, rows=1600, classes=6,
        ),
        Workload(
            "conv3d", "Conv3D 16, 32 on 16×32×32×1, batch 16", (16, 32, 32, 1),
            (("conv3d", 16, 3, "relu"), ("pool3d",), ("conv3d", 32, 3, "relu"), ("pool3d",), ("flatten",),
             ("dense", 64, "relu"), ("dense", 1, "sigmoid")),
            YES_NO, batch=16, rows=480,
        ),
        Workload(
            "lstm", "Embedding 20000×128, LSTM 128, 80 steps, batch 32", (80,),
            (("embed", 20000, 128), ("lstm", 128), ("dense", 1, "sigmoid")),
            YES_NO, batch=32, rows=1600, vocabulary=20000,
        ),
        Workload(
            "gru", "GRU 32 on 120 steps of 14, batch 256", (120, 14),
            (("gru", 32), ("dense", 1, "linear")),
            NUMBER, batch=256, rows=10240,
        ),
        Workload(
            "vgg", "VGG-like CNN, six convolutions on 32×32×3, batch 32", (32, 32, 3),
            (("same2d", 32, 3, 1, "relu"), ("same2d", 32, 3, 1, "relu"), ("pool2d",),
             ("same2d", 64, 3, 1, "relu"), ("same2d", 64, 3, 1, "relu"), ("pool2d",),
             ("same2d", 128, 3, 1, "relu"), ("same2d", 128, 3, 1, "relu"), ("pool2d",), ("flatten",),
             ("dense", 128, "relu"), ("dropout", 0.5), ("dense", 10, "softmax")),
            CLASSES, batch=32, rows=512, classes=10,
        ),
        Workload(
            "separable", "Depthwise-separable CNN + BatchNorm on 32×32×3, batch 32", (32, 32, 3),
            (("same2d", 32, 3, 1, "linear"), ("norm",), ("relu",),
             *separable(64, stride=2), *separable(64), *separable(128, stride=2), *separable(128),
             ("mean2d",), ("dense", 10, "softmax")),
            CLASSES, batch=32, rows=640, classes=10,
        ),
        Workload(
            "bilstm", "Embedding 20000×64, two bidirectional LSTMs, dropout, 80 steps, batch 32", (80,),
            (("embed", 20000, 64), ("bilstm", 64, True), ("dropout", 0.3), ("bilstm", 32, False), ("dropout", 0.3),
             ("dense", 1, "sigmoid")),
            YES_NO, batch=32, rows=1280, vocabulary=20000,
        ),
        Workload(
            "text_cnn", "Embedding 20000×64, Conv1D 128 5, max over 200 tokens, batch 32", (200,),
            (("embed", 20000, 64), ("dropout", 0.3), ("conv1d", 128, 5, "relu"), ("max1d",),
             ("dense", 64, "relu"), ("dropout", 0.3), ("dense", 1, "sigmoid")),
            YES_NO, batch=32, rows=1280, vocabulary=20000,
        ),
        Workload(
            "autoencoder", "Autoencoder with transposed convolution on 28×28×1, batch 64", (28, 28, 1),
            (("same2d", 32, 3, 2, "relu"), ("same2d", 64, 3, 2, "relu"), ("transposed2d", 64, 3, 2, "relu"),
             ("transposed2d", 32, 3, 2, "relu"), ("same2d", 1, 3, 1, "linear")),
            NUMBER, batch=64, rows=1280, copies=True,
        ),
        Workload(
            "mlp_disk", "MLP 100-256-128-1 on a million rows from disk, batch 1024", (100,),
            (("dense", 256, "relu"), ("dense", 128, "relu"), ("dense", 1, "linear")),
            NUMBER, batch=1024, rows=1000000, on_disk=True, epochs=1,
        ),
    )
}  # fmt: skip


def quick(workload):
    """The same workload with three steps an epoch, the last of them smaller: does everything run?"""
    return replace(workload, rows=2 * workload.batch + workload.batch // 2)


def longer(workload, times, most=60000):
    """The same workload with more rows, for machines on which a step is short."""
    return replace(workload, rows=max(workload.rows, min(most, times * workload.rows)))
