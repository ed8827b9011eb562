"""Optimizers and schedules against real Keras 3.15.1: trajectories, configs, signatures, order of arrays.

Tolerances. Both sides do the same float32 arithmetic, compiled by the same XLA, and most trajectories agree
bit for bit; where the two programs are fused differently, an operation may differ by one rounding (6e-8).
Twenty steps, with each error carried on, stay within 2e-6 of the size of the values (measured: 3.5e-7, and
two thirds of the trajectories equal bit for bit).
"""

import functools
import inspect
import json
import pickle
import re

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest

from seriatim import optimizers
from seriatim.base import names
from seriatim.base.registry import custom_object_scope, register_keras_serializable
from seriatim.base.report import UsageError
from seriatim.optimizers import schedules


def label(value):
    """The name of a case: the same in every process."""
    return re.sub(r" at 0x\w+", "", str(value))


NAMES = [
    "SGD", "RMSprop", "Adam", "AdamW", "Adamax", "Nadam", "Adagrad", "Adadelta", "Ftrl", "Lion", "Lamb", "Adafactor",
    "ScheduleFreeAdamW", "Muon",
]  # fmt: skip
STEPS = 20
SHAPES = {"kernel": (4, 3), "bias": (3,), "deep": (2, 3, 2, 4)}
_rng = np.random.default_rng(7)
FIRST = {name: _rng.normal(size=shape).astype("float32") for name, shape in SHAPES.items()}
FIRST["bias"][:] = 0
GRADS = [
    {n: (_rng.normal(size=s) * 10 ** _rng.uniform(-2, 1)).astype("float32") for n, s in SHAPES.items()}
    for _ in range(STEPS)
]
FAST = {"xla_backend_optimization_level": 0}  # for the compiler: these programs run for a millisecond


def cosine(library):
    return library.schedules.CosineDecay(0.02, 12, alpha=0.1)


