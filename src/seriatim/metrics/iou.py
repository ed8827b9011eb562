"""Intersection over union of classes: TP / (TP + FP + FN), from one table of label by prediction.

Floor 2. The table counts in whole numbers, as Keras's does, unless another dtype is asked for.
"""

import warnings
from typing import Annotated, Any, ClassVar

import jax.numpy as jnp
import numpy as np

from ..base import registry, settings
from ..base.fields import Anything, Bool, Int, Number, OptionalInt, OptionalText, PositiveInt
from ..base.report import UsageError
from .metric import ComputeType, Metric
from .variable import MetricVariable

TableType = Annotated[Any, ComputeType("int32")]


class IoU(Metric):
    """The mean over `target_class_ids` of TP / (TP + FP + FN); classes that never occur are left out.

    Labels and predictions are class ids of any shape, or scores along `axis` where `sparse_y_true` or
    `sparse_y_pred` is False. Ids outside 0 … num_classes - 1 and labels of `ignore_class` do not count. With a
    whole-number dtype, weights are cut to whole numbers.

    >>> m = IoU(num_classes=2, target_class_ids=[0])
    >>> m.update_state([0, 0, 1, 1], [0, 1, 0, 1])
    >>> round(float(m.result()), 4)
    0.3333
    """

    num_classes: PositiveInt
    target_class_ids: Anything
    name: OptionalText = None
    dtype: TableType = None
    ignore_class: OptionalInt = None
    sparse_y_true: Bool = True
    sparse_y_pred: Bool = True
    axis: Int = -1

    _direction: ClassVar[str] = "up"

    def validate(self):
        self.target_class_ids = list(self.target_class_ids)
        if max(self.target_class_ids) >= self.num_classes:
            raise UsageError(
                f"{type(self).__name__}(target_class_ids=…) names a class that does not exist",
                saw=f"{max(self.target_class_ids)}", want=f"ids from 0 to {self.num_classes - 1}",
            )  # fmt: skip

    def zero(self, y=None, p=None):
        return {"total_confusion_matrix": np.zeros((self.num_classes, self.num_classes), self.dtype)}

    @property
    def total_cm(self):
        """The table so far: labels down, predictions across."""
        return MetricVariable(self, "total_confusion_matrix")

    def class_ids(self, y_true, y_pred):
        """Labels and predictions as flat class ids."""
        y_true = jnp.asarray(y_true) if self.sparse_y_true else jnp.argmax(jnp.asarray(y_true), self.axis)
        y_pred = jnp.asarray(y_pred) if self.sparse_y_pred else jnp.argmax(jnp.asarray(y_pred), self.axis)
        return jnp.reshape(y_true, -1).astype("int32"), jnp.reshape(y_pred, -1).astype("int32")

    def add(self, tally, y_true, y_pred, sample_weight=None):
        y_true, y_pred = self.class_ids(y_true, y_pred)
        weight = jnp.asarray(1 if sample_weight is None else sample_weight)
        if jnp.issubdtype(weight.dtype, jnp.floating) and jnp.issubdtype(self.dtype, jnp.integer):
            warnings.warn(
                f"{self.name}: the weight of type float is cut to the {self.dtype} it counts in, a casting that may "
                "lose it; give dtype='float32'", stacklevel=3,
            )  # fmt: skip
        weight = weight.astype(self.dtype)
        weight = jnp.broadcast_to(jnp.reshape(weight, -1) if weight.ndim > 1 else weight, y_true.shape)
        counts = (y_true >= 0) & (y_true < self.num_classes) & (y_pred >= 0) & (y_pred < self.num_classes)
        if self.ignore_class is not None:
            counts &= y_true != self.ignore_class
        y_true, y_pred, weight = (jnp.where(counts, x, 0) for x in (y_true, y_pred, weight))
        table = jnp.asarray(tally["total_confusion_matrix"])
        return {"total_confusion_matrix": table.at[y_true, y_pred].add(weight, mode="drop")}

    def read(self, tally):
        table = jnp.asarray(tally["total_confusion_matrix"])
        hits = jnp.diagonal(table)
        union = jnp.sum(table, axis=0) + jnp.sum(table, axis=1) - hits
        targets = np.asarray(self.target_class_ids)
        hits, union = hits[targets].astype("float32"), union[targets].astype("float32")
        occurs = union > 1e-9
        iou = jnp.where(occurs, hits / (union + settings.epsilon()), 0.0)
        return jnp.sum(iou) / (jnp.sum(occurs) + settings.epsilon())


class BinaryIoU(IoU):
    """IoU of the two classes on either side of `threshold`; a prediction at the threshold is class 1."""

    target_class_ids: Anything = (0, 1)
    threshold: Number = 0.5
    name: OptionalText = None
    dtype: TableType = None

    num_classes = 2
    ignore_class = None

    def class_ids(self, y_true, y_pred):
        return super().class_ids(y_true, jnp.asarray(y_pred, "float32") >= self.threshold)


class MeanIoU(IoU):
    """IoU of all classes."""

    num_classes: PositiveInt
    name: OptionalText = None
    dtype: TableType = None
    ignore_class: OptionalInt = None
    sparse_y_true: Bool = True
    sparse_y_pred: Bool = True
    axis: Int = -1

    def validate(self):
        self.target_class_ids = list(range(self.num_classes))


class OneHotIoU(IoU):
    """IoU for one-hot labels and, unless `sparse_y_pred`, scores."""

    num_classes: PositiveInt
    target_class_ids: Anything
    name: OptionalText = None
    dtype: TableType = None
    ignore_class: OptionalInt = None
    sparse_y_pred: Bool = False
    axis: Int = -1

    sparse_y_true = False


class OneHotMeanIoU(MeanIoU):
    """IoU of all classes for one-hot labels and, unless `sparse_y_pred`, scores."""

    num_classes: PositiveInt
    name: OptionalText = None
    dtype: TableType = None
    ignore_class: OptionalInt = None
    sparse_y_pred: Bool = False
    axis: Int = -1

    sparse_y_true = False


registry.add("metric", IoU, BinaryIoU, MeanIoU, OneHotIoU, OneHotMeanIoU)
