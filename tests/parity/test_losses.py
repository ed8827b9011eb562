"""Every loss beside Keras 3.15.1: value and gradient, for all reductions, weights and masks.

Tolerance: both sides are float32 sums of at most 60 terms of like size, each term off by a few units in the last
place (6e-8), so 1e-6 of the largest entry holds for all but two. The circle loss takes exp(80 · x): an error of
1e-7 in x is 1e-5 in the weights that its gradient is made of. CTC adds up logarithms over the steps in another order
than Keras does.
"""

import doctest
import inspect
import itertools
import pickle
import re

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import losses as theirs
from keras.src import backend
from keras.src.losses import ALL_OBJECTS_DICT
from keras.src.losses.losses import LossFunctionWrapper as TheirWrapper

import seriatim.losses as ours
from seriatim.base.registry import register_keras_serializable
from seriatim.base.report import DataError, UsageError
from seriatim.math import distances, reductions


def label(value):
    """The name of a case: the same in every process."""
    return re.sub(r" at 0x\w+", "", str(value))


LOOSE = {"Circle": 2e-5, "CTC": 5e-6}
REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)
SHAPES = [(5, 3), (4, 6, 2)]


# ---- data for each kind of loss --------------------------------------------------------------------


def numbers(rng, shape):
    return rng.normal(size=shape), rng.normal(size=shape)


def positive(rng, shape):
    return rng.uniform(0.1, 3, shape), rng.uniform(0.1, 3, shape)


def bits(rng, shape):
    p = rng.uniform(0.01, 0.99, shape)
    p.flat[:2] = 0.0, 1.0  # beyond the clip
    return rng.integers(0, 2, shape), p


def signed(rng, shape):
    return 2 * rng.integers(0, 2, shape) - 1, rng.normal(size=shape)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def one_hot(rng, shape):
    y, p = classes(rng, shape)
    return np.eye(shape[-1])[y], p


def classes(rng, shape):
    return rng.integers(0, shape[-1], shape[:-1]), softmax(2 * rng.normal(size=shape))


def class_logits(rng, shape):
    return classes(rng, shape)[0], 3 * rng.normal(size=shape)


def one_hot_logits(rng, shape):
    return one_hot(rng, shape)[0], 3 * rng.normal(size=shape)


def bit_logits(rng, shape):
    return rng.integers(0, 2, shape), 4 * rng.normal(size=shape)


def embeddings(rng, shape):
    p = rng.normal(size=(6, 4))
    return np.array([1, 1, 2, 2, 3, 1]), p / np.linalg.norm(p, axis=1, keepdims=True)


def spellings(rng, shape):
    return np.array([[1, 2, 2, 0], [3, 1, 0, 0], [0, 0, 0, 0], [1, 2, 0, 2]]), rng.normal(size=(4, 8, 5))


PLAIN = {
    "MeanSquaredError": numbers, "MeanAbsoluteError": numbers, "MeanAbsolutePercentageError": positive,
    "MeanSquaredLogarithmicError": positive, "CosineSimilarity": numbers, "Huber": numbers, "LogCosh": numbers,
    "KLDivergence": positive, "Poisson": positive, "BinaryCrossentropy": bits, "BinaryFocalCrossentropy": bits,
    "CategoricalCrossentropy": one_hot, "CategoricalFocalCrossentropy": one_hot,
    "SparseCategoricalCrossentropy": classes, "CategoricalGeneralizedCrossEntropy": classes, "Hinge": signed,
    "SquaredHinge": bits, "CategoricalHinge": one_hot, "Dice": bits, "Tversky": bits, "Circle": embeddings,
    "CTC": spellings,
}  # fmt: skip
OPTIONS = [
    ("CosineSimilarity", {"axis": 1}, numbers),
    ("Huber", {"delta": 0.4}, numbers),
    ("Hinge", {}, bits),
    ("BinaryCrossentropy", {"from_logits": True}, bit_logits),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, bit_logits),
    ("BinaryCrossentropy", {"label_smoothing": 0.1, "axis": 1}, bits),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5}, bits),
    ("BinaryFocalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, bit_logits),
    ("CategoricalCrossentropy", {"from_logits": True}, one_hot_logits),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, one_hot),
    ("CategoricalCrossentropy", {"axis": 1}, one_hot),
    ("CategoricalFocalCrossentropy", {"alpha": 0.5, "gamma": 3.0, "label_smoothing": 0.1}, one_hot),
    ("CategoricalFocalCrossentropy", {"from_logits": True}, one_hot_logits),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, class_logits),
    ("SparseCategoricalCrossentropy", {"ignore_class": 0}, classes),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1}, class_logits),
    ("SparseCategoricalCrossentropy", {"ignore_class": -1}, classes),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.8}, classes),
    ("Dice", {"axis": -1}, bits),
    ("Dice", {"axis": (0, 1)}, bits),
    ("Tversky", {"axis": 1}, bits),
    ("Circle", {"gamma": 16.0, "margin": 0.25}, embeddings),
]


