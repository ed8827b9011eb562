"""What is measured: eight models, their sizes and their data, in no framework's words.

Standard library only. A chain is written once as tuples; each side builds it with its own parts.
"""

from dataclasses import dataclass, replace
from math import prod


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

    @property
    def steps(self):
        """Steps an epoch: the last, smaller batch is one."""
        return -(-self.rows // self.batch)

    @property
    def products(self):
        """Floating-point operations of a training step in products alone: what cannot be left out.

        Forward, and as much again for the gradients of the weights and of the input; the first layer with weights needs
        no gradient of its input.
        """
        total, first, shape = 0, True, self.shape
        for kind, *arguments in self.chain:
            here, shape = link(kind, arguments, shape)
            total += here * (2 if first else 3)
            first = first and not here and kind != "embed"
        return self.batch * total

    @property
    def counts_hits(self):
        """Whether accuracy is counted."""
        return self.loss != "mse"


def link(kind, arguments, shape):
    """(floating-point operations of the products for one row, the shape behind) of one link of a chain."""
    if kind == "dense":
        return 2 * prod(shape) * arguments[0], (*shape[:-1], arguments[0])
    if kind.startswith("conv"):
        out = (*(n - arguments[1] + 1 for n in shape[:-1]), arguments[0])
        return 2 * prod(out) * arguments[1] ** (len(shape) - 1) * shape[-1], out
    if kind.startswith("pool"):
        return 0, (*(n // 2 for n in shape[:-1]), shape[-1])
    if kind in ("lstm", "gru"):
        gates = (4 if kind == "lstm" else 3) * arguments[0]
        return 2 * shape[0] * (shape[1] + arguments[0]) * gates, (arguments[0],)
    if kind == "embed":
        return 0, (*shape, arguments[1])
    if kind == "mean1d":
        return 0, shape[-1:]
    return 0, (prod(shape),) if kind == "flatten" else shape


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
    )
}  # fmt: skip


def quick(workload):
    """The same workload with three steps an epoch, the last of them smaller: does everything run?"""
    return replace(workload, rows=2 * workload.batch + workload.batch // 2)


def longer(workload, times, most=60000):
    """The same workload with more rows, for machines on which a step is short."""
    return replace(workload, rows=max(workload.rows, min(most, times * workload.rows)))
