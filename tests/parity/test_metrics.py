"""Metrics against real Keras 3.15.1 on its JAX backend: values, weights, several batches, options, configs.

Both faces are measured: the pure functions as the carry of a compiled loop, and `update_state` / `result`.
"""

import inspect
import json
import re

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras.src.metrics import ALL_OBJECTS_DICT
from keras.src.trainers.compile_utils import get_metric

from seriatim import metrics
from seriatim.base import registry
from seriatim.base.report import DataError, UsageError
from seriatim.math.reductions import weighed
from seriatim.metrics import custom


def label(value):
    """The name of a case: the same in every process."""
    return re.sub(r" at 0x\w+", "", str(value))


# Both sides add the same float32 numbers, a few dozen of them, in another order: a few units in the last place.
CLOSE = {"rtol": 2e-6, "atol": 1e-6}
BATCHES, ROWS = 3, 8


def regression(r):
    y = r.normal(size=(BATCHES, ROWS, 3))
    return y, y + 0.5 * r.normal(size=y.shape)


def positive(r):
    return r.uniform(0.1, 3, (BATCHES, ROWS, 3)), r.uniform(0.1, 3, (BATCHES, ROWS, 3))


def binary(r):
    return r.integers(0, 2, (BATCHES, ROWS, 1)), np.round(r.uniform(0, 1, (BATCHES, ROWS, 1)), 2)


def flat(r):
    y, p = binary(r)
    return y[..., 0], p[..., 0]


def ranks(r):
    y, p = binary(r)
    return y[..., 0], p


def edges(r):
    y, p = binary(r)
    p[0, :4, 0], p[1, :2, 0] = [0, 1, 0.5, 0.25], [-0.5, 1.5]
    return y, p


def logits(r):
    y, p = binary(r)
    return y, 6 * p - 3


def multilabel(r):
    return r.integers(0, 2, (BATCHES, ROWS, 4)), np.round(r.uniform(0, 1, (BATCHES, ROWS, 4)), 1)


def onehot(r):
    p = r.uniform(0.01, 1, (BATCHES, ROWS, 6))
    return np.eye(6)[r.integers(0, 6, (BATCHES, ROWS))], p / p.sum(-1, keepdims=True)


def sparse(r):
    y, p = onehot(r)
    return y.argmax(-1), p


def column(r):
    y, p = sparse(r)
    return y[..., None], p


def sequence(r):
    p = r.uniform(0.01, 1, (BATCHES, ROWS, 5, 6))
    return r.integers(0, 6, (BATCHES, ROWS, 5)), p / p.sum(-1, keepdims=True)


def hot_sequence(r):
    y, p = sequence(r)
    return np.eye(6)[y], p


def sorted_ids(r):
    return r.integers(0, 6, (BATCHES, ROWS)), r.permuted(np.tile(np.arange(6), (BATCHES, ROWS, 1)), axis=-1)


def classes(r):
    return r.integers(0, 4, (BATCHES, ROWS)), r.integers(0, 4, (BATCHES, ROWS))


def images(r):
    return r.integers(0, 4, (BATCHES, ROWS, 2, 3)), r.integers(-1, 6, (BATCHES, ROWS, 2, 3))