def data(make, shape, seed=0):
    y, p = make(np.random.default_rng(seed), shape)
    return np.asarray(y), jnp.asarray(p, "float32")


def keras_value(loss, y, p, weight, mask):
    backend.set_keras_mask(p, None if mask is None else jnp.asarray(mask))
    return loss(y, p, sample_weight=weight)


def pulled(values, p):
    """The values (a list), and the gradient of a fixed mixture of all their entries."""

    def run(p):
        found, back = jax.vjp(values, p)
        return found, back([jnp.cos(jnp.arange(v.size, dtype="float32")).reshape(v.shape) for v in found])[0]

    found, gradient = jax.jit(run)(p)
    return [*found, gradient]


def close(mine, reference, rtol=1e-6):
    for a, b in zip(map(np.asarray, mine), map(np.asarray, reference), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(np.abs(b).max(initial=0), 1e-3))


def sides(name, options, y, cases):
    """Our values and Keras's, as functions of p: one for each case (weight, mask, reduction)."""

    def mine(p):
        cls = getattr(ours, name)
        return [cls(reduction=r, **options)(y, p, sample_weight=w, mask=m) for w, m, r in cases]

    def reference(p):
        cls = getattr(theirs, name)
        return [keras_value(cls(reduction=r, **options), y, p, w, m) for w, m, r in cases]

    return mine, reference


def compare(name, options, y, p, *cases):
    """Values in each case, and the gradient of them all together, agree."""
    mine, reference = sides(name, options, y, cases)
    close(pulled(mine, p), pulled(reference, p), LOOSE.get(name, 1e-6))


def weights_for(shape):
    """Sample weights that Keras takes for values of this shape: one number, one a row, one an entry."""
    rng = np.random.default_rng(3)
    rows = rng.uniform(0, 2, (shape[0], 1) if len(shape) > 1 else shape)
    return [None, 1.7, rows, rng.uniform(0, 2, (*shape, 1) if len(shape) == 1 else shape)]


def value_shape(name, options, y, p):
    return getattr(theirs, name)(reduction=None, **options)(y, p).shape


# ---- the numbers -------------------------------------------------------------------------------------


FIXED = {embeddings, spellings}  # these have a shape of their own
GRID = [(name, shape) for name in PLAIN for shape in SHAPES if PLAIN[name] not in FIXED or shape is SHAPES[0]]


@pytest.mark.parametrize("name, shape", GRID, ids=label)
def test_reductions_weights_masks(name, shape):
    y, p = data(PLAIN[name], shape)
    values = value_shape(name, {}, y, p) or (5,)
    mask = np.random.default_rng(4).uniform(size=values) < 0.6
    weights = weights_for(values)
    if name == "CTC":  # its loop over time is compiled anew for every eager call
        return compare(name, {}, y, p, *itertools.product((None, weights[2]), (None, mask), REDUCTIONS))
    mine, reference = sides(name, {}, y, list(itertools.product(weights, (None, mask), REDUCTIONS)))
    reference = jax.jit(reference) if "Hinge" in name else reference  # likewise, its branch on the labels
    close(mine(p), reference(p), LOOSE.get(name, 1e-6))
    if shape is SHAPES[1] or PLAIN[name] in FIXED:  # compiling is what takes the time
        compare(name, {}, y, p, (None, None, None), *((weights[2], mask, reduction) for reduction in REDUCTIONS))
    return None


