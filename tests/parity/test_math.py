"""Activations, initializers, regularizers and constraints beside real Keras 3.15.1.

A tolerance is argued where it stands. The unit is the rounding of float32: eps = 2^-23, about 1.2e-7.
"""

import inspect
import json
import random
import re

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import scipy.signal

import seriatim.random
from seriatim import activations, constraints, initializers, regularizers
from seriatim.base import registry
from seriatim.base.fields import Activated, Constrained, Initial, Regular
from seriatim.base.report import UsageError
from seriatim.math.initializers import WINDOWS, fans, spectral_window


def label(value):
    """The name of a case: the same in every process."""
    return re.sub(r" at 0x\w+", "", str(value))


EPS = float(np.finfo(np.float32).eps)
DOORS = {"activation": activations, "initializer": initializers, "regularizer": regularizers, "constraint": constraints}
KERAS = {name: getattr(keras, f"{name}s") for name in DOORS}


def as_json(config):
    return json.loads(json.dumps(config))


# ---- activations --------------------------------------------------------------------------------

# the corners of every member (0, ±0.5, ±1, ±3, 6), small and large numbers, the ends of float32, infinities
EDGES = [0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 6.0, 1e-30, 1e-6, 20.0, 89.0, 1e4, 1e30, np.inf]
GRID = np.array(sorted({s * e for e in EDGES for s in (-1, 1)} | set(np.linspace(-8, 8, 65))), np.float32)
WAYS = [
    ("celu", {}), ("celu", {"alpha": 0.3}), ("elu", {}), ("elu", {"alpha": 0.3}), ("exponential", {}), ("gelu", {}),
    ("gelu", {"approximate": True}), ("hard_shrink", {}), ("hard_shrink", {"threshold": 2.0}), ("hard_sigmoid", {}),
    ("hard_silu", {}), ("hard_swish", {}), ("hard_tanh", {}), ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0.5}), ("linear", {}), ("log_sigmoid", {}), ("mish", {}),
    ("relu", {}), ("relu", {"negative_slope": 0.1}),
    ("relu", {"max_value": 6}), ("relu", {"max_value": 5.0}), ("relu", {"threshold": 1.0}),
    ("relu", {"max_value": 6, "negative_slope": 0.1}), ("relu", {"max_value": 6, "threshold": 0.5}),
    ("relu", {"negative_slope": 0.1, "max_value": 5.0, "threshold": 1.0}),
    ("relu", {"negative_slope": 0.1, "threshold": -1.0}), ("relu6", {}), ("selu", {}), ("sigmoid", {}), ("silu", {}),
    ("soft_shrink", {}), ("soft_shrink", {"threshold": 2.0}), ("softplus", {}), ("softsign", {}), ("sparse_plus", {}),
    ("sparse_sigmoid", {}), ("squareplus", {}), ("squareplus", {"b": 1}), ("swish", {}), ("tanh", {}),
    ("tanh_shrink", {}), ("threshold", {"threshold": 1.0, "default_value": -2.0}),
]  # fmt: skip
ALONG = [("softmax", -1), ("softmax", 1), ("softmax", (1, 2)), ("log_softmax", -1), ("log_softmax", (0, 2)),
         ("glu", -1), ("glu", 1)]  # fmt: skip


def slopes(function, x):
    return np.asarray(jax.grad(lambda x: jnp.sum(function(x)))(jnp.asarray(x)))


@pytest.mark.parametrize("name, options", WAYS, ids=label)
def test_activation_values_and_gradients(name, options):
    """The same operations in the same order: the same bits, at the corners and at the ends too (nan included)."""
    ours, theirs = getattr(activations, name), getattr(keras.activations, name)
    np.testing.assert_array_equal(ours(GRID, **options), theirs(GRID, **options))
    np.testing.assert_array_equal(
        slopes(lambda x: ours(x, **options), GRID), slopes(lambda x: theirs(x, **options), GRID)
    )


