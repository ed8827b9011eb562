"""What every layer keeps, tried on the table of cases. Each law says once what all layers promise."""

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seriatim.layers
from seriatim import kernels
from seriatim.base import registry
from seriatim.layers.contract import MASK, PENALTY, Call
from seriatim.layers.layer import Layer

from .cases import CASES


def label(value):
    """The name of a case: the same in every process."""
    return re.sub(r" at 0x\w+", "", str(value))


EPS = float(np.finfo(np.float32).eps)
ABSTRACT = {"Layer", "Chain", "Sequential", "Pipeline", "Wrapper"}  # nothing to run alone, or laws of their own
CELLS = {"SimpleRNNCell", "LSTMCell", "GRUCell", "StackedRNNCells"}  # they run inside an RNN
TEXTS = {"TextVectorization"}  # its input is strings: tests/parity/test_text.py
enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64  # before jax 0.8


def law(name, where=lambda case: True):
    """The decorator of a law: one test for each case that must keep it."""
    cases = [case for case in CASES if name not in case.free_of and where(case)]
    return pytest.mark.parametrize("case", cases, ids=label)


# what is compiled here runs once or twice, on a handful of numbers: the compiler need not try hard
compiled = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def step(layer, training=False):
    """The layer as a pure compiled function (arrays, input, key, mask) -> (output, moved), and its traces."""
    traces = []

    @compiled
    def run(w, x, key, mask=None):
        traces.append(1)
        w, x = layer.meet(w, x)
        return layer.apply(w, x, Call(training=training, root=key, mask=mask))

    run.traces = traces
    return run


@functools.cache
def built(index, dtype=None):
    """The layer of a case, its arrays (a little away from their zeros and ones), its steps at rest and in training."""
    case = CASES[index]
    layer = case.layer(**({} if dtype is None else {"dtype": dtype}))
    layer.build((None, *case.shape))
    rng = np.random.default_rng(1)
    arrays = {
        name: a
        if a.dtype.kind in "iub"
        else (np.asarray(a, "float64") + rng.uniform(0.05, 0.3, a.shape)).astype(a.dtype)
        for name, a in ((name, np.asarray(a)) for name, a in layer.arrays.items())
    }
    return layer, arrays, {training: step(layer, training) for training in (False, True)}


def of(case, dtype=None):
    return built(CASES.index(case), dtype)


KEY = jax.random.key(7)


def test_every_layer_has_a_case():
    public = [getattr(seriatim.layers, name) for name in seriatim.layers.__all__]
    kinds = {kind.__name__ for kind in public if isinstance(kind, type) and issubclass(kind, Layer)}
    assert not kinds - ABSTRACT - CELLS - TEXTS - {case.kind for case in CASES}


@law("shape")
def test_promised_shape_is_real_shape(case):
    layer, arrays, steps = of(case)
    y, _ = steps[False](arrays, case.input(), KEY)
    assert layer.compute_output_shape((None, *case.shape)) == (None, *y.shape[1:])
    assert len(y) == 4


@law("batch")
def test_a_batch_is_its_rows(case):
    """At rest, row i of the output depends on row i of the input; sums may be taken in another order."""
    _, arrays, steps = of(case)
    x = case.input()
    whole, _ = steps[False](arrays, x, KEY)
    for i in range(2):
        y, _ = steps[False](arrays, x[i : i + 1], KEY)
        np.testing.assert_allclose(y[0], whole[i], rtol=20 * EPS, atol=20 * EPS)


@law("config")
def test_config_round_trip(case):
    layer, _, _ = of(case)
    for one in (case.layer(), layer):  # before it is built, and after
        config = one.get_config()
        again = type(one).from_config(json.loads(json.dumps(config)))
        assert unbuilt(again.get_config()) == unbuilt(config)


def unbuilt(config):
    """A config without the shapes for which inner layers were built."""
    if isinstance(config, dict):
        return {name: unbuilt(value) for name, value in config.items() if name != "build_config"}
    return [unbuilt(value) for value in config] if isinstance(config, (list, tuple)) else config


@law("repr")
def test_repr_is_source(case):
    layer = case.layer(name="it")
    names = {name: getattr(seriatim.layers, name) for name in seriatim.layers.__all__}
    function = case.options.get("function")
    again = eval(repr(layer), {**names, **({function.__name__: function} if function else {})})
    assert {**again.get_config(), "name": "it"} == layer.get_config()


@law("key")
def test_rest_ignores_the_key(case):
    _, arrays, steps = of(case)
    one, two = (steps[False](arrays, case.input(), jax.random.key(seed))[0] for seed in (1, 2))
    np.testing.assert_array_equal(one, two)


@law("seed", where=lambda case: "seed" in registry.find("layer", case.kind).constructor)
def test_a_seed_fixes_what_is_drawn(case):
    """With a seed of its own, a layer draws the same in a step whatever the key of the model, and anew in the next."""
    _, arrays, steps = of(case)
    drawn = [steps[True](arrays, case.input(), jax.random.key(seed))[0] for seed in (1, 2)]
    layer = case.layer(seed=11)
    layer.build((None, *case.shape))

    @compiled
    def run(w, x, key, number):
        return layer.apply(*layer.meet(w, x), Call(training=True, root=key, step=number))[0]

    ours = [run(arrays, case.input(), jax.random.key(seed), 3) for seed in (1, 2)]
    np.testing.assert_array_equal(*ours)
    if not np.array_equal(*drawn):
        assert any(not np.array_equal(ours[0], run(arrays, case.input(), KEY, number)) for number in range(8))