PLAIN = [(name, {}) for name in NAMES]
OPTIONS = [
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.8, "nesterov": True}),
    ("RMSprop", {"momentum": 0.7, "rho": 0.8}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "epsilon": 1e-3}),
    ("Adam", {"amsgrad": True, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4, "learning_rate": 0.05}),
    ("AdamW", {"weight_decay": 0.1, "amsgrad": True}),
    ("Adagrad", {"initial_accumulator_value": 0.0, "epsilon": 1e-3, "learning_rate": 0.1}),
    ("Adadelta", {"learning_rate": 1.0, "rho": 0.8}),
    ("Ftrl", {
        "learning_rate": 0.1, "learning_rate_power": -0.7, "initial_accumulator_value": 0.3, "beta": 0.2,
        "l1_regularization_strength": 0.1, "l2_regularization_strength": 0.2,
        "l2_shrinkage_regularization_strength": 0.05,
    }),
    ("Adafactor", {"learning_rate": 0.5, "clip_threshold": 0.7, "beta_2_decay": -0.6, "relative_step": False}),
    ("ScheduleFreeAdamW", {"warmup_steps": 5, "learning_rate": 0.1}),
    ("Muon", {"nesterov": False, "rms_rate": None, "exclude_layers": ["ker"], "ns_steps": 3, "learning_rate": 0.01}),
]  # fmt: skip
MIXES = [  # each optimizer meets each part of the common tail
    {"weight_decay": 0.05, "clipnorm": 0.5, "learning_rate": cosine},
    {"clipvalue": 0.3, "use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3, "loss_scale_factor": 4.0},
    {"weight_decay": 0.05, "global_clipnorm": 0.8, "use_ema": True, "gradient_accumulation_steps": 3},
]
SINGLY = [
    {"weight_decay": 0.05}, {"clipnorm": 0.5}, {"clipvalue": 0.3}, {"global_clipnorm": 0.8}, {"use_ema": True},
    {"use_ema": True, "ema_overwrite_frequency": 4}, {"gradient_accumulation_steps": 4},
    {"gradient_accumulation_steps": 2, "use_ema": True, "ema_overwrite_frequency": 3}, {"learning_rate": cosine},
]  # fmt: skip
ALL, FEW = tuple(SHAPES), ("kernel", "bias")  # the common tail is tried on fewer arrays: most of the time is compiling
CASES = [(*case, ALL) for case in PLAIN + OPTIONS]
CASES += [(n, mix, FEW) for n in NAMES for mix in MIXES] + [("Adam", one, FEW) for one in SINGLY]


def make(library, name, options):
    return getattr(library, name)(**{k: v(library) if v is cosine else v for k, v in options.items()})


def keras_form(which=ALL):
    """(variables, gradients of each step): what Keras steps on."""
    return [keras.Variable(FIRST[n], name=n) for n in which], [[g[n] for n in which] for g in GRADS]


def our_form(arrays, which=ALL):
    """The same arrays as a model has them: a tuple of dicts, one of them empty."""
    deep = {"deep": arrays["deep"]} if "deep" in which else {}
    return ({"kernel": arrays["kernel"], "bias": arrays["bias"]}, {}, deep)


def in_order(params):
    return [params[0]["kernel"], params[0]["bias"], *params[2].values()]


def compiled(function, *args):
    return jax.jit(function).lower(*args).compile(FAST)


def keras_run(optimizer, steps=STEPS, which=ALL):
    """(weights, optimizer arrays) after `steps` steps of Keras, compiled."""
    variables, grads = keras_form(which)
    optimizer.build(variables)
    weights, arrays = [v.value for v in variables], [v.value for v in optimizer.variables]
    step = compiled(optimizer.stateless_apply, arrays, grads[0], weights)
    for g in grads[:steps]:
        weights, arrays = step(arrays, g, weights)
    return weights, arrays


def our_run(optimizer, state=None, params=None, start=0, which=ALL):
    params = our_form(FIRST, which) if params is None else params
    state = optimizer.init(params) if state is None else state
    step = compiled(optimizer.advance, our_form(GRADS[0], which), state, params)
    for g in GRADS[start:]:
        params, state = step(our_form(g, which), state, params)
    return params, state


def close(ours, theirs, rtol=2e-6):
    for a, b in zip(ours, theirs, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(np.abs(b).max(), 1e-3))


# ---- trajectories ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options", "which"), CASES, ids=lambda x: x if isinstance(x, str) else ",".join(x))
def test_trajectory(name, options, which):
    weights, arrays = keras_run(make(keras.optimizers, name, options), which=which)
    ours = make(optimizers, name, options)
    params, state = our_run(ours, which=which)
    close(in_order(params), weights)
    close(ours.to_list(state, our_form(FIRST, which)), arrays)


@pytest.mark.parametrize("name", ["Adam", "Nadam", "Adafactor"])
def test_go_on_from_kerass_arrays(name):
    """The arrays of a Keras optimizer, put into ours, continue its trajectory."""
    half, arrays = keras_run(make(keras.optimizers, name, {}), STEPS // 2)
    whole, _ = keras_run(make(keras.optimizers, name, {}))
    ours = make(optimizers, name, {})
    params = our_form(dict(zip(SHAPES, map(np.asarray, half), strict=True)))
    state = ours.from_list([np.asarray(a) for a in arrays], params)
    params, _ = our_run(ours, state, params, STEPS // 2)
    close(in_order(params), whole)


@pytest.mark.parametrize("words", [["bias"], ["bias", "de"]])
def test_exclusion_from_decay(words):
    theirs, ours = make(keras.optimizers, "AdamW", {}), make(optimizers, "AdamW", {})
    for optimizer in (theirs, ours):
        optimizer.exclude_from_weight_decay(var_names=words)
    weights, _ = keras_run(theirs)
    params, _ = our_run(ours)
    close(in_order(params), weights)


@pytest.mark.parametrize("name", NAMES)
def test_steps_in_a_compiled_loop(name):
    """The state keeps its shapes and types, so a loop may carry it; `update` is `advance` less the old params."""
    optimizer = make(optimizers, name, MIXES[2])
    params, grads = our_form(FIRST, FEW), our_form(GRADS[0], FEW)
    state = optimizer.init(params)

    def body(i, now):
        updates, state = optimizer.update(grads, now[1], now[0])
        return optax.apply_updates(now[0], updates), state

    loop = compiled(lambda now: jax.lax.fori_loop(0, 6, body, now), (params, state))
    looped, after = loop((params, state))
    step = compiled(optimizer.advance, grads, state, params)
    for _ in range(6):
        params, state = step(grads, state, params)
    close(in_order(looped), in_order(params))
    assert int(after["iteration"]) == 6


def test_init_may_be_compiled_and_a_twin_is_fresh():
    optimizer = optimizers.ScheduleFreeAdamW(use_ema=True)
    params = our_form(FIRST)
    state, traced = optimizer.init(params), jax.jit(optimizer.init)(params)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()) and a.dtype == b.dtype, state, traced))
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.state = state
    twin = optimizer.fresh()
    assert twin.state is None and optimizer.state is state
    assert twin.get_config() == optimizer.get_config() and twin._excluded("dense/bias")