@pytest.mark.parametrize("name, axis", ALONG, ids=label)
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_activation_along_an_axis(name, axis, scale):
    """Bits along one axis. Along two, another order of up to 24 summands: log 24 roundings or so."""
    x = (scale * np.random.default_rng(0).standard_normal((3, 4, 6))).astype(np.float32)
    weights = np.random.default_rng(1).standard_normal((3, 4, 6)).astype(np.float32)

    def weighed(function):
        def scalar(x):
            y = function(x, axis=axis)
            return jnp.sum(y * weights[tuple(map(slice, y.shape))])

        return scalar

    ours, theirs = getattr(activations, name), getattr(keras.activations, name)
    rtol = 8 * EPS if isinstance(axis, tuple) else 0
    np.testing.assert_allclose(ours(x, axis=axis), theirs(x, axis=axis), rtol=rtol)
    np.testing.assert_allclose(slopes(weighed(ours), x), slopes(weighed(theirs), x), rtol=0, atol=8 * EPS)


def test_softmax_survives_what_overflows():
    x = np.array([[1e30, 0, -1e30], [-np.inf, 0, 0], [200, 201, 202]], np.float32)
    np.testing.assert_array_equal(activations.softmax(x), keras.activations.softmax(x))
    np.testing.assert_array_equal(activations.log_softmax(x), keras.activations.log_softmax(x))


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_sparsemax_is_the_nearest_point_of_the_simplex(axis, scale):
    """Against a bisection for τ in float64; rounding is that of x (up to 4 · scale) and of sums of 6.

    Keras 3.15.1 (issue 23425) is right only where one entry takes all: there we are equal.
    """
    x = (scale * np.random.default_rng(0).standard_normal((3, 4, 6))).astype(np.float32)
    low, high = np.min(x, axis, keepdims=True) - 1.0, np.max(x, axis, keepdims=True).astype(float)
    for _ in range(80):
        middle = (low + high) / 2
        over = np.maximum(x - middle, 0).sum(axis, keepdims=True) > 1
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    ours, theirs = activations.sparsemax(x, axis), keras.activations.sparsemax(x, axis)
    np.testing.assert_allclose(ours, np.maximum(x - low, 0), rtol=0, atol=8 * max(scale, 1) * EPS)
    alone = np.broadcast_to(np.max(ours, axis, keepdims=True) == 1, x.shape)
    np.testing.assert_array_equal(np.asarray(ours)[alone], np.asarray(theirs)[alone])


def test_sparsemax_gradient():
    """dy/dx is 1 − 1/k within the support of size k, −1/k between two of its members, 0 outside."""
    jacobian = jax.jacobian(activations.sparsemax)(jnp.array([1.0, 0.5, -2.0]))
    np.testing.assert_allclose(jacobian, [[0.5, -0.5, 0], [-0.5, 0.5, 0], [0, 0, 0]])


def test_sparsemax_of_large_numbers():
    x = np.array([[1e30, 0, -1e30], [1e9, 1e9, 0], [1e9, 1e9 - 64, 0]], np.float32)
    np.testing.assert_allclose(activations.sparsemax(x), [[1, 0, 0], [0.5, 0.5, 0], [1, 0, 0]])


def test_half_precision_stays_half():
    for name, options in WAYS:
        y = getattr(activations, name)(jnp.linspace(-4, 4, 9, dtype=jnp.bfloat16), **options)
        assert y.dtype == jnp.bfloat16 and np.isfinite(np.asarray(y, np.float32)).all(), name


def test_glu_says_what_it_wants():
    with pytest.raises(UsageError, match="even"):
        activations.glu(np.ones((2, 3)))


# ---- initializers -------------------------------------------------------------------------------