EVEN, LABELS = [0, 0.25, 0.5, 0.75, 1], [1.0, 2.0, 0.5, 0.25]
CASES = [
    ("Accuracy", {}, classes), ("Accuracy", {}, images), ("Accuracy", {"dtype": "float16"}, classes),
    ("BinaryAccuracy", {}, binary), ("BinaryAccuracy", {"threshold": 0.3}, flat), ("BinaryAccuracy", {}, ranks),
    ("BinaryAccuracy", {"name": "a"}, multilabel),
    ("CategoricalAccuracy", {}, onehot), ("CategoricalAccuracy", {}, hot_sequence),
    ("SparseCategoricalAccuracy", {}, sparse), ("SparseCategoricalAccuracy", {}, column),
    ("SparseCategoricalAccuracy", {}, sequence),
    ("TopKCategoricalAccuracy", {}, onehot), ("TopKCategoricalAccuracy", {"k": 2}, hot_sequence),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, sparse), ("SparseTopKCategoricalAccuracy", {"k": 3}, column),
    ("SparseTopKCategoricalAccuracy", {"k": 3}, sequence),
    ("SparseTopKCategoricalAccuracy", {"k": 3, "from_sorted_ids": True}, sorted_ids),
    ("MeanSquaredError", {}, regression), ("MeanSquaredError", {}, ranks), ("MeanSquaredError", {}, flat),
    ("MeanSquaredError", {"dtype": "bfloat16"}, regression),
    ("RootMeanSquaredError", {}, regression), ("RootMeanSquaredError", {}, ranks),
    ("MeanAbsoluteError", {}, regression),
    ("MeanAbsolutePercentageError", {}, positive), ("MeanSquaredLogarithmicError", {}, positive),
    ("CosineSimilarity", {}, regression), ("CosineSimilarity", {"axis": 1}, hot_sequence),
    ("LogCoshError", {}, regression),
    ("R2Score", {}, regression), ("R2Score", {"class_aggregation": None}, regression),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, regression),
    ("R2Score", {"num_regressors": 2}, regression), ("R2Score", {}, ranks),
    ("PearsonCorrelation", {}, regression), ("ConcordanceCorrelation", {}, regression),
    ("PearsonCorrelation", {"axis": 0}, regression), ("ConcordanceCorrelation", {"axis": 1}, hot_sequence),
    ("BinaryCrossentropy", {}, binary), ("BinaryCrossentropy", {"from_logits": True}, logits),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, multilabel),
    ("CategoricalCrossentropy", {}, onehot), ("CategoricalCrossentropy", {"label_smoothing": 0.1}, onehot),
    ("CategoricalCrossentropy", {"from_logits": True}, hot_sequence),
    ("CategoricalCrossentropy", {"axis": 1}, hot_sequence),
    ("SparseCategoricalCrossentropy", {}, sparse), ("SparseCategoricalCrossentropy", {}, column),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, sequence),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, sparse),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, sequence),
    ("KLDivergence", {}, onehot), ("Poisson", {}, positive),
    ("Hinge", {}, binary), ("Hinge", {}, regression), ("SquaredHinge", {}, multilabel),
    ("CategoricalHinge", {}, onehot),
    ("TruePositives", {}, edges), ("TrueNegatives", {}, edges), ("FalsePositives", {}, edges),
    ("FalseNegatives", {}, edges), ("TruePositives", {"thresholds": EVEN}, edges),
    ("TrueNegatives", {"thresholds": EVEN}, multilabel), ("FalsePositives", {"thresholds": EVEN}, edges),
    ("FalseNegatives", {"thresholds": [0.2, 0.5, 0.8]}, multilabel),
    ("Precision", {}, edges), ("Precision", {}, flat), ("Precision", {}, ranks),
    ("Precision", {"thresholds": 0.4}, multilabel), ("Precision", {"thresholds": [0.0, 0.4, 1.0]}, edges),
    ("Precision", {"thresholds": EVEN}, multilabel), ("Precision", {"top_k": 2}, onehot),
    ("Precision", {"class_id": 2}, multilabel), ("Precision", {"top_k": 2, "thresholds": EVEN}, onehot),
    ("Recall", {}, edges), ("Recall", {"thresholds": [0.1, 0.4, 0.5]}, multilabel),
    ("Recall", {"top_k": 3, "class_id": 1}, onehot), ("Recall", {"top_k": 2}, multilabel),
    ("Recall", {"thresholds": [round(0.93**i, 3) for i in range(20)]}, multilabel),
    ("SensitivityAtSpecificity", {"specificity": 0.4}, edges),
    ("SensitivityAtSpecificity", {"specificity": 0.4, "num_thresholds": 1}, binary),
    ("SpecificityAtSensitivity", {"sensitivity": 0.5, "class_id": 1, "num_thresholds": 5}, multilabel),
    ("SpecificityAtSensitivity", {"sensitivity": 0.5, "num_thresholds": 2}, edges),
    ("PrecisionAtRecall", {"recall": 0.6, "num_thresholds": 5}, flat),
    ("PrecisionAtRecall", {"recall": 0.8, "num_thresholds": 5}, multilabel),
    ("RecallAtPrecision", {"precision": 0.6, "num_thresholds": 5}, ranks),
    ("RecallAtPrecision", {"precision": 0.99}, edges),
    ("AUC", {}, edges),
    *[
        ("AUC", {"curve": curve, "summation_method": method, "num_thresholds": 5}, data)
        for curve in ("ROC", "PR", "PRGAIN")
        for method, data in (("interpolation", edges), ("majoring", multilabel), ("minoring", flat))
    ],
    ("AUC", {"curve": "pr", "multi_label": True, "num_thresholds": 5}, multilabel),
    ("AUC", {"num_thresholds": 5}, ranks),
    ("AUC", {"multi_label": True, "num_labels": 4, "label_weights": LABELS, "num_thresholds": 5}, multilabel),
    ("AUC", {"multi_label": True, "curve": "PR", "label_weights": LABELS, "num_thresholds": 5}, multilabel),
    ("AUC", {"label_weights": LABELS, "num_thresholds": 5}, multilabel),
    ("AUC", {"from_logits": True, "num_thresholds": 5}, logits),
    ("AUC", {"thresholds": [0.3, 0.8, 0.5]}, multilabel), ("AUC", {"thresholds": [0.5, 0.25, 0.75]}, edges),
    ("AUC", {"thresholds": [0.3, 0.6, 0.8], "multi_label": True}, multilabel), ("AUC", {"num_thresholds": 2}, binary),
    ("AUC", {"thresholds": [0.3, 0.6, 0.8], "label_weights": LABELS}, multilabel),
    ("AUC", {"thresholds": [round(0.93**i, 3) for i in range(20)], "multi_label": True}, multilabel),
    *[
        (name, {**beta, **kwargs}, data)
        for name, beta in (("FBetaScore", {"beta": 2.0}), ("F1Score", {}))
        for kwargs, data in (
            ({}, onehot), ({"average": "micro", "threshold": 0.5}, multilabel), ({"average": "macro"}, onehot),
            ({"average": "weighted", "threshold": 0.3}, multilabel),
        )
    ],
    ("IoU", {"num_classes": 4, "target_class_ids": [0, 2]}, classes),
    ("IoU", {"num_classes": 4, "target_class_ids": [1], "ignore_class": 0, "dtype": "float32"}, images),
    ("BinaryIoU", {}, binary), ("BinaryIoU", {"target_class_ids": [1], "threshold": 0.3}, multilabel),
    ("MeanIoU", {"num_classes": 4}, images), ("MeanIoU", {"num_classes": 9}, images),
    ("OneHotIoU", {"num_classes": 6, "target_class_ids": (0, 2)}, hot_sequence),
    ("OneHotMeanIoU", {"num_classes": 6}, onehot),
]  # fmt: skip
IDS = [f"{n}-{'-'.join(f'{k}={v}'[:40] for k, v in kw.items()) or 'plain'}-{d.__name__}" for n, kw, d in CASES]