@pytest.mark.parametrize("shape", SHAPES[1:], ids=label)
@pytest.mark.parametrize("name, options, make", OPTIONS, ids=label)
def test_options(name, options, make, shape):
    y, p = data(make, shape, 1)
    values = value_shape(name, options, y, p)
    mask = np.random.default_rng(5).uniform(size=values) < 0.6 if values else None
    weight = weights_for(values or (1,))[2]
    compare(name, options, y, p, (None, None, None), (None, mask, "mean"), (weight, mask, "sum_over_batch_size"))


FUNCTIONS = sorted(n for n in dir(theirs) if inspect.isfunction(getattr(theirs, n)) and n.islower())
FUNCTIONS = [n for n in FUNCTIONS if n not in ("get", "serialize", "deserialize")]
SNAKE = {ours.names.snake(name): make for name, make in PLAIN.items()}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    options = {"q": 0.7} if "generalized" in name else {}
    tolerance = LOOSE.get({"circle": "Circle", "ctc": "CTC"}.get(name), 1e-6)
    for shape in SHAPES:
        y, p = data(SNAKE[name], shape, 2)
        y = y if SNAKE[name] in (classes, embeddings, spellings) else y.astype("float32")
        mine, reference = (getattr(side, name)(y, p, **options) for side in (ours, theirs))
        close([mine], [reference], tolerance)


@pytest.mark.parametrize("name", ["MeanSquaredError", "BinaryCrossentropy", "KLDivergence"])
@pytest.mark.parametrize("labels, outputs", [((5,), (5, 1)), ((5, 1), (5,)), ((5, 4), (5, 4, 1)), ((5, 4, 1), (5, 4))])
def test_a_last_axis_of_one_may_be_missing(name, labels, outputs):
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, labels), jnp.asarray(rng.uniform(0.1, 0.9, outputs), "float32")
    compare(name, {}, y, p, *itertools.product((None, rng.uniform(size=(5, 1))), (None,), (None, "mean")))


def test_gradients_at_kinks():
    # ties and zeros: where a subgradient has to be chosen, ours is Keras's
    y = np.array([[0.0, 1.0, 1.0, 2.0]])
    p = jnp.array([[0.0, 1.0, 0.0, 1.0]])
    for name in ("MeanAbsoluteError", "Huber", "Hinge", "CategoricalHinge", "LogCosh", "MeanAbsolutePercentageError"):
        compare(name, {}, y, p, (None, None, "sum"))
    y = np.array([[0.0, 1.0, 1.0, 0.0]])
    far = jnp.array([[-90.0, 90.0, -25.0, 25.0]])
    compare("BinaryCrossentropy", {"from_logits": True}, y, far, (None, None, None))
    for options in ({}, {"from_logits": True}):
        compare("BinaryCrossentropy", options, y, p, (None, None, "sum"))
        compare("BinaryFocalCrossentropy", options, y, p, (None, None, "sum"))


def test_sparse_labels_in_every_form():
    rng = np.random.default_rng(0)
    p = jnp.asarray(softmax(rng.normal(size=(4, 3))), "float32")
    for y in ([0, 1, 2, 1], [[0], [1], [2], [1]], [0.0, 1.0, 2.0, 1.0], np.array([0, 1, 2, 1], "uint8"), [0, 1, 3, -1]):
        compare("SparseCategoricalCrossentropy", {}, np.asarray(y), p, (None, None, None))
        compare("SparseCategoricalCrossentropy", {"from_logits": True}, np.asarray(y), p, (None, None, None))
    y = np.array([0, 255, 2, 255], "uint8")
    compare("SparseCategoricalCrossentropy", {"ignore_class": 255}, y, p, (None, None, "mean"))
    p = p.at[1].set(jnp.nan)  # what is ignored may be anything
    compare("SparseCategoricalCrossentropy", {"ignore_class": 255}, y, p, (None, None, "mean"))
    compare("SparseCategoricalCrossentropy", {"ignore_class": 255}, y[[1, 3, 1, 1]], p, (None, None, "mean"))