def test_finish_takes_the_average():
    options = {"use_ema": True, "ema_momentum": 0.7}
    theirs, ours = make(keras.optimizers, "SGD", options), make(optimizers, "SGD", options)
    _, arrays = keras_run(theirs)
    params, state = our_run(ours)
    close(in_order(ours.finish(params, state)), arrays[2:5])
    plain = optimizers.SGD()
    assert plain.finish(params, plain.init(params)) is params


def test_eager_steps_as_keras():
    """apply_gradients on variables, one without a gradient, and a callable rate."""
    rate = lambda: 0.05
    theirs, ours = keras.optimizers.Adam(rate), optimizers.Adam(rate)
    a, b = keras_form()[0], keras_form()[0]
    for i, g in enumerate(GRADS[:4]):
        grads = [jnp.asarray(x) for x in g.values()]
        if i == 1:
            grads[1] = None
            with pytest.warns(UserWarning, match="Gradients do not exist"):
                theirs.apply_gradients(zip(grads, a, strict=True))
            with pytest.warns(UserWarning, match="Gradients do not exist"):
                ours.apply_gradients(zip(grads, b, strict=True))
            continue
        theirs.apply_gradients(zip(grads, a, strict=True))
        assert int(ours.apply_gradients(zip(grads, b, strict=True))) == i + 1
    close([v.numpy() for v in b], [v.numpy() for v in a])
    with pytest.raises(UsageError, match="No gradients provided"):
        ours.apply([None], b[:1])
    with pytest.raises(UsageError, match="other variables"):
        ours.apply([jnp.ones(2)], [keras.Variable(np.ones(2))])


def test_stateless_apply_as_keras():
    ours = optimizers.RMSprop(centered=True)
    theirs = keras.optimizers.RMSprop(centered=True)
    variables, grads = keras_form()
    theirs.build(variables)
    weights, arrays = [v.value for v in variables], [v.value for v in theirs.variables]
    expected = theirs.stateless_apply(arrays, [jnp.asarray(g) for g in grads[0]], weights)
    got = jax.jit(ours.stateless_apply)(arrays, grads[0], weights)
    for a, b in zip(got, expected, strict=True):
        close(a, b)


# ---- configs, signatures, names ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), PLAIN + OPTIONS + [("Adam", m) for m in MIXES + SINGLY], ids=label)
def test_config(name, options):
    theirs = make(keras.optimizers, name, {**options, "name": "mine"})
    ours = make(optimizers, name, {**options, "name": "mine"})
    assert list(ours.get_config()) == list(theirs.get_config()) or name in ("Muon", "AdamW")
    assert json.dumps(ours.get_config(), sort_keys=True) == json.dumps(theirs.get_config(), sort_keys=True)
    assert json.loads(json.dumps(optimizers.serialize(ours))) == json.loads(
        json.dumps(keras.optimizers.serialize(theirs))
    )
    back = optimizers.deserialize(optimizers.serialize(ours))
    assert back.get_config() == ours.get_config()
    again = eval(repr(ours), {**vars(optimizers), **vars(schedules)})
    assert again.get_config() == ours.get_config()
    copy = pickle.loads(pickle.dumps(ours))
    assert copy.get_config() == ours.get_config()


@pytest.mark.parametrize("name", [*NAMES, "Optimizer"])
def test_signature(name):
    theirs = inspect.signature(getattr(keras.optimizers, name)).parameters.values()
    ours = inspect.signature(getattr(optimizers, name)).parameters.values()
    assert [(p.name, p.default, p.kind) for p in ours] == [
        (p.name, p.default, p.kind) for p in theirs if p.kind is not p.VAR_KEYWORD
    ]


@pytest.mark.parametrize("name", NAMES)
def test_names(name):
    names.reset()
    keras.backend.clear_session()
    cls = getattr(optimizers, name)
    assert [cls().name, cls().name] == [getattr(keras.optimizers, name)().name for _ in range(2)]
    for word in (name, name.lower(), name.upper()):
        assert type(optimizers.get(word)) is cls
    assert optimizers.get({"class_name": name.lower(), "config": {}}).get_config()["name"]