def batches(data):
    r = np.random.default_rng(7)
    y, p = data(r)
    p = p.astype("float32") if p.dtype.kind == "f" else p
    y = y.astype("float32") if y.dtype.kind == "f" else y
    return y, p, r.integers(0, 4, (BATCHES, ROWS)).astype("float32") / 2


def compiled(metric, y, p, w):
    """The tally as the carry of one compiled loop over all batches, then its value."""
    like = [jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for a in (y, p)]
    start = metric.zero(*like)

    @jax.jit
    def run(tally, y, p, w):
        def step(i, tally):
            return metric.add(tally, y[i], p[i], None if w is None else w[i])

        return metric.read(jax.lax.fori_loop(0, BATCHES, step, tally))

    return run(start, y, p, w)


def weights_for(name, kwargs, data, y, w):
    """None, and weights that Keras takes for this metric (or none at all)."""
    if data is regression and kwargs.get("axis") == 0 or (name, data) == ("MeanSquaredError", flat):
        return (None,)  # these values are not one for each row, so Keras refuses weights
    if "IoU" in name:
        entries = y.shape[1:-1] if "OneHot" in name else y.shape[1:]
        return None, np.arange(BATCHES * np.prod(entries), dtype="int32").reshape(BATCHES, -1) % 4
    if kwargs.get("ignore_class") and data is sequence:
        return None, np.stack([w, w + 1, w, w, w], axis=-1)  # Keras refuses weights (b,) here
    return None, w


