"""Random chains: what `stacks` builds twice, here and in Keras. Number n always draws the same chain.

A chain is plain data (`Make`s), so that both libraries build it from the same words and it prints as code. Most layers
fit what comes before them; some, and all in a spoilt chain, do not: then both libraries have to refuse it.

Not drawn, for our docstrings say that we differ: Tversky with alpha ≠ beta; layers of pictures on anything but a batch
of pictures; labels that only broadcasting makes as large as the predictions (we refuse them); weights of rows for
losses of several axes (Keras aligns them with the last axis), or of another axis than the last. Nor the cosine of what
a BatchNormalization makes of a single row: the direction of a rounding.
"""

from typing import NamedTuple

import numpy as np

import seriatim

from .draw_layers import ALL, ANY, KINDS, Draw, Make, ids, layer, masking, picture, repeat, shape_after

BAD = {
    "units": (0, -2), "filters": (0, -1), "kernel_size": (0, -1, (2, 2, 2, 2)), "strides": (0, -1),
    "padding": ("full",), "activation": ("nothing",), "pool_size": (0, (2, 2, 2, 2)), "axis": (9, -7),
    "kernel_initializer": ("nothing",), "n": (0, -1), "target_shape": ((5, 7), (-1, -1)), "dims": ((1, 3), (0, 1)),
    "dilation_rate": (0,), "groups": (0, 7), "depth_multiplier": (0,), "input_dim": (0, -1), "output_dim": (-1,),
    "rate": (1.5, -0.1), "data_format": ("channels",), "kernel_regularizer": ("nothing",), "size": (0,),
    "cropping": (9, -1), "output_size": (0,), "merge_mode": ("most",), "equation": ("ab,bc", "xyz,zw->xyw"),
    "interpolation": ("nothing",), "shared_axes": ([9],), "layer": (3,), "height": (0,), "wrong_word": (1,),
}  # fmt: skip


def break_one(d, rows):
    """One argument of one layer becomes what it cannot be."""
    row = d.of(*[row for row in rows if row.place == "layers"] or [layer("Dense", units=1)])
    words = [word for word in BAD if word in row.arguments] or ["wrong_word"]
    word = d.of(*words)
    row.arguments[word] = d.of(*BAD[word])


class Stack(NamedTuple):
    """A chain, what flows in, and how it is trained."""

    entry: Make | None
    rows: list
    x: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray | None
    loss: object
    metrics: list
    optimizer: Make

    @property
    def masked(self):
        """Whether a layer makes a mask, which may reach the end."""
        return any("Masking" in text or "mask_zero" in text for text in map(repr, self.rows))

    def __repr__(self):
        rows = "".join(f"    {row!r},\n" for row in ([self.entry] if self.entry else []) + self.rows)
        w = "" if self.sample_weight is None else ", weighted"
        return (
            f"Sequential([\n{rows}])\n"
            f"x {self.x.dtype} {self.x.shape}, y {self.y.dtype} {self.y.shape}{w}\n"
            f"compile({self.optimizer!r}, loss={self.loss!r}, metrics={self.metrics!r})"
        )


def entry_of(d, shape, batch, dtype):
    """How the chain learns its input shape: Input, with open or fixed sizes, or the first batch (None)."""
    if d.chance(0.15):
        return None
    how = {"dtype": dtype} if dtype != "float32" or d.chance(0.1) else {}
    if d.chance(0.15):
        return layer("Input", batch_shape=(batch, *shape), **how)
    if len(shape) > 1 and d.chance(0.1):
        return layer("Input", shape=(None, *shape[1:]), **how)
    return layer("Input", shape=shape, **how)


