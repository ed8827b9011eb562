"""A model as a pure function, in a training loop of one's own; its arrays as a tree, there and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seriatim
from seriatim import layers, losses, optimizers
from seriatim.base.report import UsageError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(64, 3)).astype("float32"), RNG.normal(size=(64, 1)).astype("float32")


def chain(*inside, **more):
    seriatim.utils.set_random_seed(3)
    return seriatim.Sequential([layers.Input((3,)), *inside, layers.Dense(1, **more)], name="chain")


def test_a_loop_of_ones_own_is_fit():
    """Three steps of Keras's stateless words under jit end where `fit` ends."""
    inside = lambda: (layers.Dense(4, activation="tanh", kernel_regularizer="l2"), layers.BatchNormalization())
    fitted, own = chain(*inside()), chain(*inside())
    fitted.compile(optimizers.Adam(0.01), "mse")
    fitted.fit(X, Y, batch_size=64, epochs=3, shuffle=False, verbose=0)
    optimizer, mse = optimizers.Adam(0.01), losses.MeanSquaredError()
    optimizer.build(own.trainable_variables)

    def objective(trainable, rest, x, y):
        pred, rest, penalties = own.stateless_call(trainable, rest, x, training=True, return_losses=True)
        return mse(y, pred) + sum(penalties), rest

    @jax.jit
    def step(trainable, rest, slots, x, y):
        (_, rest), grads = jax.value_and_grad(objective, has_aux=True)(trainable, rest, x, y)
        trainable, slots = optimizer.stateless_apply(slots, grads, trainable)
        return trainable, rest, slots

    state = [
        [v.value for v in vs] for vs in (own.trainable_variables, own.non_trainable_variables, optimizer.variables)
    ]
    before = own.get_weights()
    for _ in range(3):
        state = step(*state, X, Y)
    assert all(np.array_equal(a, b) for a, b in zip(before, own.get_weights(), strict=True))  # nothing moved by itself
    for group, want in zip(state, (fitted.trainable_variables, fitted.non_trainable_variables)):
        for a, b in zip(group, want, strict=True):  # the same sums, compiled in two programs
            np.testing.assert_allclose(a, b.value, rtol=2e-5, atol=2e-6)


def test_what_is_drawn_follows_from_the_values():
    model = chain(layers.Dropout(0.5))
    run = jax.jit(lambda t, x: model.stateless_call(t, [], x, training=True)[0])
    now = [v.value for v in model.trainable_variables]
    first, again, later = run(now, X), run(now, X), run([w * 1.001 for w in now], X)
    assert np.array_equal(first, again)
    assert not np.allclose(first, later, atol=0.05)  # another half of the inputs
    np.testing.assert_array_equal(model.stateless_call(now, [], X)[0], model(X))


def test_wrong_lists_and_unbuilt_layers():
    model = chain()
    with pytest.raises(UsageError, match="2 trainable_variables"):
        model.stateless_call(model.trainable_variables[:1], [], X)
    with pytest.raises(UsageError, match="build it before"):
        layers.Dense(2).stateless_call([], [], X)


def test_the_last_numbers():
    model = chain()
    model.compile("sgd", "mse", metrics=["mae"])
    assert model.get_metrics_result() == {}
    history = model.fit(X, Y, epochs=2, validation_split=0.5, verbose=0).history
    assert model.get_metrics_result() == {"loss": history["loss"][-1], "mae": history["mae"][-1]}
    found = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert model.get_metrics_result() == found


def test_state_tree():
    first, second = chain(layers.BatchNormalization()), chain(layers.BatchNormalization())
    for model in (first, second):
        model.compile("adam", "mse")
    first.fit(X, Y, verbose=0)
    tree = first.get_state_tree("numpy_array")
    name = first.layers[-1].name
    assert tree["trainable_variables"]["chain"][name]["kernel"].shape == (3, 1)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(tree))
    second.build_optimizer()
    second.set_state_tree(jax.tree.unflatten(jax.tree.structure(second.get_state_tree()), jax.tree.leaves(tree)))
    for model in (first, second):
        model.fit(X, Y, verbose=0, shuffle=False)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    before = second.get_weights()
    good = {second.layers[0].name: {"gamma": jnp.full(3, 7.0)}}
    for bad in ({"chain": {"none": {"kernel": 1}}}, {"chain": {second.layers[-1].name: {"kernel": np.ones((2, 2))}}}):
        with pytest.raises(UsageError, match="no such variable"):
            second.set_state_tree({"trainable_variables": {"chain": {**good, **bad["chain"]}}})
    assert all(np.array_equal(a, b) for a, b in zip(before, second.get_weights(), strict=True))
    with pytest.raises(UsageError, match="value_format"):
        first.get_state_tree("list")