@pytest.mark.parametrize(("name", "kwargs", "data"), CASES, ids=IDS)
def test_value(name, kwargs, data):
    y, p, w = batches(data)
    weights = weights_for(name, kwargs, data, y, w)
    close = {"float16": {"rtol": 2e-3}, "bfloat16": {"rtol": 2e-2}}.get(kwargs.get("dtype"), CLOSE)
    theirs, ours = getattr(keras.metrics, name)(**kwargs), getattr(metrics, name)(**kwargs)
    for w in weights:
        for i in range(BATCHES):
            batch = (y[i], p[i]) if w is None else (y[i], p[i], w[i])
            theirs.update_state(*batch)
            ours.update_state(*batch)
        expected = np.asarray(theirs.result())
        np.testing.assert_allclose(ours.result(), expected, **close)
        assert [v.name for v in ours.variables] == [v.name for v in theirs.variables]
        for a, b in zip(ours.variables, theirs.variables, strict=True):
            np.testing.assert_allclose(a.numpy(), np.asarray(b.value), **close)
            assert a.dtype == b.dtype
        assert str(ours.result().dtype) == str(theirs.result().dtype)
        ours.reset_state()
        theirs.reset_state()
        assert all(not v.numpy().any() for v in ours.variables)
    np.testing.assert_allclose(compiled(ours, y, p, weights[-1]), expected, **close)


def as_json(config):
    return json.loads(json.dumps(config, default=lambda value: np.asarray(value).tolist()))


@pytest.mark.parametrize(("name", "kwargs", "data"), CASES, ids=IDS)
def test_config_repr_and_direction(name, kwargs, data):
    kwargs = {"name": "m", **kwargs}
    theirs, ours = getattr(keras.metrics, name)(**kwargs), getattr(metrics, name)(**kwargs)
    expected = as_json(theirs.get_config())
    if name == "CosineSimilarity" and "axis" in kwargs:  # Keras forgets the axis; we do not
        expected["axis"] = kwargs["axis"]
    assert as_json(ours.get_config()) == expected
    assert as_json(metrics.serialize(ours)) == {**as_json(keras.metrics.serialize(theirs)), "config": expected}
    assert metrics.deserialize(metrics.serialize(ours)).get_config() == ours.get_config()
    assert eval(repr(ours), vars(metrics)).get_config() == ours.get_config()
    assert ours.direction == getattr(theirs, "_direction", None)


@pytest.mark.parametrize("name", [n for n in metrics.__all__ if inspect.isclass(getattr(metrics, n)) and n != "Metric"])
def test_signature(name):
    ours, theirs = inspect.signature(getattr(metrics, name)), inspect.signature(getattr(keras.metrics, name))
    expected = {n: a.default for n, a in theirs.parameters.items() if n != "kwargs"}
    assert {n: a.default for n, a in ours.parameters.items()} == expected
    assert list(ours.parameters) == list(expected)


def test_public_names():
    theirs = {n for n in dir(keras.metrics) if not n.startswith("_")}
    assert theirs <= set(metrics.__all__)


def test_names_are_kerass():
    for word, cls in ALL_OBJECTS_DICT.items():
        assert registry.find("metric", word).__name__ == cls.__name__, word
    assert metrics.get(None) is None
    assert isinstance(metrics.get("mse"), metrics.MeanSquaredError)
    with pytest.raises(UsageError, match="mean_squared_error"):
        metrics.get("mean_square_eror")