RANDOM = [
    ("RandomNormal", {}), ("RandomNormal", {"mean": 1.0, "stddev": 2.0}), ("TruncatedNormal", {}),
    ("TruncatedNormal", {"mean": -1.0, "stddev": 0.5}), ("RandomUniform", {}),
    ("RandomUniform", {"minval": 0.0, "maxval": 3.0}), ("GlorotUniform", {}), ("GlorotNormal", {}), ("HeUniform", {}),
    ("HeNormal", {}), ("LecunUniform", {}), ("LecunNormal", {}), ("VarianceScaling", {}),
    ("VarianceScaling", {"scale": 3.0, "mode": "fan_out", "distribution": "uniform"}),
    ("VarianceScaling", {"mode": "fan_avg", "distribution": "untruncated_normal"}),
    ("VarianceScaling", {"distribution": "normal"}), ("GlorotNormal", {"input_axes": [0, 3], "output_axes": [1, 2]}),
    ("Orthogonal", {}), ("Orthogonal", {"gain": 2.0}),
]  # fmt: skip
FIXED = [("Zeros", {}), ("Ones", {}), ("Constant", {}), ("Constant", {"value": 3}), ("Identity", {}),
         ("STFT", {}), ("STFT", {"side": "imag", "window": None, "scaling": None}),
         ("STFT", {"window": "hamming", "scaling": "spectrum", "periodic": True})]  # fmt: skip
SHAPE = (20, 30, 4, 50)  # 120000 numbers


@pytest.mark.parametrize("name, options", RANDOM, ids=label)
def test_random_initializer_has_the_moments_and_bounds_of_keras(name, options):
    """Of n numbers a mean strays by σ/√n, a deviation by at most σ/√2n (σ/√n here, Orthogonal being dependent)."""
    ours = np.asarray(getattr(initializers, name)(seed=1, **options)(SHAPE))
    theirs = np.asarray(getattr(keras.initializers, name)(seed=1, **options)(SHAPE))
    sigma, n = theirs.std(), theirs.size
    assert ours.dtype == theirs.dtype == np.float32 and ours.shape == SHAPE
    assert abs(ours.mean() - theirs.mean()) < 5 * sigma * (2 / n) ** 0.5
    assert abs(ours.std() - sigma) < 5 * sigma * (2 / n) ** 0.5
    if "Normal" not in name or "Truncated" in name:  # bounded: the extremes of so many draws nearly touch the bound
        bounded = "uniform" in json.dumps(options) or "Uniform" in name or "Truncated" in name
        if bounded:
            middle = theirs.mean()
            np.testing.assert_allclose(np.abs(ours - middle).max(), np.abs(theirs - middle).max(), rtol=0.01)


def test_truncated_normal_has_the_shape_of_keras():
    """Shares between quantiles of 120000 draws: each is off by less than 5 √(p/n) = 0.005."""
    ours = np.asarray(initializers.TruncatedNormal(0, 1, seed=3)(SHAPE)).ravel()
    theirs = np.asarray(keras.initializers.TruncatedNormal(0, 1, seed=3)(SHAPE)).ravel()
    bins = np.linspace(-2, 2, 17)
    np.testing.assert_allclose(
        np.histogram(ours, bins)[0] / ours.size, np.histogram(theirs, bins)[0] / theirs.size, atol=0.005
    )
    assert np.abs(ours).max() <= 2


@pytest.mark.parametrize("shape", [(), (7,), (5, 7), (3, 5, 7), (3, 3, 5, 7)])
def test_fans(shape):
    assert fans(shape) == keras.src.initializers.random_initializers.compute_fans(shape)


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (16, 16), (3, 3, 4, 10), (2, 2, 40)])
def test_orthogonal_is_orthogonal(shape):
    """A QR in float32 of n columns is orthonormal to some n · eps."""
    q = np.asarray(initializers.Orthogonal(gain=3.0, seed=0)(shape)).reshape(-1, shape[-1]) / 3
    product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=40 * EPS)


def test_orthogonal_is_uniform_over_rotations():
    """Without the change of sign the first entry of a QR would never be positive; with it the mean is 0."""
    rng = np.random.default_rng(0)
    first = [initializers.Orthogonal().draw((3, 3), rng)[0, 0] for _ in range(2000)]
    assert abs(np.mean(first)) < 5 * np.std(first) / 2000**0.5


@pytest.mark.parametrize("name, options", FIXED, ids=label)
def test_fixed_initializer_values(name, options):
    """Equal, but for STFT: Keras rounds the angle (up to 2π·64) to float32 before the cosine; we do not."""
    shape = (64, 1, 33) if name == "STFT" else (4, 5)
    ours, theirs = getattr(initializers, name)(**options)(shape), getattr(keras.initializers, name)(**options)(shape)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2 * np.pi * 64 * EPS if name == "STFT" else 0)
    assert ours.dtype == theirs.dtype