def test_get():
    adam = optimizers.Adam()
    assert optimizers.get(adam) is adam
    assert optimizers.get(None) is None
    assert isinstance(optimizers.get(optimizers.Adam), optimizers.Adam)
    with pytest.raises(UsageError, match="adam"):
        optimizers.get("adan")
    with pytest.raises(UsageError, match="not an optimizer"):
        optimizers.get(7)


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1}, {"learning_rate": "fast"}, {"learning_rate": None}, {"learning_rate": float("nan")},
        {"learning_rate": [0.1, 0.2]}, {"learning_rate": True}, {"clipnorm": 1.0, "clipvalue": 1.0},
        {"gradient_accumulation_steps": 1}, {"use_ema": True, "ema_momentum": 2.0}, {"momentun": 0.9},
        {"use_ema": True, "ema_overwrite_frequency": 0}, {"momentum": 1.5},
    ],
    ids=label,
)  # fmt: skip
def test_refused(options):
    with pytest.raises(UsageError):
        optimizers.SGD(**options)


def test_decay_is_ignored_with_a_warning():
    with pytest.warns(UserWarning, match="decay"):
        assert optimizers.SGD(decay=0.1).learning_rate == np.float32(0.01)


def test_old_configs():
    old = {"learning_rate": 0.001, "decay": 0.0, "jit_compile": False, "is_legacy_optimizer": False, "name": "Adam"}
    assert optimizers.deserialize({"class_name": "Adam", "config": old}).name == "Adam"


# ---- the rate ---------------------------------------------------------------------------------------------


def test_a_new_rate_compiles_nothing():
    optimizer = optimizers.Adam(0.01)
    params, step = our_form(FIRST), jax.jit(optimizer.advance)
    state = optimizer.init(params)
    for g in GRADS[:2]:
        params, state = step(our_form(g), state, params)
    optimizer.state = state
    compiled_before = step._cache_size()
    optimizer.learning_rate = 0.5
    assert optimizer.changed
    moved, _ = step(our_form(GRADS[2]), optimizer.state, params)
    slow, _ = step(our_form(GRADS[2]), state, params)
    assert step._cache_size() == compiled_before
    far = np.abs(moved[0]["kernel"] - params[0]["kernel"])
    np.testing.assert_allclose(far, 50 * np.abs(slow[0]["kernel"] - params[0]["kernel"]), rtol=1e-3)
    optimizer.state = state
    assert not optimizer.changed


def test_rate_reads_as_a_number():
    optimizer = optimizers.SGD(learning_rate=1)
    assert optimizer.learning_rate == 1.0
    optimizer.learning_rate = 0.25
    assert float(optimizer.learning_rate) == optimizer.learning_rate.numpy() == 0.25
    optimizer.learning_rate.assign(np.float32(0.1))
    assert json.dumps(optimizer.learning_rate) == json.dumps(float(np.float32(0.1)))
    assert optimizer.learning_rate * 0.5 == float(np.float32(0.1)) * 0.5
    assert optimizer.get_config()["learning_rate"] == float(np.float32(0.1))
    assert repr(optimizer) == "SGD(learning_rate=0.1)"
    assert pickle.loads(pickle.dumps(optimizer.learning_rate)) == optimizer.learning_rate


def test_rate_by_schedule():
    optimizer = optimizers.SGD(schedules.ExponentialDecay(0.5, 1, 0.5))
    assert "learning_rate" not in optimizer.init(our_form(FIRST))
    optimizer.build([keras.Variable(np.ones(2))])
    assert optimizer.learning_rate == 0.5
    optimizer.apply([jnp.ones(2)])
    assert optimizer.learning_rate == 0.25
    assert int(optimizer.iterations) == 1
    with pytest.raises(TypeError, match="schedule"):
        optimizer.learning_rate = 0.1
    plain = optimizers.Adam()
    assert len(plain.variables) == 2
    plain.learning_rate = schedules.PolynomialDecay(plain.learning_rate, 4)
    assert len(plain.variables) == 1
    stepwise = optimizers.SGD(lambda step: 0.1 * (step + 1))
    np.testing.assert_allclose(float(stepwise.rate({"iteration": 3})), 0.4, rtol=1e-6)


@register_keras_serializable("test")
class Halving(optimizers.schedules.LearningRateSchedule):
    def __init__(self, start):
        self.start = start

    def __call__(self, step):
        return self.start / (1.0 + step)


def test_schedule_of_a_user():
    optimizer = optimizers.SGD(Halving(1.0))
    params, state = our_run(optimizer)
    expected = FIRST["kernel"] - sum(g["kernel"] / (1 + i) for i, g in enumerate(GRADS))
    np.testing.assert_allclose(params[0]["kernel"], expected, atol=1e-4)
    config = json.loads(json.dumps(optimizers.serialize(optimizer)))
    back = optimizers.deserialize(config)
    assert isinstance(back._learning_rate, Halving)
    with custom_object_scope({}):
        assert optimizers.deserialize(config, custom_objects={"test>Halving": Halving})


