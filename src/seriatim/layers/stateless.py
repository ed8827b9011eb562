"""A layer as a pure function of its arrays: what the engine does in every step, and what Keras calls stateless.

Floor 2.
"""

import jax
import jax.numpy as jnp

from ..base.report import UsageError
from .contract import PENALTY, Call
from .variable import Variable


def with_activity(layer, y, moved):
    """(y, moved), the penalty on the output among what moved: Σ regularizer(y) / batch."""
    if layer.activity_regularizer is None:
        return y, moved
    found = sum(layer.activity_regularizer(leaf) / len(leaf) for leaf in jax.tree.leaves(y))
    return y, {**moved, PENALTY: moved.get(PENALTY, 0) + found}


def stateless_call(
    self, trainable_variables, non_trainable_variables, x, training=None, mask=None, return_losses=False
):  # fmt: skip
    """(output, the non-trainable arrays as this call leaves them[, losses]); the layer itself stays as it is.

    Pure, for loops of your own under jax.jit and jax.grad. Both lists are in the order of the properties of these
    names; they hold arrays or Variables. What is drawn in training (dropout) follows from the values of x and of the
    arrays, so the next step draws anew; Keras lists a seed among the non-trainable variables instead.

    >>> from seriatim.layers import Dense
    >>> layer = Dense(2); layer.build((None, 3))
    >>> y, _ = layer.stateless_call(layer.trainable_variables, [], [[1.0, 2.0, 3.0]])
    """
    trained = by_name(self, "trainable_variables", trainable_variables)
    kept = by_name(self, "non_trainable_variables", non_trainable_variables)
    x = jax.tree.map(jnp.asarray, x)
    root = drawn_from(trained, kept, x) if training else None
    call = Call(training=bool(training), mask=mask, root=root)
    y, moved = with_activity(self, *self.apply(*self.meet(trained | kept, x), call))
    after = [moved.get(name, array) for name, array in kept.items()]
    if not return_losses:
        return y, after
    penalties = [(v.regularizer, trained[name]) for name, v in self.leaves() if name in trained]
    found = [regularizer(array) for regularizer, array in penalties if regularizer is not None]
    return y, after, found + ([moved[PENALTY]] if PENALTY in moved else [])


def by_name(layer, group, values):
    """{name in `layer.arrays`: array} for the variables that the property `group` lists."""
    views, values = getattr(layer, group), list(values)
    if not layer.built or len(values) != len(views):
        raise UsageError(
            f"{layer.name} has {len(views)} {group}", at=layer._birthplace, saw=f"a list of {len(values)}",
            want=", ".join(v.path for v in views) or "an empty list",
            fix=None if layer.built else "build it before: build(input_shape)",
        )  # fmt: skip
    names = {(id(v.layer), v.key): name for name, v in layer.leaves()}
    arrays = [value.value if isinstance(value, Variable) else jnp.asarray(value) for value in values]
    return {names[id(v.layer), v.key]: array for v, array in zip(views, arrays, strict=True)}


def drawn_from(*trees):
    """A random key that follows from the values of all arrays: from the bits of their sum."""
    total = sum(jnp.sum(leaf.astype("float32")) for leaf in jax.tree.leaves(trees))
    return jax.random.key(jax.lax.bitcast_convert_type(total, "uint32"))