def test_constant_arrays_spread_as_in_keras():
    value = np.arange(3.0)
    ours, theirs = initializers.Constant(value), keras.initializers.Constant(value)
    np.testing.assert_array_equal(ours((2, 3)), theirs((2, 3)))
    assert initializers.serialize(ours) == keras.initializers.serialize(theirs)
    again = initializers.deserialize(initializers.serialize(ours))
    np.testing.assert_array_equal(again((2, 3)), ours((2, 3)))
    with pytest.raises(UsageError):
        ours((2, 4))


def test_windows_are_those_of_scipy():
    """float64 on both sides; the sums are of a few terms of size 1."""
    for name in WINDOWS:
        for length in (1, 2, 3, 8, 25, 256):
            for periodic in (False, True):
                np.testing.assert_allclose(
                    spectral_window(name, length, periodic), scipy.signal.get_window(name, length, periodic), atol=1e-14
                )


def test_seeds_are_keras_seeds():
    given, other = initializers.HeNormal(seed=7), initializers.HeNormal(seed=8)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(given((3, 4)), given((3, 4)))  # stateless
    np.testing.assert_array_equal(given((3, 4)), given.draw((3, 4), rng))  # a given seed goes first
    assert not np.array_equal(given((3, 4)), other((3, 4)))
    assert initializers.HeNormal(seed=-1)((2, 2)).shape == (2, 2)

    unseeded = initializers.HeNormal()
    np.testing.assert_array_equal(unseeded((3, 4)), unseeded((3, 4)))  # stateless after its construction
    assert not np.array_equal(unseeded((3, 4)), unseeded.clone()((3, 4)))
    assert not np.array_equal(unseeded.draw((3, 4), rng), unseeded.draw((3, 4), rng))  # the library's own generator

    random.seed(5)
    ours = initializers.HeNormal().seed
    random.seed(5)
    assert ours == keras.initializers.HeNormal().seed  # the same integer out of Python's random

    for room in (keras.random, seriatim.random):
        moving = initializers.HeNormal(seed=room.SeedGenerator(3))
        assert not np.array_equal(moving((3, 4)), moving((3, 4)))
    config = keras.initializers.HeNormal(seed=keras.random.SeedGenerator(3)).get_config()
    assert initializers.HeNormal.from_config(config).seed == 3
    with pytest.raises(ValueError):
        initializers.HeNormal(seed="three")


def test_identity_keeps_its_gain():
    """Keras 3.15.1 writes {} and so forgets it; we write what is not the default, which Keras reads."""
    ours = initializers.Identity(2)
    np.testing.assert_array_equal(ours((3, 4)), keras.initializers.Identity(2)((3, 4)))
    again = keras.initializers.deserialize(initializers.serialize(ours))
    np.testing.assert_array_equal(again((3, 4)), ours((3, 4)))
    np.testing.assert_array_equal(ours.clone()((3, 4)), ours((3, 4)))


def test_initializers_written_for_keras():
    class Ramp(initializers.Initializer):
        def __init__(self, top):
            self.top = top

        def __call__(self, shape, dtype=None):
            return jnp.linspace(0, self.top, int(np.prod(shape)), dtype=dtype).reshape(shape)

        def get_config(self):
            return {"top": self.top}

    class Shifted(initializers.RandomNormal):
        def __call__(self, shape, dtype=None):
            return super().__call__(shape, dtype) + 100

    np.testing.assert_array_equal(Ramp(3.0).draw((2, 2), np.random.default_rng(0)), [[0, 1], [2, 3]])
    assert Ramp(3.0).clone().top == 3.0
    assert Shifted(seed=1).draw((3,), np.random.default_rng(0)).min() > 90
    with pytest.raises(NotImplementedError):
        initializers.Initializer()((2,))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32"])
def test_initializer_dtype(dtype):
    assert initializers.Ones()((2, 3), dtype=dtype).dtype == keras.initializers.Ones()((2, 3), dtype=dtype).dtype
    assert initializers.Ones()(3).shape == (3,)