@pytest.mark.parametrize("shape", [(), (4,), (4, 1), (4, 3)], ids=label)
@pytest.mark.parametrize("weight", [None, (), (4,), (4, 1), (4, 3)], ids=label)
@pytest.mark.parametrize("kind", ["Mean", "Sum"])
def test_reductions(kind, shape, weight):
    r = np.random.default_rng(1)
    values, w = r.normal(size=shape), None if weight is None else r.uniform(size=weight)
    theirs, ours = getattr(keras.metrics, kind)(), getattr(metrics, kind)()
    try:
        theirs.update_state(values, w)
    except Exception:
        with pytest.raises((ValueError, TypeError)):
            ours.update_state(values, w)
        return
    ours.update_state(values, w)
    np.testing.assert_allclose(ours.result(), theirs.result(), **CLOSE)
    assert [float(v) for v in ours.variables] == pytest.approx([float(v) for v in theirs.variables], abs=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["MeanSquaredError", "MeanAbsoluteError"])
def test_mask(name, weighted):
    y, p, _ = batches(hot_sequence)
    y, p, w = jnp.asarray(y[0]), jnp.asarray(p[0]), np.linspace(0, 1, ROWS * 5).reshape(ROWS, 5) if weighted else None
    mask = np.arange(5) < np.array([1, 5, 2, 3, 4, 0, 5, 5])[:, None]
    theirs, ours = getattr(keras.metrics, name)(), getattr(metrics, name)()
    p._keras_mask = jnp.asarray(mask)
    theirs.update_state(y, p, w)
    assert ours.masked
    ours.update_state(y, p, weighed(w, mask, "float32", "sum"))
    np.testing.assert_allclose(ours.result(), theirs.result(), **CLOSE)


# ---- what compile is given ---------------------------------------------------------------------------------


SHAPES = [
    ((8,), (8, 1)), ((8, 1), (8, 1)), ((8,), (8, 5)), ((8, 1), (8, 5)), ((8, 5), (8, 5)), ((8, 4), (8, 4, 5)),
    ((8, 4, 5), (8, 4, 5)), ((8, 4, 1), (8, 4, 5)), ((8, 4), (8, 4, 1)), ((8,), (8,)),
]  # fmt: skip


@pytest.mark.parametrize("word", ["accuracy", "acc", "Accuracy", "ACC", "mse", "AUC", "mean_squared_error", "F1Score"])
@pytest.mark.parametrize(("y", "p"), SHAPES)
def test_resolve(word, y, p):
    theirs, ours = get_metric(word, np.zeros(y), np.zeros(p)), metrics.resolve(word, y, p)
    assert (type(ours).__name__, ours.name) == (type(theirs).__name__, theirs.name)
    assert metrics.resolve(word, (None, *y[1:]), (None, *p[1:])).name == word


def test_resolve_crossentropy():
    kinds = [type(metrics.resolve(w, y, p)).__name__ for w in ("crossentropy", "ce") for y, p in SHAPES[:5:2]]
    assert kinds == ["BinaryCrossentropy", "SparseCategoricalCrossentropy", "CategoricalCrossentropy"] * 2
    assert metrics.resolve("ce", (None, 3), (None, 3)).name == "ce"


