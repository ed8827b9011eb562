"""A layer of ours and the same one of Keras, with the same weights: outputs, gradients, configs."""

import inspect
import json

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import seriatim.layers
from seriatim.base import registry
from seriatim.base.report import UsageError
from seriatim.layers.contract import Call
from seriatim.math import activations, constraints, initializers, regularizers  # noqa: F401  fill the registry

# float32 keeps 24 bits; a sum of n products, taken in another order, differs by about sqrt(n) of its last
# bit. The longest sums here have some 500 terms: sqrt(500) · 2⁻²⁴ ≈ 1.4e-6 of the largest partial sum.
CLOSE = {"rtol": 2e-5, "atol": 2e-5}
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # these run only once


def ours(kind, **arguments):
    return registry.find("layer", kind)(**arguments)


def theirs(kind, **arguments):
    return getattr(keras.layers, kind)(**arguments)


def plain(value):
    return json.loads(json.dumps(value))


def pair(name, arguments, shape):
    """Our layer and Keras's, built for `shape`, with the same weights."""
    mine, real = ours(name, **arguments), theirs(name, **arguments)
    real.build(shape)
    mine.build(shape)
    weights = [np.random.default_rng(1).normal(size=w.shape).astype("float32") for w in real.weights]
    real.set_weights(weights)
    mine.set_weights(weights)
    return mine, real


def compare(mine, real, x):
    """Same output, and same gradients of it with respect to x and every weight."""
    names = list(mine.arrays)
    assert [v.name for v in real.variables] == [name.rpartition("/")[2] for name in names]
    assert [v.shape for v in real.variables] == [mine.arrays[n].shape for n in names]

    def run_mine(values, x):
        return mine.apply(dict(zip(names, values, strict=True)), x, Call())[0]

    def run_real(values, x):
        return real.stateless_call(values, [], x)[0]

    def with_gradients(run):
        def both(values, x, up):
            y, turn = jax.vjp(run, values, x)
            return y, turn(up)

        return jax.jit(both, compiler_options=QUICK)

    values = [jnp.asarray(mine.arrays[n]) for n in names]
    up = np.random.default_rng(2).normal(size=jax.eval_shape(run_mine, values, x).shape).astype("float32")
    got, want = with_gradients(run_mine)(values, x, up), with_gradients(run_real)(values, x, up)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, **CLOSE)


def same_shapes(name, arguments, shape):
    """Both promise the same output for an input whose batch, or more, is open."""
    mine, real = ours(name, **arguments), theirs(name, **arguments)
    assert tuple(mine.compute_output_shape(shape)) == tuple(real.compute_output_shape(shape))


def same_words(name, arguments):
    """Both write the same config; ours reads Keras's, and is its own source."""
    arguments = {"name": "same_name", **arguments}
    mine, real = ours(name, **arguments), theirs(name, **arguments)
    assert plain(mine.get_config()) == plain(real.get_config())
    assert plain(type(mine).from_config(plain(real.get_config())).get_config()) == plain(real.get_config())
    assert plain(eval(repr(mine), vars(seriatim.layers).copy()).get_config()) == plain(mine.get_config()), repr(mine)
    assert mine.supports_masking == real.supports_masking


def same_places(name):
    """Both take the same arguments by position, with the same defaults."""
    real = inspect.signature(getattr(keras.layers, name).__init__).parameters.values()
    want = [(p.name, p.default) for p in real if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    mine = inspect.signature(registry.find("layer", name)).parameters.values()
    assert [(p.name, p.default) for p in mine if p.kind is p.POSITIONAL_OR_KEYWORD] == want


def same_name(alias, name):
    """An alias is the class itself, in the registry and among the public names."""
    assert registry.find("layer", alias) is registry.find("layer", name) is getattr(seriatim.layers, alias)
    assert getattr(keras.layers, alias) is getattr(keras.layers, name)


def both_refuse(name, arguments, shape, word):
    """A UsageError that says `word`; Keras refuses the same, in its words."""
    with pytest.raises(UsageError) as caught:
        ours(name, **arguments).build(shape)
    assert word in str(caught.value)
    with pytest.raises((ValueError, TypeError, IndexError)):
        layer = theirs(name, **arguments)
        layer.build(shape)
        layer.compute_output_shape(shape)
        layer(np.zeros([2 if n is None else n for n in shape], "float32"))