@pytest.mark.parametrize(
    "name, options",
    [("VarianceScaling", {"scale": -1.0}), ("VarianceScaling", {"mode": "fan"}),
     ("VarianceScaling", {"distribution": "x"}), ("STFT", {"side": "left"}),
     ("STFT", {"scaling": "l2"}), ("STFT", {"window": "unknown"})],
)  # fmt: skip
def test_refused_by_both(name, options):
    for room in (initializers, keras.initializers):
        with pytest.raises(ValueError):
            getattr(room, name)(**options)


@pytest.mark.parametrize("name, shape", [("Identity", (2, 2, 2)), ("Orthogonal", (3,))])
def test_shapes_refused_by_both(name, shape):
    for room in (initializers, keras.initializers):
        with pytest.raises(ValueError):
            getattr(room, name)()(shape)


def test_an_array_is_its_own_initializer():
    array = np.random.default_rng(0).random((3, 4)).astype(np.float32)
    np.testing.assert_array_equal(initializers.get(array)((3, 4)), array)
    with pytest.raises(ValueError):
        initializers.get(array)((4, 4))


# ---- regularizers and constraints ---------------------------------------------------------------

PRICES = [("L1", {}), ("L1", {"l1": 0.3}), ("L2", {}), ("L2", {"l2": 0.3}), ("L1L2", {}),
          ("L1L2", {"l1": 0.1, "l2": 0.2}), ("L1L2", {"l2": 0.2}), ("OrthogonalRegularizer", {}),
          ("OrthogonalRegularizer", {"factor": 0.3, "mode": "columns"})]  # fmt: skip
PLACES = [("NonNeg", {}), ("MaxNorm", {}), ("MaxNorm", {"max_value": 0.5, "axis": 1}), ("MaxNorm", {"axis": [0, 1]}),
          ("UnitNorm", {}), ("UnitNorm", {"axis": 1}), ("MinMaxNorm", {}),
          ("MinMaxNorm", {"min_value": 0.5, "max_value": 2.0, "rate": 0.3, "axis": 1})]  # fmt: skip


@pytest.mark.parametrize("name, options", PRICES, ids=label)
def test_regularizer_value_and_gradient(name, options):
    """Sums of 48 terms; ours divides once where Keras divides twice: a few eps."""
    x = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
    ours, theirs = getattr(regularizers, name)(**options), getattr(keras.regularizers, name)(**options)
    np.testing.assert_allclose(ours(x), theirs(jnp.asarray(x)), rtol=8 * EPS)
    np.testing.assert_allclose(jax.grad(ours)(x), jax.grad(theirs)(jnp.asarray(x)), rtol=1e-5, atol=8 * EPS)
    assert ours(jnp.asarray(x, jnp.bfloat16)).dtype == jnp.bfloat16


def test_orthogonal_regularizer_where_keras_gives_nan():
    ours = regularizers.OrthogonalRegularizer()
    assert float(ours(np.ones((1, 4), np.float32))) == 0.0
    x = np.array([[0, 0, 0], [1, 2, 3]], np.float32)
    np.testing.assert_allclose(ours(x), keras.regularizers.OrthogonalRegularizer()(jnp.asarray(x)))
    assert np.isfinite(jax.grad(ours)(x)).all()


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "small", [0.1]])
def test_factors_refused_by_both(value):
    for room in (regularizers, keras.regularizers):
        for name in ("L1", "L2", "L1L2", "OrthogonalRegularizer"):
            with pytest.raises(ValueError):
                getattr(room, name)(value)


def test_none_is_the_default_factor():
    assert regularizers.L1(None).l1 == 0.01 and regularizers.L1L2(None, None).l2 == 0.0


@pytest.mark.parametrize("name, options", PLACES, ids=label)
def test_constraint(name, options):
    """Equal but for the order of one product and one quotient: 4 eps. A column of zeros stays as it is."""
    w = (2 * np.random.default_rng(0).standard_normal((5, 4, 3))).astype(np.float32)
    w[:, 0, 0] = 0
    ours, theirs = getattr(constraints, name)(**options), getattr(keras.constraints, name)(**options)
    np.testing.assert_allclose(ours(w), theirs(w), rtol=4 * EPS)
    assert ours(jnp.asarray(w, jnp.bfloat16)).dtype == jnp.bfloat16


