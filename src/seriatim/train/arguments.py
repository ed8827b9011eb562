"""What `compile` was given, read: Keras's lists and dicts for one output, opened; words and weights, checked.

Floor 4. Nothing is kept here; the face holds what these functions return.
"""

from .. import metrics
from ..base.config import Config
from ..base.report import UsageError, birthplace


def flat(given):
    """Metrics as a list, from one, a list, or Keras's list or dict of lists for one output."""
    if given is None:
        return []
    if isinstance(given, dict):
        given = list(given.values())
    if not isinstance(given, (list, tuple)):
        return [given]
    return [item for entry in given for item in (entry if isinstance(entry, (list, tuple)) else [entry])]


STEPS = (
    "train_step", "test_step", "predict_step", "compute_loss", "compute_metrics", "make_train_function",
    "make_test_function", "make_predict_function",
)  # fmt: skip


def check_steps(cls):
    """A UsageError if a class of a user's defines a step of its own, which nothing here would call."""
    own = [name for name in STEPS if hasattr(cls, name)]
    if own:
        raise UsageError(
            "the steps of training are compiled from the layers, not overridden", at=birthplace(),
            saw=f"{cls.__name__}.{own[0]}", want="a loss, a metric, an optimizer, or a layer of your own",
            fix="add_loss(…) within a layer's call joins the loss",
        )  # fmt: skip


def check_metric(given):
    if isinstance(given, str) and given not in ("accuracy", "acc", "crossentropy", "ce"):
        metrics.get(given)
    elif not callable(given) and not isinstance(given, (str, dict, Config)):
        raise UsageError("this is no metric", at=birthplace(), saw=repr(given), want="a name, a Metric or a function")


def only(value, what):
    """One loss: Keras's list or dict for a single output is opened."""
    if isinstance(value, dict) and "class_name" not in value:
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        if len(value) != 1:
            raise UsageError(f"a chain has one output, so one {what}", at=birthplace(), saw=f"{len(value)}")
        return value[0]
    return value


def one_weight(given):
    weight = only(given, "loss weight")
    if weight is None:
        return 1.0
    if isinstance(weight, bool) or not isinstance(weight, (int, float)):
        raise UsageError("loss_weights holds one number", at=birthplace(), saw=repr(given))
    return float(weight)


def crossentropy_kind(y, pred):
    if pred[-1] == 1:
        return "binary_crossentropy"
    return "sparse_categorical_crossentropy" if len(y) < len(pred) or y[-1] == 1 else "categorical_crossentropy"


def revive(family, written):
    if isinstance(written, (list, tuple)):
        return [revive(family, item) for item in written]
    return family.deserialize(written) if isinstance(written, dict) and "class_name" in written else written


__all__ = ["check_metric", "check_steps", "crossentropy_kind", "flat", "one_weight", "only", "revive"]