def test_resolve_objects():
    def bias(y_true, y_pred):
        return y_pred - y_true

    theirs = get_metric(bias, np.zeros((8, 1)), np.zeros((8, 1)))
    ours = metrics.resolve(bias, (8, 1), (8, 1))
    assert isinstance(ours, metrics.MeanMetricWrapper) and ours.name == theirs.name == "bias"
    y, p, w = batches(binary)
    for m in (ours, theirs):
        m.update_state(y[0], p[0], w[0])
    np.testing.assert_allclose(ours.result(), theirs.result(), **CLOSE)
    np.testing.assert_allclose(compiled(ours, y, p, w), np.sum(w[..., None] * (p - y)) / np.sum(w), **CLOSE)
    metric = metrics.Recall()
    assert metrics.resolve(metric, (8, 1), (8, 1)) is metric
    assert isinstance(metrics.resolve(metrics.Recall, (8, 1), (8, 1)), metrics.Recall)
    again = metrics.resolve(metrics.serialize(metrics.AUC(name="area", curve="PR")), (8, 1), (8, 1))
    assert (again.name, again.curve) == ("area", "PR")
    assert metrics.resolve(metrics.mean_squared_error, (8,), (8,)).direction == "down"
    assert metrics.resolve(lambda y, p: y, (8,), (8,)).name == get_metric(lambda y, p: y, np.ones(8), np.ones(8)).name
    with pytest.raises(UsageError):
        metrics.resolve(None, (8,), (8,))
    with pytest.raises(UsageError):
        metrics.resolve(3, (8,), (8,))


@pytest.mark.parametrize("name", ["huber", "binary_accuracy", "mean_squared_error", "pearson_correlation"])
def test_wrapper_config(name):
    options = {"delta": 0.5} if name == "huber" else {}
    theirs = keras.metrics.MeanMetricWrapper(getattr(keras.metrics, name), name="m", **options)
    ours = metrics.MeanMetricWrapper(getattr(metrics, name), name="m", **options)
    assert as_json(ours.get_config()) == as_json(theirs.get_config())
    again = metrics.deserialize(metrics.serialize(ours))
    assert again.fn is ours.fn and again.options == options and again.direction == ours.direction
    assert metrics.serialize(ours.fn) == keras.metrics.serialize(getattr(keras.metrics, name))
    assert metrics.deserialize(metrics.serialize(ours.fn)) is ours.fn
    y, p, w = batches(multilabel)
    for m in (ours, theirs):
        m.update_state(y[0], p[0], w[0])
    np.testing.assert_allclose(ours.result(), theirs.result(), **CLOSE)


# ---- classes written for Keras ---------------------------------------------------------------------------------


def counter(base):
    class Counter(base):
        """As in Keras's guide: variables in __init__, assign in update_state."""

        def __init__(self, name="counter", offset=1.0, **kwargs):
            super().__init__(name=name, **kwargs)
            self.offset = offset
            self.total = self.add_variable(shape=(), initializer="zeros", name="total")
            self.rows = self.add_weight(shape=(2,), initializer="ones", dtype="int32", name="rows")

        def update_state(self, y_true, y_pred, sample_weight=None):
            values = jnp.abs(jnp.asarray(y_true) - y_pred) + self.offset
            if sample_weight is not None:
                values = values * jnp.reshape(jnp.asarray(sample_weight), (-1, 1))
            self.total.assign_add(jnp.sum(values))
            self.rows.assign(self.rows + jnp.shape(values)[0])

        def result(self):
            return {"mean": self.total / jnp.asarray(self.rows[0], "float32"), "total": self.total}

    return Counter


def squeezed(module):
    class Squeezed(module.Precision):
        """A member with another update_state, and one variable more."""

        def __init__(self, name=None, **kwargs):
            super().__init__(name=name, **kwargs)
            self.calls = self.add_variable(shape=(), initializer="zeros", name="calls")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.calls.assign(self.calls + 1)
            super().update_state(y_true, 1 - jnp.asarray(y_pred), sample_weight)

        def result(self):
            return super().result() + self.calls

        def reset_state(self):
            super().reset_state()
            self.calls.assign(0)

    return Squeezed


def perplexity(module):
    class Perplexity(module.Mean):
        def __init__(self, name="perplexity", **kwargs):
            super().__init__(name=name, **kwargs)

        def update_state(self, y_true, y_pred, sample_weight=None):
            super().update_state(module.mean_squared_error(y_true, y_pred), sample_weight=sample_weight)

        def result(self):
            return jnp.exp(super().result())

    return Perplexity