def test_empty_batches_and_full_masks():
    empty = np.zeros((0, 3), "float32")
    assert ours.MeanSquaredError()(empty, empty).shape == theirs.MeanSquaredError()(empty, empty).shape
    y, p = data(numbers, (4, 3))
    for reduction in ("mean", "sum", "mean_with_sample_weight"):
        compare("MeanSquaredError", {}, y, p, (None, np.zeros(4, bool), reduction), (np.zeros(4), None, reduction))


@pytest.mark.parametrize("name", PLAIN)
def test_half_precision(name):
    y, p = data(PLAIN[name], (5, 3))
    p = jnp.clip(p, 0.05, 0.95) if PLAIN[name] is bits else p  # 1 − 1e-7 is 1 in half precision, there and here
    value, reference = (getattr(side, name)(dtype="bfloat16")(y, p) for side in (ours, theirs))
    assert str(value.dtype) == str(reference.dtype) == "bfloat16"
    # 8 bits: a few roundings in another order are one or two per cent
    np.testing.assert_allclose(np.float32(value), np.float32(reference), rtol=0.03)


# ---- where ours differs on purpose -------------------------------------------------------------------


def test_tversky_has_alpha_on_false_alarms():
    y, p = data(bits, (5, 3))
    mine = ours.Tversky(alpha=0.2, beta=0.7)(y, p)
    np.testing.assert_allclose(mine, theirs.Tversky(alpha=0.7, beta=0.2)(y, p), rtol=1e-6)
    alarms = ours.tversky(np.zeros((1, 4)), np.ones((1, 4)), alpha=0.5, beta=0.0)
    assert float(alarms) == 1.0 and float(ours.tversky(np.ones(4), np.ones(4))) == pytest.approx(0, abs=1e-6)


def test_the_axis_of_the_classes():
    rng = np.random.default_rng(0)
    p = jnp.asarray(softmax(rng.normal(size=(2, 5, 4, 3))), "float32")
    first = jnp.moveaxis(p, -1, 1)
    y = rng.integers(0, 3, (2, 5, 4))
    hot, first_hot = np.eye(3)[y], np.moveaxis(np.eye(3)[y], -1, 1)
    for options in ({}, {"from_logits": True}, {"ignore_class": 1}):  # Keras refuses these shapes on JAX
        a = ours.SparseCategoricalCrossentropy(axis=1, **options)(y, first)
        np.testing.assert_allclose(a, theirs.SparseCategoricalCrossentropy(**options)(y, p), rtol=1e-6)
    expected = theirs.sparse_categorical_crossentropy(y, p)
    for labels in (y[:, None], y[..., None]):
        np.testing.assert_allclose(ours.sparse_categorical_crossentropy(labels, first, axis=1), expected, rtol=1e-6)
    for name in ("CategoricalCrossentropy", "CategoricalFocalCrossentropy"):  # Keras smooths over the last axis
        a = getattr(ours, name)(axis=1, label_smoothing=0.1)(first_hot, first)
        np.testing.assert_allclose(a, getattr(theirs, name)(label_smoothing=0.1)(hot, p), rtol=1e-6)