# ---- the state --------------------------------------------------------------------------------------------


def test_variables_are_listed_and_set():
    optimizer = optimizers.Adam(amsgrad=True, name="opt")
    kernel, bias = keras.Variable(np.ones((2, 2)), name="kernel"), keras.Variable(np.ones(2), name="bias")
    theirs = keras.optimizers.Adam(amsgrad=True, name="opt")
    for each in (optimizer, theirs):
        each.build([kernel, bias])
    assert [v.path for v in optimizer.variables] == [v.path for v in theirs.variables]
    assert [v.shape for v in optimizer.variables] == [v.shape for v in theirs.variables]
    arrays = [np.full(v.shape, i, v.dtype) for i, v in enumerate(optimizer.variables)]
    optimizer.set_weights(arrays)
    assert all((a == b).all() for a, b in zip(optimizer.get_weights(), arrays, strict=True))
    assert optimizer.learning_rate == 1.0
    optimizer.variables[2].assign(np.zeros((2, 2)))
    assert optimizer.state["slots"]["momentum"][0].sum() == 0
    with pytest.raises(UsageError, match="holds 8 arrays"):
        optimizer.set_weights(arrays[:-1])
    with pytest.raises(UsageError, match="shape"):
        optimizer.set_weights([*arrays[:-1], np.ones(3)])
    with pytest.raises(UsageError, match="no arrays yet"):
        optimizers.Adam().set_weights(arrays)


@pytest.mark.parametrize("options", [{}, *MIXES], ids=",".join)
@pytest.mark.parametrize("name", ["Adam", "Nadam", "Adafactor", "Muon"])
def test_list_and_back(name, options):
    optimizer = make(optimizers, name, options)
    params = our_form(FIRST)
    state = optimizer.init(params, ["dense/kernel", "dense/bias", "conv/deep"])
    filled = jax.tree.map(lambda a: np.asarray(_rng.normal(size=a.shape) * 9, a.dtype), state)
    back = optimizer.from_list(optimizer.to_list(filled, params), params)
    assert jax.tree.structure(back) == jax.tree.structure(filled)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), back, filled)))


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_kept_and_finite(name):
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16), our_form(FIRST))
    grads = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16), our_form(GRADS[0]))
    optimizer = make(optimizers, name, {"weight_decay": 0.1, "clipnorm": 1.0})
    state = optimizer.init(params)
    step = compiled(optimizer.advance, grads, state, params)
    for _ in range(3):
        params, state = step(grads, state, params)
    assert all(p.dtype == jnp.bfloat16 and jnp.isfinite(p).all() for p in jax.tree.leaves(params))


# ---- optax ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "Adam", "Ftrl"])
def test_as_a_transformation(name):
    """init and update in optax's hands, here behind a clip, give the same as `advance`: w + (w' - w) is w'."""
    optimizer = make(optimizers, name, {"weight_decay": 0.01})
    params, expected = our_form(FIRST), our_run(optimizer)[0]
    chained = optax.chain(optax.clip(1e9), optimizer.transformation())
    state = chained.init(params)

    @jax.jit
    def step(params, state, grads):
        updates, state = chained.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    for g in GRADS:
        params, state = step(params, state, our_form(g))
    close(in_order(params), in_order(expected))


def test_optax_inside():
    inside = optax.chain(optax.clip(1.0), optax.inject_hyperparams(optax.adamw)(learning_rate=0.01))
    optimizer = optimizers.get(inside)
    params, state = our_run(optimizer)
    expected, other = our_form(FIRST), inside.init(our_form(FIRST))
    step = jax.jit(inside.update)
    for g in GRADS:
        updates, other = step(our_form(g), other, expected)
        expected = optax.apply_updates(expected, updates)
    close(in_order(params), in_order(expected))
    assert optimizer.learning_rate == np.float32(0.01)
    optimizer.state = state
    optimizer.learning_rate = 0.5
    assert optimizer.learning_rate == 0.5
    assert jax.tree.structure(optimizer.state) == jax.tree.structure(state)
    back = optimizer.from_list(optimizer.to_list(state), params)
    assert jax.tree.structure(back) == jax.tree.structure(state)
    with pytest.raises(UsageError, match="no configuration"):
        optimizer.get_config()
    fixed = optimizers.get(optax.sgd(0.1))
    assert not hasattr(fixed, "learning_rate")
    with pytest.raises(UsageError, match="inject_hyperparams"):
        fixed.learning_rate = 0.1