def composed(module):
    class Composed(module.Metric):
        """Metrics inside a metric, one of them of a shape that the data decides."""

        def __init__(self, name="composed", **kwargs):
            super().__init__(name=name, **kwargs)
            self.precision, self.others = module.Precision(), [module.Recall(), module.F1Score(average="macro")]

        def update_state(self, y_true, y_pred, sample_weight=None):
            for metric in (self.precision, *self.others):
                metric.update_state(y_true, y_pred, sample_weight)

        def result(self):
            return self.precision.result() + self.others[0].result() + 10 * self.others[1].result()

        def reset_state(self):
            for metric in (self.precision, *self.others):
                metric.reset_state()

    return Composed


def lazy(module):
    class Lazy(module.Metric):
        """Variables made by the first batch."""

        def __init__(self, name="lazy", **kwargs):
            super().__init__(name=name, **kwargs)
            self.made = False

        def update_state(self, y_true, y_pred, sample_weight=None):
            if not self.made:
                self.sums = self.add_variable(shape=(y_pred.shape[-1],), initializer="zeros", name="sums")
                self.made = True
            self.sums.assign(self.sums + jnp.sum(jnp.asarray(y_pred), axis=0))

        def result(self):
            return jnp.max(self.sums.value)

    return Lazy


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize(
    ("make", "data"),
    [
        (lambda m: counter(m.Metric), binary),
        (squeezed, binary),
        (perplexity, regression),
        (composed, multilabel),
        (lazy, onehot),
    ],
    ids=["counter", "squeezed", "perplexity", "composed", "lazy"],
)
def test_written_for_keras(make, data, weighted):
    theirs, ours, pure = make(keras.metrics)(), make(metrics)(), make(metrics)()
    y, p, w = batches(data)
    w = w if weighted else None
    for i in range(BATCHES):
        for m in (ours, theirs):
            m.update_state(y[i], p[i], *([] if w is None else [w[i]]))
    assert len(ours.variables) == len(theirs.variables)
    for a, b in zip(jax.tree.leaves(plain(ours.result())), jax.tree.leaves(plain(theirs.result())), strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)
    theirs.reset_state()
    for i in range(BATCHES):
        theirs.update_state(y[i], p[i], *([] if w is None else [w[i]]))
    found = compiled(pure, y, p, w)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(plain(theirs.result())), strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)
    assert not any(isinstance(v.value, jax.core.Tracer) for v in pure.variables)
    assert not pure.summable
    ours.reset_state()
    again = ours.stateless_update_state(ours.variables, y[0], p[0])
    ours.update_state(y[0], p[0])
    for a, b in zip(again, ours.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    expected = jax.tree.leaves(plain(ours.result()))
    np.testing.assert_allclose(jax.tree.leaves(ours.stateless_result(again)), expected)
    assert not any(np.any(a) for a in ours.stateless_reset_state())


def plain(result):
    return {k: np.asarray(v) for k, v in result.items()} if isinstance(result, dict) else np.asarray(result)


def test_custom_config():
    metric = counter(metrics.Metric)(offset=2.0)
    assert metric.get_config() == {"name": "counter", "dtype": "float32", "offset": 2.0}
    assert type(metric).from_config({"name": "x", "offset": 3.0}).offset == 3.0


def test_too_early_and_too_late():
    class Early(metrics.Metric):
        def __init__(self):
            self.a = self.add_variable((), "zeros")
            super().__init__()

    with pytest.raises(UsageError, match="super"):
        Early()
    with pytest.raises(UsageError, match="not seen data"):
        metrics.F1Score().result()
    with pytest.raises(DataError, match="batch, outputs"):
        metrics.F1Score().zero()
    made = lazy(metrics)()
    with pytest.raises(UsageError, match="update_state"):
        made.add({}, np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(NotImplementedError):
        metrics.Metric().update_state([1], [1])
    with pytest.raises(AttributeError):
        metrics.Mean().dtype = "float16"
    with pytest.raises(DataError, match="shape"):
        metrics.Precision().update_state(np.ones((4, 1)), np.ones((4, 3)))


BAD = [
    ("AUC", {"num_thresholds": 1}), ("AUC", {"curve": "RUC"}), ("AUC", {"num_labels": 2}),
    ("AUC", {"num_thresholds": None}),
    ("AUC", {"summation_method": "trapezoid"}), ("Precision", {"thresholds": [0.5, 2]}), ("Recall", {"thresholds": -1}),
    ("SensitivityAtSpecificity", {"specificity": 2}), ("PrecisionAtRecall", {"recall": 0.5, "num_thresholds": 0}),
    ("FBetaScore", {"average": "mini"}), ("FBetaScore", {"beta": -1.0}), ("FBetaScore", {"beta": 1}),
    ("F1Score", {"threshold": 3.0}), ("R2Score", {"class_aggregation": "mean"}), ("R2Score", {"num_regressors": -1}),
    ("IoU", {"num_classes": 2, "target_class_ids": [2]}), ("Mean", {"dtype": "float31"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kwargs"), BAD)
def test_refused_like_keras(name, kwargs):
    with pytest.raises((ValueError, TypeError)):
        getattr(keras.metrics, name)(**kwargs)
    with pytest.raises(ValueError):
        getattr(metrics, name)(**kwargs)


# ---- what our own contract promises -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["AUC", "F1Score", "R2Score", "RootMeanSquaredError", "Recall", "BinaryAccuracy"])
def test_tallies_add_up(name):
    """The tallies of two halves, added, read as the tally of the whole."""
    y, p, w = batches(multilabel)
    metric = getattr(metrics, name)()
    zero = metric.zero(y[0], p[0])
    parts = [metric.add(zero, y[i], p[i], w[i]) for i in range(2)]
    whole = metric.add(metric.add(zero, y[0], p[0], w[0]), y[1], p[1], w[1])
    assert metric.summable
    added = jax.tree.map(lambda a, b: a + b, *parts)
    np.testing.assert_allclose(metric.read(added), metric.read(whole), **CLOSE)


def test_add_is_pure_and_steady():
    for name, kwargs, data in CASES:
        metric = getattr(metrics, name)(**kwargs)
        y, p, w = batches(data)
        zero = metric.zero(y[0], p[0])
        after = jax.eval_shape(metric.add, zero, y[0], p[0], None)
        described = {k: (tuple(a.shape), str(a.dtype)) for k, a in zero.items()}
        assert {k: (tuple(a.shape), str(a.dtype)) for k, a in after.items()} == described, name
        assert not any(np.any(a) for a in zero.values())


def test_many_labels_are_exact_in_half_precision():
    """Keras compares labels in the dtype of the predictions, where 257 is 256; we compare whole numbers."""
    p = np.zeros((1, 300), "float16")
    p[0, 299] = 1
    assert float(metrics.sparse_categorical_accuracy(np.array([299]), jnp.asarray(p, "bfloat16"))[0]) == 1
    assert float(metrics.sparse_categorical_accuracy(np.array([298]), jnp.asarray(p, "bfloat16"))[0]) == 0


def test_weights_cut_to_whole_numbers_are_told():
    with pytest.warns(UserWarning, match="weight.*float.*casting"):
        metrics.MeanIoU(num_classes=3).update_state([0, 1], [0, 1], np.array([0.2, 0.3]))


def test_views_are_arrays_to_jax_numpy():
    metric = metrics.Mean()
    metric.update_state([1.0, 3.0])
    found = [jnp.divide(metric.total, metric.count), metric.total / 2, 8 / metric.total, jnp.sqrt(metric.total)]
    assert [float(value) for value in found] == [2, 2, 2, 2]
    assert float(jax.jit(lambda total: jnp.sum(total) + 1)(metric.total)) == 5
    assert repr(metrics.MeanMetricWrapper(metrics.huber, delta=2.0)) == "MeanMetricWrapper(huber, delta=2.0)"


def test_shadow_leaves_the_metric_alone():
    metric = counter(metrics.Metric)()
    before = metric.tally
    custom.add(metric, metric.zero(), np.ones((2, 1)), np.zeros((2, 1)))
    assert metric.tally == before