def test_no_nan_where_keras_has_one():
    zero = jnp.zeros((2, 3))
    grad = jax.grad(lambda p: ours.CosineSimilarity()(np.ones((2, 3)), p))(zero)
    assert np.isfinite(grad).all()
    barred = jnp.array([[0.0, -jnp.inf, 1.0]])
    loss = ours.SparseCategoricalCrossentropy(from_logits=True)
    value, grad = jax.value_and_grad(lambda p: loss([0], p))(barred)
    assert value == pytest.approx(np.log1p(np.e)) and np.isfinite(grad).all()
    long = ours.CTC()(np.array([[1, 1, 1]]), jnp.zeros((1, 2, 4)))  # does not fit into two steps
    assert 9e4 < float(long) < 4e5 and 9e4 < float(theirs.CTC()(np.array([[1, 1, 1]]), jnp.zeros((1, 2, 4)))) < 4e5


def test_class_numbers_stay_whole():
    # float16 knows no 2049: Keras casts labels to the loss's dtype first, and picks class 2048
    p = np.full((1, 4000), -5.0, "float32")
    p[0, 2049] = 9.0
    for label in (2049, 2049.0):
        assert float(ours.SparseCategoricalCrossentropy(from_logits=True, dtype="float16")([label], p)) < 0.1
    column = ours.CategoricalGeneralizedCrossEntropy(reduction=None)([[0], [1]], [[0.9, 0.1], [0.3, 0.7]])
    assert column.shape == (2,)  # Keras: (2, 2)


def test_weights_of_a_row_weigh_its_steps():
    y, p = data(numbers, (3, 3, 2))  # as many rows as steps: Keras would weigh the steps
    rows, mask = np.array([1.0, 0.0, 2.0]), np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1]], bool)
    loss = ours.MeanSquaredError()
    for m in (None, mask):
        np.testing.assert_allclose(loss(y, p, rows, m), loss(y, p, rows[:, None], m), rtol=1e-6)
    np.testing.assert_allclose(loss(y, p, mask, rows > 0), loss(y, p, mask, (rows > 0)[:, None]), rtol=1e-6)


# ---- the contract ------------------------------------------------------------------------------------

EXTRA = {"Huber": {"delta"}, "CosineSimilarity": {"axis"}, "SparseCategoricalCrossentropy": {"axis"}}


@pytest.mark.parametrize("name, options", [(n, {}) for n in PLAIN] + [(n, o) for n, o, _ in OPTIONS], ids=label)
def test_config(name, options):
    for more in ({}, {"name": "mine", "reduction": "sum"}, {"reduction": None}):
        mine = getattr(ours, name)(**options, **more)
        config, reference = mine.get_config(), getattr(theirs, name)(**options, **more).get_config()
        assert {key: value for key, value in config.items() if key in reference} == reference
        assert set(config) - set(reference) <= EXTRA.get(name, set())  # Keras 3.15.1 loses them on saving
        assert type(mine).from_config(config).get_config() == config
        assert eval(repr(mine), vars(ours)).get_config() == config
        assert ours.deserialize(ours.serialize(mine)).get_config() == config
        kept = getattr(theirs, name).from_config({**reference, **options})
        assert kept.name == mine.name and ours.serialize(mine)["module"] == theirs.serialize(kept)["module"]
        assert pickle.loads(pickle.dumps(mine)).get_config() == config


@pytest.mark.parametrize("name", [*PLAIN, *FUNCTIONS])
def test_signature(name):
    assert str(inspect.signature(getattr(ours, name))) == str(inspect.signature(getattr(theirs, name)))


def test_every_name():
    for name, member in ALL_OBJECTS_DICT.items():
        found = ours.deserialize(name)
        assert found.__name__ == member.__name__ and inspect.isclass(found) == inspect.isclass(member), name
        assert getattr(ours, name) is found
    for name in dir(theirs):
        assert name.startswith("_") or hasattr(ours, name), name
    for name in ("logcosh", "kullback_leibler_divergence", "mse", "MSE", "bce"):
        assert callable(getattr(ours, name))


