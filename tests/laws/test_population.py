"""Laws of a population: each member is what `fit` makes of it alone; what cannot be one program is refused by name.

Tolerance: in turns a member takes the very steps it takes alone. Together, products over all members are summed in
another order, so weights differ by float32's rounding, carried through some dozen steps of the optimizer: at most the
rate times that many, and close to it only where Adam divides a gradient that is nothing but rounding by its own size.
So the rates here are small where the ways are compared.
"""

import random

import jax
import numpy as np
import pytest

import seriatim
from seriatim import Sequential, fit_many, layers
from seriatim.base.report import DataError, UsageError
from seriatim.callbacks import CSVLogger, EarlyStopping, LearningRateScheduler, ReduceLROnPlateau
from seriatim.engine import population as engine
from seriatim.layers import LSTM, BatchNormalization, Dense, Dropout, GaussianNoise, Input, Lambda, Layer
from seriatim.optimizers import SGD, Adam, AdamW
from seriatim.train.many import folds_of, points_of

NEAR = {"rtol": 2e-4, "atol": 2e-5}


def data(rows=52, features=5):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, features)).astype("float32")
    return x, (x.sum(1) > 0).astype("int32") + (x[:, 0] > 0.5)


X, Y = data()


def build(rate=0.3, lr=0.01):
    model = Sequential([Input((5,)), Dense(7, "relu"), Dropout(rate), BatchNormalization(), Dense(3, "softmax")])
    model.compile(Adam(lr), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(params=["in turns", "together"])
def way(request, monkeypatch):
    """Both ways to run a population, whichever this machine would choose."""
    monkeypatch.setattr(engine, "SMALL", 0 if request.param == "in turns" else 10**9)
    return request.param


def alone(make, point, x=X, y=Y, **fit):
    """The member of this point, trained by itself."""
    point = {name: value for name, value in point.items() if name != "fold"}
    seriatim.utils.set_random_seed(point.pop("seed"))
    model = make(**point)
    model.fit(x, y, verbose=0, **fit)
    return model


def same(member, model):
    """Weights, optimizer, counters and history of a member are those of the model."""
    for ours, other in zip(member.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, other, **NEAR)
    mine, others = (m.optimizer.get_weights() for m in (member.model, model))
    for ours, other in zip(mine, others, strict=True):
        np.testing.assert_allclose(ours, other, **NEAR)
    assert member.model.steps_done == model.steps_done and member.history.epoch == model.history.epoch
    assert member.model.history is member.history
    assert list(member.history.history) == list(model.history.history)
    for name, values in model.history.history.items():
        np.testing.assert_allclose(member.history.history[name], values, **NEAR)


def differ(a, b):
    return any(not np.allclose(x, y, **NEAR) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


# ---- the law -----------------------------------------------------------------------------------------------


def test_a_member_is_the_model_trained_alone(way):
    fit = {"batch_size": 8, "epochs": 3, "validation_split": 0.25}
    grid = {"rate": [0.0, 0.4], "lr": [0.01, 0.002], "seed": [1, 2]}
    population = fit_many(build, grid, X, Y, verbose=0, **fit)
    assert len(population) == 8 and population.programs.together == (way == "together")
    for member in population:
        same(member, alone(build, member.point, **fit))
    assert differ(population.models[0], population.models[1]) and differ(population.models[0], population.models[2])


def test_a_fold_is_a_fit_on_its_rows(way):
    """Training parts of 41, 42 and 8 rows: other last batches, and other numbers of batches."""
    weights = np.linspace(0.5, 2, len(X)).astype("float32")
    first, _, third, *_ = folds_of(5, len(X))
    pairs = [first, third, (np.arange(8), np.arange(40, 52))]
    fit = {"batch_size": 8, "epochs": 2}
    population = fit_many(build, [7], X, Y, folds=pairs, sample_weight=weights, verbose=0, **fit)
    assert [p["fold"] for p in population.points] == [0, 1, 2]
    for member, (rows, held) in zip(population, pairs, strict=True):
        model = alone(
            build, member.point, X[rows], Y[rows], sample_weight=weights[rows],
            validation_data=(X[held], Y[held], weights[held]), **fit,
        )  # fmt: skip
        same(member, model)
    assert differ(*population.models[:2])


def test_class_weights_weigh_the_training_rows_of_a_fold():
    fit, weight = {"batch_size": 16, "epochs": 1}, {0: 3.0, 2: 0.5}
    population = fit_many(build, [7], X, Y, folds=2, class_weight=weight, verbose=0, **fit)
    rows, held = folds_of(2, len(X))[1]
    fold = alone(build, {"seed": 7}, X[rows], Y[rows], class_weight=weight, validation_data=(X[held], Y[held]), **fit)
    same(population[1], fold)


def test_early_stopping_is_each_members_own(way):
    stop = {"monitor": "val_loss", "patience": 1, "restore_best_weights": True}
    fit = {"batch_size": 8, "epochs": 12, "validation_split": 0.25}
    grid = {"lr": [0.3, 0.003], "seed": [1, 4]}
    population = fit_many(build, grid, X, Y, callbacks=[EarlyStopping(**stop)], verbose=0, **fit)
    ran = [len(history.epoch) for history in population.histories]
    assert len(set(ran)) > 1 and min(ran) < 12
    for member in population:
        same(member, alone(build, member.point, callbacks=[EarlyStopping(**stop)], **fit))
        best = int(np.argmin(member.history.history["val_loss"]))
        assert member.kept == best and member.logs["val_loss"] == member.history.history["val_loss"][best]


def test_rates_that_callbacks_set(way):
    made = [
        lambda: ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10.0),
        lambda: LearningRateScheduler(lambda epoch, rate: rate * 0.9),
    ]
    for make in made:
        population = fit_many(build, {"lr": [0.1, 0.01]}, X, Y, batch_size=26, epochs=3, callbacks=make(), verbose=0)
        for member in population:
            model = alone(build, member.point, batch_size=26, epochs=3, callbacks=[make()])
            same(member, model)
            assert float(member.model.optimizer.learning_rate) == pytest.approx(float(model.optimizer.learning_rate))
            assert member.history.history["learning_rate"][-1] < member.point["lr"]


def test_shuffle_false_and_fits_that_go_on(way, tmp_path):
    fit = {"batch_size": 10, "shuffle": False}
    population = fit_many(build, 2, X, Y, epochs=1, verbose=0, **fit)
    member, model = population[1], alone(build, {"seed": 1}, epochs=1, **fit)
    same(member, model)
    member.model.save(tmp_path / "member.keras")
    kept = seriatim.models.load_model(tmp_path / "member.keras")
    assert not differ(kept, member.model)
    for one in (member.model, model):
        one.fit(X, Y, epochs=2, initial_epoch=1, verbose=0, **fit)
    assert not differ(member.model, model) and member.model.steps_done == 12
    with pytest.raises(AssertionError):
        same(member, alone(build, {"seed": 0}, epochs=2, **fit))


# ---- numbers that may differ --------------------------------------------------------------------------------


class Scaled(Layer):
    """A layer as a user writes it for Keras."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor


def numbers(price=0.01, decay=0.1, spread=0.1, factor=0.5, beta=0.9, smooth=0.1, momentum=0.9, noise=3):
    """Every kind of place that a number has: layers of ours and of a user, nested, regularizer, loss, optimizer."""
    model = Sequential([
        Input((5,)),
        GaussianNoise(spread, seed=noise),
        Sequential([Dense(6, "tanh", kernel_regularizer=seriatim.regularizers.L2(price)), Scaled(factor)]),
        BatchNormalization(momentum=momentum),
        Dense(1),
    ])  # fmt: skip
    model.compile(AdamW(0.01, weight_decay=decay, beta_1=beta), seriatim.losses.Huber(delta=smooth))
    return model


@pytest.mark.parametrize(
    "name, values",
    [
        ("price", [0.0, 0.5]), ("decay", [0.0, 0.5]), ("spread", [0.0, 0.7]), ("factor", [1, 0.2]),
        ("beta", [0.5, 0.9]), ("smooth", [0.1, 2.0]), ("momentum", [0.9, 0.1]), ("noise", [3, 4]),
    ],
)  # fmt: skip
def test_numbers_of_all_parts(name, values):
    fit = {"batch_size": 13, "epochs": 1}
    target = X.sum(1, keepdims=True)
    population = fit_many(numbers, {name: values, "seed": [5]}, X, target, verbose=0, **fit)
    assert population.programs.places
    for member in population:
        same(member, alone(numbers, member.point, y=target, **fit))
    assert differ(*population.models)


def test_recurrent_dropout_of_inputs_and_functions_made_anew(way):
    def recurrent(drop):
        model = Sequential([Input((5, 1)), Lambda(lambda x: x * 2), LSTM(4, dropout=drop), Dense(3, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    fit = {"batch_size": 13, "epochs": 1}
    for member in fit_many(recurrent, {"drop": [0.0, 0.5]}, X[..., None], Y, verbose=0, **fit):
        same(member, alone(recurrent, member.point, X[..., None], **fit))


@pytest.mark.parametrize("kind", ["Dropout", "AlphaDropout", "GaussianDropout"])
def test_the_draws_are_those_of_a_fixed_rate(kind):
    """A rate as an array drops the same places, bit for bit, as the rate in the program."""
    x, key = np.ones((64, 50), "float32"), jax.random.key(3)
    for rate in (0.0, 0.1, 0.37, 0.999):
        layer = getattr(layers, kind)(rate)
        call = seriatim.layers.contract.Call(training=True, root=key)
        plain = layer.forward({}, x, call)

        def traced(number, layer=layer, call=call):
            twin = type(layer)(0.5, name=layer.name)
            twin.__dict__["rate"] = number
            return twin.forward({}, jax.numpy.asarray(x), call)

        drawn = jax.jit(traced)(layer.entering("rate", rate))
        np.testing.assert_array_equal(np.asarray(drawn) == 0, np.asarray(plain) == 0)
        np.testing.assert_allclose(drawn, plain, rtol=1e-4, atol=1e-6)


# ---- what is refused ----------------------------------------------------------------------------------------


def chain(*inner, optimizer="adam", loss="sparse_categorical_crossentropy", **options):
    model = Sequential([Input((5,)), *inner, Dense(3, "softmax")])
    model.compile(optimizer, loss, **options)
    return model


@pytest.mark.parametrize(
    "make, values, words",
    [
        (lambda v: chain(Dense(v, name="wide")), [4, 5], "wide.*units"),
        (lambda v: chain(Dense(4, v, name="bent")), ["relu", "tanh"], "bent.*activation"),
        (lambda v: chain(*[Dense(4) for _ in range(v)]), [1, 2], "number of layers"),
        (lambda v: chain(optimizer=v), ["adam", "sgd"], "optimizer"),
        (lambda v: chain(optimizer=SGD(momentum=v)), [0.5, 0.9], "momentum"),
        (lambda v: chain(optimizer=SGD(momentum=v)), [0.0, 0.9], "remember"),
        (lambda v: chain(loss=v), ["sparse_categorical_crossentropy", "mse"], "loss"),
        (lambda v: chain(metrics=[v]), ["accuracy", "mae"], "metrics"),
        (lambda v: chain(Lambda(lambda x: x * v, name="closed")), [1.0, 2.0], "closed.*function"),
        (lambda v: chain(Dense(4, kernel_constraint=v)), [None, "non_neg"], "constraint"),
        (lambda v: chain(run_eagerly=v), [True], "eager"),
        (lambda v: Dense(3), [1], "Sequential"),
    ],
)  # fmt: skip
def test_what_is_no_one_program_is_refused_by_name(make, values, words):
    with pytest.raises(UsageError, match=f"(?s){words}"):
        fit_many(make, {"v": values}, X, Y, batch_size=26, verbose=0)


def test_arguments_are_checked():
    for over in (0, [], {"rate": []}, "seeds", 1.5, [{"seed": 0.5}]):
        with pytest.raises(UsageError):
            fit_many(build, over, X, Y)
    for folds in (1, 53, [], [(np.arange(3),)]):
        with pytest.raises(UsageError):
            fit_many(build, 2, X, Y, folds=folds)
    for pair in ([0.5], []), ([52], [0]), ([0], [[1]]):
        with pytest.raises(DataError):
            fit_many(build, 2, X, Y, folds=[pair])
    with pytest.raises(UsageError, match="CSVLogger"):
        fit_many(build, 2, X, Y, callbacks=[CSVLogger("log.csv")])
    with pytest.raises(UsageError, match="arrays"):
        fit_many(build, 2, iter([(X, Y)]))
    with pytest.raises(UsageError, match="folds"):
        fit_many(build, 2, X, Y, folds=2, validation_split=0.5)


def test_points():
    assert points_of(3) == [{"seed": 0}, {"seed": 1}, {"seed": 2}]
    assert points_of([5, 7]) == [{"seed": 5}, {"seed": 7}]
    grid = points_of({"a": [1, 2], "seed": (3, 4), "word": "one"})
    assert [tuple(p.values()) for p in grid] == [(1, 3, "one"), (1, 4, "one"), (2, 3, "one"), (2, 4, "one")]
    listed = points_of([{"a": 1}, {"a": 2}])
    assert listed[0]["seed"] == listed[1]["seed"]


def test_folds_part_the_rows():
    pairs = folds_of(5, 52)
    assert sorted(np.concatenate([held for _, held in pairs])) == list(range(52))
    assert {len(held) for _, held in pairs} == {10, 11}
    assert all(sorted(np.concatenate(pair)) == list(range(52)) for pair in pairs)
    mask = np.arange(52) < 50
    assert folds_of([(mask, ~mask)], 52)[0][1].tolist() == [50, 51] and folds_of([([0], [-1])], 52)[0][1] == [51]


# ---- what comes back -----------------------------------------------------------------------------------------


def test_the_population_speaks(capsys):
    seen = []

    def seeded(seed, rate):
        seen.append((seed, rate))
        return build(rate)

    random.seed(5)
    expected = random.Random(5)
    population = fit_many(seeded, {"rate": [0.1, 0.2], "seed": [8]}, X, Y, folds=2, epochs=2, verbose=2)
    expected.randint(1, 10**9)  # the seed of points that have none
    assert random.random() == expected.random(), "the process keeps its own chance"
    assert seen == [(8, 0.1), (8, 0.1), (8, 0.2), (8, 0.2)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Epoch 1/2 - 4 members") and "val_loss: " in lines[1] and len(lines) == 2
    rows = population.table()
    assert rows[3]["rate"] == 0.2 and rows[3]["fold"] == 1 and rows[3]["epochs"] == 2
    assert rows[0]["val_loss"] == population.histories[0].history["val_loss"][-1]
    best = population.best()
    assert best.logs["val_loss"] == min(row["val_loss"] for row in rows)
    assert population.best("accuracy").logs["accuracy"] == max(row["accuracy"] for row in rows)
    means = population.means()
    assert [row["rate"] for row in means] == [0.1, 0.2] and means[0]["folds"] == 2
    assert means[1]["val_loss"] == pytest.approx((rows[2]["val_loss"] + rows[3]["val_loss"]) / 2)
    assert len(population[1:]) == 3 and repr(population).count("\n") == 5 and "val_accuracy" in repr(population)
    with pytest.raises(UsageError, match="recorded"):
        population.best("val_auc")


def test_a_second_population_compiles_nothing(monkeypatch):
    seen, compile_program = [], engine.PopulationPrograms.compile

    def count(self, kind, size, shapes):
        seen.append(kind)
        return compile_program(self, kind, size, shapes)

    monkeypatch.setattr(engine.PopulationPrograms, "compile", count)
    first = fit_many(build, {"lr": [0.1, 0.2]}, X, Y, batch_size=26, verbose=0)
    assert sorted(seen) == ["read_members", "train_members"]
    second = fit_many(build, {"lr": [0.3, 0.4]}, X, Y, batch_size=26, verbose=0)
    assert len(seen) == 2 and first.programs is second.programs