def stack(seed):
    """Chain number `seed`."""
    d = Draw(seed)
    spoilt = d.chance(0.1)
    batch = d.of(1, 2, 3, 4, 5)
    rank = d.of(1, 1, 2, 2, 2, 3, 3, 3, 4)
    shape = tuple(d.whole(1, 7 if rank < 4 else 4) for _ in range(rank - 1)) + (d.whole(1, 5),)
    rows, whole_numbers = [], d.chance(0.2)
    if whole_numbers:
        shape = shape[: d.of(1, 1, 2)]
        x = d.rng.integers(0, 7, (batch, *shape)).astype(d.of("int32", "float32"))
        rows.append(ids(d, shape))
    else:
        x = d.rng.normal(0.2, 1.0, (batch, *shape)).astype("float32")
        if rank == 2 and d.chance(0.3):
            x[:, x.shape[1] // 2 :] = 0.0  # steps that Masking masks
            rows.append(masking(d, shape))
    entry = entry_of(d, shape, batch, str(x.dtype))
    now = shape_after(rows[0], shape) if rows else shape
    wanted = len(rows) + d.whole(1, 5)
    while now is not None and len(rows) < wanted:
        kinds, shares = zip(*KINDS.get(len(now), ANY), strict=True)
        draw = kinds[d.rng.choice(len(kinds), p=np.array(shares) / sum(shares))]
        if spoilt and d.chance(0.4):
            draw = ALL[d.rng.integers(len(ALL))]
        try:
            row = draw(d, now) if draw is not picture or len(now) == 3 else repeat(d, now)
        except (IndexError, ValueError, KeyError):  # the drawing itself cannot do with this rank
            continue
        if not hasattr(getattr(seriatim, row.place), row.kind):  # Conv0D
            continue
        after = shape_after(row, now)
        if after is not None and (np.prod(after) > 600 or (0 in after and d.chance(0.9))):
            continue
        if after is None and not spoilt and d.chance(0.8):
            continue
        rows.append(row)
        now = after
    y, loss, metrics, activation = targets(d, batch, now or (1,))
    if batch == 1 and "BatchNormalization" in repr(rows) and "osine" in repr((loss, metrics)):
        loss, metrics = "mse", []
    if activation:
        rows.append(activation)
    if spoilt and rows and d.chance(0.4):
        break_one(d, rows)
    if spoilt and batch > 1 and d.chance(0.2):
        y = np.concatenate([y, y])
    weight = d.rng.uniform(0, 2, (batch, *(now or (1,))[:-1])).astype("float32") if d.chance(0.2) else None
    if getattr(loss, "arguments", {}).get("axis", -1) not in (-1, len(now or (1,))):
        weight = None
    return Stack(entry, rows, x, y, weight, loss, metrics, optimizer(d))


# ---- training ------------------------------------------------------------------------------------------


def targets(d, batch, shape):
    """(y, loss, metrics, a last activation or None) for an output of this shape."""
    full, last = (batch, *shape), shape[-1] if shape else 1
    real = d.rng.normal(size=full).astype("float32")
    how = d.some(0.2, reduction=lambda: d.of("sum", "sum_over_batch_size", "mean_with_sample_weight", "mean"))
    make = lambda kind, **more: Make("losses", kind, {**more, **how})
    metric = lambda kind, **more: Make("metrics", kind, more)
    family = d.of("real", "real", "binary", "classes", "sparse", "margin", "positive")
    if family == "real":
        loss = d.of(
            "mse", "mae", "log_cosh", make("MeanSquaredError"), make("Huber", delta=0.5), make("LogCosh"),
            make("MeanAbsoluteError"), make("CosineSimilarity"), make("CosineSimilarity", axis=d.axis(shape)),
            make("MeanAbsolutePercentageError"),
        )  # fmt: skip
        found = d.of(
            [], ["mae"], ["mse", "cosine_similarity"], [metric("RootMeanSquaredError")], [metric("R2Score")],
            [metric("LogCoshError"), metric("MeanAbsolutePercentageError")], [metric("PearsonCorrelation")],
            [metric("ConcordanceCorrelation")], ["accuracy"],
        )  # fmt: skip
        if len(shape) > 1 and any(m == metric("R2Score") for m in found):
            found = []
        return real, loss, found, None
    if family == "margin":
        y = np.sign(real) if d.chance(0.5) else (real > 0).astype("float32")
        return y, d.of("hinge", make("SquaredHinge"), make("CategoricalHinge")), d.of([], ["hinge"], ["mse"]), None
    if family == "positive":
        loss = d.of("poisson", "msle", make("KLDivergence"), make("MeanSquaredLogarithmicError"), "kl_divergence")
        return np.abs(real) + 0.1, loss, d.of([], ["msle"], [metric("Poisson")]), layer(
            "Activation", activation=d.of("softplus", "sigmoid", "exponential")
        )  # fmt: skip
    logits = d.chance(0.5)
    if family == "binary":
        y = (real > 0).astype(d.of("float32", "int32"))
        loss = d.of(
            make("BinaryCrossentropy", from_logits=logits, **d.some(0.3, label_smoothing=0.1)),
            make("BinaryFocalCrossentropy", from_logits=logits, **d.some(0.3, apply_class_balancing=True, gamma=1.5)),
            make("Dice") if not logits else make("Tversky", alpha=0.6, beta=0.6), make("MeanSquaredError"),
        )  # fmt: skip
        found = d.of(
            [], ["accuracy"], [metric("BinaryAccuracy", threshold=0.3)], [metric("AUC", num_thresholds=9)],
            [metric("Precision"), metric("Recall", thresholds=0.4)], [metric("TruePositives"), "mae"],
            [metric("BinaryIoU")],
        )  # fmt: skip
        inside = not logits or bool(found)
        return y, loss, found, layer("Activation", activation="sigmoid") if inside else None
    if family == "classes":
        y = np.eye(last, dtype="float32")[d.rng.integers(0, last, full[:-1])]
        loss = d.of(
            make("CategoricalCrossentropy", from_logits=logits, **d.some(0.3, label_smoothing=0.1)),
            make("CategoricalFocalCrossentropy", from_logits=logits), make("KLDivergence"),
            "categorical_crossentropy", "crossentropy",
        )  # fmt: skip
        found = d.of([], ["accuracy"], [metric("TopKCategoricalAccuracy", k=2)], [metric("CategoricalCrossentropy")])
        return y, loss, found, None if logits else layer("Softmax")
    y = d.rng.integers(0, last, full[:-1] + d.of((), (1,))).astype(d.of("int32", "float32"))
    loss = d.of(
        make("SparseCategoricalCrossentropy", from_logits=logits), "sparse_categorical_crossentropy",
        make("SparseCategoricalCrossentropy", from_logits=logits, **d.some(0.5, ignore_class=0)),
    )  # fmt: skip
    found = d.of([], ["accuracy"], [metric("SparseTopKCategoricalAccuracy", k=2)], ["sparse_categorical_accuracy"])
    return y, loss, found, None if logits else layer("Softmax")


def optimizer(d):
    """One of Keras's, with arguments; each ε is wide, so that a gradient of pure rounding moves nothing."""
    rate = d.of(0.01, 0.003, 0.03)
    kind, how = d.of(
        ("SGD", {}), ("SGD", {"momentum": 0.9}), ("SGD", {"momentum": 0.8, "nesterov": True}),
        ("Adam", {"epsilon": 0.01}), ("Adam", {"epsilon": 0.01, "amsgrad": True}),
        ("AdamW", {"epsilon": 0.01, "weight_decay": 0.1}), ("Adamax", {"epsilon": 0.01}), ("Nadam", {"epsilon": 0.01}),
        ("RMSprop", {"epsilon": 0.01}), ("RMSprop", {"epsilon": 0.01, "momentum": 0.5, "centered": True}),
        ("Adagrad", {"epsilon": 0.01}), ("Adadelta", {"epsilon": 0.01}), ("Ftrl", {"l2_regularization_strength": 0.01}),
        ("Adafactor", {}), ("Lion", {}), ("Lamb", {"epsilon": 0.01}), ("Muon", {}),
        ("ScheduleFreeAdamW", {"epsilon": 0.01}),
    )  # fmt: skip
    more = d.some(
        0.1, weight_decay=0.02, clipnorm=0.5, clipvalue=0.1, global_clipnorm=0.7, use_ema=True,
        gradient_accumulation_steps=2,
    )  # fmt: skip
    for one in [word for word in ("clipnorm", "global_clipnorm", "clipvalue") if word in more][1:]:
        more.pop(one)
    if d.chance(0.1):
        rate = Make("optimizers.schedules", "ExponentialDecay", {
            "initial_learning_rate": rate, "decay_steps": 2, "decay_rate": 0.5,
        })  # fmt: skip
    return Make("optimizers", kind, {"learning_rate": rate, **how, **more})