def test_get():
    assert ours.get(None) is None and ours.get("MSE") is ours.mean_squared_error
    assert pickle.loads(pickle.dumps(ours.get("mse"))) is ours.mean_squared_error
    assert isinstance(ours.get("Huber"), ours.Huber) and isinstance(ours.get(ours.Huber), ours.Huber)
    assert isinstance(ours.get("categorical_generalized_cross_entropy"), ours.Loss)
    assert ours.get({"class_name": "Huber", "config": {"delta": 2.0}}).delta == 2.0
    assert ours.get(len) is len and ours.as_loss(None) is None
    assert ours.as_loss("mse").name == "mse" and ours.as_loss(ours.mse).name == "mean_squared_error"
    with pytest.raises(ValueError, match="did you mean 'mean_squared_error'"):
        ours.get("mean_squared_eror")
    with pytest.raises(ValueError, match="not a loss"):
        ours.get(3)


@register_keras_serializable("tests")
def registered(y_true, y_pred, scale=1.0):
    return scale * jnp.mean(y_pred - y_true, axis=-1)


def test_functions_are_wrapped():
    y, p = data(numbers, (4, 3))
    mine, reference = ours.LossFunctionWrapper(registered, scale=2.0), TheirWrapper(registered, scale=2.0)
    assert mine.get_config()["scale"] == 2.0 and mine.name.startswith("loss_function_wrapper")
    close(pulled(lambda p: [mine(y, p)], p), pulled(lambda p: [reference(y, p)], p))
    again = ours.LossFunctionWrapper.from_config(mine.get_config())
    assert again.fn is registered and again.options == {"scale": 2.0}
    assert ours.LossFunctionWrapper(ours.huber, "sum", "n", delta=2.0).get_config() == {
        **TheirWrapper(theirs.huber, "sum", "n", delta=2.0).get_config()
    }
    assert ours.serialize(ours.huber) == theirs.serialize(theirs.huber)
    assert ours.deserialize(ours.serialize(registered)) is registered


def test_a_function_that_ignores_a_class_keeps_it_out_of_the_mean():
    y, p = data(classes, (4, 6, 3))
    mine = ours.LossFunctionWrapper(lambda t, q: ours.sparse_categorical_crossentropy(t, q, ignore_class=1))
    reference = TheirWrapper(lambda t, q: theirs.sparse_categorical_crossentropy(t, q, ignore_class=1))
    mask = np.random.default_rng(0).uniform(size=(4, 6)) < 0.5
    for m in (None, mask):
        expected = pulled(lambda p: [keras_value(reference, y, p, None, m)], p)
        close(pulled(lambda p: [mine(y, p, mask=m)], p), expected)


def written_for_keras(base, ops):
    class Scaled(base):
        def __init__(self, factor=2.0, name="scaled", reduction="sum_over_batch_size"):
            super().__init__(name=name, reduction=reduction)
            self.factor = factor

        def call(self, y_true, y_pred):
            return self.factor * ops.square(y_true - y_pred)

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}

    return Scaled