@law("moved")
def test_what_moves_was_declared(case):
    """Only declared weights with trainable=False move, in training alone, and keep shape and dtype."""
    layer, arrays, steps = of(case)
    declared = {w.name: w for w in layer.declare((None, *case.shape))}
    for training in (False, True):
        _, moved = steps[training](arrays, case.input(), KEY)
        moved = {name: array for name, array in moved.items() if name not in (MASK, PENALTY)}
        assert training or not moved
        for name, array in moved.items():
            assert not declared[name].trainable
            assert array.shape == arrays[name].shape and array.dtype == arrays[name].dtype


@law("padding", lambda case: case.layer().supports_masking and len(case.shape) == 2 and case.holds == "real")
def test_padding_changes_nothing(case):
    """What stands at masked steps does not reach the others, nor the outputs without a time axis."""
    layer, arrays, steps = of(case)
    x = case.input()
    mask = np.ones(x.shape[:2], bool)
    mask[0, 2:], mask[2, 1:] = False, False
    other = np.where(mask[..., None], x, 5.0 + case.input(seed=9))
    for training in (False, True):
        (one, moved), (two, moved_too) = (steps[training](arrays, v, KEY, mask) for v in (x, other))
        seen = np.asarray(layer.next_mask(jnp.asarray(x), mask)) if one.ndim == 3 else np.ones(len(one), bool)
        seen = seen & mask if one.ndim == 3 else seen
        np.testing.assert_array_equal(np.asarray(one)[seen], np.asarray(two)[seen])
        for name in moved.keys() - {PENALTY}:
            np.testing.assert_array_equal(moved[name], moved_too[name])


@law("half")
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16", "float16"])
def test_half_precision_is_finite(case, policy):
    if case.kind == "InputLayer":
        pytest.skip("its dtype is that of the data")
    layer, arrays, _ = of(case, policy)
    for training in (False, True):
        x = jnp.asarray(case.input())
        y, moved = jax.eval_shape(step(layer, training), arrays, x, KEY)
        whole = case.holds == "ids" and "Embedding" not in case.kind
        assert y.dtype == (x.dtype if whole else layer.compute_dtype)
    if not policy.startswith("mixed"):
        return
    y, moved = step(layer, True)(arrays, x, KEY)
    for array in jax.tree.leaves((y, moved)):
        assert np.all(np.isfinite(np.asarray(array, "float64")))


@law("compiles")
def test_the_second_call_compiles_nothing(case):
    """Not even with the state that the first call moved: shapes, dtypes and weak types stay."""
    _, arrays, steps = of(case)
    run = steps[True]
    w = {name: jnp.asarray(array) for name, array in arrays.items()}
    _, moved = run(w, case.input(), KEY)
    traces = len(run.traces)
    run({**w, **{name: array for name, array in moved.items() if name in w}}, case.input(seed=1), jax.random.key(8))
    assert len(run.traces) == traces


@law("gradient")
def test_gradient_is_the_slope(case):
    """In training, along a random direction of weights and input: in float64, against central differences.

    Backwards, forwards, and the derivative of the gradient forwards; and backwards in a program of the engine, where
    rules of our own may stand in. The differences err by about h² and EPS / h, both below 1e-9 here.
    """
    with enable_x64(True):
        layer, arrays, _ = of(case, None if case.kind == "InputLayer" else "float64")
        fixed = {name: array for name, array in arrays.items() if array.dtype.kind != "f"}
        start = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
        x = case.input() if case.holds == "ids" else case.input().astype("float64")
        start["x"], fixed["x"] = (x, x) if case.holds == "real" else (np.zeros(1), x)
        rng = np.random.default_rng(2)
        direction = {name: rng.normal(size=array.shape) for name, array in start.items()}

        def total(t):
            w = {**fixed, **{name: array + t * direction[name] for name, array in start.items()}}
            x = w.pop("x") if case.holds == "real" else fixed["x"]
            y, _ = layer.apply(w, jnp.asarray(x), Call(training=True, root=KEY))
            return jnp.sum(y * np.random.default_rng(3).normal(size=y.shape))

        def within(t):
            with kernels.use(False):
                return total(t)

        @compiled
        def derivatives(t):
            return jax.jvp(jax.value_and_grad(total), (t,), (1.0,))

        h = 1e-5
        (_, slope), (forwards, curvature) = derivatives(0.0)
        (before, slope_before), (after, slope_after) = (derivatives(t)[0] for t in (-h, h))
        numeric = (after - before) / (2 * h), (slope_after - slope_before) / (2 * h)
        np.testing.assert_allclose((slope, curvature), numeric, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(forwards, slope, rtol=1e-6, atol=1e-6)
        if "custom_vjp" in str(jax.make_jaxpr(within)(0.0)):
            np.testing.assert_allclose(compiled(jax.grad(within))(0.0), slope, rtol=1e-9, atol=1e-9)