def test_optax_with_the_common_tail():
    optimizer = optimizers.Optax(optax.sgd(0.01), gradient_accumulation_steps=2, clipvalue=0.3, use_ema=True)
    ours = optimizers.SGD(0.01, gradient_accumulation_steps=2, clipvalue=0.3, use_ema=True)
    (a, s), (b, t) = our_run(optimizer), our_run(ours)
    close(in_order(a), in_order(b))
    close(in_order(s["ema"]), in_order(t["ema"]))


# ---- schedules --------------------------------------------------------------------------------------------

SCHEDULES = [
    ("ExponentialDecay", (0.1, 7, 0.9)),
    ("ExponentialDecay", (0.1, 7, 0.9, True)),
    ("InverseTimeDecay", (0.1, 7, 0.5)),
    ("InverseTimeDecay", (0.1, 7, 0.5, True)),
    ("PolynomialDecay", (0.1, 20)),
    ("PolynomialDecay", (0.1, 13, 0.01, 2.0, True)),
    ("PiecewiseConstantDecay", ([10, 25, 40], [1.0, 0.5, 0.1, 0.01])),
    ("PiecewiseConstantDecay", ([3.5], [0.3, 0.2])),
    ("CosineDecay", (0.1, 30)),
    ("CosineDecay", (0.1, 30, 0.2)),
    ("CosineDecay", (0.0, 30, 0.1, "warm", 0.5, 10)),
    ("CosineDecay", (0.1, 30, 0.1, "cold", 0.5, 0)),
    ("CosineDecayRestarts", (0.1, 8)),
    ("CosineDecayRestarts", (0.1, 8, 1.0, 0.7, 0.1)),
    ("CosineDecayRestarts", (0.1, 5, 1.5, 0.9)),
    ("CosineDecayRestarts", (0.1, 4, 3.0)),
]


@pytest.mark.parametrize(("name", "args"), SCHEDULES, ids=label)
def test_schedule(name, args):
    """Sixty steps. Tolerance: cos and pow near 1e-7 of the first rate; the same float32 formula."""
    theirs, ours = getattr(keras.optimizers.schedules, name)(*args), getattr(schedules, name)(*args)
    step = jax.jit(lambda i: theirs(i))
    expected = np.array([step(np.int32(i)) for i in range(60)])
    got = np.array(jax.jit(jax.vmap(ours))(np.arange(60, dtype=np.int32)))
    assert got.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=5e-8)
    np.testing.assert_allclose(ours(17), expected[17], rtol=2e-6, atol=5e-8)
    assert json.dumps(schedules.serialize(ours)) == json.dumps(keras.optimizers.schedules.serialize(theirs))
    assert schedules.deserialize(schedules.serialize(ours)).get_config() == ours.get_config()
    assert eval(repr(ours), vars(schedules)).get_config() == ours.get_config()


@pytest.mark.parametrize(("t_mul", "first"), [(10.0, 3), (1.1, 100), (1.7, 100), (2.0, 7)])
def test_restarts_come_on_time(t_mul, first):
    """Where Keras's are a step late: the first step of each cycle has the full rate."""
    begins = [round(sum(first * t_mul**j for j in range(i)), 6) for i in range(4)]
    whole = [int(b) for b in begins if b == int(b)]
    assert len(whole) >= 3
    rates = jax.vmap(schedules.CosineDecayRestarts(1.0, first, t_mul))(np.array(whole, np.int32))
    np.testing.assert_allclose(rates, 1.0, atol=1e-6)


@pytest.mark.parametrize("name", sorted({name for name, _ in SCHEDULES}))
def test_schedule_signature(name):
    theirs = inspect.signature(getattr(keras.optimizers.schedules, name)).parameters.values()
    ours = inspect.signature(getattr(schedules, name)).parameters.values()
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


def test_schedules_refuse():
    for wrong in (
        functools.partial(schedules.ExponentialDecay, 0.1, 0, 0.5),
        functools.partial(schedules.CosineDecayRestarts, 0.1, -1),
        functools.partial(schedules.PiecewiseConstantDecay, [1, 2], [0.1]),
        functools.partial(schedules.PiecewiseConstantDecay, 3, [0.1]),
        functools.partial(schedules.PolynomialDecay, "a", 3),
    ):
        with pytest.raises(UsageError):
            wrong()