def test_losses_written_for_keras():
    y, p = data(numbers, (4, 3))
    mine, reference = (written_for_keras(base, keras.ops)(3.0) for base in (ours.Loss, theirs.Loss))
    assert mine.get_config() == reference.get_config() and mine.dtype == reference.dtype == "float32"
    assert type(mine).from_config(mine.get_config()).factor == 3.0
    mask = np.random.default_rng(0).uniform(size=(4, 3)) < 0.5
    for weight, m in itertools.product((None, 2.0, np.ones((4, 1)), np.ones((4, 3))), (None, mask)):
        expected = pulled(lambda p: [keras_value(reference, y, p, weight, m)], p)
        close(pulled(lambda p: [mine(y, p, sample_weight=weight, mask=m)], p), expected)

    class Bare(ours.Loss):
        def call(self, y_true, y_pred):
            return y_true["a"] - y_pred[0]

    assert Bare("by_place", "sum").get_config() == {"name": "by_place", "reduction": "sum"}
    first, second = Bare(), Bare()
    assert (first.name, second.name) == ("bare", "bare_1")
    assert float(Bare(reduction="sum")({"a": np.array([3.0])}, [np.array([1.0])])) == 2.0

    class Unsaid(ours.Loss):
        def __init__(self, factor, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

    assert Unsaid.from_config(Unsaid(4, name="u").get_config()).factor == 4


def test_the_examples_in_the_docstrings():
    for module in (ours, distances, reductions):
        assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


def test_dtype_is_the_float_type_of_the_settings():
    assert ours.Loss().dtype == "float32" and ours.Loss(dtype="mixed_float16").dtype == "float16"
    with pytest.raises(AttributeError):
        ours.Loss().dtype = "bfloat16"


# ---- what cannot work is said ------------------------------------------------------------------------

WRONG = [
    ("mse", (4,), (4, 3), r"labels \(4,\), predictions \(4, 3\)(.|\n)*Dense\(1\)"),
    ("mae", (4, 1), (4, 7, 1), r"labels \(4, 1\), predictions \(4, 7, 1\)(.|\n)*return_sequences=False"),
    ("huber", (4, 2), (4, 3), r"let the last layer give \(2,\)"),
    ("mse", (5, 3), (4, 3), "one label for each input"),
    ("binary_crossentropy", (4, 1), (4, 3), "must have the same shape(.|\n)*sparse_categorical_crossentropy"),
    ("categorical_crossentropy", (4,), (4, 3), r"to_categorical\(y, 3\)"),
    ("categorical_crossentropy", (4, 1), (4, 3), "loss='sparse_categorical_crossentropy'"),
    ("categorical_focal_crossentropy", (4, 1), (4, 3), "loss='sparse_categorical_crossentropy'"),
    ("sparse_categorical_crossentropy", (4, 3), (4, 3), "one-hot: loss='categorical_crossentropy'"),
    ("sparse_categorical_crossentropy", (4,), (4, 7, 3), "return_sequences=False"),
    ("sparse_categorical_crossentropy", (4, 7), (4, 3), r"\(7, classes\)"),
    ("sparse_categorical_crossentropy", (5,), (4, 3), "one label for each input"),
    ("sparse_categorical_crossentropy", (4,), (4,), r"want +labels \(\)"),
    ("ctc", (4,), (4, 3), r"labels \(batch, length\), predictions \(batch, time, classes\)"),
    ("circle", (3,), (4, 3), "one label for each embedding"),
]


@pytest.mark.parametrize("name, labels, outputs, said", WRONG)
def test_wrong_shapes(name, labels, outputs, said):
    loss = ours.as_loss(name)
    with pytest.raises(DataError, match=said):
        jax.jit(lambda p: loss(np.zeros(labels), p))(jnp.zeros(outputs))


def test_wrong_weights_and_arguments():
    y, p = data(numbers, (4, 3))
    loss = ours.MeanSquaredError()
    for weight, mask in ((np.ones(5), None), (np.ones((4, 4)), None), (None, np.ones((4, 4), bool))):
        with pytest.raises(DataError, match=r"shapes \(4"):
            loss(y, p, sample_weight=weight, mask=mask)
    for name in PLAIN:
        with pytest.raises(UsageError, match="Invalid value for argument"):
            getattr(ours, name)(reduction="abc")
    with pytest.raises(ValueError, match=r"interval \(0, 1\)"):
        ours.CategoricalGeneralizedCrossEntropy(q=1.5)
    with pytest.raises(UsageError):
        ours.CategoricalCrossentropy(axis=True)


# ---- speed -------------------------------------------------------------------------------------------


def test_sparse_crossentropy_makes_no_one_hot_array():
    y, p = np.zeros(8, "int32"), jnp.zeros((8, 1000))
    for options in ({}, {"from_logits": True}):
        program = jax.make_jaxpr(jax.grad(lambda p: ours.SparseCategoricalCrossentropy(**options)(y, p)))(p)
        compared = [e for e in program.eqns if e.primitive.name == "eq" and e.outvars[0].aval.shape == p.shape]
        assert "gather" in str(program) and not compared