# ---- configs and names --------------------------------------------------------------------------

MEMBERS = (
    [("initializer", *case) for case in [*RANDOM, *FIXED]]
    + [("regularizer", *case) for case in PRICES]
    + [("constraint", *case) for case in PLACES]
)


@pytest.mark.parametrize("family, name, options", MEMBERS, ids=label)
def test_configs_are_those_of_keras(family, name, options):
    ours, theirs = getattr(DOORS[family], name)(**options), getattr(KERAS[family], name)(**options)
    config = as_json(DOORS[family].serialize(ours))
    assert json.dumps(config, sort_keys=True) == json.dumps(as_json(KERAS[family].serialize(theirs)), sort_keys=True)
    assert as_json(DOORS[family].serialize(DOORS[family].deserialize(config))) == config
    assert type(eval(repr(ours), vars(DOORS[family]))) is type(ours)
    assert eval(repr(ours), vars(DOORS[family])).get_config() == ours.get_config()


@pytest.mark.parametrize("family", DOORS)
def test_public_names_and_signatures(family):
    theirs = {name for name in dir(KERAS[family]) if not name.startswith("_")}
    assert set(DOORS[family].__all__) == theirs
    for name in theirs:
        ours, keras_parameters = getattr(DOORS[family], name), parameters(getattr(KERAS[family], name))
        if keras_parameters is not None and name not in ("Initializer", "Regularizer", "Constraint"):
            assert parameters(ours) == keras_parameters, name


def parameters(member):
    if inspect.isclass(member) and member.__init__ is object.__init__:
        return []
    return [(p.name, p.default) for p in inspect.signature(member).parameters.values()]


@pytest.mark.parametrize("family", DOORS)
def test_strings_that_keras_knows(family):
    module = __import__(f"keras.src.{family}s", fromlist=["ALL_OBJECTS_DICT"])
    for name, theirs in module.ALL_OBJECTS_DICT.items():
        if name.lower() == family:  # the abstract class
            continue
        found = registry.find(family, name)
        assert found.__name__ == theirs.__name__
        if name not in ("constant", "Constant"):  # a KeyError in Keras: its from_config wants the value
            got, want = DOORS[family].get(name), KERAS[family].get(name)
            assert getattr(got, "__name__", type(got).__name__) == getattr(want, "__name__", type(want).__name__)
    with pytest.raises(ValueError):
        DOORS[family].get("typo")
    with pytest.raises(ValueError):
        DOORS[family].get(5)


def test_names_as_arguments():
    """The fields of a Config read names, configs, classes, objects and None."""
    field = {t: t.__metadata__[0] for t in (Activated, Initial, Regular, Constrained)}
    assert field[Activated].read("relu", None) is activations.relu
    assert field[Activated].read("linear", None) is activations.linear is field[Activated].read(None, None)
    for way in ("GlorotUniform", "glorot_uniform", initializers.GlorotUniform, initializers.GlorotUniform()):
        assert type(field[Initial].read(way, None)) is initializers.GlorotUniform
    assert field[Regular].read("l2", None).get_config() == {"l2": 0.01}
    assert [field[kind].read(None, None) for kind in (Initial, Regular, Constrained)] == [None] * 3
    assert type(field[Constrained].read("max_norm", None)) is constraints.MaxNorm


def test_activation_serialization():
    assert activations.serialize(activations.swish) == keras.activations.serialize(keras.activations.swish) == "silu"
    for name in set(activations.__all__) - {"get", "serialize", "deserialize"}:
        activation = getattr(activations, name)
        assert activations.deserialize(activations.serialize(activation)) is activation
    assert activations.get(None) is activations.linear

    @registry.register_keras_serializable("Mine")
    def doubled(x):
        return 2 * x

    assert activations.deserialize("own", custom_objects={"own": doubled}) is doubled
    assert activations.get("Mine>doubled") is doubled
